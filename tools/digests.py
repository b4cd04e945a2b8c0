"""Write or compare the digests of what this build of fnnfast computes (tests/kept/digest_cases.py).

    python tools/digests.py compare                              the instruction set and threads in use
    python tools/digests.py compare --isa all --threads 1,2      each of them, one after the other
    python tools/digests.py write --isa all                      adds to the table what is not in it

``compare`` exits with status 1 if anything differs. ``write`` never changes a line: one that differs is an error, and
nothing is written then. It takes all instruction sets, because the norms in a history differ between them. ``--only``
takes the names of groups; ``--fast`` leaves out the trainings of 200 steps.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "kept"))

import digest_cases
import fnnfast as fnn
from fnnfast import _cpu

HEADER = """\
# Digests of answers, gradients and trained parameters, made with tools/digests.py: those of fnnfast 0.1.0, but of 0.2.0
# where there is a tanh or selu, which are rounded better since then.
# group name dtype batch kind digest; tests/kept/digest_cases.py says what each is of.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("write", "compare"))
    parser.add_argument("--table", type=Path, default=digest_cases.TABLE)
    parser.add_argument("--isa", default=_cpu.isa(), help=f"all, or some of {','.join(_cpu.isas())}")
    parser.add_argument("--threads", default=str(fnn.get_num_threads()), help="as 1,2")
    parser.add_argument("--only", default=",".join(digest_cases.GROUPS), help="groups")
    parser.add_argument("--fast", action="store_true", help="without the trainings of 200 steps")
    options = parser.parse_args()
    groups = [group for group in options.only.split(",") if not (options.fast and group == "long")]
    isas = _cpu.isas() if options.isa == "all" else options.isa.split(",")
    if options.action == "write":
        return write(options.table, groups, isas)
    return compare(options.table, groups, isas, [int(n) for n in options.threads.split(",")])


def write(table: Path, groups: list[str], isas: list[str]) -> int:
    stored = digest_cases.read(table) if table.exists() else {}
    before = len(stored)
    changed = []
    for isa in isas:
        _cpu.use_isa(isa)
        for group in groups:
            for key, value in digest_cases.compute(group).items():
                if stored.setdefault(key, (group, value))[1] != value:
                    changed.append(" ".join((isa, *key)))
    if changed:
        print(f"{len(changed)} digests differ from {table}; nothing was written:", *changed, sep="\n")
        return 1
    lines = sorted(" ".join((group, *key, value)) for key, (group, value) in stored.items())
    table.write_text(HEADER + "\n".join(lines) + "\n")
    print(f"{table}: {len(stored)} digests, {len(stored) - before} of them new")
    return 0


def compare(table: Path, groups: list[str], isas: list[str], threads: list[int]) -> int:
    stored = digest_cases.read(table)
    failed = False
    for isa in isas:
        _cpu.use_isa(isa)
        for n in threads:
            fnn.set_num_threads(n)
            start, wrong, count = time.perf_counter(), [], 0
            for group in groups:
                found = digest_cases.compute(group)
                count += len(found)
                wrong += digest_cases.differences(stored, found, group)
            seconds = time.perf_counter() - start
            verdict = "all as stored" if not wrong else f"{len(wrong)} networks differ"
            print(f"{isa}, {n} threads: {count} digests in {seconds:.1f} s, {verdict}", flush=True)
            print(*(f"  {line}\n" for line in wrong), sep="", end="", flush=True)
            failed |= bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
