"""The local chain: Ocean's real contracts, wired, found again, and repaired."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account as Signer
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import TransactionNotFound
from web3.types import RPCEndpoint

from chain import ONE, Asset, Ocean, Order, did, emitted, signed_fee
from local_stack import toolchain
from local_stack.cgroups import Cgroup
from local_stack.chain import (
    CHAIN_ID,
    NETWORK,
    OWN_ACCOUNTS,
    TEST_ACCOUNTS,
    Chain,
    ask,
    ensure_chain,
    listed,
)
from local_stack.chain import chain as running_chain
from local_stack.daemons import Daemons
from local_stack.processes import free_ports, wait_until

ORDER_STARTED = "0xe1c4fa794edfa8f619b8257a077398950357b9c6398528f94480307352f9afcc"
ORDER_REUSED = "0x526e31449ea46e2aecf9b480c8d7dfa191348ef74ffdf75b445a6ab726daa6ff"
PROVIDER_FEE = "0xf8ed11cdaaf10eca2b6c941fb802cb8682afe86cac1eb93f70d0780fa062c544"


@pytest.fixture
def asset(ocean: Ocean, publisher: str, consumer: str) -> Asset:
    """What the consumer has five datatokens for."""
    published = ocean.publish(publisher)
    ocean.mint(published, publisher, consumer, 5)
    return published


@pytest.fixture(scope="session")
def publisher(chain: Chain) -> str:
    return chain.accounts["publisher"].address


@pytest.fixture(scope="session")
def consumer(chain: Chain) -> str:
    return chain.accounts["consumer"].address


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    """The processes of a stack that has only a chain, which end with the test."""
    cgroup, started = Cgroup(f"c2d-test-{os.getpid()}"), list[subprocess.Popen[bytes]]()
    cgroup.create()
    try:
        yield Daemons(tmp_path, cgroup, _started=started)
    finally:
        cgroup.kill()
        cgroup.remove()
        for process in started:
            process.wait()


def test_it_is_the_chain_that_ocean_clients_know_as_development(chain: Chain) -> None:
    assert int(ask(chain.url, "eth_chainId"), 16) == CHAIN_ID == 8996
    assert json.loads(chain.address_file.read_text())[NETWORK]["chainId"] == CHAIN_ID


def test_there_is_code_at_every_address(ocean: Ocean) -> None:
    addresses = listed(ocean.addresses)
    assert len(addresses) == len(set(addresses)) == 19
    assert all(ocean.web3.eth.get_code(Web3.to_checksum_address(one)) for one in addresses)


def test_every_address_that_a_client_looks_up_has_its_name(ocean: Ocean) -> None:
    looked_up = {
        *("Ocean", "Router", "ERC721Factory", "FixedPrice", "Dispenser", "startBlock", "chainId"),
        *("OPFCommunityFeeCollector", "AccessListFactory", "Escrow", "EnterpriseFeeCollector"),
    }
    assert looked_up <= set(ocean.addresses)


def test_the_router_knows_the_factory_and_the_markets(ocean: Ocean) -> None:
    router = ocean.contract("FactoryRouter", ocean.addresses["Router"]).functions
    markets = [ocean.addresses["FixedPrice"], ocean.addresses["FixedPriceEnterprise"]]
    assert router.factory().call() == ocean.addresses["ERC721Factory"]
    assert router.getFixedRatesContracts().call() == markets
    assert router.getDispensersContracts().call() == [ocean.addresses["Dispenser"]]
    assert router.getApprovedTokens().call() == [ocean.addresses["Ocean"]]
    assert router.getOPCCollector().call() == ocean.addresses["OPFCommunityFeeCollector"]


def test_the_factory_has_the_templates_under_their_numbers(ocean: Ocean) -> None:
    factory = ocean.factory.functions
    numbered = ocean.addresses["ERC20Template"]
    assert factory.getCurrentTemplateCount().call() == len(numbered) == 4
    for number, address in numbered.items():
        assert factory.getTokenTemplate(int(number)).call() == (address, True)
    nft = ocean.addresses["ERC721Template"]["1"]
    assert factory.getNFTTemplate(1).call() == (nft, True)


def test_deployer_publisher_and_consumer_are_anvils_first_accounts(
    chain: Chain, ocean: Ocean
) -> None:
    first = [str(address) for address in ocean.web3.eth.accounts[:3]]
    assert [chain.accounts[name].address for name in TEST_ACCOUNTS] == first
    token = ocean.contract("OceanToken", ocean.addresses["Ocean"]).functions
    held = [token.balanceOf(address).call() // ONE for address in ocean.web3.eth.accounts]
    assert held == [1_000_000, *[100_000] * 9]
    assert token.owner().call() == chain.accounts["deployer"].address


def test_the_stacks_own_accounts_are_new_and_can_pay_for_gas(chain: Chain, ocean: Ocean) -> None:
    for name in OWN_ACCOUNTS:
        account = chain.accounts[name]
        assert account.address not in ocean.web3.eth.accounts
        assert ocean.web3.eth.get_balance(Web3.to_checksum_address(account.address)) == 100 * ONE
    for account in chain.accounts.values():
        assert Signer.from_key(account.key).address == account.address
    assert chain.address_file.with_name("accounts.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("template", [1, 2])
def test_an_asset_is_published_by_the_factory(ocean: Ocean, publisher: str, template: int) -> None:
    asset = ocean.publish(publisher, template=template)
    assert asset.did == did(asset.nft)
    assert ocean.factory.functions.erc721List(asset.nft).call() == asset.nft
    assert ocean.factory.functions.erc20List(asset.datatoken).call()
    nft = ocean.contract("ERC721Template", asset.nft).functions
    assert nft.ownerOf(1).call() == publisher
    assert ocean.datatoken(asset).functions.getERC721Address().call() == asset.nft


def test_an_order_moves_one_datatoken_and_tells_who_may_consume(
    chain: Chain, ocean: Ocean, asset: Asset, consumer: str, publisher: str
) -> None:
    environment = chain.accounts["environment-free"].address
    fee = signed_fee(chain.accounts["provider"], valid_until=123, data=b"{}")
    mined = ocean.start_order(asset, consumer, fee, consumer=environment, service_index=3)
    assert {ORDER_STARTED, PROVIDER_FEE} <= set(emitted(mined, asset.datatoken))
    block = mined["blockNumber"]
    events = ocean.datatoken(asset).events
    (started,) = events.OrderStarted().get_logs(from_block=block, to_block=block)
    assert started["args"]["consumer"] == environment
    assert started["args"]["payer"] == consumer
    assert started["args"]["amount"] == ONE
    assert started["args"]["serviceIndex"] == 3
    (asked,) = events.ProviderFee().get_logs(from_block=block, to_block=block)
    assert asked["args"]["providerFeeAddress"] == chain.accounts["provider"].address
    assert (asked["args"]["validUntil"], asked["args"]["providerData"]) == (123, b"{}")
    holders = (consumer, publisher, ocean.addresses["OPFCommunityFeeCollector"])
    held = [ocean.datatoken(asset).functions.balanceOf(one).call() for one in holders]
    assert held == [4 * ONE, ONE * 97 // 100, ONE * 3 // 100]  # the community's cut


def test_an_order_is_reused_by_the_hash_of_its_transaction(
    chain: Chain, ocean: Ocean, asset: Asset, consumer: str
) -> None:
    fee = signed_fee(chain.accounts["provider"])
    order = ocean.start_order(asset, consumer, fee)["transactionHash"]
    mined = ocean.reuse_order(asset, consumer, order, fee)
    assert set(emitted(mined, asset.datatoken)) == {ORDER_REUSED, PROVIDER_FEE}
    block = mined["blockNumber"]
    events = ocean.datatoken(asset).events
    (reused,) = events.OrderReused().get_logs(from_block=block, to_block=block)
    assert HexBytes(reused["args"]["orderTxId"]) == order
    assert reused["args"]["caller"] == consumer


def test_of_a_batch_of_orders_the_factory_is_the_payer(
    chain: Chain, ocean: Ocean, asset: Asset, consumer: str, publisher: str
) -> None:
    other = ocean.publish(publisher)
    ocean.mint(other, publisher, consumer)
    fee = signed_fee(chain.accounts["provider"])
    orders = [Order(asset, consumer, fee), Order(other, consumer, fee, service_index=1)]
    mined = ocean.start_orders(consumer, orders)
    assert mined["to"] == ocean.factory.address
    for order in orders:
        assert ORDER_STARTED in emitted(mined, order.asset.datatoken)
        block = mined["blockNumber"]
        event = ocean.datatoken(order.asset).events.OrderStarted()
        (started,) = event.get_logs(from_block=block, to_block=block)
        assert started["args"]["payer"] == ocean.factory.address
        assert started["args"]["consumer"] == consumer
        assert started["args"]["serviceIndex"] == order.service_index


def test_a_reorganisation_takes_a_mined_order_away(
    chain: Chain, ocean: Ocean, asset: Asset, consumer: str
) -> None:
    mined = ocean.start_order(asset, consumer, signed_fee(chain.accounts["provider"]))
    ocean.web3.provider.make_request(RPCEndpoint("anvil_reorg"), [1, []])
    with pytest.raises(TransactionNotFound):
        ocean.web3.eth.get_transaction_receipt(mined["transactionHash"])
    assert ocean.datatoken(asset).functions.balanceOf(consumer).call() == 5 * ONE


def test_the_finalized_block_trails_by_two(ocean: Ocean, asset: Asset) -> None:
    blocks = [ocean.web3.eth.get_block(tag)["number"] for tag in ("latest", "safe", "finalized")]
    assert blocks == [blocks[0], blocks[0] - 1, blocks[0] - 2]


def test_a_second_start_finds_contracts_assets_and_keys(tmp_path: Path) -> None:
    with running_chain(tmp_path) as first:
        ocean = Ocean(first)
        published = ocean.publish(first.accounts["publisher"].address)
        height = ocean.web3.eth.block_number
    with running_chain(tmp_path) as second:
        found = Ocean(second)
        assert found.addresses == ocean.addresses
        assert found.web3.eth.block_number == height
        assert found.factory.functions.erc721List(published.nft).call() == published.nft
        assert second.accounts == first.accounts


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("address.json", id="a deployment that was interrupted"),
        pytest.param("accounts.json", id="keys that are lost"),
        pytest.param("state-*.json", id="a state that was lost"),
    ],
)
def test_what_is_missing_is_made_again(tmp_path: Path, damage: str) -> None:
    with running_chain(tmp_path):
        pass
    (lost,) = tmp_path.glob(damage)
    lost.unlink()
    with running_chain(tmp_path) as repaired:
        ocean = Ocean(repaired)
        fee = signed_fee(repaired.accounts["provider"])
        publisher = repaired.accounts["publisher"].address
        asset = ocean.publish(publisher)
        ocean.mint(asset, publisher, publisher)
        assert ORDER_STARTED in emitted(ocean.start_order(asset, publisher, fee), asset.datatoken)


def test_a_chain_that_was_killed_is_replaced(daemons: Daemons) -> None:
    program, (port,) = toolchain.ensure("anvil")["anvil"], free_ports(1)
    first = ensure_chain(daemons, "127.0.0.1", port, program)
    pid, addresses = daemons.pid("chain"), first.address_file.read_text()
    assert ensure_chain(daemons, "127.0.0.1", port, program) == first
    assert daemons.pid("chain") == pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: not daemons.alive("chain"),
        "The chain does not end",
        limit=10,
        log=daemons.log("chain"),
    )
    assert ensure_chain(daemons, "127.0.0.1", port, program) == first
    assert daemons.pid("chain") not in {pid, None}
    assert first.address_file.read_text() == addresses
    replaced = Ocean(first)
    asset = replaced.publish(first.accounts["publisher"].address)
    assert replaced.factory.functions.erc721List(asset.nft).call() == asset.nft
