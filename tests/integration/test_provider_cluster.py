"""The provider's side of the cluster as its own ServiceAccount on a real API server."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

import examples
import nonce_racer
from apiserver import ApiServer
from c2d_api.computejob import ComputeJob, parse_job
from c2d_provider import nonces, ports, seal
from c2d_provider.api_server import connect
from c2d_provider.cluster import KubernetesCluster, open_cluster
from c2d_provider.naming import EnvironmentName
from c2d_provider.orders import PaidFee
from c2d_provider.refusals import Reason, Refusal, Refused

Body = dict[str, Any]
Kubectl = Callable[..., CompletedProcess[str]]
Clusters = Callable[[], AbstractAsyncContextManager[KubernetesCluster]]

MANIFESTS = Path(__file__).parents[2] / "manifests"
JOBS, RECORDS = "c2d-jobs", "c2d-records"
KEY = b"k" * 32
ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
LIMIT = 20.0


def is_ours(job: ComputeJob) -> bool:
    return seal.is_sealed(KEY, job.namespace, job.name, job.spec, job.seal)


@asynccontextmanager
async def cluster_of(kubeconfig: Path) -> AsyncIterator[KubernetesCluster]:
    """The provider's cluster, its views filled."""
    async with (
        connect(10, str(kubeconfig)) as api,
        open_cluster(api, (JOBS,), RECORDS, is_ours) as cluster,
    ):
        await until(cluster.is_ready)
        yield cluster


async def until(probe: Callable[[], object]) -> None:
    """Wait for something to be so."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + LIMIT
    while not probe():
        assert clock() < deadline
        await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def installed(api: ApiServer, kubectl: Kubectl) -> Iterator[None]:
    """The namespaces and the provider's rights, as the manifests have them."""
    for file in (MANIFESTS / "base/namespaces.yaml", MANIFESTS / "components/provider/rbac.yaml"):
        applied = kubectl("apply", f"--filename={file}")
        assert applied.returncode == 0, applied.stderr
    for namespace, account in (
        ("c2d-system", "c2d-provider"),
        (JOBS, "small-loader"),
        (JOBS, "default"),
    ):
        made = kubectl("create", "serviceaccount", account, f"--namespace={namespace}")
        assert made.returncode == 0, made.stderr
    yield
    deleted = kubectl("delete", "namespace", JOBS, "c2d-system", RECORDS, "--wait=false")
    assert deleted.returncode == 0, deleted.stderr


@pytest.fixture(scope="module")
def provider_config(
    installed: None, kubeconfig: Path, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A kubeconfig of the provider's own account."""
    token = kubectl("create", "token", "--namespace=c2d-system", "c2d-provider").stdout.strip()
    config = json.loads(kubeconfig.read_text())
    server = config["clusters"][0]["cluster"]
    authority = kubeconfig.with_name("ca.crt")
    config["clusters"][0]["cluster"] = {
        "server": server["server"],
        "certificate-authority": str(authority),
    }
    config["users"][0]["user"] = {"token": token}
    path = tmp_path_factory.mktemp("provider") / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


@pytest.fixture
async def cluster(provider_config: Path) -> AsyncIterator[KubernetesCluster]:
    async with cluster_of(provider_config) as cluster:
        yield cluster


def use(number: int) -> nonces.Use:
    return nonces.use(f"0x{number:0128x}1b", f"GET /thing?{number}")


# Nonces


async def test_a_nonce_is_used_once(cluster: KubernetesCluster) -> None:
    assert await cluster.current_nonce(ADDRESS) == "0"
    assert await cluster.use_nonce(ADDRESS, nonces.parse("7"), use(7)) is None
    assert await cluster.current_nonce(ADDRESS.lower()) == "7"
    again = await cluster.use_nonce(ADDRESS.lower(), nonces.parse("7"), use(8))
    assert isinstance(again, Refusal)
    assert again.reason == Reason.NONCE_USED


async def test_a_nonce_stays_used_when_the_provider_starts_anew(provider_config: Path) -> None:
    address = "0x" + "1" * 40
    async with cluster_of(provider_config) as before:
        assert await before.use_nonce(address, nonces.parse("5"), use(5)) is None
    async with cluster_of(provider_config) as after:
        replayed = await after.use_nonce(address, nonces.parse("5"), use(5))
        assert isinstance(replayed, Refusal)
        assert await after.use_nonce(address, nonces.parse("6"), use(6)) is None


async def test_a_nonce_that_is_issued_is_issued_once_and_used(provider_config: Path) -> None:
    address = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
    async with cluster_of(provider_config) as one, cluster_of(provider_config) as other:
        issued = await asyncio.gather(*(side.issue_nonce(address) for side in (one, other) * 10))
        assert len(set(issued)) == 20
        assert int(await other.issue_nonce(address)) > max(map(int, issued))
        refused = await one.use_nonce(address, nonces.parse(max(issued, key=int)), use(900))
    assert isinstance(refused, Refusal), "what we signed for others is of no use here"


def test_of_hundreds_of_racing_nonces_each_is_used_by_one_process(provider_config: Path) -> None:
    command = [sys.executable, nonce_racer.__file__, provider_config, RECORDS, "300"]
    pipe = subprocess.PIPE
    racers = [
        subprocess.Popen([*command, step], stdin=pipe, stdout=pipe, text=True)
        for step in ("1", "-1")  # they meet in the middle, whoever is faster
    ]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [json.loads(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sorted(won[0] + won[1]) == [f"0x{number:040x}" for number in range(2, 302)]


async def test_of_many_requests_with_one_nonce_one_is_let_through(provider_config: Path) -> None:
    address = "0x" + "2" * 40
    async with cluster_of(provider_config) as one, cluster_of(provider_config) as other:
        assert await one.use_nonce(address, nonces.parse("1"), use(100)) is None
        answers = await asyncio.gather(
            *(
                cluster.use_nonce(address, nonces.parse("2"), use(number))
                for number, cluster in enumerate([one, other] * 50)
            )
        )
    assert answers.count(None) == 1


async def test_records_that_make_no_sense_refuse(
    cluster: KubernetesCluster, api: ApiServer
) -> None:
    address = "0x" + "3" * 40
    name = f"nonces-{nonces.shard_of(address):02x}"
    path = f"/api/v1/namespaces/{RECORDS}/configmaps"
    api.request("DELETE", f"{path}/{name}")
    body = {"metadata": {"name": name}, "data": {address: "seven"}}
    assert api.request("POST", path, body).accepted
    with pytest.raises(Refused):
        await cluster.use_nonce(address, nonces.parse("1"), use(1))
    assert api.request("DELETE", f"{path}/{name}").accepted


# Fees


def fee(key: str, start_by: int = 2**40) -> PaidFee:
    return PaidFee(key, "0x" + "4" * 40, 10, 60, start_by)


async def test_one_fee_raced_by_two_replicas_pays_for_one_job(provider_config: Path) -> None:
    key = "0x" + "5" * 64 + "-3"
    async with cluster_of(provider_config) as one, cluster_of(provider_config) as other:
        former = await one.spend_fee(8996, fee(key))
        assert isinstance(former, str)
        await one.free_fee(former)
        answers = await asyncio.gather(
            *(cluster.spend_fee(8996, fee(key)) for cluster in [one, other] * 25)
        )
        names = [answer for answer in answers if isinstance(answer, str)]
        refused = [answer for answer in answers if isinstance(answer, Refusal)]
        assert len(names) == 1
        assert {refusal.reason for refusal in refused} == {Reason.FEE_SPENT}
        assert key in await one.spent_fees()
        assert (await other.ledger()).spendings[key].job == names[0]


async def test_a_freed_fee_pays_for_one_more_job(cluster: KubernetesCluster) -> None:
    key = "0x" + "6" * 64 + "-0"
    first = await cluster.spend_fee(8996, fee(key))
    assert isinstance(first, str)
    await cluster.free_fee(first)
    await cluster.free_fee(first)
    assert key not in await cluster.spent_fees()
    second = await cluster.spend_fee(8996, fee(key))
    assert isinstance(second, str)
    assert second != first
    assert isinstance(await cluster.spend_fee(8996, fee(key)), Refusal)


async def test_a_fee_whose_time_is_over_is_forgotten(cluster: KubernetesCluster) -> None:
    old = "0x" + "7" * 64 + "-0"
    assert isinstance(await cluster.spend_fee(8996, fee(old, start_by=1)), str)
    assert isinstance(await cluster.spend_fee(8996, fee(old + "1")), str)
    assert (await cluster.ledger()).spendings.get(old + "1")


# Jobs


def manifest(name: str, **spec: object) -> Body:
    """A sealed job, as the provider makes it."""
    body = examples.provided_job()
    del body["spec"]["suspend"], body["spec"]["stop"], body["spec"]["ttlSecondsAfterFinished"]
    body["spec"].update(spec)
    body["metadata"] = {"name": name, "namespace": JOBS}
    known = {"uid": "", "resourceVersion": "0", "creationTimestamp": examples.TIME}
    parsed = parse_job({**body, "metadata": {**body["metadata"], **known}})
    made = seal.seal(KEY, JOBS, name, parsed.spec)
    body["metadata"]["annotations"] = {seal.ANNOTATION: made}
    return body


def number(value: int) -> str:
    return f"{value:032x}"


async def test_a_created_job_keeps_its_seal_and_is_found_at_once(
    cluster: KubernetesCluster,
) -> None:
    asked: ports.Cluster = cluster
    job = await asked.create_job(manifest(number(1)))
    assert is_ours(job)
    assert await asked.job(number(1)) == job
    assert job in asked.jobs_of(examples.ADDRESS.upper().replace("X", "x"))
    assert await asked.bind_seal(job)


async def test_creating_a_job_twice_is_creating_it_once(provider_config: Path) -> None:
    async with cluster_of(provider_config) as one, cluster_of(provider_config) as other:
        jobs = await asyncio.gather(
            *(cluster.create_job(manifest(number(2))) for cluster in [one, other] * 4)
        )
    assert len({job.uid for job in jobs}) == 1


async def test_a_name_that_another_job_has_is_refused(cluster: KubernetesCluster) -> None:
    await cluster.create_job(manifest(number(3)))
    with pytest.raises(Refused, match="another job has the name"):
        await cluster.create_job(manifest(number(3), maxDuration=5))


async def test_a_job_that_stole_its_seal_is_not_taken_for_ours(
    cluster: KubernetesCluster, api: ApiServer
) -> None:
    wanted = manifest(number(4))
    forged = json.loads(json.dumps(wanted))
    forged["spec"]["consumer"] = "0x" + "8" * 40
    assert api.create(forged, JOBS).accepted
    with pytest.raises(Refused, match="another job has the name"):
        await cluster.create_job(wanted)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"environment": "Not a name"}, "environment", id="a bad value"),
        pytest.param({"nonsense": 1}, "unknown field", id="a field that nobody knows"),
    ],
)
async def test_what_the_api_server_will_not_have_is_said_in_its_words(
    cluster: KubernetesCluster, change: Body, words: str
) -> None:
    body = manifest(number(5))
    body["spec"] |= change
    with pytest.raises(Refused, match=words) as refused:
        await cluster.create_job(body)
    assert refused.value.refusal.reason == Reason.JOB_REFUSED


async def test_a_job_in_a_namespace_of_others_is_refused(cluster: KubernetesCluster) -> None:
    body = manifest(number(5))
    body["metadata"]["namespace"] = "kube-system"
    with pytest.raises(Refused, match="kube-system"):
        await cluster.create_job(body)


async def test_a_saved_job_applied_again_is_not_bound(
    cluster: KubernetesCluster, api: ApiServer
) -> None:
    body = manifest(number(6))
    job = await cluster.create_job(body)
    await cluster.delete_job(job)
    applied = api.create(body, JOBS)
    assert applied.accepted, applied.message
    copy = parse_job(applied.body)
    assert is_ours(copy)
    assert not await cluster.bind_seal(copy)
    with pytest.raises(Refused, match="created before"):
        await cluster.create_job(body)
    assert await cluster.bind_seal(job)


async def test_of_two_copies_that_ask_first_one_is_bound(
    provider_config: Path, api: ApiServer
) -> None:
    """A provider that died between creating and binding leaves a job that is not bound yet."""
    body = manifest(number(7))
    first = parse_job(api.create(body, JOBS).body)
    deleted = api.request(
        "DELETE", f"/apis/computetodata.io/v1alpha1/namespaces/{JOBS}/computejobs/{number(7)}"
    )
    assert deleted.accepted
    second = parse_job(api.create(body, JOBS).body)
    async with cluster_of(provider_config) as one, cluster_of(provider_config) as other:
        bound = await asyncio.gather(
            *(c.bind_seal(job) for c in (one, other) for job in (first, second))
        )
    assert bound in ([True, False, True, False], [False, True, False, True])


async def test_a_job_is_stopped_once(cluster: KubernetesCluster) -> None:
    job = await cluster.create_job(manifest(number(8)))
    await asyncio.gather(*(cluster.stop_job(job, "Requested") for _ in range(5)))
    await cluster.stop_job(job, "OrderRemoved")
    found = await cluster.job(number(8))
    assert found
    assert found.spec.stop == "Requested"
    assert is_ours(found)


async def test_a_suspended_job_is_resumed(cluster: KubernetesCluster) -> None:
    body = manifest(number(9))
    body["spec"]["suspend"] = True
    job = await cluster.create_job(body)
    assert job.spec.suspend
    await asyncio.gather(*(cluster.resume_job(job) for _ in range(5)))
    found = await cluster.job(number(9))
    assert found
    assert not found.spec.suspend


async def test_only_the_job_of_that_uid_is_changed_or_deleted(
    cluster: KubernetesCluster, api: ApiServer
) -> None:
    body = manifest(number(10))
    former = await cluster.create_job(body)
    await cluster.delete_job(former)
    await cluster.delete_job(former)
    assert api.create(body, JOBS).accepted
    await cluster.stop_job(former, "Requested")
    await cluster.delete_job(former)
    path = f"/apis/computetodata.io/v1alpha1/namespaces/{JOBS}/computejobs/{number(10)}"
    left = api.request("GET", path).body
    assert left["metadata"]["uid"] != former.uid
    assert "stop" not in left["spec"]


async def test_the_views_follow_what_others_do(cluster: KubernetesCluster, api: ApiServer) -> None:
    made = api.create(manifest(number(11)), JOBS)
    assert made.accepted
    await until(lambda: any(job.name == number(11) for job in cluster.jobs_of(examples.ADDRESS)))
    path = f"/apis/computetodata.io/v1alpha1/namespaces/{JOBS}/computejobs/{number(11)}"
    assert api.request("DELETE", path).accepted
    await until(lambda: all(job.name != number(11) for job in cluster.jobs_of(examples.ADDRESS)))
    assert await cluster.job(number(11)) is None


async def test_a_job_that_the_view_has_not_shown_is_read(
    provider_config: Path, api: ApiServer
) -> None:
    async with connect(10, str(provider_config)) as server:
        blind = KubernetesCluster(server, (JOBS,), RECORDS, is_ours)
        assert api.create(manifest(number(12)), JOBS).accepted
        found = await blind.job(number(12))
        assert found
        assert found.name == number(12)
        assert await blind.job(number(99)) is None


async def test_environments_are_read_with_their_prices(
    cluster: KubernetesCluster, api: ApiServer
) -> None:
    body = examples.full_environment()
    assert api.create(body, JOBS).accepted
    found = await cluster.environment(EnvironmentName(JOBS, "full"))
    assert found
    assert found.prices[0].per_minute == "0.25"
    await until(lambda: [e.name for e in cluster.environments()] == ["full"])
    assert await cluster.environment(EnvironmentName(JOBS, "none")) is None
    assert await cluster.environment(EnvironmentName("kube-system", "full")) is None


# Pods


def pod(name: str, account: str = "small-loader") -> Body:
    return {
        "metadata": {"name": name, "labels": {"computetodata.io/phase": "loading"}},
        "spec": {
            "serviceAccountName": account,
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "loader",
                    "image": "loader",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def made_pod(api: ApiServer, name: str) -> Body:
    made = api.request("POST", f"/api/v1/namespaces/{JOBS}/pods", pod(name))
    assert made.accepted, made.message
    return made.body


def token(kubectl: Kubectl, *words: str, audience: str = "c2d-provider") -> str:
    made = kubectl(
        "create", "token", "small-loader", f"--namespace={JOBS}", f"--audience={audience}", *words
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def bound_token(kubectl: Kubectl, body: Body, **options: str) -> str:
    name, uid = body["metadata"]["name"], body["metadata"]["uid"]
    words = (
        "--bound-object-kind=Pod",
        f"--bound-object-name={name}",
        f"--bound-object-uid={uid}",
    )
    return token(kubectl, *words, **options)


async def test_a_loaders_token_tells_its_pod(
    cluster: KubernetesCluster, api: ApiServer, kubectl: Kubectl
) -> None:
    body = made_pod(api, "caller")
    caller = await cluster.caller(bound_token(kubectl, body))
    assert caller == ports.Caller(JOBS, "small-loader", "caller", body["metadata"]["uid"])
    assert await cluster.pod_labels(caller) == {"computetodata.io/phase": "loading"}


async def test_a_token_for_others_is_nobodys(
    cluster: KubernetesCluster, api: ApiServer, kubectl: Kubectl
) -> None:
    body = made_pod(api, "audience")
    own = "https://kubernetes.default.svc.cluster.local"
    assert await cluster.caller(bound_token(kubectl, body, audience=own)) is None
    assert await cluster.caller(bound_token(kubectl, body, audience="other")) is None


async def test_a_token_that_no_pod_holds_is_nobodys(
    cluster: KubernetesCluster, kubectl: Kubectl
) -> None:
    assert await cluster.caller(token(kubectl)) is None


async def test_the_token_of_a_pod_that_is_gone_is_nobodys(
    cluster: KubernetesCluster, api: ApiServer, kubectl: Kubectl
) -> None:
    body = made_pod(api, "gone")
    held = bound_token(kubectl, body)
    assert await cluster.caller(held) is not None
    path = f"/api/v1/namespaces/{JOBS}/pods/gone"
    assert api.request("DELETE", path, gracePeriodSeconds="0").accepted
    await wait_for_nobody(cluster, held)
    made_pod(api, "gone")
    assert await cluster.caller(held) is None


async def wait_for_nobody(cluster: KubernetesCluster, held: str) -> None:
    """The API server remembers a token for up to ten seconds."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + LIMIT
    while await cluster.caller(held) is not None:
        assert clock() < deadline
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "é" * 10, "a" * 20000, "Bearer x\r\n"])
async def test_what_is_no_token_is_nobodys(cluster: KubernetesCluster, text: str) -> None:
    assert await cluster.caller(text) is None


async def test_the_labels_of_another_pod_of_the_name_are_not_told(
    cluster: KubernetesCluster, api: ApiServer
) -> None:
    body = made_pod(api, "twin")
    uid = body["metadata"]["uid"]
    mine = ports.Caller(JOBS, "small-loader", "twin", uid)
    assert await cluster.pod_labels(mine)
    for other in (
        ports.Caller(JOBS, "small-loader", "twin", uid[:-1] + ("0" if uid[-1] != "0" else "1")),
        ports.Caller(JOBS, "small-loader", "none", uid),
        ports.Caller("kube-system", "small-loader", "twin", uid),
    ):
        assert await cluster.pod_labels(other) is None


async def test_a_pod_that_is_being_deleted_has_no_labels(
    cluster: KubernetesCluster, api: ApiServer
) -> None:
    body = pod("ending")
    body["metadata"]["finalizers"] = ["example.org/held"]
    made = api.request("POST", f"/api/v1/namespaces/{JOBS}/pods", body)
    path = f"/api/v1/namespaces/{JOBS}/pods/ending"
    api.request("DELETE", path, gracePeriodSeconds="0")
    mine = ports.Caller(JOBS, "small-loader", "ending", made.body["metadata"]["uid"])
    assert await cluster.pod_labels(mine) is None
    assert api.request("PATCH", path, {"metadata": {"finalizers": None}}).accepted


# Manifests and rights


def test_the_providers_manifest_is_taken_without_a_warning(
    kubectl: Kubectl, installed: None
) -> None:
    file = f"--filename={MANIFESTS / 'components/provider/provider.yaml'}"
    applied = kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--warnings-as-errors",
        file,
    )
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout.count("serverside-applied") == 5


async def test_secrets_are_read_by_name_only(cluster: KubernetesCluster, api: ApiServer) -> None:
    stores = (("c2d-system", "result-store"), (JOBS, "result-store"))
    for namespace, name in (*stores, ("c2d-system", "other")):
        body = {"metadata": {"name": name}, "data": {"key": "c2VjcmV0"}}
        assert api.request("POST", f"/api/v1/namespaces/{namespace}/secrets", body).accepted
    assert await cluster.secret("c2d-system", "result-store") == {"key": b"secret"}
    assert await cluster.secret("c2d-system", "environment-consumer") is None
    for namespace, name in ((JOBS, "result-store"), ("c2d-system", "other"), (RECORDS, "any")):
        with pytest.raises(ports.UnavailableError):
            await cluster.secret(namespace, name)


@pytest.mark.parametrize(
    ("verb", "resource", "namespace"),
    [
        ("update", "computejobs", JOBS),
        ("update", "computejobs/status", JOBS),
        ("patch", "computejobs/status", JOBS),
        ("create", "computeenvironments", JOBS),
        ("list", "secrets", JOBS),
        ("create", "pods", JOBS),
        ("list", "pods", JOBS),
        ("create", "serviceaccounts/token", JOBS),
        ("get", "configmaps", "c2d-system"),
        ("update", "configmaps", "c2d-system"),
        ("get", "secrets", "c2d-system"),
        ("delete", "configmaps", RECORDS),
        ("list", "computejobs", "default"),
    ],
)
def test_the_provider_may_do_nothing_else(
    kubectl: Kubectl, installed: None, verb: str, resource: str, namespace: str
) -> None:
    account = "system:serviceaccount:c2d-system:c2d-provider"
    plural, _, part = resource.partition("/")
    words = (verb, plural, f"--subresource={part}", f"--namespace={namespace}", f"--as={account}")
    asked = kubectl("auth", "can-i", *words)
    assert asked.stdout.strip() == "no"
