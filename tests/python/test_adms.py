"""The policy adms against its reference in NumPy: every compressor, anchor and metric, windows and
intervals that end at different places, and the whole of the middle when there is room for it."""

from __future__ import annotations

import random

import pytest

import models
from adms_reference import Adms, AdmsReference
from bad_input import assert_error
from harness import assert_close

TOKENS = 104
SHAPES = {
    "llama": models.Shape("llama", layers=2, q_heads=6, kv_heads=3, head_dim=24, rope="llama3"),
    "mistral": models.Shape("mistral", q_heads=8, kv_heads=1, head_dim=32, sliding_window=75),
    "yarn": models.Shape("qwen3", q_heads=4, kv_heads=4, head_dim=16, rope="yarn"),
}
POLICIES = {
    "low_rank": Adms(),
    "low_rank_drops": Adms(rank=7, compressed_budget=13, importance_ratio=0.2),
    "low_rank_few": Adms(svd_max_tokens=9, importance_metric="mixed", compression_interval=1),
    "low_rank_shift": Adms(enable_pos_shift=True, recent_size=17, prompt_interval=33),
    "vq": Adms(compressor_type="vq", num_clusters=5, importance_metric="key_norm"),
    "vq_shift": Adms(compressor_type="vq", anchor_mode="hybrid", enable_pos_shift=True),
    "vq_adaptive": Adms(compressor_type="vq", use_adaptive_budget=True, compressed_budget=24),
    "low_rank_adaptive": Adms(use_adaptive_budget=True, recent_size=25),
    "summary": Adms(compressor_type="summary", anchor_mode="grid", coverage_priority=1.0),
    "summary_attention": Adms(
        compressor_type="summary", importance_metric="attention", coverage_segments=1
    ),
    "nothing_exact": Adms(
        compressor_type="summary", importance_ratio=0, min_importance_tokens=0, start_size=0
    ),
}


# Layers that turn in two ways, not at all or by the length, soft caps, and biases by distance.
OTHERS = {
    "gemma3_text": models.Shape("gemma3_text", q_heads=2, kv_heads=1, sliding_window=75),
    "gemma2": models.Shape("gemma2", q_heads=2, kv_heads=1, sliding_window=75),
    "smollm3": models.Shape("smollm3", q_heads=2, kv_heads=1),
    "phi3": models.Shape("phi3", q_heads=2, kv_heads=1, rope="longrope"),
    "mpt": models.Shape("mpt", q_heads=2),
}
OTHER_CASES = {
    ("gemma3_text", "vq"): Adms(compressor_type="vq", num_clusters=5),
    ("gemma3_text", "summary_shift"): Adms(
        compressor_type="summary", anchor_mode="hybrid", enable_pos_shift=True, recent_size=25
    ),
    ("gemma2", "vq"): Adms(compressor_type="vq", num_clusters=7),
    ("smollm3", "vq"): Adms(compressor_type="vq", importance_metric="key_norm"),
    ("smollm3", "low_rank_shift"): POLICIES["low_rank_shift"],
    ("phi3", "summary"): Adms(compressor_type="summary", anchor_mode="grid"),
    ("mpt", "vq"): Adms(compressor_type="vq", num_clusters=5),
}


def build(folder, shape: models.Shape, seed: int):
    """(folder, reference, ids)"""
    folder = models.build(folder, shape, seed)
    # No token twice: its keys and values would be as long, and which of the two stays a matter of
    # rounding.
    ids = random.Random(seed).sample(range(shape.vocab), TOKENS)
    return folder, AdmsReference(folder), ids


@pytest.fixture(scope="module", params=SHAPES)
def model(request, tmp_path_factory, seed):
    return build(tmp_path_factory.mktemp("run") / "model", SHAPES[request.param], seed)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_logits(score, model, policy):
    check(score, model, policy)


@pytest.mark.parametrize(("family", "name"), OTHER_CASES)
def test_families_that_turn_otherwise(score, tmp_path, seed, family, name):
    check(score, build(tmp_path / "model", OTHERS[family], seed), OTHER_CASES[family, name])


@pytest.mark.parametrize(
    ("family", "words"), [("mpt", "a model without them"), ("phi3", "rope scaling longrope")]
)
def test_what_cannot_be_moved_is_refused(dms, tmp_path, seed, family, words):
    folder, _, _ = build(tmp_path / "model", OTHERS[family], seed)
    ids = tmp_path / "ids.json"
    ids.write_text("[1, 2, 3]")
    arguments = "compressor_type=vq,enable_pos_shift=true"
    call = ("score", folder, "--ids", ids, "--policy", "adms", "--policy-args", arguments)
    assert_error(dms(*call, check=False), "enable_pos_shift", words)


def check(score, model, policy: Adms) -> None:
    folder, reference, ids = model
    prompt = 70
    logits, heads = reference.logits(ids, policy, prompt)
    for head in heads:
        head.take_candidates(TOKENS)
        assert head.count() == TOKENS - policy.recent_size - policy.start_size
    for chunk in (23, 256):
        options = ("--policy", "adms", "--policy-args", policy.arguments())
        scored = score(folder, ids, *options, "--chunk", chunk, "--decode-from", prompt)
        assert_close(scored.logits, logits, f"{policy} chunk {chunk}")


def test_a_text_shorter_than_its_parts_is_dense(score, model):
    folder, _, ids = model
    dense = score(folder, ids, "--policy", "none").logits
    for arguments in ((), ("--policy-args", "start_size=90,recent_size=4,prompt_interval=8")):
        for prompt in (1, 70):
            options = ("--policy", "adms", *arguments, "--decode-from", prompt)
            assert_close(score(folder, ids[:90], *options).logits, dense[:90], str(options))


def test_a_budget_above_the_middle_is_dense(score, model):
    folder, _, ids = model
    dense = score(folder, ids, "--policy", "none").logits
    for kind in ("low_rank", "vq", "summary"):
        roomy = Adms(compressor_type=kind, compressed_budget=TOKENS)
        scored = score(folder, ids, "--policy", "adms", "--policy-args", roomy.arguments())
        assert_close(scored.logits, dense, kind)
