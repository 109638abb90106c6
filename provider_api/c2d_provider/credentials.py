"""Who may use an asset or a service: its allow and deny lists, judged for the real consumer.

A rule that cannot be judged here refuses: its author meant to keep somebody out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from c2d_provider import addresses, fields
from c2d_provider.fields import Json
from c2d_provider.refusals import Reason, Refusal, refuse

ANYONE = "*"
_ADDRESS = "address"
_ACCESS_LIST = "accessList"
_MAX_ENTRIES = 64
_MAX_VALUES = 10_000

Match = Literal["any", "all"]


@dataclass(frozen=True)
class Entry:
    """One entry of a list: addresses of consumers, or of access list contracts on a chain.

    `chain_id` is None for the asset's own chain. Another `type` is one that is not known here.
    """

    type: str
    values: frozenset[str]
    chain_id: int | None = None


@dataclass(frozen=True)
class Credentials:
    """Allow and deny lists, and whether one or all of their entries must match."""

    allow: tuple[Entry, ...] = ()
    deny: tuple[Entry, ...] = ()
    match_allow: Match = "all"
    match_deny: Match = "any"


AccessList = tuple[int, str]
"""An access list contract: chain id and address in lower case."""


def parse_credentials(value: object) -> tuple[Credentials, ...]:
    """Read the credentials of a DDO or service: an object, or a list of them; none for nothing.

    Raises:
        Refused: They have another form.
    """
    if value is None:
        return ()
    listed = value if isinstance(value, list) else [value]
    return tuple(_credentials(entry) for entry in fields.sequence(listed, "credentials"))


def access_lists(credentials: Iterable[Credentials], chain_id: int) -> tuple[AccessList, ...]:
    """Name the contracts to be asked whether the consumer holds a token of them."""
    found = {
        (entry.chain_id or chain_id, address)
        for one in credentials
        for entry in (*one.allow, *one.deny)
        if entry.type == _ACCESS_LIST
        for address in entry.values
        if addresses.is_address(address)
    }
    return tuple(sorted(found))


def judge_credentials(
    credentials: Iterable[Credentials],
    consumer: str,
    chain_id: int,
    held: frozenset[AccessList] = frozenset(),
) -> Refusal | None:
    """Say why a consumer is not let in; `held` are the access lists that have the consumer.

    Denied outranks allowed. A list without entries is no list; an entry without values names
    nobody.
    """
    who = _Consumer(consumer.lower(), chain_id, held)
    for one in credentials:
        refusal = _judge(one, who)
        if refusal is not None:
            return refusal
    return None


@dataclass(frozen=True)
class _Consumer:
    address: str
    chain_id: int
    held: frozenset[AccessList]

    def matches(self, entry: Entry) -> bool:
        if entry.type == _ADDRESS:
            return ANYONE in entry.values or self.address in entry.values
        chain_id = entry.chain_id or self.chain_id
        return any((chain_id, address) in self.held for address in entry.values)


def _judge(credentials: Credentials, who: _Consumer) -> Refusal | None:
    known = (_ADDRESS, _ACCESS_LIST)
    if any(entry.type not in known for entry in (*credentials.allow, *credentials.deny)):
        return Refusal(Reason.CREDENTIALS_UNKNOWN, "the asset asks for credentials of another kind")
    denied = [who.matches(entry) for entry in credentials.deny]
    if denied and (any(denied) if credentials.match_deny == "any" else all(denied)):
        return Refusal(Reason.CREDENTIALS_DENIED, "the asset denies its use to this address")
    allowed = [who.matches(entry) for entry in credentials.allow]
    if allowed and not (any(allowed) if credentials.match_allow == "any" else all(allowed)):
        return Refusal(
            Reason.CREDENTIALS_NOT_ALLOWED, "the asset does not allow its use to this address"
        )
    return None


def _credentials(value: Any) -> Credentials:
    body = fields.mapping(value, "credentials")
    return Credentials(
        allow=_entries(body, "allow"),
        deny=_entries(body, "deny"),
        match_allow=_match(body, "match_allow", "all"),
        match_deny=_match(body, "match_deny", "any"),
    )


def _match(body: Json, name: str, default: Match) -> Match:
    found = body.get(name, default)
    if found not in ("any", "all"):
        refuse(Reason.MALFORMED, f"credentials.{name} must be any or all")
    return "any" if found == "any" else "all"


def _entries(body: Json, name: str) -> tuple[Entry, ...]:
    where = f"credentials.{name}"
    return tuple(
        _entry(fields.mapping(value, where), where)
        for value in fields.sequence(body.get(name), where, _MAX_ENTRIES)
    )


def _entry(body: Json, where: str) -> Entry:
    type_ = fields.optional_text(body, "type", where, most=64)
    values = frozenset(
        _value(value, where)
        for value in fields.sequence(body.get("values"), f"{where}.values", _MAX_VALUES)
    )
    if type_ != _ACCESS_LIST:
        return Entry(type_, values)
    contract = fields.optional_text(body, "accessList", where, most=64)
    named = {contract.strip().lower()} if contract else set()
    chain_id = fields.integer(body, "chainId", where, least=1) if "chainId" in body else None
    return Entry(type_, values | named, chain_id)


def _value(value: Any, where: str) -> str:
    """Read an address; version 5 may wrap it in an object."""
    text = value.get("address") if isinstance(value, dict) else value
    if not isinstance(text, str):
        refuse(Reason.MALFORMED, f"{where}.values must be addresses")
    return text.strip().lower()
