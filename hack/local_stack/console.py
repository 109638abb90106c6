"""Lines for the person who waits: what happens, and how long it has taken so far."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_BEGAN = time.monotonic()
_REMIND_AFTER = 15.0


class StackError(Exception):
    """Something failed; the text says what, and where to look."""


def say(message: str) -> None:
    """Print one line with the seconds since the start."""
    print(f"{time.monotonic() - _BEGAN:7.1f} s  {message}", flush=True)


@contextmanager
def working(message: str) -> Iterator[None]:
    """Announce a step that may take long and repeat it while it lasts."""
    say(message)
    began = time.monotonic()
    done = threading.Event()

    def remind() -> None:
        while not done.wait(_REMIND_AFTER):
            say(f"  ... {message} ({time.monotonic() - began:.0f} s so far)")

    thread = threading.Thread(target=remind, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
