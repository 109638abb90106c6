"""How often and how long the loader tries to have a file; rules on numbers, without a clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from c2d_pods.content import TransientError

MIB = 2**20


@dataclass(frozen=True)
class Patience:
    """How often and how long a download is tried; times in seconds.

    What brings less than `least` bytes in each `window` is too slow, whether it drips or is
    silent. An attempt that brings a file by `stride` further than ever gives it all `attempts`
    anew, so that a large file arrives over a connection that is cut ever again.
    """

    attempts: int = 6
    first_pause: float = 1
    longest_pause: float = 60
    connect: float = 30
    answer: float = 180
    stall: float = 60
    window: float = 60
    least: int = 64 * 1024
    provider: float = 300
    redirects: int = 5
    stride: int = 4 * MIB

    def pause(self, failures: int, asked: float = 0, luck: float = 1) -> float:
        """Tell how long to wait after so many failures.

        `luck`, between 0 and 1, spreads those who failed together; `asked` is what the server
        asks for, which is not undercut, yet bounded.
        """
        grown = self.first_pause * float(2 ** (failures - 1)) * (0.5 + luck / 2)
        return min(max(grown, asked), self.longest_pause)


@dataclass(frozen=True)
class Tried:
    """Failures since a file last came a stride further, and how far that was.

    Only what was never reached before counts, so that the number of attempts has a limit.
    """

    failures: int = 0
    furthest: int = 0

    def failed(self, reached: int, stride: int) -> "Tried":
        """Count another failure, which left the file with so many bytes."""
        if reached >= self.furthest + stride:
            return Tried(1, reached)
        return Tried(self.failures + 1, self.furthest)


@dataclass(frozen=True)
class Pace:
    """When a window of time began, and with how many bytes."""

    since: float
    size: int

    def kept(self, now: float, size: int, patience: Patience) -> "Pace":
        """Go on to this moment.

        Raises:
            TransientError: Too few bytes came in the window that is over.
        """
        if now < self.since + patience.window:
            return self
        if size < self.size + patience.least:
            raise TransientError("the server sends too slowly")
        return Pace(now, size)


def asked_pause(headers: Mapping[str, str], now: datetime) -> float:
    """Read how many seconds a server asks to be left alone."""
    asked = headers.get("Retry-After", "")
    if asked.isdecimal():
        return float(asked[:9])
    try:
        return max(0, (parsedate_to_datetime(asked) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, or one without a time zone
        return 0
