#!/usr/bin/env python3
"""Hold what ptxas made of each CUDA kernel to the table in statics.json, without a card.

    tests/cuda/statics.py [--cuobjdump FILE] [--table FILE] [--add] OBJECT...

OBJECT is what nvcc made of a .cu file, for one architecture or several, with -Xptxas -v; its words
lie in OBJECT.log. No kernel may spill, have a stack frame or touch local memory, none may go
without launch bounds, and ptxas may say none of C75xx (wgmma made serial). The table holds, by
pattern of FILE/NAME, the most registers, the fewest blocks an SM, the bytes of dynamic shared
memory that the blocks are reckoned with, and instructions that must be there.

--add completes the table: lines that have only a pattern's "dynamic_shared", and kernels that have
no line. Registers may then grow until an SM holds a block less, since blocks are what they cost; a
kernel that is less than MARGIN from there, and has blocks to spare, may lose them once.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

TABLE = Path(__file__).with_name("statics.json")
# Read again where this file changes.
VERSION = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()

# CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
SHARED_PER_SM = {"sm_80": 164 * 1024, "sm_90": 228 * 1024, "sm_90a": 228 * 1024}
SHARED_PER_BLOCK = {"sm_80": 163 * 1024, "sm_90": 227 * 1024, "sm_90a": 227 * 1024}
REGISTERS_PER_THREAD = 255
MARGIN = 4  # registers by which a small edit moves a kernel
BLOCKS_TO_SPARE = 5  # so many
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
    dynamic: bool = False  # has an extern __shared__ array (and no other shared memory)
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


def limits(kernel: Kernel, dynamic_shared: int) -> tuple[int, int]:
    """Return the most registers and the fewest blocks an SM that a kernel's line shall allow."""

    def grown(registers: int) -> Kernel:
        return replace(kernel, registers=registers)

    def last_with_as_many_blocks(registers: int) -> int:
        blocks = blocks_per_sm(grown(registers), dynamic_shared)
        while (
            registers < REGISTERS_PER_THREAD
            and blocks_per_sm(grown(registers + 1), dynamic_shared) == blocks
        ):
            registers += 1
        return registers

    registers = last_with_as_many_blocks(kernel.registers)
    blocks = blocks_per_sm(kernel, dynamic_shared)
    if registers - kernel.registers < MARGIN and blocks >= BLOCKS_TO_SPARE:
        registers = last_with_as_many_blocks(registers + 1)
    return registers, blocks_per_sm(grown(registers), dynamic_shared)


def add_sections(kernels: dict[tuple[str, str], Kernel], elf: str) -> None:
    """Take launch bounds, and who has dynamic shared memory, from `cuobjdump -elf`."""
    arch = name = ""
    asked = False
    for line in elf.splitlines():
        if line.startswith("arch = "):
            arch = line.removeprefix("arch = ")
        elif found := re.search(r"NOBITS.*\s\.nv\.shared\.(\S+)$", line):
            # A section of shared memory where there are no static bytes.
            if (kernel := kernels.get((arch, found[1]))) and not kernel.shared:
                kernel.dynamic = True
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
    add_sections(kernels, dump("-elf"))
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


def check_shared(kernel: Kernel, dynamic_shared: int) -> list[str]:
    """Return what is wrong with the shared memory that the table says a kernel is launched with."""
    if kernel.dynamic and not dynamic_shared:
        return ["is launched with dynamic shared memory, and its line has no dynamic_shared"]
    if dynamic_shared and not kernel.dynamic:
        return ["has no dynamic shared memory, but its line has dynamic_shared"]
    shared, most = kernel.shared + dynamic_shared, SHARED_PER_BLOCK[kernel.arch]
    return [f"{shared} bytes of shared memory, a block has {most}"] if shared > most else []


def check_table(kernel: Kernel, wanted: dict) -> list[str]:
    """Return where a kernel falls short of its line of the table."""
    dynamic_shared = wanted.get("dynamic_shared", 0)
    problems = check_shared(kernel, dynamic_shared)
    if kernel.registers > wanted["registers"]:
        problems.append(f"{kernel.registers} registers, at most {wanted['registers']} wanted")
    least = wanted["blocks"].get(kernel.arch)
    if least is None:
        problems.append("its line says nothing of this architecture")
    elif kernel.threads and (blocks := blocks_per_sm(kernel, dynamic_shared)) < least:
        problems.append(f"{blocks} blocks an SM, at least {least} wanted")
    for name in wanted["has"]:
        if not kernel.instructions.get(name):
            problems.append(f"no {name}")
    return problems


def lines_for(kernels: list[Kernel], table: dict[str, dict]) -> dict[str, dict]:
    """Return the lines that the table lacks, or has only dynamic_shared of."""
    about: dict[str, list[Kernel]] = {}
    for kernel in kernels:
        fitting = [pattern for pattern in table if re.fullmatch(pattern, kernel.name)]
        if fitting and "registers" in table[fitting[0]]:
            continue
        own_pattern = re.sub(r"([()*])", r"\\\1", kernel.name)
        about.setdefault(fitting[0] if fitting else own_pattern, []).append(kernel)
    lines = {}
    for pattern, group in about.items():
        line = dict(table.get(pattern, {}))
        dynamic = line.get("dynamic_shared", 0)
        if any(check_shared(kernel, dynamic) or not kernel.threads for kernel in group):
            continue  # check() tells why
        line |= {"registers": 0, "blocks": {}}
        for kernel in group:
            registers, blocks = limits(kernel, dynamic)
            line["registers"] = max(registers, line["registers"])
            line["blocks"][kernel.arch] = min(blocks, line["blocks"].get(kernel.arch, blocks))
        line["has"] = sorted(set.intersection(*(set(k.instructions) for k in group)) - set(LOCAL))
        lines[pattern] = line
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
        if len(fitting) == 1 and "registers" in wanted:
            own += check_table(kernel, wanted)
        elif len(fitting) == 1:
            own.append("its line is not complete (--add completes it)")
        elif fitting:
            own.append(f"several lines of the table are about it: {fitting}")
        else:
            own += check_shared(kernel, 0)
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
        table |= lines_for(kernels, table)
        write_table(options.table, table)
    problems = [line for _, warnings in found for line in warnings] + check(kernels, table)
    print("\n".join(["", *problems]) if problems else "All as the table has it.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
