"""Each pod carries what it needs and nothing else."""

import subprocess
import sys

import pytest

NEVER = {"kopf", "kubernetes", "web3"}


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("loader", NEVER | {"obstore"}),
        ("publisher", NEVER | {"aiohttp", "yarl"}),
        ("sweeper", NEVER | {"aiohttp", "yarl"}),
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
    [("loader", "--report"), ("publisher", "--report"), ("sweeper", "--dry-run")],
)
def test_a_pod_explains_itself(module: str, option: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", f"c2d_pods.{module}", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert option in told
