"""The Python package says what the program and transformers say: texts, numbers, errors."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness import DEMO, assert_close, mean_nll

PROMPT = "It was a dark night and"


@pytest.fixture
def greedy(dms_cpp):
    return dms_cpp.SamplingParams(temperature=0, max_tokens=24)


@pytest.fixture(scope="module")
def ids(demo) -> list[int]:
    return demo.encode("The ship sailed at dawn, and nobody on the shore saw her go. " * 12)


def test_generate_is_the_programs(demo, greedy, dms_json):
    said = dms_json("generate", DEMO, "-p", PROMPT, "-n", 24, "--dtype", "f32")
    output = demo.generate(PROMPT, greedy)[0]
    answer = output.outputs[0]
    assert (answer.text, answer.token_ids) == (said["text"], said["ids"])
    assert answer.finish_reason == said["finish_reason"]
    assert len(output.prompt_token_ids) == said["prompt_tokens"]
    assert output.prompt == PROMPT
    for field in ("dense_tokens", "held_tokens", "dense_bytes", "cr"):
        assert getattr(output.kv, field) == said["kv"][field]


def test_sampling_is_the_programs(dms_cpp, demo, dms_json):
    options = ("--temperature", 0.8, "--top-p", 0.9, "--top-k", 50, "--seed", 7)
    said = dms_json("generate", DEMO, "-p", PROMPT, "-n", 40, "--dtype", "f32", *options)
    params = dms_cpp.SamplingParams(temperature=0.8, top_p=0.9, top_k=50, seed=7, max_tokens=40)
    assert demo.generate(PROMPT, params)[0].outputs[0].text == said["text"]


def test_default_dtype_is_the_programs(dms_cpp, greedy, dms_json):
    said = dms_json("generate", DEMO, "-p", PROMPT, "-n", 24)
    assert dms_cpp.LLM(DEMO).generate(PROMPT, greedy)[0].outputs[0].text == said["text"]


def test_score_is_the_programs(demo, score, ids):
    scored = score(DEMO, ids)
    ours = demo.score(ids, logits=True)
    assert ours.nll == pytest.approx(scored.report["nll"], abs=1e-12)
    np.testing.assert_array_equal(ours.logits, scored.logits)
    assert ours.kv.held_tokens == scored.report["kv"]["held_tokens"]
    assert (ours.logprobs.shape, ours.logits.shape) == ((len(ids) - 1,), scored.logits.shape)
    session = demo.session()
    session.append(ids)
    np.testing.assert_array_equal(session.decisions(), scored.decisions)


def test_logits_are_transformers(dms_cpp, demo, ids):
    model = AutoModelForCausalLM.from_pretrained(DEMO, dtype=torch.float64)
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0].numpy()
    ours = demo.score(ids, logits=True, cache=dms_cpp.CacheOptions(policy="none"))
    assert_close(ours.logits, expected, "logits")
    assert abs(ours.nll - mean_nll(expected, ids)) < 1e-3


def test_text_is_transformers(demo):
    theirs = AutoTokenizer.from_pretrained(DEMO)
    text = "Über 7 Brücken — naïve 漢字 😀\n\tx"
    for special in (True, False):
        assert demo.encode(text, special) == theirs.encode(text, add_special_tokens=special)
    ids = demo.encode(text)
    assert demo.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
    assert demo.decode(ids, False) == theirs.decode(ids, skip_special_tokens=False)
    assert demo.tokenizer.bos_token_id == theirs.bos_token_id
    assert demo.tokenizer.id_of(demo.tokenizer.token(300).text) == 300


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content"
    "{% if trim %}.strip(){% endif %} }}</{{ m.role }}>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.mark.parametrize("form", ["asked", "continued", "trimmed"])
def test_chat_is_transformers(demo, greedy, form):
    template = TEMPLATE.replace("{% if trim %}", "").replace("{% endif %} }}", " }}")
    template = template if form == "trimmed" else template.replace(".strip()", "")
    messages = [{"role": "user", "content": " Who goes there? "}]
    if form != "asked":
        messages.append({"role": "assistant", "content": "It is I, and  "})
    options = {
        "add_generation_prompt": form == "asked",
        "continue_final_message": form != "asked",
    }
    theirs = AutoTokenizer.from_pretrained(DEMO)
    expected = theirs.apply_chat_template(
        messages, chat_template=template, tokenize=False, **options
    )
    output = demo.chat(messages, greedy, chat_template=template, **options)[0]
    assert output.prompt == expected
    assert output.prompt_token_ids == theirs.encode(expected, add_special_tokens=False)
    parts = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]
    several = demo.chat([messages, parts], greedy, chat_template=template, **options)
    assert [o.prompt for o in several] == [expected] * 2


def test_prompts_in_all_forms(demo, greedy):
    ids = demo.encode(PROMPT)
    expected = demo.generate(PROMPT, greedy)[0].outputs[0].text
    one = [ids, np.array(ids), {"prompt": PROMPT}, {"prompt_token_ids": ids}]
    for prompt in one:
        (output,) = demo.generate(prompt, greedy)
        assert output.outputs[0].text == expected
    outputs = demo.generate([PROMPT, *one], [greedy] * 5)
    assert [output.outputs[0].text for output in outputs] == [expected] * 5
    assert demo.generate([], greedy) == []


def test_log_probabilities(dms_cpp, demo):
    params = dms_cpp.SamplingParams(temperature=0, max_tokens=8, logprobs=3)
    output = demo.generate(PROMPT, params)[0]
    answer = output.outputs[0]
    scored = demo.score(output.prompt_token_ids + answer.token_ids, logits=True)
    rows = torch.tensor(scored.logits[len(output.prompt_token_ids) - 1 : -1]).log_softmax(-1)
    for row, token, choice in zip(rows, answer.token_ids, answer.logprobs, strict=True):
        values, likeliest = row.topk(3)
        assert list(choice) == likeliest.tolist()
        assert [c.rank for c in choice.values()] == [1, 2, 3]
        assert [c.logprob for c in choice.values()] == pytest.approx(values.tolist(), abs=1e-4)
        assert choice[token].decoded_token == demo.decode([token])
    assert answer.cumulative_logprob == pytest.approx(
        scored.logprobs[-len(answer.token_ids) :].sum(), abs=1e-3
    )


def test_prompt_log_probabilities(dms_cpp, demo):
    params = dms_cpp.SamplingParams(max_tokens=1, prompt_logprobs=2)
    output = demo.generate(PROMPT, params)[0]
    first, *rest = output.prompt_logprobs
    ids = output.prompt_token_ids
    assert first is None
    ours = [row[token].logprob for row, token in zip(rest, ids[1:], strict=True)]
    assert ours == pytest.approx(demo.score(PROMPT).logprobs.tolist(), abs=1e-4)
    assert all(len(row) in (2, 3) for row in rest)


def test_several_answers_are_those_of_their_seeds(dms_cpp, demo):
    params = dms_cpp.SamplingParams(n=4, seed=11, temperature=0.9, max_tokens=20)
    output = demo.generate(PROMPT, params)[0]
    assert [answer.index for answer in output.outputs] == [0, 1, 2, 3]
    alone = [dataclasses.replace(params, n=1, seed=11 + i) for i in range(4)]
    texts = [o.outputs[0].text for o in demo.generate([PROMPT] * 4, alone)]
    assert [answer.text for answer in output.outputs] == texts
    streamed = [""] * 4
    for piece in demo.stream(PROMPT, params):
        streamed[piece.index] += piece.text
    assert streamed == texts


def test_logit_bias(dms_cpp, demo):
    params = dms_cpp.SamplingParams(temperature=0, max_tokens=3, logit_bias={300: 100.0})
    assert demo.generate(PROMPT, params)[0].outputs[0].token_ids == [300] * 3


def test_guesses_change_no_answer(dms_cpp, demo):
    verse = "The rain came down upon the hill, and all the lamps were cold and still. " * 8
    plain, guessed = (
        demo.generate(
            verse,
            dms_cpp.SamplingParams(temperature=0, max_tokens=60, ignore_eos=True, speculate=count),
        )[0].outputs[0]
        for count in (0, 8)
    )
    assert guessed.token_ids == plain.token_ids
    assert guessed.num_drafted_tokens >= guessed.num_accepted_tokens > 0
    assert plain.num_drafted_tokens == 0
    with pytest.raises(dms_cpp.InputError, match="speculate"):
        demo.generate("a", dms_cpp.SamplingParams(speculate=33))


def test_cached_prefixes_and_stats(dms_cpp):
    llm = dms_cpp.LLM(DEMO, dtype="float32", kv_memory="64MiB")
    text = "The ship sailed at dawn, and nobody on the shore saw her go. " * 30
    params = dms_cpp.SamplingParams(temperature=0, max_tokens=8)
    first, second = (llm.generate(text, params)[0] for _ in range(2))
    assert (first.num_cached_tokens, second.num_cached_tokens > 256) == (0, True)
    assert first.outputs[0].text == second.outputs[0].text
    stats = llm.stats()
    assert stats.cached_tokens == second.num_cached_tokens
    assert stats.prompt_tokens == 2 * len(first.prompt_token_ids)
    assert (stats.finished, stats.generated_tokens, stats.running) == ({"length": 2}, 16, 0)
    assert 0 < stats.kv_used_bytes <= stats.kv_limit_bytes == 64 << 20
    assert stats.kv_running_bytes == 0  # what is kept of both gives way


def test_stream_is_generate(dms_cpp, demo):
    params = dms_cpp.SamplingParams(temperature=0.9, seed=3, max_tokens=40, logprobs=1)
    expected = demo.generate(PROMPT, params)[0].outputs[0]
    with demo.stream(PROMPT, params) as stream:
        pieces = list(stream)
    assert "".join(piece.text for piece in pieces) == expected.text
    assert [t for piece in pieces for t in piece.token_ids] == expected.token_ids
    assert [c for piece in pieces for c in piece.logprobs] == expected.logprobs
    assert [p.finish_reason for p in pieces if p.finish_reason] == [expected.finish_reason]
    assert stream.result().outputs[0].text == expected.text
    assert len(pieces) > 5


def test_a_stream_that_is_left_ends(dms_cpp, demo):
    params = dms_cpp.SamplingParams(max_tokens=None, ignore_eos=True)
    with demo.stream(PROMPT, params) as stream:
        next(stream)
    assert stream.result().outputs[0].finish_reason == "abort"


def test_seeds(dms_cpp, demo):
    params = dms_cpp.SamplingParams(max_tokens=20)
    first = [dms_cpp.LLM(DEMO, seed=5).generate([PROMPT] * 2, params) for _ in range(2)]
    texts = [[output.outputs[0].text for output in outputs] for outputs in first]
    assert texts[0] == texts[1]
    assert texts[0][0] != texts[0][1]


def test_a_timeout_ends_an_answer(dms_cpp, demo):
    params = dms_cpp.SamplingParams(max_tokens=None, ignore_eos=True)
    output = demo.generate(PROMPT, params, timeout=0)[0]
    assert output.outputs[0].finish_reason == "deadline"


REFUSED = [
    ({"temperature": -1}, "temperature"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"top_p": 2}, "top_p"),
    ({"stop_token_ids": [-1]}, "stop_token_ids"),
    ({"seed": -1}, "seed"),
    ({"logprobs": -1}, "logprobs"),
    ({"prompt_logprobs": -1}, "prompt_logprobs"),
    ({"n": 0}, "n"),
]


@pytest.mark.parametrize(("params", "field"), REFUSED)
def test_bad_parameters(dms_cpp, demo, params, field):
    with pytest.raises(dms_cpp.InputError, match=f"^{field}: ") as caught:
        demo.generate(PROMPT, dms_cpp.SamplingParams(**params))
    assert isinstance(caught.value, ValueError)
    assert caught.value.field == field


BAD_PROMPTS = ["", [], [[]], [1, 2, 8192], [2**40], [-1], [1.5], "\ud800", {"text": "x"}]


@pytest.mark.parametrize("prompt", BAD_PROMPTS[2:], ids=repr)
def test_bad_prompts(dms_cpp, demo, prompt):
    with pytest.raises(dms_cpp.InputError, match="^prompt"):
        demo.generate(prompt)


def test_bad_options(dms_cpp, demo, tmp_path):
    refused = {
        "kv_memory": "much",
        "dtype": "float16",
        "threads": -1,
        "max_num_seqs": 0,
        "max_num_batched_tokens": 0,
        "swap_space": 1,
        "enable_prefix_caching": True,
    }
    for name, value in refused.items():
        with pytest.raises(dms_cpp.InputError, match=name):
            dms_cpp.LLM(DEMO, **{name: value})
    with pytest.raises(dms_cpp.InputError, match="got kv_memory 0"):
        dms_cpp.LLM(DEMO, swap_space="1MiB")
    with pytest.raises(dms_cpp.InputError, match="no such model folder"):
        dms_cpp.LLM(tmp_path / "nothing")
    for options in ({"policy": "nope"}, {"window": -1}, {"policy_args": {"cr": 2}}):
        with pytest.raises(dms_cpp.InputError, match=next(iter(options))):
            demo.generate(PROMPT, cache=dms_cpp.CacheOptions(**options))
    unusable = (
        ({"policy": "snapkvv"}, "did you mean snapkv"),
        ({"policy": "snapkv", "policy_args": {"budegt": 3}}, "did you mean budget"),
        ({"policy": "snapkv", "policy_args": {"budget": 0}}, "budget"),
        ({"policy": "snapkv", "policy_args": {"budget": 99999}}, "expected 1 to 4095"),
        ({"policy": "snapkv", "policy_args": {"compression_ratio": 1}}, "above 0 and below 1"),
    )
    for options, words in unusable:
        with pytest.raises(dms_cpp.InputError, match=words):
            dms_cpp.LLM(DEMO, **options)
    with pytest.raises(dms_cpp.InputError, match="chat_template: the folder has none"):
        demo.chat([{"role": "user", "content": "x"}])
    with pytest.raises(dms_cpp.InputError, match="sampling_params"):
        demo.generate([PROMPT], [])


def test_what_meets_the_memory_limit(dms_cpp):
    llm = dms_cpp.LLM(DEMO, kv_memory="512KiB", policy="none")
    params = dms_cpp.SamplingParams(max_tokens=4000, ignore_eos=True)
    with pytest.raises(dms_cpp.RunError, match="limit") as caught:
        llm.generate(PROMPT, params)
    assert isinstance(caught.value, RuntimeError)
    with pytest.raises(dms_cpp.RunError, match="limit"):
        list(llm.stream(PROMPT, params))
    assert llm.generate(PROMPT, dms_cpp.SamplingParams(max_tokens=5))[0].outputs[0].text


def test_defaults_are_vllms(dms_cpp):
    params = dms_cpp.SamplingParams()
    assert (params.n, params.temperature, params.max_tokens, params.top_p) == (1, 1.0, 16, 1.0)
    assert (params.top_k, params.seed, params.logprobs, params.ignore_eos) == (0, None, None, False)


def test_model_info(demo, dms_json):
    said = dms_json("inspect", DEMO)
    for field in ("model_type", "parameters", "layers", "kv_heads", "vocab", "context"):
        assert getattr(demo.info, field) == said[field]
    assert demo.info.dms.window == json.loads((DEMO / "config.json").read_text())["dms_window_size"]
    assert (demo.info.kvzap, demo.info.policy) == (None, "dms")
