"""mov, cvt, cvta: between registers, types and address spaces."""

from operands import Operands, is_half, type_of
from ptx import C_TYPE, WIDTH, TranslationError

FP8_PAIRS = ("e4m3x2", "e5m2x2")
TO_INTEGRAL = {
    "rni": "std::nearbyint",
    "rzi": "std::trunc",
    "rmi": "std::floor",
    "rpi": "std::ceil",
}


def mov(k: Operands, op: list[str], args: list[str]) -> str:
    type_, (target, source) = type_of(op), args
    width = WIDTH[type_]
    if target.startswith("{"):
        targets = k.vector(target)
        part = width // len(targets)
        stores = " ".join(
            k.write(t, f"b{part}", f"(u{part})(t_>>{part * i})") for i, t in enumerate(targets)
        )
        return f"{{ u{width} t_={k.bits(source, width)}; {stores} }}"
    if source.startswith("{"):
        sources = k.vector(source)
        part = width // len(sources)
        parts = (f"(u{width})({k.bits(s, part)})<<{part * i}" for i, s in enumerate(sources))
        return k.write(target, type_, "|".join(parts))
    if type_ == "pred":
        return k.write(target, type_, k.read(source, type_))
    return k.write(target, f"b{width}", k.bits(source, width))


def cvta(k: Operands, op: list[str], args: list[str]) -> str:
    """Only shared addresses differ from generic ones: they are offsets, with the cluster's rank."""
    address = k.bits(args[1], 64)
    if "shared" not in op and "shared::cta" not in op:
        return k.write(args[0], "u64", address)
    if "to" in op:
        return k.write(args[0], "u64", f"({address}-(u64)self->shared)+self->shared_base")
    return k.write(args[0], "u64", f"(u64)self->shared+(u32)({address}-self->shared_base)")


def isspacep(k: Operands, op: list[str], args: list[str]) -> str:
    space = op[1].split("::")[0]
    if space not in ("shared", "global", "local"):
        raise TranslationError("space")
    return k.write(args[0], "pred", f"is_{space}(self,{k.bits(args[1], 64)})")


def to_pair(k: Operands, op: list[str], args: list[str], target: str) -> str:
    """Two floats to two halves in one register: the first operand is the upper one."""
    function = "float_to_bf16" if target == "bf16x2" else "float_to_f16"
    if "rz" in op:
        function += "_rz"
    low, high = (k.read(arg, "f32") for arg in (args[2], args[1]))
    if "relu" in op:
        low, high = f"maximum(0.f,{low})", f"maximum(0.f,{high})"
    return k.write(args[0], "b32", f"(u32){function}({low})|(u32){function}({high})<<16")


def to_fp8_pair(k: Operands, args: list[str], target: str, source: str) -> str:
    function = "float_to_" + target[:4]
    if source == "f32":
        low, high = k.read(args[2], "f32"), k.read(args[1], "f32")
    else:
        widen = "f16_to_float" if source == "f16x2" else "bf16_to_float"
        bits = k.bits32(args[1])
        low, high = f"{widen}((u16)({bits}))", f"{widen}((u16)(({bits})>>16))"
    return k.write(args[0], "b16", f"(u16){function}({low})|(u16){function}({high})<<8")


def from_fp8_pair(k: Operands, args: list[str], source: str) -> str:
    widen, bits = source[:4] + "_to_float", k.bits(args[1], 16)
    low, high = f"{widen}((u8)({bits}))", f"{widen}((u8)(({bits})>>8))"
    return k.write(args[0], "b32", f"(u32)float_to_f16({low})|(u32)float_to_f16({high})<<16")


def to_real(k: Operands, op: list[str], args: list[str], target: str, value: str) -> str:
    source_is_real = any(part in op[2:] for part in ("f32", "f64", "f16", "bf16"))
    integral = [part for part in op if part in TO_INTEGRAL]
    mode = [part for part in op if part in ("rz", "rm", "rp")]
    if integral and source_is_real:
        value = f"{TO_INTEGRAL[integral[0]]}({value})"
    if mode:
        value = f"rounded_convert<{C_TYPE[target]}>('{mode[0][1]}',{value})"
    value = f"({C_TYPE[target]})({value})"
    if "ftz" in op and target == "f32":
        value = f"flush_subnormal({value})"
    return k.write(args[0], target, f"saturate({value})" if "sat" in op else value)


def to_half(k: Operands, op: list[str], args: list[str], target: str, value: str) -> str:
    function = f"float_to_{target}"
    if "rz" in op:
        function += "_rz"
    elif "rm" in op or "rp" in op or "sat" in op:
        raise TranslationError("rounding of half precision")
    value = f"(float)({value})"
    if "relu" in op:
        value = f"maximum(0.f,{value})"
    return k.write(args[0], "b16", f"{function}({value})")


def cvt(k: Operands, op: list[str], args: list[str]) -> str:
    types = [part for part in op[1:] if part in WIDTH or part in FP8_PAIRS]
    target, source = types[0], types[-1]
    if target in ("bf16x2", "f16x2") and source == "f32":
        return to_pair(k, op, args, target)
    if target in FP8_PAIRS:
        if "relu" in op:
            raise TranslationError("relu")
        return to_fp8_pair(k, args, target, source)
    if source in FP8_PAIRS:
        if target != "f16x2" or "relu" in op:
            raise TranslationError("form of cvt")
        return from_fp8_pair(k, args, source)
    if target == "tf32":
        if "rna" not in op:
            raise TranslationError("rounding of tf32")
        return k.write(args[0], "b32", f"({k.bits32(args[1])}+0x1000u)&0xffffe000u")
    is_real = source in ("f32", "f64", "f16", "bf16")
    value = k.read_half(args[1], source) if is_half(source) else k.read(args[1], source)
    if target in ("f32", "f64"):
        return to_real(k, op, args, target, value)
    if target in ("bf16", "f16"):
        return to_half(k, op, args, target, value)
    if is_real:
        mode = next(part for part in op if part in TO_INTEGRAL)
        return k.write(args[0], target, f"to_integer<{C_TYPE[target]}>({value},'{mode[1]}')")
    if "sat" in op:
        return k.write(args[0], target, f"clamp_to<{C_TYPE[target]}>({value})")
    return k.write(args[0], target, value)


INSTRUCTIONS = {"mov": mov, "cvt": cvt, "cvta": cvta, "isspacep": isspacep}
