"""Calls of contracts: what is sent, and what an answer says.

Pure. A contract of a stranger answers what it likes, and the stranger has also written the types
by which it is read: an answer is never read further than it is long, since a few kilobytes of
pointers at each other can stand for gigabytes.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.abi import encode as abi_encode
from eth_abi.codec import ABIDecoder
from eth_abi.decoding import ContextFramesBytesIO
from eth_abi.exceptions import ABITypeError, DecodingError, EncodingError, ParseError
from eth_abi.registry import registry
from eth_utils.crypto import keccak

from c2d_provider import addresses
from c2d_provider.fields import Json
from c2d_provider.refusals import Reason, refuse

MAX_ANSWER_BYTES: Final = 256 * 1024
_MAX_COMPONENTS = 64
_MAX_DEPTH = 4
_MAX_ITEMS = 1024
_TYPE = re.compile(r"([a-z]+[0-9]{0,3})((?:\[[0-9]{0,4}\]){0,3})")
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,127}")
_DECIMAL = re.compile(r"-?[0-9]{1,80}")
_UNREADABLE = "the contract of a file does not answer as its interface says"
_FAILURES = (
    ABITypeError,
    DecodingError,
    EncodingError,
    ParseError,
    OverflowError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Function:
    """A function of a contract that is known here: its signature, and the types it returns."""

    signature: str
    returns: tuple[str, ...]

    def call(self, *arguments: object) -> bytes:
        """Write the data of a call."""
        types = self.signature.partition("(")[2].rstrip(")")
        listed = types.split(",") if types else []
        return keccak(text=self.signature)[:4] + abi_encode(listed, arguments)

    def read(self, answer: bytes) -> tuple[Any, ...] | None:
        """Read an answer; None where it is not of the right form."""
        try:
            return _decode(self.returns, answer)
        except _FAILURES:
            return None


ERC721_LIST: Final = Function("erc721List(address)", ("address",))
IS_DEPLOYED: Final = Function("isDeployed(address)", ("bool",))
NFT_OF_DATATOKEN: Final = Function("getERC721Address()", ("address",))
OWNER_OF: Final = Function("ownerOf(uint256)", ("address",))
METADATA: Final = Function("getMetaData()", ("string", "string", "uint8", "bool"))
BALANCE_OF: Final = Function("balanceOf(address)", ("uint256",))
NAME: Final = Function("name()", ("string",))
SYMBOL: Final = Function("symbol()", ("string",))


class _BoundedStream(ContextFramesBytesIO):
    """Bytes that may be read little more than once: canonical answers overlap nowhere."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)  # type: ignore[no-untyped-call]  # eth-abi's has no types
        self._left = 8 * len(data) + 1024

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, as long as there is reason to."""
        self._left -= 32 if size is None or size < 0 else size + 1
        if self._left < 0:
            raise DecodingError("an answer is read over and over")
        return super().read(size)


class _BoundedDecoder(ABIDecoder):
    stream_class = _BoundedStream


_DECODER = _BoundedDecoder(registry)


def encode(function: Json, values: Json) -> bytes:
    """Write the data of a call of a file's function; arguments are found by their names.

    Raises:
        Refused: The interface is none, or an argument is missing or does not fit.
    """
    inputs = _parameters(function.get("inputs"))
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        refuse(Reason.FILES_MALFORMED, "invalid abi")
    missing = [one["name"] for one in inputs if one["name"] not in values]
    if missing:
        refuse(Reason.PARAMETER_INVALID, f"Missing userparams: {', '.join(missing)[:256]}")
    types = [_type(one) for one in inputs]
    signature = f"{name}({','.join(types)})"
    try:
        given = [_argument(one, values[one["name"]]) for one in inputs]
        return keccak(text=signature)[:4] + abi_encode(types, given)
    except _FAILURES:
        refuse(Reason.PARAMETER_INVALID, "an argument of a file's function does not fit its type")


def read_answer(function: Json, answer: bytes) -> bytes:
    """Write what a function returned as JSON: one value as it is, several as a list.

    Numbers are exact, bytes are hexadecimal with `0x`, a struct is the list of its members.

    Raises:
        Refused: The answer is empty, too large, or not of the types that the interface names.
    """
    types = tuple(_type(one) for one in _parameters(function.get("outputs")))
    if not types or not answer or len(answer) > MAX_ANSWER_BYTES:
        refuse(Reason.FILE_UNAVAILABLE, _UNREADABLE)
    try:
        values = [_plain(value) for value in _decode(types, answer)]
    except _FAILURES:
        refuse(Reason.FILE_UNAVAILABLE, _UNREADABLE)
    value = values[0] if len(values) == 1 else values
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _decode(types: Sequence[str], answer: bytes) -> tuple[Any, ...]:
    return _DECODER.decode(types, answer)


def _parameters(value: object, depth: int = 0) -> list[Mapping[str, Any]]:
    listed = [] if value is None else value
    if not isinstance(listed, list) or len(listed) > _MAX_COMPONENTS or depth > _MAX_DEPTH:
        refuse(Reason.FILES_MALFORMED, "invalid abi")
    return [_parameter(entry, depth) for entry in listed]


def _parameter(entry: object, depth: int) -> Mapping[str, Any]:
    if not isinstance(entry, Mapping):
        refuse(Reason.FILES_MALFORMED, "invalid abi")
    name, type_ = entry.get("name") or "", entry.get("type")
    matched = _TYPE.fullmatch(type_) if isinstance(type_, str) else None
    if not isinstance(name, str) or matched is None:
        refuse(Reason.FILES_MALFORMED, "invalid abi")
    sizes = [int(size) for size in re.findall(r"\[([0-9]+)\]", matched[2])]
    components = _parameters(entry.get("components"), depth + 1) if matched[1] == "tuple" else []
    # Of what takes no space, an answer could have any number without being read at all.
    is_empty = 0 in sizes or (matched[1] == "tuple" and not components)
    if is_empty or any(size > _MAX_ITEMS for size in sizes):
        refuse(Reason.FILES_MALFORMED, "invalid abi")
    return {"name": name, "base": matched[1], "dimensions": matched[2], "components": components}


def _type(parameter: Mapping[str, Any]) -> str:
    base = parameter["base"]
    if base == "tuple":
        base = f"({','.join(_type(one) for one in parameter['components'])})"
    return f"{base}{parameter['dimensions']}"


def _argument(parameter: Mapping[str, Any], value: Any, dimensions: str | None = None) -> Any:
    """Turn what JSON has into what the encoder takes.

    Raises:
        ValueError: It does not fit.
    """
    left = parameter["dimensions"] if dimensions is None else dimensions
    if left:
        if not isinstance(value, list) or len(value) > _MAX_ITEMS:
            raise ValueError("no list")
        outer = left[: left.rindex("[")]
        return [_argument(parameter, item, outer) for item in value]
    if parameter["base"] == "tuple":
        return _struct(parameter["components"], value)
    return _scalar(parameter["base"], value)


def _struct(components: Sequence[Mapping[str, Any]], value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = [value.get(one["name"]) for one in components]
    if not isinstance(value, list) or len(value) != len(components):
        raise ValueError("no struct")
    return [_argument(one, item) for one, item in zip(components, value, strict=True)]


def _scalar(base: str, value: Any) -> Any:
    if base.startswith(("uint", "int")):
        is_text = isinstance(value, str) and _DECIMAL.fullmatch(value)
        return int(value) if is_text else value
    if base == "bool":
        return value == "true" if value in ("true", "false") else value
    if base == "address":
        if not addresses.is_address(value):
            raise ValueError("no address")
        return value
    if base.startswith("bytes"):
        return bytes.fromhex(str(value).removeprefix("0x"))
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
