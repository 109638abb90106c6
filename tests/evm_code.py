"""Small contracts written by hand, for tests: what strangers may put on a chain."""

from web3 import Web3

from chain import Ocean

EMITTER = bytes.fromhex("604035602035600035" + "60603603" + "806060600037" + "6000a300")
"""Logs what it is called with: three topics, then data. Any event of any contract."""

YES = bytes.fromhex("600160005260206000f3")
"""Answers 1, or true, to every call."""

ENDLESS = bytes.fromhex("5b600056")
"""Runs for ever."""

FLOOD = bytes.fromhex("621000006000f3")
"""Answers a mebibyte of zeros."""

INVALID = bytes.fromhex("fe")


def reverting(data: bytes) -> bytes:
    """Revert with these bytes, whatever is called."""
    return _with_data(data, "fd")


def answering(data: bytes) -> bytes:
    """Answer these bytes, whatever is called."""
    return _with_data(data, "f3")


def deploy(ocean: Ocean, runtime: bytes) -> str:
    """Put a contract of this code on the chain; returns its address."""
    size = len(runtime).to_bytes(2, "big").hex()
    constructor = bytes.fromhex(f"61{size}600e60003961{size}6000f3")
    sender = ocean.web3.eth.accounts[9]
    sent = ocean.web3.eth.send_transaction({"from": sender, "data": constructor + runtime})
    receipt = ocean.web3.eth.wait_for_transaction_receipt(sent, 30, 0.01)
    assert receipt["status"] == 1
    return Web3.to_checksum_address(str(receipt["contractAddress"]))


def emit(ocean: Ocean, emitter: str, topics: list[bytes], data: bytes, sender: str) -> str:
    """Have an `EMITTER` write a log; returns the transaction."""
    call = {
        "from": Web3.to_checksum_address(sender),
        "to": Web3.to_checksum_address(emitter),
        "data": b"".join(topics) + data,
    }
    sent = ocean.web3.eth.send_transaction(call)  # type: ignore[arg-type]  # bytes will do
    receipt = ocean.web3.eth.wait_for_transaction_receipt(sent, 30, 0.01)
    assert receipt["status"] == 1
    return Web3.to_hex(sent)


def _with_data(data: bytes, end: str) -> bytes:
    size = len(data).to_bytes(2, "big").hex()
    return bytes.fromhex(f"61{size}600e60003961{size}6000{end}") + data


def next_address(sender: str, nonce: int) -> str:
    """Tell the address of the contract that an account makes with this nonce, below 128."""
    assert 0 < nonce < 128  # else the nonce has another encoding
    body = bytes.fromhex(f"d694{sender[2:]}") + bytes([nonce])
    return Web3.to_checksum_address(Web3.keccak(body)[12:])
