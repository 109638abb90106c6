"""A job whose assets are the provider's, and its loader as the operator makes it."""

from dataclasses import replace
from typing import Any

import chain_facts as chain
from c2d_api.asset_request import AssetRequest
from c2d_api.computeenvironment import parse_environment
from c2d_api.computejob import ComputeJob, parse_job
from c2d_operator import admission
from c2d_operator import status as st
from c2d_operator.pods import Images, pod
from c2d_provider.loader_rules import Asking
from c2d_provider.ports import Caller
from c2d_provider.seal import seal
from fakes import START, environment_body, job_manifest

KEY = b"k" * 32
DATASET = "did:op:" + "da" * 32
ALGORITHM = "did:op:" + "a1" * 32


def order(transaction: str = chain.TRANSACTION) -> dict[str, Any]:
    return {"chainId": 8996, "transactionHash": transaction, "validUntil": "2040-01-01T00:00:00Z"}


def body(**spec: Any) -> dict[str, Any]:
    """A job of one dataset and one algorithm of the provider, as the API server serves it."""
    container = {"image": "python", "digest": "sha256:" + "5" * 64, "entrypoint": "python $ALGO"}
    provided = {"serviceId": chain.SERVICE, "source": {"provider": {}}}
    manifest = job_manifest(
        **{
            "consumer": chain.CONSUMER,
            "datasets": [{"id": DATASET, **provided, "order": order(), "userData": '{"age": 7}'}],
            "algorithm": {
                "id": ALGORITHM,
                **provided,
                "order": order(chain.REUSE),
                "container": container,
            },
            **spec,
        }
    )
    meta = {"uid": "job-uid", "resourceVersion": "7", "creationTimestamp": START.isoformat()}
    return {**manifest, "metadata": {**manifest["metadata"], **meta}}


def sealed(job: ComputeJob) -> ComputeJob:
    return replace(job, seal=seal(KEY, job.namespace, job.name, job.spec))


def admitted(job: ComputeJob) -> ComputeJob:
    """The job with what the operator records when it lets it in."""
    environment = parse_environment(
        environment_body(consumer={"address": chain.ENVIRONMENT_CONSUMER})
    )
    status = st.begin(job, START)
    for condition in (st.ADMITTED, st.VOLUMES_READY):
        status = st.record(status, condition, "True", "Done", "", START, 1)
    return replace(
        job,
        status=replace(status, environment=admission.terms(job, environment), loading_attempt=2),
    )


JOB = admitted(sealed(parse_job(body())))


def loader_of(job: ComputeJob, attempt: int = 2) -> dict[str, Any]:
    """The loader's pod, as the operator makes it."""
    assert job.status.environment
    return pod(job, job.status.environment, "loading", attempt, Images("l", "p", "http://provider"))


POD = loader_of(JOB)
CALLER = Caller("jobs", POD["spec"]["serviceAccountName"], POD["metadata"]["name"], "pod-uid")
LABELS = dict(POD["metadata"]["labels"])
GOOD = Asking(AssetRequest("jobs", "sum", 2), CALLER, LABELS, JOB, KEY)


def with_spec(**spec: Any) -> ComputeJob:
    return replace(JOB, spec=replace(JOB.spec, **spec))


def resealed(**spec: Any) -> ComputeJob:
    return sealed(with_spec(**spec))
