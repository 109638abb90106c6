"""The launcher as the first process of a real PID namespace, in images with and without a shell."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import c2d_pods
from c2d_api.exits import LauncherExit
from local_stack import packages, volumes

LIMIT = 64 * 2**20
LAUNCHER = Path(c2d_pods.__file__).parent / "launcher"
SCRIPT = LAUNCHER / "launch.sh"
NOTICE = b"\nlauncher: the log ends here, at its limit of 67108864 bytes\n"
NOBODY = 4242
OUT_OF_REACH = 1 << 31 | 1 << 32
"""Signals 32 and 33 are the C library's own: it lets nobody undo that a caller ignored them."""


@pytest.fixture(scope="module")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    packages.install(("busybox-static",), tmp_path_factory.mktemp("log") / "packages.log")
    found = shutil.which("busybox")
    assert found
    return Path(found)


def heed_signals() -> None:
    """Undo what the caller of the tests may have left ignored; a container begins so too."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@dataclass(frozen=True)
class Ended:
    code: int
    output: bytes
    log: bytes


class Image:
    """A root folder in which an entrypoint is run: read-only but for what a pod may write."""

    def __init__(self, root: Path, busybox: Path) -> None:
        self.root = root
        self.busybox = busybox
        self.processes = "unlimited"
        self.started: list[subprocess.Popen[bytes]] = []
        for folder in (".c2d", "proc", "tmp", "dev", "data", "bin", "usr/bin", "work"):
            (root / folder).mkdir(parents=True)
        self.logs = root / "data/logs"
        self.logs.mkdir()
        os.chown(self.logs, NOBODY, NOBODY)
        shutil.copy(busybox, root / ".c2d/busybox")
        shutil.copy(SCRIPT, root / ".c2d/launch.sh")
        shutil.copy(LAUNCHER / "connect.sh", root / ".c2d/connect.sh")
        self.close()

    @property
    def log(self) -> Path:
        return self.logs / "algorithm.log"

    def add_shell(self, *tools: str) -> None:
        """Give the image Debian's sh with its libraries, and tools that are no part of it."""
        shutil.copy("/bin/sh", self.root / "bin/sh")
        listed = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True)
        for library in re.findall(r"(/\S+) \(0x", listed.stdout):
            path = self.root / library.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, path)
        for tool in tools:
            shutil.copy(self.busybox, self.root / "bin" / tool)

    def close(self, *ports: int) -> None:
        """List what must not be reached."""
        listed = "".join(f"127.0.0.1 {port}\n" for port in ports)
        (self.root / ".c2d/closed").write_text(listed)

    def program(self, path: str, text: str) -> None:
        (self.root / path).write_text(f"#!/.c2d/busybox sh\n{text}\n")
        (self.root / path).chmod(0o755)

    def start(self, line: str, **variables: str) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": "/usr/bin:/bin",
            "LOGS": "/data/logs",
            "ALGO": "/data/transformations/algorithm",
            **variables,
        }
        mounts = (
            'mount --rbind "$0" "$0";'
            ' for f in tmp data/logs; do mount --bind "$0/$f" "$0/$f"; done;'
            ' mount -t proc proc "$0/proc"; mount -t tmpfs -o size=1m tmpfs "$0/tmp";'
            ' mount --bind /dev "$0/dev"; mount -o remount,ro,bind "$0" "$0";'
            ' [ "$3" = unlimited ] || ulimit -u "$3";'
            ' exec setpriv --no-new-privs unshare --root "$0" --wd /work --setgid "$1"'
            ' --setuid "$1" /.c2d/busybox env -i "${@:4}" /.c2d/busybox sh /.c2d/launch.sh "$2"'
        )
        process = subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--fork", "--propagation"),
                *("private", "bash", "-ec", mounts, str(self.root), str(NOBODY), line),
                self.processes,
                *(f"{name}={value}" for name, value in environment.items()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=heed_signals,  # noqa: PLW1509 - these tests have no threads
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """End what a test left running: all of a namespace dies with its first process."""
        for process in self.started:
            if process.poll() is None:
                os.kill(first_process(process), signal.SIGKILL)
                process.communicate()

    def ended(self, process: subprocess.Popen[bytes]) -> Ended:
        output, _ = process.communicate(timeout=120)  # processes without number die slowly
        return Ended(process.returncode, output, self.log.read_bytes())

    def run(self, line: str, **variables: str) -> Ended:
        return self.ended(self.start(line, **variables))


@pytest.fixture
def bare(tmp_path: Path, busybox: Path) -> Iterator[Image]:
    """Make an image without any shell."""
    tmp_path.chmod(0o755)
    image = Image(tmp_path / "root", busybox)
    yield image
    image.end()


@pytest.fixture
def image(bare: Image) -> Image:
    """Make an image with a shell and some tools."""
    bare.add_shell(
        "cat", "echo", "sleep", "setsid", "head", "tr", "env", "ls", "grep", "id", "touch", "dd"
    )
    return bare


@pytest.fixture
def cramped(image: Image) -> Iterator[Image]:
    """Give the image a volume that a few MiB, or a few thousand files, fill."""
    place = image.root / "data"
    image.logs.rmdir()
    variables = {"PATH": os.environ["PATH"], "VOL_DIR": place, "VOL_SIZE_BYTES": str(16 * 2**20)}
    subprocess.run(["sh", volumes.SETUP], env=variables, check=True)
    try:
        for folder in (image.logs, place / "outputs"):
            folder.mkdir()
            os.chown(folder, NOBODY, NOBODY)
        yield image
    finally:
        subprocess.run(["sh", volumes.TEARDOWN], env=variables, check=True)


@pytest.fixture(params=["a shell", "no shell"])
def any_image(request: pytest.FixtureRequest) -> Image:
    return request.getfixturevalue("image" if request.param == "a shell" else "bare")


def wait_until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < end


def first_process(process: subprocess.Popen[bytes]) -> int:
    """Name the launcher as the machine sees it: the one child of unshare."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0])


@pytest.mark.parametrize("code", [0, 3, 126, 221, 255])
def test_the_exit_code_is_the_algorithms(any_image: Image, code: int) -> None:
    ended = any_image.run(f"echo out; echo err >&2; exit {code}")
    assert ended == Ended(code, b"out\nerr\n", b"out\nerr\n")


def test_a_signals_exit_code_is_the_shells(image: Image) -> None:
    assert image.run("kill -9 $$").code == 128 + signal.SIGKILL
    image.log.unlink()
    assert image.run("nothing-of-that-name").code == 127


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            'echo $ALGO "$ALGO"',
            b"/data/transformations/algorithm /data/transformations/algorithm\n",
        ),
        ("A='a  b'; echo \"$A\" | tr a c && echo done", b"c  b\ndone\n"),
        ("false || echo 'it'\"'\"'s'", b"it's\n"),
        ("echo \"tab\there\"; echo '*'", b"tab\there\n*\n"),
        ("for i in 1 2; do echo $i; done\necho next line", b"1\n2\nnext line\n"),
        ("exec echo $((6 * 7))", b"42\n"),
        ("head -c 3 </dev/zero | tr '\\0' x", b"xxx"),
    ],
)
def test_the_entrypoint_is_a_shell_line(image: Image, line: str, said: bytes) -> None:
    assert image.run(line) == Ended(0, said, said)


def test_the_working_directory_is_the_images(any_image: Image) -> None:
    (any_image.root / "work/here").write_text("in the image's folder")
    assert any_image.run("cat here; cat ../work/here").output == 2 * b"in the image's folder"


def test_a_second_run_is_refused(image: Image) -> None:
    assert image.run("echo first").code == 0
    process = image.start("touch /data/logs/second")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == LauncherExit.LOG_EXISTS
    assert b"has run before" in output
    assert image.log.read_bytes() == b"first\n"
    assert not (image.logs / "second").exists()


def test_without_a_place_for_its_log_nothing_runs(image: Image) -> None:
    process = image.start("echo ran", LOGS="/data/none")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == LauncherExit.BROKEN
    assert b"ran" not in output


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        opened.settimeout(20)
        yield opened


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def test_an_algorithm_starts_where_nothing_is_reached_that_is_closed(any_image: Image) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        ports = port_of(one), port_of(two)
    any_image.close(*ports)
    assert any_image.run("echo ran") == Ended(0, b"ran\n", b"ran\n")


@pytest.mark.parametrize("place", ["first", "last"])
def test_an_algorithm_does_not_start_in_an_open_network(
    any_image: Image, listener: socket.socket, place: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        silent = port_of(gone)
    ports = [port_of(listener), silent]
    any_image.close(*(ports if place == "first" else reversed(ports)))
    patient = SCRIPT.read_text()
    assert patient.count("grace=15 ") == 1
    (any_image.root / ".c2d/launch.sh").write_text(patient.replace("grace=15 ", "grace=1 "))
    ended = any_image.run("echo ran")
    assert ended.code == LauncherExit.NETWORK_OPEN
    assert ended.output == ended.log == b"launcher: the network is not closed\n"


def test_an_algorithm_waits_for_a_policy_that_comes_late(
    any_image: Image, listener: socket.socket
) -> None:
    any_image.close(port_of(listener))
    process = any_image.start("echo ran")
    listener.accept()[0].close()
    assert process.poll() is None
    listener.close()
    assert any_image.ended(process) == Ended(0, b"ran\n", b"ran\n")


@pytest.mark.parametrize("missing", ["closed", "connect.sh"])
def test_what_cannot_be_found_out_is_no_proof(any_image: Image, missing: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        any_image.close(port_of(gone))
    (any_image.root / ".c2d" / missing).unlink()
    ended = any_image.run("echo ran")
    assert ended.code == LauncherExit.BROKEN
    assert b"ran" not in ended.output
    assert b"cannot be found out" in ended.log


def test_a_stop_ends_the_wait_for_a_closed_network(
    any_image: Image, listener: socket.socket
) -> None:
    any_image.close(port_of(listener))
    process = any_image.start("trap 'echo told; exit 5' TERM; sleep 60 & wait")
    listener.accept()[0].close()
    os.kill(first_process(process), signal.SIGTERM)
    listener.close()
    ended = any_image.ended(process)
    assert (ended.code, ended.log) in {(5, b"told\n"), (143, b"")}


def test_it_refuses_to_be_any_but_the_first_process(busybox: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [busybox, "sh", SCRIPT, "echo ran"],
        env={"LOGS": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == LauncherExit.BROKEN
    assert ended.stdout == b""


def test_the_environment_and_the_descriptors_are_as_given(image: Image) -> None:
    ended = image.run("exec env", OWN="value with space", PATH="/bin")
    given = {"ALGO=/data/transformations/algorithm", "LOGS=/data/logs", "OWN=value with space"}
    shells_own = {"PATH=/bin", "PWD=/work"}
    assert set(ended.output.decode().splitlines()) == given | shells_own
    image.log.unlink()
    inherited = image.run("exec ls /proc/self/fd").output.split()
    assert {int(number) for number in inherited} == {0, 1, 2, 3}  # the last is that of ls itself


def test_no_signal_is_ignored_from_the_start(image: Image) -> None:
    ignored = image.run("grep SigIgn /proc/self/status").output.removeprefix(b"SigIgn:")
    assert int(ignored, 16) & ~OUT_OF_REACH == 0


def test_children_that_outlive_the_algorithm_do_not_hold_it_up(image: Image) -> None:
    ended = image.run(
        "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'sleep 1000; echo late') & exit 5"
    )
    assert ended == Ended(5, b"", b"")


def test_a_child_cannot_pose_as_the_launchers_own_by_its_name(image: Image) -> None:
    # What a process of session 0 (here the launcher's) looks like, up to a line's end.
    name = "x) S 1 0 0 \nz"
    shutil.copy(image.root / "bin/sleep", image.root / "bin" / name)
    image.program("bin/posing", f"exec -a sleep '/bin/{name}' 1000")
    process = image.start("posing & sleep 0.1; exit 6")
    assert image.ended(process).code == 6


def test_a_stop_request_before_the_first_line_is_not_lost(image: Image) -> None:
    process = image.start("exec sleep 1000")
    wait_until(image.log.exists)
    os.kill(first_process(process), signal.SIGTERM)
    assert image.ended(process).code == 128 + signal.SIGTERM


def test_orphans_are_reaped_while_it_runs(image: Image) -> None:
    line = (
        "for i in 1 2 3 4 5; do (sleep 0.01 &); done; sleep 0.3;"
        " grep -l '^State:.*Z' /proc/[0-9]*/status; echo none left"
    )
    assert image.run(line).output == b"none left\n"


@pytest.mark.parametrize("name", ["TERM", "INT", "QUIT", "HUP", "USR1"])
def test_signals_reach_the_algorithm(image: Image, name: str) -> None:
    process = image.start(
        f"trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    os.kill(first_process(process), getattr(signal, f"SIG{name}"))
    ended = image.ended(process)
    assert ended.code == 9
    assert ended.log.endswith(f"got {name}\n".encode())


def test_an_algorithm_without_a_trap_ends_by_the_signal(image: Image) -> None:
    process = image.start("echo ready; exec sleep 1000")
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    os.kill(first_process(process), signal.SIGTERM)
    assert image.ended(process).code == 128 + signal.SIGTERM


def test_output_is_written_as_it_comes(image: Image) -> None:
    process = image.start("echo early; sleep 1000")
    assert process.stdout
    assert process.stdout.readline() == b"early\n"
    wait_until(lambda: image.log.read_bytes() == b"early\n")
    os.kill(first_process(process), signal.SIGKILL)
    assert image.ended(process).log == b"early\n"


def test_output_beyond_the_limit_is_left_out_of_the_log_only(image: Image) -> None:
    ended = image.run("head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end; exit 3")
    assert ended.code == 3
    assert ended.output == b"x" * 100_000_000 + b"\nend\n"
    assert ended.log == b"x" * LIMIT + NOTICE


def test_output_of_exactly_the_limit_is_whole(image: Image) -> None:
    ended = image.run(f"head -c {LIMIT} /dev/zero")
    assert (ended.code, len(ended.output)) == (0, LIMIT)
    assert ended.log == bytes(LIMIT)


def test_the_images_own_programs_come_before_the_static_shells(any_image: Image) -> None:
    any_image.program("usr/bin/sort", "echo the image sorts: $*")
    any_image.program("usr/bin/awk", "echo the image awks: $*")
    assert (
        any_image.run("sort -u 'a b'; awk").output == b"the image sorts: -u a b\nthe image awks:\n"
    )


def test_the_images_own_shell_is_taken(bare: Image) -> None:
    bare.program("usr/bin/sh", 'echo "the image\'s shell: $*"; exit 8')
    assert bare.run("any line").output == b"the image's shell: -c any line\n"


def test_nothing_is_written_but_the_log(image: Image) -> None:
    ended = image.run("echo x; ls -A /tmp /data/logs; id -u")
    assert ended.output.split() == [b"x", b"/data/logs:", b"algorithm.log", b"/tmp:", b"4242"]


FULL = b"launcher: the disk is full; the algorithm ended with exit code "


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("cat /dev/zero >$OUTPUTS/big", id="one large file"),
        pytest.param("dd if=/dev/zero of=$OUTPUTS/big bs=8M", id="large writes"),
        pytest.param("i=0; while : >$OUTPUTS/$i; do i=$((i + 1)); done", id="many empty files"),
        pytest.param("head -c 30000000 /dev/zero", id="a long log"),
    ],
)
def test_a_failure_on_a_full_disk_is_told_as_such(cramped: Image, line: str) -> None:
    ended = cramped.run(f"({line}); exit 3", OUTPUTS="/data/outputs")
    assert ended.code == LauncherExit.DISK_FULL
    assert ended.output.endswith(FULL + b"3\n")


def test_a_full_disk_is_told_in_the_log_as_long_as_that_takes_it(cramped: Image) -> None:
    ended = cramped.run("echo begun; cat /dev/zero >$OUTPUTS/big", OUTPUTS="/data/outputs")
    assert ended.code == LauncherExit.DISK_FULL
    assert ended.log == ended.output
    assert ended.log.startswith(b"begun\n")
    assert ended.log.endswith(FULL + b"1\n")


def test_a_success_on_a_full_disk_is_one(cramped: Image) -> None:
    line = "cat /dev/zero >$OUTPUTS/big 2>/tmp/errors; exit 0"
    assert cramped.run(line, OUTPUTS="/data/outputs") == Ended(0, b"", b"")


def test_a_failure_on_a_disk_that_is_not_full_any_more_is_the_algorithms(cramped: Image) -> None:
    cramped.program("bin/clear", ': >"$OUTPUTS/big"')
    line = "cat /dev/zero >$OUTPUTS/big 2>/tmp/errors; clear; exit 3"
    assert cramped.run(line, OUTPUTS="/data/outputs") == Ended(3, b"", b"")


BUSY = "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done"
"""What a shell does for a while by itself: it could not start a program then."""


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param("while sleep 1000 & do :; done", 2, id="many processes"),
        pytest.param(f"bomb() {{ bomb | bomb & }}; bomb; {BUSY}; exit 5", 5, id="a fork bomb"),
    ],
)
def test_an_algorithm_that_takes_all_processes_ends_with_its_own_code(
    cramped: Image, line: str, code: int
) -> None:
    cramped.processes = "300"
    ended = cramped.run(f"echo begun; {line}", OUTPUTS="/data/outputs")
    assert ended.code == code
    assert ended.log.startswith(b"begun\n")
