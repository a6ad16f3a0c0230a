"""The form that an answer is held to: OpenAI's and vLLM's fields, as arguments of
StructuredOutputsParams."""

from __future__ import annotations

from typing import Any

from dms_ray.errors import ApiError
from dms_ray.fields import Fields

_KINDS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")
_ONE = "one of " + ", ".join(_KINDS)


def read_form(fields: Fields) -> dict[str, Any]:
    """What was asked for; empty where answers are free."""
    from_format = _response_format(fields)
    if not fields.has("structured_outputs"):
        return from_format
    if from_format:
        raise ApiError(
            400, "structured_outputs: asks for another form than response_format", "response_format"
        )
    given = fields.mapping("structured_outputs")
    own = Fields(given, "structured_outputs.")
    own.expect([*_KINDS, "disable_any_whitespace"])
    form = {name: own.raw(name) for name in _KINDS if own.has(name)}
    if len(form) != 1:
        raise fields.bad("structured_outputs", _ONE)
    for name in ("regex", "grammar"):
        own.text(name)
    if "choice" in form and not isinstance(form["choice"], list):
        raise own.bad("choice", "a list of texts")
    own.texts("choice", len(form.get("choice", ())))
    for name in ("json", "structural_tag"):
        _schema(own, name)
    if "json_object" in form and not own.boolean("json_object"):
        return {}
    return {**form, "disable_any_whitespace": own.boolean("disable_any_whitespace")}


def _response_format(fields: Fields) -> dict[str, Any]:
    own = Fields(fields.mapping("response_format"), "response_format.")
    kind = own.text("type") or "text"
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"json_object": True}
    if kind == "structural_tag":
        return {"structural_tag": fields.mapping("response_format")}
    if kind != "json_schema":
        raise own.bad("type", "text, json_object, json_schema or structural_tag")
    inner = Fields(own.mapping("json_schema"), "response_format.json_schema.")
    if not inner.has("schema"):
        raise inner.bad("schema", "a schema")
    return {"json": _schema(inner, "schema"), "strict": inner.boolean("strict", default=True)}


def _schema(fields: Fields, name: str) -> Any:
    """JSON, as itself or as a text of it."""
    value = fields.raw(name)
    if value is not None and not isinstance(value, (dict, str)):
        raise fields.bad(name, "an object")
    return value
