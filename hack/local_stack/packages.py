"""The Debian packages that the cluster and its images need.

Only missing ones are installed, and none of them may start a service of its own.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_stack.console import StackError, working
from local_stack.processes import run

CLUSTER = (
    "busybox-static",
    "containerd",
    "containernetworking-plugins",
    "docker-registry",
    "iproute2",
    "nftables",
    "runc",
)
IMAGES = ("buildah", "ca-certificates", "mmdebstrap", "python3-pip")
SERVERS = ("nginx", "openssl")

_SERVICES = ("containerd", "docker-registry", "nginx")
_POLICY = Path("/usr/sbin/policy-rc.d")
_POLICY_TEXT = "#!/bin/sh\n# c2d local stack: installed packages start nothing\nexit 101\n"


def install(names: tuple[str, ...], log: Path) -> None:
    """Install those of the packages that are missing."""
    if shutil.which("apt-get") is None:
        raise StackError("The local stack needs Debian or Ubuntu (apt-get was not found)")
    missing = [name for name in sorted(names) if not _is_installed(name)]
    if not missing:
        return
    environment = {"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    install_command = ("apt-get", "install", "--yes", "--no-install-recommends", *missing)
    with working(f"Installing Debian packages: {' '.join(missing)}"), _nothing_starts():
        run(["dpkg", "--configure", "-a"], log=log, env=environment)
        run(["apt-get", "update"], log=log, env=environment)
        run(install_command, log=log, env=environment)
    _disable([name for name in _SERVICES if name in missing], log)


def _is_installed(name: str) -> bool:
    asked = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout == "installed"


@contextmanager
def _nothing_starts() -> Iterator[None]:
    """Forbid services to start, by Debian's own means; a file left by an interrupt is ours too."""
    ours = not _POLICY.exists() or _POLICY.read_text() == _POLICY_TEXT
    if ours:
        _POLICY.write_text(_POLICY_TEXT)
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink()


def _disable(services: list[str], log: Path) -> None:
    """Keep what was just installed from starting when the machine does."""
    if services and Path("/run/systemd/system").is_dir():
        run(["systemctl", "disable", *services], log=log)
