"""Whoever is not the loader of a job is handed nothing by the port that loaders ask."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from c2d_api.asset_request import AUDIENCE, PATH, AssetRequest
from end_to_end.cluster import RUN_LABEL, Run, eventually
from end_to_end.market import TRUSTING, Answer, Market, publish_algorithm, send, shelf

SECRET = "owners-other-path"  # noqa: S105 - what nobody may be told
NOBODY = (401, "the token is not that of a loader")
NOT_ITS_LOADER = (403, "only the loader of a job may ask for its assets")


@dataclass(frozen=True)
class Door:
    """The internal port of the provider, and the environment whose loaders never start."""

    run: Run
    url: str
    environment: str
    jobs: tuple[str, str]

    def ask(self, token: str | None, job: str, attempt: int = 0) -> Answer:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        body = AssetRequest(self.run.stack.namespace, job, attempt).encode()
        return send("POST", self.url, body, headers)

    def refusal(self, token: str | None, job: str, attempt: int = 0) -> tuple[int, str]:
        answer = self.ask(token, job, attempt)
        assert SECRET.encode() not in answer.body
        return answer.status, str(answer.json["error"])

    def token(self, pod: str, account: str = "loader", audience: str = AUDIENCE) -> str:
        """Make the token that a pod would hold."""
        uid = self.run.read("pod", pod)["metadata"]["uid"]
        bound = ("--bound-object-kind=Pod", f"--bound-object-name={pod}")
        return self._made(account, audience, *bound, f"--bound-object-uid={uid}")

    def loose_token(self) -> str:
        """Make a token of the loaders' account that no pod holds."""
        return self._made("loader", AUDIENCE)

    def _made(self, account: str, audience: str, *bound: str) -> str:
        name = f"{self.environment}-{account}"
        words = ("create", "token", name, f"--audience={audience}", *bound)
        return self.run.kubectl(*words).strip()


@pytest.fixture(scope="module")
def door(run: Run, market: Market) -> Iterator[Door]:
    """Start two jobs whose pods are there, and wait for a node that nobody has."""
    run.create_environment("held", pods={"nodeSelector": {"example.org/no-such": "node"}})
    environment = run.named("held")
    place = f"{run.stack.namespace}.{environment}"
    with shelf(run, SECRET) as served:
        dataset = market.publish(f"{served.url}/numbers", service={"compute": TRUSTING})
        algorithm = publish_algorithm(market, run, f"{served.url}/code")
        sold = market.buy(dataset, algorithm, place)
        one, other = market.begin(sold, place), market.begin(sold, place)
        for name in (one, other):
            for pod in (f"{name}-loader-0", f"{name}-algorithm"):
                run.kubectl("wait", "--for=create", f"pod/{pod}", "--timeout=60s")
        service = run.read("service", "c2d-provider-internal", "--namespace=c2d-system")
        url = f"http://{service['spec']['clusterIP']}{PATH}"
        yield Door(run, url, environment, (one, other))


def test_the_loader_of_a_job_is_handed_its_assets(door: Door) -> None:
    """Every refusal below differs from this request in one thing."""
    job = door.jobs[0]
    token = door.token(f"{job}-loader-0")

    def handed() -> Answer | None:
        """Ask as loaders do: again after a 409, which orders without confirmations bring."""
        answer = door.ask(token, job)
        assert answer.status in (200, 409)
        return answer if answer.status == 200 else None

    answer: Answer = eventually(handed, "the assets", 30)
    files = [one["request"]["url"] for asset in answer.json["assets"] for one in asset["files"]]
    assert sorted(url.rpartition("/")[2] for url in files) == ["code", "numbers"]
    assert all(SECRET in url for url in files)


def forged(token: str) -> str:
    """Give a token another holder, and keep its signature."""
    head, claims, signature = token.split(".")
    body = json.loads(base64.urlsafe_b64decode(claims + "=="))
    body["kubernetes.io"]["pod"]["name"] += "0"
    text = base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=")
    return f"{head}.{text}.{signature}"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param(lambda door, job, other: None, NOBODY, id="no token"),
        pytest.param(lambda door, job, other: "a.b.c", NOBODY, id="what is no token"),
        pytest.param(
            lambda door, job, other: forged(door.token(f"{job}-loader-0")),
            NOBODY,
            id="a token that was changed",
        ),
        pytest.param(
            lambda door, job, other: door.token(f"{job}-loader-0", audience="other"),
            NOBODY,
            id="a token for another audience",
        ),
        pytest.param(
            lambda door, job, other: door.loose_token(), NOBODY, id="a token that no pod holds"
        ),
        pytest.param(
            lambda door, job, other: door.token(f"{other}-loader-0"),
            NOT_ITS_LOADER,
            id="the token of another job's loader",
        ),
        pytest.param(
            lambda door, job, other: door.token(f"{job}-algorithm", "algorithm"),
            NOT_ITS_LOADER,
            id="a token of the job's own algorithm, if it had one",
        ),
    ],
)
def test_nobody_else_is_handed_anything(
    door: Door, token: Callable[[Door, str, str], str | None], expected: tuple[int, str]
) -> None:
    assert door.refusal(token(door, *door.jobs), door.jobs[0]) == expected


def test_a_loader_is_handed_nothing_for_another_attempt(door: Door) -> None:
    job = door.jobs[0]
    assert door.refusal(door.token(f"{job}-loader-0"), job, attempt=1) == NOT_ITS_LOADER


def test_a_pod_with_the_labels_of_a_loader_is_not_one(door: Door, run: Run) -> None:
    """Whoever may create pods can give them the loaders' account and labels, but not the name."""
    job = door.jobs[0]
    loader = run.read("pod", f"{job}-loader-0")
    name = run.named("pretender")
    labels = {**loader["metadata"]["labels"], RUN_LABEL: run.mark}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": loader["spec"],
    }
    run.kubectl("create", "--filename=-", text=json.dumps(body))
    try:
        assert door.refusal(door.token(name), job) == NOT_ITS_LOADER
    finally:
        run.kubectl("delete", "pod", name, "--grace-period=0", "--force", "--timeout=60s")


def test_the_token_of_a_pod_that_is_gone_is_nobodys(run: Run, door: Door) -> None:
    """It is asked with for the first time: API servers remember a good token for ten seconds."""
    job = door.jobs[1]
    token = door.token(f"{job}-loader-0")
    run.kubectl("delete", "cjob", job, "--timeout=60s")
    run.kubectl("wait", "--for=delete", f"pod/{job}-loader-0", "--timeout=60s")
    assert door.refusal(token, job) == NOBODY
