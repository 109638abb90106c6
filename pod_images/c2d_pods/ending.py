"""How a pod of ours begins and ends: logs, signals, the report, and errors nobody foresaw."""

import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from c2d_api.exits import PodExit, Report
from c2d_api.progress import Tally

ACCIDENT = 70
PROGRESS_SECONDS = 2.0


class PodError(Exception):
    """What a pod ends with when it cannot do its work: words for people and an exit code."""

    def __init__(self, message: str, code: PodExit) -> None:
        """Keep the words and the code."""
        super().__init__(message)
        self.code = code


class Progress:
    """How many files and bytes are done, and of how many, told as lines at a bounded rate."""

    def __init__(self, of: int, every: float = PROGRESS_SECONDS) -> None:
        """Begin with nothing done of so many files."""
        self.of = of
        self.files = 0
        self.bytes = 0
        self._every = every
        self._next = 0.0
        self._lengths: dict[Hashable, int] = {}
        self._told: Tally | None = None

    @property
    def of_bytes(self) -> int | None:
        """Tell how long the files are together; None until the length of each is known."""
        return sum(self._lengths.values()) if len(self._lengths) == self.of else None

    def expect(self, file: Hashable, length: int | None) -> None:
        """Take note of how long a file will be; None takes back what was said of it before."""
        if length is None:
            self._lengths.pop(file, None)
        else:
            self._lengths[file] = length

    def add(self, count: int) -> None:
        """Count bytes; a negative number takes back those of an attempt that failed."""
        self.bytes += count
        if time.monotonic() >= self._next:
            self.tell()

    def done(self) -> None:
        """Count a file; the last one is always told."""
        self.files += 1
        if self.files == self.of or time.monotonic() >= self._next:
            self.tell()

    def tell(self) -> None:
        """Write a line for the operator, which reads the end of the pod's log."""
        self._next = time.monotonic() + self._every
        self._told = self._tally()
        sys.stdout.write(self._told.encode() + "\n")
        sys.stdout.flush()

    def tell_news(self) -> None:
        """Write a line if something has changed since the last one."""
        if self._tally() != self._told:
            self.tell()

    def _tally(self) -> Tally:
        return Tally(self.files, self.of, self.bytes, self.of_bytes)


class _AdminLog(logging.FileHandler):
    """A log on the volume, for as long as that takes it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Give the log up, once and for all: what the work itself is does not hang on it."""
        error = sys.exception()
        _log().removeHandler(self)
        with suppress(OSError):  # once more for what it still holds
            self.close()
        _miss_admin_log(error)


def log_to(path: Path) -> None:
    """Log to standard error, and to an admin log on the volume as well if that takes one."""
    _log().setLevel(logging.INFO)
    layout = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    layout.converter = time.gmtime
    own = logging.StreamHandler()
    own.setFormatter(layout)
    _log().addHandler(own)
    try:
        handler = _AdminLog(path, encoding="utf-8")
    except OSError as error:
        _miss_admin_log(error)
    else:
        handler.setFormatter(layout)
        _log().addHandler(handler)


def _log() -> logging.Logger:
    return logging.getLogger("c2d_pods")


def _miss_admin_log(error: BaseException | None) -> None:
    why = error.strerror if isinstance(error, OSError) else type(error).__name__
    _log().warning("The admin log cannot be written: %s", why)


def end_on_signals() -> None:
    """Make a stop request end the process at once: as process 1 it would be deaf to it.

    Nothing needs to be put in order, since a next attempt starts from whatever is there.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


def run(work: Callable[[], Report], report_path: Path) -> int:
    """Do the work, leave its report for the operator, and name the exit code.

    The message of an error that nobody foresaw may hold a URL or a name from outside, so of such
    an error only its type and place are told.
    """
    end_on_signals()
    log = logging.getLogger("c2d_pods.ending")
    try:
        report, code = work(), int(PodExit.DONE)
    except PodError as failure:
        report, code = Report(message=str(failure)), int(failure.code)
        log.error("%s", failure)
    except Exception as error:  # the last place that can keep a secret out of the log
        report, code = Report(message=_place(error)), ACCIDENT
        log.error("%s", report.message)
    try:
        report_path.write_text(report.encode(), encoding="utf-8")
    except OSError as error:
        log.warning("The report cannot be written: %s", error.strerror)
    return code


def leave(code: int) -> NoReturn:
    """End the process without taking the interpreter apart.

    The store's library has threads that may still hold Python objects then; one of them lets its
    object go in an interpreter that is half gone, and a finished upload ends as an abort.
    """
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"Unexpected {type(error).__name__}{where}"
