"""The memory that `dms bench` reports for several sequences at once."""

from __future__ import annotations

import pytest

from harness import DEMO


def test_peak_memory_is_not_the_probes(dms_json):
    report = dms_json("bench", DEMO, "--prompt-lens", 8, "--gen", 2, "--repeat", 1)
    assert report["model"]["weight_bytes"] < report["peak_rss_bytes"] < 1 << 29
    assert report["machine"]["bandwidth_gb_s"] > 0


@pytest.mark.parametrize("policy", ["none", "random:cr=4:window=32"])
def test_peak_of_several_sequences_is_counted_once(dms_json, policy):
    options = ("--prompt-lens", 300, "--gen", 4, "--repeat", 2, "--policy", policy)
    report = dms_json("bench", DEMO, *options, "--concurrency", "1,8")
    alone, together = (run["kv"] for run in report["runs"])
    assert together["dense_tokens"] == 8 * alone["dense_tokens"]
    for kv in (alone, together):
        assert kv["peak_bytes"] >= kv["allocated_bytes"]
    # Prompts are computed one by one, so that one sequence alone has more than it keeps.
    assert together["peak_bytes"] <= together["allocated_bytes"] + alone["peak_bytes"]
