"""``python -m fnnfast bench``: performance beside peers and limits."""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .. import _cpu
from .._bench import compare, contention, peers, problems, report, scaling, timing
from ..training import _progress
from . import machine


def run(options: argparse.Namespace) -> int:
    try:
        if options.compare:
            return _compare(*options.compare)
        if sys.platform == "win32":
            raise ValueError("it runs on Linux and macOS: Windows does not tell when a contender answers")
        work = _work(options)
        contenders = _contenders(options.peers, options.compile)
        _check_outputs(options)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    counts = options.threads or [_cpu.get_num_threads()]
    rounds = options.rounds or (1 if options.busy else 10)
    settings = [timing.Settings(threads=count, rounds=rounds) for count in counts]
    facts = machine.describe()
    facts["threads"] = counts if len(counts) > 1 else counts[0]
    say = sys.stderr if options.json == "-" else sys.stdout
    print(
        f"fnnfast {facts['fnnfast']} ({facts['isa']}), {facts['cpu']}, {facts['processors']} processors, "
        f"numpy {facts['numpy']}, python {facts['python']}, load {facts['load_1min']:.2f}\n",
        file=say,
        flush=True,
    )
    if facts["load_1min"] > 0.3 * facts["processors"]:
        print("warning: the machine is busy with other things; ratios from now are not to be kept\n", file=sys.stderr)
    measured: list[Any] = []
    measure: Any = contention.measure if options.busy else partial(timing.measure, caches=_cpu.cache_sizes())
    words: Any = contention if options.busy else scaling if len(counts) > 1 else report
    interrupted = False
    try:
        for problem, setting in itertools.product(work, settings):
            measured.append(measure(problem, contenders, setting, note=_note))
    except KeyboardInterrupt:
        interrupted = True
        print("\nstopped: what follows is what was measured until then", file=sys.stderr)
    _note("")
    print(words.table(measured, settings[0], options.goals), file=say)
    record = words.record(measured, settings[0], facts)
    if options.plot:
        from .._bench import plot

        plot.save(record, options.plot)
    if options.markdown:
        Path(options.markdown).write_text(report.markdown(record, options.goals), encoding="utf-8")
    if options.json:
        text = json.dumps(record, indent=1) + "\n"
        if options.json == "-":
            sys.stdout.write(text)
        else:
            Path(options.json).write_text(text, encoding="utf-8")
    if interrupted:
        return 130  # as a shell tells of a command that Ctrl-C ended
    ours = [outcome for m in measured for outcome in m.outcomes if outcome.name == peers.Fnnfast.name]
    return int(any(outcome.excluded for outcome in ours))


def _work(options: argparse.Namespace) -> list[problems.Problem]:
    """The problems asked for, or the one that the widths describe; ValueError for what is none."""
    own = ("batch", "activation", "dtype", "train", "loss")
    if options.widths is None:
        for name in own:
            if getattr(options, name):
                raise ValueError(f"--{name} needs a network, such as: bench 784-512-10 --{name} ...")
        default = contention.PROBLEMS if options.busy else None
        return list(problems.select(default if options.only is None else options.only))
    if options.only is not None:
        raise ValueError("expected a network or --only, got both")
    if options.loss and not options.train:
        raise ValueError("--loss needs --train")
    if not re.fullmatch("[0-9]+(-[0-9]+)+", options.widths):
        raise ValueError(f"expected widths such as 784-512-10, got {options.widths!r}")
    widths = [int(width) for width in options.widths.split("-")]
    given = {"precision": options.dtype, "trains": options.train, "loss": options.loss}
    given = {name: value for name, value in given.items() if value}
    return [problems.custom(widths, options.batch or 1, options.activation or "relu", **given)]


def _check_outputs(options: argparse.Namespace) -> None:
    """Say before the measuring, not after, what cannot be written."""
    several = options.threads is not None and len(options.threads) > 1
    if options.busy and several:
        raise ValueError("--busy is measured with one number of threads")
    if several and options.goals:
        raise ValueError("--goals are for one number of threads")
    if (options.busy or several) and (options.plot or options.markdown):
        name = "--busy" if options.busy else "--threads with several numbers"
        raise ValueError(f"{name} has a table and --json, no --plot and no --markdown")
    if options.plot and find_spec("matplotlib") is None:
        raise ValueError("--plot needs: pip install matplotlib")
    for file in filter(None, (options.json, options.plot, options.markdown)):
        if file != "-" and not Path(file).parent.is_dir():
            raise ValueError(f"no folder {str(Path(file).parent)!r}")


def _compare(*files: str) -> int:
    """Print two records beside each other."""
    first, second = map(compare.load, files)
    table = compare.table(first, second)
    if not table:
        raise ValueError("no contender and problem with the same number of threads is in both files")
    print(f"first: {files[0]}\nsecond: {files[1]}\n\n{table}")
    different = list(compare.differences(first, second))
    if different:
        print("\nThe records are not of the same machine, threads or versions:", *different, sep="\n  ")
    return 0


def _contenders(names: str | None, compiled: bool) -> list[peers.Peer]:
    """fnnfast and the peers named, or all that are installed; ValueError for a name that cannot run."""
    if names is None:
        wanted = [peer for peer in peers.all_peers() if peer.version() is not None and not peer.opt_in]
    else:
        asked = [peers.get(name.strip()) for name in names.split(",") if name.strip()]
        wanted = [peers.Fnnfast(), *(peer for peer in asked if not isinstance(peer, peers.Fnnfast))]
    if compiled and all(peer.name != "torch.compile" for peer in wanted):
        wanted.append(peers.get("torch.compile"))
    for peer in wanted:
        if peer.version() is None:
            raise ValueError(f"{peer.name} needs: pip install {' '.join(peer.requires)}")
    return wanted


def _note(text: str) -> None:
    """A line that the next one overwrites, for whoever watches a terminal."""
    if _progress.is_watched():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
