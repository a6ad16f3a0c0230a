"""`dms bench`: requests served together, and how many conversations the memory limit holds."""

from __future__ import annotations

import pytest

from harness import DEMO, run_dms

SHORT = ("--prompt-lens", 64, "--gen", 6, "--repeat", 1)
# Of the demo model in bf16: keys and values of 6 layers and 2 heads of 64.
BYTES_A_TOKEN = 2 * 6 * 2 * 64 * 2


def served(dms_json, *options: object) -> list[dict | None]:
    return [run["served"] for run in dms_json("bench", DEMO, *SHORT, *options)["runs"]]


def test_requests_are_served_where_a_concurrency_is_given(dms_json):
    alone, together = served(dms_json, "--concurrency", "1,6", "--policy", "none")
    for figures in (alone, together):
        assert figures["tok_s"] > 0
        for waits in (figures["ttft_s"], figures["between_tokens_s"]):
            assert 0 < waits["median"] <= waits["p99"]
    # All prompts are in memory when the last one ends, and what is generated comes on top.
    for figures, sequences in ((alone, 1), (together, 6)):
        assert figures["kv_used_bytes"] >= sequences * 64 * BYTES_A_TOKEN
        assert figures["kv_peak_bytes"] >= figures["kv_used_bytes"]
    assert together["kv_peak_bytes"] > 4 * alone["kv_peak_bytes"]


@pytest.mark.parametrize(
    "options", [(), ("--concurrency", 2, "--context", 32), ("--concurrency", 2, "--gen", 0)]
)
def test_nothing_is_served_else(dms_json, options):
    assert served(dms_json, *options) == [None]


def test_requests_beyond_the_most_sequences_wait(dms_json):
    options = ("--concurrency", 6, "--policy", "none")
    (all_at_once,) = served(dms_json, *options)
    (one_by_one,) = served(dms_json, *options, "--max-sequences", 1)
    assert one_by_one["kv_peak_bytes"] < all_at_once["kv_peak_bytes"] / 2
    (small_passes,) = served(dms_json, *options, "--max-batch-tokens", 64, "--chunk", 32)
    assert small_passes["tok_s"] > 0


def test_conversations_that_fit_are_counted(dms_json):
    limit = 24 << 20
    policies = ("--policy", "none,random:cr=8:window=32")
    options = ("--kv-memory", limit, "--sessions", *policies, "--prompt-lens", "500,1500")
    report = dms_json("bench", DEMO, *options)
    assert report["runs"] == []
    rows = report["sessions"]
    policies = ["none", "random:cr=8:window=32"]
    assert [(row["policy"], row["prompt_tokens"]) for row in rows] == [
        (policy, tokens) for policy in policies for tokens in (500, 1500)
    ]
    for row in rows:
        assert row["kv"]["dense_tokens"] == row["sessions"] * row["prompt_tokens"] * 12
        assert row["bytes_each"] == row["kv"]["allocated_bytes"] // row["sessions"]
    for dense in rows[:2]:
        assert dense["ratio"] == 1
        most = limit / (dense["prompt_tokens"] * BYTES_A_TOKEN)
        assert 0.8 * most < dense["sessions"] <= most
    assert rows[3]["ratio"] == rows[3]["sessions"] / rows[1]["sessions"]
    assert rows[3]["ratio"] > 4


def test_none_may_fit(dms_json):
    options = ("--kv-memory", "1MiB", "--sessions", "--policy", "none,random")
    report = dms_json("bench", DEMO, *options, "--prompt-lens", 3000)
    assert [(row["sessions"], row["bytes_each"], row["ratio"]) for row in report["sessions"]] == [
        (0, None, None)
    ] * 2


def test_the_longest_conversation_may_fill_the_context(dms_json):
    # Nothing is generated that would need room after it.
    options = ("--kv-memory", "32MiB", "--sessions", "--policy", "none", "--prompt-lens", 4096)
    (row,) = dms_json("bench", DEMO, *options)["sessions"]
    assert row["sessions"] > 0


def test_options_that_do_nothing_are_noted():
    command = ("bench", DEMO, "--sessions", "--prompt-lens", 300, "--policy", "none")
    done = run_dms(*command, "--kv-memory", "2MiB", "--gen", 4, "--concurrency", 2)
    assert done.returncode == 0
    assert "dms: note: --concurrency, --gen: without effect with --sessions" in done.stderr.decode()
    assert "sessions" in done.stdout.decode()
    refused = run_dms(*command)
    assert refused.returncode == 2
    assert "--sessions: goes with --kv-memory" in refused.stderr.decode()
