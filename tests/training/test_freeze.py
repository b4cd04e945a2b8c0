"""Frozen layers: their names, what training does to them and to the others, and their copies."""

import copy
import itertools
import pickle

import numpy as np
import pytest

import fnnfast as fnn
from factories import ROWS, training_data, training_network
from fnnfast import _cpu
from oracles import assert_same_bits, bits_of, layer_of

WITH_PARAMETERS = (
    "dense_1",
    "residual_1",
    "residual_1.maxout_1",
    "residual_1.dense_1",
    "residual_2.dense_1",
    "residual_2.dense_2",
    "dense_2",
    "dense_3",
)
"""The names of the layers with parameters, in order."""


OPTIMIZERS = [
    fnn.SGD(0.1, momentum=0.9),
    fnn.Adam(0.01),
    fnn.AdamW(0.01, weight_decay=0.1),
]


# Names ---------------------------------------------------------------------------------------------------------------
def test_names_of_frozen_layers():
    net = training_network()
    assert net.frozen == ()
    net.freeze("dense_2", "dense_1")
    assert net.frozen == ("dense_1", "dense_2")  # in the order of the layers
    net.freeze("dense_1")
    assert net.frozen == ("dense_1", "dense_2")
    net.unfreeze("dense_1", "dense_3")
    assert net.frozen == ("dense_2",)
    net.unfreeze()
    assert net.frozen == ()
    net.freeze(*net.named_layers)
    assert net.frozen == tuple(net.named_layers)


def test_a_block_stands_for_all_in_it():
    net = training_network()
    net.freeze("residual_1")
    inside = ("residual_1.maxout_1", "residual_1.dropout_1", "residual_1.dense_1")
    assert net.frozen == ("residual_1", *inside)
    net.unfreeze("residual_1.maxout_1")
    assert net.frozen == ("residual_1", *inside[1:])  # residual_1 alone is its projection
    net.unfreeze("residual_1")
    assert net.frozen == ()
    net.freeze("residual_2.dense_1")
    assert net.frozen == ("residual_2.dense_1",)


def test_blocks_of_many_digits():
    """residual_1 is not the beginning of residual_10."""
    net = fnn.Sequential([fnn.Input(2), *[fnn.Residual([fnn.Dense(2)])] * 11, fnn.Dense(1)])
    net.freeze("residual_1")
    assert net.frozen == ("residual_1", "residual_1.dense_1")


@pytest.mark.parametrize("method", ["freeze", "unfreeze"])
def test_unknown_names(method):
    net = training_network()
    net.freeze("dense_2")
    for names in (["dense_9"], ["dense_1", "dens_1"], ["dense_1.weight"], [""], ["residual_1."]):
        with pytest.raises(ValueError, match=r"layer: expected one of dense_1, residual_1, .*, got "):
            getattr(net, method)(*names)
    with pytest.raises(ValueError, match="got 'dens_1'; did you mean 'dense_1'"):
        getattr(net, method)("dens_1")
    assert net.frozen == ("dense_2",)


# Training ------------------------------------------------------------------------------------------------------------
SUBSETS = [
    ("dense_1",),
    ("dense_3",),
    ("dense_1", "dense_2"),
    ("residual_1",),
    ("residual_1.maxout_1", "residual_1.dense_1"),
    ("dense_1", "residual_1", "residual_2"),
    ("dense_1", "residual_1.maxout_1"),
    ("residual_2.dense_2", "dense_2", "dense_3"),
    tuple(name for name in WITH_PARAMETERS if name != "dense_3"),
    tuple(name for name in WITH_PARAMETERS if name != "dense_1"),
    tuple(name for name in WITH_PARAMETERS if name != "residual_1"),
]


@pytest.mark.parametrize("frozen", SUBSETS, ids="+".join)
def test_gradients_of_frozen_layers_are_0_and_the_others_as_ever(isa, dtype, frozen):
    net = training_network(dtype=dtype)
    expected_loss, expected = fnn.Trainer(net, seed=1).loss_and_gradients(*training_data(dtype=dtype))
    net.freeze(*frozen)
    held = set(net.frozen)
    trainer = fnn.Trainer(net, seed=1)
    for _ in range(2):  # what is left from the first time shows in the second
        loss, grads = trainer.loss_and_gradients(*training_data(dtype=dtype))
        assert loss == expected_loss
        assert list(grads) == list(net.parameters)
        for name, grad in grads.items():
            if layer_of(name) in held:
                assert not grad.any()
            else:
                assert_same_bits(grad, expected[name])


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("frozen", SUBSETS, ids="+".join)
def test_frozen_layers_keep_their_bits_and_the_others_learn_as_they_would(dtype, frozen, optimizer):
    """As in a network that is not frozen, whose layers are put back after every step."""
    net, twin = training_network(dtype=dtype), training_network(dtype=dtype)
    net.freeze(*frozen)
    held = [name for name in net.parameters if layer_of(name) in net.frozen]
    start = {name: net.parameters[name] for name in held}
    trainer, other = (fnn.Trainer(n, optimizer=optimizer, l2=0.01, seed=1) for n in (net, twin))
    for seed in range(3):
        batch = training_data(rows=40 + seed, dtype=dtype, seed=seed)
        assert trainer.step(*batch) == other.step(*batch)
        for name in held:
            twin.parameters[name] = start[name]
        for name, values in twin.parameters.items():
            assert_same_bits(net.parameters[name], values)
    for name in held:
        assert_same_bits(net.parameters[name], start[name])


def test_every_subset_of_layers():
    """All 254 that leave something to learn: the gradients of the rest are those that they are."""
    net = training_network(dtype="float32")
    batch = training_data(rows=9, dtype="float32")
    expected = fnn.Trainer(net, seed=1).gradients(*batch)
    for size in range(1, len(WITH_PARAMETERS)):
        for frozen in itertools.combinations(WITH_PARAMETERS, size):
            net.freeze(*frozen)
            if inside := [name for name in WITH_PARAMETERS if name not in frozen and "." in name]:
                net.unfreeze(*inside)
            grads = fnn.Trainer(net, seed=1).gradients(*batch)
            for name, grad in grads.items():
                still = layer_of(name) in frozen
                assert_same_bits(grad, np.zeros_like(grad) if still else expected[name])
            net.unfreeze()


def test_threads_and_instruction_sets_do_not_show(machine_restored, dtype):
    seen = set()
    for isa, threads in itertools.product(_cpu.isas(), (1, 3)):
        _cpu.use_isa(isa)
        fnn.set_num_threads(threads)
        net = fnn.Sequential([fnn.Input(40), fnn.Dense(64, "prelu"), fnn.Dense(64), fnn.Dense(3, "softmax")], seed=0)
        net.freeze("dense_1", "dense_3")
        x = np.random.default_rng(0).standard_normal((300, 40))
        history = net.fit(x, np.arange(300) % 3, epochs=2, batch_size=150, seed=0)
        seen.add((tuple(history.loss), tuple(bits_of(net).values())))
    assert len(seen) == 1


def test_frozen_slopes():
    """PReLU's and ELU's learned slopes belong to their layers."""
    net = training_network()
    net.freeze("dense_1")
    slopes = {name: values for name, values in net.parameters.items() if name.endswith("alpha")}
    assert set(slopes) == {"dense_1.alpha", "residual_1.dense_1.alpha"}
    net.fit(*training_data(), optimizer=fnn.SGD(0.5), epochs=3, seed=0)
    assert_same_bits(net.parameters["dense_1.alpha"], slopes["dense_1.alpha"])
    assert (net.parameters["residual_1.dense_1.alpha"] != slopes["residual_1.dense_1.alpha"]).mean() > 0.9


def test_fit_with_everything_on():
    """Clipping, weights, decay, early stopping and validation leave frozen layers alone."""
    net = training_network()
    net.freeze("residual_1", "dense_2")
    before = dict(net.parameters)
    history = net.fit(
        *training_data(),
        optimizer=fnn.AdamW(0.05),
        l2=0.1,
        clip_norm=0.5,
        class_weight="balanced",
        sample_weight=np.arange(ROWS),
        validation=0.2,
        callbacks=[fnn.EarlyStopping(patience=2)],
        epochs=4,
        seed=0,
    )
    for name, values in before.items():
        same = net.parameters[name].tobytes() == values.tobytes()
        assert same == (layer_of(name) in net.frozen), name
    for name in WITH_PARAMETERS:
        still = name in net.frozen
        assert all((norm == 0) == still for norm in history.update_norm[name])
        assert all((norm == 0) == still for norm in history.gradient_norm[name])


def test_a_frozen_layer_still_drops_out():
    net = training_network()
    net.freeze("residual_1")
    losses = {fnn.Trainer(net, seed=seed).loss_and_gradients(*training_data())[0] for seed in range(4)}
    assert len(losses) == 4


def test_it_counts_when_the_trainer_is_made():
    net = training_network()
    trainer = fnn.Trainer(net, optimizer="sgd")
    net.freeze("dense_1")
    before = bits_of(net)
    trainer.step(*training_data())
    assert bits_of(net)["dense_1.weight"] != before["dense_1.weight"]
    before = bits_of(net)
    later = fnn.Trainer(net, optimizer="sgd")
    net.unfreeze()
    later.step(*training_data())
    assert bits_of(net)["dense_1.weight"] == before["dense_1.weight"]


def test_a_frozen_layer_may_be_assigned():
    """Frozen is what training does not change; gradients follow what is assigned."""
    net, twin = training_network(), training_network()
    net.freeze("dense_2")
    trainer, other = fnn.Trainer(net, seed=1), fnn.Trainer(twin, seed=1)
    trainer.step(*training_data())
    for name in net.parameters:
        net.parameters[name] = twin.parameters[name]
    net.parameters["dense_2.weight"] = twin.parameters["dense_2.weight"] = np.full((33, 6), 0.5)
    trainer.set_state(other.state())
    grads, expected = trainer.gradients(*training_data()), other.gradients(*training_data())
    for name, grad in grads.items():
        if layer_of(name) != "dense_2":
            assert_same_bits(grad, expected[name])


def test_gradients_that_are_handed_in_for_frozen_layers():
    net = training_network()
    net.freeze("dense_1")
    before = bits_of(net)
    trainer = fnn.Trainer(net, optimizer=fnn.SGD(0.1))
    trainer.apply({name: np.ones(shape) for name, shape in net.parameters.shapes.items()})
    after = bits_of(net)
    for name in after:
        assert (after[name] == before[name]) == (layer_of(name) == "dense_1"), name


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_gradients_handed_in_for_frozen_layers_are_gone_afterwards(clip_norm):
    """Nor do they count in the norm of the next step."""
    nets = [training_network() for _ in range(2)]
    for net in nets:
        net.freeze("dense_1", "residual_1.dense_1")
    one, other = (fnn.Trainer(net, optimizer=fnn.SGD(0.1), clip_norm=clip_norm, seed=1) for net in nets)
    for trainer, value in ((one, 100.0), (other, 0.0)):
        grads = {name: np.full(shape, 1e-3) for name, shape in trainer.network.parameters.shapes.items()}
        held = [name for name in grads if layer_of(name) in trainer.network.frozen]
        trainer.apply(grads | {name: np.full_like(grads[name], value) for name in held})
        for name in trainer.network.parameters:  # which clipping has moved differently
            trainer.network.parameters[name] = training_network().parameters[name]
    for _ in range(2):
        grads = one.gradients(*training_data())
        assert not any(grads[name].any() for name in held)
        for name, grad in other.gradients(*training_data()).items():
            assert_same_bits(grads[name], grad)
        one.step(*training_data())
        other.step(*training_data())
        assert bits_of(nets[0]) == bits_of(nets[1])


def test_nothing_left_to_learn():
    net = training_network()
    net.freeze(*WITH_PARAMETERS)
    x, y = training_data(rows=4000)
    for call in (lambda: fnn.Trainer(net), lambda: net.fit(x, y)):
        with pytest.raises(ValueError, match=r"network: expected a layer to train, got only frozen ones; unfreeze\(\)"):
            call()
    net.evaluate(x, y)
    net.unfreeze("dense_3")
    net.fit(x, y, epochs=1)


# Copies --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net)), lambda net: net.to("cpu")],
    ids=["copy", "deepcopy", "pickle", "to"],
)
def test_copies_are_frozen_too(duplicate):
    net = training_network()
    net.freeze("residual_1", "dense_1")
    twin = duplicate(net)
    assert twin.frozen == net.frozen
    assert bits_of(twin) == bits_of(net)
    twin.unfreeze()
    assert net.frozen != ()


def test_files_and_conversions_are_not(tmp_path):
    net = training_network(dtype="float32")
    net.freeze("residual_1", "dense_2")
    net.save(tmp_path / "net")
    assert fnn.load(tmp_path / "net").frozen == ()
    assert net.astype("float64").frozen == ()
