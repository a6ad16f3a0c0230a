#!/usr/bin/env python3
"""Policies beside NVIDIA/kvpress's presses on the same prompts: which entries stay, what the text
after them loses, time and memory.

python bench/peers/kvpress_compare.py MODEL --text FILE [--prompts 2048,4096] [--ratios 0.5,0.75]

The text's first tokens are a prompt, read at once and then cut; `--score` tokens after it are
foretold. Times, bytes of keys and values, and the process at its largest: dms / kvpress. Float32
on both sides. "Same" is the share of the entries kept here that kvpress keeps too. kvpress reads a
copy of the model's folder without its chat template, and so does dms: KVzip's press takes the
template's beginning for granted in every prompt. `--kvzap ADAPTER` adds KVzap with the same
threshold, without sinks, which the press has none of.

Writes Markdown to stdout. The environment (pinned in requirements/kvpress.txt) goes where those of
`scripts/bench peers` go.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from environments import CHECKOUT, python_of

SINGLE = ["snapkv", "knorm", "keydiff", "expected_attention", "tova", "kvzip"]
WRAPPED = ["snapkv", "expected_attention"]  # with AdaKV's budgets as well


def counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--prompts", type=counts, default=[2048, 4096])
    parser.add_argument("--ratios", default="0.5,0.75,0.875", help="of what goes")
    parser.add_argument("--score", type=int, default=256)
    parser.add_argument("--kvzap", type=Path)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--python", type=Path, help="of an environment that has kvpress already")
    default = CHECKOUT / "build" / "release" / "src" / "cli" / "dms"
    parser.add_argument("--dms", type=Path, default=default)
    return parser.parse_args()


def cases(args: argparse.Namespace, prompt: int) -> list[dict]:
    """A press and the policy that is to keep the same."""
    listed = [{"press": "none", "ratio": 0, "policy": "none"}]
    for ratio in map(float, args.ratios.split(",")):
        for press in SINGLE:
            policy = f"{press}:compression_ratio={ratio}"
            if press == "tova":  # a running budget, here of one cut
                policy = f"tova:budget={int(prompt * (1 - ratio))}:interval={prompt}"
            listed.append({"press": press, "ratio": ratio, "policy": policy})
        for press in WRAPPED:
            policy = f"{press}:compression_ratio={ratio}:budget_over=layer"
            listed.append({"press": f"{press}+adakv", "ratio": ratio, "policy": policy})
    if args.kvzap:
        listed.append({"press": "kvzap", "ratio": None, "policy": "kvzap:n_sink=0"})
    for number, case in enumerate(listed):
        case["name"] = str(number)
    return listed


def call(*words: object) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done.stdout


def copy_without_template(model: Path, folder: Path) -> Path:
    folder.mkdir()
    for file in model.resolve().iterdir():
        if file.name == "tokenizer_config.json":
            fields = json.loads(file.read_text())
            fields.pop("chat_template", None)
            (folder / file.name).write_text(json.dumps(fields))
        elif file.name != "chat_template.jinja":
            (folder / file.name).symlink_to(file)
    return folder


class Dms:
    """The other side, a program started for each case."""

    def __init__(self, args: argparse.Namespace, model: Path, ids: list[int], folder: Path) -> None:
        self.args, self.model, self.ids, self.folder = args, model, ids, folder

    def run(self, case: dict, prompt: int) -> dict:
        ids = self.folder / "dms-ids.json"
        ids.write_text(json.dumps(self.ids))
        common = ["--ids", ids, "--dtype", "f32", "--threads", self.args.threads, "--json"]
        if case["press"] == "kvzap":
            common += ["--adapter", self.args.kvzap]
        window = ["--context", len(self.ids), "--stride", self.args.score]
        window += ["--first-scored", prompt, "--decode", self.args.score]
        shown = ["eval", "ppl", self.model, *window, "--policies", case["policy"], *common]
        report = json.loads(call(self.args.dms, *shown))
        row = report["rows"][0]
        name, _, settings = case["policy"].partition(":")
        kept = self.folder / f"dms-{case['name']}.npy"
        ids.write_text(json.dumps(self.ids[: prompt + 1]))
        words = ["score", self.model, *common, "--policy", name, "--save-decisions", kept]
        words += ["--decode-from", prompt]
        if settings:
            words += ["--policy-args", settings.replace(":", ",")]
        call(self.args.dms, *words)
        return {
            "kept": np.load(kept)[:, :, :prompt] == 0,
            "ppl": row["ppl"],
            "prefill_s": prompt / row["prefill_tok_s"],
            "decode_tok_s": row["decode_tok_s"],
            "kv_bytes": row["kv_bytes"],
            "peak_bytes": report["peak_rss_bytes"],
        }


def line(case: dict, prompt: int, ours: dict, theirs: dict) -> str:
    kept = ours["kept"].sum()
    same = (ours["kept"] & theirs["kept"]).sum() / kept
    mib = 2**20
    cells = [
        str(prompt),
        case["press"],
        "" if not case["ratio"] else f"{case['ratio']:g}",
        f"{100 * same:.2f} %",
        f"{ours['ppl']:.3f}",
        f"{theirs['ppl']:.3f}",
        f"{100 * (ours['ppl'] / theirs['ppl'] - 1):+.2f} %",
        f"{ours['prefill_s']:.1f} / {theirs['prefill_s']:.1f}",
        f"{ours['decode_tok_s']:.1f} / {theirs['decode_tok_s']:.1f}",
        f"{ours['kv_bytes'] / mib:.0f} / {theirs['kv_bytes'] / mib:.0f}",
        f"{ours['peak_bytes'] / mib:.0f} / {theirs['peak_bytes'] / mib:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    args = arguments()
    python = args.python or python_of("kvpress")
    heads = ["prompt", "press", "ratio", "same", "PPL", "kvpress", "difference"]
    heads += ["prefill s", "decode tok/s", "KV MiB", "process MiB"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|", flush=True)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        model = copy_without_template(args.model, folder / "model")
        text = json.loads(call(args.dms, "tokenize", model, "--text-file", args.text, "--json"))
        for prompt in args.prompts:
            ids = text["ids"][: prompt + args.score]
            job = {"model": str(model), "ids": ids, "prompt": prompt, "threads": args.threads}
            job |= {"cases": cases(args, prompt), "kvzap": str(args.kvzap), "out": work}
            (folder / "job.json").write_text(json.dumps(job))
            peer = Path(__file__).parent / "kvpress_peer.py"
            command = [python, peer, folder / "job.json"]
            dms = Dms(args, model, ids, folder)
            quiet = os.environ | {"TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
            pipes = {
                "env": quiet,
                "stdin": subprocess.PIPE,
                "stdout": subprocess.PIPE,
                "text": True,
            }
            with subprocess.Popen(command, **pipes) as process:
                for case in job["cases"]:
                    print(file=process.stdin, flush=True)
                    answer = process.stdout.readline()
                    if not answer:
                        sys.exit("kvpress_peer.py ended early")
                    theirs = json.loads(answer)
                    theirs["kept"] = np.load(folder / f"{case['name']}.npy")
                    print(line(case, prompt, dms.run(case, prompt), theirs), flush=True)


if __name__ == "__main__":
    main()
