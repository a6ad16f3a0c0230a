"""F1 over words is the one that LongBench's Python computes, whatever the letters."""

from __future__ import annotations

import json
import random
import unicodedata

import pytest

from longbench_reference import f1, words
from script_model import write_script_model

RECORDS = 300
# What Python and Unicode treat in a way of their own: sigmas and what may stand behind them, blanks
# that are none elsewhere, capitals that become two characters, marks that end a word.
ODD = [*"ΣσςİIıßẞÅǅⅣⓐªʰ'.:·’_-—\u0301\u0345\u00ad\u200b\x1c\x1f\x85\xa0\u2028\u3000\ufeff"]
ARTICLES = ["a", "an", "the", "A", "An", "THE", "a\u0301", "the—end", "an'a", "x_the", "Äthe", "a٣"]


def random_word(rng: random.Random, letters: list[str]) -> str:
    return "".join(
        rng.choice(ODD) if rng.random() < 0.3 else rng.choice(letters)
        for _ in range(rng.randint(1, 6))
    )


def varied(rng: random.Random, word: str) -> str:
    """The same but for its case, perhaps."""
    return rng.choice([str, str.upper, str.lower, str.title, str.swapcase])(word)


@pytest.fixture(scope="module")
def letters() -> list[str]:
    """All characters that this Python knows; of those with a case more than of others."""
    known = [c for c in map(chr, range(1, 0x110000)) if unicodedata.category(c) not in ("Cn", "Cs")]
    known = [c for c in known if unicodedata.category(c) != "Co"]
    cased = [c for c in known if c.lower() != c]
    return known + cased * (len(known) // len(cased) * 2)


def test_word_f1_is_pythons(dms, tmp_path, letters, seed):
    rng = random.Random(seed)
    said = [random_word(rng, letters) for _ in range(40)] + ARTICLES + ["ΟΔΟΣ", "Σ.Σ"]
    rng.shuffle(said)
    answer = " ".join(said)
    folder = tmp_path / "data"
    folder.mkdir()
    with (folder / "hotpotqa.jsonl").open("w") as file:
        for _ in range(RECORDS):
            same = [varied(rng, w) for w in rng.sample(said, rng.randint(0, 12))]
            other = [random_word(rng, letters) for _ in range(rng.randint(1, 6))]
            chosen = same + other
            rng.shuffle(chosen)
            reference = rng.choice([" ", "\u2003", "\x1d"]).join(chosen)
            record = {"input": "What?", "context": "Words.", "answers": [reference]}
            file.write(json.dumps(record | {"all_classes": None, "language": "en"}) + "\n")
    model = write_script_model(tmp_path / "m", {"\nAnswer:": [answer]}, "")
    command = ("eval", "longbench", model, "--data", folder, "--lengths", 2000)
    dms(*command, "--policies", "none", "--samples", RECORDS, "--out", tmp_path / "out")
    lines = (tmp_path / "out" / "results.jsonl").read_text().split("\n")[1:-1]
    records = [json.loads(line) for line in lines]
    assert len(records) == RECORDS
    scores = set()
    for record in records:
        texts = record["texts"]
        assert words(texts["answer"]) == words(answer)
        score = record["numbers"]["score"]
        assert score == pytest.approx(f1(texts["answer"], texts["expected"]), abs=1e-12), texts
        scores.add(round(score, 6))
    assert len(scores) > 50
