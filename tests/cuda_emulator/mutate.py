#!/usr/bin/env python3
"""Plant bugs in kernels, one at a time, and see that each is found by a test in the emulator.

    mutate.py TABLE --build COMMAND --test COMMAND [--only NAME] [--timeout SECONDS]

TABLE is a JSON file: {"mutations": [{"name", "file", "find", "replace"}...]}.
"file" is relative to the current folder. "find" is plain text that occurs exactly once,
unless "count" says how often (the first is replaced). A mutation with "misses": WHY is known not to
be found, and is an error when it is.

Both commands are run by sh in a copy of the current folder's tracked files with the bug in it. A
bug is found where the build fails in the translator, or the test fails or runs over its time in one
of the five modes. Before, the unchanged sources must build and pass. The status is 1 where a bug is
missed."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# CUEMU_SCHED, CUEMU_ASYNC, CUEMU_RACE: as the tests of kernels run.
MODES = (("f", "l", 0), ("f", "e", 0), ("l", "b", 0), ("r", "r", 0), ("f", "l", 1))


@dataclass(frozen=True)
class Mutation:
    name: str
    file: str
    find: str
    replace: str
    count: int = 1
    misses: str = ""

    def apply(self, root: Path) -> None:
        path = root / self.file
        text = path.read_text()
        found = text.count(self.find)
        if found != self.count:
            sys.exit(f"{self.name}: {self.file} has the text {found} times, not {self.count}")
        path.write_text(text.replace(self.find, self.replace, 1))


@dataclass(frozen=True)
class Commands:
    build: str
    test: str
    timeout: float


def tracked_files() -> list[str]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(listed, check=True, capture_output=True, text=True).stdout.splitlines()


def copy_sources(target: Path) -> None:
    for name in tracked_files():
        if Path(name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, target / name)


def most_telling(text: str) -> str:
    """Return the emulator's or the translator's line, or the first test that failed."""
    lines = [line for line in text.splitlines() if line.strip()]
    for mark in ("cuda_emulator: ", "ptx2cpp: ", "[  FAILED  ]"):
        if marked := [line for line in lines if mark in line]:
            return marked[0][-200:]
    return (lines or [""])[-1][-200:]


def finding(root: Path, commands: Commands) -> str | None:
    """Build and test; return what found the bug, or None."""
    build = subprocess.run(
        commands.build, shell=True, cwd=root, capture_output=True, text=True, check=False
    )
    if build.returncode:
        output = build.stdout + build.stderr
        if "ptx2cpp:" not in output:
            sys.exit(f"the build fails, and not in the translator:\n{output[-2000:]}")
        return "translator: " + most_telling(output)
    for schedule, landing, race in MODES:
        modes = {"CUEMU_SCHED": schedule, "CUEMU_ASYNC": landing, "CUEMU_RACE": str(race)}
        try:
            test = subprocess.run(
                commands.test,
                shell=True,
                cwd=root,
                env={**os.environ, **modes},
                capture_output=True,
                text=True,
                timeout=commands.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{schedule}/{landing}/{race}: runs for more than {commands.timeout:.0f} s"
        if test.returncode:
            return f"{schedule}/{landing}/{race}: {most_telling(test.stdout + test.stderr)}"
    return None


def check_mutation(mutation: Mutation, root: Path, commands: Commands) -> bool:
    """Plant, test, take back; return whether it went as the table says."""
    path = root / mutation.file
    original = path.read_text()
    mutation.apply(root)
    found = finding(root, commands)
    path.write_text(original)
    is_expected = (found is None) == bool(mutation.misses)
    verdict = "found" if found else "missed"
    if not is_expected:
        verdict = verdict.upper()
    print(
        f"{verdict}: {mutation.name}\n    {found or mutation.misses or 'no test fails'}", flush=True
    )
    return is_expected


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--build", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--only", default="", help="part of a mutation's name")
    parser.add_argument("--timeout", type=float, default=60)
    args = parser.parse_args()
    commands = Commands(args.build, args.test, args.timeout)
    mutations = [Mutation(**row) for row in json.loads(args.table.read_text())["mutations"]]
    chosen = [mutation for mutation in mutations if args.only in mutation.name]
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        root = Path(folder)
        copy_sources(root)
        if problem := finding(root, commands):
            sys.exit(f"the unchanged sources fail: {problem}")
        expected = [check_mutation(mutation, root, commands) for mutation in chosen]
    print(f"{sum(expected)} of {len(expected)} as expected")
    sys.exit(0 if chosen and all(expected) else 1)


if __name__ == "__main__":
    main()
