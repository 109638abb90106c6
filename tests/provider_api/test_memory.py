"""What was read is remembered: for as long as it holds, and not without bounds."""

import asyncio

import pytest

from c2d_provider.memory import AT_ONCE, FOR_EVER, Memory


class Source:
    """Brings numbers, each a new one."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.read = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> tuple[int, float]:
        self.read += 1
        number = self.read
        await self.gate.wait()
        return number, self.seconds


@pytest.mark.parametrize(
    ("seconds", "times", "expected"),
    [
        pytest.param(FOR_EVER, [0, 1e12], [1, 1], id="for ever"),
        pytest.param(2, [0, 1.9, 2, 3.9, 4], [1, 1, 2, 2, 3], id="for a while"),
        pytest.param(AT_ONCE, [0, 0], [1, 2], id="not at all"),
    ],
)
async def test_a_value_holds_as_long_as_its_source_says(
    seconds: float, times: list[float], expected: list[int]
) -> None:
    memory: Memory[str, int] = Memory(10, lambda: clock[0])
    clock, source, found = [0.0], Source(seconds), list[int]()
    for clock[0] in times:
        found += [await memory.recall("a", source)]
    assert found == expected


async def test_the_one_that_was_not_asked_for_longest_goes() -> None:
    memory: Memory[str, int] = Memory(2)
    source = Source(FOR_EVER)
    for key in ("a", "b", "a", "c"):
        await memory.recall(key, source)
    assert (memory.known("a"), memory.known("b"), memory.known("c")) == (1, None, 3)
    assert len(memory) == 2


async def test_many_who_ask_at_once_wait_for_one_reading() -> None:
    memory: Memory[str, int] = Memory(10)
    source = Source(FOR_EVER)
    source.gate.clear()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(memory.recall("a", source)) for _ in range(50)]
        await asyncio.sleep(0)
        source.gate.set()
    assert {task.result() for task in tasks} == {1}
    assert source.read == 1


async def test_who_gives_up_waiting_takes_nothing_from_the_others() -> None:
    memory: Memory[str, int] = Memory(10)
    source = Source(FOR_EVER)
    source.gate.clear()
    first = asyncio.create_task(memory.recall("a", source))
    await asyncio.sleep(0)
    second = asyncio.create_task(memory.recall("a", source))
    await asyncio.sleep(0)
    first.cancel()
    source.gate.set()
    assert await second == 2
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failure_is_raised_and_not_remembered() -> None:
    async def fail() -> tuple[int, float]:
        raise ValueError

    memory: Memory[str, int] = Memory(10)
    with pytest.raises(ValueError):  # noqa: PT011 - the very one
        await memory.recall("a", fail)
    assert await memory.recall("a", Source(FOR_EVER)) == 1
