"""What the operator tells its pods arrives as it was meant."""

from hypothesis import given
from hypothesis import strategies as st

from c2d_api.computeenvironment import Address, Store
from c2d_api.computejob import Dataset, File
from c2d_api.tasks import (
    LoaderTask,
    PublisherTask,
    decode_loader_task,
    decode_publisher_task,
)

TEXT = st.text(max_size=20)
MAYBE_TEXT = st.none() | TEXT
FILE = st.builds(
    File,
    url=MAYBE_TEXT,
    method=st.sampled_from(["GET", "POST"]),
    headers=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
    inline=MAYBE_TEXT,
    sha256=MAYBE_TEXT,
    max_bytes=st.none() | st.integers(1, 2**50),
)
FILES = st.lists(FILE, max_size=3).map(tuple)
LOADER_TASK = st.builds(
    LoaderTask,
    job=TEXT,
    datasets=st.lists(st.builds(Dataset, TEXT, TEXT, FILES, MAYBE_TEXT), max_size=3).map(tuple),
    algorithm_id=TEXT,
    algorithm_files=FILES,
    raw_code=MAYBE_TEXT,
    algorithm_ddo=MAYBE_TEXT,
    custom_data=MAYBE_TEXT,
    egress=st.lists(st.builds(Address, TEXT, st.integers(1, 65535)), max_size=3).map(tuple),
)
PUBLISHER_TASK = st.builds(
    PublisherTask,
    job=TEXT,
    namespace=TEXT,
    uid=TEXT,
    owner=MAYBE_TEXT,
    viewers=st.lists(TEXT, max_size=3).map(tuple),
    outcome=TEXT,
    store=st.builds(Store, TEXT, MAYBE_TEXT, MAYBE_TEXT, MAYBE_TEXT),
    retention=st.none() | st.integers(1, 2**31),
    max_files=st.integers(1, 2**31),
    max_bytes=st.integers(1, 2**63),
    attempt=st.integers(0, 2**31),
)


@given(LOADER_TASK)
def test_a_loader_reads_its_task(task: LoaderTask) -> None:
    assert decode_loader_task(task.encode()) == task


@given(PUBLISHER_TASK)
def test_a_publisher_reads_its_task(task: PublisherTask) -> None:
    assert decode_publisher_task(task.encode()) == task


@given(LOADER_TASK)
def test_a_task_is_one_line_of_ascii(task: LoaderTask) -> None:
    assert task.encode().isascii()
    assert "\n" not in task.encode()
