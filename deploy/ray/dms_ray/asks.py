"""What a request asks for: OpenAI's fields with vLLM's additions and ours, as `dms serve` has them.

What would change the answer and is not known here is refused; other unknown fields are ignored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from dms_ray.errors import ApiError
from dms_ray.fields import Fields
from dms_ray.forms import read_form

MAX_ANSWERS = 16
MAX_MESSAGES = 4096
MAX_STOPS = 16
MAX_STOP_IDS = 64
MAX_BIASES = 1024
MAX_SPECULATE = 32
MAX_POLICY_ARGS = 64
MAX_PRIORITY = 1000
MAX_WINDOW = (1 << 31) - 1

# Each would change the answer.
_REFUSED = (
    "best_of",
    "functions",
    "grammar",
    "guided_choice",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "json_schema",
    "logprobs",
    "prompt_logprobs",
    "suffix",
    "top_logprobs",
)
_OWN = ("policy", "policy_args", "window", "speculate")
# SamplingParams calls them the same.
_NUMBERS = (
    "temperature",
    "top_p",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
)


@dataclass(frozen=True)
class Ask:
    """One request, checked as far as that needs no model."""

    kind: Literal["chat", "text"]
    model: str | None
    prompt: str | list[int] | None = None
    """Of a completion."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    """Of a chat."""
    template: dict[str, Any] = field(default_factory=dict)
    """Arguments of AsyncLLM.chat() for the chat template."""
    sampling: dict[str, Any] = field(default_factory=dict)
    """Fields of SamplingParams that were given; structured_outputs as the arguments of its own."""
    cache: dict[str, Any] = field(default_factory=dict)
    """Fields of CacheOptions that were given."""
    priority: int = 0
    stream: bool = False
    include_usage: bool = False

    def leading_text(self, most: int) -> str:
        """What prompts with the same beginning have in common at the beginning, the first `most`
        characters or more. Requests whose caches are kept differently share nothing, so how comes
        first."""
        parts = [json.dumps(self.cache, sort_keys=True)] if self.cache else []
        if self.kind == "text":
            prompt = self.prompt
            parts.append(prompt if isinstance(prompt, str) else json.dumps(prompt))
        else:
            # Its arguments change how a template begins.
            parts.append(json.dumps(self.template, sort_keys=True))
            length = 0
            for message in self.messages:
                parts.append(json.dumps(message, ensure_ascii=False))
                length += len(parts[-1])
                if length >= most:
                    break
        return "\n".join(parts)


def parse_chat(values: dict[str, Any]) -> Ask:
    """The body of /v1/chat/completions."""
    fields = Fields(values)
    messages = fields.raw("messages")
    if not isinstance(messages, list) or not 0 < len(messages) <= MAX_MESSAGES:
        raise fields.bad("messages", f"1 to {MAX_MESSAGES} messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise ApiError(400, f"messages[{index}]: expected an object with a role", "messages")
    if fields.raw("tool_choice") not in (None, "auto", "none"):
        raise _unknown("tool_choice")
    if fields.raw("tools") and fields.raw("tool_choice") != "none":
        # A template would show them, and nobody here reads the calls in the answer.
        raise _unknown("tools")
    template: dict[str, Any] = {}
    if fields.has("chat_template_kwargs"):
        template["chat_template_kwargs"] = fields.mapping("chat_template_kwargs")
    for name in ("add_generation_prompt", "continue_final_message"):
        if fields.has(name):
            template[name] = fields.boolean(name)
    return Ask(kind="chat", messages=messages, template=template, **_common(fields))


def parse_completion(values: dict[str, Any]) -> Ask:
    """The body of /v1/completions."""
    fields = Fields(values)
    if fields.boolean("echo"):
        raise _unknown("echo")
    return Ask(kind="text", prompt=_prompt(fields), **_common(fields))


def _prompt(fields: Fields) -> str | list[int]:
    """A text or token ids; a list of one of them counts as that one."""
    prompt = fields.raw("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], (str, list)):
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return prompt
    ids: list[int] = prompt if isinstance(prompt, list) else []
    if ids and all(isinstance(id, int) and not isinstance(id, bool) for id in ids):
        return ids
    raise fields.bad("prompt", "one text, or one list of token ids")


def _common(fields: Fields) -> dict[str, Any]:
    """What both kinds have."""
    for name in _REFUSED:
        # logprobs: false and the like ask for nothing.
        if fields.raw(name):
            raise _unknown(name)
    # 0 names a slot.
    if fields.has("id_slot") and fields.raw("id_slot") != -1:
        raise _unknown("id_slot")
    options = Fields(fields.mapping("stream_options"), "stream_options.")
    own = Fields(fields.mapping("dms"), "dms.")
    if own.has("document"):
        raise _unknown("dms.document")
    own.expect(_OWN)
    return {
        "model": fields.text("model"),
        "sampling": _sampling(fields, own),
        "cache": _cache(own),
        "priority": fields.integer("priority", -MAX_PRIORITY, MAX_PRIORITY) or 0,
        "stream": fields.boolean("stream"),
        "include_usage": options.boolean("include_usage"),
    }


def _sampling(fields: Fields, own: Fields) -> dict[str, Any]:
    given: dict[str, Any] = {name: fields.number(name) for name in _NUMBERS}
    given["n"] = fields.integer("n", 1, MAX_ANSWERS)
    given["top_k"] = fields.integer("top_k", -1)
    given["seed"] = fields.integer("seed", -(1 << 63))
    if given["seed"] is not None:
        given["seed"] %= 1 << 64
    given["max_tokens"] = fields.integer("max_completion_tokens", 1)
    if given["max_tokens"] is None:
        given["max_tokens"] = fields.integer("max_tokens", 1)
    given["speculate"] = own.integer("speculate", 0, MAX_SPECULATE)
    given["stop"] = fields.texts("stop", MAX_STOPS) or None
    given["stop_token_ids"] = fields.integers("stop_token_ids", MAX_STOP_IDS) or None
    given["logit_bias"] = _biases(fields) or None
    if fields.boolean("ignore_eos"):
        given["ignore_eos"] = True
    given["structured_outputs"] = read_form(fields) or None
    return {name: value for name, value in given.items() if value is not None}


def _biases(fields: Fields) -> dict[int, float]:
    biases = fields.mapping("logit_bias")
    if len(biases) > MAX_BIASES:
        raise fields.bad("logit_bias", f"at most {MAX_BIASES}")
    values = Fields(biases, "logit_bias.")
    found = {}
    for name in biases:
        if not (name.isascii() and name.isdigit() and len(name) < 10):
            raise fields.bad("logit_bias", "token ids as keys")
        found[int(name)] = values.number(name) or 0.0
    return found


def _cache(own: Fields) -> dict[str, Any]:
    arguments = own.mapping("policy_args")
    if len(arguments) > MAX_POLICY_ARGS:
        raise own.bad("policy_args", f"at most {MAX_POLICY_ARGS}")
    if not all(isinstance(value, (str, int, float)) for value in arguments.values()):
        raise own.bad("policy_args", "texts, numbers, true or false")
    given = {
        "policy": own.text("policy"),
        "policy_args": arguments or None,
        "window": own.integer("window", 0, MAX_WINDOW),
    }
    if given["policy"] == "forced":
        raise own.bad("policy", "one that reads no file")
    return {name: value for name, value in given.items() if value is not None}


def _unknown(name: str) -> ApiError:
    return ApiError(
        400, f"{name}: not answered here; a single `dms serve` may", name, "unsupported_field"
    )
