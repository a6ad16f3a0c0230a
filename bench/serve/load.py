#!/usr/bin/env python3
"""Load on a server of OpenAI's API: throughput, time to the first token and between tokens.

bench/serve/load.py --url http://127.0.0.1:8000 --model NAME --concurrency 1,8 --prompt-words 400

Sends completions with a fixed number at a time, or at --rate requests a second whatever comes back,
or as conversations of --turns turns. Prompts are made of common words, the same for one --seed;
--shared-words of them stand at the beginning of every prompt. Prints a table, or JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Coroutine

from client import Client, Heard

WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "you",
    "that",
    "it",
    "he",
    "was",
    "for",
    "on",
    "are",
    "as",
    "with",
    "his",
    "they",
    "at",
    "be",
    "this",
    "have",
    "from",
    "or",
    "one",
    "had",
    "by",
    "but",
    "not",
    "what",
    "all",
    "were",
    "we",
    "when",
    "your",
    "can",
    "said",
    "there",
    "use",
    "an",
    "each",
    "which",
    "she",
    "do",
    "how",
    "their",
    "if",
    "will",
    "up",
    "other",
    "about",
    "out",
    "many",
    "then",
    "them",
    "these",
    "so",
    "some",
    "her",
    "would",
    "make",
    "like",
    "him",
    "into",
    "time",
    "has",
    "look",
    "two",
    "more",
    "write",
    "go",
    "see",
    "number",
    "no",
    "way",
    "could",
    "people",
    "my",
    "than",
    "first",
    "water",
    "been",
    "call",
]


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(WORDS, k=count))


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


class Load:
    """Runs requests by a plan and keeps what was heard."""

    def __init__(self, client: Client, args: argparse.Namespace) -> None:
        self.client = client
        self.args = args
        self.heard: list[Heard] = []
        rng = random.Random(args.seed)
        self.shared = words(rng, args.shared_words)
        self.prompts = [words(rng, args.prompt_words) for _ in range(args.requests)]

    async def conversation(self, number: int) -> None:
        text = f"{self.shared} {number} {self.prompts[number]}"
        for turn in range(self.args.turns):
            heard = await self.client.complete(text, self.args.gen, **self.args.extra)
            self.heard.append(heard)
            text += heard.text + f" {turn} " + words(random.Random(number * 1000 + turn), 12)

    async def at_once(self, concurrency: int) -> None:
        numbers = iter(range(self.args.requests))

        async def worker() -> None:
            for number in numbers:
                await self.conversation(number)

        await asyncio.gather(*(worker() for _ in range(concurrency)))

    async def at_rate(self, rate: float) -> None:
        rng = random.Random(self.args.seed)
        tasks = []
        for number in range(self.args.requests):
            tasks.append(asyncio.create_task(self.conversation(number)))
            await asyncio.sleep(rng.expovariate(rate))
        await asyncio.gather(*tasks)

    async def run(self, label: str, plan: Coroutine) -> dict:
        self.heard = []
        begin = time.monotonic()
        await plan
        seconds = time.monotonic() - begin
        good = [each for each in self.heard if each.is_good and each.times]
        first = [each.times[0] for each in good]
        between = [b - a for each in good for a, b in zip(each.times, each.times[1:], strict=False)]
        tokens = sum(each.completion_tokens or len(each.times) for each in good)
        return {
            "load": label,
            "requests": len(self.heard),
            "failed": len(self.heard) - len(good),
            "prompt_tokens": statistics.mean(each.prompt_tokens for each in good) if good else 0,
            "cached_tokens": sum(each.cached_tokens for each in good),
            "seconds": seconds,
            "requests_s": len(good) / seconds,
            "tok_s": tokens / seconds,
            "ttft_s": {"median": percentile(first, 0.5), "p99": percentile(first, 0.99)},
            "between_s": {"median": percentile(between, 0.5), "p99": percentile(between, 0.99)},
        }


def table(runs: list[dict]) -> str:
    lines = [
        "| load | requests (failed) | prompt tokens | tok/s | first token s: median, p99 "
        "| between tokens ms: median, p99 |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        lines.append(
            f"| {run['load']} | {run['requests']} ({run['failed']}) | {run['prompt_tokens']:.0f} "
            f"| {run['tok_s']:.1f} | {run['ttft_s']['median']:.2f}, {run['ttft_s']['p99']:.2f} "
            f"| {1e3 * run['between_s']['median']:.0f}, {1e3 * run['between_s']['p99']:.0f} |"
        )
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="default")
    parser.add_argument("--concurrency", default="1", help="comma-separated")
    parser.add_argument("--rate", default="", help="requests a second, comma-separated, instead")
    parser.add_argument("--requests", type=int, default=16, help="or conversations, of each load")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--prompt-words", type=int, default=400)
    parser.add_argument("--shared-words", type=int, default=0)
    parser.add_argument("--gen", type=int, default=32, help="tokens of an answer")
    parser.add_argument("--extra", type=json.loads, default={}, help="more fields, as JSON")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


async def measure(args: argparse.Namespace) -> list[dict]:
    runs = []
    client = Client(args.url, args.model)
    for rate in filter(None, args.rate.split(",")):
        load = Load(client, args)
        runs.append(await load.run(f"{rate} a second", load.at_rate(float(rate))))
    for count in filter(None, "" if args.rate else args.concurrency.split(",")):
        load = Load(client, args)
        runs.append(await load.run(f"{count} at once", load.at_once(int(count))))
    return runs


def main() -> None:
    args = arguments()
    runs = asyncio.run(measure(args))
    print(json.dumps(runs) if args.json else table(runs))


if __name__ == "__main__":
    main()
