"""The agent that enforces NetworkPolicy in the local cluster, by nftables on its one node.

It does what the project needs of `networking.k8s.io/v1`: ingress and egress, selectors of pods and
namespaces, blocks of addresses with exceptions, ports, ranges and names of ports, both families of
addresses. It does not do what only other nodes would need, and it knows no cluster but this one.
"""
