"""scripts/gpu with programs of paste: its plan, and that whatever fails, is missing or hangs costs
only its own step. The real programs run in the emulator by ctest (GpuScript)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import HANG_GUARD_S, ROOT

SCRIPT = ROOT / "scripts" / "gpu"
DEVICE = {"bench": "device", "name": "paste", "multiprocessors": 1, "tiny": True}
KERNELS = """#!/usr/bin/env bash
echo "$@" >>{calls}
case $* in
  *device*) echo '{device}' ;;
  *copy*) echo '{{"bench": "copy", "bytes_s": 4e12}}' ;;
  *attention*) echo '{{"bench": "decode_attention", "shape": "tiny"}}'; echo '{{"cut o'; exit 9 ;;
esac
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=HANG_GUARD_S,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
    )


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def build(tmp_path) -> Path:
    """A folder of programs as CMake leaves them, without tests and model_bench."""
    kernels = KERNELS.format(calls=tmp_path / "calls", device=json.dumps(DEVICE))
    program(tmp_path / "bench" / "cuda" / "kernel_bench_emulated", kernels)
    return tmp_path


def emulated(build: Path, *arguments: object):
    """Status, steps by name, and the report."""
    out = build / "out"
    done = run("--emulated", "--build", build, "--out", out, *arguments)
    report = json.loads((out / "report.json").read_text())
    return done, {step["step"]: step for step in report["steps"]}, report


def steps_of_the_plan() -> dict[str, int]:
    lines = re.findall(r"^  (\w+) +(\d+) s", run("--plan").stdout, re.MULTILINE)
    return {name: int(limit) for name, limit in lines}


def test_the_plan_fits_ten_minutes():
    plan = steps_of_the_plan()
    together = plan.pop("together")
    assert together == sum(plan.values())
    assert together < 600
    text = SCRIPT.read_text()
    for name in plan:
        assert re.search(rf"^step_{name}\(\)", text, re.MULTILINE), name


def test_the_plan_names_what_is_carried():
    text = run("--plan").stdout
    assert text.startswith("No card has run this yet.")
    (size,) = re.findall(r"([\d.]+) MiB  \d+ files", text)
    assert float(size) < 1000


def test_every_step_runs_whatever_others_say(build):
    done, steps, report = emulated(build)
    plan = steps_of_the_plan()
    del plan["together"]
    assert list(steps) == list(plan)
    assert done.returncode == 1
    assert steps["probes"]["status"] == "ok"
    assert steps["attention"]["status"] == "FAILED"
    assert steps["decode"]["status"] == "skipped"
    assert "model_bench_emulated" in steps["decode"]["note"]
    assert steps["tests"]["status"] == "skipped"
    assert steps["sanitizer"]["status"] == "skipped"
    assert not report["card"]
    assert "**No card ran this.**" in (build / "out" / "report.md").read_text()
    calls = (build / "calls").read_text().splitlines()
    assert all(call.startswith("--tiny --only=") for call in calls)


def test_every_bench_is_asked_for():
    """Names that kernel_bench knows, and those that steps name."""
    sources = "".join(path.read_text() for path in (ROOT / "bench" / "cuda").glob("*.cpp"))
    known = set(re.findall(r'wants\("(\w+)"\)', sources))
    named = re.findall(r"--only=([\w,]+)", SCRIPT.read_text())
    asked = {name for names in named for name in names.split(",")} - {"device"}
    assert asked == known


def test_tests_are_counted_and_a_failure_is_told(build):
    text = "#!/bin/sh\necho '[  PASSED  ] 3 tests.'\necho '[  SKIPPED ] 2 tests, listed below:'\n"
    program(build / "tests" / "cuda" / "dms_cuda_golden_test", text)
    done, steps, _ = emulated(build, "--only", "device,tests")
    assert done.returncode == 0
    assert steps["tests"]["note"] == "3 passed, 0 failed"
    text += "echo '[  FAILED  ] 1 test, listed below:'\nexit 1\n"
    program(build / "tests" / "cuda" / "dms_cuda_device_buffer_test", text)
    done, steps, _ = emulated(build, "--only", "device,tests")
    assert done.returncode == 1
    assert steps["tests"]["note"] == "6 passed, 1 failed"


def test_what_hangs_costs_its_own_step(build):
    program(build / "tests" / "cuda" / "record_golden_emulated", "#!/bin/sh\nexec sleep 1000\n")
    done, steps, _ = emulated(build, "--only", "device,golden,probes")
    assert done.returncode == 1
    assert steps["golden"]["status"] == "timed out"
    assert steps["probes"]["status"] == "ok"


def test_without_a_device_nothing_else_is_tried(build):
    program(
        build / "bench" / "cuda" / "kernel_bench_emulated",
        "#!/bin/sh\necho no CUDA device >&2\nexit 1\n",
    )
    done, steps, _ = emulated(build)
    assert done.returncode == 3
    assert "no CUDA device" in done.stderr
    assert list(steps) == ["device"]


def test_an_unknown_option_is_answered_with_the_usage():
    done = run("--card")
    assert done.returncode == 2
    assert "scripts/gpu --plan" in done.stdout


def test_a_pack_is_made_of_programs_alone(tmp_path):
    done = run("--pack", tmp_path / "pack", "--build", tmp_path / "nothing")
    assert done.returncode == 2
    assert "no programs" in done.stderr
