"""A ComputeJob and a ComputeEnvironment that use every field, and the least that is accepted."""

import json
from typing import Any

Body = dict[str, Any]

ADDRESS = "0x" + "aB" * 20
DID = "did:op:" + "0123456789abcdef" * 4
DIGEST = "sha256:" + "ab" * 32
CID = "Qm" + "Yw" * 22
TIME = "2030-01-02T03:04:05Z"
TOKEN = "0x" + "Ef" * 20
TRANSACTION = "0x" + "3c" * 32

_FILES = [
    {
        "url": {
            "url": "https://data.example.org:8443/a/b.csv?version=2",
            "method": "POST",
            "headers": [{"name": "Accept", "value": "text/csv, */*"}],
        },
        "sha256": "ab" * 32,
        "maxBytes": 1_000_000,
    },
    {"inline": {"text": "a,b\n1,2\n"}},
    {
        "s3": {
            "bucket": "trees",
            "key": "depths/2030 a.csv",
            "endpoint": "https://s3.example.org:9000",
            "region": "eu-central-1",
        }
    },
    {"ipfs": {"cid": CID, "path": "depths/b.csv"}},
    {"arweave": {"transactionId": "a-_9" * 10 + "xyz"}},
]

_SPEC: Body = {
    "environment": "small",
    "consumer": ADDRESS,
    "additionalViewers": ["0x" + "Cd" * 20],
    "datasets": [
        {"id": DID, "serviceId": "access:1", "ddo": "{}", "source": {"files": _FILES}},
        {"id": "iris", "serviceId": "", "source": {"files": [{"inline": {"text": "x"}}]}},
        {"id": "described", "serviceId": "", "source": {"secretRef": {"name": "keys"}}},
        {
            "id": "lying",
            "serviceId": "",
            "source": {"persistentVolumeClaim": {"claimName": "trees", "path": "depths/2030"}},
        },
    ],
    "algorithm": {
        "id": "did:op:" + "fe" * 32,
        "ddo": "{}",
        "source": {"files": _FILES},
        "container": {
            "image": "docker.io/library/python",
            "tag": "3.13-slim",
            "digest": DIGEST,
            "entrypoint": "python $ALGO",
        },
        "customData": '{"rounds": 3}',
        "env": [{"name": "ROUNDS", "value": "3"}],
    },
    "resources": {"cpu": "500m", "memory": "1Gi", "disk": "2Gi"},
    "maxDuration": 600,
    "maxQueueDuration": 1200,
    "suspend": True,
    "stop": {"reason": "Requested"},
    "ttlSecondsAfterFinished": 3600,
}

_PROVIDED = {
    "serviceId": "compute",
    "source": {"provider": {}},
    "order": {"chainId": 8996, "transactionHash": TRANSACTION, "validUntil": TIME},
    "userData": '{"age": 7}',
}

_CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Checked",
    "message": "All is there",
    "lastTransitionTime": TIME,
    "observedGeneration": 1,
}

_TOLERATION = {
    "key": "example.org/dedicated",
    "operator": "Equal",
    "value": "compute",
    "effect": "NoExecute",
    "tolerationSeconds": 60,
}

_PODS: Body = {
    "user": {"runAsUser": 2000, "runAsGroup": 2001, "fsGroup": 2002},
    "runtimeClassName": "gvisor",
    "priorityClassName": "low",
    "nodeSelector": {"example.org/pool": "compute"},
    "tolerations": [_TOLERATION],
    "imagePullSecrets": ["registry.key"],
}

_DEADLINES = {"volumes": 1, "loading": 2, "starting": 3, "publishing": 4, "cleanup": 5}

_RESULTS = {
    "store": "s3://results/jobs",
    "endpoint": "http://10.89.0.2:7070",
    "region": "us-east-1",
    "credentialsSecret": "store-key",
    "retention": 604800,
    "maxFiles": 20_000,
    "maxBytes": 2**40,
}

_EGRESS = [{"cidr": "10.1.2.0/24", "port": 8080}]


def full_job() -> Body:
    """A job that uses every field but `rawCode`."""
    return _object("ComputeJob", "full", _SPEC)


def raw_job() -> Body:
    """A job of raw code."""
    job = full_job()
    job["spec"]["algorithm"].pop("source")
    job["spec"]["algorithm"]["rawCode"] = "print(1)"
    return job


def provided_job() -> Body:
    """A job whose assets the provider hands out."""
    job = full_job()
    job["spec"]["datasets"] = [{"id": DID, **_PROVIDED}]
    algorithm = job["spec"]["algorithm"]
    algorithm.update(_PROVIDED)
    return _copy(job)


def described_job() -> Body:
    """A job whose algorithm a Secret describes."""
    job = full_job()
    job["spec"]["algorithm"]["source"] = {"secretRef": {"name": "keys"}}
    return job


def small_job() -> Body:
    """The least that a job needs."""
    container = {"image": "python", "tag": "3", "entrypoint": "python $ALGO"}
    algorithm = {"rawCode": "print(1)", "container": container}
    return _object("ComputeJob", "small", {"environment": "small", "algorithm": algorithm})


def job_status() -> Body:
    """A status of a job that uses every field."""
    return _copy(
        {
            "phase": "Completed",
            "reason": "Succeeded",
            "conditions": [_CONDITION],
            "observedGeneration": 1,
            "startTime": TIME,
            "resumeTime": TIME,
            "completionTime": TIME,
            "ocean": {"status": 70, "statusText": "Job finished"},
            "environment": {
                "name": "small",
                "uid": "4b3c",
                "resources": {"cpu": "500m", "memory": "1Gi", "disk": "2Gi"},
                "maxDuration": 600,
                "consumer": ADDRESS,
                "storageClassName": "fast",
                "results": _RESULTS,
                "deadlines": _DEADLINES,
                "pods": _PODS,
                "egress": _EGRESS,
                "networkIsolation": "CanaryOnly",
            },
            "workspace": {"uid": "5c4d"},
            "algorithm": {"podUID": "6d5e", "startTime": TIME},
            "attempts": {"loading": 1, "publishing": 2},
            "loading": {"files": 1, "filesTotal": 2, "bytes": 30, "bytesTotal": 40},
            "terminationDetails": {"exitCode": 3, "oomKilled": True},
            "results": {
                "count": 1,
                "totalBytes": 12,
                "manifestDigest": DIGEST,
                "files": [{"name": "a/b.csv", "type": "output", "size": 12}],
            },
        }
    )


def full_environment() -> Body:
    """An environment that uses every field."""
    spec: Body = {
        "description": "Two cores, no network",
        "resources": {
            "default": {"cpu": "1m", "memory": "16Mi", "disk": "16Mi"},
            "max": {"cpu": "2", "memory": "4Gi", "disk": "10Gi"},
        },
        "consumer": {"address": ADDRESS, "keySecret": "environment.key"},
        "prices": [{"chainId": 8996, "token": TOKEN, "perMinute": "0.25", "decimals": 6}],
        "maxJobs": 2,
        "maxJobDuration": 600,
        "maxQueueDuration": 1200,
        "storageClassName": "fast.ssd",
        "results": _RESULTS,
        "deadlines": _DEADLINES,
        "pods": _PODS,
        "networkIsolation": "CanaryOnly",
        "egress": _EGRESS,
    }
    return _object("ComputeEnvironment", "full", spec)


def small_environment() -> Body:
    """The least that an environment needs."""
    amount = {"cpu": 1, "memory": "1Gi", "disk": "1Gi"}
    spec = {"resources": {"default": amount, "max": amount}, "results": {"store": "file://share"}}
    return _object("ComputeEnvironment", "small", spec)


def environment_status() -> Body:
    """A status of an environment that uses every field."""
    return _copy(
        {
            "observedGeneration": 1,
            "runningJobs": 1,
            "inUse": {"cpu": "1500m", "memory": "2Gi", "disk": "10Gi"},
            "queuedJobs": 2,
            "conditions": [_CONDITION],
        }
    )


def _object(kind: str, name: str, spec: Body) -> Body:
    return _copy(
        {
            "apiVersion": "computetodata.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
    )


def _copy(body: Body) -> Body:
    """Copy what is shared above as well, so that a change has one place."""
    copied: Body = json.loads(json.dumps(body))
    return copied
