"""A kernel: its head, statements, scopes of registers, and the C++ function that comes of them."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import arithmetic
import async_copy
import conversion
import memory
import synchronisation
import tensor_core
from operands import Operands
from ptx import WIDTH, TranslationError, c_name, round_up, split_operands

if TYPE_CHECKING:
    from module import Module

INSTRUCTIONS = {
    **arithmetic.INSTRUCTIONS,
    **conversion.INSTRUCTIONS,
    **memory.INSTRUCTIONS,
    **synchronisation.INSTRUCTIONS,
    **tensor_core.INSTRUCTIONS,
    **async_copy.INSTRUCTIONS,
}

HEAD = re.compile(r"\.entry\s+([\w$]+)\s*(?:\((.*)\))?(.*)$", re.DOTALL)
PARAM = re.compile(
    r"\.param\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+"
    r"(?:\.ptr\s+(?:\.(?!align)\w+\s+)*(?:\.align\s+\d+\s+)?)?([\w$]+)(?:\[(\d+)\])?"
)
EXTENT = r"\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?"
# Within it a place says little; where the kernel calls it says more.
TOOLKIT_HEADER = re.compile(r"/include/(cuda|crt/|cooperative_groups|sm_|device_|math_|vector_)")
LINE = re.compile(r"\.(loc|file)\b[^\n]*")
LABEL = re.compile(r"([\w$%]+)\s*:(?!:)")
REGISTERS = re.compile(r"\.reg\s+\.(\w+)\s+(.*)$")
LOCAL_VARIABLE = re.compile(
    r"\.(local|shared|param)\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)(?:\[(\d+)\])?$"
)


def extent(head: str, directive: str) -> list[int] | None:
    """Return the three numbers of a directive such as .maxntid."""
    m = re.search(directive + EXTENT, head)
    return [int(m[i] or 1) for i in (1, 2, 3)] if m else None


class Scope:
    """Registers between braces. Their C++ names are unique, so that all are declared on top."""

    def __init__(self, number: int):
        self.number = number
        self.prefix = f"s{number}" if number > 1 else ""
        self.registers: dict[str, tuple[str, int, str]] = {}  # C++ name, bits, type
        self.declarations: list[tuple[str, list[str]]] = []


class Kernel(Operands):
    def __init__(self, module: "Module", head: str, body: str):
        super().__init__(module)
        self.body = body
        m = HEAD.search(head)
        self.name = m[1]
        self.read_params(m[2] or "")
        threads = extent(m[3], r"\.(?:maxntid|reqntid)")
        self.max_threads = threads[0] * threads[1] * threads[2] if threads else 0
        self.cluster = extent(m[3], r"\.reqnctapercluster") or [1, 1, 1]
        self.scope_count = 0
        self.location = (0, 0)  # file, line
        self.statement = 0
        self.label_at: dict[str, int] = {}
        self.branch_targets: dict[str, list[str]] = {}
        self.sites: list[tuple[str, str, int, int, str]] = []
        self.out: list[str] = []
        # Accumulators of wgmmas in flight, by groups; the last one is open.
        self.accumulators: list[set[str]] = [set()]

    def read_params(self, text: str) -> None:
        offset = 0
        for param in split_operands(text):
            m = PARAM.match(param)
            if not m:
                raise TranslationError("param " + param)
            element = WIDTH[m[2]] // 8
            size = element * int(m[4] or 1)
            offset = round_up(offset, int(m[1] or element))
            self.params[m[3]] = offset
            self.param_list.append((offset, size))
            offset += size

    def statements(self) -> Iterator[tuple[str, str]]:
        """Yield (kind, text) in order: { } loc label instruction."""
        text, at = self.body, 0
        while True:
            at = re.compile(r"\s*").match(text, at).end()
            if at >= len(text):
                return
            if text[at] in "{}":
                yield text[at], ""
                at += 1
            elif text[at] == ";":
                at += 1
            elif m := LINE.match(text, at):
                yield "loc", m[0]
                at = m.end()
            elif m := LABEL.match(text, at):
                yield "label", m[1]
                at = m.end()
            else:
                end = text.index(";", at)
                yield "instruction", re.sub(r"\s+", " ", text[at:end].strip())
                at = end + 1

    def emit(self) -> list[str]:
        """Return the C++ of the kernel and of its description."""
        self.find_labels()
        self.open_scope()
        for at, (kind, text) in enumerate(self.statements()):
            self.statement = at
            if kind == "{":
                self.open_scope()
            elif kind == "}":
                closed = self.scopes.pop()
                self.scopes[0].declarations += closed.declarations
            elif kind == "label":
                if text not in self.branch_targets:
                    self.out.append(f"{self.label(text)}:;")
            elif kind == "loc":
                self.set_location(text)
            elif text.startswith("."):
                self.directive(text)
            else:
                self.check_accumulators(text)
                self.out.append(self.translate(text))
        return self.describe()

    def find_labels(self) -> None:
        """Note where labels stand, for backward branches, and the lists that brx.idx reads."""
        last = ""
        for at, (kind, text) in enumerate(self.statements()):
            if kind == "label":
                self.label_at[text] = at
                last = text
            elif text.startswith(".branchtargets"):
                self.branch_targets[last] = split_operands(text.split(None, 1)[1])

    def describe(self) -> list[str]:
        name, dynamic = c_name(self.name), self.dynamic_shared_offset()
        sites = ", ".join(
            f'{{"{op}","{file}",{line},{size},\'{kind}\'}}'
            for op, file, line, size, kind in self.sites
        )
        params = ", ".join(f"{{{offset}u,{size}u}}" for offset, size in self.param_list)
        cluster = ",".join(map(str, self.cluster))
        return [
            f"static const u32 DYNAMIC_{name} = {dynamic}u;",
            f"static const Site SITES_{name}[] = {{{sites or NO_SITE}}};",
            f"static const Param PARAMS_{name}[] = {{{params or '{0,0}'}}};",
            f"static void RUN_{name}(Thread* self, const u8* params) {{",
            "[[maybe_unused]] u32 carry = 0;",
            *self.declarations(),
            *self.out,
            "}",
            f'static Kernel KERNEL_{name}{{"{self.name}", RUN_{name}, {dynamic}u, PARAMS_{name}, '
            f"{len(self.param_list)}, SITES_{name}, {len(self.sites)}, {self.max_threads}, "
            f"{{{cluster}}}, nullptr}};",
            f"static const bool REGISTERED_{name} = register_kernel(&KERNEL_{name});",
        ]

    def dynamic_shared_offset(self) -> int:
        """Return where dynamic shared memory begins: no better aligned than was asked for."""
        align = max([a for a, _, dynamic in self.module.shared.values() if dynamic] or [16])
        offset = round_up(round_up(self.shared_bytes, 16), align)
        if 16 < align < 1024 and offset // align % 2 == 0:
            offset += align
        return offset

    def declarations(self) -> list[str]:
        lines = []
        for type_, names in self.scopes[0].declarations:
            c_type = "bool" if type_ == "pred" else f"u{WIDTH[type_]}"
            lines.append(f"{c_type} " + ", ".join(f"{name}=0" for name in names) + ";")
        return lines

    def open_scope(self) -> None:
        self.scope_count += 1
        self.scopes.append(Scope(self.scope_count))

    def set_location(self, text: str) -> None:
        """Take the line, or within CUDA's own headers that of the caller."""
        m = re.match(r"\.loc\s+(\d+)\s+(\d+)", text)
        if m and int(m[2]):
            self.location = (int(m[1]), int(m[2]))
        outer = re.search(r"inlined_at\s+(\d+)\s+(\d+)", text)
        if outer and TOOLKIT_HEADER.search(self.module.files.get(self.location[0], "")):
            self.location = (int(outer[1]), int(outer[2]))

    def directive(self, text: str) -> None:
        if text.startswith((".pragma", ".branchtargets")):
            return
        if m := REGISTERS.match(text):
            self.declare_registers(m[1], m[2])
        elif m := LOCAL_VARIABLE.match(text):
            self.declare_variable(*m.groups())
        else:
            raise TranslationError("directive " + text)

    def declare_registers(self, type_: str, text: str) -> None:
        scope = self.scopes[-1]
        for part in split_operands(text):
            name, count = re.match(r"([\w$%]+)(?:<(\d+)>)?$", part).groups()
            names = [f"{name}{i}" for i in range(int(count))] if count else [name]
            for each in names:
                scope.registers[each] = (scope.prefix + c_name(each), WIDTH[type_], type_)
            scope.declarations.append((type_, [scope.registers[each][0] for each in names]))

    def declare_variable(
        self, space: str, align: str | None, type_: str, name: str, count: str | None
    ) -> None:
        size = WIDTH[type_] // 8 * int(count or 1)
        alignment = int(align or WIDTH[type_] // 8)
        if space == "shared":
            self.place_shared(name, alignment, size)
        else:
            array = c_name(name) + "_l"
            self.out.append(f"alignas({max(alignment, 8)}) u8 {array}[{size}];")
            self.symbols[name] = ("local", array)

    def check_accumulators(self, text: str) -> None:
        """Refuse an instruction that touches an accumulator of a wgmma that is not waited for."""
        opcode = re.sub(r"^@!?\S+\s+", "", text).split()[0]
        groups = self.accumulators
        if opcode.startswith("wgmma.mma_async"):
            groups[-1] |= set(re.findall(r"%\w+", text[text.index("{") + 1 : text.index("}")]))
        elif opcode.startswith("wgmma.commit_group"):
            groups.append(set())
        elif opcode.startswith("wgmma.wait_group"):
            pending = int(text.split()[-1])
            kept = groups[:-1][len(groups) - 1 - pending :] if pending else []
            self.accumulators = [*kept, set()]
        elif any(groups):
            for register in re.findall(r"%\w+", text):
                if any(register in group for group in groups):
                    raise TranslationError(
                        f'{self.module.path}: line {self.location[1]}: "{text}" touches '
                        f"{register}, an accumulator of a wgmma that no wait_group has completed"
                    )

    def translate(self, text: str) -> str:
        try:
            return self.instruction(text)
        except (TranslationError, KeyError, IndexError, ValueError, TypeError) as error:
            raise TranslationError(
                f"{self.module.path}: kernel {self.name}: line {self.location[1]}: cannot "
                f'translate "{text}" ({type(error).__name__} {error})'
            ) from error

    def instruction(self, text: str) -> str:
        if m := re.match(r"@(!?)([\w$%]+)\s+(.*)$", text):
            return f"if ({m[1]}{self.bits(m[2], 1)}) {{ {self.instruction(m[3])} }}"
        m = re.match(r"([\w.:]+)\s*(.*)$", text)
        opcode = m[1].split(".")
        if opcode[0] not in INSTRUCTIONS:
            raise TranslationError("unknown opcode")
        return INSTRUCTIONS[opcode[0]](self, opcode, split_operands(m[2]))


NO_SITE = '{"","",0,0,\'0\'}'
