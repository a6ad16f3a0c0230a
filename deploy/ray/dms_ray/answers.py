"""Answers in OpenAI's forms."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from dms_cpp import CompletionOutput, RequestOutput
from dms_ray.asks import Ask


class Form:
    """Makes the JSON objects of one request's answer."""

    def __init__(self, ask: Ask, model: str) -> None:
        self._is_chat = ask.kind == "chat"
        self._has_usage = ask.include_usage
        self._object = "chat.completion" if self._is_chat else "text_completion"
        prefix = "chatcmpl-" if self._is_chat else "cmpl-"
        self._head = {
            "id": prefix + uuid.uuid4().hex,
            "created": int(time.time()),
            "model": model,
        }

    def begin(self, answers: int) -> list[dict[str, Any]]:
        """A stream's first chunks: in a chat each answer says who speaks."""
        if not self._is_chat:
            return []
        role = {"role": "assistant", "content": ""}
        return [self._chunk(index, {"delta": role}, None) for index in range(answers)]

    def piece(self, piece: CompletionOutput) -> dict[str, Any] | None:
        """A chunk; None where a piece is no news: a part of a character."""
        if not piece.text and piece.finish_reason is None:
            return None
        if self._is_chat:
            text: dict[str, Any] = {"delta": {"content": piece.text} if piece.text else {}}
        else:
            text = {"text": piece.text}
        return self._chunk(piece.index, text, piece.finish_reason)

    def usage_chunk(self, output: RequestOutput) -> dict[str, Any]:
        """A stream's last chunk, where it was asked for."""
        return {**self._chunk_head(), "choices": [], "usage": usage(output)}

    def whole(self, output: RequestOutput) -> dict[str, Any]:
        """An answer that is not streamed."""
        return {
            **self._head,
            "object": self._object,
            "choices": [self._choice(answer) for answer in output.outputs],
            "usage": usage(output),
        }

    def _choice(self, answer: CompletionOutput) -> dict[str, Any]:
        text: dict[str, Any] = {"text": answer.text}
        if self._is_chat:
            text = {"message": {"role": "assistant", "content": answer.text}}
        return self._entry(answer.index, text, answer.finish_reason)

    def _chunk(self, index: int, text: dict[str, Any], reason: str | None) -> dict[str, Any]:
        chunk = {**self._chunk_head(), "choices": [self._entry(index, text, reason)]}
        if self._has_usage:
            chunk["usage"] = None
        return chunk

    def _chunk_head(self) -> dict[str, Any]:
        return {**self._head, "object": self._object + (".chunk" if self._is_chat else "")}

    @staticmethod
    def _entry(index: int, text: dict[str, Any], reason: str | None) -> dict[str, Any]:
        # As dms serve: what the deadline ended was aborted.
        reason = "abort" if reason == "deadline" else reason
        return {"index": index, **text, "logprobs": None, "finish_reason": reason}


def usage(output: RequestOutput) -> dict[str, Any]:
    """Tokens, and what the caches came to."""
    prompt = len(output.prompt_token_ids)
    completion = sum(len(answer.token_ids) for answer in output.outputs)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": output.num_cached_tokens},
        "dms": _memory(output.outputs),
    }


def _memory(answers: Sequence[CompletionOutput]) -> dict[str, int]:
    caches = [answer.kv for answer in answers if answer.kv is not None]
    return {
        "dense_tokens": sum(kv.dense_tokens for kv in caches),
        "held_tokens": sum(kv.held_tokens for kv in caches),
        "bytes": sum(kv.allocated_bytes for kv in caches),
    }
