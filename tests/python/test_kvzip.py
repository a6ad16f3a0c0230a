"""kvzip and kvzip_plus against the independent reference: which entries stay after a prompt that
the model has repeated, and the logits of what is computed then."""

from __future__ import annotations

import functools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import models
from bad_input import assert_error
from harness import DEMO
from kvzip_reference import KvzipReference
from policy_reference import PolicyReference, PromptPolicy
from test_planning_policies import assert_equal

LONG = 2100  # two chunks
VOCAB = 8192  # the demo's tokenizer's
SHAPES = {
    "llama": models.Shape(
        "llama", layers=2, q_heads=6, kv_heads=2, head_dim=24, vocab=VOCAB, context=8192
    ),
    "small": models.Shape(
        "llama", layers=2, q_heads=2, kv_heads=1, hidden=24, ffn=32, vocab=VOCAB, context=8192
    ),
    "qwen3": models.Shape(
        "qwen3", layers=3, q_heads=3, kv_heads=3, head_dim=16, vocab=VOCAB, context=8192
    ),
}
POLICIES = {
    "kvzip": PromptPolicy("kvzip", 0.6, "model"),
    "kvzip_plus": PromptPolicy("kvzip_plus", 0.5, "model", n_sink=2),
    "kvzip_over_layer": PromptPolicy("kvzip", 0.75, "layer", n_sink=0),
    "kvzip_plus_over_head": PromptPolicy("kvzip_plus", 0.3),
    "adaptive": PromptPolicy("adaptive", 0.6, base="kvzip"),
    "kvzip_kept": PromptPolicy("kvzip", budget=40, interval=16),
    "kvzip_plus_kept": PromptPolicy("kvzip_plus", budget_over="layer", budget=20, interval=7),
}


@pytest.fixture(scope="module")
def make(tmp_path_factory, seed):
    """make(name of a shape) -> (folder, reference of the policies, reference of the replay, ids)"""

    @functools.cache
    def build(name: str):
        shape = SHAPES[name]
        folder = models.build(tmp_path_factory.mktemp("run") / "model", shape, seed)
        shutil.copy(DEMO / "tokenizer.json", folder)
        ids = models.random_ids(shape, LONG + 20, seed)
        return folder, PolicyReference(folder), KvzipReference(folder), ids

    return build


def check(score, model, policy: PromptPolicy, tokens: int, prompt: int, chunk: int) -> None:
    folder, reference, replay, ids = model
    replayed = replay.scores(ids[:prompt], "kvzip_plus" in (policy.name, policy.base))
    held = reference.hold(ids[:tokens], policy, prompt, replayed)
    arguments = policy.arguments()
    if policy.over == "head":  # as by default elsewhere
        arguments += ",budget_over=head"
    options = ("--policy", policy.name, "--policy-args", arguments)
    options += ("--chunk", chunk, "--decode-from", prompt)
    assert_equal(score(folder, ids[:tokens], *options), held, f"{policy} prompt {prompt}")


@pytest.mark.parametrize(("prompt", "chunk"), [(2, 256), (10, 256), (33, 7), (130, 64)])
@pytest.mark.parametrize("name", POLICIES)
def test_which_entries_stay(score, make, name, prompt, chunk):
    check(score, make("llama"), POLICIES[name], 170, prompt, chunk)


@pytest.mark.parametrize("name", ["kvzip", "kvzip_plus"])
def test_other_groups(score, make, name):
    check(score, make("qwen3"), POLICIES[name], 150, 129, 33)


def test_a_prompt_that_is_repeated_in_parts(score, make):
    check(score, make("small"), POLICIES["kvzip_plus"], LONG + 3, LONG, 256)


def test_all_layers_are_cut_together_by_default(score, make):
    folder, _, _, ids = make("llama")
    ways = [("--policy", "kvzip"), ("--policy", "kvzip", "--policy-args", "budget_over=model")]
    held = [score(folder, ids[:90], *way, "--decode-from", 80).decisions for way in ways]
    assert (held[0] == held[1]).all()
    assert len(np.unique(held[0].sum(axis=2))) > 1


def test_bad_input_is_named(dms, make, tmp_path, seed):
    folder, _, _, ids = make("llama")
    several = tmp_path / "ids.json"

    def refused(model: Path, count: int, policy: str, *words: str) -> None:
        several.write_text(json.dumps(ids[:count]))
        call = ("score", model, "--ids", several, "--logits", tmp_path / "logits.npy")
        name, _, arguments = policy.partition(":")
        args = ("--policy-args", arguments) if arguments else ()
        assert_error(dms(*call, "--policy", name, *args, check=False), *words)

    chunked = "has no meaning for scores of a replay pass"
    refused(folder, 50, "kvzip:chunk_length=32", "chunk_length", chunked)
    refused(folder, 50, "criticalkv:base=kvzip", "critical", chunked, "kvzip_plus")
    refused(folder, 50, "kvzip:n_sinks=3", "n_sinks", "n_sink")
    short = models.build(tmp_path / "short", replace(SHAPES["llama"], context=100), seed)
    refused(short, 50, "kvzip", "no tokenizer")
    shutil.copy(DEMO / "tokenizer.json", short)
    refused(short, 50, "kvzip", "got 50 tokens", "at most 37")
    generated = dms("generate", short, "--ids", several, "--policy", "kvzip", check=False)
    assert_error(generated, "at most 37", "of the model's 100 tokens the policy needs the others")
    long_text = ("generate", DEMO, "-p", "word " * 3000, "--policy", "kvzip")
    assert_error(dms(*long_text, check=False), "of the model's 4096 tokens the policy needs")
    shape = replace(SHAPES["llama"], context=20)
    shorter = models.build(tmp_path / "shorter", shape, seed)
    shutil.copy(DEMO / "tokenizer.json", shorter)
    refused(shorter, 5, "kvzip_plus", "too short a context", "20 tokens")
    biased = models.build(tmp_path / "mpt", models.Shape("mpt", vocab=VOCAB), seed)
    shutil.copy(DEMO / "tokenizer.json", biased)
    refused(biased, 5, "triattention", "triattention with a model that has none")
