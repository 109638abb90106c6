"""The provider's view of a real chain: orders good and forged, endpoints dead and lying."""

import asyncio
import json
import logging
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode
from web3 import Web3
from web3.types import RPCEndpoint

import evm_code
from c2d_provider import orders
from c2d_provider.chain import EvmChains
from c2d_provider.fees import Decimal, Price
from c2d_provider.files import SmartContractFile
from c2d_provider.orders import Asked, Facts, Order, Policy
from c2d_provider.ports import UnavailableError
from c2d_provider.refusals import Reason, Refusal, Refused
from chain import CHAIN_ID, NOBODY, ONE, Asset, Ocean, ProviderFee, did, signed_fee
from chain import Order as Ordered
from local_stack.chain import Account, Chain
from local_stack.processes import free_ports
from rpc_relay import OpenChains, Relay

SERVICE = "97d09a3f"
ENVIRONMENT = "jobs.small"
HOUR = 3600
ORDER_STARTED = "OrderStarted(address,address,uint256,uint256,uint256,address,uint256)"


@pytest.fixture
def owner(chain: Chain) -> str:
    return chain.accounts["publisher"].address


@pytest.fixture
def buyer(chain: Chain) -> str:
    return chain.accounts["consumer"].address


@pytest.fixture
def provider(chain: Chain) -> Account:
    return chain.accounts["provider"]


@pytest.fixture
def environment(chain: Chain) -> str:
    """The address that orders for compute name as their consumer."""
    return chain.accounts["environment-free"].address


@pytest.fixture
def bought(ocean: Ocean, owner: str, buyer: str) -> Asset:
    """An asset of whose datatoken the buyer has five."""
    asset = ocean.publish(owner)
    ocean.mint(asset, owner, buyer, 5)
    return asset


@pytest.fixture
def asked(bought: Asset, buyer: str, environment: str, provider: Account) -> Asked:
    """What the buyer says to have ordered, but for the transaction."""
    return Asked(
        transaction="",
        consumer=buyer,
        nft=bought.nft,
        datatoken=bought.datatoken,
        service_id=SERVICE,
        service_index=0,
        timeout=HOUR,
        environments=frozenset({ENVIRONMENT}),
        environment_consumer=environment,
        fee_addresses=frozenset({provider.address}),
    )


def data(datatoken: str, **changes: Any) -> bytes:
    """Write what a provider puts into a fee."""
    body = {"dt": datatoken, "id": SERVICE, **changes}
    return json.dumps(body, separators=(",", ":")).encode()


def free_fee(provider: Account, datatoken: str, **changes: Any) -> ProviderFee:
    return signed_fee(provider, data=data(datatoken, **changes))


def price(ocean: Ocean) -> Price:
    """Charge six tenths of an Ocean token a minute."""
    return Price(ocean.addresses["Ocean"], Decimal("0.6"), 18)


def paid_fee(
    ocean: Ocean, provider: Account, asset: Asset, payer: str, **changes: Any
) -> ProviderFee:
    """Ask for 600 seconds' worth of tokens, which the payer lets the datatoken take."""
    token, amount = ocean.addresses["Ocean"], 6 * ONE
    ocean.send(
        ocean.contract("OceanToken", token).functions.approve(asset.datatoken, amount), payer
    )
    now = ocean.web3.eth.get_block("latest")["timestamp"]
    timestamp = changes.pop("timestamp", now)
    named = {"environment": ENVIRONMENT, "timestamp": float(timestamp)}
    of = {
        "valid_until": timestamp + 600,
        "data": data(changes.pop("datatoken", asset.datatoken), **named),
        **changes,
    }
    return signed_fee(provider, token=token, amount=amount, **of)


async def judged(
    chains: EvmChains, asked: Asked, transaction: bytes | str, policy: Policy | None = None
) -> Order | Refusal:
    named = transaction if isinstance(transaction, str) else Web3.to_hex(transaction)
    asked = replace(asked, transaction=named)
    facts = await facts_of(chains, asked)
    return orders.judge(asked, facts, policy or Policy())


async def facts_of(chains: EvmChains, asked: Asked) -> Facts:
    return await chains.order_facts(CHAIN_ID, asked.transaction, asked.nft, asked.datatoken)


def reason(verdict: Order | Refusal) -> Reason | None:
    return verdict.reason if isinstance(verdict, Refusal) else None


def reorganise(ocean: Ocean, depth: int = 1) -> None:
    ocean.web3.provider.make_request(RPCEndpoint("anvil_reorg"), [depth, []])


# Orders


async def test_an_order_is_accepted_for_who_paid_it(
    chains: EvmChains, ocean: Ocean, bought: Asset, asked: Asked, provider: Account
) -> None:
    fee = free_fee(provider, bought.datatoken)
    mined = ocean.start_order(bought, asked.consumer, fee, consumer=asked.environment_consumer)
    order = await judged(chains, asked, mined["transactionHash"])
    block = ocean.web3.eth.get_block(mined["blockNumber"])
    assert isinstance(order, Order)
    assert order.expires == block["timestamp"] + HOUR
    assert order.blocks == ((mined["blockNumber"], Web3.to_hex(mined["blockHash"])),)
    assert order.transaction == order.started_in == Web3.to_hex(mined["transactionHash"])
    assert order.fees == ()


async def test_a_fee_that_was_paid_is_known_by_its_place_in_the_receipt(
    chains: EvmChains, ocean: Ocean, bought: Asset, asked: Asked, provider: Account
) -> None:
    fee = paid_fee(ocean, provider, bought, asked.consumer)
    mined = ocean.start_order(bought, asked.consumer, fee)
    order = await judged(chains, replace(asked, prices=(price(ocean),)), mined["transactionHash"])
    assert isinstance(order, Order)
    (paid,) = order.fees
    topic = Web3.keccak(
        text="ProviderFee(address,address,uint256,bytes,uint8,bytes32,bytes32,uint256)"
    )
    (place,) = (n for n, log in enumerate(mined["logs"]) if log["topics"][0] == topic)
    assert paid.key == f"{Web3.to_hex(mined['transactionHash'])}-{place}"
    assert (paid.amount, paid.token, paid.seconds) == (6 * ONE, ocean.addresses["Ocean"], 600)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"service_index": 1}, Reason.ORDER_OF_OTHER_SERVICE, id="another service"),
        pytest.param({"consumer": "owner"}, Reason.ORDER_OF_OTHER_CONSUMER, id="another consumer"),
        pytest.param({"nft": "other"}, Reason.ASSET_NOT_FROM_OCEAN, id="another asset's NFT"),
        pytest.param(
            {"nft": "other", "datatoken": "other"},
            Reason.ORDER_OF_OTHER_DATATOKEN,
            id="another asset",
        ),
        pytest.param({"service_id": "x"}, Reason.FEE_OF_OTHER_SERVICE, id="another service's fee"),
        pytest.param({"fee_addresses": frozenset({NOBODY})}, Reason.FEE_NOT_OURS, id="others' fee"),
    ],
)  # fmt: skip
async def test_an_order_of_something_else_is_refused(
    chains: EvmChains,
    *,
    ocean: Ocean,
    bought: Asset,
    asked: Asked,
    provider: Account,
    owner: str,
    change: dict[str, Any],
    expected: Reason,
) -> None:
    other = ocean.publish(owner)
    mined = ocean.start_order(bought, asked.consumer, free_fee(provider, bought.datatoken))
    assert reason(await judged(chains, asked, mined["transactionHash"])) is None
    named = {"owner": owner}
    changed = {
        key: {"nft": other.nft, "datatoken": other.datatoken}.get(key)
        if value == "other"
        else named.get(value, value)
        if isinstance(value, str)
        else value
        for key, value in change.items()
    }
    verdict = await judged(chains, replace(asked, **changed), mined["transactionHash"])
    assert reason(verdict) == expected


async def test_of_a_batch_each_order_is_its_senders(
    chains: EvmChains, ocean: Ocean, bought: Asset, asked: Asked, provider: Account, owner: str
) -> None:
    other = ocean.publish(owner)
    ocean.mint(other, owner, asked.consumer)
    environment = asked.environment_consumer
    mined = ocean.start_orders(
        asked.consumer,
        [
            Ordered(bought, environment, free_fee(provider, bought.datatoken)),
            Ordered(other, environment, free_fee(provider, other.datatoken), service_index=1),
        ],
    )
    second = replace(asked, nft=other.nft, datatoken=other.datatoken, service_index=1)
    for one in (asked, second):
        assert isinstance(await judged(chains, one, mined["transactionHash"]), Order)
    named = replace(asked, transaction=Web3.to_hex(mined["transactionHash"]))
    receipt = (await facts_of(chains, named)).receipt
    assert receipt is not None
    topic = Web3.keccak(text=ORDER_STARTED)
    places = [n for n, log in enumerate(mined["logs"]) if log["topics"][0] == topic]
    assert places[1] - places[0] > 3  # transfers of tokens stand between
    assert [n for n, log in enumerate(receipt.logs) if log.topics[:1] == (topic,)] == places
    stranger = replace(asked, consumer=owner)
    verdict = await judged(chains, stranger, mined["transactionHash"])
    assert reason(verdict) == Reason.ORDER_OF_OTHER_CONSUMER


async def test_a_reused_order_counts_from_its_purchase(
    chains: EvmChains, ocean: Ocean, bought: Asset, asked: Asked, provider: Account
) -> None:
    fee = free_fee(provider, bought.datatoken)
    first = ocean.start_order(bought, asked.consumer, fee)
    reused = ocean.reuse_order(bought, asked.consumer, first["transactionHash"], fee)
    order = await judged(chains, asked, reused["transactionHash"])
    assert isinstance(order, Order)
    assert order.started_in == Web3.to_hex(first["transactionHash"])
    assert order.transaction == Web3.to_hex(reused["transactionHash"])
    assert order.expires == ocean.web3.eth.get_block(first["blockNumber"])["timestamp"] + HOUR


async def test_reusing_what_was_never_bought_buys_nothing(
    chains: EvmChains, ocean: Ocean, bought: Asset, asked: Asked, provider: Account
) -> None:
    fee = free_fee(provider, bought.datatoken)
    reused = ocean.reuse_order(bought, asked.consumer, Web3.keccak(text="nothing"), fee)
    assert reason(await judged(chains, asked, reused["transactionHash"])) == Reason.ORDER_UNKNOWN


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"by": "stranger"}, Reason.FEE_NOT_OURS, id="signed by a stranger"),
        pytest.param({"old": True}, Reason.FEE_EXPIRED, id="that was over when it was paid"),
        pytest.param({"of_other": True}, Reason.FEE_OF_OTHER_SERVICE, id="of another datatoken"),
        pytest.param({"elsewhere": True}, Reason.FEE_OF_OTHER_ENVIRONMENT, id="of another place"),
    ],
)  # fmt: skip
async def test_a_fee_that_the_contract_takes_is_refused(
    chains: EvmChains,
    *,
    ocean: Ocean,
    bought: Asset,
    asked: Asked,
    chain: Chain,
    owner: str,
    change: dict[str, Any],
    expected: Reason,
) -> None:
    signer = chain.accounts["environment-paid" if "by" in change else "provider"]
    changes: dict[str, Any] = {}
    if "old" in change:
        changes["timestamp"] = ocean.web3.eth.get_block("latest")["timestamp"] - HOUR
    if "of_other" in change:
        changes["datatoken"] = ocean.publish(owner).datatoken
    fee = paid_fee(ocean, signer, bought, asked.consumer, **changes)
    mined = ocean.start_order(bought, asked.consumer, fee)
    environments = frozenset({"jobs.large"}) if "elsewhere" in change else asked.environments
    verdict = await judged(
        chains,
        replace(asked, prices=(price(ocean),), environments=environments),
        mined["transactionHash"],
    )
    assert reason(verdict) == expected


async def test_an_order_that_another_contract_forges_is_none(
    chains: EvmChains, ocean: Ocean, bought: Asset, asked: Asked
) -> None:
    emitter = evm_code.deploy(ocean, evm_code.EMITTER)
    topics = [
        bytes(Web3.keccak(text=ORDER_STARTED)),
        bytes(12) + bytes.fromhex(asked.environment_consumer[2:]),
        bytes(32),
    ]
    types = ("address", "uint256", "uint256", "uint256", "uint256")
    words = (asked.consumer, ONE, 0, int(time.time()), ocean.web3.eth.block_number)
    forged = evm_code.emit(ocean, emitter, topics, encode(types, words), asked.consumer)
    (log,) = ocean.web3.eth.get_transaction_receipt(Web3.to_bytes(hexstr=forged))["logs"]  # type: ignore[arg-type]  # a hash
    decoded = ocean.datatoken(bought).events.OrderStarted().process_log(log)
    assert decoded["args"]["payer"] == asked.consumer  # a client would take it for an order
    assert reason(await judged(chains, asked, forged)) == Reason.ORDER_OF_OTHER_DATATOKEN
    verdict = await judged(chains, replace(asked, datatoken=emitter), forged)
    assert reason(verdict) == Reason.ASSET_NOT_FROM_OCEAN


async def test_a_contract_that_says_yes_to_everything_is_not_believed(
    chains: EvmChains, ocean: Ocean, bought: Asset, asked: Asked, provider: Account
) -> None:
    liar = evm_code.deploy(ocean, evm_code.YES)
    mined = ocean.start_order(bought, asked.consumer, free_fee(provider, bought.datatoken))
    for change in ({"nft": liar}, {"nft": liar, "datatoken": liar}, {"datatoken": liar}):
        verdict = await judged(chains, replace(asked, **change), mined["transactionHash"])
        assert reason(verdict) == Reason.ASSET_NOT_FROM_OCEAN
    assert isinstance(await chains.nft(CHAIN_ID, liar), Refusal)
    assert await chains.metadata(CHAIN_ID, liar) is None


async def test_what_has_no_code_is_nothing(chains: EvmChains, asked: Asked) -> None:
    nowhere = Web3.to_checksum_address("0x" + "ab" * 20)
    asked = replace(asked, nft=nowhere, datatoken=nowhere, transaction="0x" + "cd" * 32)
    facts = await facts_of(chains, asked)
    assert (facts.receipt, facts.is_oceans, facts.is_datatoken_of_nft) == (None, False, False)
    assert isinstance(await chains.nft(CHAIN_ID, nowhere), Refusal)
    assert (await chains.token(CHAIN_ID, nowhere)).name == ""


async def test_an_order_that_failed_is_refused(
    chains: EvmChains, ocean: Ocean, bought: Asset, asked: Asked, owner: str
) -> None:
    """Whoever has no datatoken sends the transaction all the same; it is mined as a failure."""
    fee = (NOBODY, NOBODY, 0, 27, bytes(32), bytes(32), 0, b"")
    call = ocean.datatoken(bought).functions.startOrder(owner, 0, fee, (NOBODY, NOBODY, 0))
    sent = call.transact({"from": Web3.to_checksum_address(owner), "gas": 500_000})
    assert ocean.web3.eth.wait_for_transaction_receipt(sent, 30, 0.01)["status"] == 0
    assert reason(await judged(chains, replace(asked, consumer=owner), sent)) == Reason.ORDER_FAILED


async def test_confirmations_are_counted(
    chains: EvmChains, ocean: Ocean, bought: Asset, asked: Asked, provider: Account
) -> None:
    mined = ocean.start_order(bought, asked.consumer, free_fee(provider, bought.datatoken))
    impatient = Policy(confirmations=3, wait_for_confirmations=False)
    transaction = mined["transactionHash"]
    assert reason(await judged(chains, asked, transaction, impatient)) == Reason.ORDER_UNCONFIRMED
    order = await judged(chains, asked, transaction, Policy(confirmations=3))
    assert isinstance(order, Order)
    assert not order.is_confirmed(await chains.head(CHAIN_ID), 3)
    ocean.web3.provider.make_request(RPCEndpoint("anvil_mine"), [2])
    assert order.is_confirmed(await chains.head(CHAIN_ID), 3)
    assert isinstance(await judged(chains, asked, transaction, impatient), Order)


async def test_an_order_in_the_newest_block_has_its_first_confirmation(
    open_chains: OpenChains, ocean: Ocean, bought: Asset, asked: Asked, provider: Account
) -> None:
    """Whatever is remembered of the chain: a job would be created suspended, and wait."""
    chains = await open_chains(fresh=HOUR)
    head = await chains.head(CHAIN_ID)
    mined = ocean.start_order(bought, asked.consumer, free_fee(provider, bought.datatoken))
    assert mined["blockNumber"] > head
    impatient = Policy(confirmations=1, wait_for_confirmations=False)
    assert isinstance(await judged(chains, asked, mined["transactionHash"], impatient), Order)


async def test_a_reorganisation_is_noticed(
    chains: EvmChains, ocean: Ocean, bought: Asset, asked: Asked, provider: Account
) -> None:
    mined = ocean.start_order(bought, asked.consumer, free_fee(provider, bought.datatoken))
    assert isinstance(await judged(chains, asked, mined["transactionHash"]), Order)
    reorganise(ocean)
    verdict = await judged(chains, asked, mined["transactionHash"])
    assert reason(verdict) == Reason.ORDER_UNKNOWN


async def test_an_order_judged_is_not_asked_for_again(
    open_chains: OpenChains,
    relay: Relay,
    ocean: Ocean,
    bought: Asset,
    asked: Asked,
    provider: Account,
) -> None:
    fee = free_fee(provider, bought.datatoken)
    first = ocean.start_order(bought, asked.consumer, fee)
    reused = ocean.reuse_order(bought, asked.consumer, first["transactionHash"], fee)
    chains = await open_chains(urls=(relay.url,), settled=1, fresh=HOUR)
    order = await judged(chains, asked, reused["transactionHash"])
    assert isinstance(order, Order)
    asked_before = len(relay.methods)
    assert asked_before > 4
    for _ in range(20):
        assert await judged(chains, asked, reused["transactionHash"]) == order
    assert len(relay.methods) == asked_before


async def test_a_settled_order_is_remembered_and_a_young_one_read_anew(
    open_chains: OpenChains,
    relay: Relay,
    ocean: Ocean,
    bought: Asset,
    asked: Asked,
    provider: Account,
) -> None:
    now = 100.0
    chains = await open_chains(clock=lambda: now, urls=(relay.url,), settled=3, fresh=2)
    mined = ocean.start_order(bought, asked.consumer, free_fee(provider, bought.datatoken))

    async def judged_at(time_: float) -> int:
        nonlocal now
        now = time_
        assert isinstance(await judged(chains, asked, mined["transactionHash"]), Order)
        return relay.count("eth_getTransactionReceipt")

    receipts = [await judged_at(time_) for time_ in (100.0, 101.0, 103.0)]
    ocean.web3.provider.make_request(RPCEndpoint("anvil_mine"), [2])
    receipts += [await judged_at(time_) for time_ in (106.0, 109.0, 1e9)]
    assert receipts == [1, 1, 2, 3, 3, 3]
    assert relay.count("eth_getBlockByHash") == 1


# Endpoints


async def test_a_dead_endpoint_is_passed_over(
    open_chains: OpenChains, relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    (port,) = free_ports(1)
    dead = f"http://user:s3cr3t@127.0.0.1:{port}/s3cr3t"
    caplog.set_level(logging.DEBUG)
    chains = await open_chains(urls=(dead, relay.url))
    assert await chains.head(CHAIN_ID) > 0
    assert "Endpoint 1 of chain 8996" in caplog.text
    assert "s3cr3t" not in caplog.text
    assert str(port) not in caplog.text


async def test_an_endpoint_that_hangs_is_asked_last_for_a_while(
    open_chains: OpenChains, chain: Chain, relay: Relay
) -> None:
    now = 0.0
    relay.hangs = True
    chains = await open_chains(
        clock=lambda: now, urls=(relay.url, chain.url), timeout=0.2, pause=30
    )
    for _ in range(5):
        assert await chains.head(CHAIN_ID) > 0
    assert relay.methods == ["eth_chainId"]
    now, relay.hangs = 31.0, False
    assert await chains.head(CHAIN_ID) > 0
    assert relay.methods[1:] == ["eth_chainId", "eth_blockNumber"]


async def test_a_listener_that_never_answers_is_passed_over(
    open_chains: OpenChains, chain: Chain
) -> None:
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    chains = await open_chains(urls=(f"http://127.0.0.1:{port}", chain.url), timeout=0.2)
    assert await chains.head(CHAIN_ID) > 0
    assert len(accepted) == 1
    for writer in accepted:
        writer.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param({"status": 500}, id="a server error"),
        pytest.param({"status": 429}, id="too many requests"),
        pytest.param({"hangs": True}, id="silence"),
        pytest.param({"answers": {"eth_chainId": lambda _: {"result": "0x1"}}}, id="another chain"),
        pytest.param(
            {"answers": {"eth_blockNumber": lambda _: {"result": {"a": []}}}}, id="nonsense"
        ),
        pytest.param(
            {"answers": {"eth_blockNumber": lambda _: {"error": {"message": "no s3cr3t"}}}},
            id="an error",
        ),
    ],
)
async def test_where_no_endpoint_answers_the_chain_is_unavailable(
    open_chains: OpenChains,
    relay: Relay,
    failure: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    chains = await open_chains(urls=(relay.url,), timeout=0.2)
    for name, value in failure.items():
        setattr(relay, name, value)
    with pytest.raises(UnavailableError) as caught:
        await chains.head(CHAIN_ID)
    said = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert "8996" in said
    assert "s3cr3t" not in said
    assert "http" not in said


async def test_an_endpoint_that_is_behind_does_not_hide_an_order(
    open_chains: OpenChains, chain: Chain, relay: Relay, ocean: Ocean, bought: Asset, asked: Asked,
    provider: Account,
) -> None:  # fmt: skip
    relay.answers["eth_getTransactionReceipt"] = lambda _: {"result": None}
    chains = await open_chains(urls=(relay.url, chain.url))
    mined = ocean.start_order(bought, asked.consumer, free_fee(provider, bought.datatoken))
    assert isinstance(await judged(chains, asked, mined["transactionHash"]), Order)


async def test_a_chain_that_is_not_served_is_refused(chains: EvmChains, bought: Asset) -> None:
    assert chains.ids == (CHAIN_ID,)
    with pytest.raises(Refused) as caught:
        await chains.nft(1, bought.nft)
    assert caught.value.refusal.reason == Reason.CHAIN_UNKNOWN


async def test_blocks_of_chains_with_longer_extra_data_are_read(
    open_chains: OpenChains,
    relay: Relay,
    ocean: Ocean,
    bought: Asset,
    asked: Asked,
    provider: Account,
) -> None:
    """Polygon's blocks carry a signature where others have 32 bytes."""
    mined = ocean.start_order(bought, asked.consumer, free_fee(provider, bought.datatoken))
    block = json.loads(Web3.to_json(ocean.web3.eth.get_block(mined["blockNumber"])))
    raw = ocean.web3.provider.make_request(
        RPCEndpoint("eth_getBlockByHash"), [block["hash"], False]
    )["result"]
    relay.answers["eth_getBlockByHash"] = lambda _: {
        "result": {**raw, "extraData": "0x" + "ab" * 97}
    }
    chains = await open_chains(urls=(relay.url,))
    assert isinstance(await judged(chains, asked, mined["transactionHash"]), Order)


def test_reading_chains_leaves_the_recursion_limit_as_it_was() -> None:
    """With web3's own limit, a deep document ends the process instead of raising an error."""
    code = (
        "import sys, json; before = sys.getrecursionlimit(); import c2d_provider.chain\n"
        "assert sys.getrecursionlimit() == before\n"
        "try: json.loads('[' * 100_000)\n"
        "except RecursionError: print('raised')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "raised\n"


# NFTs, tokens, access lists


async def test_an_nft_is_read_as_it_is_now(
    chains: EvmChains, ocean: Ocean, bought: Asset, owner: str, buyer: str
) -> None:
    nft = ocean.contract("ERC721Template", bought.nft).functions
    found = await chains.nft(CHAIN_ID, bought.nft.lower())
    assert not isinstance(found, Refusal)
    assert (found.address, found.owner, found.state) == (bought.nft, owner, 0)
    ocean.send(nft.setMetaDataState(5), owner)
    ocean.send(nft.transferFrom(owner, buyer, 1), owner)
    found = await chains.nft(CHAIN_ID, bought.nft)
    assert not isinstance(found, Refusal)
    assert (found.owner, found.state) == (buyer, 5)


async def test_a_token_says_what_it_is_called(chains: EvmChains, ocean: Ocean, owner: str) -> None:
    asset = ocean.publish(owner, name="Bäume")
    token = await chains.token(CHAIN_ID, asset.nft)
    assert (token.name, token.symbol) == ("Bäume", "NFT")


async def test_an_nft_is_found_by_its_did(
    open_chains: OpenChains, relay: Relay, ocean: Ocean, owner: str
) -> None:
    """In chunks, newest first; what was searched is not searched again."""
    assets = [ocean.publish(owner) for _ in range(3)]
    ocean.web3.provider.make_request(RPCEndpoint("anvil_mine"), [8])
    assets.append(ocean.publish(owner))
    chains = await open_chains(urls=(relay.url,), chunk=3, settled=5)
    for asset in (*assets, *reversed(assets)):
        assert await chains.nft_named(CHAIN_ID, asset.did) == asset.nft
        version_5 = f"did:ope:{asset.did.rpartition(':')[2]}"
        assert await chains.nft_named(CHAIN_ID, version_5) == asset.nft
    assert await chains.nft_named(CHAIN_ID, did(Web3.to_checksum_address(NOBODY))) is None
    searched = relay.count("eth_getLogs")
    assert await chains.nft_named(CHAIN_ID, f"did:op:{'0' * 64}") is None
    assert relay.count("eth_getLogs") == searched + 1


async def test_access_lists_hold_who_has_a_token_of_them(
    chains: EvmChains, ocean: Ocean, owner: str, buyer: str
) -> None:
    factory = ocean.contract("AccessListFactory", ocean.addresses["AccessListFactory"])
    made = []
    for who in (buyer, owner):
        call = factory.functions.deployAccessListContract("L", "L", False, owner, [who], ["u"])
        block = ocean.send(call, owner)["blockNumber"]
        (log,) = factory.events.NewAccessList().get_logs(from_block=block, to_block=block)
        made.append((CHAIN_ID, log["args"]["contractAddress"].lower()))
    held = await chains.lists_holding(buyer, tuple(made))
    assert held == frozenset({made[0]})


@pytest.mark.parametrize("code", [b"", evm_code.reverting(b""), evm_code.INVALID])
async def test_an_access_list_that_cannot_be_asked_lets_nobody_in(
    chains: EvmChains, ocean: Ocean, buyer: str, code: bytes
) -> None:
    broken = evm_code.deploy(ocean, code) if code else "0x" + "ab" * 20
    with pytest.raises(Refused) as caught:
        await chains.lists_holding(buyer, ((CHAIN_ID, broken.lower()),))
    assert caught.value.refusal.reason == Reason.CREDENTIALS_UNKNOWN


# Contracts as files


def reading(ocean: Ocean, address: str, contract: str, name: str) -> SmartContractFile:
    (abi,) = (
        one
        for one in ocean.contract(contract, address).abi
        if one["type"] == "function" and one["name"] == name
    )
    return SmartContractFile(Web3.to_checksum_address(address), CHAIN_ID, dict(abi))


def returning(address: str, *types: str) -> SmartContractFile:
    outputs = [{"name": "", "type": type_} for type_ in types]
    function = {"name": "anything", "inputs": [], "outputs": outputs, "stateMutability": "view"}
    return SmartContractFile(Web3.to_checksum_address(address), CHAIN_ID, function)


async def test_a_contract_answers_as_a_file(
    chains: EvmChains, ocean: Ocean, bought: Asset, owner: str
) -> None:
    async def answer(contract: str, address: str, name: str, **values: Any) -> Any:
        file = reading(ocean, address, contract, name)
        return json.loads(await chains.call_function(file, values))

    assert await answer("ERC721Template", bought.nft, "getMetaData") == ["", "", 0, False]
    assert await answer("ERC721Template", bought.nft, "ownerOf", tokenId="1") == owner.lower()
    deployed = await answer(
        "ERC721Template", bought.nft, "isDeployed", datatoken=bought.datatoken.lower()
    )
    assert deployed is True
    assert await answer("ERC20Template", bought.datatoken, "cap") == 2**256 - 1
    router = await answer("ERC20Template", bought.datatoken, "getPublishingMarketFee")
    assert router == [NOBODY, NOBODY, 0]


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(evm_code.reverting(b"s3cr3t"), id="reverts"),
        pytest.param(evm_code.INVALID, id="fails"),
        pytest.param(evm_code.ENDLESS, id="never ends"),
        pytest.param(evm_code.FLOOD, id="answers too much"),
        pytest.param(b"", id="is not there"),
        pytest.param(evm_code.answering(b"\xff" * 64), id="answers nonsense"),
    ],
)
async def test_a_contract_that_misbehaves_is_no_file_and_no_failure_of_its_endpoint(
    open_chains: OpenChains, relay: Relay, ocean: Ocean, code: bytes
) -> None:
    chains = await open_chains(urls=(relay.url,))
    address = evm_code.deploy(ocean, code) if code else "0x" + "ab" * 20
    with pytest.raises(Refused) as caught:
        await chains.call_function(returning(address, "uint256[]"), {})
    assert caught.value.refusal.reason == Reason.FILE_UNAVAILABLE
    assert relay.count("eth_call") == 1
    assert await chains.head(CHAIN_ID) > 0


async def test_a_contract_cannot_have_us_fetch_a_url(
    chains: EvmChains, ocean: Ocean, unused_tcp_port: int
) -> None:
    """EIP-3668 lets a contract ask its caller to fetch what it names; web3 would."""
    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(
        lambda _, writer: connections.append(writer), "127.0.0.1", unused_tcp_port
    )
    types = ("address", "string[]", "bytes", "bytes4", "bytes")
    data_ = Web3.keccak(text=f"OffchainLookup({','.join(types)})")[:4]

    def lookup(sender: str) -> bytes:
        words = (sender, [f"https://127.0.0.1:{unused_tcp_port}/"], b"", b"abcd", b"")
        return bytes(data_) + encode(types, words)

    nonce = ocean.web3.eth.get_transaction_count(ocean.web3.eth.accounts[9])
    address = evm_code.next_address(ocean.web3.eth.accounts[9], nonce)
    assert evm_code.deploy(ocean, evm_code.reverting(lookup(address))) == address
    with pytest.raises(Refused):
        await chains.call_function(returning(address, "uint256"), {})
    assert connections == []
    server.close()
    await server.wait_closed()
