"""The examples and the command that fetches results, as people run them."""

import subprocess
import sys
from pathlib import Path

import pytest

from end_to_end.cluster import LIMIT, Run

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


def ran(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def test_the_demo_shows_results_that_are_right(run: Run, tmp_path: Path) -> None:
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("the provider of a cluster that was given has no address for this machine")
    done = ran("examples/demo.py", f"--into={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (
        "70 Job finished",
        "AssetsLoaded",
        "ExitedWithZero",
        "NothingLeft",
        "Every mean, count and share",
    ):
        assert words in done.stdout
    assert (tmp_path / "delays.png").read_bytes().startswith(PNG)


def test_the_smallest_job_says_hello_and_its_results_are_fetched(run: Run, tmp_path: Path) -> None:
    name = run.named("hello")
    text = (ROOT / "examples/hello.yaml").read_text()
    repository, _, digest = run.image("BUSYBOX").partition("@")
    for written, here in (
        ("name: hello\n", f"name: {name}\n"),
        ("namespace: c2d-jobs", f"namespace: {run.stack.namespace}"),
        ("environment: local", f"environment: {run.value('ENVIRONMENT')}"),
        ("image: 10.89.0.2:5000/c2d-busybox", f"image: {repository}"),
        ("tag: local", f"digest: {digest}"),
    ):
        assert written in text
        text = text.replace(written, here)
    run.kubectl("apply", "--filename=-", text=text)
    try:
        run.kubectl("wait", "--for=condition=Complete", f"cjob/{name}", "--timeout=120s")
        done = ran("hack/results.py", name, f"--into={tmp_path}", "--admin")
        assert done.returncode == 0, done.stderr
        assert (
            tmp_path / "hello.txt"
        ).read_text() == "Hello, Ada\nHello, Grace\nHello, Katherine\n"
        assert "every sha256 is right" in done.stdout
        assert "== loading.log" in done.stdout
    finally:
        run.kubectl("delete", "cjob", name)


def test_the_job_on_real_data_is_accepted_as_it_is(run: Run) -> None:
    file = ROOT / "examples/flights/job.yaml"
    assert "created (server dry run)" in run.kubectl(
        "create", "--dry-run=server", f"--filename={file}"
    )


def test_a_job_that_is_not_there_has_no_results() -> None:
    done = ran("hack/results.py", "no-such-job")
    assert done.returncode == 1
    assert "not found" in done.stderr
    assert "Traceback" not in done.stderr
