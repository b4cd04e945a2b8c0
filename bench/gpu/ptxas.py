"""What ptxas -v says of each kernel, out of a build's log: ``python bench/gpu/ptxas.py build.log``."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(\w+)'")
SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


@dataclass
class Kernel:
    """Sizes in bytes, of a thread but for ``shared``, which is a block's and static."""

    name: str
    architecture: str
    registers: int = 0
    stack: int = 0
    spill_stores: int = 0
    spill_loads: int = 0
    shared: int = 0

    @property
    def spills(self) -> int:
        return self.spill_stores + self.spill_loads


def kernels(log: str) -> list[Kernel]:
    """In the order of the log. A compiler's lines stand together, however many run side by side."""
    found: list[Kernel] = []
    for line in log.splitlines():
        if entry := ENTRY.search(line):
            found.append(Kernel(entry[1], entry[2]))
        elif found and (spills := SPILLS.search(line)):
            # The lines of functions that the kernel calls follow its own: whatever they spill, the kernel spills.
            stack, stores, loads = map(int, spills.groups())
            found[-1].stack = max(found[-1].stack, stack)
            found[-1].spill_stores += stores
            found[-1].spill_loads += loads
        elif found and (used := USED.search(line)):
            found[-1].registers = int(used[1])
            if shared := SHARED.search(line):
                found[-1].shared = int(shared[1])
    return found


def summary(found: Sequence[Kernel]) -> str:
    """A line a kernel, those that spill first, then those with most registers."""
    spilling = sum(kernel.spills > 0 for kernel in found)
    lines = [
        f"{len(found)} kernels, {spilling} with spills",
        f"{'registers':>9} {'stack':>6} {'stores':>6} {'loads':>6} {'shared':>6}  kernel",
    ]
    order = sorted(found, key=lambda k: (-k.spills, -k.registers, k.name))
    for kernel, name in zip(order, _readable([k.name for k in order]), strict=True):
        numbers = f"{kernel.registers:>9} {kernel.stack:>6} {kernel.spill_stores:>6} {kernel.spill_loads:>6}"
        lines.append(f"{numbers} {kernel.shared:>6}  {name}")
    return "\n".join(lines) + "\n"


def _readable(names: Sequence[str]) -> list[str]:
    """The names as the source has them, where there is a tool that knows, without their arguments."""
    tool = shutil.which("cu++filt") or shutil.which("c++filt")
    if tool is None or not names:
        return list(names)
    done = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    return list(map(_without_arguments, lines)) if len(lines) == len(names) else list(names)


def _without_arguments(name: str) -> str:
    """Nor anonymous namespaces and a return type. Parentheses before the last pair belong to the template's values."""
    name = name.replace("(anonymous namespace)::", "").removeprefix("void ")
    depth = 0
    for place in reversed(range(len(name) if name.endswith(")") else 0)):
        depth += (name[place] == ")") - (name[place] == "(")
        if depth == 0:
            return name[:place][:150]
    return name[:150]


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    print(summary(kernels(Path(sys.argv[1]).read_text(errors="replace"))), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
