"""The cluster itself: etcd, API server, controllers, scheduler, and what runs pods on the node."""

import json
import sys
from pathlib import Path

from local_stack import settings
from local_stack.api_server import (
    answers,
    audit_flags,
    controller_manager_command,
    etcd_command,
    identity_flags,
    is_ready,
)
from local_stack.certificates import Authority
from local_stack.console import StackError, say
from local_stack.daemons import Daemons
from local_stack.kubectl import Kubectl
from local_stack.node import CGROUP
from local_stack.processes import wait_until

SERVER = f"https://{settings.NODE_ADDRESS}:6443"
_READY_LIMIT = 90.0
_KUBELET_HEALTH_PORT = 10248
_CNI_PROGRAMS = Path("/usr/lib/cni")
_CNI_USED = ("ptp", "host-local", "loopback")
_SUBJECTS = {
    "admin": "/O=system:masters/CN=admin",
    "kubelet-client": "/O=system:masters/CN=kube-apiserver-kubelet-client",
    "controllers": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "kubelet": f"/O=system:nodes/CN=system:node:{settings.NODE_NAME}",
    "kube-proxy": "/CN=system:kube-proxy",
    "network-policy": "/CN=network-policy",
    "coredns": "/CN=coredns",
    "local-path-provisioner": "/CN=local-path-provisioner",
}


def ensure_authority(folder: Path) -> Authority:
    """Make the keys and kubeconfig files of everybody in the cluster."""
    authority = Authority(folder / "keys", folder / "log" / "openssl.log")
    authority.establish()
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    addresses = ["127.0.0.1", settings.NODE_ADDRESS, settings.KUBERNETES_ADDRESS]
    alternatives = [f"DNS:{name}" for name in names] + [f"IP:{address}" for address in addresses]
    authority.sign("apiserver", "/CN=kube-apiserver", alternatives=",".join(alternatives))
    for name, subject in _SUBJECTS.items():
        authority.sign(name, subject)
        authority.kubeconfig(name, SERVER)
    return authority


def ensure_api_server(daemons: Daemons, authority: Authority, programs: dict[str, Path]) -> None:
    """Run etcd and the API server, and wait until it is ready."""
    folder = daemons.folder
    url, peer_url = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    daemons.ensure("etcd", etcd_command(programs["etcd"], folder / "etcd", url, peer_url))
    certificate, key = authority.pair("kubelet-client")
    command: list[str | Path] = [
        programs["kube-apiserver"],
        *(f"--etcd-servers={url}", "--secure-port=6443"),
        f"--advertise-address={settings.NODE_ADDRESS}",
        f"--service-cluster-ip-range={settings.SERVICE_RANGE}",
        *(f"--kubelet-client-certificate={certificate}", f"--kubelet-client-key={key}"),
        "--kubelet-preferred-address-types=InternalIP",
        *("--allow-privileged=true", "--authorization-mode=Node,RBAC"),
        "--enable-admission-plugins=NodeRestriction",
        *identity_flags(authority),
        *audit_flags(folder),
    ]
    daemons.ensure("kube-apiserver", command, files=[folder / "audit-policy.yaml"])
    wait_until(
        lambda: is_ready(SERVER, authority),
        "The API server is not ready",
        limit=_READY_LIMIT,
        log=daemons.log("kube-apiserver"),
        alive=lambda: daemons.alive("kube-apiserver") and daemons.alive("etcd"),
    )
    say("The API server is ready")


def ensure_controllers(daemons: Daemons, authority: Authority, programs: dict[str, Path]) -> None:
    """Run controller manager and scheduler."""
    keys = authority.folder
    controllers = controller_manager_command(
        programs["kube-controller-manager"], authority, keys / "controllers.kubeconfig"
    )
    daemons.ensure("kube-controller-manager", controllers)
    kubeconfig = keys / "scheduler.kubeconfig"
    scheduler: list[str | Path] = [
        programs["kube-scheduler"],
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
    ]
    daemons.ensure("kube-scheduler", scheduler)


def ensure_node_agents(
    daemons: Daemons, authority: Authority, programs: dict[str, Path], pause_image: str
) -> None:
    """Run containerd, kubelet and kube-proxy, with the network of the pods."""
    folder, keys = daemons.folder, authority.folder
    if not (_CNI_PROGRAMS / "ptp").exists():
        raise StackError(f"The CNI plugin ptp is not in {_CNI_PROGRAMS}")
    _ensure_policy_agent(daemons, authority)
    for program in (*(_CNI_PROGRAMS / name for name in _CNI_USED), programs["network-policy"]):
        _link(folder / "cni-bin" / program.name, program)
    _write_json(folder / "cni" / "10-pods.conflist", _cni(folder))
    hosts = folder / "registries" / f"{settings.NODE_ADDRESS}:{settings.REGISTRY_PORT}"
    _write(hosts / "hosts.toml", f'[host."http://{hosts.name}"]\n')
    containerd = _write(folder / "containerd.toml", _containerd(folder, pause_image))
    daemons.ensure("containerd", ["containerd", "--config", containerd], files=[containerd])
    _ensure_kubelet(daemons, authority, programs["kubelet"])
    proxy = _write_json(folder / "kube-proxy.json", _proxy(keys))
    daemons.ensure("kube-proxy", [programs["kube-proxy"], f"--config={proxy}"], files=[proxy])


def _ensure_kubelet(daemons: Daemons, authority: Authority, program: Path) -> None:
    """Run the kubelet, which gives up when containerd has only just begun: then once more."""
    config = _write_json(daemons.folder / "kubelet.json", _kubelet(daemons.folder, authority))
    command: list[str | Path] = [
        program,
        f"--config={config}",
        f"--kubeconfig={authority.folder / 'kubelet.kubeconfig'}",
        f"--hostname-override={settings.NODE_NAME}",
        f"--node-ip={settings.NODE_ADDRESS}",
    ]

    def is_up() -> bool:
        daemons.ensure("kubelet", command, files=[config])
        return answers(f"http://{settings.NODE_ADDRESS}:{_KUBELET_HEALTH_PORT}/healthz")

    wait_until(is_up, "The kubelet is not up", limit=_READY_LIMIT, log=daemons.log("kubelet"))


def wait_for_node(daemons: Daemons, kubectl: Kubectl) -> None:
    """Wait until the node takes pods."""
    wait_until(
        lambda: kubectl.is_true("node", settings.NODE_NAME, "Ready"),
        "The node is not ready",
        limit=_READY_LIMIT,
        log=daemons.log("kubelet"),
        alive=lambda: daemons.alive("kubelet") and daemons.alive("containerd"),
    )
    say("The node is ready")


def _containerd(folder: Path, pause_image: str) -> str:
    """Write containerd's configuration.

    Without CAP_SYS_RESOURCE a negative oom_score_adj is refused; it is restricted to what works.
    """
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd-opt"
[{cri}]
  restrict_oom_score_adj = true
  sandbox_image = "{pause_image}"
  [{cri}.cni]
    bin_dir = "{folder / "cni-bin"}"
    conf_dir = "{folder / "cni"}"
  [{cri}.registry]
    config_path = "{folder / "registries"}"
"""


def _ensure_policy_agent(daemons: Daemons, authority: Authority) -> None:
    """Run what enforces NetworkPolicies; pods start when it says that theirs are in force."""
    certificate, key = authority.pair("network-policy")
    command: list[str | Path] = [
        *(sys.executable, "-m", "network_policy", f"--server={SERVER}"),
        *(f"--authority={authority.certificate}", f"--certificate={certificate}", f"--key={key}"),
        f"--socket={_policy_socket(daemons.folder)}",
        *(f"--range={one}" for one in _pod_ranges()),
    ]
    sources = sorted((settings.REPOSITORY / "hack/network_policy").glob("*.py"))
    environment = {"PYTHONPATH": str(settings.REPOSITORY / "hack")}
    daemons.ensure("network-policy", command, files=sources, env=environment)


def _policy_socket(folder: Path) -> Path:
    return folder / "network-policy.sock"


def _cni(folder: Path) -> dict[str, object]:
    ranges = _pod_ranges()
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": one}] for one in ranges],
        "routes": [{"dst": "::/0" if ":" in one else "0.0.0.0/0"} for one in ranges],
    }
    before: list[dict[str, object]] = [{"type": "network-policy"}] if len(ranges) > 1 else []
    plugin = {"type": "ptp", "ipMasq": False, "ipam": addresses}
    enforcer = {"type": "network-policy", "socket": str(_policy_socket(folder))}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [*before, plugin, enforcer]}


def _pod_ranges() -> list[str]:
    """List the pods' ranges: one of each family that the machine has."""
    has_both = Path("/proc/sys/net/ipv6").exists()
    return [settings.POD_RANGE, *([settings.POD_RANGE_6] if has_both else [])]


def _kubelet(folder: Path, authority: Authority) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP.name}",
        "failCgroupV1": False,
        "healthzBindAddress": settings.NODE_ADDRESS,
        "healthzPort": _KUBELET_HEALTH_PORT,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "clusterDNS": [settings.DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "imagePullCredentialsVerificationPolicy": "NeverVerify",
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
        },
        "maxPods": 250,
        "podPidsLimit": 4096,
        "resolvConf": str(folder / "resolv.conf"),
        "serializeImagePulls": False,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    }


def _proxy(keys: Path) -> dict[str, object]:
    """Configure kube-proxy; the machine's connection tracking stays as it is."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "oomScoreAdj": 0,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "clientConnection": {"kubeconfig": str(keys / "kube-proxy.kubeconfig")},
        "clusterCIDR": settings.POD_RANGE,
        "hostnameOverride": settings.NODE_NAME,
        "nftables": {"syncPeriod": "30s", "minSyncPeriod": "0s"},
    }


def _write(path: Path, text: str) -> Path:
    """Write a file only if it changes: kube-proxy ends when its own is written again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return path


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    if not path.is_symlink() or path.readlink() != target:
        path.unlink(missing_ok=True)
        path.symlink_to(target)


def _write_json(path: Path, content: dict[str, object]) -> Path:
    return _write(path, json.dumps(content, indent=1))
