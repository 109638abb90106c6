"""DNS and dynamic volumes: what pods take for granted in a cluster."""

import json
from pathlib import Path
from string import Template

from local_stack import settings, volumes
from local_stack.certificates import Authority
from local_stack.daemons import Daemons
from local_stack.kubectl import Kubectl

STORAGE_CLASS = "local-path"
_MANIFESTS = Path(__file__).with_name("addons.yaml")


def ensure_addons(
    daemons: Daemons,
    authority: Authority,
    programs: dict[str, Path],
    kubectl: Kubectl,
    helper_image: str,
) -> None:
    """Run the DNS server and the volume provisioner with their roles in the cluster."""
    folder = daemons.folder / "volumes"
    folder.mkdir(exist_ok=True)
    nodes = [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [str(folder)]}]
    places, helper = (
        json.dumps({"nodePathMap": nodes}),
        json.dumps(volumes.helper_pod(helper_image)),
    )
    kubectl.apply(
        "--filename=-",
        text=Template(_MANIFESTS.read_text()).substitute(
            DNS_ADDRESS=settings.DNS_ADDRESS,
            NODE_ADDRESS=settings.NODE_ADDRESS,
            STORAGE_CLASS=STORAGE_CLASS,
            VOLUMES=places,
            HELPER=helper,
            SETUP=json.dumps(volumes.SETUP.read_text()),
            TEARDOWN=json.dumps(volumes.TEARDOWN.read_text()),
        ),
    )
    _ensure_dns(daemons, authority, programs["coredns"])
    config, pod = daemons.folder / "local-path.json", daemons.folder / "local-path-helper.json"
    config.write_text(places)
    pod.write_text(helper)
    command: list[str | Path] = [
        *(programs["local-path-provisioner"], "start", "--config", config),
        *("--kubeconfig", authority.folder / "local-path-provisioner.kubeconfig"),
        *("--helper-image", helper_image, "--helper-pod-file", pod),
        *("--namespace", "local-path-storage", "--configmap-name", "local-path-config"),
    ]
    daemons.ensure("local-path-provisioner", command, files=[config, pod])


def _ensure_dns(daemons: Daemons, authority: Authority, program: Path) -> None:
    corefile = daemons.folder / "Corefile"
    corefile.write_text(f"""\
.:53 {{
  bind {settings.NODE_ADDRESS}
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    kubeconfig {authority.folder / "coredns.kubeconfig"}
  }}
  cache 5
}}
""")
    daemons.ensure("coredns", [program, "-conf", corefile], files=[corefile])
