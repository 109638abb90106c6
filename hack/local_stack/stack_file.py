"""`stack.env`: where everything is, for shells, make and tests."""

from dataclasses import dataclass
from pathlib import Path

from local_stack import install
from local_stack.chain import TEST_ACCOUNTS, Chain
from local_stack.images import Image
from local_stack.kubectl import Kubectl
from local_stack.services import Files, Store


@dataclass(frozen=True)
class Facts:
    """What there is to know about a running stack."""

    kubectl: Kubectl
    registry: str
    store: Store
    files: Files
    chain: Chain
    provider_url: str
    data_url: str
    algorithms: dict[str, Image]
    logs: Path
    audit_log: Path | None


def write(path: Path, facts: Facts) -> None:
    """Write the file, one KEY=value a line, readable by the owner only: it contains keys."""
    algorithm = facts.algorithms["c2d-algorithm"]
    values = {
        "KUBECONFIG": facts.kubectl.kubeconfig,
        "KUBECTL": facts.kubectl.program,
        "NAMESPACE": install.JOB_NAMESPACE,
        "ENVIRONMENT": install.ENVIRONMENT,
        "REGISTRY": facts.registry,
        "RESULTS_URL": facts.store.url,
        "RESULTS_ENDPOINT": facts.store.endpoint,
        "AWS_ACCESS_KEY_ID": facts.store.access_key,
        "AWS_SECRET_ACCESS_KEY": facts.store.secret_key,
        "AWS_REGION": facts.store.region,
        "ALGO_IMAGE": algorithm.repository,
        "ALGO_TAG": algorithm.tag,
        "ALGO_CHECKSUM": algorithm.digest,
        "BUSYBOX_IMAGE": facts.algorithms["c2d-busybox"].reference,
        "NOSHELL_IMAGE": facts.algorithms["c2d-noshell"].reference,
        "FILES_DIR": facts.files.folder,
        "FILES_URL": facts.files.url,
        "DATA_URL": facts.data_url,
        "PROVIDER_URL": facts.provider_url,
        "RPC_URL": facts.chain.url,
        "ADDRESS_FILE": facts.chain.address_file,
        "AUDIT_LOG": facts.audit_log or "",
        "LOGS": facts.logs,
    }
    accounts = facts.chain.accounts
    values |= {f"{name.upper()}_PRIVATE_KEY": accounts[name].key for name in TEST_ACCOUNTS}
    unfinished = path.with_suffix(".new")
    unfinished.touch(mode=0o600)
    unfinished.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    unfinished.rename(path)
