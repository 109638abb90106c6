"""The work queue: keys that wait for a pass, once each, never two passes of one key at a time.

A key that is added while its pass runs gets another one afterwards. A key may be due later
(deadlines, back-off); adding it again for an earlier moment brings it forward.
"""

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 60.0


class WorkQueue(Generic[K]):
    """Hands out keys to the workers of one event loop; delays are in seconds."""

    def __init__(self) -> None:
        """Begin empty."""
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._queued: dict[K, float] = {}
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        """Count the keys that wait for a worker now."""
        return len(self._queued)

    def add(self, key: K) -> None:
        """Let a key have a pass as soon as a worker is free."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._queued:
            self._queued[key] = asyncio.get_running_loop().time()
            self._ready.put_nowait(key)

    def add_after(self, key: K, delay: float) -> None:
        """Let a key have a pass in a while, or earlier if it is due earlier already."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(delay, 0.0)
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._ring, key)

    def retry(self, key: K, at_least: float = 0.0) -> float:
        """Let a key whose pass failed have another one, each time later; return the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = max(at_least, min(FIRST_PAUSE * 2.0 ** min(failures, 16), LONGEST_PAUSE))
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Note that a pass of this key went well."""
        self._failures.pop(key, None)

    async def take(self) -> tuple[K, float]:
        """Wait for a key and the moment it was added; `done` has to be called for it."""
        key = await self._ready.get()
        self._working.add(key)
        return key, self._queued.pop(key)

    def done(self, key: K) -> None:
        """Note that the pass of a key is over."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _ring(self, key: K) -> None:
        del self._timers[key]
        self.add(key)
