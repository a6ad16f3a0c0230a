#!/usr/bin/env python3
"""Hold what ptxas made of each CUDA kernel to the table in statics.json, without a card.

    tests/cuda/statics.py [--cuobjdump FILE] [--table FILE] [--add] OBJECT...

OBJECT is what nvcc made of a .cu file, for one architecture or several, with -Xptxas -v; its words
lie in OBJECT.log. No kernel may spill, have a stack frame or touch local memory, none may go
without launch bounds, and ptxas may say none of C75xx (wgmma made serial). The table holds, by
pattern of FILE/NAME, the most registers, the fewest blocks an SM, the bytes of dynamic shared
memory that the blocks are reckoned with, and instructions that must be there.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

TABLE = Path(__file__).with_name("statics.json")
# Read again where this file changes.
VERSION = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()

# CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
SHARED_PER_SM = {"sm_80": 164 * 1024, "sm_90a": 228 * 1024}
REGISTERS_PER_SM = 65536
WARPS_PER_SM = 64
BLOCKS_PER_SM = 32
PARTITIONS = 4  # of an SM's warps and registers
SYSTEM_SHARED = 1024  # of each block, the driver's own

NOTED = ("HMMA", "HGMMA", "IMMA", "QGMMA", "LDGSTS", "LDSM", "UTMALDG", "LDL", "STL")
LOCAL = ("LDL", "STL")


@dataclass
class Kernel:
    """What one kernel became for one architecture."""

    name: str
    arch: str
    registers: int = 0
    shared: int = 0  # static, bytes
    stack: int = 0
    spills: int = 0  # bytes stored and loaded
    threads: int = 0  # of a block, at most; 0: no launch bounds
    instructions: dict[str, int] = field(default_factory=dict)


def round_up(value: int, unit: int) -> int:
    """Return the smallest multiple of `unit` that is not below `value`."""
    return -(-value // unit) * unit


def blocks_per_sm(kernel: Kernel, dynamic_shared: int) -> int:
    """Return how many blocks of a kernel an SM holds at once, as cuda_occupancy.h reckons."""
    warps = -(-kernel.threads // 32)
    warp_registers = round_up(kernel.registers * 32, 256)
    by_registers = REGISTERS_PER_SM // PARTITIONS // warp_registers * PARTITIONS // warps
    if warp_registers * round_up(warps, PARTITIONS) > REGISTERS_PER_SM:
        by_registers = 0
    shared = round_up(kernel.shared + dynamic_shared + SYSTEM_SHARED, 128)
    by_shared = SHARED_PER_SM[kernel.arch] // shared
    return min(BLOCKS_PER_SM, WARPS_PER_SM // warps, by_registers, by_shared)


def read_log(text: str) -> dict[tuple[str, str], Kernel]:
    """Return the kernels that ptxas compiled, by architecture and mangled name."""
    pattern = re.compile(
        r"Compiling entry function '(?P<name>\S+)' for '(?P<arch>\w+)'\n"
        r".*Function properties for .*\n"
        r"\s*(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
        r"(?P<loads>\d+) bytes spill loads\n"
        r".*Used (?P<registers>\d+) registers(?P<rest>.*)"
    )
    kernels = {}
    for found in pattern.finditer(text):
        shared = re.search(r"(\d+) bytes smem", found["rest"])
        kernels[found["arch"], found["name"]] = Kernel(
            name=found["name"],
            arch=found["arch"],
            registers=int(found["registers"]),
            shared=int(shared[1]) if shared else 0,
            stack=int(found["stack"]),
            spills=int(found["stores"]) + int(found["loads"]),
        )
    if len(kernels) != text.count("Compiling entry function"):
        raise ValueError("ptxas says what this script does not understand")
    return kernels


def add_threads(kernels: dict[tuple[str, str], Kernel], elf: str) -> None:
    """Take the launch bounds from `cuobjdump -elf`."""
    arch = name = ""
    asked = False
    for line in elf.splitlines():
        if line.startswith("arch = "):
            arch = line.removeprefix("arch = ")
        elif line.startswith(".nv.info."):
            name = line.removeprefix(".nv.info.").strip()
        elif "EIATTR_MAX_THREADS" in line or "EIATTR_REQNTID" in line:
            asked = True
        elif asked and "Value:" in line:
            asked = False
            x, y, z = (int(size, 16) for size in line.split()[1:4])
            kernels[arch, name].threads = x * y * z


def add_instructions(kernels: dict[tuple[str, str], Kernel], sass: str) -> None:
    """Count noted instructions in what `cuobjdump -sass` prints."""
    arch = ""
    counts: dict[str, int] = {}
    instruction = re.compile(r"\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9]+)")
    for line in sass.splitlines():
        if line.startswith("arch = "):
            arch = line.removeprefix("arch = ")
        elif "Function : " in line:
            counts = kernels[arch, line.split("Function : ")[1].strip()].instructions
        elif (found := instruction.match(line)) and found[1] in NOTED:
            counts[found[1]] = counts.get(found[1], 0) + 1


def short_name(mangled: str) -> str:
    """Return a kernel's name without its namespaces, type and parameters."""
    said = subprocess.run(["c++filt", "-p", mangled], capture_output=True, text=True, check=True)
    name = said.stdout.strip().removeprefix("void ")
    return re.sub(r"^(?:(?:\(anonymous namespace\)|\w+)::)+", "", name)


def read_object(path: Path, cuobjdump: str) -> tuple[list[Kernel], list[str]]:
    """Return the kernels of an object and ptxas's warnings; both are kept beside it."""
    log = Path(f"{path}.log").read_text()
    key = hashlib.sha256(path.read_bytes() + log.encode() + VERSION.encode()).hexdigest()
    kept = Path(f"{path}.statics.json")
    if kept.is_file() and (known := json.loads(kept.read_text()))["key"] == key:
        return [Kernel(**kernel) for kernel in known["kernels"]], known["warnings"]
    environment = os.environ | {"PATH": f"{Path(cuobjdump).parent}:{os.environ['PATH']}"}

    def dump(option: str) -> str:
        return subprocess.run(
            [cuobjdump, option, path], capture_output=True, text=True, check=True, env=environment
        ).stdout

    kernels = read_log(log)
    add_threads(kernels, dump("-elf"))
    add_instructions(kernels, dump("-sass"))
    for kernel in kernels.values():
        kernel.name = f"{path.stem}/{short_name(kernel.name)}"
    warnings = [line for line in log.splitlines() if re.search(r"\bC75\d\d\b", line)]
    known = {"key": key, "kernels": [asdict(k) for k in kernels.values()], "warnings": warnings}
    kept.write_text(json.dumps(known))
    return list(kernels.values()), warnings


def check_always(kernel: Kernel) -> list[str]:
    """Return what no kernel may be, in words."""
    problems = []
    if kernel.spills:
        problems.append(f"spills {kernel.spills} bytes")
    if kernel.stack:
        problems.append(f"has a stack frame of {kernel.stack} bytes")
    if not kernel.threads:
        problems.append("has no __launch_bounds__")
    touched = [name for name in LOCAL if kernel.instructions.get(name)]
    if touched:
        problems.append(f"touches local memory ({', '.join(touched)})")
    return problems


def check_table(kernel: Kernel, wanted: dict) -> list[str]:
    """Return where a kernel falls short of its line of the table."""
    problems = []
    if kernel.registers > wanted["registers"]:
        problems.append(f"{kernel.registers} registers, at most {wanted['registers']} wanted")
    least = wanted["blocks"].get(kernel.arch)
    if kernel.threads and least is not None:
        blocks = blocks_per_sm(kernel, wanted.get("dynamic_shared", 0))
        if blocks < least:
            problems.append(f"{blocks} blocks an SM, at least {least} wanted")
    for name in wanted.get("has", []):
        if not kernel.instructions.get(name):
            problems.append(f"no {name}")
    return problems


def table_lines(kernels: list[Kernel]) -> dict[str, dict]:
    """Return lines for the table that kernels hold as they are, without dynamic memory."""
    lines: dict[str, dict] = {}
    for kernel in kernels:
        line = lines.setdefault(
            re.sub(r"([()*])", r"\\\1", kernel.name), {"registers": 0, "blocks": {}, "has": []}
        )
        line["registers"] = max(line["registers"], kernel.registers)
        if kernel.threads:
            line["blocks"][kernel.arch] = blocks_per_sm(kernel, 0)
        line["has"] = sorted(set(line["has"]) | (set(kernel.instructions) - set(LOCAL)))
    return lines


def write_table(path: Path, table: dict[str, dict]) -> None:
    """Write the table, a kernel a line."""
    lines = [f"  {json.dumps(name)}: {json.dumps(line)}" for name, line in sorted(table.items())]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def describe(kernel: Kernel, wanted: dict) -> str:
    """Return a line about a kernel."""
    dynamic = wanted.get("dynamic_shared", 0)
    blocks = blocks_per_sm(kernel, dynamic) if kernel.threads else "?"
    counts = " ".join(f"{name} {count}" for name, count in kernel.instructions.items())
    return (
        f"{kernel.arch:7} {kernel.registers:3} registers {kernel.shared:6} + {dynamic:6} B shared "
        f"{kernel.threads:4} threads {blocks:>2} blocks  {kernel.name}  {counts}"
    )


def check(kernels: list[Kernel], table: dict[str, dict]) -> list[str]:
    """Print every kernel; return what is wrong."""
    problems = []
    unused = set(table)
    for kernel in kernels:
        fitting = [pattern for pattern in table if re.fullmatch(pattern, kernel.name)]
        unused -= set(fitting)
        wanted = table[fitting[0]] if fitting else {}
        print(describe(kernel, wanted))
        own = check_always(kernel)
        if len(fitting) == 1:
            own += check_table(kernel, wanted)
        elif fitting:
            own.append(f"several lines of the table are about it: {fitting}")
        else:
            own.append("no line of the table is about it (--add writes one)")
        problems += [f"{kernel.name} ({kernel.arch}): {problem}" for problem in own]
    return problems + [f"no kernel is called {pattern}" for pattern in sorted(unused)]


def main() -> int:
    """Check the objects of the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("objects", nargs="+", type=Path)
    parser.add_argument("--cuobjdump", default="cuobjdump")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument(
        "--add", action="store_true", help="add lines of what new kernels hold now to the table"
    )
    options = parser.parse_args()
    table = json.loads(options.table.read_text())
    with ThreadPoolExecutor(max_workers=2) as pool:
        found = list(pool.map(lambda path: read_object(path, options.cuobjdump), options.objects))
    kernels = [kernel for of_object, _ in found for kernel in of_object]
    if options.add:
        new = [k for k in kernels if not any(re.fullmatch(pattern, k.name) for pattern in table)]
        table |= table_lines(new)
        write_table(options.table, table)
    problems = [line for _, warnings in found for line in warnings] + check(kernels, table)
    print("\n".join(["", *problems]) if problems else "All as the table has it.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
