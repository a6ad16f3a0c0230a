"""With eviction off, `dms score` equals transformers itself: families, rotary scalings, shapes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

import models
from harness import DEMO, assert_close, mean_nll
from reference import Reference

TOKENS = 100


def transformers_logits(folder, ids: list[int]) -> np.ndarray:
    """[tokens, vocab] in float64. Falcon's eager attention adds ALiBi twice."""
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float64,
        attn_implementation="sdpa" if getattr(config, "alibi", False) else "eager",
    )
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def check(score, folder, ids: list[int], what: str, *options: tuple) -> None:
    expected = transformers_logits(folder, ids)
    for args in options or ((),):
        scored = score(folder, ids, "--policy", "none", *args)
        assert_close(scored.logits, expected, f"{what} {args}")
        assert abs(scored.report["nll"] - mean_nll(expected, ids)) < 1e-3


@pytest.mark.parametrize(
    ("family", "rope"),
    [(family, rope) for family in models.FAMILIES for rope in models.ropes_of(family)],
)
def test_family_and_rope(score, rng, tmp_path, family, rope):
    shape = models.random_shape(rng, family=family, rope=rope)
    folder = models.build(tmp_path / "m", shape, rng.randrange(1000))
    ids = models.random_ids(shape, TOKENS, rng.randrange(1000))
    decode = () if rope in models.BY_LENGTH else (("--decode-from", 60),)
    check(score, folder, ids, str(shape), ("--chunk", 256), ("--chunk", 33), *decode)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("family", models.CHOOSE_BIAS)
def test_biases(score, tmp_path, family, bias):
    shape = models.Shape(family, bias=bias)
    folder = models.build(tmp_path / "m", shape)
    check(score, folder, models.random_ids(shape, TOKENS), str(shape))


@pytest.mark.parametrize(
    "name",
    ["silu", "swish", "gelu", "gelu_python", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu"],
)
def test_activation_by_its_name(score, tmp_path, name):
    shape = models.Shape("gpt_neox", extra={"hidden_act": name})
    folder = models.build(tmp_path / "m", shape)
    check(score, folder, models.random_ids(shape, 70), name)


@pytest.mark.parametrize("case", range(16))
def test_random_shape(score, seed, tmp_path, case):
    rng = random.Random(f"{seed} {case}")
    shape = models.random_shape(rng)
    folder = models.build(tmp_path / "m", shape, case)
    ids = models.random_ids(shape, rng.randint(1, 150), case)
    if len(ids) < 2:
        ids *= 2
    check(score, folder, ids, str(shape), ("--chunk", rng.choice([1, 7, 32, 64, 256])))


@pytest.mark.parametrize("head_dim", [16, 24, 40, 64, 80, 96, 128])
@pytest.mark.parametrize("group", [1, 3, 8])
def test_head_size_and_group(score, tmp_path, head_dim, group):
    shape = models.Shape("llama", layers=1, kv_heads=2, q_heads=2 * group, head_dim=head_dim)
    folder = models.build(tmp_path / "m", shape, head_dim)
    check(score, folder, models.random_ids(shape, 70), str(shape))


def test_dynamic_frequencies_beyond_the_trained_length(score, tmp_path):
    shape = models.Shape("llama", rope="dynamic", context=64)
    folder = models.build(tmp_path / "m", shape)
    ids = models.random_ids(shape, TOKENS)
    check(score, folder, ids, str(shape), ("--chunk", 256), ("--chunk", 7))


LENGTHS = {"max_position_embeddings": 32, "original_max_position_embeddings": 32}


@pytest.mark.parametrize(
    ("changes", "context"),
    [
        # Qwen2.5's guide, the 16K Vicunas, Qwen3's guide, an extended length that is stated
        ({"max_position_embeddings": 32, "rope_scaling": {"type": "yarn", "factor": 4.0}}, 128),
        ({"max_position_embeddings": 32, "rope_scaling": {"type": "linear", "factor": 4.0}}, 128),
        ({**LENGTHS, "max_position_embeddings": 40, "rope_scaling": {"type": "yarn"}}, 128),
        ({**LENGTHS, "max_position_embeddings": 128, "rope_scaling": {"type": "yarn"}}, 128),
        ({**LENGTHS, "max_position_embeddings": 128, "rope_scaling": {"type": "llama3"}}, 128),
    ],
    ids=str,
)
def test_context_of_scaled_positions(score, dms_json, tmp_path, changes, context):
    shape = models.Shape("llama")
    folder = models.build(tmp_path / "m", shape)
    rope = {"factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope.update(changes["rope_scaling"])
    models.edit_config(folder, lambda fields: {**fields, **changes, "rope_scaling": rope})
    assert dms_json("inspect", folder)["context"] == context
    check(score, folder, models.random_ids(shape, TOKENS), str(changes), (), ("--chunk", 33))


@pytest.mark.parametrize("theta", [None, 700.0])
@pytest.mark.parametrize("scaling", [{"type": "linear", "factor": 4.0}, {}, None])
def test_rope_scaling_beside_rope_parameters(score, tmp_path, scaling, theta):
    shape = models.Shape("llama", rope="yarn", theta=500.0)
    folder = models.build(tmp_path / "m", shape)
    top = {"rope_scaling": scaling} | ({} if theta is None else {"rope_theta": theta})
    models.edit_config(folder, lambda fields: {**fields, **top})
    check(score, folder, models.random_ids(shape, TOKENS), str(top))


@pytest.mark.parametrize("rope", ["yarn", "llama3", "linear", "dynamic", "longrope"])
def test_original_length_beside_the_sizes(score, tmp_path, rope):
    shape = models.Shape("llama", rope=rope)
    folder = models.build(tmp_path / "m", shape)
    top = {"original_max_position_embeddings": 24}
    models.edit_config(folder, lambda fields: {**fields, **top})
    check(score, folder, models.random_ids(shape, TOKENS), str(shape))


@pytest.mark.parametrize("old_config", [False, True])
@pytest.mark.parametrize(
    "family", ["mistral", "qwen2", "qwen3", "smollm3", "phi3", "gemma2", "gemma3_text"]
)
@pytest.mark.parametrize("window", [1, 5, 32, 40])
def test_sliding_window(score, tmp_path, family, window, old_config):
    shape = models.Shape(family, layers=4, sliding_window=window, old_config=old_config)
    folder = models.build(tmp_path / "m", shape)
    ids = models.random_ids(shape, TOKENS)
    check(score, folder, ids, str(shape), ("--chunk", 256), ("--chunk", 31), ("--decode-from", 3))


@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3_text", "phi3"])
def test_part_of_a_head_turns_where_transformers_lets_it(score, tmp_path, family):
    folder = models.build(tmp_path / "m", shape := models.Shape(family))

    def with_part(config: dict) -> dict:
        rope = config["rope_parameters"]
        for parameters in rope.values() if family == "gemma3_text" else [rope]:
            parameters["partial_rotary_factor"] = 0.5
        return config

    models.edit_config(folder, with_part)
    check(score, folder, models.random_ids(shape, TOKENS), family)


def test_layers_that_slide_by_their_types_alone(score, tmp_path):
    """SmolLM3's use_sliding_window is asked only where there are no layer_types."""
    kinds = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
    fields = {"layer_types": kinds, "use_sliding_window": False, "sliding_window": 9}
    shape = models.Shape("smollm3", layers=4)
    folder = models.build(tmp_path / "m", shape)
    models.edit_config(folder, lambda config: {**config, **fields})
    check(score, folder, models.random_ids(shape, TOKENS), str(fields), ("--chunk", 31))


def test_what_transformers_leaves_out_of_mpt(score, tmp_path):
    """Norms over all heads, and slopes up to another one than 2^-8: the reference has them."""
    shape = models.Shape("mpt", q_heads=3, head_dim=24)
    folder = models.build(tmp_path / "m", shape)
    path = folder / "model.safetensors"
    generator = torch.Generator().manual_seed(1)
    norms = {
        f"transformer.blocks.{layer}.attn.{name}.weight": torch.randn(
            shape.width, generator=generator
        )
        for layer in range(shape.layers)
        for name in ("q_ln", "k_ln")
    }
    save_file({**load_file(path), **norms}, path, metadata={"format": "pt"})
    ids = models.random_ids(shape, TOKENS)
    more = {"qk_ln": True, "alibi_bias_max": 5}
    models.edit_config(
        folder, lambda fields: {**fields, "attn_config": {**fields["attn_config"], **more}}
    )
    expected = Reference(folder).run(ids).logits
    assert_close(score(folder, ids, "--policy", "none").logits, expected, str(shape))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_weight_types_shards_and_tied_heads(score, tmp_path, tied, dtype):
    shape = models.Shape("qwen2", tied=tied, dtype=dtype, shard_bytes=15_000, layers=3)
    folder = models.build(tmp_path / "m", shape)
    assert len(list(folder.glob("*.safetensors"))) > 1
    check(score, folder, models.random_ids(shape, TOKENS), str(shape))


def test_demo_model(score):
    rng = random.Random(1)
    ids = [rng.randrange(8192) for _ in range(600)]
    check(score, DEMO, ids, "demo", ("--chunk", 256), ("--decode-from", 520))


@pytest.mark.parametrize("isa", ["generic", "avx2", "avx512"])
def test_every_instruction_set(score, tmp_path, isa, monkeypatch, dms):
    monkeypatch.setenv("DMS_ISA", isa)
    shape = models.Shape("qwen3", head_dim=80, q_heads=6, tied=True)
    folder = models.build(tmp_path / "m", shape)
    ids = models.random_ids(shape, 5)
    probe = dms("generate", DEMO, "-p", "a", "--max-new-tokens", "1", check=False)
    if probe.returncode != 0:
        assert "DMS_ISA" in probe.stderr.decode(), probe.stderr
        pytest.skip(f"this CPU has no {isa}")
    check(score, folder, ids, isa)
    check(score, folder, models.random_ids(shape, TOKENS), isa, ("--decode-from", 50))
