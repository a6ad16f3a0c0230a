"""Perplexity of a text under several policies: what forgetting costs.

    python examples/evaluation.py [MODEL] [--text FILE]

Every token is predicted through the cache in force, so the numbers are those of the compact model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dms_cpp import LLM, CacheOptions

TEXT = Path(__file__).resolve().parent / "long_prompt.txt"
POLICIES = {
    "full cache": CacheOptions(policy="none"),
    "the model's own": CacheOptions(),
    "survivors in int8": CacheOptions(kv_cache_dtype="int8"),
    "streaming": CacheOptions(policy="streaming", policy_args={"recent_size": 388}),
    "random": CacheOptions(policy="random", policy_args={"cr": 8}, window=16),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="models/demo")
    parser.add_argument("--text", type=Path, default=TEXT)
    options = parser.parse_args()

    llm = LLM(options.model)
    tokens = llm.encode(options.text.read_text())[: llm.info.context]
    print(f"{len(tokens)} tokens of {options.text}")
    print("policy              perplexity    cr  cr by bytes")
    for name, cache in POLICIES.items():
        score = llm.score(tokens, cache=cache)
        print(f"{name:18} {score.perplexity:11.2f} {score.kv.cr:5.2f} {score.kv.cr_bytes:12.2f}")


main()
