"""Tokenizers trained on the spot by Hugging Face's library against `dms tokenize`.

Each kind of pipeline is trained small, then random Unicode text with added tokens goes through both
programs: ids, token strings and decoded text must be equal. DMS_TEST_SEED sets the seed.
"""

from __future__ import annotations

import json
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
from grapheme_probes import double_array  # noqa: E402

TEXTS_PER_KIND = 24
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = (
    CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
O200K = "|".join(  # Phi-4-mini's
    [
        rf"[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]*[{LOWER}]+{CONTRACTIONS}?",
        rf"[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]+[{LOWER}]*{CONTRACTIONS}?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
OTHER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{M}]*[\p{Ll}\p{M}]+|\p{Nd}{1,2}|[\p{P}\p{S}]+|\s+|."
WORDS = [
    "the",
    "quick",
    "brown",
    "foxes",
    "don't",
    "jump",
    "over",
    "12345",
    "lazy",
    "dogs;",
    "Größe,",
    "naïve",
    "café",
]
SPECIAL = ["<s>", "</s>", "<|end|>"]
SCRIPTS = [
    (0x20, 0x7E),
    (0xA0, 0x24F),
    (0x300, 0x36F),
    (0x370, 0x52F),
    (0x590, 0x6FF),
    (0x900, 0x97F),
    (0x1100, 0x11FF),
    (0x1E00, 0x1FFF),
    (0x2000, 0x206F),
    (0x2150, 0x218F),
    (0x3000, 0x30FF),
    (0x4E00, 0x4FFF),
    (0xAC00, 0xACFF),
    (0xF900, 0xFAFF),
    (0x10D40, 0x10D8F),
    (0x1D100, 0x1D1FF),
    (0x1F300, 0x1F6FF),
]


def random_text(rng: random.Random) -> str:
    """Words, white space, added tokens and characters of many scripts, in any order."""
    parts = []
    for _ in range(rng.randrange(60)):
        kind = rng.randrange(8)
        if kind < 3:
            parts.append(rng.choice(WORDS) + rng.choice([" ", "", "'s", "'LL"]))
        elif kind == 3:
            parts.append(rng.choice([" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", " \n "]))
        elif kind == 4:
            parts.append(rng.choice([*SPECIAL, "XY", " XY ", "lr", "no  rm", "cafe\u0301"]))
        elif kind == 5:
            parts.append(str(rng.randrange(10 ** rng.randrange(1, 9))))
        else:
            first, last = rng.choice(SCRIPTS)
            parts.extend(chr(rng.randint(first, last)) for _ in range(rng.randrange(1, 6)))
    return "".join(parts)


def byte_level(pattern: str | None, normalizer=None, prefix: bool = False) -> Tokenizer:
    """Byte-level BPE; without a pattern, ByteLevel's own."""
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pattern is None:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False),
            ]
        )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def steps_then_bytes(*steps) -> Tokenizer:
    """A sequence of pre-tokenizers, byte level among them."""
    tokenizer = byte_level(None)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(steps))
    return tokenizer


def sentencepiece_like(fuse: bool = True, fallback: bool = True) -> Tokenizer:
    """Llama-2's pipeline."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=fallback))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


def gemma() -> Tokenizer:
    """Nothing is put before the first word, and the pre-tokenizer sees no spaces any more."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def metaspace(scheme: str) -> Tokenizer:
    """Metaspace with byte fallback, as newer SentencePiece conversions have it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return tokenizer


def unigram(normalizer=None, pre_tokenizer=None, fallback: bool = False) -> Tokenizer:
    """A SentencePiece unigram model as T5, XLM-R and others have it."""
    tokenizer = Tokenizer(models.Unigram())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer or pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    if fallback:
        tokenizer.decoder = decoders.Sequence(
            [decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()]
        )
    return tokenizer


def charsmap() -> normalizers.Normalizer:
    """Replacements as SentencePiece's: of single characters, of some with a mark, by nothing."""
    keys = {
        "\t": " ",
        "\u00a0": " ",
        "\u3000": " ",
        "\x07": "",
        "ﬁ": "fi",
        "é": "e",
        "e\u0301": "E",
        "\u0301": "'",
        "①": "1",
        "㌔": "キロ",
        "A": "a",
        "ｶ": "カ",
        "ｶﾞ": "ガ",
        "क": "k",
        "\r\n": "\n",
        "©": "(c)",
        "\u200d": "",
    }
    blob, values = b"", {}
    for key, text in keys.items():
        values[key.encode()] = len(blob)
        blob += text.encode() + b"\0"
    units = double_array(values)
    packed = struct.pack(f"<I{len(units)}I", 4 * len(units), *units)
    return normalizers.Precompiled(packed + blob)


def words_with_suffix() -> Tokenizer:
    """GPT-1's pipeline: lower case, words with </w> at their end."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    return tokenizer


def word_pieces() -> Tokenizer:
    """BPE with the prefix and decoder of word pieces."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"))
    tokenizer.normalizer = normalizers.NFKD()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    return tokenizer


def spelled_out() -> Tokenizer:
    """Bytes spelled out by the normalizer instead of the pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.ByteLevel()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("Ġ"), "merged_with_next")
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def delimited() -> Tokenizer:
    """Metaspace that sees only what comes first, behind other splitters."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.CharDelimiterSplit("o"),
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(prepend_scheme="first"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    return tokenizer


DIGITS = pre_tokenizers.Digits(individual_digits=False)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
KINDS: dict[str, Callable[[], Tokenizer]] = {
    "gpt2": lambda: byte_level(None),
    "gpt2-prefix-nfc": lambda: byte_level(None, normalizers.NFC(), True),
    "llama3": lambda: byte_level(LLAMA3),
    "qwen2-nfc": lambda: byte_level(QWEN2, normalizers.NFC()),
    "other-pattern": lambda: byte_level(OTHER),
    "falcon": lambda: steps_then_bytes(
        pre_tokenizers.Punctuation("contiguous"),
        BYTES,
        DIGITS,
        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
    ),
    "starcoder": lambda: steps_then_bytes(pre_tokenizers.Digits(individual_digits=True), BYTES),
    "merged-with-next": lambda: steps_then_bytes(
        pre_tokenizers.Split(Regex(r"[\s_]+"), "merged_with_next", invert=True), BYTES
    ),
    "o200k": lambda: byte_level(O200K),
    "sentencepiece": sentencepiece_like,
    "sentencepiece-gemma": gemma,
    "sentencepiece-unfused": lambda: sentencepiece_like(False, False),
    "metaspace-first": lambda: metaspace("first"),
    "metaspace-never": lambda: metaspace("never"),
    "unigram": unigram,
    "unigram-nfkc": lambda: unigram(
        normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    ),
    "unigram-precompiled": lambda: unigram(
        normalizers.Sequence(
            [charsmap(), normalizers.Strip(left=False), normalizers.Replace(Regex(" {2,}"), "▁")]
        ),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
    ),
    "unigram-bytes": lambda: unigram(
        normalizers.NFD(), pre_tokenizers.Metaspace(split=False), fallback=True
    ),
    "bpe-suffix": words_with_suffix,
    "bpe-word-pieces": word_pieces,
    "bpe-delimited": delimited,
    "byte-level-normalizer": spelled_out,
}
UNKNOWN_FIRST = ("sentencepiece", "metaspace", "bpe-", "unigram")


def trainer_for(name: str) -> trainers.Trainer:
    """Small vocabularies; those of SentencePiece's kinds have byte tokens where they fall back."""
    has_bytes = name.startswith(("sentencepiece", "metaspace", "unigram-bytes"))
    bytes_tokens = [f"<0x{b:02X}>" for b in range(256)] if has_bytes else []
    special = ["<unk>", *SPECIAL, *bytes_tokens]
    if name.startswith("unigram"):
        return trainers.UnigramTrainer(
            vocab_size=1000, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    options = {}
    if name == "bpe-suffix":
        options["end_of_word_suffix"] = "</w>"
    if name == "bpe-word-pieces":
        options["continuing_subword_prefix"] = "##"
    is_bytes = not name.startswith(UNKNOWN_FIRST)
    return trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if is_bytes else [],
        limit_alphabet=300,
        show_progress=False,
        **options,
    )


def train(name: str, rng: random.Random) -> Tokenizer:
    """A small tokenizer of a kind, with added tokens of every flag."""
    tokenizer = KINDS[name]()
    texts = [random_text(rng) for _ in range(400)]
    if name.startswith("unigram"):  # its trainer takes all characters it sees
        texts = ["".join(c for c in text if ord(c) < 0x180) for text in texts]
    tokenizer.train_from_iterator(texts, trainer_for(name))
    state = json.loads(tokenizer.to_str())
    # The trainer marks byte tokens special; published files do not.
    state["added_tokens"] = [t for t in state["added_tokens"] if not t["content"].startswith("<0x")]
    if name == "unigram-bytes":
        state["model"]["byte_fallback"] = True
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_tokens(
        [
            AddedToken("XY", single_word=True, normalized=False),
            AddedToken("lr", lstrip=True, rstrip=True, normalized=False),
            AddedToken("no  rm", normalized=True),
            AddedToken("cafe\u0301", normalized=True),
        ]
    )
    start = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", start)]
    )
    if name == "unigram":
        end = tokenizer.token_to_id("</s>")
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", end), ("<s>", start))
    return tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_equals_tokenizers(
    kind: str, rng: random.Random, tmp_path: Path, dms_json: Callable[..., dict]
) -> None:
    """Ids, token strings and decoded text of random texts and of random ids."""
    tokenizer = train(kind, rng)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    text_file, ids_file = tmp_path / "text.txt", tmp_path / "ids.json"
    for trial in range(TEXTS_PER_KIND):
        text = random_text(rng)
        text_file.write_bytes(text.encode())
        ours = dms_json("tokenize", str(tmp_path), "--text-file", str(text_file), "--json")
        expected = tokenizer.encode(text)
        context = f"trial={trial} text={text!r}"
        assert ours["ids"] == expected.ids, context
        assert ours["tokens"] == [tokenizer.id_to_token(i) for i in expected.ids], context
        if trial % 4 != 0:
            continue
        ids = expected.ids + [rng.randrange(tokenizer.get_vocab_size()) for _ in range(30)]
        ids_file.write_text(json.dumps(ids))
        ours = dms_json("tokenize", str(tmp_path), "--decode", "--ids", str(ids_file), "--json")
        assert ours["text"] == tokenizer.decode(ids, skip_special_tokens=False), f"{context} {ids}"
