"""A run of scripts/gpu as tables: predicted, must reach, measured.

python bench/cuda/report.py RESULTS [--out FOLDER]

Reads RESULTS/*.jsonl and writes report.md and report.json. Whatever step a run was cut off in, what
was measured before it counts; the rest says "not measured".
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cost_model import read_shape
from predicted_operations import operation_rows
from predicted_rates import absolute_rows, peer_rows
from predicted_requirements import required_rows
from prediction import SHAPES, Row
from predictions import bound, number
from results import Record, Results

NO_CARD = (
    "**No card ran this.** The programs ran in the emulator of `tests/cuda_emulator`: its times "
    "say nothing about a card's, and what follows shows only that every step works."
)


def ran_on_a_card(results: Results) -> bool:
    device = results.find(bench="device")
    return device is not None and not device["tiny"] and "emulator" not in device["name"]


def heading(results: Results) -> list[str]:
    device = results.find(bench="device")
    if device is None:
        return ["Nothing was measured: no program named its device."]
    lines = [f"Device: {device['name']}, {device['multiprocessors']} multiprocessors."]
    if not ran_on_a_card(results):
        lines += ["", NO_CARD]
    lines.append("")
    for key, name, unit in (
        ("copy", "its own copy", "TB/s, read and written"),
        ("read_kernel", "a kernel that reads", "TB/s"),
        ("gemm_probe", "a bf16 product", "TFLOP/s"),
    ):
        value = results.value("flop_s" if key == "gemm_probe" else "bytes_s", bench=key)
        if value is not None:
            lines.append(f"- {name}: {number(value / 1e12)} {unit}")
    return lines


def steps(results: Results) -> list[str]:
    lines = ["| step | status | seconds | note |", "|---|---|---|---|"]
    for record in results.records:
        if "step" in record:
            note = str(record.get("note", "")).replace("|", "\\|")
            lines.append(
                f"| {record['step']} | {record['status']} | {record['seconds']} | {note} |"
            )
    return lines


def tests(results: Results) -> list[str]:
    """Of kernels, and of whole models against the CPU's; plain, then under compute-sanitizer."""
    lines = ["| tests | exit status | passed | failed | skipped |", "|---|---|---|---|---|"]
    for record in results.records:
        if "sanitizer" in record:
            name, counts = f"{record['tests']} under {record['sanitizer']}", ("", "", "")
        elif "tests" in record:
            name = record["tests"]
            counts = (record["passed"], record["failed"], record["skipped"])
        else:
            continue
        cells = (name, record["exit"], *counts)
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return lines


def missing_peers(results: Results) -> list[str]:
    return [f"- {record['peer']}: {record['why']}" for record in results.all(bench="peer_missing")]


def table(rows: list[Row], results: Results, card: bool) -> list[str]:
    lines = ["| what | unit | predicted | must reach | measured | verdict |"]
    lines.append("|---|---|---|---|---|---|")
    for row in rows:
        measured = row.measure(results)
        verdict = row.verdict(measured) if card or measured is None else "no card"
        lines.append(
            f"| {row.what} | {row.unit} | {number(row.predicted)} | {bound(row)} "
            f"| {number(measured)} | {verdict} |"
        )
    return lines


def kernel_lines(results: Results) -> list[str]:
    """Every record of kernel_bench, with its share of the probe's."""
    copy = results.value("bytes_s", bench="copy")
    peak = results.value("flop_s", bench="gemm_probe")
    lines = ["| bench | case | ms | min - max | TB/s | of the copy | TFLOP/s | of the product |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    known = {
        "bench",
        "ms",
        "min_ms",
        "max_ms",
        "repeats",
        "bytes",
        "bytes_s",
        "operations",
        "flop_s",
    }
    for record in results.records:
        if "bench" not in record or "min_ms" not in record:
            continue
        case = ", ".join(f"{key} {value}" for key, value in record.items() if key not in known)
        moved, computed = record.get("bytes_s"), record.get("flop_s")
        lines.append(
            f"| {record['bench']} | {case} | {number(record['ms'])} "
            f"| {number(record['min_ms'])} - {number(record['max_ms'])} "
            f"| {number(moved and moved / 1e12)} | {share(moved, copy)} "
            f"| {number(computed and computed / 1e12)} | {share(computed, peak)} |"
        )
    return lines


def share(value: float | None, of: float | None) -> str:
    return f"{100 * value / of:.0f} %" if value and of else "-"


def groups() -> dict[str, list[Row]]:
    told = [row for name in SHAPES for row in absolute_rows(read_shape(name), SHAPES[name])]
    return {
        "What must be reached": required_rows(),
        "Seed operations beside the loops they replace": operation_rows(),
        "Beside others": peer_rows(),
        "Rates": told,
    }


def markdown(results: Results) -> str:
    card = ran_on_a_card(results)
    lines = ["# The CUDA backend on one device", "", *heading(results), "", "## Steps", ""]
    lines += steps(results)
    lines += ["", "## Tests", "", *tests(results)]
    for title, rows in groups().items():
        lines += ["", f"## {title}", "", *table(rows, results, card)]
    lines += ["", "Who was not there:", "", *(missing_peers(results) or ["- nobody was asked"])]
    lines += ["", "## Kernels", "", *kernel_lines(results)]
    return "\n".join(lines) + "\n"


def as_json(results: Results) -> Record:
    card = ran_on_a_card(results)
    rows = []
    for title, group in groups().items():
        for row in group:
            measured = row.measure(results)
            rows.append(
                {
                    "group": title,
                    "key": row.key,
                    "what": row.what,
                    "unit": row.unit,
                    "predicted": row.predicted,
                    "must": row.must,
                    "at_most": row.at_most,
                    "measured": measured,
                    "verdict": row.verdict(measured) if card or measured is None else "no card",
                }
            )
    device = results.find(bench="device")
    named = [record for record in results.records if "step" in record]
    return {"card": card, "device": device, "steps": named, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, help="instead of RESULTS")
    args = parser.parse_args()
    results = Results.read(args.results)
    out = args.out or args.results
    (out / "report.md").write_text(markdown(results))
    (out / "report.json").write_text(json.dumps(as_json(results), indent=1) + "\n")


if __name__ == "__main__":
    main()
