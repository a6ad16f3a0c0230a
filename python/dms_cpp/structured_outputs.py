"""The form that answers are held to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dms_cpp import _core


@dataclass
class StructuredOutputsParams:
    """A form that answers are held to; names are vLLM's. One of the first six is given."""

    json: str | Mapping[str, Any] | None = None
    """A JSON schema, as a text or an object (Pydantic's `model_json_schema()`)."""
    regex: str | None = None
    """A regular expression that the whole answer matches."""
    choice: Sequence[str] | None = None
    """Texts, one of which the answer is."""
    grammar: str | None = None
    """EBNF or llama.cpp's GBNF whose rule `root` describes the answer."""
    json_object: bool | None = None
    """Any JSON object."""
    structural_tag: str | Mapping[str, Any] | None = None
    """Free text with parts in a form: xgrammar's structural tags."""
    disable_any_whitespace: bool = False
    """JSON in one line instead of any whitespace that JSON allows."""
    strict: bool = True
    """Refuses a schema with keywords that answers are not held to; False: leaves them aside."""

    def to_core(self) -> _core.Structure:
        """As libdms takes it."""
        texts = {
            "json": _json_text(self.json),
            "regex": self.regex,
            "choice": None if self.choice is None else json.dumps(list(self.choice)),
            "grammar": self.grammar,
            "json_object": "" if self.json_object else None,
            "structural_tag": _json_text(self.structural_tag),
        }
        given = {name: text for name, text in texts.items() if text is not None}
        if len(given) != 1:
            names = ", ".join(given) or "none"
            _core.throw_input_error("structured_outputs", "names a form", names, "one of them")
        core = _core.Structure()
        for name, text in given.items():
            core.kind = getattr(_core.StructureKind, name)
            core.text = text
            core.field = f"structured_outputs.{name}"
        core.any_whitespace = not self.disable_any_whitespace
        core.refuses_unenforced = self.strict
        return core


def _json_text(value: str | Mapping[str, Any] | None) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
