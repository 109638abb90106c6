"""Assets on a real chain, and their files on real servers: what is believed and what is not."""

import hashlib
import json
import lzma
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import ecies
import pytest
from aiohttp import web
from web3 import Web3

from c2d_provider.asked import Document
from c2d_provider.assets import AssetSettings, OceanAssets
from c2d_provider.chain import EvmChains
from c2d_provider.files import ArweaveFile, GraphqlFile, IpfsFile, SmartContractFile, UrlFile
from c2d_provider.ports import Published, UnavailableError
from c2d_provider.refusals import Reason, Refused
from chain import CHAIN_ID, Asset, Ocean
from local_stack.chain import Account, Chain
from pods import Site
from publishing import (
    COMPRESSED,
    ENCRYPTED,
    PLAIN,
    Provider,
    compact,
    document,
    set_metadata,
    version_5,
)
from rpc_relay import OpenChains, Relay
from sites import serving

STRANGER = Provider(Account("0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A", f"0x{'11' * 32}"))

OpenAssets = Callable[..., Awaitable[OceanAssets]]


@pytest.fixture
def owner(chain: Chain) -> str:
    return chain.accounts["publisher"].address


@pytest.fixture
def provider(chain: Chain) -> Provider:
    return Provider(chain.accounts["provider"])


@pytest.fixture
def asset(ocean: Ocean, owner: str) -> Asset:
    return ocean.publish(owner, name="Wald")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving(Site()) as site:
        yield site


@pytest.fixture
async def open_assets(chains: EvmChains, provider: Provider) -> AsyncIterator[OpenAssets]:
    async with AsyncExitStack() as stack:

        async def opened(of: EvmChains | None = None, **changes: Any) -> OceanAssets:
            key = bytes.fromhex(provider.account.key[2:])
            settings = AssetSettings(key, **changes)
            return await stack.enter_async_context(OceanAssets(settings, of or chains))

        yield opened


@pytest.fixture
async def assets(open_assets: OpenAssets) -> OceanAssets:
    return await open_assets()


async def refusal(awaited: Awaitable[object]) -> Reason:
    with pytest.raises(Refused) as caught:
        await awaited
    said = str(caught.value)
    assert "http" not in said.replace("https or http", "")
    assert "s3cr3t" not in said
    return caught.value.refusal.reason


# Found on chain


@pytest.mark.parametrize("escaped", [False, True], ids=["as it is", "escaped"])
@pytest.mark.parametrize(
    ("flags", "packing"),
    [
        pytest.param(PLAIN, lzma.FORMAT_XZ, id="plain"),
        pytest.param(COMPRESSED, lzma.FORMAT_XZ, id="packed by ocean.py"),
        pytest.param(COMPRESSED, lzma.FORMAT_ALONE, id="packed by ocean.js"),
        pytest.param(ENCRYPTED, lzma.FORMAT_XZ, id="encrypted"),
        pytest.param(COMPRESSED | ENCRYPTED, lzma.FORMAT_XZ, id="packed and encrypted"),
    ],
)
async def test_an_asset_is_found_on_chain(
    assets: OceanAssets,
    ocean: Ocean,
    asset: Asset,
    owner: str,
    provider: Provider,
    *,
    flags: int,
    packing: int,
    escaped: bool,
) -> None:
    content = compact(document(asset), escaped=escaped)
    mined = set_metadata(
        ocean, asset, owner, content, flags=flags, provider=provider, packing=packing
    )
    found = await assets.published(asset.did)
    transaction = Web3.to_hex(mined["transactionHash"])
    assert (found.ddo.id, found.ddo.nft, found.ddo.chain_id) == (asset.did, asset.nft, CHAIN_ID)
    assert (found.metadata.transaction, found.metadata.block_number) == (
        transaction,
        mined["blockNumber"],
    )
    assert (found.nft.owner, found.nft.state) == (owner, 0)
    assert (found.metadata.sender, found.metadata.is_update) == (owner, False)
    assert found.metadata.decryptor_url == "https://provider.example"


async def test_the_served_document_has_what_clients_look_for(
    assets: OceanAssets, ocean: Ocean, asset: Asset, owner: str
) -> None:
    content = document(asset)
    mined = set_metadata(ocean, asset, owner, compact(content))
    served = (await assets.published(asset.did)).document
    transaction = Web3.to_hex(mined["transactionHash"])
    time = ocean.web3.eth.get_block(mined["blockNumber"])["timestamp"]
    assert {key: served[key] for key in content} == content
    assert served["event"]["tx"] == served["event"]["txid"] == transaction
    assert (served["event"]["block"], served["event"]["from"]) == (mined["blockNumber"], owner)
    assert served["event"]["contract"] == asset.nft
    nft = served["nft"]
    assert (nft["address"], nft["name"], nft["symbol"]) == (asset.nft, "Wald", "NFT")
    assert (nft["owner"], nft["state"]) == (owner, 0)
    (datatoken,) = served["datatokens"]
    assert datatoken == {
        "address": asset.datatoken,
        "name": "Wald",
        "symbol": "DT",
        "serviceId": "97d09a3f",
    }
    assert served["purgatory"]["state"] is False
    assert served["indexedMetadata"]["nft"] == nft
    assert served["indexedMetadata"]["event"] == served["event"]
    assert json.dumps(served["event"]["datetime"]).count(":") == 2
    assert time > 0


async def test_a_document_of_version_5_is_found(
    assets: OceanAssets, ocean: Ocean, asset: Asset, owner: str
) -> None:
    content = version_5(asset)
    set_metadata(ocean, asset, owner, compact(content))
    found = await assets.published(content["id"])
    assert (found.ddo.version, found.ddo.nft) == ("5.0.0", asset.nft)
    assert await refusal(assets.published(asset.did)) == Reason.ASSET_UNKNOWN


async def test_an_update_is_seen_and_what_did_not_change_is_not_read_again(
    open_chains: OpenChains,
    open_assets: OpenAssets,
    relay: Relay,
    ocean: Ocean,
    asset: Asset,
    owner: str,
) -> None:
    assets = await open_assets(await open_chains(urls=(relay.url,), fresh=3600))
    set_metadata(ocean, asset, owner, compact(document(asset)))
    first = await assets.published(asset.did)
    asked = len(relay.methods)
    assert (await assets.published(asset.did)).ddo is first.ddo
    assert len(relay.methods) == asked
    anew = await open_assets()
    changed = document(asset, metadata={"type": "dataset", "name": "changed"})
    mined = set_metadata(ocean, asset, owner, compact(changed))
    found = await anew.published(asset.did)
    assert found.document["metadata"]["name"] == "changed"
    assert found.metadata.is_update
    assert found.metadata.transaction == Web3.to_hex(mined["transactionHash"])


async def test_an_update_is_found_in_whichever_blocks_it_is(
    open_chains: OpenChains, open_assets: OpenAssets, ocean: Ocean, asset: Asset, owner: str
) -> None:
    """Old and young, in chunks of two blocks, by a reader that has seen what was before."""
    assets = await open_assets(await open_chains(chunk=2, settled=3))
    for name in ("one", "two", "three"):
        content = document(asset, metadata={"type": "dataset", "name": name})
        set_metadata(ocean, asset, owner, compact(content))
        for blocks in (0, 1, 1, 5):
            ocean.web3.provider.make_request("anvil_mine", [blocks])  # type: ignore[arg-type]  # a name
            found = await assets.published(asset.did)
            assert found.document["metadata"]["name"] == name
        fresh = await open_assets(await open_chains(chunk=2, settled=3))
        assert (await fresh.published(asset.did)).document["metadata"]["name"] == name


async def test_who_validated_metadata_is_known(
    assets: OceanAssets, ocean: Ocean, asset: Asset, owner: str, chain: Chain
) -> None:
    validator = chain.accounts["environment-free"]
    set_metadata(ocean, asset, owner, compact(document(asset)), validator=validator)
    assert (await assets.published(asset.did)).metadata.validated == (validator.address,)


async def test_metadata_is_read_from_its_transaction(
    chains: EvmChains, ocean: Ocean, asset: Asset, owner: str
) -> None:
    mined = [
        set_metadata(ocean, asset, owner, compact(document(asset, credentials={"n": [number]})))
        for number in (1, 2)
    ]
    for receipt in mined:
        named = Web3.to_hex(receipt["transactionHash"])
        found = await chains.metadata_in(CHAIN_ID, asset.nft, named)
        assert found is not None
        assert (found.transaction, found.block_number) == (named, receipt["blockNumber"])
    other = ocean.publish(owner)
    transaction = Web3.to_hex(mined[0]["transactionHash"])
    assert await chains.metadata_in(CHAIN_ID, other.nft, transaction) is None
    assert await chains.metadata_in(CHAIN_ID, asset.nft, "0x" + "cd" * 32) is None


async def test_an_nft_without_metadata_is_no_asset(
    assets: OceanAssets, asset: Asset, chains: EvmChains
) -> None:
    assert await chains.metadata(CHAIN_ID, asset.nft) is None
    assert await refusal(assets.published(asset.did)) == Reason.ASSET_UNKNOWN
    assert await refusal(assets.published(f"did:op:{'0' * 64}")) == Reason.ASSET_UNKNOWN
    assert await refusal(assets.published("did:op:../x")) == Reason.ASSET_UNKNOWN


async def test_an_asset_is_found_as_soon_as_it_is_on_chain(
    open_assets: OpenAssets, open_chains: OpenChains, ocean: Ocean, owner: str
) -> None:
    """Whatever is remembered of the chain: clients use what they have published just now."""
    chains = await open_chains(fresh=3600)
    assets = await open_assets(chains)
    head = await chains.head(CHAIN_ID)
    asset = ocean.publish(owner)
    assert await refusal(assets.published(asset.did)) == Reason.ASSET_UNKNOWN
    set_metadata(ocean, asset, owner, compact(document(asset)))
    assert (await assets.published(asset.did)).ddo.id == asset.did
    assert await chains.head(CHAIN_ID) > head


async def test_metadata_that_a_reorganisation_removes_is_gone(
    assets: OceanAssets, ocean: Ocean, asset: Asset, owner: str
) -> None:
    set_metadata(ocean, asset, owner, compact(document(asset)))
    await assets.published(asset.did)
    ocean.web3.provider.make_request("anvil_reorg", [1, []])  # type: ignore[arg-type]  # a name
    assert await refusal(assets.published(asset.did)) == Reason.ASSET_UNKNOWN


@pytest.mark.parametrize("flags", [PLAIN, COMPRESSED, ENCRYPTED, COMPRESSED | ENCRYPTED])
async def test_a_document_that_is_not_what_its_hash_says_is_refused(
    assets: OceanAssets, ocean: Ocean, asset: Asset, owner: str, provider: Provider, *, flags: int
) -> None:
    content, other = compact(document(asset)), hashlib.sha256(b"other").digest()
    set_metadata(ocean, asset, owner, content, flags=flags, provider=provider, hash_=other)
    assert await refusal(assets.published(asset.did)) == Reason.ASSET_MALFORMED


async def test_a_document_of_another_asset_is_refused(
    assets: OceanAssets, ocean: Ocean, asset: Asset, owner: str
) -> None:
    other = ocean.publish(owner)
    set_metadata(ocean, asset, owner, compact(document(other)))
    assert await refusal(assets.published(asset.did)) == Reason.ASSET_UNKNOWN


async def test_a_packed_document_unpacks_to_a_ddos_size_at_most(
    assets: OceanAssets, ocean: Ocean, asset: Asset, owner: str
) -> None:
    set_metadata(ocean, asset, owner, b" " * 50_000_000, flags=COMPRESSED)
    assert await refusal(assets.published(asset.did)) == Reason.TOO_LARGE


# Through a metadata cache


async def test_a_cache_is_asked_and_its_document_believed_by_its_hash(
    open_assets: OpenAssets, ocean: Ocean, asset: Asset, owner: str, site: Site
) -> None:
    """Encrypted to another provider, so that the cache alone can tell it."""
    content = document(asset)
    set_metadata(ocean, asset, owner, compact(content), flags=ENCRYPTED, provider=STRANGER)
    cached = {**content, "nft": {"owner": "forged"}, "event": {"tx": "0x1"}, "stats": {"orders": 5}}
    site.serve(f"/api/aquarius/assets/ddo/{asset.did}", compact(cached))
    assets = await open_assets(metadata_cache=site.url("/"))
    found = await assets.published(asset.did)
    assert found.document["nft"]["owner"] == owner
    assert found.ddo.id == asset.did
    cached["services"][0]["timeout"] = 0
    site.serve(f"/api/aquarius/assets/ddo/{asset.did}", compact(cached))
    forged = await open_assets(metadata_cache=site.url("/"))
    assert await refusal(forged.published(asset.did)) == Reason.ASSET_MALFORMED


async def test_a_cache_that_is_behind_does_not_hide_what_is_on_chain(
    open_assets: OpenAssets, ocean: Ocean, asset: Asset, owner: str, site: Site
) -> None:
    old, new = document(asset), document(asset, metadata={"type": "dataset", "name": "new"})
    set_metadata(ocean, asset, owner, compact(old))
    set_metadata(ocean, asset, owner, compact(new))
    site.serve(f"/api/aquarius/assets/ddo/{asset.did}", compact(old))
    assets = await open_assets(metadata_cache=site.url(""))
    assert (await assets.published(asset.did)).document["metadata"]["name"] == "new"


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b"[" * 100_000, b" " * 10_000_000])
async def test_a_cache_that_talks_nonsense_knows_nothing(
    open_assets: OpenAssets, asset: Asset, site: Site, body: bytes
) -> None:
    site.serve(f"/api/aquarius/assets/ddo/{asset.did}", body)
    assets = await open_assets(metadata_cache=site.url(""))
    reasons = {Reason.ASSET_UNKNOWN, Reason.ASSET_MALFORMED}
    assert await refusal(assets.published(asset.did)) in reasons


async def test_what_a_cache_does_not_know_is_unknown(
    open_assets: OpenAssets, ocean: Ocean, asset: Asset, owner: str, site: Site
) -> None:
    set_metadata(ocean, asset, owner, compact(document(asset)))
    assets = await open_assets(metadata_cache=site.url(""))
    assert await refusal(assets.published(asset.did)) == Reason.ASSET_UNKNOWN


async def test_a_cache_that_does_not_answer_is_unavailable(
    open_assets: OpenAssets, asset: Asset, unused_tcp_port: int
) -> None:
    assets = await open_assets(metadata_cache=f"http://127.0.0.1:{unused_tcp_port}/s3cr3t")
    with pytest.raises(UnavailableError) as caught:
        await assets.published(asset.did)
    assert str(caught.value) == "the metadata cache does not answer"


# Documents and files that are for the provider alone


async def test_what_we_encrypt_clients_ways_decrypt(
    assets: OceanAssets, provider: Provider
) -> None:
    for data in (b"", b"x", bytes(range(256)) * 1000):
        encrypted = assets.encrypt(data)
        assert encrypted != assets.encrypt(data)
        assert ecies.decrypt(provider.account.key, encrypted) == data


async def test_a_document_is_decrypted_for_its_nft_only(
    assets: OceanAssets, ocean: Ocean, asset: Asset, provider: Provider, owner: str
) -> None:
    content = compact(document(asset))
    hash_ = f"0x{hashlib.sha256(content).hexdigest()}"
    sent = Document(provider.encrypt(content), ENCRYPTED, hash_)
    assert await assets.decrypt(sent, asset.nft.lower()) == content
    other = ocean.publish(owner)
    assert await refusal(assets.decrypt(sent, other.nft)) == Reason.ASSET_MALFORMED


async def test_a_list_of_files_is_not_decrypted_as_a_document(
    assets: OceanAssets, asset: Asset, provider: Provider
) -> None:
    """Even for somebody who has guessed it, and so knows its hash."""
    body = {"nftAddress": asset.nft, "datatokenAddress": asset.datatoken, "files": []}
    content = json.dumps(body).encode()
    hash_ = f"0x{hashlib.sha256(content).hexdigest()}"
    sent = Document(provider.encrypt(content), ENCRYPTED, hash_)
    assert await refusal(assets.decrypt(sent, asset.nft)) == Reason.ASSET_MALFORMED


async def with_files(
    ocean: Ocean, assets: OceanAssets, asset: Asset, owner: str, files: str
) -> Published:
    set_metadata(ocean, asset, owner, compact(document(asset, files)))
    return await assets.published(asset.did)


async def test_the_files_of_a_service_are_decrypted(
    assets: OceanAssets, ocean: Ocean, asset: Asset, owner: str, provider: Provider
) -> None:
    url = "https://data.example/s3cr3t"
    encrypted = provider.encrypt_files(asset, {"type": "url", "url": url, "method": "GET"})
    found = await with_files(ocean, assets, asset, owner, encrypted)
    assert await assets.files(found, found.ddo.services[0]) == (UrlFile(url, "GET", ()),)


async def test_files_copied_from_another_asset_are_refused(
    assets: OceanAssets, ocean: Ocean, asset: Asset, owner: str, provider: Provider
) -> None:
    copied = provider.encrypt_files(
        ocean.publish(owner), {"type": "url", "url": "https://a/s3cr3t"}
    )
    found = await with_files(ocean, assets, asset, owner, copied)
    reason = await refusal(assets.files(found, found.ddo.services[0]))
    assert reason == Reason.FILES_OF_OTHER_ASSET


@pytest.mark.parametrize("damage", ["cut", "changed", "odd", "none", "of another provider"])
async def test_files_that_were_tampered_with_are_refused(
    assets: OceanAssets, ocean: Ocean, asset: Asset, owner: str, provider: Provider, *, damage: str
) -> None:
    to = STRANGER if damage == "of another provider" else provider
    files = to.encrypt_files(asset, {"type": "url", "url": "https://a/s3cr3t"})
    last = "0" if files[-1] != "0" else "1"
    damaged = {
        "cut": files[:200],
        "changed": files[:-1] + last,
        "odd": files[:-1],
        "none": "0x",
        "of another provider": files,
    }
    found = await with_files(ocean, assets, asset, owner, damaged[damage])
    assert await refusal(assets.files(found, found.ddo.services[0])) == Reason.FILES_MALFORMED


async def test_the_checksum_of_files_is_that_of_each_in_their_order(
    open_assets: OpenAssets, ocean: Ocean, asset: Asset, owner: str, provider: Provider, site: Site
) -> None:
    bodies = (b"one", b"two" * 100_000)
    urls = [site.serve(f"/{number}", body) for number, body in enumerate(bodies)]
    assets = await open_assets(allowed=(site.address,), checksum_limit=300_000)
    encrypted = provider.encrypt_files(asset, *({"type": "url", "url": url} for url in urls))
    found = await with_files(ocean, assets, asset, owner, encrypted)
    service = found.ddo.services[0]
    expected = "".join(hashlib.sha256(body).hexdigest() for body in bodies)
    assert await assets.files_checksum(found, service) == expected
    site.serve("/1", b"two" * 100_001)  # over the limit
    assert await assets.files_checksum(found, service) is None
    del site.answers["/0"]
    assert await assets.files_checksum(found, service) is None


# Files of every kind


async def test_a_graphql_query_is_posted_with_its_variables(
    open_assets: OpenAssets, site: Site
) -> None:
    bodies: list[Any] = []

    async def answer(request: Any) -> Any:
        bodies.append(await request.json())
        return web.json_response({"data": {"n": 1}})

    site.answers["/graphql"] = answer
    assets = await open_assets(allowed=(site.address,))
    file = GraphqlFile(site.url("/graphql"), "query Q($n: Int) { n }", (("X-Key", "v"),))
    opened = await assets.open(file, {"n": 3}, ())
    assert b"".join([chunk async for chunk in opened.chunks]) == b'{"data": {"n": 1}}'
    assert bodies == [{"query": "query Q($n: Int) { n }", "variables": {"n": 3}}]
    assert site.requests[0][2]["X-Key"] == "v"
    assert site.requests[0][2]["Content-Type"] == "application/json"


async def test_a_contract_is_a_file_of_its_answer(
    assets: OceanAssets, ocean: Ocean, asset: Asset, owner: str
) -> None:
    function = {
        "type": "function",
        "name": "ownerOf",
        "stateMutability": "view",
        "inputs": [{"name": "tokenId", "type": "uint256"}],
        "outputs": [{"name": "", "type": "address"}],
    }
    file = SmartContractFile(asset.nft, CHAIN_ID, function)
    expected = json.dumps(owner.lower()).encode()
    opened = await assets.open(file, {"tokenId": 1}, (("Range", "bytes=0-1"),))
    assert b"".join([chunk async for chunk in opened.chunks]) == expected
    assert (opened.status, dict(opened.headers)["Content-Length"]) == (200, str(len(expected)))
    facts = await assets.inspect(file, {"tokenId": 1}, checksum=True)
    assert facts.sha256 == hashlib.sha256(expected).hexdigest()
    assert (facts.content_length, facts.content_type) == (len(expected), "application/json")
    assert await refusal(assets.open(file, {}, ())) == Reason.PARAMETER_INVALID


@pytest.mark.parametrize(
    ("file", "path"),
    [
        pytest.param(IpfsFile("Qm" + "a" * 44, ()), "/ipfs/Qm" + "a" * 44, id="ipfs"),
        pytest.param(ArweaveFile("A" * 43, ()), "/" + "A" * 43, id="arweave"),
    ],
)
async def test_a_gateway_is_the_admins_and_may_be_anywhere(
    open_assets: OpenAssets, site: Site, file: Any, path: str
) -> None:
    site.serve(path, b"content")
    assets = await open_assets(ipfs_gateway=site.url("/"), arweave_gateway=site.url("/"))
    opened = await assets.open(file, {}, ())
    assert b"".join([chunk async for chunk in opened.chunks]) == b"content"
    assert opened.name == ""
    # The same place is closed to a URL of somebody's own.
    assert await refusal(assets.open(UrlFile(site.url(path), "GET", ()), {}, ())) == (
        Reason.FILE_UNAVAILABLE
    )


async def test_a_gateway_cannot_lead_to_other_private_addresses(
    open_assets: OpenAssets, site: Site
) -> None:
    async def elsewhere(_: Any) -> Any:
        return web.Response(status=302, headers={"Location": site.url("/inner", "127.0.0.2")})

    site.answers["/ipfs/Qm" + "a" * 44] = elsewhere
    site.serve("/inner", b"s3cr3t")
    assets = await open_assets(ipfs_gateway=site.url(""))
    opened = assets.open(IpfsFile("Qm" + "a" * 44, ()), {}, ())
    assert await refusal(opened) == Reason.FILE_UNAVAILABLE
    assert len(site.requests) == 1


async def test_without_a_gateway_there_are_no_files_of_it(assets: OceanAssets) -> None:
    for file in (IpfsFile("Qm" + "a" * 44, ()), ArweaveFile("A" * 43, ())):
        assert await refusal(assets.resolve(file, {})) == Reason.FILE_UNAVAILABLE
        assert not (await assets.inspect(file, {}, checksum=False)).valid
