"""Count the instructions of a call: on a busy machine a time of half a microsecond says little, and this is exact.

    python tools/instructions.py BUILD [BUILD ...] [--only I2,I1,T1] [--calls 20000]

BUILD is a folder that holds the package, as for compare_builds.py. Valgrind's callgrind runs the timed statement of a
problem of the benchmark so many times, and twice as many; the difference is that of the calls alone. It includes what
Python spends on the statement, which is the same for all builds. Runs agree to about one instruction. Valgrind knows no
AVX-512, so the kernels are those of AVX2 unless FNNFAST_ISA says another; the number of threads is 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import timeit
from pathlib import Path

from compare_builds import bench, check_build, environment


def run_loop(problem: str, calls: int) -> None:
    """What the process under Valgrind does."""
    import _bench.peers

    variant = next(_bench.peers.Fnnfast().variants(bench.problems.get(problem), 1))
    timeit.Timer(variant.statement, globals=variant.namespace).timeit(calls)


def instructions(build: Path, problem: str, calls: int) -> int:
    """Of a whole process."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, __file__]
    env = {"FNNFAST_ISA": "avx2"} | environment(build) | {"OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run([*command, "--loop", problem, str(calls)], env=env, capture_output=True, text=True)
    collected = re.search(r"Collected : (\d+)", ran.stderr)
    if ran.returncode or collected is None:
        sys.exit(f"{build}: {problem} did not run under Valgrind:\n{ran.stderr}")
    return int(collected[1])


def main() -> None:
    if sys.argv[1:2] == ["--loop"]:
        run_loop(sys.argv[2], int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", type=Path, nargs="+", metavar="build")
    parser.add_argument("--only", default="I2", help="problems")
    parser.add_argument("--calls", type=int, default=20_000)
    options = parser.parse_args()
    for build in options.builds:
        check_build(build)
    isa = os.environ.get("FNNFAST_ISA") or "avx2"
    for problem in bench.problems.select(options.only):
        for build in options.builds:
            once, twice = (instructions(build.resolve(), problem.id, options.calls * n) for n in (1, 2))
            print(f"{problem.id}  {(twice - once) / options.calls:.1f} instructions a call  {isa}  {build}", flush=True)


if __name__ == "__main__":
    main()
