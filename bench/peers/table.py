"""The Markdown table of a run: rates, shares of what the machine can do, ratios and bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from common import Shape
from rounds import COMPACT, HUGE, LONG, MANY, OWN, PEERS, Results


@dataclass(frozen=True)
class Weights:
    """What an engine's weights cost: bytes each, in the layers and in the head; who multiplies."""

    layers: float
    head: float
    peak: str  # the probe's figure for their products


BF16 = Weights(2, 2, "bf16_gflops")
GROUPS_OF_32 = 1 / 16  # bytes a weight of a 16-bit scale
INT8 = Weights(1 + GROUPS_OF_32, 1 + GROUPS_OF_32, "int8_gops")
# Engines without a line are given no share: their products take other ways.
WEIGHTS = {
    "dms": BF16,
    "dms int8": INT8,
    "dms int4": Weights(0.5 + GROUPS_OF_32, 1 + GROUPS_OF_32, "int8_gops"),
    "llama.cpp": BF16,
    "llama.cpp q8_0": INT8,
    "llama.cpp q4_0": Weights(0.5 + GROUPS_OF_32, 210 / 256, "int8_gops"),  # the head is q6_K
    "transformers": BF16,
    "OpenVINO bf16": BF16,
}
KV_BYTES = 2

Share = Callable[[Shape, Results, Weights, float], float | None]


def body_parameters(shape: Shape) -> int:
    """Weights of the layers' matrices."""
    attention = shape.hidden * shape.head_dim * (2 * shape.heads + 2 * shape.kv_heads)
    return shape.layers * (attention + 3 * shape.hidden * shape.ffn)


def best(results: Results, figure: str) -> float | None:
    """The probe's figure: the best over all rounds, None where it was never taken."""
    return max((probe[figure] for probe in results.machine), default=None)


def decode_share(context: int, sequences: int) -> Share:
    """Of the probe's bandwidth: weights and dense bf16 KV, read once a step."""

    def share(shape: Shape, results: Results, of: Weights, tok_s: float) -> float | None:
        weights = of.layers * body_parameters(shape) + of.head * shape.vocab * shape.hidden
        kv = KV_BYTES * 2 * shape.layers * shape.kv_heads * shape.head_dim * context
        bandwidth = best(results, "bandwidth_gb_s")
        steps = tok_s / sequences
        return steps * (weights + sequences * kv) / (1e9 * bandwidth) if bandwidth else None

    return share


def prefill_share(tokens: int) -> Share:
    """Of the probe's peaks: products (the head once), and causal attention in bf16."""

    def share(shape: Shape, results: Results, of: Weights, tok_s: float) -> float | None:
        products = 2 * body_parameters(shape) * tokens + 2 * shape.vocab * shape.hidden
        scores = 2 * tokens * (tokens + 1) * shape.layers * shape.heads * shape.head_dim
        peak, of_scores = best(results, of.peak), best(results, "bf16_gflops")
        if not peak or not of_scores:
            return None
        return tok_s / tokens * (products / peak + scores / of_scores) / 1e9

    return share


@dataclass(frozen=True)
class Row:
    """One line of the table of rates: a case, and dms's own case where it differs."""

    label: str
    case: str
    share: Share | None = None
    own_case: str | None = None

    def case_of(self, engine: str) -> str:
        return self.own_case if engine in OWN and self.own_case else self.case


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
    more: bool = False  # above the limit, not only at it

    def value(self, results: Results) -> float | None:
        over = results.median(*self.over)
        under = results.median(*self.under) if self.under else 1.0
        return over / under if over is not None and under else None

    def met(self, value: float) -> bool:
        if self.more:
            return value > self.limit
        return value <= self.limit if self.at_most else value >= self.limit

    @property
    def sign(self) -> str:
        return ">" if self.more else "≤" if self.at_most else "≥"


def ratio(case: str, ours: str, other: str, limit: float, more: bool = False) -> Bar:
    return Bar(f"{case}: {ours} / {other}", (ours, case), (other, case), limit, more=more)


def quantised_bars() -> Iterator[Bar]:
    """What weights in 8 and 4 bits must reach beside engines whose weights have as many."""
    one, prompts = "decode 0 x 1", ("prefill 512", "prefill 4096")
    for bits, llama in ((8, "llama.cpp q8_0"), (4, "llama.cpp q4_0")):
        for other in (f"OpenVINO int{bits}", llama):
            yield ratio(one, f"dms int{bits}", other, 1.15)
    for prompt in prompts:
        yield ratio(prompt, "dms int8", "OpenVINO int8", 1.1)
        yield ratio(prompt, "dms int4", "dms int8", 0.95)
        yield ratio(prompt, "dms int4", "OpenVINO int4", 1.0, more=True)
        yield ratio(prompt, "dms int4", "llama.cpp q4_0", 2.0)
    yield ratio(f"decode 0 x {MANY}", "dms int8", "OpenVINO int8", 1.0, more=True)
    yield Bar(
        f"decode at {LONG} compact, int8 survivors / empty context, dms int4",
        ("dms int4", f"decode {LONG} x 1 {COMPACT}"),
        ("dms int4", one),
        0.9,
    )


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
    *quantised_bars(),
]
SHARE_BARS = {
    "dms": {"decode, empty context": 0.9, "prefill 512": 0.75, f"decode at {LONG}, dense": 0.8},
    "dms int8": {"decode, empty context": 0.9, "prefill 512": 0.8, "prefill 4096": 0.8},
    "dms int4": {"decode, empty context": 0.9},
}
NO_SHARE = {f"decode at {LONG}, dense"}  # of quantised engines: their caches have other bytes


def share_of(results: Results, shape: Shape, row: Row, engine: str) -> float | None:
    """The engine's median as a share of what the machine can do, where one can be told."""
    weights, median = WEIGHTS.get(engine), results.median(engine, row.case_of(engine))
    if weights is None or row.share is None or median is None:
        return None
    if weights is not BF16 and row.label in NO_SHARE:
        return None
    return row.share(shape, results, weights, median)


def cell(results: Results, shape: Shape, row: Row, engine: str) -> str:
    """Median (least–greatest), share of the machine's best."""
    case = row.case_of(engine)
    median = results.median(engine, case)
    if median is None:
        return "–"
    low, high = results.extremes(engine, case)
    text = f"{median:.1f} ({low:.1f}–{high:.1f})"
    share = share_of(results, shape, row, engine)
    return text if share is None else f"{text}, {share:.0%}"


def rate_lines(results: Results, shape: Shape) -> Iterator[str]:
    """Tokens per second of every engine that was measured, case by case."""
    engines = [name for name in [*OWN, *PEERS] if name in results.rounds]
    yield "| tok/s: median (min–max), share of the roofline | " + " | ".join(engines) + " |"
    yield "|---" * (len(engines) + 1) + "|"
    for row in ROWS:
        cells = [cell(results, shape, row, engine) for engine in engines]
        if set(cells) != {"–"}:
            yield f"| {row.label} | " + " | ".join(cells) + " |"


def verdict(met: bool) -> str:
    return "met" if met else "**missed**"


def bar_lines(results: Results, shape: Shape) -> Iterator[str]:
    """What must be reached, and whether it was, as far as it was measured."""
    yield "| what | must be | measured | |"
    yield "|---|---|---|---|"
    for engine, limits in SHARE_BARS.items():
        for row in ROWS:
            limit, value = limits.get(row.label), share_of(results, shape, row, engine)
            if limit is not None and value is not None:
                what = f"{row.label}, {engine}: share of the roofline"
                yield f"| {what} | ≥ {limit:.0%} | {value:.0%} | {verdict(value >= limit)} |"
    for bar in BARS:
        value = bar.value(results)
        if value is not None:
            shown = f"{bar.sign} {bar.limit:g} | {value:.2f} | {verdict(bar.met(value))}"
            yield f"| {bar.label} | {shown} |"


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
            f"{best(results, 'bf16_gflops'):.0f} GFLOP/s bf16, "
            f"{best(results, 'int8_gops'):.0f} GOP/s int8."
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
