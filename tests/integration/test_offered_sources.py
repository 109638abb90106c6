"""Secrets and claims of jobs: offered ones are mounted, others are not, on a real API server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from c2d_operator.cluster import Cluster, RefusedError, connect
from operator_stack import JOBS, Json, Stack, children, condition, job, running_operator, until
from pretend_node import node, succeed

OFFERED = {"computetodata.io/offered": "true"}
S3CR3T = "s3cr3t-of-a-tenant"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_operator(tmp_path_factory.mktemp("offers") / "cluster", volumes=8) as stack:
        yield stack


def make(stack: Stack, kind: str, name: str, labels: Json | None = None) -> None:
    metadata = {"name": name, "namespace": JOBS, "labels": labels or {}}
    parts: dict[str, Any] = {
        "Secret": {"stringData": {"files.json": json.dumps([{"inline": {"text": S3CR3T}}])}},
        "PersistentVolumeClaim": {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "storageClassName": "elsewhere",
            }
        },
    }
    body = {"apiVersion": "v1", "kind": kind, "metadata": metadata, **parts[kind]}
    stack.kubectl("create", "-f", "-", stdin=json.dumps(body))


def naming(name: str, *, secret: str = "", claim: str = "") -> dict[str, Any]:
    sources: list[dict[str, Any]] = []
    sources += [{"secretRef": {"name": secret}}] if secret else []
    sources += [{"persistentVolumeClaim": {"claimName": claim}}] if claim else []
    datasets = [{"id": f"data-{n}", "source": source} for n, source in enumerate(sources)]
    return dict(job(name, datasets=datasets))


def asked(stack: Stack, name: str) -> list[Json]:
    """List the operator's requests for a Secret."""
    found = []
    for line in (stack.folder / "audit.log").read_text().splitlines():
        entry = json.loads(line)
        target = entry.get("objectRef", {})
        if target.get("resource") == "secrets" and target.get("name") == name:
            found.append(entry)
    return found


async def test_what_is_offered_is_mounted_within_sixteen_writes(
    stack: Stack, cluster: Cluster
) -> None:
    make(stack, "Secret", "offered", OFFERED)
    make(stack, "PersistentVolumeClaim", "offered", OFFERED)
    held = {"algorithm": None, "loading": 0, "publishing": 0}
    async with node(cluster, JOBS, lambda _, phase: held[phase]):
        await cluster.create("ComputeJob", JOBS, naming("named", secret="offered", claim="offered"))  # noqa: S106 - a name
        await until(cluster, "named", "AssetsLoaded")
        pod = await cluster.read("Pod", JOBS, "named-algorithm")
        assert pod
        shown = {
            mount["mountPath"]: mount
            for mount in pod["spec"]["containers"][0]["volumeMounts"]
            if mount["name"].startswith("claim")
        }
        assert shown == {
            "/data/inputs/data-1": {
                "name": "claim-0",
                "mountPath": "/data/inputs/data-1",
                "readOnly": True,
            }
        }
        assert not [volume for volume in pod["spec"]["volumes"] if "secret" in volume]
        held["algorithm"] = 0
        await until(cluster, "named", "Complete")
    assert len(stack.writes("named")) <= 16
    assert await cluster.read("PersistentVolumeClaim", JOBS, "offered") is not None
    requests = asked(stack, "offered")
    assert {entry["verb"] for entry in requests} == {"create", "get"}
    log = (stack.folder / "operator.log").read_text()
    assert S3CR3T not in log
    body = await cluster.read("ComputeJob", JOBS, "named")
    assert S3CR3T not in json.dumps(body)


@pytest.mark.parametrize(
    ("kind", "name", "labels"),
    [
        pytest.param("Secret", "s-none", None, id="a Secret that is not there"),
        pytest.param("Secret", "s-plain", {}, id="a Secret without the label"),
        pytest.param(
            "Secret",
            "s-false",
            {"computetodata.io/offered": "false"},
            id="a Secret with another label",
        ),
        pytest.param("PersistentVolumeClaim", "c-none", None, id="a claim that is not there"),
        pytest.param("PersistentVolumeClaim", "c-plain", {}, id="a claim without the label"),
        pytest.param(
            "PersistentVolumeClaim",
            "c-of-a-job",
            {**OFFERED, "computetodata.io/job": "other"},
            id="a claim of a job",
        ),
    ],
)
async def test_what_is_not_offered_fails_in_the_same_words(
    stack: Stack, cluster: Cluster, kind: str, name: str, labels: Json | None
) -> None:
    if labels is not None:
        make(stack, kind, name, labels)
    names = {"secret": name} if kind == "Secret" else {"claim": name}
    async with node(cluster, JOBS, succeed):
        await cluster.create("ComputeJob", JOBS, naming(name, **names))
        body = await until(cluster, name, "Failed")
    assert body["status"]["reason"] == "DataProvisioningFailed"
    assert body["status"]["ocean"]["status"] == 31
    word = {"Secret": "Secret", "PersistentVolumeClaim": "claim"}[kind]
    assert condition(body, "Failed")["message"] == (
        f"no {word} {name} is offered to jobs here:"
        ' it must be there and have the label computetodata.io/offered: "true"'
    )
    assert condition(body, "VolumesReady")["reason"] == "NotReached"
    assert await children(cluster, name) == []
    assert not [write for write in stack.writes(name) if "pods" in write]


async def test_a_secret_may_be_offered_right_after_the_job(stack: Stack, cluster: Cluster) -> None:
    async with node(cluster, JOBS, succeed):
        await cluster.create("ComputeJob", JOBS, naming("early", secret="late"))  # noqa: S106 - a name
        await until(cluster, "early", "Admitted", "Unknown")
        make(stack, "Secret", "late", OFFERED)
        await until(cluster, "early", "Complete")


async def test_the_operator_sees_no_content_of_a_secret(stack: Stack) -> None:
    make(stack, "Secret", "content", OFFERED)
    own = str(stack.folder / "operator.kubeconfig")
    async with connect(500, 500, 10, own) as cluster:
        meta = await cluster.read_metadata("Secret", JOBS, "content")
        assert meta is not None
        assert meta["labels"] == OFFERED
        assert "data" not in meta
        assert "stringData" not in json.dumps(meta)
        assert await cluster.read_metadata("Secret", JOBS, "nothing") is None
        with pytest.raises(KeyError):
            await cluster.read("Secret", JOBS, "content")
        with pytest.raises(RefusedError):
            await cluster.read_metadata("Secret", "c2d-system", "content")
