"""Names: of the ComputeJob that a request makes, and the ids of jobs and environments on the wire.

A job's name is computed from what it was asked with, so that a request sent twice, or to two
replicas at once, is one job.
"""

import hashlib
import json
import re
from dataclasses import dataclass

from c2d_provider import addresses
from c2d_provider.refusals import Reason, refuse

_JOB = re.compile(r"[0-9a-f]{32}")
_CLUSTER = re.compile(r"(0x[0-9a-f]{64})-")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class EnvironmentName:
    """The namespace and name of a ComputeEnvironment."""

    namespace: str
    name: str


def job_name(chain_id: int, consumer: str, orders: list[str], nonce: str) -> str:
    """Name the job of a request whose orders pay no fee; `orders` are transactions in order.

    The same request, replayed, is the same job.
    """
    return _name("request", chain_id, addresses.checksummed(consumer), orders, nonce)


def paid_job_name(chain_id: int, fee_key: str, attempt: int) -> str:
    """Name the job that a fee pays for, whatever else is asked: one fee, one job.

    `attempt` counts from 0; it rises when the fee is freed by a job that failed without its
    consumer's fault.
    """
    return _name("fee", chain_id, fee_key, attempt)


def cluster_hash(provider: str) -> str:
    """Name this cluster as the node generation names its own: by a hash, here of the provider."""
    digest = hashlib.sha256(addresses.checksummed(provider).encode()).hexdigest()
    return f"0x{digest}"


def job_id(name: str, cluster: str | None = None) -> str:
    """Write a job's id for the wire: its name, behind the cluster in the node generation."""
    return f"{cluster}-{name}" if cluster else name


def environment_id(environment: EnvironmentName, cluster: str | None = None) -> str:
    """Write an environment's id for the wire."""
    text = f"{environment.namespace}.{environment.name}"
    return f"{cluster}-{text}" if cluster else text


def parse_job_id(text: object, cluster: str) -> str:
    """Read the name of a job from either form of its id.

    Raises:
        Refused: It is no such id, or that of another cluster.
    """
    name = _without_cluster(text, cluster)
    if name is None or not _JOB.fullmatch(name):
        refuse(Reason.JOB_UNKNOWN, "there is no such job")
    return name


def parse_environment_id(
    text: object, cluster: str, default_namespace: str | None = None
) -> EnvironmentName:
    """Read the namespace and name of an environment from either form of its id.

    A name without a namespace is looked for in `default_namespace`, where there is one.

    Raises:
        Refused: It is no such id, or that of another cluster.
    """
    found = _without_cluster(text, cluster)
    namespace, dot, name = (found or "").partition(".")
    if found and not dot and default_namespace:
        namespace, name = default_namespace, namespace
    if not _LABEL.fullmatch(namespace) or not _LABEL.fullmatch(name):
        refuse(Reason.ENVIRONMENT_UNKNOWN, "Compute environment does not exist")
    return EnvironmentName(namespace, name)


def _without_cluster(text: object, cluster: str) -> str | None:
    if not isinstance(text, str):
        return None
    prefix = _CLUSTER.match(text)
    if not prefix:
        return text
    return text[prefix.end() :] if prefix[1] == cluster else None


def _name(*parts: object) -> str:
    """Hash parts as JSON: no two lists of parts have one text."""
    text = json.dumps(["c2d", *parts], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
