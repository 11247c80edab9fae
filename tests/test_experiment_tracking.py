"""Chapter 13: stored is what was logged, faults by their names, replays to the last digit."""

import copy
import functools
import json
import os
import random
import shutil
import socket
import subprocess
from pathlib import Path

import deltalake
import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsys_helpers import _servers
from mlsys_helpers import experiment_tracking as et
from mlsys_helpers._servers import ServerError
from mlsys_helpers.datasets import FLIGHT_FEATURES, load_flight_features

NUMERIC = [*FLIGHT_FEATURES["schedule"][3:], *FLIGHT_FEATURES["weather"]]
NUMERIC += FLIGHT_FEATURES["airport"]


def schedule(done):
    return min(1, done / 0.1 + 0.01) * (1 + np.cos(np.pi * done)) / 2


features = functools.cache(load_flight_features)


def flights(n_rows, seed=0):
    rows = features().sample(n_rows, random_state=seed).sort_values("scheduled")
    return rows[[*NUMERIC, "late"]].reset_index(drop=True)


def track(model, data, store=None, **options):
    return et.track_training(
        model, data, store, **{"schedule": schedule, "epochs": 12, "progress": False} | options
    )


def faults(history):
    return et.diagnose_training(history)["fault"].tolist()


@pytest.fixture(scope="module")
def table():
    return flights(10_000)


@pytest.fixture(scope="module")
def data(table):
    return et.training_data(table)


@pytest.fixture(scope="module")
def network():
    return et.make_network(len(NUMERIC))


@pytest.fixture(scope="module")
def store():
    store = et.open_store("tests")
    yield store
    store.stop()


@pytest.fixture(scope="module")
def healthy(network, data, store):
    return track(network, data, store, name="healthy", tags={"why": "test"})


@pytest.fixture
def small():
    """A generated set whose truth is known: the label is the sign of the first column."""
    X = np.random.default_rng(0).normal(size=(300, 3))
    y = (X[:, 0] > 0).astype(int)
    return et.TrainingData(X[:200], y[:200], X[200:], y[200:])


# --- Data and network


def test_training_data_is_standardised_by_the_training_rows(table):
    before = table.copy()
    data = et.training_data(table)
    assert np.allclose(data.X_train.mean(axis=0), 0) and np.allclose(data.X_train.std(axis=0), 1)
    temp = table["temp"].fillna(table["temp"][:8_000].mean())
    expected = (temp[8_000:] - temp[:8_000].mean()) / temp[:8_000].std(ddof=0)
    assert np.allclose(data.X_valid[:, NUMERIC.index("temp")], expected)
    assert data.y_valid.tolist() == table["late"][8_000:].tolist()
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="late"), "must have the column 'late'"),
        (lambda t: t.assign(origin="JFK"), "column 'origin' must hold numbers"),
        (lambda t: t.assign(temp=np.nan), "column 'temp' must hold numbers"),
        (lambda t: t.sort_values("late"), "late of the training rows holds one class"),
        (lambda t: t.assign(late=2), "labels 0 and 1"),
        (lambda t: t.assign(temp=np.inf), "column 'temp' must hold finite numbers"),
        (lambda t: t[["late"]], "must have 'late' and others"),
        (lambda t: t[["temp", "temp", "late"]], "each name once"),
        (lambda t: t.head(0), "must hold numbers in the training rows"),
    ],
)
def test_training_data_refuses_bad_tables(change, words):
    with pytest.raises(ValueError, match=words):
        et.training_data(change(flights(500)))


def test_training_data_wants_a_frame():
    with pytest.raises(TypeError, match="table must be a DataFrame"):
        et.training_data(np.zeros((3, 2)))


def test_make_network_is_set_by_its_seed_and_leaves_the_global_one_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = et.make_network(4, (8,), seed=1), et.make_network(4, (8,), seed=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.hidden_1.weight, second.hidden_1.weight)
    assert not torch.equal(first.hidden_1.weight, et.make_network(4, (8,), seed=2).hidden_1.weight)


@pytest.mark.parametrize(
    ("args", "words"),
    [((0,), "n_inputs"), ((2, (0,)), "each of hidden"), ((2, (3,), -1), "seed")],
)
def test_make_network_refuses_bad_sizes(args, words):
    with pytest.raises(ValueError, match=f"{words} must be a whole number"):
        et.make_network(*args)
    with pytest.raises(TypeError, match="hidden must be a sequence of whole numbers, got 5"):
        et.make_network(2, 5)
    with pytest.raises(ValueError, match="seed must be below 2"):
        et.make_network(2, seed=2**32)


# --- Tracking


def test_what_is_read_back_is_what_was_logged(store, healthy):
    assert et.read_history(store, healthy.run_id).equals(healthy.history)


def test_every_quantity_is_there(healthy):
    history = healthy.history
    assert history["epoch"].tolist() == list(range(13))
    assert history["step"].tolist() == [32 * epoch for epoch in range(13)]
    for layer in ("hidden_1", "hidden_2", "output"):
        assert (history[f"weight_norm/{layer}"] > 0).all()
        assert (history[f"gradient_norm/{layer}"][1:] > 0).all()
    assert history.drop(columns=["learning_rate"])[1:].notna().all(axis=None)
    assert (history["rows_per_second"][1:] > history["steps_per_second"][1:]).all()
    assert (history["system/memory_megabytes"] > 50).all()
    assert (history["system/cpu_percent"][1:] > 0).all()


def test_params_tags_and_batch_losses_are_in_the_store(store, healthy):
    run = store.client.get_run(healthy.run_id)
    assert run.info.status == "FINISHED" and run.info.run_name == "healthy"
    assert run.data.params["schedule"] == "schedule" and run.data.params["train_rows"] == "8000"
    assert run.data.tags["why"] == "test"
    logged = store.client.get_metric_history(healthy.run_id, "batch_loss")
    assert sorted(metric.step for metric in logged) == list(range(1, 385))


def test_losses_and_scores_are_those_of_the_libraries(healthy, data):
    from sklearn import metrics

    with torch.no_grad():
        p = healthy.model(torch.as_tensor(data.X_valid)).sigmoid().squeeze(1).numpy()
    last = healthy.history.iloc[-1]
    assert np.isclose(last["valid_loss"], metrics.log_loss(data.y_valid, p))
    assert np.isclose(last["accuracy"], metrics.accuracy_score(data.y_valid, p >= 0.5))
    assert np.isclose(last["f1"], metrics.f1_score(data.y_valid, p >= 0.5))
    ap = metrics.average_precision_score(data.y_valid, p)
    assert np.isclose(last["average_precision"], ap)


def test_norms_and_step_length_by_hand(small):
    model = torch.nn.Sequential(torch.nn.Linear(3, 1)).double()
    run = track(model, small, epochs=1, batch_size=200, optimizer="sgd", schedule=None)
    X, y = torch.as_tensor(small.X_train), torch.as_tensor(small.y_train).double()
    with torch.no_grad():
        error = (model(X).squeeze(1).sigmoid() - y) / len(y)  # slope of the mean loss, by hand
        gradient = np.sqrt(float((error @ X).square().sum() + error.sum() ** 2))
        weights = np.sqrt(sum(float(part.square().sum()) for part in model.parameters()))
    first, last = run.history.iloc[0], run.history.iloc[1]
    assert np.isclose(last["gradient_norm"], gradient)
    assert np.isclose(last["gradient_norm/0"], gradient)
    assert np.isclose(first["weight_norm"], weights)
    assert np.isclose(last["update_ratio"], 0.003 * gradient / weights)  # plain descent


def test_the_global_norm_is_that_of_the_layers(healthy):
    layers = healthy.history.filter(like="weight_norm/")
    assert np.allclose((layers**2).sum(axis=1), healthy.history["weight_norm"] ** 2)


def test_the_schedule_is_followed(small):
    run = track(et.make_network(3, (4,)), small, epochs=4, batch_size=100, learning_rate=0.1)
    expected = [0.1 * schedule((2 * epoch - 1) / 8) for epoch in (1, 2, 3, 4)]  # last of two steps
    assert np.allclose(run.history["learning_rate"][1:], expected)


def test_weight_decay_shrinks_the_weights(small):
    ends = [
        track(et.make_network(3), small, epochs=20, weight_decay=decay)
        .history["weight_norm"]
        .iloc[-1]
        for decay in (0, 5)
    ]
    assert ends[1] < 0.9 * ends[0]


def test_dead_units_are_counted(small):
    network = et.make_network(3, (10,))
    with torch.no_grad():
        network.hidden_1.bias[:4] = -100
    assert track(network, small, epochs=1).history["dead_share"][0] == 0.4
    linear = torch.nn.Sequential(torch.nn.Linear(3, 1)).double()
    assert track(linear, small, epochs=1).history["dead_share"][0] == 0


def test_model_and_data_are_not_changed_and_the_seed_decides(small):
    network = et.make_network(3)
    before, rows = copy.deepcopy(network.state_dict()), copy.deepcopy(small)
    losses = [
        track(network, small, epochs=2, batch_size=50, seed=seed).history["train_loss"]
        for seed in (0, 0, 1)
    ]
    assert losses[0].equals(losses[1]) and not losses[0].equals(losses[2])
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())
    assert all(np.array_equal(a, b) for a, b in zip(rows, small, strict=True))


def test_a_frozen_layer_has_no_gradient(small):
    network = et.make_network(3)
    network.hidden_1.requires_grad_(False)
    history = track(network, small, epochs=2).history
    assert "gradient_norm/hidden_1" not in history and "weight_norm/hidden_1" in history


def test_further_metrics_are_logged(small, store):
    run = track(et.make_network(3), small, store, epochs=2, metrics=lambda model: {"answer": 42})
    assert et.read_history(store, run.run_id)["answer"].tolist() == [42, 42, 42]


def test_a_run_that_raises_is_marked_as_failed(small, store):
    def broken(model):
        raise KeyError("no such row")

    with pytest.raises(KeyError, match="no such row"):
        track(et.make_network(3), small, store, name="broken", metrics=broken)
    (run,) = store.client.search_runs([store.experiment_id], "attributes.run_name = 'broken'")
    assert run.info.status == "FAILED"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"learning_rate": 0}, "learning_rate must be a number above 0"),
        ({"weight_decay": -1}, "weight_decay must be a number of at least 0|at least 0"),
        ({"learning_rate": np.inf}, "learning_rate must be a number above 0"),
        ({"schedule": lambda done: np.nan}, "what schedule gives must be a number"),
        ({"optimizer": "lbfgs"}, "optimizer must be one of 'adam', 'sgd'"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_track_training_refuses_bad_options(small, options, words):
    with pytest.raises(ValueError, match=words):
        track(et.make_network(3), small, **options)


def test_track_training_refuses_bad_data(small):
    holed = small.X_train.copy()
    holed[3, 1] = np.nan
    with pytest.raises(ValueError, match="X_train must be a table of finite numbers"):
        track(et.make_network(3), small._replace(X_train=holed))
    with pytest.raises(ValueError, match="y_valid must have 100 entries"):
        track(et.make_network(3), small._replace(y_valid=small.y_valid[:5]))
    with pytest.raises(ValueError, match="y_train holds one class only"):
        track(et.make_network(3), small._replace(y_train=np.zeros(200)))
    with pytest.raises(ValueError, match="data must be four arrays"):
        track(et.make_network(3), small[:3])
    with pytest.raises(ValueError, match="X_valid must have as many columns"):
        track(et.make_network(3), small._replace(X_valid=small.X_valid[:, :2]))
    with pytest.raises(ValueError, match="X_train must be a table of finite numbers"):
        track(et.make_network(3), small._replace(X_train=small.X_train.astype(str)))


def test_track_training_refuses_what_is_no_model_store_or_function(small):
    with pytest.raises(TypeError, match="model must be a torch module"):
        track("network", small)
    with pytest.raises(ValueError, match="model must have weights to train"):
        track(torch.nn.Flatten(), small)
    with pytest.raises(ValueError, match=r"model must give logits of shape \(200, 1\), got"):
        track(torch.nn.Linear(3, 2), small)
    with pytest.raises(ValueError, match="model must take rows of 3 columns"):
        track(et.make_network(4), small)
    with pytest.raises(TypeError, match="store must be one of open_store, got 'mlruns'"):
        track(et.make_network(3), small, "mlruns")
    with pytest.raises(TypeError, match="schedule must be a function, got 'cosine'"):
        track(et.make_network(3), small, schedule="cosine")


def test_single_precision_lists_and_read_only_arrays_are_taken(small):
    rows = [part.tolist() for part in small]
    single = track(torch.nn.Linear(3, 1), rows, epochs=1).history
    assert np.isfinite(single["train_loss"]).all() and "weight_norm/model" in single
    for part in small:
        part.setflags(write=False)
    expected = track(et.make_network(3), rows, epochs=1).history["train_loss"]
    assert track(et.make_network(3), small, epochs=1).history["train_loss"].equals(expected)


def test_a_model_is_judged_as_it_will_be_used(small):
    """Dropout and batch statistics are for the steps only: looking twice shows the same."""
    parts = [torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5)]
    model = torch.nn.Sequential(*parts, torch.nn.ReLU(), torch.nn.Linear(8, 1)).double()
    run = track(model, small, epochs=2)
    with torch.no_grad():
        logits = run.model.eval()(torch.as_tensor(small.X_valid)).squeeze(1)
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    expected = loss(logits, torch.as_tensor(small.y_valid).double()).item()
    assert run.history["valid_loss"].iloc[-1] == expected


def test_infinity_is_stored_as_nan(small, store):
    run = track(et.make_network(3), small, store, epochs=2, metrics=lambda model: {"odd": np.inf})
    assert run.history["odd"].isna().all()
    assert et.read_history(store, run.run_id).equals(run.history)


def test_read_history_refuses_what_is_no_tracked_run(store):
    with pytest.raises(ValueError, match="run_id must be that of a run in the store"):
        et.read_history(store, "0" * 32)
    other = store.client.create_run(store.experiment_id).info.run_id
    with pytest.raises(ValueError, match="run of track_training"):
        et.read_history(store, other)


def test_open_store_wants_a_name():
    with pytest.raises(ValueError, match="experiment must be a name, got ''"):
        et.open_store("")


def test_no_log_line_and_no_warning_is_shown(capfd, small):
    with_store = et.open_store("quiet")
    track(et.make_network(3), small, with_store, epochs=1)
    with_store.stop()
    assert capfd.readouterr() == ("", "")


def test_plot_training_draws_every_quantity(healthy):
    axes = et.plot_training(healthy.history)
    assert axes.size == 8 and all(ax.lines for ax in axes)
    drawn = axes[0].lines[1].get_ydata()
    assert np.array_equal(drawn, healthy.history["valid_loss"])
    assert len(axes[4].lines) == 4  # the whole gradient, and three layers
    with pytest.raises(ValueError, match="history must have the column 'f1'"):
        et.plot_training(healthy.history.drop(columns="f1"))


# --- Diagnosis: each planted fault by its name, none where there is none


def _by_hand(logits, y):
    p = torch.sigmoid(logits)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


def _planted(fault, table, data, network):
    wide = et.make_network(len(NUMERIC), (64, 64))
    if fault == "NaN loss":
        return track(network, data, loss=_by_hand, learning_rate=1.0, schedule=None)
    if fault == "loss not falling":
        return track(network, data, learning_rate=1e-6)
    if fault == "underfitting":
        return track(network, data, weight_decay=10)
    if fault == "overfitting":
        return track(wide, et.training_data(table.iloc[::20]), epochs=40, schedule=None)
    if fault == "fluctuating weights":
        return track(network, data, optimizer="sgd", learning_rate=2.0, schedule=None)
    model = copy.deepcopy(network)
    if fault == "exploding gradients":
        model = et.make_network(len(NUMERIC), (32,) * 6)
    with torch.no_grad():
        if fault == "dead units":
            model.hidden_1.bias[:24] = model.hidden_2.bias[:20] = -10
        else:
            for weights in model.parameters():
                weights *= 4 if weights.ndim == 2 else 1
    return track(model, data, epochs=20)


@pytest.mark.parametrize(
    "fault",
    [
        "NaN loss",
        "loss not falling",
        "underfitting",
        "overfitting",
        "fluctuating weights",
        "dead units",
        "exploding gradients",
    ],
)
def test_a_planted_fault_is_found_by_its_name_alone(fault, table, data, network):
    found = et.diagnose_training(_planted(fault, table, data, network).history)
    assert found["fault"].tolist() == [fault]
    assert found["evidence"][0] and found["what_to_do"][0]


def run_alone():
    """Without a network, and without what other tests left to the allocator: a leaking run."""
    asked, kept = [], []

    def refuse(*args, **kwargs):
        asked.append(str(args))
        raise OSError("no network here")

    def keeps_its_tensors(model):
        kept.append(model(torch.as_tensor(data.X_train)).mean())
        return {}

    socket.getaddrinfo = socket.socket.connect = socket.socket.connect_ex = refuse
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.pop(name, None)
    store, data = et.open_store("alone"), et.training_data(flights(10_000))
    wide = et.make_network(len(NUMERIC), (64, 64))
    run = track(wide, data, store, metrics=keeps_its_tensors, epochs=10)
    found, folder = faults(et.read_history(store, run.run_id)), store.process.folder
    store.stop()
    from mlflow.telemetry.utils import is_telemetry_disabled

    return {
        "faults": found,
        "has graph": kept[0].requires_grad,
        "asked": asked,
        "telemetry": not is_telemetry_disabled(),
        "files": os.listdir(),
        "store": folder.exists(),
    }


@pytest.fixture(scope="module")
def alone():
    with _servers.start_function(run_alone) as process:
        return process.result(120)


def test_kept_graphs_are_found_as_memory_that_grows(alone):
    assert alone["has graph"] and alone["faults"] == ["running out of memory"]


def test_tracking_asks_no_outside_address_and_leaves_no_file(alone):
    assert alone["asked"] == [] and not alone["telemetry"] and not alone["store"]
    assert not {"mlruns", "mlflow.db"} & set(alone["files"])


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_run_shows_no_fault(seed):
    data = et.training_data(flights(10_000, seed))
    run = track(et.make_network(len(NUMERIC), seed=seed), data, seed=seed)
    assert faults(run.history) == []


@pytest.mark.parametrize(("rows", "hidden", "epochs"), [(5_000, (16,), 40), (15_000, (64, 32), 8)])
def test_healthy_runs_of_other_sizes_show_no_fault(rows, hidden, epochs):
    run = track(
        et.make_network(len(NUMERIC), hidden), et.training_data(flights(rows)), epochs=epochs
    )
    assert faults(run.history) == []


@pytest.mark.parametrize(
    ("column", "below", "above", "fault"),
    [
        ("update_ratio", 0.0099, 0.0101, "fluctuating weights"),
        ("dead_share", 0.25, 0.26, "dead units"),
        ("gradient_norm_max", 9.9, 10.1, "exploding gradients"),
    ],
)
def test_the_limits_are_where_the_docstring_says(healthy, column, below, above, fault):
    assert faults(healthy.history.assign(**{column: below})) == []
    assert faults(healthy.history.assign(**{column: above})) == [fault]


def test_memory_is_judged_by_the_late_epochs_and_by_steady_growth(healthy):
    early, jump = np.full(13, 900.0), np.full(13, 900.0)
    early[:5], jump[-1] = 100, 1_000
    steady = 900 + 4.0 * np.arange(13)
    for memory, expected in ((early, []), (jump, []), (steady, ["running out of memory"])):
        assert faults(healthy.history.assign(**{"system/memory_megabytes": memory})) == expected
    short = healthy.history.head(5).assign(**{"system/memory_megabytes": [100, 300, 500, 700, 900]})
    assert "running out of memory" not in faults(short)  # too short to tell warming up from a leak


def test_a_busy_machine_is_no_fault(healthy):
    """Slower, with other shares of the processor, and memory that goes up and down."""
    rng = np.random.default_rng(0)
    for scale in (0.01, 100):
        history = healthy.history.copy()
        for name in ("steps_per_second", "rows_per_second", "system/cpu_percent"):
            history[name] *= scale * rng.uniform(0.5, 2, len(history))
        history["system/memory_megabytes"] += rng.uniform(-60, 60, len(history))
        assert faults(history) == []


def test_rows_may_carry_any_index(healthy):
    faulty = healthy.history.assign(dead_share=0.5)
    assert faults(faulty.set_axis([0] * len(faulty))) == ["dead units"]


def test_after_a_nan_what_came_before_is_judged(healthy):
    history = healthy.history.assign(gradient_norm_max=50.0)
    history.loc[9:, "valid_loss"] = np.nan
    assert faults(history) == ["NaN loss", "exploding gradients"]
    assert "epoch 9" in et.diagnose_training(history)["evidence"][0]


def test_diagnose_training_refuses_other_tables(healthy):
    with pytest.raises(TypeError, match="history must be a DataFrame"):
        et.diagnose_training([1, 2])
    with pytest.raises(ValueError, match="must have the column 'dead_share'"):
        et.diagnose_training(healthy.history.drop(columns="dead_share"))
    with pytest.raises(ValueError, match="at least 2 epochs, got 1"):
        et.diagnose_training(healthy.history.head(1))
    with pytest.raises(ValueError, match="column 'epoch' of the history must hold numbers"):
        et.diagnose_training(healthy.history.astype(str))


# --- Many runs


def test_a_run_is_found_by_a_question(store, small):
    parent = store.client.create_run(store.experiment_id, run_name="sweep").info.run_id
    runs = {
        rate: track(
            et.make_network(3),
            small,
            store,
            epochs=3,
            learning_rate=rate,
            tags={"mlflow.parentRunId": parent},
        )
        for rate in (1e-5, 0.01)
    }
    question = f"tags.`mlflow.parentRunId` = '{parent}' and metrics.valid_loss < 0.69"
    (found,) = store.client.search_runs([store.experiment_id], question)
    assert found.info.run_id == runs[0.01].run_id
    assert float(found.data.params["learning_rate"]) == 0.01


def test_the_page_and_a_store_on_its_server(store, healthy, small, monkeypatch):
    with et.start_page(store) as page:
        assert httpx.get(page.url).status_code == 200
        settings = psutil.Process(page.pid).environ()
        assert settings["MLFLOW_DISABLE_TELEMETRY"] == settings["DO_NOT_TRACK"] == "true"
        question = {"experiment_ids": [store.experiment_id], "filter": "tags.why = 'test'"}
        answer = httpx.post(f"{page.url}/api/2.0/mlflow/runs/search", json=question).json()
        assert [run["info"]["run_id"] for run in answer["runs"]] == [healthy.run_id]

        monkeypatch.setenv("MLFLOW_TRACKING_URI", page.url)  # the same code, on the server
        remote = et.open_store("tests")
        assert remote.uri == page.url and remote.experiment_id == store.experiment_id
        run = track(et.make_network(3), small, remote, epochs=2)
        assert et.read_history(remote, run.run_id).equals(run.history)
        with et.start_page(remote) as same:
            assert same.url == page.url
        remote.stop()
        pid = page.pid
    assert et.read_history(store, run.run_id).equals(run.history)  # it is in the same file
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# --- Versioning


def test_set_seed_seeds_all_three():
    def draws():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    et.set_seed(7)
    first = draws()
    et.set_seed(7)
    assert (
        draws()
        == first
        == (
            random.Random(7).random(),
            np.random.RandomState(7).rand(),
            torch.rand(1, generator=torch.Generator().manual_seed(7)).item(),
        )
    )
    et.set_seed(8)
    assert all(a != b for a, b in zip(draws(), first, strict=True))
    assert torch.are_deterministic_algorithms_enabled()
    torch.set_deterministic_debug_mode("default")


@pytest.mark.parametrize("seed", [-1, 1.5, "0", 2**32])
def test_set_seed_refuses(seed):
    with pytest.raises(ValueError, match="seed must be"):
        et.set_seed(seed)


SCRIPT = """import numpy as np
import torch
import beside

def train(frame, rows):
    drawn = frame.sample(rows, random_state=np.random.randint(1000))
    mean = drawn["delay"].mean() + beside.SHIFT
    return {"mean": mean, "noise": torch.rand(1).item(), "nan": np.nan}
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A script, a file beside it, a table, and the record of a run: pristine."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "train.py").write_text(SCRIPT)
    (folder / "beside.py").write_text("SHIFT = 0.1\n")
    frame = pd.DataFrame({"delay": np.linspace(0, 1, 50) ** 2, "dest": ["BOS", "MIA"] * 25})
    deltalake.write_deltalake(str(folder / "flights"), frame)
    record = et.run_record(folder / "train.py", folder / "flights", seed=3, params={"rows": 10})
    return folder, frame, record


@pytest.fixture
def copied(recorded, tmp_path):
    """A record whose script and table may be changed."""
    folder, frame, record = recorded
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return tmp_path, frame, json.loads(json.dumps(record).replace(str(folder), str(tmp_path)))


def test_a_replay_gives_the_same_digits_from_json_alone(recorded):
    _, frame, record = recorded
    again = et.replay(json.loads(json.dumps(record)))
    assert repr(again) == repr(record["result"])
    drawn = frame.sample(10, random_state=np.random.RandomState(3).randint(1000))
    assert again["mean"] == drawn["delay"].mean() + 0.1  # known without the record


def test_a_record_holds_code_environment_data_and_seed(recorded):
    _, frame, record = recorded
    files = {Path(path).name for path in record["code"]["files"]}
    assert {"train.py", "beside.py"} <= files and "pandas" not in str(files)
    assert record["code"]["text"] == SCRIPT
    packages = record["environment"]["packages"]
    assert packages["numpy"] == np.__version__ and "torch" in packages
    assert "pytest" not in packages  # only what the run loaded
    assert record["data"]["version"] == 0 and list(record["data"]["columns"]) == list(frame)
    assert et.record_changes(record).empty


def test_time_travel_reads_the_recorded_version(copied):
    folder, frame, record = copied
    deltalake.write_deltalake(str(folder / "flights"), frame.assign(delay=0.0), mode="overwrite")
    assert et.record_changes(record).empty


def test_a_changed_script_is_refused_with_its_line(copied):
    folder, _, record = copied
    (folder / "train.py").write_text(SCRIPT.replace("randint(1000)", "randint(999)"))
    with pytest.raises(et.ReplayRefused, match=r"code, train.py, line 6") as refusal:
        et.replay(record)
    (change,) = refusal.value.changes.itertuples()
    assert "randint(1000)" in change.recorded and "randint(999)" in change.now


def test_a_changed_helper_file_is_refused_and_so_is_a_lost_one(copied):
    folder, _, record = copied
    (folder / "beside.py").write_text("SHIFT = 0.2\n")
    (change,) = et.record_changes(record).itertuples()
    assert (change.part, change.what) == ("code", "beside.py")
    (folder / "beside.py").unlink()
    (change,) = et.record_changes(record).itertuples()
    assert change.now == "gone"


def _rebuild(folder, frame):
    shutil.rmtree(folder / "flights")
    deltalake.write_deltalake(str(folder / "flights"), frame)


def test_changed_cells_are_named_by_column_and_row(copied):
    folder, frame, record = copied
    changed = frame.copy()
    changed.loc[[4, 17], "delay"] += 0.5
    _rebuild(folder, changed)
    with pytest.raises(et.ReplayRefused, match=r"column delay.* 2 of them changed: 4, 17"):
        et.replay(record)


@pytest.mark.parametrize(
    ("change", "what", "now"),
    [
        (lambda f: pd.concat([f, f.tail(2) * 2], ignore_index=True), "rows", "52, 2 of them"),
        (lambda f: f.head(40), "rows", "40, 0 of them unknown"),
        (lambda f: f.rename(columns={"dest": "to"}), "columns", "delay, to"),
        (lambda f: f.astype({"delay": "float32"}), "column delay", "changed"),
    ],
)
def test_changed_tables_are_named(copied, change, what, now):
    folder, frame, record = copied
    _rebuild(folder, change(frame))
    (row,) = et.record_changes(record).itertuples()
    assert (row.part, row.what) == ("data", what) and now in row.now


def test_a_version_that_is_gone_is_refused(copied):
    folder, frame, record = copied
    deltalake.write_deltalake(str(folder / "flights"), frame, mode="overwrite")
    deltalake.DeltaTable(str(folder / "flights")).vacuum(
        retention_hours=0, dry_run=False, enforce_retention_duration=False
    )
    (row,) = et.record_changes(record).itertuples()
    assert (row.part, row.what) == ("data", "table") and "cannot be read" in row.now
    shutil.rmtree(folder / "flights")
    assert "cannot be read" in et.record_changes(record)["now"][0]


def test_another_environment_is_refused_by_package(recorded):
    record = copy.deepcopy(recorded[2])
    record["environment"]["python"] = "2.7.18"
    record["environment"]["packages"] |= {"numpy": "1.26.4", "no-such-package": "1.0"}
    found = et.record_changes(record).set_index("what")
    assert found["part"].eq("environment").all()
    assert set(found.index) == {"python", "numpy", "no-such-package"}
    assert found.loc["numpy", "now"] == np.__version__
    assert found.loc["no-such-package", "now"] == "not installed"


def test_another_seed_is_refused(recorded):
    record = copy.deepcopy(recorded[2])
    record["seed"]["value"] = 4
    with pytest.raises(et.ReplayRefused, match="seed, first draw of random"):
        et.replay(record)


def test_a_part_of_a_record_is_refused(recorded):
    part = {key: value for key, value in recorded[2].items() if key != "data"}
    for record, words in ((part, "it lacks data"), (None, "it lacks code"), ({}, "lacks code")):
        with pytest.raises(ValueError, match=words):
            et.replay(record)


def test_a_script_that_changes_while_it_runs_is_recorded_as_it_was(tmp_path):
    text = "def train(frame):\n    open(__file__, 'a').write('# later')\n    return {'a': 1}\n"
    (tmp_path / "train.py").write_text(text)
    deltalake.write_deltalake(str(tmp_path / "t"), pd.DataFrame({"x": [1.0]}))
    record = et.run_record(tmp_path / "train.py", tmp_path / "t", seed=np.int64(3))
    assert record["code"]["text"] == text and json.dumps(record)
    assert et.record_changes(record)["now"].tolist() == ["# later"]


def test_a_result_that_no_record_determines_is_refused(tmp_path):
    (tmp_path / "train.py").write_text(
        "from numpy.random import default_rng\n"
        "def train(frame): return {'a': default_rng().random(), 'b': 1}"
    )
    deltalake.write_deltalake(str(tmp_path / "t"), pd.DataFrame({"x": [1.0]}))
    record = et.run_record(tmp_path / "train.py", tmp_path / "t")
    with pytest.raises(et.ReplayRefused, match="result, a") as refusal:
        et.replay(record)
    assert refusal.value.changes["what"].tolist() == ["a"]


def test_run_record_refuses(tmp_path):
    script = tmp_path / "train.py"
    with pytest.raises(ValueError, match="script must be a file"):
        et.run_record(script, tmp_path)
    script.write_text("def train(frame): return {'name': 'late'}")
    with pytest.raises(ValueError, match="table must be the folder of a Delta table"):
        et.run_record(script, tmp_path)
    with pytest.raises(ValueError, match="seed must be a whole number"):
        et.run_record(script, tmp_path, seed=-1)
    deltalake.write_deltalake(str(tmp_path / "t"), pd.DataFrame({"x": [1.0]}))
    for version, words in ((7, "at most 0, the newest"), (-1, "whole number"), ("a", "whole")):
        with pytest.raises(ValueError, match=f"version must be .*{words}"):
            et.run_record(script, tmp_path / "t", version=version)
    for params in ({"x": object()}, "epochs"):
        with pytest.raises(TypeError, match="params must be a dict"):
            et.run_record(script, tmp_path / "t", params=params)
    with pytest.raises(ServerError, match="dict of numbers, got name='late'"):
        et.run_record(script, tmp_path / "t")


@pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")
def test_the_commit_and_what_is_not_in_it(tmp_path):
    def git(*command):
        names = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *names, *command], check=True, timeout=20)

    assert et._git_state(tmp_path) is None
    git("init", "-q")
    (tmp_path / "train.py").write_text("x = 1\n")
    git("add", "train.py")
    git("commit", "-qm", "first")
    state = et._git_state(tmp_path)
    assert len(state["commit"]) == 40 and state["not_committed"] == []
    (tmp_path / "train.py").write_text("x = 2\n")
    (tmp_path / "new.py").write_text("")
    assert et._git_state(tmp_path)["not_committed"] == ["train.py", "new.py"]


def test_without_git_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert et._git_state(tmp_path) is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=30), st.data())
def test_row_hashes_change_where_and_only_where_a_row_does(values, draw):
    frame = pd.DataFrame({"a": values, "b": range(len(values))})
    row = draw.draw(st.integers(0, len(values) - 1))
    changed = frame.copy()
    changed.loc[row, "a"] = changed.loc[row, "a"] + 1
    differs = et._row_hashes(frame) != et._row_hashes(changed)
    assert np.flatnonzero(differs).tolist() == [row]


# --- Exercises


def _sum_of_norms(gradients):
    return sum(np.linalg.norm(gradient) for gradient in gradients)


def _no_root(gradients):
    return sum((gradient**2).sum() for gradient in gradients)


def _longest(gradients):
    return max(np.linalg.norm(gradient) for gradient in gradients)


def _mean_square(gradients):
    return np.sqrt(np.mean(np.concatenate([gradient.ravel() for gradient in gradients]) ** 2))


def _spectral(gradients):
    return np.sqrt(sum(np.linalg.norm(gradient, 2) ** 2 for gradient in gradients))


def _looks_ahead(valid_loss, patience):
    return int(np.argmin(valid_loss)), len(valid_loss) - 1


def _one_too_patient(valid_loss, patience):
    best = 0
    for epoch, loss in enumerate(valid_loss):
        if loss < valid_loss[best]:
            best = epoch
        elif epoch - best > patience:
            return best, epoch
    return best, len(valid_loss) - 1


def _previous_epoch(valid_loss, patience):
    worse = 0
    for epoch in range(1, len(valid_loss)):
        worse = worse + 1 if valid_loss[epoch] >= valid_loss[epoch - 1] else 0
        if worse == patience:
            return int(np.argmin(valid_loss[: epoch + 1])), epoch
    return int(np.argmin(valid_loss)), len(valid_loss) - 1


def _equal_is_better(valid_loss, patience):
    best = 0
    for epoch, loss in enumerate(valid_loss):
        if loss <= valid_loss[best]:
            best = epoch
        elif epoch - best >= patience:
            return best, epoch
    return best, len(valid_loss) - 1


def _swapped_epochs(valid_loss, patience):
    return 5, 2


def _at_least_two(valid_loss, patience):
    return _patient(valid_loss, max(patience, 2))


def _last_if_never_stopped(valid_loss, patience):
    best, stop = _patient(valid_loss, patience)
    return (stop, stop) if stop == len(valid_loss) - 1 else (best, stop)


def _first_six(valid_loss, patience):
    return _patient(valid_loss[:6], patience)


def _patient(valid_loss, patience):
    """The right answer, for others to spoil."""
    best = 0
    for epoch, loss in enumerate(valid_loss):
        if loss < valid_loss[best]:
            best = epoch
        elif epoch - best >= patience:
            return best, epoch
    return best, len(valid_loss) - 1


def _not_failed_nor_running(runs):
    finished = runs[~runs["status"].isin(["FAILED", "RUNNING"])]
    best = finished.loc[finished["metrics.valid_loss"].idxmin()]
    return best["run_id"], float(best["params.learning_rate"])


def _by_minor(then, now):
    def minor(version):
        return version and version.split(".")[:2]

    keys = then.keys() | now.keys()
    return {k: (then.get(k), now.get(k)) for k in keys if minor(then.get(k)) != minor(now.get(k))}


def _any_status(runs):
    best = runs.loc[runs["metrics.valid_loss"].idxmin()]
    return best["run_id"], float(best["params.learning_rate"])


def _by_position(runs):
    finished = runs[runs["status"] == "FINISHED"]
    best = finished.iloc[finished["metrics.valid_loss"].fillna(9).argmax() - 2]
    return best["run_id"], float(best["params.learning_rate"])


def _missing_is_lowest(runs):
    finished = runs[runs["status"] == "FINISHED"]
    best = finished.sort_values("metrics.valid_loss", na_position="first").iloc[0]
    return best["run_id"], float(best["params.learning_rate"])


def _text(runs):
    finished = runs[runs["status"] == "FINISHED"]
    best = finished.loc[finished["metrics.valid_loss"].idxmin()]
    return best["run_id"], best["params.learning_rate"]


def _highest(runs):
    finished = runs[runs["status"] == "FINISHED"]
    best = finished.loc[finished["metrics.valid_loss"].idxmax()]
    return best["run_id"], float(best["params.learning_rate"])


def _old_keys_only(then, now):
    return {key: (then[key], now.get(key)) for key in then if then[key] != now.get(key)}


def _common_keys_only(then, now):
    return {key: (then[key], now[key]) for key in then if key in now and then[key] != now[key]}


def _everything(then, now):
    return {key: (then.get(key), now.get(key)) for key in then.keys() | now.keys()}


def _swapped_pair(then, now):
    keys = then.keys() | now.keys()
    return {k: (now.get(k), then.get(k)) for k in keys if then.get(k) != now.get(k)}


WRONG_ANSWERS = {
    "global_norm": [
        (_sum_of_norms, "Norms do not add"),
        (_no_root, "take the root"),
        (_longest, "longest layer"),
        (_mean_square, "a mean over the numbers"),
        (_spectral, "lengths 5 and 12"),
        (lambda gradients: 13.0, "every number counts once"),
        (lambda gradients: [5.0, 12.0], "one number for all layers"),
    ],
    "early_stop": [
        (_looks_ahead, "nobody saw it"),
        (_one_too_patient, "the third without an improvement"),
        (_previous_epoch, "nobody saw it"),
        (_equal_is_better, "Equal is not better"),
        (_swapped_epochs, "swapped"),
        (lambda valid_loss, patience: 2, "two epochs"),
        (lambda valid_loss, patience: (2, 5), "neither is better"),
        (_at_least_two, "patience of 1"),
        (_last_if_never_stopped, "never comes to 5"),
        (_first_six, "the next four do not"),
    ],
    "best_run": [
        (_any_status, "FINISHED ones only"),
        (_highest, "Low is good"),
        (_missing_is_lowest, "missing one is not the lowest"),
        (_text, "still text"),
        (lambda runs: ("d4", 0.003), "in another order"),
        (_not_failed_nor_running, "KILLED or SCHEDULED"),
        (lambda runs: "d4", "the id and the rate"),
    ],
    "what_changed": [
        (_old_keys_only, "polars is new"),
        (_common_keys_only, "scipy is gone"),
        (_everything, "has not changed"),
        (_swapped_pair, "swapped"),
        (lambda then, now: list(then), "Return a dict"),
        (_by_minor, "the last number counts"),
        (lambda then, now: dict.fromkeys(["torch", "scipy", "polars"], 1), "Each entry is a pair"),
    ],
}
