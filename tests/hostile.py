"""A web server that misbehaves: it cuts, stalls, lies, floods, and does as each path says.

It speaks on bare sockets in threads of its own, so that it can break any rule and serve pods of
a cluster while a test waits.
"""

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import cast

MIB = 2**20


@dataclass(frozen=True)
class Content:
    """A file of any size that takes no room: each mebibyte tells its place and its version."""

    size: int
    version: int = 1

    @property
    def tag(self) -> str:
        """What tells versions apart, as a header holds it."""
        return f'"{self.version}-{self.size}"'

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Bring the bytes from `start` up to, not including, `end`."""
        end = self.size if end is None else min(end, self.size)
        rest = bytes(range(256)) * (MIB // 256)
        for number in range(start // MIB, -(-end // MIB)):
            block = (b"%015d %015d " % (self.version, number) + rest)[:MIB]
            yield block[max(0, start - number * MIB) : end - number * MIB]


class Request(BaseHTTPRequestHandler):
    """A request, and what its answer is made with."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.close_connection = True
        path = self.path.partition("?")[0]
        number = self.server.take_note(path, dict(self.headers))
        answer = self.server.answers.get(path)
        with suppress(OSError):  # the client leaves, as it may
            if answer is None:
                self.head(404, {"Content-Length": "0"})
            else:
                answer(self, number)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base has it so
        """Say nothing."""

    @property
    def start(self) -> int:
        """The first byte that is asked for."""
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Begin an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, content: Content, start: int = 0, end: int | None = None) -> None:
        """Send a part of a file."""
        for piece in content.pieces(start, end):
            self.wfile.write(piece)

    def begin(self, content: Content, *, ranges: bool = True) -> int:
        """Begin the whole or the part that is asked for, as an honest server; tell its start."""
        start = self.start if ranges and self.headers.get("If-Range") == content.tag else 0
        headers = {"ETag": content.tag, "Content-Length": str(content.size - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{content.size - 1}/{content.size}"
        self.head(206 if start else 200, headers)
        return start


Answer = Callable[[Request, int], None]
"""Answers a request, given how many there were of its path before."""


class Server(ThreadingHTTPServer):
    """Misbehaves as its `answers` say, path by path, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), Request)
        self.answers: dict[str, Answer] = {}
        self.asked: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.closing = threading.Event()
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str) -> str:
        return f"http://{cast('str', self.server_address[0])}:{self.port}{path}"

    def take_note(self, path: str, headers: dict[str, str]) -> int:
        with self._lock:
            self.asked[path].append(headers)
            return len(self.asked[path]) - 1


@contextmanager
def serving(address: str) -> Iterator[Server]:
    """Run a server on an address of this machine, on a port that is free."""
    with Server(address) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


def cut(content: Content, *places: int, hold: Callable[[], None] = lambda: None) -> Answer:
    """Cut the connection at these places; before its last mebibyte the file is held back."""

    def answer(request: Request, number: int) -> None:
        start = request.begin(content)
        if number < len(places):
            request.send(content, start, places[number])
            return
        request.send(content, start, content.size - MIB)
        hold()
        request.send(content, max(start, content.size - MIB))

    return answer


def cut_without_ranges(content: Content, place: int) -> Answer:
    """Cut once, and then know nothing of ranges."""

    def answer(request: Request, number: int) -> None:
        request.begin(content, ranges=False)
        request.send(content, 0, None if number else place)

    return answer


def changed_half_way(old: Content, new: Content) -> Answer:
    """Cut the old file in its middle, and have another one by then."""

    def answer(request: Request, number: int) -> None:
        content = new if number else old
        start = request.begin(content)
        request.send(content, start, None if number else old.size // 2)

    return answer


def changed_unsaid(old: Content, new: Content) -> Answer:
    """Send the rest of another file under the old one's name, and the whole if that is asked."""

    def answer(request: Request, number: int) -> None:
        said = Content(old.size, old.version)
        start = request.begin(said)
        content = new if number else old
        request.send(content, start, None if number else old.size // 2)

    return answer


def wrong_part(content: Content) -> Answer:
    """Cut once, and send another part than the one that is asked for."""

    def answer(request: Request, number: int) -> None:
        if not number:
            request.begin(content)
            request.send(content, 0, content.size // 2)
        elif request.start:
            part = f"bytes {MIB}-{content.size - 1}/{content.size}"
            length = str(content.size - MIB)
            headers = {"ETag": content.tag, "Content-Range": part, "Content-Length": length}
            request.head(206, headers)
            request.send(content, MIB)
        else:
            request.begin(content)
            request.send(content)

    return answer


def lying(content: Content, length: int) -> Answer:
    """Announce another length than the file has."""

    def answer(request: Request, _: int) -> None:
        request.head(200, {"Content-Length": str(length)})
        request.send(content)

    return answer


def announcing(length: int) -> Answer:
    """Announce a length, and send nothing."""

    def answer(request: Request, _: int) -> None:
        request.head(200, {"Content-Length": str(length)})
        request.server.closing.wait(600)

    return answer


def stalling(content: Content, place: int) -> Answer:
    """Send a part, and then nothing, without an end."""

    def answer(request: Request, _: int) -> None:
        request.begin(content, ranges=False)
        request.send(content, 0, place)
        request.server.closing.wait(600)

    return answer


def dripping(content: Content) -> Answer:
    """Send a byte a second."""

    def answer(request: Request, _: int) -> None:
        request.begin(content, ranges=False)
        for piece in content.pieces():
            for place in range(len(piece)):
                if request.server.closing.wait(1):
                    return
                request.wfile.write(piece[place : place + 1])

    return answer


def endless(most: int) -> Answer:
    """Send a body that has no announced end; the bound is for the machine's sake."""

    def answer(request: Request, _: int) -> None:
        request.head(200, {"Connection": "close"})
        for number in count():
            if number * MIB >= most or request.server.closing.is_set():
                return
            request.wfile.write(bytes(MIB))

    return answer


def redirecting(location: str) -> Answer:
    """Send the client elsewhere."""

    def answer(request: Request, _: int) -> None:
        request.head(302, {"Location": location, "Content-Length": "0"})

    return answer


def busy(content: Content, times: int, seconds: int) -> Answer:
    """Ask to come again so many times, then send the file."""

    def answer(request: Request, number: int) -> None:
        if number < times:
            request.head(503, {"Retry-After": str(seconds), "Content-Length": "0"})
        else:
            request.send(content, request.begin(content))

    return answer
