"""Chapter 13: what every training run did, and how to do it again.

In the order of the chapter: track a run in MLflow, read the faults of a run off its curves, keep
and find many runs, and rebuild a run from its record to the last digit.

Throughout, a model is a torch module that turns (n, d) rows into (n, 1) *logits* for the labels 0
and 1, and a *history* is a table with one row an epoch: row 0 is before the first step.
"""

import base64
import contextlib
import copy
import difflib
import hashlib
import importlib.metadata
import importlib.util
import io
import itertools
import json
import logging
import math
import os
import platform
import random
import subprocess
import sys
import sysconfig
import time
import urllib.request
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator
from tqdm.auto import tqdm

from mlsys_helpers import _checks, _servers
from mlsys_helpers.ml_system_design import fingerprint
from mlsys_helpers.plotting import COLORS

__all__ = [
    "open_store",
    "training_data",
    "make_network",
    "track_training",
    "read_history",
    "plot_training",
    "diagnose_training",
    "start_page",
    "set_seed",
    "run_record",
    "replay",
    "record_changes",
]


# --- A store, data and a network -------------------------------------------------------------


class Store(NamedTuple):
    """Where runs are kept: MLflow's client, the experiment's id, the address, and its keeper."""

    client: object
    experiment_id: str
    uri: str
    process: object

    def stop(self):
        """Remove a store of `open_store`; one on a server stays as it is."""
        if self.process:
            self.process.stop()


def open_store(experiment="flights"):
    """An MLflow store on a SQLite file, or the server of ``MLFLOW_TRACKING_URI``.

    Parameters
    ----------
    experiment : str, default "flights"
        Name of the experiment, the group that runs belong to; made if it is not there.

    Returns
    -------
    Store
        ``client`` is an `mlflow.MlflowClient`. Without the environment variable, the SQLite file
        and the artifacts lie in a folder that is removed by ``stop()``, or when this process ends.

    Raises
    ------
    ValueError
        If experiment is not a name.

    References
    ----------
    Chapter 13, Experiment Tracking. M. Zaharia et al., "Accelerating the machine learning
    lifecycle with MLflow", IEEE Data Engineering Bulletin 41 (2018).

    Examples
    --------
    >>> from mlsys_helpers.experiment_tracking import open_store
    >>> store = open_store("punctuality")
    >>> store.client.get_experiment(store.experiment_id).name
    'punctuality'
    >>> store.stop()
    """
    if not isinstance(experiment, str) or not experiment.strip():
        raise ValueError(f"experiment must be a name, got {experiment!r}")
    uri, process, options = os.environ.get("MLFLOW_TRACKING_URI"), None, {}
    if not uri:
        process = _servers.Process(None, name="the tracking store")
        uri = f"sqlite:///{process.folder / 'mlflow.db'}"
        options = {"artifact_location": (process.folder / "artifacts").as_uri()}
    with _quiet() as mlflow:
        client = mlflow.MlflowClient(uri, registry_uri=uri)  # without one it loads PySpark
        known = client.get_experiment_by_name(experiment)
        number = known.experiment_id if known else client.create_experiment(experiment, **options)
    return Store(client, number, uri, process)


_NO_TELEMETRY = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


@contextlib.contextmanager
def _quiet():
    """MLflow without its telemetry, its log lines, and warnings about the libraries it wraps."""
    os.environ.update(_NO_TELEMETRY)
    # MLflow may load PySpark, now or later. That warns about pandas 3, and takes a process that
    # has no file (python -c, a test worker) for its own doctests, and ends it.
    vars(sys.modules["__main__"]).setdefault("__file__", None)
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        yield mlflow


class TrainingData(NamedTuple):
    """Standardised rows with labels: those to train on, and later ones to validate on."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_valid: np.ndarray
    y_valid: np.ndarray


def training_data(table):
    """A table's first rows to train on and the rest to validate on, filled and standardised.

    Parameters
    ----------
    table : DataFrame
        Numeric columns, missing values allowed, and the label ``late`` (0 or 1); rows in the
        order of time. The first 80 % are trained on.

    Returns
    -------
    TrainingData
        ``X_train``, ``y_train``, ``X_valid``, ``y_valid``: arrays of floats. Means and standard
        deviations are those of the training rows; missing values become the mean.

    Raises
    ------
    TypeError
        If table is not a DataFrame.
    ValueError
        If there is no ``late`` or nothing else, two columns share a name, a column holds no
        numbers or infinite ones, or a part lacks a class.

    References
    ----------
    Chapter 13, Experiment Tracking.

    Examples
    --------
    >>> from mlsys_helpers.datasets import FLIGHT_FEATURES, load_flight_features
    >>> from mlsys_helpers.experiment_tracking import training_data
    >>> table = load_flight_features().sort_values("scheduled").head(2_000)
    >>> data = training_data(table[[*FLIGHT_FEATURES["weather"], "late"]])
    >>> data.X_train.shape, data.X_valid.shape
    ((1600, 9), (400, 9))
    """
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"table must be a DataFrame, got {type(table).__name__}")
    if "late" not in table:
        raise ValueError(f"table must have the column 'late', got {list(table)}")
    if table.shape[1] < 2 or not table.columns.is_unique:
        raise ValueError(f"table must have 'late' and others, each name once, got {list(table)}")
    features, first = table.drop(columns="late"), round(0.8 * len(table))
    for name in features:
        if not pd.api.types.is_numeric_dtype(features[name]) or features[name][:first].isna().all():
            raise ValueError(f"column {name!r} must hold numbers in the training rows")
        if np.isinf(features[name].to_numpy(float, na_value=np.nan)).any():
            raise ValueError(f"column {name!r} must hold finite numbers")
    parts = {"training": table["late"][:first], "validation": table["late"][first:]}
    y = [_checks.binary_labels(part, f"late of the {name} rows") for name, part in parts.items()]
    prepare = make_pipeline(SimpleImputer(), StandardScaler())
    X_train = prepare.fit_transform(features[:first])
    return TrainingData(X_train, y[0], prepare.transform(features[first:]), y[1])


def make_network(n_inputs, hidden=(32, 32), seed=0):
    """A torch network of ReLU layers whose parts have names and whose weights have a seed.

    Parameters
    ----------
    n_inputs : int
        Columns of the rows.
    hidden : sequence of int, default (32, 32)
        Units of each hidden layer.
    seed : int, default 0
        Of the first weights.

    Returns
    -------
    torch.nn.Sequential
        In double precision, so that digits hold on other processors too; its layers are called
        ``hidden_1``, ``relu_1``, ..., ``output``.

    Raises
    ------
    TypeError, ValueError
        If a size or the seed is not a whole number in range, or hidden is not a sequence.

    References
    ----------
    Chapter 13, Experiment Tracking.

    Examples
    --------
    >>> from mlsys_helpers.experiment_tracking import make_network
    >>> network = make_network(9, hidden=(4,))
    >>> [name for name, _ in network.named_children()]
    ['hidden_1', 'relu_1', 'output']
    """
    import torch

    if not isinstance(hidden, (list, tuple)):
        raise TypeError(f"hidden must be a sequence of whole numbers, got {hidden!r}")
    sizes = [_checks.whole_number(n_inputs, "n_inputs")]
    sizes += [_checks.whole_number(units, "each of hidden") for units in hidden]
    network = torch.nn.Sequential()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_checked_seed(seed))
        for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes), start=1):
            network.add_module(f"hidden_{i}", torch.nn.Linear(n_in, n_out))
            network.add_module(f"relu_{i}", torch.nn.ReLU())
        network.add_module("output", torch.nn.Linear(sizes[-1], 1))
    return network.double()


def _checked_seed(seed):
    if _checks.whole_number(seed, "seed", low=0) >= 2**32:
        raise ValueError(f"seed must be below 2**32, which is what numpy takes, got {seed}")
    return int(seed)


# --- Experiment Tracking ---------------------------------------------------------------------


class TrackedRun(NamedTuple):
    """A run's id in the store (None without one), its history, and the trained model."""

    run_id: str | None
    history: pd.DataFrame
    model: object


def track_training(
    model,
    data,
    store=None,
    *,
    epochs=20,
    batch_size=256,
    learning_rate=0.003,
    schedule=None,
    optimizer="adam",
    weight_decay=0.0,
    loss=None,
    metrics=None,
    seed=0,
    name=None,
    tags=None,
    progress=True,
):
    """Train a copy of a torch model and log, at every epoch, all that tells how it went.

    Parameters
    ----------
    model : torch.nn.Module
        Turns rows of shape (n, d) into logits of shape (n, 1). It is copied, not changed; all
        but the steps themselves is done in its ``eval()`` mode.
    data : TrainingData
        Or any four arrays: X_train, y_train, X_valid, y_valid; finite, labels 0 and 1.
    store : Store, optional
        Where to log; without one, the history is only returned.
    epochs, batch_size : int
        Passes over the training rows, and rows of one step.
    learning_rate : float
    schedule : function, optional
        From the share of all steps done, in [0, 1), to a factor on the learning rate.
    optimizer : {"adam", "sgd"}, default "adam"
        Adam with decoupled weight decay (AdamW), or plain gradient descent.
    weight_decay : float, default 0
    loss : function, optional
        ``loss(logits, target)`` on tensors of shape (batch,), to train with. By default binary
        cross-entropy, which is what the history shows in any case.
    metrics : function, optional
        From the model to a dict of further numbers to log, called after every epoch.
    seed : int, default 0
        Of the order of the rows.
    name : str, optional
        Of the run.
    tags : dict, optional
        Further things to know the run by; MLflow has some of its own, such as
        ``mlflow.parentRunId`` for the run that this one is part of.
    progress : bool, default True
        Show a bar.

    Returns
    -------
    TrackedRun
        ``run_id``, ``history``, ``model``. Columns of the history: ``epoch``, ``step``,
        ``train_loss``, ``valid_loss``, ``reference_loss`` (of a logistic regression, on the
        training rows), ``accuracy``, ``f1`` (both at a probability of one half) and
        ``average_precision`` on the validation rows, ``learning_rate``, ``update_ratio`` (length
        of a step over length of all weights, median of the epoch), ``gradient_norm`` (median of
        the epoch) and ``gradient_norm_max``, ``weight_norm``, ``dead_share`` (of the ReLU units,
        those that are 0 on every training row), ``steps_per_second``, ``rows_per_second``,
        ``system/cpu_percent`` (while it took steps; 100 is one core), ``system/memory_megabytes``,
        and the two norms layer by layer, such as ``gradient_norm/hidden_1``. What is infinite is
        NaN, since stores keep no infinity. The run ends at the first loss that is not finite. In
        the store, a metric's step is the number of optimiser steps, and ``batch_loss`` is there
        for each of them.

    Raises
    ------
    TypeError
        If model is not a torch module, store is not a Store, or a function is none.
    ValueError
        If data or an option is out of range, or the model has no weights or does not turn rows
        into logits. A run that fails is marked FAILED in the store.

    References
    ----------
    Chapter 13, Experiment Tracking.

    Examples
    --------
    >>> from mlsys_helpers.datasets import FLIGHT_FEATURES, load_flight_features
    >>> from mlsys_helpers.experiment_tracking import make_network, track_training, training_data
    >>> table = load_flight_features().sort_values("scheduled").head(2_000)
    >>> data = training_data(table[[*FLIGHT_FEATURES["weather"], "late"]])
    >>> run = track_training(make_network(9), data, epochs=3, progress=False)
    >>> run.history["train_loss"].is_monotonic_decreasing
    True
    """
    import torch

    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch module, got {type(model).__name__}")
    if not isinstance(store, Store | None):
        raise TypeError(f"store must be one of open_store, got {store!r}")
    for value, what in ((schedule, "schedule"), (loss, "loss"), (metrics, "metrics")):
        if value is not None and not callable(value):
            raise TypeError(f"{what} must be a function, got {value!r}")
    for value, what in ((epochs, "epochs"), (batch_size, "batch_size")):
        _checks.whole_number(value, what)
    _checks.number(learning_rate, "learning_rate", low=0, open_low=True)
    _checks.number(weight_decay, "weight_decay", low=0)
    _checks.one_of(optimizer, "optimizer", ("adam", "sgd"))
    if not any(weights.requires_grad for weights in model.parameters()):
        raise ValueError("model must have weights to train")
    order = torch.Generator().manual_seed(_checked_seed(seed))

    data, model = _checked_data(data), copy.deepcopy(model)
    make = torch.optim.AdamW if optimizer == "adam" else torch.optim.SGD
    optimiser = make(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    params = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    params |= {"optimizer": optimizer, "weight_decay": weight_decay}
    params |= {"schedule": getattr(schedule, "__name__", None), "seed": seed}
    params |= {"loss": getattr(loss, "__name__", "cross-entropy"), "train_rows": len(data.X_train)}
    params |= {"weights": sum(weights.numel() for weights in model.parameters())}
    loss = loss or torch.nn.functional.binary_cross_entropy_with_logits
    dtype, reference = next(model.parameters()).dtype, _reference_loss(data)
    tensors = TrainingData(*(torch.as_tensor(part, dtype=dtype) for part in data))
    rows, step, n_steps = [], 0, epochs * -(-len(data.X_train) // batch_size)
    with _Logger(store, params, name, tags) as logger:
        for epoch in tqdm(range(epochs + 1), desc="epochs", disable=not progress, leave=False):
            batches = torch.randperm(len(data.X_train), generator=order).split(batch_size)
            model.train()
            steps, started, busy = [], time.perf_counter(), time.process_time()
            for batch in batches if epoch else ():  # before the first epoch, only look
                factor = schedule(step / n_steps) if schedule else 1
                rate = learning_rate * _checks.number(factor, "what schedule gives", low=0)
                optimiser.param_groups[0]["lr"] = rate
                X, y = tensors.X_train[batch], tensors.y_train[batch]
                steps.append(_take_step(model, X, y, loss, optimiser))
                step += 1
                if not np.isfinite(steps[-1]["batch_loss"]):
                    break
            spent = time.perf_counter() - started, time.process_time() - busy
            row = {"epoch": epoch, "step": step, "reference_loss": reference}
            row |= _summary(steps, sum(map(len, batches[: len(steps)])), *spent)
            row |= {"learning_rate": rate} if steps else {}
            model.eval()
            row |= _look(model, tensors) | (metrics(model) if metrics else {})
            row = {key: _finite(value) for key, value in row.items()}
            rows.append(row)
            logger.log(row, [_finite(one["batch_loss"]) for one in steps])
            if not np.isfinite(row["train_loss"] + row["valid_loss"]):
                logger.status = "FAILED"
                break
    return TrackedRun(logger.run_id, _history(rows), model)


def _finite(value):
    return value if math.isfinite(value) else math.nan


def _checked_data(data):
    if not isinstance(data, (tuple, list)) or len(data) != 4:
        raise ValueError(f"data must be four arrays, got {type(data).__name__}")
    parts = dict(zip(TrainingData._fields, data, strict=True))
    for part in ("train", "valid"):
        X = np.asarray(parts[f"X_{part}"])
        if X.ndim != 2 or not X.size or X.dtype.kind not in "fiub" or not np.isfinite(X).all():
            raise ValueError(f"X_{part} must be a table of finite numbers, got shape {X.shape}")
        if X.shape[1] != np.shape(parts["X_train"])[1]:
            raise ValueError("X_valid must have as many columns as X_train")
        parts[f"X_{part}"] = X.astype(float)
        labels = _checks.binary_labels(parts[f"y_{part}"], f"y_{part}", len(X))
        parts[f"y_{part}"] = labels.astype(float)
    return TrainingData(**parts)


def _reference_loss(data):
    """What a logistic regression reaches on the training rows: no network should do worse."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    linear = LogisticRegression(solver="newton-cholesky").fit(data.X_train, data.y_train)
    return log_loss(data.y_train, linear.predict_proba(data.X_train)[:, 1])


def _take_step(model, X, y, loss, optimiser):
    """One step of the optimiser; its loss, its gradients' lengths, and how far it went."""
    import torch

    optimiser.zero_grad()
    value = loss(_logits(model, X), y)
    value.backward()
    told = {"batch_loss": value.item()} | _norms(model, "gradient_norm", lambda w: w.grad)
    before = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    optimiser.step()
    moved = torch.nn.utils.parameters_to_vector(model.parameters()).detach() - before
    told["update_ratio"] = (moved.norm() / before.norm()).item()
    return told


def _logits(model, X):
    try:
        logits = model(X)
    except RuntimeError as error:
        raise ValueError(f"model must take rows of {X.shape[1]} columns: {error}") from error
    if logits.shape != (len(X), 1):
        shape = tuple(logits.shape)
        raise ValueError(f"model must give logits of shape ({len(X)}, 1), got {shape}")
    return logits.squeeze(1)


def _norms(model, name, of):
    """Length of the weights, or of what `of` gives for them, layer by layer and over all."""
    layers = {}
    for layer, module in model.named_modules():
        vectors = [of(weights) for weights in module.parameters(recurse=False)]
        lengths = [vector.detach().norm().item() for vector in vectors if vector is not None]
        if lengths:  # frozen weights have no gradient
            layers[f"{name}/{layer or 'model'}"] = math.hypot(*lengths)
    return {name: math.hypot(*layers.values())} | layers


def _summary(steps, n_rows, seconds, busy_seconds):
    """An epoch's steps in one row: medians, the largest gradient, speed, use of the machine."""
    import psutil

    row = {"system/memory_megabytes": psutil.Process().memory_info().rss / 2**20}
    if steps:
        table = pd.DataFrame(steps).replace([np.inf, -np.inf], np.nan)  # no store keeps infinity
        row |= table.drop(columns="batch_loss").median().to_dict()
        row["gradient_norm_max"] = table["gradient_norm"].max()
        row["steps_per_second"], row["rows_per_second"] = len(steps) / seconds, n_rows / seconds
        row["system/cpu_percent"] = 100 * busy_seconds / seconds
    return row


def _look(model, tensors):
    """Loss, scores, weights and dead units as they are now; nothing is changed."""
    import torch
    from sklearn.metrics import accuracy_score, average_precision_score, f1_score

    silent = []
    hooks = [
        part.register_forward_hook(lambda _, __, out: silent.append((out == 0).all(dim=0)))
        for part in model.modules()
        if isinstance(part, torch.nn.ReLU)
    ]
    with torch.no_grad():
        train = _logits(model, tensors.X_train)
        for hook in hooks:
            hook.remove()
        valid = _logits(model, tensors.X_valid)
        entropy = torch.nn.functional.binary_cross_entropy_with_logits
        row = {
            "train_loss": entropy(train, tensors.y_train).item(),
            "valid_loss": entropy(valid, tensors.y_valid).item(),
        }
    if torch.isfinite(valid).all():
        y, answers = tensors.y_valid.numpy(), (valid >= 0).numpy()
        row["accuracy"] = accuracy_score(y, answers)
        row["f1"] = f1_score(y, answers, zero_division=0)
        row["average_precision"] = average_precision_score(y, valid.numpy())
    row["dead_share"] = torch.cat(silent).double().mean().item() if silent else 0.0
    return row | _norms(model, "weight_norm", lambda weights: weights)


class _Logger:
    """One run in the store, logged in batches; without a store, nothing."""

    def __init__(self, store, params, name, tags):
        self.run_id, self.status, self._client = None, "FINISHED", store and store.client
        if self._client:
            from mlflow.entities import Param

            run = self._client.create_run(store.experiment_id, run_name=name, tags=tags)
            self.run_id = run.info.run_id
            params = [Param(key, str(value)) for key, value in params.items()]
            self._client.log_batch(self.run_id, params=params)

    def log(self, row, batch_losses):
        if not self._client:
            return
        from mlflow.entities import Metric

        now, first = int(1000 * time.time()), row["step"] - len(batch_losses) + 1
        values = [(key, value, row["step"]) for key, value in row.items() if key != "step"]
        values += [("batch_loss", value, first + i) for i, value in enumerate(batch_losses)]
        metrics = [Metric(key, float(value), now, step) for key, value, step in values]
        for start in range(0, len(metrics), 1000):  # as many as one call takes
            self._client.log_batch(self.run_id, metrics=metrics[start : start + 1000])

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        if self._client:
            self._client.set_terminated(self.run_id, "FAILED" if error else self.status)


_COLUMNS = ["epoch", "step", "train_loss", "valid_loss", "reference_loss"]
_COLUMNS += ["accuracy", "f1", "average_precision", "learning_rate", "update_ratio"]
_COLUMNS += ["gradient_norm", "gradient_norm_max", "weight_norm", "dead_share"]
_COLUMNS += ["steps_per_second", "rows_per_second"]
_COLUMNS += ["system/cpu_percent", "system/memory_megabytes"]


def _history(rows):
    """The rows as a table, its columns in one order, whoever made it."""
    table = pd.DataFrame(rows)
    others = sorted(set(table.columns) - set(_COLUMNS))
    table = table.reindex(columns=[*_COLUMNS, *others]).astype(float)
    return table.astype({"epoch": int, "step": int})


def read_history(store, run_id):
    """The history of a run as the store has it, equal to what `track_training` returned.

    Parameters
    ----------
    store : Store
    run_id : str

    Returns
    -------
    DataFrame
        One row an epoch, columns as in `track_training`.

    Raises
    ------
    ValueError
        If the store has no such run, or the run was not logged by `track_training`.

    References
    ----------
    Chapter 13, Experiment Tracking.

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers import experiment_tracking as et
    >>> rng, store = np.random.default_rng(0), et.open_store()
    >>> X, y = rng.normal(size=(80, 2)), np.arange(80) % 2
    >>> data = et.TrainingData(X, y, X, y)
    >>> run = et.track_training(et.make_network(2), data, store, epochs=2, progress=False)
    >>> et.read_history(store, run.run_id).equals(run.history)
    True
    >>> store.stop()
    """
    from mlflow.exceptions import MlflowException

    try:
        keys = set(store.client.get_run(run_id).data.metrics)
    except MlflowException as error:
        raise ValueError(f"run_id must be that of a run in the store: {error.message}") from None
    if "epoch" not in keys:
        raise ValueError(f"run_id must be that of a run of track_training, got {run_id!r}")
    columns = {}
    for key in sorted(keys - {"batch_loss"}):
        logged = store.client.get_metric_history(run_id, key)
        columns[key] = pd.Series({metric.step: metric.value for metric in logged})
    table = pd.DataFrame(columns).rename_axis("step").sort_index().reset_index()
    return _history(table)


def plot_training(history):
    """Draw a run's history as small multiples: losses, scores, steps, norms, units, machine.

    Parameters
    ----------
    history : DataFrame
        Of `track_training` or `read_history`.

    Returns
    -------
    ndarray of 8 matplotlib Axes

    Raises
    ------
    TypeError, ValueError
        If history is not such a table, or has fewer than 2 rows.

    References
    ----------
    Chapter 13, Experiment Tracking.

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers import experiment_tracking as et
    >>> X, y = np.random.default_rng(0).normal(size=(80, 2)), np.arange(80) % 2
    >>> data = et.TrainingData(X, y, X, y)
    >>> run = et.track_training(et.make_network(2), data, epochs=2, progress=False)
    >>> axes = et.plot_training(run.history)
    >>> axes.size
    8
    """
    import matplotlib.pyplot as plt

    history = _checked_history(history)
    axes = plt.subplots(2, 4, figsize=(14, 6.4), sharex=True)[1].ravel()
    layers = {name: name[14:] for name in history if name.startswith("gradient_norm/")}
    panels = {
        "loss": {"train_loss": "train", "valid_loss": "validation", "reference_loss": "linear"},
        "score on validation rows": {"average_precision": "AP", "accuracy": "accuracy", "f1": "F1"},
        "learning rate": {"learning_rate": ""},
        "step ÷ weights": {"update_ratio": ""},
        "gradient norm": {"gradient_norm": "all layers"} | layers,
        "weight norm": {"weight_norm": ""},
        "share of dead units": {"dead_share": ""},
        "memory in MB": {"system/memory_megabytes": ""},
    }
    colors = [COLORS[name] for name in ("blue", "orange", "grey", "green", "purple", "red")]
    for ax, (title, lines) in zip(axes, panels.items(), strict=True):
        for (column, label), color in zip(lines.items(), itertools.cycle(colors)):
            ax.plot(history["epoch"], history[column], color=color, label=label)
        ax.set_title(title, fontsize=12)
        if title in ("step ÷ weights", "gradient norm"):
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter("")
        if len(lines) > 1:
            ax.legend(fontsize=9)
        if ax in axes[4:]:
            ax.set_xlabel("epoch")
    axes[6].set_ylim(-0.02, 1)
    low, high = history["system/memory_megabytes"].agg(["min", "max"])
    axes[7].set_ylim(low - 50, high + 50)  # a few megabytes up and down are noise
    return axes


def _checked_history(history):
    if not isinstance(history, pd.DataFrame):
        raise TypeError(f"history must be a DataFrame, got {type(history).__name__}")
    missing = [name for name in _COLUMNS if name not in history]
    if missing:
        raise ValueError(f"history must have the column {missing[0]!r}")
    if len(history) < 2:
        raise ValueError(f"history must have at least 2 epochs, got {len(history)}")
    strange = [name for name in _COLUMNS if not pd.api.types.is_numeric_dtype(history[name])]
    if strange:
        raise ValueError(f"column {strange[0]!r} of the history must hold numbers")
    return history.reset_index(drop=True)


# --- What the curves say ---------------------------------------------------------------------


def diagnose_training(history):
    """The faults that a training history shows, each with its evidence and what to do.

    Parameters
    ----------
    history : DataFrame
        Of `track_training` or `read_history`.

    Returns
    -------
    DataFrame
        A row for each fault found, none for a healthy run: ``fault``, ``evidence``,
        ``what_to_do``. After the first NaN only what came before it is judged further.

    Raises
    ------
    TypeError, ValueError
        If history is not such a table, or has fewer than 2 rows.

    Notes
    -----
    "Late" is the second half of the epochs. The limits and their reasons:

    - NaN loss: a loss that is not a number, once.
    - loss not falling: the training loss fell by less than 5 %; a first guess loses more than
      that within an epoch.
    - underfitting: it fell, but to more than 2 % above the loss of a logistic regression, a model
      that the network contains.
    - overfitting: at the end (median of 3 epochs) the validation loss is more than 5 % above its
      minimum, while the training loss fell on.
    - fluctuating weights: late steps are longer than 1 % of the weights. A usual step is 0.1 %.
    - dead units: over a quarter of the ReLU units are 0 on all training rows.
    - exploding gradients: one longer than 10. The slope of cross-entropy in the logit is at most
      1, so the rest was multiplied by the layers, or by rows that were not standardised.
    - running out of memory: in the late epochs, at least 4, the process grew by more than 20 MB,
      and in three of four epochs. After its first epochs a training loop needs nothing new.

    References
    ----------
    Chapter 13, Experiment Tracking. A. Karpathy, "A recipe for training neural networks" (2019).
    R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural
    networks", ICML (2013).

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers import experiment_tracking as et
    >>> X, y = np.random.default_rng(0).normal(size=(80, 2)), np.arange(80) % 2
    >>> data = et.TrainingData(X, y, X, y)
    >>> run = et.track_training(
    ...     et.make_network(2), data, learning_rate=1e-9, epochs=3, progress=False
    ... )
    >>> et.diagnose_training(run.history)["fault"].tolist()
    ['loss not falling']
    """
    history = _checked_history(history)
    usable = np.isfinite(history["train_loss"] + history["valid_loss"])
    found = {}
    if not usable.all():
        found["NaN loss"] = f"the loss of epoch {history['epoch'][~usable].iloc[0]} is not a number"
    if usable[:2].all():
        found |= _findings(history[usable.cummin()])
    rows = [(fault, evidence, _WHAT_TO_DO[fault]) for fault, evidence in found.items()]
    return pd.DataFrame(rows, columns=["fault", "evidence", "what_to_do"])


def _findings(history):
    """Each rule in turn: its fault and the evidence, where it speaks."""
    found, last, late = {}, history.iloc[-1], history.iloc[len(history) // 2 :]
    first, train, linear = history["train_loss"].iloc[0], last["train_loss"], last["reference_loss"]
    best, valid = history.loc[history["valid_loss"].idxmin()], history["valid_loss"][-3:].median()
    memory, ratio = late["system/memory_megabytes"], late["update_ratio"].median()
    growth, largest = memory.iloc[-1] - memory.iloc[0], history["gradient_norm_max"].max()

    if train > 0.95 * first:
        found["loss not falling"] = f"training loss {first:.3f} at first, {train:.3f} at the end"
    elif train > 1.02 * linear:
        found["underfitting"] = f"training loss {train:.3f}; a logistic regression has {linear:.3f}"
    if valid > 1.05 * best["valid_loss"] and train < best["train_loss"]:
        lowest = f"{best['valid_loss']:.3f} at epoch {best['epoch']:.0f}"
        found["overfitting"] = f"validation loss {lowest}, {valid:.3f} at the end"
    if ratio > 0.01:
        found["fluctuating weights"] = f"a step moves the weights by {ratio:.1%} of their length"
    if last["dead_share"] > 0.25:
        found["dead units"] = f"{last['dead_share']:.0%} of the units are 0 on all training rows"
    if largest > 10:
        found["exploding gradients"] = f"a gradient of length {largest:.0f}"
    if len(late) >= 4 and growth > 20 and (memory.diff()[1:] > 0).mean() >= 0.75:
        found["running out of memory"] = f"{growth / (len(late) - 1):.0f} MB more in every epoch"
    return found


_WHAT_TO_DO = {
    "NaN loss": "look for log(0), a division by 0, missing inputs; use a loss on logits",
    "loss not falling": "raise the learning rate; see that the optimiser has these weights",
    "underfitting": "train longer, a larger network, less weight decay",
    "overfitting": "stop at the best epoch, more rows, a smaller network, weight decay",
    "fluctuating weights": "lower the learning rate, or let a schedule lower it",
    "dead units": "lower the learning rate, look at the first biases, use leaky ReLU",
    "exploding gradients": "standardise the rows, smaller first weights, clip the gradient",
    "running out of memory": "keep numbers, not tensors: item(), detach(), no_grad()",
}


# --- Many runs: the page ---------------------------------------------------------------------


def start_page(store, timeout=60):
    """MLflow's web page and REST interface for a store, in a process of its own.

    Parameters
    ----------
    store : Store
    timeout : float, default 60
        Seconds in which the page must answer.

    Returns
    -------
    Process
        With its address in ``url``; ``stop()``, or the end of a ``with``, ends it. Of a store on
        a server, that server's address.

    Raises
    ------
    ServerError
        If the page does not come up.

    References
    ----------
    Chapter 13, The MLflow page.

    Examples
    --------
    >>> from mlsys_helpers.experiment_tracking import open_store, start_page
    >>> store = open_store()
    >>> with start_page(store) as page:
    ...     page.url.startswith("http://127.0.0.1:")
    True
    >>> store.stop()
    """
    if store.uri.startswith("http"):
        page = _servers.Process(None, name="the MLflow page")  # it is up already
        page.url = store.uri
        return page
    port = _servers.free_port()
    url = f"http://{_servers.HOST}:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri]
    command += ["--host", _servers.HOST, "--port", str(port), "--workers", "1"]
    # Without its queue of jobs, which tracking does not need, the server is up in half the time.
    settings = _NO_TELEMETRY | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = ["env", *(f"{name}={value}" for name, value in settings.items()), *command]
    page = _servers.Process(
        command, name="the MLflow page", ready=lambda _: _answers(f"{url}/health"), timeout=timeout
    )
    page.url = url
    return page


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


# --- Versioning ------------------------------------------------------------------------------


class ReplayRefused(ValueError):
    """A run that cannot be rebuilt: ``changes`` is a table of what is not as it was."""

    def __init__(self, changes):
        self.changes = changes
        words = [
            f"{c.part}, {c.what}: recorded {c.recorded}, now {c.now}" for c in changes.itertuples()
        ]
        super().__init__("the run cannot be rebuilt. " + "; ".join(words))


def set_seed(seed):
    """Seed Python, numpy and torch, and let torch use deterministic algorithms only.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1, which is what numpy takes.

    Raises
    ------
    ValueError
        If seed is out of range.

    Notes
    -----
    A generator made by ``numpy.random.default_rng()`` without a seed draws from the operating
    system all the same, and the order of a set of strings depends on ``PYTHONHASHSEED``.

    References
    ----------
    Chapter 13, Versioning.

    Examples
    --------
    >>> import random
    >>> from mlsys_helpers.experiment_tracking import set_seed
    >>> set_seed(0)
    >>> first = random.random()
    >>> set_seed(0)
    >>> random.random() == first
    True
    """
    import torch

    seed = _checked_seed(seed)
    np.random.seed(seed)  # noqa: NPY002, for older scripts
    random.seed(seed)
    torch.manual_seed(seed)
    torch.set_deterministic_debug_mode("error")  # as use_deterministic_algorithms, but loads less


def _first_draws(seed):
    """What each generator draws first after this seed; the global ones are not touched."""
    import torch

    seed = _checked_seed(seed)
    draws = {
        "random": random.Random(seed).random(),
        "numpy": np.random.RandomState(seed).random_sample(),
        "torch": torch.rand(1, generator=torch.Generator().manual_seed(seed)).item(),
    }
    return {library: round(draw, 6) for library, draw in draws.items()}


def run_record(script, table, *, seed=0, params=None, version=None):
    """Run a training script in a fresh process, and record all that its result depends on.

    Parameters
    ----------
    script : path
        A Python file with a function ``train(frame, **params)`` that returns a dict of numbers.
    table : path
        Folder of a Delta Lake table.
    seed : int, default 0
        Given to `set_seed` before the training.
    params : dict, optional
        What else ``train`` is given; anything that JSON can hold.
    version : int, optional
        Of the table; by default the newest.

    Returns
    -------
    dict
        That JSON can hold: ``code`` (the script's text, the hash of every file of one's own that
        the run loaded, the git commit, if there is one, and what was not committed),
        ``environment`` (Python, processor, and version of every package that the run loaded),
        ``data`` (the table's place, version, fingerprint, and hashes of its columns and rows),
        ``seed`` (and what each generator draws first after it), ``params`` and ``result``.

    Raises
    ------
    TypeError, ValueError
        If script, table or version do not exist, seed is out of range, or params is not a dict
        that JSON can hold.
    ServerError
        If the script fails; with its last words.

    References
    ----------
    Chapter 13, Versioning. J. Pineau et al., "Improving reproducibility in machine learning
    research", JMLR 22 (2021).

    Examples
    --------
    >>> import tempfile, deltalake, pandas as pd
    >>> from pathlib import Path
    >>> from mlsys_helpers.experiment_tracking import record_changes, replay, run_record
    >>> folder = tempfile.TemporaryDirectory()
    >>> script, table = Path(folder.name, "mean.py"), Path(folder.name, "flights")
    >>> _ = script.write_text("def train(frame): return {'mean': frame['delay'].mean()}")
    >>> deltalake.write_deltalake(str(table), pd.DataFrame({"delay": [0.1, 0.2, 0.4]}))
    >>> record = run_record(script, table)
    >>> record["data"]["version"], record["result"] == replay(record)
    (0, True)
    >>> _ = script.write_text("def train(frame): return {'mean': frame['delay'].median()}")
    >>> record_changes(record)["what"].tolist()
    ['mean.py, line 1']
    >>> folder.cleanup()
    """
    script, table = Path(script).resolve(), Path(table).resolve()
    if not script.is_file():
        raise ValueError(f"script must be a file, got {str(script)!r}")
    try:
        params = json.loads(json.dumps({} if params is None else params))
    except TypeError as error:
        raise TypeError(f"params must be a dict that JSON can hold: {error}") from None
    if not isinstance(params, dict):
        raise TypeError(f"params must be a dict, got {params!r}")
    draws, text = _first_draws(seed), script.read_text()  # as it is before the training
    data = _data_version(table, version)  # read here too: a bad table costs no process
    run = _run_script(script, table, data["version"], int(seed), params)
    files = run["files"] | {str(script): hashlib.sha256(text.encode()).hexdigest()}
    code = {"script": str(script), "text": text, "files": files}
    return {
        "code": code | {"git": _git_state(script.parent)},
        "environment": run["environment"],
        "data": data,
        "seed": {"value": int(seed), "first_draws": draws},
        "params": params,
        "result": run["result"],
    }


def replay(record):
    """Run a recorded training again in a fresh process; the result is equal to the last digit.

    Parameters
    ----------
    record : dict
        Of `run_record`, or the same read from JSON.

    Returns
    -------
    dict
        The result.

    Raises
    ------
    ValueError
        If record is not a whole one.
    ReplayRefused
        Before the training, if code, environment, data or seed are not as recorded; after it, if
        the result is not, because it depends on something that no record holds.

    References
    ----------
    Chapter 13, Versioning.

    Examples
    --------
    See `run_record`.
    """
    changes = record_changes(record)
    if len(changes):
        raise ReplayRefused(changes)
    data, code = record["data"], record["code"]
    run = _run_script(
        code["script"], data["table"], data["version"], record["seed"]["value"], record["params"]
    )
    recorded = record["result"]
    rows = [
        ("result", key, recorded.get(key), run["result"].get(key))
        for key in sorted(recorded.keys() | run["result"].keys())
        if repr(recorded.get(key)) != repr(run["result"].get(key))  # NaN equals NaN
    ]
    if rows:
        raise ReplayRefused(_changes(rows))
    return run["result"]


def record_changes(record):
    """What is no longer as a record says: code, environment, data, seed.

    Parameters
    ----------
    record : dict
        Of `run_record`.

    Returns
    -------
    DataFrame
        A row for each difference, none if a replay may begin: ``part``, ``what``, ``recorded``,
        ``now``.

    Raises
    ------
    ValueError
        If record is not a whole one.

    References
    ----------
    Chapter 13, Versioning.

    Examples
    --------
    See `run_record`.
    """
    parts = ("code", "environment", "data", "seed", "params", "result")
    missing = [part for part in parts if not isinstance(record, dict) or part not in record]
    if missing:
        raise ValueError(f"record must be one of run_record; it lacks {', '.join(missing)}")
    rows = [*_code_changes(record["code"]), *_environment_changes(record["environment"])]
    rows += _data_changes(record["data"])
    for library, draw in _first_draws(record["seed"]["value"]).items():
        recorded = record["seed"]["first_draws"][library]
        if draw != recorded:
            rows.append(("seed", f"first draw of {library}", recorded, draw))
    return _changes(rows)


def _changes(rows):
    return pd.DataFrame(rows, columns=["part", "what", "recorded", "now"], dtype=object)


def _run_script(script, table, version, seed, params, timeout=600):
    process = _servers.start_function(
        _train_afresh, str(script), str(table), version, seed, params, name=Path(script).name
    )
    with process:
        return process.result(timeout)


def _train_afresh(script, table, version, seed, params):
    """In the fresh process: seed, train, and tell what was loaded to do so."""
    import torch

    torch.set_num_threads(1)  # the order of a sum, and so its last digit, depends on the threads
    spec = importlib.util.spec_from_file_location("recorded_script", script)
    module = importlib.util.module_from_spec(spec)
    sys.modules["recorded_script"] = module
    sys.path.insert(0, str(Path(script).parent))  # what lies beside it can be imported, as usual
    spec.loader.exec_module(module)
    frame = _read_table(table, version)
    set_seed(seed)
    result = module.train(frame, **params)
    result = {key: _as_number(value, key) for key, value in dict(result).items()}
    files, packages = _loaded()
    return {"result": result, "files": files, "environment": _environment(packages)}


def _as_number(value, key):
    if not np.isscalar(value) or isinstance(value, str):
        raise TypeError(f"train must return a dict of numbers, got {key}={value!r}")
    return value.item() if isinstance(value, np.generic) else value


# --- Versioning: code and environment ----------------------------------------------------------


def _loaded():
    """Of the modules in this process: one's own files with their hashes, and packages."""
    standard = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
    installed = importlib.metadata.packages_distributions()
    files, packages = {}, set()
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None) or ""
        if not os.path.isfile(path):
            continue  # built in, or made at run time
        if "site-packages" in path or "dist-packages" in path:
            packages.update(installed.get(name.partition(".")[0], ()))
        elif not path.startswith(standard):
            files[str(Path(path).resolve())] = _file_hash(path)
    return files, sorted(packages)


def _file_hash(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _environment(packages):
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "python": platform.python_version(),
        "processor": platform.machine(),
        "packages": versions,
    }


def _git_state(folder):
    """The commit of the repository that holds a folder, and what is not in it; None without."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=all") or ""
    return {"commit": commit, "not_committed": [line[3:] for line in changed.splitlines()]}


def _git(folder, *command):
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *command], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.rstrip() if done.returncode == 0 else None


def _code_changes(code):
    for path, recorded in code["files"].items():
        name = Path(path).name
        if not Path(path).is_file():
            yield "code", name, recorded[:8], "gone"
        elif _file_hash(path) != recorded and path == code["script"]:
            then, now = code["text"].splitlines(), Path(path).read_text().splitlines()
            for what, a, b, c, d in difflib.SequenceMatcher(None, then, now).get_opcodes():
                if what != "equal":
                    yield "code", f"{name}, line {a + 1}", _lines(then[a:b]), _lines(now[c:d])
        elif _file_hash(path) != recorded:
            yield "code", name, recorded[:8], _file_hash(path)[:8]


def _lines(lines):
    return " | ".join(line.strip() for line in lines) or "(nothing)"


def _environment_changes(recorded):
    now = _environment(recorded["packages"])
    for what in ("python", "processor"):
        if recorded[what] != now[what]:
            yield "environment", what, recorded[what], now[what]
    for package, version in recorded["packages"].items():
        if now["packages"][package] != version:
            yield "environment", package, version, now["packages"][package]


# --- Versioning: data --------------------------------------------------------------------------


def _read_table(table, version):
    import deltalake

    return deltalake.DeltaTable(str(table), version=version).to_pandas()


def _data_version(table, version=None):
    """A table's version, and what is needed to see later which columns and rows have changed."""
    import deltalake

    if not deltalake.DeltaTable.is_deltatable(str(table)):
        raise ValueError(f"table must be the folder of a Delta table, got {str(table)!r}")
    newest = deltalake.DeltaTable(str(table)).version()
    version = newest if version is None else _checks.whole_number(version, "version", low=0)
    if version > newest:
        raise ValueError(
            f"version must be at most {newest}, the newest of the table, got {version}"
        )
    frame = _read_table(table, version)
    return {
        "table": str(table),
        "version": version,
        "fingerprint": fingerprint(frame),
        "columns": {name: fingerprint(frame[[name]]) for name in frame},
        "rows": base64.b64encode(_row_hashes(frame)).decode(),
    }


def _row_hashes(frame):
    return pd.util.hash_pandas_object(frame, index=False).to_numpy(dtype="<u8")


def _data_changes(recorded):
    try:
        frame = _read_table(recorded["table"], recorded["version"])
    except Exception as error:  # gone, vacuumed, or no such version: deltalake has many words
        words = str(error).strip().splitlines()[0]
        return [("data", "table", f"version {recorded['version']}", f"cannot be read: {words}")]
    if fingerprint(frame) == recorded["fingerprint"]:
        return []
    then, now = recorded["columns"], {name: fingerprint(frame[[name]]) for name in frame}
    if list(then) != list(now):
        return [("data", "columns", ", ".join(then), ", ".join(now))]
    old, new = np.frombuffer(base64.b64decode(recorded["rows"]), dtype="<u8"), _row_hashes(frame)
    if len(old) != len(new):
        added = (~np.isin(new, old)).sum()
        return [("data", "rows", f"{len(old):,}", f"{len(new):,}, {added:,} of them unknown")]
    rows, names = np.flatnonzero(old != new), [name for name in now if now[name] != then[name]]
    shown = ", ".join(map(str, rows[:5])) + ", …" * (len(rows) > 5)
    changed = f"{len(rows):,} of them changed: {shown}"
    return [("data", f"column {name}", f"{len(old):,} rows", changed) for name in names]
