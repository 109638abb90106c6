"""One real API server, with the resources installed, and one real chain for all tests here."""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apiserver import ApiServer
from c2d_operator.cluster import Cluster, connect
from c2d_provider.chain import ChainSettings, EvmChains, settings_from
from chain import Ocean
from local_stack import chain as local_chain
from local_stack import toolchain
from local_stack.api_server import api_server
from operator_stack import Stack
from rpc_relay import OpenChains, Relay
from schemas import CRDS

Kubectl = Callable[..., subprocess.CompletedProcess[str]]
_FAREWELL = 20.0
_LOOPS_OWN = 1


@pytest.fixture(autouse=True)
async def farewells() -> AsyncIterator[None]:
    """Let closed connections end before their loop does.

    A request that is given up leaves a TLS connection that still says goodbye to its server; a
    loop that ends meanwhile leaves an open socket, for which a later test would be blamed.
    """
    yield
    loop = asyncio.get_running_loop()
    open_files = loop._selector.get_map  # type: ignore[attr-defined]  # nothing public tells
    async with asyncio.timeout(_FAREWELL):
        while len(open_files()) > _LOOPS_OWN:  # noqa: ASYNC110 - nothing tells of their end
            await asyncio.sleep(0.001)


@pytest.fixture
async def cluster(stack: Stack) -> AsyncIterator[Cluster]:
    """The administrator's access to the API server of a module's own `stack`."""
    async with connect(500, 500, 10, str(stack.kubeconfig)) as cluster:
        yield cluster


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


@pytest.fixture
def chain_settings(chain: local_chain.Chain) -> ChainSettings:
    """Settings of the provider for the chain, with which nothing that is young is remembered."""
    addresses = json.loads(chain.address_file.read_text())
    return replace(settings_from(addresses, local_chain.CHAIN_ID, [chain.url]), fresh=0)


@pytest.fixture
async def open_chains(chain_settings: ChainSettings) -> AsyncIterator[OpenChains]:
    """Open the provider's chains with changed settings, for the time of the test."""
    async with AsyncExitStack() as stack:

        async def opened(clock: Callable[[], float] = time.monotonic, **changes: Any) -> EvmChains:
            chains = EvmChains([replace(chain_settings, **changes)], clock=clock)
            return await stack.enter_async_context(chains)

        yield opened


@pytest.fixture
async def chains(open_chains: OpenChains) -> EvmChains:
    """The provider's view of the chain."""
    return await open_chains()


@pytest.fixture
async def relay(chain: local_chain.Chain) -> AsyncIterator[Relay]:
    """An endpoint in front of the chain."""
    async with Relay(chain.url).running() as running:
        yield running
