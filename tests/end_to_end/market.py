"""A publisher and a consumer at the stack's provider: HTTP and the chain, as Ocean's clients do."""

import hashlib
import itertools
import json
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from eth_account import Account as Signer
from hexbytes import HexBytes
from web3.types import RPCEndpoint

from chain import CHAIN_ID, ONE, Asset, Ocean, ProviderFee
from end_to_end.cluster import Json, Run, eventually
from local_stack.chain import Account, Chain
from provider_fakes import signed
from publishing import ENCRYPTED, compact, document, set_metadata
from results import Stack

SERVICE = "97d09a3f"
ANYTHING = {"did": "*", "filesChecksum": "*", "containerSectionChecksum": "*"}
TRUSTING = {"publisherTrustedAlgorithms": [ANYTHING]}
_SERVICES = "/v2/api/services"
_LIMIT = 60
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    """What the provider answered."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Sold:
    """Two assets and the transactions that paid for them."""

    dataset: Asset
    algorithm: Asset
    orders: tuple[str, str]


@dataclass(frozen=True)
class Shelf:
    """A folder of files behind a URL that nobody but the provider is told."""

    folder: Path
    url: str


@contextmanager
def shelf(run: Run, name: str, **files: str) -> Iterator[Shelf]:
    """Serve files as long as the block runs."""
    folder = Path(run.value("FILES_DIR")) / run.named(name)
    folder.mkdir()
    for file, text in files.items():
        (folder / file).write_text(text)
    try:
        yield Shelf(folder, f"{run.value('FILES_URL')}/{folder.name}")
    finally:
        shutil.rmtree(folder)


class Market:
    """Publishes as one account and buys as another, which is new and has tokens to pay with."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.started: list[str] = []
        values = stack.values
        names = ("deployer", "publisher", "consumer")
        keys = {name: values[f"{name.upper()}_PRIVATE_KEY"] for name in names}
        accounts = {name: Account(Signer.from_key(key).address, key) for name, key in keys.items()}
        chain = Chain(values["RPC_URL"], Path(values["ADDRESS_FILE"]), accounts)
        self.url = values["PROVIDER_URL"]
        self.ocean = Ocean(chain)
        self.publisher, self.stranger = accounts["publisher"], accounts["deployer"]
        self.token = self.ocean.contract("OceanToken", self.ocean.addresses["Ocean"])
        self.consumer = self._newcomer(accounts["consumer"])
        self._nonces = itertools.count(time.time_ns() // 1_000_000)

    def _newcomer(self, giver: Account) -> Account:
        """Make an account that nobody else uses: nonces, orders and balances are its own."""
        made = Signer.create()
        self.tell_chain("anvil_setBalance", made.address, hex(100 * ONE))
        self.tell_chain("anvil_impersonateAccount", made.address)
        self.ocean.send(self.token.functions.transfer(made.address, 100 * ONE), giver.address)
        return Account(made.address, made.key.to_0x_hex())

    def tell_chain(self, method: str, *parameters: object) -> None:
        """Call a method that only chains for tests have."""
        answer = self.ocean.web3.provider.make_request(RPCEndpoint(method), parameters)
        assert "error" not in answer, answer

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """Send one request; query values of None are left out."""
        sent = {key: value for key, value in query.items() if value is not None}
        target = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(sent)}" if sent else "")
        return send(method, target, body, headers or {})

    def publish(self, *urls: str, **changes: Any) -> Asset:
        """Publish an asset with one service, its files and its DDO encrypted by the provider."""
        asset = self.ocean.publish(self.publisher.address)
        listed = [{"type": "url", "url": url, "method": "GET"} for url in urls]
        place = {"nftAddress": asset.nft, "datatokenAddress": asset.datatoken}
        files = self._encrypted(compact({**place, "files": listed}))
        body = document(asset, files)
        body["metadata"] |= changes.get("metadata", {})
        body["services"][0] |= {"serviceEndpoint": self.url, **changes.get("service", {})}
        content = compact(body)
        set_metadata(
            self.ocean,
            asset,
            self.publisher.address,
            bytes.fromhex(self._encrypted(content)[2:]),
            flags=ENCRYPTED,
            hash_=hashlib.sha256(content).digest(),
        )
        self.ocean.mint(asset, self.publisher.address, self.consumer.address, 9)
        return asset

    def _encrypted(self, data: bytes) -> str:
        answer = self.ask("POST", f"{_SERVICES}/encrypt", data, chainId=CHAIN_ID)
        assert answer.status == 201, answer.body
        return answer.body.decode()

    def environment(self, name: str) -> dict[str, Any]:
        offered = self.ask("GET", f"{_SERVICES}/computeEnvironments").json[str(CHAIN_ID)]
        (found,) = [one for one in offered if one["id"] == name]
        return dict(found)

    def prepare(
        self, dataset: Asset, algorithm: Asset, environment: str, seconds: int = 600
    ) -> Answer:
        """Ask what a job on an environment will cost."""
        return self.send_prepare(
            {
                "datasets": [{"documentId": dataset.did, "serviceId": SERVICE}],
                "algorithm": {"documentId": algorithm.did, "serviceId": SERVICE},
                "compute": {"env": environment, "validUntil": int(time.time()) + seconds},
            }
        )

    def send_prepare(self, request: Json) -> Answer:
        body = {"consumerAddress": self.consumer.address, **request}
        return self.ask("POST", f"{_SERVICES}/initializeCompute", compact(body))

    def look_at(self, sold: Sold, environment: str, seconds: int = 600) -> Json:
        """Ask what orders that were made still need, if anything."""
        named = [
            {"documentId": asset.did, "serviceId": SERVICE, "transferTxId": order}
            for asset, order in zip((sold.dataset, sold.algorithm), sold.orders, strict=True)
        ]
        compute = {"env": environment, "validUntil": int(time.time()) + seconds}
        request = {"datasets": named[:1], "algorithm": named[1], "compute": compute}
        answer = self.send_prepare(request)
        assert answer.status == 200, answer.body
        return dict(answer.json)

    def buy(self, dataset: Asset, algorithm: Asset, environment: str, seconds: int = 600) -> Sold:
        """Order both assets for an environment, with the provider's fees."""
        prepared = self.prepare(dataset, algorithm, environment, seconds)
        assert prepared.status == 200, prepared.body
        items = (prepared.json["datasets"][0], prepared.json["algorithm"])
        first, second = (
            self.order(asset, fee_of(item), environment)
            for asset, item in zip((dataset, algorithm), items, strict=True)
        )
        return Sold(dataset, algorithm, (first, second))

    def order(self, asset: Asset, fee: ProviderFee, environment: str) -> str:
        """Order an asset for an environment; returns the transaction."""
        self._allow(asset, fee)
        consumer = self.environment(environment)["consumerAddress"]
        mined = self.ocean.start_order(asset, self.consumer.address, fee, consumer=consumer)
        return mined["transactionHash"].to_0x_hex()

    def reuse(self, asset: Asset, order: str, fee: ProviderFee) -> str:
        """Pay a new fee for an order; returns the transaction."""
        self._allow(asset, fee)
        mined = self.ocean.reuse_order(asset, self.consumer.address, HexBytes(order), fee)
        return mined["transactionHash"].to_0x_hex()

    def balance(self) -> int:
        """Tell how much the consumer has to pay with."""
        return int(self.token.functions.balanceOf(self.consumer.address).call())

    def _allow(self, asset: Asset, fee: ProviderFee) -> None:
        if fee.amount:
            allowed = self.token.functions.approve(asset.datatoken, fee.amount)
            self.ocean.send(allowed, self.consumer.address)

    def start(self, sold: Sold, environment: str, who: Account | None = None) -> Answer:
        """Start a job with what was bought."""
        return self.send_start(self.start_request(sold, environment, who))

    def begin(self, sold: Sold, environment: str) -> str:
        """Start a job that is accepted; returns its name."""
        started = self.start(sold, environment)
        assert started.status == 200, started.body
        return str(started.json[0]["jobId"])

    def nonce(self) -> int:
        """Take the next nonce of this run."""
        return next(self._nonces)

    def start_request(
        self, sold: Sold, environment: str, who: Account | None = None
    ) -> dict[str, Any]:
        who, nonce = who or self.consumer, self.nonce()
        assets = ((sold.dataset, sold.orders[0]), (sold.algorithm, sold.orders[1]))
        dataset, algorithm = (
            {"documentId": asset.did, "serviceId": SERVICE, "transferTxId": order}
            for asset, order in assets
        )
        return {
            "consumerAddress": who.address,
            "nonce": nonce,
            "signature": sign(f"{who.address}{sold.dataset.did}{nonce}", who),
            "environment": environment,
            "dataset": dataset,
            "algorithm": algorithm,
        }

    def send_start(self, request: dict[str, Any], token: str = "") -> Answer:
        headers = {"AuthToken": token} if token else {}
        answer = self.ask("POST", f"{_SERVICES}/compute", compact(request), headers=headers)
        if answer.status == 200:
            self.started += [one["jobId"] for one in answer.json]
        return answer

    def job(self, job: str) -> dict[str, Any]:
        """Ask for a job's details."""
        answer = self.ask(
            "GET", f"{_SERVICES}/compute", consumerAddress=self.consumer.address, jobId=job
        )
        assert answer.status == 200, answer.body
        (found,) = answer.json
        return dict(found)

    def ended(self, job: str) -> Json:
        """Wait until a job has ended; returns its details."""

        def finished() -> Json | None:
            found = self.job(job)
            return found if found.get("dateFinished") else None

        found: Json = eventually(finished, f"the end of {job}")
        return found

    def stop(self, job: str, dataset: Asset, who: Account | None = None) -> Answer:
        """Ask for a job to be stopped."""
        who, nonce = who or self.consumer, self.nonce()
        return self.ask(
            "PUT",
            f"{_SERVICES}/compute",
            consumerAddress=who.address,
            jobId=job,
            documentId=dataset.did,
            nonce=nonce,
            signature=sign(f"{who.address}{job}{dataset.did}{nonce}", who),
        )

    def result(self, job: str, index: int, who: Account | None = None) -> Answer:
        """Fetch a result."""
        return send("GET", self.result_url(job, index, who), None, {})

    def result_url(self, job: str, index: int, who: Account | None = None) -> str:
        """Write the address of a result, signed: it is good for some minutes."""
        who, nonce = who or self.consumer, self.nonce()
        query = {
            "consumerAddress": who.address,
            "jobId": job,
            "index": index,
            "nonce": nonce,
            "signature": sign(f"{who.address}{job}{index}{nonce}", who),
        }
        return f"{self.url}{_SERVICES}/computeResult?{urllib.parse.urlencode(query)}"

    def named(self, job: str, name: str, who: Account | None = None) -> Answer:
        """Fetch a result by its name."""
        (index,) = [one["index"] for one in self.job(job)["results"] if one["filename"] == name]
        return self.result(job, index, who)

    def token_request(self, method: str, path: str, who: Account, **query: Any) -> Answer:
        """Ask for an authentication token, or for the end of one."""
        nonce = self.nonce()
        return self.ask(
            method,
            f"{_SERVICES}/{path}",
            address=who.address,
            nonce=nonce,
            signature=sign(f"{who.address}{nonce}", who),
            **query,
        )

    def clean_up(self) -> None:
        """Delete the jobs that were started."""
        if self.started:
            words = ("--ignore-not-found", "--timeout=120s")
            self.stack.kubectl("delete", "cjob", *words, *self.started, limit=150)


@contextmanager
def opened(url: str, headers: Mapping[str, str]) -> Iterator[HTTPResponse]:
    """Open a request without reading its answer."""
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - http only
    with _DIRECT.open(request, timeout=_LIMIT) as answer:
        yield answer


def send(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
    """Send one request."""
    given = {"Content-Type": "application/octet-stream", **headers}
    request = urllib.request.Request(url, body, given, method=method)  # noqa: S310 - http only
    try:
        with _DIRECT.open(request, timeout=_LIMIT) as answer:
            return Answer(answer.status, answer.read(), dict(answer.headers))
    except urllib.error.HTTPError as refused:
        return Answer(refused.code, refused.read(), dict(refused.headers))


def sign(text: str, who: Account) -> str:
    """Sign a text as Ocean's clients do."""
    return signed(text, bytes.fromhex(who.key.removeprefix("0x")))


def fee_of(item: Json) -> ProviderFee:
    """Read the fee that the provider offers for an asset."""
    sent = item["providerFee"]
    return ProviderFee(
        sent["providerFeeAddress"],
        sent["providerFeeToken"],
        int(sent["providerFeeAmount"]),
        sent["v"],
        bytes.fromhex(sent["r"][2:]),
        bytes.fromhex(sent["s"][2:]),
        sent["validUntil"],
        bytes.fromhex(sent["providerData"][2:]),
    )


def until_printed(run: Run, job: str, word: str) -> None:
    """Wait until the algorithm of a job has printed a word."""
    running = "--for=jsonpath={.status.reason}=Running"
    run.kubectl("wait", running, f"cjob/{job}", "--timeout=60s")
    eventually(lambda: word in run.kubectl("logs", f"{job}-algorithm"), f"{word!r} of {job}", 30)


def runs_in(run: Run, image: str = "BUSYBOX", entrypoint: str = "sh $ALGO") -> Json:
    """Write the container of an algorithm, as a DDO has it."""
    repository, _, digest = run.image(image).partition("@")
    return {"image": repository, "tag": "", "checksum": digest, "entrypoint": entrypoint}


def publish_algorithm(market: Market, run: Run, url: str) -> Asset:
    """Publish a script for the shell of busybox."""
    made = {"language": "sh", "version": "1", "container": runs_in(run)}
    return market.publish(
        url,
        metadata={"type": "algorithm", "algorithm": made},
        service={"type": "access"},
    )
