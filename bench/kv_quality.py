"""What survivors in few bits cost: perplexity and KL divergence from exact survivors, by format.

python bench/kv_quality.py MODEL --text FILE [--formats int8,lloyd4,…] [--policy NAME]
                           [--policy-args k=v,…] [--window N] [--exact-layers 0,2]

The text is scored once with bf16 survivors and once with each format, with float32 activations, so
that nothing but the survivors differs. Without a policy nothing is evicted and there is no window:
all but the last tokens are survivors. Writes Markdown to stdout.
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
FORMATS = "int8,fp8,int4,lloyd4,higgs4,k=int8;v=lloyd4,higgs3,higgs2"
ROWS = 128


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--formats", default=FORMATS, help="sides of one format joined by ;")
    parser.add_argument("--policy", default="none")
    parser.add_argument("--policy-args", default="")
    parser.add_argument("--window", default="")
    parser.add_argument("--exact-layers", default="0")
    default = CHECKOUT / "build" / "release" / "src" / "cli" / "dms"
    parser.add_argument("--dms", type=Path, default=default)
    return parser.parse_args()


def score(args: argparse.Namespace, kv_dtype: str, exact: str, logits: Path) -> dict:
    """The report of `dms score`; the logits of every token go to a file."""
    call = [args.dms, "score", args.model, "--text-file", args.text, "--json"]
    call += ["--policy", args.policy, "--dtype", "f32", "--weights", "bf16"]
    call += ["--policy-args", args.policy_args] if args.policy_args else []
    call += ["--window", args.window] if args.window else []
    call += ["--kv-dtype", kv_dtype, "--logits", logits]
    call += ["--kv-exact-layers", exact] if exact != "0" else []
    done = subprocess.run(list(map(str, call)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def compare(exact_file: Path, other_file: Path) -> tuple[float, float]:
    """Mean KL divergence from the exact run in nats, and the share of equal likeliest tokens."""
    exact, other = (np.load(file, mmap_mode="r") for file in (exact_file, other_file))
    divergence, same = 0.0, 0
    for first in range(0, len(exact), ROWS):
        p, q = (log_softmax(np.asarray(rows[first : first + ROWS])) for rows in (exact, other))
        divergence += float((np.exp(p) * (p - q)).sum())
        same += int((p.argmax(axis=1) == q.argmax(axis=1)).sum())
    return divergence / len(exact), same / len(exact)


def main() -> None:
    args = arguments()
    with tempfile.TemporaryDirectory() as folder:
        exact_file, other_file = Path(folder) / "exact.npy", Path(folder) / "other.npy"
        exact = score(args, "bf16", "0", exact_file)
        print(f"{exact['tokens']} tokens, policy {args.policy}, CR {exact['kv']['cr']:.2f}\n")
        print("| survivors | perplexity | KLD, nats | same likeliest | times smaller than dense |")
        print("|---|---|---|---|---|")
        print(f"| bf16 | {exact['ppl']:.3f} | | | {bytes_ratio(exact):.1f} |", flush=True)
        for kv_dtype in args.formats.replace(",", " ").replace(";", ",").split():
            for layers in args.exact_layers.split(","):
                run = score(args, kv_dtype, layers, other_file)
                divergence, same = compare(exact_file, other_file)
                name = kv_dtype + (f", {layers} layers exact" if layers != "0" else "")
                change = 100 * (run["ppl"] / exact["ppl"] - 1)
                print(
                    f"| {name} | {run['ppl']:.3f} ({change:+.2f} %) | {divergence:.2g} "
                    f"| {100 * same:.1f} % | {bytes_ratio(run):.1f} |",
                    flush=True,
                )


def bytes_ratio(report: dict) -> float:
    """Dense bf16 keys and values to what the cache took: `dense_bytes` are float32's."""
    return report["kv"]["dense_bytes"] / 2 / report["kv"]["allocated_bytes"]


if __name__ == "__main__":
    main()
