"""`dms serve` as OpenAI's own client sees it."""

from __future__ import annotations

import asyncio
import math

import openai
import pytest

from serving import serving

PROMPT = "It was a dark night and the wind"
HELLO = [{"role": "user", "content": "Hello, who are you?"}]


@pytest.fixture(scope="module")
def server():
    with serving("--template", "plain", "--api-key", "a-key", "--dtype", "f32") as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="a-key", max_retries=0) as client:
        yield client


def test_models(client):
    assert [model.id for model in client.models.list()] == ["demo"]
    assert client.models.retrieve("demo").owned_by == "dms.cpp"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_completions(client):
    create = client.completions.create
    one = create(model="demo", prompt=PROMPT, max_tokens=12, temperature=0)
    two = create(model="demo", prompt=PROMPT, max_tokens=12, temperature=0, seed=3)
    assert one.choices[0].text == two.choices[0].text
    assert one.choices[0].finish_reason == "length"
    assert one.usage.completion_tokens == 12
    pieces = create(model="demo", prompt=PROMPT, max_tokens=12, temperature=0, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == one.choices[0].text


def test_completion_logprobs(client):
    answer = client.completions.create(
        model="demo", prompt=PROMPT, max_tokens=6, temperature=0, logprobs=3, echo=True
    )
    logprobs = answer.choices[0].logprobs
    assert answer.choices[0].text.startswith(PROMPT)
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs)
    assert len(logprobs.tokens) == answer.usage.total_tokens
    for value, top in list(zip(logprobs.token_logprobs, logprobs.top_logprobs, strict=True))[-6:]:
        assert value == max(top.values())
        assert sum(map(math.exp, top.values())) <= 1.0001


def test_chat(client):
    create = client.chat.completions.create
    one = create(model="demo", messages=HELLO, max_tokens=12, temperature=0)
    assert one.choices[0].message.role == "assistant"
    stream = create(
        model="demo",
        messages=HELLO,
        max_completion_tokens=12,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == one.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == one.usage.completion_tokens


def test_chat_logprobs(client):
    fields = {"logprobs": True, "top_logprobs": 2, "temperature": 0, "max_tokens": 6}
    one = client.chat.completions.create(model="demo", messages=HELLO, **fields)
    content = one.choices[0].logprobs.content
    assert len(content) == 6
    for token in content:
        assert bytes(token.bytes).decode(errors="replace") == token.token
        assert len(token.top_logprobs) == 2
        assert token.logprob == token.top_logprobs[0].logprob
    stream = client.chat.completions.create(model="demo", messages=HELLO, stream=True, **fields)
    parts = [chunk.choices[0].logprobs for chunk in stream]
    streamed = [token for part in parts if part for token in part.content]
    assert [token.logprob for token in streamed] == [token.logprob for token in content]


def test_answers_by_seed(client):
    def ask(seed: int, n: int = 1) -> list[str]:
        answer = client.chat.completions.create(
            model="demo", messages=HELLO, max_tokens=12, temperature=1.2, seed=seed, n=n
        )
        return [choice.message.content for choice in answer.choices]

    assert ask(11) == ask(11)
    assert ask(11, n=3) == ask(11) + ask(12) + ask(13)
    assert len(set(ask(11, n=4))) > 1


def test_what_is_ours_and_vllms_goes_through_extra_body(client):
    extra = {
        "top_k": 1,
        "ignore_eos": True,
        "dms": {"policy": "streaming", "policy_args": {"start_size": 4, "recent_size": 32}},
    }
    answer = client.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": PROMPT * 40}],
        max_tokens=4,
        extra_body=extra,
    )
    usage = answer.usage.model_extra["dms"]
    assert usage["held_tokens"] < usage["dense_tokens"] / 4


def test_stop_and_penalties(client):
    whole = client.completions.create(model="demo", prompt=PROMPT, max_tokens=24, temperature=0)
    text = whole.choices[0].text
    answer = client.completions.create(
        model="demo",
        prompt=PROMPT,
        max_tokens=24,
        temperature=0,
        stop=text[8:12],
    )
    assert answer.choices[0].text == text[: text.index(text[8:12])]
    assert answer.choices[0].finish_reason == "stop"
    penalised = client.completions.create(
        model="demo", prompt=PROMPT, max_tokens=24, temperature=0, frequency_penalty=2.0
    )
    assert penalised.choices[0].text != text


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"model": "gpt-4"}, openai.NotFoundError),
        ({"temperature": -1}, openai.BadRequestError),
        ({"n": 1000}, openai.BadRequestError),
        ({"messages": []}, openai.BadRequestError),
        ({"response_format": {"type": "xml"}}, openai.BadRequestError),
        ({"messages": [{"role": "user", "content": "x " * 9000}]}, openai.BadRequestError),
    ],
)
def test_errors_have_their_kind(client, fields, kind):
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{"model": "demo", "messages": HELLO, **fields})
    assert caught.value.body["message"]
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="another").models.list()


def test_async_streams_side_by_side(server):
    async def ask(client: openai.AsyncOpenAI, number: int) -> str:
        stream = await client.chat.completions.create(
            model="demo",
            messages=[{"role": "user", "content": f"Number {number}?"}],
            max_tokens=10,
            temperature=0,
            stream=True,
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def together() -> list[str]:
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="a-key") as client:
            return await asyncio.gather(*[ask(client, i) for i in range(8)])

    async def alone() -> list[str]:
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="a-key") as client:
            return [await ask(client, i) for i in range(8)]

    assert asyncio.run(together()) == asyncio.run(alone())
