"""What the package's operations take for their arguments: types that are cut down nowhere, memory
that is shared, and errors that name the argument."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

ROWS = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
HEADS = ROWS.reshape(1, 2, 3, 4)
KEPT = np.array([[[True, False, True], [False, False, True]]])
ORDER = np.array([1, 2, 0])


@pytest.fixture
def operations(dms_cpp):
    return importlib.import_module("dms_cpp.operations")


def call(operations, argument, value):
    """The operation that has the argument, all others right."""
    calls = {
        "lengths": lambda: operations.left_pad_2d(ROWS, value),
        "index": lambda: operations.scatter_by_index(ROWS[0], value),
        "mask": lambda: operations.bool_gather_left_pad(HEADS, value),
        "mask of compact_by_bool": lambda: operations.compact_by_bool(HEADS, value),
        "evicted": lambda: prefill(operations, evicted=value),
        "queries": lambda: prefill(operations, queries=value),
        "keys": lambda: prefill(operations, keys=value),
        "values": lambda: prefill(operations, values=value),
        "window": lambda: prefill(operations, window=value),
        "scale": lambda: prefill(operations, scale=value),
        "dtype": lambda: prefill(operations, dtype=value),
        "width": lambda: operations.left_pad_2d(ROWS, [1, 3], width=value),
        "x": lambda: operations.left_pad_2d(value, [1, 3]),
        "out": lambda: operations.scatter_by_index(ROWS[0], ORDER, out=value),
    }
    return calls[argument]()


def prefill(operations, **given):
    heads = ROWS.transpose(1, 0, 2)
    arguments = {"queries": heads, "keys": heads, "values": heads, "evicted": KEPT[0], "window": 0}
    return operations.dms_fused_prefill(**(arguments | given))


NUMBERS = {"lengths": [1, 2], "index": [1, 2, 0]}
NO_INTEGERS = {
    "fractions": ([1.9, 2.7], [2.5, 0, 1]),
    "whole floats": ([1.0, 2.0], [2.0, 0.0, 1.0]),
    "text": (["1", "2"], ["1", "2", "0"]),
    "bytes": ([b"1", b"2"], [b"1", b"2", b"0"]),
    "bool": ([True, False], [True, False, False]),
    "complex": ([1 + 0j, 2], [1 + 0j, 2, 0]),
    "objects": (np.array([1, 2], object), np.array([1, 2, 0], object)),
    "times": (np.array([1, 2], "m8[s]"), np.array([1, 2, 0], "m8[s]")),
    "None": (None, None),
    "ragged": ([[1], [1, 2]], [[1], [2, 0]]),
    "beyond int64": (np.array([1, 2**63 + 2], np.uint64), np.array([2**64 - 1, 0, 1], np.uint64)),
    "empty floats": (np.array([]), np.array([])),
}


@pytest.mark.parametrize("kind", NO_INTEGERS)
@pytest.mark.parametrize("argument", NUMBERS)
def test_what_is_no_integer_is_refused(dms_cpp, operations, argument, kind):
    value = NO_INTEGERS[kind][list(NUMBERS).index(argument)]
    with pytest.raises(dms_cpp.InputError, match="got .*expected") as caught:
        call(operations, argument, value)
    assert caught.value.field == argument


@pytest.mark.parametrize("argument", NUMBERS)
def test_tensors_of_fractions_are_refused_too(dms_cpp, operations, argument):
    value = torch.tensor(NUMBERS[argument], dtype=torch.float32)
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.bool):
        with pytest.raises(dms_cpp.InputError, match=argument):
            call(operations, argument, value.to(dtype))


@pytest.mark.parametrize("argument", NUMBERS)
def test_integers_of_any_width_are_taken(operations, argument):
    want = call(operations, argument, np.array(NUMBERS[argument]))
    for dtype in ("i1", "u1", ">i2", "u4", ">i8", "u8"):
        got = call(operations, argument, np.array(NUMBERS[argument], dtype))
        np.testing.assert_array_equal(got, want)
    for dtype in (torch.uint8, torch.int32, torch.int64):
        got = call(operations, argument, torch.tensor(NUMBERS[argument], dtype=dtype))
        np.testing.assert_array_equal(got, want)


NO_MASKS = {
    "logits": lambda kept: np.where(kept, 4.5, -3.25),
    "floats of 0 and 1": lambda kept: kept.astype(np.float32),
    "tensor of floats": lambda kept: torch.tensor(kept).float(),
    "bfloat16": lambda kept: torch.tensor(kept).bfloat16(),
    "list of floats": lambda kept: kept.astype(float).tolist(),
    "twos": lambda kept: kept * 2,
    "minus one": lambda kept: -kept.astype(np.int64),
    "text": lambda kept: kept.astype(str),
    "complex": lambda kept: kept.astype(complex),
    "objects": lambda kept: kept.astype(object),
}


@pytest.mark.parametrize("kind", NO_MASKS)
@pytest.mark.parametrize("argument", ["mask", "mask of compact_by_bool", "evicted"])
def test_what_is_no_mask_is_refused(dms_cpp, operations, argument, kind):
    kept = KEPT[0] if argument == "evicted" else KEPT
    with pytest.raises(dms_cpp.InputError, match="got .*expected bool") as caught:
        call(operations, argument, NO_MASKS[kind](kept))
    assert caught.value.field == argument.split()[0]


def test_integers_that_are_0_or_1_are_masks(operations):
    want, counts = operations.bool_gather_left_pad(HEADS, KEPT)
    masks = [KEPT.astype(dtype) for dtype in ("i1", "u1", ">i8")]
    masks += [
        KEPT.tolist(),
        KEPT.astype(int).tolist(),
        torch.tensor(KEPT),
        torch.tensor(KEPT).int(),
    ]
    for mask in masks:
        got, kept = operations.bool_gather_left_pad(HEADS, mask)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(kept, counts)
    evicted = KEPT[0]
    np.testing.assert_array_equal(
        prefill(operations, evicted=evicted.astype(np.uint8)), prefill(operations, evicted=evicted)
    )


OTHERS = [
    ("queries", ROWS.transpose(1, 0, 2) + 0j),
    ("keys", ROWS.transpose(1, 0, 2).astype(str)),
    ("values", ROWS.transpose(1, 0, 2).astype(object)),
    ("queries", torch.ones(3, 2, 4, requires_grad=True)),
    ("keys", torch.ones(3, 2, 4, device="meta")),
    ("window", 2.5),
    ("window", "2"),
    ("window", 10**30),
    ("window", -1),
    ("scale", float("nan")),
    ("scale", float("inf")),
    ("scale", -0.1),
    ("scale", 1e-60),
    ("scale", 1j),
    ("scale", "0.5"),
    ("scale", None),
    ("scale", [0.5]),
    ("scale", 10**400),
    ("dtype", "int8"),
    ("dtype", np.float32),
    ("width", 3.5),
    ("width", "3"),
    ("width", 10**30),
    ("width", -1),
    ("x", None),
    ("x", [[["a", None]]]),
    ("x", [[[1], [1, 2]]]),
    ("x", np.zeros((2, 3, 4), "V0")),
    ("out", [[0.0] * 4] * 3),
    ("out", 5),
    ("out", np.zeros((3, 4))),
    ("out", np.zeros((3, 5), np.float32)),
    ("out", np.zeros(12, np.float32)),
    ("out", np.zeros((3, 8), np.float32)[:, ::2]),
    ("out", np.zeros((4, 3), np.float32).T),
    ("out", np.broadcast_to(np.float32(0), (3, 4))),
    ("out", torch.zeros(3, 4).bfloat16()),
    ("out", torch.zeros(3, 4, device="meta")),
    ("lengths", [1, 2**62]),
]


@pytest.mark.parametrize(("argument", "value"), OTHERS)
def test_what_an_argument_cannot_be_is_refused(dms_cpp, operations, argument, value):
    with pytest.raises(dms_cpp.InputError) as caught:
        call(operations, argument, value)
    assert caught.value.field == argument
    assert caught.value.expected


def test_scale_and_window_may_be_any_numbers(operations):
    want = prefill(operations, scale=0.5, window=1)
    for scale, window in ((np.float32(0.5), np.int8(1)), (torch.tensor(0.5), torch.tensor(1))):
        np.testing.assert_array_equal(prefill(operations, scale=scale, window=window), want)
    np.testing.assert_array_equal(prefill(operations, scale=0), prefill(operations))
    everything = prefill(operations, window=3)
    np.testing.assert_array_equal(prefill(operations, window=2**63 - 1), everything)


def test_scatter_into_x_itself(operations):
    x = np.array([[0, 1], [2, 3], [4, 5]])
    assert operations.scatter_by_index(x, [1, 2, 0], out=x) is x
    np.testing.assert_array_equal(x, [[4, 5], [0, 1], [2, 3]])


@pytest.mark.parametrize("shift", [-40, -1, 1, 40])
def test_scatter_into_memory_that_x_shares(operations, shift):
    """Rows enough for several threads."""
    memory = np.random.default_rng(shift + 40).standard_normal((1080, 64))
    x, out = memory[40:1040], memory[40 + shift : 1040 + shift]
    order = np.random.default_rng(7).permutation(1000)
    want = np.empty_like(x)
    want[order] = x
    operations.scatter_by_index(x, order, out=out)
    np.testing.assert_array_equal(out, want)


def test_scatter_over_its_own_index(operations):
    index = np.array([[2], [0], [1]])
    operations.scatter_by_index([[7], [8], [9]], index[:, 0], out=index)
    np.testing.assert_array_equal(index, [[8], [9], [7]])


def test_scatter_into_a_view_that_is_turned(operations):
    x = np.arange(12).reshape(3, 4)
    want = x[::-1][[2, 0, 1]]
    operations.scatter_by_index(x[::-1], [1, 2, 0], out=x)
    np.testing.assert_array_equal(x, want)


def test_scatter_into_a_tensor(operations):
    x = torch.arange(12.0).reshape(3, 4)
    for dtype in (torch.float32, torch.bfloat16):
        out = torch.full((4, 4), -1.0, dtype=dtype)
        assert operations.scatter_by_index(x.to(dtype), [1, 3, 0], out=out) is out
        assert torch.equal(out[[1, 3, 0]], x.to(dtype))
        assert (out[2] == -1).all()


def test_bfloat16_tensors_come_back_as_such(operations):
    rng = np.random.default_rng(5)
    wide = torch.tensor(rng.standard_normal((2, 5, 9, 4)), dtype=torch.float32)
    x = wide.bfloat16().transpose(1, 2)[:, 1:]  # not contiguous
    mask = rng.random(tuple(x.shape[:3])) < 0.5
    for got, want in zip(
        (
            operations.left_pad_2d(x[0], [0, 5, 2, 1, 3, 4, 5, 5]),
            operations.scatter_by_index(x[0, 0], [2, 4, 0, 1, 3]),
            operations.bool_gather_left_pad(x, mask)[0],
            operations.compact_by_bool(x, mask)[0],
        ),
        (
            operations.left_pad_2d(x.float()[0], [0, 5, 2, 1, 3, 4, 5, 5]),
            operations.scatter_by_index(x.float()[0, 0], [2, 4, 0, 1, 3]),
            operations.bool_gather_left_pad(x.float(), mask)[0],
            operations.compact_by_bool(x.float(), mask)[0],
        ),
        strict=True,
    ):
        assert got.dtype == torch.bfloat16
        np.testing.assert_array_equal(got.float().numpy(), want)
    heads = x[0].transpose(0, 1)
    evicted = mask[0, :1].repeat(heads.shape[1], 0)
    np.testing.assert_array_equal(
        operations.dms_fused_prefill(heads, heads, heads, evicted, window=1),
        operations.dms_fused_prefill(
            heads.float(), heads.float(), heads.float(), evicted, window=1
        ),
    )
