"""The package's operations on arrays of odd shapes and layouts, against plain NumPy one row at a
time. DMS_TEST_SEED sets the seed."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

CASES = 40  # of each operation; together a second or two
DTYPES = [np.float32, np.float16, np.int64, np.uint8, np.bool_, np.complex128, "S3", ">f4", "M8[s]"]
SIZES = [0, 1, 2, 3, 7, 33]


@pytest.fixture
def operations(dms_cpp):
    return importlib.import_module("dms_cpp.operations")


def laid_out(rng, array):
    """The same values in another layout: C or Fortran order, every second along an axis, turned
    round, at an odd address, or broadcast along what has one value."""
    kind = rng.integers(6)
    axis = rng.integers(array.ndim)
    if kind == 1:
        return np.asfortranarray(array)
    if kind == 2:
        return np.repeat(array, 2, axis)[(slice(None),) * axis + (slice(None, None, 2),)]
    if kind == 3:
        return np.flip(np.flip(array, axis).copy(), axis)
    if kind == 4 and array.size:
        memory = np.zeros(array.nbytes + 1, np.uint8)
        odd = memory[1:].view(array.dtype).reshape(array.shape)
        odd[...] = array
        return odd
    if kind == 5 and array.shape[axis] == 1:
        return np.broadcast_to(np.take(array, 0, axis), array.shape) if axis == 0 else array
    return array


def some(rng, shape):
    """Values of a random type, none of which is padding's, and the same laid out anyhow."""
    dtype = DTYPES[rng.integers(len(DTYPES))]
    values = rng.integers(1, 100, shape).astype(dtype)
    return values, laid_out(rng, values)


def shape_of(rng, dims):
    return tuple(int(size) for size in rng.choice(SIZES, dims))


def rounds(seed, operation):
    for case in range(CASES):
        yield np.random.default_rng([seed, operation, case])


def test_left_pad_2d(operations, seed):
    for rng in rounds(seed, 1):
        values, x = some(rng, shape_of(rng, 3))
        lists, rows, columns = values.shape
        lengths = rng.integers(0, rows + 1, lists)
        width = int(lengths.max(initial=0)) + int(rng.integers(3))
        want = np.zeros((lists, width, columns), values.dtype)
        for one in range(lists):
            for row in range(lengths[one]):
                want[one, width - lengths[one] + row] = values[one, row]
        got = operations.left_pad_2d(x, laid_out(rng, lengths), width)
        assert got.dtype == values.dtype
        np.testing.assert_array_equal(got, want)


def test_scatter_by_index(operations, seed):
    for rng in rounds(seed, 2):
        values, x = some(rng, shape_of(rng, 2))
        rows, columns = values.shape
        places = rows + int(rng.integers(3))
        index = rng.permutation(places)[:rows]
        out = np.full((places, columns), 101).astype(values.dtype)
        want = out.copy()
        for row in range(rows):
            want[index[row]] = values[row]
        assert operations.scatter_by_index(x, laid_out(rng, index), out) is out
        np.testing.assert_array_equal(out, want)
        order = rng.permutation(rows)
        want = np.zeros_like(values)
        for row in range(rows):
            want[order[row]] = values[row]
        np.testing.assert_array_equal(operations.scatter_by_index(x, order), want)


def test_scatter_within_one_array(operations, seed):
    """`out` and x are rows of the same memory, in any overlap."""
    for rng in rounds(seed, 3):
        memory, _ = some(rng, (20, int(rng.choice(SIZES))))
        rows = int(rng.integers(0, 15))
        at, to = rng.integers(0, 20 - rows, 2)
        step = int(rng.choice([1, -1]))
        x, out = memory[at : at + rows][::step], memory[to : to + rows]
        index = rng.permutation(rows)
        want = np.empty_like(out)
        want[index] = x.copy()
        operations.scatter_by_index(x, index, out)
        np.testing.assert_array_equal(out, want)


def test_bool_gather_and_compact(operations, seed):
    for rng in rounds(seed, 4):
        values, x = some(rng, shape_of(rng, 4))
        batch, heads, rows, columns = values.shape
        mask = rng.random((batch, heads, rows)) < rng.choice([0, 0.3, 0.9, 1])
        kept = [
            [values[b, h, row] for row in range(rows) if mask[b, h, row]]
            for b in range(batch)
            for h in range(heads)
        ]
        width = max(map(len, kept), default=0) + int(rng.integers(3))
        want = np.zeros((batch * heads, width, columns), values.dtype)
        for one, its in enumerate(kept):
            for row, value in enumerate(its):
                want[one, width - len(its) + row] = value
        got, counts = operations.bool_gather_left_pad(x, laid_out(rng, mask), width)
        np.testing.assert_array_equal(got, want.reshape(batch, heads, width, columns))
        assert counts.reshape(-1).tolist() == [len(its) for its in kept]
        flat = [value for its in kept for value in its]
        got, begins = operations.compact_by_bool(x, laid_out(rng, mask))
        assert got.dtype == values.dtype
        np.testing.assert_array_equal(got, np.reshape(flat, (len(flat), columns)).astype(got.dtype))
        assert np.diff(begins).tolist() == [len(its) for its in kept]


def test_fused_prefill(operations, seed):
    """In float64, query by query."""
    for rng in rounds(seed, 5):
        tokens = int(rng.choice(SIZES))
        kv_heads, group = rng.integers(1, 4, 2)
        head_dim = int(rng.choice([1, 2, 5, 32]))
        q = rng.standard_normal((tokens, kv_heads * group, head_dim)).astype(np.float32)
        k, v = rng.standard_normal((2, tokens, kv_heads, head_dim)).astype(np.float32)
        evicted = rng.random((kv_heads, tokens)) < 0.6
        window, scale = int(rng.choice([0, 1, 5, 100])), float(rng.choice([0, 0.25, 2]))
        want = np.zeros_like(q)
        for t in range(tokens):
            for head in range(q.shape[1]):
                kv = head // group
                seen = [i for i in range(t + 1) if t - i <= window or not evicted[kv, i]]
                scores = k[seen, kv].astype(np.float64) @ q[t, head].astype(np.float64)
                weights = np.exp((scale or head_dim**-0.5) * scores)
                want[t, head] = weights @ v[seen, kv] / weights.sum()
        inputs = [laid_out(rng, each) for each in (q, k, v, evicted)]
        got = operations.dms_fused_prefill(*inputs, window=window, scale=scale)
        np.testing.assert_allclose(got, want, atol=2e-5, rtol=1e-5)
