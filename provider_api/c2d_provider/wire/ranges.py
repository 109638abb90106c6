"""Ranges and entity tags of HTTP (RFC 9110), as far as single ranges need them."""

import re

from c2d_provider.ports import Span

_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))", re.IGNORECASE)


def parse_range(text: str | None) -> Span | None:
    """Read a single range; None for the whole, and for what is no such range.

    The first byte, and the last if it is given; a first one below 0 counts from the end.
    """
    found = _RANGE.fullmatch((text or "").strip())
    if not found:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return (-int(suffix), None) if int(suffix) else None
    if last is None:
        return int(first), None
    return (int(first), int(last)) if int(last) >= int(first) else None


def has_changed(if_range: str | None, etag: str) -> bool:
    """Say whether a range of another version is asked for, so that the whole is to be sent."""
    return if_range is not None and if_range.strip() != etag


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Say whether the client has this version already."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or tags == ["*"]
