"""Running programs: commands that end, and waiting for what takes a while.

Whatever a program prints goes to a log file, and an error names the file and shows its end.
"""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from local_stack.console import StackError

_SHOWN_LINES = 15
_POLL_SECONDS = 0.1
_STOP_LIMIT = 10.0


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    name: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    text: str | None = None,
    limit: float | None = None,
) -> str:
    """Run a command to its end, feed it `text`, and return what it printed to standard output."""
    words = [str(word) for word in command]
    name = name or " ".join(words[:3])
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as errors:
        try:
            done = subprocess.run(
                words,
                cwd=cwd,
                env=env,
                input=text,
                stdin=subprocess.DEVNULL if text is None else None,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                timeout=limit,
                check=False,
            )
        except FileNotFoundError as error:
            raise StackError(f"{words[0]} is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise failure(f"{name} did not end within {limit:.0f} s", log) from error
        if done.returncode:
            errors.write(done.stdout)
            errors.flush()
            raise failure(f"{name} failed with exit code {done.returncode}", log)
    return done.stdout


def failure(message: str, log: Path) -> StackError:
    """Make an error that names the log file and shows how it ends."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    shown = "".join(f"\n    {line}" for line in lines[-_SHOWN_LINES:])
    return StackError(f"{message}\n  Log: {log}{shown}")


def wait_until(
    ready: Callable[[], bool],
    what: str,
    *,
    limit: float,
    log: Path,
    alive: Callable[[], bool] = lambda: True,
) -> None:
    """Wait for a predicate; fail when its process dies or the limit (in seconds) has passed."""
    end = time.monotonic() + limit
    while not ready():
        if not alive():
            raise failure(f"{what}: its process ended", log)
        if time.monotonic() > end:
            raise failure(f"{what}: not within {limit:.0f} s", log)
        time.sleep(_POLL_SECONDS)


@contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for as long as the context lasts, and not longer than this process."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            tied_to_parent(command),
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports(count: int) -> list[int]:
    """Find ports of loopback that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def tied_to_parent(command: Sequence[str | Path]) -> list[str]:
    """Prefix a command so that it is killed when the process that starts it dies."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *(str(word) for word in command)]


def quiet_environment() -> dict[str, str]:
    """Copy the environment without the variables that would point programs at other clusters."""
    hidden = ("KUBECONFIG", "CONTEXT", "REGISTRY")
    return {name: value for name, value in os.environ.items() if name not in hidden}
