"""`python3 -m local_stack up|down|status`: the command line."""

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from local_stack import external, own, settings
from local_stack.console import StackError, say

_DESCRIPTION = """\
A real Kubernetes cluster on this machine with the project installed in it. Takes root, on Debian.

With KUBECONFIG or CONTEXT (and REGISTRY) in the environment it installs in that cluster instead.
See hack/README.md.
"""


def main() -> int:
    """Run a command; its exit code says whether it worked."""
    arguments = _parser().parse_args()
    try:
        _check_machine()
        with _alone(arguments.command):
            return _perform(arguments)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: run the same command again, or `down`", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m local_stack",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring up what is not, and apply what has changed")
    up.add_argument(
        "--until",
        choices=("node", "images"),
        help="stop when there is a cluster, or when all images are built; install nothing",
    )
    commands.add_parser("down", help="end everything and remove all but the caches")
    commands.add_parser("status", help="print what runs; fails unless all is ready")
    return parser


def _perform(arguments: argparse.Namespace) -> int:
    wishes = external.Wishes(os.environ)
    match arguments.command, wishes.given:
        case "up", True:
            external.up(wishes)
        case "up", False:
            own.up(until=arguments.until)
        case "down", True:
            external.down(wishes)
        case "down", False:
            external.remove()
            own.down()
        case _:
            return 0 if own.status() else 1
    return 0


def _check_machine() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise StackError("The local stack needs Linux and root: it makes namespaces and images")


@contextmanager
def _alone(command: str) -> Iterator[None]:
    """Wait for other commands on this machine: two at a time would take apart each other's work."""
    settings.CACHE.mkdir(parents=True, exist_ok=True)
    with (settings.CACHE / "stack.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            say(f"Waiting for another command to end: {lock.read().strip()}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(f"`{command}` in {settings.REPOSITORY} (process {os.getpid()})")
        lock.flush()
        yield


if __name__ == "__main__":
    sys.exit(main())
