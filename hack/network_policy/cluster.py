"""The API server as the agent needs it: whole collections, followed for as long as it runs."""

import http.client
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

Json = dict[str, Any]
Key = tuple[str, str]

_CONNECT_SECONDS = 10
_WATCH_SECONDS = 300
_SILENCE_SECONDS = _WATCH_SECONDS + 30
_PAUSE_SECONDS = 0.5
_GONE = 410

log = logging.getLogger("network_policy")


class ApiServer:
    """Opens connections, each for one request, with a client's certificate."""

    def __init__(self, url: str, authority: Path, certificate: Path, key: Path) -> None:
        """Read the files; `authority` has signed the server's certificate."""
        server = urlsplit(url)
        self._place = server.hostname or "", server.port or 443
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._tls.load_cert_chain(certificate, key)

    def get(self, path: str, seconds: float = _CONNECT_SECONDS) -> http.client.HTTPResponse:
        """Ask for a path; the answer's body is still to be read.

        Raises:
            OSError: The server does not answer, or not with 200.
        """
        host, port = self._place
        connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=self._tls)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            response = connection.getresponse()
        except http.client.HTTPException as error:
            raise OSError(f"{path}: {error!r}") from None
        if response.status != http.client.OK:
            raise OSError(f"{path}: {response.status}")
        return response

    def pod(self, namespace: str, name: str) -> Json:
        """Read one pod as it is now."""
        found = json.load(self.get(f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}"))
        return dict(found)


class Collection:
    """All objects of a kind, kept as they change; a watch that ends or fails is begun anew."""

    def __init__(self, server: ApiServer, path: str, changed: Callable[[], None]) -> None:
        """Prepare to follow a path; `changed` is called after every change."""
        self._server, self._path, self._changed = server, path, changed
        self._objects: dict[Key, Json] = {}
        self._lock = threading.Lock()
        self.listed = threading.Event()

    def follow(self) -> None:
        """Follow the collection for ever."""
        while True:
            try:
                self._watch(self._list())
            except (OSError, ValueError, http.client.HTTPException) as error:
                log.warning("%s is followed anew: %s", self._path, error)
                time.sleep(_PAUSE_SECONDS)

    def objects(self) -> Mapping[Key, Json]:
        """Copy what there is, by namespace and name."""
        with self._lock:
            return dict(self._objects)

    def _list(self) -> str:
        body = json.load(self._server.get(self._path))
        found = {_key(one): one for one in body["items"]}
        with self._lock:
            self._objects = found
        self.listed.set()
        self._changed()
        return str(body["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> None:
        query = f"watch=true&timeoutSeconds={_WATCH_SECONDS}&resourceVersion={version}"
        with self._server.get(f"{self._path}?{query}", _SILENCE_SECONDS) as stream:
            for line in stream:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise OSError(event["object"].get("message", "the watch broke off"))
                self._take(event["type"], event["object"])

    def _take(self, kind: str, body: Json) -> None:
        with self._lock:
            if kind == "DELETED":
                self._objects.pop(_key(body), None)
            else:
                self._objects[_key(body)] = body
        self._changed()


def _key(body: Json) -> Key:
    meta = body["metadata"]
    return meta.get("namespace", ""), meta["name"]
