"""A plain client of the API server under test: objects in, the server's own words out."""

import http.client
import json
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

Body = dict[str, Any]
_SECONDS = 30
_IDLE_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    code: int
    body: Body

    @property
    def accepted(self) -> bool:
        """Say whether the request was granted."""
        return self.code < 300

    @property
    def message(self) -> str:
        """The reason of a refusal."""
        return str(self.body.get("message", ""))


class ApiServer:
    """One connection of the administrator; unknown fields are refused, as `kubectl apply` asks."""

    def __init__(self, kubeconfig: Path) -> None:
        """Connect as the kubeconfig says; the keys lie beside it."""
        server = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        context = ssl.create_default_context(cafile=str(kubeconfig.with_name("ca.crt")))
        context.load_cert_chain(
            kubeconfig.with_name("admin.crt"), kubeconfig.with_name("admin.key")
        )
        where = urlsplit(server)
        self._connection = http.client.HTTPSConnection(
            where.hostname or "", where.port, timeout=_SECONDS, context=context
        )
        self._used = time.monotonic()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def request(self, method: str, path: str, body: Body | None = None, **query: str) -> Answer:
        """Send one request."""
        if time.monotonic() - self._used > _IDLE_SECONDS:
            self._connection.close()  # the server does so, too, after a while: connect anew
        kind = "merge-patch+json" if method == "PATCH" else "json"
        self._connection.request(
            method,
            f"{path}?{urlencode({'fieldValidation': 'Strict', **query} if body else query)}",
            None if body is None else json.dumps(body),
            {"Content-Type": f"application/{kind}", "Accept": "application/json"},
        )
        response = self._connection.getresponse()
        answer = Answer(response.status, json.loads(response.read()))
        self._used = time.monotonic()
        return answer

    def create(self, body: Body, namespace: str, **query: str) -> Answer:
        """Create an object of the project's group."""
        return self.request("POST", self._path(body, namespace), body, **query)

    def replace(self, body: Body, namespace: str, subresource: str = "", **query: str) -> Answer:
        """Put an object in the place of the one that has its name."""
        path = f"{self._path(body, namespace)}/{body['metadata']['name']}{subresource}"
        return self.request("PUT", path, body, **query)

    @staticmethod
    def _path(body: Body, namespace: str) -> str:
        return f"/apis/{body['apiVersion']}/namespaces/{namespace}/{body['kind'].lower()}s"
