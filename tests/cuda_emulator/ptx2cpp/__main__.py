"""Translate PTX, as nvcc writes it, to C++ for the emulator: python3 ptx2cpp IN.ptx OUT.cpp"""

import sys
from pathlib import Path

from module import Module
from ptx import TranslationError


def main() -> None:
    source, target = sys.argv[1:]
    try:
        code = Module(source).translate(Path(source).read_text())
    except TranslationError as error:
        sys.exit(f"ptx2cpp: {error}")
    Path(target).write_text(code)


main()
