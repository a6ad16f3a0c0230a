"""Random JSON schemas of every kind that answers are held to, with small values only."""

from __future__ import annotations

import random
from collections.abc import Callable

Schema = dict | bool
NAMES = ["name", "age", "tags", "x", "ünï", 'a "b"', "is ok", "id"]
PATTERNS = [
    r"^[a-z]{2,6}$",
    r"^\d{3}-\d{4}$",
    r"^(red|green|blue)$",
    r"^[A-Z][a-z]+( [A-Z][a-z]+)?$",
    r"[0-9a-f]{4}",
    r"^[^\s]{1,5}$",
    r"^a(b[0-9]{1,9})?Z$",
    r"^([a-z]{0,3}-)?[0-9]([.][0-9]{1,9})?$",
    r"^([a-c]{1,2}_){2,}$",
    r"^[^ä\n]{1,4}$|^-$",
]
FORMATS = ["ipv4", "ipv6", "uuid", "date", "time", "date-time", "hostname", "base64"]
VALUES: list[object] = [
    None, True, 0, -7, 2.5, "", "text", 'q"\\', "ä€😀", [], {}, [1, "a"], {"a": [None], "b": {}},
]  # fmt: skip


def string(rng: random.Random) -> dict:
    low = rng.randint(0, 4)
    return {"type": "string", "minLength": low, "maxLength": low + rng.randint(0, 8)}


def pattern(rng: random.Random) -> dict:
    return {"type": "string", "pattern": rng.choice(PATTERNS)}


def formatted(rng: random.Random) -> dict:
    return {"type": "string", "format": rng.choice(FORMATS)}


def integer(rng: random.Random) -> dict:
    low = rng.randint(-1000, 1000)
    high = low + rng.randint(0, 3000)
    out = {"type": "integer"}
    out |= rng.choice([{"minimum": low}, {"exclusiveMinimum": low - 1}])
    out |= rng.choice([{"maximum": high}, {"exclusiveMaximum": high + 1}])
    return out


def multiple(rng: random.Random) -> dict:
    return {"type": "integer", "minimum": 0, "maximum": 500, "multipleOf": rng.randint(1, 12)}


def number(rng: random.Random) -> dict:
    low = rng.choice([-3.5, -1, 0, 0.25, 12])
    high = low + rng.choice([0.5, 1, 7.75, 300])
    out = {"type": "number"}
    out |= rng.choice([{"minimum": low}, {"exclusiveMinimum": low}])
    out |= rng.choice([{"maximum": high}, {"exclusiveMaximum": high}])
    return out


def plain(rng: random.Random) -> dict:
    return {"type": rng.choice(["boolean", "null", ["boolean", "null"]])}


def constant(rng: random.Random) -> dict:
    if rng.random() < 0.5:
        return {"const": rng.choice(VALUES)}
    return {"enum": rng.sample(VALUES, rng.randint(1, 5))}


LEAVES = [string, pattern, formatted, integer, multiple, number, plain, constant]


def any_schema(rng: random.Random, depth: int) -> dict:
    """A schema whose schemas lie at most so deep."""
    makers: list[Callable] = [rng.choice(LEAVES)]
    if depth > 0:
        makers.append(rng.choice(NESTED))
    maker = makers[-1] if rng.random() < 0.6 else makers[0]
    return maker(rng, depth) if maker in NESTED else maker(rng)


def array(rng: random.Random, depth: int) -> dict:
    low = rng.randint(0, 2)
    out = {"type": "array", "minItems": low, "maxItems": low + rng.randint(0, 2)}
    return out | {"items": any_schema(rng, depth - 1)}


def tuple_of(rng: random.Random, depth: int) -> dict:
    prefix = [any_schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    out = {"type": "array", "prefixItems": prefix}
    if rng.random() < 0.5:
        return out | {"items": any_schema(rng, 0), "maxItems": len(prefix) + 2}
    return out | {"items": False}


def record(rng: random.Random, depth: int) -> dict:
    extra = rng.random()
    known = NAMES if extra < 0.4 else [name for name in NAMES if name.isascii()]
    names = rng.sample(known, rng.randint(1, 4))
    out = {
        "type": "object",
        "properties": {name: any_schema(rng, depth - 1) for name in names},
        "required": rng.sample(names, rng.randint(0, len(names))),
    }
    if extra < 0.4:
        return out | {"additionalProperties": False}
    if extra < 0.6:
        return out | {"additionalProperties": integer(rng), "maxProperties": 6}
    if extra < 0.7:
        return out | {"minProperties": max(1, len(out["required"]))}
    return out


def map_of(rng: random.Random, depth: int) -> dict:
    value = any_schema(rng, depth - 1)
    out = {"type": "object", "minProperties": 1, "maxProperties": 3}
    return out | rng.choice(
        [
            {"additionalProperties": value},
            {"patternProperties": {"^k[0-9]{1,3}$": value}, "additionalProperties": False},
            {"propertyNames": {"pattern": "^[a-z]{1,4}$"}, "additionalProperties": value},
        ]
    )


def union(rng: random.Random, depth: int) -> dict:
    if rng.random() < 0.4:
        kinds = [integer(rng), {"type": "boolean"}, {"type": "null"}, string(rng)]
        return {"oneOf": rng.sample(kinds, 2)}
    if rng.random() < 0.3:
        return {"allOf": [any_schema(rng, depth - 1)]}
    return {"anyOf": [any_schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]}


def reference(rng: random.Random, depth: int) -> dict:
    leaf = rng.choice(LEAVES)(rng)
    # Only at the root a name means what it says.
    return {"title": "Reference", "type": "array", "maxItems": 2, "items": leaf}


NESTED = [array, tuple_of, record, map_of, union, reference]


def tree(rng: random.Random) -> dict:
    """A schema that refers to itself."""
    leaf = rng.choice([integer, plain, constant])(rng)
    node = {
        "type": "object",
        "properties": {
            "leaf": leaf,
            "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]},
            "more": {"$ref": f"#/$defs/some{rng.randint(0, 1)}"},
        },
        "required": ["leaf"],
        "additionalProperties": False,
    }
    return {
        "$defs": {"node": node, "some0": string(rng), "some1": array(rng, 1)},
        "$ref": "#/$defs/node",
    }


def discriminated(rng: random.Random) -> dict:
    """A union as pydantic writes one, whose kinds a property tells apart."""
    names = rng.sample(["cat", "dog", "fox"], 2)
    kinds = {
        name: {
            "type": "object",
            "properties": {
                "kind": {"const": name, "title": "Kind", "type": "string"},
                "more": any_schema(rng, 1),
            },
            "required": ["kind", "more"],
            "additionalProperties": False,
        }
        for name in names
    }
    references = {name: f"#/$defs/{name}" for name in names}
    return {
        "$defs": kinds,
        "discriminator": {"propertyName": "kind", "mapping": references},
        "oneOf": [{"$ref": target} for target in references.values()] + [{"type": "null"}],
    }


def schemas(count: int, seed: int) -> list[dict]:
    """Of every kind in turn."""
    rng = random.Random(seed)
    kinds: list[Callable[[], dict]] = [lambda make=make: make(rng) for make in LEAVES]
    kinds += [lambda make=make: make(rng, 2) for make in NESTED]
    kinds += [lambda: tree(rng), lambda: discriminated(rng), lambda: any_schema(rng, 3)]
    return [kinds[i % len(kinds)]() for i in range(count)]
