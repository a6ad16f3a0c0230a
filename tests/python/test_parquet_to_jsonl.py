"""scripts/parquet_to_jsonl against pyarrow's own reading of the same rows."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "parquet_to_jsonl"
ROWS = [
    {
        "id": i,
        "text": f"row {i}: “naïve”\n",
        "score": i / 4,
        "answers": [f"a{i}", "b"],
        "meta": {"good": [True, False, None], "when": None},
    }
    for i in range(3000)  # more than two batches
]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write(path: Path, rows: list[dict]) -> Path:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=700)
    return path


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_come_out_as_they_went_in(tmp_path: Path) -> None:
    first = write(tmp_path / "a.parquet", ROWS[:2000])
    second = write(tmp_path / "b.parquet", ROWS[2000:])
    output = tmp_path / "out.jsonl"
    done = run(output, first, second)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"3000 records in {output}\n"
    assert read(output) == ROWS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet", "b.parquet", "out.jsonl"]


def test_only_the_columns_asked_for(tmp_path: Path) -> None:
    source = write(tmp_path / "a.parquet", ROWS[:5])
    output = tmp_path / "out.jsonl"
    assert run(output, source, "--columns", "text,meta").returncode == 0
    assert read(output) == [{"text": r["text"], "meta": r["meta"]} for r in ROWS[:5]]


def test_what_json_lacks_becomes_null_or_text(tmp_path: Path) -> None:
    day = datetime.date(1927, 3, 1)
    values = {"x": float("nan"), "y": [1.5, float("inf")], "day": day}
    source = write(tmp_path / "a.parquet", [values])
    output = tmp_path / "out.jsonl"
    assert run(output, source).returncode == 0
    assert read(output) == [{"x": None, "y": [1.5, None], "day": "1927-03-01"}]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"a": b"\x00"}], [], "column a holds bytes"),
        ([{"a": {"b": b"x"}}], [], "column a.b holds bytes"),
        ([{"a": 1}], ["--columns", "b"], "has no column b; it has a"),
    ],
)
def test_bad_columns_are_named_and_nothing_is_left(
    tmp_path: Path, rows: list[dict], options: list[str], message: str
) -> None:
    source = write(tmp_path / "a.parquet", rows)
    done = run(tmp_path / "out.jsonl", source, *options)
    assert done.returncode == 1
    assert f"{source}: {message}" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_files_that_are_no_parquet_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "a.parquet"
    bad.write_text("hello")
    for source in (bad, tmp_path / "none.parquet"):
        done = run(tmp_path / "out.jsonl", source)
        assert done.returncode == 1
        assert f"error: {source}: " in done.stderr
        assert "Traceback" not in done.stderr
