"""No field of the resources takes anything: what the schemas say of themselves."""

import pytest

from schemas import Schema, fields, schema_of

KINDS = ("ComputeJob", "ComputeEnvironment")
FREE_TEXT = {
    "spec.description",
    "spec.datasets[].ddo",
    "spec.datasets[].userData",
    "spec.datasets[].source.files[].inline.text",
    "spec.algorithm.ddo",
    "spec.algorithm.userData",
    "spec.algorithm.rawCode",
    "spec.algorithm.customData",
    "spec.algorithm.source.files[].inline.text",
}
EVERY_FIELD = [
    pytest.param(path, schema, id=f"{kind} {path}")
    for kind in KINDS
    for path, schema in fields(schema_of(kind))
    if path.startswith(("spec", "status"))
]
SPEC_FIELDS = [row for row in EVERY_FIELD if str(row.values[0]).startswith("spec")]


@pytest.mark.parametrize(("path", "schema"), EVERY_FIELD)
def test_every_field_is_described(path: str, schema: Schema) -> None:
    assert schema["description"][:-1]
    assert schema["description"].endswith(".")


@pytest.mark.parametrize(("path", "schema"), EVERY_FIELD)
def test_no_field_takes_unknown_things(path: str, schema: Schema) -> None:
    assert "x-kubernetes-preserve-unknown-fields" not in schema
    assert not schema.get("nullable")
    match schema.get("type"):
        case "string":
            assert {"maxLength", "enum", "format"} & schema.keys()
        case "array":
            assert "maxItems" in schema
            assert "x-kubernetes-list-type" in schema
        case "object":
            assert "properties" in schema or "maxProperties" in schema
        case "integer":
            assert "format" in schema
        case "boolean":
            pass
        case _:
            assert schema["x-kubernetes-int-or-string"]
            assert "maxLength" in schema


@pytest.mark.parametrize(("path", "schema"), SPEC_FIELDS)
def test_every_field_of_a_spec_has_a_rule(path: str, schema: Schema) -> None:
    if schema.get("type") == "integer":
        assert {"minimum", "maximum"} <= schema.keys()
    if schema.get("type", "string") == "string":
        rules = {"pattern", "enum", "x-kubernetes-validations"} & schema.keys()
        assert bool(rules) != (path in FREE_TEXT)


@pytest.mark.parametrize(("path", "schema"), SPEC_FIELDS)
def test_every_pattern_covers_the_whole_text(path: str, schema: Schema) -> None:
    pattern = schema.get("pattern", "^$")
    assert pattern.startswith("^")
    assert pattern.endswith("$")
