"""What can be told without the weights is told before they are read."""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
import subprocess

import pytest

from bad_input import assert_error
from harness import DEMO, HANG_GUARD_S, binary

HIDDEN, FFN, LAYERS, VOCAB = 4096, 14336, 16, 8192
MEMORY = 1 << 30  # a fifth of what the weights need


def weight_shapes() -> dict[str, list[int]]:
    layer = {
        "input_layernorm": [HIDDEN],
        "post_attention_layernorm": [HIDDEN],
        "self_attn.q_proj": [HIDDEN, HIDDEN],
        "self_attn.k_proj": [1024, HIDDEN],
        "self_attn.v_proj": [1024, HIDDEN],
        "self_attn.o_proj": [HIDDEN, HIDDEN],
        "mlp.gate_proj": [FFN, HIDDEN],
        "mlp.up_proj": [FFN, HIDDEN],
        "mlp.down_proj": [HIDDEN, FFN],
    }
    shapes = {"model.embed_tokens.weight": [VOCAB, HIDDEN], "model.norm.weight": [HIDDEN]}
    for index in range(LAYERS):
        shapes |= {f"model.layers.{index}.{name}.weight": s for name, s in layer.items()}
    return shapes


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A folder of 3.5 billion weights, all holes: opening it is cheap, reading it is not."""
    folder = tmp_path_factory.mktemp("large")
    config = {
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": FFN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": VOCAB,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
    }
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(DEMO / "tokenizer.json", folder)
    header, offset = {}, 0
    for name, shape in weight_shapes().items():
        size = 2
        for extent in shape:
            size *= extent
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + offset)
    assert offset > 4 * MEMORY
    return folder


def run_small(*args: object) -> subprocess.CompletedProcess:
    """`dms args...` where the weights would find no memory."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))  # noqa: E731
    return subprocess.run(
        [str(binary()), *map(str, args)],
        capture_output=True,
        preexec_fn=limit,
        timeout=HANG_GUARD_S,
        check=False,
    )


def test_the_weights_find_no_memory(large):
    assert_error(run_small("generate", large, "-p", "a"), "memory", status=1)


CACHE = [
    (("--policy", "oracle"), "oracle"),
    (("--policy", "dms"), "no trained eviction"),
    (("--policy", "random", "--policy-args", "cr=0"), "cr"),
    (("--policy", "random", "--policy-args", "x=1"), "x"),
    (("--policy", "random", "--policy-args", "window=3", "--window", 4), "--window: contradicts"),
    (("--policy", "snapkv", "--policy-args", "compression_ratio=1"), "compression_ratio: takes"),
    (("--policy", "snapkv", "--policy-args", "budget=512"), "expected 1 to 511"),
    (("--policy", "streaming", "--window", 4), "--window"),
    (("--policy", "none", "--window", 4), "--window: has no effect"),
    (("--window", 4), "--window: has no effect"),
    (("--policy", "forced"), "--decisions"),
    (("--policy", "forced", "--decisions", "/nowhere.npy"), "/nowhere.npy"),
    (("--policy", "forced", "--decisions", "/etc/passwd"), "/etc/passwd"),
    (("--policy", "random", "--decisions", "x.npy"), "--decisions"),
    (("--kv-dtype", "int9"), "--kv-dtype"),
    (("--dtype", "f8"), "--dtype"),
    (("--weights", "f32"), "--weights"),
    (("--adapter", "/nowhere"), "/nowhere"),
]


@pytest.mark.parametrize(("options", "word"), CACHE)
@pytest.mark.parametrize("command", ["generate", "score", "bench"])
def test_cache_and_model_options(large, tmp_path, command, options, word):
    (tmp_path / "text").write_text("A text.")
    more = {
        "generate": ["-p", "a"],
        "score": ["--text-file", tmp_path / "text"],
        "bench": ["--prompt-lens", 8],
    }
    assert_error(run_small(command, large, *more[command], *options), word)


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("generate", "-p", "a", "--stop", "x" * 1025), "stop"),
        (("generate", "-p", "a", *(["--stop", "x"] * 65)), "stop"),
        (("generate", "-p", "a", "--stop", ""), "stop"),
        (("generate", "-p", "a", "--stop-id", VOCAB), "--stop-id"),
        (("generate", "-p", "a", "--greedy", "--temperature", "1"), "--greedy"),
        (("generate", "-p", "word " * 600), "at most 512"),
        (("generate", "-p", "", "--no-special"), "prompt: is empty"),
        (("generate", "--ids", "IDS", "--no-special"), "--no-special"),
        (("score", "--ids", "IDS", "--no-special"), "--no-special"),
        (("score", "--ids", "IDS", "--logits", "/nowhere/x.npy"), "/nowhere/x.npy"),
        (("score", "--ids", "IDS", "--save-decisions", "/nowhere/x.npy"), "/nowhere/x.npy"),
        (("score", "--ids", "IDS", "--logits", "x", "--save-decisions", "./x"), "of --logits"),
        (("score", "--ids", "IDS", "--context", 513), "--context"),
        (("bench", "--prompt-lens", 512), "--prompt-lens"),
    ],
)
def test_prompts_and_files(large, tmp_path, args, word):
    (tmp_path / "ids.json").write_text("[1, 2, 3]")
    command, *rest = (tmp_path / "ids.json" if word == "IDS" else word for word in args)
    assert_error(run_small(command, large, *rest), word)
    assert os.listdir(tmp_path) == ["ids.json"]


@pytest.mark.parametrize("part", ["x", "word ", "\N{CYRILLIC SMALL LETTER ZHE}"])
def test_texts_far_beyond_the_context(large, tmp_path, part):
    """Merging all of it would take more memory than there is."""
    (tmp_path / "text").write_text(part * (100_000_000 // len(part.encode())))
    done = run_small("generate", large, "--prompt-file", tmp_path / "text")
    assert_error(done, "prompt: longer than", "got more than 512 tokens", "expected at most 512")
