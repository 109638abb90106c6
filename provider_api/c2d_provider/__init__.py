"""Ocean's provider: checks orders, creates ComputeJobs, serves their state and results."""

VERSION = "0.1.0"
"""As in pyproject.toml, which images do not have."""
