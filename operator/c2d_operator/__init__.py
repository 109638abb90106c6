"""The operator: it takes ComputeJobs through volumes, loading, algorithm, publishing, clean-up."""
