"""Assets put on chain as Ocean's clients do it, for tests: DDOs, encrypted lists of files."""

import hashlib
import json
import lzma
from dataclasses import dataclass, replace
from typing import Any

import ecies
from eth_account import Account as Signer
from eth_account.messages import encode_defunct
from web3 import Web3
from web3.types import TxReceipt

from chain import CHAIN_ID, Asset, Ocean
from local_stack.chain import Account

PLAIN, COMPRESSED, ENCRYPTED = 0, 1, 2


@dataclass(frozen=True)
class Provider:
    """To whom things are encrypted."""

    account: Account

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt as clients do, by the provider's public key alone."""
        key = Signer.from_key(self.account.key)._key_obj.public_key
        return ecies.encrypt(f"0x04{key.to_bytes().hex()}", data)

    def encrypt_files(self, asset: Asset, *files: dict[str, Any]) -> str:
        body = {"nftAddress": asset.nft, "datatokenAddress": asset.datatoken, "files": list(files)}
        return f"0x{self.encrypt(json.dumps(body).encode()).hex()}"


def document(asset: Asset, files: str = "0x00", **changes: Any) -> dict[str, Any]:
    """Write the DDO of an asset with one compute service."""
    service = {
        "id": "97d09a3f",
        "type": "compute",
        "files": files,
        "datatokenAddress": asset.datatoken,
        "serviceEndpoint": "https://provider.example",
        "timeout": 3600,
    }
    return {
        "@context": ["https://w3id.org/did/v1"],
        "id": asset.did,
        "version": "4.1.0",
        "chainId": CHAIN_ID,
        "nftAddress": asset.nft,
        "metadata": {"type": "dataset", "name": "Bäume", "created": "2026-01-01T00:00:00Z"},
        "services": [service],
        **changes,
    }


def version_5(asset: Asset, **changes: Any) -> dict[str, Any]:
    """Write the same as a credential of version 5."""
    body = document(asset, **changes)
    subject = {key: body.pop(key) for key in ("chainId", "nftAddress", "metadata", "services")}
    return {
        **body,
        "id": asset.did.replace("did:op:", "did:ope:"),
        "version": "5.0.0",
        "type": ["VerifiableCredential"],
        "credentialSubject": subject,
    }


def compact(body: dict[str, Any], *, escaped: bool = False) -> bytes:
    """Write JSON as clients hash it: ocean.js with letters as they are, ocean.py with escapes."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=escaped).encode()


def set_metadata(
    ocean: Ocean,
    asset: Asset,
    owner: str,
    content: bytes,
    *,
    flags: int = PLAIN,
    provider: Provider | None = None,
    packing: int = lzma.FORMAT_XZ,
    hash_: bytes | None = None,
    validator: Account | None = None,
) -> TxReceipt:
    """Put metadata on chain by the NFT's own contract."""
    data, digest = content, hash_ or hashlib.sha256(content).digest()
    if flags & COMPRESSED:
        data = lzma.compress(data, format=packing)
    if flags & ENCRYPTED and provider:
        data = provider.encrypt(data)
    proofs = [_proof(validator, digest)] if validator else []
    call = ocean.contract("ERC721Template", asset.nft).functions.setMetaData(
        0, "https://provider.example", "0x123", bytes([flags]), data, digest, proofs
    )
    return ocean.send(call, owner)


def of_other_chain_id(asset: Asset) -> Asset:
    """Name the asset as it would be called on another chain."""
    digest = hashlib.sha256(f"{asset.nft}1".encode()).hexdigest()
    return replace(asset, did=f"did:op:{digest}")


def _proof(validator: Account, digest: bytes) -> tuple[str, int, bytes, bytes]:
    signed = Signer.sign_message(encode_defunct(digest), validator.key)
    r, s = (number.to_bytes(32, "big") for number in (signed.r, signed.s))
    return Web3.to_checksum_address(validator.address), signed.v, r, s
