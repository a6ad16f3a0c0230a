"""Policies that rank what a cache holds against the independent reference: which entries stay, and
the logits of what is computed then."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import models
from harness import assert_close
from policy_reference import (
    H2o,
    Held,
    KnormThreshold,
    PolicyReference,
    PromptPolicy,
    Tova,
    assert_same_kept,
)

TOKENS = 190
SHAPES = {
    "llama": models.Shape("llama", layers=2, q_heads=6, kv_heads=3, head_dim=24, rope="llama3"),
    "mistral": models.Shape("mistral", q_heads=8, kv_heads=1, head_dim=64, sliding_window=130),
    "qwen3": models.Shape("qwen3", q_heads=4, kv_heads=4, head_dim=16, rope="yarn"),
}
RATIO = 0.4  # of what goes, with snapkv
# [prompt, window_size, kernel_size]; a window that is more than the budget, which kvpress cuts and
# we keep, is a test of its own.
SNAPKV_CASES = [
    (prompt, window, kernel)
    for prompt in (63, 64, 65, 129, 180)
    for window, kernel in ((64, 5), (32, 7), (1, 1))
    if prompt <= window or window <= int(prompt * (1 - RATIO))
]
# In float32 scores this close to the cut may fall on its other side.
NEAR_TIE = 1e-4


@pytest.fixture(scope="module", params=SHAPES)
def model(request, tmp_path_factory, seed):
    """(folder, reference, ids)"""
    shape = SHAPES[request.param]
    folder = models.build(tmp_path_factory.mktemp("run") / "model", shape, seed)
    return folder, PolicyReference(folder), models.random_ids(shape, TOKENS, seed)


def assert_equal(scored, held: Held, how: str) -> None:
    kept = scored.decisions == 0
    assert_same_kept(kept, held, NEAR_TIE)
    is_sure = held.sure_layers(NEAR_TIE) == len(kept)
    if is_sure and np.array_equal(
        kept, held.kept
    ):  # a near tie that fell otherwise is another mask
        assert_close(scored.logits, held.logits, how)


def check_prompt(score, model, policy: PromptPolicy, prompt: int, chunks) -> None:
    folder, reference, ids = model
    held = reference.hold(ids, policy, prompt)
    for chunk in chunks:
        options = ("--policy", policy.name, "--chunk", chunk, "--decode-from", prompt)
        if policy.arguments():
            options += ("--policy-args", policy.arguments())
        assert_equal(score(folder, ids, *options), held, f"{policy} prompt {prompt} chunk {chunk}")


@pytest.mark.parametrize("budget_over", ["head", "layer"])
@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("prompt", [65, 127, 170])
def test_knorm(score, model, prompt, ratio, budget_over):
    check_prompt(score, model, PromptPolicy("knorm", ratio, budget_over), prompt, (1, 32, 33, 256))


@pytest.mark.parametrize(("quantile", "window"), [(0.5, 0), (0.1, 33), (0.8, 64)])
def test_knorm_threshold(score, model, quantile, window):
    folder, reference, ids = model
    threshold = -round(float(np.quantile(reference.first_key_norms(ids), quantile)), 4)
    held = reference.hold(ids, KnormThreshold(threshold, window))
    assert 0 < held.kept[0].mean() < 1
    arguments = f"threshold={threshold},window={window}"
    for way in [("--chunk", 1), ("--chunk", 64), ("--decode-from", 45)]:
        scored = score(folder, ids, "--policy", "knorm", "--policy-args", arguments, *way)
        assert_equal(scored, held, f"{arguments} {way}")


# A prompt shorter than lagkv's sinks and two partitions is cut by age.
SCORED = {
    "keydiff": PromptPolicy("keydiff", 0.6),
    "keydiff_over_layer": PromptPolicy("keydiff", 0.3, "layer"),
    "lagkv": PromptPolicy("lagkv", 0.6, lag_size=16),
    "lagkv_over_layer": PromptPolicy("lagkv", 0.4, "layer", n_sink=0, lag_size=24),
    "lagkv_across": PromptPolicy("lagkv", 0.6, lag_size=31, cross_scoring=True),
    "lagkv_short": PromptPolicy("lagkv", 0.4),
    "expected_attention": PromptPolicy("expected_attention", 0.6),
    "expected_attention_over_layer": PromptPolicy(
        "expected_attention", 0.4, "layer", n_sink=2, n_future_positions=33, epsilon=0.01
    ),
    "expected_attention_plain": PromptPolicy(
        "expected_attention", 0.5, n_sink=0, use_covariance=False, use_vnorm=False
    ),
    "compactor": PromptPolicy("compactor", 0.5, chunk_size=32),
    "compactor_over_layer": PromptPolicy(
        "compactor", 0.6, "layer", sink_size_end=0, sketch_dimension=9, blending=0.3
    ),
    "knorm_over_model": PromptPolicy("knorm", 0.6, "model"),
    "snapkv_over_model": PromptPolicy("snapkv", 0.5, "model", window_size=16),
    "critical": PromptPolicy("criticalkv", 0.5, base="keydiff"),
    "critical_over_layer": PromptPolicy("criticalkv", 0.6, "layer", window_size=8),
    "critical_over_model": PromptPolicy("expected_attention", 0.6, "model", critical=True),
    "adaptive": PromptPolicy("adaptive", 0.6, base="knorm"),
}
# A budget that is kept while an answer grows, and prompts that are cut as they come.
KEPT = {
    "knorm": PromptPolicy("knorm", budget=40, interval=16),
    "keydiff_over_layer": PromptPolicy("keydiff", budget_over="layer", budget=30, interval=7),
    "snapkv": PromptPolicy("snapkv", budget=30, interval=32, window_size=12),
    "expected_attention": PromptPolicy("expected_attention", budget=50, interval=20),
    "critical": PromptPolicy("lagkv", budget=41, interval=16, lag_size=8, critical=True),
    "rkv": PromptPolicy("rkv", budget=40, interval=12, window_size=8, kernel_size=7),
    "triattention": PromptPolicy("triattention", budget=140, interval=9),
    "triattention_answers": PromptPolicy(
        "triattention", budget=11, interval=16, count_prompt_tokens=False, offset_max_length=100
    ),
    "chunked": PromptPolicy("chunked", 0.6, base="keydiff", chunk_length=32),
    "chunked_snapkv": PromptPolicy("chunked", 0.5, chunk_length=50, window_size=9),
    "chunked_budget": PromptPolicy("chunked", base="knorm", budget=30, chunk_length=24),
    "chunked_expected": PromptPolicy("expected_attention", budget=40, chunk_length=33),
}


@pytest.mark.parametrize(("prompt", "chunk"), [(2, 256), (33, 7), (130, 64)])
@pytest.mark.parametrize("policy", SCORED.values(), ids=SCORED)
def test_scores(score, model, policy, prompt, chunk):
    check_prompt(score, model, policy, prompt, [chunk])


# Ranges of next to nothing are rounding's with lagkv.
TIED = [name for name in SCORED if "lagkv" not in name]


@pytest.mark.parametrize("name", TIED)
def test_a_token_said_again_and_again(score, model, name):
    folder, reference, _ = model
    ids = [7] * 90
    held = reference.hold(ids, SCORED[name], 80)
    options = ("--policy", SCORED[name].name, "--policy-args", SCORED[name].arguments())
    scored = score(folder, ids, *options, "--decode-from", 80)
    assert_same_kept(scored.decisions == 0, held, NEAR_TIE)


@pytest.mark.parametrize(("prompt", "chunk"), [(70, 1), (129, 64)])
@pytest.mark.parametrize("policy", KEPT.values(), ids=KEPT)
def test_budgets_that_are_kept(score, model, policy, prompt, chunk):
    check_prompt(score, model, policy, prompt, [chunk])


@pytest.mark.parametrize("budget_over", ["head", "layer"])
@pytest.mark.parametrize(("prompt", "window", "kernel"), SNAPKV_CASES)
def test_snapkv(score, model, prompt, window, kernel, budget_over):
    policy = PromptPolicy("snapkv", RATIO, budget_over, window_size=window, kernel_size=kernel)
    check_prompt(score, model, policy, prompt, (7, 64, 256))


@pytest.mark.parametrize(("budget", "interval"), [(40, 1), (33, 16), (64, 32), (100, 31)])
def test_tova(score, model, budget, interval):
    folder, reference, ids = model
    held = reference.hold(ids, Tova(budget, interval))
    arguments = f"budget={budget},interval={interval}"
    for way in [("--chunk", 1), ("--chunk", 64), ("--chunk", 256), ("--decode-from", 45)]:
        scored = score(folder, ids, "--policy", "tova", "--policy-args", arguments, *way)
        assert_equal(scored, held, f"{arguments} {way}")


@pytest.mark.parametrize(("budget", "interval"), [(40, 1), (33, 16), (64, 32), (100, 31)])
def test_h2o(score, model, budget, interval):
    folder, reference, ids = model
    held = reference.hold(ids, H2o(budget, interval))
    arguments = f"budget={budget},interval={interval}"
    for way in [("--chunk", 1), ("--chunk", 64), ("--chunk", 256), ("--decode-from", 45)]:
        scored = score(folder, ids, "--policy", "h2o", "--policy-args", arguments, *way)
        assert_equal(scored, held, f"{arguments} {way}")


# A global and a local layer, whose window prompt and answer leave far behind; caps and scales.
LOCAL = {
    "qwen3": models.Shape("qwen3", layers=3, q_heads=4, sliding_window=60),
    "gemma2": models.Shape("gemma2", q_heads=4, sliding_window=60),
}
LOCAL_POLICIES = [
    *(PromptPolicy(name, 0.6) for name in ("knorm", "keydiff", "expected_attention")),
    PromptPolicy("snapkv", 0.3, window_size=40),
    PromptPolicy("lagkv", 0.6, lag_size=12),
    PromptPolicy("compactor", 0.6, chunk_size=32),
    PromptPolicy("knorm", 0.5, "layer", critical=True),
    PromptPolicy("keydiff", 0.6, "model"),
    PromptPolicy("snapkv", budget=30, interval=16, window_size=20),
    PromptPolicy("rkv", budget=30, interval=12, kernel_size=7, window_size=8),
    PromptPolicy("triattention", budget=30, interval=9),
    PromptPolicy("chunked", 0.5, base="keydiff", chunk_length=50),
    Tova(30, 16),
    H2o(30, 48),
]


@pytest.fixture(scope="module", params=LOCAL)
def local_model(request, tmp_path_factory, seed):
    """(folder, reference, ids)"""
    shape = LOCAL[request.param]
    folder = models.build(tmp_path_factory.mktemp("run") / "model", shape, seed)
    return folder, PolicyReference(folder), models.random_ids(shape, TOKENS, seed)


def check_running(score, model, policy: Tova | H2o) -> None:
    folder, reference, ids = model
    held = reference.hold(ids, policy)
    name = type(policy).__name__.lower()
    arguments = f"budget={policy.budget},interval={policy.interval}"
    for chunk in (1, 48, 256):
        options = ("--policy", name, "--policy-args", arguments, "--chunk", chunk)
        assert_equal(score(folder, ids, *options), held, f"{policy} chunk {chunk}")


@pytest.mark.parametrize("policy", LOCAL_POLICIES, ids=str)
def test_what_has_left_a_sliding_window_counts_for_nothing(score, local_model, policy):
    if isinstance(policy, PromptPolicy):
        check_prompt(score, local_model, policy, 130, (1, 48, 256))
    else:
        check_running(score, local_model, policy)


# What families do to scores that are made of queries and keys: layers that turn in two ways, not at
# all or by the length, and scores that fall with distance.
TURNS = {
    "gemma3_text": models.Shape("gemma3_text", q_heads=4, sliding_window=60),
    "smollm3": models.Shape("smollm3", q_heads=4),
    "phi3": models.Shape("phi3", q_heads=4, head_dim=24, rope="longrope"),
    "dynamic": models.Shape("llama", q_heads=4, rope="dynamic", context=64),
}
BIASED = {
    "falcon_rw": models.Shape("falcon_rw", q_heads=4),
    "mpt": models.Shape("mpt", q_heads=6),
}
TURNED_POLICIES = [
    PromptPolicy("expected_attention", 0.6),
    PromptPolicy("compactor", 0.5, chunk_size=32),
    PromptPolicy("triattention", budget=30, interval=9, count_prompt_tokens=False),
]
BIASED_POLICIES = [
    PromptPolicy("expected_attention", 0.6, "layer", n_sink=2, n_future_positions=33),
    PromptPolicy("compactor", 0.5, chunk_size=32, sink_size_end=0),
    PromptPolicy("snapkv", 0.5, window_size=16),
    PromptPolicy("rkv", budget=30, interval=12, kernel_size=7, window_size=8),
]


@pytest.fixture(scope="module")
def make(tmp_path_factory, seed):
    """make(shape) -> (folder, reference, ids)"""

    @functools.cache
    def build(shape: models.Shape):
        folder = models.build(tmp_path_factory.mktemp("run") / "model", shape, seed)
        return folder, PolicyReference(folder), models.random_ids(shape, TOKENS, seed)

    return build


@pytest.mark.parametrize("policy", TURNED_POLICIES, ids=str)
@pytest.mark.parametrize("shape", TURNS.values(), ids=TURNS)
def test_layers_that_turn_otherwise(score, make, shape, policy):
    folder, reference, ids = make(shape)
    check_prompt(score, (folder, reference, ids[:160]), policy, 90, (48,))


@pytest.mark.parametrize("policy", [Tova(30, 16), H2o(30, 16)], ids=str)
@pytest.mark.parametrize("shape", BIASED.values(), ids=BIASED)
def test_running_scores_that_fall_with_distance(score, make, shape, policy):
    folder, reference, ids = make(shape)
    check_running(score, (folder, reference, ids[:80]), policy)


@pytest.mark.parametrize("policy", BIASED_POLICIES, ids=str)
@pytest.mark.parametrize("shape", BIASED.values(), ids=BIASED)
def test_scores_that_fall_with_distance(score, make, shape, policy):
    folder, reference, ids = make(shape)
    for prompt in (2, 90):
        check_prompt(score, (folder, reference, ids[:130]), policy, prompt, (48,))


def test_a_token_said_again_and_again_at_a_distance(score, make):
    folder, reference, _ = make(BIASED["mpt"])
    for policy in BIASED_POLICIES[:2]:
        held = reference.hold([7] * 90, policy, 80)
        options = ("--policy", policy.name, "--policy-args", policy.arguments())
        scored = score(folder, [7] * 90, *options, "--decode-from", 80)
        assert_same_kept(scored.decisions == 0, held, NEAR_TIE)


def test_a_window_wider_than_the_budget_stays(score, model):
    folder, reference, ids = model
    arguments = "compression_ratio=0.9,window_size=64"
    options = ("--policy", "snapkv", "--policy-args", arguments, "--decode-from", 180)
    kept = score(folder, ids, *options).decisions == 0
    assert kept[:, :, 180 - 64 :].all()
    for layer, heads in enumerate(kept):
        assert not heads[:, reference.first_seen(layer, 180) : 180 - 64].any()
