"""The fused kernels as functions: NumPy in, NumPy out; CuPy in, CuPy out, on CuPy's current stream.

All functions accept arrays of any stride, alignment and byte order. float32 and float64 are kept; mixed, they are
promoted to float64, as NumPy does. Integers and other floats are converted once, bfloat16 of ml_dtypes to float32.

On a GPU, float16 and bfloat16 are kept as well if all floats have this dtype. Sums are in float32, and a bias in
float32 is added to them without a conversion. Mixed with other floats they are promoted to the larger dtype, or both to
float32. Arrays of other libraries on a GPU are read through DLPack or ``__cuda_array_interface__``; lists of numbers
are copied to the GPU. No function waits for the GPU, so a call can be captured in a CUDA graph after a first call
outside of it.
"""

from .. import _public
from ._convolution import (
    conv2d,
    conv2d_backward,
    conv2d_forward,
    maxout_conv2d,
    maxout_conv2d_backward,
    maxout_conv2d_forward,
)
from ._dense import dense, dense_backward, dense_forward
from ._maxout import MAX_SAVED_PIECES, maxout, maxout_backward, maxout_forward
from ._operands import Grads

__all__ = [
    "MAX_SAVED_PIECES",
    "Grads",
    "conv2d",
    "conv2d_backward",
    "conv2d_forward",
    "dense",
    "dense_backward",
    "dense_forward",
    "maxout",
    "maxout_backward",
    "maxout_conv2d",
    "maxout_conv2d_backward",
    "maxout_conv2d_forward",
    "maxout_forward",
]

_public.publish(__name__, globals(), __all__)
