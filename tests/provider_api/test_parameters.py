"""Consumer parameters: what is asked, what is given, what is filled in."""

import json
from typing import Any

import pytest

from c2d_provider.parameters import fill, parse_parameters, read_values
from c2d_provider.refusals import Reason, Refused


def declared(**changes: Any) -> dict[str, Any]:
    return {"name": "p", "type": "text", "label": "P", "required": True, **changes}


OPTIONS = [{"low": "Low"}, {"high": "High"}]


@pytest.mark.parametrize(
    ("parameter", "given", "values"),
    [
        pytest.param(declared(), {"p": "x"}, {"p": "x"}, id="a text"),
        pytest.param(declared(type="number"), {"p": 1}, {"p": 1}, id="a number"),
        pytest.param(declared(type="number"), {"p": "-1.5"}, {"p": "-1.5"}, id="a number as text"),
        pytest.param(declared(type="boolean"), {"p": False}, {"p": False}, id="false"),
        pytest.param(declared(type="boolean"), {"p": "true"}, {"p": "true"}, id="true as text"),
        pytest.param(
            declared(type="select", options=OPTIONS), {"p": "low"}, {"p": "low"}, id="an option"
        ),
        pytest.param(
            declared(type="select", options=json.dumps(OPTIONS)),
            {"p": "high"},
            {"p": "high"},
            id="an option of a list in a text",
        ),
        pytest.param(declared(default="d"), {}, {"p": "d"}, id="the default"),
        pytest.param(declared(default="d"), {"p": ""}, {"p": "d"}, id="the default for empty"),
        pytest.param(declared(default=0), {}, {"p": 0}, id="a default of zero"),
        pytest.param(declared(required=False), {}, {}, id="not required"),
        pytest.param(declared(), {"p": "x", "q": [1]}, {"p": "x", "q": [1]}, id="more than asked"),
        pytest.param(declared(type="number"), {"p": 0}, {"p": 0}, id="zero is a value"),
    ],
)
def test_values_that_fit(parameter: Any, given: Any, values: Any) -> None:
    assert fill(parse_parameters([parameter], "services[0]"), given, "userdata") == values


@pytest.mark.parametrize(
    ("parameter", "given"),
    [
        pytest.param(declared(), {}, id="missing"),
        pytest.param(declared(default=""), {"p": None}, id="null, with an empty default"),
        pytest.param(declared(), {"P": "x"}, id="another name"),
        pytest.param(declared(), {"p": 1}, id="a number for a text"),
        pytest.param(declared(), {"p": {"$ne": ""}}, id="an object for a text"),
        pytest.param(declared(type="number"), {"p": "x"}, id="a text for a number"),
        pytest.param(declared(type="number"), {"p": "1e999"}, id="infinity in a text"),
        pytest.param(declared(type="number"), {"p": "NaN"}, id="NaN in a text"),
        pytest.param(declared(type="number"), {"p": "\uff11"}, id="a full-width digit"),
        pytest.param(declared(type="number"), {"p": True}, id="true for a number"),
        pytest.param(declared(type="boolean"), {"p": 1}, id="one for true"),
        pytest.param(declared(type="boolean"), {"p": "True"}, id="another spelling of true"),
        pytest.param(declared(type="select", options=OPTIONS), {"p": "mid"}, id="no option"),
        pytest.param(declared(type="select"), {"p": "low"}, id="a select without options"),
        pytest.param(declared(type="select", options=OPTIONS), {"p": ["low"]}, id="a list"),
    ],
)
def test_values_that_do_not_fit(parameter: Any, given: Any) -> None:
    with pytest.raises(Refused) as refused:
        fill(parse_parameters([parameter], "services[0]"), given, "userdata")
    assert refused.value.refusal.reason == Reason.PARAMETER_INVALID
    assert refused.value.refusal.message.startswith("userdata: p ")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({}, id="an object"),
        pytest.param([declared(), declared()], id="one name twice"),
        pytest.param([declared(type="date")], id="another type"),
        pytest.param([declared(name=None)], id="no name"),
        pytest.param([declared(default=[1])], id="a default that is a list"),
        pytest.param([declared(options="{")], id="options that are no JSON"),
        pytest.param([declared()] * 129, id="too many"),
    ],
)
def test_malformed_declarations(value: Any) -> None:
    with pytest.raises(Refused):
        parse_parameters(value, "services[0]")


@pytest.mark.parametrize(
    ("value", "values"),
    [
        (None, {}),
        ("", {}),
        ("null", {}),
        ({"a": 1}, {"a": 1}),
        ('{"a":1}', {"a": 1}),
    ],
)
def test_values_come_as_an_object_or_its_text(value: object, values: object) -> None:
    assert read_values(value, "userdata") == values


@pytest.mark.parametrize("value", ["[1]", "x", 1, [1], '{"a":1,"a":2}', '{"a":NaN}', '"{}"'])
def test_values_of_another_form(value: object) -> None:
    with pytest.raises(Refused):
        read_values(value, "userdata")
