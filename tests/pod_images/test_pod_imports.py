"""Each pod carries what it needs and nothing else."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import c2d_pods

NEVER = {"kopf", "kubernetes", "web3"}
PACKAGE = Path(c2d_pods.__file__).parent


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("loader", NEVER | {"obstore"}),
        ("publisher", NEVER | {"aiohttp", "yarl"}),
        ("sweeper", NEVER | {"aiohttp", "yarl"}),
        ("canary", NEVER | {"aiohttp", "yarl", "obstore", "asyncio"}),
    ],
)
def test_a_pod_imports_nothing_of_the_others(module: str, foreign: set[str]) -> None:
    program = f"import sys, c2d_pods.{module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert f"c2d_pods.{module}" in loaded
    assert not foreign.intersection(loaded)


@pytest.mark.parametrize(
    ("module", "option"),
    [
        ("loader", "--report"),
        ("publisher", "--report"),
        ("sweeper", "--dry-run"),
        ("canary", "--port"),
    ],
)
def test_a_pod_explains_itself(module: str, option: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", f"c2d_pods.{module}", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert option in told


def needed(*programs: str) -> set[str]:
    """Name the modules that programs import, wherever in them they do."""
    found, left = {"__init__"}, list(programs)
    while left:
        if (module := left.pop()) in found:
            continue
        found.add(module)
        for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "c2d_pods":
                left += [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("c2d_pods."):
                left.append(str(node.module).removeprefix("c2d_pods."))
    return found


def dockerfile(image: str) -> str:
    return (PACKAGE.parent / image / "Dockerfile").read_text()


def test_the_publishers_image_has_its_programs_modules_and_no_others() -> None:
    copied = re.findall(r"pod_images/c2d_pods/(\w+)\.py", dockerfile("publisher"))
    assert set(copied) == needed("publisher", "sweeper", "canary")


def test_the_loaders_image_has_its_modules_and_no_others() -> None:
    removed = re.findall(r"/app/c2d_pods/(\w+)\.py", dockerfile("loader"))
    everything = {path.stem for path in PACKAGE.glob("*.py")}
    assert everything - set(removed) == needed("loader")
