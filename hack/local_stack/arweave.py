"""Arweave for tests: a node (arlocal) that mines when it is told to, and Arweave's own client.

arlocal listens at every address of the machine, and has no setting for that.
"""

import base64
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack import settings, toolchain
from local_stack.processes import free_ports, run, running, wait_until

_CLIENT = settings.REPOSITORY / "hack/arweave/client.js"
_READY_LIMIT = 30.0
_CLIENT_LIMIT = 60.0


@dataclass(frozen=True)
class Content:
    """What a transaction stores, and the type that it says the content has."""

    data: bytes
    type: str


@dataclass(frozen=True)
class Arweave:
    """A node that runs, which is a gateway as well."""

    gateway: str
    packages: Path
    log: Path

    def store(self, *contents: Content) -> list[str]:
        """Store each in a transaction, signed by a new wallet, and mine them; returns their ids."""
        written = [{"data": _text(one.data), "type": one.type} for one in contents]
        stored: list[str] = self._client("store", contents=written)
        return stored

    def identifies(self, transaction: str, content: bytes) -> bool:
        """Say whether a transaction's signer signed this content, and the id is the signature's."""
        return bool(self._client("verify", id=transaction, data=_text(content)))

    def _client(self, task: str, **asked: object) -> Any:
        """Run the client, which prints its answer as JSON."""
        printed = run(
            ["node", _CLIENT],
            log=self.log,
            name="Arweave's client",
            env={"PATH": os.environ["PATH"], "NODE_PATH": str(self.packages)},
            text=json.dumps({"task": task, "node": self.gateway, **asked}),
            limit=_CLIENT_LIMIT,
        )
        return json.loads(printed)


@contextmanager
def arweave(folder: Path) -> Iterator[Arweave]:
    """Run a new node in the folder for as long as the context lasts."""
    program = toolchain.ensure("arlocal")["arlocal"]
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    gateway, log = f"http://127.0.0.1:{port}", folder / "arlocal.log"
    command = (program, "--hidelogs", "--dbpath=database", str(port))
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}
    with running(command, log, cwd=folder, env=environment) as process:
        wait_until(
            lambda: _answers(gateway),
            f"The node of Arweave does not answer at {gateway}",
            limit=_READY_LIMIT,
            log=log,
            alive=lambda: process.poll() is None,
        )
        yield Arweave(gateway, program.parent / "node_modules", folder / "client.log")


def _answers(gateway: str) -> bool:
    try:
        with urllib.request.urlopen(f"{gateway}/info", timeout=5) as answer:  # noqa: S310 - http only
            return bool(json.loads(answer.read())["network"] == "arlocal.N.1")
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
