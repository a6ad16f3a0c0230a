"""Bad input ends with status 2 (1 at run time) and one line that says what is wrong, and where."""

from __future__ import annotations

import json
import shutil
import struct

import numpy as np
import pytest
from harness import DEMO
from safetensors.torch import load_file, save_file

import models


def assert_error(done, *words: object, status: int = 2) -> str:
    """Exactly one error line, holding every word; nothing on standard output."""
    text = done.stderr.decode()
    assert done.returncode == status, f"status {done.returncode}, expected {status}: {text}"
    assert text.startswith("dms: error: "), text
    assert text.endswith("\n"), text
    assert text.count("\n") == 1, f"more than one line: {text}"
    assert len(text) < 1000, f"too long: {text}"
    for word in words:
        assert str(word) in text, f"does not say {word!r}: {text}"
    return text


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small folder in one file, to be copied and spoiled."""
    return models.build(tmp_path_factory.mktemp("good") / "m", models.Shape("qwen2"))


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "m")


@pytest.fixture
def refused(dms, tmp_path):
    """refused(folder, *words): scoring three tokens with it is refused."""
    ids = tmp_path / "ids.json"
    ids.write_text("[1, 2, 3]")

    def check(model, *words, status=2):
        done = dms("score", model, "--ids", ids, "--dtype", "f32", check=False)
        return assert_error(done, *words, status=status)

    return check


def test_the_unspoiled_folder_works(dms, folder, tmp_path):
    (tmp_path / "ids.json").write_text("[1, 2, 3]")
    dms("score", folder, "--ids", tmp_path / "ids.json", "--dtype", "f32")


# safetensors -------------------------------------------------------------------------------------

WEIGHT = "model.layers.0.self_attn.q_proj.weight"


def read_header(path) -> tuple[dict, bytes]:
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def write_header(path, header: dict | bytes, body: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def spoil_entry(change):
    """A spoiler of the header's entry of one weight."""

    def spoil(path):
        header, body = read_header(path)
        change(header, header[WEIGHT])
        write_header(path, header, body)

    return spoil


def overlap(header, entry):
    other = next(name for name in header if name not in (WEIGHT, "__metadata__"))
    begin, end = header[other]["data_offsets"]
    size = entry["data_offsets"][1] - entry["data_offsets"][0]
    entry["data_offsets"] = [begin, begin + size]


SAFETENSORS = {
    "empty": lambda path: path.write_bytes(b""),
    "seven-bytes": lambda path: path.write_bytes(b"\x10" + b"\0" * 6),
    "header-cut": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "data-cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "extra-bytes": lambda path: path.write_bytes(path.read_bytes() + b"\0" * 100),
    "header-length-huge": lambda path: path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:]),
    "header-length-2^62": lambda path: path.write_bytes(
        struct.pack("<Q", 1 << 62) + path.read_bytes()[8:]
    ),
    "header-not-json": lambda path: write_header(path, b"{" * 200, b""),
    "header-a-list": lambda path: write_header(path, b"[1, 2]", b""),
    "header-not-utf8": lambda path: write_header(path, b'{"\xff\xfe": 1}', b""),
    "deeply-nested": lambda path: write_header(path, b'{"a":' * 100_000, b""),
    "overlapping": spoil_entry(overlap),
    "beyond-the-file": spoil_entry(
        lambda header, entry: entry.update(
            data_offsets=[offset + 10**9 for offset in entry["data_offsets"]]
        )
    ),
    "offsets-reversed": spoil_entry(
        lambda header, entry: entry.update(data_offsets=entry["data_offsets"][::-1])
    ),
    "offsets-negative": spoil_entry(lambda header, entry: entry.update(data_offsets=[-8, 8])),
    "offsets-2^63": spoil_entry(lambda header, entry: entry.update(data_offsets=[0, 2**63])),
    "offsets-text": spoil_entry(lambda header, entry: entry.update(data_offsets=["a", "b"])),
    "offsets-missing": spoil_entry(lambda header, entry: entry.pop("data_offsets")),
    "dtype-unknown": spoil_entry(lambda header, entry: entry.update(dtype="F9")),
    "dtype-integer": spoil_entry(lambda header, entry: entry.update(dtype="I32")),
    "dtype-too-small": spoil_entry(lambda header, entry: entry.update(dtype="BF16")),
    "dtype-a-number": spoil_entry(lambda header, entry: entry.update(dtype=7)),
    "shape-negative": spoil_entry(lambda header, entry: entry.update(shape=[-64, -48])),
    "shape-overflows": spoil_entry(lambda header, entry: entry.update(shape=[2**33, 2**33])),
    "shape-text": spoil_entry(lambda header, entry: entry.update(shape="64x48")),
    "shape-transposed": spoil_entry(lambda header, entry: entry.update(shape=entry["shape"][::-1])),
    "shape-of-three": spoil_entry(lambda header, entry: entry.update(shape=[1, *entry["shape"]])),
    "hole": spoil_entry(lambda header, entry: header.pop(WEIGHT)),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors(refused, folder, name):
    SAFETENSORS[name](folder / "model.safetensors")
    refused(folder, "model.safetensors")


def test_missing_weight(refused, folder):
    tensors = load_file(folder / "model.safetensors")
    tensors.pop(WEIGHT)
    save_file(tensors, folder / "model.safetensors")
    refused(folder, WEIGHT)


def test_no_weights(refused, folder):
    (folder / "model.safetensors").unlink()
    refused(folder, "safetensors")


@pytest.fixture
def sharded(tmp_path):
    shape = models.Shape("llama", shard_bytes=15_000)
    return models.build(tmp_path / "sharded", shape)


def edit_index(folder, change) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


def test_missing_shard(refused, sharded):
    shard = sorted(sharded.glob("*.safetensors"))[1]
    shard.unlink()
    refused(sharded, shard.name)


def test_index_without_weight_map(refused, sharded):
    edit_index(sharded, lambda index: index.pop("weight_map"))
    refused(sharded, "model.safetensors.index.json", "weight_map")


def test_index_without_a_weight(refused, sharded):
    edit_index(sharded, lambda index: index["weight_map"].pop(WEIGHT))
    refused(sharded, WEIGHT)


def test_index_with_a_wrong_shard(refused, sharded):
    def swap(index):
        names = sorted(set(index["weight_map"].values()))
        index["weight_map"][WEIGHT] = next(n for n in names if n != index["weight_map"][WEIGHT])

    edit_index(sharded, swap)
    refused(sharded, WEIGHT)


@pytest.mark.parametrize("target", ["../good.safetensors", "/etc/passwd", "", 7])
def test_index_that_points_elsewhere(refused, sharded, target):
    edit_index(sharded, lambda index: index["weight_map"].update({WEIGHT: target}))
    refused(sharded, "model.safetensors.index.json")


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
    ("num_hidden_layers", 3),
    ("hidden_size", 0),
    ("hidden_size", 10**18),
    ("hidden_size", 47),
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
    ("vocab_size", 130),
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
    refused(folder)


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


# tokenizer.json ----------------------------------------------------------------------------------


def spoil_tokenizer(folder, change) -> None:
    path = folder / "tokenizer.json"
    fields = json.loads((DEMO / "tokenizer.json").read_text())
    change(fields)
    path.write_text(json.dumps(fields))


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


# prompts and ids ---------------------------------------------------------------------------------

BAD_IDS = {
    "too-large": "[1, 131, 2]",
    "negative": "[1, -1, 2]",
    "fraction": "[1, 1.5]",
    "text": '["one"]',
    "empty": "[]",
    "object": "{}",
    "nested": "[[1, 2]]",
    "huge": "[1, 99999999999999999999]",
    "null": "[null, 1]",
    "cut": "[1, 2",
    "nothing": "",
    "too-many": json.dumps([1] * (models.CONTEXT + 1)),
}


@pytest.mark.parametrize("command", ["score", "generate"])
@pytest.mark.parametrize("name", BAD_IDS)
def test_bad_ids(dms, good, tmp_path, command, name):
    path = tmp_path / "ids.json"
    path.write_text(BAD_IDS[name])
    assert_error(dms(command, good, "--ids", path, "--dtype", "f32", check=False))


def test_empty_prompt(dms):
    assert_error(dms("generate", DEMO, "-p", "", "--no-special", check=False), "prompt")


def test_missing_prompt_file(dms, tmp_path):
    path = tmp_path / "nothing.txt"
    assert_error(dms("generate", DEMO, "--prompt-file", path, check=False), "nothing.txt")


def test_missing_ids_file(dms, tmp_path):
    path = tmp_path / "nothing.json"
    assert_error(dms("score", DEMO, "--ids", path, check=False), "nothing.json")


def test_prompt_longer_than_the_model(dms, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("word " * 6000)
    assert_error(dms("generate", DEMO, "--prompt-file", path, check=False), "4096")


def test_prompt_that_is_not_utf8(dms, tmp_path):
    path = tmp_path / "bytes.txt"
    path.write_bytes(b"good \xff\xfe bad")
    assert_error(dms("generate", DEMO, "--prompt-file", path, check=False), "UTF-8")


# decisions ---------------------------------------------------------------------------------------


def npy(array) -> bytes:
    from io import BytesIO

    out = BytesIO()
    np.save(out, array)
    return out.getvalue()


DECISIONS = {
    "wrong-layers": npy(np.zeros((3, 2, 5), np.uint8)),
    "wrong-heads": npy(np.zeros((2, 4, 5), np.uint8)),
    "two-dimensions": npy(np.zeros((2, 2), np.uint8)),
    "floats": npy(np.zeros((2, 2, 5), np.float32)),
    "fortran": npy(np.asfortranarray(np.zeros((2, 2, 5), np.uint8))),
    "value-two": npy(np.full((2, 2, 5), 2, np.uint8)),
    "cut": npy(np.zeros((2, 2, 5), np.uint8))[:-3],
    "trailing": npy(np.zeros((2, 2, 5), np.uint8)) + b"\0",
    "magic": b"\x93NUMPX" + b"\0" * 100,
    "empty": b"",
    "header-length": b"\x93NUMPY\x01\x00\xff\xff{}",
    "absurd-shape": b"\x93NUMPY\x01\x00\x76\x00"
    + b"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 4611686018427387904), }".ljust(
        0x75
    )
    + b"\n",
}


@pytest.mark.parametrize("name", DECISIONS)
def test_bad_decisions_file(dms, good, tmp_path, name):
    ids, path = tmp_path / "ids.json", tmp_path / "decisions.npy"
    ids.write_text("[1, 2, 3]")
    path.write_bytes(DECISIONS[name])
    options = ("--dtype", "f32", "--policy", "forced", "--decisions", path)
    assert_error(dms("score", good, "--ids", ids, *options, check=False), "decisions.npy")


# options -----------------------------------------------------------------------------------------

USAGE = [
    (["frobnicate"], "frobnicate"),
    (["--frobnicate"], "--frobnicate"),
    ([], ""),
    (["score"], ""),
    (["score", DEMO], ""),
    (["generate", DEMO, "-p", "a", "--max-new-tokenz", "3"], "--max-new-tokens"),
    (["generate", DEMO, "-p", "a", "--max-new-tokens", "-3"], "--max-new-tokens"),
    (["generate", DEMO, "-p", "a", "--max-new-tokens", "many"], "--max-new-tokens"),
    (["generate", DEMO, "-p", "a", "--temperature", "-1"], "temperature"),
    (["generate", DEMO, "-p", "a", "--temperature", "nan"], "temperature"),
    (["generate", DEMO, "-p", "a", "--top-p", "2"], "top-p"),
    (["generate", DEMO, "-p", "a", "--top-k", "-1"], "top-k"),
    (["generate", DEMO, "-p", "a", "--min-p", "1.5"], "min-p"),
    (["generate", DEMO, "-p", "a", "--repetition-penalty", "0"], "repetition-penalty"),
    (["generate", DEMO, "-p", "a", "--ids", "x.json"], ""),
    (["generate", DEMO], ""),
    (["generate", DEMO, "-p", "a", "--chunk", "0"], "--chunk"),
    (["generate", DEMO, "-p", "a", "--threads", "-1"], "--threads"),
    (["generate", DEMO, "-p", "a", "--window", "-1"], "--window"),
    (["generate", DEMO, "-p", "a", "--window", "1.5"], "--window"),
    (["generate", DEMO, "-p", "a", "--dtype", "f8"], "--dtype"),
    (["generate", DEMO, "-p", "a", "--weights", "int9"], "--weights"),
    (["generate", DEMO, "-p", "a", "--kv-dtype", "int9"], "--kv-dtype"),
    (["generate", DEMO, "-p", "a", "--device", "cuda"], "cuda"),
    (["generate", DEMO, "-p", "a", "--device", "abacus"], "abacus"),
    (["generate", DEMO, "-p", "a", "--kv-memory", "5XB"], "--kv-memory"),
    (["generate", DEMO, "-p", "a", "--kv-memory", "-5"], "--kv-memory"),
    (["generate", DEMO, "-p", "a", "--kv-memory", "99999999999GiB"], "--kv-memory"),
    (["generate", DEMO, "-p", "a", "--preallocate", "-1"], "--preallocate"),
    (["generate", DEMO, "-p", "a", "--policy", "oracle"], "oracle"),
    (["generate", DEMO, "-p", "a", "--policy", "forced"], "--decisions"),
    (["generate", DEMO, "-p", "a", "--decisions", "x.npy"], "--decisions"),
    (["generate", DEMO, "-p", "a", "--policy", "streaming", "--window", "9"], "--window"),
    (["generate", DEMO, "-p", "a", "--policy", "random", "--policy-args", "cr"], "--policy-args"),
    (["generate", DEMO, "-p", "a", "--policy", "random", "--policy-args", "cr=0"], "cr"),
    (["generate", DEMO, "-p", "a", "--policy", "random", "--policy-args", "x=1"], "x"),
    (["generate", DEMO, "-p", "a", "--policy", "random", "--policy-args", "cr=inf"], "cr"),
    (["score", DEMO, "--ids", "no.json", "--decode-from", "-1"], "--decode-from"),
    (["bench", DEMO, "--prompt-lens", "0"], "--prompt-lens"),
    (["bench", DEMO, "--prompt-lens", "1,x"], "--prompt-lens"),
    (["bench", DEMO, "--concurrency", "0"], "--concurrency"),
    (["inspect", DEMO, "extra"], "extra"),
]


@pytest.mark.parametrize(("args", "word"), USAGE, ids=lambda item: " ".join(map(str, item))[-40:])
def test_wrong_usage(dms, args, word):
    assert_error(dms(*args, check=False), word)


def test_trained_eviction_of_a_plain_model(dms, good, tmp_path):
    ids = tmp_path / "ids.json"
    ids.write_text("[1, 2, 3]")
    assert_error(dms("score", good, "--ids", ids, "--policy", "dms", check=False), "--policy")


@pytest.mark.parametrize("isa", ["sse", "AVX2"])
def test_unknown_instruction_set(dms, isa):
    done = dms("generate", DEMO, "-p", "a", env={"DMS_ISA": isa}, check=False)
    assert_error(done, "DMS_ISA", isa)


# at run time -------------------------------------------------------------------------------------


@pytest.fixture
def forty_ids(tmp_path):
    path = tmp_path / "forty.json"
    path.write_text(json.dumps(list(range(40))))
    return path


def test_full_disk(dms, forty_ids):
    done = dms("score", DEMO, "--ids", forty_ids, "--logits", "/dev/full", check=False)
    assert_error(done, "/dev/full", status=1)


def test_logits_into_a_missing_folder(dms, forty_ids, tmp_path):
    target = tmp_path / "nowhere" / "x.npy"
    done = dms("score", DEMO, "--ids", forty_ids, "--logits", target, check=False)
    assert_error(done, "x.npy")


@pytest.mark.parametrize("limit", ["1", "4KiB", "40KiB"])
@pytest.mark.parametrize("preallocate", [False, True])
def test_memory_limit_too_small(dms, forty_ids, limit, preallocate):
    extra = ("--preallocate", 4096) if preallocate else ()
    options = ("--kv-memory", limit, "--json", *extra)
    done = dms("score", DEMO, "--ids", forty_ids, *options, check=False)
    assert_error(done, "--kv-memory", status=done.returncode)
    assert done.returncode in (1, 2)


@pytest.mark.parametrize("command", ["inspect", "score", "tokenize", "generate"])
def test_full_standard_output(command, forty_ids):
    import subprocess

    from harness import binary

    more = {
        "inspect": [],
        "score": ["--ids", str(forty_ids)],
        "tokenize": [],
        "generate": ["-p", "a", "--max-new-tokens", "2"],
    }[command]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [str(binary()), command, str(DEMO), *more],
            stdout=full,
            stderr=subprocess.PIPE,
            input=b"hello",
            check=False,
        )
    done.stdout = b""
    assert_error(done, status=1)
