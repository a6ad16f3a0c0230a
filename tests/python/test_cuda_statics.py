"""tests/cuda/statics.py finds what it is there to find, in ptxas's and cuobjdump's words."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from harness import ROOT

STATICS = ROOT / "tests" / "cuda" / "statics.py"
NAME = "_ZN3dms4cuda6attendE"
LINE = {
    "dynamic_shared": 49152,
    "registers": 128,
    "blocks": {"sm_80": 3},
    "has": ["HMMA", "LDGSTS"],
}
LOG = f"""ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '{NAME}' for 'sm_80'
ptxas info    : Function properties for {NAME}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 122 registers, used 1 barriers
"""
ELF = f"""arch = sm_80
   21  e6f80      0  0 80                       NOBITS       43    0       1d .nv.shared.{NAME}
.nv.info.{NAME}
\t<0x1>
\tAttribute:\tEIATTR_MAX_THREADS
\tFormat:\tEIFMT_SVAL
\tValue:\t0x80 0x1 0x1
"""
SASS = f"""arch = sm_80
\t\tFunction : {NAME}
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/              @!P0 LDGSTS.E.BYPASS.128 [R3], [R4.64] ;
        /*0020*/                   HMMA.16816.F32.BF16 R8, R4, R6, R8 ;
"""


def check(folder, log=LOG, elf=ELF, sass=SASS, table=None, options=()):
    """What statics.py returns and says of one object, of which cuobjdump says `elf` and `sass`."""
    kernel = folder / "decode.o"
    kernel.write_bytes(b"an object")
    (folder / "decode.o.log").write_text(log)
    (folder / "elf").write_text(elf)
    (folder / "sass").write_text(sass)
    cuobjdump = folder / "cuobjdump"
    cuobjdump.write_text(f'#!/bin/sh\ncat "{folder}/${{1#-}}"\n')
    cuobjdump.chmod(0o755)
    statics = folder / "statics.json"
    statics.write_text(json.dumps({"decode/attend": LINE} if table is None else table))
    command = [sys.executable, "-B", STATICS, "--cuobjdump", cuobjdump, "--table", statics]
    said = subprocess.run([*command, *options, kernel], capture_output=True, text=True, check=False)
    assert not said.stderr
    return said.returncode, said.stdout


def test_a_good_kernel_passes(tmp_path):
    status, said = check(tmp_path)
    assert status == 0, said
    assert " 3 blocks " in said


@pytest.mark.parametrize(
    ("where", "old", "new", "complaint"),
    [
        ("log", "0 bytes spill stores", "8 bytes spill stores", "spills 8 bytes"),
        ("log", "0 bytes spill loads", "4 bytes spill loads", "spills 4 bytes"),
        ("log", "0 bytes stack", "16 bytes stack", "a stack frame of 16 bytes"),
        ("log", "0 bytes gmem", "(C7510) Potential Performance Loss: wgmma", "C7510"),
        ("log", "Used 122", "Used 129", "129 registers, at most 128 wanted"),
        ("log", "Used 122", "Used 176", "2 blocks an SM, at least 3 wanted"),
        ("log", "1 barriers", "1 barriers, 64 bytes smem", "has no dynamic shared memory"),
        ("elf", "MAX_THREADS", "MIN_STACK_SIZE", "no __launch_bounds__"),
        ("elf", "0x80 0x1", "0x80 0x2", "2 blocks an SM, at least 3 wanted"),
        ("elf", "NOBITS", "PROGBITS", "has no dynamic shared memory"),
        ("sass", "MOV R1, c", "LDL R1, c", "touches local memory (LDL)"),
        ("sass", "MOV R1, c", "STL.64 [R1], c", "touches local memory (STL)"),
        ("sass", "HMMA.16816", "FFMA.16816", "no HMMA"),
        ("sass", "LDGSTS.E", "LDG.E", "no LDGSTS"),
    ],
)
def test_planted_failures_are_found(tmp_path, where, old, new, complaint):
    texts = {"log": LOG, "elf": ELF, "sass": SASS}
    assert old in texts[where]
    texts[where] = texts[where].replace(old, new)
    status, said = check(tmp_path, **texts)
    assert status == 1
    assert complaint in said


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ({"dynamic_shared": 0}, "its line has no dynamic_shared"),
        ({"dynamic_shared": 163 * 1024 + 16}, "166928 bytes of shared memory, a block has 166912"),
        ({"dynamic_shared": 57344}, "2 blocks an SM, at least 3 wanted"),
        ({"blocks": {"sm_90a": 3}}, "its line says nothing of this architecture"),
    ],
)
def test_lines_that_do_not_fit_are_found(tmp_path, line, complaint):
    status, said = check(tmp_path, table={"decode/attend": LINE | line})
    assert status == 1
    assert complaint in said


def test_every_kernel_has_one_line_and_every_line_a_kernel(tmp_path):
    for table, complaint in (
        ({}, "no line of the table is about it"),
        ({"decode/attend": LINE, "decode/.*": LINE}, "several lines"),
        ({"decode/attend": LINE, "decode/lost": LINE}, "no kernel is called decode/lost"),
    ):
        status, said = check(tmp_path, table=table)
        assert status == 1
        assert complaint in said


def test_add_completes_lines_but_not_without_dynamic_memory(tmp_path):
    status, said = check(tmp_path, table={}, options=["--add"])
    assert status == 1
    assert "its line has no dynamic_shared" in said
    assert json.loads((tmp_path / "statics.json").read_text()) == {}

    status, said = check(
        tmp_path, table={"decode/.*": {"dynamic_shared": 49152}}, options=["--add"]
    )
    assert status == 0, said
    # 3 blocks of 4 warps fit up to 168 registers: 16384 a partition / (168 * 32) = 3.
    assert json.loads((tmp_path / "statics.json").read_text()) == {
        "decode/.*": LINE | {"registers": 168}
    }


def test_add_lets_a_kernel_at_a_step_lose_blocks_once(tmp_path):
    elf, log = ELF.replace("NOBITS", "PROGBITS"), LOG.replace("Used 122", "Used 47")
    status, said = check(tmp_path, log=log, elf=elf, table={}, options=["--add"])
    assert status == 0, said
    line = json.loads((tmp_path / "statics.json").read_text())["decode/attend"]
    assert (line["registers"], line["blocks"]) == (56, {"sm_80": 9})
