"""The local stack's volumes: of the size that was asked for, and nothing is left of them."""

import errno
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local_stack import volumes

MIB = 2**20
SIZE = 32 * MIB
NOBODY = 65534
MORE_THAN_MACHINES_HAVE = 10
# A mount table of its own, as the node has, with the devices of a container: those that were there.
NODE = """\
mount --make-rshared / && mount -t tmpfs tmpfs /dev && mknod /dev/null c 1 3 &&
mknod /dev/zero c 1 5 && mknod /dev/loop-control c 10 237 && chmod 0666 /dev/null /dev/zero &&
echo ready && exec sleep infinity
"""


class Node:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", NODE],
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == b"ready\n"

    def inside(self, *words: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
        entered = ("nsenter", f"--target={self.process.pid}", "--mount", "--")
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"} | variables
        return subprocess.run(
            [*entered, *words], env=environment, capture_output=True, text=True, check=False
        )

    def script(self, path: Path, volume: str, size: int = SIZE) -> Path:
        place = self.folder / volume
        ended = self.inside("sh", path, VOL_DIR=str(place), VOL_SIZE_BYTES=str(size))
        assert ended.returncode == 0, ended.stderr
        return place

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
        volumes.wait_for_release(self.folder, self.log)

    def devices(self) -> list[str]:
        return volumes.devices(self.folder, self.log)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    node.end()


def as_nobody(node: Node, place: Path, line: str) -> "subprocess.CompletedProcess[str]":
    """Run a line in a volume."""
    drop = f'cd "$0" && exec setpriv --reuid={NOBODY} --clear-groups sh -c "$1"'
    return node.inside("sh", "-c", drop, place, line)


def test_a_volume_takes_what_was_asked_for_and_not_more(node: Node) -> None:
    place = node.script(volumes.SETUP, "one")
    listed = node.inside("ls", "-A", place)
    assert (listed.returncode, listed.stdout) == (0, "")
    filled = as_nobody(node, place, f"head -c {2 * SIZE} /dev/zero >big")
    assert filled.returncode != 0
    assert os.strerror(errno.ENOSPC) in filled.stderr
    size = as_nobody(node, place, "stat -c %s big").stdout
    assert SIZE * 0.9 < int(size) <= SIZE


def test_the_number_of_files_is_bounded_too(node: Node) -> None:
    place = node.script(volumes.SETUP, "one")
    filled = as_nobody(node, place, "i=0; while : >$i; do i=$((i + 1)); done")
    assert os.strerror(errno.ENOSPC) in filled.stderr


def test_a_volume_that_was_made_is_left_as_it_is(node: Node) -> None:
    place = node.script(volumes.SETUP, "one")
    as_nobody(node, place, "echo kept >file")
    node.script(volumes.SETUP, "one")
    assert as_nobody(node, place, "cat file").stdout == "kept\n"


def test_nothing_is_left_of_a_volume_that_was_removed(node: Node) -> None:
    place = node.script(volumes.SETUP, "one")
    as_nobody(node, place, f"head -c {MIB} /dev/zero >file")
    (device,) = node.devices()
    node.script(volumes.TEARDOWN, "one")
    assert [one.name for one in node.folder.iterdir()] == ["log"]
    assert not Path("/sys/block", Path(device).name, "loop").exists()
    node.script(volumes.TEARDOWN, "one")


def test_many_are_made_at_once_also_when_devices_run_out(node: Node) -> None:
    names = [f"volume-{number}" for number in range(MORE_THAN_MACHINES_HAVE)]
    with ThreadPoolExecutor(len(names)) as pool:
        places = list(pool.map(lambda name: node.script(volumes.SETUP, name), names))
    for place in places:
        assert as_nobody(node, place, f"echo {place.name} >name").returncode == 0
    assert [as_nobody(node, one, "cat name").stdout.strip() for one in places] == names
    assert len(set(node.devices())) == len(names)


def test_no_device_outlives_the_node(node: Node) -> None:
    place = node.script(volumes.SETUP, "one")
    as_nobody(node, place, f"head -c {MIB} /dev/zero >file")
    assert len(node.devices()) == 1
    node.end()
    assert node.devices() == []
    assert list(place.iterdir()) == []  # on the machine itself it never was mounted
