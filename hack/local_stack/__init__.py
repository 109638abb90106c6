"""The local stack: a real Kubernetes cluster on this machine, with the project installed in it."""
