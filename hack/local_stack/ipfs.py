"""IPFS for tests: a node (Kubo) on loopback that knows no other node and asks none.

Contents go in by the node's own interface, and come out by its gateway.
"""

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_stack import toolchain
from local_stack.processes import run, running, wait_until

_READY_LIMIT = 30.0
_COMMAND_LIMIT = 30.0
_EMPTY = "bafkqaaa"  # the identifier that is its own, empty, content


@dataclass(frozen=True)
class Ipfs:
    """A node that runs, and the URL of its gateway."""

    gateway: str
    program: Path
    folder: Path

    def add(self, path: Path, *, version: int = 1) -> str:
        """Store a file or a folder; returns its content identifier, of the given version."""
        return self.add_with(path, f"--cid-version={version}")

    def identifier(self, path: Path, *, version: int = 1) -> str:
        """Compute the identifier that a file's content has, and store nothing."""
        return self.add_with(path, f"--cid-version={version}", "--only-hash")

    def add_with(self, path: Path, *words: str) -> str:
        """Store a file or a folder as `ipfs add` with these words does."""
        printed = run(
            [self.program, "add", "--recursive", "--quieter", *words, path],
            log=_log(self.folder),
            name="ipfs add",
            env=_environment(self.folder),
            limit=_COMMAND_LIMIT,
        )
        return printed.strip()


@contextmanager
def ipfs(folder: Path) -> Iterator[Ipfs]:
    """Run a new node in the folder for as long as the context lasts."""
    program = toolchain.ensure("ipfs")["ipfs"]
    log, environment = _log(folder), _environment(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Of Kubo's profiles, `test` is the one with free ports of loopback and without neighbours.
    command = (program, "daemon", "--init", "--init-profile=test", "--offline")
    with running(command, log, env=environment) as process:
        written = folder / "repository/gateway"
        wait_until(
            lambda: written.exists() and _answers(written.read_text()),
            "The node of IPFS does not answer",
            limit=_READY_LIMIT,
            log=log,
            alive=lambda: process.poll() is None,
        )
        yield Ipfs(written.read_text(), program, folder)


def _log(folder: Path) -> Path:
    return folder / "ipfs.log"


def _environment(folder: Path) -> dict[str, str]:
    return {
        "HOME": str(folder),
        "IPFS_PATH": str(folder / "repository"),
        "IPFS_TELEMETRY": "off",
        "PATH": os.defpath,
    }


def _answers(gateway: str) -> bool:
    try:
        with urllib.request.urlopen(f"{gateway}/ipfs/{_EMPTY}", timeout=5) as answer:  # noqa: S310 - http only
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError):
        return False
