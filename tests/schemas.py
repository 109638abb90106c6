"""Paths through the schemas of the resources, and through objects that follow them.

A path such as `spec.datasets[].source.files[].sha256` names one field of the schema: `[]` stands
for the items of a list, `{}` for the values of a map.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]
CRDS = Path(__file__).parents[1] / "crds"


def schema_of(kind: str) -> Schema:
    """Read the schema of a kind."""
    definition = yaml.safe_load((CRDS / f"{kind.lower()}.yaml").read_text())
    schema: Schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """List every field below a schema, items of lists and values of maps included."""
    for name, child in schema.get("properties", {}).items():
        yield from _field(child, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from _field(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _field(schema["additionalProperties"], f"{path}{{}}")


def _field(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    yield from fields(schema, path)


def change(body: Any, path: str, by: Callable[[Any, Any], None]) -> None:
    """Call `by(container, key)` for the place in the body that the path leads to.

    Where several items could be meant, the first counts that has the field already.
    """
    found = list(_places(body, path.replace("[]", ".[]").replace("{}", ".{}").split(".")))
    by(*next((place for place in found if _has(*place)), found[0]))


def has(body: Any, path: str) -> bool:
    """Say whether the field is there."""
    steps = path.replace("[]", ".[]").replace("{}", ".{}").split(".")
    return any(_has(*place) for place in _places(body, steps))


def put(body: Any, path: str, value: object) -> None:
    """Set a field."""
    change(body, path, lambda container, key: container.__setitem__(key, value))


def remove(body: Any, path: str) -> None:
    """Take a field away."""
    change(body, path, lambda container, key: container.__delitem__(key))


def value_at(body: Any, path: str) -> Any:
    """Read a field."""
    found: list[Any] = []
    change(body, path, lambda container, key: found.append(container[key]))
    return found[0]


def _has(container: Any, key: Any) -> bool:
    return isinstance(container, list) or key in container


def _places(body: Any, steps: list[str]) -> Iterator[tuple[Any, Any]]:
    head, *rest = steps
    keys = list(range(len(body))) if head == "[]" else list(body) if head == "{}" else [head]
    for key in keys:
        if not rest:
            yield body, key
        elif _has(body, key):
            yield from _places(body[key], rest)
