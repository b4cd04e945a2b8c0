"""The modules of ``fnnfast.to_torch`` that PyTorch itself does not have; importing this needs PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

__all__ = [
    "AveragePool2d",
    "ChannelsFirst",
    "ChannelsLast",
    "Exponential",
    "GaussianNoise",
    "LearnedELU",
    "Maxout",
    "MaxoutConv2d",
    "Parallel",
    "PixelwiseLinear",
    "Residual",
    "Sign",
    "Step",
    "Swish",
]


class _Module(nn.Module):  # type: ignore[misc]
    """A module that shows its settings."""

    _settings: tuple[str, ...] = ()

    def __init__(self) -> None:  # by default without any
        super().__init__()

    def extra_repr(self) -> str:
        """Return the settings, for the representation of the module.

        Returns
        -------
        str
            Names and values.
        """
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._settings)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs.

        Parameters
        ----------
        x : Tensor of shape (B, I)
            Rows of inputs.

        Returns
        -------
        Tensor of shape (B, O)
            Rows of outputs.
        """
        raise NotImplementedError


class Maxout(_Module):
    """Maxout layer, ``max over p of x @ weight[p] + bias[p]``.

    Parameters
    ----------
    inputs : int
        I, the width of the input.
    units : int
        O, the number of neurons.
    pieces : int
        P, the number of linear pieces per neuron.
    bias : bool
        Whether each piece has a bias.
    device : torch.device, optional
        Where the parameters are.

    Notes
    -----
    ``weight`` has the shape (P, I, O) and ``bias`` the shape (P, O), as in fnnfast.
    """

    _settings = ("inputs", "units", "pieces")
    inputs: int
    units: int
    pieces: int
    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self, inputs: int, units: int, pieces: int, bias: bool = True, device: torch.device | str | None = None
    ) -> None:
        super().__init__()
        self.inputs, self.units, self.pieces = inputs, units, pieces
        self.weight = nn.Parameter(torch.randn(pieces, inputs, units, device=device) / inputs**0.5)
        self.register_parameter("bias", nn.Parameter(torch.zeros(pieces, units, device=device)) if bias else None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pieces = torch.matmul(x, self.weight)
        return (pieces if self.bias is None else pieces + self.bias[:, None]).max(dim=0).values


class Residual(_Module):
    """Residual block, ``activation(main(x) + shortcut(x))``.

    Parameters
    ----------
    main : torch.nn.Module
        The layers of the block.
    shortcut : torch.nn.Module, optional
        What x passes through before the addition. By default it is added as it is.
    activation : torch.nn.Module, optional
        The activation of the sum. By default there is none.
    """

    def __init__(self, main: nn.Module, shortcut: nn.Module | None = None, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.main = main
        self.shortcut: nn.Module = nn.Identity() if shortcut is None else shortcut
        self.activation: nn.Module = nn.Identity() if activation is None else activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.main(x) + self.shortcut(x))


class Parallel(_Module):
    """Branches on one input, joined along the channels.

    Parameters
    ----------
    branches : sequence of torch.nn.Module
        The branches.
    """

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        for number, branch in enumerate(branches, start=1):
            self.add_module(f"branch_{number}", branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.children()], 1)


# Images --------------------------------------------------------------------------------------------------------------
class ChannelsFirst(_Module):
    """Images (B, H, W, C) as PyTorch has them, (B, C, H, W)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 3, 1, 2)


class ChannelsLast(_Module):
    """Images (B, C, H, W) in the order of fnnfast, (B, H, W, C)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1)


class MaxoutConv2d(_Module):
    """Maxout convolution, the maximum over convolutions.

    Parameters
    ----------
    inputs : int
        I, the number of channels of the input.
    filters : int
        O, the number of channels of the output.
    kernel_size : (int, int)
        KH and KW, height and width of a window.
    pieces : int
        P, the number of convolutions.
    stride, padding, dilation : (int, int)
        As for ``torch.nn.Conv2d``.
    bias : bool
        Whether each piece has a bias.
    device : torch.device, optional
        Where the parameters are.

    Notes
    -----
    ``weight`` has the shape (P, O, I, KH, KW) and ``bias`` the shape (P, O).
    """

    _settings = ("inputs", "filters", "kernel_size", "pieces", "stride", "padding", "dilation")
    inputs: int
    filters: int
    kernel_size: tuple[int, int]
    pieces: int
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        inputs: int,
        filters: int,
        kernel_size: tuple[int, int],
        pieces: int,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        bias: bool = True,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.inputs, self.filters, self.kernel_size, self.pieces = inputs, filters, kernel_size, pieces
        self.stride, self.padding, self.dilation = stride, padding, dilation
        scale = (inputs * kernel_size[0] * kernel_size[1]) ** -0.5
        self.weight = nn.Parameter(torch.randn(pieces, filters, inputs, *kernel_size, device=device) * scale)
        self.register_parameter("bias", nn.Parameter(torch.zeros(pieces, filters, device=device)) if bias else None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        settings = self.stride, self.padding, self.dilation
        biases = [None] * self.pieces if self.bias is None else self.bias
        pieces = (functional.conv2d(x, self.weight[piece], biases[piece], *settings) for piece in range(self.pieces))
        return torch.stack(list(pieces)).amax(dim=0)


class PixelwiseLinear(_Module):
    """Linear layer over each pixel of images (B, I, H, W).

    Parameters
    ----------
    inputs : int
        I, the number of channels of the input.
    units : int
        O, the number of channels of the output.
    device : torch.device, optional
        Where the parameters are.

    Notes
    -----
    ``weight`` has the shape (O, I), as that of ``torch.nn.Linear``.
    """

    _settings = ("inputs", "units")
    inputs: int
    units: int
    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, inputs: int, units: int, device: torch.device | str | None = None) -> None:
        super().__init__()
        self.inputs, self.units = inputs, units
        self.weight = nn.Parameter(torch.randn(units, inputs, device=device) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(units, device=device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self.weight[:, :, None, None], self.bias)


class AveragePool2d(_Module):
    """Mean over each window, with any padding.

    Parameters
    ----------
    kernel_size : (int, int)
        Height and width of a window.
    stride : (int, int)
        Pixels from one window to the next.
    padding : (int, int, int, int)
        Pixels to the left, to the right, above and below.
    count_include_pad : bool
        Whether pixels in the padding count, as zeros.
    """

    _settings = ("kernel_size", "stride", "padding", "count_include_pad")
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]

    def __init__(
        self,
        kernel_size: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int, int, int],
        count_include_pad: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.count_include_pad = count_include_pad

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = functional.avg_pool2d(functional.pad(x, self.padding), self.kernel_size, self.stride)
        if self.count_include_pad:
            return means
        ones = functional.pad(torch.ones_like(x[:1, :1]), self.padding)
        return means / functional.avg_pool2d(ones, self.kernel_size, self.stride)


class GaussianNoise(_Module):
    """Gaussian noise: in training, add normally distributed random numbers with mean 0; else do nothing.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise.
    """

    _settings = ("stddev",)

    def __init__(self, stddev: float) -> None:
        super().__init__()
        self.stddev = stddev

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.stddev * torch.randn_like(x) if self.training else x


# Activations ---------------------------------------------------------------------------------------------------------
class LearnedELU(_Module):
    """ELU with a learned alpha for each neuron or channel, y_j = z_j if z_j > 0 else alpha_j (exp(z_j) - 1).

    Parameters
    ----------
    units : int
        O, the number of neurons.
    device : torch.device, optional
        Where the parameters are.
    """

    _settings = ("units",)
    alpha: nn.Parameter

    def __init__(self, units: int, device: torch.device | str | None = None) -> None:
        super().__init__()
        self.units = units
        self.alpha = nn.Parameter(torch.ones(units, device=device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        alpha = self.alpha.reshape(-1, *[1] * (x.ndim - 2))
        return x.clamp(min=0) + alpha * torch.expm1(x.clamp(max=0))


class Swish(_Module):
    """Swish, y = z sigmoid(beta z).

    Parameters
    ----------
    beta : float
        Factor of z in the sigmoid.
    """

    _settings = ("beta",)

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.beta * x)


class Exponential(_Module):
    """Exponential function, y = exp z."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(x)


class Step(_Module):
    """Unit step, y = 1 if z >= 0 else 0; it has no gradient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x >= 0).to(x.dtype)


class Sign(_Module):
    """Symmetric hard limit, y = 1 if z >= 0 else -1; it has no gradient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * (x >= 0).to(x.dtype) - 1
