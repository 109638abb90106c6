"""Ocean's provider: checks orders, creates ComputeJobs, serves their state and results."""
