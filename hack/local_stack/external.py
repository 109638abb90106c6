"""The stack in a cluster that is there already: images and installation, and nothing else of ours.

The cluster is named by KUBECONFIG or CONTEXT, the registry that it pulls from by REGISTRY. Where
no result store and no file server are named, they run on this machine, at the address that it
has toward the cluster. All that is kept lies in a folder apart from that of a stack of our own.
"""

import json
import shutil
import socket
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_stack import (
    buildah,
    images,
    install,
    packages,
    services,
    settings,
    stack_file,
    toolchain,
)
from local_stack.cgroups import Cgroup
from local_stack.chain import Chain, ensure_chain
from local_stack.console import StackError, say
from local_stack.daemons import Daemons
from local_stack.dataset import ensure_dataset
from local_stack.kubectl import Kubectl
from local_stack.processes import run
from local_stack.services import Files, Store
from local_stack.teardown import remove_stack

FOLDER = settings.EXTERNAL
CGROUP = Cgroup("c2d-external")
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True)
class Wishes:
    """What the environment says of a cluster that is not ours."""

    variables: Mapping[str, str]

    @property
    def given(self) -> bool:
        """Say whether a cluster is named that is not the stack's own (by a sourced stack.env)."""
        kubeconfig = self.variables.get("KUBECONFIG")
        if kubeconfig and Path(kubeconfig).absolute() == settings.ADMIN_KUBECONFIG:
            return False
        return bool(kubeconfig or self.variables.get("CONTEXT"))

    def needed(self, name: str, why: str) -> str:
        """Read a variable that must be there."""
        if not self.variables.get(name):
            raise StackError(f"{name} is not set: {why}")
        return self.variables[name]


def up(wishes: Wishes) -> None:
    """Build the images, push them, install in the named cluster, and wait until it is ready."""
    registry = wishes.needed(
        "REGISTRY",
        "with KUBECONFIG or CONTEXT, name the registry that your cluster pulls from\n"
        "  (unset both to have a cluster of the stack's own)",
    ).rstrip("/")
    log = FOLDER / "log"
    packages.install((*packages.IMAGES, *packages.SERVERS, "busybox-static"), log / "packages.log")
    kubectl = _kubectl(wishes)
    if not buildah.answers(registry):
        raise StackError(f"The registry {registry} does not answer")
    builder = images.Builder(registry, FOLDER, buildah.is_plain(registry))
    programs, algorithms = builder.ensure(images.PROGRAMS), builder.ensure(images.ALGORITHMS)
    daemons = Daemons(FOLDER, CGROUP)
    values = install.Values(
        programs,
        _store(wishes, daemons, kubectl),
        _files(wishes, daemons, kubectl),
        _class(wishes, kubectl),
        _chain(daemons, kubectl),
    )
    data_url = ensure_dataset(values.files, log / "pip.log")
    facts = stack_file.Facts(
        kubectl,
        registry,
        values.store,
        values.files,
        values.chain,
        f"http://{install.PROVIDER}.{install.SYSTEM_NAMESPACE}",
        data_url,
        algorithms,
        log,
        None,
    )
    stack_file.write(FOLDER / "stack.env", facts)
    install.install(kubectl, FOLDER, values)
    say(f"The project is installed: {FOLDER / 'stack.env'} says where everything is")


def down(wishes: Wishes) -> None:
    """Remove the project from the named cluster, and the servers that `up` started."""
    install.uninstall(_kubectl(wishes), FOLDER)
    remove()


def remove() -> None:
    """End the servers on this machine and forget the cluster."""
    if FOLDER.exists() or CGROUP.exists():
        remove_stack(FOLDER, CGROUP)


def _kubectl(wishes: Wishes) -> Kubectl:
    """Copy what is needed to reach the cluster, and see whether it answers."""
    found = shutil.which("kubectl")
    program = Path(found) if found else toolchain.ensure("kubectl")["kubectl"]
    log = FOLDER / "log" / "kubectl.log"
    context = wishes.variables.get("CONTEXT")
    words = ("config", "view", "--raw", "--minify", "--flatten")
    chosen = (f"--context={context}",) if context else ()
    text = run([program, *words, *chosen], log=log, env=dict(wishes.variables))
    kubeconfig = FOLDER / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(text)
    kubectl = Kubectl(program, kubeconfig, log)
    kubectl("version", "--request-timeout=20s")
    say(f"Using the cluster at {_server(kubectl)}")
    return kubectl


def _server(kubectl: Kubectl) -> str:
    config = json.loads(kubectl("config", "view", "--minify", "--output=json"))
    return str(config["clusters"][0]["cluster"]["server"])


def _store(wishes: Wishes, daemons: Daemons, kubectl: Kubectl) -> Store:
    given = wishes.variables
    if given.get("RESULTS_URL"):
        why = "it opens the store that RESULTS_URL names"
        return Store(
            given["RESULTS_URL"],
            given.get("RESULTS_ENDPOINT", ""),
            given.get("AWS_REGION", services.REGION),
            wishes.needed("AWS_ACCESS_KEY_ID", why),
            wishes.needed("AWS_SECRET_ACCESS_KEY", why),
        )
    address, port = _place(kubectl, "store")
    CGROUP.create()
    program = toolchain.ensure("versitygw")["versitygw"]
    return services.ensure_store(daemons, address, port, program)


def _files(wishes: Wishes, daemons: Daemons, kubectl: Kubectl) -> Files:
    given = wishes.variables
    if given.get("FILES_URL"):
        folder = wishes.needed("FILES_DIR", "it is the folder that FILES_URL serves")
        return Files(Path(folder), given["FILES_URL"])
    address, port = _place(kubectl, "files")
    CGROUP.create()
    return services.ensure_files(daemons, address, port)


def _chain(daemons: Daemons, kubectl: Kubectl) -> Chain:
    address, port = _place(kubectl, "chain")
    CGROUP.create()
    return ensure_chain(daemons, address, port, toolchain.ensure("anvil")["anvil"])


def _place(kubectl: Kubectl, name: str) -> tuple[str, int]:
    """Choose where a server listens: the address toward the cluster, and a port that was free."""
    chosen = FOLDER / f"{name}.address"
    if not chosen.exists():
        parts = urllib.parse.urlsplit(_server(kubectl))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((parts.hostname, parts.port or 443))
            address = probe.getsockname()[0]
        with socket.create_server((address, 0)) as free:
            chosen.write_text(f"{address} {free.getsockname()[1]}")
    address, port = chosen.read_text().split()
    return address, int(port)


def _class(wishes: Wishes, kubectl: Kubectl) -> str:
    """Choose the StorageClass: the named one, else the cluster's default."""
    if wishes.variables.get("STORAGE_CLASS"):
        return wishes.variables["STORAGE_CLASS"]
    for item in (kubectl.read("storageclasses") or {}).get("items", ()):
        meta = item["metadata"]
        if meta.get("annotations", {}).get(_DEFAULT_CLASS) == "true":
            return str(meta["name"])
    raise StackError("The cluster has no default StorageClass: set STORAGE_CLASS")
