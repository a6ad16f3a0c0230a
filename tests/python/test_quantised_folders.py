"""Folders that others quantised compute what transformers does with the weights they stand for."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import models
from harness import assert_close
from quantised_folders import Scheme, quantise_folder
from test_dense_parity import transformers_logits

SCHEMES = {
    "W4 of 32": Scheme("pack-quantized"),
    "W4 with zero points": Scheme("pack-quantized", symmetric=False, scales=torch.float16),
    "W4 of 16, which no kernel holds": Scheme("pack-quantized", group=16),
    "W4 by output": Scheme("pack-quantized", group=None),
    "W8 of 64, bf16 scales": Scheme("pack-quantized", bits=8, group=64, scales=torch.bfloat16),
    "W8, a byte each": Scheme("int-quantized", bits=8, group=None),
    "GPTQ": Scheme("gptq", symmetric=False),
    "GPTQ, symmetric, by output": Scheme("gptq", group=None),
    "GPTQ 8 bits, second form": Scheme("gptq", bits=8, symmetric=False, version="gptq_v2"),
    "AWQ": Scheme("awq", symmetric=False, scales=torch.float16),
}
SHAPE = models.Shape("qwen2", q_heads=8, hidden=64, head_dim=16, ffn=192)
QUERY = "model.layers.1.self_attn.q_proj."


@pytest.fixture
def plain(tmp_path):
    return models.build(tmp_path / "m", SHAPE, 3)


def plain_copy(folder, meant, tmp_path):
    """The same model as a float32 folder."""
    other = tmp_path / "meant"
    models.build(other, SHAPE, 3)
    save_file(meant, other / "model.safetensors", metadata={"format": "pt"})
    return other


@pytest.mark.parametrize("name", SCHEMES)
def test_logits_are_those_of_the_weights_it_stands_for(score, plain, tmp_path, name):
    meant = quantise_folder(plain, SCHEMES[name])
    ids = models.random_ids(SHAPE, 70, 1)
    scored = score(plain, ids, "--policy", "none", "--dtype", "f32", "--weights", "f32")
    assert_close(scored.logits, transformers_logits(plain_copy(plain, meant, tmp_path), ids), name)
    assert scored.report["notes"] == []


def test_in_shards(score, plain, tmp_path):
    meant = quantise_folder(plain, SCHEMES["W4 of 32"])
    expected = transformers_logits(plain_copy(plain, meant, tmp_path), list(range(40)))
    tensors = load_file(plain / "model.safetensors")
    (plain / "model.safetensors").unlink()
    names = sorted(tensors)
    places = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(places.values()):
        part = {name: tensors[name] for name in names if places[name] == file}
        save_file(part, plain / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": places}
    (plain / "model.safetensors.index.json").write_text(json.dumps(index))
    scored = score(plain, list(range(40)), "--policy", "none", "--dtype", "f32")
    assert_close(scored.logits, expected, "shards")


def edit_tensor(folder, suffix, change):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors[QUERY + suffix] = change(tensors[QUERY + suffix])
    if tensors[QUERY + suffix] is None:
        del tensors[QUERY + suffix]
    save_file(tensors, file, metadata={"format": "pt"})


def with_nan(scales):
    scales = scales.clone()
    scales[1, 0] = float("nan")
    return scales


DAMAGE = [
    ("W4 of 32", "weight_scale", lambda _: None, "missing"),
    ("W4 of 32", "weight_scale", with_nan, "a scale is not finite"),
    ("W4 of 32", "weight_scale", lambda t: t[:, :1].repeat(1, 3), "do not divide"),
    ("W4 of 32", "weight_scale", lambda t: t.int(), "wrong dtype"),
    ("W4 of 32", "weight_packed", lambda t: t[:, :-1].contiguous(), "wrong shape"),
    ("W4 with zero points", "weight_zero_point", lambda t: t[:-1].contiguous(), "wrong shape"),
    ("GPTQ", "g_idx", lambda t: t.flip(0).contiguous(), "out of order"),
    ("GPTQ", "qzeros", lambda _: None, "missing"),
    ("GPTQ", "scales", with_nan, "a scale is not finite"),
    ("AWQ", "qweight", lambda t: t[:-1].contiguous(), "wrong shape"),
    ("AWQ", "scales", lambda t: t[:0].contiguous(), "do not divide"),
]


@pytest.mark.parametrize(("name", "suffix", "change", "message"), DAMAGE)
def test_damage_is_named(refused, plain, name, suffix, change, message):
    quantise_folder(plain, SCHEMES[name])
    edit_tensor(plain, suffix, change)
    refused(plain, QUERY + suffix, message)


SETTINGS = [
    ("W4 of 32", ["format"], "float-quantized"),
    ("W4 of 32", ["transform_config"], {"config_groups": {"R1": {}}}),
    ("W4 of 32", ["config_groups", "group_0", "weights", "num_bits"], 3),
    ("W4 of 32", ["config_groups", "group_0", "weights", "type"], "float"),
    ("W4 of 32", ["config_groups", "group_0", "weights", "actorder"], "group"),
    ("GPTQ", ["bits"], 3),
    ("GPTQ", ["checkpoint_format"], "marlin"),
    ("AWQ", ["version"], "gemv"),
    ("AWQ", ["quant_method"], "bitsandbytes"),
]


@pytest.mark.parametrize(("name", "path", "value"), SETTINGS)
def test_settings_that_are_not_supported_are_named(refused, plain, name, path, value):
    quantise_folder(plain, SCHEMES[name])

    def change(fields):
        at = fields["quantization_config"]
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        return fields

    models.edit_config(plain, change)
    shown = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    where = "" if path == ["quant_method"] else "." + ".".join(path)
    refused(plain, "config.json: quantization_config" + where, shown, "are not supported")
