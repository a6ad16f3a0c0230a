"""What guessing ahead gains where an answer copies, and what it costs where nothing repeats.

python bench/speculation.py MODEL --text FILE [--tokens 256] [--speculate 8] [--rounds 5]

Copying: FILE's first `--document` tokens, then the beginning of a passage from it, which the model
goes on with. Prose: the beginning of the passage alone, sampled, since small models repeat
themselves where they always take the likeliest token. Runs with and without guesses take turns;
each row is the median of the rounds' ratios of decode speed. Answers must be the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, required=True, help="a text without repetitions")
    parser.add_argument("--document", type=int, default=4096, help="tokens of it")
    parser.add_argument(
        "--opening", type=int, default=32, help="tokens that the model goes on with"
    )
    parser.add_argument("--tokens", type=int, default=256, help="of the answer")
    parser.add_argument("--speculate", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default="copying,prose", help="comma-separated")
    parser.add_argument("--options", default="", help="more of generate's, separated by blanks")
    default = CHECKOUT / "build" / "release" / "src" / "cli" / "dms"
    parser.add_argument("--dms", type=Path, default=default)
    return parser.parse_args()


class Generator:
    """`dms generate` on one model."""

    def __init__(self, args: argparse.Namespace):
        self.args = args

    def ids_of(self, text: Path) -> list[int]:
        call = [self.args.dms, "tokenize", self.args.model, "--text-file", text, "--json"]
        return json.loads(subprocess.check_output(call))["ids"]

    def answer(self, ids: Path, temperature: float, speculate: int) -> dict:
        call = [self.args.dms, "generate", self.args.model, "--ids", ids, "--json"]
        call += ["--temperature", temperature, "--seed", 1]
        call += ["--ignore-eos", "-n", self.args.tokens, "--speculate", speculate]
        call += self.args.options.split()
        return json.loads(subprocess.check_output(list(map(str, call))))


def measure(
    name: str, prompt: list[int], temperature: float, generator: Generator, folder: Path
) -> str:
    """A row of the table."""
    args = generator.args
    file = folder / f"{name}.json"
    file.write_text(json.dumps(prompt))
    ratios = []
    for _ in range(args.rounds):
        plain, guessed = (
            generator.answer(file, temperature, count) for count in (0, args.speculate)
        )
        assert plain["ids"] == guessed["ids"], f"{name}: another answer"
        speeds = [each["timings"]["decode_tok_s"] for each in (plain, guessed)]
        ratios.append(speeds[1] / speeds[0])
    counts = f"{guessed['accepted_tokens']} of {guessed['drafted_tokens']}"
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"| {name} | {len(prompt)} | {speeds[0]:.1f} | {speeds[1]:.1f} | {spread} | {counts} |"


def main() -> None:
    args = arguments()
    generator = Generator(args)
    ids = generator.ids_of(args.text)
    document = ids[: args.document]
    middle = len(document) // 3
    opening = document[middle : middle + args.opening]
    print("| | prompt | tok/s without | with | ratio | guesses right |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        rows = (("copying", document + opening, 0.0), ("prose", opening, 0.8))
        for name, prompt, temperature in rows:
            if name in args.rows.split(","):
                row = measure(name, prompt, temperature, generator, Path(folder))
                print(row, flush=True)


if __name__ == "__main__":
    main()
