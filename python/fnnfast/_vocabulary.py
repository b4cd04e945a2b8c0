"""Words of Keras, PyTorch and scikit-learn: what they are called here. Only looked at on the way to an error."""

from __future__ import annotations

# Activations, optimizers and losses that there are not, by the keys of ``_checks.key``: these are no misspellings.
_OTHERS = """
glu swiglu geglu reglu hardshrink softshrink tanhshrink threshold logsoftmax softmin rrelu squareplus
sparsemax sparseplus thresholdedrelu crelu quickgelu relusquared relu2 heaviside sin sine cos gaussian maxout
softmax2d lisht snake cauchy bentidentity rmsprop adagrad adadelta adamax nadam radam lion ftrl adafactor
lbfgs rprop asgd sparseadam lamb muon adabelief sgdw nadamw mae meanabsoluteerror l1 l1loss huber huberloss
smoothl1 logcosh kldivergence kldivloss mape msle cosinesimilarity categoricalhinge squaredhinge multimargin
multimarginloss focal
"""
OTHERS = frozenset(_OTHERS.split())

ADVICE = {
    "maxout": "maxout is a layer: fnnfast.Maxout(units, pieces)",
    "logsoftmax": "write 'softmax': cross-entropy is computed from the logits, and net.logits(x) gives them",
    "lbfgs": "fnnfast.sklearn's estimators have solver='lbfgs'",
    "logloss": "write 'cross_entropy' for a softmax head, 'binary_crossentropy' for a sigmoid head",
}

_RATE = "write optimizer=fnnfast.Adam(lr), or another optimizer with that rate"
_FIT = {
    "validation_data": "write validation=(x, y)",
    "validation_split": "write validation=0.2, a share of the rows that is drawn at random",
    "verbose": "write progress=True or progress=False",
    "lr": _RATE,
    "learning_rate": _RATE,
    "learning_rate_init": _RATE,
    "momentum": "write optimizer=fnnfast.SGD(lr, momentum)",
    "weight_decay": "write l2=, or optimizer=fnnfast.AdamW(weight_decay=...)",
    "alpha": "write l2=",
    "shuffle": "the rows are shuffled for every epoch; Trainer.epoch takes them in an order of your own",
    "metrics": "the history and evaluate() have the accuracy or r2 that goes with the loss",
    "criterion": "write loss=",
    "loss_fn": "write loss=",
    "opt": "write optimizer=",
    "solver": "write optimizer=",
    "n_epochs": "write epochs=",
    "nb_epoch": "write epochs=",
    "num_epochs": "write epochs=",
    "max_epochs": "write epochs=",
    "max_iter": "write epochs=",
    "batchsize": "write batch_size=",
    "bs": "write batch_size=",
    "random_state": "write seed=",
    "early_stopping": "write callbacks=[fnnfast.EarlyStopping()]",
    "patience": "write callbacks=[fnnfast.EarlyStopping(patience)]",
    "callback": "write callbacks=[...]",
    "scheduler": "write schedule=",
    "lr_scheduler": "write schedule=",
    "clipnorm": "write clip_norm=",
    "max_norm": "write clip_norm=",
    "max_grad_norm": "write clip_norm=",
    "clipvalue": "write clip_norm=, for the norm of the whole gradient",
    "sample_weights": "write sample_weight=",
    "class_weights": "write class_weight=",
    "X": "write x=",
    "Y": "write y=",
}
_FILTERS = {
    "use_bias": "write bias=",
    "out_channels": "write filters=",
    "in_channels": "the layer before it says how many channels there are",
    "kernel": "write kernel_size=",
    "stride": "write strides=",
    "dilation_rate": "write dilation=",
    "padding_mode": "the padding is zeros",
    "data_format": "images are channels last, (height, width, channels)",
    "input_shape": "write fnnfast.Input(height, width, channels) as the first layer",
    "kernel_initializer": "write init=, such as 'he_normal'",
    "bias_initializer": "write bias_init=, such as 'zeros'",
    "kernel_regularizer": "write fit(..., l2=)",
}
_POOL = {
    "kernel_size": "write pool_size=",
    "stride": "write strides=",
    "data_format": "images are channels last, (height, width, channels)",
    "dilation": "the pixels of a window are neighbours",
    "ceil_mode": "write padding=",
}
_ALPHA = {"negative_slope": "write alpha=", "slope": "write alpha="}

KEYWORDS = {
    "fit": _FIT,
    "Trainer": {"model": "write network="}
    | {
        name: _FIT[name]
        for name in (
            *("lr", "learning_rate", "learning_rate_init", "momentum", "weight_decay", "alpha", "criterion", "loss_fn"),
            *("opt", "solver", "random_state", "clipnorm", "max_norm", "max_grad_norm", "clipvalue"),
        )
    },
    "evaluate": {
        "verbose": "nothing is shown",
        "batch_size": "all rows are taken at once, in blocks of its own",
        "sample_weights": "write sample_weight=",
        "criterion": "write loss=",
    },
    "optimizer": {
        "learning_rate": "write lr=",
        "beta_1": "write betas=(beta_1, beta_2)",
        "beta_2": "write betas=(beta_1, beta_2)",
        "beta1": "write betas=(beta1, beta2)",
        "beta2": "write betas=(beta1, beta2)",
        "epsilon": "write eps=",
        "weight_decay": "write fit(..., l2=), or use AdamW",
        "decay": "write fit(..., schedule=)",
        "clipnorm": "write fit(..., clip_norm=)",
        "params": "fit and Trainer know the network's parameters",
        "amsgrad": "there is none",
    },
    "Dense": {
        "use_bias": "write bias=",
        "out_features": "write units=",
        "in_features": "the layer before it says how many inputs there are",
        "input_dim": "write fnnfast.Input(n) as the first layer",
        "input_shape": "write fnnfast.Input(*shape) as the first layer",
        "kernel_initializer": "write init=, such as 'he_normal'",
        "bias_initializer": "write bias_init=, such as 'zeros'",
        "kernel_regularizer": "write fit(..., l2=)",
    },
    "Conv2D": _FILTERS,
    "Pool": _POOL,
    "AveragePool2D": {**_POOL, "count_include_pad": "write count_padding="},
    "LocalResponseNorm": {
        "depth_radius": "write size=, which is 2 * depth_radius + 1",
        "bias": "write k=",
    },
    "Dropout": {"p": "write rate="},
    "Input": {"shape": "write Input(*shape)", "input_shape": "write Input(*shape)"},
    "alpha": _ALPHA,
    "EarlyStopping": {
        "restore_best_weights": "write restore_best=",
        "monitor": "it is the validation loss, or without validation data the loss",
        "tol": "write min_delta=",
        "verbose": "nothing is shown",
    },
    "estimator": {
        "lr": "write learning_rate_init=",
        "optimizer": "write solver=",
        "epochs": "write max_iter=",
        "n_epochs": "write max_iter=",
        "max_epochs": "write max_iter=",
        "seed": "write random_state=",
        "l2": "write alpha=",
        "weight_decay": "write alpha=",
        "hidden_units": "write hidden_layer_sizes=",
        "hidden_layers": "write hidden_layer_sizes=",
        "layers": "write hidden_layer_sizes=",
        "validation_split": "write validation_fraction=",
        "betas": "write beta_1= and beta_2=",
        "eps": "write epsilon=",
        "dropout_rate": "write dropout=",
    },
    "estimator.fit": {
        "validation_data": "write X_val= and y_val=",
        "validation": "write X_val= and y_val=",
        "eval_set": "write X_val= and y_val=",
        "epochs": "the constructor takes max_iter=",
        "batch_size": "the constructor takes it",
        "x": "write X=",
    },
}
