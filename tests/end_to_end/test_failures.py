"""What cannot work ends as Failed with its reason, says nothing secret, and leaves nothing."""

import json

import pytest

from end_to_end.cluster import Run, dataset, inline, url
from results import Results, open_store

UNTOLD = "words-that-must-not-be-told"
LOADING = {
    "missing": "the server answered 404",
    "altered": "does not have the sha256 that the job names",
    "oversized": "longer than its limit of 10 bytes",
    "metadata": "the server's address is private or reserved",
    "loopback": "the server's address is private or reserved",
    "api-server": "the server's address is private or reserved",
}


@pytest.fixture(scope="module", autouse=True)
def jobs(run: Run) -> None:
    files = run.value("FILES_URL").rstrip("/")
    service = run.read("service", "kubernetes", "--namespace=default")["spec"]["clusterIP"]
    host = f"[{service}]" if ":" in service else service
    carriers = f"{run.value('DATA_URL').rpartition('/')[0]}/airlines.csv?{UNTOLD}"
    sources = {
        "missing": url(f"{files}/no-such-file?{UNTOLD}"),
        "altered": url(carriers, sha256="0" * 64),
        "oversized": url(carriers, maxBytes=10),
        "metadata": url(f"http://169.254.169.254/latest/meta-data/{UNTOLD}"),
        "loopback": url(f"http://127.0.0.1:8080/{UNTOLD}"),
        "api_server": url(f"https://{host}/api?{UNTOLD}"),
    }
    run.create_environment("hasty", deadlines={"starting": 15, "loading": 25})
    hasty = {"environment": run.named("hasty")}
    nowhere = {"image": f"{run.value('REGISTRY')}/no-such-image", "tag": "1", "entrypoint": "true"}
    run.start(
        **{name: run.job("true", dataset("data", file)) for name, file in sources.items()},
        no_algorithm=run.job(
            "true",
            algorithm={
                "id": "algorithm",
                "source": {"files": [url(f"{files}/no-such-algorithm?{UNTOLD}")]},
            },
        ),
        no_image=run.job("true", algorithm={"container": nowhere}, spec=hasty),
        too_long=run.job("echo begun; sleep 600", spec={"maxDuration": 3}),
        greedy=run.job("head -c 200m /dev/zero | tail", spec={"resources": {"memory": "32Mi"}}),
        no_place=run.job("true", spec={"resources": {"cpu": "1000"}}),
    )


@pytest.mark.parametrize("name", LOADING)
def test_a_dataset_that_cannot_be_loaded_fails_the_job(run: Run, name: str) -> None:
    ended = run.finished(name)
    assert ended.outcome == ("Failed", "DataProvisioningFailed")
    assert ended.message.startswith("dataset data file 0: ")
    assert LOADING[name] in ended.message
    assert ended.status["ocean"] == {"status": 31, "statusText": "Data provisioning failed"}
    assert ended.conditions["AlgorithmCompleted"]["reason"] == "NotReached"
    assert "startTime" not in ended.status.get("algorithm", {})


def test_an_algorithm_that_cannot_be_loaded_fails_the_job(run: Run) -> None:
    ended = run.finished("no-algorithm")
    assert ended.outcome == ("Failed", "AlgorithmProvisioningFailed")
    assert ended.message == "algorithm file 0: the server answered 404"
    assert ended.status["ocean"]["status"] == 32


def test_no_url_is_told_in_status_events_and_logs(run: Run) -> None:
    for name in ("missing", "altered", "metadata", "no-algorithm"):
        ended = run.finished(name)
        assert UNTOLD in json.dumps(ended.body["spec"])
        assert UNTOLD not in json.dumps(ended.status)
        assert UNTOLD not in json.dumps(run.events(name))
        store = open_store(ended.status["environment"]["results"], run.stack.values)
        logs = dict(Results(store, ended.uid).admin_logs())
        assert ended.message in logs["loading.log"]
        assert UNTOLD not in json.dumps(logs)


def test_an_image_that_cannot_be_pulled_fails_the_job_after_its_grace(run: Run) -> None:
    ended = run.finished("no-image")
    assert ended.outcome == ("Failed", "ImagePullFailed")
    assert "no-such-image:1 cannot be pulled" in ended.message
    assert ended.status["ocean"] == {"status": 11, "statusText": "Pulling algorithm image failed"}


def test_an_algorithm_that_runs_too_long_is_ended(run: Run) -> None:
    ended = run.finished("too-long")
    assert ended.outcome == ("Failed", "DeadlineExceeded")
    assert ended.lines("algorithm.log")[0] == "begun"


def test_an_algorithm_that_takes_too_much_memory_is_told_so(run: Run) -> None:
    ended = run.finished("greedy")
    assert ended.outcome == ("Failed", "OutOfMemory"), ended.message
    assert "32Mi" in ended.message
    assert ended.status["terminationDetails"]["oomKilled"]


def test_a_job_that_asks_for_too_much_is_refused_at_once(run: Run) -> None:
    ended = run.finished("no-place")
    assert ended.outcome == ("Failed", "ResourcesExceedEnvironment")
    assert "results" not in ended.status


def test_the_api_server_says_what_is_wrong_with_a_job(run: Run) -> None:
    job = run.job("true", dataset("../up", inline("1")))
    with pytest.raises(AssertionError, match=r"spec.datasets\[0\].id"):
        run.start(misnamed=job)
