"""Ocean's contracts, deployed and wired as Ocean's own deployment does it on a development chain.

`python -m local_stack.contracts URL ADDRESS_FILE ACCOUNTS_FILE` is a process of its own, since it
takes the packages of `hack/chain/requirements.txt`; the rest of the stack does without packages.
"""

import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from eth_account import Account
from hexbytes import HexBytes
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.contract.contract import ContractConstructor, ContractFunction
from web3.types import TxReceipt

from local_stack.chain import CHAIN_ID, NETWORK, OWN_ACCOUNTS, TEST_ACCOUNTS

_MNEMONIC = "test test test test test test test test test test test junk"  # anvil's
_NOBODY = "0x000000000000000000000000000000000000dEaD"
_TEMPLATES = ("ERC20Template", "ERC20TemplateEnterprise", "ERC20Template3", "ERC20Template4")
_DEPLOYER_OCEAN = Web3.to_wei(1_000_000, "ether")
_OTHERS_OCEAN = Web3.to_wei(100_000, "ether")
_OWN_NATIVE = Web3.to_wei(100, "ether")
_RECEIPT_LIMIT = 30.0
_POLL_SECONDS = 0.01

Addresses = dict[str, Any]


class Deployer:
    """Sends transactions from anvil's first account, which needs no signature there."""

    def __init__(self, web3: Web3) -> None:
        """Use a chain's first account."""
        self.eth = web3.eth
        self.address = web3.eth.accounts[0]

    def deploy(self, name: str, *arguments: object) -> Contract:
        """Put a contract on the chain."""
        found = artifact(name)
        new = self.eth.contract(abi=found["abi"], bytecode=found["bytecode"])
        address = self.send(new.constructor(*arguments))["contractAddress"]
        return self.eth.contract(Web3.to_checksum_address(str(address)), abi=found["abi"])

    def send(self, call: ContractConstructor | ContractFunction) -> TxReceipt:
        """Send a call and wait for its receipt."""
        return self._mined(call.transact({"from": self.address}))

    def give(self, to: str) -> None:
        """Send native tokens."""
        receiver = Web3.to_checksum_address(to)
        self._mined(
            self.eth.send_transaction({"from": self.address, "to": receiver, "value": _OWN_NATIVE})
        )

    def _mined(self, sent: HexBytes) -> TxReceipt:
        receipt = self.eth.wait_for_transaction_receipt(sent, _RECEIPT_LIMIT, _POLL_SECONDS)
        if receipt["status"] != 1:
            raise RuntimeError(f"A transaction failed: {receipt}")
        return receipt


def artifact(name: str) -> dict[str, Any]:
    """Read a contract's interface and code, as the package `ocean-contracts` has them."""
    found: dict[str, Any] = json.loads((resources.files("artifacts") / f"{name}.json").read_text())
    return found


def main() -> None:
    """Deploy on the chain that the arguments name, and write the two files when all is there."""
    url, address_file, accounts_file = sys.argv[1:]
    deployer = Deployer(Web3(HTTPProvider(url)))
    accounts = _accounts(Path(accounts_file))
    for name in OWN_ACCOUNTS:
        deployer.give(accounts[name]["address"])
    _write(Path(address_file), {NETWORK: {"chainId": CHAIN_ID, **deploy(deployer)}})


def deploy(deployer: Deployer) -> Addresses:
    """Deploy and wire everything; the last contract's code tells that all the rest was done.

    The names of the addresses are those that Ocean's clients look up.
    """
    ocean, tokens = _deploy_tokens(deployer)
    collector = deployer.deploy("OPFCommunityFeeCollector", deployer.address, deployer.address)
    nothing: list[str] = []
    router = deployer.deploy(
        "FactoryRouter", deployer.address, ocean, _NOBODY, collector.address, nothing
    )
    first_block = deployer.eth.block_number
    market = _deploy_market(deployer, router)
    factory = _deploy_factory(deployer, router)
    escrows = _deploy_escrows(deployer, router, tokens)
    access_list = deployer.deploy("AccessList")
    lists = deployer.deploy("AccessListFactory", access_list.address)
    return {
        "startBlock": first_block,
        **tokens,
        "OPFCommunityFeeCollector": collector.address,
        "Router": router.address,
        **market,
        **factory,
        **escrows,
        "AccessListFactory": lists.address,
    }


def _deploy_tokens(deployer: Deployer) -> tuple[str, Addresses]:
    """Deploy the Ocean token, of which every account gets some, and two others to pay with."""
    ocean = deployer.deploy("OceanToken", deployer.address)
    for account in deployer.eth.accounts:
        amount = _DEPLOYER_OCEAN if account == deployer.address else _OTHERS_OCEAN
        deployer.send(ocean.functions.mint(account, amount))
    dai = deployer.deploy("MockERC20Decimals", "DAI", "DAI", 18)
    usdc = deployer.deploy("MockERC20Decimals", "USDC", "USDC", 6)
    tokens = {"Ocean": ocean.address, "MockDAI": dai.address, "MockUSDC": usdc.address}
    return ocean.address, tokens


def _deploy_market(deployer: Deployer, router: Contract) -> Addresses:
    """Deploy what sells datatokens, and what gives them away."""
    fixed_rate = deployer.deploy("FixedRateExchange", router.address)
    dispenser = deployer.deploy("Dispenser", router.address)
    deployer.send(router.functions.addFixedRateContract(fixed_rate.address))
    deployer.send(router.functions.addDispenserContract(dispenser.address))
    return {"FixedPrice": fixed_rate.address, "Dispenser": dispenser.address}


def _deploy_factory(deployer: Deployer, router: Contract) -> Addresses:
    """Deploy the factory of data NFTs; templates are numbered by the order of their addition."""
    nft = deployer.deploy("ERC721Template")
    first, *others = (deployer.deploy(name).address for name in _TEMPLATES)
    factory = deployer.deploy("ERC721Factory", nft.address, first, router.address)
    for template in others:
        deployer.send(factory.functions.addTokenTemplate(template))
    deployer.send(router.functions.addFactory(factory.address))
    numbered = {str(number): address for number, address in enumerate((first, *others), 1)}
    return {
        "ERC721Template": {"1": nft.address},
        "ERC20Template": numbered,
        "ERC721Factory": factory.address,
    }


def _deploy_escrows(deployer: Deployer, router: Contract, tokens: Addresses) -> Addresses:
    """Deploy the escrows, Ocean's and the enterprises', which takes the tokens it is told of."""
    me = deployer.address
    collector = deployer.deploy("OPFCommunityFeeCollector", me, me)
    escrow = deployer.deploy("Escrow", router.address, collector.address)
    enterprise = deployer.deploy("EnterpriseFeeCollector", me, me)
    for token in tokens.values():
        deployer.send(enterprise.functions.updateToken(token, 0, 1, 1, True))  # least fee
    fixed_rate = deployer.deploy("FixedRateExchangeEnterprise", router.address, enterprise.address)
    deployer.send(router.functions.addFixedRateContract(fixed_rate.address))
    return {
        "OPFCommunityFeeCollectorCompute": collector.address,
        "Escrow": escrow.address,
        "EnterpriseFeeCollector": enterprise.address,
        "FixedPriceEnterprise": fixed_rate.address,
        "EnterpriseEscrow": deployer.deploy("EnterpriseEscrow", enterprise.address).address,
    }


def _accounts(path: Path) -> dict[str, dict[str, str]]:
    """Read the accounts' keys; those that are not anvil's are made up where there are none."""
    if path.exists():
        known: dict[str, dict[str, str]] = json.loads(path.read_text())
        return known
    Account.enable_unaudited_hdwallet_features()
    made = {
        name: Account.from_mnemonic(_MNEMONIC, account_path=f"m/44'/60'/0'/0/{number}")
        for number, name in enumerate(TEST_ACCOUNTS)
    }
    made |= {name: Account.create() for name in OWN_ACCOUNTS}
    accounts = {
        name: {"address": account.address, "key": Web3.to_hex(account.key)}
        for name, account in made.items()
    }
    _write(path, accounts)
    return accounts


def _write(path: Path, content: dict[str, Any]) -> None:
    unfinished = path.with_suffix(".new")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(content, indent=1))
    unfinished.rename(path)


if __name__ == "__main__":
    main()
