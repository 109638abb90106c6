"""An API server alone, for integration tests: real etcd and kube-apiserver on loopback.

It needs neither root nor namespaces. Nothing schedules or runs pods; with `controller_manager`
owner references are honoured and service accounts are made.
"""

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from local_stack import toolchain
from local_stack.certificates import Authority
from local_stack.processes import free_ports, running, wait_until

_READY_LIMIT = 60.0
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""


@contextmanager
def api_server(
    folder: Path, *, controller_manager: bool = False, audit: bool = False
) -> Iterator[Path]:
    """Run an API server and yield the kubeconfig file of its administrator.

    Args:
        folder: Where everything is kept: data, keys, `log/`, and `audit.log` with `audit`.
        controller_manager: Also run kube-controller-manager (garbage collection and so on).
        audit: Write one line a request.
    """
    programs = toolchain.ensure("etcd", "kube-apiserver", "kube-controller-manager")
    logs = folder / "log"
    logs.mkdir(parents=True)
    etcd_port, peer_port, port = free_ports(3)
    server = f"https://127.0.0.1:{port}"
    authority = _authority(folder, logs)
    kubeconfig = authority.kubeconfig("admin", server)
    etcd_url = f"http://127.0.0.1:{etcd_port}"
    etcd = etcd_command(
        programs["etcd"], folder / "etcd", etcd_url, f"http://127.0.0.1:{peer_port}"
    )
    apiserver = [
        programs["kube-apiserver"],
        *(f"--etcd-servers={etcd_url}", "--bind-address=127.0.0.1", f"--secure-port={port}"),
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=RBAC",
        *identity_flags(authority),
        *(audit_flags(folder) if audit else ()),
    ]
    with ExitStack() as stack:
        stack.enter_context(running(etcd, logs / "etcd.log"))
        process = stack.enter_context(running(apiserver, logs / "kube-apiserver.log"))
        wait_until(
            lambda: is_ready(server, authority),
            "The API server is not ready",
            limit=_READY_LIMIT,
            log=logs / "kube-apiserver.log",
            alive=lambda: process.poll() is None,
        )
        if controller_manager:
            stack.enter_context(_running_controllers(programs, authority, server, logs))
        yield kubeconfig


def etcd_command(program: Path, data: Path, url: str, peer_url: str) -> list[str | Path]:
    """Build etcd's command line; without fsync, since its data may be lost with the machine."""
    return [
        program,
        *("--data-dir", data, "--unsafe-no-fsync", "--log-level", "warn"),
        *("--listen-client-urls", url, "--advertise-client-urls", url),
        *("--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url),
        *("--initial-cluster", f"default={peer_url}"),
    ]


def identity_flags(authority: Authority) -> list[str]:
    """List the API server's flags about certificates and service accounts."""
    certificate, key = authority.pair("apiserver")
    private, public = authority.service_account_keys
    return [
        f"--client-ca-file={authority.certificate}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        f"--service-account-key-file={public}",
        f"--service-account-signing-key-file={private}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
    ]


def audit_flags(folder: Path) -> list[str]:
    """Write the audit policy (who did what, one line a request) and list the flags for it."""
    policy = folder / "audit-policy.yaml"
    policy.write_text(AUDIT_POLICY)
    return [f"--audit-policy-file={policy}", f"--audit-log-path={folder / 'audit.log'}"]


def controller_manager_command(
    program: Path, authority: Authority, kubeconfig: Path
) -> list[str | Path]:
    """Build the controller manager's command line, with limits that do not slow it down."""
    private, _ = authority.service_account_keys
    return [
        program,
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--service-account-private-key-file={private}",
        f"--root-ca-file={authority.certificate}",
        "--use-service-account-credentials",
        *("--kube-api-qps=300", "--kube-api-burst=500", "--leader-elect=false"),
    ]


def is_ready(server: str, authority: Authority, path: str = "/readyz") -> bool:
    """Ask a server of the cluster, as its administrator, whether it is ready."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(*authority.pair("admin"))
    return answers(server + path, context)


def answers(url: str, context: ssl.SSLContext | None = None) -> bool:
    """Say whether a server says that it is well."""
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as answer:  # noqa: S310  (http only)
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def _authority(folder: Path, logs: Path) -> Authority:
    authority = Authority(folder / "keys", logs / "openssl.log")
    authority.establish()
    names = "DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1"
    authority.sign("apiserver", "/CN=kube-apiserver", alternatives=names)
    authority.sign("admin", "/O=system:masters/CN=admin")
    authority.sign("controllers", "/CN=system:kube-controller-manager")
    return authority


@contextmanager
def _running_controllers(
    programs: dict[str, Path], authority: Authority, server: str, logs: Path
) -> Iterator[None]:
    (port,) = free_ports(1)
    log = logs / "kube-controller-manager.log"
    kubeconfig = authority.kubeconfig("controllers", server)
    program = programs["kube-controller-manager"]
    command = controller_manager_command(program, authority, kubeconfig)
    address = ("--bind-address=127.0.0.1", f"--secure-port={port}")
    certificate, key = authority.pair("apiserver")
    serving = (f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}")
    with running([*command, *address, *serving], log) as process:
        wait_until(
            lambda: is_ready(f"https://127.0.0.1:{port}", authority, "/healthz"),
            "The controller manager is not ready",
            limit=_READY_LIMIT,
            log=log,
            alive=lambda: process.poll() is None,
        )
        yield
