"""Ocean's contracts from the side of those who use them, for tests: publish and order."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from eth_account import Account as Signer
from eth_account.messages import encode_defunct
from eth_typing import ChecksumAddress
from hexbytes import HexBytes
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.types import TxReceipt

from local_stack.chain import CHAIN_ID, NETWORK, Account, Chain
from local_stack.contracts import artifact

Words = tuple[object, ...]

NOBODY = "0x" + "00" * 20
ONE = 10**18
_NO_MARKET_FEE = (NOBODY, NOBODY, 0)
_RECEIPT_LIMIT = 30.0
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Asset:
    """What was published: a data NFT and the datatoken that pays for its service."""

    did: str
    nft: ChecksumAddress
    datatoken: ChecksumAddress


@dataclass(frozen=True)
class ProviderFee:
    """What a provider asks for, signed; the fields are in the contracts' order."""

    address: str
    token: str
    amount: int
    v: int
    r: bytes
    s: bytes
    valid_until: int
    data: bytes


@dataclass(frozen=True)
class Order:
    """One order of a batch."""

    asset: Asset
    consumer: str
    fee: ProviderFee
    service_index: int = 0


class Ocean:
    """Ocean's contracts on a chain whose first accounts need no signatures."""

    def __init__(self, chain: Chain) -> None:
        self.web3 = Web3(HTTPProvider(chain.url))
        self.addresses: dict[str, Any] = json.loads(chain.address_file.read_text())[NETWORK]
        self.factory = self.contract("ERC721Factory", self.addresses["ERC721Factory"])

    def contract(self, name: str, address: str) -> Contract:
        return self.web3.eth.contract(Web3.to_checksum_address(address), abi=artifact(name)["abi"])

    def datatoken(self, asset: Asset) -> Contract:
        return self.contract("ERC20Template", asset.datatoken)

    def send(self, call: ContractFunction, sender: str) -> TxReceipt:
        """Send a call and wait until it is mined."""
        sent = call.transact({"from": Web3.to_checksum_address(sender)})
        receipt = self.web3.eth.wait_for_transaction_receipt(sent, _RECEIPT_LIMIT, _POLL_SECONDS)
        assert receipt["status"] == 1
        return receipt

    def publish(self, owner: str, *, template: int = 1, name: str = "Data") -> Asset:
        """Publish an asset with one service: a data NFT and its datatoken."""
        nft: Words = (name, "NFT", 1, "", True, owner)
        roles = [owner, owner, NOBODY, NOBODY]  # minter, payment collector, market and its token
        datatoken: Words = (template, [name, "DT"], roles, [1000 * ONE, 0], [])
        mined = self.send(self.factory.functions.createNftWithErc20(nft, datatoken), owner)
        made = self._made("NFTCreated", mined), self._made("TokenCreated", mined)
        return Asset(did(made[0]), *made)

    def mint(self, asset: Asset, owner: str, to: str, count: int = 1) -> None:
        """Give somebody datatokens."""
        self.send(self.datatoken(asset).functions.mint(to, count * ONE), owner)

    def start_order(
        self,
        asset: Asset,
        payer: str,
        fee: ProviderFee,
        *,
        consumer: str | None = None,
        service_index: int = 0,
    ) -> TxReceipt:
        """Pay one datatoken for a service."""
        start = self.datatoken(asset).functions.startOrder
        words = (consumer or payer, service_index, astuple(fee), _NO_MARKET_FEE)
        return self.send(start(*words), payer)

    def reuse_order(
        self, asset: Asset, payer: str, order_tx: HexBytes, fee: ProviderFee
    ) -> TxReceipt:
        """Pay the provider again for an order that is paid."""
        return self.send(self.datatoken(asset).functions.reuseOrder(order_tx, astuple(fee)), payer)

    def start_orders(self, payer: str, orders: Sequence[Order]) -> TxReceipt:
        """Pay for several services at once; to the datatokens, the factory is the payer."""
        for order in orders:
            token = self.datatoken(order.asset)
            self.send(token.functions.approve(self.factory.address, ONE), payer)
        batch = [
            (
                order.asset.datatoken,
                order.consumer,
                order.service_index,
                astuple(order.fee),
                _NO_MARKET_FEE,
            )
            for order in orders
        ]
        return self.send(self.factory.functions.startMultipleTokenOrder(batch), payer)

    def _made(self, event: str, mined: TxReceipt) -> ChecksumAddress:
        """Read the address of what the factory made in a transaction."""
        block = mined["blockNumber"]
        (log,) = self.factory.events[event]().get_logs(from_block=block, to_block=block)
        made: ChecksumAddress = log["args"]["newTokenAddress"]
        return made


def did(nft: ChecksumAddress) -> str:
    """Compute the DID of an asset from the address of its data NFT."""
    return "did:op:" + hashlib.sha256(f"{nft}{CHAIN_ID}".encode()).hexdigest()


def signed_fee(
    provider: Account,
    *,
    token: str = NOBODY,
    amount: int = 0,
    valid_until: int = 0,
    data: bytes = b"",
) -> ProviderFee:
    """Ask for a fee as a provider does, with its signature."""
    words = (data, provider.address, token, amount, valid_until)
    types = ["bytes", "address", "address", "uint256", "uint256"]
    message = encode_defunct(Web3.solidity_keccak(types, words))
    signature = Signer.sign_message(message, provider.key)
    r, s = (number.to_bytes(32, "big") for number in (signature.r, signature.s))
    return ProviderFee(provider.address, token, amount, signature.v, r, s, valid_until, data)


def emitted(receipt: TxReceipt, emitter: str) -> list[str]:
    """List the first topics of what one contract logged in a transaction."""
    return [Web3.to_hex(log["topics"][0]) for log in receipt["logs"] if log["address"] == emitter]
