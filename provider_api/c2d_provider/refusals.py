"""Refusals: why a request is not accepted, in a word that stays and a sentence that may be shown.

Rules return a `Refusal`; parsers, which stop deep inside a document, raise it in a `Refused`.
A message never holds a URL, a key, a token or a signature: it goes to whoever asked.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn


class Reason(StrEnum):
    """Why a request is refused; the words are part of the interface."""

    # the shape of what was sent
    MALFORMED = "Malformed"
    TOO_LARGE = "TooLarge"
    INVALID_ADDRESS = "InvalidAddress"
    INVALID_NONCE = "InvalidNonce"
    # who asks
    SIGNATURE_MALFORMED = "SignatureMalformed"
    SIGNATURE_MISMATCH = "SignatureMismatch"
    TOKEN_INVALID = "TokenInvalid"  # noqa: S105 - a word, not a token
    TOKEN_EXPIRED = "TokenExpired"  # noqa: S105 - a word, not a token
    NONCE_USED = "NonceUsed"
    NONCE_STORE_FULL = "NonceStoreFull"
    # orders
    ASSET_NOT_FROM_OCEAN = "AssetNotFromOcean"
    ORDER_UNKNOWN = "OrderUnknown"
    ORDER_FAILED = "OrderFailed"
    ORDER_UNCONFIRMED = "OrderUnconfirmed"
    ORDER_OF_OTHER_DATATOKEN = "OrderOfOtherDatatoken"
    ORDER_OF_OTHER_SERVICE = "OrderOfOtherService"
    ORDER_OF_OTHER_CONSUMER = "OrderOfOtherConsumer"
    ORDER_TOO_SMALL = "OrderTooSmall"
    ORDER_EXPIRED = "OrderExpired"
    ORDER_NOT_TAKEN = "OrderNotTaken"
    FEE_MISSING = "FeeMissing"
    FEE_NOT_OURS = "FeeNotOurs"
    FEE_OF_OTHER_SERVICE = "FeeOfOtherService"
    FEE_OF_OTHER_ENVIRONMENT = "FeeOfOtherEnvironment"
    FEE_EXPIRED = "FeeExpired"
    FEE_WITHOUT_END = "FeeWithoutEnd"
    FEE_TOO_SMALL = "FeeTooSmall"
    FEE_SPENT = "FeeSpent"
    FEES_NOT_PAID = "FeesNotPaid"
    # assets
    ASSET_MALFORMED = "AssetMalformed"
    ASSET_STATE = "AssetState"
    ASSET_UNKNOWN = "AssetUnknown"
    CHAIN_UNKNOWN = "ChainUnknown"
    FILE_UNAVAILABLE = "FileUnavailable"
    NOT_AN_ALGORITHM = "NotAnAlgorithm"
    SERVICE_UNKNOWN = "ServiceUnknown"
    SERVICE_NOT_FOR_COMPUTE = "ServiceNotForCompute"
    SERVICE_NOT_USABLE = "ServiceNotUsable"
    SERVICE_OF_OTHER_PROVIDER = "ServiceOfOtherProvider"
    REMOTE_PROVIDER = "RemoteProvider"
    CREDENTIALS_DENIED = "CredentialsDenied"
    CREDENTIALS_NOT_ALLOWED = "CredentialsNotAllowed"
    CREDENTIALS_UNKNOWN = "CredentialsUnknown"
    RAW_ALGORITHM_DENIED = "RawAlgorithmDenied"
    NETWORK_DENIED = "NetworkDenied"
    ALGORITHM_NOT_TRUSTED = "AlgorithmNotTrusted"
    PUBLISHER_NOT_TRUSTED = "PublisherNotTrusted"
    NO_TRUSTED_ALGORITHMS = "NoTrustedAlgorithms"
    CONTAINER_CHECKSUM_MALFORMED = "ContainerChecksumMalformed"
    CONTAINER_INCOMPLETE = "ContainerIncomplete"
    FILES_CHECKSUM_MISMATCH = "FilesChecksumMismatch"
    CONTAINER_CHECKSUM_MISMATCH = "ContainerChecksumMismatch"
    FILES_MALFORMED = "FilesMalformed"
    FILES_OF_OTHER_ASSET = "FilesOfOtherAsset"
    PARAMETER_INVALID = "ParameterInvalid"
    # jobs
    ENVIRONMENT_UNKNOWN = "EnvironmentUnknown"
    JOB_UNKNOWN = "JobUnknown"
    JOB_REFUSED = "JobRefused"
    RESULT_UNKNOWN = "ResultUnknown"
    RESULT_EXPIRED = "ResultExpired"


@dataclass(frozen=True)
class Refusal:
    """Why a request is not accepted."""

    reason: Reason
    message: str


class Refused(Exception):  # noqa: N818 - it is the refusal, raised where a parser stands
    """Raised by parsers; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        """Carry the refusal to where it is answered."""
        super().__init__(f"{refusal.reason}: {refusal.message}")
        self.refusal = refusal


def refuse(reason: Reason, message: str) -> NoReturn:
    """Stop parsing.

    Raises:
        Refused: Always.
    """
    raise Refused(Refusal(reason, message))
