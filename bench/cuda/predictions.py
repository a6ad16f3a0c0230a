"""What a card must reach and what bytes and operations allow, written before any card ran this.

python bench/cuda/predictions.py [--json]

Every prediction is bytes over 4.3 TB/s or operations over 800 TFLOP/s (cost_model.py), an H200's
copy and product at best: a bound, not a forecast of what this program reaches. None of it was
measured; bench/cuda/report.py puts a run's numbers beside it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass

from cost_model import (
    H200,
    Policy,
    Shape,
    attention_seconds,
    decode_kv_bytes,
    dense_kv_bytes,
    held_kv_bytes,
    prefill_operations,
    prefill_seconds,
    read_shape,
    step_seconds,
    weight_bytes,
)
from results import Record, Results

CONTEXT, GENERATED, KEEP = 8192, 128, 1 / 8
SHAPES = {"llama-3.2-1b": 256, "qwen3-8b": 512}  # with the window of each
LONG_CONTEXT = {"llama-3.2-1b": 131072 - GENERATED, "qwen3-8b": 40960 - GENERATED}
NEVER_RUN = "Predictions. Nothing of this has run on a GPU."

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


def decode_ratio(
    shape: Shape, window: int, *, context: int, weights: str, survivors: str, must: float
) -> Row:
    """How many times as fast as dense bf16, eight sequences together."""
    common = {"context": context, "concurrency": 8, "generated": GENERATED}
    base = step_seconds(shape, dense(window), weights="bf16", **common)
    ours = step_seconds(shape, compact(window, survivors), weights=weights, **common)
    slow = decode_case(shape.name, "none", "bf16", "bf16", context, 8)
    fast = decode_case(shape.name, "random", weights, survivors, context, 8)
    return Row(
        key=f"decode_{weights}_{survivors}_{context}_{shape.name}",
        what=f"decode, CR 8, {weights} weights, {survivors} survivors / dense bf16, "
        f"8 sequences at {context} ({shape.name})",
        unit="x",
        predicted=base / ours,
        must=must,
        at_most=False,
        measure=lambda results: results.ratio("step_ms", slow, fast),
    )


def dense_attention_share(shape: Shape, window: int) -> Row:
    """Decode attention of dense bf16 caches: its bytes a second beside a copy's."""
    case = {"bench": "decode_attention", "shape": shape.name, "policy": "none", "rows": 8}
    case |= {"survivors": "bf16", "context": CONTEXT}

    def measure(results: Results) -> float | None:
        return results.ratio("bytes_s", case, {"bench": "copy"})

    return Row(
        key=f"dense_attention_{shape.name}",
        what=f"decode attention, dense bf16, 8 sequences at {CONTEXT}: share of the copy's "
        f"bandwidth ({shape.name})",
        unit="%",
        predicted=100.0,
        must=80.0,
        at_most=False,
        measure=percent(measure),
    )


def percent(measure: Measure) -> Measure:
    def scaled(results: Results) -> float | None:
        value = measure(results)
        return None if value is None else 100 * value

    return scaled


def kv_memory(shape: Shape, window: int, survivors: str, must: float) -> Row:
    tokens = CONTEXT + GENERATED
    weights = "bf16" if survivors == "bf16" else "fp8"
    case = decode_case(shape.name, "random", weights, survivors, CONTEXT, 8)

    def measure(results: Results) -> float | None:
        held = results.value("kv_bytes", **case)
        return 8 * dense_kv_bytes(shape, tokens) / held if held else None

    return Row(
        key=f"kv_memory_{survivors}_{shape.name}",
        what=f"KV memory: dense bf16 / CR 8 with {survivors} survivors, {CONTEXT} + {GENERATED} "
        f"tokens ({shape.name})",
        unit="x",
        predicted=dense_kv_bytes(shape, tokens)
        / held_kv_bytes(shape, compact(window, survivors), tokens),
        must=must,
        at_most=False,
        measure=measure,
    )


def decode_share(shape: Shape, window: int, must: float) -> Row:
    """One sequence: the step's bytes a second beside a copy's."""
    policy = compact(window)
    moved = weight_bytes(shape, "bf16") + decode_kv_bytes(shape, policy, CONTEXT + GENERATED // 2)
    case = decode_case(shape.name, "random", "bf16", "bf16", CONTEXT, 1)

    def measure(results: Results) -> float | None:
        step_ms, copy = results.value("step_ms", **case), results.value("bytes_s", bench="copy")
        return moved / (step_ms / 1000) / copy if step_ms and copy else None

    return Row(
        key=f"decode_share_{shape.name}",
        what=f"decode, CR 8, bf16, one sequence at {CONTEXT}: share of the copy's bandwidth "
        f"({shape.name})",
        unit="%",
        predicted=100.0,
        must=must,
        at_most=False,
        measure=percent(measure),
    )


def prefill_case(shape: str, policy: str, tokens: int) -> Record:
    return {"bench": "prefill", "shape": shape, "policy": policy, "weights": "bf16"} | {
        "survivors": "bf16",
        "context": tokens,
    }


def prefill_share(shape: Shape, window: int, must: float) -> Row:
    operations = prefill_operations(shape, dense(window), CONTEXT)

    def measure(results: Results) -> float | None:
        ms = results.value("ms", **prefill_case(shape.name, "none", CONTEXT))
        peak = results.value("flop_s", bench="gemm_probe")
        return operations / (ms / 1000) / peak if ms and peak else None

    return Row(
        key=f"prefill_share_{shape.name}",
        what=f"prefill of {CONTEXT} tokens, dense: share of the product's peak ({shape.name})",
        unit="%",
        predicted=100.0,
        must=must,
        at_most=False,
        measure=percent(measure),
    )


def prefill_ratios(shape: Shape, window: int, tokens: int) -> list[Row]:
    attention, total = (
        cost(shape, compact(window), tokens) / cost(shape, dense(window), tokens)
        for cost in (attention_seconds, prefill_seconds)
    )
    cases = (prefill_case(shape.name, policy, tokens) for policy in ("random", "none"))
    ours, theirs = cases
    return [
        Row(
            key=f"prefill_{name}_{tokens}_{shape.name}",
            what=f"prefill of {tokens} tokens, {words}: CR 8 / dense ({shape.name})",
            unit="x",
            predicted=predicted,
            must=must,
            at_most=True,
            measure=lambda results, key=key: results.ratio(key, ours, theirs),
        )
        for name, words, key, predicted, must in (
            ("attention", "time of its attention", "attention_ms", attention, 1 / 3),
            ("total", "all of it", "ms", total, 1.0),
        )
    ]


def attention_kernel_ratio(shape: Shape, window: int, tokens: int) -> Row:
    """One layer's attention by itself, where the model's context ends before."""
    predicted = attention_seconds(shape, compact(window), tokens)
    predicted /= attention_seconds(shape, dense(window), tokens)
    cases = [
        {"bench": "prefill_attention", "shape": shape.name, "policy": policy, "context": tokens}
        for policy in ("random", "none")
    ]
    return Row(
        key=f"prefill_kernel_{tokens}_{shape.name}",
        what=f"prefill attention of {tokens} tokens, one layer: CR 8 / dense ({shape.name})",
        unit="x",
        predicted=predicted,
        must=1 / 3,
        at_most=True,
        measure=lambda results: results.ratio("ms", *cases),
    )


def told(key: str, what: str, unit: str, predicted: float | None, measure: Measure) -> Row:
    return Row(key, what, unit, predicted, None, False, measure)


def absolute_rows(shape: Shape, window: int) -> list[Row]:
    """Tokens a second and milliseconds, which no line requires."""
    rows = []
    for context in (CONTEXT, LONG_CONTEXT[shape.name]):
        for policy, weights, survivors in (
            ("none", "bf16", "bf16"),
            ("random", "bf16", "bf16"),
            ("random", "fp8", "fp8"),
        ):
            keep = dense(window) if policy == "none" else compact(window, survivors)
            for concurrency in (1, 8) if context == CONTEXT else (8,):
                step = step_seconds(
                    shape,
                    keep,
                    weights=weights,
                    context=context,
                    concurrency=concurrency,
                    generated=GENERATED,
                )
                case = decode_case(shape.name, policy, weights, survivors, context, concurrency)
                rows.append(
                    told(
                        f"tok_s_{policy}_{weights}_{context}_{concurrency}_{shape.name}",
                        f"decode, policy {policy}, {weights} weights, {survivors} survivors, "
                        f"{concurrency} at {context} ({shape.name})",
                        "tok/s",
                        concurrency / step,
                        lambda results, case=case: results.value("tok_s", **case),
                    )
                )
    for policy, keep in (("none", dense(window)), ("random", compact(window))):
        case = prefill_case(shape.name, policy, CONTEXT)
        rows.append(
            told(
                f"prefill_ms_{policy}_{shape.name}",
                f"prefill of {CONTEXT} tokens, policy {policy} ({shape.name})",
                "ms",
                1000 * prefill_seconds(shape, keep, CONTEXT),
                lambda results, case=case: results.value("ms", **case),
            )
        )
    return rows


# The five operations as operations_bench.cpp lays them out: 4 sequences of 8 heads, 8,192 places of
# 128 bf16 numbers, an eighth kept; scattered is one list; the prompt: 8,192 tokens, 32 query heads,
# 8 KV heads, window 512.
OPERATION_LISTS, OPERATION_ROWS, OPERATION_ROW_BYTES = 32, 8192, 256
OPERATIONS = [
    "left_pad_2d",
    "scatter_by_index",
    "bool_gather_left_pad",
    "compact_by_bool",
    "dms_fused_prefill",
]


def operation_seconds(name: str) -> float:
    """Rows read and rows written; a mask is a byte a row, an index eight."""
    if name == "dms_fused_prefill":
        shape = Shape("one layer", 1, 0, 0, 32, 8, 128, 0)
        return attention_seconds(shape, compact(512), 8192)
    rows = OPERATION_LISTS * OPERATION_ROWS
    kept = rows * KEEP
    moved_rows, index_bytes = {
        "left_pad_2d": (rows / 2 + rows, 0),  # lengths: half of the places on the average
        "scatter_by_index": (2 * OPERATION_ROWS, 8 * OPERATION_ROWS),
        "bool_gather_left_pad": (2 * kept, rows),
        "compact_by_bool": (2 * kept, rows),
    }[name]
    return H200.seconds(moved_rows * OPERATION_ROW_BYTES + index_bytes)


def operation_rows() -> list[Row]:
    """Each beside our own launches one by one, and beside PyTorch's loop (peers.py)."""
    rows = []
    for name in OPERATIONS:
        ours, loop, torch = ({"bench": name, "way": way} for way in ("kernel", "loop", "torch"))
        rows.append(
            told(
                f"{name}_us",
                f"{name}: time of one call",
                "us",
                1e6 * operation_seconds(name),
                lambda results, ours=ours: thousandfold(results.value("ms", **ours)),
            )
        )
        for key, words, other in (
            ("gain", "a call for each sequence or chunk", loop),
            ("torch_gain", "PyTorch's loop", torch),
        ):
            rows.append(
                Row(
                    key=f"{name}_{key}",
                    what=f"{name}: {words} / one call",
                    unit="x",
                    predicted=None,
                    must=1.0,
                    at_most=False,
                    measure=lambda results, ours=ours, other=other: results.ratio(
                        "ms", other, ours
                    ),
                )
            )
    return rows


def thousandfold(value: float | None) -> float | None:
    return None if value is None else 1000 * value


# Peers and training, by the names that bench/cuda/peers.py and scripts/gpu write.
PEERS = ["torch_sdpa", "flashinfer", "vllm"]


def peer_rows() -> list[Row]:
    rows = []
    for peer in PEERS:
        for name in SHAPES:
            theirs = {"bench": "peer_decode_attention", "peer": peer, "shape": name}
            ours = {"bench": "decode_attention", "shape": name, "policy": "none", "rows": 8}
            ours |= {"survivors": "bf16", "context": CONTEXT}
            rows.append(
                told(
                    f"attention_{peer}_{name}",
                    f"decode attention, dense bf16, 8 sequences at {CONTEXT}: {peer} / ours "
                    f"({name})",
                    "x",
                    None,
                    lambda results, theirs=theirs, ours=ours: results.ratio("ms", theirs, ours),
                )
            )
    for name in SHAPES:
        theirs = {"bench": "peer_decode", "peer": "transformers", "shape": name}
        ours = decode_case(name, "none", "bf16", "bf16", CONTEXT, 8)
        rows.append(
            told(
                f"decode_transformers_{name}",
                f"decode, dense bf16, 8 sequences at {CONTEXT}: transformers / ours ({name})",
                "x",
                None,
                lambda results, theirs=theirs, ours=ours: results.ratio("step_ms", theirs, ours),
            )
        )
    return rows


MUST = {  # what an H200 must reach, by shape
    "llama-3.2-1b": {"bf16": 1.4, "fp8": 2.0, "long": 3.5, "memory_fp8": 9.5}
    | {"decode_share": 55.0, "prefill_share": 45.0},
    "qwen3-8b": {"bf16": 1.3, "fp8": 2.0, "long": 2.0, "memory_fp8": 7.5}
    | {"decode_share": 80.0, "prefill_share": 60.0},
}
PREFILL_LENGTHS = {"llama-3.2-1b": (32768, 131072), "qwen3-8b": (32768,)}
KERNEL_LENGTHS = (8192, 32768, 131072)


def required_rows() -> list[Row]:
    rows = []
    for name, window in SHAPES.items():
        shape, must, long = read_shape(name), MUST[name], LONG_CONTEXT[name]
        ratio = {"context": CONTEXT, "weights": "bf16", "survivors": "bf16"}
        rows += [
            decode_ratio(shape, window, **ratio, must=must["bf16"]),
            dense_attention_share(shape, window),
            decode_ratio(
                shape, window, context=CONTEXT, weights="fp8", survivors="fp8", must=must["fp8"]
            ),
            decode_ratio(shape, window, **ratio | {"context": long}, must=must["long"]),
            kv_memory(shape, window, "bf16", 5.0),
            kv_memory(shape, window, "fp8", must["memory_fp8"]),
            decode_share(shape, window, must["decode_share"]),
            prefill_share(shape, window, must["prefill_share"]),
        ]
        for tokens in PREFILL_LENGTHS[name]:
            rows += prefill_ratios(shape, window, tokens)
        for tokens in KERNEL_LENGTHS[1:]:
            rows.append(attention_kernel_ratio(shape, window, tokens))
    return rows


def all_rows() -> list[Row]:
    rows = required_rows() + operation_rows() + peer_rows()
    for name, window in SHAPES.items():
        rows += absolute_rows(read_shape(name), window)
    return rows


def number(value: float | None) -> str:
    """With three digits that count."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def bound(row: Row) -> str:
    if row.must is None:
        return "-"
    return f"{'≤' if row.at_most else '≥'} {number(row.must)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="instead of Markdown")
    if parser.parse_args().json:
        fields = ("key", "what", "unit", "predicted", "must", "at_most")
        print(json.dumps([{key: getattr(row, key) for key in fields} for row in all_rows()]))
        return
    print(NEVER_RUN + "\n")
    print("| what | unit | bytes and operations allow | must reach |\n|---|---|---|---|")
    for row in all_rows():
        print(f"| {row.what} | {row.unit} | {number(row.predicted)} | {bound(row)} |")


if __name__ == "__main__":
    main()
