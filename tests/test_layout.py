"""The repository's folders are where everything expects them."""

import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from c2d_provider import VERSION

ROOT = Path(__file__).parents[1]
FOLDERS = (
    "crds/c2d_api",
    "operator/c2d_operator/phases",
    "pod_images/c2d_pods",
    "pod_images/loader",
    "pod_images/publisher",
    "provider_api/c2d_provider/wire",
    "manifests/base",
    "hack/local_stack",
    "tests/crds",
    "tests/operator",
    "tests/pod_images",
    "tests/provider_api",
    "tests/integration",
    "tests/end_to_end",
    "docs/adr",
    ".ci",
)
PACKAGES = ("c2d_api", "c2d_operator", "c2d_pods", "c2d_provider")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_the_layout_is_there(folder: str) -> None:
    assert (ROOT / folder).is_dir()


def test_no_package_shadows_the_standard_library() -> None:
    """`operator/__init__.py`, there or below `tests`, would hide Python's own `operator`."""
    marked = [ROOT / "operator" / "__init__.py", *(ROOT / "tests").rglob("__init__.py")]
    assert [path for path in marked if path.exists()] == []


def test_test_files_have_names_of_their_own() -> None:
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_takes_a_name_of_the_standard_library(package: str) -> None:
    (folder,) = (path for path in ROOT.glob(f"*/{package}") if path.is_dir())
    names = {path.stem for path in folder.rglob("*.py")} - {"__init__", "__main__"}
    assert len(names) > 1
    assert names.isdisjoint(sys.stdlib_module_names)


def test_the_provider_tells_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
