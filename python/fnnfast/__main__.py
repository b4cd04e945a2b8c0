"""``python -m fnnfast info | check | bench | demo | playground | convert | certify``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line: the usage of ``bench`` would hide it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help lists what there is)\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = Parser(prog="python -m fnnfast", description="fnnfast: fused feedforward networks.")
    top.add_argument("--version", action="version", version=f"fnnfast {_version()}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    info = commands.add_parser("info", help="the machine, instruction sets, threads, GPU and what is installed")
    info.add_argument("--json", action="store_true", help="as JSON")
    commands.add_parser("check", help="the kernels against the reference implementations; status 1 if one fails")

    bench = commands.add_parser(
        "bench", help="the times beside those of installed peers, of a network or many problems"
    )
    bench.add_argument("widths", nargs="?", metavar="WIDTHS", help="a network of dense layers, such as 784-512-10")
    own = bench.add_argument_group("what is done with the network")
    own.add_argument("--batch", type=_at_least_one, metavar="ROWS", help="(default: 1)")
    own.add_argument("--activation", metavar="NAME", help="after all layers but the last (default: relu)")
    own.add_argument("--dtype", choices=("float32", "float64", "bfloat16", "int8"), help="(default: float32)")
    own.add_argument("--train", action="store_true", help="a step of training with Adam")
    own.add_argument("--loss", choices=("cross_entropy", "mse"), help="of training (default: cross_entropy)")
    bench.add_argument("--only", metavar="IDS", help="problems to run, such as I1,T2 (default: all; with --busy some)")
    bench.add_argument("--peers", metavar="NAMES", help="contenders beside fnnfast, such as numpy,torch (default: all)")
    bench.add_argument("--compile", action="store_true", help="also torch.compile, which takes long to get ready")
    bench.add_argument("--goals", action="store_true", help="also the goals, and the shares of the machine's limits")
    bench.add_argument("--busy", action="store_true", help="instead: how much slower with one core kept busy")
    bench.add_argument("--rounds", type=_at_least_one, help="turns a contender (default: 10; with --busy 1)")
    bench.add_argument(
        "--threads", type=_numbers, help="of every contender (default: fnnfast's); several, such as 1,2,4: the scaling"
    )
    bench.add_argument("--json", metavar="FILE", help="also write all figures here; - for standard output alone")
    bench.add_argument("--plot", metavar="FILE", help="also draw the times over fnnfast's (needs matplotlib)")
    bench.add_argument("--markdown", metavar="FILE", help="also write the times as a Markdown table")
    bench.add_argument(
        "--compare", nargs=2, metavar=("FIRST", "SECOND"), help="instead: two files of --json beside each other"
    )

    demo = commands.add_parser("demo", help="train, time, save and reload a network on real handwritten digits")
    demo.add_argument("--output", metavar="FOLDER", default="fnnfast-demo", help="for the model and the figure")
    demo.add_argument("--seed", type=int, default=0, help="of initial weights, order of rows and dropout (default: 0)")

    certify = commands.add_parser("certify", help="the errors of the activations over all floats")
    certify.add_argument(
        "--activation", metavar="NAMES", help="names of the registry, such as tanh,swish (default: all)"
    )
    certify.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="(default: float32)")
    certify.add_argument(
        "--sample", type=_at_least_one, metavar="N", help="about N values instead of 2^32, or 10^8 float64"
    )
    certify.add_argument("--threads", type=_at_least_one, help="(default: fnnfast's)")
    certify.add_argument("--json", metavar="FILE", help="also write a certificate here")

    playground = commands.add_parser("playground", help="a local page on which networks learn, in a browser")
    playground.add_argument("--port", type=_port, default=0, help="of the page, on 127.0.0.1 (default: a free one)")
    playground.add_argument("--no-browser", dest="browser", action="store_false", help="print the address alone")

    convert = commands.add_parser("convert", help="a model file from one of another kind, such as ONNX")
    convert.add_argument("source", metavar="SOURCE", help="a file that ends in .onnx, .keras or .safetensors")
    convert.add_argument("target", metavar="TARGET", help="a file that ends in .safetensors or .onnx; it is replaced")
    convert.add_argument("--rows", metavar="FILE", help="a .npy file of rows to compare on (default: random ones)")
    convert.add_argument("--output", metavar="NAME", help="which output of an ONNX model that has more than one")
    convert.add_argument("--opset", type=_at_least_one, default=20, help="of an ONNX target (default: 20)")
    convert.add_argument("--logits", action="store_true", help="an ONNX target without its last softmax or sigmoid")
    return top


def _version() -> str:
    try:
        return metadata.version("fnnfast")
    except metadata.PackageNotFoundError:
        return "(source tree)"


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number >= 1, got {text!r}")
    return int(text)


def _numbers(text: str) -> list[int]:
    """Each once, in their order."""
    try:
        return list(dict.fromkeys(map(_at_least_one, text.split(","))))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"expected numbers >= 1 such as 1,2,4, got {text!r}") from None


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text}")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = parser().parse_args(arguments)
    try:
        status: int = import_module(f"fnnfast._cli.{options.command}").run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # of ``| head``: say nothing, here and when Python flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as a shell tells of a command that SIGPIPE ended
    except OSError as error:
        if error.filename is None:
            raise
        print(f"{options.command}: {error}", file=sys.stderr)  # of a file that the user named
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
