"""The provider as a program, two replicas of it, on a real API server and a real chain.

A consumer publishes, asks for fees, orders on chain and starts: what comes of it is a ComputeJob.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from apiserver import ApiServer
from chain import Asset, Ocean
from examples import small_environment
from local_stack.chain import CHAIN_ID, Account, Chain
from provider_fakes import signed
from provider_program import Replica, encrypted, fee, jobs_of, running
from publishing import ENCRYPTED, compact, document, set_metadata

RECORDS = "provider-program-records"
COMPUTE, DDO = "/v2/api/services/compute", "/v2/api/aquarius/assets/ddo"
ENVIRONMENT = "0x1563915e194D8CfBA1943570603F7606A3115508"
CONTAINER = {"entrypoint": "python $ALGO", "image": "python", "checksum": "sha256:" + "ab" * 32}
EVERYTHING = {"did": "*", "filesChecksum": "*", "containerSectionChecksum": "*"}


@dataclass(frozen=True)
class Sold:
    """What a consumer bought: two assets, and the transactions that paid for them."""

    dataset: Asset
    algorithm: Asset
    orders: tuple[str, str]


@pytest.fixture
def records(api: ApiServer, namespace: str) -> str:
    """The namespaces of jobs and records, and an environment that accepts jobs."""
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": RECORDS}})
    body = small_environment()
    body["spec"]["consumer"] = {"address": ENVIRONMENT}
    made = api.create(body, namespace)
    assert made.code in (201, 409), made.message
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    path = f"/apis/computetodata.io/v1alpha1/namespaces/{namespace}/computeenvironments/small"
    patched = api.request("PATCH", f"{path}/status", {"status": {"conditions": [ready]}})
    assert patched.accepted, patched.message
    return RECORDS


@pytest.fixture
def environ(
    kubeconfig: Path, chain: Chain, namespace: str, records: str, tmp_path: Path
) -> dict[str, str]:
    key = tmp_path / "provider.key"
    key.write_text(chain.accounts["provider"].key)
    return {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(kubeconfig),
        "C2D_PROVIDER_KEY_FILE": str(key),
        "C2D_RPC_URLS": f"{CHAIN_ID}={chain.url}",
        "C2D_ADDRESSES_FILE": str(chain.address_file),
        "C2D_NAMESPACES": namespace,
        "C2D_RECORDS_NAMESPACE": records,
        "C2D_HOST": "127.0.0.1",
        "C2D_PORT": "0",
        "C2D_INTERNAL_PORT": "0",
        "C2D_METRICS_PORT": "0",
        "C2D_REQUESTS_PER_SECOND": "1000",
    }


@pytest.fixture
async def replicas(environ: dict[str, str]) -> AsyncIterator[tuple[Replica, Replica]]:
    async with AsyncExitStack() as stack:
        one, other = await asyncio.gather(
            *(stack.enter_async_context(running(environ)) for _ in range(2))
        )
        yield one, other


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as found:
        yield found


class Market:
    """Publishes and buys as Ocean's clients do, at a provider."""

    def __init__(self, ocean: Ocean, chain: Chain, session: ClientSession, url: str) -> None:
        self.ocean, self.chain, self.session, self.url = ocean, chain, session, url

    @property
    def consumer(self) -> Account:
        return self.chain.accounts["consumer"]

    async def publish(self, **changes: Any) -> Asset:
        """Publish an asset, its DDO encrypted and vouched for by the provider."""
        owner = self.chain.accounts["publisher"]
        asset = self.ocean.publish(owner.address)
        listed = {"nftAddress": asset.nft, "datatokenAddress": asset.datatoken}
        files = {**listed, "files": [{"type": "url", "url": "http://203.0.113.1/secret-path"}]}
        sealed = await encrypted(self.session, self.url, compact(files))
        body = document(asset, sealed)
        body["metadata"] |= changes.get("metadata", {})
        body["services"][0] |= changes.get("service", {})
        content = compact(body)
        async with self.session.post(f"{self.url}{DDO}/validate", data=content) as response:
            assert response.status == 200
            proof = await response.json()
        assert proof["hash"] == f"0x{hashlib.sha256(content).hexdigest()}"
        assert proof["publicKey"] == self.chain.accounts["provider"].address
        unpacked = bytes.fromhex((await encrypted(self.session, self.url, content))[2:])
        digest = hashlib.sha256(content).digest()
        set_metadata(self.ocean, asset, owner.address, unpacked, flags=ENCRYPTED, hash_=digest)
        self.ocean.mint(asset, owner.address, self.consumer.address)
        return asset

    async def prepare(self, dataset: Asset, algorithm: Asset, environment: str) -> Any:
        body = {
            "datasets": [{"documentId": dataset.did, "serviceId": "97d09a3f"}],
            "algorithm": {"documentId": algorithm.did, "serviceId": "97d09a3f"},
            "compute": {"env": environment, "validUntil": 4_000_000_000},
            "consumerAddress": self.consumer.address,
        }
        path = f"{self.url}/v2/api/services/initializeCompute"
        async with self.session.post(path, json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def buy(self, environment: str) -> Sold:
        """Publish a dataset and an algorithm, and order both with the provider's fees."""
        dataset = await self.publish(
            service={"compute": {"publisherTrustedAlgorithms": [EVERYTHING]}}
        )
        made = {"language": "python", "version": "1", "container": CONTAINER}
        algorithm = await self.publish(
            metadata={"type": "algorithm", "algorithm": made}, service={"type": "access"}
        )
        prepared = await self.prepare(dataset, algorithm, environment)
        orders = [
            self.ocean.start_order(asset, self.consumer.address, fee(item), consumer=ENVIRONMENT)[
                "transactionHash"
            ].to_0x_hex()
            for asset, item in (
                (dataset, prepared["datasets"][0]),
                (algorithm, prepared["algorithm"]),
            )
        ]
        return Sold(dataset, algorithm, (orders[0], orders[1]))

    def start(self, sold: Sold, environment: str, nonce: int) -> dict[str, Any]:
        who = self.consumer
        text = f"{who.address}{sold.dataset.did}{nonce}"
        assets = ((sold.dataset, sold.orders[0]), (sold.algorithm, sold.orders[1]))
        named = [
            {"documentId": asset.did, "serviceId": "97d09a3f", "transferTxId": order}
            for asset, order in assets
        ]
        return {
            "consumerAddress": who.address,
            "nonce": nonce,
            "signature": signed(text, bytes.fromhex(who.key[2:])),
            "environment": environment,
            "dataset": named[0],
            "algorithm": named[1],
        }


async def test_a_job_is_bought_and_started_once_whichever_replica_is_asked(
    api: ApiServer,
    ocean: Ocean,
    chain: Chain,
    namespace: str,
    replicas: tuple[Replica, Replica],
    session: ClientSession,
) -> None:
    market = Market(ocean, chain, session, replicas[0].url)
    environment = f"{namespace}.small"
    sold = await market.buy(environment)
    body = market.start(sold, environment, 1)

    async def start(replica: Replica) -> tuple[int, Any]:
        async with session.post(f"{replica.url}{COMPUTE}", json=body) as response:
            return response.status, await response.json()

    answers = await asyncio.gather(*(start(replica) for replica in replicas * 3))
    assert sorted(status for status, _ in answers) == [200, 400, 400, 400, 400, 400], answers
    (told,) = next(answer for status, answer in answers if status == 200)
    (job,) = jobs_of(api, namespace)
    assert job["metadata"]["name"] == told["jobId"]
    assert job["spec"]["datasets"][0]["order"]["transactionHash"] == sold.orders[0]
    assert job["spec"]["algorithm"]["container"]["digest"] == CONTAINER["checksum"]
    assert "secret-path" not in json.dumps(job)
    for replica in replicas:
        asked = {"consumerAddress": market.consumer.address, "jobId": told["jobId"]}
        async with session.get(f"{replica.url}{COMPUTE}", params=asked) as response:
            assert [one["jobId"] for one in await response.json()] == [told["jobId"]]
        asked = {"userAddress": market.consumer.address}
        path = f"{replica.url}/v2/api/services/nonce"
        async with session.get(path, params=asked) as response:
            assert await response.json() == {"nonce": "1"}
    assert chain.accounts["provider"].key[2:] not in "".join(
        line for replica in replicas for line in replica.lines
    )
    stop = {
        "consumerAddress": market.consumer.address,
        "jobId": told["jobId"],
        "nonce": "2",
        "signature": signed(
            f"{market.consumer.address}{told['jobId']}", bytes.fromhex(market.consumer.key[2:])
        ),
    }
    async with session.put(f"{replicas[1].url}{COMPUTE}", json=stop) as response:
        assert response.status == 200, await response.text()
    (job,) = jobs_of(api, namespace)
    assert job["spec"]["stop"] == {"reason": "Requested"}
    other = replace(sold, orders=(sold.orders[1], sold.orders[0]))
    async with session.post(
        f"{replicas[0].url}{COMPUTE}", json=market.start(other, environment, 3)
    ) as response:
        assert (response.status, await response.json()) == (
            400,
            {"error": {"dataset.serviceId": "order_invalid"}},
        )


async def test_an_ended_token_is_ended_at_every_replica(
    chain: Chain, replicas: tuple[Replica, Replica], session: ClientSession
) -> None:
    who, one, other = chain.accounts["publisher"], *replicas
    key = bytes.fromhex(who.key[2:])
    asked = {
        "address": who.address,
        "nonce": "1",
        "signature": signed(f"{who.address}1", key),
        "expiration": "4000000000",
    }
    services = "/v2/api/services"
    async with session.get(f"{one.url}{services}/createAuthToken", params=asked) as response:
        token = (await response.json())["token"]
    ending = {**asked, "token": token, "nonce": "2", "signature": signed(f"{who.address}2", key)}
    async with session.delete(f"{other.url}{services}/deleteAuthToken", json=ending) as response:
        assert response.status == 200, await response.text()
    again = {**ending, "nonce": "3", "signature": signed(f"{who.address}3", key)}
    async with session.delete(f"{one.url}{services}/deleteAuthToken", json=again) as response:
        assert (response.status, await response.json()) == (400, {"error": "Token is deleted."})
