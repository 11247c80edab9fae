"""Chapter 14: what to know of a model before anybody relies on it.

In the order of the chapter: baselines; behavioural tests (perturbation, invariance, directional
expectation); calibration; confidence in a single prediction; slices.

A model is a black box here: anything with ``predict`` or ``predict_proba``, pipelines on data
frames included. What it answers is checked: one entry for each row, probabilities that are
finite, of shape (n, number of classes), and sum to one; anything else is refused. Labels are 0
and 1 unless said otherwise, and ``proba`` may be given as the probability of class 1 alone.
Intervals are 95 % intervals. ``groups`` name what belongs together, such as the day of a flight:
rows of one group share their luck, and the intervals count groups instead of rows.
"""

from time import perf_counter
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin

from mlsys_helpers import _checks
from mlsys_helpers.plotting import COLORS, get_axes, label_line, percent_axis

__all__ = [
    "random_baseline",
    "RuleClassifier",
    "baseline_report",
    "plot_scores",
    "perturbation_test",
    "invariance_test",
    "directional_test",
    "BehaviourReport",
    "calibration_table",
    "expected_calibration_error",
    "plot_reliability",
    "calibrated_rerank",
    "risk_coverage",
    "plot_risk_coverage",
    "conformal_sets",
    "slice_report",
    "find_slices",
    "simpson_check",
]

_LABEL_METRICS = ("accuracy", "precision", "recall", "f1")
_METRICS = (*_LABEL_METRICS, "brier", "log_loss", "calibration_gap")


# --- What a model answers --------------------------------------------------------------------


def _probabilities(proba, name, n_rows=None, n_classes=None):
    """Probabilities as floats of shape (n, k); a single column is that of class 1."""
    try:
        proba = np.asarray(proba, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from None
    if proba.ndim == 1 and n_classes is None:
        proba = np.column_stack([1 - proba, proba])
    wanted = f"({'n' if n_rows is None else n_rows}, {n_classes or 'number of classes'})"
    fits = proba.ndim == 2 and len(proba) and proba.shape[1] >= 2
    fits = fits and n_rows in (None, len(proba)) and n_classes in (None, proba.shape[1])
    if not fits:
        raise ValueError(f"{name} must have shape {wanted}, got {proba.shape}")
    if not ((proba >= -1e-9) & (proba <= 1 + 1e-9)).all():  # NaN is neither
        outside = proba[~((proba >= 0) & (proba <= 1))][0]
        raise ValueError(f"{name} must lie in [0, 1], got {outside:.4g}")
    total = proba.sum(axis=1)
    if not np.allclose(total, 1, rtol=0, atol=1e-5):
        worst = total[np.abs(total - 1).argmax()]
        raise ValueError(f"{name} must sum to 1 in each row, got a sum of {worst:.4g}")
    return proba


def _model_probabilities(model, X, name):
    """What predict_proba answers, checked against the rows and the classes of the model."""
    answer = np.asarray(model.predict_proba(X))
    n_classes = len(getattr(model, "classes_", answer[:1].ravel()))  # unknown: as many as columns
    return _probabilities(answer, f"{name}.predict_proba(X)", len(X), max(n_classes, 2))


def _check_model(model, name):
    if isinstance(model, type) or not any(hasattr(model, m) for m in ("predict", "predict_proba")):
        raise TypeError(f"{name} must have predict or predict_proba, got {model!r}")


def _labels_or_risk(model, X, name, metric):
    """Labels 0 and 1 for a metric of labels, else the probability of class 1."""
    if metric in _LABEL_METRICS and hasattr(model, "predict"):
        return _checks.binary_labels(model.predict(X), f"{name}.predict(X)", len(X), both=False)
    if not hasattr(model, "predict_proba"):
        raise TypeError(f"{name} must have predict_proba for the metric {metric!r}")
    classes = list(getattr(model, "classes_", (0, 1)))
    if classes != [0, 1]:
        raise ValueError(f"{name} must have the classes 0 and 1, got {classes}")
    risk = _model_probabilities(model, X, name)[:, 1]
    return (risk >= 0.5).astype(int) if metric in _LABEL_METRICS else risk


def _sorted(values):
    """In ascending order; values of several types by their text."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=str)


# --- A score and its interval: every metric here is a sum over the rows divided by another ----


def _parts(metric, y, output):
    """Numerator and denominator of a metric, row by row."""
    one = np.ones(len(y))
    if metric == "accuracy":
        return (output == y).astype(float), one
    if metric in ("brier", "calibration_gap"):
        return (output - y) ** 2 if metric == "brier" else output - y, one
    if metric == "log_loss":
        return -np.log(np.clip(np.where(y == 1, output, 1 - output), 1e-15, None)), one
    hit = y * output
    over = {"precision": (hit, output), "recall": (hit, y), "f1": (2 * hit, y + output)}
    return tuple(part.astype(float) for part in over[metric])


def _influence(numerator, denominator, groups):
    """The ratio of two sums, and how much each group moves it (to first order)."""
    total = denominator.sum()
    ratio = numerator.sum() / total
    return ratio, _by_group((numerator - ratio * denominator) / total, groups)


def _by_group(values, groups):
    return values if groups is None else np.bincount(groups, weights=values)


def _standard_error(influence, n_groups):
    return np.sqrt((influence**2).sum() * n_groups / max(n_groups - 1, 1))


def _ratio_interval(numerator, denominator, groups, proportion):
    """Ratio, low and high: Wilson's for a proportion, Student's t for any other mean."""
    ratio, influence = _influence(numerator, denominator, groups)
    if proportion and groups is None:
        return ratio, *_wilson(ratio, denominator.sum())
    n_groups = np.count_nonzero(_by_group(denominator, groups))
    if n_groups < 2:
        return ratio, np.nan, np.nan
    error = _standard_error(influence, n_groups)
    if not proportion:
        half = stats.t.ppf(0.975, n_groups - 1) * error
        return ratio, ratio - half, ratio + half
    # as many independent rows as would have this error; if all are right, or wrong, the groups
    n = ratio * (1 - ratio) / error**2 if error > 0 else n_groups
    return ratio, *_wilson(ratio, n)


def _wilson(share, n):
    z = stats.norm.ppf(0.975)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return centre - half, centre + half


def _codes(groups, n_rows):
    return None if groups is None else pd.factorize(_checks.column(groups, "groups", n_rows))[0]


# --- Baselines -------------------------------------------------------------------------------


def random_baseline(base_rate, positive_rate=0.5):
    """What guessing is worth: the expected metrics of a prediction that knows nothing of the row.

    Parameters
    ----------
    base_rate : float in (0, 1)
        Share of positives, π.
    positive_rate : float in (0, 1], default 0.5
        Share of rows that are called positive at random, q: one half for a fair coin, the base
        rate for guesses as frequent as the positives, 1 for "always positive".

    Returns
    -------
    dict
        ``accuracy`` πq + (1 − π)(1 − q), ``precision`` π, ``recall`` q, and ``f1`` 2πq/(π + q),
        which large samples tend to.

    Raises
    ------
    ValueError
        If a rate is out of range.

    References
    ----------
    Chapter 14, Baselines.

    Examples
    --------
    >>> from mlsys_helpers.offline_evaluation import random_baseline
    >>> for rate in (0.5, 0.06, 1):
    ...     print({name: round(value, 3) for name, value in random_baseline(0.06, rate).items()})
    {'accuracy': 0.5, 'precision': 0.06, 'recall': 0.5, 'f1': 0.107}
    {'accuracy': 0.887, 'precision': 0.06, 'recall': 0.06, 'f1': 0.06}
    {'accuracy': 0.06, 'precision': 0.06, 'recall': 1, 'f1': 0.113}
    """
    _checks.number(base_rate, "base_rate", 0, 1, open_low=True, open_high=True)
    _checks.number(positive_rate, "positive_rate", 0, 1, open_low=True)
    return {
        "accuracy": base_rate * positive_rate + (1 - base_rate) * (1 - positive_rate),
        "precision": base_rate,
        "recall": positive_rate,
        "f1": 2 * base_rate * positive_rate / (base_rate + positive_rate),
    }


class RuleClassifier(ClassifierMixin, BaseEstimator):
    """A rule of thumb that is called as a model is.

    Parameters
    ----------
    rule : callable
        ``rule(X)`` gives a truth value for each row, whatever X is; True is class 1.

    Attributes
    ----------
    classes_ : ndarray, 0 and 1

    Raises
    ------
    TypeError
        When used, if rule is not a function.
    ValueError
        When used, if rule gives anything but one truth value (or 0 and 1) for each row.

    References
    ----------
    Chapter 14, Baselines.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_flight_features
    >>> from mlsys_helpers.offline_evaluation import RuleClassifier
    >>> flights = load_flight_features()
    >>> storm = RuleClassifier(lambda X: (X["visib"] < 3) & (X["departure_hour"] > 16))
    >>> print(storm.predict(flights).mean().round(3))  # warns of one flight in a hundred
    0.01
    """

    classes_ = np.array([0, 1])

    def __init__(self, rule):
        self.rule = rule

    def fit(self, X, y=None):
        """Nothing is learned."""
        return self

    def predict(self, X):
        """Class 1 where the rule holds."""
        if not callable(self.rule):
            raise TypeError(f"rule must be a function of X, got {self.rule!r}")
        return _checks.binary_labels(self.rule(X), "rule(X)", len(X), both=False)


def baseline_report(
    models,
    X,
    y,
    metric="f1",
    *,
    existing=None,
    groups=None,
    price_per_hour=0.10,
    fees=None,
    calls=20,
):
    """Models side by side: score, gain on the existing solution, latency and cost.

    Parameters
    ----------
    models : dict
        Name → fitted model. One whose predictions never change is welcome.
    X : DataFrame or array-like of shape (n, d)
    y : array-like of shape (n,)
        Labels 0 and 1, both present.
    metric : {"accuracy", "precision", "recall", "f1", "brier", "log_loss", "calibration_gap"}
        The first four judge ``predict`` (or, for a model without it, a probability of at least
        one half), the others ``predict_proba``. calibration_gap is the mean probability minus
        the share of positives.
    existing : str, optional
        Name of the model that the others are to beat.
    groups : array-like of shape (n,), optional
        Rows of one group count as one for the intervals.
    price_per_hour : float, default 0.10
        What an hour of the machine costs, in your currency.
    fees : dict, optional
        Name → what a prediction costs beside the machine, such as a data feed.
    calls : int, default 20
        Calls with a single row that the latency is measured over; the row is the next one each
        time.

    Returns
    -------
    DataFrame, a row for each model in the order given
        ``score``, its interval ``low`` to ``high``; with `existing`, ``gain``, ``gain_low`` and
        ``gain_high`` of the paired difference (score minus that of the existing solution);
        ``latency_ms``, the median of the calls, and ``cost_per_million`` predictions made one
        at a time. Where a score is not defined, such as the precision of a model that never
        says 1, it is NaN.

    Raises
    ------
    ValueError
        If an argument is out of range or of another length, existing or a fee names no model,
        or a model answers with another shape, other labels or improper probabilities.
    TypeError
        If a model has neither method, or lacks the one that the metric needs.

    References
    ----------
    Chapter 14, Baselines. The variance of a ratio: W. G. Cochran, Sampling Techniques (1977),
    sections 2.11 and 9A; a proportion: E. B. Wilson, JASA 22 (1927).

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.offline_evaluation import baseline_report
    >>> X, y = load_breast_cancer()
    >>> train, test = X.index % 2 == 0, X.index % 2 == 1
    >>> models = {
    ...     "zero rule": DummyClassifier(strategy="most_frequent"),
    ...     "logistic": LogisticRegression(max_iter=10_000),
    ... }
    >>> models = {name: model.fit(X[train], y[train]) for name, model in models.items()}
    >>> report = baseline_report(models, X[test], y[test], "accuracy", existing="zero rule")
    >>> report[["score", "gain", "gain_low"]].round(2).values.tolist()
    [[0.61, 0.0, 0.0], [0.92, 0.31, 0.25]]
    """
    if not isinstance(models, dict) or not models:
        raise ValueError(f"models must be a dict of at least one model, got {models!r}")
    X = _checks.table(X, "X")
    y = _checks.binary_labels(y, "y", len(X))
    _checks.one_of(metric, "metric", _METRICS)
    groups = _codes(groups, len(y))
    _checks.number(price_per_hour, "price_per_hour", low=0)
    _checks.whole_number(calls, "calls")
    fees = {} if fees is None else fees
    if not isinstance(fees, dict):
        raise ValueError(f"fees must be a dict from names to numbers, got {fees!r}")
    for name in (*fees, *([] if existing is None else [existing])):
        if name not in models:
            raise ValueError(f"existing and fees must name models, got {name!r}")
    parts, rows = {}, {}
    for name, model in models.items():
        _check_model(model, f"models[{name!r}]")
        output = _labels_or_risk(model, X, f"models[{name!r}]", metric)
        parts[name] = _parts(metric, y, output)
    for name, model in models.items():
        row = dict(zip(("score", "low", "high"), _score(parts[name], groups, metric), strict=True))
        if existing is not None:
            row |= _gain(parts[name], parts[existing], groups)
        seconds = _latency(model, X, metric, calls)
        fee = _checks.number(fees.get(name, 0), f"fees[{name!r}]", low=0)
        row["latency_ms"] = 1e3 * seconds
        row["cost_per_million"] = 1e6 * (seconds * price_per_hour / 3600 + fee)
        rows[name] = row
    return pd.DataFrame(rows).T.rename_axis("model")


def plot_scores(report, ax=None, metric="score"):
    """Draw the scores of a report with their intervals, and a dashed line to compare them with.

    Parameters
    ----------
    report : DataFrame
        From `baseline_report` (the line is the existing solution's score) or `slice_report`
        (the line is the score of all rows; sizes stand beside the names). Rows without a score
        are left out.
    ax : matplotlib Axes or None
    metric : str, default "score"
        What to write on the axis.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If report lacks a column that is drawn, or holds no score.

    References
    ----------
    Chapter 14, Baselines.

    Examples
    --------
    >>> from mlsys_helpers.offline_evaluation import plot_scores, slice_report
    >>> report = slice_report([1, 1, 0, 0], [1, 0, 0, 0], ["a", "a", "b", "b"], "accuracy")
    >>> [label.get_text() for label in plot_scores(report).get_yticklabels()]
    ['a (2)', 'b (2)']
    """
    columns = ["score", "low", "high"]
    if not isinstance(report, pd.DataFrame) or not set(columns) <= set(report.columns):
        raise ValueError(f"report must be a DataFrame with the columns {', '.join(columns)}")
    shown = report.drop(index="all rows", errors="ignore").dropna(subset="score")
    if shown.empty:
        raise ValueError("report holds no score")
    score, low, high = (shown[column].to_numpy(dtype=float) for column in columns)
    names = [f"{name} ({n:,})" for name, n in shown["n"].items()] if "n" in shown else shown.index
    ax = get_axes(ax, figsize=(8, 0.4 * len(shown) + 1.2))
    error = np.nan_to_num(np.maximum([score - low, high - score], 0))
    ax.errorbar(score, np.arange(len(shown)), xerr=error, fmt="o", color=COLORS["blue"])
    ax.set_yticks(np.arange(len(shown)), names)
    ax.set_ylim(len(shown) - 0.5, -0.5)  # the first on top
    if "all rows" in report.index:
        ax.axvline(report.loc["all rows", "score"], color=COLORS["grey"], linestyle="--", zorder=1)
    elif "gain" in shown:
        ax.axvline(score[0] - shown["gain"].iloc[0], color=COLORS["grey"], linestyle="--", zorder=1)
    ax.set(xlabel=metric)
    return ax


def _score(parts, groups, metric):
    if parts[1].sum() == 0:
        return np.nan, np.nan, np.nan
    return _ratio_interval(*parts, groups, metric in ("accuracy", "precision", "recall"))


def _gain(parts, other, groups):
    """The difference of two scores on the same rows, and its interval."""
    if 0 in (parts[1].sum(), other[1].sum()):
        return {"gain": np.nan, "gain_low": np.nan, "gain_high": np.nan}
    (ours, moves), (theirs, their_moves) = (_influence(*p, groups) for p in (parts, other))
    n_groups = len(moves)
    half = stats.t.ppf(0.975, n_groups - 1) * _standard_error(moves - their_moves, n_groups)
    gain = ours - theirs
    return {"gain": gain, "gain_low": gain - half, "gain_high": gain + half}


def _latency(model, X, metric, calls):
    """Median seconds of a call with one row."""
    use_labels = metric in _LABEL_METRICS and hasattr(model, "predict")
    call = model.predict if use_labels else model.predict_proba
    seconds = []
    for i in range(calls):
        row = X[i % len(X) : i % len(X) + 1]
        start = perf_counter()
        call(row)
        seconds.append(perf_counter() - start)
    return float(np.median(seconds))


# --- Behavioural tests -----------------------------------------------------------------------


def perturbation_test(
    model, X, noise, *, tolerance=0.05, allowed=0.0, repeats=5, random_state=None, name=None
):
    """Does a little noise in the inputs move the output by more than the tolerance?

    Parameters
    ----------
    model : fitted model
        Its output is ``predict_proba``, if it has it, else ``predict`` (numbers, or labels).
    X : DataFrame or array-like of shape (n, d)
    noise : dict or callable
        Column → half width of a uniform noise: half a unit in the last place of an instrument,
        say. Columns of an array go by number. Or ``noise(X, rng)``, which returns a noisy copy.
    tolerance : float, default 0.05
        How far the output may move: the largest change among the probabilities, or of the
        number; of labels, any other label is a change of 1.
    allowed : float in [0, 1), default 0
        The share of rows that may fail.
    repeats : int, default 5
        Draws of the noise; a row fails if one of them moves it too far.
    random_state : int, numpy Generator or None
    name : str, optional
        What the report calls the test.

    Returns
    -------
    BehaviourReport

    Raises
    ------
    ValueError
        If an argument is out of range, a column is missing, the noise alters no row, the noisy
        table has another shape, or the model answers improperly.
    TypeError
        If model has neither method, or noise is neither a dict nor a function.

    References
    ----------
    Chapter 14, Perturbation. M. T. Ribeiro et al., "Beyond accuracy: behavioral testing of NLP
    models with CheckList", ACL (2020).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.offline_evaluation import perturbation_test
    >>> X, y = load_breast_cancer()
    >>> model = LogisticRegression(max_iter=10_000).fit(X, y)
    >>> print(perturbation_test(model, X, {"mean radius": 0.005}, random_state=0))
    PASSED  perturbation  mean radius: 569 rows, 0 failed
    1 passed, 0 failed
    """
    X = _checks.table(X, "X")
    _checks.number(tolerance, "tolerance", low=0)
    _checks.whole_number(repeats, "repeats")
    rng = _checks.generator(random_state)
    if isinstance(noise, dict):
        widths = {c: _checks.number(w, f"noise[{c!r}]", low=0) for c, w in noise.items()}
        _check_columns(X, widths, "noise")

        def draw():
            return _shifted(X, {c: rng.uniform(-w, w, len(X)) for c, w in widths.items()})
    elif callable(noise):

        def draw():
            return noise(X, rng)
    else:
        raise TypeError(f"noise must be a dict or a function, got {noise!r}")
    variants = ((f"draw {i + 1}", draw()) for i in range(repeats))
    name = name or (", ".join(map(str, noise)) if isinstance(noise, dict) else "noise")
    return _behaviour("perturbation", name, model, X, variants, "noise", 0, tolerance, allowed)


def invariance_test(model, X, change, *, tolerance=1e-6, allowed=0.0, name=None):
    """Does a change that must not matter move the output?

    Parameters
    ----------
    model : fitted model
        As in `perturbation_test`.
    X : DataFrame or array-like of shape (n, d)
    change : callable
        ``change(X)`` returns a changed copy. Rows that it leaves as they are do not count.
    tolerance : float, default 1e-6
        How far the output may move.
    allowed : float in [0, 1), default 0
        The share of rows that may fail.
    name : str, optional

    Returns
    -------
    BehaviourReport

    Raises
    ------
    ValueError, TypeError
        As `perturbation_test`.

    References
    ----------
    Chapter 14, Invariance. M. T. Ribeiro et al., ACL (2020).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.offline_evaluation import RuleClassifier, invariance_test
    >>> people = pd.DataFrame({"name": ["Emily", "Greg", "Emily"], "years": [2, 9, 7]})
    >>> biased = RuleClassifier(lambda X: (X["years"] > 5) & (X["name"] != "Emily"))
    >>> report = invariance_test(biased, people, lambda X: X.assign(name="Greg"), name="name")
    >>> print(report)
    FAILED  invariance    name: 2 rows, 1 failed (50 %; 0 % allowed); worst: row 2, 0 -> 1
    0 passed, 1 failed
    >>> report.failures()[["name", "years", "before", "after"]].values.tolist()
    [['Emily', 7, 0, 1]]
    """
    X = _checks.table(X, "X")
    _checks.number(tolerance, "tolerance", low=0)
    if not callable(change):
        raise TypeError(f"change must be a function of X, got {change!r}")
    name = name or getattr(change, "__name__", "change").strip("<>")
    variants = [("changed", change(X))]
    return _behaviour("invariance", name, model, X, variants, "change", 0, tolerance, allowed)


def directional_test(
    model, X, change, direction="increase", *, tolerance=1e-9, allowed=0.0, name=None
):
    """Does a change that must raise (or lower) the output ever do the contrary?

    Parameters
    ----------
    model : fitted model
        Its output is the probability of class 1, or the number that ``predict`` gives.
    X : DataFrame or array-like of shape (n, d)
    change : dict or callable
        Column → step, or list of steps, to add; each column and step is tried by itself. Or
        ``change(X)``, which returns a changed copy.
    direction : {"increase", "decrease"}, default "increase"
        The output must not fall, or must not rise. Staying as it is is fine.
    tolerance : float, default 1e-9
        How far it may go the wrong way.
    allowed : float in [0, 1), default 0
        The share of rows that may fail.
    name : str, optional

    Returns
    -------
    BehaviourReport

    Raises
    ------
    ValueError, TypeError
        As `perturbation_test`; also if the model has more than two classes, or labels that are
        not numbers and no probabilities.

    References
    ----------
    Chapter 14, Directional Expectation. M. T. Ribeiro et al., ACL (2020).

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LinearRegression
    >>> from mlsys_helpers.offline_evaluation import directional_test
    >>> houses = pd.DataFrame({"square_metres": [50, 80, 120]})
    >>> model = LinearRegression().fit(houses, [200, 260, 400])
    >>> print(directional_test(model, houses, {"square_metres": [1, 10]}, name="larger is dearer"))
    PASSED  directional   larger is dearer: 3 rows, 0 failed
    1 passed, 0 failed
    """
    X = _checks.table(X, "X")
    _checks.one_of(direction, "direction", ("increase", "decrease"))
    _checks.number(tolerance, "tolerance", low=0)
    if isinstance(change, dict):
        _check_columns(X, change, "change")
        steps = [
            (column, _checks.number(step, f"change[{column!r}]"))
            for column, value in change.items()
            for step in np.atleast_1d(np.asarray(value, dtype=object))
        ]
        variants = ((f"{column} {step:+g}", _shifted(X, {column: step})) for column, step in steps)
    elif callable(change):
        variants = [("changed", change(X))]
    else:
        raise TypeError(f"change must be a dict or a function, got {change!r}")
    name = name or (", ".join(map(str, change)) if isinstance(change, dict) else "change")
    sign = 1 if direction == "increase" else -1
    return _behaviour("directional", name, model, X, variants, "change", sign, tolerance, allowed)


class _BehaviourTest(NamedTuple):
    kind: str
    name: str
    rows: int
    failures: pd.DataFrame
    allowed: float
    constant: bool

    @property
    def passed(self):
        return len(self.failures) <= self.allowed * self.rows

    def line(self):
        verdict = "PASSED" if self.passed else "FAILED"
        n = len(self.failures)
        text = f"{verdict}  {self.kind:12}  {self.name}: {self.rows:,} rows, {n:,} failed"
        if n:
            text += f" ({100 * n / self.rows:.3g} %; {100 * self.allowed:.3g} % allowed)"
            worst = self.failures.iloc[0]
            ends = [v if isinstance(v, str) else f"{v:.3g}" for v in worst[["before", "after"]]]
            text += f"; worst: row {self.failures.index[0]}, {ends[0]} -> {ends[1]}"
        return text + ("; the output is constant, so this shows nothing" if self.constant else "")


class BehaviourReport:
    """The outcome of behavioural tests: print it, add it to others, look at the failing rows.

    Made by `perturbation_test`, `invariance_test` and `directional_test`; ``a + b`` holds the
    tests of both. A model with one output for every row passes each of them, and the report
    says that this shows nothing.

    Parameters
    ----------
    tests : sequence
        The ``tests`` of other reports.

    Attributes
    ----------
    tests : list
    passed : bool
        Whether all of them passed.

    Raises
    ------
    ValueError
        By `failures`, if no test, or more than one, has the name.
    AssertionError
        By `check`, if a test failed: for use in a test run.

    References
    ----------
    Chapter 14, Perturbation. M. T. Ribeiro et al., ACL (2020).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.offline_evaluation import (
    ...     BehaviourReport, RuleClassifier, directional_test, invariance_test
    ... )
    >>> people = pd.DataFrame({"name": ["Emily", "Greg", "Brad"], "years": [5, 9, 20]})
    >>> model = RuleClassifier(lambda X: X["years"].between(4, 10))
    >>> report = BehaviourReport()
    >>> report += invariance_test(model, people, lambda X: X.assign(name="Ann"), name="name")
    >>> report += directional_test(model, people, {"years": [1, 5]}, name="experience")
    >>> print(report)
    PASSED  invariance    name: 3 rows, 0 failed
    FAILED  directional   experience: 3 rows, 1 failed (33.3 %; 0 % allowed); worst: row 1, 1 -> 0
    1 passed, 1 failed
    >>> report.failures("experience")[["years", "variant", "change"]].values.tolist()
    [[9, 'years +5', -1.0]]
    """

    def __init__(self, tests=()):
        self.tests = list(tests)

    def __add__(self, other):
        if not isinstance(other, BehaviourReport):
            return NotImplemented
        return BehaviourReport(self.tests + other.tests)

    @property
    def passed(self):
        return all(test.passed for test in self.tests)

    def failures(self, name=None):
        """The failing rows of one test, the worst first.

        The row of X with its index, and ``variant`` (which change), ``before``, ``after`` and
        ``change`` of the output; of several classes, of the probability that moved most.
        """
        chosen = [test for test in self.tests if name in (None, test.name)]
        if len(chosen) != 1:
            names = [test.name for test in self.tests]
            raise ValueError(f"name must be that of one test of {names}, got {name!r}")
        return chosen[0].failures.copy()

    def check(self):
        """Raise an AssertionError that shows the report unless every test passed."""
        if not self.passed:
            raise AssertionError(f"behavioural tests failed\n{self}")

    def __repr__(self):
        passed = sum(test.passed for test in self.tests)
        total = f"{passed} passed, {len(self.tests) - passed} failed"
        return "\n".join([*(test.line() for test in self.tests), total])


def _behaviour(kind, name, model, X, variants, argument, sign, tolerance, allowed):
    """Compare the output on X with that on each variant; sign 0 forbids any move."""
    _check_model(model, "model")
    _checks.number(allowed, "allowed", 0, 1, open_high=True)
    before = _outputs(model, X, one_column=sign != 0)
    altered = np.zeros(len(X), dtype=bool)
    worst = np.full(len(X), -np.inf)  # how much too far each row went
    after, variant = before.copy(), np.full(len(X), "", dtype=object)
    for label, changed in variants:
        altered |= _altered_rows(X, changed, argument)
        output = _outputs(model, changed, one_column=sign != 0)
        if output.shape != before.shape:
            raise ValueError(f"model must answer alike: {before.shape}, then {output.shape}")
        excess = _excess(before, output, sign) - tolerance
        further = excess > worst
        worst[further], after[further], variant[further] = excess[further], output[further], label
    if not altered.any():
        raise ValueError(f"{argument} must alter a row of X; it alters none")
    failed = np.flatnonzero(altered & (worst > 0))
    failed = failed[np.argsort(-worst[failed], kind="stable")]
    failures = _failing_rows(X, failed, variant, before, after)
    constant = (before == before[0]).all() and (after == before[0]).all()
    test = _BehaviourTest(kind, name, int(altered.sum()), failures, allowed, bool(constant))
    return BehaviourReport([test])


def _outputs(model, X, one_column):
    """Probabilities (n, k), numbers (n,) or labels (n,); one_column: class 1, or numbers."""
    if hasattr(model, "predict_proba"):
        proba = _model_probabilities(model, X, "model")
        if not one_column:
            return proba
        if proba.shape[1] != 2:
            raise ValueError(f"model must have two classes for a direction, got {proba.shape[1]}")
        return proba[:, 1]
    answer = _checks.column(model.predict(X), "model.predict(X)", len(X))
    if one_column:
        answer = _checks.numbers(answer, "model.predict(X)")
    return answer


def _excess(before, after, sign):
    if before.dtype.kind not in "fiub":
        return (before != after).astype(float)
    moved = after.astype(float) - before.astype(float)
    if sign:
        return -sign * moved
    return np.abs(moved) if moved.ndim == 1 else np.abs(moved).max(axis=1)


def _failing_rows(X, failed, variant, before, after):
    table = X if isinstance(X, pd.DataFrame) else pd.DataFrame(X)
    before, after = before[failed], after[failed]
    if before.ndim == 2:
        moved = np.abs(after - before)
        moved[:, 0] -= 1e-12  # of two classes that mirror each other, show class 1
        rows, most = np.arange(len(failed)), moved.argmax(axis=1)
        before, after = before[rows, most], after[rows, most]
    numeric = before.dtype.kind in "fiub"
    change = after.astype(float) - before if numeric else np.ones(len(failed))
    shown = {"variant": variant[failed], "before": before, "after": after, "change": change}
    return table.iloc[failed].assign(**shown)


def _altered_rows(X, changed, argument):
    """Which rows differ; the table must have kept its form."""
    same_kind = isinstance(changed, pd.DataFrame) == isinstance(X, pd.DataFrame)
    if not same_kind or np.shape(changed) != X.shape:
        raise ValueError(f"{argument} must keep the shape {X.shape}, got {np.shape(changed)}")
    if not isinstance(X, pd.DataFrame):
        changed = np.asarray(changed)
        return ((changed != X) & ~(pd.isna(X) & pd.isna(changed))).any(axis=1)
    if not (X.columns.equals(changed.columns) and X.index.equals(changed.index)):
        raise ValueError(f"{argument} must keep the columns and the index of X")
    altered = np.zeros(len(X), dtype=bool)
    for column in X:
        old, new = X[column].astype(object), changed[column].astype(object)
        altered |= ((old != new) & ~(old.isna() & new.isna())).to_numpy()
    return altered


def _check_columns(X, wanted, argument):
    there = list(X.columns) if isinstance(X, pd.DataFrame) else list(range(X.shape[1]))
    missing = [column for column in wanted if column not in there]
    if missing or not wanted:
        raise ValueError(f"{argument} must name columns of X, got {missing or 'none'}")


_NUMERIC = ("floating", "integer", "boolean", "decimal", "mixed-integer-float", "empty")


def _shifted(X, shifts):
    """A copy of X with something added to some columns."""
    if isinstance(X, pd.DataFrame):
        changed = X.copy()
        for column, shift in shifts.items():
            if pd.api.types.infer_dtype(X[column], skipna=True) not in _NUMERIC:
                raise ValueError(f"column {column!r} must hold numbers to add to")
            changed[column] = X[column] + shift
        return changed
    if X.dtype.kind not in "biuf":
        raise ValueError(f"X must hold numbers to add to, got an array of {X.dtype}")
    changed = X.astype(float)
    for column, shift in shifts.items():
        changed[:, column] += shift
    return changed


# --- Calibration -----------------------------------------------------------------------------


def calibration_table(y_true, y_prob, bins=10, strategy="uniform"):
    """Count: of the rows with a probability near p, which share came true?

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels 0 and 1; one class is enough.
    y_prob : array-like of shape (n,)
        Probabilities of class 1.
    bins : int, default 10
        How many bins at most; empty ones are left out.
    strategy : {"uniform", "quantile"}, default "uniform"
        Bins of equal width, or of (nearly) equal numbers of rows.

    Returns
    -------
    DataFrame, a row for each bin that holds any row, in ascending order
        ``n`` rows, ``predicted`` (mean probability), ``observed`` (share of class 1), and the
        95 % interval of the latter, ``low`` to ``high`` (Wilson), for rows that are independent.

    Raises
    ------
    ValueError
        If an argument is empty, of another length or out of range.

    References
    ----------
    Chapter 14, Model Calibration. A. Niculescu-Mizil and R. Caruana, "Predicting good
    probabilities with supervised learning", ICML (2005).

    Examples
    --------
    >>> from mlsys_helpers.offline_evaluation import calibration_table
    >>> table = calibration_table([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.8, 0.9], bins=2)
    >>> table[["n", "predicted", "observed"]].round(2).values.tolist()
    [[4.0, 0.25, 0.25], [2.0, 0.85, 1.0]]
    """
    y_true = _checks.binary_labels(y_true, "y_true", both=False)
    y_prob = _checks.numbers(y_prob, "y_prob", len(y_true), low=0, high=1)
    _checks.whole_number(bins, "bins")
    _checks.one_of(strategy, "strategy", ("uniform", "quantile"))
    edges = np.linspace(0, 1, bins + 1)
    if strategy == "quantile":
        edges = np.percentile(y_prob, 100 * edges)  # as scikit-learn does, to the last bit
    bin_of = np.searchsorted(edges[1:-1], y_prob)
    n = np.bincount(bin_of, minlength=bins)
    used = n > 0
    predicted, observed = (
        np.bincount(bin_of, values, bins)[used] / n[used] for values in (y_prob, y_true)
    )
    low, high = _wilson(observed, n[used])
    return pd.DataFrame(
        {"n": n[used], "predicted": predicted, "observed": observed, "low": low, "high": high}
    )


def expected_calibration_error(y_true, y_prob, bins=10, strategy="uniform", norm="l1"):
    """How far the predicted probabilities are from the observed shares, over the bins.

    With w the share of the rows in a bin and d = observed − predicted there, "l1" is Σ w |d|
    (the usual ECE), "l2" is √(Σ w d²), and "max" the largest |d| (the MCE).

    Parameters
    ----------
    y_true, y_prob, bins, strategy
        As `calibration_table`. Say which you used: the number means nothing without them.
    norm : {"l1", "l2", "max"}, default "l1"

    Returns
    -------
    float in [0, 1]
        0 is best. Even for perfect probabilities chance keeps it above 0; a constant base rate
        reaches 0, so that it says nothing about how useful a model is.

    Raises
    ------
    ValueError
        As `calibration_table`, or if there is no such norm.

    References
    ----------
    Chapter 14, Model Calibration. M. P. Naeini, G. F. Cooper and M. Hauskrecht, "Obtaining well
    calibrated probabilities using Bayesian binning", AAAI (2015); A. Kumar, P. Liang and T. Ma,
    "Verified uncertainty calibration", NeurIPS (2019), for the norms.

    Examples
    --------
    >>> from mlsys_helpers.offline_evaluation import expected_calibration_error
    >>> y_true, y_prob = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.8, 0.9]
    >>> print(round(expected_calibration_error(y_true, y_prob, bins=2), 3))
    0.05
    """
    _checks.one_of(norm, "norm", ("l1", "l2", "max"))
    table = calibration_table(y_true, y_prob, bins, strategy)
    distance = (table["observed"] - table["predicted"]).abs()
    if norm == "max":
        return float(distance.max())
    power = int(norm[1])
    return float(np.average(distance**power, weights=table["n"]) ** (1 / power))


def plot_reliability(
    y_true, y_prob, ax=None, label=None, color="blue", bins=10, strategy="uniform"
):
    """Draw the observed share against the predicted probability, with intervals.

    Parameters
    ----------
    y_true, y_prob, bins, strategy
        As `calibration_table`.
    ax : matplotlib Axes or None
    label : str, optional
        Written in the empty corner, with the expected calibration error of these bins.
    color : str
        A name in `plotting.COLORS`.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        As `calibration_table`.

    References
    ----------
    Chapter 14, Model Calibration.

    Examples
    --------
    >>> from mlsys_helpers.offline_evaluation import plot_reliability
    >>> ax = plot_reliability([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8], label="model", bins=2)
    >>> ax.get_ylabel()
    'observed share'
    """
    _checks.one_of(color, "color", tuple(COLORS))
    table = calibration_table(y_true, y_prob, bins, strategy)
    error = expected_calibration_error(y_true, y_prob, bins, strategy)
    ax = get_axes(ax, figsize=(5, 4.6))
    ax.plot([0, 1], [0, 1], color=COLORS["grey"], linewidth=1, linestyle="--")
    bars = [table["observed"] - table["low"], table["high"] - table["observed"]]
    ax.errorbar(
        table["predicted"], table["observed"], np.maximum(bars, 0), fmt="o-", color=COLORS[color]
    )
    if label:
        place = 0.94 - 0.08 * sum(text.get_ha() == "left" for text in ax.texts)
        text = f"{label}: ECE {error:.3f}"
        label_line(ax, 0.03, place, text, color, xytext=(0, 0), ha="left")
    ax.set(xlabel="predicted probability", ylabel="observed share", xlim=(0, 1), ylim=(0, 1))
    percent_axis(ax, "x")
    percent_axis(ax, "y")
    return ax


def calibrated_rerank(scores, categories, target, n, trade_off=0.5, smoothing=0.01):
    """Choose n items that score well and whose categories match the user's taste.

    Items are added one at a time, each the one that maximises
    (1 − λ) · sum of scores − λ · KL(target ‖ shares in the list), the shares smoothed to
    (1 − α) · share + α · target so that the divergence stays finite.

    Parameters
    ----------
    scores : array-like of shape (m,)
        The model's score of each item, on a scale near [0, 1].
    categories : array-like of shape (m,)
        The category of each item.
    target : dict
        Category → its share in the user's history; positive shares that sum to 1.
    n : int
        Items to choose, at most m.
    trade_off : float in [0, 1], default 0.5
        λ: 0 looks at the scores alone, 1 at the shares alone (and at the scores between equals).
    smoothing : float in (0, 1), default 0.01
        α.

    Returns
    -------
    ndarray of n item numbers, in the order chosen

    Raises
    ------
    ValueError
        If an argument is out of range or of another length, the shares do not sum to 1, or no
        item belongs to a category of the target.

    References
    ----------
    Chapter 14, Model Calibration. H. Steck, "Calibrated recommendations", RecSys (2018).

    Examples
    --------
    >>> from mlsys_helpers.offline_evaluation import calibrated_rerank
    >>> scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    >>> kinds = ["action", "action", "action", "action", "comedy", "comedy"]
    >>> calibrated_rerank(scores, kinds, {"action": 0.7, "comedy": 0.3}, 4, 0).tolist()
    [0, 1, 2, 3]
    >>> calibrated_rerank(scores, kinds, {"action": 0.7, "comedy": 0.3}, 4, 1).tolist()
    [0, 4, 1, 2]
    """
    scores = _checks.numbers(scores, "scores")
    categories = _checks.column(categories, "categories", len(scores))
    if _checks.whole_number(n, "n") > len(scores):
        raise ValueError(f"n must be at most the number of items, {len(scores)}, got {n}")
    _checks.number(trade_off, "trade_off", 0, 1)
    _checks.number(smoothing, "smoothing", 0, 1, open_low=True, open_high=True)
    if not isinstance(target, dict) or not target:
        raise ValueError(f"target must be a dict of shares, got {target!r}")
    shares = _checks.numbers(list(target.values()), "target", low=0)
    if not np.isclose(shares.sum(), 1) or not (shares > 0).all():
        raise ValueError(f"target must hold positive shares that sum to 1, got {target}")
    is_of = (categories[:, None] == np.array(list(target), dtype=object)).astype(float)
    if not is_of.any(axis=0).all():
        raise ValueError("target must name categories of items, each at least once")

    left = np.argsort(-scores, kind="stable")  # the better scored first, so that ties go to it
    chosen, total = [], np.zeros(len(shares))
    for size in range(1, n + 1):
        listed = (1 - smoothing) * (total + is_of[left]) / size + smoothing * shares
        divergence = (shares * np.log(shares / listed)).sum(axis=1)
        best = np.argmax((1 - trade_off) * scores[left] - trade_off * divergence)
        chosen.append(left[best])
        total += is_of[left[best]]
        left = np.delete(left, best)
    return np.array(chosen)


# --- Confidence in one prediction -------------------------------------------------------------


def risk_coverage(y_true, proba):
    """What is gained by answering only where the model is sure enough.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Column number of the true class: 0, 1, …
    proba : array-like of shape (n, k), or (n,) for the probability of class 1
        The answer is the most probable class, and its probability the confidence.

    Returns
    -------
    DataFrame, a row for each distinct confidence, the highest first
        ``threshold`` (answer where the confidence is at least this), ``coverage`` (share of
        rows answered) and ``risk`` (share of the answers that are wrong). A model with one
        confidence for all rows gives one row, with coverage 1.

    Raises
    ------
    ValueError
        If y_true holds anything but column numbers, lengths differ, or proba is improper.

    References
    ----------
    Chapter 14, Confidence Measurement. R. El-Yaniv and Y. Wiener, "On the foundations of
    noise-free selective classification", JMLR 11 (2010).

    Examples
    --------
    >>> from mlsys_helpers.offline_evaluation import risk_coverage
    >>> risk_coverage([1, 0, 1, 0], [0.9, 0.2, 0.7, 0.6])[["coverage", "risk"]].values.tolist()
    [[0.25, 0.0], [0.5, 0.0], [0.75, 0.0], [1.0, 0.25]]
    """
    proba = _probabilities(proba, "proba")
    y_true = _class_numbers(y_true, "y_true", proba)
    confidence, wrong = proba.max(axis=1), proba.argmax(axis=1) != y_true
    order = np.argsort(-confidence, kind="stable")
    answered = np.arange(1, len(order) + 1)
    last = np.append(np.diff(confidence[order]) != 0, True)  # rows that tie are answered together
    return pd.DataFrame(
        {
            "threshold": confidence[order][last],
            "coverage": (answered / len(order))[last],
            "risk": (np.cumsum(wrong[order]) / answered)[last],
        }
    )


def plot_risk_coverage(y_true, proba, ax=None, label=None, color="blue"):
    """Draw the share of wrong answers against the share of rows answered.

    Parameters
    ----------
    y_true, proba
        As `risk_coverage`.
    ax : matplotlib Axes or None
    label : str, optional
        Written at the right-hand end of the curve.
    color : str
        A name in `plotting.COLORS`.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        As `risk_coverage`.

    References
    ----------
    Chapter 14, Confidence Measurement.

    Examples
    --------
    >>> from mlsys_helpers.offline_evaluation import plot_risk_coverage
    >>> plot_risk_coverage([1, 0, 1, 0], [0.9, 0.2, 0.7, 0.6], label="model").get_xlabel()
    'coverage: share of rows answered'
    """
    _checks.one_of(color, "color", tuple(COLORS))
    table = risk_coverage(y_true, proba)
    ax = get_axes(ax)
    ax.plot(table["coverage"], table["risk"], color=COLORS[color])
    if label:
        label_line(ax, 1, table["risk"].iloc[-1], label, color)
        ax.set_xlim(-0.02, 1.25)
        ax.set_xticks(np.arange(0, 1.1, 0.2))
    ax.set(xlabel="coverage: share of rows answered", ylabel="risk: share of answers wrong")
    percent_axis(ax, "x")
    percent_axis(ax, "y", decimals=1)
    return ax


def conformal_sets(proba_calibration, y_calibration, proba, alpha=0.1, by_class=False):
    """Sets of classes, one for each row, that hold the true class 1 − α of the time.

    A class is kept if its probability is at least 1 − q, where q is the ⌈(n + 1)(1 − α)⌉-th
    smallest of the n values 1 − probability of the true class on rows held back for this (split
    conformal prediction). If those rows and the new ones are exchangeable, the sets hold the
    true class with a probability of at least 1 − α, and, without ties, of at most
    1 − α + 1/(n + 1): on average over rows and splits, whatever the model.

    Parameters
    ----------
    proba_calibration : array-like of shape (n, k), or (n,) for the probability of class 1
        On rows that the model has not been trained on.
    y_calibration : array-like of shape (n,)
        Column number of the true class: 0, 1, …
    proba : array-like of shape (m, k), or (m,)
        Of the rows to predict.
    alpha : float in (0, 1), default 0.1
        The share of sets that may miss the truth.
    by_class : bool, default False
        Promise 1 − α for each true class by itself, with a q of its own.

    Returns
    -------
    ndarray of bool, shape (m, k)
        Which classes are in each row's set. It may be empty: none fits. With fewer than
        1/α − 1 calibration rows (of a class), nothing can be ruled out.

    Raises
    ------
    ValueError
        If an argument is out of range or improper, the numbers of classes differ, or with
        by_class a class has no calibration row.

    References
    ----------
    Chapter 14, Confidence Measurement. V. Vovk, A. Gammerman and G. Shafer, Algorithmic
    Learning in a Random World (2005); M. Sadinle, J. Lei and L. Wasserman, "Least ambiguous
    set-valued classifiers with bounded error levels", JASA 114 (2019).

    Examples
    --------
    >>> from mlsys_helpers.offline_evaluation import conformal_sets
    >>> known = [0.9, 0.8, 0.7, 0.6]  # probability of class 1, for four rows that are of class 1
    >>> conformal_sets(known, [1, 1, 1, 1], [0.95, 0.5, 0.3], alpha=0.4).tolist()
    [[False, True], [False, False], [True, False]]
    """
    proba_calibration = _probabilities(proba_calibration, "proba_calibration")
    y = _class_numbers(y_calibration, "y_calibration", proba_calibration)
    n_classes = proba_calibration.shape[1]
    proba = _probabilities(proba, "proba")
    if proba.shape[1] != n_classes:
        raise ValueError(f"proba must have {n_classes} classes, got {proba.shape[1]}")
    _checks.number(alpha, "alpha", 0, 1, open_low=True, open_high=True)
    missed = 1 - proba_calibration[np.arange(len(y)), y]
    if not by_class:
        return 1 - proba <= _conformal_quantile(missed, alpha)
    without = sorted(set(range(n_classes)) - set(y.tolist()))
    if without:
        raise ValueError(f"y_calibration must hold each class, got none of {without}")
    limits = [_conformal_quantile(missed[y == c], alpha) for c in range(n_classes)]
    return 1 - proba <= np.array(limits)


def _conformal_quantile(values, alpha):
    rank = int(np.ceil((len(values) + 1) * (1 - alpha) - 1e-9))
    return np.inf if rank > len(values) else np.partition(values, rank - 1)[rank - 1]


def _class_numbers(y, name, proba):
    y = _checks.numbers(y, name, len(proba))
    if not np.isin(y, np.arange(proba.shape[1])).all():
        raise ValueError(f"{name} must hold column numbers from 0 to {proba.shape[1] - 1}")
    return y.astype(int)


# --- Slices ----------------------------------------------------------------------------------


def slice_report(y_true, output, slices, metric="brier", groups=None):
    """A metric for each slice of the rows, with its size and interval.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels 0 and 1.
    output : array-like of shape (n,)
        Predicted labels for "accuracy", "precision", "recall" and "f1", probabilities of class
        1 for "brier", "log_loss" and "calibration_gap" (mean probability minus the share of
        class 1).
    slices : Series, array-like of shape (n,), or dict
        The slice of each row (a missing value is a slice of its own, a category without a row
        one of size 0), or name → mask of shape (n,), which may overlap.
    metric : str, default "brier"
    groups : array-like of shape (n,), optional
        Rows of one group count as one for the intervals.

    Returns
    -------
    DataFrame, a row "all rows", then one for each slice
        ``n`` rows, ``positives``, ``score``, ``low``, ``high``, and ``note``: "no rows", or
        "undefined" where the metric has nothing to divide by (recall without positives, say);
        score is NaN there. Of fewer than two groups (or rows, for a mean) there is no interval.

    Raises
    ------
    ValueError
        If an argument is of another length, or does not fit the metric.

    References
    ----------
    Chapter 14, Slice-based Evaluation.

    Examples
    --------
    >>> from mlsys_helpers.offline_evaluation import slice_report
    >>> report = slice_report([1, 1, 0, 0], [1, 0, 0, 0], ["a", "a", "a", "b"], "recall")
    >>> report[["n", "positives", "score", "note"]].values.tolist()
    [[4, 2, 0.5, ''], [3, 2, 0.5, ''], [1, 0, nan, 'undefined']]
    """
    y = _checks.binary_labels(y_true, "y_true", both=False)
    _checks.one_of(metric, "metric", _METRICS)
    if metric in _LABEL_METRICS:
        output = _checks.binary_labels(output, "output", len(y), both=False)
    else:
        output = _checks.numbers(output, "output", len(y), low=0, high=1)
    groups = _codes(groups, len(y))
    numerator, denominator = _parts(metric, y, output)
    rows = {}
    for name, mask in {"all rows": np.ones(len(y), dtype=bool), **_masks(slices, len(y))}.items():
        own = None if groups is None else groups[mask]
        parts = numerator[mask], denominator[mask]
        score, low, high = _score(parts, own, metric)
        note = "" if parts[1].sum() else ("undefined" if mask.any() else "no rows")
        rows[name] = (int(mask.sum()), int(y[mask].sum()), score, low, high, note)
    columns = ["n", "positives", "score", "low", "high", "note"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("slice")


def _masks(slices, n_rows):
    if isinstance(slices, dict):
        masks = {}
        if "all rows" in slices:
            raise ValueError("slices must not use the name 'all rows'")
        for name, mask in slices.items():
            mask = np.asarray(mask)
            if mask.shape != (n_rows,) or mask.dtype != bool:
                raise ValueError(f"slices[{name!r}] must be a mask of {n_rows} truth values")
            masks[name] = mask
        return masks
    values = pd.Series(slices)
    if len(values) != n_rows:
        raise ValueError(f"slices must have {n_rows} entries, got {len(values)}")
    is_category = isinstance(values.dtype, pd.CategoricalDtype)
    levels = values.cat.categories if is_category else _sorted(values.dropna().unique())
    if "all rows" in levels or ("missing" in levels and values.isna().any()):
        raise ValueError("slices must not use the names 'all rows' and, beside gaps, 'missing'")
    masks = {level: _where(values, level) for level in levels}
    if values.isna().any():
        masks["missing"] = values.isna().to_numpy()
    return masks


def _where(values, level):
    return (values == level).to_numpy(dtype=bool, na_value=False)


def find_slices(frame, loss, *, max_columns=2, bins=4, min_size=100, alpha=0.05, groups=None):
    """Look for the slices whose mean loss is worse than that of all other rows.

    Every value of a column is a slice (numbers of more than 12 values are cut at their
    quantiles, whatever the loss; missing values are a slice), and so is every combination of
    values of up to `max_columns` columns. Each is tested against the rows outside of it
    (Student's t, one-sided), at a level divided by the number of slices looked at (Bonferroni).

    Parameters
    ----------
    frame : DataFrame of n rows
        The columns to slice by; they need not be features.
    loss : array-like of shape (n,)
        A loss for each row, such as 1 for an error; or the difference of two models' losses.
    max_columns : {1, 2, 3}, default 2
    bins : int, default 4
        Parts that a number is cut into.
    min_size : int, default 100
        Smaller slices are not looked at, nor those that leave fewer rows outside.
    alpha : float in (0, 1), default 0.05
        Chance that even one slice is found where there is none.
    groups : array-like of shape (n,), optional
        Rows of one group count as one for the test; at least two groups.

    Returns
    -------
    DataFrame, a row for each slice looked at
        ``slice``, ``n``, ``loss`` (mean), ``elsewhere`` (mean outside), ``gap``,
        ``at_least`` (lower end of the corrected one-sided interval of the gap), ``p_value``
        (corrected, at most 1) and ``found`` (at_least above 0). Sorted by at_least, the
        largest first.

    Raises
    ------
    ValueError
        If an argument is out of range or of another length, or no slice is large enough.
    TypeError
        If frame is no DataFrame.

    References
    ----------
    Chapter 14, Slice-based Evaluation. Y. Chung et al., "Slice Finder: automated data slicing
    for model validation", ICDE (2019).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from mlsys_helpers.offline_evaluation import find_slices
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame(
    ...     {"device": rng.choice(["phone", "tv"], 4000), "age": rng.integers(18, 80, 4000)}
    ... )
    >>> hard = (frame["device"] == "tv") & (frame["age"] < 30)
    >>> wrong = rng.random(4000) < np.where(hard, 0.4, 0.1)
    >>> table = find_slices(frame, wrong)
    >>> print(len(table), table["slice"][0], table["n"][0])
    14 device = tv and age ≤ 33 529
    """
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame must be a DataFrame, got {type(frame).__name__}")
    if frame.empty:
        raise ValueError("frame must hold at least one row and one column")
    _checks.unique_columns(frame, "frame")
    loss = _checks.numbers(loss, "loss", len(frame))
    _checks.whole_number(max_columns, "max_columns")
    if max_columns > 3:
        raise ValueError(f"max_columns must be at most 3, got {max_columns}")
    _checks.whole_number(bins, "bins", low=2)
    _checks.whole_number(min_size, "min_size", low=2)
    _checks.number(alpha, "alpha", 0, 1, open_low=True, open_high=True)
    groups = _codes(groups, len(loss))
    if groups is not None and not groups.any():
        raise ValueError("groups must hold at least two groups, got one")
    rows = [
        {"slice": name, **_against_the_rest(loss, mask, groups)}
        for name, mask in _candidate_slices(frame, max_columns, bins, min_size)
    ]
    if not rows:
        raise ValueError(f"min_size={min_size} leaves no slice of {len(frame)} rows to look at")
    table = pd.DataFrame(rows)
    level = alpha / len(table)
    table["at_least"] = table["gap"] - stats.t.isf(level, table["df"]) * table["error"]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(table["error"] > 0, table["gap"] / table["error"], np.sign(table["gap"]) * 1e9)
    table["p_value"] = np.minimum(stats.t.sf(t, table["df"]) * len(table), 1)
    table["found"] = table["at_least"] > 0
    table = table.drop(columns=["error", "df"])
    return table.sort_values("at_least", ascending=False, kind="stable", ignore_index=True)


def _candidate_slices(frame, max_columns, bins, min_size):
    """Yield name and mask of every slice that is large enough, and leaves enough."""
    by_column = [_levels(frame[column], column, bins) for column in frame]
    most = len(frame) - min_size

    def grow(name, mask, columns_left, depth):
        for i, levels in enumerate(columns_left):
            for level, level_mask in levels:
                both = mask & level_mask
                size = both.sum()
                if size < min_size:
                    continue  # every slice of it is smaller still
                full_name = f"{name} and {level}" if name else level
                if size <= most and (not name or size < mask.sum()):
                    yield full_name, both
                if depth > 1:
                    yield from grow(full_name, both, columns_left[i + 1 :], depth - 1)

    return grow("", np.ones(len(frame), dtype=bool), by_column, max_columns)


def _levels(values, column, bins):
    """Name and mask of each level of a column."""
    missing = values.isna().to_numpy()
    known = values[~missing]
    levels = [(f"{column} is missing", missing)] if missing.any() else []
    if pd.api.types.is_numeric_dtype(values) and known.nunique() > 12:
        if np.isinf(known.to_numpy(dtype=float)).any():
            raise ValueError(f"frame[{column!r}] must hold finite numbers or gaps, got inf")
        below_top = known[known < known.max()].max()  # where most values tie, both parts hold some
        cuts = np.unique(known.quantile(np.arange(1, bins) / bins).clip(upper=below_top))
        codes = np.where(missing, -1, np.searchsorted(cuts, values.to_numpy(dtype=float)))
        for i in range(len(cuts) + 1):
            low = f"{cuts[i - 1]:.3g} < " if i > 0 else ""
            high = f" ≤ {cuts[i]:.3g}" if i < len(cuts) else ""
            text = f"{low}{column}{high}" if high else f"{column} > {cuts[i - 1]:.3g}"
            levels.append((text, codes == i))
        return levels
    for value in _sorted(known.unique()):
        shown = f"{value:.4g}" if isinstance(value, (float, np.floating)) else value
        levels.append((f"{column} = {shown}", _where(values, value)))
    return levels


def _against_the_rest(loss, mask, groups):
    """Mean loss inside and outside, and the error of their difference, by groups."""
    inside, outside = loss[mask].mean(), loss[~mask].mean()
    influence = np.where(mask, (loss - inside) / mask.sum(), (outside - loss) / (~mask).sum())
    influence = _by_group(influence, groups)
    n_inside = mask.sum() if groups is None else np.count_nonzero(np.bincount(groups[mask]))
    return {
        "n": int(mask.sum()),
        "loss": inside,
        "elsewhere": outside,
        "gap": inside - outside,
        "error": _standard_error(influence, len(influence)),
        "df": max(n_inside - 1, 1),
    }


# --- Simpson's paradox -----------------------------------------------------------------------


class _SimpsonCheck(NamedTuple):
    table: pd.DataFrame
    reversed_strata: list
    compared: int
    crude_odds_ratio: float
    pooled_odds_ratio: float
    verdict: str


def simpson_check(frame, outcome, group, stratum, count=None):
    """Does the difference between two groups turn round when you look within strata?

    Parameters
    ----------
    frame : DataFrame
        A row a case, or a row a kind of case with its count.
    outcome : str
        Column of labels 0 and 1.
    group : str
        Column with exactly two values; the one that occurs first is compared with the other.
    stratum : str
        Column to look within.
    count : str, optional
        Column with the number of cases of each row.

    Returns
    -------
    named tuple
        ``table``, a row for each stratum, then "all": cases and rate of either group, and the
        ``difference`` of the rates, first minus second, which is NaN where one does not occur;
        ``reversed_strata``, those whose difference has the other sign than that of all;
        ``compared``, the number of strata with both groups; ``crude_odds_ratio`` of the first
        group against the second, and ``pooled_odds_ratio`` within the strata (Mantel–Haenszel),
        infinite where they divide by zero, NaN for 0 / 0; ``verdict``, "reversed in all
        strata", "reversed in k of m strata" or "not reversed".

    Raises
    ------
    ValueError
        If a column is missing or holds missing values, outcome other labels than 0 and 1,
        group another number of values than two, count anything but whole numbers from 0, or no
        stratum holds both groups.
    TypeError
        If frame is no DataFrame.

    References
    ----------
    Chapter 14, Slice-based Evaluation. E. H. Simpson, JRSS B 13 (1951); P. J. Bickel, E. A.
    Hammel and J. W. O'Connell, Science 187 (1975); N. Mantel and W. Haenszel, JNCI 22 (1959).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.offline_evaluation import simpson_check
    >>> stones = pd.DataFrame(  # C. R. Charig et al., BMJ 292 (1986)
    ...     [["surgery", "small", 81, 6], ["surgery", "large", 192, 71],
    ...      ["puncture", "small", 234, 36], ["puncture", "large", 55, 25]],
    ...     columns=["treatment", "stone", 1, 0],
    ... ).melt(["treatment", "stone"], var_name="success", value_name="patients")
    >>> check = simpson_check(stones, "success", "treatment", "stone", count="patients")
    >>> print(check.verdict, round(check.crude_odds_ratio, 3), round(check.pooled_odds_ratio, 3))
    reversed in all strata 0.748 1.447
    """
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame must be a DataFrame, got {type(frame).__name__}")
    for column in (outcome, group, stratum, *([] if count is None else [count])):
        if column not in frame.columns:
            raise ValueError(f"frame must have the column {column!r}, got {list(frame.columns)}")
    y = _checks.binary_labels(frame[outcome], f"frame[{outcome!r}]", both=False)
    sides = _checks.column(frame[group], f"frame[{group!r}]")
    strata = _checks.column(frame[stratum], f"frame[{stratum!r}]")
    weight = np.ones(len(y))
    if count is not None:
        weight = _checks.numbers(frame[count], f"frame[{count!r}]", low=0)
        if (weight % 1).any():
            raise ValueError(f"frame[{count!r}] must hold whole numbers of cases")
    first_and_second = pd.unique(sides)
    if len(first_and_second) != 2:
        raise ValueError(f"frame[{group!r}] must hold two values, got {len(first_and_second)}")

    names = pd.Index(_sorted(pd.unique(strata)), name=stratum)
    where = names.get_indexer(strata)
    n, hits = (
        np.stack([np.bincount(where, w * (sides == s), len(names)) for s in first_and_second])
        for w in (weight, weight * y)
    )
    pooled = _odds_ratio(hits, n)
    table = _rates(
        np.c_[n, n.sum(axis=1)], np.c_[hits, hits.sum(axis=1)], [*names, "all"], first_and_second
    )
    within, overall = table["difference"].iloc[:-1], table["difference"].iloc[-1]
    compared = int(within.notna().sum())
    if compared == 0:
        raise ValueError(f"frame must have a {stratum} in which both of {group} occur")
    turned = within.index[(within * overall < 0).to_numpy()].tolist()
    crude = _odds_ratio(hits.sum(axis=1, keepdims=True), n.sum(axis=1, keepdims=True))
    verdict = f"reversed in {len(turned)} of {compared} strata" if turned else "not reversed"
    if len(turned) == compared:
        verdict = "reversed in all strata"
    return _SimpsonCheck(table, turned, compared, crude, pooled, verdict)


def _rates(n, hits, strata, sides):
    with np.errstate(invalid="ignore"):
        rates = hits / n
    columns = {}
    for i, side in enumerate(sides):
        columns |= {f"n {side}": n[i].astype(int), f"rate {side}": rates[i]}
    return pd.DataFrame(columns | {"difference": rates[0] - rates[1]}, index=strata)


def _odds_ratio(hits, n):
    """Mantel and Haenszel's odds ratio of the first row against the second, over the columns."""
    total = np.where(n.sum(axis=0) > 0, n.sum(axis=0), 1)
    misses = n - hits
    above = (hits[0] * misses[1] / total).sum()
    below = (hits[1] * misses[0] / total).sum()
    return float(np.divide(above, below)) if below else (np.inf if above else np.nan)
