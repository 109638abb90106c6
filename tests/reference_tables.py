"""The tables of `docs/reference` that follow from the resources' schemas.

`python tests/reference_tables.py` writes them into the pages, each between two marks;
`test_docs.py` fails when a page says anything else.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Json = Mapping[str, Any]
ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
KINDS = ("computejob", "computeenvironment")
_MARKED = re.compile(r"(<!-- table: (?P<name>[\w.]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def version(kind: str) -> Json:
    """Read the one version of a resource's definition."""
    body = yaml.safe_load((ROOT / "crds" / f"{kind}.yaml").read_text())
    (only,) = body["spec"]["versions"]
    return dict(only)


def schema(kind: str) -> Json:
    """Read the schema of a resource."""
    return dict(version(kind)["schema"]["openAPIV3Schema"])


def fields(node: Json, path: str = "") -> Iterator[tuple[str, Json, bool]]:
    """Walk a schema: each field's path, its schema, and whether it must be given."""
    for name, field in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here, field, name in node.get("required", ())
        yield from fields(field.get("items", field), f"{here}[]" if "items" in field else here)


def rules(node: Json, path: str = "") -> Iterator[tuple[str, str]]:
    """Walk a schema for the rules about a new object: each one's place and message."""
    for rule in node.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"]:
            yield path, rule["message"]
    for name, field in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield from rules(field, here)
        yield from rules(field.get("items", {}), f"{here}[]")


def tables() -> dict[str, str]:
    """Make every table, by name."""
    made = {}
    for kind in KINDS:
        properties = schema(kind)["properties"]
        for part in ("spec", "status"):
            made[f"{kind}.{part}"] = _field_table(properties[part], part)
        made[f"{kind}.rules"] = _table(
            ("Where", "Message"),
            [(f"`{path}`" if path else "the object", _text(words)) for path, words in _rules(kind)],
        )
        made[f"{kind}.columns"] = _table(
            ("Column", "Shown", "Tells"),
            [
                (c["name"], "with `-o wide`" if c.get("priority") else "always", c["description"])
                for c in version(kind)["additionalPrinterColumns"]
            ],
        )
    return made


def _rules(kind: str) -> list[tuple[str, str]]:
    return list(rules(schema(kind)))


def _field_table(node: Json, part: str) -> str:
    if part == "status":
        rows = [(f"`{p}`", _type(f), _text(f["description"])) for p, f, _ in fields(node)]
        return _table(("Field", "Type", "Meaning"), rows)
    given = [
        (f"`{path}`", _type(field), _default(field, required=must), _text(field["description"]))
        for path, field, must in fields(node)
    ]
    return _table(("Field", "Type", "If absent", "Meaning"), given)


def _type(field: Json) -> str:
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "enum" in field:
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"])
    name = {"array": "list", "object": "map" if "additionalProperties" in field else "object"}
    kind = str(name.get(field["type"], field["type"]))
    if field.get("format") == "date-time":
        kind = "time"
    return kind + _limits(field)


def _limits(field: Json) -> str:
    if "maxLength" in field:
        return f", at most {field['maxLength']} characters"
    most = field.get("maxItems", field.get("maxProperties"))
    if most is not None:
        return f", {field.get('minItems', 0)} to {most} entries"
    if "maximum" in field:
        return f", {field['minimum']} to {field['maximum']}"
    return f", at least {field['minimum']}" if "minimum" in field else ""


def _default(field: Json, *, required: bool) -> str:
    if required:
        return "required"
    return f"`{json.dumps(field['default'])}`" if "default" in field else ""


def _text(words: str) -> str:
    return words.strip().replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_tables(page: str) -> str:
    """Put the tables that a page has marks for between these marks."""
    made = tables()
    return _MARKED.sub(lambda found: found[1] + made[found["name"]] + found[3], page)


def marked(page: str) -> list[str]:
    """Name the tables that a page has marks for."""
    return [found["name"] for found in _MARKED.finditer(page)]


def main() -> None:
    """Write the tables into the pages."""
    for path in sorted(REFERENCE.glob("*.md")):
        path.write_text(with_tables(path.read_text()))


if __name__ == "__main__":
    main()
