"""Enforce NetworkPolicy on the node that this runs on.

`python -m network_policy --help` tells its options.

The network plugin that is chained behind the one which makes a pod's network names the pod at the
socket, and is answered when its rules are in force: so they are before any of its containers is.
"""

import argparse
import json
import logging
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from network_policy.cluster import ApiServer, Collection, Key
from network_policy.policies import Pod, placed, read_pod, read_policy, still_added
from network_policy.ruleset import View, ruleset

_NFT_SECONDS = 30
_PAUSE_SECONDS = 0.5
_ADD_SECONDS = 20
_LONGEST_LINE = 4096

log = logging.getLogger("network_policy")


class Agent:
    """Holds what is known, and keeps the table as it follows from that."""

    def __init__(self, server: ApiServer, ranges: Sequence[str], interfaces: str) -> None:
        """Prepare to follow the cluster."""
        self._server, self._ranges, self._interfaces = server, ranges, interfaces
        self._change = threading.Event()
        self._added: dict[Key, Pod] = {}
        self._lock = threading.Lock()
        self._applied = ""
        mark = self._change.set
        self._pods = Collection(server, "/api/v1/pods", mark)
        self._namespaces = Collection(server, "/api/v1/namespaces", mark)
        self._policies = Collection(server, "/apis/networking.k8s.io/v1/networkpolicies", mark)

    def run(self) -> None:
        """Keep the table for ever."""
        collections = (self._pods, self._namespaces, self._policies)
        for one in collections:
            threading.Thread(target=one.follow, daemon=True).start()
        for one in collections:
            one.listed.wait()
        while True:
            self._change.clear()
            try:
                self.apply()
            except (OSError, subprocess.TimeoutExpired) as error:
                log.warning("the rules are as they were: %s", error)
                self._change.set()
                time.sleep(_PAUSE_SECONDS)
            self._change.wait()

    def add(self, namespace: str, name: str, addresses: tuple[str, ...]) -> None:
        """Put the rules of a pod in force whose network was just made."""
        for one in (self._pods, self._namespaces, self._policies):
            if not one.listed.wait(_ADD_SECONDS):
                raise OSError("the cluster was not seen yet")
        pod = read_pod(self._server.pod(namespace, name))
        if pod is None:
            raise OSError(f"{namespace}/{name} has no network of its own")
        with self._lock:
            self._added[(namespace, name)] = replace(pod, addresses=addresses)
        self.apply()

    def forget(self, namespace: str, name: str) -> None:
        """Take back what was said of a pod: its network is gone."""
        with self._lock:
            self._added.pop((namespace, name), None)
        self._change.set()

    def apply(self) -> None:
        """Bring the table to what is known now; raises OSError where nftables will not have it."""
        with self._lock:
            text = ruleset(self._view(), self._ranges, self._interfaces)
            if text == self._applied:
                return
            done = subprocess.run(
                ["nft", "--file", "-"],
                input=text,
                text=True,
                capture_output=True,
                timeout=_NFT_SECONDS,
                check=False,
            )
            if done.returncode:
                raise OSError(f"nft: {done.stderr.strip()}")
            self._applied = text

    def _view(self) -> View:
        bodies = self._pods.objects()
        self._added = still_added(bodies, self._added)
        namespaces = {
            name: body["metadata"].get("labels") or {}
            for (_, name), body in self._namespaces.objects().items()
        }
        policies = (read_policy(body) for _, body in sorted(self._policies.objects().items()))
        return View(placed(bodies, self._added), namespaces, tuple(policies))


class _Plugin(socketserver.StreamRequestHandler):
    """Reads one line of JSON, answers with one: what is wrong, or an empty word."""

    def handle(self) -> None:
        agent: Agent = self.server.agent  # type: ignore[attr-defined]  # set below
        try:
            asked = json.loads(self.rfile.readline(_LONGEST_LINE))
            namespace, name = str(asked["namespace"]), str(asked["name"])
            if asked["command"] == "ADD":
                addresses = tuple(str(ip_address(one)) for one in asked["addresses"])
                agent.add(namespace, name, addresses)
            else:
                agent.forget(namespace, name)
            answer = ""
        except (OSError, ValueError, KeyError, TypeError, subprocess.TimeoutExpired) as error:
            answer = str(error) or type(error).__name__
            log.warning("a pod's rules are not in force: %s", answer)
        self.wfile.write(json.dumps({"error": answer}).encode() + b"\n")


class _Socket(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> int:
    """Run the agent."""
    parser = argparse.ArgumentParser(prog="network_policy", description=__doc__)
    parser.add_argument("--server", required=True, help="URL of the API server")
    parser.add_argument("--authority", type=Path, required=True, help="who signed for the server")
    parser.add_argument("--certificate", type=Path, required=True, help="of this agent")
    parser.add_argument("--key", type=Path, required=True, help="of this agent")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--range", action="append", required=True, help="addresses of pods")
    parser.add_argument("--interfaces", default="veth*", help="names of the pods' ends here")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    server = ApiServer(options.server, options.authority, options.certificate, options.key)
    agent = Agent(server, options.range, options.interfaces)
    options.socket.unlink(missing_ok=True)
    with _Socket(str(options.socket), _Plugin) as plugins:
        plugins.agent = agent  # type: ignore[attr-defined]  # read above
        threading.Thread(target=plugins.serve_forever, daemon=True).start()
        agent.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
