"""`dms train`, `dms data` and `dms extract` start dms-train with the same arguments."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from harness import HANG_GUARD_S, binary

# Prints which signals it ignores, then its arguments, a line each; ends with a status of its own.
FAKE_TRAINER = """#!/bin/sh
grep SigIgn /proc/self/status
printf '%s\\n' "$@"
exit 7
"""
SIGPIPE_BIT = 1 << (signal.SIGPIPE - 1)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A copy of `dms` in a folder where no dms-train is near."""
    (tmp_path / "bin").mkdir()
    return Path(shutil.copy(binary(), tmp_path / "bin" / "dms"))


@pytest.fixture
def with_trainer(installed: Path) -> Path:
    """The same with a fake dms-train beside it."""
    trainer = installed.with_name("dms-train")
    trainer.write_text(FAKE_TRAINER)
    trainer.chmod(0o755)
    return installed


def run(program: Path, *args: str) -> subprocess.CompletedProcess:
    """Runs the program with its output as text."""
    return subprocess.run(
        [program, *args], capture_output=True, text=True, timeout=HANG_GUARD_S, env=os.environ
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["train", "c.yaml"], ["train", "c.yaml"]),
        (
            ["train", "--set", "a=1", "--estimate", "c.yaml", "--resume", "auto", "--set=b=[x, y]"],
            ["train", "c.yaml", "--resume", "auto", "--estimate"]
            + ["--set", "a=1", "--set", "b=[x, y]"],
        ),
        (
            ["train", "c.yaml", "--ranks", "8", "--estimate"],
            ["train", "c.yaml", "--estimate", "--ranks", "8"],
        ),
        (["data", "prepare", "c.yaml", "--json"], ["data", "prepare", "c.yaml", "--json"]),
        (
            ["data", "inspect", "c.yaml", "--samples", "2", "--set", "x.y={a: 1}"],
            ["data", "inspect", "c.yaml", "--samples", "2", "--set", "x.y={a: 1}"],
        ),
        (
            ["extract", "--out", "o", "--config", "c.yaml", "--checkpoint", "p", "--adapter-only"],
            ["extract", "--config", "c.yaml", "--checkpoint", "p", "--out", "o", "--adapter-only"],
        ),
    ],
    ids=lambda value: " ".join(value[:2]),
)
def test_arguments_and_status_are_passed_on(with_trainer, given, expected):
    done = run(with_trainer, *given)
    assert done.returncode == 7, done.stderr
    ignored, *arguments = done.stdout.splitlines()
    assert arguments == expected
    assert not int(ignored.split()[1], 16) & SIGPIPE_BIT


def test_ranks_are_of_an_estimate(with_trainer):
    done = run(with_trainer, "train", "c.yaml", "--ranks", "8")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--ranks: goes with --estimate" in done.stderr


def test_trainer_is_found_in_the_build_tree_and_the_installation(with_trainer, tmp_path):
    for folder in ("train", "libexec"):
        (tmp_path / folder).mkdir()
        shutil.move(with_trainer.with_name("dms-train"), tmp_path / folder / "dms-train")
        assert run(with_trainer, "train", "c.yaml").returncode == 7
        shutil.move(tmp_path / folder / "dms-train", with_trainer.with_name("dms-train"))


@pytest.mark.parametrize(
    "command",
    ["train c.yaml", "data prepare c.yaml", "extract --config c --checkpoint p --out o"],
)
def test_without_the_trainer_one_line_says_how_to_build_it(installed, monkeypatch, command):
    monkeypatch.setenv("PATH", "")
    done = run(installed, *command.split())
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    for part in ("dms-train", str(installed.parent), "DMS_BUILD_TRAIN=ON", "cmake_prefix_path"):
        assert part in done.stderr


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("train", "CONFIG: missing"),
        ("data", "ACTION: missing"),
        ("data prepere c.yaml", "did you mean prepare?"),
        ("data prepare", "CONFIG: missing"),
        ("data prepare c.yaml --samples 2", "--samples: only for inspect"),
        ("data inspect c.yaml --samples 0", "--samples"),
        ("extract --checkpoint p --out o", "--config: missing"),
        ("extract --config c --out o", "--checkpoint: missing"),
        ("extract --config c --checkpoint p", "--out: missing"),
        ("train c.yaml --resum auto", "did you mean --resume?"),
        ("train c.yaml --set", "--set: needs a value"),
        ("train a.yaml b.yaml", "too many arguments"),
    ],
)
def test_wrong_usage_is_refused_before_anything_starts(with_trainer, command, part):
    done = run(with_trainer, *command.split())
    assert done.returncode == 2
    assert done.stdout == ""
    assert part in done.stderr
