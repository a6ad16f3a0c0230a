"""--weights and --kv-dtype: what is stored in bf16 is rounded once, and nothing else changes."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import models
from harness import assert_close

TOKENS = 200
ROUNDED = 2.0**-6  # two layers of keys and values, each off by up to 2**-9


@pytest.fixture(scope="module")
def model(tmp_path_factory, seed):
    """(folder in float32, ids)"""
    shape = models.Shape("qwen3", layers=2, q_heads=4, kv_heads=2, head_dim=16)
    folder = models.build(tmp_path_factory.mktemp("types") / "model", shape, seed)
    return folder, models.random_ids(shape, TOKENS, seed)


def test_weights_in_bf16_are_the_rounded_weights(score, model, tmp_path):
    folder, ids = model
    rounded = tmp_path / "rounded"
    shutil.copytree(folder, rounded)
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in tensors.items():
        if tensor.dim() == 2:  # norms stay in float32
            tensors[name] = tensor.to(torch.bfloat16).float()
    save_file(tensors, rounded / "model.safetensors", metadata={"format": "pt"})
    got = score(folder, ids, "--weights", "bf16")
    assert_close(got.logits, score(rounded, ids).logits, "--weights bf16")
    assert abs(got.logits - score(folder, ids).logits).max() > 0


@pytest.mark.parametrize("way", [("--chunk", 64), ("--decode-from", 60)])
def test_only_survivors_are_rounded(score, model, way):
    folder, ids = model
    exact = score(folder, ids, *way)
    policy = ("--policy", "random", "--policy-args", "cr=1", "--kv-dtype", "bf16", *way)
    near = score(folder, ids, *policy, "--window", TOKENS)
    assert_close(near.logits, exact.logits, "all tokens in the window")
    far = score(folder, ids, *policy, "--window", 40)
    assert_close(far.logits, exact.logits, "survivors", tolerance=ROUNDED)
    assert abs(far.logits - exact.logits)[TOKENS - 1].max() > 0
    assert far.report["kv"]["dense_bytes"] == exact.report["kv"]["dense_bytes"]


def test_survivors_finer_than_the_window(score, model):
    folder, ids = model
    policy = ("--policy", "random", "--policy-args", "cr=4", "--window", 20)
    plain = score(folder, ids, *policy, dtype="bf16")
    finer = score(folder, ids, *policy, "--kv-dtype", "f32", dtype="bf16")
    assert finer.report["kv"]["held_per_head"] == plain.report["kv"]["held_per_head"]
    assert_close(finer.logits, plain.logits, "bf16 window, f32 survivors", tolerance=2.0**-6)
