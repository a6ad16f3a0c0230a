"""What a card must reach and what bytes and operations allow, written before any card ran this.

python bench/cuda/predictions.py [--json]

Every prediction is bytes over 4.3 TB/s or operations over 800 TFLOP/s (cost_model.py), an H200's
copy and product at best: a bound, not a forecast of what this program reaches. None of it was
measured; bench/cuda/report.py puts a run's numbers beside it.
"""

from __future__ import annotations

import argparse
import json
import signal

from cost_model import read_shape
from predicted_operations import operation_rows
from predicted_rates import absolute_rows, peer_rows
from predicted_requirements import required_rows
from prediction import SHAPES, Row

NEVER_RUN = "Predictions. Nothing of this has run on a GPU."


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
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it in silence, as other tools
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
