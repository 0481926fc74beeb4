"""What the CUDA kernels take of a GPU: registers, spills, shared memory. Needs nvcc, and no GPU.

    python -m benchmarks.kernel_resources            compile, compare with the record, fail where something grew
    python -m benchmarks.kernel_resources --record   compile and write the record

The iteration keeps its state in registers and is within a few of the most that a thread may have, so a harmless change
can make the compiler spill into memory in the innermost loop. This is what notices.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = Path(__file__).parent / "results" / "kernel_resources.json"
SOURCES = tuple(ROOT / "csrc" / "cuda" / f"{name}.cu" for name in ("tvl1", "features"))
ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
FLAGS = ("-std=c++17", "--fmad=false", "-Xptxas=-v,--register-usage-level=0")  # as CMakeLists.txt has them

Resources = dict[str, int]
Kernels = dict[str, Resources]

_ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")
_CONFIG = re.compile(r"IterationConfigILNS_8DataTermE(\d)ELNS_8RoundingE(\d)ELb(\d)ELb(\d)E")
_PROGRAM = re.compile(r"run_programINS_(?:9EachPixelINS_)?(\d+)(\w+)")


def find_nvcc() -> str | None:
    """The compiler that CMake would take, but for wheels."""
    for candidate in (os.environ.get("CUDACXX"), os.path.expandvars("$CUDA_HOME/bin/nvcc"), "nvcc"):
        if candidate and (found := shutil.which(candidate)):
            return found
    return shutil.which("nvcc", path="/usr/local/cuda/bin")


def nvcc_version(nvcc: str) -> str:
    output = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"V(\d+\.\d+\.\d+)", output)
    return found[1] if found else "unknown"


def kernel_name(symbol: str) -> str:
    """A readable name of a mangled kernel: the program, and what its template arguments choose."""
    if config := _CONFIG.search(symbol):
        term, rounding, affine, may_stop = (int(digit) for digit in config.groups())
        words = (("pixel", "patch")[term], ("opencv", "fast")[rounding])
        return f"Iterate {' '.join(words)}{' affine' * affine}{' without stop' * (1 - may_stop)}"
    if program := _PROGRAM.search(symbol):
        length = int(program[1])
        name, arguments = program[2][:length], program[2][length:]
        argument = re.match(r"I(?:(?:L[bi])?(\w)|NS_\d+(\w+?))E", arguments)
        return f"{name} {argument[1] or argument[2]}" if argument else name
    return symbol


def parse(log: str) -> Kernels:
    """The resources of each kernel in what ptxas -v says about one architecture."""
    kernels: Kernels = {}
    name = None
    for line in log.splitlines():
        if entry := _ENTRY.search(line):
            name = kernel_name(entry[1])
            kernels[name] = {"registers": 0, "spill_bytes": 0, "stack_bytes": 0, "shared_bytes": 0}
        elif name and (stack := _STACK.search(line)):
            kernels[name]["stack_bytes"] = int(stack[1])
            kernels[name]["spill_bytes"] = int(stack[2]) + int(stack[3])
        elif name and (used := _USED.search(line)):
            shared = _SHARED.search(line)
            kernels[name]["registers"] = int(used[1])
            kernels[name]["shared_bytes"] = int(shared[1]) if shared else 0
    return dict(sorted(kernels.items()))


def compile_for(nvcc: str, architecture: str) -> Kernels:
    """The kernels' resources on one architecture; stops with the compiler's words if it fails."""
    kernels: Kernels = {}
    for source in SOURCES:
        with tempfile.TemporaryDirectory() as folder:
            command = [nvcc, *FLAGS, f"-arch=sm_{architecture}", "-cubin", "-o", f"{folder}/kernels.cubin", str(source)]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{run.stdout}{run.stderr}")
        kernels |= parse(run.stdout + run.stderr)
    return dict(sorted(kernels.items()))


def growth(recorded: dict[str, Kernels], found: dict[str, Kernels], same_compiler: bool) -> list[str]:
    """What takes more than the record says. Another compiler may allocate other registers, but not spill more."""
    fields = ("spill_bytes", "stack_bytes", "registers", "shared_bytes") if same_compiler else ("spill_bytes",)
    grown = []
    for architecture, kernels in found.items():
        known = recorded.get(architecture, {})
        for name, resources in kernels.items():
            before = known.get(name, {"spill_bytes": 0})
            for field in fields:
                if resources[field] > before.get(field, resources[field]):
                    grown.append(f"{architecture} {name}: {field} {before[field]} -> {resources[field]}")
    return grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write the record instead of comparing with it")
    parser.add_argument("--architectures", nargs="+", default=ARCHITECTURES, metavar="90")
    parser.add_argument("--verbose", action="store_true", help="print every kernel")
    arguments = parser.parse_args()
    nvcc = find_nvcc()
    if nvcc is None:
        print("no nvcc found: the CUDA kernels are not compiled, and nothing is compared")
        return
    version = nvcc_version(nvcc)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = pool.map(lambda architecture: compile_for(nvcc, architecture), arguments.architectures)
        found = {f"sm_{a}": kernels for a, kernels in zip(arguments.architectures, compiled, strict=True)}
    for architecture, kernels in found.items():
        spilling = [name for name, resources in kernels.items() if resources["spill_bytes"]]
        print(f"{architecture}: {len(kernels)} kernels, {', '.join(spilling) or 'none'} with spills")
        for name, resources in kernels.items() if arguments.verbose else ():
            print(architecture, name, *(f"{field}={value}" for field, value in resources.items()))
    if arguments.record:
        RECORD.write_text(json.dumps({"nvcc": version, "flags": FLAGS, "kernels": found}, indent=1) + "\n")
        return
    record = json.loads(RECORD.read_text())
    if grown := growth(record["kernels"], found, record["nvcc"] == version):
        sys.exit("kernels take more than recorded:\n" + "\n".join(grown))


if __name__ == "__main__":
    main()
