"""Tables, sparse matrices and masked arrays: what converts without loss is taken, the rest refused with the way out."""

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix

import fnnfast as fnn
from fnnfast.sklearn import FNNClassifier, FNNRegressor
from oracles import assert_same_bits

pd = pytest.importorskip("pandas")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ROWS = 12
VALUES = np.random.default_rng(0).integers(0, 2, (ROWS, 3)).astype(float)
VALUES[:, 1] *= 0.5
TARGETS = VALUES @ [1.0, 2.0, -1.0]

START = "^(validation: )?"  # of a message


def net():
    return fnn.Sequential([fnn.Input(3), fnn.Dense(4, "tanh"), fnn.Dense(1)], seed=0)


def fitted(x, y=TARGETS, **options):
    network = net()
    network.fit(x, y, epochs=2, seed=0, **options)
    return network.parameters["dense_1.weight"]


def fitted_many(x):
    network = net()
    fnn.fit_many([network], x, TARGETS, epochs=2, seed=0)
    return network.parameters["dense_1.weight"]


def validated(x):
    return np.array(net().fit(VALUES, TARGETS, epochs=2, seed=0, validation=(x, TARGETS)).validation_loss)


def stepped(x):
    trainer = fnn.Trainer(net())
    return np.array([trainer.step(x, TARGETS), trainer.epoch(x, TARGETS), trainer.loss_and_gradients(x, TARGETS)[0]])


def estimated(cls):
    def fit(x):
        model = cls(hidden_layer_sizes=4, max_iter=2, random_state=0, dtype="float64").fit(x, TARGETS > 0)
        return np.hstack([model.coefs_[0].ravel(), model.predict(x)])

    return fit


# By name: the argument that errors name, and what takes a table there.
INPUTS = {
    "call": ("x", lambda x: net()(x)),
    "logits": ("x", lambda x: net().logits(x)),
    "predict": ("x", lambda x: net().predict(x)),
    "distribution": ("x", lambda x: net().distribution(x).mean),
    "sample": ("x", lambda x: net().sample(x, rng=0)),
    "diagnose": ("x", lambda x: np.array(list(net().diagnose(x)["saturated"].values()))),
    "evaluate": ("x", lambda x: np.array(list(net().evaluate(x, TARGETS).values()))),
    "fit": ("x", fitted),
    "fit_many": ("x", fitted_many),
    "validation": ("x", validated),
    "trainer": ("x", stepped),
    "ensemble": ("x", lambda x: fnn.Ensemble([net(), net()])(x)),
    "ensemble's evaluate": ("x", lambda x: np.array(fnn.Ensemble([net()]).evaluate(x, TARGETS)["loss"])),
    "bfloat16": ("x", lambda x: net().astype("bfloat16")(x)),
    "bfloat16's predict": ("x", lambda x: net().astype("bfloat16").predict(x)),
    "bfloat16's sample": ("x", lambda x: net().astype("bfloat16").sample(x, rng=0)),
    "int8": ("x", lambda x: net().quantize(VALUES)(x)),
    "quantize": ("calibration_x", lambda x: net().quantize(x)(VALUES)),
    "activation": ("z", lambda x: fnn.Tanh()(x)),
}
ESTIMATORS = {
    "classifier": ("X", estimated(FNNClassifier)),
    "regressor": ("X", estimated(FNNRegressor)),
}
VECTORS = {
    "y": ("y", lambda y: fitted(VALUES, y)),
    "y of evaluate": ("y", lambda y: np.array(net().evaluate(VALUES, y)["loss"])),
    "sample_weight": ("sample_weight", lambda w: fitted(VALUES, sample_weight=w)),
    "parameters": ("dense_1.bias", lambda b: _assigned(b)),
}


def _assigned(values):
    network = net()
    network.parameters["dense_1.bias"] = values[:4]
    return network.parameters["dense_1.bias"]


def frame(**columns):
    names = ["a", "b", "c"]
    data = {name: columns.get(name, VALUES[:, i]) for i, name in enumerate(names)}
    return pd.DataFrame(data)


TABLES = {
    "bool": lambda: frame(a=VALUES[:, 0] > 0),
    "all bool": lambda: pd.DataFrame(VALUES > 0),
    "int": lambda: frame(a=VALUES[:, 0].astype("int8"), c=VALUES[:, 2].astype("int64")),
    "nullable int": lambda: frame(a=pd.array(VALUES[:, 0].astype(int), dtype="Int64")),
    "nullable float": lambda: frame(b=pd.array(VALUES[:, 1], dtype="Float32")),
    "nullable bool": lambda: frame(c=pd.array(VALUES[:, 2] > 0, dtype="boolean")),
    "mixed": lambda: frame(
        a=VALUES[:, 0] > 0, b=VALUES[:, 1].astype("float32"), c=pd.array(VALUES[:, 2], dtype="Int8")
    ),
    "objects that are numbers": lambda: frame(a=VALUES[:, 0].astype(int).astype(object)),
    "sparse columns": lambda: frame(a=pd.arrays.SparseArray(VALUES[:, 0])),
    "two columns of a name": lambda: frame(a=VALUES[:, 0] > 0).set_axis(["a", "a", "b"], axis=1),
    "masked array without a mask": lambda: np.ma.array(VALUES),
    "masked array that masks nothing": lambda: np.ma.array(VALUES.astype("float32"), mask=np.zeros((ROWS, 3), bool)),
    "matrix": lambda: np.array(VALUES, dtype="float32").view(type("Own", (np.ndarray,), {})),
}


def plain(table):
    """What it says, as an array."""
    if not isinstance(table, pd.DataFrame):
        return np.array(table, np.float64)
    return np.stack([np.asarray(table.iloc[:, i].astype("float64")) for i in range(3)], axis=1)


# What scikit-learn warns of, or has errors of its own for.
ITS_OWN = ("sparse columns", "two columns of a name")


@pytest.mark.parametrize(
    ("name", "kind"),
    [(n, k) for n in {**INPUTS, **ESTIMATORS} for k in TABLES if not (n in ESTIMATORS and k in ITS_OWN)],
)
def test_tables_that_convert(name, kind):
    call, table = {**INPUTS, **ESTIMATORS}[name][1], TABLES[kind]()
    if name == "activation":  # float32 stays float32
        assert call(table) == pytest.approx(call(plain(table)), rel=1e-6)
    else:
        assert_same_bits(call(table), call(plain(table)))


COLUMNS = {
    "bool": lambda: pd.Series(TARGETS > 0),
    "nullable int": lambda: pd.Series(pd.array((TARGETS > 0).astype(int), dtype="Int64")),
    "nullable bool": lambda: pd.Series(pd.array(TARGETS > 0, dtype="boolean")),
    "objects that are numbers": lambda: pd.Series((TARGETS > 0).astype(int).astype(object)),
    "masked array that masks nothing": lambda: np.ma.array(TARGETS > 0, mask=False),
}


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("name", VECTORS)
def test_columns_that_convert(name, kind):
    call = VECTORS[name][1]
    assert_same_bits(call(COLUMNS[kind]()), call((TARGETS > 0).astype(float)))


MISSING = {
    "int": lambda: frame(a=pd.array([None, *VALUES[1:, 0].astype(int)], dtype="Int64")),
    "float": lambda: frame(b=VALUES[:, 1] > 0, a=pd.array([None, *VALUES[1:, 0]], dtype="Float64")),
    "bool": lambda: frame(a=pd.array([None, *(VALUES[1:, 0] > 0)], dtype="boolean"), b=VALUES[:, 1] > 0),
    "objects": lambda: frame(a=np.array([None, *VALUES[1:, 0]], object)),
    "alone": lambda: pd.DataFrame(pd.array([None, *VALUES[1:, 0]], dtype="Float64")).reindex(
        columns=[0, 1, 2], fill_value=1
    ),
}


@pytest.mark.parametrize("kind", MISSING)
def test_what_is_missing_is_nan(kind):
    """And training says where it is."""
    table = MISSING[kind]()
    answers = net()(table)
    assert np.isnan(answers[0]).all()
    assert np.isfinite(answers[1:]).all()
    with pytest.raises(ValueError, match="x has NaN in row 0, column 0"):
        fitted(table)


REFUSED = {
    "text": (lambda: frame(b=list("abcdefghijkl")), "column 'b' of dtype (str|object); encode or drop it"),
    "numbers as text": (lambda: frame(b=list("012345678901")), r'column \'b\' of dtype .*\.astype\("float32"\)'),
    "dates": (lambda: frame(c=pd.date_range("2020", periods=ROWS)), "column 'c' of dtype datetime64"),
    "categories": (lambda: frame(a=pd.Categorical(list("abcdefghijkl"))), "column 'a' of dtype category"),
    "complex": (lambda: frame(a=VALUES[:, 0] > 0, b=1j * VALUES[:, 1]), "column 'b' of dtype complex"),
    "lists": (lambda: frame(a=pd.Series([[1]] * ROWS)), "column 'a' of dtype object"),
    "objects": (lambda: VALUES.astype(object), r'dtype object; .astype\("float32"\) converts'),
    "sparse matrix": (lambda: csr_matrix(VALUES), r"a sparse csr_matrix; toarray\(\) makes it dense"),
    "sparse array": (lambda: csr_array(VALUES), r"a sparse csr_array; toarray\(\) makes it dense"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", INPUTS)
def test_tables_that_do_not_convert(name, kind):
    argument, call = INPUTS[name]
    table, text = REFUSED[kind]
    with pytest.raises(TypeError, match=rf"{START}{argument}: expected .* of real numbers, got {text}"):
        call(table())


@pytest.mark.parametrize("name", VECTORS)
def test_columns_that_do_not_convert(name):
    argument, call = VECTORS[name]
    with pytest.raises(
        TypeError, match=rf"{START}{argument}: expected columns of real numbers, got column 'city' of dtype"
    ):
        call(pd.Series(list("abcdefghijkl"), name="city"))
    with pytest.raises(TypeError, match=rf"{START}{argument}: expected a dense array"):
        call(csr_array(TARGETS[:, np.newaxis]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", {**INPUTS, **ESTIMATORS})
def test_masks_are_not_dropped(name, dtype):
    argument, call = {**INPUTS, **ESTIMATORS}[name]
    masked = np.ma.array(VALUES.astype(dtype), mask=VALUES == 0.5)
    place = tuple(np.argwhere(VALUES == 0.5)[0].tolist())
    text = rf"{START}{argument}: expected a value for every element, got a mask.* index \({place[0]}, {place[1]}\)"
    with pytest.raises(ValueError, match=rf"{text}; filled\(\) gives them values"):
        call(masked)


@pytest.mark.parametrize("name", VECTORS)
def test_masks_of_vectors_are_not_dropped(name):
    argument, call = VECTORS[name]
    with pytest.raises(ValueError, match=f"{START}{argument}: expected a value for every element, got a masked array"):
        call(np.ma.array(TARGETS, mask=np.arange(ROWS) == 2))


@pytest.mark.parametrize("argument", ["y", "sample_weight", "X_val", "y_val", "sample_weight_val"])
def test_masks_of_what_estimators_take(argument):
    rows = {"X": VALUES, "y": TARGETS, "X_val": VALUES, "y_val": TARGETS, "sample_weight": 1 + TARGETS**2}
    rows["sample_weight_val"] = rows["sample_weight"]
    rows[argument] = np.ma.array(rows[argument], mask=rows[argument] == rows[argument].max())
    with pytest.raises(ValueError, match=f"{START}{argument}: expected a value for every element, got a masked array"):
        FNNRegressor().fit(**rows)


def test_labels_of_a_step():
    """The short way into compiled code does not drop a mask, either."""
    network = fnn.Sequential([fnn.Input(3), fnn.Dense(2, "softmax")], seed=0)
    labels = np.ma.array(np.arange(ROWS) % 2, mask=np.arange(ROWS) == 3)
    with pytest.raises(ValueError, match="y: expected a value for every element"):
        fnn.Trainer(network).step(VALUES.astype("float32"), labels)
