"""What an H200 must reach: decode, memory and prefill beside dense bf16 and beside the machine."""

from __future__ import annotations

from cost_model import (
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
from prediction import (
    CONTEXT,
    GENERATED,
    LONG_CONTEXT,
    SHAPES,
    Row,
    compact,
    decode_case,
    dense,
    percent,
    prefill_case,
)
from results import Results

MUST = {  # what an H200 must reach, by shape
    "llama-3.2-1b": {"bf16": 1.4, "fp8": 2.0, "long": 3.5, "memory_fp8": 9.5}
    | {"decode_share": 55.0, "prefill_share": 45.0},
    "qwen3-8b": {"bf16": 1.3, "fp8": 2.0, "long": 2.0, "memory_fp8": 7.5}
    | {"decode_share": 80.0, "prefill_share": 60.0},
}
PREFILL_LENGTHS = {"llama-3.2-1b": (32768, 131072), "qwen3-8b": (32768,)}
KERNEL_LENGTHS = (8192, 32768, 131072)


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
