"""What of the local chain needs no chain: its files, and the versions that belong together."""

import json
import re
from pathlib import Path

import pytest

from local_stack import settings, toolchain
from local_stack.chain import listed, prepare

HACK = settings.REPOSITORY / "hack"
CHAIN = HACK / "chain"
STATE = f"state-{settings.ANVIL_VERSION}.json"


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w-]+)==(\S+)", path.read_text(), re.MULTILINE))


def test_an_address_file_lists_contracts_and_nothing_else() -> None:
    addresses = {"chainId": 1, "startBlock": 2, "A": "0xa", "B": {"1": "0xb", "2": "0xc"}}
    assert listed(addresses) == ["0xa", "0xb", "0xc"]


@pytest.mark.parametrize(
    ("content", "is_kept"),
    [
        pytest.param(b'{"block": {}}', True, id="a whole one"),
        pytest.param(b"", False, id="one that was just begun"),
        pytest.param(b'{"block": {', False, id="one that breaks off"),
        pytest.param(b'{"block": "\xc3', False, id="one that breaks off inside a letter"),
    ],
)
def test_a_saved_state_is_kept_if_it_is_whole(
    tmp_path: Path, content: bytes, is_kept: bool
) -> None:
    state = tmp_path / STATE
    state.write_bytes(content)
    prepare(tmp_path)
    assert state.exists() == is_kept


@pytest.mark.parametrize(
    ("folder", "package", "version"),
    [
        ("chain", "@foundry-rs/anvil-linux-amd64", settings.ANVIL_VERSION),
        ("arweave", "arlocal", settings.ARLOCAL_VERSION),
    ],
)
def test_a_server_is_installed_in_the_version_that_the_cache_is_named_by(
    folder: str, package: str, version: str
) -> None:
    wanted = json.loads((HACK / folder / "package.json").read_text())["dependencies"]
    locked = json.loads((HACK / folder / "package-lock.json").read_text())["packages"]
    one = locked[f"node_modules/{package}"]
    assert wanted[package] == one["version"] == version
    assert one["integrity"].startswith("sha512-")


def test_packages_are_those_of_the_lock_file_and_none_comes_from_a_repository() -> None:
    for lock_file in HACK.glob("*/package-lock.json"):
        packages = json.loads(lock_file.read_text())["packages"]
        installed = [one for name, one in packages.items() if name]
        assert installed
        assert all(one["integrity"].startswith("sha512-") for one in installed)


def test_a_stack_needs_no_server_that_only_tests_need() -> None:
    programs = toolchain.every_program()
    assert "anvil" in programs
    assert not {"arlocal", "ipfs"} & set(programs)


@pytest.mark.parametrize("requirements", ["dev", "provider"])
def test_contracts_are_deployed_by_what_tests_and_the_provider_use(requirements: str) -> None:
    chain = pins(CHAIN / "requirements.txt")
    others = pins(settings.REPOSITORY / f"requirements/{requirements}.txt")
    assert {name: others.get(name, version) for name, version in chain.items()} == chain
    assert chain["web3"] == others["web3"]
