"""Typed, bounded access to the fields of a request's JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dms_ray.errors import ApiError

MAX_INTEGER = (1 << 63) - 1


def parse_object(body: bytes) -> dict[str, Any]:
    """A body's JSON object."""
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is no JSON") from None
    if not isinstance(value, dict):
        raise ApiError(400, "the body is no JSON object")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(name)


class Fields:
    """The fields of one object. A field that is null counts as left out."""

    def __init__(self, values: Mapping[str, Any], prefix: str = "") -> None:
        self._values = values
        self._prefix = prefix

    def expect(self, names: Sequence[str]) -> None:
        """Refuses what has another name: it would change the answer, and is not known here."""
        for name in self._values:
            if self.has(name) and name not in names:
                raise self.bad(name, "one of " + ", ".join(names))

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def raw(self, name: str) -> Any:
        """Whatever stands there."""
        return self._values.get(name)

    def bad(self, name: str, expected: str) -> ApiError:
        """Says where, what there is, and what there should be."""
        got = json.dumps(self._values.get(name), default=str)
        got = got if len(got) <= 60 else got[:57] + "..."
        where = self._prefix + name
        return ApiError(400, f"{where}: bad value (got {got}, expected {expected})", where)

    def text(self, name: str) -> str | None:
        value = self.raw(name)
        if value is not None and not isinstance(value, str):
            raise self.bad(name, "a text")
        return value

    def boolean(self, name: str, default: bool = False) -> bool:
        value = self.raw(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.bad(name, "true or false")
        return value

    def integer(self, name: str, least: int = 0, most: int = MAX_INTEGER) -> int | None:
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.bad(name, f"an integer, {least} to {most}")
        return value

    def number(self, name: str) -> float | None:
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.bad(name, "a number")
        # Integers may be of any size, and 1e999 is infinite.
        if not abs(value) <= sys.float_info.max:
            raise self.bad(name, "a finite number")
        return float(value)

    def texts(self, name: str, most: int) -> list[str]:
        """One text or a list of them."""
        value = self.raw(name)
        found = [value] if isinstance(value, str) else value or []
        if not isinstance(found, list) or len(found) > most:
            raise self.bad(name, f"a text, or a list of at most {most}")
        if not all(isinstance(text, str) for text in found):
            raise self.bad(name, "texts")
        return found

    def integers(self, name: str, most: int) -> list[int]:
        value = self.raw(name) or []
        if not isinstance(value, list) or len(value) > most:
            raise self.bad(name, f"a list of at most {most} integers")
        if not all(isinstance(each, int) and not isinstance(each, bool) for each in value):
            raise self.bad(name, "integers")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.raw(name)
        if value is not None and not isinstance(value, dict):
            raise self.bad(name, "an object")
        return value or {}
