"""Prompts in the forms they come in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, Union

import numpy as np
import numpy.typing as npt

from dms_cpp import _core

TokenIds: TypeAlias = Union[Sequence[int], "npt.NDArray[np.integer]"]
Prompt: TypeAlias = str | TokenIds | Mapping[str, object]
"""A text, token ids, or as vLLM has it {"prompt": text} or {"prompt_token_ids": ids}."""

_INT32_LIMIT = 1 << 31


def split_prompts(prompts: Prompt | Sequence[Prompt]) -> list[Prompt]:
    """One prompt or several as a list of prompts."""
    if isinstance(prompts, (str, Mapping)):
        return [prompts]
    if isinstance(prompts, np.ndarray):
        return [prompts] if prompts.ndim == 1 else list(prompts)
    if prompts and isinstance(prompts[0], (int, np.integer)):
        return [prompts]  # type: ignore[list-item]
    return list(prompts)  # type: ignore[arg-type]


def as_text(text: str, field: str = "prompt") -> str:
    """The text, if it can be UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        _core.throw_input_error(field, "is no valid Unicode", error.reason, "no lone surrogates")
    return text


def as_ids(ids: TokenIds, field: str = "prompt") -> npt.NDArray[np.int32]:
    """Token ids, int32 [tokens]; what is no list of integers raises InputError."""
    try:
        array = np.asarray(ids)
    except ValueError:
        array = np.asarray(None)
    if array.size == 0 and array.ndim == 1:
        return np.empty(0, np.int32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        _core.throw_input_error(field, "is no list of token ids", expected="integers")
    outside = (array < -_INT32_LIMIT) | (array >= _INT32_LIMIT)
    if outside.any():
        at = int(outside.argmax())
        _core.throw_input_error(f"{field}[{at}]", "token id out of range", str(array[at]))
    return np.ascontiguousarray(array, np.int32)


def read_prompt(
    prompt: Prompt, encode: Callable[[str], Sequence[int]]
) -> tuple[str | None, npt.NDArray[np.int32]]:
    """A prompt's text, where it has one, and its token ids."""
    if isinstance(prompt, Mapping):
        if "prompt_token_ids" in prompt:
            text = prompt.get("prompt")
            ids = as_ids(prompt["prompt_token_ids"])  # type: ignore[arg-type]
            return (text if isinstance(text, str) else None), ids
        prompt = prompt.get("prompt", ())  # type: ignore[assignment]
    if isinstance(prompt, str):
        return prompt, np.asarray(encode(as_text(prompt)), np.int32)
    return None, as_ids(prompt)  # type: ignore[arg-type]
