"""What KVzap's eviction costs beside others of the same memory: perplexity and KL divergence from
the full cache.

python bench/kvzap_quality.py MODEL --adapter DIR --text FILE [--tokens N] [--policy-args k=v,…]

Scores the first N tokens of the text with the full cache, with KVzap (`dms calibrate kvzap` made
the adapter), and with what holds as many entries at the end: `streaming` with so many recent
tokens, and `random` with KVzap's window and ratio. Float32 activations. Writes Markdown to stdout.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from kv_quality import compare

CHECKOUT = Path(__file__).resolve().parents[1]
N_SINK = 4


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=3000)
    parser.add_argument("--policy-args", default="", help="of kvzap: threshold=-6")
    default = CHECKOUT / "build" / "release" / "src" / "cli" / "dms"
    parser.add_argument("--dms", type=Path, default=default)
    return parser.parse_args()


def call(args: argparse.Namespace, *words: object) -> dict:
    command = [str(args.dms), *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    args = arguments()
    settings = call(args, "inspect", args.model, "--adapter", args.adapter)["kvzap"]
    with tempfile.TemporaryDirectory() as folder:
        ids = call(args, "tokenize", args.model, "--text-file", args.text)["ids"][: args.tokens]
        ids_file, full_file, other_file = (Path(folder) / name for name in ("ids", "full", "other"))
        ids_file.write_text(json.dumps(ids))

        def score(logits: Path, *words: object) -> dict:
            given = ("--ids", ids_file, "--dtype", "f32", "--weights", "bf16", "--logits", logits)
            return call(args, "score", args.model, *given, *words)

        def row(name: str, *words: object) -> dict:
            run = score(other_file, *words)
            divergence, same = compare(full_file, other_file)
            change = 100 * (run["ppl"] / full["ppl"] - 1)
            print(
                f"| {name} | {run['ppl']:.3f} ({change:+.2f} %) | {divergence:.4f} "
                f"| {100 * same:.1f} % | {run['kv']['cr']:.2f} |",
                flush=True,
            )
            return run["kv"]

        full = score(full_file, "--policy", "none")
        print(f"{len(ids)} tokens, window {settings['window']}\n")
        print("| policy | perplexity | KLD, nats | same likeliest | CR |\n|---|---|---|---|---|")
        print(f"| none | {full['ppl']:.3f} | | | 1 |", flush=True)
        own = ("--policy-args", args.policy_args) if args.policy_args else ()
        kv = row("kvzap", "--adapter", args.adapter, *own)
        held = kv["held_tokens"] / (kv["dense_tokens"] / len(ids))  # of a head, in the mean
        recent = round(held) - N_SINK
        row(f"streaming, {recent} recent", *("--policy", "streaming"), *recent_size(recent))
        beyond = len(ids) - settings["window"] - 1
        cr = beyond / max(held - settings["window"] - 1, 1)
        random = ("--policy", "random", "--policy-args", f"cr={cr:.4f}")
        row(f"random, cr {cr:.2f} beyond the window", *random, "--window", settings["window"])


def recent_size(recent: int) -> tuple[str, str]:
    return "--policy-args", f"start_size={N_SINK},recent_size={recent}"


if __name__ == "__main__":
    main()
