"""`dms report`: what is measured once, what fails, and what a second call adds."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from bad_input import assert_error
from harness import DEMO, HANG_GUARD_S, ROOT, binary, wait_until

TEXT = ROOT / "examples" / "long_prompt.txt"
FILE = f"""
title: Two tasks on the demo
profiles:
  small: [none, "streaming:recent_size=12.5%", "random:cr=8:window=16"]
  large: [none, "streaming:recent_size=25%"]
defaults: {{model: {DEMO}, haystack: {TEXT}}}
scenarios:
- {{name: text, measure: kld, text: {TEXT}, max_tokens: 400, lengths: 256}}
- {{name: gone, measure: kld, text: {TEXT}, model: nowhere, profiles: small}}
- {{name: tasks, measure: needle, lengths: [200, 300], depths: [10, 90], digits: 4, samples: 1}}
"""


@pytest.fixture
def scenarios(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text(FILE)
    return file


def test_what_fails_is_said_and_the_rest_is_done(dms, scenarios, tmp_path):
    out = tmp_path / "out"
    done = dms("report", scenarios, "--out", out, check=False)
    assert done.returncode == 1
    error = done.stderr.decode()
    assert "gone, small, kld: nowhere" in error
    assert "1 of 5 evaluations failed: gone, small, kld" in error.splitlines()[-1]
    assert str(out) in error.splitlines()[-1]
    markdown = (out / "report.md").read_text()
    assert "# Two tasks on the demo" in markdown
    assert "Not done" in markdown
    page = (out / "report.html").read_text()
    for part in ("text: kld at 256 tokens, profile small", "tasks: needle, profile large"):
        assert part in page
    assert "nowhere" in page
    with (out / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    # Texts have a row a policy, needles one a policy and cell.
    assert len(rows) == 3 + 2 + (3 + 2) * 4
    assert {row["scenario"] for row in rows} == {"text", "tasks"}
    sized = [row for row in rows if row["policy"] == "streaming:recent_size=12.5%"]
    needles = [row for row in sized if row["measure"] == "needle"]
    held = {row["tokens"]: int(row["kv.held_tokens"]) for row in needles}
    # A share is of each length: an eighth of 300 tokens is more than of 200.
    assert held["300"] > held["200"]

    # Nothing is measured again; --force measures all.
    lines = (out / "text" / "kld-256" / "results.jsonl").read_text()
    before = (out / "report.csv").read_text()
    dms("report", scenarios, "--out", out, check=False)
    assert (out / "text" / "kld-256" / "results.jsonl").read_text() == lines
    assert (out / "report.csv").read_text() == before
    dms("report", scenarios, "--out", out, "--scenarios", "text", "--force")
    again = (out / "text" / "kld-256" / "results.jsonl").read_text()
    assert again != lines
    assert len(again.splitlines()) == len(lines.splitlines())
    # The profiles share the results of a policy that both have.
    assert again.count('"key":"none 0"') == 1


def test_a_policy_that_is_refused_leaves_the_others_of_its_profile(dms, tmp_path):
    file, out = tmp_path / "s.yaml", tmp_path / "out"
    file.write_text(f"""
profiles: {{mixed: [none, "snapkv:budget=50%", "dms:kv_dtype=int8", "oracle:cr=8"]}}
scenarios:
- {{name: a, model: {DEMO}, measure: ppl, text: {TEXT}, lengths: 256, max_tokens: 400}}
""")
    done = dms("report", file, "--out", out, "--json", check=False)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert [row["policy"] for row in report["rows"]] == ["none", "dms:kv_dtype=int8"]
    failed = {failure["part"]: failure["reason"] for failure in report["failed"]}
    unknown, too_large = (f"a, mixed, ppl 256, {p}" for p in ("oracle:cr=8", "snapkv:budget=50%"))
    assert list(failed) == [unknown, too_large]
    assert "unknown policy" in failed[unknown]
    assert "smaller --stride" in failed[too_large]
    assert "snapkv:budget=50%" in (out / "report.md").read_text()
    last = done.stderr.decode().splitlines()[-1]
    assert f"2 policies were refused: {unknown}; {too_large}" in last
    assert "evaluations failed" not in last


def test_a_limit_of_one_policy_is_not_the_others(dms, tmp_path):
    """KVzip holds half of what the model could: it repeats the text."""
    file, out = tmp_path / "s.yaml", tmp_path / "out"
    file.write_text(f"""
profiles: {{p: [none, "kvzip:budget=12.5%"]}}
scenarios:
- {{name: a, model: {DEMO}, measure: needle, lengths: [2100], depths: 50, samples: 1, digits: 4}}
""")
    done = dms("report", file, "--out", out, "--json", check=False)
    report = json.loads(done.stdout)
    assert [row["policy"] for row in report["rows"]] == ["none"]
    (failure,) = report["failed"]
    assert failure["part"] == "a, p, needle, kvzip:budget=12.5%"
    assert "got 2100, expected at most" in failure["reason"]
    assert (
        done.stderr.decode().splitlines()[-1].startswith("dms: error: 1 policy was refused: a, p")
    )


def test_a_length_that_the_text_does_not_fill_is_refused(dms, tmp_path):
    """Two of them would be one evaluation, measured twice."""
    file, out = tmp_path / "s.yaml", tmp_path / "out"
    file.write_text(f"""
profiles: {{p: [none]}}
defaults: {{model: {DEMO}, measure: ppl, text: {TEXT}, max_tokens: 90}}
scenarios: [{{name: a, lengths: [64, 90, 91, 128]}}, {{name: b}}]
""")
    done = dms("report", file, "--out", out, "--json", check=False)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    # Without a length the whole text is one.
    assert [(row["scenario"], row["tokens"]) for row in report["rows"]] == [
        ("a", 64),
        ("a", 90),
        ("b", 90),
    ]
    assert [failure["part"] for failure in report["failed"]] == ["a, p, ppl 91", "a, p, ppl 128"]
    reason = "lengths: longer than the text (got 128, expected at most 90 tokens)"
    assert reason in report["failed"][1]["reason"]


def test_the_page_holds_all_that_lies_in_the_folder(dms, tmp_path):
    file, out = tmp_path / "s.yaml", tmp_path / "out"
    file.write_text(f"""
profiles: {{p: [none, "streaming:recent_size=25%"], q: [none, "random:cr=8:window=4"]}}
defaults: {{model: {DEMO}, measure: ppl, text: {TEXT}, max_tokens: 80, lengths: 64}}
scenarios: [{{name: a}}, {{name: b}}, {{name: gone, model: nowhere}}]
""")
    call = ("report", file, "--out", out)

    def parts() -> list[tuple[str, str]]:
        with (out / "report.csv").open() as rows:
            found = [(row["scenario"], row["profile"]) for row in csv.DictReader(rows)]
        assert all(f"{a}: ppl at 64 tokens, profile {p}" in page() for a, p in found)
        return list(dict.fromkeys(found))

    def page() -> str:
        return (out / "report.html").read_text()

    dms(*call, "--scenarios", "b", "--profiles", "q")
    assert parts() == [("b", "q")]  # p has none of its own, but `none`
    kept = (out / "b" / "ppl-64" / "results.jsonl").read_text()
    dms(*call, "--scenarios", "a", "--profiles", "p", "--force")
    assert parts() == [("a", "p"), ("b", "q")]
    assert (out / "b" / "ppl-64" / "results.jsonl").read_text() == kept
    done = dms(*call, "--scenarios", "gone", check=False)
    assert parts() == [("a", "p"), ("b", "q")]
    assert "2 of 2 evaluations failed: gone, p, ppl 64; gone, q, ppl 64" in done.stderr.decode()
    dms(*call, "--scenarios", "b")
    assert parts() == [("a", "p"), ("b", "p"), ("b", "q")]


def test_force_renews_only_what_is_asked_for(dms, tmp_path):
    file, out = tmp_path / "s.yaml", tmp_path / "out"
    yaml = f"""
profiles: {{p: [none, "random:cr=3:window=4"], q: [none, "random:cr=4:window=4"]}}
defaults: {{model: {DEMO}, text: {TEXT}, max_tokens: TOKENS, samples: 1, depths: 50, digits: 4}}
scenarios: [{{name: a, measure: [ppl, needle], lengths: 200, profiles: [p, q]}}]
"""
    file.write_text(yaml.replace("TOKENS", "220"))
    folders = ("ppl-200", "needle")

    def records(folder: str) -> dict[str, str]:
        lines = (out / "a" / folder / "results.jsonl").read_text().splitlines()[1:]
        keys = [json.loads(line)["key"] for line in lines]
        assert len(set(keys)) == len(keys)
        return dict(zip(keys, lines, strict=True))

    def rows(*options) -> set[tuple[str, ...]]:
        report = json.loads(dms("report", file, "--out", out, "--json", *options).stdout)
        return {tuple(row[k] for k in ("measure", "profile", "policy")) for row in report["rows"]}

    whole = rows()
    assert len(whole) == 2 * 2 * 2
    before = {folder: records(folder) for folder in folders}
    assert rows("--profiles", "q", "--force") == whole
    for folder, kept in before.items():
        after = records(folder)
        assert after.keys() == kept.keys()
        assert {key for key in kept if after[key] == kept[key]} == {k for k in kept if "cr=3" in k}
    # Results of another text are of no use to anyone.
    file.write_text(yaml.replace("TOKENS", "230"))
    rows("--profiles", "q", "--force")
    assert not any("cr=3" in key for key in records("ppl-200"))


def test_the_environment_stands_for_options(dms, scenarios, tmp_path):
    out = tmp_path / "elsewhere"
    env = {**os.environ, "OUTPUT_ROOT": str(out), "PROFILES": "large", "SCENARIOS": "text"}
    done = dms("report", scenarios, "--json", env=env)
    rows = json.loads(done.stdout)["rows"]
    assert [row["policy"] for row in rows] == ["none", "streaming:recent_size=25%"]
    assert {row["profile"] for row in rows} == {"large"}
    results = out / "text" / "kld-256" / "results.jsonl"
    lines = results.read_text()
    dms("report", scenarios, env={**env, "FORCE_RERUN": "0"})
    assert results.read_text() == lines
    dms("report", scenarios, env={**env, "FORCE_RERUN": "1"})
    assert results.read_text() != lines
    # Defined there altogether, as bash hands an array over.
    one = f"name=one model={DEMO} measure=ppl text={TEXT} lengths=1024 max_tokens=1100"
    env["SCENARIOS"] = f'("{one}")'
    env["PROFILES"] = "balanced"
    rows = json.loads(dms("report", "--json", env=env).stdout)["rows"]
    assert {row["scenario"] for row in rows} == {"one"}
    assert rows[0]["policy"] == "none"
    assert rows[-1]["policy"] == "dms"  # the demo's own


@pytest.mark.parametrize("force", [None, "--force", "FORCE_RERUN=1"])
def test_ctrl_c_keeps_what_is_done(dms, tmp_path, force):
    file, out = tmp_path / "s.yaml", tmp_path / "out"
    file.write_text(f"""
scenarios:
- {{name: a, model: {DEMO}, measure: ppl, text: {TEXT}, lengths: 64, stride: 1, profiles: p}}
- {{name: b, model: {DEMO}, measure: ppl, text: {TEXT}, lengths: 64, profiles: p}}
profiles: {{p: [none]}}
""")
    option = ["--force"] if force == "--force" else []
    process = subprocess.Popen(
        [str(binary()), "report", str(file), "--out", str(out), *option],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "FORCE_RERUN": "1" if force and "=" in force else ""},
    )
    results = out / "a" / "ppl-64" / "results.jsonl"
    wait_until(
        lambda: results.exists() and results.read_text().count("\n") >= 4, process, "four records"
    )
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG_GUARD_S)
    assert process.returncode == -signal.SIGINT
    # What wiped the folder would wipe it again.
    goes_on = "the same command goes on" if not force else "the command goes on without --force"
    assert f"what was measured is in {out}; {goes_on}" in err.decode()
    for page in ("report.md", "report.html"):
        assert f"interrupted; {goes_on}" in (out / page).read_text()
    kept = results.read_text()
    # The second call goes on: what is there stays, and scenario b is done as well.
    dms("report", file, "--out", out, "--scenarios", "b")
    assert results.read_text() == kept
    assert (out / "b" / "ppl-64" / "results.jsonl").exists()


def test_ctrl_c_before_anything_is_measured_writes_the_page(tmp_path):
    file, out, text = tmp_path / "s.yaml", tmp_path / "out", tmp_path / "text"
    os.mkfifo(text)
    file.write_text(f"scenarios: [{{name: a, model: {DEMO}, measure: ppl, text: {text}}}]")
    process = subprocess.Popen(
        [str(binary()), "report", str(file), "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    pipes = []

    def is_read() -> bool:
        with contextlib.suppress(OSError):  # nobody reads it yet
            pipes.append(os.open(text, os.O_WRONLY | os.O_NONBLOCK))
        return bool(pipes)

    wait_until(is_read, process, "a reader of the text")
    process.send_signal(signal.SIGINT)  # while it waits for the text
    os.write(pipes[0], b"It was a dark night.")
    os.close(pipes[0])
    _, err = process.communicate(timeout=HANG_GUARD_S)
    assert process.returncode == -signal.SIGINT
    assert f"what was measured is in {out}" in err.decode()
    assert "interrupted" in (out / "report.md").read_text()


def test_the_example_report_takes_no_old_page(tmp_path):
    program = tmp_path / "build" / "release" / "src" / "cli" / "dms"
    page = tmp_path / "build" / "report-demo" / "report.html"
    for file in (program, page):
        file.parent.mkdir(parents=True)
    script = tmp_path / "scripts" / "report"
    script.parent.mkdir()
    shutil.copy(ROOT / "scripts" / "report", script)

    def run(shell: str):
        program.write_text(f"#!/bin/sh\n{shell}\n")
        program.chmod(0o755)
        return subprocess.run(
            [sys.executable, script, "--demo"],
            capture_output=True,
            text=True,
            timeout=HANG_GUARD_S,
            check=False,
        )

    page.write_text("<style></style>")
    page.with_suffix(".md").write_text("# Old")
    document = page.parent / "example" / "README.md"
    for status in (1, 2):
        assert f"status {status}" in run(f"exit {status}").stderr
        assert not document.exists()
    # Parts that failed leave the page of the others.
    done = run("cd build/report-demo; echo '<style></style>' >report.html; exit 1")
    assert done.returncode == 1
    assert "some parts failed" in done.stderr
    assert document.exists()


@pytest.mark.parametrize(
    ("command", "env", "words"),
    [
        ((), {}, ("SCENARIOS.yaml", "missing")),
        (("nowhere.yaml",), {}, ("nowhere.yaml",)),
        (("/dev/null",), {}, ("empty", "scenarios")),
        (("FILE", "--profiles", "smal"), {}, ("--profiles", "smal", "did you mean small?")),
        (("FILE",), {"PROFILES": "smal"}, ("PROFILES", "smal", "did you mean small?")),
        (("FILE", "--scenarios", "txet"), {}, ("--scenarios", "txet", "did you mean text?")),
        (("FILE", "--scenarios", "text,text"), {}, ("--scenarios", "text", "twice")),
        (("FILE", "--profiles", "small,small"), {}, ("--profiles", "small", "twice")),
        (("FILE",), {"SCENARIOS": "name=a model=m"}, ("SCENARIOS", "a.measure", "missing")),
        (("FILE",), {"FORCE_RERUN": "yes"}, ("FORCE_RERUN", "yes", "0 or 1")),
        (("FILE", "--csv", "/nowhere/x"), {}, ("/nowhere",)),
        (("FILE", "--csv", "x", "--html", "./x"), {}, ("--html", "--csv")),
        (("FILE", "--out", ".", "--csv", "report.html"), {}, ("--csv", "report.html")),
    ],
)
def test_bad_input(dms, scenarios, command, env, words):
    arguments = [scenarios if word == "FILE" else word for word in command]
    done = dms("report", *arguments, env={**os.environ, **env}, check=False)
    assert done.returncode == 2
    assert_error(done, *words)


def test_a_policys_fault_is_said_of_its_profile(dms, tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text(f"""
scenarios:
- {{name: a, model: {DEMO}, measure: needle, lengths: 200, samples: 1, digits: 4}}
profiles:
  p: ["snapkv:bugdet=12.5%"]
  q: ["none", "streaming:recent_size=25%"]
  r: ["none"]
""")
    out = tmp_path / "out"
    done = dms("report", file, "--out", out, check=False)
    assert done.returncode == 1
    error = done.stderr.decode()
    assert "s.yaml:5: profiles.p: snapkv:bugdet=12.5%" in error
    assert "did you mean budget?" in error
    assert "| a " in done.stdout.decode()
    # Nor does it keep --force from the first profile that is measured, which later ones add to.
    results = out / "a" / "needle" / "results.jsonl"
    before = results.read_text().splitlines()
    dms("report", file, "--out", out, "--force", check=False)
    after = results.read_text().splitlines()
    assert len(after) == len(before)
    assert not set(after[1:]) & set(before[1:])
