"""What a publisher and a consumer do: requests to a provider, and transactions on its chain.

It knows the HTTP interface of provider v2 and Ocean's contracts, and nothing of the cluster: the
whole of a job, from publishing to its results, can be read here in Ocean's own terms.
"""
# ruff: noqa: INP001 - it stands alone

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import requests
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.logs import DISCARD
from web3.middleware import SignAndSendRawMiddlewareBuilder
from web3.types import TxReceipt

Json = dict[str, Any]

NETWORK = "development"
NOBODY = "0x" + "00" * 20
ONE = 10**18
SERVICE = "0"
SERVICE_SECONDS = 3600
ORDER_SECONDS = 600
HTTP_SECONDS = 60
MINED_SECONDS = 60
INDEXED_SECONDS = 60
PIECE = 2**20
ENCRYPTED = b"\x02"


class MarketError(Exception):
    """What a provider or a chain would not do, in words for people."""


@dataclass(frozen=True)
class Asset:
    """A published asset: its DID, its data NFT, and the datatoken that pays for its service."""

    did: str
    nft: str
    datatoken: str


class Provider:
    """A provider, by the endpoints that it names itself."""

    def __init__(self, url: str) -> None:
        """Ask a provider what it serves; `url` is that of provider v2, as in `serviceEndpoint`."""
        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # it is on this machine: no proxy knows it
        self._routes: Json = self._sent("GET", self.url).json()["serviceEndpoints"]

    def ask(
        self, service: str, query: Mapping[str, Any] | None = None, body: object = None
    ) -> requests.Response:
        """Call a service by its name.

        Raises:
            MarketError: It does not answer, or refuses.
        """
        method, path = self._routes[service]
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return self._sent(method, f"{self.url}{path}", query, data)

    def encrypt(self, data: bytes, chain_id: int) -> str:
        """Encrypt what only the provider may read; returns hexadecimal digits."""
        return self.ask("encrypt", {"chainId": chain_id}, data).text

    def vouch(self, document: bytes) -> Json:
        """Let the provider look at a DDO; returns its hash, signed, for the chain."""
        target = f"{self.url}/api/aquarius/assets/ddo/validate"
        found: Json = self._sent("POST", target, None, document).json()
        return found

    def wait_for(self, did: str) -> None:
        """Wait until the provider has found an asset on chain."""
        end = time.monotonic() + INDEXED_SECONDS
        while True:
            try:
                self._sent("GET", f"{self.url}/api/aquarius/assets/ddo/{did}")
            except MarketError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
            else:
                return

    def download(self, query: Mapping[str, Any], into: Path) -> None:
        """Stream one result into a file."""
        method, path = self._routes["computeResult"]
        answer = self._sent(method, f"{self.url}{path}", query, stream=True)
        with answer, into.open("wb") as file:
            for piece in answer.iter_content(PIECE):
                file.write(piece)

    def _sent(
        self,
        method: str,
        url: str,
        query: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        *,
        stream: bool = False,
    ) -> requests.Response:
        try:
            answer = self._session.request(
                method, url, params=query, data=data, timeout=HTTP_SECONDS, stream=stream
            )
        except requests.RequestException as error:
            raise MarketError(f"{method} {url}: no answer ({type(error).__name__})") from None
        if not answer.ok:
            raise MarketError(f"{method} {url}: {answer.status_code} {answer.text}")
        return answer


class Trader:
    """One account on the chain of a provider: it publishes, orders and starts jobs."""

    def __init__(self, provider: Provider, rpc: str, addresses: Path, key: str) -> None:
        """Connect to the chain; `addresses` is Ocean's address file."""
        self.provider = provider
        self.account: LocalAccount = Account.from_key(key)
        self._web3 = Web3(Web3.HTTPProvider(rpc, {"timeout": HTTP_SECONDS, "proxies": {}}))
        self._web3.middleware_onion.inject(
            SignAndSendRawMiddlewareBuilder.build(self.account), layer=0
        )
        self.chain_id = self._web3.eth.chain_id
        deployed = json.loads(addresses.read_text())[NETWORK]
        self._factory = self._contract("ERC721Factory", deployed["ERC721Factory"])

    # Publishing

    def publish(self, name: str, url: str, metadata: Json, compute: Json | None = None) -> Asset:
        """Publish one file, and the terms on which algorithms may come to it.

        The file's URL is encrypted by the provider, and so is the whole document: only the
        provider can read where the data is.
        """
        asset = self._mint_nft(name)
        files = {
            "datatokenAddress": asset.datatoken,
            "nftAddress": asset.nft,
            "files": [{"type": "url", "url": url, "method": "GET"}],
        }
        service = {
            "id": SERVICE,
            "type": "compute" if compute else "access",
            "files": self.provider.encrypt(json.dumps(files).encode(), self.chain_id),
            "datatokenAddress": asset.datatoken,
            "serviceEndpoint": self.provider.url,
            "timeout": SERVICE_SECONDS,
            **({"compute": compute} if compute else {}),
        }
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        described = {"name": name, "description": name, "author": "demo", "license": "CC0"}
        document = {
            "@context": ["https://w3id.org/did/v1"],
            "id": asset.did,
            "version": "4.1.0",
            "chainId": self.chain_id,
            "nftAddress": asset.nft,
            "metadata": {"created": now, "updated": now, **described, **metadata},
            "services": [service],
        }
        self._write(asset, document)
        self.provider.wait_for(asset.did)
        return asset

    def trusted(self, algorithm: Asset, container: Mapping[str, str]) -> Json:
        """Describe an algorithm for a trust list: this very code, in this very image."""
        body = {"did": algorithm.did, "serviceId": SERVICE, "checksum": True}
        files = self.provider.ask("fileinfo", body=body).json()
        section = f"{container['entrypoint']}{container['checksum']}"
        return {
            "did": algorithm.did,
            "filesChecksum": "".join(file["checksum"] for file in files),
            "containerSectionChecksum": hashlib.sha256(section.encode()).hexdigest(),
        }

    def give(self, asset: Asset, to: str) -> str:
        """Give somebody the right to one order of an asset."""
        return self._send(self._token(asset).functions.mint(to, ONE))

    def _mint_nft(self, name: str) -> Asset:
        me = self.account.address
        nft = (name, "NFT", 1, "", True, me)
        roles = [me, me, NOBODY, NOBODY]  # minter, payment collector, market and its token
        token = (1, [name, "DT"], roles, [1000 * ONE, 0], [])
        mined = self._mined(self._factory.functions.createNftWithErc20(nft, token))
        made = {
            event: self._factory.events[event]().process_receipt(mined, DISCARD)[0]["args"]
            for event in ("NFTCreated", "TokenCreated")
        }
        nft_address = made["NFTCreated"]["newTokenAddress"]
        digest = hashlib.sha256(f"{nft_address}{self.chain_id}".encode()).hexdigest()
        return Asset(f"did:op:{digest}", nft_address, made["TokenCreated"]["newTokenAddress"])

    def _write(self, asset: Asset, document: Json) -> None:
        content = json.dumps(document, separators=(",", ":")).encode()
        vouched = self.provider.vouch(content)
        encrypted = self.provider.encrypt(content, self.chain_id)
        call = self._contract("ERC721Template", asset.nft).functions.setMetaData(
            0,
            self.provider.url,
            self.account.address,
            ENCRYPTED,
            bytes.fromhex(encrypted.removeprefix("0x")),
            vouched["hash"],
            [(vouched["publicKey"], vouched["v"], vouched["r"][0], vouched["s"][0])],
        )
        self._send(call)

    # Ordering

    def environment(self, name: str) -> Json:
        """Find what an environment offers."""
        offered = self.provider.ask("computeEnvironments").json()[str(self.chain_id)]
        for environment in offered:
            if environment["id"] == name:
                return dict(environment)
        raise MarketError(f"the provider offers no environment {name}")

    def order(self, datasets: Sequence[Asset], algorithm: Asset, environment: Json) -> list[str]:
        """Order datasets and algorithm; returns the transactions, the algorithm's last."""
        asked = {
            "datasets": [{"documentId": one.did, "serviceId": SERVICE} for one in datasets],
            "algorithm": {"documentId": algorithm.did, "serviceId": SERVICE},
            "compute": {"env": environment["id"], "validUntil": int(time.time()) + ORDER_SECONDS},
            "consumerAddress": self.account.address,
        }
        offered = self.provider.ask("initializeCompute", body=asked).json()
        fees = [item["providerFee"] for item in (*offered["datasets"], offered["algorithm"])]
        return [
            self._send(
                self._token(asset).functions.startOrder(
                    environment["consumerAddress"], 0, _words(fee), (NOBODY, NOBODY, 0)
                )
            )
            for asset, fee in zip((*datasets, algorithm), fees, strict=True)
        ]

    # Jobs

    def start(
        self,
        datasets: Sequence[Asset],
        algorithm: Asset,
        orders: Sequence[str],
        environment: Json,
        parameters: Json,
    ) -> str:
        """Start a job with what was ordered; returns its id."""
        first, *others = (
            {"documentId": asset.did, "serviceId": SERVICE, "transferTxId": order}
            for asset, order in zip((*datasets, algorithm), orders, strict=True)
        )
        code = others.pop() | {"algocustomdata": parameters}
        body = {
            **self._signed(f"{self.account.address}{datasets[0].did}"),
            "environment": environment["id"],
            "dataset": first,
            "additionalDatasets": others,
            "algorithm": code,
        }
        (job,) = self.provider.ask("computeStart", body=body).json()
        return str(job["jobId"])

    def job(self, job: str) -> Json:
        """Ask how a job is."""
        query = {"consumerAddress": self.account.address, "jobId": job}
        (found,) = self.provider.ask("computeStatus", query).json()
        return dict(found)

    def results(self, job: str, into: Path) -> Iterator[Path]:
        """Download what a job has published, file by file, into a folder."""
        into.mkdir(parents=True, exist_ok=True)
        for index, file in enumerate(self.job(job)["results"]):
            target = into / Path(file["filename"]).name
            signed = self._signed(f"{self.account.address}{job}{index}")
            self.provider.download({**signed, "jobId": job, "index": index}, target)
            yield target

    def _signed(self, text: str) -> Json:
        """Sign a request: who asks, with a nonce that is higher than any before."""
        nonce = str(time.time_ns() // 1000)
        message = Web3.solidity_keccak(["bytes"], [f"{text}{nonce}".encode()])
        signature = self.account.sign_message(encode_defunct(message)).signature
        return {
            "consumerAddress": self.account.address,
            "nonce": nonce,
            "signature": signature.to_0x_hex(),
        }

    # The chain

    def _token(self, asset: Asset) -> Contract:
        return self._contract("ERC20Template", asset.datatoken)

    def _contract(self, name: str, address: str) -> Contract:
        text = (resources.files("artifacts") / f"{name}.json").read_text()
        return self._web3.eth.contract(
            Web3.to_checksum_address(address), abi=json.loads(text)["abi"]
        )

    def _send(self, call: ContractFunction) -> str:
        return str(self._mined(call)["transactionHash"].to_0x_hex())

    def _mined(self, call: ContractFunction) -> TxReceipt:
        sent = call.transact({"from": self.account.address})
        receipt = self._web3.eth.wait_for_transaction_receipt(sent, MINED_SECONDS, 0.05)
        if receipt["status"] != 1:
            raise MarketError(f"the transaction {sent.to_0x_hex()} was reverted")
        return receipt


def _words(fee: Json) -> tuple[object, ...]:
    """Bring a provider's fee into the order of the contracts."""
    return (
        fee["providerFeeAddress"],
        fee["providerFeeToken"],
        int(fee["providerFeeAmount"]),
        fee["v"],
        fee["r"],
        fee["s"],
        fee["validUntil"],
        fee["providerData"],
    )
