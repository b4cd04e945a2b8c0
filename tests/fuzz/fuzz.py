"""Fuzz one target, guided by the coverage of the package's Python code: needs atheris (the extra ``fuzz``).

Usage: ``python tests/fuzz/fuzz.py TARGET [--seconds S] [--corpus FOLDER]``, or ``... TARGET --replay FILE ...``, which
needs no atheris. An input that shows a fault ends the run with a traceback, status 1 and the name of the file that
holds it. Inputs of new coverage are added to the corpus, build/fuzz/TARGET if none is named.
"""

import argparse
import resource
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for part in ("tests", "tests/fuzz", "tests/models", "tests/network", "tests/training", "tools"):
    sys.path.insert(0, str(ROOT / part))

SECONDS_PER_INPUT = 10
MEBIBYTES = 4096


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--replay", type=Path, nargs="+")
    options = parser.parse_args()
    if not options.replay:
        import atheris

        with atheris.instrument_imports(include=["fnnfast"]):
            import fuzz_targets
    else:
        import fuzz_targets
    if options.target not in fuzz_targets.TARGETS:
        parser.error(f"expected a target out of {', '.join(fuzz_targets.TARGETS)}, got {options.target}")
    fuzz_targets.prepare(options.target)
    warnings.simplefilter("ignore")
    warnings.filterwarnings("error", category=RuntimeWarning, module="fnnfast")
    if options.replay:
        for path in options.replay:
            print(path, flush=True)
            fuzz_targets.run(options.target, path.read_bytes())
        return 0
    corpus = options.corpus or ROOT / "build" / "fuzz" / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(fuzz_targets.seeds(options.target)):
        (corpus / f"seed-{number}").write_bytes(data)
    started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # on Linux also that of the process before
    arguments = {
        "max_total_time": options.seconds,
        "seed": options.seed,
        "timeout": SECONDS_PER_INPUT,
        "rss_limit_mb": started + MEBIBYTES,
        "max_len": fuzz_targets.LONGEST.get(options.target, 400),
        "len_control": 0,
        "artifact_prefix": f"{corpus.parent / options.target}-",
    }
    atheris.Setup(
        [sys.argv[0], *(f"-{name}={value}" for name, value in arguments.items()), str(corpus)],
        lambda data: fuzz_targets.run(options.target, data),
    )
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
