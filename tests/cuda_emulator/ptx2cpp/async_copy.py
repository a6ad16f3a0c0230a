"""cp.async, cp.async.bulk, cp.async.bulk.tensor, and addresses in a cluster."""

import re

from operands import Operands
from ptx import TranslationError, c_bool

TENSOR_OPERAND = re.compile(r"\[\s*([\w$%]+)\s*,\s*\{(.*)\}\s*\]")


def cp(k: Operands, op: list[str], args: list[str]) -> str:
    opcode = ".".join(op)
    if opcode.startswith("cp.async.bulk"):
        return bulk(k, op, args)
    if opcode.startswith("cp.async.commit_group"):
        return "cp_async_commit(self);"
    if opcode.startswith("cp.async.wait_group"):
        return f"cp_async_wait(self,{k.site(op)},{args[0]});"
    if opcode.startswith("cp.async.wait_all"):
        return f"cp_async_wait(self,{k.site(op)},-1);"
    if opcode.startswith("cp.async.mbarrier.arrive"):
        keeps_count = c_bool("noinc" in op)
        return f"cp_async_mbar_arrive(self,{k.site(op)},{k.shared_address(args[0])},{keeps_count});"
    if op[2] not in ("ca", "cg"):
        raise TranslationError("form of cp")
    size = args[2]
    has_source_size = len(args) > 3 and "cache_hint" not in opcode
    source_size = k.bits32(args[3]) if has_source_size else size
    operands = f"{k.shared_address(args[0])},{k.address(args[1], 64)},{size},{source_size}"
    return f"cp_async(self,{k.site(op, int(size), 'a')},{operands});"


def bulk(k: Operands, op: list[str], args: list[str]) -> str:
    if op[3] == "commit_group":
        return "bulk_commit(self);"
    if op[3] == "wait_group":
        return f"bulk_wait(self,{k.site(op)},{args[0]});"
    if op[3] == "prefetch":
        return ";"
    if op[3] == "tensor":
        return tensor(k, op, args)
    if op[3].startswith("shared") and op[4].startswith("global"):
        operands = (
            f"{k.shared_address(args[0])},{k.address(args[1], 64)},"
            f"{k.bits32(args[2])},{k.shared_address(args[3])}"
        )
        return f"bulk_g2s(self,{k.site(op)},{operands});"
    if op[3].startswith("global"):
        operands = f"{k.address(args[0], 64)},{k.shared_address(args[1])},{k.bits32(args[2])}"
        return f"bulk_s2g(self,{k.site(op)},{operands});"
    raise TranslationError("form of cp.async.bulk")


def tensor(k: Operands, op: list[str], args: list[str]) -> str:
    if any(part.startswith("im2col") for part in op):
        raise TranslationError("im2col")
    rank, to_global = int(op[4][0]), op[5].startswith("global")
    tensor_map, coordinates = TENSOR_OPERAND.match(args[0] if to_global else args[1]).groups()
    values = ",".join(k.read(x.strip(), "s32") for x in coordinates.split(","))
    place = f"{k.bits(tensor_map, 64)},Array<i32,{rank}>{{{{{values}}}}}"
    if to_global:
        return f"tma_s2g(self,{k.site(op)},{rank},{place},{k.shared_address(args[1])});"
    multicast = k.bits(args[3], 16) if any("multicast" in part for part in op) else "-1"
    return (
        f"tma_g2s(self,{k.site(op)},{rank},{k.shared_address(args[0])},{place},"
        f"{k.shared_address(args[2])},{multicast});"
    )


def mapa(k: Operands, op: list[str], args: list[str]) -> str:
    rank = k.bits32(args[2])
    if any("cluster" in part for part in op):
        return k.write(args[0], "u32", f"mapa(self,{k.bits32(args[1])},{rank})")
    return k.write(args[0], "u64", f"mapa_generic(self,{k.bits(args[1], 64)},{rank})")


INSTRUCTIONS = {"cp": cp, "mapa": mapa}
