"""`dms bench --methods`: a table of context lengths and methods, with a needle in each prompt."""

from __future__ import annotations

import signal
import subprocess

import pytest

from bad_input import assert_error
from harness import DEMO, HANG_GUARD_S, binary

METHODS = "none,streaming:recent_size=12.5%"
COMMAND = ("bench", DEMO, "--prompt-lens", "200,400", "--gen", 12, "--repeat", 2)


def test_each_method_is_measured_at_each_length(dms, dms_json):
    report = dms_json(*COMMAND, "--methods", METHODS)
    rows = report["methods"]
    assert [(row["context_tokens"], row["method"]) for row in rows] == [
        (length, method) for length in (200, 400) for method in METHODS.split(",")
    ]
    for row in rows:
        assert row["prompts"] == row["seconds"]["n"] == 2
        # Of so many tokens is the prompt with its answer, but for what no word can fill.
        heads = rows[0]["kv"]["dense_tokens"] / 200
        assert 0.8 < row["kv"]["dense_tokens"] / (heads * row["context_tokens"]) <= 1
        assert 0 < row["first_token_s"]["min"] <= row["seconds"]["max"]
        assert row["tok_s"]["median"] > 0
        assert row["weight_bytes"] > 0
        assert row["kv_peak_bytes"] >= row["kv"]["allocated_bytes"]
    none, streaming = rows[2:]
    assert none["kv"]["cr"] == 1
    # An eighth of 400 tokens, the sinks, and the newest token.
    assert streaming["kv"]["held_tokens"] == (50 + 4 + 1) * 12
    # The needle is in the middle: the full cache finds it, the end of the text does not hold it.
    assert rows[0]["found"] > 0
    assert streaming["found"] == 0
    lines = dms(*COMMAND, "--methods", METHODS).stdout.decode().splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:3]] == ["context", "method"]
    assert len(lines) == 2 + 4


def test_a_method_without_memory_is_a_row_that_says_so(dms, dms_json):
    command = ("bench", DEMO, "--prompt-lens", 1000, "--gen", 4, "--repeat", 1)
    command += ("--methods", "none,streaming:recent_size=64", "--kv-memory", "1MiB")
    none, streaming = dms_json(*command)["methods"]
    assert (none["method"], streaming["method"]) == ("none", "streaming:recent_size=64")
    assert "KV memory" in none["failed"]
    assert streaming["prompts"] == 1
    row = dms(*command).stdout.decode().splitlines()[2]
    assert row.startswith("|    1000 | none ")
    assert "KV memory" in row
    alone = dms(*command[:-4], "--methods", "none", *command[-2:], check=False)
    assert alone.returncode == 1
    assert "KV memory" in alone.stdout.decode()
    assert "none could be measured" in alone.stderr.decode()


def test_ctrl_c_prints_the_rows_that_are_done():
    command = ["bench", DEMO, "--prompt-lens", "200,4000", "--gen", 12, "--repeat", 1]
    command += ["--methods", "none,streaming:recent_size=64", "--threads", 1]
    process = subprocess.Popen(
        [str(binary()), *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert b"none at 200" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG_GUARD_S)
    assert process.returncode == -signal.SIGINT
    assert b"interrupted: what was measured until then is above" in err
    assert b"none" in out
    assert len(out.splitlines()) < 2 + 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--methods", "nonne"), ("--methods: nonne", "unknown policy")),
        (("--methods", "none,none"), ("--methods", "twice")),
        (("--methods", "snapkv:budget=100%"), ("--methods: snapkv:budget=100%", "below 100%")),
        (("--methods", "none", "--policy", "none"), ("--methods", "--policy")),
        (("--methods", "none", "--prompt-lens", 5000), ("--prompt-lens", "at most 4096")),
        (("--methods", "none", "--prompt-lens", 20), ("--prompt-lens: too short",)),
        (("--methods", ""), ("--methods", "an empty list")),
        (("--methods", "none,kvzap:adapter=/none"), ("--methods: kvzap:adapter=/none",)),
        (
            ("--methods", "snapkv:budget=400", "--prompt-lens", 400),
            ("--methods: snapkv:budget=400: budget: keeps", "got 400, expected 1 to 399"),
        ),
        (("--methods", "none", "--gen", 0), ("--gen 0",)),
    ],
)
def test_bad_options(dms, options, words):
    assert_error(dms("bench", DEMO, *options, check=False), *words)
