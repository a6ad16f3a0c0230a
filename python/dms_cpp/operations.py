"""Operations on ragged batches of NumPy arrays, each in one call on all threads, for those who keep
a padded cache of their own.

They replace the loops over sequences and heads of NVIDIA's DMS code, as the Triton kernels of the
same names do on a GPU. Arrays may have any dtype; what is not contiguous is copied first.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dms_cpp import _core

__all__ = [
    "bool_gather_left_pad",
    "compact_by_bool",
    "dms_fused_prefill",
    "left_pad_2d",
    "scatter_by_index",
]


Array = NDArray[Any]


def _bytes(array: Array) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


def _row_bytes(x: Array) -> int:
    return int(x.shape[-1] * x.itemsize)


def _refuse(field: str, what: str, got: object, expected: object) -> None:
    _core.throw_input_error(field, what, str(got), str(expected))


def _rows(x: ArrayLike, dims: int, shape: str) -> Array:
    array = np.ascontiguousarray(x)
    if array.ndim != dims or array.dtype.hasobject:
        _refuse("x", "has another shape", f"{array.dtype} {list(array.shape)}", shape)
    return array


def _mask(mask: ArrayLike, like: Array) -> NDArray[np.bool_]:
    array = np.ascontiguousarray(mask, dtype=np.bool_)
    if array.shape != like.shape[:-1]:
        _refuse("mask", "has another shape", list(array.shape), list(like.shape[:-1]))
    return array


def _width(width: int | None, least: int) -> int:
    if width is not None and width < least:
        _refuse("width", "is too small", width, f"at least {least}")
    return least if width is None else width


def left_pad_2d(x: ArrayLike, lengths: ArrayLike, width: int | None = None) -> Array:
    """The first `lengths[n]` rows of each `x[n]` moved to the end of `width` rows, zeros before.

    x: [N, S, D], lengths: [N] -> [N, width, D]; `width` is the longest length unless given. Raises
    InputError on a length beyond S or `width`.
    """
    x = _rows(x, 3, "[N, S, D]")
    counts = np.ascontiguousarray(lengths, dtype=np.int64).reshape(-1)
    width = _width(width, int(counts.max(initial=0)))
    out = np.empty((x.shape[0], width, x.shape[2]), x.dtype)
    lists, rows, _ = x.shape
    _core.left_pad_2d(_bytes(x), lists, rows, _row_bytes(x), counts, width, _bytes(out))
    return out


def scatter_by_index(x: ArrayLike, index: ArrayLike, out: Array | None = None) -> Array:
    """`out[index[i]] = x[i]`: restores an order.

    x: [N, D], index: [N], each place at most once -> [M, D]: `out` where it is given (contiguous,
    of x's dtype; rows that nobody names stay), else N rows of zeros to begin with. Raises
    InputError on an index that is beyond `out` or there twice.
    """
    x = _rows(x, 2, "[N, D]")
    places = np.ascontiguousarray(index, dtype=np.int64).reshape(-1)
    if out is None:
        out = np.zeros_like(x)
    elif out.ndim != 2 or out.shape[1:] != x.shape[1:] or out.dtype != x.dtype:
        _refuse("out", "does not fit x", f"{out.dtype} {list(out.shape)}", f"{x.dtype} rows of x")
    elif not (out.flags.c_contiguous and out.flags.writeable):
        _refuse("out", "cannot be written in place", "a view", "a contiguous, writable array")
    _core.scatter_by_index(_bytes(x), len(x), _row_bytes(x), places, _bytes(out))
    return out


def bool_gather_left_pad(
    x: ArrayLike, mask: ArrayLike, width: int | None = None
) -> tuple[Array, NDArray[np.int64]]:
    """The rows that the mask keeps, in order, at the end of `width` rows, zeros before.

    x: [B, H, S, D], mask: bool [B, H, S] -> [B, H, width, D] and how many were kept, [B, H];
    `width` is the largest of them unless given. Raises InputError where one is beyond `width`.
    """
    x = _rows(x, 4, "[B, H, S, D]")
    kept = _mask(mask, x)
    counts = kept.sum(axis=-1, dtype=np.int64)
    width = _width(width, int(counts.max(initial=0)))
    out = np.empty((*x.shape[:2], width, x.shape[3]), x.dtype)
    lists = x.shape[0] * x.shape[1]
    _core.bool_gather_left_pad(
        _bytes(x), lists, x.shape[2], _row_bytes(x), _bytes(kept), width, _bytes(out)
    )
    return out, counts


def compact_by_bool(x: ArrayLike, mask: ArrayLike) -> tuple[Array, NDArray[np.int64]]:
    """The rows that the mask keeps, list after list without gaps.

    x: [B, H, S, D], mask: bool [B, H, S] -> [kept, D], and where each list begins and the last
    ends, [B * H + 1].
    """
    x = _rows(x, 4, "[B, H, S, D]")
    kept = _mask(mask, x)
    begins = np.concatenate([[0], kept.sum(axis=-1, dtype=np.int64).reshape(-1).cumsum()])
    out = np.empty((begins[-1], x.shape[3]), x.dtype)
    lists = x.shape[0] * x.shape[1]
    _core.compact_by_bool(_bytes(x), lists, x.shape[2], _row_bytes(x), _bytes(kept), _bytes(out))
    return out, begins.astype(np.int64)


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
    evicted: bool [kv_heads, tokens] -> float32 [tokens, q_heads, head_dim]. `scale` multiplies
    q . k; 0: 1 / sqrt(head_dim). Raises InputError where shapes disagree.
    """
    q, k, v = (np.ascontiguousarray(x, dtype=np.float32) for x in (queries, keys, values))
    gone = np.ascontiguousarray(evicted, dtype=np.bool_)
    if q.ndim != 3 or k.ndim != 3 or k.shape != v.shape or q.shape[::2] != k.shape[::2]:
        shapes = f"{list(q.shape)}, {list(k.shape)}, {list(v.shape)}"
        _refuse("queries, keys, values", "disagree", shapes, "[tokens, heads, head_dim] each")
    if gone.shape != (k.shape[1], len(q)):
        _refuse("evicted", "has another shape", list(gone.shape), [k.shape[1], len(q)])
    out = np.empty_like(q)
    sizes = (len(q), q.shape[1], k.shape[1], q.shape[2])
    _core.dms_fused_prefill(
        sizes,
        q.reshape(-1),
        k.reshape(-1),
        v.reshape(-1),
        _bytes(gone),
        window,
        float(scale),
        dtype,
        out.reshape(-1),
    )
    return out
