"""What the API server takes and refuses, by the schemas of ComputeJob and ComputeEnvironment."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import examples
from apiserver import Answer, ApiServer
from c2d_api.computeenvironment import parse_environment
from c2d_api.computejob import parse_job
from examples import ADDRESS, DID, DIGEST, Body
from file_rules import MATCH, Field, files_fields
from schemas import Schema, fields, has, put, remove, schema_of, value_at

KINDS = ("ComputeJob", "ComputeEnvironment")
EXAMPLES: dict[str, tuple[Callable[[], Body], ...]] = {
    "ComputeJob": (
        examples.full_job,
        examples.raw_job,
        examples.provided_job,
        examples.described_job,
    ),
    "ComputeEnvironment": (examples.full_environment,),
}
STATUSES = {
    "ComputeJob": examples.job_status,
    "ComputeEnvironment": examples.environment_status,
}
MUTABLE = ("spec.suspend", "spec.stop", "spec.ttlSecondsAfterFinished")
CONSTANT = "the spec of a job cannot change; create another job"


def example_with(kind: str, path: str) -> Body:
    """An object of that kind, status included, that has the field."""
    for make in EXAMPLES[kind]:
        body = {**make(), "status": STATUSES[kind]()}
        if has(body, path):
            return body
    raise AssertionError(f"no example of a {kind} has {path}")


# 1. Limits that the schema names by keyword: each is tried from outside.

WRONG_TYPES: dict[str, Any] = {
    "string": 5,
    "integer": "five",
    "boolean": "yes",
    "object": "nothing",
    "array": "none",
}


FORMATS: dict[str, tuple[Any, str]] = {
    "date-time": ("yesterday", "must be of type date-time"),
    "int32": (2**31, "must be of type integer with format int32"),
    "int64": (2**63, "must be of type integer"),
}


def wrong_values(path: str, schema: Schema, current: Any) -> Iterator[tuple[str, Any, str]]:
    """Break each limit of a field: the limit's name, a value, the words of the refusal."""
    if "type" in schema:
        named = "date-time" if schema.get("format") == "date-time" else schema["type"]
        yield "type", WRONG_TYPES[schema["type"]], f"must be of type {named}"
    if schema.get("x-kubernetes-int-or-string"):
        yield "type", 1.5, "must be of type integer,string"
    breaking: dict[str, Callable[[Any], tuple[Any, str]]] = {
        "maxLength": lambda n: ("a" * (n + 1), f"may not be more than {n} bytes"),
        "minLength": lambda n: ("a" * (n - 1), f"should be at least {n} chars long"),
        "enum": lambda known: ("Nonsense", f'supported values: "{known[0]}"'),
        "maximum": lambda n: (n + 1, f"should be less than or equal to {n}"),
        "minimum": lambda n: (n - 1, f"should be greater than or equal to {n}"),
        "maxItems": lambda n: ([current[0]] * (n + 1), f"must have at most {n} items"),
        "minItems": lambda n: (current[: n - 1], f"should have at least {n} items"),
        "maxProperties": lambda n: ({f"k{i}": "v" for i in range(n + 1)}, f"at most {n} items"),
        "minProperties": lambda n: ({}, f"should have at least {n} properties"),
        "format": lambda name: FORMATS[name],
    }
    for limit, break_it in breaking.items():
        if limit in schema:
            yield (limit, *break_it(schema[limit]))
    if schema.get("x-kubernetes-list-type") in {"set", "map"}:
        yield "unique", [current[0]] * 2, "Duplicate value"


def limit_rows() -> Iterator[Any]:
    """Every keyword of both schemas as a row: kind, path, value or removal, words."""
    for kind in KINDS:
        for path, schema in fields(schema_of(kind)):
            if not path.startswith(("spec", "status")):
                continue
            current = value_at(example_with(kind, path), path)
            for limit, value, words in wrong_values(path, schema, current):
                yield pytest.param(kind, path, value, words, id=f"{kind} {path} {limit}")
            if "properties" in schema:
                unknown = {**current, "nonsense": 1}
                yield pytest.param(
                    kind, path, unknown, "unknown field", id=f"{kind} {path} unknown field"
                )
            for name in schema.get("required", ()):
                without = {key: value for key, value in current.items() if key != name}
                yield pytest.param(
                    kind, path, without, "Required value", id=f"{kind} {path} needs {name}"
                )


# 2. Rules that need judgement (patterns and CEL): what must be taken, what must be refused.


def source_fields(path: str) -> tuple[Field, ...]:
    """The rules of a source."""
    files, secret = [{"inline": {"text": "x"}}], {"name": "keys"}
    return (
        Field(
            path,
            "give exactly one of provider, files",
            ({"files": files}, {"secretRef": secret}),
            (
                {},
                {"provider": {}, "files": files},
                {"provider": {}, "secretRef": secret},
                {"secretRef": secret, "files": files},
            ),
        ),
        like(SUBDOMAINS, f"{path}.secretRef.name"),
        *files_fields(f"{path}.files"),
    )


def claim_fields(path: str) -> tuple[Field, ...]:
    """The rules of a claim as a source."""
    files, claim = [{"inline": {"text": "x"}}], {"claimName": "trees"}
    return (
        Field(
            path,
            "give exactly one of provider, files, secretRef and persistentVolumeClaim",
            ({"persistentVolumeClaim": claim},),
            (
                {"persistentVolumeClaim": claim, "files": files},
                {"persistentVolumeClaim": claim, "provider": {}},
                {"persistentVolumeClaim": claim, "secretRef": {"name": "keys"}},
            ),
        ),
        like(SUBDOMAINS, f"{path}.persistentVolumeClaim.claimName"),
        Field(
            f"{path}.persistentVolumeClaim.path",
            MATCH,
            ("a", "a/b.c/d-e_f", "_a", "9", "x" * 512, "/".join("a" * 99)),
            (
                *("", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b"),
                *(".hidden", "a/.b", "a b", "a\n", "a\\b", "ä", "$(X)"),
            ),
        ),
    )


def order_fields(path: str) -> tuple[Field, ...]:
    """The rules of an order."""
    return (
        Field(
            f"{path}.transactionHash",
            MATCH,
            ("0x" + "0" * 64,),
            ("", "0x", "0" * 64, "0x" + "A" * 64, "0x" + "a" * 63, "0x" + "a" * 63 + "\n"),
        ),
        Field(
            f"{path}.validUntil",
            MATCH,
            ("2031-12-31T23:59:59Z",),
            ("2031-12-31T23:59:59.5Z", "2031-12-31T23:59:59+00:00"),
        ),
    )


def quantity_fields(path: str) -> tuple[Field, ...]:
    """The rules of cpu, memory and disk."""
    sizes = ("64Mi", "1.5Gi", "1G", "1048576k", 1073741824, "1073741824")
    wrong_sizes = ("", "0", "1Mi", "512", 512, -1, "-1Gi", "1gb", "1 Gi", "1Gi\n", "1e3", "lots")
    return (
        Field(
            f"{path}.cpu",
            "must be a number of cores such as 2 or 500m",
            (1, "1", "0.5", "500m", "1m"),
            (0, "0", "0m", "0.000", -1, "-1", 1000000000, "1.5m", "1e3", "1k", "", "one", "1\n"),
        ),
        Field(f"{path}.memory", "must be a size of at least 16Mi such as 2Gi", sizes, wrong_sizes),
        Field(f"{path}.disk", "must be a size of at least 16Mi such as 10Gi", sizes, wrong_sizes),
    )


ADDRESSES = Field(
    "",
    MATCH,
    (ADDRESS, "0x" + "0" * 40),
    ("", "0x", ADDRESS[2:], ADDRESS[:-1], "0x" + "g" * 40, ADDRESS[:-1] + "\n"),
)
ADDRESSES_OF_TOKENS = Field(
    "", MATCH, (ADDRESS,), tuple(bad for bad in ADDRESSES.bad if bad != "0x" + "0" * 40)
)
ASSET_IDS = Field(
    "",
    MATCH,
    (DID, "iris", "a.b-c_1", "9", "x" * 128, "did:ope:" + "0" * 64, "did:ope:" + "x" * 128),
    (
        *("", ".", "..", "../a", "a/b", ".hidden", "-x", "a b", "a\n", "did:op:", "did:op:..", "ä"),
        *("did:ope:", "did:opx:a", "did:op:did:ope:a"),
    ),
)
SUBDOMAINS = Field(
    "",
    MATCH,
    ("a", "fast-ssd", "a.b", "x1.y2.z3"),
    ("", "A", "a..b", ".a", "a.", "-a", "a-", "a.-b", "a_b", "a/b", "a\n", "../a"),
)
PRINTABLE = ("\u0000", "a\u0000b", "a\u001b[31m", "\u007f", "a\rb")


def like(field: Field, path: str) -> Field:
    """The same values at another place."""
    return Field(path, field.words, field.good, field.bad)


JOB_FIELDS = (
    Field("spec.environment", MATCH, ("a", "gpu-2"), ("", "A", "a.b", "-a", "a-", "a/b", "a\n")),
    like(ADDRESSES, "spec.consumer"),
    like(ADDRESSES, "spec.additionalViewers[]"),
    like(ASSET_IDS, "spec.datasets[].id"),
    Field(
        "spec.datasets[].id",
        "algoCustomData.json is the algorithm's custom data",
        ("algoCustomData",),
        ("algoCustomData.json", "did:op:algoCustomData.json", "did:ope:algoCustomData.json"),
    ),
    Field(
        "spec.datasets[].id",
        "<id> and did:op:<id> would share a folder",
        ("iris2",),
        ("did:op:iris", "did:ope:iris"),
    ),
    Field(
        "spec.datasets[].serviceId",
        MATCH,
        ("", "0", "access", "a1:b_2.c-3"),
        ("a b", "a/b", "a\n", "ä", "\u0000"),
    ),
    *source_fields("spec.datasets[].source"),
    *claim_fields("spec.datasets[].source"),
    *order_fields("spec.datasets[].order"),
    like(ASSET_IDS, "spec.algorithm.id"),
    Field(
        "spec.algorithm.serviceId",
        MATCH,
        ("0", "access", "a1:b_2.c-3"),
        ("a b", "a/b", "a\n", "ä", "\u0000"),
    ),
    *source_fields("spec.algorithm.source"),
    *order_fields("spec.algorithm.order"),
    Field(
        "spec.algorithm.container.image",
        "must be a name in small letters such as docker.io/library/python; "
        "tag and digest have fields of their own",
        (
            "python",
            "library/python",
            "docker.io/library/python",
            "10.89.0.2:5000/c2d-algorithm",
            "localhost:5000/a/b",
            "ghcr.io/a/b-c_d",
            "ghcr.io/a/b.c__d--e",
        ),
        (
            "",
            "python:3",
            "docker.io/library/python:3.13",
            f"python@{DIGEST}",
            "Python",
            "docker.io/Library/python",
            "a b",
            "a/../b",
            "..",
            "a//b",
            "/a",
            "a/",
            "a..b",
            "https://docker.io/python",
            "host:port/a",
            "host:5000",
            "a\n",
            "ä",
            "-a",
        ),
    ),
    Field(
        "spec.algorithm.container.tag",
        MATCH,
        ("3", "3.13-slim", "_a", "Latest"),
        ("", ".a", "-a", "a b", "a:b", "a@b", "a\n", "ä"),
    ),
    Field(
        "spec.algorithm.container.digest",
        MATCH,
        ("sha256:" + "0" * 64,),
        ("", "ab" * 32, "sha512:" + "0" * 64, "sha256:" + "A" * 64, DIGEST[:-1] + "\n"),
    ),
    Field(
        "spec.algorithm.container.entrypoint",
        MATCH,
        (
            "python $ALGO",
            "cd /tmp && node $ALGO 'a b' | tee x > \"$OUTPUTS/y\"; exit $?",
            "python $ALGO \\\n\t--name Jürgen",
        ),
        PRINTABLE,
    ),
    Field(
        "spec.algorithm.container",
        "give a tag or, better, a digest",
        (
            {"image": "a", "tag": "1", "entrypoint": "x"},
            {"image": "a", "digest": DIGEST, "entrypoint": "x"},
        ),
        ({"image": "a", "entrypoint": "x"},),
    ),
    Field(
        "spec.algorithm.env[].name",
        MATCH,
        ("A", "_a1", "PYTHONPATH"),
        ("", "1A", "A-B", "A.B", "A=B", "A B", "A\n", "Ä"),
    ),
    Field(
        "spec.algorithm.env[].name",
        "this variable is set by the workspace; choose another name",
        ("SECRET", "ALGORITHM"),
        (
            "ALGO",
            "BASE_DIR",
            "DIDS",
            "HOME",
            "INPUTS",
            "LOGS",
            "OUTPUTS",
            "TRANSFORMATION_DID",
            "VOLUME",
            "secret",
            "C2D_ANY",
        ),
    ),
    Field("spec.algorithm.env[].value", MATCH, ("", "a b\nc\t$(DIDS) ü"), PRINTABLE),
    *quantity_fields("spec.resources"),
    Field("spec.maxDuration", "must be of type int", (1, 31536000), (1.5, "1", True)),
)

_S3 = {"store": "s3://bucket", "credentialsSecret": "key"}
_AMOUNT = {"cpu": "1", "memory": "1Gi", "disk": "1Gi"}
_MORE = [{**_AMOUNT, name: value} for name, value in (("cpu", "2"), ("memory", "2Gi"))]

ENVIRONMENT_FIELDS = (
    *quantity_fields("spec.resources.default"),
    *quantity_fields("spec.resources.max"),
    Field(
        "spec.resources",
        "default must not be greater than max",
        (
            {"default": _AMOUNT, "max": _AMOUNT},
            {"default": {**_AMOUNT, "cpu": "500m"}, "max": {**_AMOUNT, "cpu": 1}},
            {"default": {**_AMOUNT, "memory": "1000Mi"}, "max": _AMOUNT},
        ),
        (
            {"default": {**_AMOUNT, "cpu": "2"}, "max": _AMOUNT},
            {"default": {**_AMOUNT, "cpu": 2}, "max": {**_AMOUNT, "cpu": "1999m"}},
            {"default": {**_AMOUNT, "memory": "1025Mi"}, "max": _AMOUNT},
            {"default": {**_AMOUNT, "disk": "2G"}, "max": _AMOUNT},
        ),
    ),
    like(ADDRESSES, "spec.consumer.address"),
    like(SUBDOMAINS, "spec.consumer.keySecret"),
    like(ADDRESSES_OF_TOKENS, "spec.prices[].token"),
    Field("spec.prices[].token", "must be the address of a token", (), ("0x" + "0" * 40,)),
    Field(
        "spec.prices[].perMinute",
        MATCH,
        ("1", "0.000000000000000001", "999999999999999999.999999999999999999", "007"),
        (
            "",
            "1.",
            ".5",
            "-1",
            "1e3",
            "1,5",
            "0x1",
            "Infinity",
            "NaN",
            "1\n",
            "1 ",
            "1" * 19,
            "1.5.5",
        ),
    ),
    Field("spec.prices[].perMinute", "must be more than nothing", ("0.1",), ("0", "0.0")),
    like(SUBDOMAINS, "spec.storageClassName"),
    Field(
        "spec.results.store",
        "must be s3://<bucket>[/<prefix>] or file://<claim>[/<folder>]",
        ("s3://my.bucket-1", "s3://bucket/a/b_c/", "s3://ab/A.b"),
        (
            "",
            "s3://",
            "s3://Bucket",
            "s3://a b",
            "s3://key:word@bucket",
            "s3://bucket/../other",
            "s3://bucket/.hidden",
            "s3://bucket/a//b",
            "s3://bucket?a=b",
            "s3://bucket\n",
            "http://bucket",
            "file:///etc",
            "file://claim/../../etc",
            "gs://bucket",
            "az://container",
        ),
    ),
    Field(
        "spec.results",
        "a file: store takes no endpoint, region or credentialsSecret",
        ({"store": "file://share/folder"}, {"store": "file://share"}),
        (
            {"store": "file://share", "endpoint": "http://a"},
            {"store": "file://share", "region": "a"},
            {"store": "file://share", "credentialsSecret": "a"},
        ),
    ),
    Field(
        "spec.results",
        "an s3: store needs a credentialsSecret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        (_S3,),
        ({"store": "s3://bucket"},),
    ),
    Field(
        "spec.results.endpoint",
        MATCH,
        ("http://10.89.0.2:7070", "https://s3.example.org/", "http://[fd00::1]:9000"),
        (
            "",
            "s3.example.org",
            "ftp://a",
            "http://",
            "http://key:word@a",
            "http://a/b",
            "http://a?b",
            "http://a#b",
            "http://a b",
            "http://a\n",
            "http://a\\b",
            "http://ä",
        ),
    ),
    Field("spec.results.region", MATCH, ("us-east-1",), ("", "US", "a b", "a/b", "a\n")),
    like(SUBDOMAINS, "spec.results.credentialsSecret"),
    Field("spec.results.retention", "must be of type int", (1, 315360000), (1.5, "1", True)),
    Field("spec.results.maxFiles", "must be of type int", (1, 50000), (1.5, "1", True)),
    Field("spec.results.maxBytes", "must be of type int", (1, 2**44), (1.5, "1", True)),
    like(SUBDOMAINS, "spec.pods.runtimeClassName"),
    like(SUBDOMAINS, "spec.pods.priorityClassName"),
    Field(
        "spec.pods.nodeSelector",
        "keys must be label names such as example.org/pool",
        ({}, {"a": "", "kubernetes.io/arch": "amd64"}),
        ({"": "a"}, {"a b": "c"}, {"a/b/c": "d"}, {"a\n": "b"}, {"x" * 64: "a"}, {"A.b/": "c"}),
    ),
    Field("spec.pods.nodeSelector{}", MATCH, ("", "a", "A.b_c-d"), ("-a", "a b", "a/b", "a\n")),
    Field(
        "spec.pods.tolerations[].key",
        MATCH,
        ("a", "example.org/dedicated"),
        ("", "a b", "a/b/c", "-a", "a\n", "x" * 64),
    ),
    Field("spec.pods.tolerations[].value", MATCH, ("", "a"), ("-a", "a b", "a\n")),
    Field(
        "spec.pods.tolerations[]",
        "Equal needs a key, Exists takes no value",
        (
            {"operator": "Exists"},
            {"operator": "Exists", "key": "a"},
            {"key": "a"},
            {"key": "a", "value": "b"},
        ),
        ({"operator": "Exists", "key": "a", "value": "b"}, {"value": "b"}, {"operator": "Equal"}),
    ),
    Field(
        "spec.pods.tolerations[]",
        "tolerationSeconds needs the effect NoExecute",
        ({"key": "a", "effect": "NoExecute", "tolerationSeconds": 0},),
        (
            {"key": "a", "tolerationSeconds": 0},
            {"key": "a", "effect": "NoSchedule", "tolerationSeconds": 0},
        ),
    ),
    like(SUBDOMAINS, "spec.pods.imagePullSecrets[]"),
    Field(
        "spec.egress[].cidr",
        "must be an address range in CIDR form, such as 10.1.2.0/24",
        ("10.0.0.0/8", "10.1.2.3/32", "fd00::/8"),
        ("", "10.1.2.3", "10.0.0.0/33", "10.0.0.0-10.0.0.9", "example.org", "any", "10.0.0.0/8\n"),
    ),
    Field(
        "spec.nameservers[]",
        "must be an IP address, such as 9.9.9.9",
        ("9.9.9.9", "2620:fe::fe", "10.96.0.10"),
        (
            "",
            "dns.example.org",
            "9.9.9.9/32",
            "9.9.9",
            "9.9.9.09",
            "9.9.9.9:53",
            "fe80::1%eth0",
            "::ffff:9.9.9.9",
            "9.9.9.9\n",
        ),
    ),
)

FIELDS = {"ComputeJob": JOB_FIELDS, "ComputeEnvironment": ENVIRONMENT_FIELDS}


@dataclass(frozen=True)
class Whole:
    """A rule on several fields at once, as a change of an example."""

    kind: str
    name: str
    changes: tuple[tuple[str, Any], ...]
    words: str | None


_NAME_JOB = "metadata.name: use at most 40 characters"
_NAME_DOT = "metadata.name: use letters, digits and dashes"
_NAME_ENV = "metadata.name: use at most 40 letters, digits and dashes"
_ALGORITHM = {"container": {"image": "a", "tag": "1", "entrypoint": "x"}}
_SOURCE = {"files": [{"inline": {"text": "x"}}]}
_CLAIM = {"persistentVolumeClaim": {"claimName": "trees"}}
_ORDER = {"chainId": 1, "transactionHash": "0x" + "1" * 64, "validUntil": examples.TIME}
_PROVIDED = {"id": DID, "serviceId": "a", "source": {"provider": {}}}
_NEEDS_DID = "a source of the provider needs the DID of a published asset as id, and a serviceId"
_NEEDS_CONSUMER = "a source of the provider needs a consumer, for whom it was ordered"
_OF_PROVIDER = "order and userData are for a source of the provider only"
_NETWORK = "allowNetworkAccess: every dataset must allow it"


def _small_spec() -> Body:
    spec: Body = examples.small_job()["spec"]
    return spec


def _networked(*allowing: bool | None) -> Body:
    """A job with the network, by what each of its datasets says of it; None says nothing."""
    says = [{} if allows is None else {"allowNetworkAccess": allows} for allows in allowing]
    datasets = [{"id": f"d{n}", "source": _SOURCE, **said} for n, said in enumerate(says)]
    return {**_small_spec(), "allowNetworkAccess": True, "datasets": datasets}


WHOLES = (
    Whole("ComputeJob", "a name of 40", (("metadata.name", "x" * 40),), None),
    Whole("ComputeJob", "a name of 41", (("metadata.name", "x" * 41),), _NAME_JOB),
    Whole("ComputeJob", "a name with a dot", (("metadata.name", "a.b"),), _NAME_DOT),
    Whole("ComputeEnvironment", "a name of 40", (("metadata.name", "x" * 40),), None),
    Whole("ComputeEnvironment", "a name of 41", (("metadata.name", "x" * 41),), _NAME_ENV),
    Whole("ComputeEnvironment", "a name with a dot", (("metadata.name", "a.b"),), _NAME_ENV),
    Whole(
        "ComputeJob",
        "source and raw code",
        (("spec.algorithm", {**_ALGORITHM, "id": "a", "source": _SOURCE, "rawCode": "x"}),),
        "give exactly one of source and rawCode",
    ),
    Whole(
        "ComputeJob",
        "neither source nor raw code",
        (("spec.algorithm", _ALGORITHM),),
        "give exactly one of source and rawCode",
    ),
    Whole(
        "ComputeJob",
        "a source without an id",
        (("spec.algorithm", {**_ALGORITHM, "source": _SOURCE}),),
        "an algorithm with a source needs an id",
    ),
    Whole(
        "ComputeJob",
        "two services of one dataset",
        (
            (
                "spec.datasets",
                [{"id": DID, "serviceId": name, "source": _SOURCE} for name in ("a", "b")],
            ),
        ),
        None,
    ),
    Whole(
        "ComputeJob",
        "two datasets of one claim",
        (("spec.datasets", [{"id": name, "source": _CLAIM} for name in ("a", "b")]),),
        None,
    ),
    *(
        Whole(
            "ComputeJob",
            f"a claim beside another service of {name}",
            (
                (
                    "spec.datasets",
                    [
                        {"id": "b", "source": _SOURCE},
                        {"id": "a", "serviceId": "1", "source": first},
                        {"id": "a", "serviceId": "2", "source": second},
                    ],
                ),
            ),
            "a dataset of a claim is the claim's folder",
        )
        for name, first, second in (
            ("files", _CLAIM, _SOURCE),
            ("files before it", _SOURCE, _CLAIM),
            ("the same claim", _CLAIM, _CLAIM),
        )
    ),
    Whole(
        "ComputeJob",
        "an algorithm in a claim",
        (("spec.algorithm", {**_ALGORITHM, "id": "a", "source": _CLAIM}),),
        "unknown field",
    ),
    Whole(
        "ComputeJob",
        "a secret that describes an algorithm without an id",
        (("spec.algorithm", {**_ALGORITHM, "source": {"secretRef": {"name": "a"}}}),),
        "an algorithm with a source needs an id",
    ),
    *(
        Whole(
            "ComputeJob",
            f"{name} in the resource of {of}",
            ((f"spec.{of}.source.files[].s3.{name}", "x"),),
            "unknown field",
        )
        for of in ("datasets[]", "algorithm")
        for name in ("accessKeyId", "secretAccessKey")
    ),
    Whole(
        "ComputeJob",
        "one hash as DIDs of both versions",
        (("spec.datasets", [{"id": f"{p}:a", "source": _SOURCE} for p in ("did:op", "did:ope")]),),
        "did:op:<id> and did:ope:<id> would share a folder",
    ),
    *(
        Whole("ComputeJob", f"a provider's dataset with {name}", changes, words)
        for name, changes, words in (
            ("all it needs", (("spec.datasets", [_PROVIDED]),), None),
            (
                "a name of its own",
                (("spec.datasets", [{**_PROVIDED, "id": "iris"}]),),
                _NEEDS_DID,
            ),
            (
                "a DID that is too short",
                (("spec.datasets", [{**_PROVIDED, "id": DID[:-1]}]),),
                _NEEDS_DID,
            ),
            ("no service", (("spec.datasets", [{**_PROVIDED, "serviceId": ""}]),), _NEEDS_DID),
            (
                "nobody to own it",
                (("spec", {**_small_spec(), "datasets": [_PROVIDED]}),),
                _NEEDS_CONSUMER,
            ),
            (
                "an order, though files are given",
                (("spec.datasets", [{**_PROVIDED, "source": _SOURCE, "order": _ORDER}]),),
                _OF_PROVIDER,
            ),
            (
                "user data, though files are given",
                (("spec.datasets", [{**_PROVIDED, "source": _SOURCE, "userData": "{}"}]),),
                _OF_PROVIDER,
            ),
        )
    ),
    *(
        Whole("ComputeJob", f"a provider's algorithm with {name}", (("spec.algorithm", a),), words)
        for name, a, words in (
            ("all it needs", {**_ALGORITHM, **_PROVIDED}, None),
            ("a name of its own", {**_ALGORITHM, **_PROVIDED, "id": "mine"}, _NEEDS_DID),
            (
                "no service",
                {**_ALGORITHM, "id": DID, "source": {"provider": {}}},
                _NEEDS_DID,
            ),
            (
                "an order, though code is given",
                {**_ALGORITHM, "rawCode": "x", "order": _ORDER},
                _OF_PROVIDER,
            ),
            (
                "user data, though files are given",
                {**_ALGORITHM, "id": "a", "source": _SOURCE, "userData": "{}"},
                _OF_PROVIDER,
            ),
        )
    ),
    Whole(
        "ComputeJob",
        "a provider's algorithm with nobody to own it",
        (
            (
                "spec",
                {"environment": "small", "algorithm": {**_ALGORITHM, **_PROVIDED}},
            ),
        ),
        _NEEDS_CONSUMER,
    ),
    *(
        Whole("ComputeJob", f"the network, and {name}", (("spec", spec),), words)
        for name, spec, words in (
            ("every dataset allows it", _networked(True, True), None),
            ("no dataset", {**_small_spec(), "allowNetworkAccess": True}, None),
            ("an empty list of datasets", _networked(), None),
            ("a dataset that does not allow it", _networked(True, False), _NETWORK),
            ("a dataset that says nothing of it", _networked(None, True), _NETWORK),
            ("as many datasets as there may be", _networked(*[True] * 64), None),
        )
    ),
)


@pytest.fixture(scope="module")
def stored(api: ApiServer, namespace: str) -> dict[str, Body]:
    """One stored object of each kind, for updates of its status."""
    bodies = {}
    for kind in KINDS:
        body = EXAMPLES[kind][0]()
        body["metadata"]["name"] = "stored"
        answer = api.create(body, namespace)
        assert answer.accepted, answer.message
        bodies[kind] = answer.body
    return bodies


def tried(
    api: ApiServer, namespace: str, stored: dict[str, Body], kind: str, path: str, value: Any
) -> Answer:
    """Ask the server for an object whose field has this value, without storing it."""
    body = example_with(kind, path)
    put(body, path, value)
    if path.startswith("status"):
        changed = {**stored[kind], "status": body["status"]}
        return api.replace(changed, namespace, "/status", dryRun="All")
    del body["status"]
    return api.create(body, namespace, dryRun="All")


@pytest.mark.parametrize(("kind", "path", "value", "words"), tuple(limit_rows()))
def test_a_limit_holds(
    api: ApiServer,
    namespace: str,
    stored: dict[str, Body],
    kind: str,
    path: str,
    value: Any,
    words: str,
) -> None:
    answer = tried(api, namespace, stored, kind, path, value)
    assert not answer.accepted
    assert words in answer.message
    assert path.rpartition(".")[2].rstrip("[]{}") in answer.message


def value_rows(*, good: bool) -> Iterable[Any]:
    """Every value of the tables as a row."""
    for kind, table in FIELDS.items():
        for field in table:
            for value in field.good if good else field.bad:
                name = f"{kind} {field.path} {json.dumps(value)[:60]}"
                yield pytest.param(kind, field, value, id=name)


@pytest.mark.parametrize(("kind", "field", "value"), tuple(value_rows(good=True)))
def test_a_good_value_is_taken(
    api: ApiServer, namespace: str, stored: dict[str, Body], kind: str, field: Field, value: Any
) -> None:
    answer = tried(api, namespace, stored, kind, field.path, value)
    assert answer.accepted, answer.message


@pytest.mark.parametrize(("kind", "field", "value"), tuple(value_rows(good=False)))
def test_a_bad_value_is_refused(
    api: ApiServer, namespace: str, stored: dict[str, Body], kind: str, field: Field, value: Any
) -> None:
    answer = tried(api, namespace, stored, kind, field.path, value)
    assert answer.code == 422
    assert field.words in answer.message


@pytest.mark.parametrize("whole", WHOLES, ids=lambda whole: f"{whole.kind}: {whole.name}")
def test_fields_are_judged_together(api: ApiServer, namespace: str, whole: Whole) -> None:
    body = EXAMPLES[whole.kind][0]()
    for path, value in whole.changes:
        put(body, path, value)
    answer = api.create(body, namespace, dryRun="All")
    assert answer.accepted == (whole.words is None), answer.message
    assert (whole.words or "") in answer.message


@pytest.mark.parametrize(
    "make",
    [
        examples.full_job,
        examples.raw_job,
        examples.provided_job,
        examples.described_job,
        examples.small_job,
        examples.full_environment,
        examples.small_environment,
    ],
    ids=lambda make: make.__name__,
)
def test_an_example_is_taken(api: ApiServer, namespace: str, make: Callable[[], Body]) -> None:
    answer = api.create(make(), namespace, dryRun="All")
    assert answer.accepted, answer.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_status_of_every_field_is_taken(
    api: ApiServer, namespace: str, stored: dict[str, Body], kind: str
) -> None:
    changed = {**stored[kind], "status": STATUSES[kind]()}
    answer = api.replace(changed, namespace, "/status", dryRun="All")
    assert answer.accepted, answer.message
    assert answer.body["status"] == STATUSES[kind]()


# 3. The tables are complete.


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_stands_in_an_example(kind: str) -> None:
    for path, _ in fields(schema_of(kind)):
        if path.startswith(("spec", "status")):
            example_with(kind, path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_pattern_has_good_and_bad_values(kind: str) -> None:
    tables = {field.path for field in FIELDS[kind] if field.words == MATCH}
    assert tables >= {path for path, schema in fields(schema_of(kind)) if "pattern" in schema} - {
        "spec.maxDuration"
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_is_broken_by_some_row(kind: str) -> None:
    words = [field.words for field in FIELDS[kind]]
    words += [whole.words for whole in WHOLES if whole.words and whole.kind == kind]
    words += [CONSTANT, "a stop cannot be changed", "a stop cannot be taken back"]
    root = schema_of(kind)
    for path, schema in itertools.chain([("", root)], fields(root)):
        for rule in schema.get("x-kubernetes-validations", ()):
            assert any(word in rule["message"] for word in words), (path, rule)


# 4. What may change, and what may not.


def store(api: ApiServer, namespace: str, body: Body, name: str) -> Body:
    """Store an object under a name of its own."""
    body["metadata"]["name"] = name
    answer = api.create(body, namespace)
    assert answer.accepted, answer.message
    return answer.body


@pytest.fixture(scope="module")
def full(api: ApiServer, namespace: str) -> Body:
    """A stored job of every field."""
    return store(api, namespace, examples.full_job(), "constant-full")


@pytest.fixture(scope="module")
def provided(api: ApiServer, namespace: str) -> Body:
    """A stored job whose assets the provider hands out."""
    return store(api, namespace, examples.provided_job(), "constant-provided")


@pytest.fixture(scope="module")
def small(api: ApiServer, namespace: str) -> Body:
    """A stored job of the fewest fields."""
    return store(api, namespace, examples.small_job(), "constant-small")


def updated(api: ApiServer, namespace: str, body: Body, path: str, value: Any) -> Answer:
    """Ask for a change of a stored object; None takes the field away."""
    changed = json.loads(json.dumps(body))
    if value is None:
        remove(changed, path)
    else:
        put(changed, path, value)
    return api.replace(changed, namespace, dryRun="All")


def other_values() -> Iterator[Any]:
    """For each field of a job that must not change, another value that would be good."""
    example = examples.full_job()
    for field in (field for field in JOB_FIELDS if has(example, field.path)):
        others = [value for value in field.good if value != value_at(example, field.path)]
        if not field.words.startswith("give exactly one of"):
            yield pytest.param(field.path, others[0], id=field.path)
    for path in ("spec.maxDuration", "spec.maxQueueDuration"):
        yield pytest.param(path, 5, id=path)
    for path in ("spec.datasets[].ddo", "spec.algorithm.ddo", "spec.algorithm.customData"):
        yield pytest.param(path, "{ }", id=path)
    for prefix in ("spec.datasets[].source.files[]", "spec.algorithm.source.files[]"):
        yield pytest.param(f"{prefix}.inline.text", "other", id=f"{prefix}.inline.text")
        yield pytest.param(f"{prefix}.s3.key", "other", id=f"{prefix}.s3.key")
        yield pytest.param(f"{prefix}.url.method", "GET", id=f"{prefix}.url.method")
        yield pytest.param(f"{prefix}.maxBytes", 5, id=f"{prefix}.maxBytes")


OPTIONAL = tuple(
    f"spec.{name}"
    for name in schema_of("ComputeJob")["properties"]["spec"]["properties"]
    # what has a default is never absent: it is changed below
    if name not in {"environment", "algorithm", "allowNetworkAccess"}
    and f"spec.{name}" not in MUTABLE
)


@pytest.mark.parametrize(("path", "value"), tuple(other_values()))
def test_a_spec_does_not_change(
    api: ApiServer, namespace: str, full: Body, path: str, value: Any
) -> None:
    answer = updated(api, namespace, full, path, value)
    assert answer.code == 422
    assert CONSTANT in answer.message


@pytest.mark.parametrize("path", OPTIONAL)
def test_a_field_of_the_spec_is_not_taken_away(
    api: ApiServer, namespace: str, full: Body, path: str
) -> None:
    answer = updated(api, namespace, full, path, None)
    assert answer.code == 422
    assert CONSTANT in answer.message


@pytest.mark.parametrize("path", OPTIONAL)
def test_a_field_of_the_spec_is_not_added(
    api: ApiServer, namespace: str, full: Body, small: Body, path: str
) -> None:
    answer = updated(api, namespace, small, path, value_at(full, path))
    assert answer.code == 422
    assert CONSTANT in answer.message


PROVIDED_CHANGES = [
    ("order.chainId", 1),
    ("order.transactionHash", "0x" + "0" * 64),
    ("order.validUntil", "2031-01-01T00:00:00Z"),
    ("order", None),
    ("userData", "{}"),
    ("userData", None),
    ("serviceId", "other"),
    ("source", {"files": [{"inline": {"text": "mine"}}]}),
]


@pytest.mark.parametrize("asset", ["spec.datasets[]", "spec.algorithm"])
@pytest.mark.parametrize(("field", "value"), PROVIDED_CHANGES)
def test_what_was_ordered_does_not_change(
    api: ApiServer, namespace: str, provided: Body, asset: str, field: str, value: Any
) -> None:
    answer = updated(api, namespace, provided, f"{asset}.{field}", value)
    assert answer.code == 422
    assert CONSTANT in answer.message


@pytest.fixture(scope="module")
def networked(api: ApiServer, namespace: str) -> Body:
    """A stored job that has the network."""
    return store(
        api, namespace, {**examples.small_job(), "spec": _networked(True, True)}, "networked"
    )


@pytest.mark.parametrize("value", [False, None])
@pytest.mark.parametrize("path", ["spec", "spec.datasets[]"])
def test_the_network_of_a_job_is_not_taken_away(
    api: ApiServer, namespace: str, networked: Body, path: str, value: Any
) -> None:
    answer = updated(api, namespace, networked, f"{path}.allowNetworkAccess", value)
    assert answer.code == 422
    assert CONSTANT in answer.message


def test_a_job_is_not_given_the_network_later(
    api: ApiServer, namespace: str, small: Body, full: Body, provided: Body
) -> None:
    assert small["spec"]["allowNetworkAccess"] is False
    assert provided["spec"]["datasets"][0]["allowNetworkAccess"] is False
    for body, path in (
        (small, "spec.allowNetworkAccess"),
        (full, "spec.allowNetworkAccess"),
        (provided, "spec.datasets[].allowNetworkAccess"),
    ):
        answer = updated(api, namespace, body, path, True)
        assert answer.code == 422, path
        assert CONSTANT in answer.message


def test_datasets_keep_their_order(api: ApiServer, namespace: str, full: Body) -> None:
    answer = updated(api, namespace, full, "spec.datasets", full["spec"]["datasets"][::-1])
    assert answer.code == 422
    assert CONSTANT in answer.message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.suspend", False),
        ("spec.suspend", None),
        ("spec.ttlSecondsAfterFinished", 5),
        ("spec.ttlSecondsAfterFinished", None),
        ("metadata.labels", {"a": "b"}),
    ],
)
def test_what_steers_a_job_may_change(
    api: ApiServer, namespace: str, full: Body, path: str, value: Any
) -> None:
    answer = updated(api, namespace, full, path, value)
    assert answer.accepted, answer.message


@pytest.mark.parametrize("reason", ["Requested", "AdminRequested", "OrderRemoved"])
def test_a_job_is_stopped_once(api: ApiServer, namespace: str, small: Body, reason: str) -> None:
    answer = updated(api, namespace, small, "spec.stop", {"reason": reason})
    assert answer.accepted, answer.message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"reason": "AdminRequested"}, "a stop cannot be changed"),
        (None, "a stop cannot be taken back"),
    ],
)
def test_a_stop_stands(api: ApiServer, namespace: str, full: Body, value: Any, words: str) -> None:
    answer = updated(api, namespace, full, "spec.stop", value)
    assert answer.code == 422
    assert words in answer.message


def test_a_status_never_changes_the_spec(api: ApiServer, namespace: str, full: Body) -> None:
    changed = json.loads(json.dumps(full))
    changed["spec"]["algorithm"]["customData"] = "other"
    answer = api.replace(changed, namespace, "/status", dryRun="All")
    assert answer.body["spec"] == full["spec"]


# 5. What is served back is what the programs read.


def test_a_minimal_job_is_read_back(small: Body) -> None:
    spec = parse_job(small).spec
    assert (spec.environment, spec.suspend, spec.stop, spec.datasets) == ("small", False, None, ())
    assert spec.algorithm.container.reference == "python:3"


def test_a_minimal_environment_is_served_with_its_defaults(api: ApiServer, namespace: str) -> None:
    body = store(api, namespace, examples.small_environment(), "defaults")
    environment = parse_environment(body)
    assert environment.max_jobs == 1
    assert (environment.deadlines.publishing, environment.deadlines.starting) == (14400, 600)
    assert (environment.pods.run_as_user, environment.pods.fs_group) == (1000, 1000)
    assert (environment.allow_network_access, environment.nameservers) == (False, ())


def test_an_environment_may_leave_users_to_the_cluster(api: ApiServer, namespace: str) -> None:
    body = examples.small_environment()
    body["spec"]["pods"] = {"user": {}}
    environment = parse_environment(store(api, namespace, body, "no-users"))
    assert environment.pods.run_as_user is None


def test_the_largest_job_is_taken_within_a_requests_time(api: ApiServer, namespace: str) -> None:
    files = [{"inline": {"text": ""}}] * 1000
    body = examples.small_job()
    body["spec"]["allowNetworkAccess"] = True
    body["spec"]["datasets"] = [
        {"id": f"d{i}", "source": {"files": files}, "allowNetworkAccess": True} for i in range(64)
    ]
    largest = store(api, namespace, body, "largest")
    answer = updated(api, namespace, largest, "spec.suspend", True)
    assert answer.accepted, answer.message


# 6. What an admin sees.


def test_the_resources_install_without_a_warning(crds: str) -> None:
    assert "Warning" not in crds
    assert crds.count("created") == len(KINDS)


HEADERS = {
    ("cjob",): "NAME PHASE REASON ENVIRONMENT RESULTS AGE",
    ("cjob", "--output=wide"): (
        "NAME PHASE REASON ENVIRONMENT RESULTS AGE EXIT LOADED STARTED COMPLETED CONSUMER"
    ),
    ("cenv",): "NAME READY REASON RUNNING QUEUED MAX AGE",
    ("cenv", "--output=wide"): "NAME READY REASON RUNNING QUEUED MAX AGE ISOLATED STORE",
}


@pytest.mark.parametrize("words", HEADERS, ids=" ".join)
def test_a_list_has_telling_columns(
    kubectl: Callable[..., Any], namespace: str, stored: dict[str, Body], words: tuple[str, ...]
) -> None:
    shown = kubectl("get", *words, "--namespace", namespace)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[0].split() == HEADERS[words].split()
    assert "stored" in shown.stdout


@pytest.mark.parametrize("name", ["cjob", "cenv"])
def test_every_field_is_explained(kubectl: Callable[..., Any], crds: str, name: str) -> None:
    shown = kubectl("explain", f"{name}.spec", "--recursive")
    assert shown.returncode == 0, shown.stderr
    assert "-required-" in shown.stdout
    flat = kubectl("explain", f"{name}.spec")
    assert "<no description>" not in flat.stdout


def test_jobs_are_found_by_environment(
    kubectl: Callable[..., Any], namespace: str, stored: dict[str, Body]
) -> None:
    found = kubectl("get", "cjob", "-n", namespace, "--field-selector=spec.environment=small")
    assert "stored" in found.stdout
    other = kubectl("get", "cjob", "-n", namespace, "--field-selector=spec.environment=other")
    assert "stored" not in other.stdout
