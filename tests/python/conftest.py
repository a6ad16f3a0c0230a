"""Fixtures shared by all Python tests."""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

import models
from bad_input import score_refused
from harness import DEMO, Scorer, binary, package_folder, run_dms, run_ok
from serving import Server, serving
from train_probe import Probe

DEFAULT_SEED = 20240


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-goldens", action="store_true", help="rewrite the golden help texts"
    )


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def base_seed() -> int:
    """The seed of this run's random tests."""
    return int(os.environ.get("DMS_TEST_SEED", DEFAULT_SEED))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = (yield).get_result()
    if report.failed:
        report.sections.append(("seed", f"repeat with DMS_TEST_SEED={base_seed()}"))


@pytest.fixture(scope="session")
def seed() -> int:
    """DMS_TEST_SEED, shown when a test fails."""
    return base_seed()


@pytest.fixture
def rng(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """Random numbers that depend on the seed and the test's name only."""
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture(scope="session")
def dms() -> Callable:
    """dms(*args, check=True, stdin="") -> the finished process."""
    assert binary().exists(), f"no program at {binary()}; build it or set DMS_BIN"

    def call(*args: object, check: bool = True, **options):
        done = run_dms(*args, **options)
        assert not check or done.returncode == 0, done.stderr.decode()
        return done

    return call


@pytest.fixture(scope="session")
def dms_json(dms: Callable) -> Callable:
    """dms_json(*args) -> the object printed under --json."""
    return lambda *args, **options: json.loads(run_ok(*args, "--json", **options))


@pytest.fixture
def score(dms: Callable, tmp_path: Path) -> Scorer:
    """`dms score` with its logits and decisions."""
    folder = tmp_path / "score"
    folder.mkdir()
    return Scorer(folder)


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    """probe(**job) -> what the trainer computes, as arrays."""
    probe = Probe(tmp_path_factory.mktemp("probe"))
    yield probe
    probe.close()


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Outside data; tests that need it skip when it is not there."""
    folder = os.environ.get("DMS_TEST_DATA")
    if not folder:
        pytest.skip("DMS_TEST_DATA is not set")
    assert Path(folder).is_dir(), f"DMS_TEST_DATA={folder} is not a folder"
    return Path(folder)


@pytest.fixture(scope="session")
def dms_cpp() -> ModuleType:
    """The Python package under test."""
    folder = str(package_folder())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("dms_cpp")


@pytest.fixture(scope="session")
def demo(dms_cpp: ModuleType):
    """The embedded model in float32, for tests that leave it as it was."""
    return dms_cpp.LLM(DEMO, dtype="float32")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small folder in one file, to be copied and spoiled."""
    return models.build(tmp_path_factory.mktemp("good") / "m", models.Shape("qwen2"))


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(good, tmp_path / "m")


@pytest.fixture
def refused(dms: Callable, tmp_path: Path) -> Callable:
    """refused(folder, *words): scoring with it is refused."""
    return partial(score_refused, dms, tmp_path)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """One Chromium for all tests of a module."""
    with importlib.import_module("page_reader").chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page_server() -> Iterator[Server]:
    """One server for all of them, whose model takes any text for a conversation."""
    with serving("--template", "plain") as server:
        yield server


@pytest.fixture
def reader(page_server: Server, browser) -> Iterator:
    """One who has just opened the page. Nothing goes wrong in it unseen."""
    reader = importlib.import_module("page_reader").reader_of(browser, page_server.url)
    yield reader.open()
    assert reader.errors == []
    reader.page.context.close()
