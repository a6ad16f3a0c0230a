"""More chains of thought in the same memory: n answers to one prompt, and the one most agree on.

    python examples/hyper_scaling_vote.py [MODEL] [--chains 8]

With eviction the chains share their prompt's compact cache, so that more of them fit where a full
cache held a few. The demo model recalls a number that a long text hides; a model that reasons would
be asked for the last line of its reasoning instead.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

from dms_cpp import LLM, RequestOutput, SamplingParams

PROMPT = Path(__file__).resolve().parent / "long_prompt.txt"


def vote(output: RequestOutput) -> list[tuple[str, int]]:
    """The first number of each answer, and how many answers gave it; the most frequent first."""
    found = (re.search(r"\d+", answer.text) for answer in output.outputs)
    return Counter(match[0] for match in found if match).most_common()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="models/demo")
    parser.add_argument("--chains", type=int, default=8)
    options = parser.parse_args()

    llm = LLM(options.model)
    params = SamplingParams(n=options.chains, temperature=0.8, seed=1, max_tokens=24)
    output = llm.generate(PROMPT.read_text(), params)[0]
    for answer in output.outputs:
        print(f"{answer.index}: {answer.text!r}")
    ranking = vote(output)
    for value, votes in ranking:
        print(f"{value}: {votes} of {options.chains}")
    if output.kv is not None:
        print(
            f"one chain's cache holds {output.kv.held_tokens} of {output.kv.dense_tokens} entries"
        )


main()
