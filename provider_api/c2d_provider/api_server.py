"""The transport to the Kubernetes API: the provider's only module that knows its client.

Dicts in, dicts out. Every call has a time limit; what the API server answers becomes one of the
errors below, in words that can be logged.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, ApiException, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.aio.dynamic import DynamicClient

from c2d_provider.ports import UnavailableError

Json = dict[str, Any]

PAGE = 500
_JSON_PATCH = "application/json-patch+json"
_NOT_FOUND, _CONFLICT, _GONE, _INVALID = 404, 409, 410, 422
_REFUSALS = frozenset({400, 403, 405, 413, 415, _INVALID})


class ApiError(Exception):
    """Something that the API server would not do."""


class NotFoundError(ApiError):
    """The object, or the namespace it should be in, is not there."""


class ConflictError(ApiError):
    """The object is not what the request was meant for: it changed or is another one."""


class AlreadyExistsError(ApiError):
    """An object of this name is there."""


class GoneError(ApiError):
    """A watch cannot go on from where it was: everything is to be listed anew."""


class DeniedError(ApiError):
    """The API server will not have it: it is malformed, forbidden or against a policy."""


@dataclass(frozen=True)
class Kind:
    """Where a kind is served."""

    prefix: str
    plural: str

    def path(self, namespace: str, name: str = "") -> str:
        """Build the path of a collection or an object."""
        parts = ["", self.prefix, "namespaces", namespace, self.plural]
        return "/".join([*parts, name] if name else parts)


KINDS: Mapping[str, Kind] = {
    "ComputeJob": Kind("apis/computetodata.io/v1alpha1", "computejobs"),
    "ComputeEnvironment": Kind("apis/computetodata.io/v1alpha1", "computeenvironments"),
    "ConfigMap": Kind("api/v1", "configmaps"),
    "Pod": Kind("api/v1", "pods"),
    "Secret": Kind("api/v1", "secrets"),
}
_TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path


class ApiServer:
    """Reads, writes and watches objects of the kinds in `KINDS`.

    Every method raises `UnavailableError` where no answer comes in time, or one to come again.
    """

    def __init__(self, client: DynamicClient, timeout: float) -> None:
        """Take a client and the time limit of one request, in seconds."""
        self._client = client
        self._timeout = timeout

    async def read(self, kind: str, namespace: str, name: str) -> Json | None:
        """Read one object from the API server itself; None if it is not there."""
        try:
            return await self._request("GET", KINDS[kind].path(namespace, name))
        except NotFoundError:
            return None

    async def pages(
        self, kind: str, namespace: str, selector: str = ""
    ) -> AsyncIterator[tuple[list[Json], str]]:
        """List a collection by pages; each comes with the resource version of the list."""
        token = ""
        while True:
            query = [("limit", str(PAGE))]
            query += [("labelSelector", selector)] if selector else []
            query += [("continue", token)] if token else []
            page = await self._request("GET", KINDS[kind].path(namespace), query=query)
            yield page["items"], page["metadata"]["resourceVersion"]
            token = page["metadata"].get("continue", "")
            if not token:
                return

    async def create(self, kind: str, namespace: str, manifest: Mapping[str, Any]) -> Json:
        """Create an object; a field that its schema does not know is an error."""
        path = KINDS[kind].path(namespace)
        query = [("fieldValidation", "Strict")]
        return await self._request("POST", path, dict(manifest), query=query)

    async def replace(self, kind: str, namespace: str, body: Json) -> Json:
        """Put an object in the place of the one that has its name and resource version."""
        path = KINDS[kind].path(namespace, body["metadata"]["name"])
        return await self._request("PUT", path, body)

    async def patch(
        self, kind: str, namespace: str, name: str, uid: str, *operations: Json
    ) -> Json:
        """Apply a JSON patch to the object of this uid; a `test` that fails is a conflict."""
        test = {"op": "test", "path": "/metadata/uid", "value": uid}
        path = KINDS[kind].path(namespace, name)
        return await self._request("PATCH", path, [test, *operations], content_type=_JSON_PATCH)

    async def delete(self, kind: str, namespace: str, name: str, uid: str) -> Json:
        """Delete the object with this uid, and no other of its name."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        return await self._request("DELETE", KINDS[kind].path(namespace, name), options)

    async def review_token(self, token: str, audience: str) -> Json:
        """Ask whose token this is; returns the review's status."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        reviewed = await self._request("POST", _TOKEN_REVIEWS, body)
        return dict(reviewed.get("status") or {})

    async def watch(
        self, kind: str, namespace: str, version: str, *, seconds: int, silence: float
    ) -> AsyncIterator[Json]:
        """Follow the changes of a collection since a resource version, with bookmarks.

        The stream ends after `seconds`; one that says nothing for `silence` seconds is given up.

        Raises:
            GoneError: The version is too old.
        """
        query = [("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", version)]
        query += [("timeoutSeconds", str(seconds))]
        limit = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=silence)
        try:
            response = await self._client.request(
                "GET",
                KINDS[kind].path(namespace),
                query_params=query,
                serialize=False,
                _request_timeout=limit,
            )
            try:
                while line := await response.content.readline():
                    yield _event(line)
            finally:
                _abort(response)
        except ApiException as error:
            raise _translated(error, "GET") from None
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise _no_answer(error) from error

    async def _request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: list[tuple[str, str]] | None = None,
        content_type: str | None = None,
    ) -> Json:
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._client.request(
                    method,
                    path,
                    body,
                    query_params=query or [],
                    content_type=content_type,
                    serialize=False,
                    _request_timeout=aiohttp.ClientTimeout(total=self._timeout),
                )
                answer: Json = await response.json()
        except ApiException as error:
            raise _translated(error, method) from None
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise _no_answer(error) from error
        return answer


def _abort(response: aiohttp.ClientResponse) -> None:
    """Drop a watch's connection at once: closing it politely outlives the program's loop."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


def _no_answer(error: Exception) -> UnavailableError:
    return UnavailableError(f"the cluster did not answer ({type(error).__name__})")


def _event(line: bytes) -> Json:
    event: Json = json.loads(line)
    if event["type"] != "ERROR":
        return event
    status = event["object"]
    if status.get("code") == _GONE:
        raise GoneError(str(status.get("message")))
    raise UnavailableError("the cluster broke off a watch")


def _translated(error: ApiException, method: str) -> Exception:
    status = _status_body(error)
    message = str(status.get("message") or error.reason or f"HTTP {error.status}")
    code = error.status
    if code == _NOT_FOUND:
        return NotFoundError(message)
    if code == _GONE:
        return GoneError(message)
    if code == _CONFLICT or (code == _INVALID and method == "PATCH"):
        exists = status.get("reason") == "AlreadyExists"
        return AlreadyExistsError(message) if exists else ConflictError(message)
    if code in _REFUSALS:
        return DeniedError(message)
    return UnavailableError("the cluster asks to come again later")


def _status_body(error: ApiException) -> Json:
    try:
        body = json.loads(error.body or "")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


@asynccontextmanager
async def connect(time_limit: float, kubeconfig: str | None = None) -> AsyncIterator[ApiServer]:
    """Connect as the pod's ServiceAccount, or by the kubeconfig where there is none.

    Args:
        time_limit: Seconds after which a request counts as not answered.
        kubeconfig: The file to use outside of a cluster; the user's default if None.
    """
    configuration = Configuration()
    try:
        load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # the client is untyped
    except ConfigException:
        await load_kube_config(kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]  # as above
    async with ApiClient(configuration) as client:
        dynamic = DynamicClient(client)  # type: ignore[no-untyped-call]  # as above
        yield ApiServer(dynamic, time_limit)
