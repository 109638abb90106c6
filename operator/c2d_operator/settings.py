"""What the operator reads from its environment at start."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_PLAIN = re.compile(r"[A-Za-z0-9._~:/\[\]%-]{1,2048}")
_ENDPOINT = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[1-9][0-9]{0,4}")


class SettingsError(Exception):
    """A variable of the environment is missing or makes no sense."""


@dataclass(frozen=True)
class Settings:
    """The operator's settings; `docs/reference/settings.md` describes each."""

    loader_image: str
    publisher_image: str
    provider_url: str
    ipfs_gateway: str
    arweave_gateway: str
    canary: str
    namespaces: tuple[str, ...]
    namespace: str
    pod: str
    workers: int
    requests_per_second: float
    request_burst: int
    request_timeout: float
    resync_seconds: float
    watch_grace_seconds: float
    health_port: int
    metrics_port: int
    log_format: str


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: A variable is missing or cannot be read; all of them are named.
    """
    problems: list[str] = []

    def text(name: str, default: str | None = None) -> str:
        value = environ.get(name) or default
        if value is None:
            problems.append(f"{name} is not set")
        return value or ""

    def number(name: str, default: float, lowest: float) -> float:
        given = environ.get(name) or str(default)
        try:
            value = float(given)
        except ValueError:
            value = lowest - 1
        if not lowest <= value < float("inf"):
            problems.append(f"{name} is {given!r}, which is no number from {lowest:g} on")
        return value

    settings = Settings(
        loader_image=text("C2D_LOADER_IMAGE"),
        publisher_image=text("C2D_PUBLISHER_IMAGE"),
        provider_url=environ.get("C2D_PROVIDER_URL", "").rstrip("/"),
        ipfs_gateway=environ.get("C2D_IPFS_GATEWAY", "").rstrip("/"),
        arweave_gateway=environ.get("C2D_ARWEAVE_GATEWAY", "").rstrip("/"),
        canary=environ.get("C2D_CANARY", ""),
        namespaces=tuple(
            dict.fromkeys(part.strip() for part in text("C2D_NAMESPACES").split(",") if part)
        ),
        namespace=text("C2D_SYSTEM_NAMESPACE", "c2d-system"),
        pod=environ.get("C2D_POD_NAME", ""),
        workers=int(number("C2D_WORKERS", 16, 1)),
        requests_per_second=number("C2D_API_REQUESTS_PER_SECOND", 100, 1),
        request_burst=int(number("C2D_API_REQUEST_BURST", 200, 1)),
        request_timeout=number("C2D_API_TIMEOUT_SECONDS", 15, 1),
        resync_seconds=number("C2D_RESYNC_SECONDS", 300, 1),
        watch_grace_seconds=number("C2D_WATCH_GRACE_SECONDS", 60, 1),
        health_port=int(number("C2D_HEALTH_PORT", 8080, 1)),
        metrics_port=int(number("C2D_METRICS_PORT", 9090, 1)),
        log_format=text("C2D_LOG_FORMAT", "json"),
    )
    if settings.log_format not in ("json", "plain"):
        problems.append(f"C2D_LOG_FORMAT is {settings.log_format!r}, use json or plain")
    problems += _url_problems("C2D_PROVIDER_URL", settings.provider_url)
    problems += _url_problems("C2D_IPFS_GATEWAY", settings.ipfs_gateway)
    problems += _url_problems("C2D_ARWEAVE_GATEWAY", settings.arweave_gateway)
    problems += _canary_problems(settings.canary)
    if problems:
        raise SettingsError("; ".join(problems))
    return settings


def _url_problems(name: str, url: str) -> list[str]:
    """Say what is wrong with a URL of a setting: it is written into tasks, so it has no secret."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not url or (is_good and _PLAIN.fullmatch(url)):
        return []
    return [f"the URL in {name} is not one of http or https, host, port and path"]


def _canary_problems(where: str) -> list[str]:
    if not where or _ENDPOINT.fullmatch(where):
        return []
    return ["C2D_CANARY is not a host and a port, such as c2d-canary:8033"]
