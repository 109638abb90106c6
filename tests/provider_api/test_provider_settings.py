"""The provider's settings: read from variables and files, with everything wrong named at once."""

import ipaddress
import json
import subprocess
import sys
from pathlib import Path

import pytest

from c2d_provider.settings import SettingsError, read_settings
from c2d_provider.wiring import chain_settings

KEY = "11" * 32
FACTORY = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    key, contracts = tmp_path / "key", tmp_path / "addresses.json"
    key.write_text(f"0x{KEY}\n")
    network = {"chainId": 8996, "ERC721Factory": FACTORY, "startBlock": 7}
    contracts.write_text(json.dumps({"development": network}))
    return {
        "C2D_PROVIDER_KEY_FILE": str(key),
        "C2D_RPC_URLS": "8996=http://chain-a:8545/token, 8996=https://chain-b/",
        "C2D_ADDRESSES_FILE": str(contracts),
        "C2D_NAMESPACES": "jobs, more,jobs",
    }


def test_little_is_needed(environ: dict[str, str]) -> None:
    found = read_settings(environ)
    assert found.key == bytes.fromhex(KEY)
    assert found.rpcs == {8996: ("http://chain-a:8545/token", "https://chain-b")}
    assert found.namespaces == ("jobs", "more")
    assert (found.port, found.confirmations, found.legacy_trust) == (8030, 1, False)
    assert found.decrypters is None
    (chain,) = chain_settings(found)
    assert (chain.factory, chain.first_block, chain.settled) == (FACTORY, 7, 64)


def test_everything_can_be_said(environ: dict[str, str]) -> None:
    found = read_settings(
        {
            **environ,
            "C2D_SEAL_KEY_FILE": environ["C2D_PROVIDER_KEY_FILE"],
            "C2D_EGRESS": "10.1.2.0/24:80,[fd00::/8]:443",
            "C2D_TRUSTED_PROXIES": "10.0.0.0/8",
            "C2D_AUTHORIZED_DECRYPTERS": FACTORY.lower(),
            "C2D_TRUST_RULES": "legacy",
            "C2D_CONFIRMATIONS": "100",
            "C2D_PROVIDER_URLS": "https://provider.example/",
        }
    )
    assert found.seal_key == found.key
    assert found.egress == (
        (ipaddress.ip_network("10.1.2.0/24"), 80),
        (ipaddress.ip_network("fd00::/8"), 443),
    )
    assert found.trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"),)
    assert found.decrypters == {FACTORY}
    assert found.legacy_trust
    assert found.urls == ("https://provider.example",)
    assert chain_settings(found)[0].settled == 100


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("C2D_PROVIDER_KEY_FILE", "", "C2D_PROVIDER_KEY_FILE is not set"),
        ("C2D_PROVIDER_KEY_FILE", "/nowhere", "C2D_PROVIDER_KEY_FILE: the file cannot be read"),
        ("C2D_SEAL_KEY_FILE", "/dev/null", "C2D_SEAL_KEY_FILE: the file has no private key"),
        ("C2D_RPC_URLS", "", "C2D_RPC_URLS names no chain"),
        ("C2D_RPC_URLS", "8996=ftp://x", "C2D_RPC_URLS has an entry that is no chain id and URL"),
        ("C2D_RPC_URLS", "0=http://x", "C2D_RPC_URLS has an entry"),
        ("C2D_ADDRESSES_FILE", "", "C2D_ADDRESSES_FILE is not set"),
        ("C2D_ADDRESSES_FILE", "/dev/null", "C2D_ADDRESSES_FILE: the file cannot be read"),
        ("C2D_NAMESPACES", "", "C2D_NAMESPACES is not set"),
        ("C2D_NAMESPACES", ",", "C2D_NAMESPACES names no namespace"),
        ("C2D_EGRESS", "10.1.2.0/24", "C2D_EGRESS has an entry that is no address range"),
        ("C2D_EGRESS", "10.1.2.1/24:80", "C2D_EGRESS has an entry"),
        ("C2D_TRUSTED_PROXIES", "everybody", "C2D_TRUSTED_PROXIES has an entry"),
        ("C2D_IPFS_GATEWAY", "http://a,http://b", "C2D_IPFS_GATEWAY takes one URL"),
        ("C2D_CONFIRMATIONS", "0", "C2D_CONFIRMATIONS is '0'"),
        ("C2D_PORT", "many", "C2D_PORT is 'many'"),
        ("C2D_PORT", "nan", "C2D_PORT is 'nan'"),
        ("C2D_TRUST_RULES", "none", "C2D_TRUST_RULES is 'none', use current or legacy"),
        ("C2D_LOG_FORMAT", "xml", "C2D_LOG_FORMAT is 'xml'"),
    ],
)
def test_what_makes_no_sense_is_named(
    environ: dict[str, str], variable: str, value: str, problem: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({**environ, variable: value})
    assert problem in str(refused.value)


def test_a_key_that_is_no_number_of_the_curve_is_none(
    environ: dict[str, str], tmp_path: Path
) -> None:
    for text in ("00" * 32, "ff" * 32, "11" * 31):
        (tmp_path / "other").write_text(text)
        with pytest.raises(SettingsError) as refused:
            read_settings({**environ, "C2D_PROVIDER_KEY_FILE": str(tmp_path / "other")})
        assert text not in str(refused.value)


def test_nothing_secret_is_shown(environ: dict[str, str]) -> None:
    shown = repr(read_settings(environ))
    assert KEY not in shown
    assert repr(bytes.fromhex(KEY)) not in shown
    assert "chain-a" not in shown
    with pytest.raises(SettingsError) as refused:
        read_settings({**environ, "C2D_RPC_URLS": "8996=s3cr3t"})
    assert "s3cr3t" not in str(refused.value)


def test_a_chain_without_contracts_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="does not have chain 1"):
        chain_settings(read_settings({**environ, "C2D_RPC_URLS": "1=http://x"}))


def test_the_program_names_everything_that_is_wrong_and_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "c2d_provider"],
        env={"C2D_PORT": "many"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    for name in ("C2D_PROVIDER_KEY_FILE", "C2D_RPC_URLS", "C2D_NAMESPACES", "C2D_PORT"):
        assert name in ended.stderr


def test_the_program_says_what_it_is_for() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "c2d_provider", "--help"], capture_output=True, text=True, check=True
    )
    assert "provider-settings.md" in told.stdout
