"""JSON from strangers, read so that two readers can never see two documents.

Duplicate keys, NaN, infinities, lone surrogates and endless numbers are refused, and so is what
is too large or too deep.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from c2d_provider.refusals import Reason, Refused, refuse

MAX_DEPTH = 32
_MAX_DIGITS = 80
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(r"[\[{}\]]")


def parse(data: bytes | str, max_bytes: int, what: str = "the document") -> Any:
    """Read a JSON document of at most `max_bytes` bytes of UTF-8.

    Raises:
        Refused: It is no such document; `what` names it.
    """
    text = _text(data, max_bytes, what)
    _check_depth(text, what)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except Refused:
        raise
    except (ValueError, RecursionError):
        refuse(Reason.MALFORMED, f"{what} is not JSON")
    _check_unicode(value, what)
    return value


def compact(value: Any) -> str:
    """Write JSON without spaces, keys in their order, non-ASCII characters as they are."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _text(data: bytes | str, max_bytes: int, what: str) -> str:
    try:
        encoded = data.encode() if isinstance(data, str) else data
        if len(encoded) > max_bytes:
            refuse(Reason.TOO_LARGE, f"{what} is larger than {max_bytes} bytes")
        return encoded.decode()
    except UnicodeError:
        refuse(Reason.MALFORMED, f"{what} is not UTF-8")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        refuse(Reason.MALFORMED, "a JSON object has two values for one key")
    return found


def _constant(_: str) -> NoReturn:
    refuse(Reason.MALFORMED, "JSON has no NaN and no infinity")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # 1e999 is valid JSON and infinite in a double
        refuse(Reason.MALFORMED, "a number is out of range")
    return number


def _int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        refuse(Reason.MALFORMED, "a number is out of range")
    return int(text)


def _check_depth(text: str, what: str) -> None:
    """Count brackets before the document is read.

    Python's own reader recurses, and where a library has raised the recursion limit, as py_ecc
    does, a deep document ends the process instead of raising an error.
    """
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            refuse(Reason.MALFORMED, f"{what} is nested deeper than {MAX_DEPTH} levels")


def _check_unicode(value: Any, what: str) -> None:
    level = [value]
    while level:
        if any(_has_surrogate(text) for text in _texts(level)):
            refuse(Reason.MALFORMED, f"{what} has text that is not Unicode")
        level = list(_below(level))


def _below(level: list[Any]) -> Iterator[Any]:
    for value in level:
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, list):
            yield from value


def _texts(level: list[Any]) -> Iterator[str]:
    for value in level:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from value


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
