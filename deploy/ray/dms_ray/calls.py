"""A request on its way to a replica, and what decides to which one it goes.

A body is looked at as far as that needs: what is wrong with it is the replica's to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from dms_ray.errors import ApiError

# Where each API has what its prompts differ by at the end: a text, or messages in order.
_PROMPTS = {
    "/v1/chat/completions": "messages",
    "/v1/completions": "prompt",
    "/v1/messages": "messages",
    "/v1/responses": "input",
}
# What templates write before it, in any of them.
_BEFORE = ("tools", "instructions", "system", "chat_template_kwargs")
# Caches that are kept differently share nothing.
_CACHE = ("policy", "policy_args", "window")
_KEPT = ("/documents/", "/slots/")


@dataclass(frozen=True)
class Call:
    """One HTTP request."""

    method: str
    target: str
    """Path and query, as the client sent them."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    hashes: tuple[int, ...] = ()
    """Of the blocks that its prompt begins with (prefixes.block_hashes)."""
    pin: str = ""
    """What it names that one replica alone has; requests with the same go to the same."""


def object_of(body: bytes) -> dict[str, Any]:
    """A body's JSON object; an empty one where it has none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def leading_text(path: str, body: Mapping[str, Any], most: int) -> str:
    """What prompts with the same beginning have in common at the beginning, the first `most`
    characters or more; empty where the endpoint has no prompts."""
    name = _PROMPTS.get(path)
    if name is None:
        return ""
    prompt = body.get(name)
    own = body.get("dms")
    before = {key: own[key] for key in _CACHE if key in own} if isinstance(own, dict) else {}
    before |= {key: body[key] for key in _BEFORE if key in body}
    try:
        parts = [json.dumps(before, sort_keys=True)] if before else []
        if isinstance(prompt, list) and any(isinstance(each, dict) for each in prompt):
            length = 0
            for message in prompt:
                parts.append(json.dumps(message, ensure_ascii=False))
                length += len(parts[-1])
                if length >= most:
                    break
        else:
            parts.append(prompt if isinstance(prompt, str) else json.dumps(prompt))
    except RecursionError:
        return ""
    return "\n".join(parts)


def pin_of(target: str, body: Mapping[str, Any]) -> str:
    """The document or slot that a request names: "/documents/NAME", "/slots/2"; empty: none."""
    path = unquote(urlsplit(target).path)
    if path.startswith(_KEPT):
        return path
    own = body.get("dms")
    document = own.get("document") if isinstance(own, dict) else None
    slot = body.get("id_slot")
    has_slot = isinstance(slot, int) and slot >= 0
    if not isinstance(document, str) or not document:
        return f"/slots/{slot:d}" if has_slot else ""
    if has_slot:
        message = "id_slot: not beside dms.document here: they may lie on different replicas"
        raise ApiError(400, message, "id_slot", "unsupported_field")
    return f"/documents/{document}"
