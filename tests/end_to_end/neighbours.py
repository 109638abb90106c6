"""Beside the local stack's pods: hosts of a test's own on the node's network, and the node itself.

Both are the machine's: they need root, and the stack's own cluster.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from local_stack import settings
from local_stack.daemons import Daemons
from local_stack.node import CGROUP

Ends = Mapping[str, tuple[str, int]]
"""Addresses of a host, each with the node's end of the link and the length of their prefix."""

METADATA, METADATA_6 = "169.254.169.254", "fd00:ec2::254"
PUBLIC, PUBLIC_6 = "93.184.216.34", "2606:2800:220:1::1"
"""Addresses that no rule sets apart; no way leads out of the stack, so a test may give them."""

_METADATA_ENDS = {METADATA: ("169.254.169.253", 30), METADATA_6: ("fd00:ec2::253", 64)}
_PUBLIC_ENDS = {PUBLIC: ("93.184.216.33", 30), PUBLIC_6: ("2606:2800:220:1::2", 64)}
_LISTEN = """
import socket, sys
with socket.create_server(("", 80), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    print("ready", flush=True)
    while True:
        server.accept()[0].close()
"""
_RESOLVE = """
import socket, sys
address = socket.inet_aton(sys.argv[1])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("", 53))
    print("ready", flush=True)
    while True:
        query, client = server.recvfrom(512)
        end = query.index(0, 12) + 5
        asks_ipv4 = query[end - 4 : end - 2] == bytes([0, 1])
        count = bytes([0, 1]) if asks_ipv4 else bytes(2)
        record = bytes([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]) + address if asks_ipv4 else b""
        head = query[:2] + bytes([0x81, 0x80, 0, 1]) + count + bytes(4)
        server.sendto(head + query[12:end] + record, client)
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
    with _host(name, "metadata0", _METADATA_ENDS), _running(name, _LISTEN):
        yield


@contextmanager
def public_host(name: str) -> Iterator[None]:
    """Have a host at public addresses, as long as this lasts; each name it is asked for is its own.

    It listens where web servers do, and answers where resolvers do.
    """
    with (
        _host(name, "public0", _PUBLIC_ENDS),
        _running(name, _LISTEN),
        _running(name, _RESOLVE, PUBLIC),
    ):
        yield


@contextmanager
def _host(name: str, link: str, ends: Ends) -> Iterator[None]:
    _run("ip", "netns", "add", name)
    try:
        _join(name, link, ends)
        yield
    finally:
        with suppress(AssertionError):
            _run(*_on_node(), "ip", "link", "delete", link)
        _run("ip", "netns", "delete", name)


def _join(name: str, link: str, ends: Ends) -> None:
    """Join the host's network with the node's, which is the way to all others."""
    inside, node = ("ip", "netns", "exec", name, "ip"), (*_on_node(), "ip")
    no_detection = "net.ipv6.conf.default.accept_dad=0"
    _run("ip", "netns", "exec", name, "sysctl", "-qw", no_detection)
    peer = ("type", "veth", "peer", "name", "eth0", "netns", name)
    _run("ip", "link", "add", link, "netns", str(_node_pid()), *peer)
    _run(*node, "link", "set", link, "up")
    _run(*inside, "link", "set", "eth0", "up")
    for address, (other, length) in ends.items():
        _run(*node, "address", "add", f"{other}/{length}", "dev", link)
        _run(*inside, "address", "add", f"{address}/{length}", "dev", "eth0")
        _run(*inside, "route", "add", "default", "via", other)


@contextmanager
def _running(name: str, code: str, *words: str) -> Iterator[None]:
    command = ("ip", "netns", "exec", name, sys.executable, "-c", code, *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
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
