"""The chain: anvil with Ocean's contracts, and accounts that have something to spend.

Contracts that are not all there, whatever the reason, are deployed anew: so a start that was
interrupted, or a state that was lost, is repaired by the next one.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack import settings, toolchain, wheels
from local_stack.console import say, working
from local_stack.daemons import Daemons
from local_stack.processes import free_ports, run, running, wait_until

CHAIN_ID = 8996
NETWORK = "development"  # as every Ocean client calls the chain of that number
TEST_ACCOUNTS = ("deployer", "publisher", "consumer")  # anvil's first ones
OWN_ACCOUNTS = ("provider", "environment-free", "environment-paid")  # new for each stack
_NAME = "chain"
_REQUIREMENTS = settings.REPOSITORY / "hack/chain/requirements.txt"
_READY_LIMIT = 30.0
_DEPLOY_LIMIT = 120.0
_SAVE_SECONDS = 5


@dataclass(frozen=True)
class Account:
    """An address and the key that signs for it."""

    address: str
    key: str


@dataclass(frozen=True)
class Chain:
    """Where the chain is, where its contracts are, and whose keys are known."""

    url: str
    address_file: Path
    accounts: dict[str, Account]


def ensure_chain(daemons: Daemons, address: str, port: int, program: Path) -> Chain:
    """Run the chain as one of a stack's processes, with the contracts on it."""
    folder = daemons.folder / _NAME
    if not daemons.alive(_NAME):
        prepare(folder)
    daemons.ensure(_NAME, _command(program, folder, address, port))
    return _with_contracts(
        f"http://{address}:{port}", folder, daemons.log(_NAME), lambda: daemons.alive(_NAME)
    )


@contextmanager
def chain(folder: Path) -> Iterator[Chain]:
    """Run a chain on loopback, for tests: a new one, or the one that was left in the folder."""
    program = toolchain.ensure("anvil")["anvil"]
    prepare(folder)
    log = folder / "log" / f"{_NAME}.log"
    log.parent.mkdir(exist_ok=True)
    (port,) = free_ports(1)
    with running(_command(program, folder, "127.0.0.1", port), log) as process:
        yield _with_contracts(
            f"http://127.0.0.1:{port}", folder, log, lambda: process.poll() is None
        )


def prepare(folder: Path) -> None:
    """Make the folder; remove a saved state that anvil was killed over while it wrote it."""
    folder.mkdir(parents=True, exist_ok=True)
    state = _state(folder)
    try:
        if state.exists():
            json.loads(state.read_bytes())
    except ValueError:
        say("The chain's saved state is torn: starting a new one")
        state.unlink()


def listed(addresses: dict[str, Any]) -> list[str]:
    """List the contracts in one network's part of an address file."""
    found: list[str] = []
    for value in addresses.values():
        if isinstance(value, dict):
            found += listed(value)
        elif isinstance(value, str):
            found.append(value)
    return found


def ask(url: str, method: str, *parameters: object) -> Any:
    """Call a method of the chain's JSON-RPC interface."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    request = urllib.request.Request(  # noqa: S310  (http only)
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  (http only)
        return json.loads(answer.read())["result"]


def _state(folder: Path) -> Path:
    return folder / f"state-{settings.ANVIL_VERSION}.json"


def _command(program: Path, folder: Path, address: str, port: int) -> list[str | Path]:
    """Build anvil's command line: it mines at once, and lets `finalized` trail by two blocks."""
    return [
        program,
        *("--host", address, "--port", str(port), "--chain-id", str(CHAIN_ID)),
        *("--slots-in-an-epoch", "1", "--cache-path", folder / "cache"),
        *("--state", _state(folder), "--state-interval", str(_SAVE_SECONDS)),
    ]


def _with_contracts(url: str, folder: Path, log: Path, alive: Callable[[], bool]) -> Chain:
    """Wait for anvil, deploy unless all contracts are there, and say where everything is."""
    wait_until(
        lambda: _answers(url),
        f"The chain does not answer at {url}",
        limit=_READY_LIMIT,
        log=log,
        alive=alive,
    )
    address_file, accounts_file = folder / "address.json", folder / "accounts.json"
    if not (accounts_file.exists() and _has_contracts(url, address_file)):
        _deploy(url, address_file, accounts_file, log.with_name("contracts.log"))
    accounts = json.loads(accounts_file.read_text())
    return Chain(url, address_file, {name: Account(**one) for name, one in accounts.items()})


def _answers(url: str) -> bool:
    try:
        return int(ask(url, "eth_chainId"), 16) == CHAIN_ID
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def _has_contracts(url: str, address_file: Path) -> bool:
    """Say whether there is code at every address; the last one deployed vouches for the wiring."""
    if not address_file.exists():
        return False
    addresses = listed(json.loads(address_file.read_text())[NETWORK])
    return all(ask(url, "eth_getCode", one, "latest") != "0x" for one in addresses)


def _deploy(url: str, address_file: Path, accounts_file: Path, log: Path) -> None:
    packages = wheels.install(_REQUIREMENTS, log)
    places = os.pathsep.join([str(settings.REPOSITORY / "hack"), str(packages)])
    with working("Deploying Ocean's contracts"):
        run(
            [sys.executable, "-m", "local_stack.contracts", url, address_file, accounts_file],
            log=log,
            name="Deploying Ocean's contracts",
            env={"PATH": os.defpath, "PYTHONPATH": places},
            limit=_DEPLOY_LIMIT,
        )
