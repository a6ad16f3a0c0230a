#!/usr/bin/env python3
"""What a prompt's cache takes on disk, and how long it takes to come back: several policies and
storage types, by the slots of `dms serve`, in alternating rounds.

    bench/documents.py MODEL --text FILE [--adapter DIR] [--tokens 7500] [--rounds 9] [--gguf FILE]

Prints a Markdown table. `save` and `restore` are medians of what the server says (file written and
synced; file mapped, checked and made a cache); `again` is how long a request takes that goes on
from the restored slot, its first token included; `prompt` how long the prompt took to compute.
With --gguf, the same model as a file of llama.cpp, the rows of llama.cpp's slot files take their
turns beside (pinned in bench/peers, installed when first needed): its functions are called in its
process, so `again` has no request in it; its file is synced as ours is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench" / "peers"))

from environments import python_of  # noqa: E402

LISTENING = re.compile(rb"listening on (http://[\d.:]+)")
NAMES = {
    "dense": ("--policy", "none"),
    "CR 8": (),
    "CR 8, int8": ("--kv-dtype", "int8"),
    "CR 8, lloyd4": ("--kv-dtype", "lloyd4"),
}


LLAMA_CACHES = ["f16", "q8_0", "q4_0"]


def medians(name: str, size: int, held: float, times: dict[str, list[float]], prompt: float) -> str:
    cells = [name, f"{size / 2**20:.1f}", f"{held:.2f}"]
    for taken in times.values():
        cells.append(f"{statistics.median(taken):.1f} ({min(taken):.1f}–{max(taken):.1f})")
    return "| " + " | ".join([*cells, f"{prompt:.1f}"]) + " |"


class Server:
    """`dms serve` with one slot that is saved and restored."""

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name = name
        log = folder / "log"
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--slots", "1", "--slot-save-path", str(folder)], stderr=out
            )
        while not (found := LISTENING.search(log.read_bytes())):
            if self.process.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.1)
        self.url = found[1].decode()
        self.prompt_s = 0.0
        self.file_bytes = 0
        self.held = 0.0
        self.times: dict[str, list[float]] = {"save": [], "restore": [], "again": []}

    def ask(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def complete(self, prompt: list[int]) -> tuple[float, dict]:
        """Seconds to one token, and the usage."""
        begin = time.perf_counter()
        body = {"prompt": prompt, "max_tokens": 1, "temperature": 0, "id_slot": 0}
        usage = self.ask("/v1/completions", body)["usage"]
        return time.perf_counter() - begin, usage

    def compute(self, prompt: list[int]) -> None:
        self.prompt_s, usage = self.complete(prompt)
        self.held = usage["dms"]["dense_tokens"] / usage["dms"]["held_tokens"]

    def round(self, prompt: list[int]) -> None:
        """Saves the slot, empties it, and goes on from what is restored."""
        saved = self.ask("/slots/0?action=save", {"filename": "slot"})
        self.file_bytes = saved["n_written"]
        self.ask("/slots/0?action=erase", {})
        restored = self.ask("/slots/0?action=restore", {"filename": "slot"})
        seconds, usage = self.complete([*prompt, prompt[0]])
        if usage["prompt_tokens_details"]["cached_tokens"] < len(prompt):
            sys.exit(f"{self.name}: the restored slot was not used")
        # What was said besides goes, so that every round saves the same.
        self.ask("/slots/0?action=restore", {"filename": "slot"})
        self.times["save"].append(saved["timings"]["save_ms"])
        self.times["restore"].append(restored["timings"]["restore_ms"])
        self.times["again"].append(1e3 * seconds)

    def row(self) -> str:
        return medians(self.name, self.file_bytes, self.held, self.times, self.prompt_s)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class LlamaSlot:
    """llama.cpp with one sequence that is saved and restored."""

    def __init__(self, gguf: str, kv: str, threads: int, folder: Path) -> None:
        self.name = f"llama.cpp, {kv}"
        self.settings = {"gguf": gguf, "kv": kv, "threads": threads, "folder": str(folder)}
        self.process = subprocess.Popen(
            [python_of("llamacpp"), ROOT / "bench/peers/llamacpp_slots.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.prompt_s = 0.0
        self.file_bytes = 0
        self.times: dict[str, list[float]] = {"save": [], "restore": [], "again": []}

    def ask(self, line: str) -> dict:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.name}: its process ended")
        return json.loads(answer)

    def compute(self, prompt: list[int]) -> None:
        self.prompt_s = self.ask(json.dumps(self.settings | {"tokens": prompt}))["prompt_s"]

    def round(self, prompt: list[int]) -> None:
        measured = self.ask("")
        self.file_bytes = measured["bytes"]
        for name, times in self.times.items():
            times.append(measured[name + "_ms"])

    def row(self) -> str:
        return medians(self.name, self.file_bytes, 1.0, self.times, self.prompt_s)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def wait_until_ready(server: Server) -> None:
    while True:
        try:
            with urllib.request.urlopen(server.url + "/health"):
                return
        except OSError:
            time.sleep(0.2)


def llama_slots(options: argparse.Namespace, folder: Path) -> list[LlamaSlot]:
    slots = []
    for kv in LLAMA_CACHES if options.gguf else []:
        own = folder / f"llama_{kv}"
        own.mkdir()
        slots.append(LlamaSlot(options.gguf, kv, options.threads, own))
    return slots


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--text", required=True, help="a file of text, long enough")
    parser.add_argument("--adapter", help="of trained eviction, for the rows of CR 8")
    parser.add_argument("--tokens", type=int, default=7500)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--gguf", help="the same model for llama.cpp, for its rows")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of llama.cpp")
    options = parser.parse_args()
    dms = os.environ.get("DMS_BIN", str(ROOT / "build/release/src/cli/dms"))
    adapter = ["--adapter", options.adapter] if options.adapter else []
    with tempfile.TemporaryDirectory() as folder:
        servers: list[Server] = []
        peers: list[LlamaSlot] = []
        try:
            for name, arguments in NAMES.items():
                own = Path(folder) / name.replace(" ", "_")
                own.mkdir()
                command = [dms, "serve", options.model, "--port", "0", "--no-prefix-cache"]
                command += ["--no-access-log", "--kv-memory", "2GiB", *adapter, *arguments]
                servers.append(Server(name, command, own))
                wait_until_ready(servers[-1])
            text = Path(options.text).read_text()
            prompt = servers[0].ask("/tokenize", {"prompt": text})["tokens"][: options.tokens]
            if len(prompt) < options.tokens:
                sys.exit(f"{options.text}: has {len(prompt)} tokens, not {options.tokens}")
            peers += llama_slots(options, Path(folder))
            for cache in [*servers, *peers]:
                cache.compute(prompt)
            for _ in range(options.rounds):
                for cache in [*servers, *peers]:
                    cache.round(prompt)
        finally:
            for cache in [*servers, *peers]:
                cache.end()
        print("| cache | MiB on disk | CR | save, ms | restore, ms | again, ms | prompt, s |")
        print("|---|---|---|---|---|---|---|")
        for cache in [*servers, *peers]:
            print(cache.row())


if __name__ == "__main__":
    main()
