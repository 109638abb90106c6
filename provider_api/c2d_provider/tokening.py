"""Authentication tokens: made for an address that signed, ended before their time by it."""

from c2d_provider import addresses, tokens
from c2d_provider.asked import CreateToken, DeleteToken
from c2d_provider.authorizing import AuthorizationRefused, Proof, identify, read_token, take_nonce
from c2d_provider.context import Context
from c2d_provider.refusals import Reason, Refusal


async def create(context: Context, asked: CreateToken, proof: Proof) -> str:
    """Make a token; each takes a nonce, so that none is made twice."""
    requester = await identify(context, proof)
    now = context.now()
    expires = tokens.expiry(asked.expiration, now)
    if isinstance(expires, Refusal):
        raise AuthorizationRefused(expires)
    await take_nonce(context, requester)
    who = context.identity
    return tokens.make(
        who.token_secret, who.address, requester.address, requester.nonce.text, expires, now
    )


async def end(context: Context, asked: DeleteToken, proof: Proof) -> None:
    """End a token of the requester."""
    requester = await identify(context, proof)
    token = await read_token(context, asked.token)
    if not addresses.are_equal(token.address, requester.address):
        raise AuthorizationRefused(Refusal(Reason.TOKEN_INVALID, "Token is invalid."))
    await take_nonce(context, requester)
    await context.ports.cluster.end_token(token)
