"""What is not read of PyTorch's modules: refused with its place and what to do. Files are not trusted."""

import os
import pickle
import sys

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.interop import ConversionError

pytest.importorskip("torch")

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from torch_models import Traced

linear = nn.Linear


@torch.fx.wrap
def relu(x):
    return -torch.relu(-x)


def refused(module, text, shape=4, error=ConversionError):
    with pytest.raises(error, match=text) as caught:
        fnn.from_torch(module, shape)
    return str(caught.value)


# Modules -------------------------------------------------------------------------------------------------------------
NOT_SUPPORTED = {
    "LayerNorm": lambda: nn.LayerNorm(4),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "RMSNorm": lambda: nn.RMSNorm(4),
    "Hardshrink": lambda: nn.Hardshrink(),
    "Tanhshrink": lambda: nn.Tanhshrink(),
    "Softshrink": lambda: nn.Softshrink(),
    "GLU": lambda: nn.GLU(),
}


@pytest.mark.parametrize("name", NOT_SUPPORTED)
def test_modules_by_name_and_path(name):
    encoder = nn.Sequential(linear(4, 4), nn.ReLU(), linear(4, 4), NOT_SUPPORTED[name]())
    module = nn.Sequential()
    module.add_module("encoder", encoder)
    message = refused(module, rf"module 'encoder.3' \({name}\): a module that is not supported; supported: Linear, ")
    assert len(message) < 400


@pytest.mark.parametrize(
    ("module", "shape", "name"),
    [
        (nn.ConvTranspose2d(1, 2, 3), (1, 8, 8), "ConvTranspose2d"),
        (nn.Conv1d(1, 2, 3), (1, 8), "Conv1d"),
        (nn.MaxPool1d(2), (1, 8), "MaxPool1d"),
        (nn.LSTM(4, 3), (5, 4), "LSTM"),
        (nn.GRU(4, 3), (5, 4), "GRU"),
        (nn.TransformerEncoderLayer(4, 2, 8), (5, 4), "TransformerEncoderLayer"),
        (nn.BatchNorm3d(3), (3, 4, 4, 4), "BatchNorm3d"),
    ],
)
def test_images_and_sequences(module, shape, name):
    refused(nn.Sequential(module), rf"module '0' \({name}\): a module that is not supported", shape)


def test_settings_of_modules():
    refused(
        nn.Sequential(linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False)), r"module '1' .*track_running_stats"
    )
    refused(nn.Sequential(linear(4, 4), nn.Hardtanh(-2, 2)), r"module '1' \(Hardtanh\): limits that no activation has")
    refused(nn.Sequential(linear(4, 4), nn.LeakyReLU(-0.1)), r"module '1' \(LeakyReLU\): a negative alpha")
    refused(nn.Sequential(linear(4, 4), nn.Softplus(threshold=3)), r"threshold=3.*at least 16")
    refused(nn.Sequential(linear(4, 4), nn.Softmax(dim=0)), r"module '1' \(Softmax\): dim=0; supported: dim=-1")
    refused(nn.Sequential(linear(4, 4), nn.LogSoftmax(dim=1)), r"LogSoftmax.*net.distribution\(x\)")
    refused(nn.Sequential(linear(4, 4), nn.Softmax(1), linear(4, 2)), r"softmax before the end")
    refused(nn.Sequential(linear(4, 4), nn.Threshold(1, 0)), r"threshold=1, value=0; supported: 0 and 0, which is relu")
    refused(nn.Sequential(nn.Flatten(0)), r"start_dim=0", (1,))
    refused(nn.Sequential(nn.Unflatten(1, (2, 2))), r"the output: rows of shape \(2, 2\).*flatten the rows at the end")
    refused(nn.Sequential(linear(4, 4), nn.ELU(0)), r"ELU")
    refused(nn.Sequential(linear(4, 4), nn.Unflatten(1, (2, 2)), linear(2, 3), nn.Flatten()), r"rows of shape \(2, 2\)")


def test_modules_without_values():
    refused(nn.Sequential(linear(4, 4), nn.LazyLinear(3)), r"module '1' \(LazyLinear\): parameters without values")
    refused(nn.Linear(4, 2, device="meta"), "parameters without values")
    refused(nn.Linear(4, 2, dtype=torch.complex64), r"the module \(Linear\): complex numbers")


def test_hooks():
    def double(module, args, output):
        return 2 * output

    module = nn.Sequential(linear(4, 4), nn.ReLU())
    handle = module[1].register_forward_hook(double)
    refused(module, r"module '1' \(ReLU\): a forward hook .*double.*remove the hook")
    handle.remove()
    module[0].register_forward_pre_hook(lambda module, args: None)
    refused(module, r"module '0' \(Linear\): a forward pre-hook")


def test_other_inputs_than_one_tensor():
    refused(nn.MultiheadAttention(4, 1), r"the module \(MultiheadAttention\): it does not run on a tensor .*missing 2")
    refused(nn.ModuleList([linear(4, 4)]), r"the module \(ModuleList\): it does not run on a tensor .*forward")
    refused(nn.Embedding(5, 4), r"input_shape: .*indices", error=ValueError)
    refused(nn.Sequential(), "the model: its output is its input")


def test_what_cannot_be_copied():
    module = linear(4, 4)
    module.source = (row for row in ())
    refused(module, r"the module: copy.deepcopy does not copy it \(TypeError: cannot pickle 'generator'")


# Forwards ------------------------------------------------------------------------------------------------------------
FORWARDS = {
    "branch on values": (lambda m, x: x if x.sum() > 0 else -x, r"the module \(Traced\): torch.fx cannot trace it"),
    "branch on the number of rows": (lambda m, x: m.a(x) if x.size(0) > 1 else x, "how many rows .*make an nn.Sequen"),
    "loop over rows": (lambda m, x: torch.stack([m.a(row) for row in x]), "torch.fx cannot trace it"),
    "NumPy": (lambda m, x: torch.from_numpy(np.exp(x.numpy())), "cannot trace it|numpy in the module"),
    "product": (lambda m, x: m.a(x) * x, r"mul in the module \(Traced\): a product of two values"),
    "division": (lambda m, x: m.a(x) / x, "a division by a value"),
    "product of values": (lambda m, x: m.a(x) @ x.T, "getattr.*'T'|attribute 'T'"),
    "sum over rows": (
        lambda m, x: m.a(x) - x.mean(0),
        r"mean in the module .*: a mean over the axes 0; supported: one over the height and the width of images",
    ),
    "function": (lambda m, x: torch.cumsum(m.a(x), 1), "cumsum in the module .*: a function that is not supported"),
    "norm": (lambda m, x: F.normalize(m.a(x)), "normalize|norm in the module"),
    "layer norm": (lambda m, x: F.layer_norm(x, (4,)), "layer_norm in the module"),
    "sign": (lambda m, x: torch.sign(m.a(x)), "Sign of 0 is 0"),
    "limits": (lambda m, x: m.a(x).clamp(0, 1), None),
    "other limits": (lambda m, x: m.a(x).clamp(0, 2), "clamp in the module .*limits that no activation has"),
    "tensor limits": (lambda m, x: m.a(x).clamp(torch.zeros(4)), "limits that are tensors"),
    "parts": (lambda m, x: m.a(x)[:, :2], r"getitem in the module .*: parts of a value .*; supported: whole rows"),
    "chunk": (lambda m, x: m.a(x).chunk(2, 1)[0], "chunk in the module"),
    "setitem": (lambda m, x: F.relu(m.a(x)).index_fill_(1, torch.tensor([0]), 0), "index_fill_ in the module"),
    "minimum over an axis": (lambda m, x: m.a(x).min(1).values, "min in the module .*: a minimum over an axis"),
    "argmax": (lambda m, x: m.a(x).argmax(1), "argmax in the module"),
    "places of a maximum": (lambda m, x: m.a(x).view(-1, 2, 2).max(1)[1], "parts of a value"),
    "maximum over all": (lambda m, x: m.a(x).max(), "a maximum over"),
    "maximum of activations": (lambda m, x: torch.max(torch.tanh(m.a(x)), x), "a maximum of what are not dense layers"),
    "concatenation": (lambda m, x: torch.cat([m.a(x), x], 0), r"cat in the module .*: dim=0"),
    "rows in a view": (lambda m, x: m.a(x.view(2, -1)), r"rows of shape \(4,\) as \(2, -1\)"),
    "all in a view": (lambda m, x: m.a(x.view(-1, 2).repeat(1, 2)), r"rows of shape \(4,\) as \(-1, 2\)"),
    "rows in arithmetic": (lambda m, x: m.a(x) / x.size(0), r"truediv in the module .*B as a number"),
    "number of rows": (lambda m, x: m.a(x).view(x.size(0) * 2, 2).view(-1, 4), "arithmetic with the number of rows"),
    "transposed": (lambda m, x: (m.a.weight @ x.t()).t(), "t in the module"),
    "product over rows": (lambda m, x: torch.ones(2, 2) @ m.a(x), "a product over the rows"),
    "statistics": (lambda m, x: F.batch_norm(x, None, None, training=True), "statistics of the batch"),
    "dropout": (lambda m, x: F.dropout(m.a(x)), r"dropout in the module .*training=True.*training=self.training"),
    "half": (lambda m, x: m.a(x).half().float(), "half in the module"),
    "to half": (lambda m, x: m.a(x).to(torch.bfloat16).float(), "a conversion to torch.bfloat16"),
    "softmax in half": (lambda m, x: F.softmax(m.a(x), 1, dtype=torch.float16), "a conversion to torch.float16"),
    "squeezed": (lambda m, x: m.one(x).squeeze(-1), "the output: rows of shape .*leave out the squeeze"),
    "two outputs": (lambda m, x: (m.a(x), x), "the output: a tuple; supported: one tensor"),
    "a dict": (lambda m, x: {"y": m.a(x)}, "the output: a dict"),
    "a constant": (lambda m, x: m.a.bias, "the output: a "),
    "broadcast": (lambda m, x: m.one(x) + m.a(x), r"add in the module .*rows of shapes \(1,\) and \(4,\)"),
    "constants for rows": (lambda m, x: m.a(x) + torch.ones(2, 4), r"a constant of shape \(2, 4\) beside rows"),
    "rounding": (lambda m, x: torch.div(m.a(x), 2, rounding_mode="floor"), "rounding_mode='floor'"),
    "out": (lambda m, x: torch.exp(m.a(x), out=x), "exp in the module .*arguments that are not supported"),
    "an integer power": (lambda m, x: m.a(x) ** 3, "pow in the module .*no activation"),
    "overlapping blocks": (lambda m, x: (m.a(x) + m.b(x)) + torch.relu(m.a(x)), None),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_forwards(name):
    form, text = FORWARDS[name]
    module = Traced(form, a=linear(4, 4), b=linear(4, 4), one=linear(4, 1))
    if text is None:
        fnn.from_torch(module, 4)
    else:
        refused(module, text, error=ValueError)


def test_the_place_of_a_function():
    block = Traced(lambda m, x: torch.cumsum(m.a(x), 1), a=linear(4, 4))
    refused(nn.Sequential(linear(4, 4), nn.Sequential(block)), r"cumsum in module '1.0' \(Traced\)")
    refused(nn.Sequential(block, block), r"cumsum in module '0' \(Traced\)")


def test_a_function_of_the_same_name():
    module = Traced(lambda m, x: relu(m.a(x)), a=linear(4, 4))
    refused(module, "relu in the module .*: a function that is not supported")


# What is no module ---------------------------------------------------------------------------------------------------
def test_a_state_dict():
    state = nn.Sequential(linear(4, 2), nn.ReLU()).state_dict()
    for given in (state, dict(state), {}):
        message = refused(given, "module: expected a torch.nn.Module, got a state dict of", error=TypeError)
        assert "load_state_dict(state)" in message


def test_other_objects():
    refused(None, "module: expected a torch.nn.Module, got NoneType", error=TypeError)
    refused(nn.ReLU, r"got the class ReLU; write ReLU\(\.\.\.\)", error=TypeError)
    refused(torch.zeros(3), "got Tensor", error=TypeError)
    refused([linear(3, 3)], "got list", error=TypeError)
    refused(lambda x: x, "got function", error=TypeError)


@pytest.mark.filterwarnings("ignore")
def test_compiled_forms():
    module = nn.Sequential(linear(4, 2), nn.ReLU())
    for compiled in (torch.jit.trace(module, torch.ones(1, 4)), torch.jit.script(module)):
        refused(compiled, "a TorchScript module; supported: a torch.nn.Module; pass the module it was made of")
    exported = torch.export.export(module, (torch.ones(2, 4),))
    refused(exported, "a torch.export.ExportedProgram; supported: a torch.nn.Module")


# Files ---------------------------------------------------------------------------------------------------------------
class Hostile:
    """Runs a command where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def files_of(folder):
    state = nn.Sequential(linear(4, 2)).state_dict()
    torch.save(state, folder / "state.pt")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    torch.save(nn.Sequential(linear(4, 2)), folder / "module.pt")
    torch.save([1, 2], folder / "list.pt")
    return state


def test_a_file_of_a_state_dict(tmp_path):
    files_of(tmp_path)
    for name in ("state.pt", "old.pth"):
        message = refused(
            tmp_path / name, "it contains a state dict of 2 entries, which has neither the order of layers"
        )
        assert "load_state_dict(state)" in message
    refused(str(tmp_path / "list.pt"), "it contains list")


def test_a_file_of_a_module_is_not_unpickled(tmp_path):
    files_of(tmp_path)
    refused(tmp_path / "module.pt", r"torch.load\(weights_only=True\) does not read it .*that can run code")


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle", "nested"])
def test_hostile_files_run_nothing(tmp_path, form):
    ran, file = tmp_path / "ran", tmp_path / "hostile.pt"
    hostile = Hostile(ran)
    if form == "pickle":
        file.write_bytes(pickle.dumps(hostile))
    elif form == "nested":
        torch.save({"0.weight": torch.zeros(2, 4), "0.bias": hostile}, file)
    else:
        torch.save(hostile, file, _use_new_zipfile_serialization=form == "zip")
    refused(file, "does not read it")
    assert not ran.exists()
    with open(file, "rb") as stream:  # that the file is what it is meant to be
        torch.load(stream, weights_only=False) if form != "pickle" else pickle.load(stream)
    assert ran.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"garbage", bytes(1000), b"\x80\x05K\x01."])
def test_files_of_anything(tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)
    refused(tmp_path / "x.pt", "file .*x.pt'")


def test_a_file_that_is_not_there(tmp_path):
    refused(tmp_path / "no.pt", "No such file", error=FileNotFoundError)
    refused(tmp_path, "directory|denied", error=OSError)


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for call in (lambda: fnn.from_torch(None), lambda: fnn.to_torch(None)):
        with pytest.raises(ModuleNotFoundError, match=r"need the package torch, see pytorch\.org"):
            call()
