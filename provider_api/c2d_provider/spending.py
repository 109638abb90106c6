"""Spent fees: which provider fee has paid for which job, so that it pays for one only.

A ledger is one object in Kubernetes, written by compare-and-set before the job is created. What
it remembers goes when the fee's own time to start is over: until then it would start another job,
afterwards the rules of orders refuse it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from c2d_provider.naming import paid_job_name
from c2d_provider.orders import PaidFee
from c2d_provider.refusals import Reason, Refusal, refuse

_PARTS = 4


@dataclass(frozen=True)
class Spending:
    """What a fee paid for: a job by name, at its `attempt`; `is_freed` if it may pay once more.

    `until` is in seconds of the epoch.
    """

    job: str
    attempt: int
    until: int
    is_freed: bool = False


@dataclass(frozen=True)
class Ledger:
    """The contents of a ledger: spendings by the key of their fee."""

    spendings: Mapping[str, Spending] = field(default_factory=lambda: MappingProxyType({}))

    def encode(self) -> dict[str, str]:
        """Write the form that is stored: a text a fee."""
        return {
            key: f"{one.job} {one.attempt} {one.until} {int(one.is_freed)}"
            for key, one in self.spendings.items()
        }

    def spent(self) -> frozenset[str]:
        """Name the fees that pay for nothing more, as `orders.payment` asks."""
        return frozenset(key for key, one in self.spendings.items() if not one.is_freed)


def decode(data: Mapping[str, str]) -> Ledger:
    """Read what `Ledger.encode` wrote.

    Raises:
        Refused: It is something else. To start anew would let fees be spent twice.
    """
    return Ledger(MappingProxyType({key: _spending(text) for key, text in data.items()}))


def spend(ledger: Ledger, chain_id: int, fee: PaidFee, now: int) -> tuple[Ledger, str] | Refusal:
    """Let a fee pay for a job; returns the ledger to be written and the job's name.

    `now` is in seconds. Spendings whose time is over go on the way.
    """
    before = ledger.spendings.get(fee.key)
    if before is not None and not before.is_freed:
        return Refusal(Reason.FEE_SPENT, "the provider fee has paid for another job")
    attempt = before.attempt + 1 if before else 0
    job = paid_job_name(chain_id, fee.key, attempt)
    kept = {key: one for key, one in ledger.spendings.items() if one.until >= now}
    kept[fee.key] = Spending(job, attempt, fee.start_by)
    return Ledger(MappingProxyType(kept)), job


def free(ledger: Ledger, job: str) -> Ledger:
    """Let the fee of a job pay for one more attempt, if it has not done so yet.

    Whether the job failed without its consumer's fault is for the caller to know. Freeing twice
    is freeing once: the next attempt has another name.
    """
    freed = {
        key: replace(one, is_freed=True) if one.job == job else one
        for key, one in ledger.spendings.items()
    }
    return Ledger(MappingProxyType(freed))


def _spending(text: str) -> Spending:
    parts = text.split(" ")
    if len(parts) != _PARTS or not all(part.isascii() and part.isdigit() for part in parts[1:]):
        refuse(Reason.MALFORMED, "the ledger of fees has an entry that is none")
    return Spending(parts[0], int(parts[1]), int(parts[2]), parts[3] == "1")
