"""The canary: takes connections and closes them, as a sign that it could be reached.

Loaders reach it and algorithms do not, which is how each job shows that its network is closed.
"""

import argparse
import signal
import socket
from collections.abc import Sequence

PORT = 8033
BACKLOG = 512


def main(arguments: Sequence[str] | None = None) -> None:
    """Listen on all addresses, of both families where there are both, until asked to stop."""
    parser = argparse.ArgumentParser(prog="python3 -m c2d_pods.canary", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help="where to listen")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as process 1 it would be deaf to it
    with _listener(options.port) as listener:
        while True:
            connection, _ = listener.accept()
            connection.close()


def _listener(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
        )
    return socket.create_server(("", port), backlog=BACKLOG)


if __name__ == "__main__":
    main()
