"""The Python package under asyncio: streams, cancellation, and an end in good order."""

from __future__ import annotations

import asyncio

import pytest

from harness import DEMO, run_python

PROMPTS = ["It was a dark night and", "The ship sailed", "He said that", "In the year"] * 3


@pytest.fixture(scope="module")
def params(dms_cpp):
    return dms_cpp.SamplingParams(temperature=0.8, seed=4, max_tokens=30, logprobs=1)


@pytest.fixture(scope="module")
def endless(dms_cpp):
    return dms_cpp.SamplingParams(max_tokens=None, ignore_eos=True)


@pytest.fixture
def run(dms_cpp):
    """run(work): awaits work(llm) with a fresh AsyncLLM."""

    def call(work):
        async def main():
            async with dms_cpp.AsyncLLM(DEMO, dtype="float32") as llm:
                return await work(llm)

        return asyncio.run(main())

    return call


def test_streams_are_generate(run, demo, params):
    expected = [output.outputs[0] for output in demo.generate(PROMPTS, params)]

    async def one(llm, prompt):
        stream = await llm.submit(prompt, params)
        pieces = [piece async for piece in stream]
        result = await stream.result()
        assert "".join(piece.text for piece in pieces) == result.outputs[0].text
        assert [t for piece in pieces for t in piece.token_ids] == result.outputs[0].token_ids
        return result.outputs[0]

    answers = run(lambda llm: asyncio.gather(*(one(llm, prompt) for prompt in PROMPTS)))
    assert [answer.text for answer in answers] == [answer.text for answer in expected]
    assert [answer.logprobs for answer in answers] == [answer.logprobs for answer in expected]


def test_generate_tells_the_answer_so_far(run, demo, params):
    expected = demo.generate(PROMPTS[0], params)[0].outputs[0]

    async def work(llm):
        return [output async for output in llm.generate(PROMPTS[0], params)]

    outputs = run(work)
    assert [output.finished for output in outputs] == [False] * (len(outputs) - 1) + [True]
    texts = [output.outputs[0].text for output in outputs]
    assert all(text.startswith(before) for before, text in zip(texts, texts[1:], strict=False))
    assert (outputs[-1].outputs[0].text, len(outputs) > 3) == (expected.text, True)
    assert (
        outputs[-2].outputs[0].logprobs
        == expected.logprobs[: len(outputs[-2].outputs[0].token_ids)]
    )


def test_a_cancelled_task_cancels_its_request(run, endless, params):
    async def forever(llm, started):
        async for _ in llm.generate("It was", endless):
            started.set()

    async def work(llm):
        started = asyncio.Event()
        task = asyncio.create_task(forever(llm, started))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stream = await llm.submit("It was", endless)
        await anext(stream)
        waiting = asyncio.create_task(stream.result())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        result = await asyncio.wait_for(stream.result(), 600)
        assert result.outputs[0].finish_reason == "abort"
        return await (await llm.submit("It was", params)).result()

    assert run(work).outputs[0].token_ids


def test_abort(run, endless):
    async def work(llm):
        stream = await llm.submit("It was", endless)
        await anext(stream)
        await llm.abort(stream.request_id)
        pieces = [piece async for piece in stream]
        await llm.abort("123456")
        return pieces

    assert run(work)[-1].finish_reason == "abort"


def test_other_threads_may_use_the_model(run, demo, params):
    expected = demo.generate(PROMPTS, params)

    async def work(llm):
        stream = await llm.submit(PROMPTS[0], params)
        in_thread = asyncio.to_thread(llm.llm.generate, PROMPTS, params)
        return await stream.result(), await in_thread

    streamed, outputs = run(work)
    assert streamed.outputs[0].text == expected[0].outputs[0].text
    assert [o.outputs[0].text for o in outputs] == [o.outputs[0].text for o in expected]


def test_errors(dms_cpp, run, params):
    async def work(llm):
        with pytest.raises(dms_cpp.InputError, match="temperature"):
            await llm.submit("x", dms_cpp.SamplingParams(temperature=-1))
        with pytest.raises(dms_cpp.InputError, match="chat_template"):
            await llm.chat([{"role": "user", "content": "x"}])
        template = "{{ messages[0].content }}"
        messages = [{"role": "user", "content": "It was"}]
        stream = await llm.chat(messages, params, chat_template=template)
        assert (await stream.result()).prompt == "It was"
        llm.check()
        return llm

    llm = run(work)
    with pytest.raises(dms_cpp.RunError, match="closed"):
        asyncio.run(llm.submit("x"))
    with pytest.raises(dms_cpp.RunError, match="closed"):
        llm.check()


def test_forms_are_compiled_before_the_event_loop_submits(dms_cpp, run):
    form = dms_cpp.StructuredOutputsParams(regex="(")

    async def work(llm):
        with pytest.raises(dms_cpp.InputError, match="structured_outputs.regex") as refusal:
            await llm.submit("x", dms_cpp.SamplingParams(structured_outputs=form))
        return [entry.name for entry in refusal.traceback]

    functions = run(work)
    assert "_job" in functions
    assert "_start" not in functions


def test_close_ends_what_runs(dms_cpp, endless):
    async def main():
        llm = dms_cpp.AsyncLLM(DEMO)
        stream = await llm.submit("It was", endless)
        await anext(stream)
        await llm.close()
        await llm.close()
        return [piece async for piece in stream]

    assert asyncio.run(main())[-1].finish_reason == "abort"


def test_the_memory_limit(dms_cpp, endless):
    async def main():
        async with dms_cpp.AsyncLLM(DEMO, kv_memory="512KiB", policy="none") as llm:
            with pytest.raises(dms_cpp.RunError, match="limit"):
                async for _ in await llm.submit("It was", endless):
                    pass

    asyncio.run(main())


UNCLOSED = """
import asyncio, gc, threading
import dms_cpp

async def main():
    llm = dms_cpp.AsyncLLM("models/demo")
    stream = await llm.submit("It was", dms_cpp.SamplingParams(max_tokens=None, ignore_eos=True))
    await anext(stream)
    KEEP

asyncio.run(main())
gc.collect()
print(threading.active_count())
"""


def test_an_llm_that_nobody_closes():
    done = run_python(UNCLOSED.replace("KEEP", "global kept; kept = llm, stream"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
    done = run_python(UNCLOSED.replace("KEEP", ""))
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
