"""What of the local stack needs no cluster: what is built again, and which cluster is meant."""

import os
from pathlib import Path

import pytest

from local_stack import images, install, settings
from local_stack.console import StackError
from local_stack.external import Wishes
from local_stack.processes import run, wait_until


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text("pass\n")
    (tmp_path / "other.py").write_text("pass\n")
    (tmp_path / "packages.txt").write_text("one==1\n")
    (tmp_path / "Dockerfile").write_text(
        "FROM scratch AS build\nARG WHEELS\nCOPY ${WHEELS} /wheels\nCOPY code /app\n"
        "FROM scratch\nCOPY --from=build /app /other.py\n"
    )
    monkeypatch.setattr(settings, "REPOSITORY", tmp_path)
    return tmp_path


RECIPE = images.Recipe("Dockerfile", "packages.txt")


@pytest.mark.parametrize(
    ("path", "is_built_again"),
    [
        pytest.param("Dockerfile", True, id="its Dockerfile"),
        pytest.param("code/main.py", True, id="a file it copies"),
        pytest.param("code/new.py", True, id="a new file in a folder it copies"),
        pytest.param("packages.txt", True, id="its requirements"),
        pytest.param("other.py", False, id="a file it does not copy"),
        pytest.param("code/__pycache__/main.pyc", False, id="what Python leaves behind"),
    ],
)
def test_an_image_is_built_again_when_something_in_it_changes(
    repository: Path, path: str, is_built_again: bool
) -> None:
    before = images.content_tag(RECIPE)
    changed = repository / path
    changed.parent.mkdir(exist_ok=True)
    changed.write_text((changed.read_text() if changed.exists() else "") + "# changed\n")
    assert (images.content_tag(RECIPE) != before) == is_built_again


def test_the_same_content_has_the_same_tag(repository: Path) -> None:
    before = images.content_tag(RECIPE)
    os.utime(repository / "code" / "main.py", (0, 0))
    assert images.content_tag(RECIPE) == before


@pytest.mark.parametrize(
    ("variables", "given"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"KUBECONFIG": "", "REGISTRY": "r"}, False, id="an empty KUBECONFIG"),
        pytest.param({"KUBECONFIG": "/elsewhere"}, True, id="a KUBECONFIG"),
        pytest.param({"CONTEXT": "team"}, True, id="a CONTEXT"),
        pytest.param(
            {"KUBECONFIG": str(settings.ADMIN_KUBECONFIG)}, False, id="a sourced stack.env"
        ),
    ],
)
def test_the_environment_says_which_cluster(variables: dict[str, str], given: bool) -> None:
    assert Wishes(variables).given == given


def test_loaders_may_reach_exactly_the_file_server() -> None:
    assert install.egress("http://10.89.0.2:8080/x") == [{"cidr": "10.89.0.2/32", "port": 8080}]
    assert install.egress("http://10.89.0.2/") == [{"cidr": "10.89.0.2/32", "port": 80}]
    with pytest.raises(StackError, match=r"no\.invalid"):
        install.egress("http://no.invalid/")


def test_a_failing_command_names_its_log_and_shows_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log" / "tool.log"
    with pytest.raises(StackError) as caught:
        run(["sh", "-c", "echo first; echo last >&2; exit 3"], log=log)
    assert "exit code 3" in str(caught.value)
    assert str(log) in str(caught.value)
    assert "last" in str(caught.value)


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no-such-program is not installed"):
        run(["no-such-program"], log=tmp_path / "log")


def test_waiting_ends_with_the_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("out of luck\n")
    with pytest.raises(StackError, match="out of luck"):
        wait_until(lambda: False, "It", limit=60, log=log, alive=lambda: False)
