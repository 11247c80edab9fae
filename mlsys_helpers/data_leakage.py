"""Chapter 09: when a model knows in training what it cannot know at inference.

In the order of the chapter: when a column is known; splits that do not leak; what a leak is worth;
and how leaks are found: the power of single features, ablation, near-duplicates, and an audit of
a whole split.

Throughout, 1 is the positive class, scores are areas under the ROC curve (AUC), and the *moment of
prediction* of a row is when the model is asked. A value is available if it is known by then.
"""

import numpy as np
import pandas as pd
from scipy import stats
from scipy.spatial import KDTree
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GroupKFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.preprocessing import TargetEncoder

from mlsys_helpers import _checks
from mlsys_helpers.plotting import COLORS, get_axes

__all__ = [
    "availability",
    "time_split",
    "group_split",
    "leakage_gap",
    "plot_leakage_gaps",
    "feature_power",
    "ablation",
    "near_duplicates",
    "audit_leakage",
]

_SEVERITIES = ("high", "medium", "low")
_MOMENTS = ("datetime", "datetime64", "date", "timedelta", "timedelta64")


# --- When a column is known ------------------------------------------------------------------


def availability(table, moment, available_at):
    """For each column, in what share of the rows its value comes too late.

    Parameters
    ----------
    table : DataFrame of n rows
    moment : str
        Its column with the moment of prediction: timestamps or numbers, none missing.
    available_at : dict
        For each column to look at when its values become known: the name of a column that holds
        the moments (a missing one means never), or an offset to the moment of prediction, such
        as ``pd.Timedelta(hours=2)``; negative is earlier.

    Returns
    -------
    DataFrame, a row for each entry of available_at, the latest column last
        ``column``; ``too_late``, the share of rows in [0, 1] whose value is known only after the
        moment of prediction; ``typical_lag``, the median time from that moment to the value
        (missing if most values never come).

    Raises
    ------
    ValueError, TypeError
        If the table is empty, a name is not that of a column, a moment of prediction is missing,
        or moments and offsets do not fit together.

    References
    ----------
    Chapter 09, What is known when. S. Kaufman et al., "Leakage in data mining: formulation,
    detection, and avoidance", ACM Transactions on Knowledge Discovery from Data 6 (2012).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.data_leakage import availability
    >>> asked = pd.to_datetime(["2013-09-01 08:00", "2013-09-01 09:00"])
    >>> table = pd.DataFrame({"asked": asked, "carrier": "UA", "dep_delay": [0, 12]})
    >>> table["left"] = asked + pd.to_timedelta(120 + table["dep_delay"], unit="min")
    >>> rules = {"carrier": pd.Timedelta("-30D"), "dep_delay": "left"}
    >>> availability(table, "asked", rules)["too_late"].tolist()
    [0.0, 1.0]
    """
    _check_table(table, "table")
    _check_column(table, moment, "moment")
    _check_rules(table, available_at)
    rows = []
    for column in available_at:
        lag = _lag(table, moment, column, available_at)
        too_late = ~(lag <= table[moment] - table[moment])  # what never comes is, too
        typical = (lag if lag.notna().mean() > 0.5 else lag[:0]).median()
        rows.append({"column": column, "too_late": too_late.mean(), "typical_lag": typical})
    return pd.DataFrame(rows).sort_values(["too_late", "typical_lag"], ignore_index=True)


def _moments(table, moment, column, available_at):
    """When each value of a column is known."""
    rule = available_at[column]
    if isinstance(rule, str):
        return table[rule]
    try:
        return table[moment] + rule
    except (TypeError, ValueError):
        raise TypeError(
            f"available_at[{column!r}] must be the name of a column or an offset that can be "
            f"added to {moment!r} ({table[moment].dtype}), got {rule!r}"
        ) from None


def _lag(table, moment, column, available_at):
    """How long after the moment of prediction each value of a column is known."""
    try:
        lag = _moments(table, moment, column, available_at) - table[moment]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"available_at[{column!r}] and {moment!r} must both hold timestamps or numbers: {error}"
        ) from None
    return lag


# --- Splits that do not leak -----------------------------------------------------------------


def time_split(times, n_splits=5, *, test_size=None, gap=0):
    """Folds in which every training row is older than every test row.

    scikit-learn's `TimeSeriesSplit`, applied to the distinct moments instead of the rows: the rows
    may come in any order, and rows of one moment (one day, if times are days) stay together.

    Parameters
    ----------
    times : array-like of shape (n,)
        When each row happened: timestamps or numbers, none missing.
    n_splits : int, default 5
        Folds, at least 2. Each trains on all that is older than its test rows.
    test_size : int, optional
        Distinct moments in a test fold, at least 1. By default the number of distinct moments
        divided by n_splits + 1.
    gap : int, default 0
        Distinct moments left out between training and test rows, so that labels have time to
        come in.

    Returns
    -------
    list of n_splits pairs of integer ndarrays
        Row numbers of the training and the test rows; fits ``cv=`` of scikit-learn.

    Raises
    ------
    ValueError
        If an argument is out of range, times are missing, or there are too few moments.

    References
    ----------
    Chapter 09, Splitting time at random.

    Examples
    --------
    >>> from mlsys_helpers.data_leakage import time_split
    >>> [(train.tolist(), test.tolist()) for train, test in time_split([3, 1, 2, 2], n_splits=2)]
    [([1], [2, 3]), ([1, 2, 3], [0])]
    """
    times = _checks.column(times, "times")
    kind = pd.api.types.infer_dtype(times)
    if kind not in ("integer", "floating", *_MOMENTS):
        raise ValueError(f"times must be timestamps or numbers, got {kind}: {times[0]!r}")
    _checks.whole_number(n_splits, "n_splits", low=2)
    _checks.whole_number(gap, "gap", low=0)
    if test_size is not None:
        _checks.whole_number(test_size, "test_size")
    try:
        moments, place = np.unique(times, return_inverse=True)
    except TypeError:
        raise ValueError("times must be timestamps or numbers of one type") from None
    try:
        splitter = TimeSeriesSplit(n_splits, test_size=test_size, gap=gap)
        folds = list(splitter.split(moments))
    except ValueError as error:
        raise ValueError(f"times holds {len(moments)} distinct moments: {error}") from None
    return [
        (np.flatnonzero(np.isin(place, train)), np.flatnonzero(np.isin(place, test)))
        for train, test in folds
    ]


def group_split(groups, n_splits=5, *, y=None, random_state=None):
    """Folds in which no group is on both sides.

    scikit-learn's `GroupKFold`, shuffled, or `StratifiedGroupKFold` where labels are given.

    Parameters
    ----------
    groups : array-like of shape (n,)
        What each row belongs to (a patient, a plane, a day), none missing.
    n_splits : int, default 5
        Folds, at least 2 and at most the number of groups.
    y : array-like of shape (n,), optional
        Labels; then each fold has about the same share of each class.
    random_state : int, numpy Generator or None

    Returns
    -------
    list of n_splits pairs of integer ndarrays
        Row numbers of the training and the test rows; fits ``cv=`` of scikit-learn.

    Raises
    ------
    ValueError
        If an argument is out of range, groups or labels are missing, or there are too few groups.

    References
    ----------
    Chapter 09, Groups on both sides.

    Examples
    --------
    >>> from mlsys_helpers.data_leakage import group_split
    >>> patients = ["ann", "bob", "ann", "cleo"]
    >>> folds = group_split(patients, n_splits=3, random_state=0)
    >>> sorted(test.tolist() for _, test in folds)
    [[0, 2], [1], [3]]
    """
    groups = _checks.column(groups, "groups")
    _checks.whole_number(n_splits, "n_splits", low=2)
    names = pd.factorize(groups)[0]
    if n_splits > names.max() + 1:
        raise ValueError(f"n_splits={n_splits} needs as many groups, got {names.max() + 1}")
    seed = int(_checks.generator(random_state).integers(2**31))
    splitter = GroupKFold if y is None else StratifiedGroupKFold
    if y is not None:
        y = _checks.column(y, "y", len(names))
    try:
        splits = splitter(n_splits, shuffle=True, random_state=seed).split(names, y, names)
        return list(splits)
    except ValueError as error:
        raise ValueError(f"y cannot be split into n_splits={n_splits} folds: {error}") from None


# --- What a leak is worth --------------------------------------------------------------------


def leakage_gap(leaky, clean, future=None, *, repeats=5, random_state=0):
    """What a leak adds to the score: two pipelines on the same draws, and the future beside them.

    Parameters
    ----------
    leaky, clean : function
        Called with a seed (int), each gives the score of its pipeline, a finite number. Both get
        the same seeds, so that they can draw the same rows and differ in the leak alone.
    future : function, optional
        The same for the score that the model really gets later.
    repeats : int, default 5
        Seeds, at least 2.
    random_state : int, numpy Generator or None, default 0

    Returns
    -------
    Series
        Means over the seeds: ``leaky``, ``clean``, ``future`` (missing if not given) and
        ``gap`` = leaky − clean, with its 95 % t interval ``low`` to ``high``.

    Raises
    ------
    ValueError, TypeError
        If leaky, clean or future cannot be called or gives no finite number, or an argument is
        out of range.

    Notes
    -----
    The interval is about other draws of the same kind from the same table. Where draws overlap,
    it is too narrow for other tables.

    References
    ----------
    Chapter 09, Six causes.

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.data_leakage import leakage_gap
    >>> def clean(seed):
    ...     return 0.7 + np.random.default_rng(seed).normal(scale=0.01)
    >>> gap = leakage_gap(lambda seed: clean(seed) + 0.1, clean)
    >>> print(gap[["gap", "low", "high"]].round(3).tolist())
    [0.1, 0.1, 0.1]
    """
    _checks.whole_number(repeats, "repeats", low=2)
    seeds = _checks.generator(random_state).integers(2**31, size=repeats).tolist()
    pipelines = {"leaky": leaky, "clean": clean}
    if future is not None:
        pipelines["future"] = future
    scores = {"leaky": [], "clean": [], "future": [np.nan]}
    for name, pipeline in pipelines.items():
        if not callable(pipeline):
            raise TypeError(f"{name} must be a function of a seed, got {pipeline!r}")
        given = [pipeline(seed) for seed in seeds]
        scores[name] = _checks.numbers(given, f"the scores of {name}")
    difference = scores["leaky"] - scores["clean"]
    half = stats.t.ppf(0.975, repeats - 1) * difference.std(ddof=1) / np.sqrt(repeats)
    means = {name: np.mean(values) for name, values in scores.items()}
    gap = difference.mean()
    return pd.Series(means | {"gap": gap, "low": gap - half, "high": gap + half})


def plot_leakage_gaps(gaps, ax=None):
    """Draw for each leak what the leaky and the clean pipeline promise, and what came.

    Parameters
    ----------
    gaps : DataFrame
        A row for each leak, named by its index, with the columns that `leakage_gap` gives.
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes
        A red square for the leaky score, with the interval of the gap around it (cut off at 1);
        a blue dot for the clean one; a black line for the future.

    Raises
    ------
    ValueError
        If a column is not there, or the table is empty.

    References
    ----------
    Chapter 09, All six together.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.data_leakage import leakage_gap, plot_leakage_gaps
    >>> gap = leakage_gap(lambda seed: 0.8, lambda seed: 0.7, lambda seed: 0.69)
    >>> ax = plot_leakage_gaps(pd.DataFrame({"duplicates": gap}).T)
    >>> ax.get_yticklabels()[0].get_text()
    'duplicates'
    """
    columns = ["leaky", "clean", "future", "gap", "low", "high"]
    if not isinstance(gaps, pd.DataFrame) or not set(columns) <= set(gaps.columns):
        raise ValueError(f"gaps must be a DataFrame with the columns {', '.join(columns)}")
    if gaps.empty:
        raise ValueError("gaps is empty")
    ax = get_axes(ax, figsize=(9, 1.2 + 0.6 * len(gaps)))
    places = np.arange(len(gaps))
    low, high = gaps["clean"] + gaps["low"], np.minimum(gaps["clean"] + gaps["high"], 1)
    ax.hlines(places, gaps["clean"], gaps["leaky"], color=COLORS["light"], linewidth=7)
    ax.hlines(places, low, high, color=COLORS["red"])
    for name, marker, color in (
        ("future", "|", "black"),
        ("clean", "o", "blue"),
        ("leaky", "s", "red"),
    ):
        size = 20 if marker == "|" else 9
        style = {"marker": marker, "markersize": size, "markeredgewidth": 2.5, "linestyle": "none"}
        ax.plot(gaps[name], places, color=COLORS[color], label=name, **style)
    ax.legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1), handletextpad=0.2)
    ax.set_yticks(places, gaps.index)
    ax.set(ylim=(len(gaps) - 0.5, -0.5), xlabel="AUC", ylabel="")
    ax.grid(axis="y", visible=False)
    return ax


# --- Detection: the power of features --------------------------------------------------------


def feature_power(X, y, bins=20):
    """How well each column alone tells the classes apart, out of fold.

    Each column is cut into bins (a category each for text, one more for missing values), and each
    row gets the share of positives that the *other* folds have in its bin. So a column that is
    powerful in any shape is found, even by its gaps, and one of distinct values for every row
    (an identifier) gets nothing for free.

    Parameters
    ----------
    X : DataFrame of shape (n, d)
        Columns of any type. Infinite numbers count as the largest and the smallest; constant and
        all-missing columns have no power.
    y : array-like of shape (n,)
        Labels 0 and 1, at least 5 of each.
    bins : int, default 20
        Bins for a column of numbers, of about equal size, at least 2.

    Returns
    -------
    DataFrame of d rows, the strongest first
        ``column``; ``auc``, 0.5 for none (or less, in a table of a few dozen rows far less, since
        a share that is high without a fold is low within it); ``error``, its standard error by
        DeLong et al. (1988); ``missing``, the share of missing values.

    Raises
    ------
    ValueError, TypeError
        If X is no table, is empty, or holds values that cannot be compared (lists, dicts), or y
        does not fit.

    References
    ----------
    Chapter 09, The power of a single feature. E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson,
    "Comparing the areas under two or more correlated receiver operating characteristic curves",
    Biometrics 44 (1988).

    Examples
    --------
    >>> from mlsys_helpers.data_leakage import feature_power
    >>> from mlsys_helpers.datasets import load_flights
    >>> flights = load_flights().dropna(subset="arr_delay").head(20_000)
    >>> late = flights["arr_delay"] > 60
    >>> power = feature_power(flights[["distance", "air_time", "dep_delay"]], late)
    >>> print(power["column"][0], power["auc"].round(1).tolist())
    dep_delay [1.0, 0.6, 0.5]
    """
    _check_table(X, "X")
    y = _checks.binary_labels(y, "y", len(X))
    _checks.whole_number(bins, "bins", low=2)
    _check_class_sizes(y, "y")
    codes = np.column_stack([_bin(X[column], column, bins) for column in X])
    shares = np.empty(codes.shape)
    for fit, rest in StratifiedKFold(5, shuffle=True, random_state=0).split(codes, y):
        encoder = TargetEncoder(target_type="binary").fit(codes[fit], y[fit])
        shares[rest] = encoder.transform(codes[rest])
    rows = []
    for column, share in zip(X, shares.T, strict=True):
        auc, error = _auc_and_error(*_placements(y, share))
        missing = X[column].isna().mean()
        rows.append({"column": column, "auc": auc, "error": error, "missing": missing})
    return pd.DataFrame(rows).sort_values("auc", ascending=False, ignore_index=True)


def _bin(values, name, bins):
    """Whole numbers for a column: its bin, or its category; −1 for what is missing."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        place = values.astype(float).rank(pct=True)  # ties share a rank, and so a bin
        return np.ceil(place * bins).fillna(-1).to_numpy().astype(int)
    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        return np.ceil(values.rank(pct=True) * bins).fillna(-1).to_numpy().astype(int)
    return _codes(values, name)


def _codes(values, name):
    """A whole number for each distinct value, −1 for a missing one."""
    try:
        return pd.factorize(values.astype(object))[0]
    except TypeError as error:
        raise TypeError(f"column {name!r} holds values that cannot be compared: {error}") from None


def _placements(y, score):
    """For each positive the share of negatives below it, for each negative of positives above."""
    positive, negative = score[y == 1], score[y == 0]
    rank = stats.rankdata(score)
    below = (rank[y == 1] - stats.rankdata(positive)) / len(negative)
    above = 1 - (rank[y == 0] - stats.rankdata(negative)) / len(positive)
    return below, above


def _auc_and_error(below, above):
    """An AUC and its standard error; of two differences of placements, that of the difference."""
    variance = below.var(ddof=1) / len(below) + above.var(ddof=1) / len(above)
    return below.mean(), np.sqrt(variance)


def ablation(estimator, X_train, y_train, X_test, y_test, sets=None):
    """What each feature adds: the test score with all features, less the score without it.

    Parameters
    ----------
    estimator : scikit-learn classifier with predict_proba
        Fitted once with all columns, and once without each set; the one given stays unfitted.
    X_train, X_test : DataFrame of shapes (n, d) and (m, d)
        The same columns, in the same order.
    y_train, y_test : array-like of shapes (n,) and (m,)
        Labels 0 and 1, both present; at least 2 of each in y_test.
    sets : dict of str to list of str, optional
        Columns to leave out together, by a name. By default each column on its own. Columns that
        say the same hide each other: leave them out together.

    Returns
    -------
    DataFrame, a row for each set, the largest gain first
        ``features``; ``without``, the AUC without them; ``gain``, what they add to it, with its
        95 % interval ``low`` to ``high`` (paired, by DeLong et al. 1988, test rows taken as
        independent).

    Raises
    ------
    ValueError, TypeError
        If tables and labels do not fit, a set names no column or all of them, or the estimator
        lacks predict_proba.

    References
    ----------
    Chapter 09, The sudden gain. E. R. DeLong et al., Biometrics 44 (1988).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mlsys_helpers.data_leakage import ablation
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(400, 3)), columns=list("abc"))
    >>> y = (X["a"] + 0.1 * X["b"] > 0).astype(int)
    >>> table = ablation(LogisticRegression(), X[:200], y[:200], X[200:], y[200:])
    >>> print(table["features"].tolist(), (table["low"] > 0).tolist())
    ['a', 'b', 'c'] [True, False, False]
    """
    if not hasattr(estimator, "predict_proba") or isinstance(estimator, type):
        raise TypeError(f"estimator must have predict_proba, got {estimator!r}")
    _check_table(X_train, "X_train")
    _check_table(X_test, "X_test")
    _check_same_columns(X_train, X_test, "X_train", "X_test")
    y_train = _checks.binary_labels(y_train, "y_train", len(X_train))
    y_test = _checks.binary_labels(y_test, "y_test", len(X_test))
    _check_class_sizes(y_test, "y_test", least=2)
    sets = {column: [column] for column in X_train} if sets is None else sets
    _check_sets(sets, X_train)

    def placements(columns):
        model = clone(estimator).fit(X_train[columns], y_train)
        return _placements(y_test, model.predict_proba(X_test[columns])[:, 1])

    with_all = placements(list(X_train))
    rows = []
    for name, left_out in sets.items():
        without = placements([column for column in X_train if column not in left_out])
        gain, error = _auc_and_error(with_all[0] - without[0], with_all[1] - without[1])
        half = stats.norm.ppf(0.975) * error
        scores = {"without": without[0].mean(), "gain": gain}
        rows.append({"features": name, **scores, "low": gain - half, "high": gain + half})
    return pd.DataFrame(rows).sort_values("gain", ascending=False, ignore_index=True)


# --- Detection: copies -----------------------------------------------------------------------


def near_duplicates(left, right, tolerance=0.01):
    """For each row of one table its nearest copy in the other, if there is one.

    A copy agrees in every column: text and categories exactly, missing values with missing ones,
    infinite with infinite, and numbers and times to within `tolerance` standard deviations. All
    copies within the tolerance are found (recall 1): a k-d tree cuts the space by one column
    after the other, so a small neighbourhood is reached in a few steps. A coarse tolerance, or
    hundreds of columns, make it slow.

    Parameters
    ----------
    left, right : DataFrame of shapes (n, d) and (m, d)
        The same columns, of any type.
    tolerance : float in [0, 0.5], default 0.01
        In standard deviations of each column of numbers, over both tables. 0 finds exact copies.

    Returns
    -------
    DataFrame, a row for each row of right that has a copy
        ``left`` and ``right``, row numbers; ``distance``, the largest difference in any column,
        in standard deviations, 0 for an exact copy.

    Raises
    ------
    ValueError, TypeError
        If a table is empty, the columns differ, the tolerance is out of range, or a column holds
        values that cannot be compared.

    References
    ----------
    Chapter 09, Near-duplicates. J. L. Bentley, "Multidimensional binary search
    trees used for associative searching", Communications of the ACM 18 (1975).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.data_leakage import near_duplicates
    >>> left = pd.DataFrame({"dest": ["LAX", "BOS"], "temp": [70.0, 41.0]})
    >>> right = pd.DataFrame({"dest": ["BOS", "BOS"], "temp": [55.0, 41.1]})
    >>> near_duplicates(left, right)[["left", "right"]].values.tolist()
    [[1, 1]]
    """
    _check_table(left, "left")
    _check_table(right, "right")
    _check_same_columns(left, right, "left", "right")
    _checks.number(tolerance, "tolerance", low=0, high=0.5)
    both = pd.concat([left, right], ignore_index=True)
    points = np.column_stack([_coordinates(both[column], column) for column in both])
    here, there = points[: len(left)], points[len(left) :]

    distinct = ~pd.DataFrame(here).duplicated()  # a tree with many equal points is a deep one
    rows = np.flatnonzero(distinct)
    bound = tolerance + 1e-9  # the query leaves out the bound itself, and has rounding errors
    distance, nearest = KDTree(here[rows]).query(there, p=np.inf, distance_upper_bound=bound)
    found = np.flatnonzero(np.isfinite(distance))
    return pd.DataFrame(
        {"left": rows[nearest[found]], "right": found, "distance": distance[found].round(9)}
    )


def _coordinates(values, name):
    """A column as coordinates: numbers in standard deviations, anything else in whole steps."""
    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        values = (values - values.min()) / pd.Timedelta("1s")
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return _codes(values, name).astype(float)
    values = values.astype(float).to_numpy(na_value=np.nan)
    finite = np.isfinite(values)
    values = values / (np.abs(values[finite]).max(initial=0) or 1)  # so that no square overflows
    spread = values[finite].std() if finite.any() else 0
    scaled = (values - values[finite].mean()) / spread if spread > 0 else np.zeros(len(values))
    far = 1e6  # farther away than any finite value: n numbers stay below the root of n
    kinds = [np.isnan(values), values == np.inf, values == -np.inf]
    return np.select(kinds, [2 * far, far, -far], scaled)


# --- Detection: the audit of a split ---------------------------------------------------------


def audit_leakage(
    train, test, target, *, time=None, groups=None, available_at=None, power=0.9, tolerance=0.01
):
    """Look for leaks between the training and the test rows, and between columns and label.

    Parameters
    ----------
    train, test : DataFrame of shapes (n, d) and (m, d)
        The same columns, of any type. What is not target, time, groups, or a column of moments
        that available_at names, counts as a feature.
    target : str
        The column of labels, 0 and 1; at least 5 of each in train.
    time : str, optional
        The column with each row's moment of prediction, timestamps or numbers. If given, the test
        rows must all be later than the training rows.
    groups : str or list of str, optional
        Columns whose values must not be on both sides: a patient, a plane.
    available_at : dict, optional
        When columns are known, as in `availability`; needs time. With the target among them, the
        training labels must be known when the first test row is predicted.
    power : float in (0.5, 1), default 0.9
        A feature whose AUC on its own is this or more, by more than 3 standard errors, is
        reported: ask where it comes from.
    tolerance : float in [0, 0.5], default 0.01
        For near-duplicates, in standard deviations.

    Returns
    -------
    DataFrame, a row for each finding, the most severe first; empty if there is none
        ``severity``: "high", "medium" or "low". ``check``: "time", "labels", "groups",
        "duplicates", "near-duplicates", "availability" or "power". ``column``: where it was
        found. ``share``: of the rows concerned, in [0, 1]; for "power" the AUC. ``evidence``: the
        finding in words.

    Raises
    ------
    ValueError, TypeError
        If a table is empty, columns differ or occur twice, a name is not that of a column, the
        labels do not fit, or an argument is out of range.

    Notes
    -----
    Severity follows what the leak can do. Time: high from 5 % of the test rows on, medium from
    0.5 %. Labels: the same shares, of the training rows. Availability: the same, of all rows.
    Groups: by how well the mean label that a group has in training ranks the test rows, high
    from an AUC of 0.7, medium from 0.6. Copies: high from 1 % of the test rows on, medium from
    0.1 %. Power: high from an AUC of 0.95 on, else medium.

    In a small or coarse table rows are alike by chance. How often is seen within the training
    rows: copies on both sides are reported if there are more of them than that (binomial test at
    0.001), or if there are at least 20 and their labels agree as those of copies do (Cohen's
    kappa of 0.5 or more). So two or three copies are not.

    False alarms: the checks of time, labels, groups and availability compare facts and raise
    none. The other two were silent on each of 200 clean splits of generated tables and on each of
    200 clean splits of the flights, so that at 95 % confidence their rate is below 1.5 % there. A
    powerful feature can be an honest one.

    References
    ----------
    Chapter 09, An audit of the whole split. S. Kapoor and A. Narayanan, "Leakage and the
    reproducibility crisis in machine-learning-based science", Patterns 4 (2023).

    Examples
    --------
    >>> from mlsys_helpers.data_leakage import audit_leakage
    >>> from mlsys_helpers.datasets import load_flight_features
    >>> flights = load_flight_features().sample(20_000, random_state=0)
    >>> past = flights["date"] < "2013-09-01"
    >>> len(audit_leakage(flights[past], flights[~past], "late", time="date"))
    0
    >>> flights["risk"] = 0.9 * flights["late"]  # the label in disguise
    >>> findings = audit_leakage(flights[past], flights[~past], "late", time="date")
    >>> print(findings[["severity", "check", "column"]].to_string(index=False, header=False))
    high power   risk
    """
    groups = [] if groups is None else [groups] if isinstance(groups, str) else groups
    rules = {} if available_at is None else available_at
    _check_audit(train, test, target, time, groups, rules)
    _checks.number(power, "power", low=0.5, high=1, open_low=True, open_high=True)
    _checks.number(tolerance, "tolerance", low=0, high=0.5)
    y_train = _checks.binary_labels(train[target], f"train[{target!r}]")
    y_test = _checks.binary_labels(test[target], f"test[{target!r}]", both=False)
    _check_class_sizes(y_train, f"train[{target!r}]")

    moments = [rule for rule in rules.values() if isinstance(rule, str)]
    no_features = {target, time, *groups, *moments}
    features = [column for column in train if column not in no_features]
    findings = []
    if time is not None:
        findings += _time_overlap(train[time], test[time])
        findings += _labels_to_come(train, test, target, time, rules)
        findings += _unavailable(train, test, target, time, rules)
    for column in groups:
        findings += _shared_groups(train[column], test[column], y_train, y_test)
    if features:
        findings += _copies(train[features], test[features], y_train, y_test, tolerance)
        findings += _too_powerful(train[features], y_train, power)
    table = pd.DataFrame(findings, columns=["severity", "check", "column", "share", "evidence"])
    order = table["severity"].map(_SEVERITIES.index)
    return table.iloc[np.lexsort([-table["share"], order])].reset_index(drop=True)


def _grade(value, high, medium):
    return "high" if value >= high else "medium" if value >= medium else "low"


def _time_overlap(train, test):
    """Test rows that are not later than every training row."""
    early = (test <= train.max()).mean()
    if early > 0:
        text = f"{early:.1%} of the test rows are not later than the last training row"
        yield _grade(early, 0.05, 0.005), "time", train.name, early, text


def _labels_to_come(train, test, target, time, rules):
    """Training rows whose label was not known when the first test row was predicted."""
    if target in rules:
        known = _moments(train, time, target, rules) <= test[time].min()
        share = (~known).mean()
        if share > 0:
            text = (
                f"{(~known).sum():,} of {len(train):,} training labels were not known at the first "
                "test prediction"
            )
            yield _grade(share, 0.05, 0.005), "labels", target, share, text


def _unavailable(train, test, target, time, rules):
    """Features whose values are known only after the moment of prediction."""
    rules = {column: rule for column, rule in rules.items() if column != target}
    if rules:
        table = availability(pd.concat([train, test], ignore_index=True), time, rules)
        for column, share, lag in table[table["too_late"] > 0].itertuples(index=False):
            text = f"not known at prediction in {share:.1%} of the rows; typically {_span(lag)}"
            yield _grade(share, 0.05, 0.005), "availability", column, share, text


def _span(lag):
    """A lag in words."""
    if pd.isna(lag):
        return "never"
    hours = lag / pd.Timedelta(hours=1) if isinstance(lag, pd.Timedelta) else None
    return f"{lag:g} after it" if hours is None else f"{hours:.1f} hours after it"


def _shared_groups(train, test, y_train, y_test):
    """Test rows of groups that were trained on, and what those groups give away."""
    shared = (test.isin(train.dropna().unique()) & test.notna()).to_numpy()
    if shared.any():
        means = pd.Series(y_train, train.to_numpy()).groupby(level=0).mean()
        labels, auc = y_test[shared], 0.5
        if 0 < labels.mean() < 1:
            auc = roc_auc_score(labels, test[shared].map(means).to_numpy(dtype=float))
        text = (
            f"{shared.mean():.1%} of the test rows are of groups that were trained on; "
            f"a group's mean label there ranks them with AUC {auc:.2f}"
        )
        yield _grade(auc, 0.7, 0.6), "groups", train.name, shared.mean(), text


def _copies(train, test, y_train, y_test, tolerance):
    """Test rows that are exact or near copies of training rows."""
    twins = near_duplicates(train, test, tolerance)
    if twins.empty:
        return
    same = y_train[twins["left"]] == y_test[twins["right"]]
    chance = max(_twin_share(train, tolerance), 0.3 / len(train))
    as_many_as_by_chance = stats.binom.sf(len(twins) - 1, len(test), chance) > 0.001
    agree = _kappa(y_train[twins["left"]], y_test[twins["right"]]) >= 0.5
    if as_many_as_by_chance and not (agree and len(twins) >= 20):
        return
    for check, rows in (
        ("duplicates", twins["distance"] == 0),
        ("near-duplicates", twins["distance"] > 0),
    ):
        if rows.any():
            share = rows.sum() / len(test)
            text = (
                f"{rows.sum():,} test rows ({share:.1%}) have a copy in training; "
                f"{same[rows].mean():.0%} of them with the same label"
            )
            yield _grade(share, 0.01, 0.001), check, "all features", share, text


def _twin_share(table, tolerance):
    """The share of rows with an exact or near copy in their own table."""
    points = np.column_stack([_coordinates(table[column], column) for column in table])
    repeated = pd.DataFrame(points).duplicated(keep=False).to_numpy()
    rows = np.flatnonzero(~pd.DataFrame(points).duplicated())
    bound = tolerance + 1e-9
    distance, _ = KDTree(points[rows]).query(
        points[rows], k=2, p=np.inf, distance_upper_bound=bound
    )
    near = np.isfinite(distance[:, 1]) & ~repeated[rows]
    return (repeated.sum() + near.sum()) / len(table)


def _kappa(first, second):
    """Agreement beyond chance of two columns of labels (Cohen 1960); 0 where one is constant."""
    a, b = first.mean(), second.mean()
    chance = a * b + (1 - a) * (1 - b)
    return 0.0 if chance == 1 else ((first == second).mean() - chance) / (1 - chance)


def _too_powerful(X, y, power):
    """Features that alone tell the classes apart, beyond doubt."""
    table = feature_power(X, y)
    for row in table[table["auc"] - 3 * table["error"] >= power].itertuples():
        others = table["auc"][table["auc"] < power]
        beside = f"; the best feature below {power:g} has {others.max():.2f}" if len(others) else ""
        text = f"alone it ranks the training rows with AUC {row.auc:.3f}{beside}"
        yield _grade(row.auc, 0.95, 0), "power", row.column, row.auc, text


# --- Checks ----------------------------------------------------------------------------------


def _check_table(table, name):
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"{name} must be a DataFrame, got {type(table).__name__}")
    if table.empty:
        raise ValueError(f"{name} is empty, its shape is {table.shape}")
    twice = table.columns[table.columns.duplicated()].tolist()
    if twice:
        raise ValueError(f"{name} must name each column once, got {twice} twice")


def _check_same_columns(left, right, left_name, right_name):
    if set(left.columns) != set(right.columns):
        lone = sorted(map(str, set(left.columns) ^ set(right.columns)))
        raise ValueError(
            f"{left_name} and {right_name} must have the same columns; only one of them has {lone}"
        )
    if list(left.columns) != list(right.columns):
        raise ValueError(f"{left_name} and {right_name} must have their columns in the same order")


def _check_column(table, column, name):
    if not isinstance(column, str) or column not in table:
        raise ValueError(f"{name} must be the name of a column, got {column!r}")
    if name in ("moment", "time"):
        kind = table[column].dtype
        if not (pd.api.types.is_datetime64_any_dtype(kind) or pd.api.types.is_numeric_dtype(kind)):
            raise TypeError(f"{name}={column!r} must hold timestamps or numbers, got {kind}")
        missing = table[column].isna().sum()
        if missing:
            raise ValueError(f"{name}={column!r} holds {missing} missing values")


def _check_rules(table, available_at):
    if not isinstance(available_at, dict) or not available_at:
        raise TypeError(f"available_at must be a dict of at least one column, got {available_at!r}")
    for column, rule in available_at.items():
        _check_column(table, column, "each key of available_at")
        if isinstance(rule, str):
            _check_column(table, rule, f"available_at[{column!r}]")


def _check_audit(train, test, target, time, groups, rules):
    _check_table(train, "train")
    _check_table(test, "test")
    _check_same_columns(train, test, "train", "test")
    _check_column(train, target, "target")
    if not isinstance(groups, list):
        raise TypeError(f"groups must be a name or a list of names, got {groups!r}")
    for column in groups:
        _check_column(train, column, "groups")
    if time is not None:
        _check_column(train, time, "time")
        _check_column(test, time, "time")
    if rules != {}:
        _check_rules(train, rules)
        if time is None:
            raise ValueError("available_at needs time, the column with the moment of prediction")


def _check_class_sizes(y, name, least=5):
    counts = np.bincount(y, minlength=2)
    if counts.min() < least:
        raise ValueError(
            f"{name} must hold at least {least} rows of each class, got {counts.tolist()}"
        )


def _check_sets(sets, X):
    if not isinstance(sets, dict) or not sets:
        raise TypeError(f"sets must be a dict of lists of columns, got {sets!r}")
    for name, columns in sets.items():
        if not isinstance(columns, list) or not columns or not set(columns) <= set(X):
            raise ValueError(
                f"sets[{name!r}] must be a list of columns of X_train, got {columns!r}"
            )
        if set(columns) == set(X):
            raise ValueError(f"sets[{name!r}] must leave a column to learn from")
