"""Trust: which algorithms a dataset's owner lets run, today and as provider v2 had it."""

from dataclasses import replace

import pytest

import recordings
from c2d_provider import ddo
from c2d_provider.ddo import Compute, Container, TrustedAlgorithm
from c2d_provider.refusals import Reason
from c2d_provider.trust import (
    PublishedAlgorithm,
    RawAlgorithm,
    allows_network,
    container_checksum,
    files_checksum,
    judge_algorithm,
    judge_container,
    judge_dataset,
    judge_is_algorithm,
    judge_state,
)

DID = "did:op:" + "ab" * 32
OTHER_DID = "did:op:" + "cd" * 32
FILES = "1" * 64 + "2" * 64
CONTAINER = "3" * 64
NFT = "0x788F1E4a99fa704Edb43fAE71946cFFDDcC16ccB"
OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
STRANGER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
ALGORITHM = PublishedAlgorithm(DID, NFT, OWNER, "s1", FILES, CONTAINER)
TRUSTED = TrustedAlgorithm(DID, FILES, CONTAINER)


def compute(algorithms: object = None, publishers: object = None) -> Compute:
    return Compute(trusted_algorithms=algorithms, trusted_publishers=publishers)  # type: ignore[arg-type]  # a wide type of the table


NOBODY = Reason.NO_TRUSTED_ALGORITHMS
NOT_LISTED = Reason.ALGORITHM_NOT_TRUSTED
PUBLISHER = Reason.PUBLISHER_NOT_TRUSTED
FILES_DIFFER = Reason.FILES_CHECKSUM_MISMATCH
CONTAINER_DIFFERS = Reason.CONTAINER_CHECKSUM_MISMATCH


@pytest.mark.parametrize(
    ("terms", "expected", "legacy"),
    [
        pytest.param(compute(), NOBODY, None, id="no lists"),
        pytest.param(compute((), ()), NOBODY, None, id="empty lists"),
        pytest.param(compute((), None), NOBODY, None, id="one empty list"),
        pytest.param(compute((TRUSTED,)), None, None, id="listed"),
        pytest.param(
            compute((replace(TRUSTED, did=OTHER_DID),)), NOT_LISTED, NOT_LISTED, id="not listed"
        ),
        pytest.param(
            compute((replace(TRUSTED, did=DID.upper()),)), NOT_LISTED, NOT_LISTED, id="other case"
        ),
        pytest.param(compute((replace(TRUSTED, did="*"),)), None, None, id="any DID"),
        pytest.param(compute((replace(TRUSTED, files_checksum="*"),)), None, None, id="any files"),
        pytest.param(
            compute((replace(TRUSTED, container_checksum="*"),)), None, None, id="any container"
        ),
        pytest.param(
            compute((TrustedAlgorithm("*", "*", "*"),)), None, None, id="any algorithm at all"
        ),
        pytest.param(
            compute((replace(TRUSTED, files_checksum=FILES.replace("2", "4")),)),
            FILES_DIFFER,
            FILES_DIFFER,
            id="other files",
        ),
        pytest.param(
            compute((replace(TRUSTED, files_checksum="1" * 64),)),
            FILES_DIFFER,
            FILES_DIFFER,
            id="one file less",
        ),
        pytest.param(
            compute((replace(TRUSTED, container_checksum="4" * 64),)),
            CONTAINER_DIFFERS,
            CONTAINER_DIFFERS,
            id="another container",
        ),
        pytest.param(
            compute((replace(TRUSTED, files_checksum=""),)), FILES_DIFFER, None, id="files left out"
        ),
        pytest.param(
            compute((replace(TRUSTED, container_checksum=""),)),
            CONTAINER_DIFFERS,
            None,
            id="container left out",
        ),
        pytest.param(
            compute((replace(TRUSTED, did=""),)), NOT_LISTED, NOT_LISTED, id="DID left out"
        ),
        pytest.param(
            compute((replace(TRUSTED, container_checksum="AB" * 32),)),
            CONTAINER_DIFFERS,
            CONTAINER_DIFFERS,
            id="another container in upper case",
        ),
        pytest.param(
            compute((replace(TRUSTED, files_checksum="4" * 64), TRUSTED)),
            None,
            None,
            id="a second entry fits",
        ),
        pytest.param(
            compute((replace(TRUSTED, service_id="s1"),)), None, None, id="the service is named"
        ),
        pytest.param(
            compute((replace(TRUSTED, service_id="s2"),)),
            NOT_LISTED,
            NOT_LISTED,
            id="another service is named",
        ),
        pytest.param(compute(None, ("*",)), None, None, id="any publisher"),
        pytest.param(compute(None, (OWNER,)), None, None, id="the owner of its NFT"),
        pytest.param(compute(None, (NFT.lower(),)), None, None, id="its NFT, in other case"),
        pytest.param(compute(None, (STRANGER,)), PUBLISHER, PUBLISHER, id="another publisher"),
        pytest.param(compute(None, (DID,)), PUBLISHER, PUBLISHER, id="its DID is no publisher"),
        pytest.param(
            compute((replace(TRUSTED, did=OTHER_DID),), (OWNER,)),
            None,
            NOT_LISTED,
            id="a trusted publisher, but not listed",
        ),
        pytest.param(
            compute((TRUSTED,), (STRANGER,)), None, PUBLISHER, id="listed, of another publisher"
        ),
        pytest.param(
            compute((replace(TRUSTED, did=OTHER_DID),), (STRANGER,)),
            NOT_LISTED,
            PUBLISHER,
            id="neither",
        ),
    ],
)
def test_a_published_algorithm(
    terms: Compute, expected: Reason | None, legacy: Reason | None
) -> None:
    for found, wanted in (
        (judge_algorithm(terms, ALGORITHM), expected),
        (judge_algorithm(terms, ALGORITHM, legacy=True), legacy),
    ):
        assert (found.reason if found else None) == wanted


def test_an_algorithm_that_cannot_be_hashed_fits_only_a_star() -> None:
    unknown = replace(ALGORITHM, files_checksum=None)
    found = judge_algorithm(compute((TRUSTED,)), unknown)
    assert found is not None
    assert found.reason == FILES_DIFFER
    assert judge_algorithm(compute((replace(TRUSTED, files_checksum="*"),)), unknown) is None


@pytest.mark.parametrize("legacy", [False, True])
def test_raw_code_needs_its_own_permission(legacy: bool) -> None:
    trusting = compute((TrustedAlgorithm("*", "*", "*"),), ("*",))
    found = judge_algorithm(trusting, RawAlgorithm(), legacy=legacy)
    assert found is not None
    assert found.reason == Reason.RAW_ALGORITHM_DENIED
    allowing = replace(trusting, allow_raw_algorithm=True)
    assert judge_algorithm(allowing, RawAlgorithm(), legacy=legacy) is None


def test_allowing_raw_code_trusts_no_published_one() -> None:
    found = judge_algorithm(Compute(allow_raw_algorithm=True), ALGORITHM)
    assert found is not None
    assert found.reason == NOBODY


OPEN = Compute(allow_network_access=True)


@pytest.mark.parametrize(
    ("services", "allowed"),
    [
        pytest.param([OPEN, OPEN], True, id="all allow it"),
        pytest.param([OPEN, Compute()], False, id="one does not"),
        pytest.param([OPEN, None], False, id="one says nothing of it"),
        pytest.param([], False, id="there is none"),
    ],
)
def test_the_network_is_allowed_by_all_or_not(
    services: list[Compute | None], allowed: bool
) -> None:
    assert allows_network(services) == allowed


@pytest.mark.parametrize(
    ("entrypoint", "checksum", "expected"),
    [
        # `create_checksum` of ocean-lib 3.1.2 and `getHash` of ocean.js 3.4.6 and 8.0.0
        pytest.param(
            "python $ALGO",
            "sha256:8221d20c1c16491d7d56b9657ea09082c0ee4a8ab1a6621fa720da58b09580e4",
            "77ac49b8c4ad209694f7143cec62d67ee4c6d2d5edf1f3f4e09ca4173b22610f",
            id="of an algorithm of Ocean's",
        ),
        pytest.param(
            "node $ALGO ✓",
            "sha256:" + "0" * 64,
            "e72d3ae6703fb601aebac12b423eb8f8212cafe6b1c70941dcfa1dfb313c6e76",
            id="with a letter beyond ASCII",
        ),
    ],
)
def test_the_container_is_hashed_as_clients_do(
    entrypoint: str, checksum: str, expected: str
) -> None:
    assert container_checksum(Container("i", "t", checksum, entrypoint)) == expected


def test_what_ocean_py_trusts_is_the_algorithm_that_it_published() -> None:
    """From the recorded flow: ocean.py computed the checksums that its dataset trusts."""
    dataset, algorithm = (
        ddo.parse(e["ddo"]) for e in recordings.ddos() if e["client"] == "oceanpy-3.1.2"
    )
    assert algorithm.algorithm is not None
    published = PublishedAlgorithm(
        algorithm.id,
        algorithm.nft,
        OWNER,
        algorithm.services[0].id,
        files_checksum(["0" * 64]),
        container_checksum(algorithm.algorithm.container),
    )
    terms = dataset.services[1].compute
    assert terms is not None
    assert judge_algorithm(terms, published) is None
    swapped = replace(published, files_checksum="1" * 64)
    assert judge_algorithm(terms, swapped) is not None


def test_checksums_of_files_are_joined_in_order() -> None:
    assert files_checksum(["AB" * 32, "cd" * 32]) == "ab" * 32 + "cd" * 32
    assert files_checksum([]) == ""


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        pytest.param(Container("i", "", "sha256:" + "a" * 64, "e"), None, id="complete"),
        pytest.param(
            Container("", "", "sha256:" + "a" * 64, "e"),
            Reason.CONTAINER_INCOMPLETE,
            id="no image",
        ),
        pytest.param(Container("i", "t", "", "e"), Reason.CONTAINER_INCOMPLETE, id="no checksum"),
        pytest.param(
            Container("i", "t", "sha256:" + "a" * 64, ""),
            Reason.CONTAINER_INCOMPLETE,
            id="no entrypoint",
        ),
        pytest.param(
            Container("i", "t", "a" * 64, "e"), Reason.CONTAINER_CHECKSUM_MALFORMED, id="no prefix"
        ),
        pytest.param(
            Container("i", "t", "sha256:ab", "e"),
            Reason.CONTAINER_CHECKSUM_MALFORMED,
            id="too short",
        ),
        pytest.param(
            Container("i", "t", "sha256:" + "A" * 64, "e"),
            Reason.CONTAINER_CHECKSUM_MALFORMED,
            id="upper case",
        ),
        pytest.param(
            Container("i", "t", "sha256:" + "a" * 64 + "\n", "e"),
            Reason.CONTAINER_CHECKSUM_MALFORMED,
            id="a line",
        ),
    ],
)
def test_what_a_container_must_say(container: Container, expected: Reason | None) -> None:
    found = judge_container(container)
    assert (found.reason if found else None) == expected


DATASET, ALGORITHM_DDO = (
    ddo.parse(entry["ddo"]) for entry in recordings.ddos() if entry["client"] == "oceanpy-3.1.2"
)


@pytest.mark.parametrize(
    ("kind", "first", "further"),
    [
        pytest.param("compute", None, None, id="for compute"),
        pytest.param("access", Reason.SERVICE_NOT_FOR_COMPUTE, None, id="for access"),
        pytest.param(
            "other", Reason.SERVICE_NOT_FOR_COMPUTE, Reason.SERVICE_NOT_USABLE, id="for neither"
        ),
        pytest.param(
            "Compute", Reason.SERVICE_NOT_FOR_COMPUTE, Reason.SERVICE_NOT_USABLE, id="other case"
        ),
    ],
)
def test_what_can_be_a_dataset(kind: str, first: Reason | None, further: Reason | None) -> None:
    service = replace(DATASET.services[0], type=kind)
    for is_first, expected in ((True, first), (False, further)):
        found = judge_dataset(service, is_first=is_first)
        assert (found.reason if found else None) == expected


def test_what_can_be_an_algorithm() -> None:
    assert judge_is_algorithm(ALGORITHM_DDO) is None
    for other in (DATASET, replace(ALGORITHM_DDO, algorithm=None)):
        found = judge_is_algorithm(other)
        assert found is not None
        assert found.reason == Reason.NOT_AN_ALGORITHM


@pytest.mark.parametrize(
    ("state", "consumable"),
    [(0, True), (1, False), (2, False), (3, False), (4, False), (5, True), (6, False), (-1, False)],
)
def test_the_state_of_an_asset(state: int, consumable: bool) -> None:
    found = judge_state(state)
    assert (found is None) == consumable
    if found:
        assert found.message.startswith("Asset is not consumable")
