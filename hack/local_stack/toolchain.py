"""The programs of the cluster, built once from their Go modules and cached by version.

The chain's program comes from npm, in the same way; so do the servers that only tests need.

`ensure` is all that others need. A build goes to a temporary folder that is renamed when it is
complete, so that an interrupted one leaves nothing that looks finished.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
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
_BUILD_MINUTES = {"kubernetes": 6, "kubo": 2, "network-conformance": 4}
_NEEDED = {
    "go": "Go is needed to build the cluster's programs: install it (https://go.dev/dl)",
    "npm": "npm is needed to install the chain's program: install Node.js (https://nodejs.org)",
    "g++": "A C++ compiler is needed to build what tests of Arweave need: install g++",
    "make": "make is needed to build what tests of Arweave need: install make",
}
_CHAIN = settings.REPOSITORY / "hack/chain"
_PLUGIN = settings.REPOSITORY / "hack/network_policy/plugin"
_CONFORMANCE = settings.REPOSITORY / "hack/network_conformance/suite"
_AGNHOST = "k8s.io/kubernetes/test/images/agnhost"
_ARWEAVE = settings.REPOSITORY / "hack/arweave"


@dataclass(frozen=True)
class Tool:
    """One module or package, and the programs that come out of it."""

    name: str
    version: str
    programs: tuple[str, ...]
    build: Callable[["Workshop"], None]
    needs: tuple[str, ...] = ("go",)
    only_tests: bool = False

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
    tools = [tool for tool in _TOOLS if not tool.only_tests]
    return tuple(program for tool in tools for program in tool.programs)


def _make(tool: Tool) -> None:
    for needed in tool.needs:
        if shutil.which(needed) is None:
            raise StackError(_NEEDED[needed])
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
    version = settings.KUBERNETES_VERSION
    major, minor, _ = version.split(".")
    packages = [f"k8s.io/kubernetes/cmd/{program}" for program in _KUBERNETES_PROGRAMS]
    _write_kubernetes_module(workshop, packages)
    stamp = "k8s.io/component-base/version"
    flags = (
        f"-s -w -X {stamp}.gitVersion=v{version}"
        f" -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
    )
    workshop.go("build", "-ldflags", flags, "-o", f"{workshop.output}/", *packages)


def _build_conformance(workshop: Workshop) -> None:
    """Build upstream's specs of NetworkPolicy, and the program that is in the pods they make."""
    shutil.copytree(_CONFORMANCE, workshop.source, dirs_exist_ok=True)
    _write_kubernetes_module(workshop, [_AGNHOST])
    workshop.go("build", "-ldflags", "-s -w", "-o", f"{workshop.output}/", _AGNHOST)
    workshop.go("test", "-c", "-ldflags", "-s -w", "-o", str(workshop.output / "netpol.test"), ".")


def _write_kubernetes_module(workshop: Workshop, packages: Sequence[str]) -> None:
    """Write a module of our own, since `go install` refuses a module that has replacements."""
    version = settings.KUBERNETES_VERSION
    major = version.partition(".")[0]
    described = json.loads(workshop.go("mod", "download", "-json", f"k8s.io/kubernetes@v{version}"))
    staged = sorted(set(_STAGING.findall(Path(described["GoMod"]).read_text())))
    lines = ["module cluster", "go 1.26.0", f"require k8s.io/kubernetes v{version}"]
    lines += [f"replace {module} => {module} v0{version.removeprefix(major)}" for module in staged]
    imports = [f'import _ "{package}"' for package in packages]
    (workshop.source / "go.mod").write_text("\n".join(lines) + "\n")
    (workshop.source / "tools.go").write_text(
        "\n".join(["//go:build tools", "", "package tools", "", *imports]) + "\n"
    )
    workshop.go("mod", "tidy")


def _built(package: str, version: str, program: str) -> Callable[[Workshop], None]:
    """Build in a module of our own, since `go install` refuses a module that excludes others."""

    def build(workshop: Workshop) -> None:
        workshop.go("mod", "init", "tool")
        workshop.go("get", f"{package}@v{version}")
        workshop.go("build", "-ldflags", "-s -w", "-o", str(workshop.output / program), package)

    return build


def _installed(package: str, version: str) -> Callable[[Workshop], None]:
    def build(workshop: Workshop) -> None:
        workshop.go("install", "-ldflags", "-s -w", f"{package}@v{version}")

    return build


def _install_anvil(workshop: Workshop) -> None:
    """Install the binary alone, by the lock file's hash; nothing of the package runs meanwhile."""
    modules = _npm_packages(_CHAIN, workshop)
    (package,) = (modules / "@foundry-rs").iterdir()
    (package / "bin/anvil").rename(workshop.output / "anvil")


def _install_arlocal(workshop: Workshop) -> None:
    """Install by the lock file's hashes, and compile SQLite, whose source is in its package.

    Beside arlocal are the packages that it needs, and Arweave's own client. Of the packages'
    scripts none runs; the compiler takes the headers that are installed with Node.js, if they are.
    """
    modules = _npm_packages(_ARWEAVE, workshop)
    command = ("node", modules / "node-gyp/bin/node-gyp.js", "rebuild")
    environment = os.environ | _node_headers() | {"npm_config_python": sys.executable}
    run(command, log=workshop.log, cwd=modules / "sqlite3", env=environment)
    modules.rename(workshop.output / "node_modules")
    (workshop.output / "arlocal").symlink_to("node_modules/arlocal/bin/index.js")


def _node_headers() -> dict[str, str]:
    """Name the folder that has Node.js's own headers; without one, node-gyp downloads them."""
    prefix = Path(shutil.which("node") or "/").resolve().parent.parent
    has_them = (prefix / "include/node/node_api.h").is_file()
    return {"npm_config_nodedir": str(prefix)} if has_them else {}


def _npm_packages(listed: Path, workshop: Workshop) -> Path:
    """Install what a lock file lists, without running any of it; returns the folder."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(listed / name, workshop.source)
    words = ("ci", "--ignore-scripts", "--no-audit", "--no-fund")
    run(["npm", *words], log=workshop.log, cwd=workshop.source)
    return workshop.source / "node_modules"


def _build_plugin(workshop: Workshop) -> None:
    shutil.copytree(_PLUGIN, workshop.source, dirs_exist_ok=True)
    workshop.go("build", "-trimpath", "-o", str(workshop.output / "network-policy"), ".")


def _digest(folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


_TOOLS = (
    Tool("kubernetes", settings.KUBERNETES_VERSION, _KUBERNETES_PROGRAMS, _build_kubernetes),
    Tool(
        "etcd",
        settings.ETCD_VERSION,
        ("etcd",),
        _built("go.etcd.io/etcd/server/v3", settings.ETCD_VERSION, "etcd"),
    ),
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
    Tool("network-policy", _digest(_PLUGIN), ("network-policy",), _build_plugin),
    Tool(
        "network-conformance",
        f"{settings.KUBERNETES_VERSION}-{_digest(_CONFORMANCE)}",
        ("agnhost", "netpol.test"),
        _build_conformance,
        only_tests=True,
    ),
    Tool("anvil", settings.ANVIL_VERSION, ("anvil",), _install_anvil, needs=("npm",)),
    Tool(
        "kubo",
        settings.KUBO_VERSION,
        ("ipfs",),
        _built("github.com/ipfs/kubo/cmd/ipfs", settings.KUBO_VERSION, "ipfs"),
        only_tests=True,
    ),
    Tool(
        "arlocal",
        settings.ARLOCAL_VERSION,
        ("arlocal",),
        _install_arlocal,
        needs=("npm", "g++", "make"),
        only_tests=True,
    ),
)
