"""Tools over `/v1/responses` and `/v1/messages` of `dms serve`, by the makers' own clients: rounds
from a question over a call to the answer, with a model that writes its calls by heart."""

from __future__ import annotations

import json
from collections.abc import Iterator

import anthropic
import openai
import pytest

from harness import missing
from script_model import write_script_model
from serving import Server, serving

TEMPLATE = """{# <tool_call>{"name": ..., "arguments": {...}}</tool_call> #}
{%- for message in messages -%}
  {{- message.role }}: {{ message.content }}
  {%- if message.reasoning_content -%}({{ message.reasoning_content }}){%- endif -%}
  {%- for call in message.tool_calls or [] -%}
    {{- call.function.name + (call.function.arguments | tojson) -}}
  {%- endfor -%}
  {%- if message.role == 'tool' -%}<{{ message.tool_call_id }}>{%- endif -%}
{%- endfor -%}
{%- if messages[-1].role == 'tool' -%}<|answer|>
{%- elif not tools -%}<|no tools|>
{%- elif messages[-1].content == 'Both!' -%}<|both|>
{%- else -%}<|call|>{%- endif -%}"""

SCRIPTS = {
    "<|call|>": [
        "<think>", "Which?", "</think>", "\n\nLet me", " look.", '<tool_call>{"name": "get_',
        'weather", "argu', 'ments": {"city', '": "Par', 'is"}}', "</tool_call>",
        '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>',
    ],
    "<|answer|>": ["It is ", "mild", " at noon."],
    "<|no tools|>": ["I have", " no tools."],
    "<|both|>": [
        '<tool_call>{"arguments": {}, "name": "get_time"}</tool_call>', " And ",
        '<tool_call>{"arguments":', ' {"city": "Oslo', '"}, "name": "get_weather"}</tool_call>',
    ],
}  # fmt: skip

BOTH = {"role": "user", "content": "Both!"}
UNTIL_THE_SECOND_CALL = 4  # tokens
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
QUESTION = {"role": "user", "content": "What is the weather?"}
RESULTS = ("12 degrees", "noon")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("script")
    with serving(model=write_script_model(folder / "m", SCRIPTS, TEMPLATE)) as server:
        yield server
        assert server.stop() == 0, server.log()


@pytest.fixture(scope="module")
def openais(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def anthropics(server):
    with anthropic.Anthropic(base_url=server.url, api_key="x", max_retries=0) as client:
        yield client


def respond(client: openai.OpenAI, given: list, **fields):
    tools = [
        {"type": "function", "name": "get_weather", "parameters": SCHEMA},
        {"type": "function", "name": "get_time"},
    ]
    fields = {"model": "m", "input": given, "tools": tools, **fields}
    return client.responses.create(**fields)


def say(client: anthropic.Anthropic, messages: list, **fields):
    tools = [
        {"name": "get_weather", "input_schema": SCHEMA},
        {"name": "get_time", "input_schema": {"type": "object"}},
    ]
    fields = {"model": "m", "max_tokens": 40, "messages": messages, "tools": tools, **fields}
    return client.messages.create(**fields)


def test_a_round_of_responses(openais):
    first = respond(openais, [QUESTION])
    assert first.status == "completed"
    assert [item.type for item in first.output] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
    ]
    assert first.output[0].content[0].text == "Which?"
    assert first.output_text == "Let me look."
    calls = first.output[2:]
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert json.loads(calls[0].arguments) == {"city": "Paris"}
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": result}
        for call, result in zip(calls, RESULTS, strict=True)
    ]
    last = respond(openais, [QUESTION, *first.output, *results])
    assert last.output_text == "It is mild at noon."
    assert respond(openais, [QUESTION], tool_choice="none").output_text == "I have no tools."


def test_a_stream_of_responses_is_what_is_answered_whole(openais):
    whole = respond(openais, [QUESTION])
    events = list(respond(openais, [QUESTION], stream=True))
    last = events[-1]
    assert last.type == "response.completed"

    def told(response) -> list:
        ids = {"id", "call_id"}
        return [item.model_dump(exclude=ids) for item in response.output]

    assert told(last.response) == told(whole)
    pieces = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    assert len(pieces) > 3, "the arguments come as they are written"
    done = [e.item for e in events if e.type == "response.output_item.done"]
    assert [item.model_dump() for item in done] == [
        item.model_dump() for item in last.response.output
    ]


def test_the_openai_clients_own_stream(openais):
    with openais.responses.stream(
        model="m",
        input=[QUESTION],
        tools=[{"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}],
    ) as stream:
        response = stream.get_final_response()
    assert response.output[2].name == "get_weather"
    assert json.loads(response.output[2].arguments) == {"city": "Paris"}


def test_a_round_of_messages(anthropics):
    first = say(anthropics, [QUESTION])
    assert first.stop_reason == "tool_use"
    kinds = ["thinking", "text", "tool_use", "tool_use"]
    assert [block.type for block in first.content] == kinds
    assert (first.content[0].thinking, first.content[1].text) == ("Which?", "Let me look.")
    calls = first.content[2:]
    assert [(call.name, call.input) for call in calls] == [
        ("get_weather", {"city": "Paris"}),
        ("get_time", {}),
    ]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": result}
        for call, result in zip(calls, RESULTS, strict=True)
    ]
    messages = [QUESTION, first.to_param(), {"role": "user", "content": results}]
    last = say(anthropics, messages)
    assert (last.content[0].text, last.stop_reason) == ("It is mild at noon.", "end_turn")
    silent = say(anthropics, [QUESTION], tool_choice={"type": "none"})
    assert silent.content[0].text == "I have no tools."


def test_the_clients_tool_runner_goes_on_without_a_thread(server):
    """It asks for one, whose later turns would be the new messages alone."""
    told: list[dict] = []

    def listen(request) -> None:
        told.append(json.loads(request.content))

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"12 degrees in {city}"

    @anthropic.beta_tool
    def get_time() -> str:
        """What time it is."""
        return "noon"

    with (
        anthropic.DefaultHttpxClient(event_hooks={"request": [listen]}) as http,
        anthropic.Anthropic(
            base_url=server.url, api_key="x", max_retries=0, http_client=http
        ) as client,
    ):
        last = client.beta.messages.tool_runner(
            model="m",
            max_tokens=40,
            system="Be brief.",
            messages=[QUESTION],
            tools=[get_weather, get_time],
        ).until_done()
    assert last.content[0].text == "It is mild at noon."
    assert ["thread" in body for body in told] == [True, False, False]
    roles = [[message["role"] for message in body["messages"]] for body in told[1:]]
    assert roles == [["user"], ["user", "assistant", "user"]]
    assert told[-1]["system"] == "Be brief."
    assert len(told[-1]["tools"]) == 2
    results = [block["content"] for block in told[-1]["messages"][-1]["content"]]
    assert results == ["12 degrees in Paris", "noon"]


def test_a_stream_of_messages_is_what_is_answered_whole(anthropics):
    whole = say(anthropics, [QUESTION])
    with anthropics.messages.stream(
        model="m",
        max_tokens=40,
        messages=[QUESTION],
        tools=[
            {"name": "get_weather", "input_schema": SCHEMA},
            {"name": "get_time", "input_schema": {"type": "object"}},
        ],
    ) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    assert len([piece for piece in pieces if piece]) > 3, "the input comes as it is written"

    def told(message) -> list:
        return [block.model_dump(exclude={"id"}) for block in message.content]

    assert told(final) == told(whole)
    assert final.stop_reason == "tool_use"


def test_what_is_said_behind_a_call_stays_behind_it(openais, anthropics):
    """And where the answer is cut there, the call before it is whole."""
    limit = {"max_output_tokens": UNTIL_THE_SECOND_CALL}
    whole = respond(openais, [BOTH], **limit)
    streamed = list(respond(openais, [BOTH], stream=True, **limit))[-1].response
    for answer in (whole, streamed):
        assert answer.status == "incomplete"
        call, message = answer.output
        assert (call.type, call.name, call.status) == ("function_call", "get_time", "completed")
        assert (message.type, message.status) == ("message", "incomplete")
        assert message.content[0].text.startswith(" And <tool_call>")
    blocks = say(anthropics, [BOTH], max_tokens=UNTIL_THE_SECOND_CALL).content
    assert [block.type for block in blocks] == ["tool_use", "text"]
    assert blocks[1].text == message.content[0].text


def test_one_call_where_no_more_are_wanted(openais, anthropics):
    one = respond(openais, [QUESTION], parallel_tool_calls=False)
    assert [item.type for item in one.output].count("function_call") == 1
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    message = say(anthropics, [QUESTION], tool_choice=choice)
    assert [block.type for block in message.content].count("tool_use") == 1


def test_both_apis_make_the_prompt_of_chat(server, openais, anthropics):
    """A whole round, whose results come back under the calls' ids."""
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
    }
    chat = server.post(
        "/v1/chat/completions",
        {
            "messages": [
                QUESTION,
                {
                    "role": "assistant",
                    "content": "Let me look.",
                    "reasoning_content": "Which?",
                    "tool_calls": [call],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "12 degrees"},
            ]
        },
    )
    response = respond(
        openais,
        [
            QUESTION,
            {"type": "reasoning", "summary": [], "content": [{"text": "Which?"}]},
            {"role": "assistant", "content": "Let me look."},
            {
                "type": "function_call",
                "call_id": "c1",
                "name": "get_weather",
                "arguments": '{"city":"Paris"}',
            },
            {"type": "function_call_output", "call_id": "c1", "output": "12 degrees"},
        ],
    )
    message = say(
        anthropics,
        [
            QUESTION,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Which?", "signature": ""},
                    {"type": "text", "text": "Let me look."},
                    {
                        "type": "tool_use",
                        "id": "c1",
                        "name": "get_weather",
                        "input": {"city": "Paris"},
                    },
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "12 degrees"}],
            },
        ],
    )
    tokens = chat["usage"]["prompt_tokens"]
    assert response.usage.input_tokens == tokens
    assert message.usage.input_tokens + message.usage.cache_read_input_tokens == tokens


# Of the demo, which knows nothing of tools, calls and forms are demanded. ------------------------


@pytest.fixture(scope="module")
def demo() -> Iterator[Server]:
    with serving("--template", "plain", "--tool-parser", "hermes") as server:
        body = {"messages": [QUESTION], "response_format": {"type": "json_object"}, "max_tokens": 1}
        status, _, text = server.request("POST", "/v1/chat/completions", body)
        if status == 400 and "xgrammar" in text:
            missing("a build without xgrammar demands nothing")
        yield server
        assert server.stop() == 0, server.log()


POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["x"],
    "additionalProperties": False,
}
ONE = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}


def test_demanded_calls_are_calls(demo):
    tool = {"name": "get_weather", "description": "Of a city"}
    for choice in ("required", {"type": "function", "name": "get_weather"}):
        body = {
            "input": [QUESTION],
            "tools": [{"type": "function", **tool, "parameters": ONE}],
            "tool_choice": choice,
            "parallel_tool_calls": False,
            "max_output_tokens": 200,
        }
        response = demo.post("/v1/responses", body)
        (call,) = response["output"]
        assert json.loads(call["arguments"])["city"] in ("Paris", "Rome")
        assert response["status"] == "completed"
    for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather"}):
        body = {
            "messages": [QUESTION],
            "tools": [{**tool, "input_schema": ONE}],
            "tool_choice": {**choice, "disable_parallel_tool_use": True},
            "max_tokens": 200,
        }
        message = demo.post("/v1/messages", body)
        (block,) = message["content"]
        assert block["input"]["city"] in ("Paris", "Rome")
        assert message["stop_reason"] == "tool_use"


def test_answers_have_the_form_that_is_asked_for(demo):
    form = {"type": "json_schema", "name": "point", "schema": POINT}
    fields = {"input": [QUESTION], "max_output_tokens": 200, "text": {"format": form}}
    (item,) = demo.post("/v1/responses", fields)["output"]
    assert set(json.loads(item["content"][0]["text"])) == {"x"}
    form = {"type": "json_schema", "schema": POINT}
    fields = {"messages": [QUESTION], "max_tokens": 200, "output_config": {"format": form}}
    (block,) = demo.post("/v1/messages", fields)["content"]
    assert set(json.loads(block["text"])) == {"x"}


def test_a_form_that_cannot_be_held_to_is_named_as_the_caller_does(demo):
    schema = {"not": {"type": "string"}}
    form = {"type": "json_schema", "name": "point", "schema": schema}
    body = {"input": [QUESTION], "text": {"format": form}}
    status, _, text = demo.request("POST", "/v1/responses", body)
    assert status == 400, text
    error = json.loads(text)["error"]
    assert error["param"] == "text.format.schema"
    assert error["message"].startswith("text.format.schema")
    body = {"messages": [QUESTION], "max_tokens": 4, "output_config": {"format": form}}
    status, _, text = demo.request("POST", "/v1/messages", body)
    assert status == 400, text
    assert json.loads(text)["error"]["message"].startswith("output_config.format.schema")


def demand(demo: Server, function: dict) -> tuple[int, dict]:
    body = {
        "messages": [QUESTION],
        "tools": [{"type": "function", "function": {"name": "get_weather", **function}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "max_tokens": 200,
    }
    status, _, text = demo.request("POST", "/v1/chat/completions", body)
    return status, json.loads(text)


def test_a_function_without_parameters_takes_none(demo):
    status, answer = demand(demo, {})
    assert status == 200, answer
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {}
    assert answer["choices"][0]["finish_reason"] == "tool_calls"


def test_a_tool_that_cannot_be_held_to_is_named(demo):
    overlapping = {"oneOf": [{"type": "integer"}, {"type": "number"}]}
    parameters = {"type": "object", "properties": {"at": overlapping}}
    status, answer = demand(demo, {"parameters": parameters, "strict": True})
    assert status == 400, answer
    for part in ("/properties/at/oneOf", "get_weather"):
        assert part in answer["error"]["message"]


def test_a_body_has_room_for_the_levels_of_a_schema(demo):
    def nested(objects: int) -> dict:
        schema: dict = {"type": "null"}
        for _ in range(objects):
            schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
        return schema

    def ask(schema: dict) -> tuple[int, str]:
        form = {"type": "json_schema", "json_schema": {"name": "deep", "schema": schema}}
        body = {"messages": [QUESTION], "response_format": form, "max_tokens": 4}
        status, _, text = demo.request("POST", "/v1/chat/completions", body)
        return status, text

    assert ask(nested(23))[0] == 200  # 47 levels
    assert demand(demo, {"parameters": nested(23), "strict": True})[0] == 200
    status, text = ask(nested(24))
    assert status == 400
    assert "at most 48 levels" in text
