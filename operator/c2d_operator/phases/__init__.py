"""The phases of a job, one module each: what a pass does while that step is undecided."""
