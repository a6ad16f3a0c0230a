"""A bad JSON file of a model folder is refused with one line that names the file and the field."""

from __future__ import annotations

import json

import pytest

import models
from bad_input import assert_error
from harness import DEMO

# config.json -------------------------------------------------------------------------------------

REQUIRED = (
    "model_type",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_size",
    "intermediate_size",
    "vocab_size",
)
ABSURD = [
    ("num_hidden_layers", 0),
    ("num_hidden_layers", -1),
    ("num_hidden_layers", 10**9),
    ("num_hidden_layers", 2.5),
    ("num_hidden_layers", "two"),
    ("num_hidden_layers", 2**63),
    ("hidden_size", 0),
    ("hidden_size", 10**18),
    ("hidden_size", True),
    ("num_attention_heads", 0),
    ("num_attention_heads", 3),
    ("num_key_value_heads", 3),
    ("num_key_value_heads", 0),
    ("num_key_value_heads", 8),
    ("head_dim", 15),
    ("head_dim", 0),
    ("head_dim", 10**6),
    ("vocab_size", 0),
    ("vocab_size", 10**15),
    ("intermediate_size", -80),
    ("max_position_embeddings", 0),
    ("max_position_embeddings", "long"),
    ("rms_norm_eps", -1.0),
    ("rms_norm_eps", "small"),
    ("hidden_act", "snake"),
    ("hidden_act", 3),
    ("model_type", "abacus"),
    ("model_type", 5),
    ("tie_word_embeddings", "yes"),
]


@pytest.mark.parametrize("key", REQUIRED)
def test_config_without_a_field(refused, folder, key):
    def drop(fields):
        fields.pop(key)
        return fields

    models.edit_config(folder, drop)
    refused(folder, "config.json", key)


@pytest.mark.parametrize(("key", "value"), ABSURD, ids=lambda item: str(item)[:24])
def test_absurd_config(refused, folder, key, value):
    models.edit_config(folder, lambda fields: {**fields, key: value})
    refused(folder, "config.json: ", key)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("num_hidden_layers", 3, ("model.layers.2.", "missing")),
        ("hidden_size", 47, ("embed_tokens.weight", "got [131, 48]", "expected [131, 47]")),
        ("vocab_size", 130, ("embed_tokens.weight", "got [131, 48]", "expected [130, 48]")),
    ],
)
def test_config_of_other_weights(refused, folder, key, value, words):
    models.edit_config(folder, lambda fields: {**fields, key: value})
    refused(folder, "model.safetensors: tensor ", *words)


@pytest.mark.parametrize(
    ("rope", "word"),
    [
        ({"rope_type": "spiral", "rope_theta": 1e4}, "spiral"),
        ({"rope_type": "linear", "rope_theta": 1e4}, "factor"),
        ({"rope_type": "linear", "rope_theta": 1e4, "factor": 0}, "factor"),
        ({"rope_type": "linear", "rope_theta": 1e4, "factor": "two"}, "factor"),
        ({"rope_type": "default", "rope_theta": -1}, "rope_theta"),
        ({"rope_type": "llama3", "rope_theta": 1e4, "factor": 8}, "freq_factor"),
        (["rope"], "rope_parameters"),
    ],
)
def test_bad_rope(refused, folder, rope, word):
    models.edit_config(folder, lambda fields: {**fields, "rope_parameters": rope})
    refused(folder, "config.json", word)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": 1} x', "\xff\xfe", "[" * 200_000])
def test_broken_config(refused, folder, text):
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    refused(folder, "config.json")


@pytest.mark.parametrize("name", ["no-such-folder", "m/config.json"])
def test_no_model_folder(refused, folder, tmp_path, name):
    refused(tmp_path / name, name)


def test_folder_without_config(refused, folder):
    (folder / "config.json").unlink()
    refused(folder, "config.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dms_window_size", -1),
        ("dms_window_size", "wide"),
        ("dms_alpha_per", "token"),
        ("dms_alpha_scale", "big"),
        ("dms_decision_shift", 2),
        ("dms_separate_alpha", "maybe"),
    ],
)
def test_bad_eviction_settings(refused, folder, key, value):
    models.edit_config(folder, lambda fields: {**fields, "dms_window_size": 16, key: value})
    refused(folder, "config.json", key)


def test_adapter_without_weights(refused, folder):
    keys = {"dms_window_size": 16, "dms_separate_alpha": True}
    models.edit_config(folder, lambda fields: {**fields, **keys})
    refused(folder, "dms_proj_alpha")


@pytest.mark.parametrize("text", ["", "[", "[1]", '{"window_size": "x"}', '{"alpha_scale": []}'])
def test_bad_metadata_file(refused, folder, text):
    (folder / "dms_metadata.json").write_text(text)
    refused(folder, "dms_metadata.json")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "dms_metadata.json"])
def test_file_of_the_model_that_cannot_be_looked_up(refused, folder, name):
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(name)
    refused(folder, name, "cannot be read")


# tokenizer.json ----------------------------------------------------------------------------------


def spoil_tokenizer(folder, change) -> None:
    path = folder / "tokenizer.json"
    fields = json.loads((DEMO / "tokenizer.json").read_text())
    change(fields)
    path.write_text(json.dumps(fields))


TEXT = {"Sequence": {"id": "A", "type_id": 0}}
DOUBLE = {"type": "Replace", "pattern": {"String": "l"}, "content": "ll"}
TOKENIZERS = {
    "no-model": lambda fields: fields.pop("model"),
    "model-a-list": lambda fields: fields.update(model=[]),
    "unknown-model": lambda fields: fields["model"].update(type="Abacus"),
    "no-vocab": lambda fields: fields["model"].pop("vocab"),
    "vocab-of-text": lambda fields: fields["model"]["vocab"].update({"zzz": "nine"}),
    "negative-id": lambda fields: fields["model"]["vocab"].update({"zzz": -1}),
    "huge-id": lambda fields: fields["model"]["vocab"].update({"zzz": 2**40}),
    "merges-of-numbers": lambda fields: fields["model"].update(merges=[1, 2]),
    "merge-of-unknown": lambda fields: fields["model"]["merges"].append(["zz\u2603", "qq\u2603"]),
    "merge-of-one": lambda fields: fields["model"]["merges"].append(["a"]),
    "unknown-pre-tokenizer": lambda fields: fields.update(pre_tokenizer={"type": "Knife"}),
    "unknown-normalizer": lambda fields: fields.update(normalizer={"type": "Iron"}),
    "unknown-decoder": lambda fields: fields.update(decoder={"type": "Ring"}),
    "bad-added-token": lambda fields: fields["added_tokens"].append({"id": "x", "content": 5}),
    "template-repeats-the-text": lambda fields: fields.update(
        post_processor={"type": "TemplateProcessing", "single": [TEXT, TEXT], "special_tokens": {}}
    ),
    "normalizer-that-doubles": lambda fields: fields.update(
        normalizer={"type": "Sequence", "normalizers": [DOUBLE] * 20}
    ),
    "bad-regex": lambda fields: fields.update(
        pre_tokenizer={
            "type": "Split",
            "pattern": {"Regex": "(unclosed"},
            "behavior": "Isolated",
            "invert": False,
        }
    ),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_broken_tokenizer(dms, folder, name):
    spoil_tokenizer(folder, TOKENIZERS[name])
    done = dms("tokenize", folder, stdin="hello", check=False)
    assert_error(done, "tokenizer.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff\xff", "{" * 100_000])
def test_tokenizer_that_is_not_json(dms, folder, text):
    (folder / "tokenizer.json").write_bytes(text.encode("latin-1"))
    assert_error(dms("tokenize", folder, stdin="hello", check=False), "tokenizer.json")


def test_no_tokenizer(dms, folder):
    assert_error(dms("tokenize", folder, stdin="hello", check=False), "tokenizer.json")
    assert_error(dms("generate", folder, "-p", "hello", check=False), "tokenizer.json")


@pytest.mark.parametrize("ids", ["[8192]", "[-1]", "[1.5]", '["a"]', "{}", "[[1]]", "[1", "", "7"])
def test_decoding_bad_ids(dms, tmp_path, ids):
    path = tmp_path / "ids.json"
    path.write_text(ids)
    assert_error(dms("tokenize", DEMO, "--decode", "--ids", path, check=False), "ids.json")
