"""ComputeJobs as manifests: what a started job looks like in Kubernetes, and its seal.

Nothing secret stands in them: assets are named, and their files come from the provider.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from c2d_api.computejob import API_VERSION, KIND, SEAL_ANNOTATION, ComputeJob, Spec, parse_job
from c2d_api.times import format_time
from c2d_provider import seal, strict_json
from c2d_provider.ddo import Container
from c2d_provider.files import UrlFile
from c2d_provider.naming import EnvironmentName
from c2d_provider.refusals import Reason, refuse

MAX_RAW_CODE: Final = 8192
MAX_VALUES: Final = 65_536
"""Characters that a ComputeJob takes of raw code, of custom data and of user data."""

FOR_EVER: Final = 253_402_300_799
"""The last second of the year 9999, for orders that never expire."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Bought:
    """An asset with its order; `valid_until` is in seconds of the epoch, None for no end."""

    document_id: str
    service_id: str
    chain_id: int
    transaction: str
    valid_until: int | None
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Code:
    """Code that came with a request: its text, or where to fetch it."""

    text: str = field(repr=False)
    file: UrlFile | None = field(repr=False, default=None)


@dataclass(frozen=True)
class Wanted:
    """A job to be created; `max_duration` is in seconds, None for the environment's.

    `allow_network_access` says that environment and datasets all let the algorithm have it.
    """

    environment: EnvironmentName
    consumer: str
    datasets: tuple[Bought, ...]
    algorithm: Bought | Code
    container: Container
    custom_data: Mapping[str, Any]
    max_duration: int | None = None
    suspend: bool = False
    allow_network_access: bool = False


def manifest(wanted: Wanted, name: str, seal_key: bytes) -> Json:
    """Write the manifest of a job, sealed."""
    named = {"name": name, "namespace": wanted.environment.namespace}
    body: Json = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": named,
        "spec": _spec(wanted),
    }
    mark = seal.seal(seal_key, wanted.environment.namespace, name, parsed_spec(body))
    return {**body, "metadata": {**named, "annotations": {SEAL_ANNOTATION: mark}}}


def parsed_spec(body: Mapping[str, Any]) -> Spec:
    """Read the spec of a manifest as it will be read from the API server."""
    served = {"uid": "", "resourceVersion": "", "creationTimestamp": "1970-01-01T00:00:00Z"}
    return parse_job({**body, "metadata": {**body["metadata"], **served}}).spec


def is_ours(job: ComputeJob, seal_key: bytes) -> bool:
    """Say whether the provider made a job, and nobody changed it."""
    return seal.is_sealed(seal_key, job.namespace, job.name, job.spec, job.seal)


def _spec(wanted: Wanted) -> Json:
    spec: Json = {
        "environment": wanted.environment.name,
        "consumer": wanted.consumer,
        "datasets": [_bought(dataset) for dataset in wanted.datasets],
        "algorithm": _algorithm(wanted),
    }
    if wanted.max_duration is not None:
        spec["maxDuration"] = wanted.max_duration
    if wanted.suspend:
        spec["suspend"] = True
    if wanted.allow_network_access:
        for part in (spec, *spec["datasets"]):
            part["allowNetworkAccess"] = True
    return spec


def _bought(asset: Bought) -> Json:
    until = FOR_EVER if asset.valid_until is None else min(asset.valid_until, FOR_EVER)
    body: Json = {
        "id": asset.document_id,
        "serviceId": asset.service_id,
        "source": {"provider": {}},
        "order": {
            "chainId": asset.chain_id,
            "transactionHash": asset.transaction,
            "validUntil": format_time(datetime.fromtimestamp(until, UTC)),
        },
    }
    if asset.values:
        body["userData"] = _values(asset.values, "userdata")
    return body


def _algorithm(wanted: Wanted) -> Json:
    algorithm = wanted.algorithm
    body = _code(algorithm) if isinstance(algorithm, Code) else _bought(algorithm)
    body["container"] = _container(wanted.container)
    if wanted.custom_data:
        body["customData"] = _values(wanted.custom_data, "algocustomdata")
    return body


def _code(code: Code) -> Json:
    if code.file is None:
        if len(code.text) > MAX_RAW_CODE:
            refuse(
                Reason.TOO_LARGE,
                f"rawcode is longer than {MAX_RAW_CODE} characters; publish the algorithm instead",
            )
        return {"rawCode": code.text}
    url: Json = {"url": code.file.url, "method": code.file.method}
    if code.file.headers:
        url["headers"] = [{"name": name, "value": value} for name, value in code.file.headers]
    return {"id": "raw", "source": {"files": [{"url": url}]}}


def _container(container: Container) -> Json:
    """Name an image by its digest, which alone was judged; the tag is for people."""
    body = {
        "image": container.image,
        "digest": container.checksum,
        "entrypoint": container.entrypoint,
    }
    return {**body, "tag": container.tag} if container.tag else body


def _values(values: Mapping[str, Any], what: str) -> str:
    text = strict_json.compact(values)
    if len(text) > MAX_VALUES:
        refuse(Reason.TOO_LARGE, f"{what} is longer than {MAX_VALUES} characters")
    return text
