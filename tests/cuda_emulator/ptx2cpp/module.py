"""A PTX module: files, variables and kernels."""

import re

from kernel import Kernel
from ptx import WIDTH, TranslationError, c_name

PROLOGUE = """#include "cuda_emulator/runtime/device.h"

namespace {
using namespace cuda_emulator;
"""

SPACE = re.compile(r"\s*")
FILE = re.compile(r'\.file\s+(\d+)\s+"([^"]*)"[^\n]*')
IGNORED = re.compile(r"\.(version|target|address_size)[^\n]*|\.section\s+\S+\s*\{[^}]*\}")
FUNCTION = re.compile(r"(?:\.(?:visible|weak|extern)\s+)*\.(entry|func)\b")
VARIABLE = re.compile(
    r"(?:\.(?:visible|weak|extern|common)\s+)*\.(shared|global|const)\s+"
    r"(?:\.attribute\([^)]*\)\s+)?(?:\.align\s+(\d+)\s+)?(?:\.v[24]\s+)?"
    r"\.(\w+)\s+([\w$%.]+)((?:\[\d*\])*)\s*(?:=\s*(.*))?$",
    re.DOTALL,
)


class Module:
    def __init__(self, path: str):
        self.path = path
        self.files: dict[int, str] = {}
        self.shared: dict[str, tuple[int, int, bool]] = {}  # align, bytes, sized by the launch
        self.globals: dict[str, str] = {}  # PTX name -> C++ name
        self.out: list[str] = []

    def translate(self, text: str) -> str:
        """Return the C++ source."""
        text = re.sub(
            r'"[^"]*"|//[^\n]*|/\*.*?\*/',
            lambda m: m[0] if m[0][0] == '"' else " ",
            text,
            flags=re.DOTALL,
        )
        self.files = {int(m[1]): m[2] for m in FILE.finditer(text)}
        at = 0
        while (at := SPACE.match(text, at).end()) < len(text):
            if skipped := FILE.match(text, at) or IGNORED.match(text, at):
                at = skipped.end()
            elif function := FUNCTION.match(text, at):
                at = self.function(text, at, function[1])
            else:
                end = text.index(";", at)
                self.variable(text[at:end].strip())
                at = end + 1
        return PROLOGUE + "\n".join(self.out) + "\n}  // namespace\n"

    def function(self, text: str, at: int, kind: str) -> int:
        """Translate an entry, pass over a declaration; return where it ends."""
        has_params = kind == "entry" and "(" in text[at : text.index("{", at)]
        head_end = text.index(")", at) if has_params else at
        body, semicolon = text.index("{", head_end), text.find(";", head_end)
        if kind == "func":
            if 0 <= semicolon < body:
                return semicolon + 1
            raise TranslationError("device functions (.func) have no body here: inline them")
        end = closing_brace(text, body)
        self.out += Kernel(self, text[at:body], text[body + 1 : end]).emit()
        return end + 1

    def variable(self, text: str) -> None:
        m = VARIABLE.match(text)
        if not m:
            raise TranslationError("module-level: " + text[:100])
        space, align, type_, name, dims, init = m.groups()
        count = 1
        for dim in re.findall(r"\[(\d*)\]", dims):
            count = count * int(dim) if dim else 0
        align = int(align or WIDTH[type_] // 8)
        size = count * WIDTH[type_] // 8
        if space == "shared":
            self.shared[name] = (align, size, count == 0)
            return
        var = self.globals[name] = c_name(name)
        self.out.append(
            f"alignas({max(align, 16)}) static u{WIDTH[type_]} {var}[{max(count, 1)}]"
            f"{initialiser(name, init)};\n"
            f'static Variable {var}_v{{"{name}", {var}, {size}, nullptr}};\n'
            f"static const bool {var}_r = register_variable(&{var}_v);"
        )


def initialiser(name: str, init: str | None) -> str:
    if not init:
        return " = {}"
    init = init if "{" in init else "{" + init + "}"
    if re.search(r"[A-Za-z_$]", re.sub(r"0[xfdFD][0-9A-Fa-f]+", "", init)):
        raise TranslationError("a symbol in the initialiser of " + name)
    return " = " + re.sub(r"0[fFdD]([0-9A-Fa-f]{8,16})", r"0x\1", init)


def closing_brace(text: str, at: int) -> int:
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return i
    raise TranslationError("a body without an end")
