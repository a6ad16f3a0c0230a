"""`dms eval longbench`: scores against an independent reference, on made-up files of its format."""

from __future__ import annotations

import json

import pytest

from bad_input import assert_error
from harness import DEMO, ROOT
from longbench_reference import classes_of, code, f1, number, rouge_l

TEXT = (ROOT / "examples" / "long_prompt.txt").read_text()
LENGTH = 700


SCORES = {
    "hotpotqa": f1,
    "triviaqa": f1,
    "gov_report": rouge_l,
    "samsum": rouge_l,
    "trec": classes_of,
    "lsht": classes_of,
    "passage_count": number,
    "passage_retrieval_zh": number,
    "lcc": code,
}
ONE_LINE = {"triviaqa", "samsum", "trec", "lsht"}
CLASSES = {"trec", "lsht"}


def references(task: str, answer: str) -> list[str]:
    """Some that share a part with what the model says, and some that do not."""
    some = answer.split() or ["nothing"]
    if task == "passage_count":
        return ["17"]
    if task == "passage_retrieval_zh":
        return ["段落17"]
    if task in CLASSES:
        return [some[0]]
    return [
        " ".join(["The", *some[::2], "end."]),
        " ".join(some[len(some) // 2 :] + [". Then,", *some[:3]]),
        "quite another thing",
    ]


def write(folder, answers: dict[str, str]) -> None:
    folder.mkdir()
    for task in SCORES:
        answer = answers.get(task, "")
        record = {
            "input": "What is told here?",
            "context": TEXT if task != "lcc" else TEXT[:1500],
            "answers": references(task, answer),
            "all_classes": ["What", *sorted(set(answer.split()))[:5]] if task in CLASSES else None,
            "dataset": task,
            "language": "en",
        }
        (folder / f"{task}.jsonl").write_text(json.dumps(record) + "\n")


def records(out) -> dict[str, dict]:
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()[1:]]
    return {line["key"].split()[0]: line for line in lines}


def test_scores_are_those_of_the_reference(dms_json, dms, tmp_path):
    command = ("eval", "longbench", DEMO, "--lengths", LENGTH, "--policies", "none", "--samples", 1)
    write(tmp_path / "first", {})
    dms(*command, "--data", tmp_path / "first", "--out", tmp_path / "a")
    answers = {task: line["texts"]["answer"] for task, line in records(tmp_path / "a").items()}
    write(tmp_path / "second", answers)
    page = tmp_path / "page.html"
    data = tmp_path / "second"
    report = dms_json(*command, "--data", data, "--out", tmp_path / "b", "--html", page)
    assert {row["task"] for row in report["rows"]} == set(SCORES)
    assert "LongBench, per cent" in page.read_text()
    found = records(tmp_path / "b")
    scores = {row["task"]: row["score"] for row in report["rows"]}
    for task, score in SCORES.items():
        answer = found[task]["texts"]["answer"]
        assert answer == answers[task]  # references are no part of the prompt
        if task in ONE_LINE:
            answer = answer.lstrip("\n").split("\n")[0]
        record = json.loads((data / f"{task}.jsonl").read_text())
        extra = (record["all_classes"],) if task in CLASSES else ()
        expected = max(score(answer, reference, *extra) for reference in record["answers"])
        assert scores[task] == pytest.approx(expected, abs=1e-9), task
        assert found[task]["numbers"]["prefill_tokens"] <= LENGTH
    assert sum(score > 0 for score in scores.values()) >= 4


def test_tasks_may_be_added(dms, dms_json, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    write(data, {})
    command = ("eval", "longbench", DEMO, "--data", data, "--lengths", LENGTH, "--samples", 1)
    command += ("--policies", "none", "--out", out)

    def tasks(names: str) -> set[str]:
        return {row["task"] for row in dms_json(*command, "--tasks", names)["rows"]}

    assert tasks("hotpotqa") == {"hotpotqa"}
    kept = records(out)["hotpotqa"]
    assert tasks("hotpotqa,trec") == {"hotpotqa", "trec"}
    assert records(out)["hotpotqa"] == kept
    # Nobody asks for it, so its file does not matter now; where somebody does, it must be the same.
    (data / "trec.jsonl").write_text((data / "lsht.jsonl").read_text())
    assert tasks("hotpotqa") == {"hotpotqa"}
    done = dms(*command, "--tasks", "trec,lcc", check=False)
    assert_error(done, "results.jsonl: trec: holds results of another file", "--force")


@pytest.mark.parametrize(
    ("options", "words_said"),
    [
        ((), ("--data", "missing")),
        (("--data", "nowhere"), ("nowhere", "no file of LongBench")),
        (("--data", ROOT, "--tasks", "hotpottqa"), ("--tasks", "did you mean hotpotqa?")),
        (
            ("--data", ROOT, "--tasks", "dureader"),
            ("--tasks", "words of Chinese", "got dureader", "--segmenter"),
        ),
        (("--data", ROOT, "--tasks", "hotpotqa"), ("hotpotqa.jsonl",)),
        (("--data", ROOT, "--depths", 3), ("--depths", "dms eval longbench")),
    ],
)
def test_bad_input(dms, options, words_said):
    assert_error(dms("eval", "longbench", DEMO, *options, check=False), *words_said)
