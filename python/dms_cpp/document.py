"""A prompt whose cache was computed once."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dms_cpp import _core
from dms_cpp.options import CacheOptions

if TYPE_CHECKING:
    from dms_cpp.llm import LLM


class Document:
    """What many prompts or conversations begin with, computed and compressed once; LLM.document()
    makes one, LLM.load_document() reads one.

    It never changes. Who goes on from it shares its memory until they write. It keeps its LLM
    alive, and any thread may use it.
    """

    def __init__(self, llm: LLM, core: _core.Document) -> None:
        self._llm = llm
        self._core = core

    def __len__(self) -> int:
        """Its tokens."""
        return self._core.tokens()

    @property
    def token_ids(self) -> npt.NDArray[np.int32]:
        """Its tokens, [tokens]."""
        return self._core.ids()

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What a conversation begins with that goes on from it. Empty: it is the beginning of a
        prompt."""
        messages: list[dict[str, Any]] = json.loads(self._core.messages())
        return messages

    @property
    def created(self) -> int:
        """When it was made, seconds since 1970."""
        return self._core.created()

    @property
    def cache(self) -> CacheOptions:
        """How its cache was made, and is kept by those who go on from it."""
        core = self._core.cache()
        return CacheOptions(
            policy=core.policy or None,
            policy_args=core.policy_args,
            window=core.window_tokens,
            kv_cache_dtype=core.kv_dtype or "auto",
            kv_exact_layers=core.kv_exact_layers,
        )

    @property
    def kv(self) -> _core.KvStats:
        """Memory of its cache when it was made, or read."""
        return self._core.kv()

    @property
    def held_bytes(self) -> int:
        """Of the pages that it holds."""
        return self._core.held_bytes()

    def save(self, file: str | os.PathLike[str]) -> int:
        """Writes it, whole or not at all, for LLM.load_document(), `dms chat --document` and, as
        NAME.dmsdoc in the folder of `dms serve --documents`, for the server. Returns the file's
        bytes."""
        return self._core.save(file)
