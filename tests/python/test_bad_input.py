"""Bad input ends with status 2 (1 at run time) and one line that says what is wrong, and where."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from io import BytesIO
from threading import Thread

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import models
from bad_input import assert_error
from harness import DEMO, binary


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
    "metadata-of-numbers": spoil_entry(lambda header, entry: header.update(__metadata__={"a": 1})),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors(refused, folder, name):
    SAFETENSORS[name](folder / "model.safetensors")
    refused(folder, "model.safetensors")


def test_missing_weight(refused, folder):
    tensors = load_file(folder / "model.safetensors")
    tensors.pop(WEIGHT)
    save_file(tensors, folder / "model.safetensors")
    refused(folder, "model.safetensors", WEIGHT, "missing")


def test_no_weights(refused, folder):
    (folder / "model.safetensors").unlink()
    refused(folder, "safetensors")


INDEX = "model.safetensors.index.json"


@pytest.fixture
def sharded(tmp_path):
    """Several shards, that of WEIGHT with other tensors too."""
    shape = models.Shape("llama", shard_bytes=40_000)
    folder = models.build(tmp_path / "sharded", shape)
    places = json.loads((folder / INDEX).read_text())["weight_map"]
    assert list(places.values()).count(places[WEIGHT]) > 1
    return folder


def edit_index(folder, change) -> None:
    path = folder / INDEX
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


def test_missing_shard(refused, sharded):
    shard = sorted(sharded.glob("*.safetensors"))[1]
    shard.unlink()
    refused(sharded, shard.name)


def test_index_without_weight_map(refused, sharded):
    edit_index(sharded, lambda index: index.pop("weight_map"))
    refused(sharded, INDEX, "weight_map")


def test_index_without_a_weight(refused, sharded):
    edit_index(sharded, lambda index: index["weight_map"].pop(WEIGHT))
    refused(sharded, f"{INDEX}: weight_map: {WEIGHT}", "missing")


def test_index_with_a_wrong_shard(refused, sharded):
    def swap(index):
        names = sorted(set(index["weight_map"].values()))
        index["weight_map"][WEIGHT] = next(n for n in names if n != index["weight_map"][WEIGHT])

    edit_index(sharded, swap)
    refused(sharded, f"{INDEX}: weight_map: {WEIGHT}", "another file")


@pytest.mark.parametrize("target", ["../good.safetensors", "/etc/passwd", "", 7])
def test_index_that_points_elsewhere(refused, sharded, target):
    edit_index(sharded, lambda index: index["weight_map"].update({WEIGHT: target}))
    refused(sharded, f"{INDEX}: weight_map: {WEIGHT}")


# prompts and ids ---------------------------------------------------------------------------------

BAD_IDS = {
    "[1, 131, 2]": ("ids.json: element 1", "got 131", "0 to 130"),
    "[1, -1, 2]": ("ids.json: element 1", "got -1"),
    "[1, 1.5]": ("ids.json: element 1", "got 1.5"),
    '["one"]': ("ids.json: element 0", 'got "one"'),
    "[]": ("prompt: ",),
    "{}": ("ids.json: holds no ids", "array of integers"),
    '{"ids": 1}': ("ids.json: ids", "got 1", "array of integers"),
    "[[1, 2]]": ("ids.json: element 0", "got an array"),
    "[1, 99999999999999999999]": ("ids.json: element 1", "got 99999999999999999999"),
    "[1, 2147483647]": ("ids.json: element 1", "got 2147483647"),
    "[1, NaN]": ("ids.json: element 1", "got NaN"),
    "[null, 1]": ("ids.json: element 0", "got null"),
    "[1, 2": ("ids.json: line 1, column 6: malformed JSON", "got '[1, 2'"),
    "": ("ids.json: line 1, column 1: malformed JSON",),
    "[" * 1_000_000: ("ids.json: element 0", "got an array"),
    '{"ids": [], "x": ' + "[" * 1_000_000: ("ids.json: line 1", "nested too deeply"),
}


@pytest.mark.parametrize("command", ["score", "generate"])
@pytest.mark.parametrize("text", BAD_IDS, ids=lambda text: text[:16])
def test_bad_ids(dms, good, tmp_path, command, text):
    path = tmp_path / "ids.json"
    path.write_text(text)
    done = dms(command, good, "--ids", path, "--dtype", "f32", check=False)
    assert_error(done, *BAD_IDS[text])


def test_ids_longer_than_the_model(dms, good, tmp_path):
    path = tmp_path / "ids.json"
    path.write_text(json.dumps([1] * (models.CONTEXT + 1)))
    done = dms("generate", good, "--ids", path, "--dtype", "f32", check=False)
    assert_error(done, "prompt: ", "2049 tokens", "at most 2048")


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


def test_trained_eviction_of_a_plain_model(dms, good, tmp_path):
    ids = tmp_path / "ids.json"
    ids.write_text("[1, 2, 3]")
    assert_error(dms("score", good, "--ids", ids, "--policy", "dms", check=False), "--policy")


# at run time -------------------------------------------------------------------------------------


@pytest.fixture
def forty_ids(tmp_path):
    path = tmp_path / "forty.json"
    path.write_text(json.dumps(list(range(40))))
    return path


def test_full_disk(dms, forty_ids):
    done = dms("score", DEMO, "--ids", forty_ids, "--logits", "/dev/full", check=False)
    assert_error(done, "/dev/full", "No space left", status=1)


def test_logits_into_a_missing_folder(dms, forty_ids, tmp_path):
    target = tmp_path / "nowhere" / "x.npy"
    done = dms("score", DEMO, "--ids", forty_ids, "--logits", target, check=False)
    assert_error(done, "x.npy")


@pytest.fixture
def not_finite(folder):
    """A model whose first weight is not a number."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.embed_tokens.weight"][1, 0] = torch.nan
    save_file(tensors, path)
    return folder


@pytest.mark.parametrize("json_output", [False, True])
def test_logits_that_are_not_finite(dms, not_finite, tmp_path, json_output):
    (tmp_path / "ids.json").write_text("[3, 2, 1, 4]")
    options = ("--ids", tmp_path / "ids.json", "--decode-from", 0)
    done = dms("score", not_finite, *options, *(["--json"] if json_output else []), check=False)
    assert_error(done, "logits after token 2", "not finite", "got nan", status=1)


@pytest.mark.parametrize("failure", ["ids", "context", "memory", "nan"])
def test_a_failed_score_leaves_the_old_logits(dms, folder, request, tmp_path, failure):
    status, ids, options = 1, [1, 2, 3], []
    if failure == "ids":
        status, ids = 2, [1, 131]
    elif failure == "context":
        status, ids = 2, [1] * (models.CONTEXT + 1)
    elif failure == "memory":
        options = ["--kv-memory", "1"]
    else:
        request.getfixturevalue("not_finite")
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    target = tmp_path / "out" / "x.npy"
    target.parent.mkdir()
    target.write_bytes(b"old")
    done = dms(
        "score", folder, "--ids", tmp_path / "ids.json", "--logits", target, *options, check=False
    )
    assert_error(done, status=status)
    assert target.read_bytes() == b"old"
    assert os.listdir(target.parent) == ["x.npy"]


def test_logits_into_a_pipe_and_a_device(dms, forty_ids, tmp_path):
    dms("score", DEMO, "--ids", forty_ids, "--logits", tmp_path / "x.npy")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    dms("score", DEMO, "--ids", forty_ids, "--logits", pipe)
    reader.join()
    assert received == [(tmp_path / "x.npy").read_bytes()]
    dms("score", DEMO, "--ids", forty_ids, "--logits", "/dev/null")


@pytest.mark.parametrize("limit", ["1", "4KiB", "40KiB"])
@pytest.mark.parametrize("preallocate", [False, True])
def test_memory_limit_too_small(dms, forty_ids, limit, preallocate):
    extra = ("--preallocate", 4096) if preallocate else ()
    options = ("--kv-memory", limit, "--json", *extra)
    done = dms("score", DEMO, "--ids", forty_ids, *options, check=False)
    assert_error(done, "KV memory: limit reached", "--kv-memory", status=1)


@pytest.mark.parametrize("command", ["inspect", "score", "tokenize", "generate"])
def test_full_standard_output(command, forty_ids):
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
    assert_error(done, "standard output", status=1)
