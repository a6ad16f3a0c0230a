"""The five operations: each beside our own launches one by one, and beside PyTorch's loop."""

from __future__ import annotations

from cost_model import H200, Shape, attention_seconds
from prediction import KEEP, Row, compact, thousandfold, told

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
