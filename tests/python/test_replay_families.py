"""kvzip, kvzip_plus and `dms calibrate kvzap` on every family: the replay pass under ALiBi, soft
caps, several RoPEs, none, and learned positions."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

import models
from harness import DEMO, ROOT
from kvzap_reference import KvzapReference, cut, ridge, stack
from policy_reference import PolicyReference, PromptPolicy, assert_same_kept
from replay_reference import ReplayReference
from test_kvzap import check as check_fates
from test_planning_policies import NEAR_TIE, assert_equal

CONTEXT = 220  # segments of some 58 to 97 tokens
SHAPES = {
    family: models.Shape(family, q_heads=4, vocab=8192, context=CONTEXT)
    for family in models.FAMILIES
}
# What is long here is beyond longrope's border, and what is short within it.
SHAPES["phi3"] = replace(SHAPES["phi3"], rope="longrope")
SHAPES["mistral"] = replace(SHAPES["mistral"], sliding_window=40)
SHAPES["falcon"] = replace(SHAPES["falcon"], q_heads=5, kv_heads=1)
SHAPES["mpt"] = replace(SHAPES["mpt"], q_heads=6)  # slopes of another number than a power of two
# Whose scores are more than products of keys turned alike; test_kvzip.py has the others.
OTHERS = ("gemma2", "gemma3_text", "smollm3", "phi3", "opt_350m", "falcon_rw", "mpt")
POLICIES = {
    (2, 20): PromptPolicy("kvzip_plus", 0.5, "model", n_sink=0),
    (33, 50): PromptPolicy("kvzip", budget=15, interval=8),
    (70, 88): PromptPolicy("kvzip_plus", 0.6, "model", n_sink=2),
}
N_SINK = 3


@pytest.fixture(scope="module")
def make(tmp_path_factory, seed):
    """make(family) -> a random model with the demo's tokenizer, and ids"""

    @cache
    def build(family: str):
        shape = SHAPES[family]
        folder = models.build(tmp_path_factory.mktemp(family) / "model", shape, seed)
        shutil.copy(DEMO / "tokenizer.json", folder)
        return folder, models.random_ids(shape, 88, seed)

    return build


def check(score, folder, ids: list[int], policy: PromptPolicy, prompt: int) -> None:
    replayed = ReplayReference(folder).scores(ids[:prompt], policy.name == "kvzip_plus")
    held = PolicyReference(folder).hold(ids, policy, prompt, replayed)
    options = ("--policy", policy.name, "--policy-args", policy.arguments())
    if policy.over == "head":
        options = (*options[:-1], options[-1] + ",budget_over=head")
    scored = score(folder, ids, *options, "--decode-from", prompt, "--chunk", 33)
    assert_equal(scored, held, f"{folder} {policy} prompt {prompt}")


@pytest.mark.parametrize(("prompt", "tokens"), POLICIES)
@pytest.mark.parametrize("family", OTHERS)
def test_which_entries_stay(score, make, family, prompt, tokens):
    folder, ids = make(family)
    check(score, folder, ids[:tokens], POLICIES[prompt, tokens], prompt)


@pytest.mark.parametrize("family", ["mpt", "gemma2", "gemma3_text"])
def test_a_token_said_again_and_again(score, make, family):
    folder, _ = make(family)
    policy = PromptPolicy("kvzip", 0.5)
    ids = [7] * 60
    replayed = ReplayReference(folder).scores(ids[:50], plus=False)
    held = PolicyReference(folder).hold(ids, policy, 50, replayed)
    options = ("--policy", "kvzip", "--policy-args", "budget_over=head")
    scored = score(folder, ids, *options, "--decode-from", 50)
    assert_same_kept(scored.decisions == 0, held, NEAR_TIE)


@pytest.mark.parametrize("family", SHAPES)
def test_a_calibration_is_numpys_and_served(dms_json, score, make, tmp_path, family):
    folder, ids = make(family)
    text, out = tmp_path / "text.txt", tmp_path / "zap"
    text.write_text((ROOT / "LICENSE").read_text()[:1800])
    args = ("--text", text, "--out", out, "--n-sink", N_SINK, "--window", 12, "--ratio", 0.5)
    report = dms_json("calibrate", "kvzap", folder, *args, "--dtype", "f32")

    segments = cut(Tokenizer.from_file(str(DEMO / "tokenizer.json")), text.read_text(), CONTEXT)
    reference = ReplayReference(folder)
    collected = [reference.collect(segment) for segment in segments.fitted]
    tensors = load_file(out / "adapter.safetensors")
    for layer in range(SHAPES[family].layers):
        fit = ridge(*stack(collected, layer, N_SINK))
        prefix = f"model.layers.{layer}.self_attn.kvzap"
        for name, wanted in ((".weight", fit.weight), (".bias", fit.bias)):
            atol = 2e-3 * np.abs(wanted).max()
            np.testing.assert_allclose(tensors[prefix + name], wanted, atol=atol, rtol=0)
    assert report["kept"] == pytest.approx(0.5, abs=0.02)

    ids = ids[:60]  # within longrope's border
    scored = score(folder, ids, "--adapter", out, "--chunk", 16)
    assert 0 < scored.decisions.mean() < 1
    check_fates(scored, (folder, out, ids, KvzapReference(folder, out)), 12, family)
