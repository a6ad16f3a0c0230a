"""The package's operations on ragged batches, against the loops they replace."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

DTYPES = [np.float32, np.float16, np.int64, np.uint8, np.complex128]
SHAPES = [(1, 1, 1, 1), (2, 3, 17, 5), (3, 1, 64, 8), (2, 2, 0, 4), (0, 2, 3, 4), (1, 4, 33, 80)]


@pytest.fixture
def operations(dms_cpp):
    return importlib.import_module("dms_cpp.operations")


def batch(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    return (100 * rng.standard_normal(shape)).astype(dtype), rng


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_pad_gather_and_compact_as_loops_do(operations, shape, dtype):
    x, rng = batch(shape, dtype, 1)
    mask = rng.random(shape[:3]) < 0.4
    gathered, counts = operations.bool_gather_left_pad(x, mask)
    compact, begins = operations.compact_by_bool(x, mask)
    assert gathered.dtype == compact.dtype == dtype
    np.testing.assert_array_equal(counts, mask.sum(-1))
    lists = x.reshape(shape[0] * shape[1], *shape[2:])
    for number, (rows, kept) in enumerate(
        zip(lists, mask.reshape(len(lists), shape[2]), strict=True)
    ):
        want = rows[kept]
        got = gathered.reshape(len(lists), gathered.shape[2], shape[3])[number]
        np.testing.assert_array_equal(got[len(got) - len(want) :], want)
        assert not got[: len(got) - len(want)].any()
        np.testing.assert_array_equal(compact[begins[number] : begins[number + 1]], want)
    assert len(compact) == mask.sum() == begins[-1]
    lengths = rng.integers(0, shape[2] + 1, len(lists))
    padded = operations.left_pad_2d(lists, lengths, width=shape[2] + 2)
    for rows, length, got in zip(lists, lengths, padded, strict=True):
        np.testing.assert_array_equal(got[len(got) - length :], rows[:length])
        assert not got[: len(got) - length].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_scatter_restores_an_order(operations, dtype):
    x, rng = batch((1000, 7), dtype, 2)
    order = rng.permutation(len(x))
    np.testing.assert_array_equal(operations.scatter_by_index(x[order], order), x)
    into = np.full((1003, 7), 9, dtype)
    operations.scatter_by_index(x[order], order + 3, into)
    np.testing.assert_array_equal(into[3:], x)
    assert (into[:3] == 9).all()


def test_arrays_that_are_not_contiguous(operations):
    x, rng = batch((4, 6, 9, 10), np.float32, 3)
    turned = x.transpose(2, 1, 0, 3)[::2]
    mask = (rng.random((9, 6, 4)) < 0.5)[::2]
    got, begins = operations.compact_by_bool(turned, mask)
    np.testing.assert_array_equal(got, turned[mask])
    assert begins[-1] == mask.sum()


@pytest.mark.parametrize(
    ("tokens", "q_heads", "kv_heads", "head_dim", "window", "dtype"),
    [
        (1, 1, 1, 2, 0, "f32"),
        (33, 6, 2, 20, 5, "f32"),
        (257, 8, 1, 64, 32, "f32"),
        (300, 4, 4, 80, 31, "bf16"),
        (64, 14, 2, 36, 1000, "f32"),
    ],
)
def test_fused_prefill_is_attention_under_the_mask(
    operations, tokens, q_heads, kv_heads, head_dim, window, dtype
):
    rng = np.random.default_rng(tokens)
    q = rng.standard_normal((tokens, q_heads, head_dim))
    k, v = rng.standard_normal((2, tokens, kv_heads, head_dim))
    evicted = rng.random((kv_heads, tokens)) < 0.7
    ahead = np.arange(tokens)[:, None] - np.arange(tokens)
    group = q_heads // kv_heads
    sees = (ahead >= 0) & ((ahead <= window) | ~evicted[:, None, :])
    want = torch.nn.functional.scaled_dot_product_attention(
        torch.tensor(q).transpose(0, 1),
        torch.tensor(k).transpose(0, 1).repeat_interleave(group, 0),
        torch.tensor(v).transpose(0, 1).repeat_interleave(group, 0),
        torch.tensor(sees).repeat_interleave(group, 0),
    ).transpose(0, 1)
    got = operations.dms_fused_prefill(q, k, v, evicted, window=window, dtype=dtype)
    np.testing.assert_allclose(got, want, atol=2e-5 if dtype == "f32" else 3e-2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda operations, x: operations.left_pad_2d(x[0], [1, 5]), "lengths"),
        (lambda operations, x: operations.left_pad_2d(x[0], [1, 2], width=1), "width"),
        (lambda operations, x: operations.left_pad_2d(x[0], [1]), "lengths"),
        (lambda operations, x: operations.left_pad_2d(x, [1, 2]), r"\[N, S, D\]"),
        (lambda operations, x: operations.scatter_by_index(x[0, 0], [0, 0, 1]), "twice"),
        (lambda operations, x: operations.scatter_by_index(x[0, 0], [0, 1, 3]), "index"),
        (
            lambda operations, x: operations.scatter_by_index(x[0, 0], [0, 1, 2], np.zeros((3, 9))),
            "out",
        ),
        (lambda operations, x: operations.bool_gather_left_pad(x, np.ones((2, 2), bool)), "mask"),
        (
            lambda operations, x: operations.bool_gather_left_pad(
                x, np.ones((2, 2, 3), bool), width=2
            ),
            "width",
        ),
        (
            lambda operations, x: operations.dms_fused_prefill(
                x[0], x[0], x[0, :1], np.ones((3, 2), bool)
            ),
            "disagree",
        ),
        (
            lambda operations, x: operations.dms_fused_prefill(
                x[0], x[0], x[0], np.ones((2, 2), bool)
            ),
            "evicted",
        ),
        (
            lambda operations, x: operations.dms_fused_prefill(
                x[0], x[0], x[0], np.ones((3, 2), bool), -1
            ),
            "window",
        ),
    ],
)
def test_what_does_not_fit_is_refused(dms_cpp, operations, call, words):
    with pytest.raises(dms_cpp.InputError, match=words):
        call(operations, np.zeros((2, 2, 3, 4), np.float32))
