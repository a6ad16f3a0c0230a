"""A conversation as the text that a model continues."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

from dms_cpp import _core
from dms_cpp.prompts import as_text

Message: TypeAlias = Mapping[str, Any]
"""As in OpenAI's API: {"role": "user", "content": "Hello"}."""

# Marks where a message ends in the rendered text; transformers uses the same.
_END_MARK = "CONTINUE_FINAL_MESSAGE_TAG "


def is_conversation(messages: Sequence[Message] | Sequence[Sequence[Message]]) -> bool:
    """One conversation, not a list of several."""
    return not messages or isinstance(messages[0], Mapping)


def is_list_of_messages(prompt: object) -> TypeGuard[Sequence[Message]]:
    """Messages, and no prompt: not a text, token ids, or a prompt as vLLM has it."""
    return isinstance(prompt, (list, tuple)) and bool(prompt) and isinstance(prompt[0], Mapping)


def core_messages(messages: Sequence[Message]) -> list[_core.ChatMessage]:
    """As libdms takes them."""
    return [_core_message(_with_text_content(message)) for message in messages]


def render(
    template: _core.ChatTemplate,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None,
    chat_template_kwargs: Mapping[str, Any] | None,
    add_generation_prompt: bool,
    continue_final_message: bool,
) -> str:
    """The same text as transformers' apply_chat_template gives."""
    if continue_final_message and add_generation_prompt:
        _core.throw_input_error(
            "continue_final_message", "cannot go with add_generation_prompt", "both", "one of them"
        )
    plain = [_with_text_content(message) for message in messages]
    if continue_final_message:
        plain = _with_end_mark(plain)
    text = template.render(
        [_core_message(message) for message in plain],
        _json(tools) if tools else "",
        _json(chat_template_kwargs) if chat_template_kwargs else "",
        add_generation_prompt,
    )
    return _before_end_mark(text) if continue_final_message else text


def _json(value: object) -> str:
    try:
        return as_text(json.dumps(value, ensure_ascii=False), "messages")
    except TypeError as error:
        _core.throw_input_error("messages", "cannot be said as JSON", str(error))


def _with_text_content(message: Message) -> dict[str, Any]:
    """Content in parts of type text becomes one text, a part a line, as vLLM has it."""
    copy = dict(message)
    parts = copy.get("content")
    if isinstance(parts, Sequence) and not isinstance(parts, str):
        if not all(isinstance(part, Mapping) and part.get("type") == "text" for part in parts):
            _core.throw_input_error("messages", "content of an unknown type", expected="text")
        copy["content"] = "\n".join(str(part["text"]) for part in parts)
    return copy


def _core_message(message: Mapping[str, Any]) -> _core.ChatMessage:
    fields = {k: v for k, v in message.items() if k not in ("role", "content", "tool_calls")}
    content = message.get("content", "")
    if not isinstance(content, str):
        fields["content"] = content
        content = ""
    tool_calls = message.get("tool_calls")
    return _core.ChatMessage(
        as_text(str(message.get("role", "")), "messages"),
        as_text(content, "messages"),
        _json(tool_calls) if tool_calls else "",
        _json(fields) if fields else "",
    )


def _with_end_mark(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    content = messages[-1].get("content") if messages else None
    if not isinstance(content, str):
        _core.throw_input_error(
            "continue_final_message", "the last message has no text to continue"
        )
    return [*messages[:-1], {**messages[-1], "content": content + _END_MARK}]


def _before_end_mark(text: str) -> str:
    end = text.rfind(_END_MARK.strip())
    if end < 0:
        _core.throw_input_error(
            "continue_final_message", "the chat template leaves the last message out"
        )
    is_trimmed = not text.startswith(_END_MARK, end)
    return text[:end].rstrip() if is_trimmed else text[:end]
