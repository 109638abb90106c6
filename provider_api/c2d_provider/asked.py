"""What requests ask for, read into frozen dataclasses, whatever wire they came by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from c2d_provider.ddo import Container
from c2d_provider.files import FileObject
from c2d_provider.nonces import Nonce


@dataclass(frozen=True)
class Authorization:
    """Who a request says it is from. Texts are as sent: they stand in the signed message.

    `signature` is "" where a token is to count instead.
    """

    address: str
    nonce: Nonce
    signature: str


@dataclass(frozen=True)
class AssetAsked:
    """An asset that a request names; `transaction` is "" where no order is named."""

    document_id: str
    service_id: str
    transaction: str
    user_data: Mapping[str, Any]


@dataclass(frozen=True)
class PublishedAsked:
    """A published algorithm that a request names, with what it is to be given."""

    asset: AssetAsked
    custom_data: Mapping[str, Any]


@dataclass(frozen=True)
class RawAsked:
    """An algorithm that came with the request: its code, or the file that has it."""

    container: Container
    code: str
    file: FileObject | None
    custom_data: Mapping[str, Any]


AlgorithmAsked = PublishedAsked | RawAsked


@dataclass(frozen=True)
class Start:
    """A start of a job: the first dataset is the one whose DID is signed."""

    authorization: Authorization
    datasets: tuple[AssetAsked, ...]
    algorithm: AlgorithmAsked
    environment: str


@dataclass(frozen=True)
class JobAsked:
    """A job to stop or to delete."""

    authorization: Authorization
    job_id: str
    document_id: str


@dataclass(frozen=True)
class StatusAsked:
    """The status of one job, or of all of a consumer; signatures are neither needed nor read."""

    consumer: str
    job_id: str
    document_id: str


@dataclass(frozen=True)
class ResultAsked:
    """A file of a job's results."""

    authorization: Authorization
    job_id: str
    index: int


@dataclass(frozen=True)
class InitializeCompute:
    """What a job will need to be ordered, until when."""

    consumer: str
    datasets: tuple[AssetAsked, ...]
    algorithm: AlgorithmAsked
    environment: str
    valid_until: int


@dataclass(frozen=True)
class Initialize:
    """What a download will need to be ordered."""

    consumer: str
    asset: AssetAsked
    file_index: int | None


@dataclass(frozen=True)
class Download:
    """A file of a published asset."""

    authorization: Authorization
    asset: AssetAsked
    file_index: int


@dataclass(frozen=True)
class FileInfo:
    """What is known of the files of a service, or of one file object."""

    document_id: str
    service_id: str
    file: FileObject | None
    checksum: bool
    user_data: Mapping[str, Any]


@dataclass(frozen=True)
class CreateToken:
    """A token to be made; `expiration` in seconds of the epoch."""

    authorization: Authorization
    expiration: int


@dataclass(frozen=True)
class DeleteToken:
    """A token to be ended."""

    authorization: Authorization
    token: str


@dataclass(frozen=True)
class Document:
    """An encrypted DDO as it is sent; `flags` is a byte, the hash `0x` and 64 digits."""

    encrypted: bytes
    flags: int
    hash: str


@dataclass(frozen=True)
class Decrypt:
    """A DDO to decrypt: that of a transaction, or the document that is sent.

    `signed` is what stands first in the signed text: the transaction or the NFT, as sent.
    """

    authorization: Authorization
    chain_id: int
    nft: str
    signed: str
    transaction: str
    document: Document | None
