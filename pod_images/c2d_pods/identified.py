"""Files that are named by their content: what is asked of a gateway, and how it is not believed.

A verifier stands between the bytes that come and those that are written: it gives the file's
bytes out of the former, and judges the whole at the end, before the file has its name. Those of a
file that nothing names pass as they are.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol
from urllib.parse import unquote

from c2d_api.asset_request import FileRequest
from c2d_pods.arweave import RootOfChunks, Stored
from c2d_pods.car import CarReader
from c2d_pods.cids import RAW, Cid, read_text
from c2d_pods.content import PermanentError, TransientError
from c2d_pods.unixfs import Walk

CAR: Final = "application/vnd.ipld.car"
BLOCKS_HEADERS: Final = {"Accept": f"{CAR}; version=1; order=dfs; dups=y"}
BLOCKS_QUERY: Final = "format=car&car-version=1&car-order=dfs&car-dups=y&dag-scope=entity"

_MAX_NAMES = 64


@dataclass(frozen=True)
class IpfsName:
    """A file of IPFS: an identifier, and the names on the way from there to the file."""

    cid: Cid = field(repr=False)
    path: tuple[str, ...] = field(repr=False, default=())


@dataclass(frozen=True)
class ArweaveName:
    """A file of Arweave, by the transaction that stored it."""

    transaction: str = field(repr=False)


class Verifier(Protocol):
    """Between the wire and the volume. `length` is the file's, once it is known for certain.

    `is_framed` says that the wire has more than the file's bytes.
    """

    is_framed: bool

    @property
    def length(self) -> int | None:
        """The file's length."""

    def feed(self, wire: bytes) -> Iterable[bytes]:
        """Give the file's bytes that these bring.

        Raises:
            PermanentError: They are not of the file.
        """

    def finish(self) -> None:
        """Judge the whole, of which no more comes.

        Raises:
            PermanentError: It is not the file.
            TransientError: It is not whole.
        """


class Plain:
    """Believes what comes."""

    is_framed = False
    length: int | None = None

    def feed(self, wire: bytes) -> tuple[bytes]:
        """Give it all."""
        return (wire,)

    def finish(self) -> None:
        """Find nothing wrong."""


class IpfsBlocks:
    """A file of IPFS out of an archive of blocks."""

    is_framed = True

    def __init__(self, name: IpfsName) -> None:
        """Begin with nothing read."""
        self._archive, self._walk = CarReader(), Walk(name.cid, name.path)
        self._has_begun = False

    @property
    def length(self) -> int | None:
        """What the file's first block says, each block below it being held to its part."""
        return self._walk.length

    def feed(self, wire: bytes) -> Iterator[bytes]:
        """Give the bytes of the blocks that are whole by now, each one judged."""
        if not self._has_begun:
            self._has_begun = True
            yield from self._walk.begin()
        for cid, block in self._archive.feed(wire):
            yield from self._walk.take(cid, block)

    def finish(self) -> None:
        """Judge that no block is missing."""
        self._archive.finish()
        self._walk.finish()


class IpfsRaw:
    """A file of IPFS that is one block, from a gateway that sends nothing but that."""

    is_framed = False
    length: int | None = None

    def __init__(self, cid: Cid) -> None:
        """Begin with nothing read."""
        self._cid, self._hash = cid, hashlib.sha256()

    def feed(self, wire: bytes) -> tuple[bytes]:
        """Give it all; it is judged at the end."""
        self._hash.update(wire)
        return (wire,)

    def finish(self) -> None:
        """Judge the block."""
        self._cid.judge_hash(self._hash.digest())


class ArweaveContent:
    """The content of a transaction, whose owner signed its length and the root of its chunks."""

    is_framed = False

    def __init__(self, stored: Stored) -> None:
        """Begin with nothing read."""
        self._stored, self._left = stored, stored.length
        self._root = RootOfChunks(stored.length)

    @property
    def length(self) -> int | None:
        """What was signed."""
        return self._stored.length

    def feed(self, wire: bytes) -> Iterator[bytes]:
        """Give it all; it is judged at the end, but for its length.

        What could not be written comes again, so that it counts only once it is written.
        """
        if len(wire) > self._left:
            raise PermanentError("it is longer than its transaction of Arweave says")
        yield wire
        self._root.add(wire)
        self._left -= len(wire)

    def finish(self) -> None:
        """Judge the content."""
        if self._left:
            raise TransientError("the server stopped before the file's end")
        if self._root.finish() != self._stored.root:
            raise PermanentError(
                "its content is not that of its transaction of Arweave, or was cut into chunks in"
                " a way that is not known here"
            )


@dataclass(frozen=True)
class Asking:
    """How a file is asked for, `headers` beside its own, so that what comes can be judged."""

    request: FileRequest
    headers: Mapping[str, str] = field(default_factory=dict)
    name: IpfsName | None = None
    stored: Stored | None = None

    @property
    def is_resumable(self) -> bool:
        """Say whether a part of the answer can be asked for; of an archive it cannot."""
        return self.name is None

    def verifier(self, content_type: str) -> Verifier:
        """Choose how an answer of this type is judged.

        Raises:
            PermanentError: It cannot be.
        """
        if self.stored is not None:
            return ArweaveContent(self.stored)
        if self.name is None:
            return Plain()
        if content_type == CAR:
            return IpfsBlocks(self.name)
        if self.name.cid.codec == RAW and not self.name.path:
            return IpfsRaw(self.name.cid)
        raise PermanentError(
            "the gateway of IPFS does not send blocks (CAR), without which its content cannot be"
            " checked"
        )


def read_name(content_id: str) -> IpfsName | ArweaveName:
    """Read what names a content, as `FileRequest` has it.

    Raises:
        PermanentError: It names none.
    """
    network, _, name = content_id.partition(":")
    if network == "arweave":
        return ArweaveName(name)
    if network != "ipfs":
        raise PermanentError("the network of its content identifier is not known here")
    root, _, path = name.rstrip("/").partition("/")
    names = tuple(_decoded(part) for part in path.split("/")) if path else ()
    if len(names) > _MAX_NAMES or any(part in {"", ".", ".."} for part in names):
        raise PermanentError("the path below its content identifier is not valid")
    return IpfsName(read_text(root), names)


def ask_blocks(request: FileRequest, name: IpfsName) -> Asking:
    """Ask a gateway for the blocks of a file, in the order in which it is read."""
    joint = "&" if "?" in request.url else "?"
    url = f"{request.url}{joint}{BLOCKS_QUERY}"
    headers = tuple(pair for pair in request.headers if pair[0].lower() != "accept")
    asked = replace(request, url=url, headers=headers)
    return Asking(asked, BLOCKS_HEADERS, name)


def transaction_request(request: FileRequest, name: ArweaveName) -> FileRequest:
    """Ask the gateway of a content for the transaction that stored it.

    Raises:
        PermanentError: The content's URL is not that of a gateway.
    """
    base, slash, last = request.url.rpartition("/")
    if not slash or last != name.transaction:
        raise PermanentError("the file's URL is not that of its transaction of Arweave")
    return replace(request, url=f"{base.removesuffix('/raw')}/tx/{name.transaction}")


def _decoded(part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise PermanentError("the path below its content identifier is not valid") from None
