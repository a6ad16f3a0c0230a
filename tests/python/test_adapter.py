"""`--adapter`: a base and its adapter apart compute what the folder with both does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import models
from harness import ROOT
from test_bad_input import assert_error

TOKENS = 120
SHAPES = {
    "llama": models.Shape("llama", layers=3, q_heads=6, kv_heads=3, head_dim=24, bias=True),
    "mistral": models.Shape("mistral", q_heads=8, kv_heads=1, head_dim=40, sliding_window=50),
    "qwen2": models.Shape("qwen2", q_heads=4, kv_heads=4, tied=True, dtype="bfloat16"),
    "qwen3": models.Shape("qwen3", q_heads=6, kv_heads=2, head_dim=64, shard_bytes=40_000),
}
SETTINGS = models.Metadata("adapter", window=16, scale=20.0, offset=0.5)
DMS_KEYS = (
    "dms_window_size",
    "dms_alpha_scale",
    "dms_initial_alpha_offset",
    "dms_alpha_per",
    "dms_disable_eviction",
    "dms_separate_alpha",
    "dms_cr",
)


def split_adapter(student: Path, out: Path) -> Path:
    """Takes the adapter out of a student, by the format's description in docs/model-folders.md."""
    config = json.loads((student / "config.json").read_text())
    sizes = ("model_type", "hidden_size", "num_hidden_layers", "num_key_value_heads")
    fields = {"format": "dms-adapter", "version": 1}
    fields |= {key: config[key] for key in (*sizes, *DMS_KEYS)}
    tensors = {}
    for file in student.glob("*.safetensors"):
        tensors |= {k: v.float() for k, v in load_file(file).items() if "dms_proj_alpha" in k}
    out.mkdir()
    (out / "adapter_config.json").write_text(json.dumps(fields))
    save_file(tensors, out / "adapter.safetensors")
    return out


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """family(name) -> base, student and adapter folders, and ids."""
    made = {}

    def make(name: str):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            base = models.build(folder / "base", SHAPES[name], seed=3)
            student = shutil.copytree(base, folder / "student")
            models.add_metadata(student, SETTINGS, seed=3)
            adapter = split_adapter(student, folder / "adapter")
            made[name] = base, student, adapter, models.random_ids(SHAPES[name], TOKENS)
        return made[name]

    return make


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_base_and_adapter_equal_the_student(score, family, name, dtype):
    base, student, adapter, ids = family(name)
    merged = score(student, ids, dtype=dtype)
    apart = score(base, ids, "--adapter", adapter, dtype=dtype)
    plain = score(base, ids, dtype=dtype)
    assert np.array_equal(apart.decisions, merged.decisions)
    assert 0.1 < apart.decisions.mean() < 0.9
    assert np.array_equal(apart.logits, merged.logits)
    assert apart.report["kv"]["held_tokens"] == merged.report["kv"]["held_tokens"]
    assert plain.decisions.sum() == 0
    assert not np.array_equal(plain.logits, merged.logits)


def test_every_command_takes_it(dms, dms_json, family, tmp_path):
    base, _, adapter, ids = family("llama")
    ids_file = tmp_path / "ids.json"
    ids_file.write_text(json.dumps(ids))
    option = ("--adapter", adapter)
    settings = dms_json("inspect", base, *option)["dms"]
    assert (settings["source"], settings["window"]) == ("adapter", SETTINGS.window)
    assert settings["origin"] == str(adapter / "adapter_config.json")
    assert dms_json("inspect", "--config", base / "config.json", *option)["dms"] == settings
    generated = dms_json("generate", base, *option, "--ids", ids_file, "-n", 3)
    assert generated["policy"] == "dms"
    bench = dms_json("bench", base, *option, "--prompt-lens", 80, "--gen", 2, "--repeat", 1)
    assert bench["runs"][0]["kv"]["cr"] > 1
    shape = ("bench", "--config", base / "config.json", "--random-weights", *option)
    dms(*shape, "--prompt-lens", 8, "--gen", 1, "--repeat", 1)
    student = models.add_metadata(models.plain_demo(tmp_path / "demo-student"), SETTINGS)
    demo = split_adapter(student, tmp_path / "demo-adapter")
    plain = models.plain_demo(tmp_path / "plain")
    talk = ("chat", plain, "--adapter", demo, "--template", "plain", "-n", 2)
    assert dms(*talk, stdin="Hello\n").stdout


@pytest.mark.parametrize("kind", ["dms", "kvzap"])
def test_the_shipped_adapters_are_smollm2s(dms_json, kind):
    """Their weights go into random ones of its shape: a missing or misshapen tensor is refused."""
    adapter = ROOT / "models" / f"smollm2-135m-{kind}-8x"
    assert sum(file.stat().st_size for file in adapter.iterdir()) < 1_000_000
    shape = ("--config", ROOT / "configs" / "shapes" / "smollm2-135m.json", "--adapter", adapter)
    settings = dms_json("inspect", *shape)[kind]
    assert (settings["window"], settings["target_cr"]) == (128, 8)
    once = ("--prompt-lens", 200, "--gen", 2, "--repeat", 1)
    run = dms_json("bench", *shape, "--random-weights", *once)["runs"][0]
    assert run["kv"]["held_tokens"] < run["kv"]["dense_tokens"]


@pytest.fixture
def refused(dms, family, tmp_path):
    """refused(adapter, *words, base=...): scoring the base with it is refused."""
    ids = tmp_path / "ids.json"
    ids.write_text("[1, 2, 3]")

    def check(adapter, *words, base=None):
        base = base or family("llama")[0]
        done = dms("score", base, "--adapter", adapter, "--ids", ids, check=False)
        assert_error(done, *words)

    return check


@pytest.fixture
def adapter(family, tmp_path):
    """An adapter to be spoiled."""
    return shutil.copytree(family("llama")[2], tmp_path / "adapter")


def test_missing_files(refused, adapter):
    refused(adapter / "gone", "adapter_config.json", "cannot be read")
    (adapter / "adapter.safetensors").unlink()
    refused(adapter, "adapter.safetensors", "cannot be read")
    refused("", "--adapter", "needs a folder")


def test_an_adapter_of_another_kind(refused, adapter):
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 16}')
    refused(adapter, "adapter_config.json: format", "is not an adapter")


def test_another_family_and_shape(refused, family, adapter):
    refused(adapter, "model_type", "got llama, expected qwen2", base=family("qwen2")[0])
    fields = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**fields, "hidden_size": 64}))
    refused(adapter, "hidden_size", "made for another model", "got 64, expected 48")


def test_weights_of_another_shape(refused, adapter):
    path = adapter / "adapter.safetensors"
    tensors = load_file(path)
    name = "model.layers.1.self_attn.dms_proj_alpha.weight"
    save_file({**tensors, name: tensors[name][:2].clone()}, path)
    refused(adapter, name, "wrong shape", "got [2, 48], expected [3, 48]")
    save_file({**tensors, "model.norm.weight": tensors[name][0].clone()}, path)
    refused(adapter, "model.norm.weight", "no place in the base")


def test_a_base_with_settings_of_its_own(refused, family, adapter):
    student = family("llama")[1]
    refused(adapter, "already has trained eviction", "config.json", base=student)


def test_an_evaluation_compares_adapters(dms_json, family, tmp_path):
    """A policy may bring its own adapter: the same as `--adapter`, beside the base itself."""
    base, _, adapter, ids = family("llama")
    file = tmp_path / "ids.json"
    file.write_text(json.dumps([int(i) for i in ids]))
    command = ("eval", "kld", base, "--ids", file)
    policy = f"dms:adapter={adapter}"
    rows = dms_json(*command, "--policies", f"none,{policy}")["rows"]
    (alone,) = dms_json(*command, "--policies", "dms", "--adapter", adapter)["rows"]
    assert [row["policy"] for row in rows] == ["none", policy]
    assert rows[1]["ppl"] == alone["ppl"]
    assert rows[1]["kv"]["held_tokens"] == alone["kv"]["held_tokens"] < rows[0]["kv"]["held_tokens"]
    # The reference is the base, without the adapter.
    assert rows[0]["kld"] == 0
    assert rows[1]["kld"] > 0
