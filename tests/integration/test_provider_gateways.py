"""Files of IPFS and Arweave, from real nodes of both: the bytes that their identifiers stand for.

A node of Arweave is asked by GraphQL as well: what it answers is a file like any other.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from c2d_api import computejob
from c2d_api.asset_request import FileRequest
from c2d_api.computeenvironment import Address
from c2d_api.computejob import File
from c2d_api.tasks import NO_GATEWAYS, Gateways
from c2d_pods.content import PermanentError, Source
from c2d_pods.patience import Patience
from c2d_pods.transfer import Downloads
from c2d_provider.assets import AssetSettings, OceanAssets
from c2d_provider.chain import EvmChains
from c2d_provider.files import ArweaveFile, FileObject, GraphqlFile, Headers, IpfsFile
from c2d_provider.ports import ResolvedRequest
from c2d_provider.refusals import Reason, Refused
from chain import Ocean
from local_stack import arweave as local_arweave
from local_stack import ipfs as local_ipfs
from local_stack.arweave import Arweave, Content
from local_stack.chain import Chain
from local_stack.ipfs import Ipfs
from publishing import Provider, compact, document, set_metadata

SMALL = b"tree,height\nB\xc3\xa4ume,12\n\x00\xff"
LARGE = hashlib.shake_256(b"large").digest(3_000_000)  # of many blocks, and of many chunks
CSV = "text/csv"
BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Stored:
    """A file as its owner describes it, and what it must bring."""

    entry: dict[str, str]
    file: FileObject
    content: bytes
    type: str


def of_ipfs(path: str, content: bytes, type_: str) -> Stored:
    return Stored({"type": "ipfs", "hash": path}, IpfsFile(path, ()), content, type_)


def of_arweave(transaction: str, content: Content) -> Stored:
    entry = {"type": "arweave", "transactionId": transaction}
    return Stored(entry, ArweaveFile(transaction, ()), content.data, content.type)


@pytest.fixture(scope="module")
def ipfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ipfs]:
    with local_ipfs.ipfs(tmp_path_factory.mktemp("ipfs")) as node:
        yield node


@pytest.fixture(scope="module")
def arweave(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arweave]:
    with local_arweave.arweave(tmp_path_factory.mktemp("arweave")) as node:
        yield node


@pytest.fixture(scope="module")
def stored(
    ipfs: Ipfs, arweave: Arweave, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Stored]:
    """Store contents of each kind; by the names that the tests have for them."""
    folder = tmp_path_factory.mktemp("contents") / "forest"
    (folder / "trees").mkdir(parents=True)
    small, large = folder / "trees/heights.csv", folder / "large"
    small.write_bytes(SMALL)
    large.write_bytes(LARGE)
    whole = ipfs.add(folder)
    contents = Content(SMALL, CSV), Content(LARGE, BYTES)
    transactions = arweave.store(*contents)
    return {
        "ipfs, version 0": of_ipfs(ipfs.add(large, version=0), LARGE, BYTES),
        "ipfs, version 1": of_ipfs(ipfs.add(large), LARGE, BYTES),
        "ipfs, one block": of_ipfs(ipfs.add(small), SMALL, BYTES),
        "ipfs, in a folder": of_ipfs(f"{whole}/trees/heights.csv", SMALL, CSV),
        "arweave, one chunk": of_arweave(transactions[0], contents[0]),
        "arweave, many chunks": of_arweave(transactions[1], contents[1]),
    }


ALL = (
    "ipfs, version 0",
    "ipfs, version 1",
    "ipfs, one block",
    "ipfs, in a folder",
    "arweave, one chunk",
    "arweave, many chunks",
)


@pytest.fixture
async def assets(
    chains: EvmChains, chain: Chain, ipfs: Ipfs, arweave: Arweave
) -> AsyncIterator[OceanAssets]:
    """The provider's assets, with the two nodes as its gateways and nothing private allowed."""
    settings = AssetSettings(
        bytes.fromhex(chain.accounts["provider"].key[2:]),
        ipfs_gateway=ipfs.gateway,
        arweave_gateway=f"{arweave.gateway}/",
    )
    async with OceanAssets(settings, chains) as opened:
        yield opened


async def sent(
    assets: OceanAssets,
    file: FileObject,
    headers: Headers = (),
    values: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    opened = await assets.open(file, values or {}, headers)
    return opened.status, b"".join([chunk async for chunk in opened.chunks])


def address(url: str) -> Address:
    """Name a node's address as admins list it."""
    return Address("127.0.0.1/32", urlsplit(url).port or 0)


async def refusal(awaited: Awaitable[object]) -> Reason:
    with pytest.raises(Refused) as caught:
        await awaited
    assert "127.0.0" not in str(caught.value)
    return caught.value.refusal.reason


@pytest.mark.parametrize("name", ALL)
async def test_a_file_comes_as_it_was_stored(
    assets: OceanAssets, stored: dict[str, Stored], name: str
) -> None:
    one = stored[name]
    opened = await assets.open(one.file, {}, ())
    content = b"".join([chunk async for chunk in opened.chunks])
    headers = dict(opened.headers)
    assert content == one.content
    assert (opened.status, headers["Content-Length"]) == (200, str(len(one.content)))
    assert headers["Content-Type"].partition(";")[0] == one.type


@pytest.mark.parametrize("name", ALL)
async def test_its_length_type_and_digest_are_told(
    assets: OceanAssets, stored: dict[str, Stored], name: str
) -> None:
    one = stored[name]
    facts = await assets.inspect(one.file, {}, checksum=True)
    assert facts.valid
    assert facts.content_type.partition(";")[0] == one.type
    assert facts.content_length == len(one.content)
    assert facts.sha256 == hashlib.sha256(one.content).hexdigest()
    without = await assets.inspect(one.file, {}, checksum=False)
    assert (without.valid, without.sha256) == (True, None)


@pytest.mark.parametrize("version", [0, 1])
async def test_what_comes_from_ipfs_has_the_identifier_that_was_asked_for(
    assets: OceanAssets, ipfs: Ipfs, tmp_path: Path, version: int
) -> None:
    """As IPFS itself computes it, for what came, and for that with one bit changed."""
    given, came, changed = (tmp_path / name for name in ("given", "came", "changed"))
    given.write_bytes(LARGE)
    identifier = ipfs.add(given, version=version)
    _, content = await sent(assets, IpfsFile(identifier, ()))
    came.write_bytes(content)
    changed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert ipfs.identifier(came, version=version) == identifier
    assert ipfs.identifier(changed, version=version) != identifier


async def test_what_comes_from_arweave_is_what_its_transaction_signs(
    assets: OceanAssets, arweave: Arweave, stored: dict[str, Stored]
) -> None:
    """As Arweave's own client verifies it, for what came, and for that with one bit changed."""
    one = stored["arweave, many chunks"]
    _, content = await sent(assets, one.file)
    transaction = one.entry["transactionId"]
    assert arweave.identifies(transaction, content)
    assert not arweave.identifies(transaction, content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("name", ["ipfs, version 0", "ipfs, version 1", "ipfs, in a folder"])
async def test_a_part_of_a_file_of_ipfs_is_to_be_had(
    assets: OceanAssets, stored: dict[str, Stored], name: str
) -> None:
    one = stored[name]
    got = await sent(assets, one.file, (("Range", "bytes=5-11"),))
    assert got == (206, one.content[5:12])


@pytest.mark.parametrize("missing", ["a hash", "a path", "a path below a file", "a transaction"])
async def test_what_is_not_there_is_refused(
    assets: OceanAssets, stored: dict[str, Stored], ipfs: Ipfs, tmp_path: Path, missing: str
) -> None:
    nothing = tmp_path / "nothing"
    nothing.write_bytes(b"known to nobody")
    folder = stored["ipfs, in a folder"].entry["hash"]
    files: dict[str, FileObject] = {
        "a hash": IpfsFile(ipfs.identifier(nothing), ()),
        "a path": IpfsFile(f"{folder.partition('/')[0]}/trees/depths.csv", ()),
        "a path below a file": IpfsFile(f"{folder}/more", ()),
        "a transaction": ArweaveFile("A" * 43, ()),
    }
    assert await refusal(assets.open(files[missing], {}, ())) == Reason.FILE_UNAVAILABLE
    for checksum in (False, True):
        assert not (await assets.inspect(files[missing], {}, checksum=checksum)).valid


@pytest.mark.parametrize("name", ALL)
async def test_the_loader_has_the_same_bytes_and_no_others(
    assets: OceanAssets, stored: dict[str, Stored], tmp_path: Path, name: str
) -> None:
    """Where the environment lists the gateway's address: to a loader it is one like any other."""
    one = stored[name]
    resolved = await assets.resolve(one.file, {})
    assert isinstance(resolved, ResolvedRequest)
    gateway = address(resolved.url)
    digest = hashlib.sha256(one.content).hexdigest()
    file = FileRequest(resolved.url, headers=resolved.headers, sha256=digest)
    assert await loaded(file, tmp_path, gateway) == one.content
    other = FileRequest(resolved.url, headers=resolved.headers, sha256="0" * 64)
    with pytest.raises(PermanentError):
        await loaded(other, tmp_path, gateway)
    with pytest.raises(PermanentError, match="private"):
        await loaded(file, tmp_path)


async def test_what_a_node_tampers_with_is_refused_where_its_digest_is_known(
    assets: OceanAssets, ipfs: Ipfs, tmp_path: Path
) -> None:
    """A node reads blocks from its disk and believes them; whoever has the disk can change them."""
    trusted, changed = b"print('trusted by its digest')", b"print('something else')"
    path = tmp_path / "algorithm.py"
    path.write_bytes(trusted)
    resolved = await assets.resolve(IpfsFile(ipfs.add(path), ()), {})
    assert isinstance(resolved, ResolvedRequest)
    file = FileRequest(resolved.url, sha256=hashlib.sha256(trusted).hexdigest())
    assert await loaded(file, tmp_path, address(file.url)) == trusted
    blocks = (ipfs.folder / "repository/blocks").rglob("*.data")
    (block,) = (one for one in blocks if one.read_bytes() == trusted)
    block.write_bytes(changed)
    with pytest.raises(PermanentError, match="sha256"):
        await loaded(file, tmp_path, address(file.url))


@pytest.mark.parametrize("name", ALL)
async def test_a_job_names_files_that_its_loader_fetches_from_the_gateways(
    ipfs: Ipfs, arweave: Arweave, stored: dict[str, Stored], tmp_path: Path, name: str
) -> None:
    one, gateways = stored[name], Gateways(ipfs.gateway, f"{arweave.gateway}/")
    if one.entry["type"] == "ipfs":
        cid, _, path = one.entry["hash"].partition("/")
        file, gateway = File(ipfs=computejob.IpfsFile(cid, path)), gateways.ipfs
    else:
        file, gateway = File(arweave=one.entry["transactionId"]), gateways.arweave
    assert await loaded(file, tmp_path, address(gateway), gateways=gateways) == one.content
    with pytest.raises(PermanentError, match="private"):
        await loaded(file, tmp_path, gateways=gateways)


async def loaded(
    file: Source, folder: Path, *allowed: Address, gateways: Gateways = NO_GATEWAYS
) -> bytes:
    path = folder / "loaded"
    async with Downloads(allowed, Patience(attempts=1), gateways=gateways) as downloads:
        with path.open("wb", buffering=0) as target:
            await downloads.fetch(file, target, lambda _: None)
    return path.read_bytes()


async def test_the_answer_to_a_graphql_query_is_a_file(
    chains: EvmChains, chain: Chain, arweave: Arweave, stored: dict[str, Stored]
) -> None:
    one = stored["arweave, many chunks"]
    transaction = one.entry["transactionId"]
    query = "query Q($id: ID!) { transaction(id: $id) { id data { size type } } }"
    url = f"{arweave.gateway}/graphql"
    key = bytes.fromhex(chain.accounts["provider"].key[2:])
    settings = AssetSettings(key, allowed=(address(url),))
    async with OceanAssets(settings, chains) as assets:
        status, content = await sent(
            assets, GraphqlFile(url, query, ()), values={"id": transaction}
        )
        data = {"size": str(len(one.content)), "type": one.type}
        expected = {"data": {"transaction": {"id": transaction, "data": data}}}
        assert (status, json.loads(content)) == (200, expected)
        wrong = GraphqlFile(url, query.replace("size", "weight"), ())
        opened = assets.open(wrong, {"id": transaction}, ())
        assert await refusal(opened) == Reason.FILE_UNAVAILABLE


async def test_the_files_of_a_published_service_come_from_where_its_owner_keeps_them(
    assets: OceanAssets, ocean: Ocean, chain: Chain, stored: dict[str, Stored]
) -> None:
    owner = chain.accounts["publisher"].address
    asset = ocean.publish(owner)
    kept = [stored[name] for name in ALL]
    encrypted = Provider(chain.accounts["provider"]).encrypt_files(
        asset, *(one.entry for one in kept)
    )
    set_metadata(ocean, asset, owner, compact(document(asset, encrypted)))
    found = await assets.published(asset.did)
    service = found.ddo.services[0]
    files = await assets.files(found, service)
    assert [await sent(assets, file) for file in files] == [(200, one.content) for one in kept]
    digests = [hashlib.sha256(one.content).hexdigest() for one in kept]
    assert await assets.files_checksum(found, service) == "".join(digests)
