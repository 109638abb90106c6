"""Results on a claim of the cluster, read as an admin reads them: by a pod of their own."""

import hashlib
import json

from c2d_api.results import decode_manifest, digest, manifest_key
from end_to_end.cluster import RUN_LABEL, Run


def claim(run: Run, name: str) -> str:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "64Mi"}},
        "storageClassName": run.read("cenv", run.value("ENVIRONMENT"))["spec"]["storageClassName"],
    }
    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": run.named(name), "labels": {RUN_LABEL: run.mark}},
        "spec": spec,
    }
    run.kubectl("create", "--filename=-", text=json.dumps(body))
    return run.named(name)


def printed(run: Run, claim_name: str, line: str) -> str:
    """Run a shell line in a pod that has the claim at /results, and return what it prints."""
    name = run.named("reader")
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "reader",
                "image": run.image("BUSYBOX"),
                "command": ["sh", "-c", line],
                "volumeMounts": [{"name": "results", "mountPath": "/results", "readOnly": True}],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
        "volumes": [{"name": "results", "persistentVolumeClaim": {"claimName": claim_name}}],
    }
    labels = {RUN_LABEL: run.mark}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }
    run.kubectl("create", "--filename=-", text=json.dumps(pod))
    try:
        ended = "--for=jsonpath={.status.containerStatuses[0].state.terminated.exitCode}=0"
        run.kubectl("wait", ended, f"pod/{name}", "--timeout=90s")
        return run.kubectl("logs", name)
    finally:
        run.kubectl("delete", "pod", name, "--grace-period=1", "--timeout=60s")


def test_results_go_to_a_folder_of_a_claim(run: Run) -> None:
    share = claim(run, "share")
    run.create_environment("files", results={"store": f"file://{share}/of/jobs"})
    run.start(
        kept=run.job(
            'mkdir "$OUTPUTS/deep"; echo kept | tee "$OUTPUTS/deep/kept.txt"',
            spec={"environment": run.named("files")},
        ),
        alongside=run.job("echo beside", spec={"environment": run.named("files")}),
    )
    ended, other = run.finished("kept"), run.finished("alongside")
    assert ended.outcome == other.outcome == ("Complete", "Succeeded")
    folder = "/results/of/jobs"
    text = printed(run, share, f"cat {folder}/{manifest_key(ended.uid)}")
    assert digest(text.encode()) == ended.status["results"]["manifestDigest"]
    manifest = decode_manifest(text.encode())
    kept = hashlib.sha256(b"kept\n").hexdigest()
    assert {file.name: file.sha256 for file in manifest.files} == {
        "deep/kept.txt": kept,
        "algorithm.log": kept,
    }
    keys = " ".join(f"{folder}/{file.key}" for file in manifest.files)
    listing = printed(run, share, f"sha256sum {keys}; ls {folder}").split()
    assert listing.count(kept) == 2
    assert {ended.uid, other.uid} <= set(listing)
