"""LongBench's Chinese tasks, whose scores count the words that `--segmenter` finds."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest

from bad_input import assert_error
from harness import DEMO, HANG_GUARD_S, ROOT, binary, wait_until
from longbench_reference import CHINESE_PUNCTUATION, segmented_f1, segmented_rouge_l

TEXT = (ROOT / "examples" / "long_prompt.txt").read_text()
SCORES = {
    "multifieldqa_zh": segmented_f1,
    "dureader": segmented_rouge_l,
    "vcsum": segmented_rouge_l,
}
COMMAND = ("eval", "longbench", DEMO, "--lengths", 700, "--policies", "none", "--samples", 1)

# It reads all lines before it writes one, as jieba's output waits in a buffer.
PAIRS = """
import pathlib, sys
for line in sys.stdin.read().split("\\n")[:-1]:
    print(*[line[i : i + 2] for i in range(0, len(line), 2)])
"""


def python(code: str, *arguments: object) -> str:
    """A command for --segmenter."""
    return shlex.join([sys.executable, "-X", "utf8", "-c", code, *map(str, arguments)])


def pairs(text: str) -> list[str]:
    line = " ".join(text.split())
    return " ".join(line[i : i + 2] for i in range(0, len(line), 2)).split()


def references(answer: str) -> list[str]:
    """Some of its words, with others and with all punctuation between them, and some not of it."""
    listed = "".join(answer.split())
    words = [listed[i : i + 2] for i in range(0, len(listed), 2)] or ["ab"]
    marks = CHINESE_PUNCTUATION + "《·"  # two that LongBench counts as words
    between = [marks[i : i + 2] for i in range(0, len(marks), 2)]
    return [
        "".join(words[::2] + between[: len(between) // 2 * 2]) + "北京",
        "".join(between[:3] + words[len(words) // 2 :]) + "\u3000\n大学.",
        "完全不同的文字",
    ]


def write(folder, answers: dict[str, str]) -> None:
    folder.mkdir()
    for task in SCORES:
        record = {
            "input": "这里说了什么？",
            "context": TEXT,
            "answers": references(answers.get(task, "")),
        }
        (folder / f"{task}.jsonl").write_text(json.dumps(record) + "\n")


def answers_in(out) -> dict[str, str]:
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()[1:]]
    return {line["key"].split()[0]: line["texts"]["answer"] for line in lines}


@pytest.fixture(scope="module")
def answered(dms, tmp_path_factory):
    """(folder of data whose references resemble the answers, folder of results, answers)"""
    folder = tmp_path_factory.mktemp("words")
    write(folder / "first", {})
    first = ("--data", folder / "first", "--out", folder / "a")
    dms(*COMMAND, *first, "--segmenter", python(PAIRS))
    answers = answers_in(folder / "a")
    write(folder / "second", answers)
    dms(*COMMAND, "--data", folder / "second", "--out", folder / "b", "--segmenter", python(PAIRS))
    assert answers_in(folder / "b") == answers  # references are no part of the prompt
    return folder / "second", folder / "b", answers


def scores_of(rows: list[dict]) -> dict[str, float]:
    return {row["task"]: row["score"] for row in rows}


def test_scores_are_those_of_the_reference(dms_json, answered):
    data, out, answers = answered
    # The answers are kept: another segmenter needs no others.
    again = (*COMMAND, "--data", data, "--out", out, "--segmenter")
    report = dms_json(*again, python(PAIRS))
    whole = dms_json(*again, "cat")
    assert report["segmenter"][0] == sys.executable
    for segment, rows in ((pairs, report["rows"]), (str.split, whole["rows"])):
        scores = scores_of(rows)
        for task, score in SCORES.items():
            expected = max(
                score(segment(answers[task]), segment(reference))
                for reference in references(answers[task])
            )
            assert scores[task] == pytest.approx(expected, abs=1e-9), task
    assert all(score > 0 for score in scores_of(report["rows"]).values())


def test_scores_by_jieba(dms_json, answered):
    jieba = pytest.importorskip("jieba", reason="PyPI's jieba is not installed")
    data, out, answers = answered
    command = f"{shlex.quote(sys.executable)} -X utf8 -m jieba -q -d"
    report = dms_json(*COMMAND, "--data", data, "--out", out, "--segmenter", command)
    scores = scores_of(report["rows"])
    for task, score in SCORES.items():
        given, *wanted = (
            [w for w in jieba.cut(text, cut_all=False) if w.strip()]
            for text in (answers[task], *references(answers[task]))
        )
        expected = max(score(given, words) for words in wanted)
        assert scores[task] == pytest.approx(expected, abs=1e-9), task


def test_without_one_they_are_left_out(dms_json, dms, tmp_path):
    write(tmp_path / "data", {})
    done = dms(*COMMAND, "--data", tmp_path / "data", check=False)
    assert_error(done, "words of Chinese text", "multifieldqa_zh", '--segmenter "python3 -m jieba')
    record = json.dumps({"input": "Who?", "context": "She.", "answers": ["she"]})
    (tmp_path / "data" / "hotpotqa.jsonl").write_text(record)
    command = (*COMMAND, "--data", tmp_path / "data", "--out", tmp_path / "out")
    report = dms_json(*command)
    assert scores_of(report["rows"]).keys() == {"hotpotqa"}
    assert report["left_out"] == dict.fromkeys(SCORES, "no --segmenter")
    # It may come later.
    report = dms_json(*command, "--segmenter", python(PAIRS))
    assert scores_of(report["rows"]).keys() == {"hotpotqa", *SCORES}


@pytest.mark.parametrize(
    ("segmenter", "words_said"),
    [
        ("", ("got ''", "a command")),
        ("'python3 -m jieba", ("another '",)),
        ("no-such-segmenter -q", ("cannot be started: No such file", "got no-such-segmenter")),
        (python("import no_such_module"), ("failed with status 1", "No module named")),
        ("head -n 2", ("another number of lines", "got 2", "expected 9")),
        (python("print('x')"), ("another text as line 1", "got 'x'")),
    ],
)
def test_one_that_does_not_work_is_refused_first(dms, tmp_path, segmenter, words_said):
    write(tmp_path / "data", {})
    command = (*COMMAND, "--data", tmp_path / "data", "--out", tmp_path / "out")
    done = dms(*command, "--segmenter", segmenter, check=False)
    assert_error(done, "--segmenter", *words_said)
    assert not (tmp_path / "out").exists()


def test_one_that_fails_at_the_end_costs_its_scores_alone(dms, dms_json, tmp_path):
    write(tmp_path / "data", {})
    record = json.dumps({"input": "Who?", "context": "She.", "answers": ["she"]})
    (tmp_path / "data" / "hotpotqa.jsonl").write_text(record)
    once = python(PAIRS + "pathlib.Path(sys.argv[1]).mkdir()", tmp_path / "mark")
    command = (*COMMAND, "--data", tmp_path / "data", "--out", tmp_path / "out")
    done = dms(*command, "--segmenter", once, check=False)
    assert done.returncode == 2
    assert "--segmenter: failed with status 1" in done.stderr.decode()
    assert "| hotpotqa " in done.stdout.decode()
    assert "vcsum: --segmenter: failed" in done.stdout.decode()
    report = dms_json(*command, "--segmenter", python(PAIRS))
    assert scores_of(report["rows"]).keys() == {"hotpotqa", *SCORES}


def test_it_goes_with_ctrl_c(tmp_path):
    write(tmp_path / "data", {})
    mark = tmp_path / "mark"
    code = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} ")
time.sleep(100000)
"""
    waits = python(code, mark)
    command = [binary(), *COMMAND, "--data", tmp_path / "data", "--segmenter", waits]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_until(lambda: mark.exists() and mark.read_text().endswith(" "), process, "segmenter")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG_GUARD_S)
    assert process.returncode == -signal.SIGINT
    assert "interrupted: nothing was measured" in err.decode()
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
