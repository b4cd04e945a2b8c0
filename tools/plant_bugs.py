"""Plant bugs, one at a time, and see which of them the tests notice.

Usage: ``python tools/plant_bugs.py [ID ...]`` with the test environment and CMake; ``--help`` lists the options.
tools/planted_bugs.toml has the bugs. All of the C++ sources are compiled into one extension, which the environment
variable FNNFAST_PLANTED tells which of them to have (``--list`` prints the numbers), so that one build serves all;
those of the Python sources are edits in a copy. Nothing in the working tree changes: build/planted holds the copies.

For each bug its own test files run first, then the other fast tests, until one fails. A test that fails for want of
something else than the bug would count as well, so the tests should pass without any: the tool begins with that.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUGS = Path(__file__).with_name("planted_bugs.toml")
SOURCES = ("csrc", "python/fnnfast")
BUILT_FROM = ("CMakeLists.txt", "cmake", "csrc", "tests/cpp")  # CMake asks for the unit tests where it finds doctest
AREAS = ("csrc/core", "csrc/cpu", "csrc/bindings", "python/fnnfast/sklearn", "python/fnnfast")

TEST_SECONDS, RUN_SECONDS = 120, 900  # a test that hangs has noticed as well

# What the tests import beside the package, loaded once: most of what a run that fails at once would cost.
IMPORTED = (
    "pytest",
    "numpy",
    "hypothesis",
    "safetensors.numpy",
    "scipy.stats",
    "sklearn.utils.estimator_checks",
    "joblib",
)
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(list(IMPORTED))

SWITCH = """\
#pragma once
extern "C" __attribute__((visibility("hidden"))) int fnnfast_planted_bug;
#define fnnfast_planted(number) (fnnfast_planted_bug == (number))
"""
SWITCH_SOURCE = """\
#include <cstdlib>
#include "planted.hpp"
static int chosen() {
  const char* const number = std::getenv("FNNFAST_PLANTED");
  return number == nullptr ? 0 : std::atoi(number);
}
int fnnfast_planted_bug = chosen();
"""


@dataclass(frozen=True)
class Bug:
    """An entry of planted_bugs.toml."""

    id: str
    file: str
    what: str
    tests: str
    old: str
    new: str

    @property
    def compiled(self) -> bool:
        return not self.file.endswith(".py")

    @property
    def number(self) -> int:
        """Made from the name, so that another entry before it means no new build."""
        return zlib.crc32(self.id.encode()) & 0x7FFFFFFF

    @property
    def test_files(self) -> list[Path]:
        """Its own test files, in the folder of the tests."""
        return [(path := Path(name)).with_name(f"test_{path.name}.py") for name in self.tests.split()]

    @property
    def pattern(self) -> re.Pattern[str]:
        """The old text with any white space for its white space."""
        return re.compile(r"\s+".join(map(re.escape, self.old.split())))

    @property
    def replacement(self) -> str:
        return re.sub(r"\bPLANTED\b", f"fnnfast_planted({self.number})", self.new.strip())

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in self.pattern.finditer(text)]


def load() -> list[Bug]:
    """All entries; ValueError for those that make no sense."""
    bugs = [Bug(**entry) for entry in tomllib.loads(BUGS.read_text(encoding="utf-8"))["bug"]]
    for what in ("id", "number"):
        seen = [getattr(bug, what) for bug in bugs]
        if twice := [bug.id for bug in bugs if seen.count(getattr(bug, what)) > 1]:
            raise ValueError(f"{what} used more than once: {', '.join(twice)}")
    if odd := [bug.id for bug in bugs if bug.compiled != ("PLANTED" in bug.new) or not bug.old.strip()]:
        raise ValueError(f"C++ takes PLANTED, Python does not, and the old text is not empty: {', '.join(odd)}")
    return bugs


# Anchors -------------------------------------------------------------------------------------------------------------
def faults(bugs: Sequence[Bug], root: Path = ROOT) -> list[str]:
    """What is wrong with the places of entries, a line each."""
    found, places = [], {}
    texts = sources(root)
    for bug in bugs:
        spans = bug.spans(texts.get(bug.file, ""))
        if len(spans) == 1:
            places[bug] = spans[0]
            continue
        elsewhere = [file for file, text in texts.items() if file != bug.file and bug.spans(text)]
        where = f"; it is in {', '.join(elsewhere)}" if elsewhere and not spans else ""
        how_often = f"{len(spans)} times" if spans else "not" if bug.file in texts else "not: no such file"
        found.append(f"{bug.id}: its old text is found {how_often} in {bug.file}{where}")
    for bug, (start, end) in places.items():
        for other, (begin, _) in places.items():
            if other is not bug and other.file == bug.file and bug.compiled and start <= begin < end:
                found.append(f"{bug.id} and {other.id}: their old texts overlap in {bug.file}")
    found += [
        f"{bug.id}: there is no tests/{path.as_posix()}"
        for bug in bugs
        for path in bug.test_files
        if not (root / "tests" / path).is_file()
    ]
    return found


def sources(root: Path) -> dict[str, str]:
    """The text of every source file by its path."""
    found = {}
    for folder in SOURCES:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".hpp", ".cpp", ".cuh", ".cu"):
                found[path.relative_to(root).as_posix()] = path.read_text(encoding="utf-8")
    return found


def move(bugs: Sequence[Bug]) -> None:
    """Correct the file of entries whose text is found once in another file, and in that alone."""
    texts = sources(ROOT)
    lines = BUGS.read_text(encoding="utf-8").splitlines(keepends=True)
    places = [i for i, line in enumerate(lines) if line.startswith("file = ")]
    for bug, place in zip(bugs, places, strict=True):
        counts = {file: len(bug.spans(text)) for file, text in texts.items()}
        holders = [file for file, count in counts.items() if count]
        if not counts.get(bug.file) and len(holders) == 1 and counts[holders[0]] == 1:
            print(f"{bug.id}: {bug.file} -> {holders[0]}")
            lines[place] = f'file = "{holders[0]}"\n'
    BUGS.write_text("".join(lines), encoding="utf-8")


# Building ------------------------------------------------------------------------------------------------------------
def build(bugs: Sequence[Bug], scratch: Path, jobs: int) -> Path:
    """The extension with all C++ bugs in it; a file is written only if it changed, so that little is compiled again."""
    tree = scratch / "tree"
    wanted = {}
    for name in BUILT_FROM:
        for path in [ROOT / name] if (ROOT / name).is_file() else sorted((ROOT / name).rglob("*")):
            if path.is_file():
                wanted[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    for file in {bug.file for bug in bugs if bug.compiled}:
        text = wanted[file].decode()
        of_file = [(bug.spans(text)[0], bug) for bug in bugs if bug.file == file]
        for (start, end), bug in sorted(of_file, key=lambda place: place[0], reverse=True):
            text = text[:start] + bug.replacement + text[end:]
        wanted[file] = text.encode()
    wanted |= {"planted.hpp": SWITCH.encode(), "planted.cpp": SWITCH_SOURCE.encode()}
    for path in tree.rglob("*") if tree.exists() else ():
        if path.is_file() and path.relative_to(tree).as_posix() not in wanted:
            path.unlink()
    for name, content in wanted.items():
        path = tree / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    switch = scratch / "planted.o"
    compiler = os.environ.get("CXX", "c++")
    subprocess.run([compiler, "-O2", "-fPIC", "-c", str(tree / "planted.cpp"), "-o", str(switch)], check=True)
    found = subprocess.run([sys.executable, "-m", "pybind11", "--cmakedir"], capture_output=True, text=True, check=True)
    settings = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_CXX_FLAGS": f"-include {tree / 'planted.hpp'}",
        "CMAKE_MODULE_LINKER_FLAGS": str(switch),
        "FNNFAST_CUDA": "OFF",
        "Python_EXECUTABLE": sys.executable,
        "pybind11_DIR": found.stdout.strip(),
    }
    made = scratch / "made"
    options = [f"-D{name}={value}" for name, value in settings.items()]
    subprocess.run(["cmake", "-S", str(tree), "-B", str(made), *options], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(made), "--target", "_cpu", "-j", str(jobs)], check=True)
    (extension,) = made.glob("_cpu*.so")
    return extension


def package(bug: Bug | None, extension: Path, folder: Path) -> Path:
    """A folder for PYTHONPATH: the package beside that extension, with a bug of the Python sources if it is one."""
    shutil.copytree(ROOT / "python/fnnfast", folder / "fnnfast", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (folder / "fnnfast" / extension.name).symlink_to(extension)
    if bug is not None and not bug.compiled:
        path = folder / Path(bug.file).relative_to("python")
        text = path.read_text(encoding="utf-8")
        ((start, end),) = bug.spans(text)
        path.write_text(text[:start] + bug.replacement + text[end:], encoding="utf-8")
    return folder


# Testing -------------------------------------------------------------------------------------------------------------
def run_pytest(folder: Path, arguments: Sequence[str], path: Path, number: int, log: Path) -> None:
    """End this process with pytest's status, and what it says in the log; the package is that of the path."""
    with open(os.devnull, "rb") as nothing, log.open("wb") as said:
        for stream, at in ((nothing, 0), (said, 1), (said, 2)):
            os.dup2(stream.fileno(), at)
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(path), "FNNFAST_PLANTED": str(number)}
    sys.path.insert(0, str(path))
    import pytest

    status = pytest.main(list(arguments))
    sys.stdout.flush()
    os._exit(int(status))


@dataclass(frozen=True)
class Outcome:
    """What came of a bug: the test that noticed, or "" for none."""

    bug: Bug
    noticed: str
    seconds: float


class Tests:
    """The tests of a folder, run on packages with a bug."""

    def __init__(self, folder: Path, extension: Path, quick: bool) -> None:
        self.folder, self.extension, self.quick = folder.resolve(), extension, quick

    def noticed(self, arguments: Sequence[str], path: Path, number: int = 0) -> str:
        """The first test that fails, or what became of the run; "" if all pass."""
        options = ["-x", "-q", "--no-header", "--tb=no", "-rfE", "-p", "no:cacheprovider", f"--timeout={TEST_SECONDS}"]
        options += ["-W", "ignore:Module already imported"]  # by IMPORTED
        log = path / "log"
        given = (self.folder.parent, [*options, *arguments], path, number, log)
        process = FORKS.Process(target=run_pytest, args=given)
        process.start()
        process.join(RUN_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
            return "no end"
        status, said = process.exitcode or 0, log.read_text(errors="replace")
        if status in (0, 5):  # all passed, or none was asked for
            return ""
        if status == 4:
            raise RuntimeError(f"pytest does not take {' '.join(arguments)}:\n{said}")
        failed = re.search(r"^(?:FAILED|ERROR) (\S+\[.*?\]|\S+)(?: - |$)", said, re.MULTILINE)
        if failed:
            return failed[1].removeprefix(f"{self.folder.name}/")
        where = re.search(r'File ".*?(test_\w+\.py)", line \d+ in (test_\w+)', said)
        if status > 0 and not where:
            raise RuntimeError(f"pytest ended with status {status} for {' '.join(arguments)}:\n{said}")
        crash = f"status {status}" if status > 0 else f"signal {-status}"
        return f"{where[1]}::{where[2]} ({crash})" if where else crash

    def judge(self, bug: Bug) -> Outcome:
        """Run the tests on a bug: its own first."""
        start = time.monotonic()
        own = [self.folder / path for path in bug.test_files]
        own = [path for path in own if path.exists()]  # another state's tests may lack some
        number = bug.number if bug.compiled else 0
        with tempfile.TemporaryDirectory(prefix="planted-") as folder:
            path = package(bug, self.extension, Path(folder))
            noticed = self.noticed([str(file) for file in own], path, number) if own else ""
            if not noticed and not self.quick:
                noticed = self.noticed([str(self.folder), *(f"--ignore={file}" for file in own)], path, number)
        return Outcome(bug, noticed, time.monotonic() - start)

    def require_success(self, bugs: Sequence[Bug]) -> None:
        """Exit where the tests do not pass without a bug."""
        own = sorted({self.folder / path for bug in bugs for path in bug.test_files})
        arguments = [str(path) for path in own if path.exists()]
        with tempfile.TemporaryDirectory(prefix="planted-") as folder:
            path = package(None, self.extension, Path(folder))
            if failed := self.noticed(arguments if self.quick else [str(self.folder)], path):
                sys.exit(f"without any bug: {failed}")


def judged(bugs: Sequence[Bug], tests: Tests, jobs: int) -> Iterator[Outcome]:
    """Outcomes as they come."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(tests.judge, bug) for bug in bugs]
        try:
            for future in concurrent.futures.as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def table(outcomes: Sequence[Outcome]) -> str:
    """Every bug, then how many were noticed, by area."""
    wide = max((len(outcome.bug.id) for outcome in outcomes), default=0)
    lines = [
        f"{outcome.bug.id:{wide}}  {outcome.seconds:5.0f} s  {outcome.noticed or 'NOT NOTICED: ' + outcome.bug.what}"
        for outcome in outcomes
    ]
    lines.append("")
    rest = list(outcomes)
    for area in AREAS:
        here = [outcome for outcome in rest if outcome.bug.file.startswith(f"{area}/")]
        rest = [outcome for outcome in rest if outcome not in here]
        if here:
            lines.append(f"{area:22}  {share(here)}")
    lines.append(f"{'all':22}  {share(outcomes)}")
    return "\n".join(lines)


def share(outcomes: Sequence[Outcome]) -> str:
    noticed = sum(bool(outcome.noticed) for outcome in outcomes)
    return f"{noticed:3} of {len(outcomes):3} noticed: {noticed / max(1, len(outcomes)):.1%}"


def main() -> int:
    """Parse the command line and do what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ids", nargs="*", metavar="ID", help="these bugs alone")
    parser.add_argument("--only", nargs="+", metavar="ID", default=[], help="the same")
    parser.add_argument("--list", action="store_true", help="print the bugs and their numbers")
    parser.add_argument("--check", action="store_true", help="say which entries have lost their place, and stop")
    parser.add_argument(
        "--move", action="store_true", help="correct the files of entries whose text has moved as it is"
    )
    parser.add_argument("--quick", action="store_true", help="run each bug's own test files alone")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1) // 2), help="bugs at a time")
    parser.add_argument("--tests", type=Path, default=ROOT / "tests", help="another state's tests, to compare")
    parser.add_argument("--scratch", type=Path, default=ROOT / "build/planted", help="where to copy and build")
    options = parser.parse_args()
    bugs = load()
    if options.move:
        move(bugs)
        bugs = load()
    lost = faults(bugs)
    print(*lost, sep="\n", file=sys.stderr, end="\n" if lost else "")
    if options.check or options.move or lost:
        return int(bool(lost))
    asked = {*options.ids, *options.only}
    if unknown := asked - {bug.id for bug in bugs}:
        parser.error(f"no such bug: {', '.join(sorted(unknown))}")
    chosen = [bug for bug in bugs if not asked or bug.id in asked]
    if options.list:
        for bug in chosen:
            print(f"{bug.number if bug.compiled else '':>10}  {bug.id:32}  {bug.what}")
        return 0
    scratch = options.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    tests = Tests(options.tests, build(bugs, scratch, os.cpu_count() or 1), options.quick)
    tests.require_success(chosen)
    outcomes = {}
    for outcome in judged(chosen, tests, options.jobs):
        outcomes[outcome.bug] = outcome
        print(f"{len(outcomes)}/{len(chosen)}  {outcome.bug.id}: {outcome.noticed or 'NOT NOTICED'}", flush=True)
    print(f"\n{table([outcomes[bug] for bug in chosen])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
