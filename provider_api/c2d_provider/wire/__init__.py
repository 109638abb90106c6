"""The two generations of requests and answers that Ocean's clients know."""
