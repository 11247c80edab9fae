"""Chapter 10: which model to choose, and how.

In the order of the chapter: framing a task; objectives apart; models compared on equal terms, now
and later; what models assume of the data.

The module shares its name with `sklearn.model_selection`. That one is always written out in full
here and in the chapter, so ``model_selection`` alone means this one. Models are black boxes:
anything with ``fit`` and ``predict`` (or ``predict_proba``) serves, pipelines on data frames too.
"""

import pickle
import time

import numpy as np
import pandas as pd
from scipy import optimize, stats
from sklearn import metrics
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GroupShuffleSplit,
    ParameterGrid,
    ParameterSampler,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    cross_val_predict,
)
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from mlsys_helpers import _checks
from mlsys_helpers.plotting import COLORS, get_axes, label_line

__all__ = [
    "bucket_target",
    "framing_report",
    "DecoupledRanker",
    "plot_trade_off",
    "compare_models",
    "learning_curves",
    "plot_learning_curves",
    "extrapolate_curve",
    "check_assumptions",
]

_LINES = ("blue", "orange", "green", "red", "purple", "sky", "black", "grey")


# --- Framing ---------------------------------------------------------------------------------


def bucket_target(y, edges):
    """Frame a regression target as classes: the bucket that each value falls into.

    Parameters
    ----------
    y : array-like of shape (n,)
        Finite numbers.
    edges : array-like of shape (k,)
        Strictly increasing. A value that equals an edge belongs to the bucket below it.

    Returns
    -------
    ndarray of n integers
        0 for values up to ``edges[0]``, k for values above ``edges[-1]``; as `pandas.cut`.

    Raises
    ------
    ValueError
        If an argument is empty or not finite, or edges do not increase.

    References
    ----------
    Chapter 10, Choosing ML models.

    Examples
    --------
    >>> from mlsys_helpers.model_selection import bucket_target
    >>> bucket_target([-5, 15, 16, 200], edges=[15, 60])  # minutes late
    array([0, 0, 1, 2])
    """
    return np.searchsorted(_edges(edges), _checks.numbers(y, "y"), side="left")


def framing_report(X, y, X_test, y_test, edges, new_edge, decision, *, regressor, classifier):
    """One numeric target framed in four ways: what each can answer, and what a new class costs.

    *regression*: the number, cut at the edges. *multiclass*: one bucket of several; back to a
    number by the mean of each bucket. *binary*: above `decision` or not. *multilabel*: for each
    edge, above it or not; a row may have many labels.

    Parameters
    ----------
    X, X_test : array-like or DataFrame of shape (n, d) and (m, d)
    y, y_test : array-like of shape (n,) and (m,)
        Finite numbers. Every bucket must hold rows of y, and y_test lie on both sides of
        `decision`.
    edges : array-like of shape (k,)
        Strictly increasing; bounds of the k + 1 classes.
    new_edge : float
        Splits one class in two. Not among edges.
    decision : float
        One of edges: the question is whether a value lies above it.
    regressor, classifier : unfitted models
        With ``predict``, and with ``predict_proba`` and ``classes_``. Copied for each fit.

    Returns
    -------
    DataFrame, a row for each framing
        ``fits`` and ``outputs`` (numbers that a prediction gives); ``auc`` for the decision;
        ``mean_error``, the mean absolute error in the unit of y, of the framings that give a
        number; ``accuracy`` over the buckets, of those that give one; ``new_fits``, the fits due
        when `new_edge` is added; ``changed``, how far that moves the average row's score for
        the *old* decision (a probability, or the unit of y in *regression*); ``contradictions``,
        the share of rows said to be likelier above a higher edge than above a lower one.

    Raises
    ------
    ValueError
        If an argument does not fit as described, or probabilities are of another shape or do
        not sum to 1.
    TypeError
        If a model has no ``fit``, or the classifier no ``predict_proba``.

    References
    ----------
    Chapter 10, Choosing ML models. E. Frank and M. Hall, "A simple approach to ordinal
    classification", ECML (2001).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression, LogisticRegression
    >>> from mlsys_helpers.model_selection import framing_report
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 1))
    >>> y = 20 * X[:, 0] + rng.normal(scale=20, size=2000)
    >>> models = {"regressor": LinearRegression(), "classifier": LogisticRegression()}
    >>> report = framing_report(X[1000:], y[1000:], X[:1000], y[:1000], [0, 30], 15, 30, **models)
    >>> report.set_index("framing")["new_fits"].to_dict()
    {'regression': 0, 'multiclass': 1, 'binary': 1, 'multilabel': 1}
    """
    X, X_test = _checks.table(X, "X"), _checks.table(X_test, "X_test")
    y, y_test = _checks.numbers(y, "y", len(X)), _checks.numbers(y_test, "y_test", len(X_test))
    edges, buckets = _edges(edges), bucket_target(y, edges)
    more_edges = np.sort([*edges, _checks.number(new_edge, "new_edge")])
    _checks.number(decision, "decision")
    for model, name in ((regressor, "regressor"), (classifier, "classifier")):
        _check_model(model, name)
    if decision not in edges or new_edge in edges:
        raise ValueError(
            f"decision must be one of edges and new_edge must not, got {decision!r}, {new_edge!r}"
        )
    if len(np.unique(bucket_target(y, more_edges))) <= len(more_edges):
        raise ValueError(f"edges {more_edges.tolist()} leave a bucket without rows of y")
    above = (y_test > decision).astype(int)
    _checks.binary_labels(above, f"y_test > {decision:g}")

    fitted = {}  # (framing, target) → what its model answers on the test rows

    def said(framing, target):
        """The answers of the framing's model of this target, which is fitted if need be."""
        key = (framing, target.tobytes())
        if key not in fitted:
            if framing == "regression":
                model = _fit("regressor", regressor, {}, X, target)
                fitted[key] = _labels(model, X_test, "regressor")
            else:
                model = _fit("classifier", classifier, {}, X, target)
                fitted[key] = _probabilities(model, X_test, "classifier", len(np.unique(target)))
        return fitted[key]

    def above_each(framing, bounds):
        """How likely each row lies above each bound that the framing asks about."""
        if framing == "regression":
            return (said(framing, y)[:, None] > bounds).astype(float)
        if framing == "multiclass":
            proba = said(framing, bucket_target(y, bounds))
            return proba[:, ::-1].cumsum(axis=1)[:, -2::-1]
        if framing == "binary":  # one question, and one more for a new edge
            bounds = [decision, *np.setdiff1d(bounds, edges)]
        return np.column_stack([said(framing, (y > bound).astype(int))[:, 1] for bound in bounds])

    def score(framing, bounds):
        """What ranks the rows for the decision."""
        if framing == "regression":
            return said(framing, y)
        place = 0 if framing == "binary" else list(bounds).index(decision)
        return above_each(framing, bounds)[:, place]

    rows = []
    for framing in ("regression", "multiclass", "binary", "multilabel"):
        before, each = len(fitted), above_each(framing, edges)
        row = {"framing": framing, "fits": len(fitted) - before}
        row["outputs"] = {"regression": 1, "multiclass": len(edges) + 1}.get(framing, each.shape[1])
        row["auc"] = metrics.roc_auc_score(above, score(framing, edges))
        row |= {"mean_error": np.nan, "accuracy": np.nan}  # for those that give such an answer
        if framing in ("regression", "multiclass"):
            numbers = said(framing, y if framing == "regression" else buckets)
            if framing == "multiclass":
                means = [y[buckets == k].mean() for k in range(len(edges) + 1)]
                in_bucket, numbers = numbers.argmax(axis=1), numbers @ means
            else:
                in_bucket = bucket_target(numbers, edges)
            row["mean_error"] = np.abs(numbers - y_test).mean()
        if framing == "multilabel":
            in_bucket = (each > 0.5).sum(axis=1)
        if framing != "binary":
            row["accuracy"] = (in_bucket == bucket_target(y_test, edges)).mean()
        before, old = len(fitted), score(framing, edges)
        above_each(framing, more_edges)
        row["new_fits"] = len(fitted) - before
        row["changed"] = np.abs(score(framing, more_edges) - old).mean()
        row["contradictions"] = (np.diff(each, axis=1) > 0).any(axis=1).mean()
        rows.append(row)
    return pd.DataFrame(rows)


# --- Decoupling objectives -------------------------------------------------------------------


class DecoupledRanker(BaseEstimator):
    """Rank by several objectives, a model for each; filters have models of their own.

    The weights of the objectives are given when ranking, not when fitting, so turning them
    trains nothing.

    Parameters
    ----------
    objectives : dict
        Name → unfitted regressor. Predictions are combined in the units they come in.
    filters : dict, optional
        Name → unfitted classifier of the labels 0 and 1, with ``predict_proba``.
    max_probability : float in (0, 1], default 0.5
        What a filter holds more likely than this is never shown.

    Attributes
    ----------
    models_ : dict
        Name → fitted model.
    fits_ : dict
        Name → how many times that model has been fitted.

    Raises
    ------
    ValueError
        On `fit`, if a parameter is out of range, a name occurs twice, or a target is missing.
    TypeError
        On `fit`, if a model has no ``fit``.

    References
    ----------
    Chapter 10, Decoupling Objectives.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression, LogisticRegression
    >>> from mlsys_helpers.datasets import make_feed
    >>> from mlsys_helpers.model_selection import DecoupledRanker
    >>> X, posts = make_feed(2_000)
    >>> ranker = DecoupledRanker(
    ...     {"quality": LinearRegression(), "engagement": LinearRegression()},
    ...     {"spam": LogisticRegression()},
    ... ).fit(X, posts)
    >>> first = ranker.rank(X, {"quality": 1, "engagement": 0})[:100]
    >>> other = ranker.rank(X, {"quality": 0, "engagement": 1})[:100]
    >>> bool(posts["quality"].iloc[first].mean() > posts["quality"].iloc[other].mean())
    True
    >>> ranker.fits_
    {'quality': 1, 'engagement': 1, 'spam': 1}
    """

    def __init__(self, objectives, filters=None, max_probability=0.5):
        self.objectives = objectives
        self.filters = filters
        self.max_probability = max_probability

    def fit(self, X, targets):
        """Fit every model.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d)
        targets : DataFrame or dict
            A column of n entries for each objective and filter; others are left alone.

        Returns
        -------
        self
        """
        self._check_parameters()
        if not isinstance(targets, (dict, pd.DataFrame)):
            raise ValueError(f"targets must be a DataFrame or a dict, got {type(targets).__name__}")
        self.models_, self.fits_ = {}, {}
        for name in self._unfitted():
            if name not in targets:
                raise ValueError(f"targets has no column {name!r}")
            self.update(name, X, targets[name])
        return self

    def update(self, name, X, target):
        """Fit one model anew and leave the others as they are; returns self.

        Parameters
        ----------
        name : str
            Of an objective or a filter.
        X : array-like or DataFrame of shape (n, d)
        target : array-like of shape (n,)
            Numbers for an objective, labels 0 and 1 (both present) for a filter.
        """
        self._check_parameters()
        unfitted, X = self._unfitted(), _checks.table(X, "X")
        _checks.one_of(name, "name", tuple(unfitted))
        check = _checks.binary_labels if name in (self.filters or {}) else _checks.numbers
        model = clone(unfitted[name], safe=False).fit(X, check(target, name, len(X)))
        if not hasattr(self, "models_"):
            self.models_, self.fits_ = {}, {}
        self.models_[name] = model
        self.fits_[name] = self.fits_.get(name, 0) + 1
        return self

    def predict(self, X):
        """What each model says of each row: a value for an objective, a probability for a filter.

        Returns
        -------
        DataFrame of shape (n, number of models)
        """
        X = _checks.table(X, "X")
        missing = [name for name in self._unfitted() if name not in getattr(self, "models_", {})]
        if missing:
            raise ValueError(f"the model {missing[0]!r} is not fitted yet: call fit or update")
        said = {name: _labels(self.models_[name], X, name) for name in self.objectives}
        for name in self.filters or {}:
            said[name] = _probabilities(self.models_[name], X, name, 2)[:, 1]
        return pd.DataFrame(said)

    def combine(self, X, weights):
        """The weighted sum of the objectives, from `predict`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, d), or a DataFrame that `predict` gave
        weights : dict
            Objective → finite number; those left out weigh 0.

        Returns
        -------
        ndarray of shape (n,)
        """
        return self._weigh(self._said(X), weights)

    def rank(self, X, weights):
        """Row numbers, best first, without the rows that a filter holds back.

        Parameters
        ----------
        X, weights
            As in `combine`. Given what `predict` gave, turning the weights costs a sort.

        Returns
        -------
        ndarray of at most n integers
        """
        said = self._said(X)
        shown = (said[list(self.filters or {})] <= self.max_probability).all(axis=1).to_numpy()
        order = np.argsort(-self._weigh(said, weights), kind="stable")
        return order[shown[order]]

    def _weigh(self, said, weights):
        known = isinstance(weights, dict) and set(weights) <= set(self.objectives)
        if not known or not weights:
            raise ValueError(
                f"weights must name objectives ({', '.join(self.objectives)}), got {weights!r}"
            )
        parts = [
            _checks.number(value, f"weights[{name!r}]") * said[name].to_numpy()
            for name, value in weights.items()
        ]
        return np.sum(parts, axis=0)

    def _said(self, X):
        names = list(self._unfitted())
        known = isinstance(X, pd.DataFrame) and list(X.columns) == names
        return X if known else self.predict(X)

    def _unfitted(self):
        return {**self.objectives, **(self.filters or {})}

    def _check_parameters(self):
        for value, name in ((self.objectives, "objectives"), (self.filters or {}, "filters")):
            if not isinstance(value, dict) or (name == "objectives" and not value):
                raise ValueError(f"{name} must be a dict of models, got {value!r}")
        twice = set(self.objectives) & set(self.filters or {})
        if twice:
            raise ValueError(f"objectives and filters share the name {sorted(twice)[0]!r}")
        for name, model in self._unfitted().items():
            _check_model(model, f"the model {name!r}")
        _checks.number(self.max_probability, "max_probability", low=0, high=1, open_low=True)


def plot_trade_off(fronts, x, y, ax=None, label=None):
    """Draw what several ways of ranking reach in two objectives, a line of points for each.

    Parameters
    ----------
    fronts : dict
        Name → DataFrame, a row for each weighting, in order. At most eight.
    x, y : str
        The columns that hold the two objectives.
    ax : matplotlib Axes or None
    label : str, optional
        Column whose first and last entry are written beside the last front's ends.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If fronts is not such a dict, or lacks a column of numbers.

    References
    ----------
    Chapter 10, Decoupling Objectives.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.model_selection import plot_trade_off
    >>> front = pd.DataFrame({"quality": [0.4, 0.7], "engagement": [0.3, 0.1], "α": [0, 1]})
    >>> ax = plot_trade_off({"decoupled": front}, "engagement", "quality", label="α")
    >>> ax.get_xlabel(), [text.get_text() for text in ax.texts]
    ('engagement', ['α = 0', 'α = 1'])
    """
    if not isinstance(fronts, dict) or not 1 <= len(fronts) <= len(_LINES):
        raise ValueError(f"fronts must be a dict of one to {len(_LINES)} tables, got {fronts!r}")
    for name, table in fronts.items():
        wanted = [x, y] + ([label] if label else [])
        _columns(table, f"fronts[{name!r}]", wanted)
        for column in wanted:
            _checks.numbers(table[column], f"fronts[{name!r}][{column!r}]")
    ax = get_axes(ax)
    styles = ("-o", "--s", ":^", "-.d")
    for i, (name, table) in enumerate(fronts.items()):
        color, style = COLORS[_LINES[i]], styles[i % len(styles)]
        size, face = (9, "none") if i == 0 else (5, color)
        ax.plot(table[x], table[y], style, color=color, label=name, ms=size, mfc=face)
    if label:
        for end in (0, -1):
            at = table[[x, y]].iloc[end]
            label_line(ax, *at, f"{label} = {table[label].iloc[end]:g}", _LINES[i], xytext=(7, 9))
    ax.set(xlabel=x, ylabel=y)
    ax.legend()
    return ax


# --- Models compared on equal terms ----------------------------------------------------------

_SCORES = {
    "roc_auc": metrics.roc_auc_score,
    "average_precision": metrics.average_precision_score,
    "accuracy": metrics.accuracy_score,
    "neg_log_loss": metrics.log_loss,
}


_COSTS = ["fit_seconds", "predict_seconds", "row_ms", "size_kb"]


def compare_models(
    models,
    X,
    y,
    budget,
    *,
    seconds=None,
    scoring="roc_auc",
    groups=None,
    folds=5,
    random_state=0,
    progress=True,
):
    """Judge models on the same folds, each after a search of the same number of trials.

    In each fold, a trial fits one setting of a model to three quarters of the training rows and
    scores it on the rest. The best setting is fitted to all training rows and judged on the
    test rows, which no trial has seen.

    Parameters
    ----------
    models : dict
        Name → unfitted model, or a pair ``(model, space)``: space maps parameter names to lists
        or scipy distributions to draw from. A model's first trial is the model as given; a
        model without a space has no other. The first model is the one the others are
        measured against.
    X : array-like or DataFrame of shape (n, d)
        What missing values or categories mean is left to the models.
    y : array-like of shape (n,)
        Class numbers 0, 1, 2 …; only 0 and 1 for "roc_auc" and "average_precision".
    budget : int
        Trials for each model and fold, at least 1. A space of fewer settings has fewer trials.
    seconds : float, optional
        A model starts no further trial of a fold when this time has passed; the one that runs is
        finished, and the first always runs.
    scoring : str
        "roc_auc", "average_precision", "accuracy" or "neg_log_loss"; higher is better. The first
        two rank rows by ``predict_proba``, ``decision_function`` or ``predict``, whichever a model
        has first. A constant prediction is a prediction.
    groups : array-like of shape (n,), optional
        Rows of one group stay on one side of every split: the day of a flight, say.
    folds : int, default 5
        At least 2.
    random_state : int, numpy Generator or None
    progress : bool, default True
        Show a bar, a step a fold.

    Returns
    -------
    DataFrame, a row for each model, in the order given
        ``score``, its 95 % interval ``low`` to ``high``, the ``gain`` over the first model with
        ``gain_low`` to ``gain_high`` (Nadeau and Bengio's corrected t, since folds share training
        rows); ``trials`` (mean over the folds) and ``search_seconds`` (sum); ``fit_seconds`` and
        ``predict_seconds`` of the chosen setting, for all training rows and for 1,000 rows,
        and ``row_ms``, the milliseconds for a row on its own (medians over the folds);
        ``size_kb`` of the pickled model, NaN where it cannot be pickled; ``chosen``, the
        parameters chosen most often.

    Raises
    ------
    ValueError
        If an argument does not fit as described; if a model's predictions have another shape
        than its rows, or probabilities are outside [0, 1] or do not sum to 1.
    TypeError
        If a model lacks what is needed: ``fit``, ``predict``, or ``predict_proba``.

    References
    ----------
    Chapter 10, Evaluating ML Algorithms. C. Nadeau and Y. Bengio, "Inference for the
    generalization error", Machine Learning 52 (2003). J. Dodge et al., "Show your work: improved
    reporting of experimental results", EMNLP (2019).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.model_selection import compare_models
    >>> X, y = load_breast_cancer()
    >>> models = {
    ...     "logistic": (LogisticRegression(max_iter=9_000), {"C": [0.01, 0.1, 1, 10]}),
    ...     "tree": (DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2, 4, 8]}),
    ... }
    >>> table = compare_models(models, X, y, budget=3, folds=3, progress=False)
    >>> table["trials"].tolist(), bool((table["low"] < table["score"]).all())
    ([3.0, 3.0], True)
    """
    models = _with_spaces(models)
    X, y = _checks.table(X, "X"), _target(y, len(X), scoring)
    _checks.whole_number(budget, "budget")
    _checks.whole_number(folds, "folds", low=2)
    if seconds is not None:
        _checks.number(seconds, "seconds", low=0, open_low=True)
    if groups is not None:
        groups = _checks.column(groups, "groups", len(y))
    seed = int(_checks.generator(random_state).integers(2**31))
    trials = {name: _trials(space, budget, seed) for name, (_, space) in models.items()}

    records = []
    splits = _splits(y, groups, folds, seed)
    for fold, parts in enumerate(tqdm(splits, "folds", folds, disable=not progress)):
        for name, (model, _) in models.items():
            record = _search(name, model, trials[name], X, y, parts, scoring, seconds)
            records.append({"model": name, "fold": fold} | record)
    return _summary(pd.DataFrame(records), test_to_fit=1 / (folds - 1))


def _search(name, model, trials, X, y, parts, scoring, seconds):
    """The best of a model's trials in one fold, fitted to all training rows and judged."""
    fit_rows, valid_rows, test_rows = parts
    train_rows = np.concatenate([fit_rows, valid_rows])
    start, scores = time.perf_counter(), []
    for parameters in trials:
        if scores and seconds is not None and time.perf_counter() - start >= seconds:
            break
        candidate = _fit(name, model, parameters, _rows(X, fit_rows), y[fit_rows])
        scores.append(_score(name, candidate, _rows(X, valid_rows), y[valid_rows], scoring))
    search_seconds = time.perf_counter() - start
    chosen = trials[int(np.argmax(scores))]

    start = time.perf_counter()
    best = _fit(name, model, chosen, _rows(X, train_rows), y[train_rows])
    fit_seconds = time.perf_counter() - start
    X_test = _rows(X, test_rows)
    start = time.perf_counter()
    score = _score(name, best, X_test, y[test_rows], scoring)
    predict_seconds = (time.perf_counter() - start) * 1_000 / len(test_rows)
    return {
        "score": score,
        "trials": len(scores),
        "search_seconds": search_seconds,
        "fit_seconds": fit_seconds,
        "predict_seconds": predict_seconds,
        "row_ms": _row_ms(name, best, X_test, scoring),
        "size_kb": _size_kb(best),
        "chosen": chosen,
    }


def _summary(records, test_to_fit):
    """A row for each model, from a record for each model and fold."""
    by_fold = records.pivot(index="fold", columns="model", values="score")
    baseline, rows = records["model"].iloc[0], []
    for name, own in records.groupby("model", sort=False):
        gain = by_fold[name] - by_fold[baseline]
        half, gain_half = (_half_width(v, test_to_fit) for v in (by_fold[name], gain))
        texts, medians = own["chosen"].map(repr), own[_COSTS].median()
        row = {"model": name, "score": own["score"].mean(), "gain": gain.mean()}
        row |= {"low": row["score"] - half, "high": row["score"] + half}
        row |= {"gain_low": row["gain"] - gain_half, "gain_high": row["gain"] + gain_half}
        row |= {"trials": own["trials"].mean(), "search_seconds": own["search_seconds"].sum()}
        row |= {**medians, "chosen": own["chosen"][texts == texts.mode()[0]].iloc[0]}
        rows.append(row)
    columns = ["model", "score", "low", "high", "gain", "gain_low", "gain_high", "trials"]
    return pd.DataFrame(rows)[[*columns, "search_seconds", *_COSTS, "chosen"]]


def _half_width(values, test_to_fit):
    """Half the 95 % interval of a mean over folds whose training rows overlap."""
    variance = (1 / len(values) + test_to_fit) * values.var(ddof=1)
    return stats.t.ppf(0.975, len(values) - 1) * np.sqrt(variance)


def _trials(space, budget, seed):
    """The model as given, then settings drawn from the space: the same ones in every fold."""
    if not space or budget == 1:
        return [{}]
    listed = all(isinstance(values, (list, tuple, np.ndarray)) for values in space.values())
    most = min(budget - 1, len(ParameterGrid(space))) if listed else budget - 1
    return [{}, *ParameterSampler(space, most, random_state=seed)]


def _splits(y, groups, folds, seed):
    """For each fold the rows to fit a trial to, to score it on, and to test on."""
    units, what = np.bincount(y).min(), "rows of each class"
    if groups is not None:
        units, what = min(units, len(pd.unique(groups))), "groups, and rows of each class"
    if units < max(folds, 4):
        raise ValueError(f"folds={folds} needs at least {max(folds, 4)} {what}, got {units}")
    outer = StratifiedKFold if groups is None else StratifiedGroupKFold
    inner = StratifiedShuffleSplit if groups is None else GroupShuffleSplit
    outer = outer(folds, shuffle=True, random_state=seed)
    inner = inner(1, test_size=0.25, random_state=seed)
    for train, test in outer.split(np.zeros(len(y)), y, groups):
        own = None if groups is None else groups[train]
        fit, valid = next(inner.split(np.zeros(len(train)), y[train], own))
        parts = (train[fit], train[valid], test)
        if any(len(set(y[part])) < len(set(y)) for part in parts):
            raise ValueError(f"folds={folds} leaves a part without one of the classes")
        yield parts


def _row_ms(name, model, X, scoring):
    """Milliseconds for one row on its own: what a caller waits who asks for one answer."""
    taken = []
    for i in range(min(10, len(X))):
        row = _rows(X, [i])
        start = time.perf_counter()
        _answer(name, model, row, scoring)
        taken.append(time.perf_counter() - start)
    return 1_000 * float(np.median(taken))


def _size_kb(model):
    try:
        return len(pickle.dumps(model)) / 1_000
    except (pickle.PicklingError, AttributeError, TypeError):
        return np.nan


# --- Now against later -----------------------------------------------------------------------


def learning_curves(
    models,
    X,
    y,
    X_test,
    y_test,
    sizes,
    *,
    scoring="roc_auc",
    repeats=5,
    random_state=0,
    progress=True,
):
    """Score each model on the same test rows after training on more and more rows.

    Every repeat shuffles the training rows once, and each size takes that many from the front:
    the same rows for every model.

    Parameters
    ----------
    models : dict
        Name → unfitted model.
    X, X_test : array-like or DataFrame of shape (n, d) and (m, d)
    y, y_test : array-like of shape (n,) and (m,)
        As in `compare_models`.
    sizes : array-like of k whole numbers
        Strictly increasing, from 2 to n.
    scoring : str
        As in `compare_models`.
    repeats : int, default 5
    random_state : int, numpy Generator or None
    progress : bool, default True
        Show a bar, a step a repeat.

    Returns
    -------
    DataFrame of k * repeats rows for each model
        ``model``, ``size``, ``repeat`` and ``score``.

    Raises
    ------
    ValueError, TypeError
        As `compare_models`; and if the rows of a size lack a class.

    References
    ----------
    Chapter 10, Evaluating ML Algorithms.

    Examples
    --------
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> from mlsys_helpers.model_selection import learning_curves
    >>> X, y = load_breast_cancer()
    >>> train, test = slice(0, 400), slice(400, None)
    >>> curves = learning_curves(
    ...     {"tree": DecisionTreeClassifier(random_state=0)}, X[train], y[train], X[test], y[test],
    ...     sizes=[10, 300], progress=False,
    ... )
    >>> curves.groupby("size")["score"].mean().round(1).to_dict()
    {10: 0.9, 300: 0.9}
    """
    models = {name: model for name, (model, _) in _with_spaces(models).items()}
    X, X_test = _checks.table(X, "X"), _checks.table(X_test, "X_test")
    y, y_test = _target(y, len(X), scoring), _target(y_test, len(X_test), scoring)
    sizes = _checks.numbers(sizes, "sizes", low=2, high=len(X))
    if (np.diff(sizes) <= 0).any() or (sizes % 1).any():
        raise ValueError(f"sizes must be whole numbers that increase, got {sizes.tolist()}")
    _checks.whole_number(repeats, "repeats")
    rng, records = _checks.generator(random_state), []
    for repeat in tqdm(range(repeats), "repeats", disable=not progress):
        order = rng.permutation(len(X))
        for size in sizes.astype(int):
            rows = order[:size]
            if set(y[rows]) != set(y):
                raise ValueError(f"sizes: {size} rows drawn lack a class; begin with more")
            for name, model in models.items():
                fitted = _fit(name, model, {}, _rows(X, rows), y[rows])
                score = _score(name, fitted, X_test, y_test, scoring)
                records.append({"model": name, "size": size, "repeat": repeat, "score": score})
    table = pd.DataFrame(records)
    return pd.concat([table[table["model"] == name] for name in models], ignore_index=True)


def plot_learning_curves(curves, forecast=None, ax=None):
    """Draw each model's mean score by training rows, and its spread from lowest to highest.

    Parameters
    ----------
    curves : DataFrame
        From `learning_curves`; at most eight models.
    forecast : DataFrame, optional
        From `extrapolate_curve`; drawn as open circles with their intervals.
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If a table lacks a column, or curves holds more than eight models.

    References
    ----------
    Chapter 10, Evaluating ML Algorithms.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.model_selection import plot_learning_curves
    >>> curves = pd.DataFrame(
    ...     {"model": "trees", "size": [100, 200], "repeat": 0, "score": [0.6, 0.7]}
    ... )
    >>> plot_learning_curves(curves).texts[0].get_text()
    'trees'
    """
    curves = _curves(curves)
    if curves["model"].nunique() > len(_LINES):
        raise ValueError(f"curves must hold at most {len(_LINES)} models")
    if forecast is not None:
        _columns(forecast, "forecast", ["model", "size", "forecast", "low", "high"])
    ax = get_axes(ax)
    for (name, own), color in zip(curves.groupby("model", sort=False), _LINES, strict=False):
        by_size = own.groupby("size")["score"].agg(["mean", "min", "max"])
        ax.plot(by_size.index, by_size["mean"], "o-", color=COLORS[color], ms=4)
        ax.fill_between(
            by_size.index, by_size["min"], by_size["max"], color=COLORS[color], alpha=0.15, lw=0
        )
        label_line(ax, by_size.index[-1], by_size["mean"].iloc[-1], str(name), color)
        if forecast is not None:
            ahead = forecast[forecast["model"] == name]
            error = [ahead["forecast"] - ahead["low"], ahead["high"] - ahead["forecast"]]
            ax.errorbar(
                ahead["size"],
                ahead["forecast"],
                yerr=error,
                fmt="o",
                mfc="white",
                color=COLORS[color],
                capsize=3,
            )
    ax.set(xscale="log", xlabel="training rows", ylabel="score on the test rows")
    return ax


def extrapolate_curve(curves, sizes, *, ceiling=1.0, bootstraps=200, random_state=0):
    """Forecast scores at more training rows, by the power law score = limit - gap · n^(-rate).

    Parameters
    ----------
    curves : DataFrame
        From `learning_curves`, with at least four sizes a model.
    sizes : array-like of numbers
        Training rows to forecast for, at least 1.
    ceiling : float, default 1
        Neither the limit nor a score is above this: 1 for an AUC, 0 for a negative loss.
    bootstraps : int, default 200
        Curves drawn from the repeats, with replacement, for the interval.
    random_state : int, numpy Generator or None

    Returns
    -------
    DataFrame, a row for each model and size
        ``model``, ``size``, ``forecast``, its 95 % interval ``low`` to ``high``, and the fitted
        ``limit``, ``gap`` and ``rate`` (from 0.02 to 3). The
        interval knows the luck of the repeats, not whether the law holds: check it against a
        held-back end of the curve.

    Raises
    ------
    ValueError
        If curves lacks a column, holds too few sizes or repeats that do not match, or an
        argument is out of range.

    References
    ----------
    Chapter 10, Evaluating ML Algorithms. C. Cortes et al., "Learning curves: asymptotic values
    and rate of convergence", NIPS (1993).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from mlsys_helpers.model_selection import extrapolate_curve
    >>> n = np.array([100, 200, 400, 800])
    >>> curves = pd.DataFrame({"model": "m", "size": n, "repeat": 0, "score": 0.9 - n**-0.5})
    >>> extrapolate_curve(curves, [10_000])[["forecast", "limit", "rate"]].round(3).values.tolist()
    [[0.89, 0.9, 0.5]]
    """
    curves = _curves(curves)
    sizes = _checks.numbers(sizes, "sizes", low=1)
    _checks.number(ceiling, "ceiling")
    if curves["score"].max() > ceiling:
        raise ValueError(f"ceiling={ceiling:g} is below a score, {curves['score'].max():g}")
    _checks.whole_number(bootstraps, "bootstraps")
    rng, records = _checks.generator(random_state), []
    for name, own in curves.groupby("model", sort=False):
        wide = own.pivot(index="repeat", columns="size", values="score")
        if wide.shape[1] < 4 or wide.isna().any(axis=None):
            raise ValueError(
                f"curves must hold the same sizes, four at least, in every repeat of {name!r}"
            )
        n = wide.columns.to_numpy(dtype=float)
        limit, gap, rate = _fit_power_law(n, wide.to_numpy().mean(axis=0), ceiling)
        draws = rng.integers(len(wide), size=(bootstraps, len(wide)))
        laws = [_fit_power_law(n, wide.to_numpy()[rows].mean(axis=0), ceiling) for rows in draws]
        drawn = np.array([a - b * sizes**-c for a, b, c in laws])
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        for size, lower, upper in zip(sizes, low, high, strict=True):
            forecast = limit - gap * size**-rate
            record = {"model": name, "size": size, "forecast": forecast, "low": lower}
            records.append(record | {"high": upper, "limit": limit, "gap": gap, "rate": rate})
    return pd.DataFrame(records)


def _fit_power_law(n, scores, ceiling):
    """Limit, gap and rate. For a given rate the other two are a linear fit, so search the rate."""

    def solve(log_rate):
        powers = n ** -np.exp(log_rate)
        centred = powers - powers.mean()
        gap = -(centred @ scores) / (centred @ centred)
        limit = scores.mean() + gap * powers.mean()
        if limit > ceiling:
            limit, gap = ceiling, powers @ (ceiling - scores) / (powers @ powers)
        return limit, gap, np.square(scores - limit + gap * powers).sum()

    grid = np.linspace(np.log(0.02), np.log(3), 40)
    best = int(np.argmin([solve(log_rate)[2] for log_rate in grid]))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(
        lambda log_rate: solve(log_rate)[2],
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-9},
    )
    limit, gap, _ = solve(found.x)
    return limit, gap, np.exp(found.x)


# --- What models assume ----------------------------------------------------------------------

_ASSUMED_BY = {
    "prediction": "every model that predicts y from X",
    "IID": "nearly every model, and random splits",
    "smoothness": "supervised models, k-NN and kernels above all",
    "tractability": "generative models with a hidden cause for each column",
    "boundaries": "linear classifiers",
    "conditional independence": "naive Bayes",
    "normality": "Gaussian naive Bayes, LDA, many tests",
}


def check_assumptions(X, y, *, level=0.05, max_rows=2_000, max_terms=10_000_000, random_state=0):
    """Look for signs that the data break what models assume: one finding for each assumption.

    A finding is a question to ask, not a verdict on a model. On many rows, a small departure
    is found as surely as a large one.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n, d)
        Finite numbers, nothing missing, rows in the order in which they came.
    y : array-like of shape (n,)
        Labels 0 and 1, at least 20 of each.
    level : float in (0, 1), default 0.05
        Of each test, corrected for the number of columns or pairs looked at (Bonferroni).
    max_rows : int from 200 to 5000, default 2000
        All but IID look at no more than this many rows, drawn at random.
    max_terms : float, default 10 million
        Terms of a sum that count as tractable.
    random_state : int, numpy Generator or None

    Returns
    -------
    DataFrame of 7 rows
        ``assumption``, ``violated`` (bool), ``p_value`` (NaN for tractability), ``evidence`` in
        words, and ``assumed_by``. How each is looked at:

        - *prediction*: boosted trees, judged out of fold, rank no better than chance. Violated
          when the p-value is *above* the level: nothing could be shown.
        - *IID*: a column or y is correlated with its predecessor, or differs between the first
          half of the rows and the second (Kolmogorov–Smirnov).
        - *smoothness*: labels of nearest neighbours that are not identical agree no more than
          those of random rows (199 permutations). Violated when the p-value is *above* it.
        - *tractability*: P(Z | X) with one binary hidden cause for each column, exactly, sums
          over 2^d settings of Z. Violated when that exceeds `max_terms`.
        - *boundaries*: trees predict better, out of fold, than a logistic regression (Brier
          score).
        - *conditional independence*: two columns are correlated within a class (Spearman).
        - *normality*: a column is not normal within a class (Shapiro and Wilk).

    Raises
    ------
    ValueError
        If X is not such a table, y holds other labels or too few of one, or an argument is out
        of range.

    References
    ----------
    Chapter 10, Evaluating ML Algorithms. S. S. Shapiro and M. B. Wilk, "An analysis of variance
    test for normality", Biometrika 52 (1965).

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.model_selection import check_assumptions
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 600)
    >>> X = rng.normal(size=(600, 2)) + y[:, None]
    >>> check_assumptions(X, y)["violated"].sum()
    np.int64(0)
    >>> findings = check_assumptions(np.column_stack([X, X[:, 0]]), y)  # a column said twice
    >>> findings.loc[findings["violated"], "assumption"].tolist()
    ['conditional independence']
    """
    X = _numeric_table(X)
    y = _checks.binary_labels(y, "y", len(X))
    _checks.number(level, "level", low=0, high=1, open_low=True, open_high=True)
    _checks.number(_checks.whole_number(max_rows, "max_rows"), "max_rows", low=200, high=5_000)
    _checks.number(max_terms, "max_terms", low=1)
    if np.bincount(y).min() < 20:
        raise ValueError(f"y must hold at least 20 of each label, got {np.bincount(y).tolist()}")
    rng = _checks.generator(random_state)

    findings = {"IID": _check_iid(X, y, level)}
    if len(X) > max_rows:
        rows = np.sort(rng.choice(len(X), max_rows, replace=False))
        X, y = X.iloc[rows], y[rows]
        if np.bincount(y, minlength=2).min() < 20:
            raise ValueError(f"max_rows={max_rows} leaves fewer than 20 of a label: raise it")
    names, values = [str(name) for name in X.columns], X.to_numpy()
    folds = StratifiedKFold(3, shuffle=True, random_state=int(rng.integers(2**31)))
    trees, linear = (
        cross_val_predict(model, values, y, cv=folds, method="predict_proba")[:, 1]
        for model in (
            HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=8, early_stopping=False),
            make_pipeline(StandardScaler(), LogisticRegression()),
        )
    )
    scaled = StandardScaler().fit_transform(values)
    parts = [test for _, test in folds.split(values, y)]
    findings["prediction"] = _check_prediction(trees, y, parts, level)
    findings["smoothness"] = _check_smoothness(scaled, y, level, rng)
    findings["tractability"] = _check_tractability(len(names), max_terms)
    findings["boundaries"] = _check_boundaries(trees, linear, y, level)
    findings["conditional independence"] = _check_independence(values, names, y, level)
    findings["normality"] = _check_normality(values, names, y, level)
    return pd.DataFrame(
        [
            {
                "assumption": assumption,
                "violated": bool(findings[assumption][0]),
                "p_value": findings[assumption][1],
                "evidence": findings[assumption][2],
                "assumed_by": assumed_by,
            }
            for assumption, assumed_by in _ASSUMED_BY.items()
        ]
    )


def _check_prediction(proba, y, parts, level):
    by_fold = [  # within a fold the model is the same for all rows
        stats.mannwhitneyu(own[yes], own[~yes], alternative="greater").pvalue
        for own, yes in ((proba[part], y[part] == 1) for part in parts)
    ]
    p = min(1.0, len(by_fold) * min(by_fold))  # folds share rows, so they are not independent
    auc = metrics.roc_auc_score(y, proba)
    return p > level, p, f"out of fold, boosted trees reach an AUC of {auc:.2f}"


def _check_iid(X, y, level):
    series = {str(name): stats.rankdata(X[name]) for name in X} | {"y": y.astype(float)}
    found = []
    for name, values in series.items():
        if np.ptp(values) == 0:
            continue
        r = np.corrcoef(values[:-1], values[1:])[0, 1] if np.ptp(values[1:]) else 0.0
        p = 2 * stats.norm.sf(abs(r) * np.sqrt(len(values)))
        found.append((p, f"{name} is correlated with the row before, r = {r:.2f}"))
        first, second = np.array_split(values, 2)
        halves = stats.ks_2samp(first, second, method="asymp")
        text = f"{name} differs between the halves, by {halves.statistic:.2f} of the rows"
        found.append((halves.pvalue, text))
    return _most_telling(found, level)


def _check_smoothness(scaled, y, level, rng):
    points, which = np.unique(scaled, axis=0, return_inverse=True)
    which = which.ravel()
    if len(points) < 3:
        return True, 1.0, f"only {len(points)} distinct rows"
    label = np.bincount(which, y) / np.bincount(which)
    nearest = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points)[1]
    own = np.arange(len(points))
    nearest = np.where(nearest[:, 0] == own, nearest[:, 1], nearest[:, 0])

    def disagreement(label):
        return np.square(label - label[nearest]).mean()

    seen, shuffled = disagreement(label), [disagreement(rng.permutation(label)) for _ in range(199)]
    p = (1 + np.sum(np.array(shuffled) <= seen)) / 200
    ratio = seen / max(np.mean(shuffled), 1e-12)
    return p > level, p, f"neighbours' labels differ {ratio:.2f} times as much as those of any rows"


def _check_tractability(columns, max_terms):
    terms = 2**columns  # a Python integer, of any size
    shown = f"{terms:.2g}" if columns < 1_000 else f"2^{columns}"
    return terms > max_terms, np.nan, f"a cause for each of {columns} columns: {shown} terms"


def _check_boundaries(trees, linear, y, level):
    gain = np.square(linear - y) - np.square(trees - y)
    error = max(stats.sem(gain), 1e-12)
    p = stats.norm.sf(gain.mean() / error)
    briers = [np.square(proba - y).mean() for proba in (linear, trees)]
    return p < level, p, "Brier score {:.3f} linear, {:.3f} trees".format(*briers)


def _check_independence(values, names, y, level):
    first, second = np.triu_indices(len(names), 1)
    found = []
    for label in (0, 1):
        ranks = StandardScaler().fit_transform(stats.rankdata(values[y == label], axis=0))
        r = (ranks.T @ ranks / len(ranks))[first, second].clip(-1 + 1e-12, 1 - 1e-12)
        p = 2 * stats.norm.sf(np.abs(np.arctanh(r)) * np.sqrt((len(ranks) - 3) / 1.06))
        found += [
            (p_pair, f"{names[i]} and {names[j]} where y = {label}, r = {r_pair:.2f}", -abs(r_pair))
            for p_pair, r_pair, i, j in zip(p, r, first, second, strict=True)
        ]
    return _most_telling(found, level)


def _check_normality(values, names, y, level):
    found = []
    for label in (0, 1):
        for name, column in zip(names, values[y == label].T, strict=True):
            constant = np.ptp(column) == 0
            w, p = (
                (0.0, 0.0) if constant else stats.shapiro((column - column.mean()) / column.std())
            )
            found.append((p, f"{name} where y = {label}, W = {w:.2f}", w))
    return _most_telling(found, level)


def _most_telling(found, level):
    """The smallest of many p-values, corrected for their number, and its evidence."""
    if not found:
        return False, 1.0, "nothing to compare"
    smallest = min(found, key=lambda finding: (finding[0], finding[2:]))
    p = min(1.0, smallest[0] * len(found))
    return p < level, p, smallest[1]


# --- Models as black boxes -------------------------------------------------------------------


def _fit(name, model, parameters, X, y):
    model = clone(model, safe=False)
    if parameters:
        model.set_params(**{key: clone(value, safe=False) for key, value in parameters.items()})
    fitted = model.fit(X, y)
    return model if fitted is None else fitted


def _score(name, model, X, y, scoring):
    answer = _answer(name, model, X, scoring)
    if scoring == "neg_log_loss":
        return -float(metrics.log_loss(y, answer, labels=np.arange(answer.shape[1])))
    return float(_SCORES[scoring](y, answer))


def _answer(name, model, X, scoring):
    """What the score is computed from: labels, probabilities, or a score to rank rows by."""
    if scoring == "neg_log_loss":
        return _probabilities(model, X, name)
    if scoring != "accuracy" and hasattr(model, "predict_proba"):
        return _probabilities(model, X, name, 2)[:, 1]
    if scoring != "accuracy" and hasattr(model, "decision_function"):
        return _one_each(model.decision_function(X), X, name)
    return _labels(model, X, name)


def _labels(model, X, name):
    if not hasattr(model, "predict"):
        raise TypeError(f"the model {name!r} has no predict, got {model!r}")
    return _one_each(model.predict(X), X, name)


def _one_each(values, X, name):
    values = np.asarray(values)
    if values.shape != (len(X),):
        raise ValueError(f"the model {name!r} must predict shape ({len(X)},), got {values.shape}")
    return _checks.numbers(values, f"predictions of {name!r}")


def _probabilities(model, X, name, classes=None):
    """Probabilities of the classes 0, 1, … in order, refused where they are none."""
    if not hasattr(model, "predict_proba"):
        raise TypeError(f"the model {name!r} has no predict_proba, got {model!r}")
    proba = np.asarray(model.predict_proba(X), dtype=float)
    if proba.ndim != 2 or len(proba) != len(X) or (classes and proba.shape[1] != classes):
        wanted = f"({len(X)}, {classes or 'classes'})"
        raise ValueError(f"the model {name!r} must give probabilities {wanted}, got {proba.shape}")
    known = np.asarray(getattr(model, "classes_", np.arange(proba.shape[1]))).tolist()
    if known != list(range(proba.shape[1])):
        raise ValueError(f"the model {name!r} must know the classes 0, 1, …, got {known}")
    _checks.numbers(proba.ravel(), f"probabilities of {name!r}", low=0, high=1)
    off = np.abs(proba.sum(axis=1) - 1).max()
    if off > 1e-6:
        raise ValueError(f"the model {name!r} gives probabilities that miss the sum 1 by {off:.2g}")
    return proba


# --- Checks ----------------------------------------------------------------------------------


def _with_spaces(models):
    """Name → (model, space or None), from models and pairs."""
    if not isinstance(models, dict) or not models:
        raise ValueError(f"models must be a dict of at least one model, got {models!r}")
    pairs = {}
    for name, entry in models.items():
        model, space = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, None)
        _check_model(model, f"models[{name!r}]")
        if space is not None and not isinstance(space, dict):
            raise TypeError(f"models[{name!r}] must have a dict as its space, got {space!r}")
        pairs[name] = (model, space)
    return pairs


def _check_model(model, name):
    if isinstance(model, type) or not hasattr(model, "fit"):
        raise TypeError(f"{name} must be a model with fit, got {model!r}")


def _target(y, length, scoring):
    _checks.one_of(scoring, "scoring", tuple(_SCORES))
    if scoring in ("roc_auc", "average_precision"):
        return _checks.binary_labels(y, "y", length)
    numbers = _checks.numbers(y, "y", length, low=0)
    found = np.unique(numbers)
    if found.tolist() != list(range(len(found))) or len(found) < 2:
        raise ValueError(f"y must hold the classes 0, 1, … without a gap, got {found[:9].tolist()}")
    return numbers.astype(int)


def _edges(edges):
    edges = _checks.numbers(edges, "edges")
    if (np.diff(edges) <= 0).any():
        raise ValueError(f"edges must increase, got {edges.tolist()}")
    return edges


def _numeric_table(X):
    X = pd.DataFrame(_checks.table(X, "X")).copy()
    if X.shape[1] == 0:
        raise ValueError("X has no columns")
    X.columns = X.columns.map(str)
    X = _checks.table(X, "X")  # 1 and "1" are one name in the findings
    return pd.DataFrame(
        {name: _checks.numbers(X.iloc[:, i], f"X[{name!r}]") for i, name in enumerate(X.columns)}
    )


def _curves(curves):
    """What `learning_curves` gives: sizes and scores are numbers, each size once a repeat."""
    _columns(curves, "curves", ["model", "size", "repeat", "score"])
    for key in ("model", "repeat"):
        _checks.column(curves[key], f"curves[{key!r}]")
    if curves.duplicated(["model", "repeat", "size"]).any():
        raise ValueError("curves holds a size twice in one repeat of a model")
    size = _checks.numbers(curves["size"], "curves['size']", low=1)
    return curves.assign(size=size, score=_checks.numbers(curves["score"], "curves['score']"))


def _columns(table, name, wanted):
    if not isinstance(table, pd.DataFrame) or not set(wanted) <= set(table.columns):
        raise ValueError(f"{name} must be a DataFrame with the columns {', '.join(wanted)}")
    if table.empty:
        raise ValueError(f"{name} is empty")


def _rows(X, rows):
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]
