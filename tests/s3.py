"""A real S3 server for tests: a folder served by versitygw, with one bucket, `results`."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local_stack import toolchain


@dataclass(frozen=True)
class S3:
    """A server that runs: where it is, where its bucket's objects lie, and who may ask."""

    endpoint: str
    bucket: Path
    access: str = "access-for-tests"
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def credentials(self) -> dict[str, bytes]:
        """Write the contents of a store's Secret."""
        return {
            "AWS_ACCESS_KEY_ID": self.access.encode(),
            "AWS_SECRET_ACCESS_KEY": f"{self.secret}\n".encode(),
        }


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    """Run a server as long as the block runs."""
    (folder / "data/results").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = S3(f"http://127.0.0.1:{port}", folder / "data/results")
    keys = {"ROOT_ACCESS_KEY": server.access, "ROOT_SECRET_KEY": server.secret}
    program = toolchain.ensure("versitygw")["versitygw"]
    command: list[str | Path] = [program, "--port", f"127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "posix", str(folder / "data")],
            env={**keys, "PATH": os.environ["PATH"]},
            stdout=log,
            stderr=log,
        )
        try:
            _wait_for(port, process)
            yield server
        finally:
            process.kill()
            process.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("The S3 server did not answer")
