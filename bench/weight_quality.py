"""What fewer bits of the weights cost: perplexity, and divergence from the float32 model.

python bench/weight_quality.py MODEL --text FILE [--tokens 2000] [--calibrate FILE] [--no-folders]

Rows: --weights bf16, int8 and int4 at load, then folders that `dms quantize` wrote, int4 also with
the calibration text. KLD: mean over tokens of the divergence of the next token's distribution, in
nats. Writes Markdown to stdout.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

CHECKOUT = Path(__file__).resolve().parents[1]
DENSE = ("--policy", "none")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--calibrate", type=Path)
    parser.add_argument("--no-folders", action="store_true", help="only --weights at load")
    default = CHECKOUT / "build" / "release" / "src" / "cli" / "dms"
    parser.add_argument("--dms", type=Path, default=default)
    return parser.parse_args()


def run(*call: object) -> str:
    done = subprocess.run(list(map(str, call)), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def divergence(reference: Path, other: Path) -> float:
    """Mean KL(reference || other) of the rows, a block at a time."""
    expected, got = np.load(reference, mmap_mode="r"), np.load(other, mmap_mode="r")
    total = 0.0
    for first in range(0, len(expected), 128):
        p, q = (log_softmax(np.asarray(x[first : first + 128])) for x in (expected, got))
        total += float((np.exp(p) * (p - q)).sum())
    return total / len(expected)


def main() -> None:
    args = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokens = run(args.dms, "tokenize", args.model, "--text-file", args.text, "--json")
        ids = folder / "ids.json"
        ids.write_text(json.dumps(json.loads(tokens)["ids"][: args.tokens]))

        def score(model: Path, out: str, *options: str) -> float:
            call = (args.dms, "score", model, "--ids", ids, *DENSE, "--json", *options)
            return json.loads(run(*call, "--logits", folder / out))["ppl"]

        exact = score(args.model, "exact.npy", "--dtype", "f32")
        print(f"| weights | perplexity ({exact:.4f} in float32) | KLD |\n|---|---|---|")

        def row(label: str, model: Path, *options: str) -> None:
            perplexity = score(model, "row.npy", *options)
            kld = divergence(folder / "exact.npy", folder / "row.npy")
            change = 100 * (perplexity / exact - 1)
            print(f"| {label} | {perplexity:.4f} ({change:+.2f} %) | {kld:.5f} |", flush=True)

        for weights in ("bf16", "int8", "int4"):
            row(weights, args.model, "--weights", weights)
        if args.no_folders:
            return
        quantize = (args.dms, "quantize", args.model)
        run(*quantize, folder / "int4")
        row("int4, `dms quantize`", folder / "int4")
        if args.calibrate:
            run(*quantize, folder / "calibrated", "--calibrate", args.calibrate)
            row("int4, `dms quantize --calibrate`", folder / "calibrated")


if __name__ == "__main__":
    main()
