"""Two providers on one chain: what one sells is computed on at the other, and fetched for it.

Both are the program, with keys and records of their own. The consumer orders on a real chain, the
loader is the real one, and the files come from a web server by way of the provider that they were
encrypted for.
"""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientSession
from eth_keys.datatypes import PrivateKey

from apiserver import ApiServer, Body
from c2d_api.asset_request import AssetRequest, FileOnRequest, Provided, decode_denied
from c2d_api.asset_request import decode_provided as read_provided
from c2d_api.computeenvironment import parse_environment
from c2d_api.computejob import ComputeJob, parse_job
from c2d_api.exits import PodExit
from c2d_operator import admission
from c2d_operator import status as st
from c2d_operator.pods import Images, loader_task, pod
from chain import Asset, Ocean
from examples import small_environment
from local_stack.chain import CHAIN_ID, Account, Chain
from pods import Ended, Pod, Site
from provider_fakes import signed, until
from provider_program import Replica, encrypted, fee, jobs_of, running
from publishing import compact, document, set_metadata
from sites import serving

SYSTEM, SERVICE = "provider-remote-system", "97d09a3f"
CONTAINER = {"entrypoint": "python $ALGO", "image": "python", "checksum": "sha256:" + "ab" * 32}
ANY = {"did": "*", "filesChecksum": "*", "containerSectionChecksum": "*"}
OTHER_KEY = b"\x77" * 32
MADE = {"language": "python", "version": "1", "container": CONTAINER}
FILES = {"/near": b"near,1\n", "/far/0": b"far,0\n", "/far/1": bytes(range(256)) * 4096}
CODE = b"print('far')\n"


@dataclass(frozen=True)
class Place:
    """A running provider: whose it is, and the endpoint that DDOs name for it."""

    address: str
    endpoint: str
    replica: Replica

    @property
    def url(self) -> str:
        return f"{self.replica.url}/v2"

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0


@dataclass(frozen=True)
class Ground:
    """What providers are started with: settings for both, keys, and where the files are."""

    environ: dict[str, str]
    accounts: dict[str, Account]
    folder: Path
    namespace: str
    site: Site


@dataclass(frozen=True)
class Stage:
    """Where a test plays: who sells near, who sells far, and where the files are."""

    near: Place
    far: Place
    site: Site
    namespace: str


@dataclass(frozen=True)
class Loading:
    """A job of the near provider as its operator left it, and its loader's token."""

    job: ComputeJob
    token: str


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving(Site()) as site:
        for path, content in (*FILES.items(), ("/code", CODE)):
            site.serve(path, content)
        yield site


@pytest.fixture
def signer(chain: Chain) -> Account:
    """Who stands for the environment in orders."""
    return chain.accounts["environment-free"]


@pytest.fixture
def ground(
    api: ApiServer, kubeconfig: Path, chain: Chain, namespace: str, site: Site, tmp_path: Path
) -> Ground:
    """Settings of two providers, which share nothing but the chain and the API server."""
    other = PrivateKey(OTHER_KEY).public_key.to_checksum_address()
    accounts = {"near": chain.accounts["provider"], "far": Account(other, OTHER_KEY.hex())}
    for name in (SYSTEM, *(f"remote-records-{place}" for place in accounts)):
        api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    for name, account in accounts.items():
        (tmp_path / f"{name}.key").write_text(account.key)
    environ = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(kubeconfig),
        "C2D_RPC_URLS": f"{CHAIN_ID}={chain.url}",
        "C2D_ADDRESSES_FILE": str(chain.address_file),
        "C2D_NAMESPACES": namespace,
        "C2D_SYSTEM_NAMESPACE": SYSTEM,
        "C2D_HOST": "127.0.0.1",
        "C2D_PORT": "0",
        "C2D_INTERNAL_PORT": "0",
        "C2D_METRICS_PORT": "0",
        "C2D_REQUESTS_PER_SECOND": "1000",
        "C2D_WATCH_SECONDS": "0.1",
    }
    return Ground(environ, accounts, tmp_path, namespace, site)


@asynccontextmanager
async def open_place(ground: Ground, name: str, port: int) -> AsyncIterator[Place]:
    """Run a provider that may reach one port of loopback.

    The near one is `near.example` in DDOs. The far one knows no URL of its own, so that every
    service is its own to it.
    """
    urls = {"near": "https://NEAR.example:443/"}
    environ = {
        **ground.environ,
        "C2D_PROVIDER_KEY_FILE": str(ground.folder / f"{name}.key"),
        "C2D_RECORDS_NAMESPACE": f"remote-records-{name}",
        "C2D_EGRESS": f"127.0.0.1/32:{port}",
        **({"C2D_PROVIDER_URLS": urls[name]} if name in urls else {}),
    }
    async with running(environ) as replica:
        endpoint = "https://near.example" if name == "near" else f"{replica.url}/v2"
        yield Place(ground.accounts[name].address, endpoint, replica)


def open_environment(api: ApiServer, stage: Stage, signer: Account) -> None:
    """Let there be an environment that orders name an address of, with its key in a Secret."""
    body = small_environment()
    body["spec"]["consumer"] = {"address": signer.address, "keySecret": "environment-consumer"}
    body["spec"]["egress"] = [
        {"cidr": "127.0.0.1/32", "port": port} for port in (stage.site.port, stage.far.port)
    ]
    path = f"/apis/computetodata.io/v1alpha1/namespaces/{stage.namespace}/computeenvironments/small"
    api.request("DELETE", path)
    made = api.create(body, stage.namespace)
    assert made.accepted, made.message
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    patched = api.request("PATCH", f"{path}/status", {"status": {"conditions": [ready]}})
    assert patched.accepted, patched.message
    account = {"metadata": {"name": "small-loader"}}
    api.request("POST", f"/api/v1/namespaces/{stage.namespace}/serviceaccounts", account)
    key = base64.b64encode(signer.key.encode()).decode()
    secret = {"metadata": {"name": "environment-consumer"}, "data": {"key": key}}
    api.request("POST", f"/api/v1/namespaces/{SYSTEM}/secrets", secret)


@pytest.fixture
async def providers(api: ApiServer, ground: Ground, signer: Account) -> AsyncIterator[Stage]:
    """Both providers, running: the far one may reach the site, the near one only the far one."""
    async with (
        open_place(ground, "far", ground.site.port) as far,
        open_place(ground, "near", far.port) as near,
    ):
        stage = Stage(near, far, ground.site, ground.namespace)
        open_environment(api, stage, signer)
        yield stage
    said = "".join((*far.replica.lines, *near.replica.lines))
    assert signer.key[2:] not in said
    assert OTHER_KEY.hex() not in said
    assert "signature" not in said


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as found:
        yield found


class Market:
    """Publishes at either provider, and buys for jobs at the near one."""

    def __init__(
        self, stage: Stage, ocean: Ocean, chain: Chain, session: ClientSession, signer: Account
    ) -> None:
        self.stage, self.ocean, self.chain, self.session = stage, ocean, chain, session
        self.signer, self.nonce = signer, 0
        self.environment = f"{stage.namespace}.small"

    @property
    def consumer(self) -> Account:
        return self.chain.accounts["consumer"]

    async def publish(self, place: Place, *paths: str, **changes: Any) -> Asset:
        """Publish an asset whose files are encrypted for one provider; its DDO is plain."""
        owner = self.chain.accounts["publisher"].address
        asset = self.ocean.publish(owner)
        files = {
            "nftAddress": asset.nft,
            "datatokenAddress": asset.datatoken,
            "files": [{"type": "url", "url": self.stage.site.url(path)} for path in paths],
        }
        root = place.replica.url
        body = document(asset, await encrypted(self.session, root, compact(files)))
        body["metadata"] |= changes.get("metadata", {})
        service = {"serviceEndpoint": place.endpoint, "type": "access"}
        body["services"][0] |= service | changes.get("service", {})
        set_metadata(self.ocean, asset, owner, compact(body))
        self.ocean.mint(asset, owner, self.consumer.address, 3)
        for seller in (self.stage.near, self.stage.far):
            await self.shown(seller, asset)
        return asset

    async def shown(self, place: Place, asset: Asset) -> None:
        """Wait until a provider has seen the block of an asset."""
        async with asyncio.timeout(20):
            url = f"{place.url}/api/aquarius/assets/ddo/{asset.did}"
            while (await fetched(self.session, url))[0] != 200:  # noqa: ASYNC110 - a state
                await asyncio.sleep(0.05)

    async def near_dataset(self, **trusted: Any) -> Asset:
        lists = {"publisherTrustedAlgorithms": [{**ANY, **trusted}]}
        service = {"type": "compute", "compute": lists}
        return await self.publish(self.stage.near, "/near", service=service)

    async def far_algorithm(self) -> Asset:
        metadata = {"type": "algorithm", "algorithm": MADE}
        return await self.publish(self.stage.far, "/code", metadata=metadata)

    async def post(self, route: str, body: dict[str, Any]) -> tuple[int, Any]:
        url = f"{self.stage.near.url}/api/services/{route}"
        async with self.session.post(url, json=body) as response:
            return response.status, await response.json()

    async def prepare(self, datasets: list[Asset], algorithm: Asset) -> tuple[int, Any]:
        return await self.post(
            "initializeCompute",
            {
                "datasets": [named(asset) for asset in datasets],
                "algorithm": named(algorithm),
                "compute": {"env": self.environment, "validUntil": 4_000_000_000},
                "consumerAddress": self.consumer.address,
            },
        )

    def order(self, asset: Asset, item: dict[str, Any], consumer: str = "") -> str:
        mined = self.ocean.start_order(
            asset, self.consumer.address, fee(item), consumer=consumer or self.signer.address
        )
        return str(mined["transactionHash"].to_0x_hex())

    async def buy(self, datasets: list[Asset], algorithm: Asset) -> list[tuple[Asset, str]]:
        """Order everything with the fees that the near provider tells, the algorithm last."""
        status, prepared = await self.prepare(datasets, algorithm)
        assert status == 200, prepared
        items = (*prepared["datasets"], prepared["algorithm"])
        assets = (*datasets, algorithm)
        return [(asset, self.order(asset, item)) for asset, item in zip(assets, items, strict=True)]

    async def start(self, bought: list[tuple[Asset, str]]) -> tuple[int, Any]:
        who, first = self.consumer, bought[0][0]
        self.nonce = max(self.nonce + 1, int(datetime.now(UTC).timestamp() * 1000))
        body = {
            "consumerAddress": who.address,
            "nonce": str(self.nonce),
            "signature": signed(
                f"{who.address}{first.did}{self.nonce}", bytes.fromhex(who.key[2:])
            ),
            "environment": self.environment,
            "dataset": named(*bought[0]),
            "additionalDatasets": [named(*one) for one in bought[1:-1]],
            "algorithm": named(*bought[-1]),
        }
        return await self.post("compute", body)


def named(asset: Asset, order: str = "") -> dict[str, Any]:
    body = {"documentId": asset.did, "serviceId": SERVICE}
    return {**body, "transferTxId": order} if order else body


@pytest.fixture
def market(
    providers: Stage, ocean: Ocean, chain: Chain, session: ClientSession, signer: Account
) -> Market:
    return Market(providers, ocean, chain, session, signer)


async def admitted(api: ApiServer, kubectl: Any, stage: Stage, name: str) -> Loading:
    """Do to a job what the operator does, once its orders are confirmed, until its loader runs."""
    group = f"/apis/computetodata.io/v1alpha1/namespaces/{stage.namespace}"

    def read() -> Body:
        return api.request("GET", f"{group}/computejobs/{name}").body

    await until(lambda: not read()["spec"].get("suspend"), 20)
    body = read()
    environment = api.request("GET", f"{group}/computeenvironments/small").body
    job, now = parse_job(body), datetime.now(UTC)
    terms = admission.terms(job, parse_environment(environment))
    status = st.begin(job, now)
    for condition in (st.ADMITTED, st.VOLUMES_READY):
        status = st.record(status, condition, "True", "Done", "", now, job.generation)
    status = replace(status, environment=terms, loading_attempt=1)
    patched = api.request(
        "PATCH", f"{group}/computejobs/{name}/status", {"status": st.as_dict(job, status)}
    )
    assert patched.accepted, patched.message
    manifest = pod(job, terms, "loading", 1, Images("l", "p", "http://provider"))
    path = f"/api/v1/namespaces/{stage.namespace}/pods"
    made = api.request("POST", path, manifest)
    assert made.accepted, made.message
    meta = made.body["metadata"]
    words = ("create", "token", "small-loader", f"--namespace={stage.namespace}")
    bound = ("--bound-object-kind=Pod", f"--bound-object-name={meta['name']}")
    held = kubectl(*words, "--audience=c2d-provider", *bound, f"--bound-object-uid={meta['uid']}")
    assert held.returncode == 0, held.stderr
    return Loading(parse_job(patched.body), held.stdout.strip())


def loader_in(folder: Path, token: str) -> Pod:
    folder.mkdir()
    (folder / "token").write_text(token)
    (folder / "shell").write_bytes(b"shell")
    own = ("--busybox", folder / "shell", "--token", folder / "token", "--first-pause", "0.05")
    return Pod("c2d_pods.loader", folder, *own)


async def load(stage: Stage, loading: Loading, folder: Path) -> tuple[Ended, Path]:
    """Run the loader, as the operator's pod would."""
    loader = loader_in(folder, loading.token)
    terms = loading.job.status.environment
    assert terms is not None
    task = loader_task(loading.job, terms, stage.near.replica.loaders_url, 1).encode()
    return await loader.run(task), loader.data


async def asked(
    stage: Stage, session: ClientSession, loading: Loading, file: FileOnRequest | None = None
) -> tuple[int, bytes]:
    """Ask what a loader asks."""
    request = AssetRequest(stage.namespace, loading.job.name, 1, file)
    url = f"{stage.near.replica.loaders_url}/internal/assets"
    headers = {"Authorization": f"Bearer {loading.token}"}
    async with session.post(url, data=request.encode(), headers=headers) as response:
        return response.status, await response.read()


def job_name(told: Any) -> str:
    return str(told[0]["jobId"])


async def test_loaders_fetch_what_another_provider_sold(
    api: ApiServer, kubectl: Any, market: Market, tmp_path: Path
) -> None:
    """Two loaders at once, with one signer: each is overtaken by the other, and asks again."""
    stage = market.stage
    near, far = (
        await market.near_dataset(),
        await market.publish(stage.far, "/far/0", "/far/1"),
    )
    algorithm = await market.far_algorithm()
    status, prepared = await market.prepare([near, far], algorithm)
    assert status == 200, prepared
    items = (*prepared["datasets"], prepared["algorithm"])
    payees = [item["providerFee"]["providerFeeAddress"] for item in items]
    assert payees == [stage.near.address, stage.far.address, stage.far.address]
    bought = await market.buy([near, far], algorithm)
    names = []
    for _ in range(2):
        status, told = await market.start(bought)
        assert status == 200, told
        names.append(job_name(told))
    assert "127.0.0.1" not in json.dumps(jobs_of(api, stage.namespace))
    loadings = [await admitted(api, kubectl, stage, name) for name in names]
    ends = await asyncio.gather(*(load(stage, one, tmp_path / one.job.name) for one in loadings))
    for ended, data in ends:
        assert ended.code == PodExit.DONE, ended.said
        inputs = data / "inputs"
        assert (inputs / near.did.removeprefix("did:op:") / "0").read_bytes() == FILES["/near"]
        for number in (0, 1):
            path = inputs / far.did.removeprefix("did:op:") / str(number)
            assert path.read_bytes() == FILES[f"/far/{number}"]
        assert (data / "transformations/algorithm").read_bytes() == CODE
        said = ended.said + (data / "adminlogs/loading.log").read_text()
        assert "signature" not in said
        assert "127.0.0.1" not in said


async def test_a_signed_request_is_good_once_and_names_what_was_bought(
    api: ApiServer, kubectl: Any, market: Market, session: ClientSession
) -> None:
    stage = market.stage
    near, far = await market.near_dataset(), await market.publish(stage.far, "/far/0", "/far/1")
    bought = await market.buy([near, far], await market.far_algorithm())
    status, told = await market.start(bought)
    assert status == 200, told
    loading = await admitted(api, kubectl, stage, job_name(told))
    status, body = await asked(stage, session, loading)
    assert status == 200, body
    provided = read_provided(body)
    dataset = provided.find("dataset", 1)
    assert dataset is not None
    assert dataset.files == (FileOnRequest("dataset", 1, 0), FileOnRequest("dataset", 1, 1))
    urls = []
    for _ in range(2):
        status, body = await asked(stage, session, loading, FileOnRequest("dataset", 1, 1))
        assert status == 200, body
        urls.append(_url(read_provided(body)))
    nonces = [int(parse_qs(urlsplit(url).query)["nonce"][0]) for url in urls]
    assert nonces[0] < nonces[1]
    assert urls[1].startswith(f"{stage.far.url}/api/services/download?")
    assert await confirmed(session, urls[1]) == (200, FILES["/far/1"])
    for again in (urls[1], urls[0], urls[1].replace("fileIndex=1", "fileIndex=0")):
        status, body = await fetched(session, again)
        assert (status, b"signature" in body) == (400, True), "its nonce was used, or overtaken"
    near_url = urls[1].replace(stage.far.url, stage.near.url)
    assert (await fetched(session, near_url))[0] == 400, "it is of no use at who signed it"
    status, body = await asked(stage, session, loading, FileOnRequest("dataset", 1, 7))
    assert await confirmed(session, _url(read_provided(body))) == (
        400,
        b'{"error":"Provider Ganache: No such fileIndex"}',
    )
    status, body = await asked(stage, session, loading, FileOnRequest("dataset", 0, 0))
    assert (status, b"127.0.0.1" in body) == (403, False)


def _url(provided: Provided) -> str:
    (file,) = provided.assets[0].files
    return str(getattr(file, "url", ""))


async def confirmed(session: ClientSession, url: str) -> tuple[int, bytes]:
    """Fetch once the other provider has seen the order's block, before which it takes no nonce."""
    async with asyncio.timeout(20):
        while True:
            status, body = await fetched(session, url)
            if b"too few confirmations" not in body:
                return status, body
            await asyncio.sleep(0.05)


async def fetched(session: ClientSession, url: str) -> tuple[int, bytes]:
    async with session.get(url) as response:
        return response.status, await response.read()


async def test_nonces_rise_over_replicas_and_a_new_start(
    api: ApiServer,
    kubectl: Any,
    market: Market,
    ground: Ground,
    session: ClientSession,
) -> None:
    stage, file = market.stage, FileOnRequest("dataset", 1, 0)
    near, far = await market.near_dataset(), await market.publish(stage.far, "/far/0")
    status, told = await market.start(await market.buy([near, far], await market.far_algorithm()))
    assert status == 200, told
    loading = await admitted(api, kubectl, stage, job_name(told))

    async def nonce(place: Place) -> int:
        status, body = await asked(replace(stage, near=place), session, loading, file)
        assert status == 200, body
        return int(parse_qs(urlsplit(_url(read_provided(body))).query)["nonce"][0])

    async with open_place(ground, "near", stage.far.port) as twin:
        before = await asyncio.gather(*(nonce(place) for place in (stage.near, twin) * 6))
    assert len(set(before)) == 12
    async with open_place(ground, "near", stage.far.port) as anew:
        assert await nonce(anew) > max(before)


async def refused(api: ApiServer, market: Market, bought: list[tuple[Asset, str]]) -> Any:
    """Start what must not start: no job comes of it, and the answer tells nothing of where."""
    before = len(jobs_of(api, market.stage.namespace))
    status, told = await market.start(bought)
    assert status == 400, told
    assert "127.0.0.1" not in json.dumps(told)
    assert len(jobs_of(api, market.stage.namespace)) == before
    return told["error"]


async def test_an_order_that_the_other_provider_would_not_take_starts_no_job(
    api: ApiServer, market: Market
) -> None:
    stage = market.stage
    near, far = await market.near_dataset(), await market.publish(stage.far, "/far/0")
    algorithm = await market.far_algorithm()
    status, prepared = await market.prepare([near, far], algorithm)
    assert status == 200, prepared
    ours, theirs = prepared["datasets"]
    first, _, last = await market.buy([near, far], algorithm)
    for item, consumer in ((theirs, market.consumer.address), (ours, "")):
        order = market.order(far, item, consumer)
        error = await refused(api, market, [first, (far, order), last])
        assert error == {"datasets[1].serviceId": "order_invalid"}
    swapped = [first, (far, last[1]), last]
    assert await refused(api, market, swapped) == {"datasets[1].serviceId": "order_invalid"}


async def test_an_algorithm_of_another_provider_is_trusted_by_no_digest(market: Market) -> None:
    near = await market.near_dataset(filesChecksum="0" * 64)
    status, told = await market.prepare([near], await market.far_algorithm())
    assert (status, told) == (400, {"error": {"dataset": "algorithm_file_checksum_mismatch"}})


async def test_an_endpoint_is_asked_only_where_the_guard_lets_it(market: Market) -> None:
    """Of these, one would be the near provider's own port for loaders, as a stranger's DDO asks."""
    stage = market.stage
    near, algorithm = await market.near_dataset(), await market.far_algorithm()
    stage.site.requests.clear()
    for endpoint in (
        f"{stage.near.replica.loaders_url}/internal",
        stage.site.url("/private"),
        f"{stage.far.url}/nowhere",
    ):
        far = await market.publish(stage.far, "/far/0", service={"serviceEndpoint": endpoint})
        status, told = await market.prepare([near, far], algorithm)
        assert (status, told) == (400, {"error": {"datasets[1]": "file_unavailable"}}), endpoint
    assert stage.site.requests == []


async def test_files_that_were_encrypted_for_another_are_not_handed_out(
    api: ApiServer, kubectl: Any, market: Market, session: ClientSession
) -> None:
    """A DDO may say that they are ours, in whatever spelling."""
    stage = market.stage
    endpoint = "HTTPS://Near.Example.//v2/"
    far = await market.publish(stage.far, "/far/0", service={"serviceEndpoint": endpoint})
    near = await market.near_dataset()
    status, told = await market.start(await market.buy([near, far], await market.far_algorithm()))
    assert status == 200, told
    loading = await admitted(api, kubectl, stage, job_name(told))
    status, body = await asked(stage, session, loading)
    assert status == 403
    words = f"dataset {far.did}: cannot decrypt files for this service."
    assert decode_denied(body).error == words


async def test_an_environment_without_a_key_fetches_nothing_elsewhere(
    api: ApiServer, market: Market
) -> None:
    stage = market.stage
    near, far = await market.near_dataset(), await market.publish(stage.far, "/far/0")
    bought = await market.buy([near, far], await market.far_algorithm())
    path = f"/api/v1/namespaces/{SYSTEM}/secrets/environment-consumer"
    assert api.request("DELETE", path).accepted
    error = await refused(api, market, bought)
    assert error == {"datasets[1].serviceId": "compute_services_not_in_same_provider"}
