"""The Markdown table of a run: rates, shares of what the machine can do, ratios and bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from common import Shape
from rounds import COMPACT, HUGE, LONG, MANY, Results

ENGINES = ["dms", "llama.cpp", "transformers", "OpenVINO int8", "OpenVINO bf16"]
INT8 = {"OpenVINO int8"}  # their weights have other bytes and another arithmetic peak
BF16_BYTES = 2

Share = Callable[[Shape, Results, float], float | None]


def body_parameters(shape: Shape) -> int:
    """Weights of the layers' matrices."""
    attention = shape.hidden * shape.head_dim * (2 * shape.heads + 2 * shape.kv_heads)
    return shape.layers * (attention + 3 * shape.hidden * shape.ffn)


def best(results: Results, figure: str) -> float | None:
    """The probe's figure: the best over all rounds, None where it was never taken."""
    return max((probe[figure] for probe in results.machine), default=None)


def decode_share(context: int, sequences: int) -> Share:
    """Of the probe's bandwidth: weights and dense bf16 KV, read once a step."""

    def share(shape: Shape, results: Results, tok_s: float) -> float | None:
        weights = BF16_BYTES * (body_parameters(shape) + shape.vocab * shape.hidden)
        kv = BF16_BYTES * 2 * shape.layers * shape.kv_heads * shape.head_dim * context
        bandwidth = best(results, "bandwidth_gb_s")
        steps = tok_s / sequences
        return steps * (weights + sequences * kv) / (1e9 * bandwidth) if bandwidth else None

    return share


def prefill_share(tokens: int) -> Share:
    """Of the probe's bf16 peak: products (the head once) and causal attention."""

    def share(shape: Shape, results: Results, tok_s: float) -> float | None:
        products = 2 * body_parameters(shape) * tokens + 2 * shape.vocab * shape.hidden
        scores = 2 * tokens * (tokens + 1) * shape.layers * shape.heads * shape.head_dim
        peak = best(results, "bf16_gflops")
        return tok_s / tokens * (products + scores) / (1e9 * peak) if peak else None

    return share


@dataclass(frozen=True)
class Row:
    """One line of the table of rates: a case, and dms's own case where it differs."""

    label: str
    case: str
    share: Share | None = None
    own_case: str | None = None

    def case_of(self, engine: str) -> str:
        return self.own_case if engine == "dms" and self.own_case else self.case


ROWS = [
    Row("decode, empty context", "decode 0 x 1", decode_share(0, 1)),
    Row("prefill 512", "prefill 512", prefill_share(512)),
    Row("prefill 4096", "prefill 4096", prefill_share(4096)),
    Row(
        f"decode at {LONG}, ours compact ({COMPACT}, window 256)",
        f"decode {LONG} x 1",
        own_case=f"decode {LONG} x 1 {COMPACT}",
    ),
    Row(f"decode at {LONG}, dense", f"decode {LONG} x 1", decode_share(LONG, 1)),
    Row(f"{MANY} sequences decoded together", f"decode 0 x {MANY}", decode_share(0, MANY)),
]


@dataclass(frozen=True)
class Bar:
    """A ratio of two measured medians that must reach a limit (or stay below it)."""

    label: str
    over: tuple[str, str]
    under: tuple[str, str] | None
    limit: float
    at_most: bool = False

    def value(self, results: Results) -> float | None:
        over = results.median(*self.over)
        under = results.median(*self.under) if self.under else 1.0
        return over / under if over is not None and under else None

    def met(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


BARS = [
    Bar(
        "decode, empty context: ours / llama.cpp",
        ("dms", "decode 0 x 1"),
        ("llama.cpp", "decode 0 x 1"),
        1.0,
    ),
    Bar("prefill 512: ours / llama.cpp", ("dms", "prefill 512"), ("llama.cpp", "prefill 512"), 1.0),
    Bar(
        "prefill 512: ours / transformers",
        ("dms", "prefill 512"),
        ("transformers", "prefill 512"),
        1.0,
    ),
    Bar("prefill 4096 / prefill 512, ours", ("dms", "prefill 4096"), ("dms", "prefill 512"), 0.85),
    Bar(
        "prefill 4096: ours / llama.cpp",
        ("dms", "prefill 4096"),
        ("llama.cpp", "prefill 4096"),
        1.3,
    ),
    Bar(
        f"decode at {LONG} compact / empty context, ours",
        ("dms", f"decode {LONG} x 1 {COMPACT}"),
        ("dms", "decode 0 x 1"),
        0.9,
    ),
    Bar(
        f"decode at {LONG}: ours compact / llama.cpp dense",
        ("dms", f"decode {LONG} x 1 {COMPACT}"),
        ("llama.cpp", f"decode {LONG} x 1"),
        2.2,
    ),
    Bar(
        f"decode at {LONG} dense: ours / llama.cpp",
        ("dms", f"decode {LONG} x 1"),
        ("llama.cpp", f"decode {LONG} x 1"),
        1.8,
    ),
    Bar(
        f"attention time of prefill {HUGE}: compact / dense",
        ("dms", f"attention {HUGE} {COMPACT}"),
        ("dms", f"attention {HUGE}"),
        0.25,
        at_most=True,
    ),
    Bar(
        f"prefill {HUGE} / prefill 2048, compact",
        ("dms", f"prefill {HUGE} {COMPACT}"),
        ("dms", f"prefill 2048 {COMPACT}"),
        0.75,
    ),
    Bar(
        f"KV bytes at {LONG}: dense bf16 / allocated",
        ("dms", f"kv {LONG} x 1 {COMPACT}"),
        None,
        6.0,
    ),
    Bar(
        f"{MANY} sequences together / one, ours",
        ("dms", f"decode 0 x {MANY}"),
        ("dms", "decode 0 x 1"),
        4.0,
    ),
]
SHARE_BARS = {"decode, empty context": 0.9, "prefill 512": 0.75, f"decode at {LONG}, dense": 0.8}


def cell(results: Results, shape: Shape, row: Row, engine: str) -> str:
    """Median (least–greatest), share of the machine's best."""
    case = row.case_of(engine)
    median = results.median(engine, case)
    if median is None:
        return "–"
    low, high = results.extremes(engine, case)
    text = f"{median:.1f} ({low:.1f}–{high:.1f})"
    comparable = row.share is not None and engine not in INT8
    share = row.share(shape, results, median) if comparable else None
    return text if share is None else f"{text}, {share:.0%}"


def rate_lines(results: Results, shape: Shape) -> Iterator[str]:
    """Tokens per second of every engine, case by case."""
    yield "| tok/s: median (min–max), share of the roofline | " + " | ".join(ENGINES) + " |"
    yield "|---" * (len(ENGINES) + 1) + "|"
    for row in ROWS:
        cells = [cell(results, shape, row, engine) for engine in ENGINES]
        yield f"| {row.label} | " + " | ".join(cells) + " |"


def verdict(value: float | None, met: bool) -> str:
    return "not measured" if value is None else "met" if met else "**missed**"


def bar_lines(results: Results, shape: Shape) -> Iterator[str]:
    """What must be reached, and whether it was."""
    yield "| what | must be | measured | |"
    yield "|---|---|---|---|"
    for row in ROWS:
        limit = SHARE_BARS.get(row.label)
        median = results.median("dms", row.case_of("dms"))
        if limit is None or row.share is None:
            continue
        value = row.share(shape, results, median) if median is not None else None
        shown = "–" if value is None else f"{value:.0%}"
        state = verdict(value, value is not None and value >= limit)
        yield f"| {row.label}: share of the roofline | ≥ {limit:.0%} | {shown} | {state} |"
    for bar in BARS:
        value = bar.value(results)
        shown = "–" if value is None else f"{value:.2f}"
        sign = "≤" if bar.at_most else "≥"
        state = verdict(value, value is not None and bar.met(value))
        yield f"| {bar.label} | {sign} {bar.limit:g} | {shown} | {state} |"


def failure_lines(results: Results) -> Iterator[str]:
    """The commands that failed, and how."""
    for failure in results.failures:
        error = " ".join(failure["error"].split())
        yield f"- {failure['engine']}: `{failure['command']}`: {error}"


def machine_lines(results: Results) -> Iterator[str]:
    """What the probe said of the machine, and the engines' versions."""
    if results.machine:
        first = results.machine[0]
        yield (
            f"{first['cpu']}, {first['threads']} threads, ISA {first['isa']}; best of "
            f"{len(results.machine)} probes: reads {best(results, 'bandwidth_gb_s'):.1f} GB/s, "
            f"{best(results, 'f32_gflops'):.0f} GFLOP/s f32, "
            f"{best(results, 'bf16_gflops'):.0f} GFLOP/s bf16."
        )
    for engine, version in results.versions.items():
        yield f"- {engine}: {version}"


def markdown(results: Results, shape: Shape) -> str:
    """The whole report."""
    parts = [machine_lines, rate_lines, bar_lines, failure_lines]
    blocks = [
        "\n".join(part(results, shape) if part in (rate_lines, bar_lines) else part(results))
        for part in parts
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"
