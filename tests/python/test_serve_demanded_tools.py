"""Calls that are demanded of a model that knows nothing of them, over `dms serve`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import jsonschema
import pytest

from harness import missing
from script_model import write_script_model
from serving import Server, events, serving
from tool_scripts import SCRIPTS, TEMPLATE, TIME, function, user

# The demo likes digits: without bounds it may write nothing else.
COUNT = {"type": "integer", "minimum": 1, "maximum": 31}
NESTED = function(
    "book",
    {
        "when": {"type": "object", "properties": {"day": COUNT}, "required": ["day"]},
        "seats": {"type": "array", "items": COUNT, "minItems": 1, "maxItems": 2},
        "class": {"enum": ["first", "second"]},
    },
)
DEMANDED = [NESTED, function("stop", {"now": {"type": "boolean"}})]
FORMS = (
    "functiongemma",
    "hermes",
    "llama3_json",
    "mistral",
    "mistral_args",
    "pythonic",
    "qwen3_coder",
    "smollm2",
    "smollm3_python",
)


def validate(call: dict, tools: list[dict]) -> str:
    """A call of one of the tools, as its schema has it."""
    name = call["function"]["name"]
    (schema,) = [t["function"]["parameters"] for t in tools if t["function"]["name"] == name]
    jsonschema.validate(json.loads(call["function"]["arguments"]), schema)
    return name


def demand(server: Server, **fields) -> tuple[int, dict]:
    body = {"messages": user("Now."), "tools": DEMANDED, "temperature": 1.5, **fields}
    status, _, text = server.request("POST", "/v1/chat/completions", body)
    return status, json.loads(text)


def needs_xgrammar(server: Server) -> None:
    status, answer = demand(server, tool_choice="required", max_tokens=1)
    if status == 400 and "xgrammar" in answer["error"]["message"]:
        missing("a build without xgrammar demands no calls")


@pytest.fixture(scope="module", params=FORMS)
def demanding(request) -> Iterator[Server]:
    """The demo, which knows nothing of tools."""
    with serving("--template", "plain", "--tool-parser", request.param) as server:
        needs_xgrammar(server)
        yield server
        assert server.stop() == 0, server.log()


def test_demanded_calls_are_calls(demanding):
    fields = {"n": 4, "max_tokens": 600, "parallel_tool_calls": False, "seed": 1}
    status, answer = demand(demanding, tool_choice="required", **fields)
    assert status == 200, answer
    for choice in answer["choices"]:
        assert choice["finish_reason"] == "tool_calls", choice
        assert choice["message"]["content"] is None
        (call,) = choice["message"]["tool_calls"]
        validate(call, DEMANDED)


def test_a_named_tool_is_called(demanding):
    choice = {"type": "function", "function": {"name": "stop"}}
    status, answer = demand(demanding, tool_choice=choice, n=2, max_tokens=300)
    assert status == 200, answer
    for choice in answer["choices"]:
        (call,) = choice["message"]["tool_calls"]
        assert validate(call, DEMANDED) == "stop"


def test_a_demanded_call_streams(demanding):
    choice = {"type": "function", "function": {"name": "stop"}}
    body = {"messages": user("Now."), "tools": DEMANDED, "tool_choice": choice, "stream": True}
    _, _, text = demanding.request("POST", "/v1/chat/completions", {**body, "max_tokens": 300})
    chunks = events(text)
    pieces = [
        call["function"]
        for chunk in chunks
        for call in chunk["choices"][0]["delta"].get("tool_calls", [])
    ]
    assert pieces[0]["name"] == "stop"
    jsonschema.validate(
        json.loads("".join(piece["arguments"] for piece in pieces)),
        DEMANDED[1]["function"]["parameters"],
    )
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_demanded_calls_have_the_models_own_tokens(tmp_path):
    """The model would begin otherwise, and has tokens for the tags as well as their letters."""
    special = ["<tool_call>", "</tool_call>"]
    model = write_script_model(tmp_path / "m", SCRIPTS, TEMPLATE, special)
    fields = {"tools": DEMANDED, "temperature": 0, "logprobs": True, "max_tokens": 200}
    with serving(model=model) as server:
        needs_xgrammar(server)
        named = {"type": "function", "function": {"name": "stop"}}
        body = {"messages": user("talk"), "tool_choice": named, **fields}
        choice = server.post("/v1/chat/completions", body)["choices"][0]
        (call,) = choice["message"]["tool_calls"]
        assert validate(call, DEMANDED) == "stop"
        tokens = [token["token"] for token in choice["logprobs"]["content"]]
        assert tokens[0] == "<tool_call>"
        assert tokens.count("</tool_call>") == 1
        # Elsewhere the tokens stay out of what is held to a form.
        form = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "string"}}}
        body = {"messages": user("weather"), "response_format": form, **fields, "max_tokens": 40}
        text = server.post("/v1/chat/completions", body)["choices"][0]["message"]["content"]
        assert "<tool_call>" not in text


@pytest.mark.parametrize("special", [[], ["<tool_call>", "</tool_call>", "<think>", "</think>"]])
def test_strict_arguments_are_held_to_their_schema(tmp_path, special):
    """The model would have three days, or one, and does where it may; its tags may be tokens. In
    the second answer it spells their letters, in the third it thinks of a call."""
    days = {"city": {"type": "string"}, "days": {"enum": [2, 4]}}
    model = write_script_model(tmp_path / "m", SCRIPTS, TEMPLATE, special)
    with serving(model=model) as server:
        needs_xgrammar(server)
        for strict in (False, True):
            tools = [function("get_weather", days, strict=strict), TIME]
            body = {"tools": tools, "max_tokens": 80, "seed": 1}
            for text, other in (("weather", 3), ("two things", 1)):
                body["messages"] = user(text)
                message = server.post("/v1/chat/completions", body)["choices"][0]["message"]
                arguments = json.loads(message["tool_calls"][0]["function"]["arguments"])
                assert arguments["days"] in ([2, 4] if strict else [other])
            if special and strict:
                continue  # a tag among thoughts between tokens begins a call
            body["messages"] = user("think first")
            message = server.post("/v1/chat/completions", body)["choices"][0]["message"]
            assert message["reasoning_content"] == "<tool_call> or not?"
            assert message["tool_calls"][0]["function"]["name"] == "get_time"
        for strict in (False, True):
            odd = function("odd", {"x": {"type": "number", "multipleOf": 0.5}}, strict=strict)
            tools = [function("get_weather", days, strict=True), odd]
            status, answer = demand(server, tools=tools, tool_choice="required", max_tokens=1)
            assert status == (400 if strict else 200), answer


def test_many_tools_may_be_demanded(tmp_path):
    tools = [
        function(f"f{i}", {f"p{j}": {"type": "string", "description": "x" * 99} for j in range(9)})
        for i in range(128)
    ]
    model = write_script_model(tmp_path / "m", SCRIPTS, TEMPLATE)
    with serving(model=model) as server:
        needs_xgrammar(server)
        status, answer = demand(server, tools=tools, tool_choice="required", max_tokens=1)
        assert status == 200, answer


def test_a_call_has_no_other_form(demanding):
    form = {"type": "json_object"}
    status, answer = demand(demanding, tool_choice="required", response_format=form)
    assert (status, answer["error"]["param"]) == (400, "tool_choice")
    status, answer = demand(demanding, response_format=form, max_tokens=200, temperature=0)
    message = answer["choices"][0]["message"]
    assert status == 200, answer
    assert "tool_calls" not in message
    assert message["content"].lstrip().startswith("{")
