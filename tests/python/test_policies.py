"""Policies that need no trained model: streaming, forced, random, none."""

from __future__ import annotations

import numpy as np
import pytest

import models
from harness import assert_close
from reference import Reference, Request, Streaming

TOKENS = 150
WAYS = [("--chunk", 256), ("--chunk", 1), ("--chunk", 33), ("--chunk", 64), ("--decode-from", 45)]
SHAPES = {
    "llama": models.Shape("llama", layers=2, q_heads=6, kv_heads=3, head_dim=24, rope="llama3"),
    "mistral": models.Shape("mistral", q_heads=4, kv_heads=1, head_dim=64, sliding_window=60),
    "qwen3": models.Shape("qwen3", q_heads=4, kv_heads=2, head_dim=16, rope="yarn"),
}


@pytest.fixture(scope="module", params=SHAPES)
def model(request, tmp_path_factory, seed):
    """(folder, reference, ids)"""
    shape = SHAPES[request.param]
    folder = models.build(tmp_path_factory.mktemp("run") / "model", shape, seed)
    return folder, Reference(folder), models.random_ids(shape, TOKENS, seed)


def fate_shape(reference: Reference, tokens: int = TOKENS) -> tuple[int, int, int]:
    return reference.config.num_hidden_layers, reference.kv_heads, tokens


@pytest.mark.parametrize("pos_shift", [False, True])
@pytest.mark.parametrize(("start", "recent"), [(4, 20), (0, 32), (1, 31), (33, 64), (4, 2000)])
def test_streaming(score, model, start, recent, pos_shift):
    folder, reference, ids = model
    request = Request(streaming=Streaming(start, recent, pos_shift))
    expected = reference.run(ids, request).logits
    arguments = f"start_size={start},recent_size={recent},enable_pos_shift={str(pos_shift).lower()}"
    for way in WAYS:
        options = ("--policy", "streaming", "--policy-args", arguments, *way)
        assert_close(score(folder, ids, *options).logits, expected, f"{arguments} {way}")


def test_position_shift_on_a_model_with_a_borrowed_channel(score, tmp_path):
    for form in ("neuron", "dms_metadata"):
        folder = models.build(tmp_path / form / "model", SHAPES["llama"])
        models.add_metadata(folder, models.Metadata(form))
        ids = models.random_ids(SHAPES["llama"], 90)
        request = Request(streaming=Streaming(4, 20, pos_shift=True))
        expected = Reference(folder).run(ids, request).logits
        arguments = "start_size=4,recent_size=20,enable_pos_shift=true"
        scored = score(folder, ids, "--policy", "streaming", "--policy-args", arguments)
        assert_close(scored.logits, expected, form)


@pytest.mark.parametrize("window", [0, 1, 16, 32, 33, 100])
@pytest.mark.parametrize("file_tokens", [TOKENS, 60, 400])
def test_forced(score, model, seed, window, file_tokens):
    folder, reference, ids = model
    shape = fate_shape(reference, file_tokens)
    decisions = (np.random.default_rng(seed).random(shape) < 0.7).astype(np.uint8)
    path = score.decisions_file(decisions)
    expected = reference.run(ids, Request(window=window, evicted=decisions)).logits
    for way in WAYS:
        options = ("--policy", "forced", "--decisions", path, "--window", window, *way)
        scored = score(folder, ids, *options)
        known = min(file_tokens, TOKENS)
        assert np.array_equal(scored.decisions[:, :, :known], decisions[:, :, :known])
        assert not scored.decisions[:, :, known:].any()
        assert_close(scored.logits, expected, f"window {window} {way}")


@pytest.mark.parametrize("everything", [False, True])
def test_forced_to_the_extreme(score, model, everything):
    folder, reference, ids = model
    decisions = np.full(fate_shape(reference), everything, np.uint8)
    path = score.decisions_file(decisions)
    expected = reference.run(ids, Request(window=0, evicted=decisions)).logits
    scored = score(folder, ids, "--policy", "forced", "--decisions", path, "--window", 0)
    assert_close(scored.logits, expected, f"evict everything: {everything}")


@pytest.mark.parametrize(("cr", "random_seed"), [(8, 0), (2, 0), (2, 1)])
def test_random(score, model, cr, random_seed):
    folder, reference, ids = model
    arguments = f"cr={cr},seed={random_seed}"
    common = ("--policy", "random", "--policy-args", arguments, "--window", 16)
    first = score(folder, ids, *common)
    share = first.decisions.mean()
    assert abs(share - (1 - 1 / cr)) < 6 * (0.25 / first.decisions.size) ** 0.5
    request = Request(window=16, evicted=first.decisions)
    expected = reference.run(ids, request).logits
    for way in WAYS:
        scored = score(folder, ids, *common, *way)
        assert np.array_equal(scored.decisions, first.decisions), f"decisions depend on {way}"
        assert_close(scored.logits, expected, f"{arguments} {way}")


def test_random_decisions_differ_by_seed_layer_and_head(score, model):
    folder, reference, ids = model
    runs = [
        score(folder, ids, "--policy", "random", "--policy-args", f"cr=2,seed={s}").decisions
        for s in (0, 1)
    ]
    rows = np.concatenate(runs).reshape(-1, TOKENS)
    assert len({row.tobytes() for row in rows}) == len(rows)


def test_random_window_argument(score, model):
    folder, reference, ids = model
    scored = score(folder, ids, "--policy", "random", "--policy-args", "cr=4,window=20")
    expected = reference.run(ids, Request(window=20, evicted=scored.decisions)).logits
    assert_close(scored.logits, expected, "window=20")


def test_none_keeps_all(score, model):
    folder, reference, ids = model
    expected = reference.run(ids).logits
    scored = score(folder, ids, "--policy", "none")
    assert_close(scored.logits, expected, "none")
    assert (
        scored.report["kv"]["cr"] == pytest.approx(1.0) or reference.config.model_type == "mistral"
    )
