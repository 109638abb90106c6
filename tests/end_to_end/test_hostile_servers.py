"""Servers that cut, stall, lie, flood and lead astray, as loaders on the cluster meet them."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from end_to_end.cluster import Json, Run, dataset, eventually, url
from end_to_end.loaders import anonymous_memory, loader_process, peak_memory
from hostile import (
    MIB,
    Answer,
    Content,
    Server,
    announcing,
    busy,
    changed_half_way,
    changed_unsaid,
    cut,
    cut_without_ranges,
    dripping,
    endless,
    lying,
    redirecting,
    serving,
    stalling,
    wrong_part,
)
from local_stack import settings
from results import Results, open_store

UNTOLD = "words-that-must-not-be-told"
CODE = "sha256sum < $INPUTS/data/0"
DEADLINE = 90
MEMORY = 64 * MIB
FILE, OTHER, LARGE = Content(24 * MIB + 77), Content(24 * MIB + 77, 2), Content(256 * MIB)
CUTS = (5 * MIB, 11 * MIB + 1, 23 * MIB)
STALLED_AT = 3 * MIB
ARRIVING: dict[str, tuple[Answer, Content, Json]] = {
    "cut": (cut(FILE, *CUTS), FILE, {"sha256": FILE.sha256}),
    "no-ranges": (cut_without_ranges(FILE, 5 * MIB), FILE, {}),
    "changed": (changed_half_way(FILE, OTHER), OTHER, {}),
    "changed-unsaid": (changed_unsaid(FILE, OTHER), OTHER, {"sha256": OTHER.sha256}),
    "wrong-part": (wrong_part(FILE), FILE, {}),
    "busy": (busy(FILE, 2, 2), FILE, {}),
}
REFUSED = "the server's address is private or reserved"
FAILING: dict[str, tuple[Answer, str, Json]] = {
    "to-private": (redirecting(f"http://192.168.7.7:8080/{UNTOLD}"), REFUSED, {}),
    "to-metadata": (redirecting(f"http://169.254.169.254/{UNTOLD}"), REFUSED, {}),
    "to-itself": (redirecting(f"/f/to-itself?{UNTOLD}"), "the server redirects too often", {}),
    "too-large": (announcing(2**50), f"its {2**50} bytes do not fit on the job's volume", {}),
    "endless": (endless(1024 * MIB), f"longer than its limit of {MIB} bytes", {"maxBytes": MIB}),
    "flooding": (endless(1024 * MIB), "the job's volume is full", {}),
}
LATE: dict[str, Answer] = {
    "stalled": stalling(FILE, STALLED_AT),
    "mute": announcing(FILE.size),
    "dripping": dripping(FILE),
    "cut-short": lying(FILE, FILE.size + 1),
    "always-busy": busy(FILE, 1000, 3600),
}


@dataclass
class Large:
    """The file that is held back before its end, so that its loader can be looked at."""

    released: threading.Event = field(default_factory=threading.Event)

    def hold(self) -> None:
        self.released.wait(600)


@pytest.fixture(scope="module")
def large() -> Iterator[Large]:
    large = Large()
    yield large
    large.released.set()


@pytest.fixture(scope="module")
def server(run: Run, large: Large) -> Iterator[Server]:
    """Serve at the machine's own end of the way to the stack's network."""
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("the pods of a cluster that was given have no address for this machine")
    with serving(settings.HOST_ADDRESS) as server:
        everything = {name: answer for name, (answer, _, _) in (ARRIVING | FAILING).items()}
        for name, answer in (everything | LATE).items():
            server.answers[f"/f/{name}"] = answer
        api = run.read("service", "kubernetes", "--namespace=default")["spec"]["clusterIP"]
        server.answers["/f/to-api-server"] = redirecting(f"https://{api}/api?{UNTOLD}")
        places = (LARGE.size * part // 4 + part for part in (1, 2, 3))
        server.answers["/f/large"] = cut(LARGE, *places, hold=large.hold)
        server.answers["/f/too-short"] = lying(FILE, FILE.size // 2)
        yield server


@pytest.fixture(scope="module", autouse=True)
def jobs(run: Run, server: Server) -> None:
    listed = [{"cidr": f"{urlsplit(server.url('')).hostname}/32", "port": server.port}]
    run.create_environment("hostile", egress=listed)
    run.create_environment("hostile-hasty", egress=listed, deadlines={"loading": DEADLINE})

    def job(name: str, environment: str, disk: str = "128Mi", **more: object) -> Json:
        file = url(server.url(f"/f/{name}?{UNTOLD}"), **more)
        spec = {"environment": run.named(environment), "resources": {"disk": disk}}
        return run.job("sh $ALGO", dataset("data", file), code=CODE, spec=spec)

    specs = {name: job(name, "hostile-hasty") for name in LATE}
    specs |= {name: job(name, "hostile", **more) for name, (_, _, more) in ARRIVING.items()}
    specs |= {name: job(name, "hostile", **more) for name, (_, _, more) in FAILING.items()}
    specs["to-api-server"] = job("to-api-server", "hostile")
    specs["too-short"] = job("too-short", "hostile-hasty", sha256=FILE.sha256)
    specs["large"] = job("large", "hostile", "1Gi", sha256=LARGE.sha256)
    specs["large"]["resources"]["cpu"] = "300m"  # for its sum
    run.start(**specs)


def test_a_loader_that_waits_shows_how_far_it_is_and_tells_nothing(
    run: Run, server: Server
) -> None:
    expected = {
        "files": 1,
        "filesTotal": 2,
        "bytes": STALLED_AT + len(CODE),
        "bytesTotal": FILE.size + len(CODE),
    }

    def shown() -> bool:
        status = run.read("computejob", run.named("stalled")).get("status", {})
        return bool(status.get("loading") == expected)

    eventually(shown, f"{expected} of the stalled job", DEADLINE)
    pod = run.pod("stalled", "loading")["metadata"]["name"]
    log = run.kubectl("logs", pod)
    assert '"progress"' in log
    assert UNTOLD not in log
    assert server.url("") not in log
    ended = run.finished("stalled")
    words = (
        f"the assets were not loaded within {DEADLINE} s: 1 of 2 files, {expected['bytes']} bytes"
    )
    assert ended.message == words
    assert ended.status["loading"] == expected


def test_a_large_file_takes_little_memory_over_a_line_that_is_cut(
    run: Run, server: Server, large: Large
) -> None:
    held = LARGE.size - MIB

    def arrived() -> bool:
        loading = run.read("computejob", run.named("large")).get("status", {}).get("loading", {})
        return bool(loading.get("bytes", 0) >= held)

    eventually(arrived, f"{held} bytes of the large file")
    process = loader_process(run.pod("large", "loading")["metadata"]["uid"])
    assert peak_memory(process) < MEMORY
    assert anonymous_memory(process) < MEMORY
    first, *parts = server.asked["/f/large"][:4]
    assert ("Range" in first, ["Range" in one for one in parts]) == (False, [True] * 3)
    large.released.set()
    ended = run.finished("large")
    assert ended.outcome == ("Complete", "Succeeded"), ended.message
    assert ended.text("algorithm.log").split()[0] == LARGE.sha256


@pytest.mark.parametrize("name", ARRIVING)
def test_the_right_file_arrives(run: Run, name: str) -> None:
    ended = run.finished(name)
    assert ended.outcome == ("Complete", "Succeeded"), ended.message
    expected = ARRIVING[name][1]
    assert ended.text("algorithm.log").split()[0] == expected.sha256
    total = expected.size + len(CODE)
    assert ended.status["loading"] == {
        "files": 2, "filesTotal": 2, "bytes": total, "bytesTotal": total,
    }  # fmt: skip


def test_a_file_that_is_cut_goes_on_where_it_was(run: Run, server: Server) -> None:
    run.finished("cut")
    first, *others = server.asked["/f/cut"]
    assert "Range" not in first
    assert len(others) == len(CUTS)
    starts = [int(one["Range"].removeprefix("bytes=").removesuffix("-")) for one in others]
    assert all(0 < start <= place for start, place in zip(starts, CUTS, strict=True))
    assert {one["If-Range"] for one in others} == {FILE.tag}


@pytest.mark.parametrize("name", [*FAILING, "to-api-server"])
def test_what_cannot_be_had_fails_the_job(run: Run, server: Server, name: str) -> None:
    ended = run.finished(name)
    assert ended.outcome == ("Failed", "DataProvisioningFailed")
    assert ended.message.startswith("dataset data file 0: "), ended.message
    assert (FAILING[name][1] if name in FAILING else REFUSED) in ended.message
    assert ended.status["ocean"] == {"status": 31, "statusText": "Data provisioning failed"}
    assert ended.status["attempts"]["loading"] == 0
    if name != "to-itself":
        assert len(server.asked[f"/f/{name}"]) == 1


@pytest.mark.parametrize("name", LATE)
def test_what_does_not_come_in_time_fails_the_job(run: Run, name: str) -> None:
    ended = run.finished(name)
    assert ended.outcome == ("Failed", "DataProvisioningFailed")
    late = rf"the assets were not loaded within {DEADLINE} s: 1 of 2 files, \d+ bytes"
    assert re.fullmatch(late, ended.message), ended.message


def test_a_server_that_says_less_than_it_sends_fails_the_job(run: Run) -> None:
    """Whether the rest is seen at all hangs on how the bytes come."""
    ended = run.finished("too-short")
    assert ended.outcome == ("Failed", "DataProvisioningFailed")
    assert re.search("does not have the sha256|were not loaded within", ended.message)


def test_no_url_of_a_server_is_told_anywhere(run: Run, server: Server) -> None:
    for name in (*ARRIVING, *FAILING, *LATE, "to-api-server", "too-short"):
        ended = run.finished(name)
        store = open_store(ended.status["environment"]["results"], run.stack.values)
        logs = json.dumps(dict(Results(store, ended.uid).admin_logs()))
        told = json.dumps(ended.status) + json.dumps(run.events(name)) + logs
        assert UNTOLD not in told
        assert server.url("") not in told
