"""--weights and --kv-dtype: what is stored is rounded once, and nothing else changes."""

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


def on_grid(shape: torch.Size, lowest: int, random: torch.Generator) -> torch.Tensor:
    """Random integers from `lowest` to -lowest - 1 under a half for each 32 columns; each group has
    the lowest, which tells its scale."""
    codes = torch.randint(lowest, -lowest, shape, generator=random).float()
    codes[:, ::32] = lowest
    groups = (shape[1] + 31) // 32
    scales = (0.02 + 0.03 * torch.rand(shape[0], groups, generator=random)).half().float()
    return codes * scales.repeat_interleave(32, dim=1)[:, : shape[1]] * (4 / -lowest)


@pytest.mark.parametrize(("weights", "lowest"), [("int8", -128), ("int4", -8)])
def test_quantised_weights_that_fit_are_exact(score, model, tmp_path, seed, weights, lowest):
    folder, ids = model
    shutil.copytree(folder, tmp_path / "grid")
    tensors = load_file(folder / "model.safetensors")
    random = torch.Generator().manual_seed(seed)
    for name, tensor in sorted(tensors.items()):
        if tensor.dim() != 2:  # norms stay in float32
            continue
        is_table = "embed" in name or "lm_head" in name  # int8 in any case
        tensors[name] = on_grid(tensor.shape, -128 if is_table else lowest, random)
    save_file(tensors, tmp_path / "grid" / "model.safetensors", metadata={"format": "pt"})
    exact = score(tmp_path / "grid", ids)
    got = score(tmp_path / "grid", ids, "--weights", weights)
    assert_close(got.logits, exact.logits, f"--weights {weights}")
    rounded = score(tmp_path / "grid", ids, "--weights", weights, dtype="bf16")
    assert_close(rounded.logits, exact.logits, "int8 activations", tolerance=0.05)
    assert abs(rounded.logits - exact.logits).max() > 0


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


@pytest.mark.parametrize(
    ("kv_dtype", "tolerance"),
    [
        ("fp8", 0.1),
        ("int4", 0.3),
        ("lloyd4", 0.3),
        ("higgs4", 0.3),
        ("higgs2", 1.0),
        ("k=int8,v=lloyd4", 0.3),
        ("v=int8", 0.1),
    ],
)
def test_survivors_in_few_bits(score, model, kv_dtype, tolerance):
    folder, ids = model
    policy = ("--policy", "random", "--policy-args", "cr=1", "--window", 8)
    exact = score(folder, ids, *policy, dtype="bf16")
    near = score(folder, ids, *policy, "--kv-dtype", kv_dtype, dtype="bf16")
    assert_close(near.logits, exact.logits, kv_dtype, tolerance=tolerance)
    assert abs(near.logits - exact.logits).max() > 0
    assert near.report["kv"]["held_per_head"] == exact.report["kv"]["held_per_head"]
    assert near.report["kv"]["allocated_bytes"] < exact.report["kv"]["allocated_bytes"]
    ends = score(folder, ids, *policy, "--kv-dtype", kv_dtype, "--kv-exact-layers", 1, dtype="bf16")
    assert_close(ends.logits, exact.logits, "both layers exact", tolerance=0)
