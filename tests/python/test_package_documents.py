"""Documents of the Python package: made or read once, gone on from by many, refused where they are
not good."""

from __future__ import annotations

import asyncio

import pytest

from harness import DEMO, run_ok

STORY = "It was a dark night, and the old man sat by the fire. " * 10
SYSTEM = [{"role": "system", "content": STORY}]
QUESTION = [{"role": "user", "content": "Who sat by the fire?"}]
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def greedy(dms_cpp):
    return dms_cpp.SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)


@pytest.fixture(params=["dms", "streaming"])
def cache(request, dms_cpp):
    args = {"start_size": 4, "recent_size": 64} if request.param == "streaming" else {}
    return dms_cpp.CacheOptions(policy=request.param, policy_args=args)


def test_prompts_go_on_from_a_text(dms_cpp, demo, greedy, cache, tmp_path):
    ids = [*demo.encode(STORY), *demo.encode(" The", False)]
    whole = demo.generate(ids, greedy, cache=cache)[0]
    document = demo.document(STORY, cache=cache)
    assert (len(document), document.messages) == (len(ids) - 1, [])
    assert document.token_ids.tolist() == ids[:-1]
    assert 0 < document.kv.held_tokens <= document.kv.dense_tokens
    file = tmp_path / "night.dmsdoc"
    assert document.save(file) == file.stat().st_size
    for held in (document, file, demo.load_document(file)):
        output = demo.generate(" The", greedy, document=held)[0]
        assert output.outputs[0].text == whole.outputs[0].text
        assert output.prompt_token_ids == ids
        assert output.num_cached_tokens == len(document)
    with demo.stream(" The", greedy, document=document) as stream:
        assert "".join(piece.text for piece in stream) == whole.outputs[0].text
    session = demo.session(document=document)
    assert session.generate(" The", greedy).outputs[0].text == whole.outputs[0].text


def test_a_ranked_document_is_ranked_once(dms_cpp, demo, greedy, tmp_path):
    half = dms_cpp.CacheOptions("snapkv", {"compression_ratio": 0.75}, kv_cache_dtype="int8")
    document = demo.document(STORY, cache=half)
    assert document.kv.held_tokens < document.kv.dense_tokens / 2
    document.save(tmp_path / "f")
    again = demo.load_document(tmp_path / "f")
    assert again.cache == document.cache
    assert again.created == document.created > 0
    answers = [
        demo.generate([" The", " A"], greedy, document=held) for held in (document, again, document)
    ]
    assert len({tuple(output.outputs[0].text for output in both) for both in answers}) == 1


def test_conversations_go_on_from_messages(demo, greedy, cache, tmp_path):
    template = {"chat_template": TEMPLATE}
    whole = demo.chat([*SYSTEM, *QUESTION], greedy, cache=cache, **template)[0]
    document = demo.document(SYSTEM, cache=cache, **template)
    assert document.messages == SYSTEM
    document.save(tmp_path / "f")
    for held in (document, tmp_path / "f"):
        output = demo.chat(QUESTION, greedy, document=held, **template)[0]
        assert output.outputs[0].text == whole.outputs[0].text
        assert output.prompt_token_ids == whole.prompt_token_ids
        assert output.num_cached_tokens == len(document)


def test_the_program_goes_on_from_it(demo, tmp_path):
    template, file = tmp_path / "t.jinja", tmp_path / "f"
    template.write_text(TEMPLATE)
    options = ("--template", template, "--dtype", "f32")
    demo.document(SYSTEM, chat_template=TEMPLATE).save(file)
    talk = ("chat", DEMO, *options, "-n", 8, "--greedy", "--ignore-eos")
    answer = run_ok(*talk, "--document", file, stdin="Who?")
    assert answer == run_ok(*talk, "--system", STORY, stdin="Who?")
    text = tmp_path / "text"
    text.write_text(STORY)
    run_ok("document", DEMO, file, *options, "--text-file", text)
    assert demo.load_document(file).messages == SYSTEM


def test_asyncio_makes_one_beside_other_requests(dms_cpp, demo, greedy, tmp_path):
    template = {"chat_template": TEMPLATE}
    expected = demo.generate([*demo.encode(STORY), *demo.encode(" The", False)], greedy)[0]
    answer = demo.chat([*SYSTEM, *QUESTION], greedy, **template)[0]

    async def main():
        async with dms_cpp.AsyncLLM(DEMO, dtype="float32") as llm:
            stream = await llm.submit("It was", dms_cpp.SamplingParams(max_tokens=40, seed=1))
            made = await asyncio.gather(llm.document(STORY), llm.document(SYSTEM, **template))
            await asyncio.to_thread(made[0].save, tmp_path / "f")
            read = await llm.load_document(tmp_path / "f")
            for held in (made[0], read, tmp_path / "f"):
                outputs = [out async for out in llm.generate(" The", greedy, document=held)]
                assert outputs[-1].outputs[0].text == expected.outputs[0].text
                assert outputs[-1].num_cached_tokens == len(made[0])
            chat = await llm.chat(QUESTION, greedy, document=made[1], **template)
            assert (await chat.result()).outputs[0].text == answer.outputs[0].text
            assert (await stream.result()).outputs[0].finish_reason in ("length", "stop")

    asyncio.run(main())


def test_what_does_not_fit_is_refused(dms_cpp, demo, greedy, tmp_path):
    text, chat = demo.document(STORY), demo.document(SYSTEM, chat_template=TEMPLATE)
    template = {"chat_template": TEMPLATE}

    def refused(call, *words: str) -> None:
        with pytest.raises(dms_cpp.InputError) as caught:
            call()
        for word in words:
            assert word in str(caught.value)

    refused(lambda: demo.generate("x", greedy, document=chat), "document", "messages", "chat()")
    refused(lambda: demo.chat(QUESTION, document=text, **template), "document", "generate()")
    cache = dms_cpp.CacheOptions("none")
    refused(lambda: demo.generate("x", document=text, cache=cache), "cache")
    scored = dms_cpp.SamplingParams(max_tokens=1, prompt_logprobs=1)
    refused(lambda: demo.generate("x", scored, document=text), "log-probabilities")
    other = [{"role": "assistant", "content": "I did."}]
    dated = {"chat_template": "{{ messages | length }}" + TEMPLATE}
    refused(lambda: demo.chat(QUESTION, document=chat, **dated), "does not begin with the document")
    refused(lambda: demo.document(other, chat_template="{{ messages[-1].content }}"), "messages")
    refused(lambda: demo.document([]), "prompt")
    refused(lambda: demo.document("x " * demo.info.context), "context")
    for name, data in [("empty", b""), ("noise", b"DMSSEQ01" + bytes(500))]:
        (tmp_path / name).write_bytes(data)
        refused(lambda name=name: demo.generate("x", document=tmp_path / name), name)
    refused(lambda: demo.load_document(tmp_path / "nowhere"), "nowhere")
    session = demo.session()
    session.append("It was")
    session.save(tmp_path / "session")
    refused(lambda: demo.load_document(tmp_path / "session"), "is no document")
    text.save(tmp_path / "good")
    good = (tmp_path / "good").read_bytes()
    (tmp_path / "damaged").write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
    refused(lambda: demo.load_document(tmp_path / "damaged"), "damaged")
    llm = dms_cpp.LLM(DEMO)
    refused(lambda: llm.load_document(tmp_path / "good"), "good", "another model, or other types")
    refused(lambda: llm.generate("x", document=text), "another LLM")
