"""Operations on ragged batches of NumPy arrays, each in one call on all threads, for those who keep
a padded cache of their own.

They replace the loops over sequences and heads of NVIDIA's DMS code, as the Triton kernels of the
same names do on a GPU. Lists, NumPy arrays and torch tensors in the CPU's memory are all taken;
what is not contiguous is copied first. Rows that are only moved (`x`) may have any dtype but
objects; of torch's bfloat16, which NumPy has not, they come back as a tensor, others as NumPy
arrays. Lengths and indices are integers, masks bool or integers that are 0 or 1: other types raise
InputError, as nothing is rounded or counted as true.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dms_cpp import _core
from dms_cpp.array_arguments import (
    Array,
    as_given,
    flags,
    floats,
    integer,
    integers,
    is_bfloat16,
    is_tensor,
    number,
    read_bits,
    refuse,
    refuse_type,
)

__all__ = [
    "bool_gather_left_pad",
    "compact_by_bool",
    "dms_fused_prefill",
    "left_pad_2d",
    "scatter_by_index",
]


def _bytes(array: Array) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


def _row_bytes(x: Array) -> int:
    return int(x.shape[-1] * x.itemsize)


def _rows(x: ArrayLike, dims: int, shape: str) -> Array:
    array = read_bits("x", x, shape)
    if array.ndim != dims:
        refuse("x", "has another shape", f"{array.dtype} {list(array.shape)}", shape)
    if array.dtype.hasobject or array.itemsize == 0:
        refuse_type("x", array, "a type of some bytes without objects")
    return np.ascontiguousarray(array)


def _mask(mask: ArrayLike, like: Array) -> NDArray[np.bool_]:
    array = flags("mask", mask)
    if array.shape != like.shape[:-1]:
        refuse("mask", "has another shape", list(array.shape), list(like.shape[:-1]))
    return array


def _width(width: int | None, least: int) -> int:
    if width is None:
        return least
    given = integer("width", width)
    if given < least:
        refuse("width", "is too small", given, f"at least {least}")
    return given


def left_pad_2d(x: ArrayLike, lengths: ArrayLike, width: int | None = None) -> Array:
    """The first `lengths[n]` rows of each `x[n]` moved to the end of `width` rows, zeros before.

    x: [N, S, D], lengths: [N] -> [N, width, D]; `width` is the longest length unless given. Raises
    InputError on a length beyond S or `width`.
    """
    given = _rows(x, 3, "[N, S, D]")
    lists, rows, columns = given.shape
    counts = integers("lengths", lengths).reshape(-1)
    longest = int(counts.max(initial=0))
    if longest > rows:  # before so many rows are made room for
        refuse("lengths", "out of range", longest, f"0 to {rows}")
    width = _width(width, longest)
    out = np.empty((lists, width, columns), given.dtype)
    _core.left_pad_2d(_bytes(given), lists, rows, _row_bytes(given), counts, width, _bytes(out))
    return as_given(out, x)


def _target(out: object, x: ArrayLike, rows: Array) -> Array:
    """The memory of `out`, which shall take x's rows."""
    if not isinstance(out, np.ndarray) and not is_tensor(out):
        expected = "a NumPy array or a torch tensor"
        refuse("out", "cannot be written in place", type(out).__name__, expected)
    target = read_bits("out", out, "an array in the CPU's memory")
    fits = target.dtype == rows.dtype and is_bfloat16(out) == is_bfloat16(x)
    if not fits or target.ndim != 2 or target.shape[1] != rows.shape[1]:
        got = f"{target.dtype} {list(target.shape)}"
        refuse("out", "does not fit x", got, f"{rows.dtype} [any, {rows.shape[1]}]")
    if not (target.flags.c_contiguous and target.flags.writeable):
        refuse("out", "cannot be written in place", "a view", "a contiguous, writable array")
    return target


def scatter_by_index(x: ArrayLike, index: ArrayLike, out: Array | None = None) -> Array:
    """`out[index[i]] = x[i]`: restores an order.

    x: [N, D], index: [N], each place at most once -> [M, D]: `out` where it is given (contiguous,
    of x's dtype; rows that nobody names stay), else N rows of zeros to begin with. `out` may be x
    itself or share memory with it: x is then copied first. Raises InputError on an index that is
    beyond `out` or there twice.
    """
    rows = _rows(x, 2, "[N, D]")
    places = integers("index", index).reshape(-1)
    target = np.zeros_like(rows) if out is None else _target(out, x, rows)
    # Both are contiguous, so that bounds tell whether they overlap.
    rows = rows.copy() if np.may_share_memory(rows, target) else rows
    places = places.copy() if np.may_share_memory(places, target) else places
    if _row_bytes(rows) == 0:  # nothing moves, and only `out` knows how many places there are
        rows, written = (np.zeros((len(each), 1), np.uint8) for each in (rows, target))
    else:
        written = target
    _core.scatter_by_index(_bytes(rows), len(rows), _row_bytes(rows), places, _bytes(written))
    return as_given(target, x) if out is None else out


def bool_gather_left_pad(
    x: ArrayLike, mask: ArrayLike, width: int | None = None
) -> tuple[Array, NDArray[np.int64]]:
    """The rows that the mask keeps, in order, at the end of `width` rows, zeros before.

    x: [B, H, S, D], mask: bool [B, H, S] -> [B, H, width, D] and how many were kept, [B, H];
    `width` is the largest of them unless given. Raises InputError where one is beyond `width`.
    """
    rows = _rows(x, 4, "[B, H, S, D]")
    kept = _mask(mask, rows)
    counts = kept.sum(axis=-1, dtype=np.int64)
    width = _width(width, int(counts.max(initial=0)))
    out = np.empty((*rows.shape[:2], width, rows.shape[3]), rows.dtype)
    lists = rows.shape[0] * rows.shape[1]
    _core.bool_gather_left_pad(
        _bytes(rows), lists, rows.shape[2], _row_bytes(rows), _bytes(kept), width, _bytes(out)
    )
    return as_given(out, x), counts


def compact_by_bool(x: ArrayLike, mask: ArrayLike) -> tuple[Array, NDArray[np.int64]]:
    """The rows that the mask keeps, list after list without gaps.

    x: [B, H, S, D], mask: bool [B, H, S] -> [kept, D], and where each list begins and the last
    ends, [B * H + 1].
    """
    rows = _rows(x, 4, "[B, H, S, D]")
    kept = _mask(mask, rows)
    begins = np.concatenate([[0], kept.sum(axis=-1, dtype=np.int64).reshape(-1).cumsum()])
    out = np.empty((begins[-1], rows.shape[3]), rows.dtype)
    lists = rows.shape[0] * rows.shape[1]
    _core.compact_by_bool(
        _bytes(rows), lists, rows.shape[2], _row_bytes(rows), _bytes(kept), _bytes(out)
    )
    return as_given(out, x), begins.astype(np.int64)


def dms_fused_prefill(
    queries: ArrayLike,
    keys: ArrayLike,
    values: ArrayLike,
    evicted: ArrayLike,
    window: int = 256,
    scale: float = 0.0,
    dtype: Literal["f32", "bf16"] = "f32",
) -> NDArray[np.float32]:
    """Attention of a whole prompt under DMS' mask, in one pass of the engine's own prefill.

    Query t sees token i where `i <= t` and (`t - i <= window` or i is kept). Eviction is settled
    token by token, so all of it may be known before: `evicted[h, i]` is token i's own fate. What is
    evicted is left out of the arithmetic, and no mask matrix exists.

    queries: [tokens, q_heads, head_dim] after RoPE, keys and values: [tokens, kv_heads, head_dim],
    all of real numbers (float32 is taken as it is, bfloat16 tensors too), evicted: bool
    [kv_heads, tokens] -> float32 NumPy array [tokens, q_heads, head_dim]. `evicted` is no decision
    logits: those are compared with 0 first. `scale` multiplies q . k and is above 0;
    0: 1 / sqrt(head_dim). Raises InputError where shapes disagree or types are others.
    """
    q, k, v = floats("queries", queries), floats("keys", keys), floats("values", values)
    gone = flags("evicted", evicted)
    if q.ndim != 3 or k.ndim != 3 or k.shape != v.shape or q.shape[::2] != k.shape[::2]:
        shapes = f"{list(q.shape)}, {list(k.shape)}, {list(v.shape)}"
        refuse("queries, keys, values", "disagree", shapes, "[tokens, heads, head_dim] each")
    if gone.shape != (k.shape[1], len(q)):
        refuse("evicted", "has another shape", list(gone.shape), [k.shape[1], len(q)])
    out = np.empty_like(q)
    sizes = (len(q), q.shape[1], k.shape[1], q.shape[2])
    _core.dms_fused_prefill(
        sizes,
        q.reshape(-1),
        k.reshape(-1),
        v.reshape(-1),
        _bytes(gone),
        integer("window", window),
        number("scale", scale),
        str(dtype),
        out.reshape(-1),
    )
    return out
