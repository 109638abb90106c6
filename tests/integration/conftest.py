"""One real API server, with the resources installed, and one real chain for all tests here."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from apiserver import ApiServer
from chain import Ocean
from local_stack import chain as local_chain
from local_stack import toolchain
from local_stack.api_server import api_server
from schemas import CRDS

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The administrator's kubeconfig of a server that nothing else uses."""
    folder = tmp_path_factory.mktemp("cluster") / "server"
    with api_server(folder) as path:
        yield path


@pytest.fixture(scope="session")
def kubectl(kubeconfig: Path) -> Kubectl:
    """Run kubectl as the administrator."""
    program = toolchain.ensure("kubectl")["kubectl"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(program), f"--kubeconfig={kubeconfig}", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture(scope="session")
def crds(kubectl: Kubectl) -> str:
    """Install the resources; returns what kubectl printed."""
    files = [f"--filename={path}" for path in sorted(CRDS.glob("compute*.yaml"))]
    applied = kubectl("apply", "--warnings-as-errors", *files)
    assert applied.returncode == 0, applied.stderr
    settled = kubectl("wait", "--for=condition=Established", "--timeout=30s", *files)
    assert settled.returncode == 0, settled.stderr
    return applied.stdout + applied.stderr


@pytest.fixture(scope="session")
def api(kubeconfig: Path, crds: str) -> Iterator[ApiServer]:
    """A client of the server; the resources are installed."""
    with closing(ApiServer(kubeconfig)) as client:
        yield client


@pytest.fixture(scope="module")
def namespace(api: ApiServer, request: pytest.FixtureRequest) -> str:
    """A namespace of the test module's own."""
    name: str = request.module.__name__.rpartition(".")[2].replace("_", "-")
    made = api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert made.accepted, made.message
    return name


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_chain.Chain]:
    """A chain with Ocean's contracts that nothing else uses."""
    with local_chain.chain(tmp_path_factory.mktemp("chain")) as started:
        yield started


@pytest.fixture(scope="session")
def ocean(chain: local_chain.Chain) -> Ocean:
    """A client of the contracts."""
    return Ocean(chain)
