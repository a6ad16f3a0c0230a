"""scripts/bench: what it builds and runs, and that an interrupted run keeps what it measured."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from harness import ROOT


@pytest.fixture
def bench(monkeypatch) -> ModuleType:
    """scripts/bench as a module."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # the script adds to it
    loader = SourceFileLoader("bench_script", str(ROOT / "scripts" / "bench"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = module_from_spec(spec_from_loader("bench_script", loader))
    loader.exec_module(module)
    return module


class Commands:
    """Takes the place of subprocess.run: notes commands and plays CMake."""

    def __init__(self, checkout: Path, onednn: str = "/usr/lib/libdnnl.so"):
        self.checkout = checkout
        self.onednn = onednn
        self.calls: list[list[str]] = []

    def __call__(self, command: list[object], **options: object):
        call = [str(part) for part in command]
        self.calls.append(call)
        if "--preset" in call:
            folder = self.checkout / "build" / call[call.index("--preset") + 1]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "build.ninja").touch()
            entries = ("LIBRARY:FILEPATH", "INCLUDE_DIR:PATH")
            cache = "".join(f"DMS_ONEDNN_{entry}={self.onednn}\n" for entry in entries)
            (folder / "CMakeCache.txt").write_text(cache)
        return subprocess.CompletedProcess(call, 0)

    def named(self, part: str) -> list[list[str]]:
        return [call for call in self.calls if any(part in word for word in call)]


def run_script(bench: ModuleType, monkeypatch, commands: Commands, *arguments: str) -> None:
    monkeypatch.setattr(bench, "CHECKOUT", commands.checkout)
    monkeypatch.setattr(bench.subprocess, "run", commands)
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    bench.main()


def test_kernels_runs_every_google_benchmark_program(bench):
    text = (ROOT / "bench" / "CMakeLists.txt").read_text()
    programs = re.findall(r"target_link_libraries\((\w+) PRIVATE [^)]*benchmark::benchmark", text)
    assert programs
    assert sorted(bench.KERNEL_BENCHES) == sorted(programs)


def test_kernels_installs_configures_builds_and_runs(bench, monkeypatch, tmp_path, capsys):
    commands = Commands(tmp_path)
    run_script(bench, monkeypatch, commands, "kernels", "--filter", "none")
    installed = {word for call in commands.named("setup_packages") for word in call[1:]}
    assert {"g++", "libbenchmark-dev", "libdnnl-dev"} <= installed
    assert ["cmake", "--preset", "bench", "-DDMS_BUILD_TESTS=OFF"] in commands.calls
    for name in bench.KERNEL_BENCHES:
        (call,) = commands.named(f"build/bench/bench/{name}")
        assert "--benchmark_filter=none" in call
    assert "oneDNN" not in capsys.readouterr().err
    run_script(bench, monkeypatch, commands, "kernels")
    assert ["cmake", "--preset", "bench"] in commands.calls, "the folder's own settings stay"


def test_a_missing_yardstick_is_said(bench, monkeypatch, tmp_path, capsys):
    commands = Commands(tmp_path, onednn="DMS_ONEDNN-NOTFOUND")
    run_script(bench, monkeypatch, commands, "kernels")
    assert "no oneDNN (Debian: libdnnl-dev)" in capsys.readouterr().err


def test_an_interrupted_run_keeps_what_it_measured(bench, monkeypatch, tmp_path):
    taken = []

    def run_one(engine, group, settings, results):
        if len(taken) == 3:
            raise KeyboardInterrupt
        taken.append((engine, group))
        measured = {"median": 1.0, "min": 1.0, "max": 1.0, "n": 1}
        results.add(engine, f"{group} {len(taken)}", measured)

    monkeypatch.setattr(sys.modules["rounds"], "run_one", run_one)
    monkeypatch.setenv("DMS_BIN", "dms")
    out = tmp_path / "results" / "peers.json"
    with pytest.raises(KeyboardInterrupt):
        run_script(bench, monkeypatch, Commands(tmp_path), "peers", "--out", str(out))
    kept = json.loads(out.read_text())["rounds"]
    assert sum(len(cases) for cases in kept.values()) == 3
