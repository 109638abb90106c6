"""The Kubernetes API: the only module that knows its client.

Dicts in, dicts out. Every call waits for its turn in a token bucket and has a time limit; what
the API server answers becomes one of the errors below, in words that can be shown.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import aiohttp
from kubernetes.aio.client import ApiClient, ApiException, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.aio.dynamic import DynamicClient

Json = dict[str, Any]
Answer = TypeVar("Answer")

PAGE = 500
LOG_LINES, LOG_BYTES, LOG_SECONDS = 20, 16 * 1024, 3.0
_MERGE_PATCH = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_APPLY_PATCH = "application/apply-patch+yaml"
_FORBIDDEN, _NOT_FOUND, _CONFLICT, _INVALID = 403, 404, 409, 422
_REFUSALS = frozenset({400, _FORBIDDEN, 405, 413, 415, _INVALID})
_FIELD_MANAGER = "c2d-operator"


class ClusterError(Exception):
    """Something that the API server did not do."""


class NotFoundError(ClusterError):
    """The object, or the namespace it should be in, is not there."""


class ConflictError(ClusterError):
    """The object is not what the request was meant for: it changed or is another one."""


class AlreadyExistsError(ClusterError):
    """An object of this name is there."""


class RefusedError(ClusterError):
    """The API server will not have it; `final` where the same request cannot succeed later."""

    def __init__(self, message: str, *, final: bool) -> None:
        """Keep the API server's words."""
        super().__init__(message)
        self.final = final


class UnavailableError(ClusterError):
    """No answer, or one that asks to come again; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        """Keep how long the API server asked to wait."""
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Kind:
    """Where a kind is served."""

    prefix: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Build the path of a collection, an object or a subresource."""
        parts = ["", self.prefix]
        if self.namespaced:
            parts += ["namespaces", namespace]
        return "/".join([*parts, self.plural, *filter(None, (name, subresource))])


KINDS: Mapping[str, Kind] = {
    "ComputeJob": Kind("apis/computetodata.io/v1alpha1", "computejobs"),
    "ComputeEnvironment": Kind("apis/computetodata.io/v1alpha1", "computeenvironments"),
    "Pod": Kind("api/v1", "pods"),
    "PersistentVolumeClaim": Kind("api/v1", "persistentvolumeclaims"),
    "ServiceAccount": Kind("api/v1", "serviceaccounts"),
    "NetworkPolicy": Kind("apis/networking.k8s.io/v1", "networkpolicies"),
    "StorageClass": Kind("apis/storage.k8s.io/v1", "storageclasses", namespaced=False),
    "Lease": Kind("apis/coordination.k8s.io/v1", "leases"),
    "Event": Kind("api/v1", "events"),
}


SHOWN_WITHOUT_CONTENT: Mapping[str, Kind] = {
    "Secret": Kind("api/v1", "secrets"),
    "PersistentVolumeClaim": KINDS["PersistentVolumeClaim"],
}
"""What is read by its metadata alone. A Secret has no other way in: its content stays outside."""


class TokenBucket:
    """Lets through `burst` requests at once and `rate` a second after that, in order."""

    def __init__(self, rate: float, burst: int) -> None:
        """Begin with a full bucket."""
        self._rate = rate
        self._slack = burst / rate
        self._next = 0.0

    async def wait(self) -> None:
        """Wait until a request may be sent."""
        now = asyncio.get_running_loop().time()
        self._next = max(self._next, now - self._slack) + 1 / self._rate
        if self._next > now:
            await asyncio.sleep(self._next - now)


class Cluster:
    """Reads and writes objects of the kinds in `KINDS`."""

    def __init__(
        self,
        client: DynamicClient,
        bucket: TokenBucket,
        timeout: float,
        count: Callable[[str, str, int], None],
        fence: Callable[[], float] | None = None,
    ) -> None:
        """Take a client, a budget of requests, and the time limit of one, in seconds.

        `count` is told method, resource and code of every request; `fence` tells for how many
        seconds this process may still write.
        """
        self._client = client
        self._bucket = bucket
        self._timeout = timeout
        self._count = count
        self._fence = fence

    def fenced(self, fence: Callable[[], float]) -> Self:
        """Return the same cluster, written to only while the fence allows."""
        return type(self)(self._client, self._bucket, self._timeout, self._count, fence)

    async def read(self, kind: str, namespace: str, name: str) -> Json | None:
        """Read one object from the API server itself; None if it is not there."""
        try:
            return await self._request("GET", KINDS[kind].path(namespace, name))
        except NotFoundError:
            return None

    async def read_metadata(self, kind: str, namespace: str, name: str) -> Json | None:
        """Read the metadata of one object, which comes without the rest; None if it is not there.

        An API server that cannot leave the rest out answers with an error.
        """
        path = SHOWN_WITHOUT_CONTENT[kind].path(namespace, name)
        try:
            answer = await self._answer("GET", path, _Reading(_json, accept=_METADATA))
        except NotFoundError:
            return None
        return dict(answer["metadata"])

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

    async def warnings(self, namespace: str, uid: str) -> list[Json]:
        """List the events that warn about one object."""
        query = [("fieldSelector", f"involvedObject.uid={uid},type=Warning"), ("limit", str(PAGE))]
        page = await self._request("GET", KINDS["Event"].path(namespace), query=query)
        return list(page["items"])

    async def end_of_log(self, namespace: str, pod: str) -> str:
        """Read the last lines of a pod's log, at once and no more than `LOG_BYTES` of them.

        The node answers, not the API server alone; it is not waited for long.
        """
        query = [("tailLines", str(LOG_LINES)), ("limitBytes", str(LOG_BYTES))]
        path = KINDS["Pod"].path(namespace, pod, "log")
        return await self._answer("GET", path, _Reading(_log, LOG_SECONDS), query=query)

    async def create(self, kind: str, namespace: str, manifest: Json) -> Json:
        """Create an object."""
        return await self._request("POST", KINDS[kind].path(namespace), manifest)

    async def delete(
        self, kind: str, namespace: str, name: str, uid: str, grace: int | None = None
    ) -> Json:
        """Delete the object with this uid, and no other of its name; `grace` is in seconds."""
        options: Json = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        return await self._request("DELETE", KINDS[kind].path(namespace, name), options)

    async def write_status(
        self, kind: str, namespace: str, name: str, version: str, status: Json
    ) -> Json:
        """Write the status of an object that still has this resource version."""
        return await self.write(kind, namespace, name, version, {"status": status}, "status")

    async def write(
        self,
        kind: str,
        namespace: str,
        name: str,
        version: str,
        part: Json,
        subresource: str = "",
    ) -> Json:
        """Merge a part into an object that still has this resource version."""
        body = {"metadata": {"resourceVersion": version}, **part}
        path = KINDS[kind].path(namespace, name, subresource)
        return await self._request("PATCH", path, body, content_type=_MERGE_PATCH)

    async def patch(self, kind: str, namespace: str, name: str, operations: list[Json]) -> Json:
        """Apply a JSON patch; a `test` in it that fails is a conflict."""
        path = KINDS[kind].path(namespace, name)
        return await self._request("PATCH", path, operations, content_type=_JSON_PATCH)

    async def apply(self, kind: str, namespace: str, manifest: Json) -> Json:
        """Make an object what its manifest says, by server-side apply."""
        path = KINDS[kind].path(namespace, manifest["metadata"]["name"])
        query = [("fieldManager", _FIELD_MANAGER), ("force", "true")]
        return await self._request("PATCH", path, manifest, query=query, content_type=_APPLY_PATCH)

    async def _request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: list[tuple[str, str]] | None = None,
        content_type: str | None = None,
    ) -> Json:
        return await self._answer(
            method, path, _Reading(_json), body=body, query=query, content_type=content_type
        )

    async def _answer(
        self,
        method: str,
        path: str,
        reading: "_Reading[Answer]",
        *,
        body: object = None,
        query: list[tuple[str, str]] | None = None,
        content_type: str | None = None,
    ) -> Answer:
        await self._bucket.wait()
        limit, resource = min(self._timeout, reading.at_most), _resource(path)
        if self._fence is not None and method != "GET":
            limit = min(limit, self._fence())
            if limit <= 0:
                raise UnavailableError("this operator does not lead")
        try:
            async with asyncio.timeout(limit):
                response = await self._client.request(
                    method,
                    path,
                    body,
                    query_params=query or [],
                    content_type=content_type,
                    header_params={"Accept": reading.accept} if reading.accept else {},
                    serialize=False,
                    _request_timeout=aiohttp.ClientTimeout(total=limit),
                )
                answer = await reading.read(response)
        except ApiException as error:
            self._count(method, resource, error.status or 0)
            raise _translated(error, method) from None
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            self._count(method, resource, 0)
            words = str(error) or type(error).__name__
            raise UnavailableError(f"the API server did not answer: {words}") from error
        self._count(method, resource, response.status)
        return answer


@dataclass(frozen=True)
class _Reading(Generic[Answer]):
    """How an answer is read, for how many seconds it is waited, and in which form it is wanted."""

    read: Callable[[aiohttp.ClientResponse], Awaitable[Answer]]
    at_most: float = math.inf
    accept: str | None = None


async def _json(response: aiohttp.ClientResponse) -> Json:
    answer: Json = await response.json()
    return answer


async def _log(response: aiohttp.ClientResponse) -> str:
    """Read what was asked for, and no more where more comes."""
    text = bytearray()
    async for chunk in response.content.iter_chunked(LOG_BYTES):
        text += chunk
        if len(text) > LOG_BYTES:
            response.close()
            break
    return text[:LOG_BYTES].decode(errors="replace")


def _resource(path: str) -> str:
    """Name the resource of a path, without names of objects."""
    kinds = (*KINDS.values(), *SHOWN_WITHOUT_CONTENT.values())
    return next((kind.plural for kind in kinds if f"/{kind.plural}" in path), "other")


def _translated(error: ApiException, method: str) -> ClusterError:
    status = _status_body(error)
    message = str(status.get("message") or error.reason or f"HTTP {error.status}")
    code = error.status
    if code == _NOT_FOUND:
        return NotFoundError(message)
    if code == _CONFLICT or (code == _INVALID and method == "PATCH"):
        exists = status.get("reason") == "AlreadyExists"
        return AlreadyExistsError(message) if exists else ConflictError(message)
    if code in _REFUSALS:
        return RefusedError(message, final=code != _FORBIDDEN)
    return UnavailableError(message, _retry_after(error, status))


def _status_body(error: ApiException) -> Json:
    try:
        body = json.loads(error.body or "")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _retry_after(error: ApiException, status: Json) -> float:
    given = (status.get("details") or {}).get("retryAfterSeconds") or (error.headers or {}).get(
        "Retry-After"
    )
    try:
        return min(float(given or 0.0), 60.0)
    except ValueError:
        return 0.0


@asynccontextmanager
async def connect(
    rate: float,
    burst: int,
    time_limit: float,
    kubeconfig: str | None = None,
    count: Callable[[str, str, int], None] = lambda *_: None,
) -> AsyncIterator[Cluster]:
    """Connect as the pod's ServiceAccount, or by the kubeconfig where there is none.

    Args:
        rate: Requests a second that are sent at most, on average.
        burst: Requests that may be sent at once.
        time_limit: Seconds after which a request counts as not answered.
        kubeconfig: The file to use outside of a cluster; the user's default if None.
        count: Is told method, resource and code of every request; 0 stands for no answer.
    """
    configuration = Configuration()
    try:
        load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # the client is untyped
    except ConfigException:
        await load_kube_config(kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]  # as above
    async with ApiClient(configuration) as client:
        dynamic = DynamicClient(client)  # type: ignore[no-untyped-call]  # as above
        yield Cluster(dynamic, TokenBucket(rate, burst), time_limit, count)
