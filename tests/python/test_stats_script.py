"""scripts/stats: how it counts (lizard, which it installs, does the measuring itself)."""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from harness import ROOT


@pytest.fixture
def stats(monkeypatch) -> ModuleType:
    """scripts/stats as a module."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("stats_script", str(ROOT / "scripts" / "stats"))
    module = module_from_spec(spec_from_loader("stats_script", loader))
    monkeypatch.setitem(sys.modules, "stats_script", module)  # its dataclass looks itself up
    loader.exec_module(module)
    return module


def test_percentiles_are_values_that_occur(stats):
    assert stats.percentile([], 0.5) == 0
    assert stats.percentile([7], 0.9) == 7
    assert stats.percentile([4, 1, 3, 2], 0.5) == 2
    assert stats.percentile(range(1, 11), 0.9) == 9


def test_a_row_sums_its_files(stats):
    files = [
        stats.File(Path("src/a.cpp"), 100, 80, 20, [(10, "f"), (61, "g")]),
        stats.File(Path("src/a.h"), 20, 20, 5, [(60, "h"), (1, "i")]),
    ]
    assert stats.row("src", files) == [
        *("src", "2", "120"),
        *("20 / 100 / 100", "10 / 61", "25.0 %", "25 %"),
    ]
    assert stats.longest_files(files, 1) == ["   100  src/a.cpp\n"]
    assert stats.longest_functions(files, 2) == ["    61  g  src/a.cpp\n", "    60  h  src/a.h\n"]


def test_layers_of_src_have_a_row_each(stats):
    assert stats.part_of(ROOT / "src" / "cache" / "view.h", "src") == "src/cache"
    assert stats.part_of(ROOT / "src" / "model" / "spec" / "load.h", "src") == "src/model"
    assert stats.part_of(ROOT / "tests" / "base" / "npy_test.cpp", "tests") == "tests"
