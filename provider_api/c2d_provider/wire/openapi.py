"""The OpenAPI 3.1 document, and a page to read it: both made of the one table of routes."""

import re
from collections.abc import Iterable
from html import escape
from typing import Any, Final

from c2d_provider.wire.exchange import Parameter, Route

VERSION: Final = "3.1.0"
_IN_PATH = re.compile(r"\{(\w+)\}")
_ERROR: Final = {"$ref": "#/components/schemas/Error"}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "summary{cursor:pointer;padding:.4rem 0}code{background:#eee;padding:.1rem .3rem}"
    "td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}"
    ".method{display:inline-block;width:5rem;font-weight:bold}"
)


def document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """Write the document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": VERSION,
        "info": {
            "title": "Compute-to-Data provider",
            "version": version,
            "description": "Sells access to data, and compute on it, for orders on chain.",
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "description": "Why a request was not answered as asked.",
                    "properties": {
                        "error": {"type": ["string", "object"]},
                        "message": {"type": "string"},
                        "errors": {"type": "object"},
                        "success": {"type": "boolean"},
                    },
                }
            }
        },
    }


def page(routes: Iterable[Route], version: str) -> str:
    """Write a page of the document; it needs nothing else."""
    body = "\n".join(_section(route) for route in routes)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>Compute-to-Data provider</title><style>{_STYLE}</style>"
        f"<h1>Compute-to-Data provider {escape(version)}</h1>"
        "<p>The same as an OpenAPI document: <a href=openapi.json>openapi.json</a></p>"
        f"{body}</html>"
    )


def _operation(route: Route) -> dict[str, Any]:
    names = _IN_PATH.findall(route.path)
    listed = [_parameter(Parameter(name, f"The {name}.", required=True), "path") for name in names]
    if not route.in_body:
        listed += [_parameter(one, "query") for one in route.parameters]
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": listed,
        "responses": {str(status): _answer(route, status) for status in sorted(route.answers)},
    }
    if route.in_body or route.raw:
        operation["requestBody"] = _body(route)
    return operation


def _parameter(one: Parameter, where: str) -> dict[str, Any]:
    return {
        "name": one.name,
        "in": where,
        "required": one.required,
        "description": one.about,
        "schema": {"type": one.type},
    }


def _body(route: Route) -> dict[str, Any]:
    if route.raw:
        return {"required": True, "content": {"application/octet-stream": {"schema": {}}}}
    schema = {
        "type": "object",
        "required": [one.name for one in route.parameters if one.required],
        "properties": {one.name: _property(one) for one in route.parameters},
    }
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _property(one: Parameter) -> dict[str, Any]:
    """Write a parameter of a body, where clients write numbers as texts too."""
    types = [one.type] if one.type in ("object", "array") else ["string", one.type, "integer"]
    return {"description": one.about, "type": list(dict.fromkeys(types))}


def _answer(route: Route, status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": route.answers[status]}
    if status in (304, 416):
        return answer
    good = status < 400  # noqa: PLR2004 - where HTTP's errors begin
    kind = route.content_type if good else "application/json"
    return {**answer, "content": {kind: {"schema": {} if good else _ERROR}}}


def _section(route: Route) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one.name)}</code><td>{'required' if one.required else ''}"
        f"<td>{escape(one.about)}"
        for one in route.parameters
    )
    answers = "".join(
        f"<tr><td><code>{status}</code><td><td>{escape(text)}"
        for status, text in sorted(route.answers.items())
    )
    return (
        f"<details id={escape(route.name)}><summary><span class=method>{route.method}</span>"
        f"<code>{escape(route.path)}</code> {escape(route.summary)}</summary>"
        f"<table><tr><th>Parameter<th><th>{rows}<tr><th>Answer<th><th>{answers}</table></details>"
    )
