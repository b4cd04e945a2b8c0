"""More than one machine, on engines that exist: joblib, Dask, Ray, MPI and NCCL; and TCP where there is no MPI.

``predict`` takes what these engines hold data in, and ``fit`` trains one network in several processes. A row's answer
and the trained weights have the same bits for any number of workers.
"""

from .. import _public
from ._communicator import Communicator
from ._engines import ray_communicator, run_on_dask
from ._fit import fit
from ._nccl import Nccl
from ._predict import predict
from ._tcp import Tcp

__all__ = ["Communicator", "Nccl", "Tcp", "fit", "predict", "ray_communicator", "run_on_dask"]

_public.publish(__name__, globals(), __all__)
