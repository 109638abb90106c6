"""What a hostile algorithm may leave, and what is taken of it."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2d_pods.harvest import (
    Found,
    LeftOut,
    Limits,
    VolumeError,
    harvest,
    published,
    reached,
)

# Root ignores modes, but for these capabilities; a pod has none.
WITHOUT_PRIVILEGES = (
    ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.getuid() == 0 else ()
)
READ_ALL = """
import os, sys
from c2d_pods.harvest import LeftOut, Limits, harvest, reached

data = int(sys.argv[1])
for found in harvest(data, Limits(), LeftOut()):
    with reached(data, found) as descriptor:
        os.write(1, os.read(descriptor, 1000))
"""

FEW_DESCRIPTORS = """
import os, resource, sys
from c2d_pods.harvest import LeftOut, Limits, VolumeError, harvest

data = int(sys.argv[1])
taken = len(os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 8, taken + 8))
left_out = LeftOut(patient=sys.argv[2] == "patient")
try:
    print(len(harvest(data, Limits(), left_out)), *left_out.lines())
except VolumeError as error:
    print(error)
"""


@dataclass(frozen=True)
class Harvest:
    """What is published, and what is left out."""

    files: tuple[Found, ...]
    skipped: tuple[str, ...]


class Volume:
    """A job's volume, made by an algorithm and looked at by the publisher."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outputs = folder / "outputs"
        self.logs = folder / "logs"
        for path in (self.outputs, self.logs, folder / "adminlogs", folder / "inputs"):
            path.mkdir()

    def write(self, path: str, text: str = "x") -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def harvest(self, limits: Limits = Limits(), named: int = 100) -> Harvest:  # noqa: B008 - frozen
        left_out = LeftOut(named)
        data = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            files = harvest(data, limits, left_out)
        finally:
            os.close(data)
        return Harvest(files, left_out.lines())

    def harvest_with_few_descriptors(self, *words: str) -> str:
        data = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        command = [sys.executable, "-c", FEW_DESCRIPTORS, str(data), *words]
        try:
            done = subprocess.run(command, pass_fds=[data], capture_output=True, check=True)
        finally:
            os.close(data)
        return done.stdout.decode().strip()

    def content(self, found: Found) -> bytes:
        data = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with reached(data, found) as descriptor:
                return os.read(descriptor, 1000)
        finally:
            os.close(data)


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    yield Volume(tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)


def names(found: Harvest) -> list[str]:
    return [file.name for file in found.files]


def test_outputs_come_first_then_logs_each_in_order(volume: Volume) -> None:
    for path in ("outputs/b", "outputs/a/z/deep", "outputs/a/y", "logs/x", "logs/algorithm.log"):
        volume.write(path)
    found = volume.harvest()
    assert names(found) == ["a/y", "a/z/deep", "b", "algorithm.log", "x"]
    assert found.skipped == ()


def test_empty_files_and_folders_are_right(volume: Volume) -> None:
    assert volume.harvest() == Harvest((), ())
    volume.write("outputs/empty", "")
    (volume.outputs / "folder").mkdir()
    assert [(file.name, file.size) for file in volume.harvest().files] == [("empty", 0)]


def test_missing_folders_are_no_failure(volume: Volume) -> None:
    volume.outputs.rmdir()
    volume.logs.rmdir()
    assert volume.harvest() == Harvest((), ())


def test_only_regular_files_are_taken_and_nothing_is_followed(volume: Volume) -> None:
    volume.write("adminlogs/loading.log", "for admins")
    (volume.outputs / "a").symlink_to("/etc/passwd")
    (volume.outputs / "b").symlink_to("../adminlogs")
    (volume.outputs / "c").symlink_to("c")
    os.mkfifo(volume.outputs / "d")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(volume.outputs / "e"))
    volume.write("outputs/f")
    os.link(volume.outputs / "f", volume.outputs / "g")
    found = volume.harvest()
    assert names(found) == ["f", "g"]
    assert found.skipped == (
        "a is a symbolic link",
        "b is a symbolic link",
        "c is a symbolic link",
        "d is a pipe",
        "e is a socket",
    )


@pytest.mark.parametrize("folder", ["outputs", "logs"])
def test_a_root_that_became_a_link_is_not_followed(volume: Volume, folder: str) -> None:
    volume.write("adminlogs/loading.log", "for admins")
    (volume.folder / folder).rmdir()
    (volume.folder / folder).symlink_to("adminlogs")
    found = volume.harvest()
    assert found.files == ()
    assert folder in found.skipped[0]


@pytest.mark.parametrize("target", ["/etc/passwd", "../adminlogs/loading.log"])
def test_a_log_that_became_a_link_is_not_followed(volume: Volume, target: str) -> None:
    volume.write("adminlogs/loading.log", "for admins")
    (volume.logs / "algorithm.log").symlink_to(target)
    assert volume.harvest() == Harvest((), ("algorithm.log is a symbolic link",))


@pytest.mark.parametrize("swapped", ["a", "a/b", "a/b/file"])
def test_a_link_put_there_after_the_look_is_not_followed(volume: Volume, swapped: str) -> None:
    volume.write("outputs/a/b/file")
    (found,) = volume.harvest().files
    assert volume.content(found) == b"x"
    elsewhere = volume.folder / "inputs" / "moved"
    (volume.outputs / swapped).rename(elsewhere)
    (volume.outputs / swapped).symlink_to(elsewhere)
    with pytest.raises(OSError, match=r"\[Errno"):
        volume.content(found)


def test_a_pipe_put_there_after_the_look_does_not_block(volume: Volume) -> None:
    volume.write("outputs/file")
    (found,) = volume.harvest().files
    (volume.outputs / "file").unlink()
    os.mkfifo(volume.outputs / "file")
    with pytest.raises(OSError, match="not a regular file"):
        volume.content(found)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"new\nline", "new\nline"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("é".encode(), "é"),
        (b"n" * 255, "n" * 255),
        (b"-rf *;$(x)", "-rf *;$(x)"),
        (b"\\", "\\"),
    ],
)
def test_every_name_is_taken_and_can_be_told(volume: Volume, name: bytes, shown: str) -> None:
    path = os.path.join(os.fsencode(volume.outputs), name)
    with open(path, "wb") as file:
        file.write(b"it")
    (found,) = volume.harvest().files
    assert found.name == shown
    assert volume.content(found) == b"it"


@pytest.mark.parametrize(
    ("size", "reason"), [(2**37, "is too large beside the others"), (2**42, "is too large")]
)
def test_a_sparse_giant_is_left_out_and_the_rest_is_taken(
    volume: Volume, size: int, reason: str
) -> None:
    with (volume.outputs / "giant").open("wb") as file:
        file.truncate(size)
    volume.write("outputs/small")
    found = volume.harvest()
    assert names(found) == ["small"]
    assert found.skipped == (f"giant {reason}",)


@pytest.mark.parametrize(
    ("limits", "taken", "left_out"),
    [
        pytest.param(Limits(files=2), ["a", "b", "algorithm.log"], 2, id="files"),
        pytest.param(Limits(total_bytes=2), ["a", "b", "algorithm.log"], 2, id="bytes"),
        pytest.param(Limits(file_bytes=0), ["algorithm.log"], 4, id="bytes of a file"),
        pytest.param(
            Limits(all_name_bytes=7), ["a", "b", "algorithm.log"], 2, id="length of all names"
        ),
        pytest.param(
            Limits(path_bytes=2), ["a", "b", "c", "algorithm.log"], 1, id="length of a path"
        ),
        pytest.param(Limits(depth=1), ["a", "b", "c", "algorithm.log"], 1, id="depth"),
        pytest.param(Limits(entries=1), ["a", "algorithm.log"], 3, id="entries"),
    ],
)
def test_limits_hold_and_the_log_has_its_place(
    volume: Volume, limits: Limits, taken: list[str], left_out: int
) -> None:
    for path in ("outputs/a", "outputs/b", "outputs/c", "outputs/d/deep", "logs/algorithm.log"):
        volume.write(path)
    found = volume.harvest(limits)
    assert names(found) == taken
    counted = [line for line in found.skipped if not line.startswith("and ")]
    more = sum(int(line.split()[1]) for line in found.skipped if line.startswith("and "))
    assert len(counted) + more == left_out


def test_outputs_come_before_what_lies_beside_the_log(volume: Volume) -> None:
    for path in ("outputs/a", "outputs/b", "logs/notes", "logs/algorithm.log"):
        volume.write(path)
    found = volume.harvest(Limits(files=2))
    assert names(found) == ["a", "b", "algorithm.log"]
    assert found.skipped == ("notes is one file too many",)


def test_the_log_is_cut_at_its_limit(volume: Volume) -> None:
    volume.write("logs/algorithm.log", "123456")
    found = volume.harvest(Limits(log_bytes=4))
    assert [(file.name, file.size) for file in found.files] == [("algorithm.log", 4)]
    assert found.skipped == ("algorithm.log is cut at 4 bytes",)


def test_what_is_left_out_is_a_bounded_list(volume: Volume) -> None:
    for number in range(30):
        (volume.outputs / f"{number:02}").symlink_to("x")
    skipped = volume.harvest(named=3).skipped
    assert len(skipped) == 4
    assert skipped[-1] == "and 27 more"


def test_a_folder_of_many_names_is_listed_in_part(volume: Volume) -> None:
    for number in range(50):
        volume.write(f"outputs/{number:02}")
    found = volume.harvest(Limits(files=10))
    assert names(found) == [f"{number:02}" for number in range(10)]
    assert found.skipped == ("10 is one file too many", "and 39 more")


def test_names_of_nested_folders_are_held_in_part(volume: Volume) -> None:
    """A folder beside 20 others, four times: of 84 names the third and fourth level hold one."""
    place = volume.outputs
    for _ in range(4):
        for number in range(20):
            (place / f"b{number:02}").mkdir()
        place /= "a"
        place.mkdir()
    (place / "deep").touch()
    found = volume.harvest(Limits(files=10))
    assert names(found) == ["a/a/a/a/deep"]
    held = 11 + 11 + 1 + 1
    assert found.skipped == (f"and {84 - held} more",)


def test_a_log_folder_that_became_a_pipe_is_named_and_the_outputs_are_taken(volume: Volume) -> None:
    volume.write("outputs/a")
    volume.logs.rmdir()
    os.mkfifo(volume.logs)
    found = volume.harvest()
    assert names(found) == ["a"]
    assert found.skipped == ("logs cannot be read (Not a directory)",)


def test_names_that_only_some_systems_tell_apart_are_all_taken(volume: Volume) -> None:
    """Names that differ in case, in Unicode's form, or by a mark that nobody sees."""
    given = [
        "A",
        "a",
        "\u00e9",
        "e\u0301",
        "x",
        "x\u200f",
        "\u202ex",
        "..a",
        "...",
        "-",
        "\x7f",
        " ",
    ]
    for name in given:
        volume.write(f"outputs/{name}", name)
    found = volume.harvest()
    assert {file.name: volume.content(file).decode() for file in found.files} == {
        name: name for name in given
    }


def test_a_descriptor_too_few_is_no_fault_of_the_files(volume: Volume) -> None:
    volume.write(f"outputs/{'a/' * 12}deep")
    volume.write("outputs/b")
    told = volume.harvest_with_few_descriptors("patient")
    assert told == "the volume cannot be read (Too many open files)"


def test_without_patience_what_cannot_be_read_is_left_out(volume: Volume) -> None:
    volume.write(f"outputs/{'a/' * 12}deep")
    volume.write("outputs/b")
    told = volume.harvest_with_few_descriptors("impatient")
    assert told.startswith("1 a/a/a/")
    assert told.endswith("cannot be read (Too many open files)")


@pytest.mark.parametrize("number", [errno.EACCES, errno.ELOOP, errno.ENOENT, errno.EINVAL])
def test_what_speaks_of_a_file_is_never_waited_for(number: int) -> None:
    left_out = LeftOut(patient=True)
    left_out.add_unreadable("a", OSError(number, "so"))
    assert (left_out.lines(), left_out.count) == (("a cannot be read (so)",), 1)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENOMEM])
def test_what_speaks_of_the_volume_may_pass(number: int) -> None:
    with pytest.raises(VolumeError, match="so"):
        LeftOut(patient=True).add_unreadable("a", OSError(number, "so"))


def test_modes_that_forbid_reading_are_changed_by_their_owner(volume: Volume) -> None:
    volume.write("outputs/locked/in/file", "hidden")
    volume.write("outputs/own", "own")
    (volume.outputs / "own").chmod(0)
    (volume.outputs / "locked/in/file").chmod(0)
    (volume.outputs / "locked/in").chmod(0)
    (volume.outputs / "locked").chmod(0)
    volume.outputs.chmod(0)
    data = os.open(volume.folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        read = subprocess.run(
            [*WITHOUT_PRIVILEGES, sys.executable, "-c", READ_ALL, str(data)],
            pass_fds=[data],
            capture_output=True,
            check=True,
        )
    finally:
        os.close(data)
    assert read.stdout == b"hiddenown"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            [("outputs", b"a"), ("logs", b"algorithm.log"), ("logs", b"b")],
            [("a", "output"), ("algorithm.log", "algorithmLog"), ("b", "output")],
        ),
        (
            [("outputs", b"a"), ("logs", b"a")],
            [("a", "output"), ("logs/a", "output")],
        ),
        (
            [("outputs", b"algorithm.log"), ("logs", b"algorithm.log")],
            [("algorithm.log", "output"), ("algorithm.log", "algorithmLog")],
        ),
    ],
)
def test_what_lies_beside_the_log_is_an_output(
    files: list[tuple[str, bytes]], expected: list[tuple[str, str]]
) -> None:
    found = tuple(Found(root, (name,), 1) for root, name in files)
    assert [(name, kind) for _, name, kind in published(found)] == expected


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=5))
def test_every_path_can_be_written_as_text(parts: list[bytes]) -> None:
    Found("outputs", tuple(parts), 0).name.encode()
