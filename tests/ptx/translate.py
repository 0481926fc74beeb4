"""PTX to C++: each kernel as a function of one thread. It knows the instructions that flowkit's kernels consist of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

TYPES = {
    **{f"{kind}{bits}": f"{sign}int{bits}_t" for bits in (8, 16, 32, 64) for kind, sign in (("s", ""), ("u", "u"))},
    **{f"b{bits}": f"uint{bits}_t" for bits in (8, 16, 32, 64)},
    "f32": "float",
    "f64": "double",
    "pred": "bool",
}
SPECIAL = {
    "%tid.x": "thread.number",
    "%ctaid.x": "thread.block_number",
    "%nctaid.x": "thread.blocks",
    "%cluster_ctarank": "thread.rank",
}
COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
UNORDERED = {"ltu": ">=", "leu": ">", "gtu": "<=", "geu": "<"}  # true unless the opposite holds

_ENTRY = re.compile(r"\.entry (\w+)\((.*?)\)\s*(.*?)\n\{\n(.*?)\n\}\n", re.DOTALL)
_STATEMENT = re.compile(r"(?:@(!?)%(\w+)\s+)?([\w.]+)\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Kernel:
    name: str
    parameter: str
    parameter_bytes: int
    most_threads: int
    body: str


def kernels(ptx: str) -> Iterator[Kernel]:
    """The kernels in the text of a PTX file."""
    for name, parameters, directives, body in _ENTRY.findall(ptx):
        ((parameter, size),) = re.findall(r"(\w+_param_\d+)\[(\d+)\]", parameters)
        (threads,) = re.findall(r"\.maxntid (\d+)", directives)
        yield Kernel(name, parameter, int(size), int(threads), re.sub(r"//.*", "", body))


def translate(ptx_files: dict[int, list[str]]) -> dict[str, str]:
    """C++ for the stand-in, by file name: the functions of each architecture's kernels, and a table of all.

    `ptx_files` are the texts by architecture. A kernel that is the same for several has one function.
    """
    known: dict[tuple[str, str], str] = {}
    sources, rows = {}, []
    for architecture, texts in ptx_files.items():
        functions = []
        for ptx in texts:
            shared = set(re.findall(r"\.extern \.shared[^;]*?\s(\w+)\[\]", ptx))
            for kernel in kernels(ptx):
                if (kernel.name, kernel.body) not in known:
                    known[kernel.name, kernel.body] = f"kernel_{len(known)}"
                    head = f"void kernel_{len(known) - 1}(Thread& thread)"
                    functions.append(f"{head} {{\n{_body(kernel, shared)}\n}}\n")
                numbers = f"{kernel.parameter_bytes}, {kernel.most_threads}, {architecture}"
                rows.append(f'{{"{kernel.name}", &{known[kernel.name, kernel.body]}, {numbers}}},')
        if functions:
            sources[f"kernels_{architecture}"] = '#include "runtime.h"\n\n' + "\n".join(functions)
    declared = "\n".join(f"void {function}(Thread&);" for function in known.values())
    table = "\n  ".join(rows)
    sources["kernel_table"] = (
        f'#include "runtime.h"\n\n{declared}\n\nconst Kernel kernel_table[] = {{\n  {table}\n  {{}}}};\n'
    )
    return sources


def _body(kernel: Kernel, shared: set[str]) -> str:
    translator = _Translator(kernel.parameter, shared)
    lines = []
    # Inline assembly stands in a block of its own, with a register of its own.
    body = kernel.body.replace("{ .reg .b64 %tmp;", ".reg .b64 %tmp<1>;").replace("; }", ";")
    for line in re.split(r"[;\n]", re.sub(r"(\$\w+:)", r"\1;", body)):
        statement = line.strip()
        if not statement or statement in "{}" or statement.startswith(".pragma"):
            continue
        if registers := re.match(r"\.reg \.(\w+)\s+%(\w+)<(\d+)>", statement):
            kind, prefix, count = registers.groups()
            names = ["tmp"] if prefix == "tmp" else [f"{prefix}{i}" for i in range(int(count))]
            declared = f"{TYPES[kind]} {', '.join(f'{name} = 0' for name in names)};"
            if prefix != "tmp" or declared not in lines:
                lines.insert(0, declared)
        elif statement.endswith(":"):
            lines.append(f"{_label(statement[:-1])}:;")
        else:
            lines.append(translator.statement(statement))
    return "\n".join(lines)


def _label(name: str) -> str:
    return name.replace("$", "label_")


def _operands(text: str) -> list[str]:
    """What commas separate, outside of brackets and braces."""
    return [part.strip() for part in re.split(r",(?![^{\[]*[}\]])", text) if part.strip()]


def _register_type(name: str) -> str:
    for prefix, kind in (("tmp", "u64"), ("rd", "u64"), ("rs", "u16"), ("r", "u32"), ("fd", "f64"), ("f", "f32")):
        if name.startswith(prefix):
            return kind
    return "pred"


class _Translator:
    def __init__(self, parameter: str, shared: set[str]) -> None:
        self.parameter, self.shared = parameter, shared

    def statement(self, text: str) -> str:
        match = _STATEMENT.fullmatch(text)
        assert match, text
        negated, predicate, name, rest = match.groups()
        opcode, *modifiers = name.split(".")
        saturates = "sat" in modifiers  # to 0..1, and NaN to 0
        operands = _operands(rest)
        translated = self.instruction(opcode, [m for m in modifiers if m != "sat"], operands)
        if saturates:
            target = operands[0][1:]
            translated += f" {target} = std::fmin(1.0f, std::fmax(0.0f, {target}));"
        return f"if ({negated}{predicate}) {{ {translated} }}" if predicate else translated

    def instruction(self, opcode: str, modifiers: list[str], operands: list[str]) -> str:
        if opcode in ("ld", "st"):
            return self.memory(opcode, modifiers, operands)
        if opcode == "bra":
            return f"goto {_label(operands[0])};"
        if opcode == "ret":
            return "return;"
        if opcode == "bar":
            return "thread.wait_for_block();"
        if opcode == "barrier":
            return "thread.wait_for_cluster();" if "wait" in modifiers else ";"
        kind = modifiers[-1]
        if opcode == "mov" and operands[0].startswith("{"):
            low, high = _operands(operands[0].strip("{}"))
            halves = f"{self.set(low, 'both', 'u32')} {self.set(high, 'both >> 32', 'u32')}"
            return f"{{ const uint64_t both = {self.value(operands[1], 'u64')}; {halves} }}"
        if opcode == "mov" and operands[1].startswith("{"):
            low, high = (self.value(part, "u32") for part in _operands(operands[1].strip("{}")))
            return self.set(operands[0], f"{low} | uint64_t{{{high}}} << 32", "u64")
        if opcode == "shfl":
            target = operands[0].split("|")[0]
            return self.set(
                target, f"thread.exchange({self.value(operands[1], 'u32')}, {self.value(operands[2], 'u32')})", "u32"
            )
        if opcode == "selp":
            first, second = (self.value(operand, kind) for operand in operands[1:3])
            return self.set(operands[0], f"{operands[3][1:]} ? {first} : {second}", kind)
        if opcode == "cvt":
            return self.set(operands[0], _converted(modifiers, self.value(operands[1], kind)), modifiers[-2])
        if opcode in ("shl", "shr"):
            value, count = self.value(operands[1], kind), self.value(operands[2], "u32")
            return self.set(operands[0], f"shift_{'left' if opcode == 'shl' else 'right'}({value}, {count})", kind)
        if opcode in ("cvta", "mapa"):
            kind = "u64"
        expression, result = _EXPRESSIONS[opcode](modifiers, kind)
        values = [self.value(operand, kind) for operand in operands[1:]]
        return self.set(operands[0], expression.format(*values), result)

    def memory(self, opcode: str, modifiers: list[str], operands: list[str]) -> str:
        kind = modifiers[-1]
        spaces = [m for m in modifiers if m in ("global", "shared", "param")]
        space = spaces[0] if spaces else "generic"
        vector = next((int(m[1:]) for m in modifiers if m in ("v2", "v4")), 1)
        where, what = operands if opcode == "st" else reversed(operands)
        registers = _operands(what.strip("{}"))
        match = re.fullmatch(r"\[(%?\w+)(?:\+(-?\d+))?\]", where)
        assert match, where
        place = f"{self.value(match[1], 'u64')} + ({match[2] or 0})"
        writes = "true" if opcode == "st" else "false"
        at = f"thread.{space}<{TYPES[kind]}, {vector}>({place}, {writes})"
        if opcode == "st":
            each = [f"at[{i}] = {self.value(register, kind)};" for i, register in enumerate(registers)]
        else:
            each = [self.set(register, f"at[{i}]", kind) for i, register in enumerate(registers)]
        return f"{{ auto* const at = {at}; {' '.join(each)} }}"

    def value(self, operand: str, kind: str) -> str:
        """An operand as C++ of that type."""
        if operand in SPECIAL:
            return f"{TYPES[kind]}({SPECIAL[operand]})"
        if operand.startswith("%"):
            held = _register_type(operand[1:])
            if (held[0] == "f") != (kind[0] == "f"):
                return f"bits_as<{TYPES[kind]}>({operand[1:]})"
            return f"{TYPES[kind]}({operand[1:]})"
        if operand[:2] in ("0f", "0d"):
            return f"bits_as<{TYPES[kind]}>(uint{len(operand) * 4 - 8}_t{{0x{operand[2:]}}})"
        if operand == self.parameter:
            return "thread.parameter_address()"
        if operand in self.shared:
            return f"{TYPES[kind]}(0)"
        return f"{TYPES[kind]}({operand}ll)"

    def set(self, register: str, expression: str, kind: str) -> str:
        name = register[1:]
        held = _register_type(name)
        if held != "pred" and (held[0] == "f") != (kind[0] == "f"):
            return f"{name} = bits_as<{TYPES[held]}>({TYPES[kind]}({expression}));"
        return f"{name} = {expression};"


def _converted(modifiers: list[str], value: str) -> str:
    to = TYPES[modifiers[-2]]
    rounding = {"rzi": "trunc", "rmi": "floor"}
    return next((f"{to}(std::{rounding[m]}({value}))" for m in modifiers if m in rounding), f"{to}({value})")


def _same(expression: str) -> Callable[[list[str], str], tuple[str, str]]:
    return lambda modifiers, kind: (expression, kind)


def _compare(modifiers: list[str], kind: str) -> tuple[str, str]:
    if modifiers[0] in UNORDERED:
        return f"!({{}} {UNORDERED[modifiers[0]]} {{}})", "pred"
    return f"{{}} {COMPARISONS[modifiers[0]]} {{}}", "pred"


def _multiply(modifiers: list[str], kind: str) -> tuple[str, str]:
    wide = f"{kind[0]}64"
    if "wide" in modifiers:
        return f"{TYPES[wide]}({{}}) * {{}}", wide
    if "hi" in modifiers:
        return f"({TYPES[wide]}({{}}) * {{}}) >> 32", kind
    return "{} * {}", kind


# By opcode: C++ of the values of the operands behind the first, and the type of what the first gets.
_EXPRESSIONS: dict[str, Callable[[list[str], str], tuple[str, str]]] = {
    "mov": _same("{}"),
    "add": _same("{} + {}"),
    "sub": _same("{} - {}"),
    "mul": _multiply,
    "mad": _same("{} * {} + {}"),
    "fma": _same("std::fma({}, {}, {})"),
    "div": _same("{} / {}"),
    "rem": _same("{} % {}"),
    "neg": _same("-{}"),
    "abs": _same("std::fabs({})"),
    "min": _same("least({}, {})"),
    "max": _same("greatest({}, {})"),
    "sqrt": _same("std::sqrt({})"),
    "rcp": lambda modifiers, kind: ("approximate(1.0 / {})" if "approx" in modifiers else "1 / {}", kind),
    "rsqrt": _same("approximate(1.0 / std::sqrt(double({})))"),
    "and": _same("{} & {}"),
    "or": _same("{} | {}"),
    "xor": _same("{} ^ {}"),
    "not": lambda modifiers, kind: ("!{}" if kind == "pred" else "~{}", kind),
    "prmt": _same("permute_bytes({}, {}, {})"),
    "setp": _compare,
    "cvta": lambda modifiers, kind: ("{}" if modifiers[0] == "to" else "thread.shared_address({})", "u64"),
    "mapa": _same("thread.in_rank({}, {})"),
}
