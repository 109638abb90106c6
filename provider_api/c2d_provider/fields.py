"""Typed reading of parsed JSON: each function returns a field or refuses, naming it.

`where` is the path of the object in the document, such as `services[2]`; "" is its root.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from c2d_provider.refusals import Reason, refuse

Json = Mapping[str, Any]

MAX_TEXT = 4096
_MAX_ITEMS = 1024


def path(where: str, name: str) -> str:
    """Name a field for people."""
    return f"{where}.{name}" if where else name


def mapping(value: object, where: str) -> Json:
    """Read a JSON object.

    Raises:
        Refused: It is something else.
    """
    if not isinstance(value, Mapping):
        refuse(Reason.MALFORMED, f"{where or 'the document'} must be an object")
    return value


def sequence(value: object, where: str, most: int = _MAX_ITEMS) -> Sequence[Any]:
    """Read a JSON array of at most `most` items; None is an empty one.

    Raises:
        Refused: It is something else, or longer.
    """
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        refuse(Reason.MALFORMED, f"{where} must be a list")
    if len(value) > most:
        refuse(Reason.TOO_LARGE, f"{where} has more than {most} entries")
    return value


def text(body: Json, name: str, where: str = "", most: int = MAX_TEXT) -> str:
    """Read a text that must be there and not be empty.

    Raises:
        Refused: It is missing, empty, too long or no text.
    """
    value = optional_text(body, name, where, most)
    if not value:
        refuse(Reason.MALFORMED, f"{path(where, name)} is missing")
    return value


def optional_text(body: Json, name: str, where: str = "", most: int = MAX_TEXT) -> str:
    """Read a text; absent, null and empty are all "".

    Raises:
        Refused: It is too long or no text.
    """
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        refuse(Reason.MALFORMED, f"{path(where, name)} must be a text")
    if len(value) > most:
        refuse(Reason.TOO_LARGE, f"{path(where, name)} is longer than {most} characters")
    return value


def integer(
    body: Json, name: str, where: str = "", *, least: int = 0, most: int = 2**63 - 1
) -> int:
    """Read a whole number; true and false are none, and neither is 1.0.

    Raises:
        Refused: It is missing, no whole number or out of range.
    """
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(Reason.MALFORMED, f"{path(where, name)} must be a whole number")
    if not least <= value <= most:
        refuse(Reason.MALFORMED, f"{path(where, name)} must be between {least} and {most}")
    return value


def flag(body: Json, name: str, where: str = "") -> bool:
    """Read true or false; absent is false, and "false" is not a boolean.

    Raises:
        Refused: It is something else.
    """
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        refuse(Reason.MALFORMED, f"{path(where, name)} must be true or false")
    return value
