"""DDOs: encrypted and decrypted with the provider's key, vouched for, and looked up."""

import hashlib
from dataclasses import dataclass

from eth_keys.datatypes import PrivateKey

from c2d_provider import authorizing, ddo, signatures
from c2d_provider.asked import Decrypt, Document
from c2d_provider.authorizing import Proof
from c2d_provider.context import Context
from c2d_provider.ports import Json
from c2d_provider.refusals import Reason, Refusal, Refused, refuse

MOST_ENCRYPTED = 8 * 1024 * 1024
_DECRYPTABLE_STATES = frozenset({0, 4, 5})


@dataclass(frozen=True)
class Voucher:
    """The provider's signature of a document's hash, which the NFT's contract checks."""

    hash: str
    address: str
    v: int
    r: str
    s: str


def encrypt(context: Context, chain_id: int, data: bytes) -> str:
    """Encrypt to the provider's key, as hexadecimal text with `0x`."""
    _judge_chain(context, chain_id)
    if not data:
        refuse(Reason.MALFORMED, "Failed to encrypt.")
    return f"0x{context.ports.assets.encrypt(data).hex()}"


async def decrypt(context: Context, asked: Decrypt, proof: Proof) -> bytes:
    """Decrypt a DDO for whoever may have it.

    Raises:
        Refused: It cannot be decrypted, or not for the requester.
    """
    requester = await authorizing.identify(context, proof)
    _judge_chain(context, asked.chain_id)
    allowed = context.policy.decrypters
    if allowed is not None and requester.address not in allowed:
        refuse(Reason.CREDENTIALS_NOT_ALLOWED, "Decrypter not authorized")
    await authorizing.take_nonce(context, requester)
    nft = await context.ports.chains.nft(asked.chain_id, asked.nft)
    if isinstance(nft, Refusal):
        refuse(nft.reason, "Asset not deployed by the data NFT factory.")
    if nft.state not in _DECRYPTABLE_STATES:
        raise Refused(_state(nft.state))
    document = asked.document or await _published(context, asked)
    return await context.ports.assets.decrypt(document, nft.address)


async def find(context: Context, did: str) -> Json:
    """Find a DDO as clients are served it.

    Raises:
        Refused: There is none.
    """
    if not ddo.is_did(did):
        refuse(Reason.ASSET_UNKNOWN, "there is no such asset")
    return (await context.ports.assets.published(did)).document


def vouch(context: Context, body: bytes) -> Voucher:
    """Sign the hash of a DDO, which is that of the bytes that will be published.

    Raises:
        Refused: It is no DDO, or of a chain that is not served.
    """
    parsed = ddo.parse(body)
    _judge_chain(context, parsed.chain_id)
    digest = hashlib.sha256(body).digest()
    who = context.identity
    signed = PrivateKey(who.key).sign_msg_hash(signatures.personal_digest(digest))
    return Voucher(
        f"0x{digest.hex()}",
        who.address,
        27 + signed.v,
        f"0x{signed.r:064x}",
        f"0x{signed.s:064x}",
    )


def _judge_chain(context: Context, chain_id: int) -> None:
    if chain_id not in context.ports.chains.ids:
        refuse(Reason.CHAIN_UNKNOWN, "Unsupported chain ID")


async def _published(context: Context, asked: Decrypt) -> Document:
    found = await context.ports.chains.metadata_in(asked.chain_id, asked.nft, asked.transaction)
    if found is None:
        refuse(Reason.MALFORMED, "Failed to process transaction id.")
    return found.document


def _state(state: int) -> Refusal:
    names = {1: "Asset end of life", 2: "Asset deprecated", 3: "Asset revoked"}
    return Refusal(Reason.ASSET_STATE, names.get(state, "Invalid MetadataState"))
