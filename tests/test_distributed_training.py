"""Chapter 12: workers that agree with one process, die without a trace, and wait as computed."""

import importlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.decomposition import PCA

from mlsys_helpers import distributed_training as dt
from mlsys_helpers._servers import ServerError
from mlsys_helpers.datasets import load_flight_features
from mlsys_helpers.distributed_training import (
    RunningMoments,
    bubble_fraction,
    expected_step_time,
    parquet_batches,
    pipeline_schedule,
    plot_schedule,
    run_pipeline,
    run_torchrun,
    saved_activation_bytes,
    shuffle_buffer,
    straggler_times,
    summarise_parquet,
    train_asynchronous,
    train_serial,
    train_synchronous,
    write_repeated,
)
from mlsys_helpers.exercises._engine import judge
from mlsys_helpers.plotting import COLORS

COLUMNS = ["distance", "departure_hour", "temp", "wind_speed", "recent_mean_delay"]


@pytest.fixture(scope="module")
def flights():
    table = load_flight_features()
    return table.assign(**table[COLUMNS].fillna(table[COLUMNS].median()))


@pytest.fixture(scope="module")
def small_file(flights, tmp_path_factory):
    path = tmp_path_factory.mktemp("flights") / "small.parquet"
    return path, write_repeated(flights[COLUMNS], path, 600_000, progress=False)


@pytest.fixture(scope="module")
def large_file(flights, tmp_path_factory):
    path = tmp_path_factory.mktemp("flights") / "large.parquet"
    return path, write_repeated(flights[COLUMNS], path, 10_000_000, progress=False)


@pytest.fixture(autouse=True)
def the_threads_of_the_caller_stay():
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before


# --- Data larger than memory


def test_the_table_is_repeated_until_there_are_enough_rows(flights, small_file):
    path, rows = small_file
    assert rows == 2 * len(flights)
    stored = pd.read_parquet(path)
    assert (stored.dtypes == "float32").all() and list(stored) == COLUMNS
    expected = flights[COLUMNS].astype("float32")
    for half in (stored.iloc[: len(flights)], stored.iloc[len(flights) :]):
        assert np.array_equal(half, expected)


def test_batches_hold_every_row_once_and_parts_share_them(small_file):
    path, rows = small_file
    batches = list(parquet_batches(path, batch_rows=50_000))
    assert max(map(len, batches)) == 50_000 and sum(map(len, batches)) == rows
    assert np.array_equal(np.concatenate(batches), pd.read_parquet(path).to_numpy())
    halves = [np.concatenate(list(parquet_batches(path, part=i, parts=2))) for i in (0, 1)]
    assert np.array_equal(np.concatenate(halves), np.concatenate(batches))
    assert list(parquet_batches(path, part=2, parts=3)) == []  # two row groups, three workers


TABLES = arrays(float, (24, 3), elements=st.floats(-1e3, 1e3))


@settings(max_examples=60, deadline=None)
@given(TABLES, st.lists(st.integers(0, 24), max_size=6), st.randoms())
def test_moments_are_those_of_numpy_in_any_split_and_order(table, cuts, random):
    before = table.copy()
    parts = np.split(table, sorted(cuts))
    random.shuffle(parts)
    merged, updated = RunningMoments(), RunningMoments()
    for part in parts:
        if len(part):
            merged = RunningMoments().update(part).merge(merged)
            updated.update(part)
    for moments in (merged, updated):
        assert moments.count == 24
        np.testing.assert_allclose(moments.mean, table.mean(axis=0), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(
            moments.covariance, np.cov(table, rowvar=False), rtol=1e-10, atol=1e-8
        )
    assert np.array_equal(table, before)


def test_moments_keep_their_digits_far_from_zero():
    rows = np.random.default_rng(0).normal(size=(10_000, 2)) + 1e8
    moments = RunningMoments()
    for part in np.array_split(rows, 13):
        moments.update(part)
    np.testing.assert_allclose(moments.covariance, np.cov(rows - 1e8, rowvar=False), rtol=1e-6)


def test_merging_changes_neither_and_an_empty_side_adds_nothing():
    one, other = (
        RunningMoments().update([[1.0, 2.0], [3.0, 5.0]]),
        RunningMoments().update([[0, 9]]),
    )
    before = one.count, one.mean.copy(), one.scatter.copy()
    both = one.merge(other)
    assert both.count == 3 and one.count == before[0] and other.count == 1
    assert np.array_equal(one.mean, before[1]) and np.array_equal(one.scatter, before[2])
    for merged in (one.merge(RunningMoments()), RunningMoments().merge(one)):
        assert merged.count == 2 and np.array_equal(merged.covariance, one.covariance)
    assert RunningMoments().merge(RunningMoments()).count == 0


@pytest.mark.parametrize("method", ["pca", "zca"])
def test_whitened_columns_have_covariance_identity(flights, method):
    rows = flights[COLUMNS].to_numpy()
    moments = RunningMoments().update(rows)
    white = (rows - moments.mean) @ moments.whitening(method)
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(5), atol=1e-9)


def test_pca_whitening_is_that_of_scikit_learn_and_zca_is_symmetric(flights):
    rows = flights[COLUMNS].to_numpy()[:20_000]
    moments = RunningMoments().update(rows)
    ours = (rows - moments.mean) @ moments.whitening("pca")
    theirs = PCA(whiten=True, svd_solver="full").fit_transform(rows)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-6)  # an axis has no sign
    zca = moments.whitening("zca")
    np.testing.assert_allclose(zca, zca.T)
    np.testing.assert_allclose(zca @ zca, np.linalg.inv(moments.covariance), rtol=1e-6, atol=1e-9)


def test_zca_stays_nearest_to_the_columns(flights):
    """Of all whitenings, ZCA's is nearest to the centred rows in squares (Kessy et al. 2018)."""
    rows = flights[COLUMNS].to_numpy()[:5_000]
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    moments = RunningMoments().update(rows)
    centred = rows - moments.mean
    off = {m: ((centred - centred @ moments.whitening(m)) ** 2).sum() for m in ("pca", "zca")}
    rng = np.random.default_rng(0)
    for _ in range(20):
        turned = moments.whitening("zca") @ stats.ortho_group.rvs(5, random_state=rng)
        assert ((centred - centred @ turned) ** 2).sum() > off["zca"]
    assert off["pca"] > off["zca"]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 40), st.integers(0, 99))
def test_the_buffer_gives_each_row_once_and_none_before_its_time(lengths, size, seed):
    n = sum(lengths)
    stream = np.split(np.arange(n), np.cumsum(lengths)[:-1]) if lengths else []
    batches = list(shuffle_buffer(stream, size, random_state=seed))
    rows = np.concatenate(batches) if batches else np.array([], dtype=int)
    assert sorted(rows) == list(range(n))
    assert all(len(batch) <= size for batch in batches)
    # when the j-th row leaves, at most j + size rows, and the rest of their batch, have come in
    assert (rows - np.arange(n) < size + max(lengths, default=0)).all()


def test_a_buffer_that_holds_all_gives_every_order_the_same_chance():
    rng, orders = np.random.default_rng(0), {order: 0 for order in permutations(range(4))}
    for _ in range(6_000):
        stream = np.arange(4).reshape(4, 1)
        orders[tuple(np.concatenate(list(shuffle_buffer(stream, 4, rng))).tolist())] += 1
    assert stats.chisquare(list(orders.values())).pvalue > 1e-4


def test_a_row_waits_in_the_buffer_for_a_geometric_time():
    """It leaves at each step with probability 1/size: the mean of the wait is size."""
    size, n = 50, 100_000
    rows = np.concatenate(list(shuffle_buffer(np.arange(n).reshape(n, 1), size, 0)))
    left_at = np.argsort(rows) + size  # the step at which a row went out
    wait = (left_at - np.arange(n))[size : n - 20 * size]  # neither the first nor the last ones
    assert abs(wait.mean() - size) < 4 * size / np.sqrt(len(wait))
    assert abs(np.mean(wait > size) - (1 - 1 / size) ** size) < 0.01


def test_the_same_seed_gives_the_same_order_and_the_input_stays():
    stream = [np.arange(12.0).reshape(6, 2), np.arange(8.0).reshape(4, 2)]
    before = [batch.copy() for batch in stream]
    one, other = (np.concatenate(list(shuffle_buffer(stream, 3, 7))) for _ in range(2))
    assert np.array_equal(one, other) and one.shape == (10, 2)
    assert all(map(np.array_equal, stream, before))


def test_memory_is_flat_as_the_rows_grow_and_loading_all_is_refused(small_file, large_file):
    (small, few), (large, many) = small_file, large_file
    assert many >= 10_000_000 and many > 10 * few
    peaks = [summarise_parquet(path, limit_mb=250).peak_mb[0] for path in (small, large)]
    assert peaks[1] < 1.15 * peaks[0]
    if sys.platform == "linux":
        with pytest.raises(RuntimeError, match=r"(?s)reader 0 ended.*[Mm]emory"):
            summarise_parquet(large, "pandas", limit_mb=250)


def test_workers_together_find_the_moments_of_the_whole_and_whiten_it(flights, large_file):
    path, rows = large_file
    found = summarise_parquet(path, workers=2, limit_mb=250)
    exact = flights[COLUMNS].astype("float32").astype(float)
    assert found.moments.count == rows and len(found.peak_mb) == 2
    np.testing.assert_allclose(found.moments.mean, exact.mean(), rtol=1e-10)
    biased = np.cov(exact, rowvar=False, ddof=0)  # each row as often as every other
    np.testing.assert_allclose(found.moments.scatter / rows, biased, rtol=1e-9)
    whiten = found.moments.mean, found.moments.whitening()
    white = summarise_parquet(path, workers=2, whiten=whiten, buffer=50_000, limit_mb=250)
    assert white.moments.count == rows
    np.testing.assert_allclose(white.moments.covariance, np.eye(5), atol=1e-8)
    np.testing.assert_allclose(white.moments.mean, 0, atol=1e-8)


def test_pandas_and_batches_find_the_same_and_idle_workers_do_no_harm(small_file):
    path, rows = small_file
    whole = summarise_parquet(path, "pandas").moments
    shared = summarise_parquet(path, workers=3).moments  # two row groups for three workers
    assert whole.count == shared.count == rows
    np.testing.assert_allclose(whole.covariance, shared.covariance, rtol=1e-9)


# --- Gradient checkpointing


def deep(layers=16, width=32, rows=64):
    torch.manual_seed(0)
    parts = [
        torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.Tanh()) for _ in range(layers)
    ]
    return torch.nn.Sequential(*parts), torch.randn(rows, width)


def test_saved_bytes_are_those_of_the_layers_outputs_and_inputs():
    module, x = deep()
    one = 64 * 32 * 4
    assert saved_activation_bytes(module, x) == 17 * one  # the input and sixteen outputs


@pytest.mark.parametrize("segments", [1, 2, 4, 8, 16])
def test_checkpointing_holds_k_inputs_and_one_segment(segments):
    module, x = deep()
    one = 64 * 32 * 4
    expected = (segments + 16 // segments) * one  # k inputs, L / k outputs of the last segment
    assert saved_activation_bytes(module, x, segments) == expected


def test_the_best_number_of_segments_is_the_root_of_the_layers():
    module, x = deep()
    saved = {k: saved_activation_bytes(module, x, k) for k in (1, 2, 4, 8, 16)}
    assert min(saved, key=saved.get) == 4


def test_checkpointed_gradients_are_the_same_to_the_bit_and_the_module_stays():
    from torch.utils.checkpoint import checkpoint_sequential

    module, x = deep()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    saved_activation_bytes(module, x, 4)
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters()) and not x.requires_grad
    gradients = []
    for output in (module(x), checkpoint_sequential(module, 4, x, use_reentrant=False)):
        gradients.append(torch.autograd.grad(output.square().sum(), list(module.parameters())))
    assert all(map(torch.equal, *gradients))


def test_checkpointing_runs_the_forward_pass_twice():
    from torch.utils.checkpoint import checkpoint_sequential

    module, x = deep()
    calls = []
    for part in module:
        part.register_forward_pre_hook(lambda *_: calls.append(1))
    module(x).sum().backward()
    assert len(calls) == 16
    calls.clear()
    checkpoint_sequential(module, 4, x, use_reentrant=False).sum().backward()
    assert len(calls) == 16 + 12  # all segments but the last, again


# --- Data parallelism: the same model


@pytest.fixture(scope="module")
def task(flights):
    """Real flights, and a small network for them."""
    rows = flights.sample(4_000, random_state=0)
    scaled = (rows[COLUMNS] - rows[COLUMNS].mean()) / rows[COLUMNS].std()
    torch.manual_seed(0)
    layers = [torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)]
    X = torch.tensor(scaled.to_numpy("float32"))
    return torch.nn.Sequential(*layers), X, torch.tensor(rows["late"].to_numpy("float32"))


def gradient(model, X, y):
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model(X).squeeze(1), y)
    parts = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([part.flatten() for part in parts])


def test_serial_training_is_that_of_torchs_optimiser(task):
    import copy

    model, X, y = task
    run = train_serial(model, X, y, steps=30, batch_size=4_000, learning_rate=0.5)
    theirs = copy.deepcopy(model)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.5)
    for step in range(30):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(theirs(X).squeeze(1), y)
        assert abs(loss.item() - run.updates["loss"].iloc[step]) < 1e-5
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trained = torch.nn.utils.parameters_to_vector(theirs.parameters())
    torch.testing.assert_close(run.parameters[-1], trained, atol=1e-5, rtol=0)
    start = torch.nn.utils.parameters_to_vector(model.parameters())
    assert torch.equal(run.parameters[0], start)  # and the model is as it was


def test_each_pass_over_the_data_takes_every_row_once():
    model, X = torch.nn.Linear(1, 1), torch.arange(12.0).view(12, 1)
    batches = dt._batches(model, X, torch.ones(12), 1, 6, 4, 0.1, 0)
    assert batches.shape == (6, 4)
    for epoch in (batches[:3], batches[3:]):
        assert sorted(epoch.flatten().tolist()) == list(range(12))
    assert not torch.equal(batches[:3], batches[3:])


@pytest.fixture(scope="module")
def in_step(task):
    """Three workers, one of them slow, and the process ids they had."""
    pids, options = [], {"steps": 40, "batch_size": 50, "learning_rate": 0.5, "random_state": 1}
    options |= {"seconds": [0, 0, 0.02], "progress": False, "started": pids.extend}
    return train_synchronous(*task, workers=3, **options), pids


def test_workers_in_step_get_the_model_of_one_process(task, in_step):
    run, _ = in_step
    serial = train_serial(*task, steps=40, batch_size=150, learning_rate=0.5, random_state=1)
    torch.testing.assert_close(run.first_gradient, serial.first_gradient, atol=1e-6, rtol=0)
    torch.testing.assert_close(run.parameters, serial.parameters, atol=1e-5, rtol=0)
    np.testing.assert_allclose(run.updates["loss"], serial.updates["loss"], atol=1e-5)
    assert (run.updates["rows"] == 150).all() and (run.updates["staleness"] == 0).all()
    assert run.updates["seconds"].is_monotonic_increasing


def test_the_averaged_gradient_is_that_of_the_whole_batch(task, in_step):
    model, X, y = task
    rows = dt._batches(model, X, y, 3, 1, 50, 0.5, 1)[0]
    whole = gradient(model, X[rows], y[rows])
    torch.testing.assert_close(in_step[0].first_gradient, whole, atol=1e-6, rtol=0)


def test_the_workers_were_processes_and_none_is_left(in_step):
    _, pids = in_step
    assert len(set(pids)) == 3 and os.getpid() not in pids
    assert not any(map(psutil.pid_exists, pids))


def test_a_straggler_slows_all(in_step):
    """Worker 2 sleeps; worker 0, which measures, does not."""
    assert in_step[0].updates["seconds"].iloc[-1] >= 40 * 0.02


# --- Data parallelism: failures


DOOMED = """
import os, sys, time, torch, torch.distributed as dist

def fail(rank, size, report, how):
    if rank == 1:
        if how == "raises":
            raise ZeroDivisionError("the planted error")
        if how == "exits":
            sys.exit(7)
        if how == "leaves":
            os._exit(0)
        time.sleep(60)
    dist.all_reduce(torch.ones(1))
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def fail(tmp_path_factory):
    """What workers do in the next tests: worker 1 goes, and the others wait for it."""
    folder = tmp_path_factory.mktemp("doomed")
    (folder / "doomed_workers.py").write_text(DOOMED)  # small, as every worker imports it
    sys.path.insert(0, str(folder))
    yield importlib.import_module("doomed_workers").fail
    sys.path.remove(str(folder))
    del sys.modules["doomed_workers"]


def all_gone(pids, seconds=20):
    deadline = time.monotonic() + seconds
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(psutil.pid_exists, pids))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("killed", "process 1 terminated with signal SIGKILL"),
        ("raises", r"(?s)[Pp]rocess 1 terminated.*ZeroDivisionError: the planted error"),
        ("exits", "process 1 terminated with exit code 7"),
        ("leaves", "process 1 left without a result"),
    ],
)
def test_a_worker_that_dies_ends_all_within_seconds(fail, how, words):
    seen = {}

    def started(pids):
        seen.update(pids=pids, at=time.monotonic())
        if how == "killed":
            os.kill(pids[1], signal.SIGKILL)

    with pytest.raises(ServerError, match=words):
        dt._run_group(fail, 3, {"how": how}, total=1, progress=False, started=started)
    assert time.monotonic() - seen["at"] < 20  # a second or two, on an idle machine
    assert len(seen["pids"]) == 3 and all_gone(seen["pids"])


def test_workers_end_with_the_process_that_watches_them(task):
    """It is killed itself, say for lack of memory; the asynchronous server ends, too."""
    pids = []

    def kill_the_launcher(found):
        pids.extend(found)
        os.kill(psutil.Process(found[0]).ppid(), signal.SIGKILL)

    options = {"updates": 100_000, "seconds": 0.01, "progress": False}
    with pytest.raises(RuntimeError, match="the group of 3 workers ended with code -9"):
        train_asynchronous(*task, workers=2, started=kill_the_launcher, **options)
    assert len(pids) == 3 and all_gone(pids)


def test_a_group_that_hangs_is_ended_when_its_time_is_over(fail):
    pids = []
    with pytest.raises(ServerError, match="the group of 2 workers was not done after 1 seconds"):
        dt._run_group(
            fail, 2, {"how": "hangs"}, total=1, progress=False, started=pids.extend, timeout=1
        )
    assert len(pids) == 2 and all_gone(pids)


def test_a_caller_that_raises_or_is_killed_leaves_no_worker(tmp_path):
    script = textwrap.dedent(
        """
        import sys, torch
        from mlsys_helpers.distributed_training import train_synchronous

        def tell(pids):
            print(*pids, flush=True)

        X, y = torch.randn(40, 3), torch.arange(40.0) % 2
        options = {"steps": 100_000, "batch_size": 5, "seconds": 0.01, "progress": False}
        train_synchronous(torch.nn.Linear(3, 1), X, y, started=tell, **options)
        """
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    watchdog = threading.Timer(60, caller.kill)
    watchdog.start()
    with caller.stdout:
        pids = [int(pid) for pid in caller.stdout.readline().split()]
    caller.kill()
    caller.wait()
    watchdog.cancel()
    assert len(pids) == 2 and all_gone(pids)


# --- Data parallelism: out of step


def test_one_worker_out_of_step_is_plain_sgd_to_the_bit(task):
    options = {"batch_size": 100, "learning_rate": 0.5, "random_state": 3}
    run = train_asynchronous(*task, workers=1, updates=50, progress=False, **options)
    serial = train_serial(*task, steps=50, **options)
    assert torch.equal(run.parameters, serial.parameters)
    assert torch.equal(run.first_gradient, serial.first_gradient)
    assert (run.updates["staleness"] == 0).all()


@pytest.fixture(scope="module")
def out_of_step(task):
    return train_asynchronous(
        *task, workers=3, updates=300, batch_size=50, seconds=[0.002, 0.002, 0.03], progress=False
    )


def test_staleness_is_n_minus_1_on_average_and_counted_rightly(out_of_step):
    updates = out_of_step.updates
    taken, expected = {}, []  # counted again, from the order of arrival alone
    for version, worker in enumerate(updates["worker"]):
        expected.append(version - taken.get(worker, 0))
        taken[worker] = version + 1
    assert updates["staleness"].tolist() == expected
    # Between two visits of a worker the others' updates are counted; what is missing is only
    # what happens after each worker's last visit.
    assert 3 * len(updates) - len(updates) == sum(expected) + sum(
        len(updates) - last for last in taken.values()
    )
    assert 1.5 < np.mean(expected) <= 2


def test_the_slow_worker_is_the_stale_one_and_holds_nobody_up(out_of_step):
    by_worker = out_of_step.updates.groupby("worker")["staleness"].agg(["mean", "size"])
    assert set(by_worker.index) == {1, 2, 3}
    assert by_worker["mean"][3] > by_worker["mean"][[1, 2]].max()
    assert by_worker["size"][3] < by_worker["size"][[1, 2]].min()  # in step all have as many


def test_the_server_applies_gradients_computed_at_the_weights_it_had_sent(task, out_of_step):
    """Replayed: each update is the gradient at the stale weights, on the rows that were dealt."""
    import copy

    model, X, y = copy.deepcopy(task[0]), *task[1:]
    batches = dt._batches(model, X, y, 1, 303, 50, 0.1, 0)
    updates, weights = out_of_step.updates, out_of_step.parameters
    dealt = {1: 0, 2: 1, 3: 2}
    for version, (worker, staleness) in enumerate(
        zip(updates["worker"], updates["staleness"], strict=True)
    ):
        rows = batches[dealt[worker]]
        torch.nn.utils.vector_to_parameters(weights[version - staleness], model.parameters())
        expected = weights[version] - 0.1 * gradient(model, X[rows], y[rows])
        torch.testing.assert_close(weights[version + 1], expected, atol=1e-6, rtol=0)
        dealt[worker] = version + 3


# --- Stragglers


@pytest.mark.parametrize("workers", [1, 2, 10, 100])
def test_the_slowest_of_n_exponentials_takes_the_harmonic_number(workers):
    slowest = straggler_times(workers, 20_000, random_state=0).max(axis=1)
    harmonic = (1 / np.arange(1, workers + 1)).sum()
    assert abs(slowest.mean() - harmonic) < 4 * slowest.std() / np.sqrt(len(slowest))
    if workers == 100:
        assert round(harmonic, 3) == 5.187


def test_the_tail_at_scale():
    """63 % of the requests to a hundred servers are slow (Dean and Barroso 2013)."""
    assert round(1 - 0.99**100, 3) == 0.634
    slow = (straggler_times(100, 20_000, slow_share=0.01, random_state=1) > 1).any(axis=1)
    assert abs(slow.mean() - 0.634) < 4 * np.sqrt(0.634 * 0.366 / 20_000)
    assert np.isclose(expected_step_time(100, 0.01, slow_factor=2), 1 + (1 - 0.99**100))


@given(st.integers(1, 500), st.floats(0, 1), st.floats(1, 50))
def test_the_expected_step_is_between_its_bounds_and_grows(workers, share, factor):
    step = expected_step_time(workers, share, factor)
    assert 1 <= step <= factor + 1e-9
    assert step <= expected_step_time(workers + 1, share, factor) + 1e-9
    assert expected_step_time(workers, 0, factor) == 1
    assert np.isclose(expected_step_time(workers, 1, factor), factor)


def test_the_expected_step_is_the_mean_of_simulated_ones():
    times = straggler_times(20, 40_000, slow_share=0.03, slow_factor=5, random_state=2)
    steps = times.max(axis=1)
    assert set(np.unique(times)) == {1.0, 5.0}
    expected = expected_step_time(20, 0.03, 5)
    assert abs(steps.mean() - expected) < 4 * steps.std() / np.sqrt(len(steps))
    assert np.array_equal(
        times, straggler_times(20, 40_000, slow_share=0.03, slow_factor=5, random_state=2)
    )


# --- torchrun


def test_a_script_under_torchrun_meets_the_others_and_leaves_no_thread_behind(tmp_path):
    """Threads that carry messages while Python shuts down made one run in thirty abort."""
    script = tmp_path / "sum.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys, torch, torch.distributed as dist
            import torch.distributed.nn
            from pathlib import Path
            from torch.nn.parallel import DistributedDataParallel

            dist.init_process_group("gloo")
            rank = dist.get_rank()
            model = DistributedDataParallel(torch.nn.Linear(1, 1))
            model(torch.tensor([[rank + 1.0]])).sum().backward()
            weight = model.module.weight
            dist.barrier()
            del model
            dist.destroy_process_group()
            tasks = Path("/proc/self/task").glob("*/comm")
            left = [task for task in tasks if "gloo" in task.read_text()]
            print(f"rank {rank}: mean {weight.grad.item()}, left {left}, {sys.argv[1]}\\n", end="")
            """
        )
    )
    words = run_torchrun(script, "word", workers=2)
    for rank in (0, 1):
        assert f"rank {rank}: mean 1.5, left [], word" in words


def test_a_script_that_fails_under_torchrun_is_told_with_its_words(tmp_path):
    script = tmp_path / "fail.py"
    script.write_text(
        "import os, sys\nif os.environ['RANK'] == '1':\n    print('planted')\n    sys.exit(3)\n"
    )
    with pytest.raises(
        RuntimeError, match=r"(?s)torchrun ended with code 1.*planted.*exitcode  : 3"
    ):
        run_torchrun(script, workers=2)


# --- Model parallelism


@pytest.mark.parametrize("kind", ["gpipe", "1f1b"])
@pytest.mark.parametrize(("stages", "batches"), [(1, 1), (2, 3), (4, 8), (4, 4), (8, 32), (3, 1)])
def test_the_bubble_is_that_of_the_formula(stages, batches, kind):
    schedule = pipeline_schedule(stages, batches, kind)
    assert len(schedule) == 2 * stages * batches
    expected = (stages - 1) / (batches + stages - 1)
    assert np.isclose(bubble_fraction(schedule), expected)
    assert np.isclose(schedule["end"].max(), 2 * (batches + stages - 1))


def test_the_bubble_of_four_stages_and_eight_micro_batches():
    assert round(bubble_fraction(pipeline_schedule(4, 8)), 4) == 0.2727


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 10), st.sampled_from(["gpipe", "1f1b"]))
def test_a_schedule_keeps_to_what_depends_on_what(stages, batches, kind):
    schedule = pipeline_schedule(stages, batches, kind)
    when = schedule.set_index(["phase", "stage", "micro_batch"]).sort_index()
    for stage in range(stages):
        for batch in range(batches):
            if stage:
                earlier = when.loc[("forward", stage - 1, batch), "end"]
                assert when.loc[("forward", stage, batch), "start"] >= earlier
                earlier = when.loc[("backward", stage, batch), "end"]
                assert when.loc[("backward", stage - 1, batch), "start"] >= earlier
            forward = when.loc[("forward", stage, batch), "end"]
            assert when.loc[("backward", stage, batch), "start"] >= forward
    for _, own in schedule.groupby("stage"):  # a stage does one thing at a time
        own = own.sort_values("start")
        assert (own["start"].to_numpy()[1:] >= own["end"].to_numpy()[:-1] - 1e-9).all()


def most_held(events):
    """The most micro-batches whose forward pass is done and backward pass is not, by stage."""
    events = events.sort_values("start")
    change = events["phase"].map({"forward": 1, "backward": -1})
    return change.groupby(events["stage"]).cumsum().groupby(events["stage"]).max().tolist()


def test_1f1b_holds_fewer_micro_batches():
    assert most_held(pipeline_schedule(4, 8, "gpipe")) == [8, 8, 8, 8]
    assert most_held(pipeline_schedule(4, 8, "1f1b")) == [4, 3, 2, 1]


def test_a_schedule_is_drawn_box_by_box():
    schedule = pipeline_schedule(3, 4)
    ax = plot_schedule(schedule, unit="seconds")
    assert len(ax.patches) == len(schedule) and ax.get_xlabel() == "seconds"
    boxes = [(p.get_x(), p.get_width(), p.get_y() + p.get_height() / 2) for p in ax.patches]
    rows = schedule[["start", "end", "stage"]].to_numpy()
    np.testing.assert_allclose(boxes, [(s, e - s, stage + 1) for s, e, stage in rows])
    assert [text.get_text() for text in ax.texts] == (schedule["micro_batch"] + 1).astype(
        str
    ).tolist()
    from matplotlib.colors import to_rgba

    colors = {p.get_facecolor() for p in ax.patches}
    assert colors == {to_rgba(COLORS["sky"]), to_rgba(COLORS["orange"])}
    assert plot_schedule(schedule, ax=ax) is ax


@pytest.fixture(scope="module")
def pipeline(task):
    _, X, y = task
    torch.manual_seed(0)
    parts = [part for _ in range(3) for part in (torch.nn.Linear(5, 5), torch.nn.Tanh())]
    network = torch.nn.Sequential(*parts, torch.nn.Linear(5, 1))
    plans = [("gpipe", 1), ("gpipe", 8), ("1f1b", 8)]
    runs = run_pipeline(network, X[:160], y[:160], plans, stages=4, seconds=0.05, progress=False)
    return network, X[:160], y[:160], dict(zip(plans, runs, strict=True))


def test_a_real_pipeline_gives_the_unsplit_models_output_and_gradient(pipeline):
    network, X, y, runs = pipeline
    for run in runs.values():
        torch.testing.assert_close(run.output, network(X).squeeze(1), atol=1e-6, rtol=0)
        torch.testing.assert_close(run.gradient, gradient(network, X, y), atol=1e-6, rtol=0)


def test_a_real_pipeline_waits_about_as_the_formula_says(pipeline):
    """Messages take time, too, so it waits longer, and a busy machine makes stages unequal."""
    for (_, batches), run in pipeline[3].items():
        formula = 3 / (batches + 3)
        assert formula - 0.1 < bubble_fraction(run.events) < formula + 0.35
    wait = {plan: bubble_fraction(run.events) for plan, run in pipeline[3].items()}
    assert wait["gpipe", 8] < wait["gpipe", 1] - 0.1


def test_a_real_pipeline_keeps_to_its_schedule(pipeline):
    for (kind, batches), run in pipeline[3].items():
        planned = pipeline_schedule(4, batches, kind)
        order = ["stage", "phase", "micro_batch"]
        assert run.events[order].equals(planned[order])
        assert run.events["start"].min() == 0
    assert most_held(pipeline[3]["1f1b", 8].events) == [4, 3, 2, 1]


# --- What is refused


def a_model():
    return torch.nn.Linear(2, 1)


def small_stack():
    return torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))


X_OK, Y_OK = torch.ones(8, 2), torch.ones(8)
REFUSED = [
    (lambda p: write_repeated(pd.DataFrame(), p, 5), "frame must be a DataFrame"),
    (lambda p: write_repeated(np.ones((2, 2)), p, 5), "frame must be a DataFrame"),
    (lambda p: write_repeated(pd.DataFrame({"a": ["x"]}), p, 5), "column 'a' must hold numbers"),
    (lambda p: write_repeated(pd.DataFrame({"a": [np.nan]}), p, 5), "column 'a' holds 1 missing"),
    (
        lambda p: write_repeated(pd.DataFrame([[1, 2]], columns=["a", "a"]), p, 5),
        "with each column once",
    ),
    (lambda p: write_repeated(pd.DataFrame({"a": [1e300]}), p, 5), "column 'a' must"),
    (lambda p: write_repeated(pd.DataFrame({"a": [np.inf]}), p, 5), "column 'a'"),
    (lambda p: write_repeated(pd.DataFrame({"a": [1]}), p, 0), "rows must be a whole number"),
    (lambda p: next(parquet_batches(p, 0)), "batch_rows must be a whole number"),
    (lambda p: next(parquet_batches(p, part=-1)), "part must be a whole number"),
    (lambda p: next(parquet_batches(p, part=3, parts=3)), "part must be below parts"),
    (lambda p: RunningMoments().update([[np.nan]]), "rows must be a table of finite numbers"),
    (lambda p: RunningMoments().update([1.0, 2.0]), "rows must be a table of finite numbers"),
    (lambda p: RunningMoments().update([["x"]]), "rows must be a table of finite numbers"),
    (lambda p: RunningMoments().update([[1.0], [1.0, 2.0]]), "rows must be a table of finite"),
    (lambda p: RunningMoments().update(np.ones((0, 2))), "rows must be a table of finite numbers"),
    (lambda p: RunningMoments().update([[1.0]]).update([[1.0, 2.0]]), "rows must have 1 columns"),
    (lambda p: RunningMoments().covariance, "at least two rows, got 0"),
    (lambda p: RunningMoments().update([[1.0], [1.0]]).whitening(), "a column is constant"),
    (lambda p: RunningMoments().update([[1.0], [2.0]]).whitening("x"), "method must be one of"),
    (lambda p: list(shuffle_buffer([np.ones((2, 3)), np.ones((2, 1))], 9)), "of the same columns"),
    (lambda p: list(shuffle_buffer([np.ones(2, int), np.ones(2) / 2], 9)), "columns and dtype"),
    (lambda p: list(shuffle_buffer([1, 2], 9)), "stream must hold arrays of rows"),
    (lambda p: shuffle_buffer([], 0), "size must be a whole number"),
    (lambda p: shuffle_buffer([], 5, "seed"), "random_state must be"),
    (lambda p: summarise_parquet(p, "numpy"), "how must be one of"),
    (lambda p: summarise_parquet(p, workers=0), "workers must be a whole number"),
    (lambda p: summarise_parquet(p, limit_mb=0), "limit_mb must be a whole number"),
    (lambda p: summarise_parquet(p, buffer=-1), "buffer must be a whole number"),
    (lambda p: summarise_parquet(p, "pandas", workers=2), "are for how='batches'"),
    (lambda p: summarise_parquet(p, "pandas", buffer=2), "are for how='batches'"),
    (lambda p: summarise_parquet(p, whiten=([1.0], ["x"])), "the matrix of whiten must be"),
    (lambda p: summarise_parquet(p, whiten=([np.nan], [[1.0]])), "the mean of whiten must be"),
    (lambda p: saved_activation_bytes(deep(2)[0], deep(2)[1], 3), "segments must be at most 2"),
    (lambda p: saved_activation_bytes(deep(2)[0], deep(2)[1], 0), "segments must be a whole"),
    (lambda p: train_serial(a_model(), torch.ones(8), Y_OK), "X must hold finite numbers in 2"),
    (lambda p: train_serial(a_model(), X_OK * torch.nan, Y_OK), "X must hold finite numbers"),
    (lambda p: train_serial(a_model(), X_OK, X_OK), "y must hold finite numbers in 1"),
    (lambda p: train_serial(torch.nn.Tanh(), X_OK, Y_OK), "model must have parameters"),
    (lambda p: train_serial(torch.nn.Linear(2, 3), X_OK, Y_OK, batch_size=2), "one logit a row"),
    (lambda p: train_serial(a_model(), X_OK, Y_OK[1:], batch_size=2), "y must have 8 entries"),
    (lambda p: train_serial(a_model(), X_OK, Y_OK * 2, batch_size=2), "y must hold the labels"),
    (lambda p: train_serial(a_model(), X_OK, Y_OK, batch_size=9), "batch_size must be at most"),
    (lambda p: train_serial(a_model(), X_OK, Y_OK, steps=0), "steps must be a whole number"),
    (lambda p: train_serial(a_model(), X_OK, Y_OK, learning_rate=0), "learning_rate must be"),
    (lambda p: train_synchronous(a_model(), X_OK, Y_OK, 0), "workers must be a whole number"),
    (lambda p: train_synchronous(a_model(), X_OK, Y_OK, 2, batch_size=5), "rows of each worker, 4"),
    (
        lambda p: train_synchronous(a_model(), X_OK, Y_OK, 2, batch_size=2, seconds=[1]),
        "seconds must have 2 entries",
    ),
    (
        lambda p: train_asynchronous(a_model(), X_OK, Y_OK, 2, batch_size=2, seconds=-1),
        "seconds must hold",
    ),
    (lambda p: train_asynchronous(a_model(), X_OK, Y_OK, updates=0), "updates must be a whole"),
    (
        lambda p: train_synchronous(a_model(), X_OK, Y_OK, 2, batch_size=2, timeout=-1),
        "timeout must be",
    ),
    (
        lambda p: train_synchronous(a_model(), X_OK, Y_OK, 2, batch_size=2, seconds=[0, np.nan]),
        "seconds holds 1 missing",
    ),
    (lambda p: train_serial(a_model(), X_OK, Y_OK, batch_size=2, learning_rate=np.inf), "learning"),
    (lambda p: expected_step_time(2, 0.1, np.inf), "slow_factor must be"),
    (lambda p: straggler_times(0), "workers must be a whole number"),
    (lambda p: straggler_times(2, 0), "steps must be a whole number"),
    (lambda p: straggler_times(2, slow_share=2), "slow_share must be a number"),
    (lambda p: straggler_times(2, slow_share=0.1, slow_factor=0.5), "slow_factor must be"),
    (lambda p: expected_step_time(0, 0.1), "workers must be a whole number"),
    (lambda p: expected_step_time(2, -0.1), "slow_share must be a number"),
    (lambda p: expected_step_time(2, 0.1, 0), "slow_factor must be a number"),
    (lambda p: run_torchrun(p, workers=0), "workers must be a whole number"),
    (lambda p: run_torchrun(p, timeout=0), "timeout must be a number above 0"),
    (lambda p: pipeline_schedule(0, 1), "stages must be a whole number"),
    (lambda p: pipeline_schedule(1, 0), "micro_batches must be a whole number"),
    (lambda p: pipeline_schedule(1, 1, "zero"), "kind must be one of"),
    (lambda p: bubble_fraction(pd.DataFrame()), "schedule must be a table"),
    (lambda p: plot_schedule(pipeline_schedule(1, 1).drop(columns="stage")), "schedule must be"),
    (lambda p: bubble_fraction(pipeline_schedule(1, 1) * 0), "phase of schedule must be"),
    (lambda p: bubble_fraction(pipeline_schedule(1, 1).assign(end=0.0)), "end of schedule must"),
    (lambda p: bubble_fraction(pipeline_schedule(1, 1).assign(end=np.nan)), "end of schedule must"),
    (lambda p: plot_schedule(pipeline_schedule(1, 1).assign(phase="rest")), "phase of schedule"),
    (lambda p: run_pipeline(a_model(), X_OK, Y_OK), "model must be a torch.nn.Sequential"),
    (lambda p: run_pipeline(small_stack(), X_OK, Y_OK, [], stages=2), "plans must hold pairs"),
    (lambda p: run_pipeline(small_stack(), X_OK, Y_OK, ["gpipe"], stages=2), "plans must hold"),
    (lambda p: run_pipeline(small_stack(), X_OK, Y_OK, stages=3), "of at least 3 layers"),
    (lambda p: run_pipeline(small_stack(), X_OK, Y_OK, stages=1), "stages must be a whole number"),
    (
        lambda p: run_pipeline(small_stack(), X_OK, Y_OK, [("gpipe", 3)], stages=2),
        "must divide 8, the rows of X",
    ),
    (lambda p: run_pipeline(small_stack(), X_OK, Y_OK, [("x", 2)], stages=2), "the kind of a plan"),
    (
        lambda p: run_pipeline(small_stack(), X_OK, Y_OK, [("1f1b", 1)], stages=2),
        "at least as many micro-batches as stages",
    ),
    (lambda p: run_pipeline(small_stack(), X_OK, Y_OK, stages=2, seconds=-1), "seconds must be"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED, ids=range(len(REFUSED)))
def test_bad_input_is_refused_by_name(call, words, tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ValueError, match=words):
        call(path)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: train_serial("model", X_OK, Y_OK), "model must be a torch.nn.Module"),
        (lambda: train_serial(a_model(), np.ones((8, 2)), Y_OK), "X must be a tensor of floats"),
        (lambda: train_serial(a_model(), X_OK, Y_OK.long()), "y must be a tensor of floats"),
        (lambda: train_serial(a_model(), X_OK.double(), Y_OK), "X must be of the model's dtype"),
        (
            lambda: saved_activation_bytes(deep(2)[0], np.ones((2, 2))),
            "x must be a tensor of floats",
        ),
        (lambda: saved_activation_bytes(a_model(), X_OK), "module must be a torch.nn.Sequential"),
        (lambda: RunningMoments().merge([1.0]), "other must be RunningMoments"),
    ],
    ids=range(7),
)
def test_a_wrong_type_is_refused_by_name(call, words):
    with pytest.raises(TypeError, match=words):
        call()


@pytest.mark.parametrize(
    "read", [summarise_parquet, run_torchrun, lambda p: next(parquet_batches(p))]
)
def test_a_file_that_is_not_there_is_named(read, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        read(tmp_path / "nothing")


def test_a_bar_shows_and_can_be_turned_off(flights, tmp_path, capsys):
    write_repeated(flights[COLUMNS], tmp_path / "a", 1, progress=False)
    assert capsys.readouterr().err == ""
    write_repeated(flights[COLUMNS], tmp_path / "a", 1)
    assert "writing" in capsys.readouterr().err


# --- Exercises: the mistakes that people make, and a word of the diagnosis that each must meet


def _mean_of_means(one, other):
    (n, a, v), (m, b, w) = one, other
    return n + m, (a + b) / 2, (n * v + m * w) / (n + m)


def _only_within(one, other):
    (n, a, v), (m, b, w) = one, other
    return n + m, (n * a + m * b) / (n + m), (n * v + m * w) / (n + m)


def _adds_variances(one, other):
    (n, a, v), (m, b, w) = one, other
    return n + m, (n * a + m * b) / (n + m), v + w


def _squares(one, other):
    (n, a, v), (m, b, w) = one, other
    mean = (n * a + m * b) / (n + m)
    return n + m, mean, (n * (v + a**2) + m * (w + b**2)) / (n + m) - mean**2


def _less_one(one, other):
    n, mean, variance = _right_moments(one, other)
    return n, mean, variance * n / (n - 1)


def _right_moments(one, other):
    (n, a, v), (m, b, w) = one, other
    total, gap = n + m, b - a
    return total, a + gap * m / total, (n * v + m * w) / total + gap**2 * n * m / total**2


def _counts_own(arrivals):
    version, result = {}, []
    for updates, worker in enumerate(arrivals):
        result.append(updates - version.get(worker, 0))
        version[worker] = updates
    return result


def _first_is_fresh(arrivals):
    version, result = {}, []
    for updates, worker in enumerate(arrivals):
        result.append(updates - version.get(worker, updates))
        version[worker] = updates + 1
    return result


def _n_minus_1(arrivals):
    n = len(set(arrivals))
    return [min(i, n - 1) for i in range(len(arrivals))]


def _in_turn_only(arrivals):
    return [0] * len(arrivals) if len(set(arrivals)) < 2 else _n_minus_1(arrivals)


def _strictly_below(stages, bubble):
    micro_batches = 1
    while (stages - 1) / (micro_batches + stages - 1) >= bubble:
        micro_batches += 1
    return micro_batches


def _rounds_down(stages, bubble):
    return int((stages - 1) * (1 - bubble) / bubble)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("merge_moments", lambda one, other: np.array(_right_moments(one, other))),
        ("merge_moments", lambda one, other: list(map(np.float64, _right_moments(one, other)))),
        ("average_gradient", lambda g, rows: pd.Series(np.average(g, axis=0, weights=rows))),
        ("average_gradient", lambda g, rows: list(np.average(g, axis=0, weights=rows))),
        ("enough_micro_batches", lambda k, b: np.int64(max(1, np.ceil((k - 1) * (1 - b) / b)))),
    ],
)
def test_other_right_answers_are_accepted(name, answer):
    assert judge(f"distributed_training.{name}", answer).status == "correct"


WRONG_ANSWERS = {
    "merge_moments": [
        (_mean_of_means, "mean of the two means"),
        (_only_within, "within the parts"),
        (_adds_variances, "not added up"),
        (_squares, "lose their digits"),
        (_less_one, "not by one less"),
        (lambda one, other: _right_moments(one, other)[1:], "three numbers"),
        (lambda one, other: (8, 5.625, _right_moments(one, other)[2]), "parts of any size"),
    ],
    "average_gradient": [
        (lambda gradients, rows: gradients.mean(axis=0), "plain mean"),
        (lambda gradients, rows: gradients.sum(axis=0), "That is the sum"),
        (lambda gradients, rows: (gradients * rows[:, None]).sum(axis=0), "Divide"),
        (
            lambda gradients, rows: (gradients / rows[:, None]).sum(axis=0) / (1 / rows).sum(),
            "more",
        ),
        (lambda gradients, rows: (gradients.T * rows / rows.sum()).T, "each parameter"),
        (lambda gradients, rows: 0.75 * gradients[0] + 0.25 * gradients[1], "number of workers"),
    ],
    "staleness": [
        (_counts_own, "own update"),
        (_first_is_fresh, "stale already"),
        (_n_minus_1, "any order"),
        (_in_turn_only, "any order"),
        (lambda arrivals: np.mean(arrivals), "each arrival"),
        (lambda arrivals: [0] * len(arrivals), "in turn"),
    ],
    "enough_micro_batches": [
        (lambda stages, bubble: int(np.ceil((stages - 1) / bubble)), "not all of the denominator"),
        (_strictly_below, "exactly"),
        (_rounds_down, "round up"),
        (lambda stages, bubble: 9, "7 / (17 + 7)"),
        (
            lambda stages, bubble: int(np.ceil((stages - 1) * (1 - bubble) / bubble - 1e-9)),
            "at least one",
        ),
    ],
}
