"""Whose key signs for an environment."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from c2d_provider.ports import Cluster
from c2d_provider.refusals import Reason, Refused
from c2d_provider.signing import Keyring, key_of, read_key
from chain_facts import PROVIDER, PROVIDER_KEY, STRANGER, STRANGER_KEY

RING = Keyring("system", PROVIDER, PROVIDER_KEY)
TEXT = f"0x{STRANGER_KEY.hex()}".encode()


class Secrets:
    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        return {"key": TEXT} if (namespace, name) == ("system", "there") else None


async def key(address: str, secret: str | None) -> bytes:
    return await key_of(cast("Cluster", Secrets()), RING, address, secret)


async def test_the_secret_of_the_environment_has_the_key_of_its_address() -> None:
    assert await key(STRANGER, "there") == STRANGER_KEY
    assert await key(STRANGER.lower(), "there") == STRANGER_KEY


async def test_an_environment_may_order_as_the_provider_itself() -> None:
    assert await key(PROVIDER.lower(), None) == PROVIDER_KEY
    assert await key(PROVIDER, "") == PROVIDER_KEY


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        pytest.param(STRANGER, None, id="no Secret"),
        pytest.param(STRANGER, "missing", id="a Secret that is not there"),
        pytest.param(PROVIDER, "there", id="the key of another address"),
        pytest.param("", "there", id="nobody in orders"),
        pytest.param("", None, id="nobody at all"),
    ],
)
async def test_nobody_else_signs(address: str, secret: str | None) -> None:
    with pytest.raises(Refused) as refused:
        await key(address, secret)
    assert refused.value.refusal.reason == Reason.SERVICE_OF_OTHER_PROVIDER


@pytest.mark.parametrize(
    "secret",
    [
        None,
        {},
        {"other": TEXT},
        {"key": b""},
        {"key": b"0x" + b"0" * 64},
        {"key": b"f" * 64},
        {"key": TEXT[:-1]},
        {"key": b"\xff" * 64},
    ],
)
def test_what_is_no_key_is_none(secret: Any) -> None:
    assert read_key(secret, STRANGER) is None


def test_a_key_is_read_with_what_editors_leave() -> None:
    assert read_key({"key": TEXT + b"\n"}, STRANGER) == STRANGER_KEY
    assert read_key({"key": TEXT[2:]}, STRANGER) == STRANGER_KEY


def test_no_key_is_shown() -> None:
    assert PROVIDER_KEY.hex() not in repr(RING)
    assert str(PROVIDER_KEY) not in repr(RING)
