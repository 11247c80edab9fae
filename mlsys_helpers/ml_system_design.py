"""Chapter 01: what a system must do besides scoring well.

In the order of the chapter: what decisions are worth; faults that raise nothing, and a service to
see them in; how many replicas the traffic needs; fingerprints by which a failure is found.

Throughout, 1 is the positive class, a row is predicted positive when its score is *at least* the
threshold, and ``value_matrix[i, j]`` is what it brings to predict class i when class j is true: a
loss is negative. Queries come at random (Poisson) and wait in one line for the next free replica.
"""

import hashlib
import heapq
import json
import os
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from matplotlib.ticker import EngFormatter
from scipy import stats

from mlsys_helpers import _checks, _servers
from mlsys_helpers.plotting import COLORS, get_axes, label_line

__all__ = [
    "break_even_threshold",
    "business_value",
    "plot_value_curve",
    "ArtifactRegistry",
    "model_service",
    "inject_fault",
    "erlang_c",
    "wait_probability",
    "simulate_queue",
    "replicas_needed",
    "autoscaling_plan",
    "fingerprint",
]


# --- The business metric ---------------------------------------------------------------------


def break_even_threshold(value_matrix):
    """The probability from which predicting positive pays.

    Parameters
    ----------
    value_matrix : array-like of shape (2, 2)
        ``value_matrix[i, j]``: what it brings to predict i when j is true.

    Returns
    -------
    float in (0, 1)
        The best threshold for calibrated probabilities, whatever their distribution.

    Raises
    ------
    ValueError
        If the matrix has another shape, holds anything but finite numbers, or a wrong
        prediction brings as much as the right one: then one prediction is always best.

    References
    ----------
    Chapter 01, General ML System Design. C. Elkan, "The foundations of cost-sensitive
    learning", IJCAI (2001).

    Examples
    --------
    >>> from mlsys_helpers.ml_system_design import break_even_threshold
    >>> break_even_threshold([[0, -3000], [-200, -1200]])  # a missed late flight is dear
    0.1
    """
    value = _value_matrix(value_matrix)
    alarm = value[0, 0] - value[1, 0]  # what a false alarm costs against silence
    hit = value[1, 1] - value[0, 1]  # what a true alarm brings against silence
    if alarm <= 0 or hit <= 0:
        raise ValueError(
            "value_matrix must make each right prediction worth more than the wrong one, got "
            f"{value.tolist()}: one prediction is always best, whatever the probability"
        )
    return float(alarm / (alarm + hit))


def business_value(y_true, y_score, value_matrix, threshold):
    """What all decisions at a threshold bring together.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels 0 and 1; both need not occur.
    y_score : array-like of shape (n,)
        Finite scores; higher means more likely positive.
    value_matrix : array-like of shape (2, 2)
        ``value_matrix[i, j]``: what it brings to predict i when j is true.
    threshold : float, or array-like of shape (m,)
        Predict positive where the score is at least this. Infinity: never.

    Returns
    -------
    float, or ndarray of shape (m,)
        The sum over all rows, in the unit of the matrix.

    Raises
    ------
    ValueError
        If an argument is empty, of another length or shape, or holds what it may not.

    References
    ----------
    Chapter 01, General ML System Design.

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.ml_system_design import business_value
    >>> y_true, y_score = [0, 0, 1, 1], [0.05, 0.3, 0.2, 0.9]
    >>> prices = [[0, -3000], [-200, -1200]]
    >>> business_value(y_true, y_score, prices, threshold=0.1)
    -2600.0
    >>> business_value(y_true, y_score, prices, threshold=[0.5, np.inf]).tolist()
    [-4200.0, -6000.0]
    """
    y_true = _checks.binary_labels(y_true, "y_true", both=False)
    y_score = _checks.numbers(y_score, "y_score", len(y_true))
    value = _value_matrix(value_matrix)
    thresholds = _checks.numbers(np.atleast_1d(threshold), "threshold", finite=False)
    order = np.argsort(y_score)
    silent = np.searchsorted(y_score[order], thresholds, side="left")  # rows below each threshold
    missed = np.concatenate([[0], np.cumsum(y_true[order])])[silent]
    caught = y_true.sum() - missed
    in_vain = len(y_true) - silent - caught
    right_silence = silent - missed
    counts = np.column_stack([right_silence, missed, in_vain, caught])
    total = counts @ value.ravel()
    return float(total[0]) if np.ndim(threshold) == 0 else total


def plot_value_curve(y_true, y_score, value_matrix, thresholds=None, ax=None, color="blue"):
    """Draw what a model brings over never predicting positive, against the threshold.

    Parameters
    ----------
    y_true, y_score, value_matrix
        As in `business_value`.
    thresholds : array-like of shape (m,), optional
        By default 200 steps, geometric, from 0.01 to 1.
    ax : matplotlib Axes or None
    color : str
        A name in `plotting.COLORS`.

    Returns
    -------
    matplotlib Axes
        With dashed lines where the closed form puts the threshold, and at 0: never.

    Raises
    ------
    ValueError
        As `business_value` and `break_even_threshold`, or if the color is unknown.

    References
    ----------
    Chapter 01, General ML System Design.

    Examples
    --------
    >>> from mlsys_helpers.ml_system_design import plot_value_curve
    >>> ax = plot_value_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], [[0, -3000], [-200, -1200]])
    >>> ax.get_xlabel()
    'threshold'
    """
    _checks.one_of(color, "color", tuple(COLORS))
    best = break_even_threshold(value_matrix)
    if thresholds is None:
        thresholds = np.geomspace(0.01, 1, 200)
    never = business_value(y_true, y_score, value_matrix, np.inf)
    gain = business_value(y_true, y_score, value_matrix, np.atleast_1d(thresholds)) - never
    ax = get_axes(ax)
    ax.plot(thresholds, gain, color=COLORS[color])
    ax.axhline(0, color=COLORS["grey"], linewidth=1, linestyle="--")
    ax.axvline(best, color=COLORS["grey"], linewidth=1, linestyle="--")
    bottom = max(gain.min(), -2 * abs(gain.max()))  # "always" can be too bad to be drawn
    height = np.ptp(gain) or abs(gain[0]) or 1.0  # a flat curve needs room, too
    ax.set_ylim(bottom - 0.05 * height, gain.max() + 0.15 * (gain.max() - bottom or height))
    label_line(ax, best, gain.max(), f"break-even {best:.2g}", "grey", xytext=(6, 12))
    ax.set(xscale="log", xlabel="threshold", ylabel="gain over never predicting positive")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_major_formatter(EngFormatter(sep=" "))
    return ax


def _value_matrix(value_matrix):
    try:
        shape = np.shape(value_matrix)
    except ValueError:
        raise ValueError(
            f"value_matrix must be a matrix of numbers, got {value_matrix!r}"
        ) from None
    if shape != (2, 2):
        raise ValueError(f"value_matrix must have shape (2, 2), got {shape}")
    return _checks.numbers(np.ravel(value_matrix), "value_matrix").reshape(2, 2)


# --- Artifacts, and a service that answers from one ------------------------------------------


_FIELDS = ("name", "version", "rows", "bytes", "trained_on", "sha256")


class ArtifactRegistry:
    """Models as files in a folder, and a table of what they are.

    An artifact is a model, the columns and dtypes that it expects, and the fingerprint of the
    rows that it was trained on. The files are pickles, which run code when they are loaded: load
    none that others could have written.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there.

    References
    ----------
    Chapter 01, Reliability and Scalability.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.ml_system_design import ArtifactRegistry
    >>> X, y = pd.DataFrame({"wind": [3.0, 8.0, 20.0, 31.0]}), [0, 0, 1, 1]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     registry = ArtifactRegistry(folder)
    ...     version = registry.save("late", LogisticRegression().fit(X, y), X, auc=1.0)
    ...     p = registry.predict("late", pd.DataFrame({"wind": [5, 30]}))
    ...     registry.table()[["name", "version", "rows", "auc"]]
       name  version  rows  auc
    0  late        1     4  1.0
    >>> (p > 0.5).tolist()
    [False, True]
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._index = self.folder / "registry.json"

    def save(self, name, model, X_train, **scores):
        """Write an artifact and enter it in the table.

        Parameters
        ----------
        name : str
            Letters, digits, ``-`` and ``_``.
        model : fitted classifier with ``predict_proba``
        X_train : DataFrame
            What the model was fitted to.
        **scores : float
            Whatever the table is to hold of it.

        Returns
        -------
        int
            The version: 1, or one more than the last of this name. None is overwritten.

        Raises
        ------
        ValueError
            If the name holds other characters, or a score is no finite number or called as
            one of the record's own fields, such as rows.
        TypeError
            If model cannot give probabilities, or X_train is not a DataFrame.
        """
        if not isinstance(name, str) or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"name must be of letters, digits, - and _, got {name!r}")
        if not hasattr(model, "predict_proba"):
            raise TypeError(f"model must have predict_proba, got {model!r}")
        if not isinstance(X_train, pd.DataFrame):
            raise TypeError(f"X_train must be a DataFrame, got {type(X_train).__name__}")
        for key, value in scores.items():
            if key in _FIELDS:
                raise ValueError(f"{key} is a field of the record itself; rename the score")
            _checks.number(value, key)
        records = self._records()
        version = 1 + max([r["version"] for r in records if r["name"] == name], default=0)
        path = self.folder / f"{name}-v{version}.joblib"
        joblib.dump({"model": model, "schema": X_train.iloc[:0]}, path)
        record = {"name": name, "version": version, "rows": len(X_train)}
        record |= {"bytes": path.stat().st_size, "trained_on": fingerprint(X_train)}
        record |= {"sha256": _sha256(path)} | {key: float(v) for key, v in scores.items()}
        draft = self._index.with_suffix(".draft")
        draft.write_text(json.dumps([*records, record], indent=1))
        os.replace(draft, self._index)  # a reader sees the old table or the new one, whole
        return version

    def predict(self, name, rows, version=None):
        """The probabilities of class 1 that an artifact gives.

        Parameters
        ----------
        name : str
        rows : DataFrame
            Must hold the artifact's columns, in any order. Values become the dtypes of the
            training rows; a category that they did not have counts as missing.
        version : int, optional
            By default the last.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        ValueError
            If there is no such artifact, its file is damaged, a column is missing, its values
            do not fit the dtype, or the model does not tell two classes apart.
        TypeError
            If rows is not a DataFrame.
        """
        if not isinstance(rows, pd.DataFrame):
            raise TypeError(f"rows must be a DataFrame, got {type(rows).__name__}")
        return _answer(self._load(name, version), rows)

    def table(self):
        """What the registry holds, as a DataFrame: a row an artifact, in the order of saving."""
        return pd.DataFrame(self._records())

    def _records(self):
        return json.loads(self._index.read_text()) if self._index.is_file() else []

    def _load(self, name, version=None):
        records = [r for r in self._records() if r["name"] == name]
        records = [r for r in records if version in (None, r["version"])]
        if not records:
            held = sorted({f"{r['name']} v{r['version']}" for r in self._records()})
            wanted = name if version is None else f"{name} v{version}"
            raise ValueError(f"name: no artifact {wanted!r} here; there are {held}")
        record = records[-1]
        path = self.folder / f"{name}-v{record['version']}.joblib"
        if not path.is_file() or _sha256(path) != record["sha256"]:
            raise ValueError(f"artifact {path.name} is missing or damaged: its SHA-256 differs")
        return joblib.load(path)


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _answer(artifact, rows):
    """The model's probabilities for rows made to fit the columns and dtypes it was trained on."""
    fitted = {}
    for name, column in artifact["schema"].items():
        if name not in rows:
            raise ValueError(f"rows lack the column {name!r}")
        try:
            if isinstance(column.dtype, pd.CategoricalDtype):
                known = rows[name].isin(column.dtype.categories)
                known = rows[name].astype(object).where(known)
                fitted[name] = pd.Categorical(known, dtype=column.dtype)
            else:
                fitted[name] = _cast(rows[name], column.dtype).to_numpy()
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"rows[{name!r}] must be {column.dtype}: {error}") from None
    chances = artifact["model"].predict_proba(pd.DataFrame(fitted))
    if chances.shape[1] != 2:
        raise ValueError(f"the model must give two probabilities a row, got {chances.shape[1]}")
    return chances[:, 1]


def _cast(values, dtype):
    """The values in the dtype; refused if whole numbers or booleans would become others."""
    with np.errstate(invalid="ignore"):  # a number too large, refused below
        cast = values.astype(dtype)
    if dtype.kind in "iub":
        changed = values[(cast != pd.to_numeric(values)).fillna(False)]
        if len(changed):
            raise ValueError(f"{changed.tolist()[0]!r} does not fit")
    return cast


@contextmanager
def model_service(registry, name, timeout=60):
    """Serve an artifact over HTTP from another process, for as long as the block runs.

    ``POST /predict`` takes a JSON list of rows, each an object of column and value, and answers
    with a list of probabilities; a row that does not fit is answered with 422 and the reason.

    Parameters
    ----------
    registry : ArtifactRegistry
    name : str
        The artifact; its last version is served.
    timeout : float, default 60
        Seconds in which the service must come up.

    Yields
    ------
    str
        The address, on a free port of this machine: ``http://127.0.0.1:…``.

    Raises
    ------
    RuntimeError
        If the service does not come up; the message ends with what its process said.
    TypeError, ValueError
        If registry is not an ArtifactRegistry, or timeout is not above 0.

    Notes
    -----
    The process is stopped when the block ends or fails, and ends by itself if the process that
    started it dies.

    References
    ----------
    Chapter 01, Reliability; chapter 15 builds a service with all that belongs to one.

    Examples
    --------
    >>> import tempfile
    >>> import httpx
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.ml_system_design import ArtifactRegistry, model_service
    >>> X, y = pd.DataFrame({"wind": [3.0, 8.0, 20.0, 31.0]}), [0, 0, 1, 1]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     registry = ArtifactRegistry(folder)
    ...     version = registry.save("late", LogisticRegression().fit(X, y), X)
    ...     with model_service(registry, "late") as url:
    ...         answer = httpx.post(f"{url}/predict", json=[{"wind": 30.0}])
    >>> print(answer.status_code, round(answer.json()[0], 2))
    200 1.0
    """
    if not isinstance(registry, ArtifactRegistry):
        raise TypeError(f"registry must be an ArtifactRegistry, got {type(registry).__name__}")
    _checks.number(timeout, "timeout", low=0, open_low=True)
    folder = str(registry.folder.resolve())
    with _servers.start_service(
        _serve, folder, name, name=f"the service of {name!r}", timeout=timeout
    ) as process:
        yield process.url


def _serve(folder, name):
    """What the other process runs: answer from the artifact."""
    from fastapi import FastAPI, HTTPException

    artifact = ArtifactRegistry(folder)._load(name)
    app = FastAPI()

    @app.post("/predict")
    def predict(rows: list[dict]):
        if not rows:
            raise HTTPException(422, "rows are empty")
        try:
            return _answer(artifact, pd.DataFrame(rows)).tolist()
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    _servers.serve(app)


# --- Reliability: faults that raise nothing --------------------------------------------------

_FAULTS = ("miles_to_km", "fahrenheit_to_celsius", "stale_join", "nan_to_zero", "swapped_columns")


def inject_fault(frame, fault, column, *, time="scheduled", by="origin", age="24h"):
    """A copy of a table with one thing wrong that no type check sees.

    Parameters
    ----------
    frame : DataFrame
    fault : str
        "miles_to_km" or "fahrenheit_to_celsius": the source changed its unit.
        "stale_join": the values are those that were current `age` earlier, as when a job that
        refreshes a table has stopped; rows with nothing that early get the first value of all.
        "nan_to_zero": what is missing reads 0.
        "swapped_columns": two columns' values change places.
    column : str, or list of str
        Where; exactly two for "swapped_columns".
    time, by : str
        For "stale_join": the column of a row's time, and the key that is joined on; neither
        with missing values.
    age : str or Timedelta, default "24h"
        For "stale_join": how old the values are, more than 0.

    Returns
    -------
    DataFrame
        The same rows, columns, index and dtypes; only the values of `column` differ.

    Raises
    ------
    ValueError
        If the fault is unknown, a column is not there, named twice, or cannot have the fault (a
        small integer type may not hold the kilometres), or age is no length of time above 0.
    TypeError
        If frame is not a DataFrame.

    References
    ----------
    Chapter 01, Reliability. N. Polyzotis et al., "Data validation for machine learning",
    MLSys (2019).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.ml_system_design import inject_fault
    >>> frame = pd.DataFrame({"distance": [100, 1000], "gust": [None, 20.0]})
    >>> inject_fault(frame, "miles_to_km", "distance")["distance"].tolist()
    [161, 1609]
    >>> inject_fault(frame, "nan_to_zero", "gust")["gust"].tolist()
    [0.0, 20.0]
    """
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame must be a DataFrame, got {type(frame).__name__}")
    _checks.one_of(fault, "fault", _FAULTS)
    if not frame.columns.is_unique:
        raise ValueError(f"frame must have columns of distinct names, got {list(frame)}")
    columns = list(column) if pd.api.types.is_list_like(column) else [column]
    if not columns:
        raise ValueError("column is empty")
    for name in columns + ([time, by] if fault == "stale_join" else []):
        if name not in frame:
            raise ValueError(f"column {name!r} is not in frame, which has {list(frame)}")
    broken = frame.copy()
    if fault == "swapped_columns":
        broken[columns] = _swapped(frame, columns)
    elif fault == "stale_join":
        broken[columns] = _stale(frame, columns, time, by, age)
    else:
        for name in columns:
            dtype = frame[name].dtype
            if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
                raise ValueError(f"column {name!r} must be numeric, it is {dtype}")
            changed = _rescaled(frame[name], fault)
            if dtype.kind in "iu":
                _refuse_too_large(changed.dropna().to_numpy(float), name, dtype)
            broken[name] = changed.astype(dtype)
    return broken


def _refuse_too_large(values, name, dtype):
    limits = np.iinfo(getattr(dtype, "numpy_dtype", dtype))
    outside = values[(values < limits.min) | (values >= limits.max + 1)]
    if len(outside):
        raise ValueError(f"column {name!r} is {dtype}, which cannot hold {outside[0]:g}")


def _rescaled(values, fault):
    if fault == "nan_to_zero":
        return values.fillna(0)
    changed = values * 1.609344 if fault == "miles_to_km" else (values - 32.0) / 1.8
    return changed if pd.api.types.is_float_dtype(values.dtype) else changed.round()


def _swapped(frame, columns):
    if len(columns) != 2 or columns[0] == columns[1]:
        raise ValueError(f"column must name two columns to swap, got {columns}")
    first, second = (frame[name].dtype for name in columns)
    if first != second:
        raise ValueError(f"column must name two of one dtype, got {first} and {second}")
    return frame[columns[::-1]].set_axis(columns, axis=1)


def _stale(frame, columns, time, by, age):
    if {time, by} & set(columns):
        raise ValueError(f"column must be neither {time!r} nor {by!r}, by which rows are joined")
    if by == time:
        raise ValueError(f"by must be another column than time, got {by!r} for both")
    try:
        if isinstance(age, (int, float)):
            raise TypeError("a number alone has no unit")
        age = pd.Timedelta(age)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"age must be a length of time such as '24h', got {age!r}: {error}"
        ) from None
    if not age > pd.Timedelta(0):
        raise ValueError(f"age must be more than 0, got {age}")
    if not pd.api.types.is_datetime64_any_dtype(frame[time]) or frame[time].isna().any():
        raise ValueError(f"column {time!r} must hold a time in every row")
    if frame[by].isna().any():
        raise ValueError(f"column {by!r} must hold a key in every row")
    rows = pd.DataFrame({"by": frame[by], "time": frame[time], "row": np.arange(len(frame))})
    rows = rows.sort_values("time", kind="stable")
    known = rows.drop_duplicates(["by", "time"], keep="last")
    asked = rows.assign(time=(rows["time"] - age).astype(rows["time"].dtype))
    found = pd.merge_asof(asked, known, on="time", by="by", suffixes=("", "_found"))
    found = found.sort_values("row")["row_found"].to_numpy()
    first = frame[by].map(known.groupby("by", observed=True)["row"].first()).to_numpy()
    at = np.where(np.isnan(found), first, found).astype(int)
    return frame[columns].iloc[at].set_axis(frame.index)


# --- Scalability: how many replicas ----------------------------------------------------------


def erlang_c(load, servers):
    """The probability that a query finds every server busy and has to wait.

    Parameters
    ----------
    load : float or array-like
        Offered load in erlangs: queries a second times the seconds that one takes. At least 0,
        and below `servers`.
    servers : int or array-like
        At least 1; load and servers are broadcast.

    Returns
    -------
    float, or ndarray

    Raises
    ------
    ValueError
        If an argument is out of range; at a load of `servers` the line grows without end.

    References
    ----------
    Chapter 01, Scalability. A. K. Erlang, "Solution of some problems in the theory of
    probabilities of significance in automatic telephone exchanges" (1917).

    Examples
    --------
    >>> from mlsys_helpers.ml_system_design import erlang_c
    >>> print(round(erlang_c(0.8, 1), 3))  # one server: as likely as the server is busy
    0.8
    >>> print(erlang_c(13.9, [14, 16, 20]).round(3).tolist())  # and what more servers change
    [0.969, 0.489, 0.088]
    """
    load_, servers_ = _load_and_servers(load, servers)
    waits = _erlang_c(load_, servers_)
    return float(waits) if waits.ndim == 0 else waits


def wait_probability(queries_per_hour, service_seconds, servers, longer_than=0.0):
    """The probability that a query waits longer than so many seconds before it is served.

    Parameters
    ----------
    queries_per_hour : float
        At least 0.
    service_seconds : float
        Mean time of an answer, above 0; times vary as an exponential distribution.
    servers : int
        At least 1, and more than the load.
    longer_than : float or array-like, default 0
        Seconds, at least 0.

    Returns
    -------
    float, or ndarray of the shape of longer_than

    Raises
    ------
    ValueError
        If an argument is out of range, or the servers cannot carry the load.

    References
    ----------
    Chapter 01, Scalability. L. Kleinrock, Queueing Systems, volume 1 (1975).

    Examples
    --------
    >>> from mlsys_helpers.ml_system_design import wait_probability
    >>> print(round(wait_probability(1_000_000, 0.05, 18, longer_than=0.05), 4))
    0.0036
    """
    load = _load(queries_per_hour, service_seconds)
    if np.ndim(load):
        raise ValueError(f"queries_per_hour must be one number, got {queries_per_hour!r}")
    _checks.whole_number(servers, "servers")
    seconds = _checks.numbers(np.ravel(longer_than), "longer_than", low=0, high=np.inf)
    chance = erlang_c(load, servers) * np.exp(-(servers - load) * seconds / service_seconds)
    return float(chance[0]) if np.ndim(longer_than) == 0 else chance.reshape(np.shape(longer_than))


def simulate_queue(
    queries_per_hour, service_seconds, servers, n_queries=100_000, *, random_state=None
):
    """What the queries of a simulated line wait, one after the other.

    Parameters
    ----------
    queries_per_hour : float
        At least 1e-9.
    service_seconds : float
        Mean time of an answer, above 0; times are drawn from an exponential distribution.
    servers : int
        At least 1, and more than the load.
    n_queries : int, default 100,000
    random_state : int, numpy Generator or None

    Returns
    -------
    ndarray of shape (n_queries,)
        Seconds before the answer begins, in order of arrival. A tenth as many came before them
        to fill the line. Neighbours share one line: their waits are not independent.

    Raises
    ------
    ValueError
        If an argument is out of range, or the servers cannot carry the load.

    References
    ----------
    Chapter 01, Scalability. J. Kiefer and J. Wolfowitz, "On the theory of queues with many
    servers", Transactions of the AMS 78 (1955).

    Examples
    --------
    >>> from mlsys_helpers.ml_system_design import erlang_c, simulate_queue
    >>> waits = simulate_queue(24_000, 0.5, servers=4, random_state=0)
    >>> print(round((waits > 0).mean(), 2), round(erlang_c(24_000 / 3600 * 0.5, 4), 2))
    0.67 0.66
    """
    load = _load(queries_per_hour, service_seconds)
    _checks.number(queries_per_hour, "queries_per_hour", low=1e-9)
    _checks.whole_number(servers, "servers")
    _load_and_servers(load, servers)
    _checks.whole_number(n_queries, "n_queries")
    rng = _checks.generator(random_state)
    before = n_queries // 10
    arrivals = np.cumsum(rng.exponential(3600 / queries_per_hour, before + n_queries))
    services = rng.exponential(service_seconds, before + n_queries)
    return _waits(arrivals, services, np.zeros(servers))[before:]


def _waits(arrivals, services, free_at):
    """First come, first served: each query takes the server that is free first."""
    free_at = free_at.tolist()
    heapq.heapify(free_at)
    waits = []
    for arrival, service in zip(arrivals.tolist(), services.tolist(), strict=True):
        start = max(arrival, free_at[0])
        heapq.heapreplace(free_at, start + service)
        waits.append(start - arrival)
    return np.array(waits)


def replicas_needed(queries_per_hour, service_seconds, max_wait_seconds, quantile=0.95):
    """The fewest replicas at which a share of the queries waits no longer than allowed.

    Parameters
    ----------
    queries_per_hour : float or array-like
        At least 0.
    service_seconds : float
        Mean time of an answer, above 0.
    max_wait_seconds : float
        Longest wait before the answer begins, at least 0.
    quantile : float in (0, 1), default 0.95
        Share of the queries that must wait no longer.

    Returns
    -------
    int, or ndarray of integers of the shape of queries_per_hour
        At least 1.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 01, Scalability.

    Examples
    --------
    >>> from mlsys_helpers.ml_system_design import replicas_needed
    >>> replicas_needed(1_000_000, 0.05, max_wait_seconds=0.05, quantile=0.99)
    18
    >>> replicas_needed([100_000, 1_000_000], 0.05, 0.05, quantile=0.5).tolist()
    [2, 15]
    """
    load = np.atleast_1d(_load(queries_per_hour, service_seconds))
    _checks.number(max_wait_seconds, "max_wait_seconds", low=0)
    _checks.number(quantile, "quantile", low=0, high=1, open_low=True, open_high=True)
    servers = np.floor(load).astype(int) + 1
    while True:
        late = _erlang_c(load, servers) * np.exp(
            -(servers - load) * max_wait_seconds / service_seconds
        )
        too_few = late > 1 - quantile
        if not too_few.any():
            servers = servers.reshape(np.shape(queries_per_hour))
            return int(servers) if servers.ndim == 0 else servers
        servers = servers + too_few


def autoscaling_plan(
    hourly_queries,
    service_seconds,
    max_wait_seconds,
    quantile=0.95,
    *,
    policy="reactive",
    startup_minutes=5,
    cooldown_minutes=5,
    headroom=0.0,
):
    """Minute by minute: the replicas that a policy has up, what it pays for, and who waits.

    Parameters
    ----------
    hourly_queries : array-like of shape (h,)
        Rate, in queries an hour, at each full hour of a day that repeats itself; the rate moves
        in a straight line between them. At least 0.
    service_seconds, max_wait_seconds, quantile
        As in `replicas_needed`.
    policy : {"reactive", "fixed", "scheduled"}, default "reactive"
        "fixed" keeps what the busiest minute needs. "reactive" orders what the last minute
        needed, and sends a replica away once it has not been needed for `cooldown_minutes`.
        "scheduled" knows the day, and orders `startup_minutes` ahead.
    startup_minutes : int, default 5
        From order to first answer, at least 0; paid for, without use.
    cooldown_minutes : int, default 5
        At least 0, for "reactive".
    headroom : float, default 0
        At least 0: plan for so much more traffic than there is; 0.2 is 20 %.

    Returns
    -------
    DataFrame, a row a minute
        ``queries_per_hour``; ``needed`` replicas for the target; ``replicas`` that are up;
        ``paid`` replicas, those that start included; ``backlog``, the queries left over at the
        end of the minute; ``delay_seconds``, what that backlog makes the next query wait;
        ``meets_target``, true with enough replicas and no backlog.

    Raises
    ------
    ValueError
        If an argument is out of range, or the replicas cannot carry the whole day.

    Notes
    -----
    The backlog is a fluid: what comes less what can be answered, the random part left out.

    References
    ----------
    Chapter 01, Scalability.

    Examples
    --------
    >>> from mlsys_helpers.ml_system_design import autoscaling_plan
    >>> day = [100_000] * 6 + [1_000_000] * 12 + [100_000] * 6
    >>> for policy in ("fixed", "reactive", "scheduled"):
    ...     plan = autoscaling_plan(day, 0.05, 0.1, policy=policy, startup_minutes=15)
    ...     hours, delay = plan["paid"].sum() / 60, plan["delay_seconds"].max()
    ...     print(f"{policy:9} {hours:.0f} replica hours, longest delay {delay:.0f} s")
    fixed     384 replica hours, longest delay 0 s
    reactive  229 replica hours, longest delay 371 s
    scheduled 231 replica hours, longest delay 0 s
    """
    hourly = _checks.numbers(hourly_queries, "hourly_queries", low=0, high=np.inf)
    _checks.one_of(policy, "policy", ("reactive", "fixed", "scheduled"))
    startup = _checks.whole_number(startup_minutes, "startup_minutes", low=0)
    cooldown = _checks.whole_number(cooldown_minutes, "cooldown_minutes", low=0)
    _checks.number(headroom, "headroom", low=0)
    minutes = 60 * len(hourly)
    if startup + cooldown >= minutes:
        raise ValueError(
            f"startup_minutes + cooldown_minutes must be below the day's {minutes}, got "
            f"{startup + cooldown}"
        )
    rate = np.interp(
        (np.arange(minutes) + 0.5) / 60, np.arange(len(hourly) + 1), [*hourly, hourly[0]]
    )
    target = (service_seconds, max_wait_seconds, quantile)
    wanted = pd.Series(np.tile(replicas_needed(rate * (1 + headroom), *target), 3))
    if policy == "fixed":
        ordered = wanted * 0 + wanted.max()
    elif policy == "reactive":
        ordered = wanted.shift(1).rolling(cooldown + 1).max()
    else:
        ordered = wanted[::-1].rolling(startup + 1).max()[::-1]
    up = ordered.rolling(startup + 1).min()  # up is what has been on order for startup minutes
    today = slice(minutes, 2 * minutes)  # the middle one of three equal days
    replicas, paid = up[today].to_numpy(), ordered[today].to_numpy()

    capacity = replicas * 60 / service_seconds  # queries that can be answered in the minute
    surplus = rate / 60 - capacity
    if surplus.sum() > 0:
        raise ValueError("hourly_queries are more in a day than the replicas can answer")
    walk = np.cumsum(np.tile(surplus, 2))
    backlog = (walk - np.minimum.accumulate(np.minimum(walk, 0)))[minutes:]
    backlog[backlog < 1e-6] = 0
    answered = np.cumsum(np.tile(capacity, 3))  # by the end of each minute, at full work
    now = np.arange(minutes)
    done = np.interp(answered[:minutes] + backlog, answered, np.arange(3 * minutes))
    needed = replicas_needed(rate, *target)
    return pd.DataFrame(
        {
            "queries_per_hour": rate,
            "needed": needed,
            "replicas": replicas.astype(int),
            "paid": paid.astype(int),
            "backlog": backlog,
            "delay_seconds": 60 * (done - now),
            "meets_target": (replicas >= needed) & (backlog == 0),
        }
    ).rename_axis("minute")


def _load(queries_per_hour, service_seconds):
    """Offered load in erlangs."""
    queries = _checks.numbers(np.ravel(queries_per_hour), "queries_per_hour", low=0, high=np.inf)
    _checks.number(service_seconds, "service_seconds", low=0, open_low=True)
    with np.errstate(over="ignore"):
        load = queries / 3600 * service_seconds
    _checks.numbers(load, "queries_per_hour / 3600 * service_seconds", low=0, high=1e7)
    return load[0] if np.ndim(queries_per_hour) == 0 else load


def _load_and_servers(load, servers):
    loads = _checks.numbers(np.ravel(load), "load", low=0, high=np.inf).reshape(np.shape(load))
    for count in np.ravel(servers).tolist():
        _checks.whole_number(count, "servers")
    servers = np.asarray(servers)
    for busy, count in zip(*map(np.ravel, np.broadcast_arrays(loads, servers)), strict=True):
        if busy >= count:
            raise ValueError(
                f"servers must be more than the load of {busy:.3g} erlangs, got {count}: "
                "the line would grow without end"
            )
    return loads, servers


def _erlang_c(load, servers):
    """Erlang B, that all servers are busy where nobody waits, turned into Erlang C."""
    blocked = stats.poisson.pmf(servers, load) / stats.poisson.cdf(servers, load)
    busy = load / servers
    return blocked / (1 - busy * (1 - blocked))


# --- Maintainability: what exactly was it? ---------------------------------------------------


def fingerprint(frame):
    """A hash of all that a table holds: equal content, equal hash, in any process.

    The order of rows and columns counts, since models and joins depend on it, and so do names,
    the index, and dtypes: 1 and 1.0 differ. Where and how it is stored does not count: byte
    order, the kind of missing value, the sign of zero, a RangeIndex or the same numbers in full.

    Parameters
    ----------
    frame : DataFrame
        Columns of numbers, booleans, times, text or categories, with or without missing values.

    Returns
    -------
    str
        64 hexadecimal digits, by SHA-256.

    Raises
    ------
    TypeError
        If frame is not a DataFrame, or a column holds other things, such as lists.

    References
    ----------
    Chapter 01, Maintainability. FIPS 180-4, Secure Hash Standard (2015).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.ml_system_design import fingerprint
    >>> frame = pd.DataFrame({"dest": ["BOS", "MIA"], "late": [0, 1]})
    >>> fingerprint(frame)[:12]
    '9385857f2a38'
    >>> fingerprint(frame) == fingerprint(frame.copy())
    True
    >>> fingerprint(frame) == fingerprint(frame[::-1])
    False
    """
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame must be a DataFrame, got {type(frame).__name__}")
    digest = hashlib.sha256()
    levels = [frame.index.get_level_values(i) for i in range(frame.index.nlevels)]
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    parts = [("index", str(len(levels)), b"")]
    parts += [(repr(level.name), *_content(level, "index")) for level in levels]
    parts += [(repr(c.name), *_content(c, f"column {c.name!r}")) for c in columns]
    for name, kind, content in parts:
        for piece in (name.encode(), kind.encode(), content):
            digest.update(len(piece).to_bytes(8, "little") + piece)  # no two run together
    return digest.hexdigest()


def _content(values, name):
    """The dtype's name, and bytes that equal content alone gives."""
    dtype = values.dtype
    of_arrow = isinstance(dtype, pd.ArrowDtype) and dtype.kind in "mM"
    if of_arrow or isinstance(dtype, pd.SparseDtype):
        raise TypeError(f"{name} must hold numbers, times or text as pandas does, got {dtype}")
    missing = np.asarray(values.isna())
    if isinstance(dtype, pd.CategoricalDtype):
        codes = values.cat.codes if isinstance(values, pd.Series) else values.codes
        kind, categories = _content(dtype.categories, name)
        order = "ordered" if dtype.ordered else "unordered"
        return f"category {order} {kind} {len(categories)}", categories + _bytes(codes, "<i8")
    if isinstance(dtype, pd.StringDtype) or dtype == np.dtype(object):
        texts = ["" if gone else text for gone, text in zip(missing, values, strict=True)]
        strange = next((text for text in texts if not isinstance(text, str)), None)
        if strange is not None:
            raise TypeError(f"{name} must hold numbers, times or text, got {strange!r}")
        coded = [text.encode("utf-8", "surrogatepass") for text in texts]
        lengths = _bytes([len(text) for text in coded], "<i8")
        return "text", missing.tobytes() + lengths + b"".join(coded)
    if pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        return str(dtype), _bytes(pd.Index(values).asi8, "<i8")  # NaT has a number, too
    if dtype.kind in "biuf" and dtype.itemsize <= 8:
        filled = values.fillna(False if dtype.kind == "b" else 0) if missing.any() else values
        plain = filled.to_numpy(dtype=getattr(dtype, "numpy_dtype", dtype))
        if dtype.kind == "f":
            plain = plain + plain.dtype.type(0)  # -0.0 becomes 0.0
        return str(dtype.name), missing.tobytes() + _bytes(plain, plain.dtype.newbyteorder("<"))
    raise TypeError(f"{name} must hold numbers, times or text, got dtype {dtype}")


def _bytes(values, dtype):
    return np.ascontiguousarray(values, dtype=dtype).tobytes()
