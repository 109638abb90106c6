"""The Kubernetes side of the provider: `ports.Cluster` over a real API server.

Jobs and environments come from views, and a miss is a live read. Everything that must hold
whichever replica is asked (nonces, spent fees, bound seals) is in shards.
"""

import asyncio
import base64
import binascii
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from c2d_api.asset_request import AUDIENCE
from c2d_api.computeenvironment import Environment, parse_environment
from c2d_api.computejob import SEAL_ANNOTATION, ComputeJob, Spec, parse_job
from c2d_provider import bindings, nonces, orders, spending, tokens
from c2d_provider.api_server import (
    AlreadyExistsError,
    ApiError,
    ApiServer,
    ConflictError,
    DeniedError,
    NotFoundError,
)
from c2d_provider.bindings import Binding
from c2d_provider.naming import EnvironmentName
from c2d_provider.ports import Caller, Json, UnavailableError
from c2d_provider.refusals import Reason, Refusal, Refused, refuse
from c2d_provider.shards import Data, Shards
from c2d_provider.views import View

_LOGGER = logging.getLogger(__name__)

NONCES, FEES, BINDINGS, TOKENS = "nonces", "fees", "bindings", "tokens"
FEE_SHARDS = 16
WITHOUT_ORDER_SECONDS = 30 * 24 * 3600
"""How long the seal of a job stays bound that has no order; it is given no asset anyway."""

_ACCOUNT = "system:serviceaccount:"
_PARTS = 2
_MILLISECONDS = 1000
_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"
_MAX_TOKEN = 16 * 1024


def _now() -> int:
    return int(time.time())


class KubernetesCluster:
    """Keeps `ports.Cluster`; `open_cluster` makes one whose views are followed."""

    def __init__(
        self,
        api: ApiServer,
        namespaces: tuple[str, ...],
        records: str,
        is_ours: Callable[[ComputeJob], bool],
        clock: Callable[[], int] = _now,
    ) -> None:
        """Take the namespaces of jobs, that of the records, and who knows our seal.

        `clock` tells the time in seconds of the epoch.
        """
        self._api = api
        self._jobs = {name: View("ComputeJob", name, parse_job, _consumer) for name in namespaces}
        self._environments = {
            name: View("ComputeEnvironment", name, parse_environment) for name in namespaces
        }
        self._shards = Shards(api, records)
        self._is_ours = is_ours
        self._clock = clock

    async def follow(self) -> None:
        """Keep the views up to date until cancelled."""
        async with asyncio.TaskGroup() as group:
            for view in self._views():
                group.create_task(view.follow(self._api))

    def is_ready(self) -> bool:
        """Say whether everything has been listed once."""
        return all(view.is_listed for view in self._views())

    def _views(self) -> list[View[ComputeJob] | View[Environment]]:
        return [*self._jobs.values(), *self._environments.values()]

    # Environments and jobs

    def environments(self) -> tuple[Environment, ...]:
        """List the environments that the views show."""
        found = (one for view in self._environments.values() for one in view)
        return tuple(sorted(found, key=lambda environment: environment.key))

    async def environment(self, name: EnvironmentName) -> Environment | None:
        """Find an environment."""
        view = self._environments.get(name.namespace)
        if view is None:
            return None
        found = view.find(name.name)
        if found is not None:
            return found
        body = await self._read("ComputeEnvironment", name.namespace, name.name)
        return view.put(body) if body else None

    async def job(self, name: str) -> ComputeJob | None:
        """Find a job of any namespace by its name; of two of one name, ours outranks."""
        found = [job for view in self._jobs.values() if (job := view.find(name))]
        if not found:
            found = [
                view.put(body)
                for namespace, view in self._jobs.items()
                if (body := await self._read("ComputeJob", namespace, name))
            ]
        return next(filter(self._is_ours, found), found[0] if found else None)

    def jobs(self) -> tuple[ComputeJob, ...]:
        """List the jobs that the views show."""
        return tuple(job for view in self._jobs.values() for job in view)

    def jobs_of(self, consumer: str) -> tuple[ComputeJob, ...]:
        """List a consumer's jobs, oldest first."""
        found = (job for view in self._jobs.values() for job in view.of(consumer.lower()))
        return tuple(sorted(found, key=lambda job: (job.created, job.name)))

    async def create_job(self, manifest: Json) -> ComputeJob:
        """Create a job; one that is there already under its name, of the same seal, is returned.

        Its seal is bound to it before anybody hears of it.

        Raises:
            Refused: The API server will not have it, in its words; or another job has the name.
        """
        meta = manifest["metadata"]
        view = self._jobs.get(meta["namespace"])
        if view is None:
            refuse(Reason.JOB_REFUSED, f"no jobs are made in namespace {meta['namespace']}")
        try:
            job = view.put(await self._api.create("ComputeJob", view.namespace, manifest))
        except AlreadyExistsError:
            job = await self._take_up(view, manifest)
        except (DeniedError, ConflictError, NotFoundError) as error:
            refuse(Reason.JOB_REFUSED, str(error))
        if job.seal is not None and not await self.bind_seal(job):
            refuse(Reason.JOB_REFUSED, f"the job {job.name} was created before")
        return job

    async def _take_up(self, view: View[ComputeJob], manifest: Json) -> ComputeJob:
        """Find out whether the job under a name is the one that was to be created."""
        name = manifest["metadata"]["name"]
        body = await self._read("ComputeJob", view.namespace, name)
        if body is None:
            raise UnavailableError(f"the job {name} is just being deleted")
        job = view.put(body)
        wanted = (manifest["metadata"].get("annotations") or {}).get(SEAL_ANNOTATION)
        if job.seal is None or job.seal != wanted or job.deleting or not self._is_ours(job):
            refuse(Reason.JOB_REFUSED, f"another job has the name {name}")
        return job

    async def stop_job(self, job: ComputeJob, reason: str) -> None:
        """Set `spec.stop`; a job that was stopped, or is gone, stays as it is.

        Raises:
            Refused: The API server will not have it.
        """
        operation = {"op": "add", "path": "/spec/stop", "value": {"reason": reason}}
        await self._amend(job, operation, lambda spec: spec.stop is not None)

    async def resume_job(self, job: ComputeJob) -> None:
        """Take `spec.suspend` back; a job that is gone stays as it is.

        Raises:
            Refused: The API server will not have it.
        """
        operation = {"op": "replace", "path": "/spec/suspend", "value": False}
        await self._amend(job, operation, lambda spec: not spec.suspend)

    async def delete_job(self, job: ComputeJob) -> None:
        """Delete the job of this uid; one that is gone is deleted.

        Raises:
            Refused: The API server will not have it.
        """
        try:
            await self._api.delete("ComputeJob", job.namespace, job.name, job.uid)
        except (NotFoundError, ConflictError):
            return
        except DeniedError as error:
            refuse(Reason.JOB_REFUSED, str(error))

    async def _amend(
        self, job: ComputeJob, operation: dict[str, Any], is_done: Callable[[Spec], bool]
    ) -> None:
        """Change the spec of the job of this uid, unless that was done."""
        view = self._jobs[job.namespace]
        body = await self._read("ComputeJob", job.namespace, job.name)
        if body is None or body["metadata"]["uid"] != job.uid:
            return
        if is_done(view.put(body).spec):
            return
        try:
            view.put(
                await self._api.patch("ComputeJob", job.namespace, job.name, job.uid, operation)
            )
        except NotFoundError:
            return
        except (ConflictError, DeniedError) as error:
            again = await self._read("ComputeJob", job.namespace, job.name)
            if again is None or again["metadata"]["uid"] != job.uid:
                return
            if not is_done(parse_job(again).spec):
                refuse(Reason.JOB_REFUSED, str(error))

    async def bind_seal(self, job: ComputeJob) -> bool:
        """Record by compare-and-set that the seal is this uid's; False if it is another one's."""
        found = (job.spec.algorithm.order, *(dataset.order for dataset in job.spec.datasets))
        ends = [order.valid_until for order in found if order]
        otherwise = int(job.created.timestamp()) + WITHOUT_ORDER_SECONDS
        new = Binding(job.uid, min(ends, default=otherwise))

        def decide(data: Data) -> tuple[Data | None, bool]:
            before = bindings.decode(data)
            after = bindings.bind(before, job.name, new, self._clock())
            if after is None or after is before:
                return None, after is not None
            return after.encode(), True

        return await self._shards.change(BINDINGS, bindings.shard_of(job.name), decide)

    # Nonces and fees

    async def use_nonce(
        self, address: str, nonce: nonces.Nonce, used: nonces.Use
    ) -> Refusal | None:
        """Advance a nonce by compare-and-set; refused where it was used."""

        def decide(data: Data) -> tuple[Data | None, Refusal | None]:
            before = nonces.decode(data)
            after = nonces.advance(before, address, nonce, used, self._clock())
            if isinstance(after, Refusal):
                return None, after
            return None if after is before else after.encode(), None

        return await self._shards.change(NONCES, nonces.shard_of(address), decide)

    async def issue_nonce(self, address: str) -> str:
        """Take a nonce by compare-and-set for a request that we sign for an address.

        Raises:
            Refused: There is no room for it.
        """

        def decide(data: Data) -> tuple[Data | None, str | Refusal]:
            found = nonces.issue(nonces.decode(data), address, self._clock() * _MILLISECONDS)
            if isinstance(found, Refusal):
                return None, found
            after, nonce = found
            return after.encode(), nonce.text

        issued = await self._shards.change(NONCES, nonces.shard_of(address), decide)
        if isinstance(issued, Refusal):
            raise Refused(issued)
        return issued

    async def current_nonce(self, address: str) -> str:
        """Tell the last nonce of an address as `nonces.current` does."""
        data = await self._shards.read(NONCES, nonces.shard_of(address))
        return nonces.current(nonces.decode(data), address)

    async def spent_fees(self) -> frozenset[str]:
        """Name the fees that have paid, as `orders.payment` asks."""
        return (await self.ledger()).spent()

    async def spend_fee(self, chain_id: int, fee: orders.PaidFee) -> str | Refusal:
        """Let a fee pay for one job by compare-and-set; returns the job's name (`spending`).

        A write whose answer was lost is looked for once: the consumer has paid.
        """
        written: dict[str, spending.Spending] = {}

        def decide(data: Data) -> tuple[Data | None, str | Refusal]:
            spent = spending.spend(spending.decode(data), chain_id, fee, self._clock())
            if isinstance(spent, Refusal):
                return None, spent
            after, job = spent
            written[fee.key] = after.spendings[fee.key]
            return after.encode(), job

        shard = _fee_shard(fee.key)
        try:
            return await self._shards.change(FEES, shard, decide)
        except UnavailableError:
            found = spending.decode(await self._shards.read(FEES, shard)).spendings.get(fee.key)
            if found is None or found != written.get(fee.key):
                raise
            return found.job

    async def free_fee(self, job: str) -> None:
        """Let the fee of a job pay for one more attempt (`spending.free`)."""
        ledger = await self.ledger()
        for key in [key for key, one in ledger.spendings.items() if one.job == job]:

            def decide(data: Data) -> tuple[Data | None, None]:
                before = spending.decode(data)
                after = spending.free(before, job)
                return (None if after == before else after.encode()), None

            await self._shards.change(FEES, _fee_shard(key), decide)

    async def ledger(self) -> spending.Ledger:
        """Read the ledger of fees."""
        shards = await self._shards.read_all(FEES)
        return spending.decode({key: text for data in shards for key, text in data.items()})

    async def end_token(self, token: tokens.Token) -> None:
        """Remember by compare-and-set that a token is ended, until it would have expired."""

        def decide(data: Data) -> tuple[Data | None, None]:
            if token.id in data:
                return None, None
            return tokens.end(data, token, self._clock()), None

        await self._shards.change(TOKENS, tokens.shard_of(token), decide)

    async def is_token_ended(self, token: tokens.Token) -> bool:
        """Say whether a token was ended before its time."""
        return token.id in await self._shards.read(TOKENS, tokens.shard_of(token))

    # Pods and Secrets

    async def caller(self, token: str) -> Caller | None:
        """Ask the API server whose token this is, for our audience; None for nobody's.

        Tokens that are not bound to a pod are nobody's, too.
        """
        if not token or len(token) > _MAX_TOKEN or not token.isascii():
            return None
        try:
            status = await self._api.review_token(token, AUDIENCE)
        except ApiError as error:
            _LOGGER.error("the provider cannot have tokens reviewed: %s", error)
            raise UnavailableError("tokens cannot be checked") from None
        if not status.get("authenticated") or AUDIENCE not in status.get("audiences", ()):
            return None
        return _caller(status.get("user") or {})

    async def pod_labels(self, caller: Caller) -> Mapping[str, str] | None:
        """Read the labels of a caller's pod, if a pod of that name has that uid and no deletion."""
        if caller.namespace not in self._jobs:
            return None
        body = await self._read("Pod", caller.namespace, caller.pod_name)
        meta = body["metadata"] if body else {}
        if meta.get("uid") != caller.pod_uid or "deletionTimestamp" in meta:
            return None
        return dict(meta.get("labels") or {})

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """Read a Secret that the provider may read: an environment's key or its store's."""
        body = await self._read("Secret", namespace, name)
        if body is None:
            return None
        try:
            data = body.get("data") or {}
            return {key: base64.b64decode(text, validate=True) for key, text in data.items()}
        except binascii.Error:
            return None

    async def _read(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        try:
            return await self._api.read(kind, namespace, name)
        except ApiError as error:
            _LOGGER.error("the provider cannot read %s %s/%s: %s", kind, namespace, name, error)
            raise UnavailableError("the provider may not read what it needs") from None


def _consumer(job: ComputeJob) -> str:
    return (job.spec.consumer or "").lower()


def _fee_shard(key: str) -> int:
    return hashlib.sha256(key.encode()).digest()[0] % FEE_SHARDS


def _caller(user: Mapping[str, Any]) -> Caller | None:
    parts = str(user.get("username", "")).removeprefix(_ACCOUNT).split(":")
    extra = user.get("extra") or {}
    names, uids = extra.get(_POD_NAME) or [], extra.get(_POD_UID) or []
    is_account = str(user.get("username", "")).startswith(_ACCOUNT) and len(parts) == _PARTS
    if not is_account or len(names) != 1 or len(uids) != 1:
        return None
    return Caller(parts[0], parts[1], names[0], uids[0])


@asynccontextmanager
async def open_cluster(
    api: ApiServer,
    namespaces: tuple[str, ...],
    records: str,
    is_ours: Callable[[ComputeJob], bool],
) -> AsyncIterator[KubernetesCluster]:
    """Make a cluster whose views are followed until the end of the block."""
    cluster = KubernetesCluster(api, namespaces, records, is_ours)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(cluster.follow())
        try:
            yield cluster
        finally:
            following.cancel()
