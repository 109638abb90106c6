"""The logs by which an NFT tells its metadata, and the factory its NFTs, decoded.

Pure. Whoever reads them must have asked for the logs of the very contract that is trusted.
"""

from dataclasses import dataclass
from typing import Final

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from c2d_provider.asked import Document
from c2d_provider.events import RawLog

_METADATA = "(address,uint8,string,bytes,bytes,bytes32,uint256,uint256)"
CREATED: Final = keccak(text=f"MetadataCreated{_METADATA}")
UPDATED: Final = keccak(text=f"MetadataUpdated{_METADATA}")
VALIDATED: Final = keccak(text="MetadataValidated(address,bytes32,uint8,bytes32,bytes32)")
NFT_CREATED: Final = keccak(
    text="NFTCreated(address,address,string,address,string,string,bool,address)"
)
_MAX_FLAGS = 255


@dataclass(frozen=True)
class MetadataSet:
    """MetadataCreated or MetadataUpdated; `timestamp` is the block's, in seconds of the epoch."""

    document: Document
    sender: str
    decryptor_url: str
    timestamp: int
    is_update: bool


def metadata_set(log: RawLog) -> MetadataSet | None:
    """Decode the log that carries metadata; None for any other."""
    if len(log.topics) != 2 or log.topics[0] not in (CREATED, UPDATED):  # noqa: PLR2004 - event, who
        return None
    types = ("uint8", "string", "bytes", "bytes", "bytes32", "uint256", "uint256")
    try:
        _state, url, flags, data, hash_, timestamp, _block = abi_decode(types, log.data)
    except (DecodingError, ValueError):
        return None
    number = int.from_bytes(flags, "big")
    if number > _MAX_FLAGS:
        return None
    return MetadataSet(
        Document(data, number, f"0x{hash_.hex()}"),
        _address(log.topics[1]),
        url,
        timestamp,
        log.topics[0] == UPDATED,
    )


def validator(log: RawLog, hash_: str) -> str | None:
    """Tell who validated the metadata of this hash; the contract has checked the signature."""
    if len(log.topics) != 2 or log.topics[0] != VALIDATED:  # noqa: PLR2004 - event, who
        return None
    is_of_hash = log.data[:32].hex() == hash_.removeprefix("0x")
    return _address(log.topics[1]) if is_of_hash else None


def nft_created(log: RawLog) -> str | None:
    """Tell the NFT that the factory made; None for any other log."""
    if not log.topics or log.topics[0] != NFT_CREATED or len(log.data) < 32:  # noqa: PLR2004 - one word
        return None
    return _address(log.data[:32])


def _address(word: bytes) -> str:
    return str(to_checksum_address(word[12:32]))
