"""Who asks: a signature or a token is checked first, the nonce is taken last.

Between the two stands everything that can be judged without side effects, so that whoever may not
do what is asked takes no place among the nonces.
"""

import hashlib
from dataclasses import dataclass

from c2d_provider import addresses, nonces, signatures, tokens
from c2d_provider.asked import Authorization
from c2d_provider.context import Context
from c2d_provider.messages import Messages
from c2d_provider.refusals import Reason, Refusal, Refused
from c2d_provider.tokens import Token


class AuthorizationRefused(Refused):
    """Raised where the requester is not who is claimed, or asks a second time."""


@dataclass(frozen=True)
class Proof:
    """How a request shows whom it is from.

    `messages` are the texts that may have been signed for it, `request` says all that it asks
    for. `token` counts where there is no signature.
    """

    authorization: Authorization
    messages: Messages
    request: str
    token: str = ""
    may_repeat: bool = False


@dataclass(frozen=True)
class Requester:
    """Who asks, by the checksummed address; `moves_nonce` is false where none was signed."""

    address: str
    nonce: nonces.Nonce
    use: nonces.Use
    moves_nonce: bool = True


async def identify(context: Context, proof: Proof) -> Requester:
    """Say who asks.

    Raises:
        AuthorizationRefused: Neither signature nor token is the claimed address's.
    """
    asked = proof.authorization
    if not asked.signature:
        return await _by_token(context, proof)
    signed = signatures.verify(asked.address, proof.messages, asked.signature)
    if isinstance(signed, Refusal):
        raise AuthorizationRefused(signed)
    used = nonces.use(asked.signature, proof.request, may_repeat=proof.may_repeat)
    return Requester(signed.signer, asked.nonce, used, signed.message.binds_nonce)


async def take_nonce(context: Context, requester: Requester) -> None:
    """Take the requester's nonce, for ever.

    Raises:
        AuthorizationRefused: It was used.
    """
    if not requester.moves_nonce:
        return
    refusal = await context.ports.cluster.use_nonce(
        requester.address, requester.nonce, requester.use
    )
    if refusal is not None:
        raise AuthorizationRefused(refusal)


async def read_token(context: Context, text: str) -> Token:
    """Read a token that counts.

    Raises:
        AuthorizationRefused: It is not ours, or over, or was ended.
    """
    who = context.identity
    token = tokens.read(who.token_secret, who.address, text, context.now())
    if isinstance(token, Refusal):
        raise AuthorizationRefused(token)
    if await context.ports.cluster.is_token_ended(token):
        raise AuthorizationRefused(Refusal(Reason.TOKEN_INVALID, "Token is deleted."))
    return token


async def _by_token(context: Context, proof: Proof) -> Requester:
    asked = proof.authorization
    token = await read_token(context, proof.token)
    if not addresses.are_equal(token.address, asked.address):
        raise AuthorizationRefused(Refusal(Reason.TOKEN_INVALID, "Token is invalid."))
    spelled = hashlib.sha256(f"{token.id} {asked.nonce.text}".encode()).hexdigest()
    used = nonces.use(spelled, proof.request, may_repeat=proof.may_repeat)
    return Requester(token.address, asked.nonce, used)
