"""What a trained model forgets and what it keeps: perplexity and recall, dense against policies.

python bench/demo_quality.py MODEL --text FOLDER [--documents 12] [--tokens 4000]
                             [--needles 20] [--needle-lengths 250,500,1000,2000]

Perplexity: every token of `documents` texts of `tokens` tokens each (one from each file of FOLDER
in turn, from its middle) predicted through the cache under test. `streaming` and `random` get the
memory that DMS used. Recall: a four-digit number hidden at a random place of a text of that many
tokens, asked for at its end in RULER's words; share of exact answers. Writes Markdown to stdout.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
ADJECTIVES = ("quiet", "brave", "golden", "distant", "hollow", "bright", "silver", "gentle")
NOUNS = ("harbour", "lantern", "window", "valley", "copper", "orchard", "thunder", "velvet")
QUESTION = "What is the special magic number for {key} mentioned in the provided text?"
ANSWER = " The special magic number for {key} mentioned in the provided text is"
FACT = "One of the special magic numbers for {key} is: {value}"
INTRO = (
    "A special magic number is hidden within the following text. Make sure to memorize it. "
    "I will quiz you about the number afterwards.\n"
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, required=True, help="folder of held-out .txt files")
    parser.add_argument("--documents", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--needles", type=int, default=20)
    parser.add_argument("--needle-lengths", default="250,500,1000,2000")
    default = CHECKOUT / "build" / "release" / "src" / "cli" / "dms"
    parser.add_argument("--dms", type=Path, default=default)
    return parser.parse_args()


class Dms:
    """The program under test on one model."""

    def __init__(self, args: argparse.Namespace):
        self.program, self.model = args.dms, args.model

    def run(self, command: str, *options: object, stdin: str) -> dict:
        call = [self.program, command, self.model, *options, "--json"]
        done = subprocess.run(
            list(map(str, call)), input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(done.stderr)
        return json.loads(done.stdout)

    def ids(self, text: str) -> list[int]:
        return self.run("tokenize", "--text-file", "-", stdin=text)["ids"]

    def text(self, ids: list[int]) -> str:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(ids, file)
            file.flush()
            return self.run("tokenize", "--decode", "--ids", file.name, stdin="")["text"]


def excerpts(dms: Dms, args: argparse.Namespace) -> list[list[int]]:
    """Token ids of the documents."""
    files = sorted(args.text.rglob("*.txt"))
    result = []
    for index in range(args.documents):
        whole = files[index % len(files)].read_text(errors="replace")
        begin = len(whole) // 2 - (index // len(files) + 1) * args.tokens * 4
        result.append(dms.ids(whole[max(begin, 0) :][: args.tokens * 8])[: args.tokens])
    return result


def perplexity(dms: Dms, documents: list[list[int]], options: list[object]):
    """Perplexity over all documents, and their kv accounts' sums (dense, held)."""
    nll, count, dense, held = 0.0, 0, 0, 0
    for ids in documents:
        report = dms.run("score", "--ids", "-", *options, stdin=json.dumps(ids))
        nll += report["nll"] * (report["tokens"] - 1)
        count += report["tokens"] - 1
        dense += report["kv"]["dense_tokens"]
        held += report["kv"]["held_tokens"]
    return math.exp(nll / count), dense, held


def same_memory(window: int, tokens: float, kept: float) -> dict[str, list[object]]:
    """Options under which each policy holds `kept` entries a head of `tokens` tokens."""
    ratio = max((tokens - window) / max(kept - window, 1.0), 1.0)
    recent = max(round(kept) - 4, 1)
    return {
        "streaming": [
            "--policy",
            "streaming",
            "--policy-args",
            f"start_size=4,recent_size={recent}",
        ],
        "random": ["--policy", "random", "--policy-args", f"cr={ratio:.3f}", "--window", window],
    }


def needle(dms: Dms, pool: list[list[int]], length: int, rng: random.Random) -> tuple[str, str]:
    """A prompt of about `length` tokens, and its answer."""
    key = f"{rng.choice(ADJECTIVES)}-{rng.choice(NOUNS)}"
    value = str(rng.randint(1000, 9999))
    ids = rng.choice(pool)
    size = max(length - 80, 10)
    begin = rng.randrange(max(len(ids) - size, 1))
    sentences = dms.text(ids[begin : begin + size]).split(". ")
    sentences.insert(rng.randrange(len(sentences) + 1), FACT.format(key=key, value=value))
    question = QUESTION.format(key=key) + ANSWER.format(key=key)
    return f"{INTRO}{'. '.join(sentences)}\n{question}", value


def recall(dms: Dms, prompts: list[tuple[str, str]], options: list[object]) -> float:
    """Share of prompts whose answer is given."""
    right = 0
    for prompt, value in prompts:
        report = dms.run("generate", "--prompt-file", "-", "-n", 8, *options, stdin=prompt)
        right += value in report["text"]
    return right / len(prompts)


def main() -> None:
    args = arguments()
    dms = Dms(args)
    config = json.loads((args.model / "config.json").read_text())
    window = config["dms_window_size"]
    documents = excerpts(dms, args)
    dense_ppl, dense, _ = perplexity(dms, documents, ["--policy", "none"])
    dms_ppl, _, held = perplexity(dms, documents, ["--policy", "dms"])
    tokens = float(args.tokens)
    kept = tokens * held / dense
    others = same_memory(window, tokens, kept)
    print(f"{args.documents} documents of {args.tokens} tokens, window {window}\n")
    print("| policy | perplexity | against dense | entries held | beyond the window |")
    print("|---|---|---|---|---|")

    def row(name: str, ppl: float, share: float) -> None:
        beyond = (tokens - window) / max(share * tokens - window, 1.0)
        print(
            f"| {name} | {ppl:.2f} | {100 * (ppl / dense_ppl - 1):+.1f} % | 1/{1 / share:.2f} "
            f"| 1/{beyond:.2f} |",
            flush=True,
        )

    row("none", dense_ppl, 1.0)
    row("dms", dms_ppl, held / dense)
    for name, options in others.items():
        ppl, _, other = perplexity(dms, documents, options)
        row(name, ppl, other / dense)

    policies = {"none": ["--policy", "none"], "dms": ["--policy", "dms"]}
    print(f"\n| recall of {args.needles} numbers | none | dms | streaming | random |")
    print("|---|---|---|---|---|")
    for length in map(int, args.needle_lengths.split(",")):
        rng = random.Random(length)
        prompts = [needle(dms, documents, length, rng) for _ in range(args.needles)]
        report = dms.run("generate", "--prompt-file", "-", "-n", 1, stdin=prompts[0][0])
        share = report["kv"]["held_tokens"] / report["kv"]["dense_tokens"]
        cases = policies | same_memory(window, length, length * share)
        cells = [f"{100 * recall(dms, prompts, options):.0f} %" for options in cases.values()]
        print(f"| {length} tokens | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
