"""Orders: whether a transaction bought a service, for whom, and what it pays for.

Pure. The chain is read elsewhere; here are the facts, and the rules that judge them. A rule is an
entry of a table, so that each one has a name, a reason, and a test on both sides.

    transaction named by the request
      |-- OrderStarted of the datatoken                      a purchase
      |-- OrderReused of the datatoken --> its transaction
      |                                      '-- OrderStarted of the datatoken   a purchase
      '-- ProviderFee of the datatoken                       the fee of that purchase

The rules for a purchase each leave some of the purchases found; the reason of the refusal is that
of the rule that left none. The same for fees, of which a batch order has several.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from c2d_provider import addresses, events, fees
from c2d_provider.events import OrderReused, OrderStarted, ProviderFee, RawLog
from c2d_provider.refusals import Reason, Refusal

Subject = TypeVar("Subject")

WHOLE_DATATOKEN = 10**18
MINING_GRACE = 90
"""Seconds that a fee may be mined after its end, and a start come later: blocks take a while."""

MAX_REUSES = 8
"""How many reused orders of one transaction are followed; more is nothing a client makes."""


@dataclass(frozen=True)
class Receipt:
    """A mined transaction. Addresses and hashes in hexadecimal, times in seconds of the epoch."""

    transaction: str
    succeeded: bool
    block_number: int
    block_hash: str
    block_time: int
    sender: str
    to: str | None
    logs: tuple[RawLog, ...]


@dataclass(frozen=True)
class Asked:
    """What a request says that its transaction bought.

    Everything but `consumer`, the signer of the request, comes from the asset's DDO, whose hash
    is on chain, or from our settings. `environments` has every wire id of the environment,
    `environment_consumer` the address that orders for it name, `fee_addresses` those of the
    provider that offers the service. `prices` are those of the environment on this chain, none
    where it is free. `timeout` is in seconds, 0 is for ever. The fee of a service that
    `is_remote` is its own provider's matter: it is not judged, and pays for nothing here.
    """

    transaction: str
    consumer: str
    nft: str
    datatoken: str
    service_id: str
    service_index: int
    timeout: int
    environments: frozenset[str]
    environment_consumer: str
    fee_addresses: frozenset[str]
    prices: tuple[fees.Price, ...] = ()
    is_remote: bool = False


@dataclass(frozen=True)
class Facts:
    """What the chain says.

    `originals` has the receipts of `reused_orders(receipt, datatoken)`, as far as they exist.
    `head` is the number of the newest block, `now` the time in seconds of the epoch. `is_oceans`
    says that Ocean's factory knows the NFT, `is_datatoken_of_nft` that the NFT knows the
    datatoken (`isDeployed`) and the datatoken names that NFT (`getERC721Address`).
    """

    receipt: Receipt | None
    originals: Mapping[str, Receipt]
    head: int
    now: int
    factory: str
    is_oceans: bool
    is_datatoken_of_nft: bool


@dataclass(frozen=True)
class Policy:
    """What the operator of the provider demands.

    With `wait_for_confirmations` an order is accepted before it has them, for a job that is
    created suspended: see `Order.is_confirmed`.
    """

    confirmations: int = 1
    wait_for_confirmations: bool = True


@dataclass(frozen=True)
class PaidFee:
    """A fee that was really taken, for one job.

    `key` names it for ever: `<transaction>-<position>`. `amount` is in the smallest unit of
    `token`, `seconds` is the time paid for, `start_by` the last moment to start, in seconds of
    the epoch.
    """

    key: str
    token: str
    amount: int
    seconds: int
    start_by: int


@dataclass(frozen=True)
class Order:
    """An accepted order.

    `transaction` is the one named by the request, `started_in` the one that bought the service;
    they differ where the order was reused. `expires` is when the service ends, None for never.
    `fees` are those that were paid, best first; a batch may have several for one service.
    """

    transaction: str
    started_in: str
    blocks: tuple[tuple[int, str], ...]
    expires: int | None
    fees: tuple[PaidFee, ...]

    def is_confirmed(self, head: int, confirmations: int) -> bool:
        """Say whether enough blocks, their own included, follow the order's transactions."""
        return all(head - number + 1 >= confirmations for number, _ in self.blocks)


@dataclass(frozen=True)
class Purchase:
    """An OrderStarted with its receipt, and the transaction that was reused, if one was."""

    event: OrderStarted
    receipt: Receipt
    reused: str | None


@dataclass(frozen=True)
class Case:
    """All that a rule sees."""

    asked: Asked
    facts: Facts
    receipt: Receipt
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True)
class FeeRead:
    """A ProviderFee with what its data says, if that can be read, and who signed it."""

    event: ProviderFee
    offer: fees.Offer | None
    signer: str | None


@dataclass(frozen=True)
class Rule(Generic[Subject]):
    """A rule: whether it holds for a subject, and what is said when it does not."""

    name: str
    reason: Reason
    message: str
    holds: Callable[[Case, Subject], bool]


def _is_known(case: Case, _: None) -> bool:
    reused = reused_orders(case.receipt, case.asked.datatoken)
    return not reused or any(order in case.facts.originals for order in reused) or _direct(case)


def _is_confirmed(case: Case, purchase: Purchase) -> bool:
    if case.policy.wait_for_confirmations:
        return True
    numbers = (case.receipt.block_number, purchase.receipt.block_number)
    return all(case.facts.head - n + 1 >= case.policy.confirmations for n in numbers)


def _is_for_requester(case: Case, purchase: Purchase) -> bool:
    """Bind a purchase to who asks: it is for them, or they paid for the environment's use of it.

    In a batch the factory pays, and only who sent the transaction to the factory is the buyer.
    Another provider gives files to the consumer of the order alone: there it must be the
    environment's, for whom we sign.
    """
    asked, event, receipt = case.asked, purchase.event, purchase.receipt
    is_signers = addresses.are_equal(event.consumer, asked.environment_consumer)
    if asked.is_remote and not is_signers:
        return False
    if addresses.are_equal(event.consumer, asked.consumer):
        return True
    if not is_signers:
        return False
    if addresses.are_equal(event.payer, asked.consumer):
        return True
    return (
        addresses.are_equal(event.payer, case.facts.factory)
        and addresses.are_equal(receipt.to or "", case.facts.factory)
        and addresses.are_equal(receipt.sender, asked.consumer)
    )


def _has_time_left(case: Case, purchase: Purchase) -> bool:
    """Count a service's time from its purchase: reusing costs nothing and buys no new time."""
    expires = _expires(case.asked, purchase)
    return expires is None or case.facts.now <= expires


def _is_signed_by_us(case: Case, fee: FeeRead) -> bool:
    return fee.signer is not None and any(
        addresses.are_equal(fee.signer, address) for address in case.asked.fee_addresses
    )


def _is_for_service(case: Case, fee: FeeRead) -> bool:
    return (
        fee.offer is not None
        and addresses.are_equal(fee.offer.datatoken, case.asked.datatoken)
        and fee.offer.service_id == case.asked.service_id
    )


def _is_for_environment(case: Case, fee: FeeRead) -> bool:
    """Tie money to its environment; an offer of nothing is good for any that takes nothing."""
    offered = fee.offer.environment if fee.offer else None
    return not _pays(fee) or offered in case.asked.environments


def _is_enough(case: Case, fee: FeeRead) -> bool:
    """Compare with today's price: a fee says nothing of the chain that it was offered for."""
    if not _pays(fee) or not case.asked.prices:
        return True
    return any(
        addresses.are_equal(fee.event.token, price.token)
        and fee.event.amount >= fees.by_second(_seconds(fee), price)
        for price in case.asked.prices
    )


def _was_mined_in_time(case: Case, fee: FeeRead) -> bool:
    limit = fee.event.valid_until + MINING_GRACE
    return not _pays(fee) or case.receipt.block_time <= limit


def _is_started_in_time(case: Case, fee: FeeRead) -> bool:
    return not _pays(fee) or case.facts.now <= _start_by(case, fee)


_Whole = Rule[None]
_Bought = Rule[Purchase]
_Charged = Rule[FeeRead]

ORDER_RULES: Final[tuple[_Whole, ...]] = (
    _Whole(
        "the receipt is of the transaction",
        Reason.ORDER_UNKNOWN,
        "the order transaction does not exist",
        lambda case, _: case.receipt.transaction == case.asked.transaction,
    ),
    _Whole(
        "the NFT is from Ocean's factory",
        Reason.ASSET_NOT_FROM_OCEAN,
        "the asset's NFT was not made by Ocean's factory",
        lambda case, _: case.facts.is_oceans,
    ),
    _Whole(
        "the datatoken is of the NFT",
        Reason.ASSET_NOT_FROM_OCEAN,
        "the service's datatoken does not belong to the asset's NFT",
        lambda case, _: case.facts.is_datatoken_of_nft,
    ),
    _Whole(
        "the transaction succeeded",
        Reason.ORDER_FAILED,
        "order transaction failed.",
        lambda case, _: case.receipt.succeeded,
    ),
    _Whole(
        "a reused order exists",
        Reason.ORDER_UNKNOWN,
        "the transaction reuses an order that does not exist",
        _is_known,
    ),
)
PURCHASE_RULES: Final[tuple[_Bought, ...]] = (
    _Bought(
        "the purchase succeeded",
        Reason.ORDER_FAILED,
        "order transaction failed.",
        lambda _, purchase: purchase.receipt.succeeded,
    ),
    _Bought(
        "the purchase is of the service",
        Reason.ORDER_OF_OTHER_SERVICE,
        "the transaction orders another service of the datatoken",
        lambda case, purchase: purchase.event.service_index == case.asked.service_index,
    ),
    _Bought(
        "the purchase is the requester's",
        Reason.ORDER_OF_OTHER_CONSUMER,
        "sender of order transaction is not the consumer/payer.",
        _is_for_requester,
    ),
    _Bought(
        "the purchase is of a whole datatoken",
        Reason.ORDER_TOO_SMALL,
        "the transaction pays less than one datatoken",
        lambda _, purchase: purchase.event.amount >= WHOLE_DATATOKEN,
    ),
    _Bought(
        "the service has time left",
        Reason.ORDER_EXPIRED,
        "The order has expired.",
        _has_time_left,
    ),
    _Bought(
        "the purchase is confirmed",
        Reason.ORDER_UNCONFIRMED,
        "the order transaction has too few confirmations",
        _is_confirmed,
    ),
)
FEE_RULES: Final[tuple[_Charged, ...]] = (
    _Charged(
        "the fee is for the service",
        Reason.FEE_OF_OTHER_SERVICE,
        "the provider fee of the order is for another service",
        _is_for_service,
    ),
    _Charged(
        "the fee names one of our addresses",
        Reason.FEE_NOT_OURS,
        "the provider fee of the order goes to another provider",
        lambda case, fee: any(
            addresses.are_equal(fee.event.address, address) for address in case.asked.fee_addresses
        ),
    ),
    _Charged(
        "the fee is signed by us",
        Reason.FEE_NOT_OURS,
        "the provider fee of the order is not signed by this provider",
        _is_signed_by_us,
    ),
    _Charged(
        "the fee is for the environment",
        Reason.FEE_OF_OTHER_ENVIRONMENT,
        "Mismatch between ordered c2d environment and selected one.",
        _is_for_environment,
    ),
    _Charged(
        "a paid fee has an end",
        Reason.FEE_WITHOUT_END,
        "the provider fee of the order pays for no time",
        lambda _, fee: not _pays(fee) or _seconds(fee) > 0,
    ),
    _Charged(
        "a paid fee is enough",
        Reason.FEE_TOO_SMALL,
        "the provider fee of the order is less than the environment costs",
        _is_enough,
    ),
    _Charged(
        "the fee was mined in time",
        Reason.FEE_EXPIRED,
        "the provider fee had expired when the order was made",
        _was_mined_in_time,
    ),
    _Charged(
        "the start is in time",
        Reason.FEE_EXPIRED,
        "Ordered c2d time was exceeded, check validUntil.",
        _is_started_in_time,
    ),
)


def reused_orders(receipt: Receipt, datatoken: str) -> tuple[str, ...]:
    """List the transactions whose orders this one reuses, to be read into `Facts.originals`.

    A reuse of the transaction itself is left out: it would vouch for itself.
    """
    found = [
        event.order_transaction
        for event in events.emitted_by(receipt.logs, datatoken)
        if isinstance(event, OrderReused) and event.order_transaction != receipt.transaction
    ]
    return tuple(dict.fromkeys(found))[:MAX_REUSES]


def judge(asked: Asked, facts: Facts, policy: Policy) -> Order | Refusal:
    """Say whether a transaction is the order that a request claims it to be."""
    found = _bought(asked, facts, policy)
    if isinstance(found, Refusal):
        return found
    case, purchase = found
    if asked.is_remote:
        return _order(case, purchase, ())
    no_fee = Refusal(Reason.FEE_MISSING, "Cannot find the event for the provider fee")
    charged = _sift(case, FEE_RULES, _fees(case), no_fee)
    if isinstance(charged, Refusal):
        return charged
    return _order(case, purchase, charged)


def reusable(asked: Asked, facts: Facts, policy: Policy) -> str | Refusal:
    """Name the transaction that bought the service, whatever became of the fee paid with it.

    It is what a new fee can be paid for by `reuseOrder`.
    """
    found = _bought(asked, facts, policy)
    return found if isinstance(found, Refusal) else found[1].receipt.transaction


def _bought(asked: Asked, facts: Facts, policy: Policy) -> tuple[Case, Purchase] | Refusal:
    if facts.receipt is None:
        return Refusal(Reason.ORDER_UNKNOWN, "the order transaction does not exist")
    case = Case(asked, facts, facts.receipt, policy)
    for rule in ORDER_RULES:
        if not rule.holds(case, None):
            return Refusal(rule.reason, rule.message)
    nothing_bought = Refusal(
        Reason.ORDER_OF_OTHER_DATATOKEN,
        "Cannot find the event for the order transaction of this datatoken",
    )
    bought = _sift(case, PURCHASE_RULES, _purchases(case), nothing_bought)
    if isinstance(bought, Refusal):
        return bought
    return case, max(bought, key=lambda one: _lasting(asked, one))


def payment(orders: Iterable[Order], spent: Container[str] = ()) -> PaidFee | Refusal:
    """Choose the fee that pays for a job in an environment that takes one.

    A fee pays for one job; `spent` has the keys of those that did. Of several left, the one that
    lets the job run longest is chosen.
    """
    paid = [fee for order in orders for fee in order.fees]
    unspent = [fee for fee in paid if fee.key not in spent]
    if unspent:
        return max(unspent, key=_best)
    if paid:
        return Refusal(Reason.FEE_SPENT, "the provider fee has paid for another job")
    return Refusal(Reason.FEES_NOT_PAID, "no order pays the fee of the environment")


def valid_until(orders: Iterable[Order], fee: PaidFee | None) -> int | None:
    """Tell the last moment at which a job with these orders may start; None for no end."""
    ends = [*(order.expires for order in orders), fee.start_by if fee else None]
    return min((end for end in ends if end is not None), default=None)


def _sift(
    case: Case,
    rules: tuple[Rule[Subject], ...],
    subjects: tuple[Subject, ...],
    nothing: Refusal,
) -> tuple[Subject, ...] | Refusal:
    """Keep what every rule holds for, or name the first rule that leaves nothing."""
    if not subjects:
        return nothing
    for rule in rules:
        subjects = tuple(subject for subject in subjects if rule.holds(case, subject))
        if not subjects:
            return Refusal(rule.reason, rule.message)
    return subjects


def _purchases(case: Case) -> tuple[Purchase, ...]:
    datatoken = case.asked.datatoken
    found = [
        Purchase(event, case.receipt, None)
        for event in events.emitted_by(case.receipt.logs, datatoken)
        if isinstance(event, OrderStarted)
    ]
    for transaction in reused_orders(case.receipt, datatoken):
        original = case.facts.originals.get(transaction)
        if original is None or original.transaction != transaction:
            continue
        found += [
            Purchase(event, original, transaction)
            for event in events.emitted_by(original.logs, datatoken)
            if isinstance(event, OrderStarted)
        ]
    return tuple(found)


def _fees(case: Case) -> tuple[FeeRead, ...]:
    return tuple(
        FeeRead(event, fees.read_offer(event.data), fees.signer(_signed(event)))
        for event in events.emitted_by(case.receipt.logs, case.asked.datatoken)
        if isinstance(event, ProviderFee)
    )


def _signed(event: ProviderFee) -> fees.SignedFee:
    fee = fees.Fee(event.address, event.token, event.amount, event.data, event.valid_until)
    return fees.SignedFee(fee, event.v, event.r, event.s)


def _direct(case: Case) -> bool:
    return any(
        isinstance(event, OrderStarted)
        for event in events.emitted_by(case.receipt.logs, case.asked.datatoken)
    )


def _expires(asked: Asked, purchase: Purchase) -> int | None:
    return purchase.receipt.block_time + asked.timeout if asked.timeout else None


def _lasting(asked: Asked, purchase: Purchase) -> int:
    return _expires(asked, purchase) or 0


def _best(fee: PaidFee) -> tuple[int, int, str]:
    return fee.seconds, fee.start_by, fee.key


def _pays(fee: FeeRead) -> bool:
    """Say whether money moved: the contract takes none of an amount or a token that is zero."""
    return fee.event.amount > 0 and not addresses.are_equal(fee.event.token, addresses.ZERO)


def _seconds(fee: FeeRead) -> int:
    """Tell the time that an offer was priced for."""
    offered = fee.offer.offered_at if fee.offer else None
    return 0 if offered is None else fee.event.valid_until - offered


def _start_by(case: Case, fee: FeeRead) -> int:
    """Add to a fee's end what it took to mine it: who pays is not to lose by a slow block."""
    offered = fee.offer.offered_at if fee.offer else None
    mining = 0 if offered is None else max(0, case.receipt.block_time - offered)
    return fee.event.valid_until + mining + MINING_GRACE


def _order(case: Case, purchase: Purchase, charged: tuple[FeeRead, ...]) -> Order:
    paid = [
        PaidFee(
            key=f"{case.receipt.transaction}-{fee.event.position}",
            token=fee.event.token,
            amount=fee.event.amount,
            seconds=_seconds(fee),
            start_by=_start_by(case, fee),
        )
        for fee in charged
        if _pays(fee)
    ]
    receipts = dict.fromkeys((case.receipt.transaction, purchase.receipt.transaction))
    blocks = {
        receipt.transaction: (receipt.block_number, receipt.block_hash)
        for receipt in (case.receipt, purchase.receipt)
    }
    return Order(
        transaction=case.receipt.transaction,
        started_in=purchase.receipt.transaction,
        blocks=tuple(blocks[transaction] for transaction in receipts),
        expires=_expires(case.asked, purchase),
        fees=tuple(sorted(paid, key=_best, reverse=True)),
    )
