"""How caches are kept, and options of models as libdms takes them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dms_cpp import _core

_DTYPES = {"auto": "", "bfloat16": "bf16", "float32": "f32", "float": "f32"}
_UNITS = {"": 1} | {
    letter + suffix: base**power
    for power, letter in enumerate("kmgt", start=1)
    for suffix, base in (("", 1024), ("ib", 1024), ("b", 1000))
}


@dataclass(frozen=True)
class CacheOptions:
    """How one sequence's KV cache is kept."""

    policy: str | None = None
    """Who decides what is evicted. None: the model's trained eviction, else nobody."""
    policy_args: Mapping[str, object] = field(default_factory=dict)
    """The policy's own settings, such as {"cr": 8}."""
    window: int | None = None
    """Tokens before the current one that are kept exactly. None: the model's, else 256."""
    kv_cache_dtype: str = "auto"
    """Storage of what survives the window: "bf16", "f32", "int8", "fp8", "int4", "lloyd4",
    "higgs4", "higgs3", "higgs2", or one for each side, "k=int8,v=lloyd4"; "auto": the dtype."""
    decisions: str | os.PathLike[str] | None = None
    """For policy "forced": a .npy file, uint8 [layers, kv_heads, tokens], 1 = evicted."""
    kv_exact_layers: int = 0
    """First and last layers whose survivors stay in the model's dtype all the same."""

    def to_core(self) -> _core.CacheOptions:
        """As libdms takes it."""
        core = _core.CacheOptions()
        core.policy = self.policy or ""
        core.policy_args = {name: _spelled(value) for name, value in self.policy_args.items()}
        core.window_tokens = self.window
        core.kv_dtype = dtype_name(self.kv_cache_dtype)
        core.kv_exact_layers = self.kv_exact_layers
        if self.decisions is not None:
            core.decisions_file = self.decisions
        return core


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def dtype_name(name: str) -> str:
    """libdms's name of a number type; empty where the choice is left to it."""
    return _DTYPES.get(name, name)


def byte_count(name: str, value: int | str) -> int:
    """1048576, "512MiB", "2GB", "1.5g": KB, MB, … are powers of 1000; K, KiB, … of 1024."""
    if isinstance(value, int):
        count: float = value
    else:
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([a-z]*)\s*", value.lower())
        unit = _UNITS.get(match[2] if match[2] != "b" else "") if match else None
        count = float(match[1]) * unit if match and unit else -1
    if not 0 <= count < 2**63:
        _core.throw_input_error(name, "bad size", str(value), 'bytes, or a text like "512MiB"')
    return int(count)
