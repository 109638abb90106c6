"""Calls of contracts: arguments by their names, and answers that are read and not followed."""

import json
import time
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from c2d_provider import contract_calls
from c2d_provider.refusals import Reason, Refused

ADDRESS = "0x8aCd85898458400f7Db866d53FCFF6f0D49741FF"


def function(*inputs: Any, outputs: tuple[Any, ...] = ("uint256",)) -> dict[str, Any]:
    return {
        "type": "function",
        "name": "f",
        "inputs": [_parameter(n, one) for n, one in enumerate(inputs)],
        "outputs": [_parameter(n, one) for n, one in enumerate(outputs)],
    }


def _parameter(number: int, described: Any) -> dict[str, Any]:
    if isinstance(described, str):
        return {"name": f"p{number}", "type": described}
    type_, *members = described
    components = [_parameter(n, one) for n, one in enumerate(members)]
    return {"name": f"p{number}", "type": type_, "components": components}


def answered(*types: Any, data: bytes) -> Any:
    return json.loads(contract_calls.read_answer(function(outputs=types), data))


def refused(call: Any, *arguments: Any) -> Reason:
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value.refusal.reason


@pytest.mark.parametrize(
    ("type_", "given", "meant"),
    [
        ("uint256", 7, 7),
        ("uint256", "7", 7),
        ("uint256", str(2**255), 2**255),
        ("int8", "-7", -7),
        ("bool", True, True),
        ("bool", "false", False),
        ("address", ADDRESS, ADDRESS),
        ("address", ADDRESS.lower(), ADDRESS),
        ("bytes", "0x0102", b"\1\2"),
        ("bytes4", "0x01020304", b"\1\2\3\4"),
        ("string", "ä", "ä"),
        ("uint8[2][]", [[1, "2"], [3, 4]], [[1, 2], [3, 4]]),
        ("address[]", [ADDRESS], [ADDRESS]),
    ],
)
def test_arguments_are_taken_as_json_has_them(type_: str, given: Any, meant: Any) -> None:
    expected = keccak(text=f"f({type_})")[:4] + encode([type_], [meant])
    assert contract_calls.encode(function(type_), {"p0": given, "more": 1}) == expected


@pytest.mark.parametrize("given", [[1, ADDRESS], {"p0": "1", "p1": ADDRESS}])
def test_a_struct_is_a_list_or_an_object(given: Any) -> None:
    expected = keccak(text="f((uint256,address))")[:4]
    expected += encode(["(uint256,address)"], [(1, ADDRESS)])
    described = function(("tuple", "uint256", "address"))
    assert contract_calls.encode(described, {"p0": given}) == expected


@pytest.mark.parametrize(
    ("type_", "given"),
    [
        ("uint256", -1), ("uint8", 256), ("uint256", "x"), ("uint256", 1.5), ("uint256", True),
        ("uint256", None), ("bool", 1), ("bool", "yes"), ("bool", []), ("address", "0x1"),
        ("address", 5), ("bytes4", "0x0102030405"), ("bytes", "zz"), ("string", 5),
        ("uint8[2]", [1]), ("uint8[]", "ab"), ("uint8[]", [0] * 2000), ("uint256", "1" * 100),
        ("string", "\ud800"),
    ],
)  # fmt: skip
def test_an_argument_that_does_not_fit_is_refused(type_: str, given: Any) -> None:
    reason = refused(contract_calls.encode, function(type_), {"p0": given})
    assert reason == Reason.PARAMETER_INVALID


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(Refused) as caught:
        contract_calls.encode(function("uint256", "bool"), {"p0": 1})
    assert caught.value.refusal.message == "Missing userparams: p1"


@pytest.mark.parametrize(
    "inputs",
    [
        "x",
        [5],
        [{"name": "a"}],
        [{"name": "a", "type": "uint256[99999]"}],
        [{"name": "a", "type": "uint256[0]"}],
        [{"name": "a", "type": "uint256[][][][]"}],
        [{"name": "a", "type": "tuple"}],
        [{"name": "a", "type": "tuple", "components": []}],
        [{"name": "a", "type": "uint256) returns ("}],
        [{"name": ["a"], "type": "uint256"}],
        [{"name": "a", "type": "uint8"}] * 65,
    ],
)
def test_an_interface_that_is_none_is_refused(inputs: Any) -> None:
    body = {"name": "f", "inputs": inputs, "outputs": []}
    assert refused(contract_calls.encode, body, {"a": 1}) == Reason.FILES_MALFORMED


@pytest.mark.parametrize("type_", ["nonsense", "uint7", "bytes33"])
def test_a_type_that_there_is_not_is_refused(type_: str) -> None:
    with pytest.raises(Refused):
        contract_calls.encode(function(type_), {"p0": 1})
    with pytest.raises(Refused):
        contract_calls.read_answer(function(outputs=(type_,)), bytes(64))


@pytest.mark.parametrize("name", ["", "f(", "a b", None, 5, "f\n"])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    body = {"name": name, "inputs": [], "outputs": []}
    assert refused(contract_calls.encode, body, {}) == Reason.FILES_MALFORMED


def test_an_answer_is_json() -> None:
    assert answered("uint256", data=encode(["uint256"], [2**256 - 1])) == 2**256 - 1
    assert answered("string", data=encode(["string"], ["ä"])) == "ä"
    assert answered("bytes4", data=encode(["bytes4"], [b"\1\2\3\4"])) == "0x01020304"
    several = encode(["bool", "address[]"], [True, [ADDRESS]])
    assert answered("bool", "address[]", data=several) == [True, [ADDRESS.lower()]]
    struct = encode(["(uint256,string)"], [(1, "x")])
    assert answered(("tuple", "uint256", "string"), data=struct) == [1, "x"]


@pytest.mark.parametrize(
    ("types", "data"),
    [
        pytest.param(("uint256",), b"", id="nothing"),
        pytest.param((), bytes(32), id="types that are not named"),
        pytest.param(("uint256",), bytes(31), id="half a word"),
        pytest.param(("string",), encode(["string"], ["ä"])[:-32], id="a text that is cut"),
        pytest.param(("string",), encode(["bytes"], [b"\xff\xfe"]), id="a text that is none"),
        pytest.param(("uint256[]",), b"\xff" * 96, id="a pointer to nowhere"),
        pytest.param(("uint8",), encode(["uint256"], [256]), id="a number out of range"),
        pytest.param(("uint256",), bytes(300_000), id="too much"),
    ],
)
def test_an_answer_that_is_none_is_refused(types: tuple[str, ...], data: bytes) -> None:
    reason = refused(contract_calls.read_answer, function(outputs=types), data)
    assert reason == Reason.FILE_UNAVAILABLE


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.mark.parametrize("levels", [2, 3])
def test_pointers_at_one_another_are_not_followed_for_ever(levels: int) -> None:
    """A list of lists that are all the same one: quadratic, cubic, and so on."""
    count = 1000
    inner = word(count) + word(1) * count
    for _ in range(levels - 1):
        inner = word(count) + word(32 * count) * count + inner
    began = time.process_time()
    described = function(outputs=("uint256" + "[]" * levels,))
    data = word(32) + inner
    assert len(data) < contract_calls.MAX_ANSWER_BYTES
    assert refused(contract_calls.read_answer, described, data) == Reason.FILE_UNAVAILABLE
    assert time.process_time() - began < 5


def test_a_long_list_is_read_whole() -> None:
    numbers = list(range(8000))
    assert answered("uint256[]", data=encode(["uint256[]"], [numbers])) == numbers
    texts = [["a" * 40] * 20] * 30
    assert answered("string[][]", data=encode(["string[][]"], [texts])) == texts


@pytest.mark.parametrize(
    ("function", "answer", "expected"),
    [
        (contract_calls.IS_DEPLOYED, word(1), (True,)),
        (contract_calls.IS_DEPLOYED, word(2), None),
        (contract_calls.IS_DEPLOYED, b"", None),
        (contract_calls.OWNER_OF, word(int(ADDRESS, 16)), (ADDRESS.lower(),)),
        (contract_calls.OWNER_OF, word(1 << 200), None),
        (contract_calls.NAME, word(1 << 255), None),
    ],
)
def test_an_answer_of_a_known_function_is_read_or_is_none(
    function: contract_calls.Function, answer: bytes, expected: Any
) -> None:
    assert function.read(answer) == expected


def test_selectors_are_those_of_the_contracts() -> None:
    """As the interface of Ocean's contracts has them."""
    assert contract_calls.ERC721_LIST.call(ADDRESS)[:4].hex() == "72f670f0"
    assert contract_calls.IS_DEPLOYED.call(ADDRESS)[:4].hex() == "90184b02"
    assert contract_calls.METADATA.call().hex() == "d2786ba4"
