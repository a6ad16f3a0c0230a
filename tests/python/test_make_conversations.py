"""`scripts/make_conversations`: conversations whose late answers stand in what was said early."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from harness import ROOT


def test_what_is_asked_late_was_said_before(tmp_path):
    text = tmp_path / "text"
    text.mkdir()
    for name in ("CONTRIBUTING.md", "ARCHITECTURE.md", "README.md"):
        (text / f"{name}.txt").write_text((ROOT / name).read_text())

    def make(out: str, seed: int) -> str:
        script = [sys.executable, str(ROOT / "scripts" / "make_conversations"), str(tmp_path / out)]
        numbers = ["--count", "200", "--seed", str(seed)]
        subprocess.run([*script, "--text", str(text), *numbers], check=True)
        return (tmp_path / out).read_text()

    lines = make("a/b.jsonl", 3)
    assert lines == make("again.jsonl", 3)
    assert lines != make("other.jsonl", 4)
    quoted = 0
    tables = 0
    for line in lines.splitlines():
        messages = json.loads(line)["messages"]
        assert [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2)
        assert all(m["content"] for m in messages)
        if messages[0]["content"].startswith("These are our orders."):
            tables += 1
            form = r"Order (\d{4})|\"id\": (\d{4})|^(\d{4}),"
            orders = re.findall(form, messages[0]["content"], re.MULTILINE)
            assert messages[1]["content"] == f"I see {len(set(orders))} orders."
        for asked, answer in zip(messages[2::2], messages[3::2], strict=True):
            if (word := re.fullmatch(r'Quote .* the word "(\w+)"\.', asked["content"])) is None:
                continue
            quoted += 1
            assert word.group(1) in answer["content"]
            assert answer["content"] in messages[0]["content"]
    assert quoted > 5
    assert tables > 20
