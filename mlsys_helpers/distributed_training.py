"""Chapter 12: when one machine, or its memory, is not enough.

In the order of the chapter: data that does not fit into memory, read in batches; activations that
are computed twice to save memory; many workers on one model, in step and out of step; a model cut
into stages on many workers.

The workers are real processes that talk through torch.distributed (gloo) on the loopback address.
A group of them is started by one process, which imports torch once, forks them, watches them and
ends them all when one of them fails. Functions whose name begins with ``_run`` are what the other
processes do. Times are seconds unless a docstring says otherwise.
"""

import copy
import importlib
import logging
import os
import signal
import socket
import sys
import time
import weakref
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from mlsys_helpers import _checks, _servers

__all__ = [
    "write_repeated",
    "parquet_batches",
    "RunningMoments",
    "shuffle_buffer",
    "summarise_parquet",
    "saved_activation_bytes",
    "train_serial",
    "train_synchronous",
    "straggler_times",
    "expected_step_time",
    "run_torchrun",
    "train_asynchronous",
    "pipeline_schedule",
    "bubble_fraction",
    "plot_schedule",
    "run_pipeline",
]


# --- Data larger than memory -------------------------------------------------------------------


def write_repeated(frame, path, rows, progress=True):
    """A Parquet file of float32 columns that repeats a table until it has enough rows.

    Each repetition is a row group, the part of a Parquet file that is read as a whole.

    Parameters
    ----------
    frame : DataFrame
        Numeric columns, not empty.
    path : str or Path
        The file to write.
    rows : int of at least 1
        The repetitions are as many as are needed to reach this number.
    progress : bool, default True
        Show a progress bar.

    Returns
    -------
    int
        The rows written: a multiple of those of the table.

    Raises
    ------
    ValueError
        If the table is empty, holds text, missing values, numbers beyond float32 or a column
        twice, or rows is out of range.

    References
    ----------
    Chapter 12, Data larger than memory.

    Examples
    --------
    >>> import tempfile
    >>> from mlsys_helpers.datasets import load_flights
    >>> from mlsys_helpers.distributed_training import write_repeated
    >>> flights = load_flights()[["distance", "hour"]]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_repeated(flights, f"{folder}/flights.parquet", 1_000_000, progress=False)
    1010328
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = _checks.whole_number(rows, "rows")
    if not isinstance(frame, pd.DataFrame) or frame.empty or not frame.columns.is_unique:
        raise ValueError("frame must be a DataFrame that is not empty, with each column once")
    largest = float(np.finfo("float32").max)
    for name in frame:
        _checks.numbers(frame[name], f"column {name!r}", low=-largest, high=largest)
    table = pa.Table.from_pandas(frame.astype("float32"), preserve_index=False)
    repetitions = -(-rows // len(frame))
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in tqdm(range(repetitions), "writing", disable=not progress):
            writer.write_table(table, row_group_size=len(frame))
    return repetitions * len(frame)


def parquet_batches(path, batch_rows=65_536, part=0, parts=1):
    """Yield a Parquet file as arrays of at most so many rows, without ever holding more.

    Parameters
    ----------
    path : str or Path
    batch_rows : int, default 65_536
        Rows of a batch; the last one of a row group may be smaller.
    part, parts : int
        Read only row groups part, part + parts, part + 2 parts, … : one worker's share.

    Yields
    ------
    ndarray of shape (at most batch_rows, columns)

    Raises
    ------
    ValueError
        If part is not below parts, or a number is out of range.
    FileNotFoundError
        If there is no such file.

    References
    ----------
    Chapter 12, Data larger than memory.

    Examples
    --------
    >>> from mlsys_helpers.distributed_training import parquet_batches
    >>> next(parquet_batches("no such file", part=2, parts=2))
    Traceback (most recent call last):
      ...
    ValueError: part must be below parts, got 2 of 2
    """
    import pyarrow.parquet as pq

    batch_rows = _checks.whole_number(batch_rows, "batch_rows")
    part, parts = _checks.whole_number(part, "part", 0), _checks.whole_number(parts, "parts")
    if part >= parts:
        raise ValueError(f"part must be below parts, got {part} of {parts}")
    with pq.ParquetFile(path) as file:
        for group in range(part, file.num_row_groups, parts):
            for batch in file.iter_batches(batch_rows, row_groups=[group], use_threads=False):
                columns = [column.to_numpy(zero_copy_only=False) for column in batch.columns]
                yield np.column_stack(columns)


class RunningMoments:
    """Mean and covariance of rows that are seen once, batch by batch, in any order.

    Attributes
    ----------
    count : int
        Rows seen.
    mean : ndarray of shape (d,), or None before the first row
    scatter : ndarray of shape (d, d), or None before the first row
        Sum of the outer products of the rows' deviations from their mean.

    References
    ----------
    Chapter 12, Data larger than memory. T. F. Chan, G. H. Golub and R. J. LeVeque, "Algorithms
    for computing the sample variance", The American Statistician 37 (1983).

    Examples
    --------
    >>> from mlsys_helpers.distributed_training import RunningMoments
    >>> here, there = RunningMoments().update([[1.0], [2.0]]), RunningMoments().update([[6.0]])
    >>> both = here.merge(there)
    >>> both.count, both.mean.tolist(), both.covariance.tolist()
    (3, [3.0], [[7.0]])
    """

    def __init__(self):
        self.count, self.mean, self.scatter = 0, None, None

    def update(self, rows):
        """Take in a batch of rows, of shape (n, d); returns self."""
        rows = _table(rows, "rows")
        batch = RunningMoments()
        batch.count, batch.mean = len(rows), rows.mean(axis=0)
        rows -= batch.mean
        batch.scatter = rows.T @ rows
        return self._take(self.merge(batch))

    def merge(self, other):
        """The moments of both sets of rows together; neither is changed."""
        if not isinstance(other, RunningMoments):
            raise TypeError(f"other must be RunningMoments, got {type(other).__name__}")
        if not self.count or not other.count:
            return RunningMoments()._take(self if self.count else other)
        if len(self.mean) != len(other.mean):
            raise ValueError(f"rows must have {len(self.mean)} columns, got {len(other.mean)}")
        both, gap = RunningMoments(), other.mean - self.mean
        both.count = self.count + other.count
        both.mean = self.mean + gap * other.count / both.count
        between = np.outer(gap, gap) * (self.count * other.count / both.count)
        both.scatter = self.scatter + other.scatter + between
        return both

    def _take(self, other):
        self.count, self.mean, self.scatter = other.count, other.mean, other.scatter
        return self

    @property
    def covariance(self):
        """Sample covariance, of shape (d, d): divided by count - 1."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least two rows, got {self.count}")
        return self.scatter / (self.count - 1)

    def whitening(self, method="zca"):
        """The matrix W for which the columns of (rows - mean) @ W have covariance identity.

        "pca" turns the rows to their principal axes first, the largest variance first; "zca"
        turns them back, so that each column stays as near to the old one as it can.
        """
        _checks.one_of(method, "method", ("pca", "zca"))
        variances, axes = np.linalg.eigh(self.covariance)
        if variances[0] <= 1e-12 * variances[-1]:
            raise ValueError(
                "there is no whitening: a column is constant, or follows from others, or the "
                "columns' scales lie a million apart (then divide by them first)"
            )
        scaled = axes / np.sqrt(variances)
        return scaled[:, ::-1] if method == "pca" else scaled @ axes.T


def _table(values, name):
    """A copy as floats of two dimensions, finite and not empty."""
    try:
        array = np.array(values, dtype=float)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(
            f"{name} must be a table of finite numbers that is not empty, "
            f"got {type(values).__name__} of shape {np.shape(array)}"
        )
    return array


def shuffle_buffer(stream, size, random_state=None):
    """Yield the rows of a stream in mixed order, while at most so many of them are held back.

    The buffer fills first; then the rows of each batch change places with rows drawn from the
    buffer, and in the end what is left comes out in random order. A buffer that holds the whole
    stream gives every order the same chance.

    Parameters
    ----------
    stream : iterable of ndarrays of shape (n, ...)
        Batches; their rows are what is mixed.
    size : int of at least 1
        Rows held back.
    random_state : int, numpy Generator or None

    Yields
    ------
    ndarray
        Batches of at most `size` rows; each row of the stream comes out exactly once.

    Raises
    ------
    ValueError
        If size or random_state is out of range, or the batches differ in columns or dtype.

    References
    ----------
    Chapter 12, Data larger than memory.

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.distributed_training import shuffle_buffer
    >>> stream = np.arange(6).reshape(6, 1)  # six batches of one row
    >>> np.concatenate(list(shuffle_buffer(stream, size=3, random_state=1))).tolist()
    [1, 3, 2, 5, 0, 4]
    """
    size = _checks.whole_number(size, "size")
    return _mix(stream, size, _checks.generator(random_state))


def _mix(stream, size, rng):
    buffer, held = None, 0
    for batch in stream:
        batch = np.asarray(batch)
        if buffer is None:
            buffer = np.empty((size, *batch.shape[1:]), batch.dtype)
        if batch.ndim == 0 or (batch.shape[1:], batch.dtype) != (buffer.shape[1:], buffer.dtype):
            raise ValueError(
                "stream must hold arrays of rows, of the same columns and dtype in all"
            )
        free = min(size - held, len(batch))
        buffer[held : held + free] = batch[:free]
        held += free
        for start in range(free, len(batch), size):
            rows = batch[start : start + size]
            places = rng.choice(size, len(rows), replace=False)
            leaving = buffer[places]
            buffer[places] = rows
            yield leaving
    if held:
        yield buffer[:held][rng.permutation(held)]


class ParquetSummary(NamedTuple):
    """What `summarise_parquet` found: the moments, and each process's peak memory in MB."""

    moments: RunningMoments
    peak_mb: list


def summarise_parquet(path, how="batches", *, workers=1, limit_mb=None, whiten=None, buffer=0):
    """The moments of a Parquet file, computed by processes of their own, whose memory is measured.

    Parameters
    ----------
    path : str or Path
    how : {"batches", "pandas"}
        Read batch by batch, or load the whole table at once.
    workers : int, default 1
        Processes; each reads its own row groups, and what they found is merged.
    limit_mb : int, optional
        Megabytes (2**20 bytes) that a process may ask for beyond what Python and the libraries
        have taken: RLIMIT_DATA, which Linux keeps to. Beyond it, memory is refused.
    whiten : pair of array-likes of shapes (d,) and (d, d), optional
        Mean m and matrix W: the moments are those of ``(rows - m) @ W``.
    buffer : int, default 0
        Rows of a shuffle buffer that the batches pass through; 0 is none.

    Returns
    -------
    ParquetSummary
        ``moments``, a `RunningMoments` of all rows; ``peak_mb``, a list with the most memory
        that each process ever held (its peak resident set), Python and libraries included.

    Raises
    ------
    ValueError
        If an argument is out of range, or workers, whiten or buffer is combined with "pandas".
    RuntimeError
        If a process fails, for lack of memory or otherwise; the message holds its last words.

    References
    ----------
    Chapter 12, Data larger than memory.

    Examples
    --------
    >>> import tempfile
    >>> from mlsys_helpers.datasets import load_flights
    >>> from mlsys_helpers.distributed_training import summarise_parquet, write_repeated
    >>> flights = load_flights()[["distance", "hour"]]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = write_repeated(flights, f"{folder}/flights.parquet", 1_000_000, progress=False)
    ...     found = summarise_parquet(f"{folder}/flights.parquet", workers=2, limit_mb=400)
    >>> found.moments.count, len(found.peak_mb), max(found.peak_mb) < 400
    (1010328, 2, True)
    """
    _checks.one_of(how, "how", ("batches", "pandas"))
    workers = _checks.whole_number(workers, "workers")
    buffer = _checks.whole_number(buffer, "buffer", 0)
    if limit_mb is not None:
        limit_mb = _checks.whole_number(limit_mb, "limit_mb")
    if how == "pandas" and (workers > 1 or buffer or whiten is not None):
        raise ValueError("workers, whiten and buffer are for how='batches'")
    if whiten is not None:
        mean, matrix = whiten
        whiten = [_table([mean], "the mean of whiten")[0], _table(matrix, "the matrix of whiten")]
        whiten = [part.tolist() for part in whiten]
    path = str(Path(path).resolve(strict=True))
    readers = [
        _servers.start_function(
            _run_reader, path, how, part, workers, limit_mb, whiten, buffer, name=f"reader {part}"
        )
        for part in range(workers)
    ]
    try:
        answers = [reader.result(timeout=120) for reader in readers]
    finally:
        for reader in readers:
            reader.stop()
    whole = RunningMoments()
    for found, _ in answers:
        part = RunningMoments()
        part.count, part.mean, part.scatter = found["count"], *map(np.array, found["moments"])
        whole = whole.merge(part)
    return ParquetSummary(whole, [peak for _, peak in answers])


def _run_reader(path, how, part, parts, limit_mb, whiten, buffer):
    import resource

    import pyarrow.parquet

    pyarrow.set_cpu_count(1)  # the stacks of its threads are data, too
    if limit_mb is not None:
        memory = Path("/proc/self/statm")
        pages = int(memory.read_text().split()[5]) if memory.exists() else 0  # the libraries' data
        limit = limit_mb * 2**20 + pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if how == "pandas":
        batches = [pd.read_parquet(path).to_numpy()]
    else:
        batches = parquet_batches(path, part=part, parts=parts)
    if whiten is not None:
        mean, matrix = map(np.array, whiten)
        batches = ((rows - mean) @ matrix for rows in batches)
    if buffer:
        batches = shuffle_buffer(batches, buffer, random_state=part)
    moments = RunningMoments()
    for rows in batches:
        moments.update(rows)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    parts = [np.array(part).tolist() for part in (moments.mean, moments.scatter)]
    return {"count": moments.count, "moments": parts}, peak


# --- Gradient checkpointing --------------------------------------------------------------------


def saved_activation_bytes(module, x, segments=None):
    """The most bytes of activations that a training step holds, with or without checkpointing.

    Parameters
    ----------
    module : torch.nn.Sequential
        Left as it is; the step is made on a copy.
    x : tensor
        A batch of inputs.
    segments : int, optional
        Cut the layers into so many segments, of which only the inputs are kept (the last
        segment, which is needed at once, keeps all). None keeps every activation.

    Returns
    -------
    int
        The most that autograd has saved at any time of a forward and backward pass. Each
        storage counts once; parameters do not count.

    Raises
    ------
    TypeError
        If module is not a torch.nn.Sequential, or x not a tensor of floats.
    ValueError
        If segments is not between 1 and the number of layers.

    References
    ----------
    Chapter 12, Gradient checkpointing. T. Chen, B. Xu, C. Zhang and C. Guestrin, "Training deep
    nets with sublinear memory cost", arXiv 1604.06174 (2016).

    Examples
    --------
    >>> import torch
    >>> from mlsys_helpers.distributed_training import saved_activation_bytes
    >>> layers = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(16)])
    >>> x = torch.ones(100, 8)  # 3,200 bytes
    >>> [saved_activation_bytes(layers, x, segments) // 3_200 for segments in (None, 4)]
    [16, 7]
    """
    import torch
    from torch.utils.checkpoint import checkpoint_sequential

    if not isinstance(module, torch.nn.Sequential):
        raise TypeError(f"module must be a torch.nn.Sequential, got {type(module).__name__}")
    _float_tensor(x, "x")
    if segments is not None and _checks.whole_number(segments, "segments") > len(module):
        raise ValueError(f"segments must be at most {len(module)}, the layers, got {segments}")
    module, x = copy.deepcopy(module), x.detach().clone().requires_grad_()
    meter = _Meter({_storage(parameter)[0] for parameter in module.parameters()})
    with torch.autograd.graph.saved_tensors_hooks(meter.save, lambda saved: saved.tensor):
        if segments is None:
            output = module(x)
        else:  # the kind of checkpoint whose second forward pass the meter sees, too
            output = checkpoint_sequential(module, segments, x, use_reentrant=True)
        output.sum().backward()
    return meter.peak


def _storage(tensor):
    """Where a tensor's numbers lie, and how many bytes they take."""
    return tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()


class _Meter:
    """Adds up the storages that autograd has saved at the moment, and remembers the peak."""

    def __init__(self, skipped):
        self.skipped, self.users, self.now, self.peak = skipped, Counter(), 0, 0

    def save(self, tensor):
        place, size = _storage(tensor)
        saved = _Saved(tensor)
        if place not in self.skipped:
            self.now += size * (not self.users[place])
            self.users[place] += 1
            self.peak = max(self.peak, self.now)
            weakref.finalize(saved, self.release, place, size)
        return saved

    def release(self, place, size):
        self.users[place] -= 1
        self.now -= size * (not self.users[place])


class _Saved:
    """A tensor that autograd keeps; when autograd lets go of it, the meter is told."""

    def __init__(self, tensor):
        self.tensor = tensor


# --- A group of workers ------------------------------------------------------------------------


_STARTING = 60  # seconds in which a group must be up: a busy machine needs ten to import torch


def _run_group(task, size, inputs, *, total, progress=True, started=None, timeout=60):
    """Run ``task(rank, size, report, **inputs)`` in so many processes; what each returned.

    All are ended when one of them fails, when the time is over, or with this process.
    """
    import torch

    _checks.number(timeout, "timeout", low=0, open_low=True)
    name = f"the group of {size} workers"
    with _servers.Process(None, name=name) as store, tqdm(total=total, disable=not progress) as bar:
        torch.save(inputs, store.folder / "inputs")
        place = (task.__module__, task.__qualname__, size, str(store.folder), timeout)
        with _servers.start_function(_run_launcher, *place, name=name) as launcher:

            def is_over():
                bar.update(launcher.announced[1] - bar.n if launcher.announced else 0)
                return launcher.returncode is not None

            launcher.wait_until(lambda: launcher.announced or is_over(), "up", _STARTING)
            if started and launcher.announced:
                started(launcher.announced[0])
            launcher.wait_until(is_over, "done", timeout)
            launcher.result()
        bar.update(total - bar.n)
        results = [store.folder / f"result-{rank}" for rank in range(size)]
        return [torch.load(result, weights_only=False) for result in results]


def _run_launcher(module, task, size, folder, timeout):
    """Import torch once, fork the workers, and watch them until all are done or one fails."""
    import torch.multiprocessing as multiprocessing

    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # the cause will do
    importlib.import_module(module)  # before the workers are forked: once for all
    if task == "_run_stage":
        import torch.distributed.pipelining  # noqa: F401  two seconds

    group = multiprocessing.start_processes(
        _run_worker,
        args=(module, task, size, folder, timeout),
        nprocs=size,
        join=False,
        daemon=True,
        start_method="fork" if sys.platform == "linux" else "spawn",
    )
    try:
        while not group.join(timeout=0.05, grace_period=0.2):
            for rank, worker in enumerate(group.processes):
                if worker.exitcode == 0 and not Path(folder, f"result-{rank}").exists():
                    raise RuntimeError(f"process {rank} left without a result")
    except Exception as error:  # torch says which process it was, and what of
        sys.exit(str(error).strip(" -\n"))


def _run_worker(rank, module, task, size, folder, timeout):
    import torch
    import torch.distributed as dist

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # sent when the launcher is gone: then end
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = _loopback()
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=timeout + _STARTING),  # the one who watches loses patience first
    )
    inputs = torch.load(Path(folder, "inputs"), weights_only=False)
    task = getattr(importlib.import_module(module), task)
    pids = [None] * size
    dist.all_gather_object(pids, os.getpid())

    def report(done):
        if rank == 0:
            _servers.announce([pids, done])

    report(0)
    try:
        result = task(rank, size, report, **inputs)
        dist.barrier()
    except RuntimeError as error:
        if "peer" in str(error):  # a colleague is gone: let its own end be noticed first
            time.sleep(3)
        raise
    part = Path(folder, f"part-{rank}")
    torch.save(result, part)
    part.rename(Path(folder, f"result-{rank}"))
    dist.destroy_process_group()


def _loopback():
    """The name of the loopback interface: gloo shall use no other."""
    return next(name for _, name in socket.if_nameindex() if name.startswith("lo"))


# --- Data parallelism --------------------------------------------------------------------------


class TrainingRun(NamedTuple):
    """What a training left: a row for each update, and the parameters before and after each."""

    updates: pd.DataFrame
    parameters: Any
    first_gradient: Any


def train_serial(model, X, y, *, steps=100, batch_size=64, learning_rate=0.1, random_state=0):
    """Plain stochastic gradient descent in this process: what every other way is compared with.

    Parameters
    ----------
    model : torch.nn.Module
        Gives one logit a row; left as it is.
    X : float tensor of shape (n, d)
    y : float tensor of shape (n,)
        Labels 0 and 1; the loss is binary cross-entropy.
    steps : int, default 100
        Updates.
    batch_size : int, default 64
        Rows of an update, at most n.
    learning_rate : float, default 0.1
    random_state : int, numpy Generator or None
        Order of the rows: a new one for each pass over the data.

    Returns
    -------
    TrainingRun
        ``updates``: DataFrame with ``worker``, ``staleness``, ``rows``, ``loss`` (before the
        update, on its rows) and ``seconds`` (since the start). ``parameters``: tensor of shape
        (updates + 1, parameters). ``first_gradient``: that of the first update.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, length or range.

    References
    ----------
    Chapter 12, Synchronous SGD.

    Examples
    --------
    >>> import torch
    >>> from mlsys_helpers.distributed_training import train_serial
    >>> X, y = torch.tensor([[1.0], [-1.0]]), torch.tensor([1.0, 0.0])
    >>> model = torch.nn.Linear(1, 1)
    >>> run = train_serial(model, X, y, steps=50, batch_size=2, learning_rate=1.0)
    >>> run.parameters.shape, bool(run.updates["loss"].iloc[-1] < 0.1)
    (torch.Size([51, 2]), True)
    """
    import torch

    batches = _batches(model, X, y, 1, steps, batch_size, learning_rate, random_state)
    inputs = (copy.deepcopy(model), X, y, batches, learning_rate, [0])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers do: more of them may add up in another order
    try:
        return _as_run(_run_synchronous(0, 1, lambda done: None, *inputs))
    finally:
        torch.set_num_threads(threads)


def train_synchronous(
    model,
    X,
    y,
    workers=2,
    *,
    steps=100,
    batch_size=64,
    learning_rate=0.1,
    seconds=0,
    random_state=0,
    **watch,
):
    """Synchronous SGD: every update waits for the gradients of all workers and takes their mean.

    Parameters
    ----------
    model, X, y
        As in `train_serial`.
    workers : int, default 2
        Processes.
    steps : int, default 100
        Updates.
    batch_size : int, default 64
        Rows of *one worker's* share of an update; all shares are equal.
    learning_rate : float, default 0.1
    seconds : float or list of one float for each worker, default 0
        Time that a worker sleeps at each step, standing for heavier computation.
    random_state : int, numpy Generator or None
        Order of the rows; the same as in `train_serial` with ``workers * batch_size`` rows.
    progress : bool, default True
        Show a progress bar.
    started : function of a list of process ids, optional
        Called once, when all workers run.
    timeout : float, default 60
        Seconds in which they must be done, once all run.

    Returns
    -------
    TrainingRun
        As that of `train_serial`, seen by worker 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, length or range.
    RuntimeError
        If a worker fails, which ends all; the message names it and holds its last words.

    References
    ----------
    Chapter 12, Synchronous SGD. P. Goyal et al., "Accurate, large minibatch SGD: training
    ImageNet in 1 hour", arXiv 1706.02677 (2017).

    Examples
    --------
    >>> import torch
    >>> from mlsys_helpers.distributed_training import train_serial, train_synchronous
    >>> X, y = torch.randn(40, 3), torch.arange(40.0) % 2
    >>> model = torch.nn.Linear(3, 1)
    >>> serial = train_serial(model, X, y, steps=20, batch_size=10)
    >>> run = train_synchronous(model, X, y, 2, steps=20, batch_size=5, progress=False)
    >>> bool(torch.allclose(run.parameters, serial.parameters, atol=1e-5))
    True
    """
    workers = _checks.whole_number(workers, "workers")
    batches = _batches(model, X, y, workers, steps, batch_size, learning_rate, random_state)
    inputs = {"model": model, "X": X, "y": y, "batches": batches, "learning_rate": learning_rate}
    inputs["seconds"] = _pace(seconds, workers)
    return _as_run(_run_group(_run_synchronous, workers, inputs, total=steps, **watch)[0])


def _run_synchronous(rank, size, report, model, X, y, batches, learning_rate, seconds):
    """One worker of synchronous SGD: its rows, its gradient, everybody's mean, the same update."""
    import torch
    import torch.distributed as dist

    weights, updates, first = _weights(model), [], None
    history, start = [weights], time.monotonic()
    for step, rows in enumerate(batches):
        mine = rows[rank::size]
        time.sleep(seconds[rank])
        message = torch.cat(_gradient_and_loss(model, weights, X[mine], y[mine]))
        if size > 1:
            dist.all_reduce(message)  # the sum over all workers, in place
        message /= size
        first = message[:-1].clone() if first is None else first
        weights = weights - learning_rate * message[:-1]
        history.append(weights)
        updates.append((rank, 0, len(rows), message[-1].item(), time.monotonic() - start))
        report(step + 1)
    return updates, torch.stack(history), first


def train_asynchronous(
    model,
    X,
    y,
    workers=2,
    *,
    updates=100,
    batch_size=64,
    learning_rate=0.1,
    seconds=0,
    random_state=0,
    **watch,
):
    """Asynchronous SGD: a parameter server applies each worker's gradient as it comes.

    One more process than `workers` runs: the server, of rank 0. Workers are numbered from 1.
    A gradient's *staleness* is the number of updates that the server has made between sending
    the worker its parameters and receiving the gradient computed at them.

    Parameters
    ----------
    model, X, y
        As in `train_serial`.
    workers : int, default 2
        Processes that compute gradients.
    updates : int, default 100
        Updates that the server makes, each from one worker's gradient.
    batch_size : int, default 64
        Rows of an update.
    learning_rate : float, default 0.1
    seconds : float or list of one float for each worker, default 0
        Time that a worker sleeps at each step, standing for heavier computation.
    random_state : int, numpy Generator or None
        Order of the rows, as in `train_serial`; the server deals the batches out in turn.
    progress, started, timeout
        As in `train_synchronous`.

    Returns
    -------
    TrainingRun
        As that of `train_serial`, seen by the server.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, length or range.
    RuntimeError
        If a process fails, which ends all; the message names it and holds its last words.

    References
    ----------
    Chapter 12, Asynchronous SGD. J. Dean et al., "Large scale distributed deep networks", NIPS
    (2012).

    Examples
    --------
    >>> import torch
    >>> from mlsys_helpers.distributed_training import train_asynchronous
    >>> X, y = torch.randn(40, 3), torch.arange(40.0) % 2
    >>> model = torch.nn.Linear(3, 1)
    >>> run = train_asynchronous(model, X, y, 2, updates=60, batch_size=5, progress=False)
    >>> bool(0.8 < run.updates["staleness"].mean() <= 1)
    True
    """
    workers = _checks.whole_number(workers, "workers")
    dealt = _checks.whole_number(updates, "updates") + workers  # some are on their way at the end
    batches = _batches(model, X, y, 1, dealt, batch_size, learning_rate, random_state)
    inputs = {"model": model, "X": X, "y": y, "batches": batches, "learning_rate": learning_rate}
    inputs["seconds"] = [0, *_pace(seconds, workers)]
    return _as_run(_run_group(_run_asynchronous, workers + 1, inputs, total=updates, **watch)[0])


def _run_asynchronous(rank, size, report, model, X, y, batches, learning_rate, seconds):
    weights = _weights(model)
    if rank == 0:
        return _serve(size - 1, report, weights, len(batches) - size + 1, learning_rate)
    return _work(model, weights, X, y, batches, seconds[rank])


def _serve(workers, report, weights, n_updates, learning_rate):
    """The parameter server: wait for anybody's gradient, apply it, send back the new parameters."""
    import torch
    import torch.distributed as dist

    sent_at = dict.fromkeys(range(1, workers + 1), 0)  # the version that each worker has
    updates, history, first, start = [], [weights], None, time.monotonic()
    for worker in sent_at:
        dist.send(torch.cat([weights, torch.tensor([worker - 1.0])]), worker)
    message = torch.empty(len(weights) + 2)  # gradient, loss, number of rows
    for version in range(n_updates):
        worker = dist.recv(message)
        gradient, loss, rows = message[:-2].clone(), message[-2].item(), int(message[-1])
        first = gradient if first is None else first
        weights = weights - learning_rate * gradient
        history.append(weights)
        staleness = version - sent_at[worker]
        updates.append((worker, staleness, rows, loss, time.monotonic() - start))
        sent_at[worker] = version + 1
        dist.send(torch.cat([weights, torch.tensor([float(version + workers)])]), worker)
        report(version + 1)
    for worker in sent_at:  # each still owes a gradient for the batch it was dealt last
        dist.recv(message, worker)
        dist.send(torch.cat([weights, torch.tensor([-1.0])]), worker)
    return updates, torch.stack(history), first


def _work(model, weights, X, y, batches, seconds):
    """A worker: take parameters and the number of a batch, send back the gradient, until told."""
    import torch
    import torch.distributed as dist

    message = torch.empty(len(weights) + 1)
    while True:
        dist.recv(message, 0)
        if message[-1] < 0:
            return
        rows = batches[int(message[-1])]
        time.sleep(seconds)
        answer = _gradient_and_loss(model, message[:-1], X[rows], y[rows])
        dist.send(torch.cat([*answer, torch.tensor([float(len(rows))])]), 0)


def _weights(model):
    """All parameters of a model in one vector."""
    import torch

    return torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def _gradient_and_loss(model, weights, X, y):
    """Gradient of the mean loss at these weights, as one vector, and the loss."""
    import torch

    torch.nn.utils.vector_to_parameters(weights, model.parameters())
    loss = _logit_loss(model(X), y)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([part.flatten() for part in gradients]), loss.detach().view(1)


def _batches(model, X, y, workers, steps, batch_size, learning_rate, random_state):
    """The rows of each update, all workers' together; after a check of what every training gets."""
    import torch

    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    dtypes = {parameter.dtype for parameter in model.parameters()}
    if not dtypes:
        raise ValueError("model must have parameters to train, got none")
    for name, tensor, dimensions in (("X", X, 2), ("y", y, 1)):
        _float_tensor(tensor, name)
        if {tensor.dtype} != dtypes:
            raise TypeError(f"{name} must be of the model's dtype, got {tensor.dtype}")
        if tensor.ndim != dimensions or not len(tensor) or not tensor.isfinite().all():
            raise ValueError(
                f"{name} must hold finite numbers in {dimensions} dimensions, and some rows, "
                f"got shape {tuple(tensor.shape)}"
            )
    _checks.binary_labels(y.numpy(), "y", len(X), both=False)
    _checks.number(learning_rate, "learning_rate", low=0, open_low=True)
    steps = _checks.whole_number(steps, "steps")
    together = _checks.whole_number(batch_size, "batch_size") * workers
    if together > len(X):
        raise ValueError(
            f"batch_size must be at most the rows of each worker, {len(X) // workers}, "
            f"got {batch_size}"
        )
    with torch.no_grad():
        shape = tuple(copy.deepcopy(model).eval()(X[:together]).shape)
    if shape != (together, 1):
        raise ValueError(f"model must give one logit a row, shape {(together, 1)}, got {shape}")
    rng = _checks.generator(random_state)
    passes = -(-steps // (len(X) // together))
    orders = [rng.permutation(len(X))[: len(X) // together * together] for _ in range(passes)]
    return torch.from_numpy(np.concatenate(orders).reshape(-1, together)[:steps])


def _float_tensor(x, name):
    import torch

    if not torch.is_tensor(x) or not x.is_floating_point():
        kind = x.dtype if torch.is_tensor(x) else type(x).__name__
        raise TypeError(f"{name} must be a tensor of floats, got {kind}")


def _pace(seconds, workers):
    """The time that each worker sleeps at each step."""
    paces = np.full(workers, seconds) if np.ndim(seconds) == 0 else seconds
    return _checks.numbers(paces, "seconds", workers, low=0).tolist()


def _as_run(result):
    updates, parameters, first_gradient = result
    columns = ["worker", "staleness", "rows", "loss", "seconds"]
    table = pd.DataFrame(updates, columns=columns)
    table.index = pd.RangeIndex(1, len(table) + 1, name="update")
    return TrainingRun(table, parameters, first_gradient)


def straggler_times(workers, steps=1_000, *, slow_share=None, slow_factor=10, random_state=None):
    """Simulated seconds that each worker takes for each step; no process runs.

    Parameters
    ----------
    workers, steps : int of at least 1
    slow_share : float in [0, 1], optional
        With it, a step takes 1 second, or `slow_factor` seconds with this probability. Without
        it, the times are exponential with mean 1.
    slow_factor : float of at least 1, default 10
    random_state : int, numpy Generator or None

    Returns
    -------
    ndarray of shape (steps, workers)
        A synchronous step takes the maximum of its row.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 12, Stragglers. J. Dean and L. A. Barroso, "The tail at scale", Communications of the
    ACM 56 (2013).

    Examples
    --------
    >>> from mlsys_helpers.distributed_training import straggler_times
    >>> times = straggler_times(100, 20_000, slow_share=0.01, random_state=0)
    >>> print(((times > 1).any(axis=1)).mean().round(2))  # steps with a straggler: 1 - .99 ** 100
    0.63
    """
    shape = _checks.whole_number(steps, "steps"), _checks.whole_number(workers, "workers")
    _checks.number(slow_factor, "slow_factor", low=1)
    rng = _checks.generator(random_state)
    if slow_share is None:
        return rng.exponential(size=shape)
    _checks.number(slow_share, "slow_share", low=0, high=1)
    return np.where(rng.random(shape) < slow_share, float(slow_factor), 1.0)


def expected_step_time(workers, slow_share, slow_factor=10):
    """Expected time of a synchronous step, where 1 is the time of a worker that is not slow.

    Parameters
    ----------
    workers : int of at least 1
    slow_share : float in [0, 1]
        Chance that a worker is slow at a step, whatever the others do.
    slow_factor : float of at least 1, default 10
        Time of a slow worker.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 12, Stragglers. Dean and Barroso (2013), as in `straggler_times`.

    Examples
    --------
    >>> from mlsys_helpers.distributed_training import expected_step_time
    >>> print(round(expected_step_time(100, slow_share=0.01), 2))  # 1 + 9 (1 - .99 ** 100)
    6.71
    """
    workers = _checks.whole_number(workers, "workers")
    _checks.number(slow_share, "slow_share", low=0, high=1)
    _checks.number(slow_factor, "slow_factor", low=1)
    return float(1 + (slow_factor - 1) * (1 - (1 - slow_share) ** workers))


def run_torchrun(script, *args, workers=2, timeout=60):
    """Run a script under torchrun, torch's own launcher, on this machine's loopback address.

    Parameters
    ----------
    script : str or Path
    *args : str, Path or number
        Arguments of the script.
    workers : int, default 2
        Processes; each finds its number in the environment variable ``RANK``.
    timeout : float, default 60
        Seconds.

    Returns
    -------
    str
        What the processes have printed.

    Raises
    ------
    ValueError
        If workers or timeout is out of range.
    FileNotFoundError
        If there is no such script.
    RuntimeError
        If a process fails, which ends all, or the time is over; the message holds the last words.

    References
    ----------
    Chapter 12, Many machines.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mlsys_helpers.distributed_training import run_torchrun
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     script = Path(folder, "hello.py")
    ...     _ = script.write_text("import os; print('worker', os.environ['RANK'])")
    ...     print(run_torchrun(script, workers=1).strip())
    worker 0
    """
    workers = _checks.whole_number(workers, "workers")
    _checks.number(timeout, "timeout", low=0, open_low=True)
    script = Path(script).resolve(strict=True)
    command = ["env", f"GLOO_SOCKET_IFNAME={_loopback()}", sys.executable]
    command += ["-m", "torch.distributed.run", f"--nproc-per-node={workers}"]
    command += ["--standalone", f"--local-addr={_servers.HOST}"]  # torchrun finds a free port
    command += [str(script), *map(str, args)]
    with _servers.Process(command, name="torchrun") as process:
        process.wait_until(lambda: process.returncode is not None, "done", timeout)
        if process.returncode:
            words = process.log[-6_000:]  # the script's own, and torchrun's account below them
            raise _servers.ServerError(f"torchrun ended with code {process.returncode}:\n{words}")
        return process.log


# --- Model parallelism -------------------------------------------------------------------------


def pipeline_schedule(stages, micro_batches, kind="gpipe"):
    """When each stage of a pipeline works on which micro-batch, every pass taking time 1.

    Parameters
    ----------
    stages, micro_batches : int of at least 1
    kind : {"gpipe", "1f1b"}
        "gpipe": all forward passes, then all backward passes. "1f1b": once the pipeline is full,
        one forward and one backward pass in turn, so that fewer activations wait.

    Returns
    -------
    DataFrame
        ``stage`` and ``micro_batch``, from 0; ``phase``, "forward" or "backward"; ``start``,
        ``end``.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 12, Pipeline parallelism. Y. Huang et al., "GPipe: efficient training of giant neural
    networks using pipeline parallelism", NeurIPS (2019). D. Narayanan et al., "PipeDream:
    generalized pipeline parallelism for DNN training", SOSP (2019).

    Examples
    --------
    >>> from mlsys_helpers.distributed_training import pipeline_schedule
    >>> schedule = pipeline_schedule(stages=4, micro_batches=8)
    >>> print(len(schedule), schedule["end"].max())  # 2 (M + K - 1)
    64 22.0
    """
    stages = _checks.whole_number(stages, "stages")
    micro_batches = _checks.whole_number(micro_batches, "micro_batches")
    _checks.one_of(kind, "kind", ("gpipe", "1f1b"))
    waiting = {stage: _order(stage, stages, micro_batches, kind) for stage in range(stages)}
    free, ended, rows = [0.0] * stages, {}, []
    while any(waiting.values()):
        for stage, left in waiting.items():
            while left:
                phase, batch = left[0]
                before = stage - 1 if phase == "forward" else stage + 1  # who passes it on
                if 0 <= before < stages and (before, phase, batch) not in ended:
                    break
                start = max(free[stage], ended.get((before, phase, batch), 0.0))
                free[stage] = ended[stage, phase, batch] = start + 1.0
                rows.append((stage, batch, phase, start, start + 1.0))
                left.pop(0)
    return _as_schedule(rows)


def _order(stage, stages, micro_batches, kind):
    """What a stage does, in its order."""
    ahead = micro_batches if kind == "gpipe" else min(micro_batches, stages - stage)
    order = [("forward", batch) for batch in range(ahead)]
    for batch in range(micro_batches):
        order.append(("backward", batch))
        if batch + ahead < micro_batches:
            order.append(("forward", batch + ahead))
    return order


def _as_schedule(rows):
    table = pd.DataFrame(rows, columns=["stage", "micro_batch", "phase", "start", "end"])
    return table.sort_values(["stage", "start"], ignore_index=True)


def bubble_fraction(schedule):
    """The share of the stages' time in which they wait.

    Parameters
    ----------
    schedule : DataFrame
        As from `pipeline_schedule`, or the ``events`` of `run_pipeline`.

    Returns
    -------
    float in [0, 1)
        For equal stages (K - 1) / (M + K - 1), with K stages and M micro-batches.

    Raises
    ------
    ValueError
        If the table is empty or lacks a column, or an end is not after its start.

    References
    ----------
    Chapter 12, Pipeline parallelism. Huang et al. (2019), as in `pipeline_schedule`.

    Examples
    --------
    >>> from mlsys_helpers.distributed_training import bubble_fraction, pipeline_schedule
    >>> print(round(bubble_fraction(pipeline_schedule(stages=4, micro_batches=8)), 4))
    0.2727
    """
    schedule = _schedule_table(schedule)
    whole = (schedule["end"].max() - schedule["start"].min()) * schedule["stage"].nunique()
    return float(1 - (schedule["end"] - schedule["start"]).sum() / whole)


def plot_schedule(schedule, ax=None, unit="time of a forward pass"):
    """Draw a schedule as a Gantt chart: forward blue, backward orange, micro-batches numbered.

    Parameters
    ----------
    schedule : DataFrame
        As from `pipeline_schedule`, or the ``events`` of `run_pipeline`.
    ax : matplotlib Axes or None
    unit : str
        What the time axis counts.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the table is empty or lacks a column, or an end is not after its start.

    References
    ----------
    Chapter 12, Pipeline parallelism.

    Examples
    --------
    >>> from mlsys_helpers.distributed_training import pipeline_schedule, plot_schedule
    >>> ax = plot_schedule(pipeline_schedule(stages=2, micro_batches=3))
    >>> len(ax.patches), ax.texts[0].get_text()
    (12, '1')
    """
    from mlsys_helpers.plotting import COLORS, get_axes  # not above: the workers do not draw

    schedule = _schedule_table(schedule)
    ax = get_axes(ax, figsize=(10, 2.8))
    colors = {"forward": COLORS["sky"], "backward": COLORS["orange"]}
    for row in schedule.itertuples():
        width = row.end - row.start
        color = colors[row.phase]
        ax.barh(row.stage + 1, width, left=row.start, facecolor=color, edgecolor="white")
        middle = row.start + width / 2
        ax.text(middle, row.stage + 1, row.micro_batch + 1, ha="center", va="center", size=10)
    stages = np.sort(schedule["stage"].unique()) + 1
    ax.set(xlabel=unit, ylabel="stage", yticks=stages, ylim=(stages[-1] + 0.5, stages[0] - 0.5))
    ax.grid(False)
    return ax


def _schedule_table(schedule):
    columns = ["stage", "micro_batch", "phase", "start", "end"]
    missing = [name for name in columns if name not in getattr(schedule, "columns", ())]
    if missing or schedule.empty:
        raise ValueError(f"schedule must be a table of at least one row with {', '.join(columns)}")
    if not schedule["phase"].isin(["forward", "backward"]).all():
        raise ValueError("phase of schedule must be 'forward' or 'backward'")
    if not (schedule["end"] > schedule["start"]).all():
        raise ValueError("end of schedule must be after start in every row")
    return schedule


class PipelineRun(NamedTuple):
    """What a pipeline did: its output, the gradient of all parameters, and when who worked."""

    output: Any
    gradient: Any
    events: pd.DataFrame


def run_pipeline(model, X, y, plans=(("gpipe", 8),), *, stages=4, seconds=0.02, **watch):
    """One training step of a model whose layers are spread over processes, by torch's pipelining.

    Parameters
    ----------
    model : torch.nn.Sequential
        Its layers are cut into `stages` runs, as equal in number as can be. Left as it is.
    X : float tensor of shape (n, d)
    y : float tensor of shape (n,)
        Labels 0 and 1; the loss is binary cross-entropy.
    plans : sequence of pairs
        Schedules to run, one after the other: a kind, as in `pipeline_schedule`, and a number of
        micro-batches, which must divide n.
    stages : int of at least 2, default 4
        Processes.
    seconds : float, default 0.02
        Time that each stage sleeps for each micro-batch, forward and backward, standing for the
        computation of a large model.
    progress, started, timeout
        As in `train_synchronous`.

    Returns
    -------
    list of PipelineRun, one for each plan
        ``output``: logits of shape (n,). ``gradient``: of the mean loss, one vector in the order
        of ``model.parameters()``. ``events``: DataFrame as from `pipeline_schedule`, in seconds
        since the first began.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, length or range.
    RuntimeError
        If a process fails, which ends all; the message names it and holds its last words.

    References
    ----------
    Chapter 12, Pipeline parallelism. Huang et al. (2019), as in `pipeline_schedule`.

    Examples
    --------
    >>> import torch
    >>> from mlsys_helpers.distributed_training import run_pipeline
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    >>> X, y = torch.randn(12, 3), torch.arange(12.0) % 2
    >>> (run,) = run_pipeline(model, X, y, [("1f1b", 4)], stages=2, progress=False)
    >>> bool(torch.allclose(run.output, model(X).squeeze(1), atol=1e-6)), len(run.events)
    (True, 16)
    """
    import torch

    _batches(model, X, y, 1, 1, 1, 1, None)  # for its checks
    stages = _checks.whole_number(stages, "stages", 2)
    if not isinstance(model, torch.nn.Sequential) or len(model) < stages:
        raise ValueError(f"model must be a torch.nn.Sequential of at least {stages} layers")
    _checks.number(seconds, "seconds", low=0)
    plans = list(plans)
    if not plans or any(not isinstance(plan, (tuple, list)) or len(plan) != 2 for plan in plans):
        raise ValueError(f"plans must hold pairs of a kind and a number, got {plans!r}")
    for kind, micro_batches in plans:
        _checks.one_of(kind, "the kind of a plan", ("gpipe", "1f1b"))
        if len(X) % _checks.whole_number(micro_batches, "the micro-batches of a plan"):
            raise ValueError(f"the micro-batches of a plan must divide {len(X)}, the rows of X")
        if kind == "1f1b" and micro_batches < stages:
            raise ValueError(f"'1f1b' needs at least as many micro-batches as stages, {stages}")
    inputs = {"model": model, "X": X, "y": y, "plans": plans, "seconds": seconds}
    parts = _run_group(_run_stage, stages, inputs, total=len(plans), **watch)
    runs = []
    for of_stages in zip(*parts, strict=True):
        events = _as_schedule([row for _, _, rows in of_stages for row in rows])
        events[["start", "end"]] -= events["start"].min()
        gradient = torch.cat([gradient for _, gradient, _ in of_stages])
        runs.append(PipelineRun(of_stages[-1][0], gradient, events))
    return runs


def _run_stage(rank, size, report, model, X, y, plans, seconds):
    """One stage: for each plan a rehearsal, in which connections are made, and the timed step."""
    import torch
    import torch.distributed as dist
    from torch.distributed import pipelining

    layers = np.array_split(np.arange(len(model)), size)[rank]
    schedules = {"gpipe": pipelining.ScheduleGPipe, "1f1b": pipelining.Schedule1F1B}
    results = []
    for number, (kind, micro_batches) in enumerate(plans):
        part = model[int(layers[0]) : int(layers[-1]) + 1]
        pace, events = [0.0], []
        _time(part, rank, pace, events)
        stage = pipelining.PipelineStage(part, rank, size, torch.device("cpu"))
        schedule = schedules[kind](stage, micro_batches, loss_fn=_logit_loss)
        for pace[0] in (0.0, seconds):
            part.zero_grad()
            events.clear()
            dist.barrier()
            given = (X,) if rank == 0 else ()
            last = {"target": y, "losses": []} if rank == size - 1 else {}
            output = schedule.step(*given, **last)
        gradient = torch.cat([p.grad.flatten() for p in part.parameters()] or [torch.empty(0)])
        output = output.detach().squeeze(1) if rank == size - 1 else None
        results.append((output, gradient, events))
        report(number + 1)
    return results


def _logit_loss(logits, y):
    import torch

    return torch.nn.functional.binary_cross_entropy_with_logits(logits.squeeze(1), y)


def _time(part, rank, pace, events):
    """Make the layers of a stage slow, and write down when they work on which micro-batch."""
    begun = []

    def work(phase, start):
        time.sleep(pace[0])
        number = sum(event[2] == phase for event in events)
        events.append((rank, number, phase, start, time.monotonic()))

    def passed(part, inputs, output):
        work("forward", begun.pop())
        if output.requires_grad:
            output.register_hook(lambda gradient: work("backward", time.monotonic()))

    part.register_forward_pre_hook(lambda part, inputs: begun.append(time.monotonic()))
    part.register_forward_hook(passed)
