"""Files of IPFS and Arweave through gateways that lie: what comes is the file, or nothing.

Behind the gateways are real nodes of both. What their disks or the gateways between change never
has a name on the job's volume.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from aiohttp import web

from c2d_api.asset_request import FileRequest, Provided, ProvidedAsset
from c2d_api.computeenvironment import Address
from c2d_api.computejob import Dataset
from c2d_api.exits import PodExit
from c2d_api.tasks import LoaderTask
from c2d_pods.cids import read_text
from c2d_pods.content import PermanentError, TransferError, TransientError
from c2d_pods.patience import Patience
from c2d_pods.transfer import Downloads
from c2d_provider.files import ArweaveFile, IpfsFile
from c2d_provider.sources import Gateways, of_arweave, of_ipfs
from local_stack import arweave as local_arweave
from local_stack import ipfs as local_ipfs
from local_stack.arweave import Arweave, Content
from local_stack.ipfs import Ipfs
from lying_gateway import Gateway, altered, relaying
from pods import Pod, Site, memory_peak
from sites import serving

DATA = hashlib.shake_256(b"checked").digest(5_000_000)
ZEROS = bytes(3_000_000)
SMALL = b"tree,height\nB\xc3\xa4ume,12\n\x00\xff"
ONCE = Patience(attempts=1)
OLD, NEW = "--cid-version=0", "--cid-version=1"
IPFS_FILES = {
    "one raw block": (SMALL, (NEW,)),
    "one block of UnixFS": (SMALL, (OLD,)),
    "nothing": (b"", (OLD,)),
    "raw leaves": (DATA, (NEW,)),
    "leaves of UnixFS": (DATA, (OLD,)),
    "leaves as long as blocks may be": (DATA, (NEW, "--chunker=size-2096896")),
    "many small leaves": (DATA[:400_000], (NEW, "--chunker=size-1000")),
    "equal leaves": (ZEROS, (NEW,)),
}


@pytest.fixture(scope="module")
def ipfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ipfs]:
    with local_ipfs.ipfs(tmp_path_factory.mktemp("ipfs")) as node:
        yield node


@pytest.fixture(scope="module")
def arweave(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arweave]:
    with local_arweave.arweave(tmp_path_factory.mktemp("arweave")) as node:
        yield node


@pytest.fixture(scope="module")
def transactions(arweave: Arweave) -> dict[str, bytes]:
    """Store contents of one chunk and of many, and such as end with a whole chunk."""
    contents = [SMALL, DATA[: 512 * 1024], DATA[: 256 * 1024 + 1], DATA]
    ids = arweave.store(*(Content(one, "application/octet-stream") for one in contents))
    return dict(zip(ids, contents, strict=True))


@pytest.fixture
async def of_blocks(ipfs: Ipfs) -> AsyncIterator[Gateway]:
    async with relaying(ipfs.gateway) as gateway:
        yield gateway


@pytest.fixture
async def of_transactions(arweave: Arweave) -> AsyncIterator[Gateway]:
    async with relaying(arweave.gateway) as gateway:
        yield gateway


def on_ipfs(name: str, gateway: str) -> FileRequest:
    """Request a file as the provider does."""
    found = of_ipfs(IpfsFile(name, ()), gateway)
    return FileRequest(found.url, content_id=found.content_id)


def on_arweave(transaction: str, gateway: str) -> FileRequest:
    found = of_arweave(ArweaveFile(transaction, ()), gateway)
    return FileRequest(found.url, content_id=found.content_id)


async def loaded(file: FileRequest, folder: Path, patience: Patience = ONCE) -> bytes:
    path, counted = folder / "loaded", list[int]()
    gateway = Address("127.0.0.1/32", urlsplit(file.url).port or 0)
    async with Downloads([gateway], patience) as downloads:
        with path.open("wb", buffering=0) as target:
            await downloads.fetch(file, target, counted.append)
    content = path.read_bytes()
    assert sum(counted) == len(content)
    return content


async def refusal(file: FileRequest, folder: Path, patience: Patience = ONCE) -> TransferError:
    with pytest.raises(TransferError) as caught:
        await loaded(file, folder, patience)
    assert "127.0.0" not in str(caught.value)
    return caught.value


def sha256(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def add(ipfs: Ipfs, folder: Path, content: bytes, *words: str) -> str:
    path = folder / "given"
    path.write_bytes(content)
    return ipfs.add_with(path, *words)


@pytest.mark.parametrize("kind", IPFS_FILES)
async def test_a_file_of_ipfs_comes_as_it_was_stored(ipfs: Ipfs, tmp_path: Path, kind: str) -> None:
    content, words = IPFS_FILES[kind]
    file = on_ipfs(add(ipfs, tmp_path, content, *words), ipfs.gateway)
    assert await loaded(file, tmp_path) == content
    digest = hashlib.sha256(content).hexdigest()
    assert await loaded(replace(file, sha256=digest), tmp_path) == content
    with pytest.raises(PermanentError, match="sha256"):
        await loaded(replace(file, sha256="0" * 64), tmp_path)


async def test_a_file_in_folders_comes_by_its_path(ipfs: Ipfs, tmp_path: Path) -> None:
    folder = tmp_path / "forest"
    (folder / "north side").mkdir(parents=True)
    (folder / "north side/Bäume.csv").write_bytes(DATA)
    root = ipfs.add(folder)
    path = quote("north side/Bäume.csv")
    assert await loaded(on_ipfs(f"{root}/{path}", ipfs.gateway), tmp_path) == DATA
    error = await refusal(on_ipfs(f"{root}/north%20side", ipfs.gateway), tmp_path)
    assert (type(error), str(error)) == (
        PermanentError, "it is a folder of IPFS: name a file in it by its path",
    )  # fmt: skip
    error = await refusal(on_ipfs(f"{root}/none", ipfs.gateway), tmp_path)
    assert isinstance(error, PermanentError)


@pytest.mark.parametrize("which", ["a leaf", "the root"])
@pytest.mark.parametrize("words", [(OLD,), (NEW,)])
async def test_a_block_that_was_changed_on_a_nodes_disk_is_refused(
    ipfs: Ipfs, tmp_path: Path, which: str, words: tuple[str, ...]
) -> None:
    content = hashlib.shake_256(f"{which}{words}".encode()).digest(900_000)
    given = tmp_path / "given"
    given.write_bytes(content)
    before = set((ipfs.folder / "repository/blocks").rglob("*.data"))
    root = ipfs.add_with(given, *words)
    file = on_ipfs(root, ipfs.gateway)
    assert await loaded(file, tmp_path) == content
    blocks = set((ipfs.folder / "repository/blocks").rglob("*.data")) - before
    block = max(blocks, key=lambda block: block.stat().st_size)
    if which == "the root":
        (block,) = (one for one in blocks if sha256(one) == read_text(root).digest)
    block.write_bytes(altered(block.read_bytes(), block.stat().st_size // 2))
    error = await refusal(file, tmp_path)
    assert await asyncio.to_thread((tmp_path / "loaded").read_bytes) != content
    if which == "a leaf":
        assert (type(error), str(error)) == (
            PermanentError,
            "the gateway sent a block that is not the one that its identifier names",
        )


@pytest.mark.parametrize("place", [60, 2_500_000, -1])
@pytest.mark.parametrize("words", [(OLD,), (NEW,)])
async def test_a_gateway_of_ipfs_cannot_lie(
    ipfs: Ipfs, of_blocks: Gateway, tmp_path: Path, place: int, words: tuple[str, ...]
) -> None:
    file = on_ipfs(add(ipfs, tmp_path, DATA, *words), of_blocks.base)
    assert await loaded(file, tmp_path) == DATA
    of_blocks.lie = lambda _, body: altered(body, place)
    assert isinstance(await refusal(file, tmp_path), PermanentError)


async def test_nor_can_it_send_another_file_that_is_whole(
    ipfs: Ipfs, of_blocks: Gateway, tmp_path: Path
) -> None:
    async with relaying(ipfs.gateway) as honest:
        other = add(ipfs, tmp_path, b"another one", NEW)
        await loaded(on_ipfs(other, honest.base), tmp_path)
    file = on_ipfs(add(ipfs, tmp_path, SMALL, NEW), of_blocks.base)
    answers: list[bytes] = []
    of_blocks.lie = lambda _, body: answers.append(body) or body
    await loaded(on_ipfs(other, of_blocks.base), tmp_path)
    of_blocks.lie = lambda _, __: answers[0]
    error = await refusal(file, tmp_path)
    assert "other blocks than the file's" in str(error)


async def test_a_gateway_that_sends_no_blocks_is_refused_but_for_a_raw_one(
    ipfs: Ipfs, of_blocks: Gateway, tmp_path: Path
) -> None:
    of_blocks.deaf = True
    raw = on_ipfs(add(ipfs, tmp_path, SMALL, NEW), of_blocks.base)
    several = on_ipfs(add(ipfs, tmp_path, DATA, NEW), of_blocks.base)
    assert await loaded(raw, tmp_path) == SMALL
    error = await refusal(several, tmp_path)
    assert (type(error), "does not send blocks" in str(error)) == (PermanentError, True)
    of_blocks.lie = lambda _, body: altered(body)
    assert isinstance(await refusal(raw, tmp_path), PermanentError)


async def test_an_archive_that_is_cut_is_asked_for_again(
    ipfs: Ipfs, of_blocks: Gateway, tmp_path: Path
) -> None:
    file = on_ipfs(add(ipfs, tmp_path, DATA, NEW), of_blocks.base)
    of_blocks.cut = 3_000_000
    assert await loaded(file, tmp_path, Patience(attempts=2, first_pause=0.01)) == DATA
    assert len(of_blocks.requests) == 2
    assert all("Range" not in headers for _, _, headers in of_blocks.requests)
    of_blocks.cut = 3_000_000
    assert isinstance(await refusal(file, tmp_path), TransientError)


async def test_a_file_of_arweave_comes_as_it_was_stored(
    arweave: Arweave, transactions: dict[str, bytes], tmp_path: Path
) -> None:
    for transaction, content in transactions.items():
        file = on_arweave(transaction, arweave.gateway)
        assert await loaded(file, tmp_path) == content
        digest = hashlib.sha256(content).hexdigest()
        assert await loaded(replace(file, sha256=digest), tmp_path) == content
        with pytest.raises(PermanentError, match="sha256"):
            await loaded(replace(file, sha256="0" * 64), tmp_path)


@pytest.mark.parametrize("place", [0, -1])
async def test_a_gateway_of_arweave_cannot_lie_about_a_content(
    of_transactions: Gateway, transactions: dict[str, bytes], tmp_path: Path, place: int
) -> None:
    for transaction, content in transactions.items():
        file = on_arweave(transaction, of_transactions.base)
        of_transactions.lie = lambda path, body: (
            body if path.startswith("/tx/") else altered(body, place)
        )
        error = await refusal(file, tmp_path)
        assert "not that of its transaction" in str(error)
        digest = hashlib.sha256(altered(content, place)).hexdigest()
        error = await refusal(replace(file, sha256=digest), tmp_path)
        assert "not that of its transaction" in str(error)


async def test_nor_can_it_shorten_or_prolong_it(
    of_transactions: Gateway, transactions: dict[str, bytes], tmp_path: Path
) -> None:
    transaction = list(transactions)[-1]
    file = on_arweave(transaction, of_transactions.base)
    of_transactions.lie = lambda path, body: body if path.startswith("/tx/") else body + b"x"
    assert "longer" in str(await refusal(file, tmp_path))
    of_transactions.lie = lambda path, body: body if path.startswith("/tx/") else body[:-1]
    assert isinstance(await refusal(file, tmp_path), TransientError)


async def test_nor_can_it_tell_another_transaction(
    of_transactions: Gateway, transactions: dict[str, bytes], tmp_path: Path
) -> None:
    """With whatever belongs to that: its content is sent as well."""
    first, *_, last = transactions
    answers: dict[str, bytes] = {}
    of_transactions.lie = answers.setdefault
    assert await loaded(on_arweave(last, of_transactions.base), tmp_path) == DATA
    of_transactions.lie = lambda path, _: answers[path.replace(first, last)]
    error = await refusal(on_arweave(first, of_transactions.base), tmp_path)
    assert str(error) == "the gateway sent another transaction than it was asked for"


async def test_a_download_from_arweave_goes_on_where_it_was_cut(
    of_transactions: Gateway, transactions: dict[str, bytes], tmp_path: Path
) -> None:
    transaction = list(transactions)[-1]
    file = on_arweave(transaction, of_transactions.base)
    again = Patience(attempts=3, first_pause=0.01)

    def cut_once(path: str, body: bytes) -> bytes:
        of_transactions.cut = None if path.startswith("/tx/") else cuts.pop()
        return body

    cuts: list[int | None] = [None, 2_000_000]
    of_transactions.lie = cut_once
    assert await loaded(file, tmp_path, again) == DATA
    ranges = [headers.get("Range") for _, path, headers in of_transactions.requests
              if not path.startswith("/tx/")]  # fmt: skip
    assert ranges[0] is None
    assert ranges[1] is not None


async def test_what_is_no_transaction_needs_a_sha256(
    of_transactions: Gateway, transactions: dict[str, bytes], tmp_path: Path
) -> None:
    """As an item of a bundle, which a gateway serves, and of which `/tx` knows nothing."""
    transaction, content = next(iter(transactions.items()))
    of_transactions.missing = {f"/tx/{transaction}"}
    file = on_arweave(transaction, of_transactions.base)
    assert "within a bundle" in str(await refusal(file, tmp_path))
    digest = hashlib.sha256(content).hexdigest()
    assert await loaded(replace(file, sha256=digest), tmp_path) == content
    of_transactions.lie = lambda _, body: altered(body)
    assert "sha256" in str(await refusal(replace(file, sha256=digest), tmp_path))


@pytest.fixture
def loader(tmp_path: Path) -> Pod:
    shell = tmp_path / "static-shell"
    shell.write_bytes(b"\x7fELF static shell")
    (tmp_path / "token").write_text("token")
    pod = Pod("c2d_pods.loader", tmp_path, "--busybox", shell, "--first-pause", "0.01")
    pod.environment = {"MALLOC_ARENA_MAX": "1"}  # as in its image
    return pod


def task(site: Site, *gateways: Gateway) -> str:
    return LoaderTask(
        job="job-1",
        datasets=(Dataset("a", "", (), from_provider=True),),
        algorithm_id="",
        algorithm_files=(),
        raw_code="code",
        algorithm_ddo=None,
        custom_data=None,
        egress=tuple(gateway.address for gateway in gateways),
        namespace="jobs",
        provider_url=site.url("/c2d"),
    ).encode()


@pytest.fixture
async def provider() -> AsyncIterator[Site]:
    async with serving(Site()) as site:
        yield site


def hand_out(provider: Site, *files: FileRequest) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=Provided((ProvidedAsset(0, "dataset", files),)).encode())

    provider.answers["/c2d/internal/assets"] = answer


@pytest.mark.parametrize("network", ["ipfs", "arweave"])
async def test_nothing_of_a_lie_is_on_the_volume(
    request: pytest.FixtureRequest, provider: Site, loader: Pod, tmp_path: Path, network: str
) -> None:
    """The loader as it runs, from what the provider tells it to the files that it leaves."""
    if network == "ipfs":
        node: Ipfs | Arweave = request.getfixturevalue("ipfs")
        name = add(request.getfixturevalue("ipfs"), tmp_path, DATA, NEW)
        of_gateway = on_ipfs
    else:
        node = request.getfixturevalue("arweave")
        name = list(request.getfixturevalue("transactions"))[-1]
        of_gateway = on_arweave
    async with relaying(node.gateway) as gateway:
        hand_out(provider, of_gateway(name, gateway.base))
        gateway.lie = lambda path, body: (
            body if path.startswith("/tx/") else altered(body, 4_000_000)
        )
        ended = await loader.run(task(provider, gateway), "--token", loader.folder / "token")
    assert ended.code == PodExit.DATASET_FAILED, ended.said
    assert "127.0.0" not in ended.said
    left = [path for path in (loader.data / "inputs").rglob("*") if path.is_file()]
    assert [path.name for path in left if not path.name.endswith(".part")] == []


async def test_the_loader_holds_little_of_what_it_checks(
    ipfs: Ipfs,
    transactions: dict[str, bytes],
    of_blocks: Gateway,
    of_transactions: Gateway,
    provider: Site,
    loader: Pod,
    tmp_path: Path,
) -> None:
    """Four at once, with the longest blocks: still below what its container may take."""
    words = (NEW, "--chunker=size-2096896")
    blocks = on_ipfs(add(ipfs, tmp_path, DATA * 3, *words), of_blocks.base)
    chunks = on_arweave(list(transactions)[-1], of_transactions.base)
    hand_out(provider, blocks, chunks, blocks, blocks)
    asked = task(provider, of_blocks, of_transactions)
    process = await loader.start(asked, "--token", loader.folder / "token")
    peak = await memory_peak(process)
    assert process.returncode == PodExit.DONE
    assert peak < 64 * 2**20
    contents = {path.stat().st_size for path in (loader.data / "inputs/a").iterdir()}
    assert contents == {len(DATA), 3 * len(DATA)}


def test_gateways_are_named_as_the_provider_names_them() -> None:
    gateways = Gateways("https://ipfs.example/", "https://arweave.example/")
    assert on_ipfs("Qm" + "a" * 44, gateways.ipfs).content_id == "ipfs:Qm" + "a" * 44
    assert on_arweave("A" * 43, gateways.arweave).content_id == "arweave:" + "A" * 43
