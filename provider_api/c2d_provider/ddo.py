"""DDOs of versions 4 and 5, as far as compute needs them, from whoever wrote them.

The document is the asset owner's and reaches us through a cache or the chain: its size, depth and
types are checked, and its id is computed again. What the chain knows better (who owns the NFT, its
state) is not read here.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from c2d_provider import addresses, fields, strict_json
from c2d_provider.credentials import Credentials, parse_credentials
from c2d_provider.fields import Json
from c2d_provider.parameters import Parameter, parse_parameters
from c2d_provider.refusals import Reason, Refused, refuse

MAX_BYTES = 1024 * 1024
MAX_SERVICES = 64
_MAX_FILES_DIGITS = 512 * 1024
_MAX_TRUSTED = 1024
_DID = re.compile(r"did:ope?:[0-9a-f]{64}")
_VERSION = re.compile(r"([45])\.[0-9]{1,4}\.[0-9]{1,4}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ADDED_BY_CACHES = frozenset(
    {"accessDetails", "datatokens", "event", "indexedMetadata", "nft", "purgatory", "stats"}
)

AssetType = Literal["dataset", "algorithm"]


@dataclass(frozen=True)
class TrustedAlgorithm:
    """An algorithm that a dataset's owner trusts; `*` stands for any, "" for what is not said."""

    did: str
    files_checksum: str
    container_checksum: str
    service_id: str = ""


@dataclass(frozen=True)
class Compute:
    """What may be computed on a service; None where a list is not given."""

    allow_raw_algorithm: bool = False
    allow_network_access: bool = False
    trusted_algorithms: tuple[TrustedAlgorithm, ...] | None = None
    trusted_publishers: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Service:
    """One service of an asset; `index` is its position, by which orders name it.

    `files` is what the provider encrypted, in hexadecimal; `timeout` is in seconds, 0 for ever.
    """

    id: str
    index: int
    type: str
    datatoken: str
    endpoint: str
    files: str
    timeout: int
    compute: Compute | None
    credentials: tuple[Credentials, ...]
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Container:
    """The image of an algorithm and the line that starts it; "" for what is not said."""

    image: str
    tag: str
    checksum: str
    entrypoint: str


@dataclass(frozen=True)
class AlgorithmMetadata:
    """What a DDO says of an algorithm."""

    container: Container
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Ddo:
    """An asset as published; `nft` is a checksummed address."""

    id: str
    version: str
    chain_id: int
    nft: str
    type: str
    algorithm: AlgorithmMetadata | None
    services: tuple[Service, ...]
    credentials: tuple[Credentials, ...]

    def service(self, service_id: str) -> Service | None:
        """Find a service by its id."""
        return next((service for service in self.services if service.id == service_id), None)


def is_did(text: object) -> bool:
    """Say whether this is a DID; there is one spelling, in lower case."""
    return isinstance(text, str) and _DID.fullmatch(text) is not None


def did(nft: str, chain_id: int, version: str) -> str:
    """Compute the DID of an NFT: version 5 has a prefix of its own.

    Raises:
        Refused: `nft` is no address.
    """
    method = "did:ope:" if version.startswith("5.") else "did:op:"
    text = f"{addresses.checksummed(nft, 'nftAddress')}{chain_id}"
    return f"{method}{hashlib.sha256(text.encode()).hexdigest()}"


def parse(document: bytes | str | Json) -> Ddo:
    """Read a DDO, from JSON or from what `strict_json` read.

    Raises:
        Refused: It is no DDO of version 4 or 5, or its id is not that of its NFT and chain.
    """
    try:
        parsed = _document(document)
        return _ddo(parsed)
    except Refused as refused:
        reason = refused.refusal.reason
        kept = Reason.TOO_LARGE if reason == Reason.TOO_LARGE else Reason.ASSET_MALFORMED
        refuse(kept, f"the DDO is malformed: {refused.refusal.message}")


def metadata_hash(document: bytes) -> str:
    """Hash a document as the chain has it: sha256 of the bytes that were published."""
    return f"0x{hashlib.sha256(document).hexdigest()}"


def is_published_as(document: Json, expected_hash: str) -> bool:
    """Say whether a cache's document is the one whose hash is on chain.

    Caches add fields of their own; ocean-cli publishes one of them itself. Clients write JSON
    without spaces, ocean.js with letters as they are and ocean.py with escapes.
    """
    bare = {key: value for key, value in document.items() if key not in _ADDED_BY_CACHES}
    indexed = {
        key: value for key, value in document.items() if key in bare or key == "indexedMetadata"
    }
    return any(
        metadata_hash(json.dumps(body, separators=(",", ":"), ensure_ascii=escaped).encode())
        == expected_hash.lower()
        for body in (bare, indexed, document)
        for escaped in (False, True)
    )


def _document(document: bytes | str | Json) -> Json:
    if isinstance(document, Mapping):
        return document
    return fields.mapping(strict_json.parse(document, MAX_BYTES, "it"), "")


def _ddo(document: Json) -> Ddo:
    version = fields.text(document, "version", most=16)
    major = _VERSION.fullmatch(version)
    if not major:
        refuse(Reason.ASSET_MALFORMED, "version must be 4 or 5")
    subject, where = document, ""
    if major[1] == "5":
        where = "credentialSubject"
        subject = fields.mapping(document.get(where), where)
    chain_id = fields.integer(subject, "chainId", where, least=1)
    nft = addresses.checksummed(subject.get("nftAddress"), fields.path(where, "nftAddress"))
    if document.get("id") != did(nft, chain_id, version):
        refuse(Reason.ASSET_MALFORMED, "id is not that of the NFT and the chain")
    metadata = fields.mapping(subject.get("metadata"), fields.path(where, "metadata"))
    return Ddo(
        id=document["id"],
        version=version,
        chain_id=chain_id,
        nft=nft,
        type=fields.text(metadata, "type", "metadata", most=64),
        algorithm=_algorithm(metadata),
        services=_services(subject),
        credentials=parse_credentials(subject.get("credentials")),
    )


def _services(subject: Json) -> tuple[Service, ...]:
    listed = fields.sequence(subject.get("services"), "services", MAX_SERVICES)
    services = tuple(_service(entry, index) for index, entry in enumerate(listed))
    if len({service.id for service in services}) != len(services):
        refuse(Reason.ASSET_MALFORMED, "two services have one id")
    return services


def _service(entry: Any, index: int) -> Service:
    where = f"services[{index}]"
    body = fields.mapping(entry, where)
    service_id = fields.text(body, "id", where, most=256)
    if _CONTROL.search(service_id):
        refuse(Reason.ASSET_MALFORMED, f"{where}.id has a control character")
    return Service(
        id=service_id,
        index=index,
        type=fields.text(body, "type", where, most=64),
        datatoken=addresses.checksummed(body.get("datatokenAddress"), f"{where}.datatokenAddress"),
        endpoint=fields.optional_text(body, "serviceEndpoint", where, most=2048),
        files=fields.optional_text(body, "files", where, most=_MAX_FILES_DIGITS),
        timeout=fields.integer(body, "timeout", where),
        compute=_compute(body.get("compute"), where),
        credentials=parse_credentials(body.get("credentials")),
        parameters=parse_parameters(body.get("consumerParameters"), where),
    )


def _compute(value: Any, where: str) -> Compute | None:
    if value is None:
        return None
    where = f"{where}.compute"
    body = fields.mapping(value, where)
    return Compute(
        allow_raw_algorithm=fields.flag(body, "allowRawAlgorithm", where),
        allow_network_access=fields.flag(body, "allowNetworkAccess", where),
        trusted_algorithms=_trusted_algorithms(body, where),
        trusted_publishers=_trusted_publishers(body, where),
    )


def _trusted_algorithms(body: Json, where: str) -> tuple[TrustedAlgorithm, ...] | None:
    name = "publisherTrustedAlgorithms"
    if body.get(name) is None:
        return None
    found = []
    for entry in fields.sequence(body[name], f"{where}.{name}", _MAX_TRUSTED):
        trusted = fields.mapping(entry, f"{where}.{name}")
        values = [
            fields.optional_text(trusted, key, name, most=64 * 1024)
            for key in ("did", "filesChecksum", "containerSectionChecksum", "serviceId")
        ]
        found.append(TrustedAlgorithm(*values))
    return tuple(found)


def _trusted_publishers(body: Json, where: str) -> tuple[str, ...] | None:
    name = "publisherTrustedAlgorithmPublishers"
    if body.get(name) is None:
        return None
    listed = fields.sequence(body[name], f"{where}.{name}", _MAX_TRUSTED)
    if not all(isinstance(entry, str) for entry in listed):
        refuse(Reason.ASSET_MALFORMED, f"{where}.{name} must be a list of addresses")
    return tuple(entry.strip() for entry in listed)


def _algorithm(metadata: Json) -> AlgorithmMetadata | None:
    if metadata.get("algorithm") is None:
        return None
    where = "metadata.algorithm"
    body = fields.mapping(metadata["algorithm"], where)
    listed = body.get("container")
    return AlgorithmMetadata(
        parse_container(listed, f"{where}.container"),
        parse_parameters(
            body.get("consumerParameters")
            or fields.mapping(listed, "container").get("consumerParameters"),
            where,
        ),
    )


def parse_container(value: object, where: str) -> Container:
    """Read an image's description; what is missing is "", for the caller to demand.

    Raises:
        Refused: It is no object, or a field is no text.
    """
    body = fields.mapping(value, where)
    return Container(
        *(
            fields.optional_text(body, name, where)
            for name in ("image", "tag", "checksum", "entrypoint")
        )
    )
