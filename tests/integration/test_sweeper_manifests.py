"""The sweeper's manifests, as kustomize makes them and as a real API server takes them."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from c2d_api.computeenvironment import parse_environment
from c2d_operator.environments import desired
from fakes import environment_body
from local_stack import install
from local_stack.chain import Account, Chain
from local_stack.images import Image
from local_stack.services import Files, Store

Body = dict[str, Any]
Kubectl = Callable[..., CompletedProcess[str]]
ROOT = Path(__file__).parents[2]
OVERLAYS = ROOT / "manifests/overlays"


def rendered(kubectl: Kubectl, folder: Path) -> dict[tuple[str, str], Body]:
    made = kubectl("kustomize", str(folder), "--load-restrictor=LoadRestrictionsNone")
    assert made.returncode == 0, made.stderr
    bodies = yaml.safe_load_all(made.stdout)
    return {(body["kind"], body["metadata"]["name"]): body for body in bodies}


def pod_of(bodies: dict[tuple[str, str], Body]) -> Body:
    template = bodies["CronJob", "c2d-sweeper"]["spec"]["jobTemplate"]["spec"]["template"]
    return dict(template["spec"])


def settings_of(bodies: dict[tuple[str, str], Body]) -> Body:
    """Read the ConfigMap that the CronJob names."""
    (container,) = pod_of(bodies)["containers"]
    (source,) = container["envFrom"]
    return dict(bodies["ConfigMap", source["configMapRef"]["name"]]["data"])


def test_production_has_the_image_and_the_store_of_its_environment(kubectl: Kubectl) -> None:
    bodies = rendered(kubectl, OVERLAYS / "production")
    (container,) = pod_of(bodies)["containers"]
    assert container["image"] == "registry.example.org/c2d/c2d-publisher:0.1.0"
    results = bodies["ComputeEnvironment", "small"]["spec"]["results"]
    assert settings_of(bodies) == {
        "STORE": results["store"],
        "ENDPOINT": "",
        "REGION": results["region"],
    }
    (volume,) = pod_of(bodies)["volumes"]
    assert volume["secret"]["secretName"] == results["credentialsSecret"]


def test_it_may_reach_what_publishers_may(kubectl: Kubectl) -> None:
    policy = rendered(kubectl, OVERLAYS / "production")["NetworkPolicy", "c2d-sweeper"]
    environment = parse_environment(environment_body(results={"store": "s3://results"}))
    (publishers,) = (
        one["spec"]
        for one in desired(environment)
        if one["kind"] == "NetworkPolicy" and one["metadata"]["name"].endswith("-publisher")
    )
    assert policy["spec"]["egress"] == publishers["egress"]
    assert policy["spec"]["policyTypes"] == publishers["policyTypes"]
    assert "ingress" not in policy["spec"]
    labels = policy["spec"]["podSelector"]["matchLabels"]
    assert labels == {"app.kubernetes.io/name": "c2d-sweeper"}


def test_it_holds_no_token_and_one_runs_at_a_time(kubectl: Kubectl) -> None:
    bodies = rendered(kubectl, OVERLAYS / "production")
    pod = pod_of(bodies)
    assert pod["serviceAccountName"] == "c2d-sweeper"
    assert pod["automountServiceAccountToken"] is False
    assert bodies["ServiceAccount", "c2d-sweeper"]["automountServiceAccountToken"] is False
    assert bodies["CronJob", "c2d-sweeper"]["spec"]["concurrencyPolicy"] == "Forbid"
    bound = [
        subject["name"]
        for body in bodies.values()
        for subject in body.get("subjects", ())
        if body["kind"].endswith("Binding")
    ]
    assert "c2d-sweeper" not in bound


@pytest.mark.parametrize(
    ("endpoint", "way"),
    [
        (
            "http://10.89.0.2:7070",
            {
                "to": [{"ipBlock": {"cidr": "10.89.0.2/32"}}],
                "ports": [{"protocol": "TCP", "port": 7070}],
            },
        ),
        ("https://s3.example.org", {"ports": [{"protocol": "TCP", "port": 443}]}),
    ],
)
def test_the_local_stack_gives_it_its_own_store(
    kubectl: Kubectl, tmp_path: Path, endpoint: str, way: Body
) -> None:
    image = Image("registry.local/x", "1", f"sha256:{'0' * 64}")
    names = ("c2d-operator", "c2d-provider", "c2d-loader", "c2d-publisher")
    (tmp_path / "address.json").write_text(json.dumps({"development": {"Ocean": "0x0"}}))
    accounts = {
        name: Account("0x" + "1" * 40, "0x" + "1" * 64)
        for name in ("provider", "environment-free", "environment-paid")
    }
    values = install.Values(
        dict.fromkeys(names, image),
        Store("s3://c2d-results/", endpoint, "us-east-1", "access", "secret"),
        Files(tmp_path, "http://10.89.0.2:8080"),
        "local-path",
        Chain("http://10.89.0.2:8545", tmp_path / "address.json", accounts),
    )
    bodies = rendered(kubectl, install.write_deployment(tmp_path / "deploy", values))
    (container,) = pod_of(bodies)["containers"]
    assert container["image"] == image.reference
    assert settings_of(bodies) == {
        "STORE": "s3://c2d-results/",
        "ENDPOINT": endpoint,
        "REGION": "us-east-1",
    }
    assert bodies["NetworkPolicy", "c2d-sweeper"]["spec"]["egress"][1] == way
    for name in ("local", "local-paid"):
        results = bodies["ComputeEnvironment", name]["spec"]["results"]
        assert results["retention"] == install.RETENTION


def test_an_api_server_takes_it_where_pods_are_restricted(
    kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    """Pod Security warns of what it would refuse; here a warning is an error."""
    label = "pod-security.kubernetes.io/warn=restricted"
    assert kubectl("label", f"namespace/{namespace}", label).returncode == 0
    bodies = rendered(kubectl, OVERLAYS / "production")
    mine = [body for (_, name), body in bodies.items() if name.startswith(("c2d-sweeper", "sweep"))]
    for body in mine:
        body["metadata"]["namespace"] = namespace
    file = tmp_path / "sweeper.yaml"
    file.write_text(yaml.safe_dump_all(mine))
    applied = kubectl("apply", f"--filename={file}", "--warnings-as-errors")
    assert applied.returncode == 0, applied.stderr
    assert len(applied.stdout.splitlines()) == len(mine) == 4
    assert "cronjob.batch/c2d-sweeper created" in applied.stdout
