"""What was read outside, remembered: a bounded number of values, each for as long as it holds.

Who asks for a value while it is being read waits for that one reading.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

FOR_EVER: Final = float("inf")
AT_ONCE: Final = 0.0
"""How long a value holds that is not to be remembered."""


class Memory(Generic[Key, Value]):
    """Values by key; when there are too many, the one that was not asked for longest goes."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold at most `most` values; `clock` tells seconds that only grow."""
        self._most = most
        self._clock = clock
        self._entries: OrderedDict[Key, tuple[Value, float]] = OrderedDict()
        self._reading: dict[Key, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        """Count what is remembered."""
        return len(self._entries)

    def known(self, key: Key) -> Value | None:
        """Tell a value that still holds, and None where there is none."""
        entry = self._entries.get(key)
        if entry is None or entry[1] <= self._clock():
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def keep(self, key: Key, value: Value, seconds: float = FOR_EVER) -> Value:
        """Remember a value for some seconds."""
        self._entries.pop(key, None)
        if seconds > AT_ONCE:
            self._entries[key] = value, self._clock() + seconds
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return value

    async def recall(self, key: Key, read: Callable[[], Awaitable[tuple[Value, float]]]) -> Value:
        """Tell a value that still holds; `read` brings a new one and says for how many seconds.

        Whatever `read` raises is raised, and nothing is remembered.
        """
        found = self.known(key)
        if found is not None:
            return found
        async with self._alone(key):
            found = self.known(key)
            if found is not None:
                return found
            return self.keep(key, *await read())

    @asynccontextmanager
    async def _alone(self, key: Key) -> AsyncIterator[None]:
        lock, waiting = self._reading.get(key, (asyncio.Lock(), 0))
        self._reading[key] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._reading.pop(key)
            if waiting > 1:
                self._reading[key] = lock, waiting - 1
