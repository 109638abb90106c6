"""Views: what a watch shows of the jobs and environments of one namespace.

A list, then the changes since; a watch that breaks goes on from the last version it told, and only
one that is too old begins with a list again. A view may be late, so a miss is no answer, and what
our own writes returned is put in at once.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

from c2d_provider.api_server import ApiError, ApiServer, GoneError
from c2d_provider.ports import UnavailableError

_LOGGER = logging.getLogger(__name__)
_SPREAD = random.SystemRandom()

WATCH_SECONDS = 300
SILENCE_SECONDS = 90.0
"""Bookmarks come every minute, so a watch that says less is dead."""

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0


class Viewed(Protocol):
    """An object that a view holds."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def uid(self) -> str:
        """Its identity."""

    @property
    def resource_version(self) -> str:
        """Its version."""


Thing = TypeVar("Thing", bound=Viewed)


class View(Generic[Thing]):
    """The objects of one kind in one namespace, by name, never older than they were."""

    def __init__(
        self,
        kind: str,
        namespace: str,
        parse: Callable[[Mapping[str, Any]], Thing],
        owner: Callable[[Thing], str] = lambda _: "",
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        """Begin empty.

        Args:
            kind: What is followed.
            namespace: Where.
            parse: Reads an object.
            owner: Names whose it is; `of` finds objects by that.
            first_pause: The time, in seconds, after a first failure.
        """
        self.kind = kind
        self.namespace = namespace
        self._parse = parse
        self._first_pause = first_pause
        self._owner = owner
        self._things: dict[str, Thing] = {}
        self._owned: defaultdict[str, dict[str, Thing]] = defaultdict(dict)
        self._told = ""
        self.is_listed = False

    def __iter__(self) -> Iterator[Thing]:
        """List what is held."""
        return iter(self._things.values())

    def find(self, name: str) -> Thing | None:
        """Find an object by its name."""
        return self._things.get(name)

    def of(self, owner: str) -> list[Thing]:
        """List the objects of an owner."""
        return list(self._owned.get(owner, {}).values())

    def put(self, body: Mapping[str, Any]) -> Thing:
        """Take in what a write or a read returned.

        What is not held, though the watch has told of a later version, was deleted since.
        """
        thing = self._parse(body)
        if self.find(thing.name) is not None or _version(thing) > int(self._told or 0):
            self._keep(thing)
        return thing

    def drop(self, name: str, uid: str) -> None:
        """Forget the object of this uid."""
        held = self._things.get(name)
        if held is not None and held.uid == uid:
            self._forget(held)

    async def follow(self, api: ApiServer) -> None:
        """Keep up with the API server until cancelled."""
        pause = self._first_pause
        while True:
            try:
                if not self._told:
                    await self._list(api)
                await self._watch(api)
                pause = self._first_pause
            except (ApiError, UnavailableError) as error:
                if isinstance(error, GoneError):
                    self._told = ""
                _LOGGER.warning("the watch of %s in %s: %s", self.kind, self.namespace, error)
                await asyncio.sleep(pause * _SPREAD.uniform(0.5, 1.5))
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _list(self, api: ApiServer) -> None:
        version, listed = "", set()
        async for page, at in api.pages(self.kind, self.namespace):
            version = version or at
            for body in page:
                listed.add(body["metadata"]["uid"])
                self._take(body)
        for thing in list(self._things.values()):
            if thing.uid not in listed and _version(thing) <= int(version):
                self.drop(thing.name, thing.uid)
        self.is_listed, self._told = True, version

    async def _watch(self, api: ApiServer) -> None:
        seconds = _SPREAD.randint(WATCH_SECONDS // 2, WATCH_SECONDS)
        async for event in api.watch(
            self.kind, self.namespace, self._told, seconds=seconds, silence=SILENCE_SECONDS
        ):
            body = event["object"]
            if event["type"] == "DELETED":
                self.drop(body["metadata"]["name"], body["metadata"]["uid"])
            elif event["type"] != "BOOKMARK":
                self._take(body)
            self._told = body["metadata"]["resourceVersion"]

    def _take(self, body: Mapping[str, Any]) -> None:
        try:
            self._keep(self._parse(body))
        except (KeyError, TypeError, ValueError, AttributeError):
            name = body["metadata"].get("name")
            _LOGGER.exception("%s %s/%s makes no sense", self.kind, self.namespace, name)

    def _keep(self, thing: Thing) -> None:
        held = self._things.get(thing.name)
        if held is not None and _version(held) > _version(thing):
            return
        if held is not None:
            self._forget(held)
        self._things[thing.name] = thing
        self._owned[self._owner(thing)][thing.name] = thing

    def _forget(self, thing: Thing) -> None:
        del self._things[thing.name]
        owner = self._owner(thing)
        del self._owned[owner][thing.name]
        if not self._owned[owner]:
            del self._owned[owner]


def _version(thing: Viewed) -> int:
    return int(thing.resource_version)
