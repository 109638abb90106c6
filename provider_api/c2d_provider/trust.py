"""Which algorithms may run on a dataset: its owner's lists, and the checksums that they name.

Absent or empty lists trust nobody. An algorithm is trusted if one entry of the list of algorithms
fits it, or its NFT or the owner of its NFT is a trusted publisher; `*` fits everything. This is
the rule of the current clients and their documentation. Provider v2 had another: `legacy` brings
it back, for operators whose assets rely on it.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from c2d_provider import addresses
from c2d_provider.ddo import Compute, Container, Ddo, Service, TrustedAlgorithm
from c2d_provider.refusals import Reason, Refusal

ANYONE: Final = "*"
CONSUMABLE_STATES: Final = frozenset({0, 5})
"""States of an NFT whose asset may be used: active, and unlisted."""

NFT_STATES: Final = {
    0: "active",
    1: "end of life",
    2: "deprecated",
    3: "revoked",
    4: "ordering is temporarily disabled",
    5: "unlisted",
}


@dataclass(frozen=True)
class RawAlgorithm:
    """Code that came with the request; nobody published it."""


@dataclass(frozen=True)
class PublishedAlgorithm:
    """A published algorithm as it is now: read from the chain, its files and container hashed.

    `files_checksum` is None where the files cannot be hashed, as those of a remote provider may
    not be; that fits only `*`.
    """

    did: str
    nft: str
    owner: str
    service_id: str
    files_checksum: str | None
    container_checksum: str


_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Algorithm = RawAlgorithm | PublishedAlgorithm


def files_checksum(file_digests: Iterable[str]) -> str:
    """Join the sha256 of each file, in hexadecimal and in order, as clients do."""
    return "".join(digest.lower() for digest in file_digests)


def container_checksum(container: Container) -> str:
    """Hash the line that starts an algorithm and its image's digest.

    The image's name is not in it, so what runs must be pulled by that digest.
    """
    return hashlib.sha256(f"{container.entrypoint}{container.checksum}".encode()).hexdigest()


def judge_container(container: Container) -> Refusal | None:
    """Say why an image's description will not do: what runs is named by its digest."""
    if not (container.entrypoint and container.image and container.checksum):
        return Refusal(
            Reason.CONTAINER_INCOMPLETE,
            "the container needs an entrypoint, an image and a checksum",
        )
    if not _DIGEST.fullmatch(container.checksum):
        return Refusal(
            Reason.CONTAINER_CHECKSUM_MALFORMED,
            "the container's checksum must be sha256: and 64 hexadecimal digits",
        )
    return None


def judge_dataset(service: Service, *, is_first: bool) -> Refusal | None:
    """Say why a service cannot be a dataset of a job: the first one must be for compute."""
    if is_first and service.type != "compute":
        return Refusal(Reason.SERVICE_NOT_FOR_COMPUTE, "the first dataset must be for compute")
    if service.type not in ("compute", "access"):
        return Refusal(Reason.SERVICE_NOT_USABLE, "the dataset is neither for compute nor access")
    return None


def judge_is_algorithm(asset: Ddo) -> Refusal | None:
    """Say why an asset cannot be the algorithm of a job; its container is judged by itself."""
    if asset.type == "algorithm" and asset.algorithm is not None:
        return None
    return Refusal(Reason.NOT_AN_ALGORITHM, "the asset is not an algorithm")


def judge_state(state: int) -> Refusal | None:
    """Say why an asset cannot be used by the state of its NFT; an unknown state cannot."""
    if state in CONSUMABLE_STATES:
        return None
    name = NFT_STATES.get(state, "in an unknown state")
    return Refusal(Reason.ASSET_STATE, f"Asset is not consumable: it is {name}")


def judge_algorithm(
    compute: Compute, algorithm: Algorithm, *, legacy: bool = False
) -> Refusal | None:
    """Say why an algorithm may not run on a service."""
    if isinstance(algorithm, RawAlgorithm):
        if compute.allow_raw_algorithm:
            return None
        return Refusal(Reason.RAW_ALGORITHM_DENIED, "the dataset lets no raw code run")
    return _legacy(compute, algorithm) if legacy else _current(compute, algorithm)


def allows_network(services: Iterable[Compute | None]) -> bool:
    """Say whether all datasets of a job let its algorithm use the network.

    A service that says nothing of compute does not allow it.
    """
    listed = list(services)
    return bool(listed) and all(
        compute is not None and compute.allow_network_access for compute in listed
    )


def judge_network(compute: Compute | None) -> Refusal | None:
    """Say why the algorithm of a job that was given the network may not have a dataset."""
    if allows_network((compute,)):
        return None
    return Refusal(
        Reason.NETWORK_DENIED, "the dataset no longer lets the algorithm use the network"
    )


def _current(compute: Compute, algorithm: PublishedAlgorithm) -> Refusal | None:
    algorithms = compute.trusted_algorithms or ()
    publishers = compute.trusted_publishers or ()
    if not algorithms and not publishers:
        return Refusal(Reason.NO_TRUSTED_ALGORITHMS, "the dataset trusts no algorithm")
    if _is_trusted_publisher(publishers, algorithm):
        return None
    if not algorithms:
        return Refusal(
            Reason.PUBLISHER_NOT_TRUSTED,
            "the dataset does not trust the publisher of the algorithm",
        )
    return _fit_any(algorithms, algorithm, may_omit=False)


def _legacy(compute: Compute, algorithm: PublishedAlgorithm) -> Refusal | None:
    """Judge as provider v2: empty lists allow, two must both fit, checksums may be left out."""
    algorithms = compute.trusted_algorithms or ()
    publishers = compute.trusted_publishers or ()
    if publishers and not _is_trusted_publisher(publishers, algorithm):
        return Refusal(
            Reason.PUBLISHER_NOT_TRUSTED,
            "the dataset does not trust the publisher of the algorithm",
        )
    return _fit_any(algorithms, algorithm, may_omit=True) if algorithms else None


def _is_trusted_publisher(publishers: Iterable[str], algorithm: PublishedAlgorithm) -> bool:
    return any(
        publisher == ANYONE
        or addresses.are_equal(publisher, algorithm.owner)
        or addresses.are_equal(publisher, algorithm.nft)
        for publisher in publishers
    )


def _fit_any(
    trusted: Iterable[TrustedAlgorithm], algorithm: PublishedAlgorithm, *, may_omit: bool
) -> Refusal | None:
    """Find an entry that fits; of those that name the algorithm, say why the last does not."""
    found: Refusal | None = Refusal(
        Reason.ALGORITHM_NOT_TRUSTED, "the dataset does not trust the algorithm"
    )
    for entry in trusted:
        if entry.did not in (ANYONE, algorithm.did):
            continue
        if entry.service_id not in ("", ANYONE, algorithm.service_id):
            continue
        found = _checksums(entry, algorithm, may_omit=may_omit)
        if found is None:
            return None
    return found


def _checksums(
    entry: TrustedAlgorithm, algorithm: PublishedAlgorithm, *, may_omit: bool
) -> Refusal | None:
    if not _fits(entry.files_checksum, algorithm.files_checksum, may_omit=may_omit):
        return Refusal(
            Reason.FILES_CHECKSUM_MISMATCH,
            "the files of the algorithm are not those that the dataset trusts",
        )
    if not _fits(entry.container_checksum, algorithm.container_checksum, may_omit=may_omit):
        return Refusal(
            Reason.CONTAINER_CHECKSUM_MISMATCH,
            "the container of the algorithm is not that which the dataset trusts",
        )
    return None


def _fits(expected: str, actual: str | None, *, may_omit: bool) -> bool:
    if expected == ANYONE or (may_omit and not expected):
        return True
    return bool(expected) and actual is not None and expected.lower() == actual.lower()
