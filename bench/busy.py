#!/usr/bin/env python3
"""One thread against several, on a quiet machine and beside busy neighbours.

bench/busy.py [--baseline OTHER_DMS]

Every round runs `dms bench` once with one thread and once with --threads, first on the machine as
it is, then beside --neighbours endless loops, so that each ratio is of neighbours in time; with
--baseline another build runs in between, and the ratio to it is printed too. The binary is
build/release's, or $DMS_BIN. Processors may be chosen with taskset.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
SHAPE = CHECKOUT / "configs" / "shapes" / "llama-3.2-1b.json"
# What to open and how much of it to measure.
MODELS = {
    "demo": [str(CHECKOUT / "models" / "demo"), "--prompt-lens", "512", "--gen", "256"],
    "1b": ["--config", str(SHAPE), "--random-weights", "--prompt-lens", "128", "--gen", "16"],
}
REPEATS = {"demo": 8, "1b": 3}
FIGURES = {"prefill": "prefill_tok_s", "decode": "decode_tok_s"}
# No loop outlives a run that was killed for longer than this.
LONGEST_LOOP_S = 3600

# figure -> build -> threads -> the median of each round
Medians = dict[str, dict[str, dict[int, list[float]]]]


def arguments() -> argparse.Namespace:
    result = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--baseline", help="another dms to compare with")
    result.add_argument("--models", default=",".join(MODELS), help="comma-separated")
    result.add_argument("--states", default="quiet,busy", help="comma-separated")
    result.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    result.add_argument("--neighbours", type=int, default=2, help="endless loops beside")
    result.add_argument("--apart", action="store_true", help="they form a session of their own")
    result.add_argument("--rounds", type=int, default=5)
    return result.parse_args()


@contextmanager
def neighbours(count: int, apart: bool) -> Iterator[None]:
    """Endless loops while the block runs."""
    loop = ["timeout", str(LONGEST_LOOP_S), "sh", "-c", "while :; do :; done"]
    running = [subprocess.Popen(loop, start_new_session=apart) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
            process.wait()


def measure(binary: str, model: str, threads: int) -> dict[str, float]:
    """One `dms bench`: the median of each figure."""
    command = [binary, "bench", *MODELS[model], "--repeat", str(REPEATS[model])]
    command += ["--threads", str(threads), "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    run = json.loads(done.stdout)["runs"][0]
    return {figure: run[key]["median"] for figure, key in FIGURES.items()}


def run_rounds(args: argparse.Namespace, builds: dict[str, str], model: str) -> Medians:
    """All builds and thread counts in turn, round after round."""
    medians: Medians = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for number in range(args.rounds):
        for threads in (1, args.threads):
            for build, binary in builds.items():
                print(f"\r{model}: round {number + 1}", end="", file=sys.stderr, flush=True)
                for figure, value in measure(binary, model, threads).items():
                    medians[figure][build][threads].append(value)
    print("\r", end="", file=sys.stderr)
    return medians


def ratio(above: list[float], below: list[float]) -> str:
    """Round by round: the median, with the least and the greatest."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def print_rows(title: str, medians: Medians, builds: dict[str, str], threads: int) -> None:
    for figure, of_build in medians.items():
        for build in builds:
            one, several = of_build[build][1], of_build[build][threads]
            cells = [title, figure, build]
            cells += [f"{statistics.median(values):.1f}" for values in (one, several)]
            cells += [ratio(several, one)]
            other = of_build["baseline"] if build != "baseline" and "baseline" in builds else None
            cells += [ratio(of_build[build][n], other[n]) if other else "" for n in (1, threads)]
            print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    args = arguments()
    binary = os.environ.get("DMS_BIN", str(CHECKOUT / "build" / "release" / "src" / "cli" / "dms"))
    builds = ({"baseline": args.baseline} if args.baseline else {}) | {"dms": binary}
    n = args.threads
    head = ["", "tok/s", "build", "1 thread", f"{n} threads", f"{n} to 1"]
    head += ["to baseline, 1 thread", f"to baseline, {n} threads"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for model in args.models.split(","):
        for state in args.states.split(","):
            with neighbours(args.neighbours if state == "busy" else 0, args.apart):
                medians = run_rounds(args, builds, model)
            print_rows(f"{model}, {state}", medians, builds, n)


if __name__ == "__main__":
    main()
