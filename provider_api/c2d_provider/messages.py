"""The exact texts that Ocean's clients sign, request by request, for both wire generations.

Addresses, ids and nonces stand in them as the client wrote them. Where clients differ, a request
has several messages, likeliest first; one that leaves the nonce out says so, because whoever saw
it can send it again: it may do nothing that a second time would harm, and moves no nonce.

The texts of provider v2 are plain concatenations, so one text can belong to two requests. Where
only lengths tell parts apart, parts have a fixed length: a job id is 32 hexadecimal digits, a DID
ends in 64. A stop or deletion that signs a nonce must sign the DID too: without it, its text is
also that of a result's index and nonce.
"""

from dataclasses import dataclass
from enum import StrEnum


class Command(StrEnum):
    """What the node generation calls its requests in a signed text."""

    DOWNLOAD = "download"
    ENCRYPT = "encrypt"
    ENCRYPT_FILE = "encryptFile"
    DECRYPT_DDO = "decryptDDO"
    VALIDATE_DDO = "validateDDO"
    INITIALIZE_COMPUTE = "initializeCompute"
    START = "startCompute"
    FREE_START = "freeStartCompute"
    STOP = "stopCompute"
    STATUS = "getComputeStatus"
    RESULT = "getComputeResult"
    LOGS = "getComputeStreamableLogs"
    CREATE_TOKEN = "createAuthToken"  # noqa: S105 - a command, not a token
    INVALIDATE_TOKEN = "invalidateAuthToken"  # noqa: S105 - a command, not a token


@dataclass(frozen=True)
class Message:
    """One text that a client may have signed for a request."""

    text: str
    binds_nonce: bool = True


Messages = tuple[Message, ...]


def node(address: str, nonce: str, command: Command) -> Messages:
    """List what ocean.js 6 to 8 and ocean-cli sign: address, nonce, command.

    It names no job and no asset; only the nonce keeps one request from becoming another.
    ocean.js leaves the command out where it invalidates a token.
    """
    messages = (Message(f"{address}{nonce}{command}"),)
    if command is Command.INVALIDATE_TOKEN:
        return (Message(f"{address}{nonce}"), *messages)
    return messages


def download(document_id: str, nonce: str) -> Messages:
    """List what is signed for a download: neither address nor service nor file."""
    return (Message(f"{document_id}{nonce}"),)


def start(consumer: str, document_id: str, nonce: str) -> Messages:
    """List what is signed to start a job; the DID is that of the first dataset."""
    return (Message(f"{consumer}{document_id}{nonce}"),)


def stop(consumer: str, job_id: str, document_id: str, nonce: str) -> Messages:
    """List what is signed to stop a job: ocean.js 3 signs neither DID nor nonce."""
    bare = Message(f"{consumer}{job_id}", binds_nonce=False)
    return (*delete(consumer, job_id, document_id, nonce), bare)


def delete(consumer: str, job_id: str, document_id: str, nonce: str) -> Messages:
    """List what is signed to delete a job; never a text without the nonce.

    The text of a stop is the same, so one without a nonce would let a stop be sent again as this.
    """
    if not document_id:
        return ()
    return (Message(f"{consumer}{job_id}{document_id}{nonce}"),)


def status(consumer: str, job_id: str, document_id: str, nonce: str) -> Messages:
    """List what ocean.py signs when it asks for a job; other clients sign nothing."""
    return (Message(f"{consumer}{job_id}{document_id}{nonce}"),)


def result(consumer: str, job_id: str, index: int, nonce: str) -> Messages:
    """List what is signed to fetch a result.

    Index 12 with nonce 3 is also index 1 with nonce 23; `nonces.advance` refuses the second
    reading of a signature it remembers.
    """
    return (Message(f"{consumer}{job_id}{index}{nonce}"),)


def token(address: str, nonce: str) -> Messages:
    """List what is signed to create or delete an authentication token."""
    return (Message(f"{address}{nonce}"),)


def decrypt(document: str, decrypter: str, chain_id: int, nonce: str) -> Messages:
    """List what is signed to decrypt a DDO; `document` is the transaction or the NFT named."""
    return (Message(f"{document}{decrypter}{chain_id}{nonce}"),)
