"""Provider v2's other routes over HTTP: files, documents, tokens, nonces, containers."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from eth_keys.datatypes import Signature as KeySignature

from c2d_provider import signatures
from c2d_provider.downloading import MOST_INSPECTED
from c2d_provider.orders import Policy as OrderPolicy
from chain_facts import CONSUMER, STRANGER, STRANGER_KEY
from provider_fakes import (
    CONSUMER_KEY,
    DATASET_ORDER,
    DIGEST,
    NFTS,
    NOW,
    World,
    dataset,
    market,
    signed,
    start_body,
    until,
)

SERVICES = "/v2/api/services"
DDO = "/v2/api/aquarius/assets/ddo"
ORDER = "0x" + "d3" * 32
DID = dataset()["id"]
Client = TestClient[Any, Any]


@pytest.fixture
def world() -> World:
    world = market()
    world.order(ORDER, world.assets.published_[DID], "access", consumer=CONSUMER)
    return world


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    async with TestClient(TestServer(world.app())) as found:
        yield found


async def get(client: Client, path: str, headers: Any = None, **asked: Any) -> tuple[int, Any, Any]:
    async with client.get(path, params=asked, headers=headers or {}) as response:
        body = await response.read()
        is_json = response.content_type == "application/json"
        return response.status, json.loads(body) if is_json else body, response.headers


def download(nonce: str = "1", key: bytes = CONSUMER_KEY, **changes: Any) -> dict[str, Any]:
    return {
        "documentId": DID,
        "serviceId": "access",
        "transferTxId": ORDER,
        "fileIndex": "0",
        "consumerAddress": CONSUMER,
        "nonce": nonce,
        "signature": signed(f"{DID}{nonce}", key),
        **changes,
    }


async def test_a_file_is_passed_on_to_who_bought_it(client: Client, world: World) -> None:
    headers = {"Range": "bytes=1-", "Authorization": "mine", "Cookie": "a=b"}
    status, body, answered = await get(client, f"{SERVICES}/download", headers, **download())
    assert (status, body) == (200, b"content")
    assert answered["Content-Type"] == "text/csv"
    assert "Set-Cookie" not in answered
    assert "data.csv" in answered["Content-Disposition"]
    assert world.assets.opened_with == [(("Range", "bytes=1-"),)]
    status, body, _ = await get(client, f"{SERVICES}/download", **download())
    assert status == 400
    assert "expected nonce (1) > current nonce (1)" in str(body) or "used before" in str(body)
    assert len(world.assets.opened_with) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fileIndex": "1"}, "No such fileIndex"),
        ({"serviceId": "compute", "transferTxId": DATASET_ORDER}, "is not an access service"),
        ({"transferTxId": DATASET_ORDER}, f"Order with tx_id {DATASET_ORDER} could not"),
        ({"serviceId": "other"}, "Invalid serviceId."),
        ({"documentId": "did:op:" + "0" * 64}, "Invalid signature"),
        ({"consumerAddress": STRANGER}, "Invalid signature"),
    ],
)
async def test_what_was_not_bought_is_not_passed_on(
    client: Client, world: World, changes: dict[str, str], said: str
) -> None:
    status, body, _ = await get(client, f"{SERVICES}/download", **download(**changes))
    assert status == 400
    assert said in json.dumps(body)
    assert world.assets.opened_with == []
    assert world.cluster.shards == {}


async def test_a_stranger_cannot_download_by_an_order_of_somebody_else(
    client: Client, world: World
) -> None:
    asked = download(key=STRANGER_KEY, consumerAddress=STRANGER)
    status, body, _ = await get(client, f"{SERVICES}/download", **asked)
    assert (status, world.assets.opened_with) == (400, [])
    assert "sender of order transaction is not the consumer/payer." in body["error"]


async def test_a_download_waits_for_confirmations(world: World) -> None:
    world.policy = replace(world.policy, orders=OrderPolicy(confirmations=22))
    async with TestClient(TestServer(world.app())) as client:
        status, body, _ = await get(client, f"{SERVICES}/download", **download())
    assert (status, world.assets.opened_with) == (400, [])
    assert "too few confirmations" in body["error"]


async def test_what_is_known_of_files_is_told_without_their_urls(client: Client) -> None:
    body = {"did": DID, "serviceId": "access", "checksum": True}
    async with client.post(f"{SERVICES}/fileinfo", json=body) as response:
        assert response.status == 200
        (known,) = await response.json()
    assert known == {
        "index": 0,
        "valid": True,
        "type": "url",
        "contentLength": "7",
        "contentType": "text/csv",
        "filename": "data.csv",
        "name": "data.csv",
        "checksum": hashlib.sha256(b"content").hexdigest(),
        "checksumType": "sha256",
    }


async def test_all_files_are_listed_and_few_of_them_asked_for(client: Client, world: World) -> None:
    """Who fetches a service counts its files by this list: one that ended early would lose some."""
    world.assets.number = MOST_INSPECTED + 2
    async with client.post(f"{SERVICES}/fileinfo", json={"did": DID, "serviceId": "access"}) as got:
        known = await got.json()
    assert [one["index"] for one in known] == list(range(MOST_INSPECTED + 2))
    assert [one["valid"] for one in known] == [True] * MOST_INSPECTED + [False] * 2


async def test_few_files_are_inspected_at_a_time(client: Client, world: World) -> None:
    """It costs nothing to ask, so that many who ask must not make many requests of ours."""
    world.assets.gate = asyncio.Event()
    body = {"did": DID, "serviceId": "access", "checksum": True}
    asking = [
        asyncio.create_task(client.post(f"{SERVICES}/fileinfo", json=body)) for _ in range(20)
    ]
    await until(lambda: world.assets.inspecting == 8)
    world.assets.gate.set()
    assert {(await one).status for one in asking} == {200}
    assert world.assets.most_inspected == 8


async def test_a_file_object_is_inspected(client: Client) -> None:
    body = {"type": "ipfs", "hash": "Q" * 46}
    async with client.post(f"{SERVICES}/fileinfo", json=body) as response:
        (known,) = await response.json()
    assert (known["type"], "checksum" in known) == ("ipfs", False)


async def test_documents_are_encrypted_for_chains_that_are_served(client: Client) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    answers = []
    for chain, data, kind in ((8996, b"x", headers), (1, b"x", headers), (8996, b"", headers)):
        url = f"{SERVICES}/encrypt?chainId={chain}"
        async with client.post(url, data=data, headers=kind) as response:
            answers.append((response.status, await response.text()))
    assert answers == [
        (201, "0x0478"),
        (400, '{"error":"Unsupported chain ID"}'),
        (400, '{"error":"Failed to encrypt."}'),
    ]


def decryption(nonce: str, key: bytes = CONSUMER_KEY, who: str = CONSUMER) -> dict[str, Any]:
    return {
        "decrypterAddress": who,
        "chainId": 8996,
        "dataNftAddress": NFTS[0],
        "encryptedDocument": "0x" + b"a document".hex(),
        "flags": "0x00",
        "documentHash": "0x" + "00" * 32,
        "nonce": nonce,
        "signature": signed(f"{NFTS[0]}{who}8996{nonce}", key),
    }


async def decrypt(client: Client, body: dict[str, Any]) -> tuple[int, str]:
    async with client.post(f"{SERVICES}/decrypt", json=body) as response:
        return response.status, await response.text()


async def test_a_ddo_is_decrypted_for_who_may_have_it(world: World) -> None:
    world.policy = replace(world.policy, decrypters=frozenset({CONSUMER}))
    async with TestClient(TestServer(world.app())) as client:
        assert await decrypt(client, decryption("1")) == (201, "a document")
        assert (await decrypt(client, decryption("1")))[0] == 400
        assert await decrypt(client, decryption("1", STRANGER_KEY, STRANGER)) == (
            403,
            '{"error":"Decrypter not authorized"}',
        )
        assert STRANGER not in str(world.cluster.shards)
        world.publish(dataset(), state=3)
        assert await decrypt(client, decryption("2")) == (403, '{"error":"Asset revoked"}')


async def test_a_ddo_is_served_as_it_was_published(client: Client) -> None:
    assert (await get(client, f"{DDO}/{DID}"))[:2] == (200, dataset())
    unknown = "did:op:" + "0" * 64
    assert (await get(client, f"{DDO}/{unknown}"))[:2] == (
        404,
        {"error": f"Asset DID {unknown} not found in Elasticsearch"},
    )
    status, body, _ = await get(client, f"{DDO}/<script>")
    assert status == 404
    assert "script" not in str(body)


async def test_a_ddo_is_vouched_for_by_the_provider(client: Client, world: World) -> None:
    body = json.dumps(dataset(), separators=(",", ":")).encode()
    headers = {"Content-Type": "application/octet-stream"}
    async with client.post(f"{DDO}/validate", data=body, headers=headers) as response:
        assert response.status == 200
        proof = await response.json()
    digest = hashlib.sha256(body).digest()
    assert proof["hash"] == f"0x{digest.hex()}"
    assert proof["publicKey"] == world.who.address
    numbers = (proof["v"] - 27, int(proof["r"][0], 16), int(proof["s"][0], 16))
    key = KeySignature(vrs=numbers).recover_public_key_from_msg_hash(
        signatures.personal_digest(digest)
    )
    assert key.to_checksum_address() == world.who.address


@pytest.mark.parametrize("change", [{"id": "did:op:" + "0" * 64}, {"chainId": 1}, {"services": 1}])
async def test_what_is_no_ddo_is_not_vouched_for(client: Client, change: Any) -> None:
    body = json.dumps({**dataset(), **change}).encode()
    async with client.post(f"{DDO}/validate", data=body) as response:
        assert response.status == 400


async def token(client: Client, nonce: str, expiration: int = NOW + 600) -> tuple[int, Any]:
    text = signed(f"{CONSUMER}{nonce}")
    asked = {"address": CONSUMER, "nonce": nonce, "signature": text, "expiration": expiration}
    status, body, _ = await get(client, f"{SERVICES}/createAuthToken", **asked)
    return status, body


async def test_a_token_stands_for_a_signature_until_it_is_ended(
    client: Client, world: World
) -> None:
    status, body = await token(client, "1")
    assert status == 200
    headers = {"AuthToken": body["token"]}
    start = {**start_body(world, nonce="2"), "signature": ""}
    async with client.post(f"{SERVICES}/compute", json=start, headers=headers) as response:
        assert response.status == 200
    async with client.post(f"{SERVICES}/compute", json=start, headers=headers) as response:
        assert response.status == 400
    assert len(world.cluster.jobs_) == 1
    ending = {
        "address": CONSUMER,
        "token": body["token"],
        "nonce": "3",
        "signature": signed(f"{CONSUMER}3"),
    }
    async with client.delete(f"{SERVICES}/deleteAuthToken", json=ending) as response:
        assert await response.json() == {"success": "Token has been deactivated."}
    start["nonce"] = "4"
    async with client.post(f"{SERVICES}/compute", json=start, headers=headers) as response:
        assert (response.status, await response.json()) == (400, {"error": "Token is deleted."})
    assert await token(client, "5", NOW - 1) == (400, {"error": "Token is expired."})


async def test_a_token_speaks_for_its_own_address_alone(client: Client, world: World) -> None:
    _, body = await token(client, "1")
    start = {**start_body(world, consumerAddress=STRANGER), "signature": ""}
    headers = {"AuthToken": body["token"]}
    async with client.post(f"{SERVICES}/compute", json=start, headers=headers) as response:
        assert (response.status, await response.json()) == (400, {"error": "Token is invalid."})
    theirs = {
        "address": STRANGER,
        "token": body["token"],
        "nonce": "1",
        "signature": signed(f"{STRANGER}1", STRANGER_KEY),
    }
    async with client.delete(f"{SERVICES}/deleteAuthToken", json=theirs) as response:
        assert (response.status, await response.json()) == (400, {"error": "Token is invalid."})
    assert world.cluster.ended == set()


async def test_a_token_is_made_once_for_a_nonce(client: Client) -> None:
    assert (await token(client, "1"))[0] == 200
    assert (await token(client, "1"))[0] == 400


async def test_the_nonce_of_an_address_is_told_in_every_letter_case(client: Client) -> None:
    await token(client, "7")
    for address in (CONSUMER, CONSUMER.lower()):
        found = await get(client, f"{SERVICES}/nonce", userAddress=address)
        assert found[:2] == (200, {"nonce": "7"})
    assert (await get(client, f"{SERVICES}/nonce", userAddress=STRANGER))[1] == {"nonce": "0"}


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({}, 200, None),
        ({"checksum": "latest"}, 400, "checksum_prefix"),
        ({"entrypoint": ""}, 400, "missing_entrypoint_image_checksum"),
        ({"image": 5}, 400, "missing_entrypoint_image_checksum"),
    ],
)
async def test_a_container_is_judged(
    client: Client, changes: dict[str, Any], status: int, error: str | None
) -> None:
    body = {"entrypoint": "python $ALGO", "image": "python", "checksum": DIGEST, **changes}
    async with client.post(f"{SERVICES}/validateContainer", json=body) as response:
        assert response.status == status
        assert await response.json() == ({"error": error} if error else body)
