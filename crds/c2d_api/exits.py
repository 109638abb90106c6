"""How the pods tell the operator what happened: exit codes and the termination message.

The codes of loader and publisher are ours alone. Those of the launcher share their range with
the algorithm, which may return them too, so nothing that a consumer gains from hangs on them.
"""

import json
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

MESSAGE_BYTES = 4096
FILES_SHOWN = 100
_MESSAGE_SHARE = 2048
MESSAGE_PATH = "/dev/termination-log"


class PodExit(IntEnum):
    """Why a loader or a publisher ended; everything else is an accident and worth repeating.

    The last three are final. `UPLOAD_FAILED` is for a store that no attempt can reach, since its
    URL names none; one that is down, full, missing or refuses can be mended, and is tried again.
    """

    DONE = 0
    TRY_AGAIN = 75
    DATASET_FAILED = 81
    ALGORITHM_FAILED = 82
    UPLOAD_FAILED = 83


class LauncherExit(IntEnum):
    """What a launcher says of the run in place of the algorithm's own exit code."""

    LOG_EXISTS = 221
    BROKEN = 222
    NETWORK_OPEN = 223
    DISK_FULL = 224


@dataclass(frozen=True)
class Report:
    """What a pod leaves as its termination message; `omitted` files are not published, or cut."""

    message: str = ""
    count: int = 0
    total_bytes: int = 0
    manifest_digest: str = ""
    files: tuple[dict[str, Any], ...] = ()
    omitted: int = 0

    def encode(self) -> str:
        """Write the report within the kubelet's limit: the list of files gives way first."""
        message = _shortened(self.message)
        for shown in range(min(len(self.files), FILES_SHOWN), 0, -1):
            text = self._text(message, self.files[:shown])
            if len(text) <= MESSAGE_BYTES:
                return text
        return self._text(message, ())

    def _text(self, message: str, files: tuple[dict[str, Any], ...]) -> str:
        return json.dumps(
            {
                "message": message,
                "count": self.count,
                "totalBytes": self.total_bytes,
                "manifestDigest": self.manifest_digest,
                "omitted": self.omitted,
                "files": files,
            },
            separators=(",", ":"),
        )


def _shortened(message: str) -> str:
    """Cut a message by the length of its JSON form, in which one character may take twelve."""
    message = message[:_MESSAGE_SHARE]
    while len(json.dumps(message)) > _MESSAGE_SHARE:
        message = message[:-1]
    return message


def decode_report(text: str | None) -> Report:
    """Read a termination message; one that is not ours is an empty report."""
    try:
        body = json.loads(text or "")
        return Report(
            message=str(body["message"]),
            count=int(body["count"]),
            total_bytes=int(body["totalBytes"]),
            manifest_digest=str(body["manifestDigest"]),
            files=tuple(
                {"name": str(f["name"]), "type": str(f["type"]), "size": int(f["size"])}
                for f in body["files"]
            ),
            omitted=int(body.get("omitted", 0)),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return Report()
