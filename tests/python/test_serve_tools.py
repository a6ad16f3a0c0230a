"""Tools of `dms serve`, as OpenAI's own client sees them: models that write calls by heart."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pydantic
import pytest

from harness import DEMO, run_dms
from script_model import write_script_model
from serving import Server, serving
from tool_scripts import SCRIPTS, TEMPLATE, TIME, TOOLS, ask, client_of, gathered, user


class GetWeather(pydantic.BaseModel):
    """The weather of a city."""

    city: str
    days: int


@pytest.fixture(scope="module", params=["text", "special"])
def server(request, tmp_path_factory) -> Iterator[Server]:
    """The tags as text, or as special tokens, which an answer's text leaves out."""
    tags = ["<tool_call>", "</tool_call>", "<think>", "</think>"]
    special = tags if request.param == "special" else []
    folder = tmp_path_factory.mktemp("script")
    with serving(model=write_script_model(folder / "m", SCRIPTS, TEMPLATE, special)) as server:
        yield server
        assert server.stop() == 0, server.log()


@pytest.fixture(scope="module")
def client(server):
    with client_of(server) as client:
        yield client


def test_a_round_from_the_question_over_a_call_to_the_answer(client):
    first = ask(client, "What is the weather?").choices[0]
    assert first.finish_reason == "tool_calls"
    assert first.message.content == "Let me look."
    (call,) = first.message.tool_calls
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert json.loads(call.function.arguments) == {"city": "Paris", "days": 3}
    result = {"role": "tool", "tool_call_id": call.id, "content": "12 degrees"}
    last = ask(client, "", messages=[*user("What is the weather?"), first.message, result])
    assert last.choices[0].message.content == "It is mild in Paris."
    assert last.choices[0].message.tool_calls is None
    assert last.choices[0].finish_reason == "stop"


def test_a_round_streamed(client):
    chunks = list(ask(client, "What is the weather?", stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "Let me look."
    calls = [delta.tool_calls for delta in deltas if delta.tool_calls]
    assert all(len(call) == 1 for call in calls)
    begin, *pieces = [call[0] for call in calls]
    assert (begin.index, begin.type, begin.function.name) == (0, "function", "get_weather")
    assert begin.id
    assert begin.function.arguments == ""
    assert all(piece.id is None and piece.function.name is None for piece in pieces)
    assert len(pieces) >= 4, "the arguments come as they are written"
    arguments = "".join(piece.function.arguments for piece in pieces)
    assert json.loads(arguments) == {"city": "Paris", "days": 3}
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "tool_calls"]


def test_the_clients_own_stream_and_parser(client):
    tools = [openai.pydantic_function_tool(GetWeather, name="get_weather")]
    whole = client.chat.completions.parse(model="m", messages=user("weather"), tools=tools)
    (call,) = whole.choices[0].message.tool_calls
    assert call.function.parsed_arguments == GetWeather(city="Paris", days=3)
    with client.chat.completions.stream(model="m", messages=user("weather"), tools=tools) as stream:
        seen = [event for event in stream if event.type.startswith("tool_calls.")]
        final = stream.get_final_completion().choices[0]
    assert seen[-1].type == "tool_calls.function.arguments.done"
    assert seen[-1].parsed_arguments == GetWeather(city="Paris", days=3)
    assert len(seen) > 4
    assert final.finish_reason == "tool_calls"
    assert final.message.content == "Let me look."
    assert final.message.tool_calls[0].function.name == "get_weather"


def test_several_calls_and_several_answers(client):
    answer = ask(client, "two things", n=2)
    ids = set()
    for choice in answer.choices:
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        called = [call.function for call in choice.message.tool_calls]
        assert [function.name for function in called] == ["get_weather", "get_time"]
        assert json.loads(called[1].arguments) == {"zone": "CET"}
        ids |= {call.id for call in choice.message.tool_calls}
    assert len(ids) == 4
    (first,) = ask(client, "two things", parallel_tool_calls=False).choices[0].message.tool_calls
    assert first.function.name == "get_weather"


def test_a_stream_is_what_is_answered_whole(client):
    for text in ("the weather", "two things", "think first", "broken", "talk"):
        whole = ask(client, text).choices[0]
        calls = [
            [call.function.name, call.function.arguments] for call in whole.message.tool_calls or []
        ]
        streamed = gathered(ask(client, text, stream=True))
        assert streamed == (whole.message.content or "", calls, whole.finish_reason)


def test_thoughts_come_before_calls(client):
    message = ask(client, "think first").choices[0].message
    assert message.reasoning_content == "<tool_call> or not?"
    assert message.content is None
    assert message.tool_calls[0].function.arguments == "{}"


def test_what_is_no_call_stays_text(client):
    for text, content in (
        ("broken", 'Well <tool_call>{"name": "get_weather", "arguments": [1]}</tool_call>'),
        ("talk", "Hello there {friend} "),
    ):
        choice = ask(client, text).choices[0]
        assert choice.message.content == content
        assert choice.message.tool_calls is None
        assert choice.finish_reason == "stop"


def test_tools_that_may_not_be_called_are_not_shown(client):
    choice = ask(client, "weather", tool_choice="none").choices[0]
    assert choice.message.content == "I have no tools."


def test_a_tool_of_another_name_is_not_called(client):
    message = ask(client, "weather", tools=[TIME]).choices[0].message
    assert message.tool_calls is None
    assert '"name": "get_weather"' in message.content


def test_each_token_is_told_once(client):
    whole = ask(client, "two things", logprobs=True)
    tokens = [token.token for token in whole.choices[0].logprobs.content]
    assert len(tokens) == whole.usage.completion_tokens
    chunks = ask(
        client, "two things", logprobs=True, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(chunks)
    parts = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices]
    assert [token.token for part in parts if part for token in part.content] == tokens
    assert chunks[-1].usage.completion_tokens == len(tokens)


def test_a_call_that_is_cut_short_says_so(client):
    choice = ask(client, "weather", max_tokens=8).choices[0]
    assert choice.finish_reason == "length"
    assert choice.message.tool_calls[0].function.arguments == '{"city": "Paris", '


@pytest.mark.parametrize("parser", ["none", "llama3_json"])
def test_another_form_can_be_named(server, tmp_path, parser):
    model = write_script_model(tmp_path / "m", SCRIPTS, TEMPLATE)
    body = {"messages": user("two things"), "tools": TOOLS}
    with serving("--tool-parser", parser, model=model) as other:
        message = other.post("/v1/chat/completions", body)["choices"][0]["message"]
        assert message["content"] == "".join(SCRIPTS["<|two|>"])
        status, _, text = other.request(
            "POST", "/v1/chat/completions", {**body, "tool_choice": "required"}
        )
        assert parser != "none" or (status == 400 and "--tool-parser" in text)


def test_tools_that_the_template_does_not_show_are_told_of():
    note = "tools: the chat template shows the model none of them"
    with serving("--template", "plain") as server:
        body = {"messages": user("Hello"), "tools": TOOLS, "max_tokens": 2}
        for _ in range(2):
            usage = server.post("/v1/chat/completions", body)["usage"]
            assert usage["dms"]["notes"] == [note]
        silent = server.post("/v1/chat/completions", {**body, "tool_choice": "none"})
        assert "notes" not in silent["usage"]["dms"]
        assert server.stop() == 0
        assert server.log().count(note) == 1


def test_a_misspelt_form_is_refused():
    done = run_dms("serve", DEMO, "--template", "plain", "--tool-parser", "hermess")
    error = done.stderr.decode()
    assert done.returncode == 2, error
    assert "--tool-parser: unknown (got hermess" in error
    assert "did you mean hermes?" in error
