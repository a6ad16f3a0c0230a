"""A line of the predictions, and what those of one kind have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cost_model import Policy
from results import Record, Results

CONTEXT, GENERATED, KEEP = 8192, 128, 1 / 8
SHAPES = {"llama-3.2-1b": 256, "qwen3-8b": 512}  # with the window of each
LONG_CONTEXT = {"llama-3.2-1b": 131072 - GENERATED, "qwen3-8b": 40960 - GENERATED}

Measure = Callable[[Results], float | None]


@dataclass(frozen=True)
class Row:
    """One number: what it is, where it must be, what bytes and operations allow."""

    key: str
    what: str
    unit: str
    predicted: float | None  # None: nothing here predicts it
    must: float | None  # None: told, not required
    at_most: bool  # the number must be at most `must`; else at least
    measure: Measure

    def verdict(self, measured: float | None) -> str:
        if measured is None:
            return "not measured"
        if self.must is None:
            return "told"
        met = measured <= self.must if self.at_most else measured >= self.must
        return "met" if met else "MISSED"


def told(key: str, what: str, unit: str, predicted: float | None, measure: Measure) -> Row:
    return Row(key, what, unit, predicted, None, False, measure)


def dense(window: int) -> Policy:
    return Policy(window)


def compact(window: int, survivors: str = "bf16") -> Policy:
    return Policy(window, KEEP, survivors)


def decode_case(
    shape: str, policy: str, weights: str, survivors: str, context: int, concurrency: int
) -> Record:
    """Fields of model_bench's record of such a decode."""
    return {
        "bench": "decode",
        "shape": shape,
        "policy": policy,
        "weights": weights,
        "survivors": survivors,
        "context": context,
        "concurrency": concurrency,
    }


def prefill_case(shape: str, policy: str, tokens: int) -> Record:
    return {"bench": "prefill", "shape": shape, "policy": policy, "weights": "bf16"} | {
        "survivors": "bf16",
        "context": tokens,
    }


def percent(measure: Measure) -> Measure:
    def scaled(results: Results) -> float | None:
        value = measure(results)
        return None if value is None else 100 * value

    return scaled


def thousandfold(value: float | None) -> float | None:
    return None if value is None else 1000 * value
