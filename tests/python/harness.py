"""Drives the `dms` program and compares what it computes with an oracle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "models" / "demo"
# Ends what hangs, never what is slow: the machine may have a lot of other work.
HANG_GUARD_S = 900


def missing(what: str) -> NoReturn:
    """Skips a test whose program or package is not there; fails it where all must be there, so that
    no test is lost in silence."""
    if os.environ.get("DMS_ALL_TESTS"):
        pytest.fail(what)
    pytest.skip(what)


def binary() -> Path:
    """The program under test."""
    return Path(os.environ.get("DMS_BIN", ROOT / "build" / "release" / "src" / "cli" / "dms"))


def package_folder() -> Path:
    """Where the Python package under test is installed."""
    default = ROOT / "build" / "python-package"
    folder = Path(os.environ.get("DMS_PYTHON_PACKAGE", default))
    if not (folder / "dms_cpp" / "__init__.py").exists():
        missing(f"no dms_cpp in {folder}; scripts/test builds it, or set DMS_PYTHON_PACKAGE")
    return folder


def run_python(code: str, *args: object, env: dict[str, str] | None = None):
    """Runs Python code with the package under test, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=HANG_GUARD_S,
        env={**os.environ, "PYTHONPATH": str(package_folder()), **(env or {})},
    )


def run_dms(*args: object, stdin: str | bytes = "", env: dict | None = None):
    """Runs `dms args...` and returns the finished process; its output as bytes."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    return subprocess.run(
        [str(binary()), *map(str, args)],
        input=data,
        capture_output=True,
        timeout=HANG_GUARD_S,
        env={**os.environ, **(env or {})},
    )


def run_ok(*args: object, **options) -> str:
    """Runs `dms args...`, which must succeed, and returns its standard output."""
    done = run_dms(*args, **options)
    assert done.returncode == 0, f"dms {' '.join(map(str, args))}\n{done.stderr.decode()}"
    return done.stdout.decode()


@dataclass
class Scored:
    """One `dms score`: logits [tokens, vocab], decisions [layers, kv_heads, tokens], its JSON."""

    logits: np.ndarray
    decisions: np.ndarray
    report: dict


class Scorer:
    """Calls `dms score` in float32 with files in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.calls = 0

    def __call__(self, model: Path, ids: list[int], *args: object, dtype: str = "f32") -> Scored:
        self.calls += 1
        base = self.folder / f"score-{self.calls}"
        ids_file = base.with_suffix(".ids.json")
        ids_file.write_text(json.dumps(ids))
        logits, decisions = base.with_suffix(".logits.npy"), base.with_suffix(".fates.npy")
        command = ["score", model, "--ids", ids_file, "--logits", logits]
        command += ["--save-decisions", decisions, "--dtype", dtype, "--json", *args]
        report = json.loads(run_ok(*command))
        scored = Scored(np.load(logits), np.load(decisions), report)
        logits.unlink()
        return scored

    def decisions_file(self, decisions: np.ndarray) -> Path:
        """Saves decisions for --decisions."""
        self.calls += 1
        path = self.folder / f"forced-{self.calls}.npy"
        np.save(path, decisions.astype(np.uint8))
        return path


def assert_close(ours: np.ndarray, oracle: np.ndarray, what: str, tolerance: float = 1e-4) -> None:
    """Both [tokens, vocab]; the difference is measured against the oracle's largest logit."""
    assert ours.shape == oracle.shape, f"{what}: shape {ours.shape}, expected {oracle.shape}"
    error = np.abs(ours - oracle).max(axis=1) / np.abs(oracle).max()
    worst = int(np.nan_to_num(error, nan=np.inf).argmax())
    assert np.isfinite(ours).all(), f"{what}: not finite, first at token {worst}"
    assert error[worst] <= tolerance, f"{what}: {error[worst]:.2e} of scale at token {worst}"


def mean_nll(logits: np.ndarray, ids: list[int]) -> float:
    """Mean of -log p(next) over the tokens - 1 predictions; logits [tokens, vocab]."""
    rows = logits[:-1].astype(np.float64)
    top = rows.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(rows - top).sum(axis=1)) + top[:, 0]
    return float((log_sum - rows[np.arange(len(rows)), ids[1:]]).mean())


def wait_until(condition: Callable[[], bool], process: subprocess.Popen, what: str) -> None:
    """Looks often; the process must live on until then."""
    give_up = time.monotonic() + HANG_GUARD_S
    while not condition():
        assert process.poll() is None, f"ended before {what}: {process.stderr.read()}"
        assert time.monotonic() < give_up, f"no {what}"
        time.sleep(0.002)
