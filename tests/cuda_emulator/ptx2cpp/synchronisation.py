"""Control flow, fences, barriers, collectives of a warp, mbarriers."""

from operands import Operands, type_of
from ptx import WIDTH, TranslationError, c_bool


def branch(k: Operands, op: list[str], args: list[str]) -> str:
    target = k.label_at.get(args[0])
    is_backward = target is not None and target <= k.statement
    return f"{'backward_branch(self); ' if is_backward else ''}goto {k.label(args[0])};"


def indexed_branch(k: Operands, op: list[str], args: list[str]) -> str:
    cases = " ".join(
        f"case {i}: {branch(k, op, [label])}" for i, label in enumerate(k.branch_targets[args[1]])
    )
    return f'switch ({k.bits32(args[0])}) {{ {cases} default: fail(self,"brx.idx"); }}'


def leave(k: Operands, op: list[str], args: list[str]) -> str:
    return "return;"


def trap(k: Operands, op: list[str], args: list[str]) -> str:
    return f'self->site={k.site("trap")}; fail(self,"trap");'


def nothing(k: Operands, op: list[str], args: list[str]) -> str:
    return ";"


def nanosleep(k: Operands, op: list[str], args: list[str]) -> str:
    return "yield_in_loop(self);"


def fence(k: Operands, op: list[str], args: list[str]) -> str:
    """Memory is sequentially consistent here; only the async proxy is behind a fence."""
    if "proxy" in op and "async" in ".".join(op):
        return "fence_proxy_async(self);"
    return ";"


def barrier(k: Operands, op: list[str], args: list[str]) -> str:
    if op[1] == "warp":
        return f"bar_warp_sync(self,{k.site('bar.warp.sync')},{k.bits32(args[0])});"
    if op[1] == "cluster":
        return f"cluster_{op[2]}(self,{k.site('barrier.cluster.' + op[2])});"
    kind, rest = (op[2], op[3:]) if op[1] == "cta" else (op[1], op[2:])
    site = k.site("bar." + kind)
    if kind == "red":
        return barrier_reduction(k, rest[0], site, args)
    if kind not in ("sync", "arrive"):
        raise TranslationError("form of barrier")
    count = k.bits32(args[1]) if len(args) > 1 else 0
    return f"bar(self,{site},{k.bits32(args[0])},{count},{c_bool(kind == 'arrive')});"


def barrier_reduction(k: Operands, name: str, site: int, args: list[str]) -> str:
    """__syncthreads_count, _and and _or."""
    count = k.bits32(args[2]) if len(args) > 3 else "0"
    kind = {"popc": "c", "and": "a", "or": "o"}[name]
    value = k.read(args[-1], "pred")
    call = f"bar_red(self,{site},{k.bits32(args[1])},{count},'{kind}',{value})"
    return k.write(args[0], "u32" if name == "popc" else "pred", call)


def shuffle(k: Operands, op: list[str], args: list[str]) -> str:
    mode = {"idx": "i", "bfly": "b", "down": "d", "up": "u"}[op[2]]
    operands = ",".join(k.bits32(arg) for arg in args[1:5])
    call = f"shfl(self,{k.site(op)},'{mode}',{operands}"
    if "|" in args[0]:
        return k.write_pair(args[0], call)
    return k.write(args[0], "b32", call + ",nullptr)")


def vote(k: Operands, op: list[str], args: list[str]) -> str:
    mode = {"all": "a", "any": "o", "uni": "u", "ballot": "b"}[op[2]]
    call = f"vote(self,{k.site(op)},'{mode}',{k.read(args[1], 'pred')},{k.bits32(args[2])})"
    return k.write(args[0], "b32" if mode == "b" else "pred", call)


def redux(k: Operands, op: list[str], args: list[str]) -> str:
    if op[-1] not in ("s32", "u32", "b32"):
        raise TranslationError("type of redux")
    operands = f"{k.bits32(args[1])},{k.bits32(args[2])},{c_bool(op[-1] == 's32')}"
    return k.write(args[0], "b32", f'redux(self,{k.site(op)},"{op[2]}",{operands})')


def match(k: Operands, op: list[str], args: list[str]) -> str:
    operands = f"{k.bits(args[1], WIDTH[type_of(op)])},{k.bits32(args[2])}"
    if op[1] == "all":
        call = f"match_all(self,{k.site(op)},{operands}"
        return k.write_pair(args[0] if "|" in args[0] else args[0] + "|_", call)
    return k.write(args[0], "b32", f"match_any(self,{k.site(op)},{operands})")


def activemask(k: Operands, op: list[str], args: list[str]) -> str:
    return k.write(args[0], "b32", "activemask(self)")


def elect(k: Operands, op: list[str], args: list[str]) -> str:
    return k.write_pair(args[0], f"elect(self,{k.site('elect.sync')},{k.bits32(args[1])}")


def mbarrier(k: Operands, op: list[str], args: list[str]) -> str:
    kind, site = op[1], k.site(op)
    if kind == "init":
        return f"mbar_init(self,{site},{k.shared_address(args[0])},{k.bits32(args[1])});"
    if kind == "inval":
        return f"mbar_inval(self,{site},{k.shared_address(args[0])});"
    if kind == "expect_tx":
        return f"mbar_expect_tx(self,{site},{k.shared_address(args[0])},{k.bits32(args[1])});"
    if kind == "arrive":
        has_target = not args[0].startswith("[")
        target, rest = (args[0], args[1:]) if has_target else ("_", args)
        expects = "expect_tx" in op
        operand = k.bits32(rest[1]) if len(rest) > 1 else "1"
        count, bytes_ = ("1", operand) if expects else (operand, "0")
        call = f"mbar_arrive(self,{site},{k.shared_address(rest[0])},{count},{bytes_})"
        return call + ";" if target == "_" else k.write(target, "b64", call)
    if kind in ("try_wait", "test_wait"):
        state = k.bits(args[2], 32 if "parity" in op else 64)
        call = f"mbar_test(self,{site},{k.shared_address(args[1])},{state})"
        return k.write(args[0], "pred", call)
    raise TranslationError("form of mbarrier")


INSTRUCTIONS = {
    "bra": branch,
    "brx": indexed_branch,
    "ret": leave,
    "exit": leave,
    "trap": trap,
    "nanosleep": nanosleep,
    "membar": nothing,
    "fence": fence,
    # Register counts and overlap of launches, which are not modelled.
    "setmaxnreg": nothing,
    "griddepcontrol": nothing,
    "brkpt": nothing,
    "bar": barrier,
    "barrier": barrier,
    "shfl": shuffle,
    "vote": vote,
    "redux": redux,
    "match": match,
    "activemask": activemask,
    "elect": elect,
    "mbarrier": mbarrier,
}
