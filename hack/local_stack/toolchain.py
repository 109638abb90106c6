"""The programs of the cluster, built once from their Go modules and cached by version.

The chain's program comes from npm, in the same way.

`ensure` is all that others need. A build goes to a temporary folder that is renamed when it is
complete, so that an interrupted one leaves nothing that looks finished.
"""

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_stack import settings
from local_stack.console import StackError, say, working
from local_stack.processes import run

_FOLDER = settings.CACHE / "tools"
_KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
_STAGING = re.compile(r"^\s*(k8s\.io/[a-z0-9-]+) => \./staging/", re.MULTILINE)
_BUILD_MINUTES = {"kubernetes": 6}
_NEEDED = {
    "go": "Go is needed to build the cluster's programs: install it (https://go.dev/dl)",
    "npm": "npm is needed to install the chain's program: install Node.js (https://nodejs.org)",
}
_CHAIN = settings.REPOSITORY / "hack/chain"


@dataclass(frozen=True)
class Tool:
    """One module or package, and the programs that come out of it."""

    name: str
    version: str
    programs: tuple[str, ...]
    build: Callable[["Workshop"], None]
    needs: str = "go"

    @property
    def folder(self) -> Path:
        """Where the finished programs lie."""
        return _FOLDER / f"{self.name}-{self.version}"


@dataclass(frozen=True)
class Workshop:
    """The temporary folders of one build: sources of our own, and what is built."""

    source: Path
    output: Path
    log: Path

    def go(self, *arguments: str) -> str:
        """Run the Go tool in the source folder."""
        environment = go_environment() | {"GOBIN": str(self.output)}
        return run(["go", *arguments], log=self.log, cwd=self.source, env=environment)


def ensure(*names: str) -> dict[str, Path]:
    """Build what is missing and say where each of the named programs is."""
    known = {program: tool for tool in _TOOLS for program in tool.programs}
    found: dict[str, Path] = {}
    for name in names:
        tool = known[name]
        if not tool.folder.is_dir():
            _make(tool)
        found[name] = tool.folder / name
    return found


def every_program() -> tuple[str, ...]:
    """Name all programs that a whole stack needs."""
    return tuple(program for tool in _TOOLS for program in tool.programs)


def _make(tool: Tool) -> None:
    if shutil.which(tool.needs) is None:
        raise StackError(_NEEDED[tool.needs])
    with _only_one(tool):
        if tool.folder.is_dir():
            return
        minutes = _BUILD_MINUTES.get(tool.name)
        estimate = f", about {minutes} minutes on two cores, once" if minutes else ""
        with _workshop(tool) as workshop, working(f"Building {tool.name} {tool.version}{estimate}"):
            tool.build(workshop)
            workshop.output.rename(tool.folder)
    say(f"Built {tool.name} {tool.version}")


@contextmanager
def _only_one(tool: Tool) -> Iterator[None]:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER / f".{tool.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _workshop(tool: Tool) -> Iterator[Workshop]:
    for leftover in _FOLDER.glob(f".{tool.name}-build-*"):
        shutil.rmtree(leftover)
    folder = Path(tempfile.mkdtemp(prefix=f".{tool.name}-build-", dir=_FOLDER))
    logs = settings.CACHE / "log"
    logs.mkdir(exist_ok=True)
    log = logs / f"build-{tool.name}.log"
    log.unlink(missing_ok=True)
    workshop = Workshop(folder / "source", folder / "output", log)
    workshop.source.mkdir()
    workshop.output.mkdir()
    try:
        yield workshop
    finally:
        shutil.rmtree(folder)


def go_environment() -> dict[str, str]:
    """List the variables for static, reproducible programs, whatever the user's own settings."""
    return os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-trimpath",
        "GOTOOLCHAIN": f"go{settings.GO_VERSION}",
        "GOWORK": "off",
    }


def _build_kubernetes(workshop: Workshop) -> None:
    """Build from a module of our own, since `go install` refuses a module that has replacements."""
    version = settings.KUBERNETES_VERSION
    major, minor, _ = version.split(".")
    described = json.loads(workshop.go("mod", "download", "-json", f"k8s.io/kubernetes@v{version}"))
    staged = sorted(set(_STAGING.findall(Path(described["GoMod"]).read_text())))
    lines = ["module cluster", "go 1.26.0", f"require k8s.io/kubernetes v{version}"]
    lines += [f"replace {module} => {module} v0{version.removeprefix(major)}" for module in staged]
    packages = [f"k8s.io/kubernetes/cmd/{program}" for program in _KUBERNETES_PROGRAMS]
    imports = [f'import _ "{package}"' for package in packages]
    (workshop.source / "go.mod").write_text("\n".join(lines) + "\n")
    (workshop.source / "tools.go").write_text(
        "\n".join(["//go:build tools", "", "package tools", "", *imports]) + "\n"
    )
    workshop.go("mod", "tidy")
    stamp = "k8s.io/component-base/version"
    flags = (
        f"-s -w -X {stamp}.gitVersion=v{version}"
        f" -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
    )
    workshop.go("build", "-ldflags", flags, "-o", f"{workshop.output}/", *packages)


def _build_etcd(workshop: Workshop) -> None:
    package = "go.etcd.io/etcd/server/v3"
    workshop.go("mod", "init", "store")
    workshop.go("get", f"{package}@v{settings.ETCD_VERSION}")
    workshop.go("build", "-ldflags", "-s -w", "-o", str(workshop.output / "etcd"), package)


def _installed(package: str, version: str) -> Callable[[Workshop], None]:
    def build(workshop: Workshop) -> None:
        workshop.go("install", "-ldflags", "-s -w", f"{package}@v{version}")

    return build


def _install_anvil(workshop: Workshop) -> None:
    """Install the binary alone, by the lock file's hash; nothing of the package runs meanwhile."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_CHAIN / name, workshop.source)
    words = ("ci", "--ignore-scripts", "--no-audit", "--no-fund")
    run(["npm", *words], log=workshop.log, cwd=workshop.source)
    (package,) = (workshop.source / "node_modules/@foundry-rs").iterdir()
    (package / "bin/anvil").rename(workshop.output / "anvil")


_TOOLS = (
    Tool("kubernetes", settings.KUBERNETES_VERSION, _KUBERNETES_PROGRAMS, _build_kubernetes),
    Tool("etcd", settings.ETCD_VERSION, ("etcd",), _build_etcd),
    Tool(
        "coredns",
        settings.COREDNS_VERSION,
        ("coredns",),
        _installed("github.com/coredns/coredns", settings.COREDNS_VERSION),
    ),
    Tool(
        "local-path-provisioner",
        settings.LOCAL_PATH_VERSION,
        ("local-path-provisioner",),
        _installed("github.com/rancher/local-path-provisioner", settings.LOCAL_PATH_VERSION),
    ),
    Tool(
        "versitygw",
        settings.VERSITYGW_VERSION,
        ("versitygw",),
        _installed("github.com/versity/versitygw/cmd/versitygw", settings.VERSITYGW_VERSION),
    ),
    Tool("anvil", settings.ANVIL_VERSION, ("anvil",), _install_anvil, needs="npm"),
)
