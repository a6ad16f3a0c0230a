#!/usr/bin/env python3
"""Plant bugs in CUDA kernels, one at a time, and see that each is found by a test in the emulator.

    mutate.py [TABLE...] [--build DIR] [--only NAME] [--sample] [--jobs N] [--timeout SECONDS]
    mutate.py [TABLE...] --check

TABLE is a JSON file, by default each of tests/cuda/mutations:

    {"test": "dms_cuda_seal_test", "kernel": "seal",
     "mutations": [{"name": "the evicted stay", "file": "seal.cu", "find": "…", "replace": "…"}]}

"file" lies in src/cuda/kernels, and "find" is plain text that occurs in it exactly once, unless
"count" says how often (the first is replaced). A bug in a header is compiled into the table's
"kernel", or the mutation's own. A mutation with "misses": WHY is known not to be found, and is an
error when it is. Those with "sample" are the few that --sample tries, for every run of ctest,
which runs the tests without bugs too.

--check only sees that the texts are there, in a second. All else needs a build of the preset cuda,
from whose rules the commands are taken: nvcc compiles the kernel with the bug in it to PTX alone,
and the result is linked before the library that has the kernel without it. Nothing is written
to the build. A bug is found where the translator refuses the PTX, or the test fails or runs over
its time in one of the five modes; without the bug the test must pass. The status is 1 where a bug
is missed. For example, from the root of the repository:

    cmake --preset cuda && cmake --build --preset cuda
    tests/cuda_emulator/mutate.py tests/cuda/mutations/seal.json --only page
    tests/cuda_emulator/mutate.py tests/cuda/mutations/*.json  # all: an hour on two cores
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "src/cuda/kernels"
TABLES = ROOT / "tests/cuda/mutations"
# CUEMU_SCHED, CUEMU_ASYNC, CUEMU_RACE: as the tests of kernels run.
MODES = (("f", "l", 0), ("f", "e", 0), ("l", "b", 0), ("r", "r", 0), ("f", "l", 1))


@dataclass(frozen=True)
class Mutation:
    test: str
    kernel: str
    name: str
    file: str
    find: str
    replace: str
    count: int = 1
    misses: str = ""
    sample: bool = False

    def source(self) -> str:
        """The kernel's file."""
        return self.file if self.file.endswith(".cu") else self.kernel + ".cu"

    def problem(self) -> str:
        """What is wrong with the row, or nothing."""
        for name in (self.file, self.source()):
            if not (KERNELS / name).is_file():
                return f"there is no {name}"
        found = (KERNELS / self.file).read_text().count(self.find)
        if found != self.count:
            return f"{self.file} has the text {found} times, not {self.count}"
        return "the text is replaced by itself" if self.find == self.replace else ""


def read_table(path: Path) -> list[Mutation]:
    table = json.loads(path.read_text())
    same = {"test": table["test"], "kernel": table["kernel"]}
    return [Mutation(**{**same, **row}) for row in table["mutations"]]


def output_of(command: list[str], folder: Path) -> str:
    """What the command says; CalledProcessError has it where the command fails."""
    return subprocess.run(
        command,
        check=True,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ).stdout


class Build:
    """The commands by which a build of CMake and Ninja makes kernels and tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def commands_for(self, output: str) -> list[list[str]]:
        line = output_of(["ninja", "-t", "commands", "-s", output], self.folder).strip()
        words = shlex.split(line)
        commands: list[list[str]] = [[]]
        for word in words:
            if word == "&&":
                commands.append([])
            else:
                commands[-1].append(word)
        return [command for command in commands if command not in ([], [":"])]

    def compile_kernel(self, mutation: Mutation, scratch: Path) -> Path:
        """Make <kernel>.emulated.o of the sources in scratch/src, and where not there, of ours."""
        stem = Path(mutation.source()).stem
        base = f"src/cuda/kernels/{stem}/{stem}"
        source = scratch / "src/cuda/kernels" / mutation.source()
        if not source.is_file():
            source = KERNELS / mutation.source()
        [nvcc] = [c for c in self.commands_for(base + ".o") if "-ccbin" in c]
        compiler, includes = nvcc[nvcc.index("-ccbin") - 1], [w for w in nvcc if w[:2] == "-I"]
        code = "90a" if stem.endswith("_sm90") else "80"
        to_ptx = [compiler, "-ccbin", nvcc[nvcc.index("-ccbin") + 1], "-std=c++20", "-O3"]
        to_ptx += ["-lineinfo", "-w", f"-gencode=arch=compute_{code},code=compute_{code}"]
        to_ptx += ["-Xcompiler=-fPIC", f"-I{scratch}/src", *includes, "--keep"]
        output_of([*to_ptx, "-c", str(source), "-o", stem + ".o"], scratch)

        # Relative names, so that ccache knows what another run has compiled.
        names = {f"{self.folder}/{base}{end}": stem + end for end in (".o", ".ptx.cpp", ".ptx.o")}
        names[f"{self.folder}/{base}.compute_80.ptx"] = stem + ".ptx"
        names[f"{self.folder}/{base}.ptx"] = stem + ".ptx"
        names[f"{self.folder}/{base}.emulated.o"] = stem + ".emulated.o"
        for command in self.commands_for(base + ".emulated.o"):
            if command[0] != "cd":
                output_of([names.get(word, word) for word in command], scratch)
        return scratch / f"{stem}.emulated.o"

    def link(self, mutation: Mutation, kernel: Path, program: Path) -> None:
        target = "tests/cuda/" + mutation.test
        [command] = [c for c in self.commands_for(target) if target in c]
        output = command.index("-o")
        command[output : output + 2] = ["-o", str(program), str(kernel)]
        output_of(command, self.folder)


def most_telling(text: str) -> str:
    """Return the emulator's or the translator's line, or the first test that failed."""
    lines = [line for line in text.splitlines() if line.strip()]
    for mark in ("cuda_emulator: ", "ptx2cpp: ", "[  FAILED  ]"):
        if marked := [line for line in lines if mark in line]:
            return marked[0].strip()[-200:]
    return (lines or [""])[-1].strip()[-200:]


def failure(program: Path, timeout: float) -> str | None:
    """Run the test in all modes; return the first one's failure."""
    for schedule, landing, race in MODES:
        mode = f"{schedule}/{landing}/{race}"
        modes = {"CUEMU_SCHED": schedule, "CUEMU_ASYNC": landing, "CUEMU_RACE": str(race)}
        try:
            test = subprocess.run(
                [program, "--gtest_brief=1", "--gtest_fail_fast"],
                env={**os.environ, **modes},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{mode}: runs for more than {timeout:.0f} s"
        if test.returncode:
            return f"{mode}: {most_telling(test.stdout)}"
    return None


def finding(mutation: Mutation, build: Build, timeout: float) -> str | None:
    """Plant the bug, build and test; return what found it, or None."""
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        scratch = Path(folder)
        planted = scratch / "src/cuda/kernels" / mutation.file
        planted.parent.mkdir(parents=True)
        text = (KERNELS / mutation.file).read_text()
        planted.write_text(text.replace(mutation.find, mutation.replace, 1))
        try:
            build.link(mutation, build.compile_kernel(mutation, scratch), scratch / "program")
        except subprocess.CalledProcessError as error:
            if "ptx2cpp: " in error.stdout:
                return "translator: " + most_telling(error.stdout)
            raise RuntimeError(f"{mutation.name}: {error}\n{error.stdout[-2000:]}") from error
        return failure(scratch / "program", timeout)


def is_as_said(mutation: Mutation, build: Build, timeout: float) -> bool:
    """Try a mutation and tell how it went; return whether that is as the table says."""
    found = finding(mutation, build, timeout)
    as_said = (found is None) == bool(mutation.misses)
    verdict = "found" if found else "missed"
    print(f"{verdict if as_said else verdict.upper()}: {mutation.test}: {mutation.name}")
    print(f"    {found or mutation.misses or 'no test fails'}", flush=True)
    return as_said


def check(mutations: list[Mutation]) -> None:
    problems = [f"{m.test}: {m.name}: {text}" for m in mutations if (text := m.problem())]
    names = [(m.test, m.name) for m in mutations]
    problems += [f"{m}: twice" for m in sorted({name for name in names if names.count(name) > 1})]
    if problems:
        sys.exit("\n".join(problems))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", type=Path, nargs="*", metavar="TABLE")
    parser.add_argument("--build", type=Path, default=ROOT / "build/cuda", help="build/cuda")
    parser.add_argument("--only", default="", help="part of a mutation's name")
    parser.add_argument("--sample", action="store_true", help="only those for every run of ctest")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutations at a time")
    parser.add_argument("--timeout", type=float, default=120, help="seconds a mode of a test")
    parser.add_argument("--check", action="store_true", help="only see that the texts are there")
    args = parser.parse_args()
    tables = args.tables or sorted(TABLES.glob("*.json"))
    mutations = [mutation for table in tables for mutation in read_table(table)]
    check(mutations)
    chosen = [m for m in mutations if args.only in m.name and (m.sample or not args.sample)]
    if not chosen:
        sys.exit("no such mutation")
    if args.check:
        print(f"{len(chosen)} texts are there")
        return
    build = Build(args.build)
    with ThreadPoolExecutor(args.jobs) as pool:
        tests = [] if args.sample else sorted({mutation.test for mutation in chosen})
        programs = [build.folder / "tests/cuda" / test for test in tests]
        for test, problem in zip(
            tests, pool.map(failure, programs, [args.timeout] * len(tests)), strict=True
        ):
            if problem:
                sys.exit(f"{test} fails without a bug: {problem}")
        expected = list(pool.map(lambda m: is_as_said(m, build, args.timeout), chosen))
    print(f"{sum(expected)} of {len(expected)} as the tables say")
    sys.exit(0 if all(expected) else 1)


if __name__ == "__main__":
    main()
