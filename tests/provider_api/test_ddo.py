"""DDOs: recorded ones are read, hostile ones are refused with a word of what is wrong.

The DIDs of version 4 are those of real clients; that of 5 has ddo-js 0.2.0's other prefix.
"""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import recordings
from c2d_provider import ddo
from c2d_provider.ddo import MAX_BYTES, Compute, Container, TrustedAlgorithm
from c2d_provider.refusals import Reason, Refused

RECORDED = recordings.ddos()
NFT = "0x8aCd85898458400f7Db866d53FCFF6f0D49741FF"
HASH = "5596a837c68a80a781220447646381af05f82d7062e47727da68c6409caecc8d"
DATATOKEN = "0xe082b26cEf079a095147F35c9647eC97c2401B83"


def document(**changes: Any) -> dict[str, Any]:
    """Write a DDO of version 4 with one compute service."""
    return {
        "id": f"did:op:{HASH}",
        "version": "4.1.0",
        "chainId": 8996,
        "nftAddress": NFT,
        "metadata": {"type": "dataset", "name": "n"},
        "services": [service()],
        **changes,
    }


def service(**changes: Any) -> dict[str, Any]:
    return {
        "id": "s1",
        "type": "compute",
        "files": "0x1234",
        "datatokenAddress": DATATOKEN,
        "serviceEndpoint": "https://provider.example",
        "timeout": 3600,
        "compute": {
            "allowRawAlgorithm": True,
            "allowNetworkAccess": False,
            "publisherTrustedAlgorithms": [
                {"did": "*", "filesChecksum": "*", "containerSectionChecksum": "*"}
            ],
            "publisherTrustedAlgorithmPublishers": [NFT],
        },
        **changes,
    }


def version_5(**changes: Any) -> dict[str, Any]:
    """Write the same DDO in version 5, as a credential."""
    body = document(**changes)
    subject = {key: body.pop(key) for key in ("chainId", "nftAddress", "metadata", "services")}
    subject["credentials"] = [{"allow": [{"type": "address", "values": [{"address": NFT}]}]}]
    return {
        **body,
        "id": f"did:ope:{HASH}",
        "version": "5.0.0",
        "type": ["VerifiableCredential"],
        "credentialSubject": subject,
    }


@pytest.mark.parametrize(
    "entry", RECORDED, ids=lambda entry: f"{entry['client']} {entry['ddo']['metadata']['type']}"
)
def test_what_clients_publish_is_read(entry: recordings.Json) -> None:
    found = ddo.parse(json.dumps(entry["ddo"]))
    body = entry["ddo"]
    assert (found.id, found.nft, found.chain_id) == (body["id"], body["nftAddress"], 8996)
    assert [one.id for one in found.services] == [one["id"] for one in body["services"]]
    assert [one.index for one in found.services] == list(range(len(body["services"])))
    assert (found.algorithm is not None) == (found.type == "algorithm")


@pytest.mark.parametrize(
    "entry",
    # ocean.py updates its dataset with keys in an order that the cache does not keep.
    [
        e
        for e in RECORDED
        if (e["client"], e["ddo"]["metadata"]["type"]) != ("oceanpy-3.1.2", "dataset")
    ],
    ids=lambda entry: f"{entry['client']} {entry['ddo']['metadata']['type']}",
)
def test_a_caches_document_is_compared_with_the_hash_on_chain(entry: recordings.Json) -> None:
    assert ddo.is_published_as(entry["ddo"], entry["hash"])
    forged = copy.deepcopy(entry["ddo"])
    forged["services"][0]["timeout"] = 0
    assert not ddo.is_published_as(forged, entry["hash"])


@pytest.mark.parametrize("text", ["ünïcode ✓", "\u2028", "😀"])
def test_letters_are_hashed_as_either_client_writes_them(text: str) -> None:
    body = document(metadata={"type": "dataset", "name": text})
    for escaped in (True, False):
        published = json.dumps(body, separators=(",", ":"), ensure_ascii=escaped).encode()
        assert ddo.is_published_as({**body, "event": {}}, ddo.metadata_hash(published))


@pytest.mark.parametrize(
    ("nft", "version", "expected"),
    [
        # provider v2's own code, and `generateDid` of ocean.js 3.4.6
        pytest.param(
            "0x" + "33" * 20,
            "4.1.0",
            "did:op:914ecaf0bea8a06a30a74b50ce28042907c7f4230ccbfbefb9f995f75d6873c7",
            id="version 4",
        ),
        pytest.param(NFT.lower(), "4.1.0", f"did:op:{HASH}", id="other letter case"),
        pytest.param(NFT, "5.0.0", f"did:ope:{HASH}", id="version 5"),
    ],
)
def test_the_did_is_that_of_the_nft_and_chain(nft: str, version: str, expected: str) -> None:
    assert ddo.did(nft, 8996, version) == expected


@pytest.mark.parametrize("body", [document(), version_5()], ids=["version 4", "version 5"])
def test_both_versions_say_the_same(body: dict[str, Any]) -> None:
    found = ddo.parse(body)
    assert found.services[0].compute == Compute(
        allow_raw_algorithm=True,
        trusted_algorithms=(TrustedAlgorithm("*", "*", "*"),),
        trusted_publishers=(NFT,),
    )
    assert found.service("s1") == found.services[0]
    assert found.service("S1") is None


def test_an_algorithm_is_read() -> None:
    container = {"image": "i", "tag": "t", "checksum": "sha256:1", "entrypoint": "python $ALGO"}
    found = ddo.parse(
        document(metadata={"type": "algorithm", "algorithm": {"container": container}})
    )
    assert found.algorithm is not None
    assert found.algorithm.container == Container("i", "t", "sha256:1", "python $ALGO")


def test_what_is_not_said_is_not_allowed() -> None:
    found = ddo.parse(document(services=[service(compute={})]))
    assert found.services[0].compute == Compute()
    assert found.services[0].compute.trusted_algorithms is None


def _deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([], id="a list"),
        pytest.param({}, id="nothing"),
        pytest.param(document(version="6.0.0"), id="a version to come"),
        pytest.param(document(version="4.1.0\n"), id="a version with a line feed"),
        pytest.param(document(version=4), id="a version that is a number"),
        pytest.param(document(id=f"did:op:{'0' * 64}"), id="the id of another asset"),
        pytest.param(document(id=f"did:op:{HASH.upper()}"), id="an id in upper case"),
        pytest.param(document(id=f"did:ope:{HASH}"), id="an id with the other prefix"),
        pytest.param(document(chainId=1), id="another chain"),
        pytest.param(document(chainId="8996"), id="a chain id that is text"),
        pytest.param(document(chainId=True), id="a chain id that is true"),
        pytest.param(document(nftAddress="0x12"), id="no NFT"),
        pytest.param(document(nftAddress="0x" + "33" * 20), id="another NFT"),
        pytest.param(document(metadata=None), id="no metadata"),
        pytest.param(document(metadata={"type": ["dataset"]}), id="a type that is a list"),
        pytest.param(document(services={}), id="services that are no list"),
        pytest.param(document(services=[service()] * 2), id="one service id twice"),
        pytest.param(document(services=["s1"]), id="a service that is text"),
        pytest.param(document(services=[service(id=1)]), id="a service id that is a number"),
        pytest.param(document(services=[service(id="a\nb")]), id="a line feed in a service id"),
        pytest.param(document(services=[service(timeout=-1)]), id="a negative timeout"),
        pytest.param(document(services=[service(timeout=1.5)]), id="half a second"),
        pytest.param(document(services=[service(timeout="0")]), id="a timeout that is text"),
        pytest.param(document(services=[service(timeout=2**64)]), id="a timeout that overflows"),
        pytest.param(document(services=[service(timeout=None)]), id="no timeout"),
        pytest.param(document(services=[service(datatokenAddress=None)]), id="no datatoken"),
        pytest.param(document(services=[service(files=["0x12"])]), id="files in clear"),
        pytest.param(
            document(services=[service(compute={"allowRawAlgorithm": "false"})]),
            id="a flag that is text",
        ),
        pytest.param(
            document(services=[service(compute={"allowNetworkAccess": 1})]),
            id="a flag that is a number",
        ),
        pytest.param(
            document(services=[service(compute={"publisherTrustedAlgorithms": "*"})]),
            id="trusted algorithms that are text",
        ),
        pytest.param(
            document(services=[service(compute={"publisherTrustedAlgorithms": ["*"]})]),
            id="a trusted algorithm that is text",
        ),
        pytest.param(
            document(services=[service(compute={"publisherTrustedAlgorithmPublishers": [1]})]),
            id="a trusted publisher that is a number",
        ),
        pytest.param(
            document(metadata={"type": "algorithm", "algorithm": {"container": "python"}}),
            id="a container that is text",
        ),
        pytest.param(document(credentials={"allow": "0x12"}), id="credentials that are text"),
        pytest.param(document(more=_deep(40)), id="too deep"),
        pytest.param({**version_5(), "credentialSubject": None}, id="version 5 without a subject"),
        pytest.param(
            {
                **version_5(),
                "credentialSubject": {**version_5()["credentialSubject"], "chainId": 1},
            },
            id="version 5 of another chain",
        ),
        pytest.param(
            {**document(), "version": "5.0.0"}, id="version 5 with what belongs to version 4"
        ),
    ],
)
def test_a_malformed_ddo_is_refused(body: Any) -> None:
    with pytest.raises(Refused) as refused:
        ddo.parse(json.dumps(body))
    assert refused.value.refusal.reason == Reason.ASSET_MALFORMED
    assert "provider.example" not in refused.value.refusal.message


def test_two_values_of_one_key_are_refused() -> None:
    text = json.dumps(document()).replace('"chainId": 8996', '"chainId": 1, "chainId": 8996')
    with pytest.raises(Refused):
        ddo.parse(text)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b" " * (MAX_BYTES + 1), id="bytes"),
        pytest.param(
            document(services=[service(id=str(n)) for n in range(65)]), id="too many services"
        ),
    ],
)
def test_a_very_large_ddo_is_refused(body: Any) -> None:
    with pytest.raises(Refused) as refused:
        ddo.parse(body)
    assert refused.value.refusal.reason == Reason.TOO_LARGE


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(document())), st.sampled_from(sorted(service())), _JSON)
def test_no_value_in_any_place_makes_it_fail(field: str, of_service: str, value: Any) -> None:
    for body in (document(**{field: value}), document(services=[service(**{of_service: value})])):
        try:
            found = ddo.parse(body)
        except Refused:
            continue
        assert found.id == f"did:op:{HASH}"
