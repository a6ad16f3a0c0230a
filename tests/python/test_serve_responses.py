"""`/v1/responses` of `dms serve` by OpenAI's own client: chat completions in other words."""

from __future__ import annotations

import json

import openai
import pytest

from serving import Server, serving, until

HELLO = "Hello, who are you?"
SAMPLED = {"temperature": 1.1, "top_p": 0.9}
CALL = {"call_id": "c1", "name": "look", "arguments": '{"at": 1}'}


@pytest.fixture(scope="module")
def server():
    with serving("--template", "plain", "--api-key", "a-key", "--dtype", "f32") as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="a-key", max_retries=0) as client:
        yield client


def ask_chat(client: openai.OpenAI, messages: list[dict], max_tokens: int = 12):
    return client.chat.completions.create(
        model="demo", messages=messages, max_tokens=max_tokens, seed=7, **SAMPLED
    )


def ask(client: openai.OpenAI, given: object, max_tokens: int = 12, **fields):
    fields.setdefault("extra_body", {})["seed"] = 7
    return client.responses.create(
        model="demo", input=given, max_output_tokens=max_tokens, **SAMPLED, **fields
    )


def assert_same_usage(usage, chat) -> None:
    assert usage.input_tokens == chat.prompt_tokens
    assert usage.output_tokens == chat.completion_tokens
    assert usage.total_tokens == chat.total_tokens


def test_a_response_says_what_chat_says(client):
    chat = ask_chat(
        client,
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": HELLO}],
    )
    response = ask(client, HELLO, instructions="Be brief.", metadata={"run": "1"})
    assert response.output_text == chat.choices[0].message.content
    assert_same_usage(response.usage, chat.usage)
    assert chat.choices[0].finish_reason == "length"
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert (response.instructions, response.metadata) == ("Be brief.", {"run": "1"})
    assert (response.max_output_tokens, response.top_p) == (12, SAMPLED["top_p"])
    assert response.model_extra["store"] is False
    assert response.usage.model_extra["dms"]["held_tokens"] > 0


def test_a_conversation_of_items_is_that_of_messages(client):
    messages = [
        {"role": "user", "content": HELLO},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "look", "arguments": '{"at": 1}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "A dark night."},
        {"role": "user", "content": "And now?"},
    ]
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": HELLO}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", **CALL},
        {"type": "function_call_output", "call_id": "c1", "output": "A dark night."},
        {"role": "user", "content": "And now?"},
    ]
    chat = ask_chat(client, messages)
    response = ask(client, items, store=False, include=["reasoning.encrypted_content"])
    assert response.output_text == chat.choices[0].message.content
    assert_same_usage(response.usage, chat.usage)
    # What came back goes in again as it is.
    again = ask(client, [*items, *response.output, {"role": "user", "content": "Go on."}])
    answer = {"role": "assistant", "content": chat.choices[0].message.content}
    same = ask_chat(client, [*messages, answer, {"role": "user", "content": "Go on."}])
    assert again.output_text == same.choices[0].message.content


def test_a_stream_tells_of_the_same_response(client):
    whole = ask(client, HELLO, max_tokens=24)
    events = list(ask(client, HELLO, max_tokens=24, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:4]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == whole.output_text
    assert events[-1].type == "response.incomplete"
    last = events[-1].response
    assert last.output_text == text
    assert last.usage.output_tokens == whole.usage.output_tokens
    assert {event.response.id for event in (*events[:2], events[-1])} == {last.id}


def test_the_clients_stream_ends_with_a_response(client):
    whole = ask(client, HELLO, max_tokens=24).output_text
    stop = whole[len(whole) // 2 :][:3]
    with client.responses.stream(
        model="demo",
        input=HELLO,
        max_output_tokens=24,
        **SAMPLED,
        extra_body={"seed": 7, "stop": [stop]},
    ) as stream:
        pieces = [e.delta for e in stream if e.type == "response.output_text.delta"]
        response = stream.get_final_response()
    assert response.status == "completed"
    assert response.output_text == "".join(pieces) == whole[: whole.index(stop)]


def test_thoughts_are_an_item_of_their_own(tmp_path):
    template = tmp_path / "thinks.jinja"
    template.write_text("{{ messages[-1].content }}<think>\n")
    with serving("--template", template) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        fields = {"model": "demo", "input": HELLO, "max_output_tokens": 8, "temperature": 0}
        response = client.responses.create(**fields)
        assert [item.type for item in response.output] == ["reasoning"]
        thoughts = response.output[0].content[0].text
        assert response.usage.output_tokens_details.reasoning_tokens == 8
        stream = client.responses.create(**fields, stream=True)
        deltas = [e.delta for e in stream if e.type == "response.reasoning_text.delta"]
        assert "".join(deltas) == thoughts
        client.close()


# What chat does with tools and forms, this API does with them too: (its fields, chat's).
SHARED = {
    "tools": (
        {"tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}]},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "look", "parameters": {"type": "object"}},
                }
            ]
        },
    ),
    "no tools": (
        {"tools": [{"type": "function", "name": "look"}], "tool_choice": "none"},
        {
            "tools": [{"type": "function", "function": {"name": "look"}}],
            "tool_choice": "none",
        },
    ),
    "json": (
        {"text": {"format": {"type": "json_object"}}},
        {"response_format": {"type": "json_object"}},
    ),
    "schema": (
        {
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "n",
                    "schema": {"type": "object", "properties": {"a": {"type": "boolean"}}},
                }
            }
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "n",
                    "schema": {"type": "object", "properties": {"a": {"type": "boolean"}}},
                },
            }
        },
    ),
}


@pytest.mark.parametrize("name", SHARED)
def test_tools_and_forms_are_chats(server, name):
    fields, chat_fields = SHARED[name]
    sampling = {"temperature": 0, "seed": 7}
    headers = {"Authorization": "Bearer a-key"}

    def post(path: str, body: dict) -> tuple[int, dict]:
        status, _, text = server.request("POST", path, {**body, **sampling}, headers)
        return status, json.loads(text)

    chat_status, chat = post(
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": HELLO}], "max_tokens": 12, **chat_fields},
    )
    status, response = post("/v1/responses", {"input": HELLO, "max_output_tokens": 12, **fields})
    assert status == chat_status
    if status == 400:
        assert response["error"]["param"].startswith("text.format")
        return
    texts = [
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
    ]
    assert "".join(texts) == (chat["choices"][0]["message"]["content"] or "")
    assert response["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "x " * 9000}, "input"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input[0].content[0].type",
        ),
    ],
)
def test_errors_name_the_field(client, fields, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(**{"model": "demo", "input": HELLO, **fields})
    assert caught.value.param == param
    assert caught.value.body["message"].startswith(param)


def test_the_model_and_the_key_are_looked_at(client):
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="gpt-5", input=HELLO)
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="b").responses.create(model="demo", input=HELLO)


def test_the_endpoint_is_named_in_metrics_and_log(server: Server):
    headers = {"Authorization": "Bearer a-key"}
    server.post("/v1/responses", {"input": HELLO, "max_output_tokens": 1}, headers=headers)
    assert server.request("GET", "/v1/responses", headers=headers)[0] == 405
    assert server.request("GET", "/v1/responses/resp_1", headers=headers)[0] == 404
    _, _, metrics = server.request("GET", "/metrics", headers=headers)
    assert 'handler="/v1/responses"' in metrics
    until(lambda: "POST /v1/responses 200" in server.log())
