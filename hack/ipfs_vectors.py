"""Prints what a real node of IPFS (Kubo) sends as blocks of files of many kinds, as JSON.

For the tests of those who read them: `PYTHONPATH=hack python hack/ipfs_vectors.py >
tests/pod_images/recorded_ipfs.json`. Blocks are made small, so that little data has many.
"""

import base64
import hashlib
import json
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local_stack.ipfs import Ipfs, ipfs

DATA = hashlib.shake_256(b"content").digest(4000)
QUERY = "format=car&car-version=1&car-order=dfs&car-dups=y&dag-scope=entity"
OLD, NEW = ("--cid-version=0",), ("--cid-version=1",)


@dataclass(frozen=True)
class Kind:
    """A file, and how it is added."""

    name: str
    data: bytes
    words: tuple[str, ...]


KINDS = (
    Kind("one raw block", DATA[:100], NEW),
    Kind("one block of version 0", DATA[:100], OLD),
    Kind("nothing", b"", OLD),
    Kind("nothing, raw", b"", NEW),
    Kind("raw leaves", DATA[:1000], (*NEW, "--chunker=size-100")),
    Kind("leaves of UnixFS", DATA[:1000], (*OLD, "--chunker=size-100")),
    Kind("several levels", DATA, (*NEW, "--chunker=size-16")),
    Kind("trickling", DATA, (*NEW, "--chunker=size-16", "--trickle")),
    Kind("the same block again and again", bytes(1000), (*NEW, "--chunker=size-100")),
    Kind("blocks within identifiers", DATA[:90], (*NEW, "--chunker=size-20", "--inline")),
    Kind("one block within its identifier", DATA[:20], (*NEW, "--inline")),
    Kind("another hash", DATA[:100], (*NEW, "--hash=sha2-512")),
)


def main() -> None:
    """Add everything to a new node, and print what its gateway sends."""
    with tempfile.TemporaryDirectory() as folder, ipfs(Path(folder) / "node") as node:
        print(json.dumps(dict(recorded(node, Path(folder))), indent=1))


def recorded(node: Ipfs, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Give each kind's name, and what is known of it."""
    for kind in KINDS:
        path = folder / "file"
        path.write_bytes(kind.data)
        yield kind.name, sent(node, node.add_with(path, *kind.words), kind.data)
    forest = folder / "forest"
    (forest / "trees").mkdir(parents=True)
    (forest / "trees/a b é.csv").write_bytes(DATA[:300])
    (forest / "other").write_bytes(DATA[:200])
    (forest / "link").symlink_to("other")
    words = (*NEW, "--chunker=size-100")
    root = node.add_with(forest, *words)
    name = f"{root}/trees/a%20b%20%C3%A9.csv"
    yield "in a folder", sent(node, name, DATA[:300])
    yield "a folder", sent(node, f"{root}/trees", b"")
    yield "a symbolic link", sent(node, f"{root}/link", b"")
    sharded = node.add_with(forest, *words, "--max-directory-links=1")
    yield "in a sharded folder", sent(node, f"{sharded}/other", b"")


def sent(node: Ipfs, name: str, data: bytes) -> dict[str, str]:
    """Ask the gateway for the blocks of what is named."""
    url = f"{node.gateway}/ipfs/{name}?{QUERY}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http only
            blocks = answer.read()
    except urllib.error.HTTPError as error:
        raise SystemExit(f"the gateway answers {error.code} for {name}") from None
    return {"name": name, "content": _text(data), "blocks": _text(blocks)}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


if __name__ == "__main__":
    main()
