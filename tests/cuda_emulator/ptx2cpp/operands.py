"""Operands of instructions as C++ expressions, and results as assignments."""

import re
from typing import TYPE_CHECKING

from ptx import (
    C_TYPE,
    HALF_TYPES,
    SPECIAL_REGISTERS,
    WIDTH,
    TranslationError,
    c_name,
    round_up,
    split_operands,
)

if TYPE_CHECKING:
    from module import Module


class Operands:
    def __init__(self, module: "Module"):
        self.module = module
        self.name = ""
        self.scopes: list = []
        self.params: dict[str, int] = {}  # offset
        self.param_list: list[tuple[int, int]] = []  # offset, bytes
        self.symbols: dict[str, tuple[str, object]] = {}  # of shared and local variables
        self.shared_bytes = 0

    def site(self, op: list[str] | str, size: int = 0, kind: str = "0") -> int:
        """Number the place of an instruction: opcode, source line, bytes, kind (device.h)."""
        opcode = op if isinstance(op, str) else ".".join(op)
        file, line = self.location
        self.sites.append((opcode, self.module.files.get(file, "?"), line, size, kind))
        return len(self.sites) - 1

    def label(self, name: str) -> str:
        inner = len(self.scopes) > 1 and not name.startswith("$L__")
        return "L" + c_name(name) + (f"_{self.scopes[-1].number}" if inner else "")

    def register(self, name: str) -> tuple[str, int, str] | None:
        for scope in reversed(self.scopes):
            if name in scope.registers:
                return scope.registers[name]
        return None

    def place_shared(self, name: str, align: int, size: int) -> None:
        self.shared_bytes = round_up(self.shared_bytes, align)
        self.symbols[name] = ("shared", self.shared_bytes)
        self.shared_bytes += size

    def symbol(self, name: str) -> str | None:
        """Return the address of a variable or parameter."""
        if name in self.symbols:
            space, value = self.symbols[name]
            return f"(self->shared_base+{value}u)" if space == "shared" else f"(u64){value}"
        if name in self.params:
            return f"(u64)(params+{self.params[name]})"
        if name in self.module.shared:
            align, size, is_dynamic = self.module.shared[name]
            if is_dynamic:
                return f"(self->shared_base+DYNAMIC_{c_name(self.name)})"
            self.place_shared(name, align, size)
            return self.symbol(name)
        if name in self.module.globals:
            return f"(u64){self.module.globals[name]}"
        return None

    def bits(self, text: str, width: int) -> str:
        """Return an operand as unsigned bits."""
        if text in SPECIAL_REGISTERS:
            return SPECIAL_REGISTERS[text]
        if register := self.register(text):
            return register[0] if width in (1, register[1]) else f"(u{width}){register[0]}"
        if re.match(r"0[fF][0-9A-Fa-f]{8}$", text):
            return f"0x{text[2:]}u"
        if re.match(r"0[dD][0-9A-Fa-f]{16}$", text):
            return f"0x{text[2:]}ull"
        if re.match(r"-?(0x[0-9A-Fa-f]+|\d+)U?$", text):
            value = int(text.rstrip("U"), 0)
            if width == 1:
                return "true" if value else "false"
            return f"(u{width}){value & ((1 << width) - 1)}ull"
        if symbol := self.symbol(text):
            return f"(u{width}){symbol}"
        m = re.match(r"([\w$]+)\+(\d+)$", text)
        if m and (symbol := self.symbol(m[1])):
            return f"(u{width})({symbol}+{m[2]})"
        raise TranslationError("operand " + text)

    def bits32(self, text: str) -> str:
        return self.bits(text, 32)

    def read(self, text: str, type_: str) -> str:
        """Return an operand as a value of the type."""
        if type_ == "pred":
            return "!" + self.bits(text[1:], 1) if text.startswith("!") else self.bits(text, 1)
        raw = self.bits(text, WIDTH[type_])
        if type_ in ("f32", "f64"):
            return f"{type_}({raw})"
        return f"({C_TYPE[type_]})({raw})"

    def read_half(self, text: str, type_: str) -> str:
        """Return an operand of bf16 or f16 as a float."""
        return f"{'bf16' if type_ == 'bf16' else 'f16'}_to_float({self.bits(text, 16)})"

    def write(self, target: str, type_: str, value: str) -> str:
        """Return the assignment of a value of the type to a register."""
        if target == "_":
            return f"(void)({value});"
        register = self.register(target)
        if not register:
            raise TranslationError("destination " + target)
        name, width, _ = register
        if type_ == "pred":
            return f"{name} = {value};"
        if type_ in ("f32", "f64"):
            return f"{name} = b{type_[1:]}({value});"
        return f"{name} = (u{width})({C_TYPE[type_]})({value});"

    def write_pair(self, targets: str, call: str) -> str:
        """Return `value|predicate = call`, whose last argument takes the predicate's address."""
        value, predicate = targets.split("|")
        return (
            f"{{ bool p_; u32 v_={call},&p_); {self.write(value, 'b32', 'v_')} "
            f"{self.write(predicate, 'pred', 'p_')} }}"
        )

    def write_all(self, targets: list[str], count: int, call: str) -> str:
        """Return a call that fills t_[count], whose elements are assigned to the targets."""
        stores = " ".join(self.write(d, "b32", f"t_[{i}]") for i, d in enumerate(targets))
        return f"{{ u32 t_[{count}]; {call} {stores} }}"

    def address(self, text: str, width: int) -> str:
        """Return [base + offset] as an address of so many bits."""
        m = re.match(r"\[\s*([^\]]+?)\s*(?:\+\s*(-?\d+|0x[0-9a-fA-F]+))?\s*\]$", text)
        if not m:
            raise TranslationError("address " + text)
        base = self.bits(m[1], width)
        return f"(u{width})({base}+(u{width}){int(m[2], 0)}ll)" if m[2] else f"(u{width})({base})"

    def shared_address(self, text: str) -> str:
        return self.address(text, 32)

    def vector(self, text: str) -> list[str]:
        return split_operands(text[1:-1]) if text.startswith("{") else [text]

    def array(self, operands: list[str], width: int = 32) -> str:
        values = ", ".join(self.bits(operand, width) for operand in operands)
        return f"Array<u{width},{len(operands)}>{{{{{values}}}}}"


def type_of(op: list[str]) -> str:
    """Return the last type that an opcode names."""
    return [part for part in op if part in WIDTH][-1]


def is_half(type_: str) -> bool:
    return type_ in HALF_TYPES
