"""What an algorithm finds: files, variables, and walls. The reference is Ocean's workspace."""

# ruff: noqa: S108 - the places named here are inside of containers

import hashlib
import json
import re
import urllib.request

import pytest

from end_to_end.cluster import Ended, Run, dataset, inline, url
from results import Results, open_store

FIRST, SECOND, ALGORITHM = "a1" * 32, "b2" * 32, "c3" * 32
FIRST_DDO = {"id": f"did:op:{FIRST}", "metadata": {"name": "first"}}
ALGORITHM_DDO = {"id": f"did:op:{ALGORITHM}"}
LOOK_AROUND = """\
cd "$OUTPUTS"
env > env.txt
{ id -u; id -g; id -G; } > id.txt
cat /proc/self/status > status.txt
cat /proc/self/mounts > mounts.txt
cat /etc/resolv.conf > resolv.txt
(cd /data && find inputs ddos transformations -type f | sort) > files.txt
(cd /data && for file in $(cat outputs/files.txt); do sha256sum "$file"; done) > digests.txt
ls -A /data > data.txt
for place in $INPUTS/new $INPUTS/*/0 $INPUTS/*/new $INPUTS/algoCustomData.json /data/ddos/new \\
    /data/ddos/* $ALGO /data/transformations/new /.c2d/new /.c2d/launch.sh /data/new \\
    $OUTPUTS/control; do
  (echo changed > "$place") 2>/dev/null && echo "$place"
  chmod 777 "$place" 2>/dev/null && echo "$place"
  mv "$place" "$place.moved" 2>/dev/null && echo "$place" && place=$place.moved
  [ -e "$place" ] && rm -r "$place" 2>/dev/null && echo "$place"
done > written.txt
for place in $OUTPUTS/probe.txt $LOGS/beside.txt /tmp/probe $HOME/probe; do
  echo mine > "$place" && echo "$place"
done > allowed.txt
ls -d /var/run/secrets/* /run/secrets/* /etc/c2d /data/adminlogs /data/launcher \\
  2>/dev/null > hidden.txt
find / -xdev \\( -name 'token' -o -name '*AWS*' -o -name 'task.json' \\) 2>/dev/null > tokens.txt
echo "looked around"
"""


@pytest.fixture(scope="module")
def look(run: Run) -> Ended:
    carriers = f"{run.value('DATA_URL').rpartition('/')[0]}/airlines.csv"
    digest = hashlib.sha256(fetched(carriers)).hexdigest()
    first, second = f"did:op:{FIRST}", f"did:op:{SECOND}"
    algorithm = {
        "id": f"did:op:{ALGORITHM}",
        "ddo": json.dumps(ALGORITHM_DDO),
        "source": {"files": [inline(LOOK_AROUND), inline("a second file")]},
        "customData": '{"answer": 42}',
        "env": [{"name": "GREETING", "value": "$(HOME) and $$ stay as they are"}],
    }
    run.start(
        look=run.job(
            "sh $ALGO",
            dataset(first, url(carriers, sha256=digest), serviceId="s1", ddo=json.dumps(FIRST_DDO)),
            dataset(second, inline("zero"), inline("one")),
            dataset(first, inline("of another service"), serviceId="s2"),
            algorithm=algorithm,
            spec={"consumer": f"0x{'0' * 39}1", "additionalViewers": [f"0x{'0' * 39}2"]},
        ),
        raw=run.job("env > $OUTPUTS/env.txt; ls -A $INPUTS > $OUTPUTS/inputs.txt"),
    )
    ended = run.finished("look")
    assert ended.outcome == ("Complete", "Succeeded"), ended.message
    return ended


def fetched(address: str) -> bytes:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(address, timeout=30) as answer:
        return bytes(answer.read())


def variables(ended: Ended) -> dict[str, str]:
    return dict(line.split("=", 1) for line in ended.lines("env.txt"))


def ours(found: dict[str, str]) -> dict[str, str]:
    """Leave out what every container has: from image, runtime, kubelet and shell."""
    usual = {"PATH", "HOSTNAME", "PWD", "OLDPWD", "SHLVL"}
    return {
        name: value
        for name, value in found.items()
        if name not in usual and not name.startswith("KUBERNETES_")
    }


def test_files_lie_where_published_algorithms_look_for_them(look: Ended) -> None:
    assert look.lines("files.txt") == sorted(
        [
            f"inputs/{FIRST}/0",
            f"inputs/{FIRST}/1",
            f"inputs/{SECOND}/0",
            f"inputs/{SECOND}/1",
            "inputs/algoCustomData.json",
            f"ddos/{FIRST}",
            f"ddos/{ALGORITHM}",
            "transformations/algorithm",
            "transformations/1",
        ]
    )
    assert look.lines("data.txt") == ["ddos", "inputs", "logs", "outputs", "transformations"]


def test_files_hold_what_the_job_names(run: Run, look: Ended) -> None:
    seen = {name: digest for digest, name in map(str.split, look.lines("digests.txt"))}
    carriers = fetched(f"{run.value('DATA_URL').rpartition('/')[0]}/airlines.csv")
    contents = {
        f"inputs/{FIRST}/0": carriers,
        f"inputs/{FIRST}/1": b"of another service",
        f"inputs/{SECOND}/0": b"zero",
        f"inputs/{SECOND}/1": b"one",
        "inputs/algoCustomData.json": b'{"answer": 42}',
        f"ddos/{FIRST}": json.dumps(FIRST_DDO).encode(),
        f"ddos/{ALGORITHM}": json.dumps(ALGORITHM_DDO).encode(),
        "transformations/algorithm": LOOK_AROUND.encode(),
        "transformations/1": b"a second file",
    }
    assert seen == {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}


def test_variables_are_those_that_published_algorithms_read(look: Ended) -> None:
    found = ours(variables(look))
    assert re.fullmatch("[0-9a-f]{32,64}", found.pop("secret"))
    assert found == {
        "DIDS": json.dumps([FIRST, SECOND]),
        "TRANSFORMATION_DID": ALGORITHM,
        "BASE_DIR": "/data",
        "VOLUME": "/data",
        "INPUTS": "/data/inputs",
        "OUTPUTS": "/data/outputs",
        "LOGS": "/data/logs",
        "ALGO": "/data/transformations/algorithm",
        "HOME": "/tmp",
        "GREETING": "$(HOME) and $$ stay as they are",
    }


def test_raw_code_has_no_did_and_no_custom_data(run: Run, look: Ended) -> None:
    raw = run.finished("raw")
    assert variables(raw)["TRANSFORMATION_DID"] == ""
    assert variables(raw)["DIDS"] == "[]"
    assert raw.lines("inputs.txt") == []
    assert variables(raw)["secret"] != variables(look)["secret"]


def test_an_algorithm_writes_its_outputs_and_nothing_else(look: Ended) -> None:
    control = "/data/outputs/control"
    assert look.lines("written.txt") == [control, control, control, f"{control}.moved"]
    allowed = ["/data/outputs/probe.txt", "/data/logs/beside.txt", "/tmp/probe", "/tmp/probe"]
    assert look.lines("allowed.txt") == allowed
    assert look.text("probe.txt") == "mine\n"
    assert look.text("beside.txt") == "mine\n"


def test_no_token_and_no_other_volume_is_within_reach(look: Ended) -> None:
    assert look.lines("hidden.txt") == []
    assert look.lines("tokens.txt") == []
    mounted = [line.split() for line in look.lines("mounts.txt")]
    runtime = ("/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
    own = {
        place: options.split(",")[0]
        for _, place, _, options, *_ in mounted
        if place != "/" and not place.startswith(runtime)
    }
    assert own == {
        "/data/inputs": "ro",
        "/data/ddos": "ro",
        "/data/transformations": "ro",
        "/data/outputs": "rw",
        "/data/logs": "rw",
        "/.c2d": "ro",
        "/tmp": "rw",
    }


def test_an_algorithm_has_one_plain_user_and_no_privilege(look: Ended) -> None:
    assert look.lines("id.txt") == ["1000", "1000", "1000"]
    status = dict(line.split(":\t", 1) for line in look.lines("status.txt") if ":\t" in line)
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_no_name_server_of_the_cluster_is_named(run: Run, look: Ended) -> None:
    servers = [line for line in look.lines("resolv.txt") if line.startswith("nameserver")]
    assert servers == ["nameserver 127.0.0.1"]


def test_the_log_is_published_with_its_kind(look: Ended) -> None:
    assert look.text("algorithm.log") == "looked around\n"
    assert look.results["algorithm.log"].file.type == "algorithmLog"
    kinds = {one.file.type for name, one in look.results.items() if name != "algorithm.log"}
    assert kinds == {"output"}
    assert look.status["results"]["count"] == len(look.results)


def test_the_manifest_names_whom_the_results_belong_to(run: Run, look: Ended) -> None:
    store = open_store(look.status["environment"]["results"], run.stack.values)
    manifest = Results(store, look.uid).manifest(look.status["results"]["manifestDigest"])
    assert (manifest.job, manifest.uid) == (look.name, look.uid)
    assert manifest.owner == f"0x{'0' * 39}1"
    assert manifest.viewers == (f"0x{'0' * 39}2",)
    assert manifest.outcome == "Succeeded"
    assert look.status["ocean"] == {"status": 70, "statusText": "Job finished"}
