"""Integer, floating-point and half-precision arithmetic, logic, shifts, comparison, selection."""

from collections.abc import Callable

from operands import Operands, is_half, type_of
from ptx import C_TYPE, ROUNDINGS, WIDTH, TranslationError, c_bool

WIDER = {"s16": "s32", "u16": "u32", "s32": "s64", "u32": "u64"}


def is_integer(type_: str) -> bool:
    return type_[0] in "usb" and not is_half(type_)


def rounding(op: list[str]) -> str | None:
    """Return the directed rounding that the opcode asks for."""
    return next((part for part in op if part in ROUNDINGS), None)


def finish(op: list[str], type_: str, value: str) -> str:
    """Apply .ftz and .sat."""
    if type_ == "f32" and "ftz" in op:
        value = f"flush_subnormal({value})"
    if type_ == "f32" and "sat" in op:
        value = f"saturate({value})"
    return value


def half(k: Operands, op: list[str], args: list[str], type_: str, compute: Callable) -> str:
    """Compute in double, which holds sums and products of halves exactly, and round once."""
    if "sat" in op or rounding(op):
        raise TranslationError("rounding of half precision")
    name = "bf16" if type_.startswith("bf16") else "f16"
    pair = type_.endswith("x2")
    operands = [k.bits(arg, 32 if pair else 16) for arg in args[1:]]

    def lane(shift: int) -> str:
        values = [f"(double){name}_to_float((u16)(({x})>>{shift}))" for x in operands]
        return f"(u32)double_to_{name}({compute(*values, 'f64')})"

    value = f"({lane(0)}) | ({lane(16)})<<16" if pair else lane(0)
    return k.write(args[0], type_, value)


def binary(k: Operands, op: list[str], args: list[str], compute: Callable) -> str:
    type_ = type_of(op)
    if is_half(type_):
        return half(k, op, args, type_, compute)
    value = compute(k.read(args[1], type_), k.read(args[2], type_), type_)
    return k.write(args[0], type_, finish(op, type_, value))


def unary(k: Operands, op: list[str], args: list[str], integer: Callable, real: Callable) -> str:
    type_ = type_of(op)
    if rounding(op) and type_[0] == "f":
        raise TranslationError("rounding")
    if is_half(type_):
        return half(k, op, args, type_, lambda x, _: real(x))
    value = (real if type_[0] == "f" else integer)(k.read(args[1], type_))
    return k.write(args[0], type_, finish(op, type_, value))


def directed(k: Operands, op: list[str], args: list[str], name: str) -> str | None:
    """Return the operation where it rounds other than to nearest even."""
    mode, type_ = rounding(op), type_of(op)
    if not mode or type_ not in ("f32", "f64"):
        return None
    values = ", ".join(k.read(arg, type_) for arg in args[1:])
    value = f"rounded_{name}('{mode[1]}', {values})"
    return k.write(args[0], type_, finish(op, type_, value))


def with_carry(k: Operands, op: list[str], args: list[str]) -> str:
    """add, sub and mad with .cc, addc, subc, madc."""
    type_ = type_of(op)
    u, wide = (f"u{WIDTH[type_]}", "u64" if WIDTH[type_] == 32 else "unsigned __int128")
    reads = f"({u})carry" if op[0].endswith("c") else f"({u})0"
    keeps = c_bool("cc" in op)
    if op[0].startswith("mad"):
        product = (
            f"({wide})({u}){k.bits(args[1], WIDTH[type_])}*({u}){k.bits(args[2], WIDTH[type_])}"
        )
        if "hi" in op:
            if type_[0] == "s":
                raise TranslationError("signed mad.hi with carry")
            product = f"({product})>>{WIDTH[type_]}"
        a, b = f"({u})({product})", k.bits(args[3], WIDTH[type_])
    else:
        a, b = k.bits(args[1], WIDTH[type_]), k.bits(args[2], WIDTH[type_])
    function = "subtract_borrow" if op[0].startswith("sub") else "add_carry"
    return k.write(args[0], f"b{WIDTH[type_]}", f"{function}<{u},{keeps}>({a},{b},{reads},carry)")


def plus_minus(sign: str, name: str) -> Callable:
    def compute(x: str, y: str, type_: str) -> str:
        if is_integer(type_):
            return f"(u{WIDTH[type_]})({x}){sign}(u{WIDTH[type_]})({y})"
        return f"{x}{sign}{y}"

    def instruction(k: Operands, op: list[str], args: list[str]) -> str:
        if "cc" in op:
            return with_carry(k, op, args)
        if "sat" in op and is_integer(type_of(op)):
            raise TranslationError("saturating integers")
        return directed(k, op, args, name) or binary(k, op, args, compute)

    return instruction


def product_type(type_: str) -> str:
    """Return the type in which a product of 16-bit integers does not overflow an int."""
    return f"u{max(32, WIDTH[type_])}"


def high_product(k: Operands, a: str, b: str, type_: str) -> str:
    wide = {16: "i32", 32: "i64", 64: "__int128"}[WIDTH[type_]]
    if type_[0] == "u":
        wide = wide.replace("i", "u") if wide[0] == "i" else "unsigned " + wide
    product = f"({wide}){k.read(a, type_)}*({wide}){k.read(b, type_)}"
    return f"(u{WIDTH[type_]})(({product})>>{WIDTH[type_]})"


def mul(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    if "wide" in op:
        wide = C_TYPE[WIDER[type_]]
        value = f"({wide}){k.read(args[1], type_)}*({wide}){k.read(args[2], type_)}"
        return k.write(args[0], WIDER[type_], value)
    if "hi" in op:
        return k.write(args[0], type_, high_product(k, args[1], args[2], type_))
    if "lo" in op:
        u = product_type(type_)
        return binary(k, op, args, lambda x, y, _: f"({u})({x})*({u})({y})")
    return directed(k, op, args, "mul") or binary(k, op, args, lambda x, y, _: f"{x}*{y}")


def mad(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    if "cc" in op or op[0] == "madc":
        return with_carry(k, op, args)
    if type_ in ("f32", "f64"):
        return fma(k, op, args)
    if "wide" in op:
        wide = C_TYPE[WIDER[type_]]
        product = f"({wide}){k.read(args[1], type_)}*({wide}){k.read(args[2], type_)}"
        value = f"(u64)({product})+(u64){k.read(args[3], WIDER[type_])}"
        return k.write(args[0], WIDER[type_], value)
    if "sat" in op:
        raise TranslationError("saturating integers")
    if "hi" in op:
        value = f"{high_product(k, args[1], args[2], type_)}+{k.bits(args[3], WIDTH[type_])}"
    elif "lo" in op:
        u = product_type(type_)
        x, y, z = (f"({u}){k.read(arg, type_)}" for arg in args[1:])
        value = f"(u{WIDTH[type_]})({u})({x}*{y}+{z})"
    else:
        raise TranslationError("form of mad")
    return k.write(args[0], type_, value)


def mul24(k: Operands, op: list[str], args: list[str]) -> str:
    """The low 32 bits of a product (and sum) of 24-bit integers."""
    type_ = type_of(op)
    if "hi" in op:
        raise TranslationError("mul24.hi")
    cut = "((i32)({}<<8)>>8)" if type_ == "s32" else "({}&0xffffffu)"
    x, y = (cut.format(k.bits32(arg)) for arg in args[1:3])
    value = f"(u32){x}*(u32){y}" + (f"+{k.bits32(args[3])}" if len(args) > 3 else "")
    return k.write(args[0], type_, value)


def fma(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    if is_half(type_):
        if "relu" in op:
            return half(k, op, args, type_, lambda x, y, z, _: f"std::fmax(0.0,{x}*{y}+{z})")
        return half(k, op, args, type_, lambda x, y, z, _: f"{x}*{y}+{z}")
    if code := directed(k, op, args, "fma"):
        return code
    values = ",".join(k.read(arg, type_) for arg in args[1:])
    return k.write(args[0], type_, finish(op, type_, f"std::fma({values})"))


def divide(k: Operands, op: list[str], args: list[str]) -> str:
    if is_integer(type_of(op)):
        return binary(k, op, args, lambda x, y, _: f"quotient({x},{y})")
    return directed(k, op, args, "div") or binary(k, op, args, lambda x, y, _: f"{x}/{y}")


def remainder(k: Operands, op: list[str], args: list[str]) -> str:
    return binary(k, op, args, lambda x, y, _: f"modulus({x},{y})")


def min_max(name: str) -> Callable:
    def instruction(k: Operands, op: list[str], args: list[str]) -> str:
        if "xorsign" in op or ("relu" in op and not is_half(type_of(op))):
            raise TranslationError("form of " + name)
        keeps_nan = "nan_" if "NaN" in op else ""

        def compute(x: str, y: str, type_: str) -> str:
            if is_integer(type_):
                return f"({x}{'<' if name == 'min' else '>'}{y}?{x}:{y})"
            value = f"{keeps_nan}{name}imum({x},{y})"
            return f"std::fmax(0.0,{value})" if "relu" in op else value

        if len(args) == 4:
            x, y, z = (k.read(arg, "f32") for arg in args[1:])
            return k.write(args[0], "f32", compute(compute(x, y, "f32"), z, "f32"))
        return binary(k, op, args, compute)

    return instruction


def function(call: str, rounded: str = "") -> Callable:
    """A function of one real operand; `rounded`: its name in directed rounding, if it has one."""

    def instruction(k: Operands, op: list[str], args: list[str]) -> str:
        code = directed(k, op, args, rounded) if rounded else None
        return code or unary(k, op, args, no_integer, call.format)

    return instruction


def no_integer(x: str) -> str:
    raise TranslationError("integer operand " + x)


def negate(k: Operands, op: list[str], args: list[str]) -> str:
    return unary(k, op, args, lambda x: f"0-(u64){x}", lambda x: f"-({x})")


def absolute(k: Operands, op: list[str], args: list[str]) -> str:
    return unary(k, op, args, lambda x: f"({x}<0?0-(u64){x}:(u64){x})", "std::fabs({})".format)


def copysign(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    value = f"std::copysign({k.read(args[2], type_)},{k.read(args[1], type_)})"
    return k.write(args[0], type_, value)


def bfind(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    width, x = WIDTH[type_], k.read(args[1], type_)
    bits = f"(u{width})({x})" if type_[0] == "u" else f"(u{width})({x}<0?~{x}:{x})"
    shift = f"__builtin_clzll({bits})-{64 - width}"
    value = shift if "shiftamt" in op else f"{width - 1}-({shift})"
    return k.write(args[0], "u32", f"({bits})?{value}:0xffffffffu")


def population_count(k: Operands, op: list[str], args: list[str]) -> str:
    bits = k.bits(args[1], WIDTH[type_of(op)])
    return k.write(args[0], "u32", f"__builtin_popcountll({bits})")


def leading_zeros(k: Operands, op: list[str], args: list[str]) -> str:
    width = WIDTH[type_of(op)]
    bits = k.bits(args[1], width)
    return k.write(args[0], "u32", f"({bits})?__builtin_clzll({bits})-{64 - width}:{width}")


def bit_reverse(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    return k.write(args[0], type_, f"reverse_bits({k.bits(args[1], WIDTH[type_])})")


def logic(sign: str) -> Callable:
    def instruction(k: Operands, op: list[str], args: list[str]) -> str:
        type_ = type_of(op)
        value = f"({k.read(args[1], type_)} {sign} {k.read(args[2], type_)})"
        return k.write(args[0], type_, value)

    return instruction


def invert(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    value = k.read(args[1], type_)
    return k.write(args[0], type_, f"!{value}" if type_ == "pred" else f"~{value}")


def is_zero(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    return k.write(args[0], type_, f"{k.bits(args[1], WIDTH[type_])}==0")


def shift_left(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    width = WIDTH[type_]
    value = f"shift_left<u{width}>({k.bits(args[1], width)},{k.bits32(args[2])})"
    return k.write(args[0], type_, value)


def shift_right(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    value = f"shift_right<{C_TYPE[type_]}>({k.read(args[1], type_)},{k.bits32(args[2])})"
    return k.write(args[0], type_, value)


def funnel_shift(k: Operands, op: list[str], args: list[str]) -> str:
    pair = f"((u64){k.bits32(args[2])}<<32|{k.bits32(args[1])})"
    count = k.bits32(args[3])
    count = f"(({count})&31)" if "wrap" in op else f"(({count})>32?32:({count}))"
    value = f"(u32)(({pair}<<{count})>>32)" if op[1] == "l" else f"(u32)({pair}>>{count})"
    return k.write(args[0], "b32", value)


def bit_field_extract(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    value = k.read(args[1], type_)
    return k.write(args[0], type_, f"extract_bits({value},{k.bits32(args[2])},{k.bits32(args[3])})")


def bit_field_insert(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    a, b = (k.bits(arg, WIDTH[type_]) for arg in args[1:3])
    return k.write(args[0], type_, f"insert_bits({a},{b},{k.bits32(args[3])},{k.bits32(args[4])})")


def permute(k: Operands, op: list[str], args: list[str]) -> str:
    mode = op[2] if len(op) > 2 else ""
    if mode and mode not in ("f4e", "b4e", "rc8", "ecl", "ecr", "rc16"):
        raise TranslationError("mode of prmt")
    function = f"permute_bytes_{mode}" if mode else "permute_bytes"
    return k.write(args[0], "b32", f"{function}({','.join(k.bits32(x) for x in args[1:4])})")


def lop3(k: Operands, op: list[str], args: list[str]) -> str:
    if "BoolOp" in op or len(args) != 5:
        raise TranslationError("form of lop3")
    return k.write(args[0], "b32", f"lop3({','.join(k.bits32(x) for x in args[1:5])})")


def dot_product(k: Operands, op: list[str], args: list[str]) -> str:
    """dp4a and dp2a: four products of bytes, two of 16-bit integers with bytes."""
    a_type, b_type = op[-2:]
    if op[0] == "dp2a":
        half_of = c_bool("hi" in op)
        name = f"dot2<{c_bool(a_type == 's32')},{c_bool(b_type == 's32')},{half_of}>"
    else:
        name = f"dot4<{c_bool(a_type == 's32')},{c_bool(b_type == 's32')}>"
    return k.write(args[0], "b32", f"{name}({','.join(k.bits32(x) for x in args[1:4])})")


def absolute_difference(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    a, b, c = (k.read(arg, type_) for arg in args[1:4])
    u = f"(u{WIDTH[type_]})"
    return k.write(args[0], type_, f"({a}<{b}?{u}{b}-{u}{a}:{u}{a}-{u}{b})+{u}{c}")


COMPARISONS = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "lo": "<",
    "ls": "<=",
    "hi": ">",
    "hs": ">=",
}


def comparison(name: str, x: str, y: str, is_real: bool) -> str:
    """Compare; an ordered comparison with NaN is false, an unordered one (ltu, …) true."""
    either_nan = f"{x}!={x}||{y}!={y}"
    if name == "ne" and is_real:
        return f"({either_nan}?false:{x}!={y})"
    if name in COMPARISONS:
        return f"({x}{COMPARISONS[name]}{y})"
    if name == "num":
        return f"({x}=={x}&&{y}=={y})"
    if name == "nan":
        return f"({either_nan})"
    if name[-1] == "u" and name[:-1] in COMPARISONS:
        return f"({either_nan}||{x}{COMPARISONS[name[:-1]]}{y})"
    raise TranslationError("comparison " + name)


def set_predicate(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    if type_ in ("bf16x2", "f16x2"):
        raise TranslationError("comparison of pairs")
    if is_half(type_):
        x, y = (k.read_half(arg, type_) for arg in args[1:3])
    else:
        x, y = (k.read(arg, type_) for arg in args[1:3])
    plain = comparison(op[1], x, y, type_[0] == "f" or is_half(type_))
    combine = [part for part in op[2:] if part in ("and", "or", "xor")]
    value, inverse = plain, f"!{plain}"
    if combine:
        sign = {"and": "&&", "or": "||", "xor": "!="}[combine[0]]
        other = k.read(args[3], "pred")
        value, inverse = f"({plain} {sign} {other})", f"(!{plain} {sign} {other})"
    targets = args[0].split("|")
    if len(targets) == 2:
        # Through a temporary: an operand may be a target.
        first = k.write(targets[0], "pred", "v_")
        return f"{{ bool v_={value}, w_={inverse}; {first} {k.write(targets[1], 'pred', 'w_')} }}"
    return k.write(args[0], "pred", value)


# What `set` gives for true.
TRUE_OF = {
    **dict.fromkeys(("u32", "s32", "b32"), "0xffffffffu"),
    **dict.fromkeys(("u16", "s16", "b16"), "0xffffu"),
    "f32": "0x3f800000u",
    "bf16": "0x3f80u",
    "f16": "0x3c00u",
}


def set_value(k: Operands, op: list[str], args: list[str]) -> str:
    """Compare into a register; pairs of halves by halves."""
    target, source = [part for part in op[2:] if part in WIDTH][-2:]
    if len(args) != 3:
        raise TranslationError("form of set")
    if source not in ("bf16x2", "f16x2"):
        is_real = source[0] == "f" or is_half(source)
        read = k.read_half if is_half(source) else k.read
        test = comparison(op[1], read(args[1], source), read(args[2], source), is_real)
        return k.write(args[0], f"b{WIDTH[target]}", f"{test}?{TRUE_OF[target]}:0u")
    name = source[:-2]
    true = TRUE_OF["u16" if target == "u32" else name]
    bits = [k.bits32(arg) for arg in args[1:]]

    def lane(shift: int) -> str:
        x, y = (f"{name}_to_float((u16)(({b})>>{shift}))" for b in bits)
        return f"({comparison(op[1], x, y, True)}?{true}:0u)"

    return k.write(args[0], "b32", f"{lane(0)}|{lane(16)}<<16")


def select(k: Operands, op: list[str], args: list[str]) -> str:
    type_ = type_of(op)
    chosen, other = k.read(args[1], type_), k.read(args[2], type_)
    return k.write(args[0], type_, f"({k.read(args[3], 'pred')}?{chosen}:{other})")


def test_property(k: Operands, op: list[str], args: list[str]) -> str:
    tests = {
        "finite": "std::isfinite({})",
        "infinite": "std::isinf({})",
        "number": "!std::isnan({})",
        "notanumber": "std::isnan({})",
        "normal": "std::isnormal({})",
        "subnormal": "(std::fpclassify({})==FP_SUBNORMAL)",
    }
    return k.write(args[0], "pred", tests[op[1]].format(k.read(args[1], type_of(op))))


INSTRUCTIONS = {
    "add": plus_minus("+", "add"),
    "addc": with_carry,
    "sub": plus_minus("-", "sub"),
    "subc": with_carry,
    "mul": mul,
    "mul24": mul24,
    "mad": mad,
    "madc": mad,
    "mad24": mul24,
    "fma": fma,
    "div": divide,
    "rem": remainder,
    "min": min_max("min"),
    "max": min_max("max"),
    "neg": negate,
    "abs": absolute,
    "sad": absolute_difference,
    "ex2": function("std::exp2({})"),
    "lg2": function("std::log2({})"),
    "rcp": function("1/({})", "rcp"),
    "rsqrt": function("1/std::sqrt({})"),
    "sqrt": function("std::sqrt({})", "sqrt"),
    "sin": function("std::sin({})"),
    "cos": function("std::cos({})"),
    "tanh": function("std::tanh({})"),
    "copysign": copysign,
    "testp": test_property,
    "bfind": bfind,
    "popc": population_count,
    "clz": leading_zeros,
    "brev": bit_reverse,
    "and": logic("&"),
    "or": logic("|"),
    "xor": logic("^"),
    "not": invert,
    "cnot": is_zero,
    "shl": shift_left,
    "shr": shift_right,
    "shf": funnel_shift,
    "bfe": bit_field_extract,
    "bfi": bit_field_insert,
    "prmt": permute,
    "lop3": lop3,
    "dp4a": dot_product,
    "dp2a": dot_product,
    "set": set_value,
    "setp": set_predicate,
    "selp": select,
}
