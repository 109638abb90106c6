"""Who signed what: recorded requests, vectors of real clients, and signatures that are none.

The signatures of KEY were made by provider v2's own code, ocean.js 8.0.0 (`signRequest`) and 3.4.6
(`signProviderRequest`), ocean-lib 3.1.2 (`sign_with_key`) and ethers 6 (`signMessage`).
"""

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

import recordings
from c2d_provider import messages
from c2d_provider.messages import Command, Message, Messages
from c2d_provider.refusals import Reason, Refusal
from c2d_provider.signatures import CURVE_ORDER, Signed, digests, parse, verify

KEY = "0x" + "11" * 32
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
DID = "did:op:" + "ab" * 32
JOB = "0123456789abcdef0123456789abcdef"
STRANGER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"

DOWNLOAD = (
    "0x4cbb72b7355ed39d02961b04f06158dd2b1a318131305243364d750bf5b73cba"
    "7ae3033539b0eef9250ea7e588cb340f3f01f8581639f297c5f7df3e218392a71c"
)
START = (
    "0x997d0a256839192f4681ef11db44064ceae9fb7b541b8d528a7fe9249396f8b5"
    "6f00d3d1e0d2336f716e1f76dd73c846c3101cc87434114dbabd3ae0ccb9d4301c"
)
STOP = (
    "0xdcf00e86844cdb853074ff134ae1f7988484bf832912b8d845a01baffbaa883b"
    "2944cf9a13d671b02bc8461e0a5be7258a7bb53c3055e1da1b3e2a490a2cc2641b"
)
BARE_STOP = (
    "0x85e63e1148c3dc1d73453658e1a30c311e88c1f468c5b48c25379b42a0a0f001"
    "56dc1a2daa3d98c039679b61227df1172a95f9d4c3acb5c27ab832707acd9e581c"
)
RESULT = (
    "0xd51b6d7dece2055e01f9b0ba0beb26fe176db136034515c1d45d4f7998f78463"
    "3239324edf63715cc712470ff0c5a7ae4b1cee6ea8a190bf6ff33a1aea8970ff1c"
)
AUTHENTICATION = (
    "0x2353744f35ca5adbf600e7828666f436bd5aa2cc74c90b88e5c474e203a904bc"
    "42f1e52dd08dee9758805e57cff7a99824e9f1e95ee7078c58ed9c0cd7632c6f1c"
)
NODE = {
    Command.ENCRYPT: (
        "1",
        "0xdf68252ee3b9c5c5a737a54e777224aa7b7ff06bdc61993a706e3ca891845fd7"
        "7b87d45e7f004144ee5ac17d068848bbf31fd97c88c0dae081e6ab71a843f8aa1c",
    ),
    Command.DOWNLOAD: (
        "2",
        "0x9380d284946b8b375545b6498d5d0f446e03b9583903269b5ae82dea5c437fa4"
        "3fabbd3bd92bdf0e8e8b0d0247df967dd56625536d81a8a8d17929f3f15f3ffa1c",
    ),
    Command.START: (
        "3",
        "0x12f1e1a851e939249d3e8b39fb469ae1f248eb6a4dfdbbec491c197597cd886c"
        "4b692231587ec5748d53d5ff8c90fb3dedc7b1467f5000c280a5a10837d9e9b11c",
    ),
    Command.FREE_START: (
        "4",
        "0x3726248b002f068d748c043a9e4a4f99e188a07f274089ff581649af8a4ace8e"
        "3b96009368f4f354f6c68e153ea08e60a891248455cbd8d86a9e7bb24898d5cc1c",
    ),
    Command.STOP: (
        "5",
        "0x0a97fe228b1debc56de3c65a600f4be2a25d7d039269fb0ba5934070bbc369a9"
        "0677ce2f25fc72e66904106f892510dd66ac55b2c9bb3a59827e4cb2a5556a821b",
    ),
    Command.RESULT: (
        "6",
        "0xea187ede99c691546bcdc92132c42750038db65123e10a7fb59c29d9ee3e453a"
        "0eb2f02c7c28f394cf7fdf0c5c513489204f0d2f1a97b80ebe1633fc555d1f8d1c",
    ),
    Command.LOGS: (
        "7",
        "0xf84b29eb1644057afdcc3c48c376fcb5a9254c72b7578491b1a3598e0727759c"
        "733daf3c4b2ed3df0171efd62e234dea89dd276c7f22395daa071c1d72ab1c061b",
    ),
    Command.CREATE_TOKEN: (
        "8",
        "0xa3580f67f34dda6593f84e294a5ab1bf54380ad66e3e28f331ea8616ad95aeb2"
        "403a485f9f84c62264f285a0245655c9908cba8519a1e563602d58b140c333451c",
    ),
    Command.INVALIDATE_TOKEN: (
        "9",
        "0x628ca91cfc4488d8333c37b3d2f5df24f8cd573296c9c6b1359590ab3b8abe38"
        "47ae3c7b28421cbd2f84aee86c20d1ff7432c48a7184d3dc731e676190ffc4a71b",
    ),
    Command.VALIDATE_DDO: (
        "10",
        "0x2644347ffcbfc07b8453d7b68dbe499f2183f3087f1edf349a44c954da35d1fa"
        "220a51e9438af2449d22dc9f0fccfdb3289978de26dc5676c7ecc5b9f8367c951b",
    ),
}


@pytest.mark.parametrize(
    ("signed", "signature"),
    [
        pytest.param(messages.download(DID, "1"), DOWNLOAD, id="download"),
        pytest.param(messages.start(ADDRESS, DID, "2"), START, id="start"),
        pytest.param(messages.stop(ADDRESS, JOB, DID, "3"), STOP, id="stop with a DID"),
        pytest.param(messages.delete(ADDRESS, JOB, DID, "3"), STOP, id="deletion"),
        pytest.param(messages.status(ADDRESS, JOB, DID, "3"), STOP, id="status, by ocean.py"),
        pytest.param(messages.stop(ADDRESS, JOB, "", "9"), BARE_STOP, id="stop, by ocean.js 3"),
        pytest.param(messages.result(ADDRESS, JOB, 0, "4"), RESULT, id="result"),
        pytest.param(messages.token(ADDRESS, "5"), AUTHENTICATION, id="token"),
        *(
            pytest.param(messages.node(ADDRESS, nonce, command), signature, id=f"node {command}")
            for command, (nonce, signature) in NODE.items()
        ),
    ],
)
def test_the_texts_of_real_clients_are_known(signed: Messages, signature: str) -> None:
    found = verify(ADDRESS, signed, signature)
    assert isinstance(found, Signed)
    assert found.signer == ADDRESS


_V2 = "/v2/api/services"
_NODE_COMMANDS = {
    ("POST", "/api/services/encrypt"): Command.ENCRYPT,
    ("POST", "/api/aquarius/assets/ddo/validate"): Command.VALIDATE_DDO,
    ("POST", "/api/services/freeCompute"): Command.FREE_START,
    ("POST", "/api/services/compute"): Command.START,
    ("PUT", "/api/services/compute"): Command.STOP,
    ("GET", "/api/services/computeResult"): Command.RESULT,
    ("GET", "/api/services/computeStreamableLogs"): Command.LOGS,
    ("POST", "/api/services/auth/token"): Command.CREATE_TOKEN,
    ("POST", "/api/services/auth/token/invalidate"): Command.INVALIDATE_TOKEN,
}
SIGNED = [e for e in recordings.requests() if "signature" in {**e["query"], **e["body"]}]


def recorded_messages(entry: recordings.Json, address: str) -> Messages:
    sent = {"documentId": "", "jobId": "", **entry["query"], **entry["body"]}
    nonce, job, did = str(sent["nonce"]), sent["jobId"], sent["documentId"]
    match entry["method"], entry["path"]:
        case "POST", "/v2/api/services/compute":
            return messages.start(address, sent["dataset"]["documentId"], nonce)
        case "PUT", "/v2/api/services/compute":
            return messages.stop(address, job, did, nonce)
        case "GET", "/v2/api/services/compute":
            return messages.status(address, job, did, nonce)
        case "GET", "/v2/api/services/computeResult":
            return messages.result(address, job, int(sent["index"]), nonce)
        case method, path:
            return messages.node(address, nonce, _NODE_COMMANDS[method, path])


def recorded_address(entry: recordings.Json) -> str:
    sent = {**entry["query"], **entry["body"]}
    return str(
        next(sent[k] for k in ("consumerAddress", "address", "publisherAddress") if k in sent)
    )


@pytest.mark.parametrize("entry", SIGNED, ids=recordings.title)
def test_every_recorded_signature_is_its_senders(entry: recordings.Json) -> None:
    address = recorded_address(entry)
    signature = {**entry["query"], **entry["body"]}["signature"]
    found = verify(address, recorded_messages(entry, address), signature)
    assert isinstance(found, Signed)
    assert found.signer == address


def test_the_recordings_hold_every_signed_request_of_the_clients() -> None:
    assert len(SIGNED) > 30
    paths = {(e["method"], e["path"]) for e in SIGNED}
    assert paths >= set(_NODE_COMMANDS)
    assert len([path for _, path in paths if path.startswith(_V2)]) == 4


@pytest.mark.parametrize(
    ("signature", "form"),
    [
        pytest.param(
            "0xfd5a4d9bc664ed29d05f74eebcd16b727781e37ce613ae6a63da959658ce23bf"
            "1f6e207ab651ec242f279b19491a6abcc4715f1b4e697764b627c3d58363aa381c",
            "hash without its leading zero byte, by ocean.js 8",
            id="ocean.js 8 drops a leading zero byte",
        ),
        pytest.param(
            "0x8c1d44ce12e6c971ae5f1538cea89bcdd02db1f66f06c13675c45a0cf5e15559"
            "41db29c97ab7e0a0759c4922396a6f264aa9ac22d30fa56431b456ff1050b1c31c",
            "hash",
            id="ocean.js 3 keeps it",
        ),
        pytest.param(
            "0x8c1d44ce12e6c971ae5f1538cea89bcdd02db1f66f06c13675c45a0cf5e15559"
            "41db29c97ab7e0a0759c4922396a6f264aa9ac22d30fa56431b456ff1050b1c301",
            "hash, v 1",
            id="ocean.py writes v as 0 or 1",
        ),
        pytest.param(
            "0x451da9139f6faf0f01405a6aff41a860df007702d07ca9626495dffbdb07b33a"
            "2deed4b4f47496ab748916cf66dcefe6a72fb1d390a0fb0df323e679af97ed671b",
            "hash as text",
            id="the hash as hexadecimal text",
        ),
        pytest.param(
            "0x5631aaffb84c9ad22b8e1a2b86f9c1f53424851fb19ebeb04b192a482e1f84bb"
            "75463ddeba5f1e68fcab363b58ade26e9055456c6895d243c992caa6a27a41551b",
            "text",
            id="the text itself",
        ),
    ],
)
def test_what_wallets_make_of_a_text_is_known(signature: str, form: str) -> None:
    """The keccak hash of this text begins with a zero byte."""
    message = (Message(ADDRESS + "1136startCompute"),)
    assert isinstance(verify(ADDRESS, message, signature), Signed), form


def test_two_leading_zero_bytes_are_dropped_too() -> None:
    signature = (
        "0x1d74cfae4a00d8c36846ff929fa4eefc0b3ff2024beed78b07a6d8e63b398b3a"
        "66a209b5d433b92f1d76288b802144f7e23114eecb60f414462615882be4e4ce1b"
    )
    message = (Message(ADDRESS + "183077stopCompute"),)
    assert isinstance(verify(ADDRESS, message, signature), Signed)


def test_an_address_in_other_letter_case_is_the_same_signer() -> None:
    found = verify(ADDRESS.lower(), messages.download(DID, "1"), DOWNLOAD)
    assert isinstance(found, Signed)
    assert found.signer == ADDRESS


@pytest.mark.parametrize(
    ("address", "signed", "signature"),
    [
        pytest.param(STRANGER, messages.start(ADDRESS, DID, "2"), START, id="another address"),
        pytest.param(ADDRESS, messages.start(ADDRESS, DID, "3"), START, id="another nonce"),
        pytest.param(
            ADDRESS, messages.start(ADDRESS.lower(), DID, "2"), START, id="the text in other case"
        ),
        pytest.param(
            ADDRESS,
            messages.start(ADDRESS, "did:op:" + "ac" * 32, "2"),
            START,
            id="another dataset",
        ),
        pytest.param(ADDRESS, messages.result(ADDRESS, JOB, 1, "4"), RESULT, id="another index"),
        pytest.param(ADDRESS, messages.stop(ADDRESS, JOB, "", "04"), RESULT, id="result as stop"),
        pytest.param(ADDRESS, messages.delete(ADDRESS, JOB, "", "04"), RESULT, id="as deletion"),
        pytest.param(
            ADDRESS, messages.delete(ADDRESS, JOB, "", "9"), BARE_STOP, id="bare stop as deletion"
        ),
        pytest.param(
            ADDRESS,
            messages.node(ADDRESS, "3", Command.FREE_START),
            NODE[Command.START][1],
            id="another command",
        ),
        pytest.param(ADDRESS, (), START, id="no message at all"),
    ],
)
def test_a_signature_is_good_for_nothing_else(
    address: str, signed: Messages, signature: str
) -> None:
    found = verify(address, signed, signature)
    assert isinstance(found, Refusal)
    assert found.reason == Reason.SIGNATURE_MISMATCH


def test_a_stop_without_a_nonce_says_that_it_binds_none() -> None:
    bare = verify(ADDRESS, messages.stop(ADDRESS, JOB, DID, "9"), BARE_STOP)
    bound = verify(ADDRESS, messages.stop(ADDRESS, JOB, DID, "3"), STOP)
    assert isinstance(bare, Signed)
    assert isinstance(bound, Signed)
    assert (bare.message.binds_nonce, bound.message.binds_nonce) == (False, True)


def _high_s(signature: str) -> str:
    raw = bytes.fromhex(signature[2:])
    s = CURVE_ORDER - int.from_bytes(raw[32:64], "big")
    return "0x" + (raw[:32] + s.to_bytes(32, "big") + bytes([55 - raw[64]])).hex()


_R = "11" * 32
_S = "22" * 32


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(None, id="none"),
        pytest.param(7, id="a number"),
        pytest.param("", id="empty"),
        pytest.param("0x", id="empty hexadecimal"),
        pytest.param(START[:-2], id="64 bytes"),
        pytest.param(START + "00", id="66 bytes"),
        pytest.param(START[:-1], id="half a byte"),
        pytest.param("0x" + "g" * 130, id="no hexadecimal"),
        pytest.param("0X" + START[2:], id="another prefix"),
        pytest.param(f" {START}", id="a space"),
        pytest.param(f"{START}\n", id="a line feed"),
        pytest.param("0x" + "1" * 129 + "\uff11", id="a full-width digit"),
        pytest.param(START[:-2] + "02", id="v 2"),
        pytest.param(START[:-2] + "1d", id="v 29"),
        pytest.param(START[:-2] + "25", id="v with a chain id"),
        pytest.param("0x" + "00" * 32 + _S + "1b", id="r is zero"),
        pytest.param("0x" + _R + "00" * 32 + "1b", id="s is zero"),
        pytest.param("0x" + "ff" * 32 + _S + "1b", id="r is beyond the curve"),
        pytest.param("0x" + _R + "ff" * 32 + "1b", id="s is beyond the curve"),
        pytest.param(_high_s(START), id="the other s that verifies"),
    ],
)
def test_a_malformed_signature_is_refused(signature: object) -> None:
    found = verify(ADDRESS, messages.start(ADDRESS, DID, "2"), signature)
    assert isinstance(found, Refusal)
    assert found.reason == Reason.SIGNATURE_MALFORMED


@pytest.mark.parametrize("address", ["", "0x", ADDRESS[:-1], "0X" + ADDRESS[2:], ADDRESS + "\n"])
def test_what_is_no_address_signs_nothing(address: str) -> None:
    found = verify(address, messages.start(ADDRESS, DID, "2"), START)
    assert isinstance(found, Refusal)
    assert found.reason == Reason.INVALID_ADDRESS


@given(st.binary(max_size=70).map(bytes.hex) | st.text(max_size=140))
def test_no_signature_makes_it_fail(signature: str) -> None:
    assert isinstance(verify(ADDRESS, messages.start(ADDRESS, DID, "2"), signature), Refusal)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_digests_are_those_of_eth_account(text: str) -> None:
    hashed = keccak(text=text)
    forms = list(digests(text))
    for encoded in (encode_defunct(primitive=hashed), encode_defunct(text=text)):
        signature = Account.sign_message(encoded, KEY).signature.to_0x_hex()
        found = verify(ADDRESS, (Message(text),), signature)
        assert isinstance(found, Signed)
    assert len(set(forms)) == len(forms) == (4 if hashed[0] == 0 else 3)


def test_parse_reads_all_spellings_of_v() -> None:
    assert parse(START) == parse(START[:-2] + "01") == parse(START[2:])


def test_no_two_requests_of_provider_v2_share_a_text() -> None:
    texts = [
        message.text
        for listed in (
            messages.download(DID, "14"),
            messages.start(ADDRESS, DID, "14"),
            messages.stop(ADDRESS, JOB, DID, "14"),
            messages.stop(ADDRESS, JOB, "", "14"),
            messages.result(ADDRESS, JOB, 1, "4"),
            messages.token(ADDRESS, "14"),
        )
        for message in listed
    ]
    assert len(set(texts)) == len(texts) - 1  # both stops list the one without a nonce
