"""`dms calibrate triattention` as transformers computes it, and which entries stay by its numbers,
as the published definition has it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

import models
from bad_input import assert_error
from harness import DEMO, ROOT, assert_close
from kvzap_reference import Settings as KvzapSettings
from kvzap_reference import write_adapter as write_kvzap
from policy_reference import PolicyReference, PromptPolicy, assert_same_kept
from triattention_reference import (
    NAME,
    Queries,
    all_tensors,
    from_tensors,
    gather,
    random_queries,
    write_adapter,
)

TOKENS = 110
NEAR = 1e-4  # of a score: below it float32 may fall on either side
# Groups of 1 to 8; norms of heads, biases, channels that do not turn, a factor on cosines; layers
# that turn in two ways, or not at all.
SHAPES = {
    "llama": models.Shape("llama", q_heads=3, kv_heads=3, head_dim=24, hidden=51),
    "gpt_neox": models.Shape("gpt_neox", q_heads=4, kv_heads=4, head_dim=32),
    "qwen3": models.Shape("qwen3", q_heads=4, kv_heads=2, head_dim=40),
    "mistral": models.Shape("mistral", q_heads=6, kv_heads=2, sliding_window=70),
    "phi3": models.Shape("phi3", q_heads=4, kv_heads=1, head_dim=32),
    "qwen2": models.Shape("qwen2", q_heads=5, kv_heads=1, hidden=50),
    "yarn": models.Shape("llama", q_heads=6, kv_heads=1, rope="yarn-tuned"),
    "seed_oss": models.Shape("seed_oss", q_heads=7, kv_heads=1, hidden=49, bias=True),
    "llama3": models.Shape("llama", q_heads=8, kv_heads=1, rope="llama3"),
    "gemma3_text": models.Shape("gemma3_text", q_heads=4, sliding_window=70),
    "smollm3": models.Shape("smollm3", q_heads=4),
}


@pytest.fixture(scope="module")
def make(tmp_path_factory, seed):
    """make(name) -> base, adapter with random numbers, ids and reference, made once."""

    @cache
    def build(name: str):
        folder = tmp_path_factory.mktemp(name)
        base = models.build(folder / "base", SHAPES[name], seed)
        adapter = write_adapter(base, folder / "means", random_queries(base, seed))
        reference = PolicyReference(base)
        reference.queries = [
            from_tensors(adapter, layer, reference._rope_frequencies(layer, 1))
            for layer in range(SHAPES[name].layers)
        ]
        return base, adapter, models.random_ids(SHAPES[name], TOKENS, seed), reference

    return build


def check(score, made, policy: PromptPolicy, prompt: int, *args: object) -> None:
    base, adapter, ids, reference = made
    held = reference.hold(ids, policy, prompt)
    options = ("--adapter", adapter, "--policy-args", policy.arguments(), "--decode-from", prompt)
    scored = score(base, ids, *options, *args)
    kept = scored.decisions == 0
    assert_same_kept(kept, held, NEAR)
    if held.sure_layers(NEAR) == len(kept) and np.array_equal(kept, held.kept):
        assert_close(scored.logits, held.logits, f"{policy} prompt {prompt}")


@pytest.mark.parametrize("name", SHAPES)
def test_what_stays_is_the_definitions(score, make, name):
    made = make(name)
    answers = PromptPolicy("triattention", budget=19, interval=16, count_prompt_tokens=False)
    check(score, made, answers, 30, "--chunk", 7)
    whole = PromptPolicy("triattention", budget=60, interval=9, offset_max_length=100)
    check(score, made, whole, 41)


@pytest.mark.parametrize(
    ("prompt", "budget"),
    [(2, 1), (2, 40), (3, 109), (50, 30), (50, 200), (109, 20)],
)
def test_short_prompts_and_odd_budgets(score, make, prompt, budget):
    check(score, make("qwen3"), PromptPolicy("triattention", budget=budget, interval=5), prompt)


def test_the_numbers_matter(score, make, tmp_path):
    """Those of the file, and not the sequence's own, which keep something else."""
    base, adapter, ids, _ = make("llama")
    args = ("--policy", "triattention", "--policy-args", "budget=40,interval=16")
    calibrated, own = (
        score(base, ids, *args, *adapted, "--decode-from", 20).decisions
        for adapted in (("--adapter", adapter), ())
    )
    assert calibrated.sum() == own.sum() > 0
    assert not np.array_equal(calibrated, own)


def test_of_equal_scores_the_newest_stay(score, make, tmp_path):
    base, _, ids, reference = make("mistral")
    nothing = [
        Queries(0 * q.mean, 0 * q.sizes, 0 * q.unturned, q.frequencies) for q in reference.queries
    ]
    adapter = write_adapter(base, tmp_path / "zeros", nothing)
    args = ("--policy-args", "budget=24,interval=20,count_prompt_tokens=false")
    scored = score(base, ids, "--adapter", adapter, *args, "--decode-from", 10)
    # The last cut is at 100 tokens, of which the sliding window has left some behind; of the
    # prompt's ten these are all.
    kept = np.flatnonzero(scored.decisions[0, 0] == 0)
    assert kept[kept >= 31].tolist() == list(range(76, TOKENS))


def test_commands_say_so(dms, dms_json, make, tmp_path):
    base, adapter, ids, _ = make("qwen3")
    info = dms_json("inspect", base, "--adapter", adapter)
    assert (info["dms"], info["kvzap"], info["policy"]) == (None, None, "triattention")
    assert dms_json("inspect", base)["policy"] == "none"
    file = tmp_path / "ids.json"
    file.write_text(json.dumps(ids))
    call = ("generate", base, "--adapter", adapter, "--ids", file, "-n", 3)
    assert dms_json(*call)["policy"] == "triattention"
    refused = dms(*call, "--policy", "kvzap", check=False)
    assert_error(refused, "no scores of KVzap")


def test_damaged_adapters_are_refused(dms, make, seed, tmp_path):
    base, adapter, ids, _ = make("qwen3")
    file = tmp_path / "ids.json"
    file.write_text(json.dumps(ids[:5]))
    tensors = load_file(adapter / "adapter.safetensors")
    fields = json.loads((adapter / "adapter_config.json").read_text())
    mean, sizes = (NAME.format(1) + name for name in ("q_mean", "q_abs_mean"))

    def refused(kind: str, *words: object, weights=tensors, config=fields, model=base) -> None:
        folder = tmp_path / kind
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps(config))
        save_file(weights, folder / "adapter.safetensors")
        done = dms("score", model, "--adapter", folder, "--ids", file, check=False)
        assert_error(done, folder, *words)

    without = {key: value for key, value in tensors.items() if key != sizes}
    refused("missing", sizes, "missing", weights=without)
    refused("short", mean, "wrong shape", weights={**tensors, mean: tensors[mean][:2]})
    refused("narrow", sizes, "wrong shape", weights={**tensors, sizes: tensors[sizes][:, :8]})
    refused("nan", mean, "not finite", weights={**tensors, mean: tensors[mean] * np.float32("nan")})
    refused("small", sizes, "head 0", "less", weights={**tensors, sizes: 0 * tensors[sizes]})
    refused("more", "tensor x", "no place", weights={**tensors, "x": tensors[mean]})
    for key, value, words in (
        ("triattention_base", "00000000", ("another model of this shape", "got 00000000")),
        ("triattention_base", None, ("missing",)),
        ("triattention_tokens", 0, ("triattention_tokens",)),
        ("num_attention_heads", 6, ("another model", "got 6, expected 4")),
        ("head_dim", 64, ("another model", "got 64, expected 40")),
        ("num_hidden_layers", 3, ("another model", "got 3, expected 2")),
        ("kvzap_threshold", 0.5, ("two ways to evict", "kvzap_* and triattention_*")),
    ):
        kind = f"{key}-{value}"
        refused(kind, *words, config={**fields, key: value})
    twin = models.build(tmp_path / "base of twin", SHAPES["qwen3"], seed + 1)
    refused("twin", "triattention_base", "another model of this shape", model=twin)
    cut = shutil.copytree(adapter, tmp_path / "cut")
    content = (cut / "adapter.safetensors").read_bytes()
    for length in (0, 7, 100, len(content) // 2, len(content) - 1):
        (cut / "adapter.safetensors").write_bytes(content[:length])
        done = dms("score", base, "--adapter", cut, "--ids", file, check=False)
        assert_error(done, cut / "adapter.safetensors")


# dms calibrate

CONTEXT = 400  # less than the text is long
CALIBRATED = {
    name: replace(SHAPES[name], vocab=8192, context=CONTEXT)
    for name in ("qwen3", "phi3", "gpt_neox", "yarn", "qwen2", "gemma3_text", "smollm3")
}
# In groups of 32, as storage in few bits has it.
CALIBRATED["qwen2"] = replace(CALIBRATED["qwen2"], q_heads=4, hidden=64, ffn=96)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, seed):
    """plain(name) -> a random model with the demo's tokenizer, made once."""

    @cache
    def build(name: str):
        folder = models.build(tmp_path_factory.mktemp(name) / "plain", CALIBRATED[name], seed)
        shutil.copy(DEMO / "tokenizer.json", folder)
        return folder

    return build


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text((ROOT / "LICENSE").read_text()[:4500])
    return path


def assert_statistics(adapter, expected: list[Queries]) -> None:
    tensors = load_file(adapter / "adapter.safetensors")
    wanted = all_tensors(expected)
    assert tensors.keys() == wanted.keys()
    for name, value in wanted.items():
        atol = 2e-5 * np.abs(value).max()
        np.testing.assert_allclose(tensors[name], value, atol=atol, rtol=0, err_msg=name)


@pytest.mark.parametrize("name", CALIBRATED)
def test_statistics_are_transformers(dms_json, plain, text, tmp_path, name):
    folder, out, tokens = plain(name), tmp_path / "means", 900
    call = ("calibrate", "triattention", folder, "--text", text, "--out", out, "--dtype", "f32")
    report = dms_json(*call, "--tokens", tokens)

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    beginning = tokenizer.encode("").ids
    ids = tokenizer.encode(text.read_text(), add_special_tokens=False).ids
    assert len(ids) > tokens
    longest = CONTEXT - len(beginning)
    texts = [beginning + ids[i : min(i + longest, tokens)] for i in range(0, tokens, longest)]
    expected = gather(folder, texts)
    assert_statistics(out, expected)
    turning = [q for q in expected if len(q.frequencies)]
    shares = np.array([np.abs(q.mean).sum(axis=1) / q.sizes.sum(axis=1) for q in turning])
    assert report["tokens"] == tokens  # without what begins each sequence
    assert report["concentration"] == pytest.approx(shares.mean(), rel=1e-4)
    assert report["lowest_concentration"] == pytest.approx(shares.min(), rel=1e-4)


def test_the_result_is_served(dms_json, dms, score, plain, text, tmp_path):
    """It replaces an earlier one, and fits the same model in other formats."""
    folder, out = plain("qwen2"), tmp_path / "means"
    for tokens in (600, 900):
        call = ("calibrate", "triattention", folder, "--text", text, "--out", out)
        assert dms_json(*call, "--tokens", tokens)["out"] == str(out)
    reference = PolicyReference(folder)
    reference.queries = [
        from_tensors(out, layer, reference._rope_frequencies(layer, 1)) for layer in range(2)
    ]
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text.read_text()).ids[:TOKENS]
    made = folder, out, ids, reference
    check(score, made, PromptPolicy("triattention", budget=50, interval=16), 30)
    quantised = tmp_path / "int8"
    dms("quantize", folder, quantised, "--weights", "int8")
    file = tmp_path / "ids.json"
    file.write_text(json.dumps(ids))
    call = ("generate", quantised, "--adapter", out, "--ids", file, "-n", 3)
    assert dms_json(*call)["policy"] == "triattention"


def test_bad_input_is_named(dms, plain, text, seed, tmp_path):
    folder, out = plain("qwen3"), tmp_path / "means"

    def refused(*args: object, words: tuple[object, ...]) -> None:
        assert_error(dms("calibrate", *args, check=False), *words)
        assert not out.exists()

    call = ("triattention", folder, "--text", text, "--out", out)
    misspelt = ("triatention", *call[1:])
    refused(*misspelt, words=("METHOD", "did you mean triattention?"))
    for option, value in (("--ratio", 0.5), ("--cr", 4), ("--window", 8), ("--n-sink", 2)):
        refused(*call, option, value, words=(option, "no meaning for triattention"))
    refused(*call, "--tokens", 100, words=("--tokens", "too short", "got 100 tokens"))
    refused(*call, "--tokens", 0, words=("--tokens",))
    short = tmp_path / "short.txt"
    short.write_text("Too short a text.")
    refused("triattention", folder, "--text", short, "--out", out, words=("--text", "too short"))
    refused("triattention", DEMO, "--text", text, "--out", out, words=("already has trained",))
    scores = write_kvzap(folder, tmp_path / "zap", KvzapSettings())
    over = ("triattention", folder, "--text", text, "--out", scores)
    refused(*over, words=("adapter_config.json", "another adapter"))
    assert "kvzap_threshold" in (scores / "adapter_config.json").read_text()
    for shape, words in (
        (models.Shape("mpt"), ("model_type mpt", "do not turn keys")),
        (models.Shape("opt"), ("model_type opt", "do not turn keys")),
    ):
        other = models.build(tmp_path / shape.family, shape, seed)
        shutil.copy(DEMO / "tokenizer.json", other)
        refused("triattention", other, "--text", text, "--out", out, words=(other, *words))
    small = models.build(tmp_path / "small", replace(CALIBRATED["qwen3"], vocab=7000), seed)
    shutil.copy(DEMO / "tokenizer.json", small)
    foreign = ("triattention", small, "--text", text, "--out", out)
    refused(*foreign, words=(small, "the tokenizer has tokens", "ids below 7000"))
