"""What callers give as arrays, read as NumPy arrays of the kind that the argument wants. What would
have to be cut off or guessed raises an InputError that names the argument."""

from __future__ import annotations

import operator
import sys
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from dms_cpp import _core

Array = NDArray[Any]

MOST = int(np.iinfo(np.int64).max)


def refuse(field: str, what: str, got: object, expected: object) -> NoReturn:
    _core.throw_input_error(field, what, str(got), str(expected))


def refuse_type(field: str, array: Array, expected: str) -> NoReturn:
    refuse(field, "is of another type", array.dtype, expected)


def is_tensor(value: object) -> bool:
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_bfloat16(value: object) -> bool:
    """Whether it is a torch tensor of the type that NumPy has not."""
    return is_tensor(value) and cast("Any", value).dtype == sys.modules["torch"].bfloat16


def read(field: str, value: object, expected: str) -> Array:
    """Of whatever type; where it lies, if it can be read there."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        refuse(field, f"is no array to NumPy: {error}", type(value).__name__, expected)


def read_bits(field: str, value: object, expected: str) -> Array:
    """As read(); of bfloat16 its bits."""
    bits = cast("Any", value).view(sys.modules["torch"].int16) if is_bfloat16(value) else value
    return read(field, bits, expected)


def as_given(array: Array, value: object) -> Array:
    """The bits of bfloat16 as a tensor again, if `value` was one."""
    if not is_bfloat16(value):
        return array
    torch: Any = sys.modules["torch"]
    return cast("Array", torch.from_numpy(array).view(torch.bfloat16))


def _is_empty_list(value: object, array: Array) -> bool:
    """NumPy takes an empty list for one of floats."""
    return array.size == 0 and not hasattr(value, "dtype")


def integers(field: str, value: object) -> NDArray[np.int64]:
    array = read(field, value, "integers")
    if array.dtype.kind not in "iu" and not _is_empty_list(value, array):
        refuse_type(field, array, "integers")
    if array.dtype.kind == "u" and array.max(initial=0) > MOST:
        refuse(field, "out of range", array.max(), f"at most {MOST}")
    return np.ascontiguousarray(array, dtype=np.int64)


def flags(field: str, value: object) -> NDArray[np.bool_]:
    """Of bool, or of integers that are 0 or 1."""
    expected = "bool, or integers that are 0 or 1"
    array = read(field, value, expected)
    if array.dtype.kind in "iu":
        others = array[(array != 0) & (array != 1)]
        if others.size:
            refuse(field, "out of range", others[0], expected)
    elif array.dtype.kind != "b" and not _is_empty_list(value, array):
        refuse_type(field, array, expected)
    return np.ascontiguousarray(array, dtype=np.bool_)


def floats(field: str, value: object) -> NDArray[np.float32]:
    expected = "real numbers"
    widened = cast("Any", value).float() if is_bfloat16(value) else value
    array = read(field, widened, expected)
    if not np.can_cast(array.dtype, np.float32, "same_kind"):
        refuse_type(field, array, expected)
    return np.ascontiguousarray(array, dtype=np.float32)


def integer(field: str, value: object) -> int:
    """One that int64 holds."""
    try:
        number = operator.index(cast("Any", value))
    except TypeError:
        refuse(field, "is of another type", value, "an integer")
    if abs(number) > MOST:
        refuse(field, "out of range", number, f"at most {MOST}")
    return number


def number(field: str, value: object) -> float:
    array = read(field, value, "a number")
    if array.ndim > 0 or not np.can_cast(array.dtype, np.float64, "same_kind"):
        refuse(field, "is of another type", value, "a number")
    return float(array)
