"""What loads with a note computes what transformers computes, and the note says what is odd."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import models
from bad_input import assert_error
from harness import assert_close
from test_dense_parity import TOKENS, transformers_logits

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def add_tensors(folder, tensors: dict[str, torch.Tensor]) -> None:
    """Adds tensors to the folder's file, or to its index in a shard of their own."""
    single = folder / "model.safetensors"
    if single.exists():
        save_file({**load_file(single), **tensors}, single, metadata={"format": "pt"})
        return
    save_file(tensors, folder / "model-more.safetensors", metadata={"format": "pt"})
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"].update(dict.fromkeys(tensors, "model-more.safetensors"))
    path.write_text(json.dumps(index))


def stored(folder, name: str) -> torch.Tensor:
    files = folder.glob("*.safetensors")
    return next(tensors[name] for tensors in map(load_file, files) if name in tensors)


def check(score, folder, shape: models.Shape, *note_words: str) -> None:
    """Equals transformers, with one note of these words; without words, with none."""
    ids = models.random_ids(shape, TOKENS)
    scored = score(folder, ids, "--policy", "none")
    assert_close(scored.logits, transformers_logits(folder, ids), str(shape))
    notes = scored.report["notes"]
    assert len(notes) == bool(note_words), notes
    for word in note_words:
        assert word in notes[0], notes


@pytest.mark.parametrize("shard_bytes", [None, 15_000])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_head_that_differs_from_the_tied_embedding_is_used(score, tmp_path, shard_bytes, dtype):
    shape = models.Shape("llama", tied=True, dtype=dtype, shard_bytes=shard_bytes)
    folder = models.build(tmp_path / "m", shape)
    add_tensors(folder, {HEAD: stored(folder, EMBEDDING).flip(0)})
    check(score, folder, shape, HEAD, "differs from the embedding", "tie_word_embeddings")


@pytest.mark.parametrize("shard_bytes", [None, 15_000])
@pytest.mark.parametrize("head_dtype", [torch.bfloat16, torch.float32])
def test_a_head_of_the_embeddings_values_is_the_embedding(
    score, dms_json, tmp_path, shard_bytes, head_dtype
):
    shape = models.Shape("qwen3", tied=True, dtype="bfloat16", shard_bytes=shard_bytes)
    folder = models.build(tmp_path / "m", shape)
    add_tensors(folder, {HEAD: stored(folder, EMBEDDING).clone().to(head_dtype)})
    check(score, folder, shape)
    assert dms_json("inspect", folder)["tied_head"]


def test_tensors_nobody_reads_are_named(score, tmp_path):
    shape = models.Shape("llama")
    folder = models.build(tmp_path / "m", shape)
    attention = "model.layers.1.self_attn"
    add_tensors(
        folder,
        {
            f"{attention}.q_proj.bias": torch.ones(64),
            f"{attention}.rotary_emb.inv_freq": torch.ones(8),
            "model.layers.0.pre_feedforward_layernorm.weight": torch.ones(48),
        },
    )
    words = ("2 tensors are not used", f"{attention}.q_proj.bias", "pre_feedforward_layernorm")
    check(score, folder, shape, *words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"eos_token_id": [2, 999]}, ("eos_token_id", "got 999", "0 to 130")),
        ({"eos_token_id": -1}, ("eos_token_id", "got -1")),
        ({"bos_token_id": 131}, ("bos_token_id", "got 131")),
        ({"max_position_embeddings": None}, ("max_position_embeddings", "2048")),
        ({"dtype": "float64"}, ("dtype", "float64")),
        ({"dtype": "float8_e4m3fn"}, ("dtype", "float8_e4m3fn")),
        ({"router_limit": float("inf"), "router_floor": float("nan")}, ()),
    ],
    ids=str,
)
def test_odd_values_of_config(score, tmp_path, changes, words):
    shape = models.Shape("llama")
    folder = models.build(tmp_path / "m", shape)

    def change(fields):
        fields.update(changes)
        return {key: value for key, value in fields.items() if value is not None}

    models.edit_config(folder, change)
    (folder / "generation_config.json").unlink()
    check(score, folder, shape, *words)


def test_notes_go_to_stderr_or_into_the_object(dms, dms_json, folder, tmp_path):
    models.edit_config(folder, lambda fields: {**fields, "eos_token_id": [2, -1, 700]})
    ids = tmp_path / "ids.json"
    ids.write_text("[1, 2, 3]")
    arguments = ("generate", folder, "--ids", ids, "-n", "1")
    done = dms(*arguments)
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 2, lines
    assert all(line.startswith("dms: note: ") for line in lines), lines
    assert [f"dms: note: {note}" for note in dms_json(*arguments)["notes"]] == lines
    assert not dms(*arguments, "--json").stderr
    assert len(dms_json("inspect", folder)["notes"]) == 2


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", '{"config": {"lr": 0.1}, "loss": [3]}'])
def test_a_training_log_of_anybody_else_changes_nothing(dms_json, folder, text):
    (folder.parent / "training_log.json").write_text(text)
    assert dms_json("inspect", folder)["dms"] is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_eviction_weights_that_are_not_finite(refused, folder, name, value):
    models.add_metadata(folder, models.Metadata("adapter"))
    tensor = f"model.layers.1.self_attn.dms_proj_alpha.{name}"
    spoilt = stored(folder, tensor)
    spoilt.view(-1)[1] = value
    add_tensors(folder, {tensor: spoilt})
    refused(folder, "model.safetensors", tensor, "not finite")


def test_an_untied_model_without_a_head_says_what_to_set(refused, folder):
    single = folder / "model.safetensors"
    tensors = load_file(single)
    tensors.pop(HEAD)
    save_file(tensors, single, metadata={"format": "pt"})
    refused(folder, "model.safetensors", HEAD, "set tie_word_embeddings to true")


@pytest.mark.parametrize("method", ["bitsandbytes", "fp8", "hqq", "aqlm"])
def test_quantised_weights_are_refused_by_name(refused, folder, method):
    settings = {"quant_method": method, "bits": 4}
    models.edit_config(folder, lambda fields: {**fields, "quantization_config": settings})
    refused(folder, "config.json: quantization_config", method, "F32, F16 or BF16")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("pytorch_model.bin", "save_pretrained"), ("model.Q4_K_M.gguf", "name the .gguf file itself")],
)
def test_other_formats_are_named(refused, dms, folder, name, hint):
    (folder / "model.safetensors").rename(folder / name)
    refused(folder, "has no weights", f"got {name}", hint)
    (folder / "config.json").unlink()
    assert_error(dms("inspect", folder, check=False), "no config.json", f"got {name}", hint)
