"""`dms eval needle | ruler`: tasks on the embedded model, from prompt to score."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from bad_input import assert_error
from harness import DEMO, ROOT

TEXT = ROOT / "examples" / "long_prompt.txt"
GRID = ("--digits", 4, "--lengths", "200,300", "--depths", "10,90", "--samples", 2)


def test_needles_on_the_demo(dms, dms_json, tmp_path):
    """What the demo was trained for: it recalls at an eighth what it recalls with everything."""
    page, table = tmp_path / "page.html", tmp_path / "rows.csv"
    policies = "dms,streaming:recent_size=60"
    command = ("eval", "needle", DEMO, *GRID, "--haystack", TEXT, "--policies", policies)
    report = dms_json(*command, "--html", page, "--csv", table, "--out", tmp_path / "out")
    rows = report["rows"]
    assert [row["policy"] for row in rows[:3]] == ["none", "dms", "streaming:recent_size=60"]
    assert {(row["length"], row["depth"]) for row in rows} == {
        (length, depth) for length in (200, 300) for depth in (10, 90)
    }
    mean = {
        policy: np.mean([row["score"] for row in rows if row["policy"] == policy])
        for policy in ("none", "dms", "streaming:recent_size=60")
    }
    assert mean["none"] >= 0.75
    assert mean["dms"] >= 0.75
    # What lies at a tenth of the text has left the streaming cache.
    lost = [row for row in rows if row["depth"] == 10 and "streaming" in row["policy"]]
    assert all(row["score"] == 0 for row in lost)
    assert page.read_text().count("<figure") == 3 + 2  # a map a policy, a chart a length
    with table.open() as file:
        assert [float(row["score"]) for row in csv.DictReader(file)] == [r["score"] for r in rows]
    text = dms(*command, "--out", tmp_path / "out").stdout.decode()
    assert text.splitlines()[0].startswith("| policy ")
    assert len(text.splitlines()) == 2 + 3 * 2


@pytest.mark.parametrize("options", [(), ("--hide-question", "--tasks", "niah_single_2,vt,fwe")])
def test_ruler_on_the_demo(dms, dms_json, tmp_path, options):
    command = ("eval", "ruler", DEMO, "--lengths", 1000, "--samples", 1, "--out", tmp_path)
    command += ("--haystack", TEXT, "--policies", "knorm:compression_ratio=0.5", *options)
    report = dms_json(*command)
    count = 3 if options else 11
    assert len({row["task"] for row in report["rows"]}) == count
    left_out = {"qa_1": "no --squad file", "qa_2": "no --hotpotqa file"}
    assert report.get("left_out") == (None if options else left_out)
    for row in report["rows"]:
        assert 0 <= row["score"] <= 1
        assert row["samples"] == 1
        if row["policy"] != "none":
            assert 1.3 < row["kv"]["cr"] <= 2.01
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    for record in lines[1:]:
        filled = record["numbers"]["prefill_tokens"]
        assert 700 < filled <= 1000
    text = dms(*command).stdout.decode()
    assert f"| mean of {count} " in text
    assert ("qa_1: no --squad file" in text) == (not options)


def test_ruler_at_a_thirty_second(dms_json, tmp_path):
    """The highest ratio of such comparisons: a 32nd of the prompt stays, and the answer."""
    policy = "knorm:compression_ratio=0.96875"
    command = ("eval", "ruler", DEMO, "--lengths", 1000, "--samples", 1, "--out", tmp_path)
    (_, row) = dms_json(*command, "--tasks", "niah_single_2", "--policies", policy)["rows"]
    record = json.loads((tmp_path / "results.jsonl").read_text().splitlines()[2])
    prompt = int(record["numbers"]["prefill_tokens"])
    heads = sum(map(len, held_per_head(json.dumps(record))))
    answer = row["kv"]["dense_tokens"] / heads - prompt
    assert 0 <= answer <= 128
    assert row["kv"]["held_tokens"] / heads == prompt // 32 + answer


def test_a_hidden_question_is_appended_to_the_cut_context(dms_json, tmp_path):
    """A policy that ranks prompts takes nothing of the question, which follows its budget."""
    question = tmp_path / "question.txt"
    question.write_text("What is the special magic number for a-b mentioned in the provided text?")
    least = len(dms_json("tokenize", DEMO, "--no-special", "--text-file", question)["ids"])
    command = ("eval", "needle", DEMO, "--lengths", 300, "--depths", 50, "--samples", 1)
    command += ("--policies", "snapkv:budget=64:window_size=16")
    prompts = []
    for options in ((), ("--hide-question",)):
        out = tmp_path / str(len(options))
        rows = dms_json(*command, *options, "--out", out)["rows"]
        lines = (out / "results.jsonl").read_text().splitlines()
        prompts.append(json.loads(lines[1])["numbers"]["prefill_tokens"])
        held = max(max(heads) for heads in held_per_head(lines[2]))
        assert (held > 64 + least) == bool(options), (held, least)
        assert rows[1]["kv"]["held_tokens"] < rows[0]["kv"]["held_tokens"]
    assert prompts[0] == prompts[1]


def held_per_head(line: str) -> list[list[int]]:
    text = json.loads(line)["texts"]["held_per_head"]
    return [[int(held) for held in layer.split(",")] for layer in text.split(";")]


def test_ruler_asks_questions_of_given_files(dms, dms_json, tmp_path):
    squad = tmp_path / "squad.json"
    paragraphs = [
        {
            "context": f"The harbour of town {i} was built in {1800 + i}.",
            "qas": [
                {
                    "question": f"When was the harbour of town {i} built?",
                    "is_impossible": False,
                    "answers": [{"text": str(1800 + i)}],
                }
            ],
        }
        for i in range(30)
    ]
    squad.write_text(json.dumps({"data": [{"title": "towns", "paragraphs": paragraphs}]}))
    command = ("eval", "ruler", DEMO, "--lengths", 400, "--samples", 2, "--tasks", "qa_1")
    # The questions may come later: what is kept of other tasks does not depend on them.
    kept = tmp_path / "kept"
    without = (*command[:-1], "niah_single_1", "--policies", "none,dms", "--out", kept)
    dms_json(*without)
    lines = (kept / "results.jsonl").read_text().splitlines()[1:]
    both = (*command[:-1], "niah_single_1,qa_1", "--squad", squad, "--out", kept)
    rows = [row for row in dms_json(*both)["rows"] if row["task"] == "qa_1"]
    assert set(lines) < set((kept / "results.jsonl").read_text().splitlines())
    assert [row["policy"] for row in rows] == ["none", "dms"]
    assert rows[0]["samples"] == 2
    # From then on they are the same ones.
    squad.write_text(squad.read_text() + " ")
    assert_error(dms(*both, check=False), "squad: holds results of another file", "--force")
    dms_json(*without, "--squad", squad)
    # A sample that has no room is found before the first one is measured.
    paragraphs[1]["context"] *= 100
    squad.write_text(json.dumps({"data": [{"title": "towns", "paragraphs": paragraphs}]}))
    out = tmp_path / "out"
    assert_error(dms(*command, "--squad", squad, "--out", out, check=False), "too short", "qa_1")
    assert not out.exists()
