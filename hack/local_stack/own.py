"""The stack with a cluster of its own: up, down and status."""

from pathlib import Path

from local_stack import (
    addons,
    control_plane,
    images,
    install,
    node,
    packages,
    services,
    settings,
    stack_file,
    toolchain,
)
from local_stack.chain import ensure_chain
from local_stack.console import StackError, say
from local_stack.daemons import Daemons
from local_stack.dataset import ensure_dataset
from local_stack.kubectl import Kubectl
from local_stack.processes import failure
from local_stack.teardown import remove_stack

FOLDER = settings.LOCAL


def up(*, until: str | None = None) -> None:
    """Bring everything up that is not, and apply what has changed.

    Args:
        until: Stop early: `node` (a cluster) or `images` (and all images, nothing installed).
    """
    _refuse_other_checkout()
    if not node.is_complete(FOLDER) and (node.leftovers() or (FOLDER / "processes").exists()):
        say("There are remains of a stack that has ended: removing them first")
        remove_stack(FOLDER, node.CGROUP, keep=(settings.EXTERNAL,))
    log = FOLDER / "log"
    packages.install((*packages.CLUSTER, *packages.IMAGES, *packages.SERVERS), log / "packages.log")
    programs = toolchain.ensure(*toolchain.every_program())
    daemons = node.ensure_node(FOLDER)
    kubectl = _ensure_cluster(daemons, programs)
    if until == "node":
        return
    builder = _builder(daemons)
    values = install.Values(
        builder.ensure(images.PROGRAMS),
        services.ensure_store(
            daemons, settings.NODE_ADDRESS, settings.STORE_PORT, programs["versitygw"]
        ),
        services.ensure_files(daemons, settings.NODE_ADDRESS, settings.FILES_PORT),
        addons.STORAGE_CLASS,
        ensure_chain(daemons, settings.NODE_ADDRESS, settings.RPC_PORT, programs["anvil"]),
        settings.PROVIDER_ADDRESS,
    )
    facts = stack_file.Facts(
        kubectl,
        builder.registry,
        values.store,
        values.files,
        values.chain,
        f"http://{values.provider_address}",
        ensure_dataset(values.files, log / "pip.log"),
        builder.ensure(images.ALGORITHMS),
        log,
        FOLDER / "audit.log",
    )
    stack_file.write(FOLDER / "stack.env", facts)
    if until is None:
        install.install(kubectl, FOLDER, values)
    _check_alive(daemons)
    say(f"The stack is up: {FOLDER / 'stack.env'} says where everything is")


def down() -> None:
    """End everything and remove all that `up` has made, but for the caches."""
    _refuse_other_checkout()
    remove_stack(FOLDER, node.CGROUP)


def status() -> bool:
    """Print what runs and what does not; say whether all is well."""
    daemons = Daemons(FOLDER, node.CGROUP)
    if not node.is_complete(FOLDER):
        say("The stack is not up")
        return False
    rows = {f"process {name}": daemons.alive(name) for name in daemons.names()}
    program = toolchain.ensure("kubectl")["kubectl"]
    kubectl = Kubectl(program, settings.ADMIN_KUBECONFIG, daemons.log("kubectl"))
    rows["node"] = kubectl.is_true("node", settings.NODE_NAME, "Ready")
    for name in install.PROGRAMS:
        rows[name] = kubectl.is_true("deployment", name, "Available", install.SYSTEM_NAMESPACE)
    rows["environment"] = kubectl.is_true(
        "computeenvironment", install.ENVIRONMENT, "Ready", install.JOB_NAMESPACE
    )
    for name, well in rows.items():
        say(f"{name}: {'ready' if well else 'NOT READY'}")
    return all(rows.values())


def _ensure_cluster(daemons: Daemons, programs: dict[str, Path]) -> Kubectl:
    authority = control_plane.ensure_authority(FOLDER)
    kubectl = Kubectl(programs["kubectl"], settings.ADMIN_KUBECONFIG, daemons.log("kubectl"))
    services.ensure_registry(daemons)
    control_plane.ensure_api_server(daemons, authority, programs)
    cluster_images = _builder(daemons).ensure(images.CLUSTER)
    control_plane.ensure_controllers(daemons, authority, programs)
    addons.ensure_addons(
        daemons, authority, programs, kubectl, cluster_images["c2d-volumes"].reference
    )
    control_plane.ensure_node_agents(
        daemons, authority, programs, cluster_images["c2d-pause"].reference
    )
    control_plane.wait_for_node(daemons, kubectl)
    return kubectl


def _builder(daemons: Daemons) -> images.Builder:
    return images.Builder(services.ensure_registry(daemons), FOLDER, plain=True)


def _check_alive(daemons: Daemons) -> None:
    for name in daemons.names():
        if not daemons.alive(name):
            raise failure(f"{name} has ended", daemons.log(name))


def _refuse_other_checkout() -> None:
    owner = node.owner()
    if owner is not None and owner != FOLDER:
        raise StackError(
            f"The stack of another checkout runs on this machine: {owner}\n"
            f"  There can be one at a time: run `make down` in {owner.parent} first"
        )
