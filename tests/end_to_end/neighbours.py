"""Beside the local stack's pods: a host of a test's own on the node's network, and the node itself.

Both are the machine's: they need root, and the stack's own cluster.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from local_stack import settings
from local_stack.daemons import Daemons
from local_stack.node import CGROUP

METADATA, METADATA_6 = "169.254.169.254", "fd00:ec2::254"
_LINK = "metadata0"
_ENDS = {METADATA: ("169.254.169.253", 30), METADATA_6: ("fd00:ec2::253", 64)}
_LISTEN = """
import socket, sys
with socket.create_server(("", 80), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    print("ready", flush=True)
    while True:
        server.accept()[0].close()
"""
_SEND = """
import socket, sys
host, port, text = sys.argv[1:]
with socket.create_connection((host, int(port)), 10) as connection:
    connection.sendall(text.encode())
"""


def send_from_node(host: str, port: int, text: str = "") -> None:
    """Connect to a pod from the node, whom no policy keeps from it, and send a text."""
    _run(*_on_node(), sys.executable, "-c", _SEND, host, str(port), text)


@contextmanager
def metadata_host(name: str) -> Iterator[None]:
    """Have a host listen where a cloud's machines ask for their secrets, as long as this lasts."""
    _run("ip", "netns", "add", name)
    try:
        _join(name)
        with _listening(name):
            yield
    finally:
        with suppress(AssertionError):
            _run(*_on_node(), "ip", "link", "delete", _LINK)
        _run("ip", "netns", "delete", name)


def _join(name: str) -> None:
    """Join the host's network with the node's, which is the way to all others."""
    inside, node = ("ip", "netns", "exec", name, "ip"), (*_on_node(), "ip")
    no_detection = "net.ipv6.conf.default.accept_dad=0"
    _run("ip", "netns", "exec", name, "sysctl", "-qw", no_detection)
    peer = ("type", "veth", "peer", "name", "eth0", "netns", name)
    _run("ip", "link", "add", _LINK, "netns", str(_node_pid()), *peer)
    _run(*node, "link", "set", _LINK, "up")
    _run(*inside, "link", "set", "eth0", "up")
    for address, (other, length) in _ENDS.items():
        _run(*node, "address", "add", f"{other}/{length}", "dev", _LINK)
        _run(*inside, "address", "add", f"{address}/{length}", "dev", "eth0")
        _run(*inside, "route", "add", "default", "via", other)


@contextmanager
def _listening(name: str) -> Iterator[None]:
    words = ("ip", "netns", "exec", name, sys.executable, "-c", _LISTEN)
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()


def _on_node() -> tuple[str, ...]:
    return ("nsenter", f"--target={_node_pid()}", "--net")


def _node_pid() -> int:
    pid = Daemons(settings.LOCAL, CGROUP).pid("node")
    assert pid is not None, "the local stack has no node"
    return pid


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout
