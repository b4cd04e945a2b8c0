"""Networks, trainers and estimators on their way to other processes."""

import copy
import pickle

import numpy as np
import pytest

import fnnfast as fnn
from factories import digits
from oracles import assert_same_bits, assert_same_networks

X, Y = digits()
X = X.astype(np.float32)


def network():
    layers = [fnn.Input(64), fnn.Dense(50, "relu"), fnn.BatchNorm(), fnn.Dropout(0.2), fnn.Maxout(16, pieces=2)]
    return fnn.Sequential([*layers, fnn.Dense(10, "softmax")], seed=0)


def sent(value):
    """A copy that went through pickle's protocol 5, with read-only memory for the buffers; and the stream."""
    buffers = []
    stream = pickle.dumps(value, 5, buffer_callback=buffers.append)
    raw = [bytes(buffer.raw()) for buffer in buffers]
    return pickle.loads(stream, buffers=raw), len(stream), sum(map(len, raw))


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16", "int8"])
def test_parameters_are_no_part_of_the_stream(kind):
    net = network()
    net.fit(X[:200], Y[:200], epochs=1, seed=0, progress=False)
    net = net.quantize(X[:200]) if kind == "int8" else net.astype(kind)
    got, stream, apart = sent(net)
    assert_same_bits(got(X), net(X))
    assert apart >= sum(values.nbytes for values in net._tensors().values())
    assert stream < 4000


def test_a_copy_can_be_trained():
    net, settings = network(), {"epochs": 1, "seed": 0, "progress": False}
    got = sent(net)[0]
    net.fit(X, Y, **settings)
    got.fit(X, Y, **settings)
    assert_same_networks(got, net)


@pytest.mark.parametrize("optimizer", [fnn.Adam(0.01), fnn.SGD(0.1, momentum=0.9)], ids=repr)
def test_a_trainer_goes_on_with_the_same_bits(optimizer):
    net = network()
    net.freeze("dense_1")
    trainer = fnn.Trainer(net, optimizer=optimizer, seed=3, clip_norm=1.0)
    trainer.step(X[:32], Y[:32])
    trainer.l2, trainer.learning_rate = 0.01, 0.02
    net.unfreeze()  # what is frozen in the trainer stays so
    other, stream, apart = sent(trainer)
    assert stream < 8000 < apart
    copied = copy.deepcopy(trainer)
    for batch in range(3):
        rows = slice(32 * batch, 32 * batch + 32)
        losses = {of.step(X[rows], Y[rows]) for of in (trainer, other, copied)}
        assert len(losses) == 1
    for of in (other, copied):
        assert of.network is not net
        assert_same_networks(of.network, net)
        assert repr(of) == repr(trainer)
        assert (of.l2, of.learning_rate) == (0.01, 0.02)


def test_a_trainer_and_its_network_stay_together():
    net = network()
    got, trainer = pickle.loads(pickle.dumps((net, fnn.Trainer(net))))
    trainer.step(X[:32], Y[:32])
    assert trainer.network is got
    assert not np.array_equal(got.parameters["dense_1.weight"], net.parameters["dense_1.weight"])


def test_what_cloudpickle_takes_by_value():
    cloudpickle = pytest.importorskip("cloudpickle")
    net = network()

    def answer(x):
        return net(x)

    class Tagged(fnn.Sequential):  # local, so that it travels by value, too
        pass

    tagged = Tagged([fnn.Input(64), fnn.Dense(3)], seed=0)
    tagged.tag = "mine"
    call, other = pickle.loads(cloudpickle.dumps((answer, tagged), protocol=5))
    assert_same_bits(call(X), net(X))
    assert (type(other).__name__, other.tag) == ("Tagged", "mine")
    assert_same_bits(other(X), tagged(X))


def test_estimators():
    estimators = pytest.importorskip("fnnfast.sklearn")
    model = estimators.FNNClassifier(30, max_iter=3, tol=0.0, random_state=0, n_iter_no_change=99)
    with pytest.warns(UserWarning, match="3 iterations"):
        model.fit(X, Y)
    got, _, apart = sent(model)
    assert apart >= sum(coefficients.nbytes for coefficients in model.coefs_)
    assert_same_bits(got.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("method", ["fit", "answer", "step"])
def test_read_only_memory_maps(tmp_path, method):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    x, y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy")
    one, other = network(), network()
    if method == "answer":
        assert_same_bits(one(x), other(X))
        out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, (len(X), 10))
        assert one(x, out=out) is out
        assert_same_bits(np.asarray(out), other(X))
    elif method == "fit":
        for net, inputs, targets in ((one, x, y), (other, X, Y)):
            net.fit(inputs, targets, epochs=1, seed=0, progress=False, validation=0.1)
    else:
        assert fnn.Trainer(one, seed=0).step(x, y) == fnn.Trainer(other, seed=0).step(X, Y)
    assert_same_networks(one, other)
