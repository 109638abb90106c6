"""The optional policies: a tenant who may edit the namespace of jobs gets at no job's data."""

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

import examples
from c2d_operator.cluster import Cluster
from operator_stack import JOBS, ROOT, Json, Stack, eventually, job, operator_stack, until
from pretend_node import node, succeed

POLICIES = ROOT / "manifests/components/admission-policies/policies.yaml"
TENANT = "tenant"
_GROUP = "rbac.authorization.k8s.io"


def binding(kind: str, role: str) -> Json:
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"tenant-{role}", "namespace": JOBS},
        "roleRef": {"apiGroup": _GROUP, "kind": kind, "name": role},
        "subjects": [{"apiGroup": _GROUP, "kind": "User", "name": TENANT}],
    }


RIGHTS: list[Json] = [
    binding("ClusterRole", "edit"),
    binding("ClusterRole", "c2d-admin"),
    {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "Role",
        "metadata": {"name": "debug", "namespace": JOBS},
        "rules": [
            {"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["patch"]}
        ],
    },
    binding("Role", "debug"),
]
"""The rights of a tenant who does with the namespace what people do with namespaces."""

LIMIT = 30.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with operator_stack(tmp_path_factory.mktemp("policies") / "cluster", volumes=2) as stack:
        stack.kubectl("apply", "-f", str(POLICIES))
        stack.kubectl(
            "apply",
            "-f",
            "-",
            stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": RIGHTS}),
        )
        stack.process = stack.spawn(18180, C2D_PROVIDER_URL="http://provider.example.org")
        stack.kubectl("wait", "--for=condition=Ready", "-n", JOBS, "cenv/env")
        try:
            wait_for_policies(stack)
            yield stack
        finally:
            code = stack.stop()
        assert code == 0


def tried(
    stack: Stack, *words: str, stdin: Json | None = None, user: str = TENANT
) -> "subprocess.CompletedProcess[str]":
    """Run kubectl as the tenant, or as another user."""
    command = [
        stack.kubectl_program,
        f"--kubeconfig={stack.kubeconfig}",
        f"--as={user}",
        "--as-group=system:authenticated",
        f"--namespace={JOBS}",
        *words,
    ]
    return subprocess.run(
        command,
        input=json.dumps(stdin) if stdin else None,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )


def created(stack: Stack, body: Json, user: str = TENANT) -> "subprocess.CompletedProcess[str]":
    return tried(stack, "create", "--dry-run=server", "-f", "-", stdin=body, user=user)


def wait_for_policies(stack: Stack) -> None:
    """The API server takes a moment to heed a new policy."""
    deadline = time.monotonic() + LIMIT
    for probe in (
        lambda: created(stack, provided()),
        lambda: created(stack, pod(labels={"computetodata.io/job": "x"})),
        lambda: token(stack),
        lambda: created(stack, claim("x-workspace")),
    ):
        while "computetodata.io' with binding" not in (said := probe()).stderr:
            assert time.monotonic() < deadline, said
            time.sleep(0.1)


def provided(**annotations: str) -> dict[str, Any]:
    body = examples.provided_job()
    body["spec"]["environment"] = "env"
    for field in ("stop", "suspend", "resources", "maxDuration", "maxQueueDuration"):
        del body["spec"][field]
    body["metadata"] = {"name": "provided", "namespace": JOBS, "annotations": annotations}
    return body


def pod(labels: Json | None = None, **spec: Any) -> dict[str, Any]:
    container = {
        "name": "mine",
        "image": "mine",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "mine", "labels": labels or {}},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            **spec,
        },
    }


def token(stack: Stack, audience: str = "c2d-provider") -> "subprocess.CompletedProcess[str]":
    return tried(stack, "create", "token", "env-loader", f"--audience={audience}")


def token_volume(audience: str) -> list[Json]:
    source = {"serviceAccountToken": {"audience": audience, "path": "token"}}
    return [{"name": "token", "projected": {"sources": [source]}}]


SEAL = "v1:" + "0" * 64


@pytest.mark.parametrize("seal", [None, "", "v1:", "v2:" + "0" * 64, SEAL + "0", "V1:" + "0" * 64])
def test_a_job_with_the_providers_assets_needs_a_seal(stack: Stack, seal: str | None) -> None:
    annotations = {} if seal is None else {"computetodata.io/seal": seal}
    answer = created(stack, provided(**annotations))
    assert answer.returncode != 0
    assert "start this job through it, or give its assets as files" in answer.stderr


@pytest.mark.parametrize("asset", ["datasets", "algorithm"])
def test_one_such_asset_is_enough(stack: Stack, asset: str) -> None:
    body, public = provided(), job("public")["spec"]
    body["spec"][asset] = public[asset]
    assert "start this job through it" in created(stack, body).stderr


def test_other_jobs_need_none(stack: Stack) -> None:
    answer = created(stack, job("public"))
    assert answer.returncode == 0, answer.stderr
    sealed = created(stack, provided(**{"computetodata.io/seal": SEAL}))
    assert sealed.returncode == 0, sealed.stderr


CLAIM = {"name": "w", "persistentVolumeClaim": {"claimName": "x-workspace"}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(
            pod(labels={"computetodata.io/phase": "loading"}), "labels of", id="labels of a loader"
        ),
        pytest.param(
            pod(labels={"computetodata.io/network": "public"}), "labels of", id="the way out"
        ),
        pytest.param(pod(volumes=[CLAIM]), "the volume of a job", id="the volume of a job"),
        pytest.param(pod(volumes=token_volume("c2d-provider")), "tokens for", id="a token"),
        pytest.param(
            pod(serviceAccountName="env-loader"), "ServiceAccounts of", id="the loader's account"
        ),
        pytest.param(
            pod(serviceAccountName="env-publisher"), "ServiceAccounts of", id="the publisher's"
        ),
    ],
)
def test_a_tenants_pod_does_not_pass_for_a_jobs(stack: Stack, body: Json, words: str) -> None:
    answer = created(stack, body)
    assert answer.returncode != 0
    assert words in answer.stderr


def test_nor_does_one_that_a_controller_makes_for_a_tenant(stack: Stack) -> None:
    controller = "system:serviceaccount:kube-system:replicaset-controller"
    for body in (pod(labels={"computetodata.io/phase": "loading"}), pod(volumes=[CLAIM])):
        answer = created(stack, body, user=controller)
        assert answer.returncode != 0
        assert "are for the operator's pods" in answer.stderr or "is for the" in answer.stderr
    answer = created(stack, pod(), user=controller)
    assert answer.returncode == 0, answer.stderr


def claim(name: str, labels: Json | None = None, **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            **spec,
        },
    }


SOURCE = {"kind": "PersistentVolumeClaim", "name": "x-workspace"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(claim("copy", dataSource=SOURCE), "not to be copied", id="a copy"),
        pytest.param(claim("copy", dataSourceRef=SOURCE), "not to be copied", id="another copy"),
        pytest.param(claim("x-workspace"), "names that end with", id="the name of one"),
        pytest.param(
            claim("mine", {"computetodata.io/job": "x"}), "this label", id="the label of one"
        ),
    ],
)
def test_a_tenants_claim_does_not_hold_a_jobs_data(stack: Stack, body: Json, words: str) -> None:
    answer = created(stack, body)
    assert answer.returncode != 0
    assert words in answer.stderr


def test_a_tenant_has_claims_of_its_own(stack: Stack) -> None:
    offered = claim("mine", {"computetodata.io/offered": "true"})
    answer = created(stack, offered)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(pod(), id="a plain one"),
        pytest.param(pod(volumes=token_volume("vault")), id="with a token for others"),
        pytest.param(
            pod(volumes=[{"name": "w", "persistentVolumeClaim": {"claimName": "mine"}}]),
            id="with a claim of its own",
        ),
    ],
)
def test_a_tenant_has_pods_of_its_own(stack: Stack, body: Json) -> None:
    answer = created(stack, body)
    assert answer.returncode == 0, answer.stderr


def test_a_tenant_gets_no_token_for_the_provider(stack: Stack) -> None:
    answer = token(stack)
    assert answer.returncode != 0
    assert "tokens for the provider are for kubelets" in answer.stderr
    assert token(stack, "vault").returncode == 0


async def test_jobs_run_as_before_and_nobody_looks_into_their_pods(
    stack: Stack, cluster: Cluster
) -> None:
    allowed: set[str] = set()

    def script(_job: str, phase: str) -> int | None:
        return 0 if phase in allowed else None

    async with node(cluster, JOBS, script):
        body = provided(**{"computetodata.io/seal": SEAL})
        await cluster.create("ComputeJob", JOBS, body)

        async def loader() -> Json | None:
            return await cluster.read("Pod", JOBS, "provided-loader-0")

        found = await eventually(loader, "the loader")
        (volume,) = [v for v in found["spec"]["volumes"] if v["name"] == "provider-token"]
        (source,) = volume["projected"]["sources"]
        assert source["serviceAccountToken"]["audience"] == "c2d-provider"
        pods = f"/api/v1/namespaces/{JOBS}/pods"
        for words in (
            ("exec", "provided-loader-0", "--", "sh"),
            ("attach", "provided-loader-0"),
            ("get", "--raw", f"{pods}/provided-loader-0/portforward?ports=1"),
            ("debug", "provided-loader-0", "--image=mine", "--profile=restricted"),
            ("label", "pod", "provided-loader-0", "computetodata.io/attempt=7", "--overwrite"),
            ("label", "pod", "provided-loader-0", "computetodata.io/network=public"),
        ):
            answer = tried(stack, *words)
            assert answer.returncode != 0
            assert "computetodata.io' with binding" in answer.stderr, (words, answer.stderr)
        allowed |= {"loading", "algorithm", "publishing"}
        await until(cluster, "provided", "Complete")


async def test_without_policies_in_the_way_public_jobs_run_too(
    stack: Stack, cluster: Cluster
) -> None:
    async with node(cluster, JOBS, succeed):
        await cluster.create("ComputeJob", JOBS, dict(job("public")))
        await until(cluster, "public", "Complete")
