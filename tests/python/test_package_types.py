"""The Python package's types, its examples, and how its wheel was built."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from harness import HANG_GUARD_S, ROOT, missing, package_folder, run_python

EXAMPLES = ["quick_start", "hyper_scaling_vote", "long_chat", "evaluation"]
SHOWN = {
    "quick_start": r"\w+",
    "hyper_scaling_vote": r"one chain's cache holds \d+ of \d+ entries",
    "long_chat": r"(?s)fork: +(\S.*)\nsaved: [^\n]+\nloaded: \1",
    "evaluation": r"full cache +\d+\.\d+ +1\.00",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name):
    code = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    done = run_python(code, ROOT / "examples" / f"{name}.py")
    assert done.returncode == 0, done.stderr
    assert re.search(SHOWN[name], done.stdout), done.stdout


def test_the_document_runs_as_it_stands(tmp_path):
    text = (ROOT / "docs" / "python.md").read_text().replace("/tmp/", f"{tmp_path}/")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    done = run_python("\n".join(blocks))
    assert (len(blocks) > 6, done.returncode) == (True, 0), done.stderr
    assert done.stdout.rstrip().endswith("(got -1, expected a number, at least 0)")


def test_all_examples_are_run():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} >= set(EXAMPLES)


def test_types_are_complete(tmp_path):
    """mypy --strict, over the package with its stubs, what runs on it and each example."""
    examples = [ROOT / "examples" / f"{name}.py" for name in EXAMPLES]
    folders = f"{package_folder()}:{ROOT / 'deploy' / 'ray'}"
    for what in (["-p", "dms_cpp", "-p", "dms_ray"], *([str(path)] for path in examples)):
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), *what],
            env={"MYPYPATH": folders, "PATH": ""},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=HANG_GUARD_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_everything_public_is_documented(dms_cpp):
    for name in dms_cpp.__all__:
        value = getattr(dms_cpp, name)
        if not isinstance(value, type):
            continue
        assert value.__doc__, name
        for member, found in vars(value).items():
            if callable(found) and not member.startswith("_"):
                assert found.__doc__, f"{name}.{member}"


def test_the_wheel_brings_its_libraries():
    module = next((package_folder() / "dms_cpp").glob("_core*.so"))
    needed = re.findall(
        r"^\s*(\S+) => (\S+)", subprocess.check_output(["ldd", module], text=True), re.M
    )
    from_system = {name for name, path in needed if not path.startswith(str(module.parent))}
    assert {re.sub(r"\.so.*", "", name) for name in from_system} <= {
        "libstdc++",
        "libm",
        "libgcc_s",
        "libc",
    }


def test_only_kernels_are_built_for_one_instruction_set():
    commands = ROOT / "build" / "python" / "compile_commands.json"
    if not commands.exists():
        missing(f"no {commands}; scripts/test makes it")
    for entry in json.loads(commands.read_text()):
        if re.search(r" -m(arch|avx|fma|cpu)", entry["command"]):
            assert re.search(r"src/kernels/cpu/avx(2|512)/", entry["file"]), entry["file"]
            assert "-march=native" not in entry["command"]
