"""Outputs as no one would leave them who meant well, and ten thousand of them."""

import json
import os
from collections import Counter

import pytest

from c2d_api.results import Manifest, admin_log_key
from end_to_end.cluster import Ended, Run, dataset, inline
from results import Results, open_store

MANY = 10_000
MOST_FILES, MOST_BYTES = 5, 2**20
ODD = r"""
import os, socket
from pathlib import Path

outputs, logs = os.environb[b"OUTPUTS"], os.environb[b"LOGS"]
inputs = os.environb[b"INPUTS"]


def write(name, content=None):
    path = os.path.join(outputs, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(name if content is None else content)


for name in (
    b"new\nline", b"\xff\xfe", b"n" * 255, b"-rf", b"..a", b"...", b"\x01\x1b[2J", b" ",
    "right\u202eleft".encode(), b"Case", b"case", "\u00e9".encode(), "e\u0301".encode(),
    b"algorithm.log", b"manifest.json", b"publish.log", b"adminlogs/loading.log", b"results/00000",
    b"closed/folder/file",
):
    write(name)
write(b"empty", b"")
write(b"/".join([b"d"] * 31) + b"/taken")
write(b"/".join([b"d"] * 32) + b"/too deep")
os.mkdir(os.path.join(outputs, b"no files"))
for name, target in {
    b"link absolute": b"/etc/passwd",
    b"link admin": b"../adminlogs/loading.log",
    b"link beside": b"case",
    b"link dangling": b"nowhere",
    b"link folder": b"/",
    b"link inputs": inputs,
    b"link loop": b"link loop",
}.items():
    os.symlink(target, os.path.join(outputs, name))
os.link(os.path.join(outputs, b"case"), os.path.join(outputs, b"hard link"))
try:
    os.link(os.path.join(inputs, b"secret-data/0"), os.path.join(outputs, b"hard link to inputs"))
except OSError as error:
    write(b"refused", os.strerror(error.errno).encode())
with socket.socket(socket.AF_UNIX) as server:
    os.chdir(outputs)
    server.bind("socket")
os.mkfifo(os.path.join(outputs, b"pipe"))
with open(os.path.join(outputs, b"sparse"), "wb") as file:
    file.truncate(2**33)
write(b"closed/mode 000")
os.chmod(os.path.join(outputs, b"closed/mode 000"), 0)
os.chmod(os.path.join(outputs, b"closed/folder"), 0)
os.chmod(os.path.join(outputs, b"closed"), 0)
os.chmod(outputs, 0o300)
print("left it all")
os.mkfifo(os.path.join(logs, b"pipe beside the log"))
"""
SKIPPED = [
    f"{'/'.join(['d'] * 32)} lies too deep",
    "link absolute is a symbolic link",
    "link admin is a symbolic link",
    "link beside is a symbolic link",
    "link dangling is a symbolic link",
    "link folder is a symbolic link",
    "link inputs is a symbolic link",
    "link loop is a symbolic link",
    "pipe is a pipe",
    "socket is a socket",
    "sparse is too large beside the others",
    "pipe beside the log is a pipe",
]
NAMED = {
    "new\nline": b"new\nline",
    "\\xff\\xfe": b"\xff\xfe",
    "\x01\x1b[2J": b"\x01\x1b[2J",
    **{
        name: name.encode()
        for name in (
            *("n" * 255, "-rf", "..a", "...", " ", "right\u202eleft", "Case", "case"),
            *("\u00e9", "e\u0301", "manifest.json", "adminlogs/loading.log", "results/00000"),
            *("closed/folder/file", "closed/mode 000", f"{'/'.join(['d'] * 31)}/taken"),
        )
    },
    "empty": b"",
    "hard link": b"case",
    "refused": os.strerror(18).encode(),  # EXDEV: inputs are another mount
}
TWICE = {"algorithm.log": ["output", "algorithmLog"], "publish.log": ["output", "publishLog"]}
WRITE_MANY = f"""
import os
for number in range({MANY}):
    with open(os.path.join(os.environ["OUTPUTS"], f"{{number:05}}"), "w") as file:
        file.write(str(number))
print("wrote them")
"""


@pytest.fixture(scope="module")
def jobs(run: Run) -> Run:
    """Start three jobs side by side: odd files, many, and many where few are published."""
    results = run.read("computeenvironment", run.named("tests"))["spec"]["results"]
    run.create_environment("few-files", results=results | {"maxFiles": MOST_FILES})
    run.create_environment("few-bytes", results=results | {"maxBytes": MOST_BYTES})
    data = dataset("secret-data", inline("for algorithms only"))
    run.start(
        odd=run.job(
            "python3 $ALGO",
            data,
            image="ALGO",
            code=ODD,
            spec={"environment": run.named("few-bytes")},
        ),
        many=run.job("python3 $ALGO", image="ALGO", code=WRITE_MANY),
        limited=run.job(
            "python3 $ALGO",
            image="ALGO",
            code=WRITE_MANY,
            spec={"environment": run.named("few-files")},
        ),
    )
    return run


def complete(run: Run, name: str) -> Ended:
    ended = run.finished(name)
    assert ended.outcome == ("Complete", "Succeeded"), ended.message
    return ended


def stored(run: Run, ended: Ended) -> tuple[Results, Manifest]:
    results = Results(
        open_store(ended.status["environment"]["results"], run.stack.values), ended.uid
    )
    return results, results.manifest(ended.status["results"]["manifestDigest"])


def test_every_file_is_published_under_its_name_with_its_content(jobs: Run) -> None:
    ended = complete(jobs, "odd")
    once = {name: one for name, one in ended.results.items() if name not in TWICE}
    assert {name: one.path.read_bytes() for name, one in once.items()} == NAMED
    _, manifest = stored(jobs, ended)
    for name, kinds in TWICE.items():
        assert [file.type for file in manifest.files if file.name == name] == kinds


def test_what_is_left_out_is_named_in_manifest_condition_and_results(jobs: Run) -> None:
    ended = complete(jobs, "odd")
    _, manifest = stored(jobs, ended)
    assert list(manifest.skipped) == SKIPPED
    assert manifest.omitted == len(SKIPPED)
    message = ended.conditions["ResultsPublished"]["message"]
    assert f"{len(SKIPPED)} more left out or cut" in message
    last = manifest.files[-1]
    assert (last.name, last.type) == ("publish.log", "publishLog")
    assert ended.text("publish.log").splitlines()[1:] == SKIPPED


def test_nothing_of_inputs_admin_logs_or_image_is_among_the_results(jobs: Run) -> None:
    ended = complete(jobs, "odd")
    published = b"\n".join(one.path.read_bytes() for one in ended.results.values())
    assert b"for algorithms only" not in published
    assert b"root:" not in published
    results, manifest = stored(jobs, ended)
    logs = dict(results.admin_logs())
    assert ended.name in logs["publishing.log"]
    assert logs["loading.log"] != "(not there)\n"
    assert ended.name.encode() not in published
    keys = {file.key for file in manifest.files}
    assert not keys & {admin_log_key(ended.uid, name) for name in ("loading.log", "publishing.log")}  # type: ignore[arg-type]  # mypy widens the tuple's literals


def test_ten_thousand_files_and_the_log_are_published(jobs: Run) -> None:
    ended = complete(jobs, "many")
    contents = {name: one.path.read_text() for name, one in ended.results.items()}
    assert contents.pop("algorithm.log") == "wrote them\n"
    assert contents == {f"{number:05}": str(number) for number in range(MANY)}
    assert ended.status["results"]["count"] == MANY + 1
    assert len(ended.status["results"]["files"]) <= 100
    assert len(json.dumps(ended.status)) < 16 * 1024


def test_an_environment_bounds_what_is_published(jobs: Run) -> None:
    ended = complete(jobs, "limited")
    kinds = Counter(one.file.type for one in ended.results.values())
    assert kinds == {"output": MOST_FILES, "algorithmLog": 1, "publishLog": 1}
    _, manifest = stored(jobs, ended)
    assert manifest.omitted == MANY - MOST_FILES
    assert manifest.skipped[0] == f"{MOST_FILES:05} is one file too many"
