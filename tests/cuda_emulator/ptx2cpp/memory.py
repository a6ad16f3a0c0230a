"""Loads, stores and atomics."""

from collections.abc import Callable

from operands import Operands, type_of
from ptx import WIDTH, TranslationError, typed

SPACES = ("global", "shared", "local", "param", "const")
LOADS = {"global": ("ldg", "g"), "shared": ("lds", "s"), "generic": ("ld", "g")}
STORES = {"global": ("stg", "G"), "shared": ("sts", "S"), "generic": ("st", "G")}
ATOMICS = ("add", "exch", "and", "or", "xor", "min", "max", "inc", "dec", "cas")


def space_of(op: list[str]) -> str:
    return next((p.split("::")[0] for p in op if p.split("::")[0] in SPACES), "generic")


def address_of(k: Operands, text: str, space: str) -> str:
    return k.address(text, 32 if space == "shared" else 64)


def load(k: Operands, op: list[str], args: list[str]) -> str:
    type_, space, targets = type_of(op), space_of(op), k.vector(args[0])
    count = len(targets)
    size = WIDTH[type_] // 8 * count
    element = ("i" if type_[0] == "s" else "u") + str(WIDTH[type_])
    if space in ("param", "local", "const"):
        code = f"std::memcpy(t_, (void*)({k.address(args[1], 64)}), {size});"
    else:
        name, kind = LOADS[space]
        site = k.site(op, size, kind)
        code = f"{name}<{element},{count}>(self,{site},{address_of(k, args[1], space)},t_);"
    stores = " ".join(k.write(d, typed(type_), f"t_[{i}]") for i, d in enumerate(targets))
    return f"{{ {element} t_[{count}]; {code} {stores} }}"


def store(k: Operands, op: list[str], args: list[str]) -> str:
    type_, space, sources = type_of(op), space_of(op), k.vector(args[1])
    count, unsigned = len(sources), f"u{WIDTH[type_]}"
    size = WIDTH[type_] // 8 * count
    values = ",".join(f"({unsigned})({k.bits(x, WIDTH[type_])})" for x in sources)
    values = f"{unsigned} t_[{count}]={{{values}}};"
    if space in ("local", "param"):
        return f"{{ {values} std::memcpy((void*)({k.address(args[0], 64)}), t_, {size}); }}"
    name, kind = STORES[space]
    site, address = k.site(op, size, kind), address_of(k, args[0], space)
    return f"{{ {values} {name}<{unsigned},{count}>(self,{site},{address},t_); }}"


def atomic(k: Operands, op: list[str], args: list[str], target: str | None) -> str:
    type_, space = type_of(op), space_of(op)
    if args[1].startswith("{"):
        raise TranslationError("vector of atomics")
    size = WIDTH[type_] // 8
    name = next(part for part in op if part in ATOMICS)
    site = k.site(op, size, "S" if space == "shared" else "G")
    address = address_of(k, args[0], space)
    if space == "shared":
        place = f"check_shared(self,{site},{address},{size},true,true)"
    else:
        place = f"generic(self,{site},{address},{size},true,true)"
    operand = k.bits(args[1], WIDTH[type_])
    second = k.bits(args[2], WIDTH[type_]) if len(args) > 2 and name == "cas" else "0"
    call = f'atomic(self,{site},{place},"{name}","{type_}",{operand},{second})'
    return k.write(target, typed(type_), call) if target else call + ";"


def atom(k: Operands, op: list[str], args: list[str]) -> str:
    return atomic(k, op, args[1:], args[0])


def red(k: Operands, op: list[str], args: list[str]) -> str:
    return atomic(k, op, args, None)


def nothing(k: Operands, op: list[str], args: list[str]) -> str:
    return ";"


def create_policy(k: Operands, op: list[str], args: list[str]) -> str:
    return k.write(args[0], "b64", "0")


INSTRUCTIONS: dict[str, Callable] = {
    "ld": load,
    "ldu": load,
    "st": store,
    "atom": atom,
    "red": red,
    # Hints to caches, which are not modelled.
    "prefetch": nothing,
    "prefetchu": nothing,
    "discard": nothing,
    "applypriority": nothing,
    "createpolicy": create_policy,
}
