"""The node: a network, a mount table and a host name of its own on this machine.

One process holds the namespaces; a pair of links joins their network to the machine's. There is
no default route inside, so nothing leaves the machine, by accident or otherwise. Folders that
programs insist on (`/run`, `/var/lib`, `/var/log`) are the stack's own inside.
"""

import hashlib
import ipaddress
import json
import subprocess
import time
from pathlib import Path

from local_stack import settings
from local_stack.cgroups import Cgroup
from local_stack.console import StackError, say
from local_stack.daemons import Daemons
from local_stack.processes import run

CGROUP = Cgroup("c2d")
LINK = "c2d0"
_HOLDER = "node"
_OWN_FOLDERS = {"/run": "run", "/var/lib": "lib", "/var/log": "var-log"}
# The kubelet would set these for the whole machine; it finds them as it wants them instead.
_KUBELET_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
_SETUP = """\
mount --make-rshared /
cd "$1"
mkdir -p proc && mount -t proc proc proc  # pods with user namespaces need one that is complete
if [ -e /etc/resolv.conf ]; then mount --bind resolv.conf /etc/resolv.conf; fi
for file in $(cd sysctl && find . -type f); do mount --bind "sysctl/$file" "/proc/sys/$file"; done
{binds}
mkdir -p /run/lock /var/log/pods
hostname {name}
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1
if [ -e /proc/sys/net/ipv6 ]; then
  sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0
  sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
fi
"""


def ensure_node(folder: Path) -> Daemons:
    """Make the node unless it is there, and return what starts processes on it.

    A node of which only parts are left is an error: `exists` tells, and teardown removes them.
    """
    holders = Daemons(folder, CGROUP)
    if not is_complete(folder):
        _check_place(folder)
        _check_ranges(holders.log(_HOLDER))
        CGROUP.create()
        unshare = ("unshare", "--mount", "--net", "--uts", "--propagation", "private")
        holders.ensure(_HOLDER, [*unshare, "sleep", "infinity"])
        pid = holders.pid(_HOLDER)
        _wait_for_namespaces(pid)
        _set_up(folder, _inside(folder, pid))
        _connect(folder, _inside(folder, pid), pid)
        (folder / "node-complete").write_text(_fingerprint())
        say("The node's namespaces are ready")
    return Daemons(folder, CGROUP, _inside(folder, holders.pid(_HOLDER)))


def is_complete(folder: Path) -> bool:
    """Say whether the node was made to the end and still stands."""
    mark = folder / "node-complete"
    made_so = mark.exists() and mark.read_text() == _fingerprint()
    return made_so and Daemons(folder, CGROUP).alive(_HOLDER)


def leftovers() -> list[str]:
    """List what there is of a node on this machine, whole or not, whoever made it."""
    found = [f"process {pid}" for pid in sorted(CGROUP.processes())]
    found += ["cgroup c2d"] if CGROUP.exists() else []
    return found + ([f"network link {LINK}"] if Path("/sys/class/net", LINK).exists() else [])


def owner() -> Path | None:
    """Name the folder of the stack that runs on this machine, as its processes know it.

    All begin there; some go on to a folder below it.
    """
    for pid in CGROUP.system_processes() if CGROUP.exists() else ():
        try:
            begun = Path(f"/proc/{pid}/cwd").readlink()
        except OSError:
            continue
        for folder in (begun, *begun.parents):
            if (folder / "processes").is_dir():
                return folder
    return None


def remove_link() -> None:
    """Remove the link on the machine's side, which removes the other end and the routes."""
    if Path("/sys/class/net", LINK).exists():
        subprocess.run(["ip", "link", "delete", LINK], capture_output=True, check=False)


def _fingerprint() -> str:
    """Tell nodes apart that were made in another way than this module now makes them."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _inside(folder: Path, pid: int | None) -> tuple[str, ...]:
    enter = ("nsenter", f"--target={pid}", "--mount", "--net", "--uts")
    return (*enter, "env", "-C", str(folder))


def _check_place(folder: Path) -> None:
    for hidden in _OWN_FOLDERS:
        for place in (folder, settings.CACHE):
            if place.is_relative_to(hidden):
                raise StackError(f"The stack cannot live in {place}: it has a {hidden} of its own")


def _check_ranges(log: Path) -> None:
    routes = json.loads(run(["ip", "-json", "route", "show"], log=log))
    ranges = (settings.POD_RANGE, settings.SERVICE_RANGE, f"{settings.NODE_ADDRESS}/24")
    wanted = [ipaddress.ip_network(one, strict=False) for one in ranges]
    for route in routes:
        if route["dst"] != "default":
            there = ipaddress.ip_network(route["dst"])
            if any(there.overlaps(one) for one in wanted):
                raise StackError(f"This machine has a route to {there}, which the stack needs")


def _wait_for_namespaces(pid: int | None) -> None:
    """Wait until the holder has left the machine's namespaces."""
    here = Path("/proc/self/ns/uts").readlink()
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}/ns/uts").readlink() == here:
        if time.monotonic() > end:
            raise StackError("The node's namespaces were not made within 10 s")
        time.sleep(0.01)


def _set_up(folder: Path, inside: tuple[str, ...]) -> None:
    (folder / "resolv.conf").write_text("# nothing outside the cluster has a name here\n")
    for name, value in _KUBELET_SYSCTLS.items():
        if Path("/proc/sys", name).exists():
            path = folder / "sysctl" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
    binds = []
    for place, name in _OWN_FOLDERS.items():
        (folder / name).mkdir(exist_ok=True)
        binds.append(f"mount --bind {name} {place}")
    script = _SETUP.format(binds="\n".join(binds), name=settings.NODE_NAME)
    run([*inside, "sh", "-euc", script, "sh", folder], log=folder / "log" / "node.log")


def _connect(folder: Path, inside: tuple[str, ...], pid: int | None) -> None:
    log = folder / "log" / "node.log"
    host, node = settings.HOST_ADDRESS, settings.NODE_ADDRESS
    length = settings.LINK_PREFIX_LENGTH
    outside = (
        f"link add {LINK} type veth peer name node0 netns {pid}",
        f"address add {host}/{length} dev {LINK}",
        f"link set {LINK} up",
    )
    within = (
        f"address add {node}/{length} dev node0",
        "link set node0 up",
        f"route add {settings.SERVICE_RANGE} dev node0 src {node}",
    )
    routes = (
        f"route add {settings.POD_RANGE} via {node}",
        f"route add {settings.SERVICE_RANGE} via {node}",
    )
    for prefix, commands in (((), outside), (inside, within), ((), routes)):
        for command in commands:
            run([*prefix, "ip", *command.split()], log=log)
