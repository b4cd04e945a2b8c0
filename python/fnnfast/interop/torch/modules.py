"""The modules of ``fnnfast.to_torch`` that PyTorch itself does not have; importing this needs PyTorch."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Exponential", "GaussianNoise", "LearnedELU", "Maxout", "Residual", "Sign", "Step", "Swish"]


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
        self.shortcut = nn.Identity() if shortcut is None else shortcut
        self.activation = nn.Identity() if activation is None else activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.main(x) + self.shortcut(x))


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
    """ELU with a learned alpha for each neuron, y_j = z_j if z_j > 0 else alpha_j (exp(z_j) - 1).

    Parameters
    ----------
    units : int
        O, the number of neurons.
    device : torch.device, optional
        Where the parameters are.
    """

    _settings = ("units",)

    def __init__(self, units: int, device: torch.device | str | None = None) -> None:
        super().__init__()
        self.units = units
        self.alpha = nn.Parameter(torch.ones(units, device=device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(min=0) + self.alpha * torch.expm1(x.clamp(max=0))


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
