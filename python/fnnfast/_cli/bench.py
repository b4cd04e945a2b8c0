"""``python -m fnnfast bench``: performance beside peers and limits."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .. import _cpu
from .._bench import contention, peers, problems, report, timing
from ..training import _progress
from . import machine


def run(options: argparse.Namespace) -> int:
    try:
        default = contention.PROBLEMS if options.busy else None
        work = list(problems.select(default if options.only is None else options.only))
        contenders = _contenders(options.peers, options.compile)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if options.busy and (options.plot or options.markdown):
        print("bench: --busy has a table and --json, no --plot and no --markdown", file=sys.stderr)
        return 2
    if options.plot and find_spec("matplotlib") is None:  # said before the measuring, not after
        print("bench: --plot needs: pip install matplotlib", file=sys.stderr)
        return 2
    for file in filter(None, (options.json, options.plot, options.markdown)):
        if file != "-" and not Path(file).parent.is_dir():
            print(f"bench: no folder {str(Path(file).parent)!r}", file=sys.stderr)
            return 2
    rounds = options.rounds or (1 if options.busy else 10)
    settings = timing.Settings(threads=options.threads or _cpu.get_num_threads(), rounds=rounds)
    facts = machine.describe()
    facts["threads"] = settings.threads
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
    words: Any = contention if options.busy else report
    interrupted = False
    try:
        for problem in work:
            measured.append(measure(problem, contenders, settings, note=_note))  # noqa: PERF401
    except KeyboardInterrupt:
        interrupted = True
        print("\nstopped: what follows is what was measured until then", file=sys.stderr)
    _note("")
    print(words.table(measured, settings), file=say)
    record = words.record(measured, settings, facts)
    if options.plot:
        from .._bench import plot

        plot.save(record, options.plot)
    if options.markdown:
        Path(options.markdown).write_text(report.markdown(record))
    if options.json:
        text = json.dumps(record, indent=1) + "\n"
        if options.json == "-":
            sys.stdout.write(text)
        else:
            Path(options.json).write_text(text)
    if interrupted:
        return 130  # as a shell tells of a command that Ctrl-C ended
    ours = [outcome for m in measured for outcome in m.outcomes if outcome.name == peers.Fnnfast.name]
    return int(any(outcome.excluded for outcome in ours))


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
