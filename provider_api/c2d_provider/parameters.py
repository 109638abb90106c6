"""Consumer parameters: what an asset asks of its consumer, and whether the answers fit.

Dataset owners and algorithms declare them in their DDO; values come as `userdata` and
`algocustomdata`. Values that nobody declared are passed on as they are.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from c2d_provider import fields, strict_json
from c2d_provider.fields import Json
from c2d_provider.refusals import Reason, refuse

MAX_VALUE_BYTES = 64 * 1024
_MAX_PARAMETERS = 128
_MAX_OPTIONS = 1024
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Parameter:
    """One declared parameter; `options` are the values of a select, `default` None for none."""

    name: str
    type: str
    required: bool
    default: Any
    options: tuple[str, ...]


def parse_parameters(value: object, where: str) -> tuple[Parameter, ...]:
    """Read the declarations of a DDO; `where` names their owner in it.

    Raises:
        Refused: They have another form.
    """
    where = f"{where}.consumerParameters"
    listed = fields.sequence(value, where, _MAX_PARAMETERS)
    parameters = tuple(_parameter(fields.mapping(entry, where), where) for entry in listed)
    if len({parameter.name for parameter in parameters}) != len(parameters):
        refuse(Reason.MALFORMED, f"{where} has two parameters of one name")
    return parameters


def read_values(value: object, what: str) -> Mapping[str, Any]:
    """Read what a consumer gave: an object, or its JSON as a text; nothing is an empty one.

    Raises:
        Refused: It is something else, or too large; `what` names it.
    """
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        value = strict_json.parse(value, MAX_VALUE_BYTES, what)
    return {} if value is None else fields.mapping(value, what)


def fill(parameters: tuple[Parameter, ...], given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Check what was given against what is declared, and add the defaults.

    Raises:
        Refused: A required value is missing, or one does not fit; `what` names the values.
    """
    values = dict(given)
    for parameter in parameters:
        value = values.get(parameter.name)
        if value is None or value == "":
            values.pop(parameter.name, None)
            if parameter.default not in (None, ""):
                values[parameter.name] = parameter.default
            elif parameter.required:
                _refuse(parameter, what, "is required")
        elif not _fits(parameter, value):
            _refuse(parameter, what, f"must be of type {parameter.type}")
    return values


def _refuse(parameter: Parameter, what: str, problem: str) -> None:
    refuse(Reason.PARAMETER_INVALID, f"{what}: {parameter.name} {problem}")


def _fits(parameter: Parameter, value: object) -> bool:
    fits = _TYPES.get(parameter.type)
    return fits is not None and fits(parameter, value)


def _is_number(_: Parameter, value: object) -> bool:
    """Take numbers as forms send them, too: as texts."""
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None and math.isfinite(float(value))
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[Parameter, object], bool]] = {
    "text": lambda _, value: isinstance(value, str),
    "number": _is_number,
    "boolean": lambda _, value: isinstance(value, bool) or value in ("true", "false"),
    "select": lambda parameter, value: isinstance(value, str) and value in parameter.options,
}


def _parameter(body: Json, where: str) -> Parameter:
    type_ = fields.text(body, "type", where, most=16)
    if type_ not in _TYPES:
        refuse(Reason.MALFORMED, f"{where}.type must be one of {', '.join(_TYPES)}")
    required = body.get("required")
    return Parameter(
        name=fields.text(body, "name", where, most=256),
        type=type_,
        required=required is True or required == "true",
        default=_default(body.get("default"), where),
        options=_options(body.get("options"), where),
    )


def _default(value: Any, where: str) -> Any:
    if value is not None and not isinstance(value, str | int | float):
        refuse(Reason.MALFORMED, f"{where}.default must be a text, a number, true or false")
    return value


def _options(value: Any, where: str) -> tuple[str, ...]:
    """Read the keys of a select: `[{key: label}, ...]`, which ocean.js may give as JSON text."""
    if isinstance(value, str):
        value = strict_json.parse(value, MAX_VALUE_BYTES, f"{where}.options") if value else None
    found: list[str] = []
    for entry in fields.sequence(value, f"{where}.options", _MAX_OPTIONS):
        found += list(entry) if isinstance(entry, Mapping) else [str(entry)]
    return tuple(found)
