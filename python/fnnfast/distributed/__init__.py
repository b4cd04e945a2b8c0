"""More than one machine, on engines that exist: joblib, Dask, Ray, MPI and NCCL.

``predict`` takes what these engines hold data in, and ``fit`` trains one network in several processes. A row's answer
and the trained weights have the same bits for any number of workers.
"""

from .. import _public
from ._communicator import Communicator
from ._fit import fit
from ._nccl import Nccl
from ._predict import predict

__all__ = ["Communicator", "Nccl", "fit", "predict"]

_public.publish(__name__, globals(), __all__)
