"""`/v1/messages` of `dms serve` by Anthropic's own client: chat completions in other words."""

from __future__ import annotations

import json

import anthropic
import pytest

from serving import Server, serving, until

HELLO = "Hello, who are you?"
SYSTEM = "You are an old lamp in a quiet house by the sea. " * 20
KEY = {"x-api-key": "a-key"}
BILLING = "x-anthropic-billing-header: cc_version=2.1.37.{0}; cc_entrypoint=cli; cch={0};"


@pytest.fixture(scope="module")
def server():
    with serving("--template", "plain", "--api-key", "a-key", "--dtype", "f32") as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with anthropic.Anthropic(base_url=server.url, api_key="a-key", max_retries=0) as client:
        yield client


def ask_chat(server: Server, messages: list[dict], max_tokens: int = 12, **fields) -> dict:
    body = {"messages": messages, "max_tokens": max_tokens, "temperature": 0.9, "seed": 7}
    headers = {"Authorization": "Bearer a-key"}
    return server.post("/v1/chat/completions", {**body, **fields}, headers=headers)


def ask(client: anthropic.Anthropic, messages: list[dict], max_tokens: int = 12, **fields):
    return client.messages.create(
        model="demo",
        messages=messages,
        max_tokens=max_tokens,
        extra_body={"temperature": 0.9, "seed": 7},
        **fields,
    )


def assert_same(message, chat: dict) -> None:
    assert message.content[0].text == chat["choices"][0]["message"]["content"]
    usage = message.usage
    assert usage.input_tokens + usage.cache_read_input_tokens == chat["usage"]["prompt_tokens"]
    assert usage.output_tokens == chat["usage"]["completion_tokens"]


def test_a_message_says_what_chat_says(server, client):
    chat = ask_chat(
        server, [{"role": "system", "content": "Be brief."}, {"role": "user", "content": HELLO}]
    )
    message = ask(client, [{"role": "user", "content": HELLO}], system="Be brief.")
    assert_same(message, chat)
    assert (message.role, message.model) == ("assistant", "demo")
    assert message.stop_reason == "max_tokens"
    assert message.usage.model_extra["dms"]["held_tokens"] > 0


CALL = {"id": "t1", "name": "look", "input": {"at": 1}}
BLOCKS = [
    {"role": "user", "content": [{"type": "text", "text": HELLO}]},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": ""},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", **CALL},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "A dark night."},
            {"type": "text", "text": "And now?"},
        ],
    },
]
MESSAGES = [
    {"role": "user", "content": HELLO},
    {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": "Hm",
        "tool_calls": [
            {
                "id": "t1",
                "type": "function",
                "function": {"name": "look", "arguments": '{"at":1}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "t1", "content": "A dark night."},
    {"role": "user", "content": "And now?"},
]


def test_a_conversation_of_blocks_is_that_of_messages(server, client):
    message = ask(client, BLOCKS)
    assert_same(message, ask_chat(server, MESSAGES))
    more = {"role": "user", "content": "Go on."}
    again = ask(client, [*BLOCKS, message.to_param(), more])
    answer = {"role": "assistant", "content": message.content[0].text}
    assert_same(again, ask_chat(server, [*MESSAGES, answer, more]))


def test_text_of_the_assistant_at_the_end_is_gone_on_with(server, client):
    begun = [
        {"role": "user", "content": "Say it."},
        {"role": "assistant", "content": "It was a dark"},
    ]
    going_on = {"add_generation_prompt": False, "continue_final_message": True}
    assert_same(ask(client, begun), ask_chat(server, begun, **going_on))


def test_a_stream_tells_of_the_same_message(client):
    messages = [{"role": "user", "content": HELLO}]
    whole = ask(client, messages, max_tokens=24)
    with client.messages.stream(
        model="demo",
        messages=messages,
        max_tokens=24,
        extra_body={"temperature": 0.9, "seed": 7},
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text == whole.content[0].text
    assert final.stop_reason == whole.stop_reason == "max_tokens"
    # The second of two equal prompts finds the first one's beginning in the cache.
    total = whole.usage.input_tokens + whole.usage.cache_read_input_tokens
    assert final.usage.input_tokens + final.usage.cache_read_input_tokens == total
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_a_stop_sequence_is_named(client):
    messages = [{"role": "user", "content": HELLO}]
    text = ask(client, messages, max_tokens=24).content[0].text
    stop = text[len(text) // 2 :][:3]
    for stream in (False, True):
        fields = {"max_tokens": 24, "stop_sequences": ["never said", stop]}
        if stream:
            with client.messages.stream(
                model="demo",
                messages=messages,
                extra_body={"temperature": 0.9, "seed": 7},
                **fields,
            ) as events:
                message = events.get_final_message()
        else:
            message = ask(client, messages, **fields)
        assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", stop)
        assert message.content[0].text == text[: text.index(stop)]


def test_tokens_are_counted_as_a_message_would_be(client):
    tool = {"name": "look", "input_schema": {"type": "object"}}
    for fields in ({}, {"system": "Be brief."}, {"tools": [tool]}):
        counted = client.messages.count_tokens(model="demo", messages=BLOCKS, **fields)
        usage = ask(client, BLOCKS, max_tokens=1, **fields).usage
        assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens
    long = [{"role": "user", "content": "x " * 9000}]
    assert client.messages.count_tokens(model="demo", messages=long).input_tokens > 4096


def test_thoughts_are_a_block_of_their_own(tmp_path):
    template = tmp_path / "thinks.jinja"
    template.write_text(
        "{{ messages[-1].content }}{{ '' if enable_thinking is false else '<think>\n' }}"
    )
    with (
        serving("--template", template) as server,
        anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as client,
    ):
        fields = {
            "model": "demo",
            "messages": [{"role": "user", "content": HELLO}],
            "max_tokens": 8,
            "extra_body": {"temperature": 0},
        }
        thinking = {"type": "enabled", "budget_tokens": 1024}
        message = client.messages.create(**fields, thinking=thinking)
        assert [block.type for block in message.content] == ["thinking"]
        assert message.usage.output_tokens_details.thinking_tokens == 8
        with client.messages.stream(**fields, thinking=thinking) as stream:
            assert stream.get_final_message().content == message.content
        silent = client.messages.create(**fields, thinking={"type": "disabled"})
        assert [block.type for block in silent.content] == ["text"]


@pytest.mark.parametrize("strip", [False, True])
def test_lines_of_agents_break_the_prefix_cache_unless_left_out(strip):
    flags = ("--strip-agent-headers",) if strip else ()

    def ask(server: Server, nonce: str) -> int:
        """The tokens that were found in the cache."""
        system = [
            {"type": "text", "text": BILLING.format(nonce)},
            {"type": "text", "text": f"{SYSTEM}\nToday's date: 2026-11-{nonce[:2]}"},
        ]
        messages = [{"role": "user", "content": HELLO}]
        body = {"system": system, "messages": messages, "max_tokens": 2}
        usage = server.post("/v1/messages", body)["usage"]
        assert usage["input_tokens"] + usage["cache_read_input_tokens"] > 200
        return usage["cache_read_input_tokens"]

    # Prefixes are kept at the ends of chunks and prompts.
    with serving("--template", "plain", "--chunk", 32, *flags) as server:
        ask(server, "29a3f")
        found = ask(server, "30bc1")
        assert (found > 200) if strip else (found < 64)


@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"model": "claude"}, anthropic.NotFoundError, "model"),
        ({"max_tokens": 0}, anthropic.BadRequestError, "max_tokens"),
        ({"stop_sequences": [""]}, anthropic.BadRequestError, "stop_sequences"),
        ({"messages": []}, anthropic.BadRequestError, "messages"),
        (
            {"messages": [{"role": "user", "content": "x " * 9000}]},
            anthropic.BadRequestError,
            "messages",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
            anthropic.BadRequestError,
            "messages[0].content[0].type",
        ),
    ],
)
def test_errors_have_their_kind_and_name_the_field(client, fields, kind, param):
    good = {"model": "demo", "max_tokens": 4, "messages": [{"role": "user", "content": HELLO}]}
    with pytest.raises(kind) as caught:
        client.messages.create(**{**good, **fields})
    body = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] in ("invalid_request_error", "not_found_error")
    assert body["error"]["message"].startswith(param)


def test_a_key_is_asked_for_in_either_header(server, client):
    body = {"max_tokens": 1, "messages": [{"role": "user", "content": HELLO}]}
    for headers in (KEY, {"Authorization": "Bearer a-key"}):
        assert server.request("POST", "/v1/messages", body, headers)[0] == 200
    with pytest.raises(anthropic.AuthenticationError) as caught:
        client.with_options(api_key="b").messages.count_tokens(model="demo", messages=BLOCKS)
    assert caught.value.body["error"]["type"] == "authentication_error"


def test_the_endpoints_are_named_in_metrics_and_log(server, client):
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        status, headers, text = server.request("GET", path, headers=KEY)
        assert (status, headers["Allow"]) == (405, "POST")
        assert json.loads(text)["type"] == "error"
    client.messages.count_tokens(model="demo", messages=BLOCKS)
    ask(client, BLOCKS, max_tokens=1)
    _, _, metrics = server.request("GET", "/metrics", headers=KEY)
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        assert f'handler="{path}"' in metrics
        until(lambda path=path: f"POST {path} 200" in server.log())
