#!/usr/bin/env python3
"""Keeps a server busy with all that clients do, and holds it to giving everything back.

bench/serve/soak.py [MODEL] [--minutes 10]

Starts `dms serve` with little memory, and for --minutes sends prompts of mixed lengths at
--concurrency at a time, some of which hang up, ask for nonsense or never read. Every answer must be
its golden one, asked for alone beforehand. At the end nothing runs or waits, descriptors and
threads are back where they began, and memory has stopped growing. Exit status 1 where one of this
fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from client import Client
from load import words

CHECKOUT = Path(__file__).resolve().parents[2]
LENGTHS = (5, 40, 150, 400, 900)  # words of a prompt
ANSWERS = (1, 8, 40)
NONSENSE = (b"{", b'{"prompt": 3}', b"[" * 5000, b'{"prompt": "x", "n": 100000}')


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default=str(CHECKOUT / "models" / "demo"))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--concurrency", type=int, default=12)
    parser.add_argument("--kv-memory", default="12MiB")
    parser.add_argument("--swap-space", default="4MiB")
    parser.add_argument("--goldens", type=int, default=24)
    parser.add_argument("--dtype", default="f32", help="f32: a cut prompt's bits stay the same")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


class Server:
    def __init__(self, args: argparse.Namespace) -> None:
        binary = os.environ.get("DMS_BIN", str(CHECKOUT / "build/release/src/cli/dms"))
        command = [binary, "serve", args.model, "--port", "0", "--dtype", args.dtype]
        command += ["--kv-memory", args.kv_memory, "--swap-space", args.swap_space]
        command += ["--no-access-log", "--max-queue", "64"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.url = ""
        for line in self.process.stderr or ():
            if found := re.search(r"http://\S+", line):
                self.url = found[0]
            if "ready" in line:
                return
        raise SystemExit("the server did not start")

    def count(self, folder: str) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/{folder}"))

    def resident_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=120)


class Soak:
    def __init__(self, client: Client, args: argparse.Namespace) -> None:
        self.client = client
        self.args = args
        self.rng = random.Random(args.seed)
        self.counts: Counter[str] = Counter()
        self.goldens: list[tuple[str, int, str]] = []

    async def make_goldens(self) -> None:
        for i in range(self.args.goldens):
            prompt = words(self.rng, self.rng.choice(LENGTHS)) + f" {i}"
            tokens = self.rng.choice(ANSWERS)
            heard = await self.client.complete(prompt, tokens)
            assert heard.is_good, heard.error
            self.goldens.append((prompt, tokens, heard.text))

    async def ask(self) -> None:
        prompt, tokens, expected = self.rng.choice(self.goldens)
        heard = await self.client.complete(prompt, tokens)
        if heard.status == 429:
            self.counts["queue full"] += 1
            await asyncio.sleep(0.2)
        elif heard.is_good and heard.text == expected:
            self.counts["right answers"] += 1
        else:
            self.counts["WRONG ANSWERS"] += 1
            print(f"wrong: {heard.status} {heard.error} {heard.text!r}\n for {expected!r}")

    async def hang_up(self) -> None:
        prompt, _, _ = self.rng.choice(self.goldens)
        await self.client.complete(prompt, 200, leave_after=self.rng.randint(0, 5))
        self.counts["hung up"] += 1

    async def ask_nonsense(self) -> None:
        body = self.rng.choice(NONSENSE)
        reader, writer = await self.client.send("POST", "/v1/completions", body)
        status = int((await reader.readline()).split(b" ")[1])
        writer.close()
        kind = "refused" if 400 <= status < 500 else "NONSENSE ACCEPTED"
        self.counts[kind] += 1

    async def never_read(self) -> None:
        body = json.dumps(
            {
                "model": self.client.model,
                "prompt": "a",
                "stream": True,
                "max_tokens": 500,
                "ignore_eos": True,
            }
        ).encode()
        _, writer = await self.client.send("POST", "/v1/completions", body)
        await asyncio.sleep(self.rng.random() * 3)
        writer.transport.abort()
        self.counts["never read"] += 1

    async def work(self, end: float) -> None:
        while time.monotonic() < end:
            draw = self.rng.random()
            if draw < 0.8:
                await self.ask()
            elif draw < 0.9:
                await self.hang_up()
            elif draw < 0.97:
                await self.ask_nonsense()
            else:
                await self.never_read()

    async def metric(self, name: str) -> float:
        _, text = await self.client.call("GET", "/metrics")
        values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, values)) if values else float("nan")

    async def wait_until_idle(self) -> float:
        for _ in range(100):
            busy = await self.metric("dms:num_requests_running") + await self.metric(
                "dms:num_requests_waiting"
            )
            if busy == 0:
                return 0
            await asyncio.sleep(0.1)
        return busy


async def soak(server: Server, args: argparse.Namespace) -> list[str]:
    run = Soak(Client(server.url, Path(args.model).name), args)
    await run.make_goldens()
    await run.wait_until_idle()
    before = {kind: server.count(kind) for kind in ("fd", "task")}
    begin = time.monotonic()
    seconds = 60 * args.minutes
    half_way = 0.0

    async def note_memory() -> None:
        nonlocal half_way
        await asyncio.sleep(seconds / 2)
        half_way = server.resident_mib()

    workers = (run.work(begin + seconds) for _ in range(args.concurrency))
    await asyncio.gather(note_memory(), *workers)
    busy = await run.wait_until_idle()
    await asyncio.sleep(1)
    after = {kind: server.count(kind) for kind in ("fd", "task")}
    preempted = await run.metric("dms:num_preemptions_total")
    end_memory = server.resident_mib()
    print(
        f"{dict(run.counts)}, {preempted:.0f} preemptions, resident {half_way:.0f} MiB half-way, "
        f"{end_memory:.0f} at the end, descriptors and threads {before} before, {after} after"
    )
    faults = [name for name in run.counts if name.isupper()]
    if busy:
        faults.append("requests are left over")
    if any(after[kind] > before[kind] for kind in after):
        faults.append("descriptors or threads are left over")
    if end_memory > 1.1 * half_way + 8:
        faults.append("memory grows")
    return faults


def main() -> int:
    args = arguments()
    server = Server(args)
    try:
        faults = asyncio.run(soak(server, args))
    finally:
        status = server.stop()
    if status != 0:
        faults.append(f"exit status {status}")
    print("failed: " + ", ".join(faults) if faults else "passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
