"""Whether a download goes on where it was cut; decisions on headers, without any network.

Parts of two versions of a file must never come together. So only what the server said before of
the very bytes that are kept decides: a strong validator, with which the server judges, and all
that its answer repeats, with which we do.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime

WHOLE, PART, UNSATISFIABLE, SERVER_ERROR = 200, 206, 416, 500
TRANSIENT = frozenset({408, 425, 429})
# A date tells versions apart only if the file was not young when it was sent (RFC 9110, 8.8.2.2).
YOUNG = timedelta(seconds=1)
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
# Strong, and such as can be sent back: a header may hold any byte.
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]*"')


@dataclass(frozen=True)
class Answer:
    """What a server says of the bytes that it is about to send; `place` is where they are."""

    status: int
    place: str = field(repr=False, default="")
    length: int | None = None
    etag: str = ""
    modified: str = ""
    date: str = ""
    content_range: str = ""


@dataclass(frozen=True)
class Version:
    """What tells a version of a file from others: as much as its server said."""

    place: str = field(repr=False, default="")
    etag: str = ""
    modified: str = ""
    date: str = ""
    total: int | None = None

    @property
    def validator(self) -> str:
        """What `If-Range` may name: it changes with every byte of the file."""
        if self.etag:
            return self.etag if _STRONG_TAG.fullmatch(self.etag) else ""
        return self.modified if _is_strong(self.modified, self.date) else ""


@dataclass(frozen=True)
class Kept:
    """The bytes that are there, and the version that they are of."""

    size: int
    version: Version


@dataclass(frozen=True)
class Receive:
    """Take the body as the file's bytes from `start` up to, not including, `end`."""

    start: int
    end: int | None
    version: Version


@dataclass(frozen=True)
class StartOver:
    """Leave this body and what is kept, and ask for the whole file."""

    words: str


@dataclass(frozen=True)
class Refused:
    """There are no bytes of the file in this answer; what is kept stays good."""


Decision = Receive | StartOver | Refused


def read_answer(status: int, place: str, length: int | None, headers: Mapping[str, str]) -> Answer:
    """Read what matters here of an answer."""
    return Answer(
        status,
        place,
        length,
        headers.get("ETag", ""),
        headers.get("Last-Modified", ""),
        headers.get("Date", ""),
        headers.get("Content-Range", ""),
    )


def range_headers(kept: Kept | None) -> dict[str, str]:
    """Ask for the rest of a file, if it is the same one still; or for the whole."""
    if kept is None or not kept.size or not kept.version.validator:
        return {}
    return {"Range": f"bytes={kept.size}-", "If-Range": kept.version.validator}


def decide(kept: Kept | None, answer: Answer) -> Decision:
    """Judge an answer to a request with the headers of `range_headers(kept)`."""
    asked = kept if range_headers(kept) else None
    if answer.status == WHOLE:  # also where the file has changed, or ranges are not known
        version = Version(
            answer.place, answer.etag, answer.modified, answer.date, total=answer.length
        )
        return Receive(0, answer.length, version)
    if asked is None or may_pass(answer.status):
        return Refused()
    if answer.status == PART:
        return _part(asked, answer)
    if answer.status == UNSATISFIABLE:
        return StartOver("the file on the server is shorter than before")
    return StartOver(f"the server answered {answer.status} when it was asked for the rest")


def may_pass(status: int) -> bool:
    """Say whether a status tells of trouble that is over some time later."""
    return status >= SERVER_ERROR or status in TRANSIENT


def _part(kept: Kept, answer: Answer) -> Decision:
    found = _RANGE.fullmatch(answer.content_range)
    if found is None:
        return StartOver("the server does not say which part of the file it sends")
    first, last = int(found[1]), int(found[2])
    total = None if found[3] == "*" else int(found[3])
    is_consistent = first == kept.size and first <= last and (total is None or last < total)
    if not is_consistent or answer.length not in {None, last - first + 1}:
        return StartOver("the server sends another part of the file than it was asked for")
    before = kept.version
    said = (
        (before.place, answer.place),
        (before.etag, answer.etag),
        (before.modified, answer.modified),
    )
    is_same = all(now in {then, ""} for then, now in said)
    if not is_same or (None not in {before.total, total} and before.total != total):
        return StartOver("the file on the server changed while it was loaded")
    whole = before.total if total is None else total
    if whole is not None and last >= whole:
        return StartOver("the file on the server changed while it was loaded")
    same = Version(before.place, before.etag, before.modified, before.date, whole)
    return Receive(first, last + 1, same)


def _is_strong(modified: str, date: str) -> bool:
    if not modified.isascii():
        return False
    try:
        return parsedate_to_datetime(date) - parsedate_to_datetime(modified) >= YOUNG
    except (ValueError, TypeError, OverflowError):  # no dates, or without time zones
        return False
