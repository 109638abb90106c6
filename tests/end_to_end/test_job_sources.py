"""Where a job's files may come from, and what of its namespace a job does not get at."""

import json
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import obstore
import pytest
from obstore.store import S3Store

from end_to_end.cluster import RUN_LABEL, Ended, Run, dataset, eventually, inline, url
from end_to_end.market import Shelf, shelf

OFFERED = {"computetodata.io/offered": "true"}
WORD = f"word-{secrets.token_hex(8)}"
PORT = 8000
DEMANDING = f"""
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers.get("X-Key") == "{WORD}"
        body = b"behind a header" if known else b"no"
        self.send_response(200 if known else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("", {PORT}), Handler).serve_forever()
"""
FILL = """\
umask 022
mkdir -p /claim/trees/deep && cd /claim/trees
echo heights > heights.csv; echo depths > deep/depths.csv
ln -s /etc/passwd escape; ln -s ../../../.. up; touch -- '-rf' '$(id)' '
line'
ln -s /etc /claim/way"""
LOOK = """\
cd "$INPUTS/lying"
cat heights.csv deep/depths.csv > "$OUTPUTS/read.txt"
ls -A | sort > "$OUTPUTS/listed.txt"
{ [ ! -e escape ] || cmp -s escape /etc/passwd; } && echo own > "$OUTPUTS/whose.txt"
for place in new deep/new; do
  (echo changed > "$place") 2>/dev/null && echo "$place"
done > "$OUTPUTS/written.txt"
(echo changed > heights.csv) 2>/dev/null && echo heights.csv >> "$OUTPUTS/written.txt"
chmod 777 heights.csv 2>/dev/null && echo heights.csv >> "$OUTPUTS/written.txt"
mv heights.csv moved.csv 2>/dev/null && echo moved.csv >> "$OUTPUTS/written.txt"
rm -r deep 2>/dev/null && echo deep >> "$OUTPUTS/written.txt"
grep " $INPUTS/lying " /proc/self/mounts > "$OUTPUTS/mounts.txt"
ls "$INPUTS" > "$OUTPUTS/inputs.txt"
"""


def restricted(image: str, command: list[str], **more: Any) -> dict[str, Any]:
    """Describe a pod of a tenant that does as little as it can."""
    container = {
        "name": "main",
        "image": image,
        "command": command,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **more.pop("container", {}),
    }
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        **more,
    }


def make(run: Run, kind: str, name: str, labels: dict[str, str], **parts: Any) -> str:
    metadata = {"name": run.named(name), "labels": {RUN_LABEL: run.mark, **labels}}
    body = {"apiVersion": "v1", "kind": kind, "metadata": metadata, **parts}
    run.kubectl("create", "--filename=-", text=json.dumps(body))
    return run.named(name)


def described(run: Run, name: str, *files: object, labels: dict[str, str] = OFFERED) -> str:
    content = {"files.json": json.dumps(files)}
    return make(run, "Secret", name, labels, stringData=content)


def by_secret(name: str, secret: str, **more: object) -> dict[str, Any]:
    return {"id": name, "source": {"secretRef": {"name": secret}}, **more}


def by_claim(name: str, claim: str, **more: object) -> dict[str, Any]:
    return {"id": name, "source": {"persistentVolumeClaim": {"claimName": claim, **more}}}


@pytest.fixture(scope="module", autouse=True)
def made(run: Run) -> Iterator[None]:
    """Take away, at the end, what the run itself does not."""
    yield
    run.kubectl("delete", "secrets", f"--selector={RUN_LABEL}={run.mark}", "--ignore-not-found")


@pytest.fixture(scope="module")
def server(run: Run) -> str:
    """A server in the cluster that wants a header; returns its URL."""
    name = run.create(
        "v1",
        "Pod",
        "demanding",
        spec=restricted(run.image("ALGO"), ["python", "-c", DEMANDING]),
    )
    run.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    return f"http://{run.read('pod', name)['status']['podIP']}:{PORT}"


@pytest.fixture(scope="module")
def environment(run: Run, server: str) -> str:
    """An environment whose loaders may reach the S3 store and the server."""
    spec = run.read("cenv", run.value("ENVIRONMENT"))["spec"]
    opened = list(spec["egress"])
    for address in (server, run.value("RESULTS_ENDPOINT")):
        parts = urlsplit(address)
        bits = 128 if ":" in str(parts.hostname) else 32
        opened.append({"cidr": f"{parts.hostname}/{bits}", "port": parts.port})
    run.create_environment("sources", egress=opened, deadlines={"starting": 30, "loading": 60})
    return run.named("sources")


@pytest.fixture(scope="module")
def claim(run: Run) -> str:
    """A claim with files that its owner offers, and with names and links of a malicious one."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "64Mi"}},
        "storageClassName": run.read("cenv", run.value("ENVIRONMENT"))["spec"]["storageClassName"],
    }
    name = make(run, "PersistentVolumeClaim", "trees", OFFERED, spec=spec)
    mount = {"volumeMounts": [{"name": "claim", "mountPath": "/claim"}]}
    volume = {"name": "claim", "persistentVolumeClaim": {"claimName": name}}
    filler = restricted(run.image("BUSYBOX"), ["sh", "-c", FILL], container=mount, volumes=[volume])
    pod = run.create("v1", "Pod", "filler", spec=filler)
    eventually(
        lambda: run.read("pod", pod)["status"]["phase"] == "Succeeded", "the claim's files", 90
    )
    run.kubectl("delete", "pod", pod, "--timeout=60s")
    return name


@pytest.fixture(scope="module")
def files(run: Run) -> Iterator[Shelf]:
    with shelf(run, "public-bucket", **{"a b.csv": "public"}) as shelved:
        yield shelved


@pytest.fixture(scope="module")
def mixed(run: Run, environment: str, server: str, files: Shelf) -> Ended:
    """A job with a file of each place, as services of one dataset."""
    values = run.stack.values
    endpoint = values["RESULTS_ENDPOINT"]
    keys = values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"]
    bucket = values["RESULTS_URL"].removeprefix("s3://").strip("/")
    store = S3Store(
        bucket,
        endpoint=endpoint,
        region=values["AWS_REGION"],
        access_key_id=keys[0],
        secret_access_key=keys[1],
        client_options={"allow_http": True},
    )
    key = f"source-{run.mark}/private.csv"
    obstore.put(store, key, b"private")
    private = {
        "bucket": bucket,
        "key": key,
        "endpoint": endpoint,
        "region": values["AWS_REGION"],
        "accessKeyId": keys[0],
        "secretAccessKey": keys[1],
    }
    header = {"name": "X-Key", "value": WORD}
    keyed = described(
        run, "keyed", {"s3": private}, {"url": {"url": f"{server}/a", "headers": [header]}}
    )
    code = described(
        run, "code", inline('cp -r "$INPUTS" "$OUTPUTS/in"; cat "$ALGO"\n' + "#" * 20000)
    )
    public = {"bucket": files.folder.name, "key": "a b.csv", "endpoint": run.value("FILES_URL")}
    run.start(
        mixed=run.job(
            'sh "$ALGO"',
            dataset("mine", inline("inline"), {"s3": public}, serviceId="1"),
            by_secret("mine", keyed, serviceId="2"),
            dataset("mine", inline("last"), serviceId="3"),
            algorithm={"id": "coded", "source": {"secretRef": {"name": code}}},
            spec={"environment": environment},
        )
    )
    try:
        return run.finished("mixed")
    finally:
        obstore.delete(store, key)


def test_files_of_all_places_are_numbered_on(mixed: Ended) -> None:
    assert mixed.outcome == ("Complete", "Succeeded"), mixed.message
    names = ("inline", "public", "private", "behind a header", "last")
    assert [mixed.text(f"in/mine/{number}") for number in range(len(names))] == list(names)


def test_code_that_is_too_long_for_a_job_comes_from_a_secret(mixed: Ended) -> None:
    assert mixed.text("algorithm.log").endswith("#" * 20000)


def test_nothing_of_a_secret_is_seen_elsewhere(run: Run, mixed: Ended) -> None:
    body = json.dumps(mixed.body) + json.dumps(run.events("mixed"))
    operator = run.kubectl("logs", "--namespace=c2d-system", "deployment/c2d-operator")
    for secret in (WORD, run.value("AWS_SECRET_ACCESS_KEY")):
        assert secret not in body
        assert secret not in operator


@pytest.fixture(scope="module")
def lying(run: Run, claim: str) -> Ended:
    run.start(lying=run.job('sh "$ALGO"', by_claim("lying", claim, path="trees"), code=LOOK))
    return run.finished("lying")


def test_a_claim_is_read_where_it_lies(lying: Ended) -> None:
    assert lying.outcome == ("Complete", "Succeeded"), lying.message
    assert lying.lines("read.txt") == ["heights", "depths"]
    loaded = lying.conditions["AssetsLoaded"]["message"]
    assert loaded == f"1 file, {len(LOOK)} bytes"
    assert {"deep", "heights.csv", "-rf", "$(id)"} <= set(lying.lines("listed.txt"))
    assert lying.lines("inputs.txt") == ["lying"]


def test_a_claim_cannot_be_written(run: Run, lying: Ended, claim: str) -> None:
    assert lying.text("written.txt") == ""
    (mounted,) = lying.lines("mounts.txt")
    assert mounted.split()[3].split(",")[0] == "ro"
    reading = run.job('cat "$INPUTS"/all/trees/heights.csv', by_claim("all", claim))
    run.start(unwritten=reading)
    again = run.finished("unwritten")
    assert again.outcome == ("Complete", "Succeeded"), again.message
    assert again.text("algorithm.log") == "heights\n"


def test_a_link_in_a_claim_leads_nowhere_but_into_the_algorithms_own_files(lying: Ended) -> None:
    assert lying.text("whose.txt") == "own\n"


def test_a_link_is_no_folder_of_a_claim(run: Run, environment: str, claim: str) -> None:
    linked = run.job("true", by_claim("a", claim, path="way"), spec={"environment": environment})
    run.start(linked=linked)
    ended = run.finished("linked")
    assert ended.outcome == ("Failed", "PodRefused")
    assert "root:" not in json.dumps(ended.body)


def test_what_is_not_offered_is_refused(run: Run) -> None:
    secret = described(run, "unoffered", inline("mine"), labels={})
    store = {"id": "a", "source": {"secretRef": {"name": "result-store"}}}
    run.start(
        unoffered=run.job("true", by_secret("a", secret)),
        absent=run.job("true", by_secret("a", "no-such-secret")),
        store_key=run.job("true", store),
    )
    for name, word in (
        ("unoffered", secret),
        ("absent", "no-such-secret"),
        ("store-key", "result-store"),
    ):
        ended = run.finished(name)
        assert ended.outcome == ("Failed", "DataProvisioningFailed")
        assert ended.message == (
            f"no Secret {word} is offered to jobs here:"
            ' it must be there and have the label computetodata.io/offered: "true"'
        )


def test_the_volume_of_another_job_is_refused_even_with_the_label(run: Run) -> None:
    run.start(holder=run.job("echo here; sleep 600"))
    run.running("holder", "here")
    theirs = f"{run.named('holder')}-workspace"
    run.kubectl("label", "pvc", theirs, "computetodata.io/offered=true")
    run.start(thief=run.job('cat "$INPUTS"/a/*', by_claim("a", theirs)))
    thief = run.finished("thief")
    assert thief.outcome == ("Failed", "DataProvisioningFailed")
    assert thief.message.startswith(f"no claim {theirs} is offered")
    run.patch("holder", stop={"reason": "AdminRequested"})
    assert run.finished("holder").outcome == ("Failed", "Stopped")


def test_what_a_secret_says_wrongly_is_told_without_its_content(run: Run) -> None:
    wrong = described(run, "wrong", {**url(f"https://{WORD}.example/"), "sha256": WORD})
    empty = make(run, "Secret", "empty", OFFERED, stringData={"other": WORD})
    run.start(
        wrong=run.job("true", by_secret("a", wrong)), empty=run.job("true", by_secret("a", empty))
    )
    for name, words in (("wrong", "file 0: sha256 is not valid"), ("empty", "no key files.json")):
        ended = run.finished(name)
        assert ended.outcome == ("Failed", "DataProvisioningFailed")
        assert words in ended.message
        assert WORD not in json.dumps(ended.body)
