"""Chapter 17: models that go on learning while they serve.

In the order of the chapter: micro-batches, replay against forgetting, stateless and stateful
retraining on a stream whose labels come late, champion and challenger; what a stream does to
scalers; when to retrain, and what fresh data is worth.

Throughout, a row is *asked* at the moment of its prediction and *known* at the moment when its
label is there (missing: never); 1 is the positive class.
"""

import time
from copy import deepcopy
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
    clone,
)
from sklearn.metrics import average_precision_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from mlsys_helpers import _checks
from mlsys_helpers.monitoring import psi

__all__ = [
    "micro_batches",
    "ReplayBuffer",
    "ContinualLearner",
    "live_through",
    "champion_challenger",
    "Champion",
    "RunningScaler",
    "ScaledClassifier",
    "TriggeredLearner",
    "retraining_trigger",
    "data_freshness_gain",
]


# --- Micro-batches and memory ----------------------------------------------------------------


def micro_batches(stream, size):
    """The items of a stream, in order, in lists small enough to wait for.

    Parameters
    ----------
    stream : iterable
        It may be endless: a batch is handed out as soon as it is full.
    size : int
        Items in a batch; the last one may be smaller.

    Returns
    -------
    iterator over lists of at least one item

    Raises
    ------
    ValueError, TypeError
        If size is out of range, or stream is not iterable.

    References
    ----------
    Chapter 17, Continual Learning.

    Examples
    --------
    >>> from mlsys_helpers.continual_learning import micro_batches
    >>> list(micro_batches("abcde", size=2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    _checks.whole_number(size, "size")
    if not hasattr(stream, "__iter__"):
        raise TypeError(f"stream must be iterable, got {stream!r}")
    items = iter(stream)
    return iter(lambda: list(islice(items, size)), [])


class ReplayBuffer:
    """A fixed number of rows that stands for all the rows that have come (a reservoir).

    Parameters
    ----------
    size : int
        Rows held at most.
    random_state : int, numpy Generator or None

    Attributes
    ----------
    X_, y_ : ndarray of shape (held, d) and (held,)
        The rows held: of all that came, each with the same probability. None before the first.
    seen_ : int
        How many rows have come.

    Raises
    ------
    ValueError
        If size is out of range, rows and labels do not fit each other or the rows before, labels
        are missing, or nothing has come to draw from.

    References
    ----------
    Chapter 17, Continual Learning. J. S. Vitter, "Random sampling with a reservoir", ACM
    Transactions on Mathematical Software 11 (1985). D. Rolnick et al., "Experience replay for
    continual learning", NeurIPS (2019).

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.continual_learning import ReplayBuffer
    >>> buffer = ReplayBuffer(size=100, random_state=0)
    >>> for month in range(1, 13):
    ...     _ = buffer.add(np.full((1000, 3), month), np.full(1000, month))
    >>> print(buffer.seen_, len(buffer.y_), np.unique(buffer.y_).size)
    12000 100 12
    >>> X, y = buffer.mix(np.zeros((30, 3)), np.full(30, 13), share=0.25)  # 10 of 40 are old
    >>> print(X.shape, (y < 13).mean())
    (40, 3) 0.25
    """

    def __init__(self, size, random_state=None):
        self.size = _checks.whole_number(size, "size")
        self._rng = _checks.generator(random_state)
        self.X_ = self.y_ = None
        self.seen_ = 0

    def add(self, X, y):
        """Take notice of rows (n, d) and their labels (n,); returns the buffer."""
        X, y = self._rows(X, y)
        if self.X_ is None:
            self.X_, self.y_ = X[:0].copy(), y[:0].copy()
        free = max(self.size - len(self.y_), 0)
        self.X_ = np.concatenate([self.X_, X[:free]])
        self.y_ = np.concatenate([self.y_, y[:free]])
        counts = self.seen_ + np.arange(len(y)) + 1
        places = (self._rng.random(len(y)) * counts).astype(np.int64)  # 0 … rows so far - 1
        enter = np.flatnonzero((np.arange(len(y)) >= free) & (places < self.size))
        self.X_[places[enter]], self.y_[places[enter]] = X[enter], y[enter]  # the last one stays
        self.seen_ += len(y)
        return self

    def sample(self, n):
        """Draw n of the rows held, without repetition, or all if it holds fewer."""
        _checks.whole_number(n, "n", low=0)
        if self.X_ is None:
            raise ValueError("the buffer is empty: add rows first")
        rows = self._rng.choice(len(self.y_), min(n, len(self.y_)), replace=False)
        return self.X_[rows], self.y_[rows]

    def mix(self, X, y, share):
        """The rows, followed by so many old ones that they make up `share`, in [0, 1)."""
        _checks.number(share, "share", 0, 1, open_high=True)
        X, y = self._rows(X, y)
        old_X, old_y = self.sample(round(len(y) * share / (1 - share)))
        return np.concatenate([X, old_X]), np.concatenate([y, old_y])

    def _rows(self, X, y):
        X, y = np.asarray(X), _checks.column(y, "y")
        if X.ndim != 2 or len(X) != len(y):
            raise ValueError(f"X must have shape ({len(y)}, d), got {X.shape}")
        if self.X_ is not None and X.shape[1] != self.X_.shape[1]:
            raise ValueError(f"X must have {self.X_.shape[1]} columns, got {X.shape[1]}")
        return X, y


# --- Stateless and stateful ------------------------------------------------------------------


class ContinualLearner:
    """A model that is brought up to date, batch by batch, in one of three ways.

    Parameters
    ----------
    estimator : scikit-learn classifier
        Cloned, never fitted itself. With `partial_fit`, that is what trains it in every mode, so
        that after one batch all modes hold the same model; otherwise `fit` does.
    mode : {"stateless", "stateful", "never"}, default "stateless"
        "stateless" trains a new model on the last `window` batches, "stateful" goes on training
        the same model on the new batch alone, "never" stays with the first model.
    window : int, optional
        How many batches a stateless learner keeps; by default all.
    classes : sequence, default (0, 1)
        All labels that may ever come.

    Attributes
    ----------
    model_ : the model in service, None before the first
    history_ : list of dict, one an update
        ``until``, ``status``, ``rows`` trained on, ``kept`` (rows that stay stored for training)
        and ``seconds``. The status is "learned", or why the model stayed as it was: "no labels"
        (none in the batch), "one class" (a new model would be trained on one class only), "not
        finite" (the new model answers the batch with NaN), "as it is" (mode "never").

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range or of no use to the mode, "stateful" is asked of
        a model without `partial_fit`; in `update`, if time runs backwards, columns are
        missing, new or of another kind (another order is put right), or a label is not among the
        classes. A refused batch leaves the learner as it was.

    Notes
    -----
    Rows whose label is missing are left out. A category that the model has not seen is the
    model's affair: histogram trees take it as missing, `OneHotEncoder(handle_unknown="ignore")`
    as no category; a stateless learner learns it at the next update.

    References
    ----------
    Chapter 17, Continual Learning.

    Examples
    --------
    >>> from sklearn.linear_model import SGDClassifier
    >>> from mlsys_helpers.continual_learning import ContinualLearner, ScaledClassifier
    >>> from mlsys_helpers.datasets import FLIGHT_FEATURES, load_flight_features
    >>> flights = load_flight_features()
    >>> model = ScaledClassifier(SGDClassifier(loss="log_loss", random_state=0))
    >>> learner = ContinualLearner(model, mode="stateful")
    >>> for month in (1, 2, 3):
    ...     rows = flights[flights["date"].dt.month == month]
    ...     _ = learner.update(rows[FLIGHT_FEATURES["weather"]], rows["late"], until=month)
    >>> [update["rows"] for update in learner.history_]
    [26398, 23611, 27902]
    """

    def __init__(self, estimator, mode="stateless", *, window=None, classes=(0, 1)):
        self.mode = _checks.one_of(mode, "mode", ("stateless", "stateful", "never"))
        if not hasattr(estimator, "fit") or isinstance(estimator, type):
            raise TypeError(f"estimator must be a scikit-learn classifier, got {estimator!r}")
        self._partial = hasattr(estimator, "partial_fit")
        if mode == "stateful" and not self._partial:
            raise TypeError(f"estimator must have partial_fit to be stateful, got {estimator!r}")
        if window is not None and mode != "stateless":
            raise ValueError(f"window is of no use to the mode {mode!r}: leave it out")
        self.estimator = estimator
        self.window = None if window is None else _checks.whole_number(window, "window")
        self.classes = _checks.classes(_checks.column(classes, "classes"), "classes")
        self.model_, self.history_ = None, []
        self._kept, self._schema, self._until = [], None, None

    def update(self, X, y, until=None):
        """Learn from labelled rows that have come since; `until` is the moment, ever later."""
        until = _later(until, self._until)
        X, schema = _table(X, self._schema)
        y = _one_each(y, X)
        known = ~pd.isna(y)
        X, y = X[known], y[known]
        strange = y[~np.isin(y, self.classes)]
        if len(strange):
            raise ValueError(f"y must hold the classes {self.classes.tolist()}, got {strange[0]!r}")
        self._schema, self._until = schema, until
        start, before = time.perf_counter(), self.model_
        status, rows = self._learn(X, y.astype(self.classes.dtype))
        self.history_.append(
            {
                "until": until,
                "status": status,
                "rows": rows if self.model_ is not before else 0,
                "kept": sum(len(batch_y) for _, batch_y in self._kept),
                "seconds": time.perf_counter() - start,
            }
        )
        return self

    def _learn(self, X, y):
        if len(y) == 0:
            return "no labels", 0
        if self.mode == "never" and self.model_ is not None:
            return "as it is", 0
        batch = X
        if self.mode == "stateless":
            self._kept = [*self._kept, (X, y)][-(self.window or 0) :]
            X, y = _stack(self._kept)
        goes_on = self.mode == "stateful" and self.model_ is not None
        if not goes_on and len(np.unique(y)) < 2:
            return "one class", 0
        model = deepcopy(self.model_) if goes_on else clone(self.estimator)
        _ = model.partial_fit(X, y, classes=self.classes) if self._partial else model.fit(X, y)
        if not np.isfinite(model.predict_proba(batch)).all():
            return "not finite", 0
        self.model_ = model
        return "learned", len(y)

    def predict_proba(self, X):
        """Probabilities of shape (n, classes) from the model in service."""
        if self.model_ is None:
            raise ValueError("there is no model yet: update with rows of both classes first")
        return self.model_.predict_proba(_table(X, self._schema)[0])


def _one_each(y, X):
    y = np.asarray(y)
    if y.shape != (len(X),):
        raise ValueError(f"y must have {len(X)} entries, got shape {y.shape}")
    return y


def _later(until, last):
    if until is None or last is None:
        if until is not None and pd.isna(until):
            raise ValueError(f"until must be a moment, got {until!r}")
        return last if until is None else until
    if not _is_later(until, last):
        raise ValueError(
            f"until must be later than the one before: time ran from {last} to {until}"
        )
    return until


def _is_later(until, last):
    try:
        return bool(until > last)
    except TypeError:
        raise ValueError(f"until must be comparable with {last!r}, got {until!r}") from None


def _table(X, schema):
    """X, its columns in the order of the schema, and the schema: column name → is it a number."""
    if not isinstance(X, pd.DataFrame):
        X = np.asarray(X)
        if X.ndim != 2 or (schema is not None and len(schema) != X.shape[1]):
            wanted = "d" if schema is None else len(schema)
            raise ValueError(f"X must be a table of shape (n, {wanted}), got {X.shape}")
        return X, schema or dict.fromkeys(range(X.shape[1]), True)
    _checks.unique_columns(X, "X")
    found = {name: pd.api.types.is_numeric_dtype(X[name]) for name in X}
    if schema is None:
        return X, found
    missing, new = [[n for n in a if n not in b] for a, b in ((schema, found), (found, schema))]
    if missing or new:
        raise ValueError(f"X must keep its columns: missing {missing}, new {new}")
    changed = [name for name in schema if found[name] != schema[name]]
    if changed:
        raise ValueError(f"X must keep the kind of its columns, numbers or not; changed: {changed}")
    return X[list(schema)], schema


def _stack(batches):
    """All batches in one; columns of categories get the categories of all."""
    tables, labels = zip(*(batch[:2] for batch in batches), strict=True)
    if any(isinstance(table, np.ndarray) for table in tables):
        return np.concatenate([np.asarray(table) for table in tables]), np.concatenate(labels)
    stacked = pd.concat(tables)
    for name in tables[0].select_dtypes("category"):
        both = pd.api.types.union_categoricals([table[name] for table in tables])
        stacked[name] = both
    return stacked, np.concatenate(labels)


def live_through(learners, X, y, asked, known, moments):
    """What each learner would have answered, had it lived through the stream.

    At every moment but the last each learner is given the rows whose labels have come since the
    moment before (at the first: all that have come), and then answers what is asked up to the
    next moment. No row is learned before its label is known.

    Parameters
    ----------
    learners : dict of str to learner
        With ``update(X, y, until)``, ``predict_proba(X)`` and ``history_``, such as
        `ContinualLearner`. They are changed.
    X : DataFrame or ndarray of shape (n, d)
    y : array-like of shape (n,)
        Labels; what stands where `known` is missing is never looked at.
    asked, known : array-like of n timestamps
        A missing `known`: the label never comes.
    moments : sequence of timestamps
        At least two, rising.

    Returns
    -------
    answers : DataFrame of n rows
        For each learner the probability of the last class, NaN where a row was asked outside
        the moments; the index is that of X, if it has one.
    updates : DataFrame
        The learners' histories of these moments, with a column ``learner``.

    Raises
    ------
    ValueError
        If lengths differ, an asked moment is missing, a label is known before it is asked for,
        moments do not rise, or no learner is given.

    References
    ----------
    Chapter 17, Continual Learning. A. P. Dawid, "Statistical theory: the prequential approach",
    Journal of the Royal Statistical Society A 147 (1984).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from mlsys_helpers.continual_learning import ContinualLearner, live_through
    >>> asked = pd.date_range("2013-01-01", periods=60, freq="D")
    >>> X, y = np.arange(60.0)[:, None] % 7, np.arange(60) % 7 > 3
    >>> learner = ContinualLearner(GaussianNB(), mode="stateful")
    >>> answers, updates = live_through(
    ...     {"stateful": learner}, X, y.astype(int), asked, asked + pd.Timedelta("2D"),
    ...     pd.to_datetime(["2013-01-15", "2013-02-01", "2013-02-15"]))
    >>> updates[["until", "rows"]].values.tolist()
    [[Timestamp('2013-01-15 00:00:00'), 13], [Timestamp('2013-02-01 00:00:00'), 17]]
    """
    if not isinstance(learners, dict) or not learners:
        raise ValueError(f"learners must be a dict with at least one learner, got {learners!r}")
    for name, learner in learners.items():
        if not hasattr(learner, "update") or not hasattr(learner, "history_"):
            raise TypeError(f"learners must have update and history_, got {name!r}: {learner!r}")
    asked, known, moments = _clock(len(X), asked, known, moments)
    y = _one_each(y, X)
    answers = np.full((len(X), len(learners)), np.nan)
    lived = {name: len(learner.history_) for name, learner in learners.items()}
    learned_at = moments.searchsorted(known.fillna(moments[-1]), side="left")
    learned_at[known.isna()] = len(moments)  # never
    served_at = moments.searchsorted(asked, side="right") - 1
    for step, now in enumerate(moments[:-1]):
        new, served = np.flatnonzero(learned_at == step), np.flatnonzero(served_at == step)
        for column, learner in enumerate(learners.values()):
            learner.update(_take(X, new), y[new], now)
            if len(served):
                answers[served, column] = learner.predict_proba(_take(X, served))[:, -1]
    updates = [
        pd.DataFrame(learner.history_[lived[name] :]).assign(learner=name)
        for name, learner in learners.items()
    ]
    index = X.index if isinstance(X, pd.DataFrame) else None
    answers = pd.DataFrame(answers, index=index, columns=list(learners))
    return answers, pd.concat(updates, ignore_index=True)


def _take(X, rows):
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else np.asarray(X)[rows]


def _clock(n, asked, known, moments):
    """The three as DatetimeIndex, checked against each other."""
    try:
        asked, known, moments = (pd.DatetimeIndex(times) for times in (asked, known, moments))
        early = int((known < asked).sum()) if len(asked) == len(known) else 0
        _ = moments[:1] < asked[:1] if len(asked) else None
    except (TypeError, ValueError) as error:
        raise ValueError(f"asked, known and moments must be of one clock: {error}") from None
    if len(asked) != n or len(known) != n:
        raise ValueError(f"asked and known must have {n} entries, got {len(asked)}, {len(known)}")
    if asked.isna().any():
        raise ValueError(f"asked holds {asked.isna().sum()} missing values; remove or fill them")
    if early:
        raise ValueError(f"known must not be before asked: time runs backwards in {early} rows")
    if len(moments) < 2 or not (moments[1:] > moments[:-1]).all():
        raise ValueError("moments must be at least two and rise: time must not run backwards")
    return asked, known, moments


# --- Champion and challenger -----------------------------------------------------------------


class Verdict(NamedTuple):
    """Whether a challenger is promoted, why, and by how much it beats the champion."""

    promoted: bool
    reason: str
    rows: int = 0
    gain: float = np.nan  # mean log loss of the champion minus that of the challenger
    p_value: float = np.nan


def champion_challenger(champion, challenger, X, y, *, groups=None, level=0.05, min_rows=100):
    """The gate: is the challenger better than the champion on recent labelled rows, for sure?

    Both answer the same rows, and their log losses are compared row by row. The challenger is
    promoted when its mean gain is above 0 in a one-sided t test at `level`. Rows of one
    group (a day, say) share their luck: with `groups`, the groups are the units of the test.

    Parameters
    ----------
    champion, challenger : models with predict_proba for the classes 0 and 1
    X : DataFrame or ndarray of shape (n, d)
        Rows that neither model was trained on.
    y : array-like of shape (n,)
        Labels 0 and 1; rows without a label are left out.
    groups : array-like of shape (n,), optional
    level : float in (0, 1), default 0.05
        The share of equally good challengers that are promoted by luck.
    min_rows : int of at least 2, default 100
        With fewer labelled rows, or fewer than two groups, nobody is promoted.

    Returns
    -------
    Verdict
        ``promoted``, ``reason``, ``rows``, ``gain`` and ``p_value``. A challenger that raises or
        gives anything but probabilities is refused, and the reason says so.

    Raises
    ------
    ValueError
        If an argument is out of range or another length, labels are others than 0 and 1, or the
        *champion* gives anything but probabilities.

    References
    ----------
    Chapter 17, Continual Learning. The test for groups is that of a cluster-robust mean
    (K.-Y. Liang and S. L. Zeger, Biometrika 73, 1986).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from mlsys_helpers.continual_learning import champion_challenger
    >>> y = np.arange(400) % 2
    >>> X = y[:, None] + np.random.default_rng(0).normal(size=(400, 1))
    >>> champion = DummyClassifier().fit(X[:200], y[:200])
    >>> challenger = GaussianNB().fit(X[:200], y[:200])
    >>> verdict = champion_challenger(champion, challenger, X[200:], y[200:])
    >>> print(verdict.promoted, verdict.reason)
    True better
    """
    _checks.number(level, "level", 0, 1, open_low=True, open_high=True)
    _checks.whole_number(min_rows, "min_rows", 2)
    if not hasattr(champion, "predict_proba"):
        raise TypeError(f"champion must have predict_proba, got {champion!r}")
    X, _ = _table(X, None)
    y = _one_each(y, X)
    units = np.arange(len(y)) if groups is None else _checks.column(groups, "groups", len(y))
    known = ~pd.isna(y)
    X, y, units = X[known], y[known], pd.factorize(units[known])[0]
    if len(y) < min_rows:
        return Verdict(False, f"too few labels: {len(y)} of {min_rows}", len(y))
    y = _checks.binary_labels(y, "y", both=False)
    n_units = units.max() + 1
    if n_units < 2:
        return Verdict(False, "too few groups: 1 of 2", len(y))
    standing = _log_losses(champion, X, y, "champion")
    try:
        gains = standing - _log_losses(challenger, X, y, "challenger")
    except Exception as error:  # whatever is wrong with it, users keep the champion
        return Verdict(False, f"broken: {type(error).__name__}: {error}", len(y))
    gain = gains.mean()
    sums = np.bincount(units, weights=gains - gain)
    error = np.sqrt(n_units / (n_units - 1) * (sums**2).sum()) / len(y)
    t = gain / error if error > 0 else np.sign(gain) * np.inf if gain else 0.0
    p_value = float(stats.t.sf(t, n_units - 1))
    better = p_value < level
    return Verdict(better, "better" if better else "not surely better", len(y), gain, p_value)


def _log_losses(model, X, y, name):
    proba = np.asarray(model.predict_proba(X))
    if proba.shape != (len(y), 2):
        raise ValueError(f"{name} must give probabilities of shape ({len(y)}, 2)")
    p = _checks.numbers(proba[:, 1], f"probabilities of the {name}", low=0, high=1)
    return -np.log(np.clip(np.where(y == 1, p, 1 - p), 1e-15, 1))


class Champion:
    """The model in service, who may take its place, and the way back.

    Parameters
    ----------
    model : model with predict_proba

    Attributes
    ----------
    model_ : the champion
    history_ : list of dict
        Each proposal and each way back: ``event``, the number of the champion after it
        (``version``), ``reason``, ``rows``, ``gain`` and ``p_value``.

    Raises
    ------
    ValueError
        As `champion_challenger`; and by `rollback`, if there is nobody to go back to.

    References
    ----------
    Chapter 17, Continual Learning.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from mlsys_helpers.continual_learning import Champion
    >>> y = np.arange(400) % 2
    >>> X = y[:, None] + np.random.default_rng(0).normal(size=(400, 1))
    >>> service = Champion(DummyClassifier().fit(X[:200], y[:200]))
    >>> service.propose(GaussianNB().fit(X[:200], y[:200]), X[200:], y[200:]).promoted
    True
    >>> service.rollback()
    >>> [(entry["event"], entry["version"]) for entry in service.history_]
    [('promoted', 1), ('rolled back', 0)]
    """

    def __init__(self, model):
        if not hasattr(model, "predict_proba"):
            raise TypeError(f"model must have predict_proba, got {model!r}")
        self.model_, self.history_ = model, []
        self._line, self._versions = [(0, model)], 0  # the champion is the last one

    def propose(self, challenger, X, y, **options):
        """Let `champion_challenger` decide, with its options; a promoted one serves at once."""
        verdict = champion_challenger(self.model_, challenger, X, y, **options)
        if verdict.promoted:
            self._versions += 1
            self._line.append((self._versions, challenger))
        self._note("promoted" if verdict.promoted else "refused", **verdict._asdict())
        return verdict

    def rollback(self, reason="rolled back by hand"):
        """Put the champion before this one back into service."""
        if len(self._line) < 2:
            raise ValueError("there is no champion before this one to go back to")
        self._line.pop()
        self._note("rolled back", reason=reason)

    def predict_proba(self, X):
        """The champion's probabilities."""
        return self.model_.predict_proba(X)

    def _note(self, event, promoted=None, **facts):
        version, self.model_ = self._line[-1]
        self.history_.append({"event": event, "version": version, **facts})


# --- Scalers on a stream ---------------------------------------------------------------------


class RunningScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Mean 0 and variance 1, by the mean and variance of all rows that have come.

    It holds three numbers a column, whatever the length of the stream: `partial_fit` in any
    number of batches gives what `StandardScaler` gives on all rows at once. Missing values are
    left out, column by column, and stay missing. A constant column is only centred.

    Attributes
    ----------
    n_samples_seen_, mean_, var_, scale_ : ndarray of shape (d,)
        Values that have come, their mean, their variance, and the divisor (its root, or 1).

    Raises
    ------
    ValueError
        If X is no table of finite numbers and NaN, or has other columns than before; `merge` also
        refuses what is no RunningScaler with a TypeError.

    References
    ----------
    Chapter 17, Continual Learning Challenges. T. F. Chan, G. H. Golub and R. J. LeVeque,
    "Algorithms for computing the sample variance", The American Statistician 37 (1983).

    Examples
    --------
    >>> from mlsys_helpers.continual_learning import RunningScaler
    >>> from mlsys_helpers.datasets import load_weather
    >>> weather = load_weather()[["temp", "pressure"]]
    >>> first = RunningScaler().partial_fit(weather[:9000]).partial_fit(weather[9000:13000])
    >>> both = first.merge(RunningScaler().fit(weather[13000:]))
    >>> print((both.mean_ - weather.mean()).abs().max() < 1e-9, both.n_samples_seen_.tolist())
    True [26114, 23386]
    """

    def fit(self, X, y=None):
        """Forget what came before and learn from X."""
        self._count = None
        return self.partial_fit(X, y)

    def partial_fit(self, X, y=None):
        """Learn from X, beside all that came before."""
        first = getattr(self, "_count", None) is None
        X = validate_data(self, X, reset=first, dtype=np.float64, ensure_all_finite="allow-nan")
        there = ~np.isnan(X)
        count = there.sum(axis=0)
        mean = X.sum(axis=0, where=there) / np.maximum(count, 1)
        squares = ((X - mean) ** 2).sum(axis=0, where=there)
        if first:
            self._count, self.mean_, self._squares = count, mean, squares
        else:
            self._combine(count, mean, squares)
        return self._finish()

    def merge(self, other):
        """A new scaler, fitted to the rows of both."""
        if not isinstance(other, RunningScaler):
            raise TypeError(f"other must be a RunningScaler, got {other!r}")
        check_is_fitted(self), check_is_fitted(other)
        if other.n_features_in_ != self.n_features_in_ or not np.array_equal(
            getattr(other, "feature_names_in_", 0), getattr(self, "feature_names_in_", 0)
        ):
            raise ValueError(f"other must have the same {self.n_features_in_} columns")
        merged = deepcopy(self)
        merged._combine(other._count, other.mean_, other._squares)
        return merged._finish()

    def transform(self, X):
        """Scale a table; missing values stay missing."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
        scaled = X - self.mean_
        scaled /= self.scale_
        return scaled

    def _combine(self, count, mean, squares):
        total = np.maximum(self._count + count, 1)
        step = mean - self.mean_
        self._squares = self._squares + squares + step**2 * self._count * count / total
        self.mean_ = self.mean_ + step * count / total
        self._count = self._count + count

    def _finish(self):
        self.n_samples_seen_ = self._count
        self.var_ = self._squares / np.maximum(self._count, 1)
        tiny = np.finfo(float).eps * self._count  # what rounding leaves of a variance of 0
        constant = self.var_ <= tiny * self.var_ + (tiny * self.mean_) ** 2
        self.scale_ = np.where(constant, 1.0, np.sqrt(self.var_))
        return self

    def __sklearn_is_fitted__(self):
        return getattr(self, "_count", None) is not None

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class ScaledClassifier(ClassifierMixin, BaseEstimator):
    """A scaler and a classifier that learn from a stream together.

    Parameters
    ----------
    estimator : scikit-learn classifier
        Cloned; with partial_fit, to learn batch by batch.
    scaler : {"running", "frozen", "last"}, default "running"
        What rows are scaled by: "running" all that have come, "frozen" the first batch, "last"
        the last batch alone.

    Attributes
    ----------
    scaler_ : RunningScaler
    estimator_ : the fitted classifier
    classes_ : ndarray

    Raises
    ------
    ValueError
        If scaler is another, or X and y do not fit each other or the batches before.

    Notes
    -----
    A missing value becomes 0 after scaling, which is its column's mean.

    References
    ----------
    Chapter 17, Continual Learning Challenges.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neural_network import MLPClassifier
    >>> from mlsys_helpers.continual_learning import ScaledClassifier
    >>> model = ScaledClassifier(MLPClassifier(random_state=0))
    >>> X = np.array([[1000.0], [np.nan], [3000.0], [1500.0]])
    >>> model = model.partial_fit(X, [0, 1, 1, 0], classes=[0, 1])
    >>> model.predict_proba(X).shape
    (4, 2)
    """

    def __init__(self, estimator, scaler="running"):
        self.estimator = estimator
        self.scaler = scaler

    def fit(self, X, y):
        """Forget what came before and learn from X and y."""
        X, y = self._start(X, y)
        self.scaler_.fit(X)
        self.estimator_.fit(self._scale(X), y)
        return self._finish()

    @available_if(lambda self: hasattr(self.estimator, "partial_fit"))
    def partial_fit(self, X, y, classes=None):
        """Learn from one batch more; the first one must name all classes."""
        first = not hasattr(self, "estimator_")
        X, y = self._start(X, y) if first else self._validate(X, y, reset=False)
        if self.scaler == "last":
            self.scaler_.fit(X)
        elif first or self.scaler == "running":
            self.scaler_.partial_fit(X)
        self.estimator_.partial_fit(self._scale(X), y, classes=classes)
        return self._finish()

    def predict(self, X):
        """The classes."""
        X = self._ready(X)
        return self.estimator_.predict(X)

    @available_if(lambda self: hasattr(self.estimator, "predict_proba"))
    def predict_proba(self, X):
        """The probabilities, of shape (n, classes)."""
        X = self._ready(X)
        return self.estimator_.predict_proba(X)

    def _start(self, X, y):
        _checks.one_of(self.scaler, "scaler", ("running", "frozen", "last"))
        X, y = self._validate(X, y, reset=True)
        self.scaler_ = RunningScaler()
        self.estimator_ = clone(self.estimator)
        return X, y

    def _validate(self, X, y, reset):
        X, y = validate_data(self, X, y, reset=reset, dtype=float, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        return X, y

    def _ready(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=float, ensure_all_finite="allow-nan")
        return self._scale(X)

    def _scale(self, X):
        scaled = self.scaler_.transform(X)
        scaled[np.isnan(scaled)] = 0
        return scaled

    def _finish(self):
        self.classes_ = self.estimator_.classes_
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


# --- When to retrain, and what it is worth ---------------------------------------------------


class TriggeredLearner:
    """Triggers that ask for a challenger, and a gate that decides: stage four in one object.

    Each `update` brings the labelled rows of one period (a day, say) and asks the triggers of
    time, volume and performance. If one fires, a challenger goes on from the champion on all
    rows since the last promotion but those of the last `judged` periods, on which
    `champion_challenger` judges it, with periods as units.

    Parameters
    ----------
    model : fitted classifier with partial_fit and predict_proba, for the classes 0 and 1
        The first champion. It is not changed.
    since : Timestamp or number
        Up to when the model was trained: an update at or before it brings nothing new.
    max_age, max_rows, level
        As in `retraining_trigger`. Age counts from the last challenger, the rows from the last
        promotion.
    judged : int of at least 2, default 7
        Periods that judge a challenger; as many must pass before the next one.
    normal : int of at least 2, default 14
        Periods after a promotion whose losses are the reference; until they are over no
        trigger is asked.

    Attributes
    ----------
    service_ : Champion
    history_ : list of dict, one an update
        ``until``, ``status`` ("learned", "refused" or "as it is"), ``fired`` (names of the
        triggers, or empty), ``rows`` that a challenger was trained on, ``kept`` (rows stored)
        and ``seconds``.

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range or the model has no `partial_fit`; in `update`, if time
        runs backwards, or X and y do not fit each other or the model.

    References
    ----------
    Chapter 17, Four Stages of Continual Learning.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from mlsys_helpers.continual_learning import TriggeredLearner
    >>> rng = np.random.default_rng(1)
    >>> X, y = rng.normal(size=(4_000, 1)), rng.integers(0, 2, 4_000)
    >>> X[:, 0] += np.where(np.arange(4_000) < 2_500, y, 3 * (1 - y))  # day 25 turns it round
    >>> model = GaussianNB().fit(X[:500], y[:500])
    >>> learner = TriggeredLearner(model, since=4, max_age=99, max_rows=9_999)
    >>> for day in range(5, 40):
    ...     rows = slice(100 * day, 100 * day + 100)
    ...     _ = learner.update(X[rows], y[rows], until=day)
    >>> [(u["until"], u["fired"], u["status"]) for u in learner.history_ if u["fired"]]
    [(29, 'performance', 'learned')]
    """

    def __init__(self, model, *, since, max_age, max_rows, level=0.01, judged=7, normal=14):
        if not hasattr(model, "partial_fit") or isinstance(model, type):
            raise TypeError(f"model must be fitted and have partial_fit, got {model!r}")
        self._limits = {"max_age": max_age, "max_rows": max_rows, "level": level}
        retraining_trigger(age=max_age * 0, new_rows=0, **self._limits)  # are they in range?
        self.since, self._challenged = since, since
        self.judged = _checks.whole_number(judged, "judged", low=2)
        self.normal = _checks.whole_number(normal, "normal", low=2)
        self.service_, self.history_ = Champion(model), []
        self._periods, self._waited = [], 0  # (X, y, mean loss of the champion) since its start

    def update(self, X, y, until):
        """Take the labelled rows of one period, ask the triggers, and let the gate decide."""
        start = time.perf_counter()
        until = _later(until, self.history_[-1]["until"] if self.history_ else None)
        y = _one_each(y, X)
        known = ~pd.isna(y)
        if _is_later(until, self.since) and known.any():
            X, y = _take(X, known), _checks.binary_labels(y[known], "y", both=False)
            loss = _log_losses(self.service_, X, y, "champion").mean()
            self._periods.append((X, y, loss))
        facts = {"until": until, "status": "as it is", "fired": "", "rows": 0}
        self._waited += 1
        if len(self._periods) > max(self.normal, self.judged) and self._waited >= self.judged:
            facts |= self._ask(until)
        kept = sum(len(y) for _, y, _ in self._periods)
        self.history_.append(facts | {"kept": kept, "seconds": time.perf_counter() - start})
        return self

    def _ask(self, until):
        older, recent = self._periods[: -self.judged], self._periods[-self.judged :]
        fires = retraining_trigger(
            age=until - self._challenged,
            new_rows=sum(len(y) for _, y, _ in self._periods),
            reference_losses=[loss for *_, loss in self._periods[: self.normal]],
            losses=[loss for *_, loss in recent],
            **self._limits,
        )["fires"]
        if not fires.any():
            return {}
        self._challenged, self._waited = until, 0
        X, y = _stack(older)
        challenger = deepcopy(self.service_.model_).partial_fit(X, y)
        period = np.repeat(np.arange(self.judged), [len(y) for _, y, _ in recent])
        promoted = self.service_.propose(challenger, *_stack(recent), groups=period).promoted
        if promoted:
            self._periods = recent
        status = "learned" if promoted else "refused"
        return {"status": status, "fired": ", ".join(fires.index[fires]), "rows": len(y)}

    def predict_proba(self, X):
        """The champion's probabilities."""
        return self.service_.predict_proba(X)


def retraining_trigger(
    *,
    age=None,
    max_age=None,
    new_rows=None,
    max_rows=None,
    reference_losses=None,
    losses=None,
    reference=None,
    current=None,
    level=0.001,
):
    """Is it time to retrain? By time, volume, performance and drift: what you give is asked.

    Parameters
    ----------
    age, max_age : Timedelta or number, optional
        Time: how old the model is; it fires from max_age on.
    new_rows, max_rows : int, optional
        Volume: labelled rows since the model was trained; it fires from max_rows on.
    reference_losses, losses : array-like of at least two numbers each, optional
        Performance: losses when the model was accepted, and of late. It fires when their mean
        has risen, in Welch's one-sided t test at `level`. Give independent units: where rows of
        one day share their luck, the mean loss of each day.
    reference, current : DataFrame, optional
        Drift: numeric features at training, and of late. With B bins, n and m rows and no
        drift, PSI / (1/n + 1/m) follows chi-square with B − 1 degrees of freedom; it fires when
        the smallest p-value, times the number of features (Bonferroni), is below `level`.
    level : float in (0, 1), default 0.001
        False-alarm rate of performance and of drift *at each look*, for independent rows. In k
        looks it is at most k times that.

    Returns
    -------
    DataFrame, one row a trigger asked, indexed by its name
        ``value`` and ``limit``, the pair that is compared; ``fires``; ``detail``, which names
        the feature that drifted most with its PSI.

    Raises
    ------
    ValueError
        If nothing is asked, one half of a pair is missing, a value is out of range or missing,
        time runs backwards (a negative age), or the two tables have other columns, or columns
        that hold no numbers.

    References
    ----------
    Chapter 17, Four Stages of Continual Learning. B. Yurdakul and J. Naranjo, "Statistical
    properties of the population stability index", Journal of Risk Model Validation (2020).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.continual_learning import retraining_trigger
    >>> retraining_trigger(
    ...     age=pd.Timedelta("12D"), max_age=pd.Timedelta("30D"), new_rows=9_000, max_rows=5_000
    ... )["fires"].to_dict()
    {'time': False, 'volume': True}
    """
    _checks.number(level, "level", 0, 1, open_low=True, open_high=True)
    pairs = {
        "time": {"age": age, "max_age": max_age},
        "volume": {"new_rows": new_rows, "max_rows": max_rows},
        "performance": {"reference_losses": reference_losses, "losses": losses},
        "drift": {"reference": reference, "current": current},
    }
    asked = {}
    for trigger, pair in pairs.items():
        (first, a), (second, b) = pair.items()
        if (a is None) != (b is None):
            raise ValueError(f"{first} and {second} must come together")
        if a is not None:
            asked[trigger] = _TRIGGERS[trigger](a, b, level)
    if not asked:
        raise ValueError("nothing is asked: give at least one pair, such as age and max_age")
    columns = ["value", "limit", "fires", "detail"]
    return pd.DataFrame.from_dict(asked, orient="index", columns=columns)


def _time_trigger(age, max_age, level):
    try:
        if isinstance(age, str) or isinstance(max_age, str):
            raise TypeError
        fits = bool(age >= age * 0 and max_age > max_age * 0)
        fires = bool(age >= max_age)
    except TypeError:
        raise ValueError(
            f"age and max_age must be two numbers or two spans, got {age!r}, {max_age!r}"
        ) from None
    if not fits:
        raise ValueError(
            f"age must be at least 0 (time must not run backwards) and max_age above 0, got "
            f"{age!r}, {max_age!r}"
        )
    return age, max_age, fires, ""


def _volume_trigger(new_rows, max_rows, level):
    _checks.whole_number(new_rows, "new_rows", low=0)
    _checks.whole_number(max_rows, "max_rows")
    return new_rows, max_rows, new_rows >= max_rows, ""


def _performance_trigger(reference_losses, losses, level):
    before = _checks.numbers(reference_losses, "reference_losses")
    now = _checks.numbers(losses, "losses")
    if min(len(before), len(now)) < 2:
        raise ValueError("reference_losses and losses must hold at least two numbers each")
    if before.std() == now.std() == 0:
        p = float(now[0] <= before[0])
    else:
        p = float(stats.ttest_ind(now, before, equal_var=False, alternative="greater").pvalue)
    return p, level, p < level, f"mean loss {before.mean():.3g}, now {now.mean():.3g}"


def _drift_trigger(reference, current, level):
    for name, table in (("reference", reference), ("current", current)):
        if not isinstance(table, pd.DataFrame) or table.empty:
            raise ValueError(f"{name} must be a DataFrame with rows and columns")
    found = [
        (_drift_p_value(reference[name], current[name]), name)
        for name in _table(current, _table(reference, None)[1])[0]
    ]
    (p, score), name = min(found)
    return min(p * len(found), 1.0), level, p * len(found) < level, f"{name}: PSI {score:.3g}"


def _drift_p_value(reference, current):
    """The p-value of a column's PSI, and the PSI, in bins that a tenth of the reference fills."""
    if not pd.api.types.is_numeric_dtype(reference):
        raise ValueError(f"reference must hold numbers, got the column {reference.name!r}")
    reference, current = reference.dropna().astype(float), current.dropna().astype(float)
    if reference.empty or current.empty:
        raise ValueError(f"column {reference.name!r} holds no value on one side")
    edges = np.unique(np.quantile(reference, np.arange(1, 10) / 10, method="lower"))
    edges = edges[edges > reference.min()]
    if len(edges) == 0:  # the reference has one value in nine rows of ten
        edges = np.nextafter(reference.min(), [-np.inf, np.inf])
    score = psi(reference, current, edges=edges)
    p = stats.chi2.sf(score / (1 / len(reference) + 1 / len(current)), len(edges))
    return float(p), score


_TRIGGERS = {
    "time": _time_trigger,
    "volume": _volume_trigger,
    "performance": _performance_trigger,
    "drift": _drift_trigger,
}


def data_freshness_gain(
    estimator, X, y, asked, known, moments, gaps, window=1, metric=average_precision_score
):
    """The same periods predicted by models of different age, trained on equally long windows.

    Parameters
    ----------
    estimator : scikit-learn classifier
        Cloned and fitted anew for each window.
    X, y, asked, known
        As in `live_through`.
    moments : sequence of timestamps
        They bound the periods, months for example.
    gaps : sequence of int of at least 0
        How many periods old the training window's end is; 0 is as fresh as can be.
    window : int, default 1
        Periods in each training window.
    metric : callable, default average_precision_score
        ``metric(y_true, p)`` with the probability of class 1; higher is better. It may count
        money.

    Returns
    -------
    DataFrame, one row a period and gap
        ``period`` (its start), ``gap``, ``rows`` trained on, ``score``, and ``gain``: the score
        of the smallest gap minus this one, which is what the staleness costs. Only periods for
        which every gap has a whole window before it, and which hold a label, are there.

    Raises
    ------
    ValueError
        As `live_through`; if gaps or window are out of range or too long for the moments, or a
        window holds one class only.

    References
    ----------
    Chapter 17, Four Stages of Continual Learning. X. He et al., "Practical lessons from
    predicting clicks on ads at Facebook", ADKDD (2014), whose Figure 11 is such a curve.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.continual_learning import data_freshness_gain
    >>> asked = pd.date_range("2013-01-01", "2013-12-31 23:00", freq="h")
    >>> rng, month = np.random.default_rng(0), asked.month.to_numpy()
    >>> X = rng.normal(size=(len(asked), 2))
    >>> y = (X @ [1, 0] * (12 - month) + X @ [0, 1] * month > 0).astype(int)  # a slow drift
    >>> table = data_freshness_gain(
    ...     LogisticRegression(), X, y, asked, asked,
    ...     pd.date_range("2013-01-01", "2014-01-01", freq="MS"), gaps=[0, 3])
    >>> bool(table.groupby("gap")["gain"].mean()[3] > 0)
    True
    """
    asked, known, moments = _clock(len(X), asked, known, moments)
    if not hasattr(estimator, "fit") or not callable(metric):
        raise TypeError(f"estimator must be a classifier and metric a function, got {metric!r}")
    y, labelled = _one_each(y, X), ~known.isna()
    labels = _checks.binary_labels(y[labelled], "y", both=False)
    y = np.zeros(len(y), dtype=labels.dtype)
    y[labelled] = labels
    gaps = sorted({_checks.whole_number(gap, "gaps", low=0) for gap in gaps})
    _checks.whole_number(window, "window")
    first = (gaps[-1] if gaps else 0) + window
    if not gaps or first > len(moments) - 2:
        raise ValueError(
            f"gaps={gaps} with window={window} leave no period of {len(moments) - 1} to predict"
        )
    models, found = {}, []
    for start in range(first, len(moments) - 1):
        there = (asked >= moments[start]) & (asked < moments[start + 1]) & labelled
        for gap in gaps if there.any() else []:
            end = start - gap
            if end not in models:
                rows = (asked >= moments[end - window]) & (known <= moments[end])
                _checks.classes(_checks.column(y[rows], f"y up to {moments[end]}"), "y of a window")
                models[end] = clone(estimator).fit(_take(X, rows), y[rows]), int(rows.sum())
            model, n_rows = models[end]
            score = metric(y[there], model.predict_proba(_take(X, there))[:, 1])
            found.append((moments[start], gap, n_rows, score))
    table = pd.DataFrame(found, columns=["period", "gap", "rows", "score"])
    freshest = table.groupby("period")["score"].transform("first")
    return table.assign(gain=freshest - table["score"])
