#!/usr/bin/env python3
"""Conversations on one replica and on two, routed by prefix and at random, through deploy/ray.

bench/serve/replicas.py MODEL --requests 8 --turns 6 --shared-words 200 --prompt-words 100 --gen 16

Three applications one after the other, `--rounds` times: one replica with two threads, two with one
thread each routed by prefix, and two routed by Ray's power of two choices alone. Each starts with
empty caches. Prompt tokens computed and found are the replicas' own counts, and exact; tokens a
second depend on what else the machine does: `ratio` is to one replica in the same round, the median
of all rounds. `--requests` conversations of `--turns` turns, `--concurrency` of them at once; each
has a document of its own in --prompt-words, and --shared-words that all begin with.

Needs the Python package in build/python-package (CONTRIBUTING.md says how to make it).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import serve

from client import Client
from load import Load

ROOT = Path(__file__).resolve().parents[2]
NEVER = 1 << 30  # characters of a block: no prompt has one


@dataclass(frozen=True)
class Setup:
    name: str
    replicas: int
    threads: int
    block_chars: int


@dataclass(frozen=True)
class Measured:
    prompt_tokens: int
    cached_tokens: int
    tok_s: float


def start_ray(folder: str) -> int:
    """The port that applications will be answered at."""
    paths = [str(ROOT / "build" / "python-package"), str(ROOT / "deploy" / "ray")]
    sys.path[:0] = paths
    settings = {
        "PYTHONPATH": os.pathsep.join(paths),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",  # it would write a token into the home folder
        "RAY_worker_niceness": "0",  # else behind all others by 15
    }
    os.environ.update(settings)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=80 << 20,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=folder,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    return int(port)


def totals(replicas: int) -> tuple[int, int]:
    """Prompt tokens and those found in prefix caches, over all replicas."""
    handle = serve.get_deployment_handle("Engine", "dms")
    found: dict[str, dict[str, Any]] = {}
    while len(found) < replicas:
        stats = handle.stats.remote().result()
        found[stats["replica"]] = stats
    return (
        sum(stats["prompt_tokens"] for stats in found.values()),
        sum(stats["cached_tokens"] for stats in found.values()),
    )


def measure(setup: Setup, args: argparse.Namespace, port: int) -> Measured:
    from dms_ray.app import application  # which start_ray() has found

    options: dict[str, Any] = {
        "model": str(Path(args.model).resolve()),
        "served_model_name": "default",
        "kv_memory": args.kv_memory,
        "threads": setup.threads,
        "routing": {"block_chars": setup.block_chars},
    }
    app = application(
        options, num_replicas=setup.replicas, ray_actor_options={"num_cpus": 0.5 * setup.threads}
    )
    serve.run(app, name="dms", route_prefix="/")
    try:
        load = Load(Client(f"http://127.0.0.1:{port}", "default"), args)
        run = asyncio.run(load.run(setup.name, load.at_once(args.concurrency)))
        assert run["failed"] == 0, f"{run['failed']} requests failed"
        return Measured(*totals(setup.replicas), run["tok_s"])
    finally:
        serve.delete("dms")


def table(setups: list[Setup], rounds: list[dict[str, Measured]]) -> str:
    lines = [
        "| replicas | prompt tokens | computed | found | tok/s, ratio |",
        "|---|---|---|---|---|",
    ]
    for setup in setups:
        runs = [each[setup.name] for each in rounds]
        computed = [run.prompt_tokens - run.cached_tokens for run in runs]
        share = statistics.median(run.cached_tokens / run.prompt_tokens for run in runs)
        ratio = statistics.median(
            each[setup.name].tok_s / each[setups[0].name].tok_s for each in rounds
        )
        spread = f"{min(computed)}–{max(computed)}" if min(computed) < max(computed) else ""
        lines.append(
            f"| {setup.name} | {statistics.median(run.prompt_tokens for run in runs):.0f} "
            f"| {statistics.median(computed):.0f} {f'({spread})' if spread else ''} "
            f"| {100 * share:.1f} % | {ratio:.2f} |"
        )
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=8, help="conversations")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--prompt-words", type=int, default=400)
    parser.add_argument("--shared-words", type=int, default=100)
    parser.add_argument("--gen", type=int, default=16, help="tokens of an answer")
    parser.add_argument("--kv-memory", default="512MiB", help="of each replica")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--block-chars", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.extra = {"ignore_eos": True}
    return args


def main() -> None:
    args = arguments()
    setups = [
        Setup("one, 2 threads", 1, 2, args.block_chars),
        Setup("two, 1 thread each, by prefix", 2, 1, args.block_chars),
        Setup("two, 1 thread each, at random", 2, 1, NEVER),
    ]
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        port = start_ray(folder)
        try:
            rounds = [{s.name: measure(s, args, port) for s in setups} for _ in range(args.rounds)]
        finally:
            serve.shutdown()
            ray.shutdown()
    print(table(setups, rounds))


if __name__ == "__main__":
    main()
