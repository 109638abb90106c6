"""Runs upstream's own end-to-end specs of NetworkPolicy against the agent of the local stack."""
