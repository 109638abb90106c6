"""A view holds what list and watch tell, in whatever order answers come."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

from c2d_provider.api_server import ApiServer, GoneError
from c2d_provider.ports import UnavailableError
from c2d_provider.views import View

Json = dict[str, Any]


@dataclass(frozen=True)
class Thing:
    name: str
    uid: str
    resource_version: str


def parse(body: Any) -> Thing:
    meta = body["metadata"]
    return Thing(meta["name"], meta["uid"], meta["resourceVersion"])


def body(name: str, version: int, uid: str = "") -> Json:
    meta = {"name": name, "uid": uid or f"uid of {name}", "resourceVersion": str(version)}
    return {"metadata": meta}


def event(type_: str, *what: Any) -> Json:
    return {"type": type_, "object": body(*what)}


@dataclass
class Script:
    """An API server that lists and tells what its test wrote; a text is an error."""

    lists: list[tuple[int, list[Json]]]
    watches: list[list[Json | Exception]]
    asked: list[str] = field(default_factory=list)

    async def pages(self, kind: str, namespace: str) -> AsyncIterator[tuple[list[Json], str]]:
        self.asked.append("list")
        version, items = self.lists.pop(0)
        yield items, str(version)

    async def watch(
        self, kind: str, namespace: str, version: str, *, seconds: int, silence: float
    ) -> AsyncIterator[Json]:
        self.asked.append(version)
        if not self.watches:
            await asyncio.Event().wait()
        for told in self.watches.pop(0):
            if isinstance(told, Exception):
                raise told
            yield told


async def followed(script: Script, asked: list[str]) -> View[Thing]:
    """Follow a script until that was asked."""
    view = View("Thing", "here", parse, first_pause=0.001)
    following = asyncio.create_task(view.follow(cast("ApiServer", script)))
    deadline = asyncio.get_running_loop().time() + 5
    while script.asked != asked and not following.done():
        assert asyncio.get_running_loop().time() < deadline, script.asked
        await asyncio.sleep(0.001)
    following.cancel()
    return view


def names(view: View[Thing]) -> dict[str, str]:
    return {thing.name: thing.resource_version for thing in view}


async def test_a_watch_goes_on_from_what_it_told_last() -> None:
    script = Script(
        [(5, [body("a", 1), body("b", 2)])],
        [
            [event("ADDED", "c", 6), event("DELETED", "a", 7), event("BOOKMARK", "", 9)],
            [event("MODIFIED", "b", 10), UnavailableError("broken")],
        ],
    )
    view = await followed(script, ["list", "5", "9", "10"])
    assert names(view) == {"b": "10", "c": "6"}
    assert view.is_listed


async def test_a_watch_that_is_too_old_begins_with_a_list() -> None:
    script = Script(
        [(5, [body("a", 1), body("b", 2)]), (20, [body("b", 12)])],
        [[GoneError("too old")]],
    )
    view = await followed(script, ["list", "5", "list", "20"])
    assert names(view) == {"b": "12"}


async def test_what_makes_no_sense_does_not_hide_the_rest() -> None:
    broken = {"metadata": {"name": "x", "resourceVersion": "6"}}
    script = Script([(5, [])], [[{"type": "ADDED", "object": broken}, event("ADDED", "a", 7)]])
    view = await followed(script, ["list", "5", "7"])
    assert names(view) == {"a": "7"}


async def test_what_a_write_returned_is_never_made_older() -> None:
    script = Script([(5, [body("a", 1)])], [])
    view = await followed(script, ["list", "5"])
    view.put(body("a", 9))
    view.put(body("a", 8))
    view.put(body("new", 7))
    assert names(view) == {"a": "9", "new": "7"}


async def test_an_answer_that_comes_after_its_objects_end_brings_nothing_back() -> None:
    told: list[Json | Exception] = [event("ADDED", "a", 6), event("DELETED", "a", 7)]
    view = await followed(Script([(5, [])], [told]), ["list", "5", "7"])
    assert view.put(body("a", 6)).name == "a"
    assert names(view) == {}


def test_objects_are_found_by_whose_they_are() -> None:
    view = View("Thing", "here", parse, lambda thing: thing.uid)
    for name, version, uid in (("a", 1, "x"), ("b", 2, "x"), ("c", 3, "y"), ("b", 4, "y")):
        view.put(body(name, version, uid))
    assert [thing.name for thing in view.of("x")] == ["a"]
    assert sorted(thing.name for thing in view.of("y")) == ["b", "c"]
    view.drop("a", "x")
    assert view.of("x") == view.of("nobody") == []


async def test_the_end_of_a_former_object_is_not_that_of_its_successor() -> None:
    told: list[Json | Exception] = [
        event("ADDED", "a", 6, "second"),
        event("DELETED", "a", 7, "first"),
    ]
    view = await followed(Script([(5, [])], [told]), ["list", "5", "7"])
    assert names(view) == {"a": "6"}
