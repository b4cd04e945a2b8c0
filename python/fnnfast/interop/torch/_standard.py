"""The modules of PyTorch as calls of the functions that they stand for."""

from __future__ import annotations

from torch import nn

from . import modules

MODULES: dict[type[nn.Module], tuple[str, str]] = {
    nn.Linear: ("linear", "weight bias"),
    nn.modules.linear.NonDynamicallyQuantizableLinear: ("linear", "weight bias"),
    nn.Identity: ("identity", ""),
    nn.Dropout: ("dropout", "p training"),
    nn.Dropout1d: ("dropout1d", "p training"),
    nn.AlphaDropout: ("alpha_dropout", "p training"),
    nn.FeatureAlphaDropout: ("feature_alpha_dropout", "p training"),
    nn.BatchNorm1d: ("batch_norm", "running_mean running_var weight bias training eps"),
    nn.SyncBatchNorm: ("batch_norm", "running_mean running_var weight bias training eps"),
    nn.Conv2d: ("conv2d", "weight bias stride padding dilation groups padding_mode"),
    nn.MaxPool2d: ("max_pool2d", "kernel_size stride padding dilation ceil_mode return_indices"),
    nn.AvgPool2d: ("avg_pool2d", "kernel_size stride padding ceil_mode count_include_pad divisor_override"),
    nn.AdaptiveAvgPool2d: ("adaptive_avg_pool2d", "output_size"),
    nn.AdaptiveMaxPool2d: ("adaptive_max_pool2d", "output_size return_indices"),
    nn.LocalResponseNorm: ("local_response_norm", "size alpha beta k"),
    nn.ZeroPad2d: ("zero_pad2d", "padding"),
    nn.BatchNorm2d: ("batch_norm", "running_mean running_var weight bias training eps"),
    nn.Dropout2d: ("dropout2d", "p training"),
    nn.Flatten: ("flatten", "start_dim end_dim"),
    nn.Unflatten: ("unflatten", "dim unflattened_size"),
    nn.ReLU: ("relu", "inplace"),
    nn.ReLU6: ("relu6", "inplace"),
    nn.LeakyReLU: ("leaky_relu", "negative_slope inplace"),
    nn.RReLU: ("rrelu", "lower upper training inplace"),
    nn.PReLU: ("prelu", "weight"),
    nn.ELU: ("elu", "alpha inplace"),
    nn.CELU: ("celu", "alpha inplace"),
    nn.SELU: ("selu", "inplace"),
    nn.GELU: ("gelu", "approximate"),
    nn.SiLU: ("silu", "inplace"),
    nn.Mish: ("mish", "inplace"),
    nn.Hardswish: ("hardswish", "inplace"),
    nn.Hardsigmoid: ("hardsigmoid", "inplace"),
    nn.Hardtanh: ("hardtanh", "min_val max_val inplace"),
    nn.Threshold: ("threshold", "threshold value inplace"),
    nn.Sigmoid: ("sigmoid", ""),
    nn.LogSigmoid: ("logsigmoid", ""),
    nn.Tanh: ("tanh", ""),
    nn.Softplus: ("softplus", "beta threshold"),
    nn.Softsign: ("softsign", ""),
    nn.Softmax: ("softmax", "dim"),
    nn.Softmin: ("softmin", "dim"),
    nn.LogSoftmax: ("log_softmax", "dim"),
    modules.Maxout: ("maxout", "weight bias"),
    modules.MaxoutConv2d: ("maxout_conv2d", "weight bias stride padding dilation"),
    modules.AveragePool2d: ("average_pool2d", "kernel_size stride padding count_include_pad"),
    modules.LearnedELU: ("learned_elu", "alpha"),
    modules.GaussianNoise: ("gaussian_noise", "stddev"),
}
"""By class: the function, and those attributes of the module that are its arguments."""
