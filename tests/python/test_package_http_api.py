"""The Python package's HttpApi: the server's endpoints over an AsyncLLM, without a socket."""

from __future__ import annotations

import asyncio
import gc
import json

import pytest

from harness import DEMO, run_python

PROMPT = "It was a dark night and"
HELLO = [{"role": "user", "content": "Hello, who are you?"}]
ENDLESS = {"max_tokens": 4000, "ignore_eos": True}
SAME = {"max_tokens": 12, "temperature": 0}


@pytest.fixture
def run(dms_cpp):
    """run(work, **options): awaits work(api, llm) with a fresh HttpApi."""

    def call(work, **options):
        async def main():
            async with dms_cpp.AsyncLLM(DEMO, dtype="float32", kv_memory="64MiB") as llm:
                api = dms_cpp.HttpApi(llm, chat_template="plain", **options)
                return await work(api, llm)

        return asyncio.run(main())

    return call


async def ask(api, path: str, fields: dict):
    return await api.handle("POST", path, [("content-type", "application/json")], encoded(fields))


async def answer(api, path: str, fields: dict) -> dict:
    reply = await ask(api, path, fields)
    body = await reply.body()
    assert reply.status == 200, body
    return json.loads(body)


def encoded(fields: dict) -> bytes:
    return json.dumps(fields).encode()


async def until_idle(llm) -> None:
    while llm.llm.stats().running + llm.llm.stats().waiting > 0:
        await asyncio.sleep(0.01)


def test_each_api_answers_as_the_llm_does(run, dms_cpp, demo):
    params = dms_cpp.SamplingParams(temperature=0, max_tokens=12)
    text = demo.generate(PROMPT, params)[0].outputs[0].text

    async def work(api, llm):
        body = {"prompt": PROMPT, **SAME}
        stream = await llm.submit(PROMPT, params)  # beside them
        several = await asyncio.gather(
            answer(api, "/v1/completions", body),
            answer(api, "/v1/chat/completions", {"messages": HELLO, **SAME}),
            answer(api, "/v1/messages", {"model": "demo", "messages": HELLO, **SAME}),
            answer(
                api,
                "/v1/responses",
                {"input": HELLO, "max_output_tokens": 12, "temperature": 0},
            ),
        )
        assert (await stream.result()).outputs[0].text == text
        streamed = await ask(api, "/v1/completions", {**body, "stream": True})
        assert streamed.is_stream
        return several, [piece async for piece in streamed]

    (whole, chat, message, response), pieces = run(work)
    assert whole["choices"][0]["text"] == text
    said = chat["choices"][0]["message"]["content"]
    assert said == message["content"][0]["text"]
    assert said == response["output"][0]["content"][0]["text"]
    *events, last, rest = b"".join(pieces).decode().split("\n\n")
    assert (last, rest) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == text
    assert len(pieces) > 1


def test_tools_that_must_be_called_are(run):
    tool = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}

    async def work(api, llm):
        fields = {"messages": HELLO, "tools": [tool], "tool_choice": "required", "max_tokens": 60}
        return await answer(api, "/v1/chat/completions", fields)

    (choice,) = run(work, tool_parser="hermes")["choices"]
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "now"


def test_what_is_wrong_is_an_answer(run):
    async def work(api, llm):
        async def told(method, path, headers=(), body=b""):
            reply = await api.handle(method, path, headers, body)
            return reply.status, await reply.body()

        key = [("X-Api-Key", "k")]
        assert (await told("GET", "/v1/models"))[0] == 401
        assert (await told("GET", "/nowhere", key))[0] == 404
        status, body = await told("POST", "/v1/messages", key, b"{}")
        assert (status, json.loads(body)["type"]) == (400, "error")
        assert (await told("POST", "/v1/completions", key, b" " * 2000))[0] == 413
        status, body = await told("GET", "/metrics", key)
        assert status == 200
        assert b'handler="/v1/completions",status="413"' in body

    run(work, api_keys=["k"], max_body=1000)


def test_who_lets_go_of_an_answer_ends_it(run):
    async def work(api, llm):
        reply = await ask(api, "/v1/completions", {"prompt": PROMPT, "stream": True, **ENDLESS})
        await anext(reply)
        del reply
        gc.collect()
        waiting = asyncio.create_task(
            ask(api, "/v1/completions", {"prompt": PROMPT, **ENDLESS}),
        )
        while llm.llm.stats().running == 0:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until_idle(llm)
        assert llm.llm.stats().generated_tokens < 8000

    run(work)


def test_it_ends_with_its_model_or_before(run, dms_cpp):
    async def work(api, llm):
        first = await ask(api, "/v1/completions", {"prompt": PROMPT, "stream": True, **ENDLESS})
        await api.close()
        assert b"the HttpApi is closed" in await first.body()
        with pytest.raises(dms_cpp.RunError, match="closed"):
            await api.handle("GET", "/v1/models")
        other = dms_cpp.HttpApi(llm)
        second = await ask(other, "/v1/completions", {"prompt": PROMPT, "stream": True, **ENDLESS})
        await llm.close()
        assert b"the AsyncLLM is closed" in await second.body()
        with pytest.raises(dms_cpp.RunError, match="closed"):
            await other.handle("GET", "/v1/models")
        with pytest.raises(dms_cpp.RunError, match="closed"):
            dms_cpp.HttpApi(llm)

    run(work)


def test_options_are_checked(run, dms_cpp):
    async def work(api, llm):
        with pytest.raises(dms_cpp.InputError, match="did you mean hermes") as caught:
            dms_cpp.HttpApi(llm, tool_parser="hermess")
        assert caught.value.field == "tool_parser"
        with pytest.raises(dms_cpp.InputError, match="chat_template"):
            dms_cpp.HttpApi(llm, chat_template="{% if %}")
        named = dms_cpp.HttpApi(llm, served_model_name=["a", "b"])
        listed = json.loads(await (await named.handle("GET", "/v1/models")).body())
        assert [model["id"] for model in listed["data"]] == ["a", "b"]

    run(work)


def test_a_process_ends_beside_a_stream():
    code = """
import asyncio, sys
from dms_cpp import AsyncLLM, HttpApi

async def main():
    api = HttpApi(AsyncLLM(sys.argv[1]))
    body = b'{"prompt": "It was", "max_tokens": 4000, "ignore_eos": true, "stream": true}'
    reply = await api.handle("POST", "/v1/completions", body=body)
    print(len(await anext(reply)) > 0)
    return api, reply

kept = asyncio.run(main())
"""
    done = run_python(code, DEMO)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
