"""The pods of a job that are ours: loader, publisher, and the launcher inside the algorithm's."""
