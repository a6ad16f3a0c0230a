"""Matrix instructions: ldmatrix, stmatrix, mma, wgmma."""

import re

from operands import Operands
from ptx import TranslationError, c_bool

# Element types, as the runtime names them.
ELEMENTS = {"bf16": "b", "f16": "h", "tf32": "t", "e4m3": "4", "e5m2": "5", "s8": "s", "u8": "u"}


def check_form(k: Operands, op: list[str]) -> None:
    if "b16" not in op or "m8n8" not in op:
        raise TranslationError("form of " + op[0])


def ldmatrix(k: Operands, op: list[str], args: list[str]) -> str:
    check_form(k, op)
    targets = k.vector(args[0])
    count, trans = len(targets), c_bool("trans" in op)
    site = k.site(op, 16, "l")
    call = f"ldmatrix(self,{site},{count},{trans},t_,{k.shared_address(args[1])});"
    return k.write_all(targets, count, call)


def stmatrix(k: Operands, op: list[str], args: list[str]) -> str:
    check_form(k, op)
    sources = k.vector(args[1])
    operands = f"{len(sources)},{c_bool('trans' in op)},{k.array(sources)}"
    return f"stmatrix(self,{k.site(op, 16, 'l')},{operands},{k.shared_address(args[0])});"


def widened(k: Operands, pairs: list[str]) -> str:
    """Return floats (as bits) of registers that hold two f16 each."""
    return ",".join(
        f"b32(f16_to_float((u16)({k.bits32(x)}))),b32(f16_to_float((u16)(({k.bits32(x)})>>16)))"
        for x in pairs
    )


def write_f16_pairs(k: Operands, targets: list[str]) -> str:
    return " ".join(
        k.write(
            target,
            "b32",
            f"(u32)float_to_f16(f32(t_[{2 * i}]))|(u32)float_to_f16(f32(t_[{2 * i + 1}]))<<16",
        )
        for i, target in enumerate(targets)
    )


def mma(k: Operands, op: list[str], args: list[str]) -> str:
    m, n, depth = map(int, re.search(r"m(\d+)n(\d+)k(\d+)", op[3]).groups())
    types = [part for part in op[4:] if part in ("f32", "s32", "f16") or part in ELEMENTS]
    d_type, a_type, b_type, c_type = types[-4:]
    known = (m, n) == (16, 8) and d_type in ("f32", "s32", "f16") and op[4:6] == ["row", "col"]
    if not known or "satfinite" in op:
        raise TranslationError("form of mma")
    d, a, b, c = (k.vector(arg) for arg in args)
    per_register = {"b": 2, "h": 2, "t": 1}.get(ELEMENTS[a_type], 4)
    is_half = d_type == "f16"
    counts = (
        16 * depth // 32 // per_register,
        8 * depth // 32 // per_register,
        2 if is_half else 4,
    )
    if (len(a), len(b), len(c)) != counts or d_type != c_type:
        raise TranslationError("operands of mma")
    shape = f"{k.site(op, 2 * m * n * depth, 'm')},{depth}"
    types = f"'{ELEMENTS[a_type]}','{ELEMENTS[b_type]}'"
    call = f"mma(self,{shape},{types},t_,{k.array(a)},{k.array(b)},"
    if is_half:
        return f"{{ u32 t_[4]={{{widened(k, c)}}}; {call}t_); {write_f16_pairs(k, d)} }}"
    return k.write_all(d, 4, f"{call}{k.array(c)});")


def wgmma(k: Operands, op: list[str], args: list[str]) -> str:
    if op[1] == "fence":
        return f"wgmma_fence(self,{k.site('wgmma.fence')});"
    if op[1] == "commit_group":
        return "wgmma_commit(self);"
    if op[1] == "wait_group":
        return f"wgmma_wait(self,{k.site('wgmma.wait_group')},{args[0]});"
    return wgmma_product(k, op, args)


def wgmma_product(k: Operands, op: list[str], args: list[str]) -> str:
    n, depth = map(int, re.search(r"m64n(\d+)k(\d+)", op[4]).groups())
    d_type, a_type, b_type = op[5:8]
    d = k.vector(args[0])
    is_half, a_in_registers = d_type == "f16", args[1].startswith("{")
    if d_type not in ("f32", "f16") or len(d) != n // (4 if is_half else 2):
        raise TranslationError("form of wgmma")
    scale_d, rest = (args[3] if len(args) > 3 else "1"), args[4:]
    scale_a, scale_b = (rest + ["1", "1"])[:2]
    transposed = rest[2:]
    if a_in_registers:
        trans_a, trans_b = "0", transposed[0] if transposed else "0"
    else:
        trans_a, trans_b = (transposed + ["0", "0"])[:2]
    if k.register(scale_d):
        accumulates = k.read(scale_d, "pred")
    else:
        accumulates = c_bool(scale_d not in ("0", "false"))
    registers = k.array(k.vector(args[1])) if a_in_registers else "nullptr"
    descriptor = "0" if a_in_registers else k.bits(args[1], 64)
    site = k.site(op, 2 * 16 * n * depth, "m")
    call = (
        f"wgmma(self,{site},WgmmaArgs{{t_,{registers},{descriptor},{k.bits(args[2], 64)},"
        f"{n},{depth},'{ELEMENTS[a_type]}','{ELEMENTS[b_type]}',{accumulates},"
        f"{scale_a},{scale_b},{trans_a},{trans_b}}});"
    )
    if is_half:
        return f"{{ u32 t_[{n // 2}]={{{widened(k, d)}}}; {call} {write_f16_pairs(k, d)} }}"
    values = ",".join(k.bits32(x) for x in d)
    stores = " ".join(k.write(x, "b32", f"t_[{i}]") for i, x in enumerate(d))
    return f"{{ u32 t_[{n // 2}]={{{values}}}; {call} {stores} }}"


INSTRUCTIONS = {"ldmatrix": ldmatrix, "stmatrix": stmatrix, "mma": mma, "wgmma": wgmma}
