"""Folders whose side files add tokens and set flags: `dms tokenize` against AutoTokenizer.

Random tokenizer_config.json, special_tokens_map.json and added_tokens.json stand beside a small
tokenizer.json; ids and decoded text of texts full of these tokens must be equal.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file

from models import Shape, build

FOLDERS = 40
CONTENTS = ["<s>", "</s>", "<|im_end|>", "<img>", "ab", "abc", "XY", "q", "é", "tool call", " sp"]
NAMED = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]
FLAGS = ["single_word", "lstrip", "rstrip", "normalized", "special"]


def flags(rng: random.Random, **fixed) -> dict:
    """Some flags of a token; those left out take their defaults."""
    return {name: rng.random() < 0.5 for name in FLAGS if rng.random() < 0.7} | fixed


def token(rng: random.Random, typed: bool) -> str | dict:
    """A token as the files write it: text, or an object."""
    content = rng.choice(CONTENTS)
    if rng.random() < 0.6:
        return content
    mark = {"__type": "AddedToken"} if typed else {}
    return mark | flags(rng, content=content)


def tokenizer_json(rng: random.Random) -> dict:
    """A byte-level vocabulary of single bytes, with a few added tokens of its own."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocab = {c: i for i, c in enumerate(alphabet)}
    added = []
    for content in rng.sample(CONTENTS, rng.randrange(4)):
        ident = vocab.get(content, len(vocab) + sum(t["content"] not in vocab for t in added))
        added.append(dict.fromkeys(FLAGS, False) | flags(rng, id=ident, content=content))
    replace = {"type": "Replace", "pattern": {"String": "x"}, "content": "."}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "added_tokens": added,
        # Changes no token's spelling: the library decodes a token that was normalized first and is
        # not any more in its normalized form, and no longer as a special one.
        "normalizer": rng.choice([None, replace]),
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    }


def side_files(rng: random.Random) -> dict[str, dict]:
    """The files, each there or not."""
    config: dict = {"tokenizer_class": "PreTrainedTokenizerFast"}
    special_map: dict = {}
    for name in [*NAMED, "image_token", "a_token"]:
        if rng.random() < 0.3:
            config[name] = token(rng, typed=True)
        if rng.random() < 0.2:
            special_map[name] = token(rng, typed=False)
    if rng.random() < 0.3:
        config["additional_special_tokens"] = [token(rng, typed=True)]
    if rng.random() < 0.3:
        config["extra_special_tokens"] = rng.choice(
            [[token(rng, typed=True)], [], {"z": rng.choice(CONTENTS), "b": rng.choice(CONTENTS)}]
        )
    if rng.random() < 0.3:
        special_map["extra_special_tokens"] = [token(rng, typed=False)]
    if rng.random() < 0.2:
        special_map["additional_special_tokens"] = rng.sample(CONTENTS, 2)
    if rng.random() < 0.5:
        config["added_tokens_decoder"] = {
            str(rng.randrange(300)): flags(rng, content=rng.choice(CONTENTS))
            for _ in range(rng.randrange(5))
        }
    files = {"tokenizer_config.json": config}
    if rng.random() < 0.5:
        files["special_tokens_map.json"] = special_map
    if rng.random() < 0.5:
        files["added_tokens.json"] = {
            c: 256 + i for i, c in enumerate(rng.sample(CONTENTS, rng.randrange(4)))
        }
    return files


def text_of_tokens(rng: random.Random) -> str:
    """Tokens beside each other, beside letters and beside white space."""
    between = ["", " ", "  ", "x", "X ", "\n", "."]
    return "".join(rng.choice(CONTENTS) + rng.choice(between) for _ in range(30))


@pytest.mark.parametrize("part", range(4))
def test_equals_auto_tokenizer(
    part: int, rng: random.Random, tmp_path: Path, dms_json: Callable[..., dict]
) -> None:
    """Ids, and text without special tokens."""
    compared = 0
    for trial in range(FOLDERS // 4):
        folder = tmp_path / str(trial)
        folder.mkdir()
        files = {"tokenizer.json": tokenizer_json(rng), "config.json": {"model_type": "llama"}}
        files |= side_files(rng)
        for name, value in files.items():
            (folder / name).write_text(json.dumps(value))
        try:
            theirs = transformers.AutoTokenizer.from_pretrained(folder)
        except (TypeError, ValueError):  # an object where it takes text only: more is read here
            continue
        text = text_of_tokens(rng)
        (folder / "text").write_text(text)
        ids = theirs.encode(text, add_special_tokens=False)
        context = f"trial={trial} text={text!r} added={files['tokenizer.json']['added_tokens']} "
        context += json.dumps({k: v for k, v in files.items() if k != "tokenizer.json"})
        ours = dms_json("tokenize", str(folder), "--text-file", str(folder / "text"), "--json")
        assert ours["ids"] == ids, context
        (folder / "ids").write_text(json.dumps(ids))
        back = ["--decode", "--no-special", "--ids", str(folder / "ids")]
        ours = dms_json("tokenize", str(folder), *back, "--json")
        assert ours["text"] == theirs.decode(ids, skip_special_tokens=True), context
        compared += 1
    assert compared > FOLDERS // 16, "too few folders that AutoTokenizer reads"


def sentencepiece(vocab: int) -> tokenizers.Tokenizer:
    """Llama-2's decoder, which drops the space at the start of a text, over words and bytes."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    words += [f"▁w{i}" for i in range(vocab - len(words))]
    model = tokenizers.models.BPE(
        {word: i for i, word in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.decoder = tokenizers.decoders.Sequence(
        [
            tokenizers.decoders.Replace("▁", " "),
            tokenizers.decoders.ByteFallback(),
            tokenizers.decoders.Fuse(),
            tokenizers.decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return tokenizer


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of random weights with that tokenizer; it says words and no bytes."""
    folder = build(tmp_path / "model", Shape("llama", vocab=400, tied=False), seed=1)
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"][:260] = torch.zeros(())
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    sentencepiece(400).save(str(folder / "tokenizer.json"))
    return folder


def test_an_end_token_of_the_tokenizer_ends_an_answer(
    model: Path, tmp_path: Path, dms_json: Callable[..., dict]
) -> None:
    """It counts beside those of config.json."""
    (tmp_path / "ids").write_text("[1, 270, 280]")
    command = ("generate", str(model), "--ids", str(tmp_path / "ids"), "-n", 12)
    before = dms_json(*command)["ids"]
    last = before[5]
    end = {"__type": "AddedToken", "content": sentencepiece(400).id_to_token(last)}
    (model / "tokenizer_config.json").write_text(json.dumps({"eos_token": end}))
    report = dms_json(*command)
    assert report["ids"] == before[: before.index(last) + 1]
    assert report["finish_reason"] == "stop"
    assert last in dms_json("inspect", str(model))["eos_ids"]


def test_a_broken_tokenizer_hides_nothing_from_inspect(
    model: Path, dms_json: Callable[..., dict]
) -> None:
    (model / "tokenizer_config.json").write_text('{"eos_token": 3}')
    report = dms_json("inspect", str(model))
    assert report["eos_ids"]
    assert any("eos_token" in note for note in report["notes"])


def test_a_continuation_goes_on_where_its_prompt_ended(
    model: Path, tmp_path: Path, dms_json: Callable[..., dict]
) -> None:
    """Its text keeps the space of its first word, and does not lose a character begun before."""
    tokenizer = sentencepiece(400)
    word, snow = 300, [tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in "☃".encode()]
    for prompt in ([1, word, 310], [1, word, *snow], [1, word, *snow[:2]]):
        (tmp_path / "ids").write_text(json.dumps(prompt))
        command = ("--ids", str(tmp_path / "ids"), "-n", 12, "--ignore-eos")
        report = dms_json("generate", str(model), *command)
        whole = tokenizer.decode(prompt + report["ids"])
        said = tokenizer.decode(prompt).rstrip("\ufffd")
        assert whole.startswith(said)
        assert report["text"] == whole[len(said) :]
