"""Authentication tokens: made by us, read by us alone, for one address, until their end."""

import base64
import json

import jwt
import pytest

from c2d_provider.refusals import Reason, Refusal
from c2d_provider.tokens import MAX_LIFETIME, Token, expiry, make, read

SECRET = b"s" * 32
OTHER = b"t" * 32
AUDIENCE = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
NOW = 1_800_000_000


def made(**changes: object) -> str:
    claims = {"address": ADDRESS, "nonce": "5", "exp": NOW + 60, "aud": AUDIENCE, **changes}
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, SECRET, "HS256")


def test_a_token_is_read_back() -> None:
    token = read(SECRET, AUDIENCE, make(SECRET, AUDIENCE, ADDRESS.lower(), "5", NOW + 1, NOW), NOW)
    assert isinstance(token, Token)
    assert (token.address, token.nonce, token.expires) == (ADDRESS, "5", NOW + 1)


def test_clients_find_the_address_in_the_token() -> None:
    """ocean.js decodes `payload.address` without asking."""
    payload = make(SECRET, AUDIENCE, ADDRESS, "5", NOW + 1, NOW).split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(payload + "=="))["address"] == ADDRESS


def _unsigned() -> str:
    return jwt.encode(
        {"address": ADDRESS, "nonce": "5", "exp": NOW + 60, "aud": AUDIENCE}, "", "none"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(made(exp=NOW), Reason.TOKEN_EXPIRED, id="it ends now"),
        pytest.param(made(exp=NOW - 1), Reason.TOKEN_EXPIRED, id="it has ended"),
        pytest.param("", Reason.TOKEN_INVALID, id="empty"),
        pytest.param("undefined", Reason.TOKEN_INVALID, id="what ocean.js sends without one"),
        pytest.param("a.b.c", Reason.TOKEN_INVALID, id="no JWT"),
        pytest.param("é" * 10, Reason.TOKEN_INVALID, id="not ASCII"),
        pytest.param("e" * 5000, Reason.TOKEN_INVALID, id="too long"),
        pytest.param(
            jwt.encode({"a": 1}, SECRET, headers={"x": "y"}), Reason.TOKEN_INVALID, id="no claims"
        ),
        pytest.param(_unsigned(), Reason.TOKEN_INVALID, id="algorithm none"),
        pytest.param(
            make(OTHER, AUDIENCE, ADDRESS, "5", NOW + 60, NOW),
            Reason.TOKEN_INVALID,
            id="another secret",
        ),
        pytest.param(made(aud="else"), Reason.TOKEN_INVALID, id="another provider's"),
        pytest.param(made(aud=None), Reason.TOKEN_INVALID, id="for nobody"),
        pytest.param(made(exp=None), Reason.TOKEN_INVALID, id="without an end"),
        pytest.param(made(exp=True), Reason.TOKEN_INVALID, id="an end that is no number"),
        pytest.param(made(exp=1e300), Reason.TOKEN_INVALID, id="an end beyond all time"),
        pytest.param(made(address="0x12"), Reason.TOKEN_INVALID, id="no address"),
        pytest.param(made(address=None), Reason.TOKEN_INVALID, id="without an address"),
        pytest.param(made(nonce=5), Reason.TOKEN_INVALID, id="a nonce that is no text"),
    ],
)
def test_what_is_no_valid_token(text: str, reason: Reason) -> None:
    found = read(SECRET, AUDIENCE, text, NOW)
    assert isinstance(found, Refusal)
    assert found.reason == reason
    assert found.message in {"Token is invalid.", "Token is expired."}  # provider v2's texts


def test_a_token_in_another_spelling_has_the_same_id() -> None:
    """Base64 has padding: else an invalidated token would live on in another spelling."""
    text = made()
    tokens = [read(SECRET, AUDIENCE, spelling, NOW) for spelling in (text, f"{text}=")]
    assert all(isinstance(token, Token) for token in tokens)
    assert tokens[0] == tokens[1]


def test_two_tokens_have_two_ids() -> None:
    one, two = read(SECRET, AUDIENCE, made(), NOW), read(SECRET, AUDIENCE, made(nonce="6"), NOW)
    assert isinstance(one, Token)
    assert isinstance(two, Token)
    assert one.id != two.id


@pytest.mark.parametrize(
    ("asked", "expires"),
    [
        pytest.param(None, NOW + MAX_LIFETIME, id="nothing asked"),
        pytest.param(NOW + 60, NOW + 60, id="seconds, as provider v2 has them"),
        pytest.param((NOW + 60) * 1000, NOW + 60, id="milliseconds, as the node has them"),
        pytest.param(NOW + 10 * MAX_LIFETIME, NOW + MAX_LIFETIME, id="too long"),
    ],
)
def test_how_long_a_token_lives(asked: int | None, expires: int) -> None:
    assert expiry(asked, NOW) == expires


@pytest.mark.parametrize("asked", [0, -1, NOW, NOW * 1000])
def test_a_token_that_has_ended_is_not_made(asked: int) -> None:
    found = expiry(asked, NOW)
    assert isinstance(found, Refusal)
    assert found.message == "Token is expired."
