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

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

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
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "Lowercase"} if rng.random() < 0.3 else None,
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
