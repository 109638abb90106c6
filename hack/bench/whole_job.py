"""A whole job on a real cluster, in turn with three bare pods on a volume of their own."""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import Figure, percentile, spread
from bench.watches import Watches, has_terminated, is_gone, watching
from results import Stack

Json = Mapping[str, Any]
_OPERATOR = "system:serviceaccount:c2d-system:c2d-operator"
_AUDIT_LIMIT = 10.0
_ROUNDS = 15


@dataclass(frozen=True)
class Write:
    """A write of the operator that the API server has accepted; `at` as the watches have it."""

    at: float
    verb: str
    resource: str
    subresource: str
    name: str


@dataclass(frozen=True)
class Measured:
    """One job: from its create to its end, what the operator added of it, and its writes."""

    seconds: float
    added: float
    writes: int


def measure(stack: Stack, rounds: int = _ROUNDS) -> list[Figure]:
    """Run jobs and bare pods in turn, and compare them."""
    audit = stack.values.get("AUDIT_LOG")
    if not audit:
        raise LookupError("the cluster's audit log is needed, which the stack of `make up` has")
    jobs: list[Measured] = []
    bare: list[float] = []
    with watching(stack) as watches:
        for number in range(rounds + 1):
            one = _job(stack, watches, Path(audit))
            other = _bare(stack, watches)
            if number:  # the first round warms up
                jobs.append(one)
                bare.append(other)
    added = [job.added for job in jobs]
    seconds = [job.seconds for job in jobs]
    writes = [float(job.writes) for job in jobs]
    several = f"job {spread(seconds)}; bare pods {spread(bare)}"
    return [
        Figure(
            "time the operator adds to a whole job, p50", median(added), 0.3, "s", spread(added)
        ),
        Figure("the same, p99", percentile(added, 0.99), 1.0, "s"),
        Figure(
            "whole job against three bare pods", median(seconds) / median(bare), 1.0, "", several
        ),
        Figure(
            "API writes of the operator in a whole job", max(writes), 16, "", spread(writes, "")
        ),
    ]


def _job(stack: Stack, watches: Watches, audit: Path) -> Measured:
    name = f"bench-{secrets.token_hex(3)}"
    began = time.time()
    stack.kubectl("create", "--filename=-", text=json.dumps(_job_manifest(stack, name)))
    created = watches.wait(name, lambda event: (event.kind, event.name) == ("ComputeJob", name))
    done = watches.wait(
        f"the end of {name}",
        lambda event: event.name == name and "completionTime" in event.body.get("status", {}),
    )
    if done.body["status"]["phase"] != "Complete":
        raise RuntimeError(f"{name} has failed: {done.body['status']['reason']}")
    marks = [created.at]
    for pod in ("loader-0", "algorithm", "publisher-0"):
        full = f"{name}-{pod}"
        marks.append(watches.wait(full, lambda event, full=full: has_terminated(event, full)).at)  # type: ignore[misc]  # a default that binds the loop's value
    claim = f"{name}-workspace"
    marks.append(watches.wait(claim, lambda e: is_gone(e, "PersistentVolumeClaim", claim)).at)
    writes = _writes(audit, name)
    answers = [
        _moment(writes, "create", "pods", f"{name}-loader-0"),
        _moment(writes, "patch", "pods", f"{name}-algorithm"),
        _moment(writes, "create", "pods", f"{name}-publisher-0"),
        _moment(writes, "delete", "persistentvolumeclaims", claim),
        _moment(writes, "patch", "computejobs", name),
    ]
    added = sum(answer - mark for mark, answer in zip(marks, answers, strict=True))
    return Measured(done.at - began, added, len(writes))


def _job_manifest(stack: Stack, name: str) -> Json:
    image, _, digest = stack.values["BUSYBOX_IMAGE"].partition("@")
    return {
        "apiVersion": "computetodata.io/v1alpha1",
        "kind": "ComputeJob",
        "metadata": {"name": name, "namespace": stack.namespace},
        "spec": {
            "environment": stack.values["ENVIRONMENT"],
            "ttlSecondsAfterFinished": 60,
            "datasets": [{"id": "data", "source": {"files": [{"inline": {"text": "1"}}]}}],
            "algorithm": {
                "rawCode": "# nothing",
                "container": {"image": image, "digest": digest, "entrypoint": "true"},
            },
        },
    }


def _bare(stack: Stack, watches: Watches) -> float:
    """Run three pods one after the other on a new claim, then delete all and see the claim gone."""
    name = f"bare-{secrets.token_hex(3)}"
    environment = json.loads(
        stack.kubectl("get", "cenv", stack.values["ENVIRONMENT"], "--output=json")
    )
    began = time.time()
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "64Mi"}},
            "storageClassName": environment["spec"]["storageClassName"],
        },
    }
    pods = [f"{name}-{number}" for number in range(3)]
    first: Json = {"apiVersion": "v1", "kind": "List", "items": [claim, _pod(stack, name, pods[0])]}
    stack.kubectl("create", "--filename=-", text=json.dumps(first))
    for number, pod in enumerate(pods):
        watches.wait(pod, lambda event, pod=pod: has_terminated(event, pod))  # type: ignore[misc]  # a default that binds the loop's value
        if pod != pods[-1]:
            following = _pod(stack, name, pods[number + 1])
            stack.kubectl("create", "--filename=-", text=json.dumps(following))
    things = [f"pod/{pod}" for pod in pods]
    stack.kubectl("delete", *things, "--grace-period=0", "--force", "--wait=false")
    stack.kubectl("delete", f"pvc/{name}", "--wait=false")
    return watches.wait(name, lambda e: is_gone(e, "PersistentVolumeClaim", name)).at - began


def _pod(stack: Stack, claim: str, name: str) -> Json:
    ids = dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), 1000)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
                **ids,
            },
            "containers": [
                {
                    "name": "true",
                    "image": stack.values["BUSYBOX_IMAGE"],
                    "command": ["true"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }


def _writes(audit: Path, job: str) -> list[Write]:
    """Read the operator's writes of a job, when its last one is in the log."""
    deadline = time.monotonic() + _AUDIT_LIMIT
    while True:
        found = list(_parsed(audit, job))
        if sum(write.resource == "computejobs" for write in found) and _is_complete(found, job):
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{audit} does not have all of {job}")
        time.sleep(0.05)


def _is_complete(found: list[Write], job: str) -> bool:
    last = [write for write in found if write.resource == "computejobs"][-1].at
    deleted = [w.at for w in found if (w.verb, w.name) == ("delete", f"{job}-workspace")]
    return bool(deleted) and last > deleted[-1]


def _parsed(audit: Path, job: str) -> Iterator[Write]:
    with audit.open() as lines:
        for line in lines:
            if job not in line or not line.endswith("\n"):
                continue
            entry = json.loads(line)
            target = entry.get("objectRef", {})
            wrote = entry["verb"] in ("create", "patch", "update", "delete")
            theirs = entry["user"]["username"] == _OPERATOR and target.get("resource") != "events"
            if wrote and theirs and entry["responseStatus"]["code"] < 300:  # noqa: PLR2004 - HTTP
                yield Write(
                    datetime.fromisoformat(entry["stageTimestamp"]).timestamp(),
                    entry["verb"],
                    target["resource"],
                    target.get("subresource", ""),
                    target.get("name", ""),
                )


def _moment(writes: list[Write], verb: str, resource: str, name: str) -> float:
    """Tell when the last such write was accepted."""
    return [
        write.at
        for write in writes
        if (write.verb, write.resource, write.name) == (verb, resource, name)
    ][-1]
