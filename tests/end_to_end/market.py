"""A publisher and a consumer at the stack's provider: HTTP and the chain, as Ocean's clients do."""

import hashlib
import itertools
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account as Signer

from chain import CHAIN_ID, Asset, Ocean, ProviderFee
from local_stack.chain import Account, Chain
from provider_fakes import signed
from publishing import ENCRYPTED, compact, document, set_metadata
from results import Stack

SERVICE = "97d09a3f"
ANYTHING = {"did": "*", "filesChecksum": "*", "containerSectionChecksum": "*"}
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


class Market:
    """Publishes as one account and buys as another."""

    def __init__(self, stack: Stack) -> None:
        values = stack.values
        names = ("deployer", "publisher", "consumer")
        keys = {name: values[f"{name.upper()}_PRIVATE_KEY"] for name in names}
        accounts = {name: Account(Signer.from_key(key).address, key) for name, key in keys.items()}
        chain = Chain(values["RPC_URL"], Path(values["ADDRESS_FILE"]), accounts)
        self.url = values["PROVIDER_URL"]
        self.ocean = Ocean(chain)
        self.publisher, self.consumer = accounts["publisher"], accounts["consumer"]
        self.stranger = accounts["deployer"]
        self._nonces = itertools.count(time.time_ns() // 1_000_000)

    def ask(self, method: str, path: str, body: bytes | None = None, **query: Any) -> Answer:
        """Send one request; query values of None are left out."""
        sent = {key: value for key, value in query.items() if value is not None}
        target = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(sent)}" if sent else "")
        request = urllib.request.Request(target, body, method=method)  # noqa: S310 - http only
        request.add_header("Content-Type", "application/octet-stream")
        try:
            with _DIRECT.open(request, timeout=_LIMIT) as answer:
                return Answer(answer.status, answer.read(), dict(answer.headers))
        except urllib.error.HTTPError as refused:
            return Answer(refused.code, refused.read(), dict(refused.headers))

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

    def prepare(self, dataset: Asset, algorithm: Asset, environment: str) -> Answer:
        """Ask what a job on an environment will cost."""
        body = {
            "datasets": [{"documentId": dataset.did, "serviceId": SERVICE}],
            "algorithm": {"documentId": algorithm.did, "serviceId": SERVICE},
            "compute": {"env": environment, "validUntil": int(time.time()) + 600},
            "consumerAddress": self.consumer.address,
        }
        return self.ask("POST", f"{_SERVICES}/initializeCompute", compact(body))

    def buy(self, dataset: Asset, algorithm: Asset, environment: str) -> Sold:
        """Order both assets for an environment, with the provider's fees."""
        prepared = self.prepare(dataset, algorithm, environment)
        assert prepared.status == 200, prepared.body
        consumer = self.environment(environment)["consumerAddress"]
        items = (prepared.json["datasets"][0], prepared.json["algorithm"])
        orders = [
            self.ocean.start_order(asset, self.consumer.address, _fee(item), consumer=consumer)
            for asset, item in zip((dataset, algorithm), items, strict=True)
        ]
        first, second = (order["transactionHash"].to_0x_hex() for order in orders)
        return Sold(dataset, algorithm, (first, second))

    def start(self, sold: Sold, environment: str, who: Account | None = None) -> Answer:
        """Start a job with what was bought."""
        return self.send_start(self.start_request(sold, environment, who))

    def start_request(
        self, sold: Sold, environment: str, who: Account | None = None
    ) -> dict[str, Any]:
        who, nonce = who or self.consumer, next(self._nonces)
        assets = ((sold.dataset, sold.orders[0]), (sold.algorithm, sold.orders[1]))
        dataset, algorithm = (
            {"documentId": asset.did, "serviceId": SERVICE, "transferTxId": order}
            for asset, order in assets
        )
        return {
            "consumerAddress": who.address,
            "nonce": nonce,
            "signature": _signed(f"{who.address}{sold.dataset.did}{nonce}", who),
            "environment": environment,
            "dataset": dataset,
            "algorithm": algorithm,
        }

    def send_start(self, request: dict[str, Any]) -> Answer:
        return self.ask("POST", f"{_SERVICES}/compute", compact(request))

    def job(self, job: str) -> dict[str, Any]:
        """Ask for a job's details."""
        answer = self.ask(
            "GET", f"{_SERVICES}/compute", consumerAddress=self.consumer.address, jobId=job
        )
        assert answer.status == 200, answer.body
        (found,) = answer.json
        return dict(found)

    def result(self, job: str, index: int, who: Account | None = None) -> Answer:
        """Fetch a result."""
        who, nonce = who or self.consumer, next(self._nonces)
        return self.ask(
            "GET",
            f"{_SERVICES}/computeResult",
            consumerAddress=who.address,
            jobId=job,
            index=index,
            nonce=nonce,
            signature=_signed(f"{who.address}{job}{index}{nonce}", who),
        )


def _signed(text: str, who: Account) -> str:
    return signed(text, bytes.fromhex(who.key.removeprefix("0x")))


def _fee(item: dict[str, Any]) -> ProviderFee:
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
