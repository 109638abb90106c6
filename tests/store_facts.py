"""A finished job with results in a store, for tests of what reads them."""

from typing import Any

from chain_facts import CONSUMER

UID_PREFIX = "uid-of-"


def job_body(
    name: str, endpoint: str | None, digest: str, store: str = "s3://results/a-prefix/"
) -> dict[str, Any]:
    """Write a job whose status names its store and the digest of its manifest."""
    quantities = {"cpu": "1", "memory": "1Gi", "disk": "1Gi"}
    results: dict[str, Any] = {"store": store}
    if endpoint is not None:
        results |= {
            "endpoint": endpoint,
            "region": "us-east-1",
            "credentialsSecret": "result-store",
        }
    return {
        "metadata": {"name": name, "namespace": "jobs"},
        "spec": {
            "environment": "small",
            "consumer": CONSUMER,
            "datasets": [],
            "algorithm": {
                "rawCode": "1",
                "container": {"image": "x", "tag": "1", "entrypoint": "x"},
            },
        },
        "status": {
            "environment": {
                "name": "small",
                "uid": "env",
                "resources": quantities,
                "maxDuration": 60,
                "results": results,
                "deadlines": {},
                "pods": {"user": {}},
                "egress": [],
            },
            "results": {"count": 1, "totalBytes": 1, "manifestDigest": digest, "files": []},
        },
    }
