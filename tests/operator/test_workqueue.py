"""Keys wait once each, are worked one at a time, and come back when they have to."""

import asyncio

from c2d_operator.workqueue import FIRST_PAUSE, LONGEST_PAUSE, WorkQueue

SOON = 0.01


async def take(queue: WorkQueue[str]) -> str:
    async with asyncio.timeout(5):
        key, _ = await queue.take()
        return key


async def test_a_key_waits_once() -> None:
    queue = WorkQueue[str]()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert len(queue) == 2
    assert [await take(queue), await take(queue)] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_under_work_waits_until_it_is_done() -> None:
    queue = WorkQueue[str]()
    queue.add("a")
    await take(queue)
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert len(queue) == 1
    assert await take(queue) == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_a_timer_that_rings_under_work_is_not_lost() -> None:
    queue = WorkQueue[str]()
    queue.add("a")
    await take(queue)
    queue.add_after("a", 0)
    queue.add_after("b", SOON)
    assert await take(queue) == "b"
    queue.done("a")
    assert await take(queue) == "a"


async def test_a_later_moment_does_not_put_a_key_off() -> None:
    queue = WorkQueue[str]()
    queue.add_after("a", SOON)
    queue.add_after("a", 3600)
    assert await take(queue) == "a"


async def test_an_earlier_moment_brings_a_key_forward() -> None:
    queue = WorkQueue[str]()
    queue.add_after("a", 3600)
    queue.add_after("a", SOON)
    assert await take(queue) == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_a_moment_in_the_past_is_now() -> None:
    queue = WorkQueue[str]()
    queue.add_after("a", -5)
    assert await take(queue) == "a"


async def test_pauses_grow_to_a_limit_and_begin_anew_after_a_good_pass() -> None:
    queue = WorkQueue[str]()
    pauses = [queue.retry("a") for _ in range(20)]
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    queue.forget("a")
    assert queue.retry("a") == FIRST_PAUSE
    assert queue.retry("b", at_least=7) == 7


async def test_a_key_tells_since_when_it_waited() -> None:
    queue = WorkQueue[str]()
    before = asyncio.get_running_loop().time()
    queue.add("a")
    _, since = await queue.take()
    assert before <= since <= asyncio.get_running_loop().time()
