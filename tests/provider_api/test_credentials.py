"""Allow and deny lists: who is let in, who is kept out, and what nobody can judge."""

from typing import Any

import pytest

from c2d_provider.credentials import access_lists, judge_credentials, parse_credentials
from c2d_provider.refusals import Reason, Refused

ALICE = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
BOB = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
CLUB = "0x8aCd85898458400f7Db866d53FCFF6f0D49741FF"
OTHER_CLUB = "0xe082b26cEf079a095147F35c9647eC97c2401B83"
CHAIN = 8996


def names(*values: Any) -> dict[str, Any]:
    return {"type": "address", "values": list(values)}


def club(address: str = CLUB, **more: Any) -> dict[str, Any]:
    return {"type": "accessList", "accessList": address, **more}


def reason(credentials: Any, held: Any = ()) -> Reason | None:
    parsed = parse_credentials(credentials)
    found = judge_credentials(parsed, ALICE, CHAIN, frozenset(held))
    return found.reason if found else None


ALLOWED = None
NOT_ALLOWED = Reason.CREDENTIALS_NOT_ALLOWED
DENIED = Reason.CREDENTIALS_DENIED
UNKNOWN = Reason.CREDENTIALS_UNKNOWN


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        pytest.param(None, ALLOWED, id="none"),
        pytest.param({}, ALLOWED, id="empty"),
        pytest.param({"allow": [], "deny": []}, ALLOWED, id="empty lists, as ocean.py writes them"),
        pytest.param({"allow": None, "deny": None}, ALLOWED, id="no lists"),
        pytest.param({"allow": [names(ALICE)]}, ALLOWED, id="allowed"),
        pytest.param({"allow": [names(ALICE.lower())]}, ALLOWED, id="in other letter case"),
        pytest.param({"allow": [names(BOB, ALICE)]}, ALLOWED, id="one of several"),
        pytest.param({"allow": [names("*")]}, ALLOWED, id="anyone"),
        pytest.param({"allow": [names({"address": ALICE})]}, ALLOWED, id="as version 5 writes it"),
        pytest.param({"allow": [names(BOB)]}, NOT_ALLOWED, id="somebody else is"),
        pytest.param({"allow": [names()]}, NOT_ALLOWED, id="nobody is"),
        pytest.param({"allow": [names(ALICE[:-1])]}, NOT_ALLOWED, id="almost the address"),
        pytest.param({"allow": [{"type": "address"}]}, NOT_ALLOWED, id="an entry without values"),
        pytest.param({"deny": [names(BOB)]}, ALLOWED, id="somebody else is denied"),
        pytest.param({"deny": [names(ALICE)]}, DENIED, id="denied"),
        pytest.param({"deny": [names(f" {ALICE.upper()} ")]}, DENIED, id="denied, badly written"),
        pytest.param({"deny": [names("*")]}, DENIED, id="everybody is denied"),
        pytest.param(
            {"allow": [names(ALICE)], "deny": [names(ALICE)]}, DENIED, id="denied outranks allowed"
        ),
        pytest.param(
            {"allow": [names(ALICE), names(BOB)]}, NOT_ALLOWED, id="all entries must allow"
        ),
        pytest.param(
            {"allow": [names(ALICE), names(BOB)], "match_allow": "any"},
            ALLOWED,
            id="where any may, one is enough",
        ),
        pytest.param({"deny": [names(ALICE), names(BOB)]}, DENIED, id="any entry denies"),
        pytest.param(
            {"deny": [names(ALICE), names(BOB)], "match_deny": "all"},
            ALLOWED,
            id="where all must, one is not enough",
        ),
        pytest.param(
            {"allow": [{"type": "PS-specific Type", "values": [ALICE]}]}, UNKNOWN, id="unknown kind"
        ),
        pytest.param(
            {"deny": [{"type": "verifiableCredential", "values": []}]}, UNKNOWN, id="unknown denial"
        ),
        pytest.param(
            {"allow": [names("*")], "deny": [{"values": [BOB]}]}, UNKNOWN, id="without a kind"
        ),
        pytest.param([{"allow": [names(ALICE)]}, {"deny": [names(ALICE)]}], DENIED, id="a list"),
        pytest.param({"allow": [club()]}, NOT_ALLOWED, id="not a member"),
    ],
)
def test_who_is_let_in(credentials: Any, expected: Reason | None) -> None:
    assert reason(credentials) == expected


MEMBER = [(CHAIN, CLUB.lower())]


@pytest.mark.parametrize(
    ("credentials", "held", "expected"),
    [
        pytest.param({"allow": [club()]}, MEMBER, ALLOWED, id="a member"),
        pytest.param(
            {"allow": [{"type": "accessList", "values": [CLUB]}]}, MEMBER, ALLOWED, id="by values"
        ),
        pytest.param({"allow": [club(chainId=CHAIN)]}, MEMBER, ALLOWED, id="the chain is named"),
        pytest.param(
            {"allow": [club(chainId=1)]}, MEMBER, NOT_ALLOWED, id="a member on another chain"
        ),
        pytest.param({"allow": [club(OTHER_CLUB)]}, MEMBER, NOT_ALLOWED, id="of another list"),
        pytest.param({"allow": [club("*")]}, MEMBER, NOT_ALLOWED, id="a star is no list"),
        pytest.param({"deny": [club()]}, MEMBER, DENIED, id="members are denied"),
        pytest.param({"deny": [club()]}, [], ALLOWED, id="others are not"),
        pytest.param({"allow": [names(ALICE), club()]}, [], NOT_ALLOWED, id="named, but no member"),
    ],
)
def test_access_lists(credentials: Any, held: Any, expected: Reason | None) -> None:
    assert reason(credentials, held) == expected


def test_the_contracts_to_be_asked_are_named_once() -> None:
    credentials = parse_credentials(
        {"allow": [club(), club(CLUB.lower()), club(OTHER_CLUB, chainId=1)], "deny": [club("x")]}
    )
    assert access_lists(credentials, CHAIN) == ((1, OTHER_CLUB.lower()), (CHAIN, CLUB.lower()))


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param("*", id="text"),
        pytest.param({"allow": {}}, id="a list that is an object"),
        pytest.param({"allow": ["0x12"]}, id="an entry that is text"),
        pytest.param({"allow": [{"type": "address", "values": "*"}]}, id="values that are text"),
        pytest.param({"allow": [names(1)]}, id="a value that is a number"),
        pytest.param({"allow": [names({"address": None})]}, id="a value without an address"),
        pytest.param({"match_allow": "some"}, id="another match"),
        pytest.param({"match_deny": None}, id="a match that is null"),
        pytest.param({"allow": [names()] * 65}, id="too many entries"),
        pytest.param({"allow": [club(chainId="1")]}, id="a chain id that is text"),
    ],
)
def test_malformed_credentials_are_refused(credentials: Any) -> None:
    with pytest.raises(Refused):
        parse_credentials(credentials)
