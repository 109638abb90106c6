"""What the operator tells its pods arrives as it was meant."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from c2d_api.computeenvironment import Address, Store
from c2d_api.computejob import Claimed, Dataset, File, IpfsFile, S3Object
from c2d_api.tasks import (
    Gateways,
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
    s3=st.none() | st.builds(S3Object, TEXT, TEXT, TEXT, TEXT),
    ipfs=st.none() | st.builds(IpfsFile, TEXT, TEXT),
    arweave=MAYBE_TEXT,
)
DATASET = st.builds(
    Dataset,
    TEXT,
    TEXT,
    st.lists(FILE, max_size=3).map(tuple),
    MAYBE_TEXT,
    from_provider=st.booleans(),
    secret=MAYBE_TEXT,
    claim=st.none() | st.builds(Claimed, TEXT, TEXT),
)
FILES = st.lists(FILE, max_size=3).map(tuple)
LOADER_TASK = st.builds(
    LoaderTask,
    job=TEXT,
    datasets=st.lists(DATASET, max_size=3).map(tuple),
    algorithm_id=TEXT,
    algorithm_files=FILES,
    raw_code=MAYBE_TEXT,
    algorithm_ddo=MAYBE_TEXT,
    custom_data=MAYBE_TEXT,
    egress=st.lists(st.builds(Address, TEXT, st.integers(1, 65535)), max_size=3).map(tuple),
    algorithm_secret=MAYBE_TEXT,
    gateways=st.builds(Gateways, TEXT, TEXT),
)
SMALL = LoaderTask("a", (), "", (), None, None, None, ())
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


def test_what_a_file_does_not_say_takes_no_room() -> None:
    url = "https://example.org/"
    task = replace(SMALL, algorithm_files=(File(url=url),))
    assert len(task.encode()) - len(SMALL.encode()) == len(json.dumps({"url": url})) - len(" ")


def test_secrets_are_counted_once_in_the_order_of_their_folders() -> None:
    datasets = [Dataset("a", "", (), secret="two"), Dataset("b", "", ())]  # noqa: S106 - a name
    task = replace(SMALL, datasets=(*datasets, Dataset("c", "", (), secret="one")))  # noqa: S106 - as above
    assert replace(task, algorithm_secret="two").secrets == ("two", "one")  # noqa: S106 - as above
    assert replace(task, algorithm_secret="three").secrets == ("two", "one", "three")  # noqa: S106 - as above


@given(PUBLISHER_TASK)
def test_a_publisher_reads_its_task(task: PublisherTask) -> None:
    assert decode_publisher_task(task.encode()) == task


@given(LOADER_TASK)
def test_a_task_is_one_line_of_ascii(task: LoaderTask) -> None:
    assert task.encode().isascii()
    assert "\n" not in task.encode()
