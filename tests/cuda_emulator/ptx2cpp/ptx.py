"""What PTX and the C++ that comes of it agree on: types, special registers, splitting of text."""

# Bits of a register or an element of the type.
WIDTH = {
    "pred": 1,
    **dict.fromkeys(("b8", "u8", "s8"), 8),
    **dict.fromkeys(("b16", "u16", "s16", "f16", "bf16"), 16),
    **dict.fromkeys(("b32", "u32", "s32", "f32", "f16x2", "bf16x2", "tf32"), 32),
    **dict.fromkeys(("b64", "u64", "s64", "f64"), 64),
}

# The C++ type that holds a value; half precision stays as bits until it is computed with.
C_TYPE = {
    **{f"{kind}{bits}": f"u{bits}" for kind in "bu" for bits in (8, 16, 32, 64)},
    **{f"s{bits}": f"i{bits}" for bits in (8, 16, 32, 64)},
    "f16": "u16",
    "bf16": "u16",
    "f16x2": "u32",
    "bf16x2": "u32",
    "f32": "float",
    "f64": "double",
}

HALF_TYPES = ("bf16x2", "f16x2", "bf16", "f16")
ROUNDINGS = ("rz", "rm", "rp")  # of floating-point results, besides to nearest even

SPECIAL_REGISTERS = {
    "%laneid": "self->lane",
    "%warpid": "self->warp_index",
    "%nwarpid": "((self->ntid[0]*self->ntid[1]*self->ntid[2]+31)/32)",
    "%clock64": "cycle_counter(self)",
    "%clock": "(u32)cycle_counter(self)",
    "%globaltimer": "cycle_counter(self)",
    "%smid": "special(self,Special::sm)",
    "%nsmid": "special(self,Special::sm_count)",
    "%lanemask_eq": "(1u<<self->lane)",
    "%lanemask_lt": "((1u<<self->lane)-1)",
    "%lanemask_le": "((2u<<self->lane)-1)",
    "%lanemask_gt": "(~((2u<<self->lane)-1))",
    "%lanemask_ge": "(~((1u<<self->lane)-1))",
    "%cluster_ctarank": "special(self,Special::cluster_rank)",
    "%cluster_nctarank": "special(self,Special::cluster_blocks)",
    "%dynamic_smem_size": "special(self,Special::dynamic_shared)",
    "%total_smem_size": "special(self,Special::total_shared)",
    "WARP_SZ": "32u",
    **{
        f"%{name}.{axis}": f"self->{name}[{i}]"
        for name in ("tid", "ntid", "ctaid", "nctaid")
        for i, axis in enumerate("xyz")
    },
    **{
        f"%{name}.{axis}": f"special(self,Special::{name},{i})"
        for name in ("cluster_ctaid", "cluster_nctaid", "clusterid", "nclusterid")
        for i, axis in enumerate("xyz")
    },
}


class TranslationError(Exception):
    """PTX that is not known. Nothing is skipped in silence."""


def split_operands(text: str) -> list[str]:
    """Split at the commas that stand in no bracket."""
    parts: list[str] = []
    depth, current = 0, ""
    for char in text:
        depth += (char in "{[(") - (char in "}])")
        if char == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += char
    if current.strip():
        parts.append(current.strip())
    return parts


def c_name(name: str) -> str:
    """Return a PTX name as a C++ one."""
    return "".join(char if char.isalnum() and char.isascii() else "_" for char in name)


def c_bool(value: bool) -> str:
    return "true" if value else "false"


def round_up(value: int, multiple: int) -> int:
    return (value + multiple - 1) // multiple * multiple


def typed(type_: str) -> str:
    """Return the type of raw bits that a load or an atomic of `type_` gives."""
    return {"f32": "b32", "f64": "b64"}.get(type_, type_)
