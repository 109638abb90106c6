"""How far a pod of ours has come: a JSON line in its log, which the operator reads now and then.

The operator takes a line for what it is, text from a log: one that does not fit is no line.
"""

import json
from dataclasses import dataclass

MAX_LINE_CHARACTERS = 512
_MOST = 2**63 - 1


@dataclass(frozen=True)
class Tally:
    """Files and bytes that are done, of how many; `bytes_total` is None where it is not known."""

    files: int
    files_total: int
    bytes: int
    bytes_total: int | None = None

    def encode(self) -> str:
        """Write the line, without its end."""
        body = {
            "files": self.files,
            "of": self.files_total,
            "bytes": self.bytes,
            "ofBytes": self.bytes_total,
        }
        return json.dumps({"progress": body})


def latest_tally(text: str) -> Tally | None:
    """Read the last line of progress in the end of a log, whatever else stands there."""
    found = (_tally(line) for line in reversed(text.splitlines()))
    return next((tally for tally in found if tally is not None), None)


def _tally(line: str) -> Tally | None:
    if len(line) > MAX_LINE_CHARACTERS:
        return None
    try:
        body = json.loads(line)["progress"]
        counts = body["files"], body["of"], body["bytes"]
        total = body.get("ofBytes")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None
    if not all(map(_is_count, counts)) or not (total is None or _is_count(total)):
        return None
    return Tally(*counts, total)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST
