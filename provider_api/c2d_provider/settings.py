"""What the provider reads from its environment, and from the files that it names, at start."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from c2d_provider import addresses, remote, strict_json
from c2d_provider.limiter import Network
from c2d_provider.refusals import Refused
from c2d_provider.signatures import CURVE_ORDER

Value = TypeVar("Value")

MOST_BYTES = 4 * 2**20
_KEY = re.compile(r"(0x)?([0-9a-fA-F]{64})")
_RPC = re.compile(r"([1-9][0-9]{0,15})=(.+)")


class SettingsError(Exception):
    """A variable of the environment is missing or makes no sense."""


@dataclass(frozen=True)
class Settings:
    """The provider's settings; `docs/reference/provider-settings.md` describes each."""

    key: bytes = field(repr=False)
    seal_key: bytes | None = field(repr=False)
    rpcs: Mapping[int, tuple[str, ...]] = field(repr=False)
    contracts: Mapping[str, Any]
    metadata_cache: str
    ipfs_gateway: str
    arweave_gateway: str
    egress: tuple[tuple[Network, int], ...]
    namespaces: tuple[str, ...]
    namespace: str
    records_namespace: str
    urls: tuple[str, ...]
    confirmations: int
    legacy_trust: bool
    decrypters: frozenset[str] | None
    results_folder: Path | None
    host: str
    port: int
    internal_port: int
    metrics_port: int
    trusted_proxies: tuple[Network, ...]
    requests_per_second: float
    request_burst: int
    request_seconds: float
    shutdown_seconds: float
    watch_seconds: float
    log_format: str


class _Reader:
    """Reads variables and gathers what is wrong with them; no value of a secret is repeated."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        value = self._environ.get(name) or default
        if value is None:
            self.problems.append(f"{name} is not set")
        return value or ""

    def number(self, name: str, default: float, lowest: float) -> float:
        given = self._environ.get(name) or str(default)
        try:
            value = float(given)
        except ValueError:
            value = lowest - 1
        if not lowest <= value < float("inf"):
            self.problems.append(f"{name} is {given!r}, which is no number from {lowest:g} on")
            return lowest
        return value

    def parts(self, name: str, parse: Callable[[str], Value], what: str) -> tuple[Value, ...]:
        """Read a list, separated by commas; `what` names one of its entries."""
        found = []
        for part in self._environ.get(name, "").split(","):
            try:
                if part.strip():
                    found.append(parse(part.strip()))
            except ValueError:
                self.problems.append(f"{name} has an entry that is no {what}")
        return tuple(found)

    def url(self, name: str) -> str:
        found = self.parts(name, _url, "http URL")
        if len(found) > 1:
            self.problems.append(f"{name} takes one URL")
        return found[0] if found else ""

    def key(self, name: str) -> bytes | None:
        """Read a private key from the file that a variable names."""
        path = self._environ.get(name)
        if not path:
            return None
        try:
            found = _KEY.fullmatch(Path(path).read_text(encoding="utf-8").strip())
        except (OSError, UnicodeError) as error:
            self.problems.append(f"{name}: the file cannot be read ({type(error).__name__})")
            return None
        if not found or not 0 < int(found[2], 16) < CURVE_ORDER:
            self.problems.append(f"{name}: the file has no private key of 64 hexadecimal digits")
            return None
        return bytes.fromhex(found[2])

    def document(self, name: str) -> Mapping[str, Any]:
        """Read a JSON object from the file that a variable names."""
        path = self.text(name)
        if not path:
            return {}
        try:
            found = strict_json.parse(Path(path).read_bytes(), MOST_BYTES, "the file")
        except (OSError, Refused) as error:
            self.problems.append(f"{name}: the file cannot be read ({type(error).__name__})")
            return {}
        if isinstance(found, dict):
            return found
        self.problems.append(f"{name}: the file has no JSON object")
        return {}

    def choice(self, name: str, default: str, *choices: str) -> str:
        value = self._environ.get(name) or default
        if value not in choices:
            self.problems.append(f"{name} is {value!r}, use {' or '.join(choices)}")
        return value


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: A variable is missing or cannot be read; all of them are named.
    """
    reader = _Reader(environ)
    key = reader.key("C2D_PROVIDER_KEY_FILE")
    if key is None and not environ.get("C2D_PROVIDER_KEY_FILE"):
        reader.problems.append("C2D_PROVIDER_KEY_FILE is not set")
    decrypters = reader.parts("C2D_AUTHORIZED_DECRYPTERS", _account, "address")
    results = environ.get("C2D_RESULTS_FOLDER")
    settings = Settings(
        key=key or b"",
        seal_key=reader.key("C2D_SEAL_KEY_FILE"),
        rpcs=_rpcs(reader),
        contracts=reader.document("C2D_ADDRESSES_FILE"),
        metadata_cache=reader.url("C2D_METADATA_CACHE_URL"),
        ipfs_gateway=reader.url("C2D_IPFS_GATEWAY"),
        arweave_gateway=reader.url("C2D_ARWEAVE_GATEWAY"),
        egress=reader.parts("C2D_EGRESS", _target, "address range with a port, as 10.1.2.0/24:80"),
        namespaces=_namespaces(reader),
        namespace=reader.text("C2D_SYSTEM_NAMESPACE", "c2d-system"),
        records_namespace=reader.text("C2D_RECORDS_NAMESPACE", "c2d-records"),
        urls=reader.parts("C2D_PROVIDER_URLS", _own_url, "plain http URL"),
        confirmations=int(reader.number("C2D_CONFIRMATIONS", 1, 1)),
        legacy_trust=reader.choice("C2D_TRUST_RULES", "current", "current", "legacy") == "legacy",
        decrypters=frozenset(decrypters) or None,
        results_folder=Path(results) if results else None,
        host=reader.text("C2D_HOST", "::"),
        port=int(reader.number("C2D_PORT", 8030, 0)),
        internal_port=int(reader.number("C2D_INTERNAL_PORT", 8031, 0)),
        metrics_port=int(reader.number("C2D_METRICS_PORT", 9090, 0)),
        trusted_proxies=reader.parts("C2D_TRUSTED_PROXIES", ipaddress.ip_network, "address range"),
        requests_per_second=reader.number("C2D_REQUESTS_PER_SECOND", 20, 0.001),
        request_burst=int(reader.number("C2D_REQUEST_BURST", 100, 1)),
        request_seconds=reader.number("C2D_REQUEST_SECONDS", 60, 1),
        shutdown_seconds=reader.number("C2D_SHUTDOWN_SECONDS", 25, 1),
        watch_seconds=reader.number("C2D_WATCH_SECONDS", 5, 0.1),
        log_format=reader.choice("C2D_LOG_FORMAT", "json", "json", "plain"),
    )
    if reader.problems:
        raise SettingsError("; ".join(reader.problems))
    return settings


def _namespaces(reader: _Reader) -> tuple[str, ...]:
    text = reader.text("C2D_NAMESPACES")
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if text and not found:
        reader.problems.append("C2D_NAMESPACES names no namespace")
    return found


def _rpcs(reader: _Reader) -> Mapping[int, tuple[str, ...]]:
    """Read `chain=URL` entries; a chain that is named again has a further endpoint."""
    found: dict[int, tuple[str, ...]] = {}
    for chain_id, url in reader.parts("C2D_RPC_URLS", _rpc, "chain id and URL, as 1=https://..."):
        found[chain_id] = (*found.get(chain_id, ()), url)
    if not found:
        reader.problems.append("C2D_RPC_URLS names no chain")
    return found


def _rpc(text: str) -> tuple[int, str]:
    found = _RPC.fullmatch(text)
    if not found:
        raise ValueError(text)
    return int(found[1]), _url(found[2])


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(text)
    return text.rstrip("/")


def _own_url(text: str) -> str:
    found = remote.normalised(text)
    if found is None:
        raise ValueError(text)
    return found


def _account(text: str) -> str:
    if not addresses.is_address(text):
        raise ValueError(text)
    return addresses.checksummed(text)


def _target(text: str) -> tuple[Network, int]:
    network, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(text)
    return ipaddress.ip_network(network.strip("[]")), int(port)
