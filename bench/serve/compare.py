#!/usr/bin/env python3
"""The same load on `dms serve` and on llama.cpp's server, side by side.

bench/serve/compare.py MODEL --gguf MODEL-bf16.gguf --llama-python VENV/bin/python \\
  --policy random --policy-args cr=8 --window 256

Starts `dms serve` with the full cache, again with the policy, and llama-cpp-python's server
(`pip install 'llama-cpp-python[server]'`), all with the same threads; then runs each row of
--prompts and --concurrency on one after the other. `ratio` is to llama.cpp's tokens a second in the
same row. Memory is each process's peak over all rows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from client import Client
from load import Load

CHECKOUT = Path(__file__).resolve().parents[2]
START_GUARD_S = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One process and where it listens."""

    def __init__(self, name: str, command: list[str], port: int, ready_path: str) -> None:
        self.name = name
        self.client = Client(f"http://127.0.0.1:{port}", "default")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.ready_path = ready_path

    async def wait(self) -> None:
        end = time.monotonic() + START_GUARD_S
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError, IndexError, ValueError):
                if (await self.client.call("GET", self.ready_path))[0] == 200:
                    return
            await asyncio.sleep(0.2)
        raise SystemExit(f"{self.name} does not answer: {self.process.args}")

    def peak_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else float("nan")


def dms_server(args: argparse.Namespace, name: str, *options: str) -> Server:
    port = free_port()
    command = [args.dms, "serve", args.model, "--port", port, "--threads", args.threads]
    command += ["--served-model-name", "default", "--kv-memory", args.kv_memory]
    command += ["--no-access-log", *options]
    return Server(name, [str(part) for part in command], port, "/health")


def llama_server(args: argparse.Namespace) -> Server:
    port = free_port()
    context = max(args.prompts) + args.gen + 128
    command = [args.llama_python, "-m", "llama_cpp.server", "--model", args.gguf, "--port", port]
    command += ["--model_alias", "default", "--n_ctx", context, "--n_threads", args.threads]
    command += ["--n_threads_batch", args.threads, "--interrupt_requests", "false"]
    # Its defaults compute the head for every prompt token, and attention the slow way.
    command += ["--logits_all", "false", "--flash_attn", "true"]
    return Server("llama.cpp", [str(part) for part in command], port, "/v1/models")


@contextlib.contextmanager
def servers(args: argparse.Namespace) -> Iterator[list[Server]]:
    running = [dms_server(args, "dms, full cache")]
    if args.policy:
        policy = ["--policy", args.policy, "--window", str(args.window)]
        policy += ["--policy-args", args.policy_args] if args.policy_args else []
        running.append(dms_server(args, f"dms, {args.policy} {args.policy_args}", *policy))
    running.append(llama_server(args))
    try:
        yield running
    finally:
        for server in running:
            server.process.kill()
            server.process.wait()


def plan_of(args: argparse.Namespace, prompt: int, concurrency: int) -> argparse.Namespace:
    requests = max(concurrency, 1) * (2 if prompt * concurrency <= args.short_row else 1)
    return argparse.Namespace(
        requests=requests,
        turns=1,
        prompt_words=prompt,
        shared_words=0,
        gen=args.gen,
        extra={},
        seed=prompt + concurrency,
    )


async def compare(args: argparse.Namespace, running: list[Server]) -> list[dict]:
    rows = []
    for server in running:
        await server.wait()
        await server.client.complete("Once upon a time", 4)
    for prompt in args.prompts:
        for concurrency in args.concurrency:
            row = {"prompt": prompt, "concurrency": concurrency, "runs": {}}
            for server in running:
                load = Load(server.client, plan_of(args, prompt, concurrency))
                run = await load.run(server.name, load.at_once(concurrency))
                row["runs"][server.name] = run
                print(json.dumps({**row, "runs": {server.name: run}}), flush=True)
            rows.append(row)
    return rows


def table(rows: list[dict], running: list[Server]) -> str:
    lines = [
        "| prompt | at once | server | tok/s | ratio | first token s: median, p99 "
        "| between tokens ms: median, p99 | failed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        yardstick = row["runs"]["llama.cpp"]["tok_s"]
        for name, run in row["runs"].items():
            first, between = run["ttft_s"], run["between_s"]
            ratio = run["tok_s"] / yardstick if yardstick else float("nan")
            lines.append(
                f"| {row['prompt']} | {row['concurrency']} | {name} | {run['tok_s']:.1f} "
                f"| {ratio:.2f} | {first['median']:.2f}, {first['p99']:.2f} "
                f"| {1e3 * between['median']:.0f}, {1e3 * between['p99']:.0f} | {run['failed']} |"
            )
    peaks = ", ".join(f"{server.name} {server.peak_mib():.0f} MiB" for server in running)
    return "\n".join([*lines, "", f"Peak memory: {peaks}"])


def whole_numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a Hugging Face folder")
    parser.add_argument("--gguf", required=True, help="the same weights in BF16")
    parser.add_argument("--llama-python", required=True, help="has llama-cpp-python[server]")
    parser.add_argument("--dms", default=str(CHECKOUT / "build/release/src/cli/dms"))
    parser.add_argument("--prompts", type=whole_numbers, default=[512, 4096], help="in words")
    parser.add_argument("--concurrency", type=whole_numbers, default=[1, 8, 32])
    parser.add_argument("--gen", type=int, default=64, help="tokens of an answer")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--kv-memory", default="4GiB")
    parser.add_argument("--policy", default="")
    parser.add_argument("--policy-args", default="")
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument(
        "--short-row",
        type=int,
        default=8192,
        help="rows of so many prompt words at once run twice as many requests",
    )
    return parser.parse_args()


def main() -> None:
    args = arguments()
    with servers(args) as running:
        rows = asyncio.run(compare(args, running))
        print(table(rows, running))


if __name__ == "__main__":
    main()
