"""Answers to data that engines hold in parts: arrays and tables of Dask, data sets of Ray, large NumPy arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import _checks
from .._checks import Array, message
from .._extras import needs

# About this many bytes of x are one task of joblib.
_TASK_BYTES = 1 << 24
_TASKS_EACH = 8  # for each worker, before their answers are written


def predict(
    model: Any,
    data: Any,
    method: str = "predict",
    *,
    columns: Sequence[str] | None = None,
    out: Array | None = None,
    n_jobs: int | None = None,
    **options: Any,
) -> Any:
    """Predict for data that an engine holds in parts, with the engine's workers.

    The answer for a row does not depend on the rows beside it. So the bits are those of ``model.predict(x)`` in one
    process, whatever the partitions are. A worker that dies is replaced by the engine, and its partitions are computed
    again.

    Parameters
    ----------
    model : Network, Ensemble or estimator
        What predicts: anything that can be pickled and has the method. Each worker gets one copy.
    data : dask.array.Array, dask.dataframe.DataFrame, ray.data.Dataset or numpy.ndarray
        The inputs. Rows of a Dask array may be in any chunks. A NumPy array may be a memory map that is larger than the
        memory.
    method : str
        The method of the model that is called: "predict", or for networks "logits", for estimators "predict_proba" and
        others. "outputs" calls the network itself.
    columns : sequence of str, optional
        The columns of a table or a data set that are the inputs, in their order. By default all. A column of arrays, as
        ``ray.data.from_numpy`` makes it, is the input by itself.
    out : ndarray, optional
        For a NumPy array: where the answers are written, for example a memory map.
    n_jobs : int, optional
        For a NumPy array: the number of joblib's jobs. By default that of ``joblib.parallel_config``, or else one,
        which uses the threads of this process.
    **options : optional
        For Ray, arguments of ``Dataset.map_batches``, such as ``compute``, ``num_cpus`` or ``batch_size``; by default
        one actor or two with one CPU each. An actor uses as many threads as it has CPUs.

    Returns
    -------
    dask.array.Array, dask.dataframe.Series or DataFrame, ray.data.Dataset or numpy.ndarray
        Of the engine, and lazy as it is: nothing is computed yet, except for NumPy. Dask: the answers of all rows in
        their order, in a table with the index of the data: a Series "prediction", or a column for each output. Ray: the
        data set with a column "prediction" more.

    Raises
    ------
    TypeError
        If the data is none of these, or the model has no such method.
    ValueError
        If a name is not that of a column, or the columns of an array are not as many as the model takes.
    ModuleNotFoundError
        If joblib is needed and not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> from fnnfast import distributed
    >>> net = fnn.Sequential([fnn.Input(4), fnn.Dense(3, "softmax")], seed=0)
    >>> x = np.random.default_rng(0).random((1000, 4), dtype=np.float32)
    >>> bool((distributed.predict(net, x) == net.predict(x)).all())
    True

    In chunks, by the workers of Dask:

    >>> import dask.array as da                                                      # doctest: +SKIP
    >>> classes = distributed.predict(net, da.from_array(x, chunks=(100, 4)))        # doctest: +SKIP
    >>> classes.compute()                                                            # doctest: +SKIP
    """
    answer = _answering(model, method)
    if _is(data, "dask.array", "Array"):
        result = partial(_of_dask_array, answer, data)
    elif _is(data, "dask.dataframe", "DataFrame"):
        result = partial(_of_dask_table, answer, data, columns)
    elif _is(data, "ray.data", "Dataset"):
        return _of_ray(answer, data, columns, options)
    elif isinstance(data, np.ndarray):
        result = partial(_of_numpy, answer, data, out, n_jobs)
    else:
        expected = "a dask.array.Array, a dask.dataframe.DataFrame, a ray.data.Dataset or a NumPy array"
        raise TypeError(message("data", expected, type(data).__name__))
    if options:
        raise TypeError(message("options", "none but for a data set of Ray", _checks.listed(options)))
    return result()


class _Answer:
    """A model and the method to call; it travels to the workers."""

    def __init__(self, model: Any, method: str) -> None:
        self.model, self.method = model, method

    def __call__(self, x: Any) -> Array:
        return np.asarray(self.model(x) if self.method == "outputs" else getattr(self.model, self.method)(x))


def _answering(model: Any, method: str) -> _Answer:
    known = callable(model) if method == "outputs" else callable(getattr(model, str(method), None))
    if not known or str(method).startswith("_"):
        raise TypeError(
            message("method", f"a method of {type(model).__name__}, or 'outputs' of a network", repr(method))
        )
    return _Answer(model, method)


def _is(data: Any, module: str, name: str) -> bool:
    """Whether it is of a class of a module that whoever has one has imported."""
    found = getattr(sys.modules.get(module), name, None)
    return found is not None and isinstance(data, found)


# Dask ----------------------------------------------------------------------------------------------------------------
def _of_dask_array(answer: _Answer, data: Any) -> Any:
    from dask.delayed import delayed

    if data.ndim < 2:
        raise ValueError(message("data", "rows of inputs, (N, I) or (N, *shape)", f"{data.ndim} axes"))
    if any(len(chunks) > 1 for chunks in data.chunks[1:]):
        data = data.rechunk(dict.fromkeys(range(1, data.ndim), -1))
    like = answer(np.zeros((1, *data.shape[1:]), data.dtype))  # shows shape and dtype
    return data.map_blocks(
        _of_block,
        delayed(answer, pure=True, traverse=False),
        dtype=like.dtype,
        drop_axis=list(range(1, data.ndim)),
        new_axis=list(range(1, like.ndim)) or None,
        chunks=(data.chunks[0], *((width,) for width in like.shape[1:])),
        meta=np.empty((0,) * like.ndim, like.dtype),
    )


def _of_block(x: Array, answer: _Answer) -> Array:
    return answer(x)


def _of_dask_table(answer: _Answer, data: Any, columns: Sequence[str] | None) -> Any:
    import pandas as pd
    from dask.delayed import delayed

    data = data[_chosen(columns, list(data.columns))]
    empty = data._meta
    row = pd.DataFrame({name: np.zeros(1, dtype) for name, dtype in empty.dtypes.items()})
    meta = _table(answer(_of_table(answer, row)), empty.index[:0].append(pd.Index([0]))).iloc[:0]
    meta.index = empty.index[:0]
    return data.map_partitions(_of_partition, delayed(answer, pure=True, traverse=False), meta=meta)


def _of_partition(table: Any, answer: _Answer) -> Any:
    return _table(answer(_of_table(answer, table)), table.index)


def _of_table(answer: _Answer, table: Any) -> Any:
    """Estimators check names of columns, networks take numbers."""
    return table if hasattr(answer.model, "feature_names_in_") else table.to_numpy()


def _table(y: Array, index: Any) -> Any:
    import pandas as pd

    return pd.Series(y, index, name="prediction") if y.ndim == 1 else pd.DataFrame(y, index)


# Ray -----------------------------------------------------------------------------------------------------------------
class _Actor:
    """A worker of Ray, which holds the model."""

    def __init__(self, answer: _Answer, columns: list[str] | None) -> None:
        self._answer, self._columns = answer, columns

    def __call__(self, batch: dict[str, Array]) -> dict[str, Array]:
        names = _chosen(self._columns, list(batch))
        arrays = [np.asarray(batch[name]) for name in names]
        x = arrays[0] if len(arrays) == 1 and arrays[0].ndim > 1 else np.stack(arrays, axis=1)
        return {**batch, "prediction": self._answer(x)}


def _of_ray(answer: _Answer, data: Any, columns: Sequence[str] | None, options: dict[str, Any]) -> Any:
    import ray.data

    given = {"num_cpus": 1, **options}
    if not given.keys() & {"compute", "concurrency"}:
        given["compute"] = ray.data.ActorPoolStrategy(min_size=1, max_size=2)
    arguments = (answer, None if columns is None else list(columns))
    return data.map_batches(_Actor, fn_constructor_args=arguments, batch_format="numpy", **given)


def _chosen(columns: Sequence[str] | None, known: list[str]) -> list[str]:
    if columns is None:
        return known
    for name in columns:
        if name not in known:
            raise _checks.unknown("column", name, map(str, known))
    return list(columns)


# NumPy and joblib ----------------------------------------------------------------------------------------------------
def _of_numpy(answer: _Answer, data: Array, out: Array | None, n_jobs: int | None) -> Array:
    _checks.refuse_mask("data", data)
    if data.ndim < 2:
        raise ValueError(message("data", "rows of inputs, (N, I) or (N, *shape)", f"shape {data.shape}"))
    like = answer(np.zeros((1, *data.shape[1:]), data.dtype))  # shows shape and dtype
    shape = (len(data), *like.shape[1:])
    if out is None:
        out = np.empty(shape, like.dtype)
    elif not isinstance(out, np.ndarray):
        raise TypeError(message("out", "a NumPy array", type(out).__name__))
    else:
        _checks.check_output(out, shape, like.dtype, data=data)
    with needs("joblib", "answers in several processes need joblib: pip install 'fnnfast[sklearn]'"):
        import joblib
    rows = max(1, _TASK_BYTES // max(1, data[:1].nbytes))
    parts = [slice(first, first + rows) for first in range(0, len(data), rows)]
    call: Callable[..., Any] = joblib.delayed(_of_block)
    with joblib.Parallel(n_jobs) as pool:
        # Some at a time: not every backend returns answers as they come, and all of them may not fit the memory.
        each = _TASKS_EACH * joblib.effective_n_jobs(pool.n_jobs)
        for first in range(0, len(parts), each):
            some = parts[first : first + each]
            for part, y in zip(some, pool(call(data[part], answer) for part in some), strict=True):
                out[part] = y
    return out
