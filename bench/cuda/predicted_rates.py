"""What no line requires: tokens a second, milliseconds, and ours beside other programs'."""

from __future__ import annotations

from cost_model import Shape, prefill_seconds, step_seconds
from prediction import (
    CONTEXT,
    GENERATED,
    LONG_CONTEXT,
    SHAPES,
    Row,
    compact,
    decode_case,
    dense,
    prefill_case,
    told,
)


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
