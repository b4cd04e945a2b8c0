"""Ensembles of networks on a GPU: the answers of those on the CPU, in arrays on the GPU."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import ANSWERS, GPU_DTYPES, answering_network, normal, numpy_dtype, targets
from oracles import assert_same_bits

pytestmark = pytest.mark.cuda

X = np.random.default_rng(0).standard_normal((9, 6)).astype(np.float32)


def networks(compute_dtype, head="softmax", units=3):
    layers = [fnn.Input(6), fnn.Dense(8, "tanh"), fnn.Dense(units, head)]
    return [fnn.Sequential(layers, dtype=compute_dtype, seed=seed, device="cuda") for seed in range(3)]


@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
def test_the_average(cuda, compute_dtype):
    dtype = numpy_dtype(compute_dtype)
    nets = networks(compute_dtype)
    ensemble, x = fnn.Ensemble(nets), cuda.array(X.astype(dtype))
    assert (ensemble.device, ensemble.dtype) == ("cuda", dtype)
    assert repr(ensemble).endswith(f"{dtype}, device 'cuda'>")
    expected = sum(cuda.host(net(x)).astype(np.float64) for net in nets) / 3
    answer = ensemble(x)
    assert isinstance(answer, cuda.xp.ndarray)
    assert_same_bits(cuda.host(answer), expected.astype(dtype))
    out = cuda.xp.empty((9, 3), dtype)
    assert ensemble(x, out) is out
    assert_same_bits(cuda.host(out), cuda.host(answer))


@pytest.mark.parametrize(("head", "units"), ANSWERS)
def test_predictions_are_those_of_the_cpu(cuda, head, units):
    on_cpu = [answering_network(head, units, "float32", seed) for seed in range(3)]
    ensemble, host = fnn.Ensemble([net.to("cuda") for net in on_cpu]), fnn.Ensemble(on_cpu)
    rows = normal(np.random.default_rng(1), "float32", 9, 20)
    x, close = cuda.array(rows), {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(cuda.host(ensemble(x)), host(rows), **close)
    found = ensemble.predict(x)
    np.testing.assert_allclose(
        found if isinstance(found, np.ndarray) else cuda.host(found), host.predict(rows), **close
    )
    np.testing.assert_allclose(ensemble.distribution(x).mean, host.distribution(rows).mean, **close)
    assert ensemble.sample(x, 4, rng=0).shape == host.sample(rows, 4, rng=0).shape
    y = targets(head, units)[:9]
    assert ensemble.evaluate(x, cuda.array(y)) == pytest.approx(host.evaluate(rows, y), rel=1e-3, abs=1e-4)


def test_what_does_not_match(cuda):
    nets = networks("float32")
    with pytest.raises(ValueError, match=r"networks\[1\]: expected device 'cuda', .* got device 'cpu'"):
        fnn.Ensemble([nets[0], nets[1].to("cpu")])
    with pytest.raises(TypeError, match="expected CuPy arrays for a network on a GPU"):
        fnn.Ensemble(nets)(X)
    with pytest.raises(ValueError, match="x: expected shape"):
        fnn.Ensemble(nets)(cuda.array(X[:, :5]))
