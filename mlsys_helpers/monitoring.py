"""Chapter 16: what changes after deployment, how to see it, and how to find the cause.

Throughout, the reference is the data that the model is known to work on, the current data is the
window being watched, and both are columns or tables of the same meaning.
"""

import html
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from scipy.spatial.distance import jensenshannon, pdist, squareform
from sklearn.utils import check_array

from mlsys_helpers import _checks
from mlsys_helpers.plotting import COLORS, get_axes

__all__ = [
    "shift_schedule",
    "make_shift",
    "shift_parts",
    "simulate_feedback_loop",
    "popularity_metrics",
    "position_bias_correction",
    "describe_shift",
    "psi",
    "psi_threshold",
    "mmd_test",
    "domain_classifier_test",
    "correct_p_values",
    "detect_shift",
    "shift_over_time",
    "plot_shift_over_time",
    "infer_schema",
    "FeatureProfile",
    "alert_episodes",
    "Monitor",
    "explain_shift",
    "write_dashboard",
]


# --- Kinds of shift ---------------------------------------------------------------------------


def shift_schedule(n, pattern, strength=1.0):
    """How strong a shift is, row by row: sudden, gradual or seasonal.

    Parameters
    ----------
    n : int
        Rows, in the order of time.
    pattern : {"sudden", "gradual", "seasonal"}
        Nothing in the first half and all of it in the second; a straight line from nothing;
        one wave from nothing to all and back.
    strength : float in [0, 1], default 1
        The most that is reached (by "gradual" just not).

    Returns
    -------
    array of shape (n,), in [0, 1]

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 16, Kinds of shift.

    Examples
    --------
    >>> from mlsys_helpers.monitoring import shift_schedule
    >>> shift_schedule(4, "sudden", 0.5).tolist()
    [0.0, 0.0, 0.5, 0.5]
    >>> shift_schedule(4, "seasonal").round(2).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    _checks.one_of(pattern, "pattern", ("sudden", "gradual", "seasonal"))
    _checks.number(strength, "strength", 0, 1)
    t = np.arange(_checks.whole_number(n, "n")) / n
    shape = {"sudden": t >= 0.5, "gradual": t, "seasonal": (1 - np.cos(2 * np.pi * t)) / 2}
    return strength * shape[pattern]


def make_shift(X, y, kind, strength, column=None, random_state=None):
    """As many rows, drawn anew, with one kind of shift and nothing else.

    Rows are drawn with replacement. With probability `strength` a row is, under "covariate",
    drawn from the rows whose value in `column` is above its median; under "label", from the
    rows of class 1; under "concept", given the other label.

    Parameters
    ----------
    X : DataFrame of n rows
    y : array-like of shape (n,)
        Labels 0 and 1, both present.
    kind : {"covariate", "label", "concept"}
    strength : float in [0, 1], or array-like of shape (n,)
        One for all rows, or one for each in the order of time (see `shift_schedule`).
    column : str, for "covariate" only
        A column of numbers, none missing, that are not all the same.
    random_state : int, numpy Generator or None

    Returns
    -------
    X : DataFrame of n rows, numbered anew
    y : Series of n labels

    Raises
    ------
    ValueError
        If an argument is out of range, or column is missing, constant or of no use to the kind.
    TypeError
        If X is not a DataFrame.

    References
    ----------
    Chapter 16, Kinds of shift. J. G. Moreno-Torres et al., "A unifying view on dataset shift in
    classification", Pattern Recognition (2012).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.monitoring import make_shift
    >>> X, y = pd.DataFrame({"hour": range(1000)}), [0] * 900 + [1] * 100
    >>> _, shifted = make_shift(X, y, "label", 0.5, random_state=0)
    >>> print(shifted.mean().round(2))  # 0.1 of one half, and all of the other
    0.55
    """
    _table(X, "X")
    y = _checks.binary_labels(y, "y", len(X))
    _checks.one_of(kind, "kind", ("covariate", "label", "concept"))
    strength = np.full(len(X), strength) if np.ndim(strength) == 0 else strength
    strength = _checks.numbers(strength, "strength", len(X), 0, 1)
    rng = _checks.generator(random_state)
    rows, moved = rng.integers(len(X), size=len(X)), rng.random(len(X)) < strength
    if kind == "covariate":
        values = _checks.numbers(_column(X, column, "X"), f"X[{column!r}]")
        if values.max() == np.median(values):
            raise ValueError(f"column {column!r} has no value above its median, {values.max():g}")
        rows[moved] = rng.choice(np.flatnonzero(values > np.median(values)), moved.sum())
    elif column is not None:
        raise ValueError(f"column is of no use to a shift of kind {kind!r}: leave it out")
    elif kind == "label":
        rows[moved] = rng.choice(np.flatnonzero(y == 1), moved.sum())
    turned = moved & (kind == "concept")
    return X.iloc[rows].reset_index(drop=True), pd.Series(np.where(turned, 1 - y[rows], y[rows]))


def shift_parts(x_reference, y_reference, x_current, y_current, bins=10):
    """Which part of P(x, y) moved: P(x), P(y), P(y|x) or P(x|y), each tested and measured.

    P(x) is tested by Kolmogorov and Smirnov, P(y) by Fisher's test. P(y|x) is compared within
    quantile bins of x, inside the reference's range, by the sum over bins of the squared
    standardised difference of the two shares of y (a chi-square); bins where a side expects
    under 5 rows of either class are left out. P(x|y) is tested within each class, and the
    smaller p is doubled.

    Parameters
    ----------
    x_reference, x_current : array-like of shape (n,) and (m,)
        One feature, or the model's score; finite numbers.
    y_reference, y_current : array-like of shape (n,) and (m,)
        Labels 0 and 1, both present.
    bins : int of at least 2, default 10

    Returns
    -------
    DataFrame with the rows P(x), P(y), P(y|x), P(x|y)
        ``effect`` in [0, 1]: the largest difference of the distribution functions for P(x) and
        P(x|y), the difference of the shares of y, within bins and weighted by the current rows
        for P(y|x); ``p``, 1 where nothing could be compared; ``compared``, the share of the
        current rows that the comparison rests on.

    Raises
    ------
    ValueError
        If a column is empty, of another length, not finite, or has labels but 0 and 1.

    Notes
    -----
    Values that move *within* a bin can look like a change of P(y|x).

    References
    ----------
    Chapter 16, Kinds of shift.

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.monitoring import shift_parts
    >>> x, y = np.arange(2000) / 2000, np.tile([0, 0, 0, 1], 500)
    >>> shift_parts(x, y, x, 1 - y)["effect"].round(2).to_dict()
    {'P(x)': 0.0, 'P(y)': 0.5, 'P(y|x)': 0.5, 'P(x|y)': 0.0}
    """
    old, new = _checks.numbers(x_reference, "x_reference"), _checks.numbers(x_current, "x_current")
    y_old = _checks.binary_labels(y_reference, "y_reference", len(old))
    y_new = _checks.binary_labels(y_current, "y_current", len(new))
    cuts = _edges(old, _checks.whole_number(bins, "bins", 2))
    late, total = np.zeros((2, 2, len(cuts) + 1))
    for side, (x, y) in enumerate(((old, y_old), (new, y_new))):
        inside = (x >= old.min()) & (x <= old.max())
        codes, y = np.searchsorted(cuts, x[inside], side="right"), y[inside]
        total[side] = np.bincount(codes, minlength=len(cuts) + 1)
        late[side] = np.bincount(codes, y, minlength=len(cuts) + 1)
    pooled = late.sum(0) / np.maximum(total.sum(0), 1)
    usable = total.min(0) * np.minimum(pooled, 1 - pooled) >= 5
    late, total, pooled = late[:, usable], total[:, usable], pooled[usable]
    difference = late[1] / total[1] - late[0] / total[0]
    chi2 = (difference**2 / (pooled * (1 - pooled) * (1 / total).sum(0))).sum()
    compared = total[1].sum() / len(new)
    within = [stats.ks_2samp(old[y_old == k], new[y_new == k]) for k in (0, 1)]
    whole = stats.ks_2samp(old, new)
    weight = total[1] / max(total[1].sum(), 1)
    table = {
        "P(x)": (whole.statistic, whole.pvalue, 1),
        "P(y)": (abs(y_new.mean() - y_old.mean()), _fisher(y_old, y_new), 1),
        "P(y|x)": (
            (weight * abs(difference)).sum(),
            stats.chi2.sf(chi2, len(pooled)) if len(pooled) else 1,
            compared,
        ),
        "P(x|y)": (
            max(test.statistic for test in within),
            min(1, 2 * min(test.pvalue for test in within)),
            1,
        ),
    }
    return pd.DataFrame(table, ["effect", "p", "compared"]).T.astype(float)


# --- Degenerate feedback loops ------------------------------------------------------------------


def simulate_feedback_loop(
    quality,
    rounds=50,
    users=200,
    slots=10,
    *,
    rank_by="clicks",
    randomised=0.0,
    random_state=None,
):
    """The log of a list that is ranked by what users did with the list before.

    In each round every user sees `slots` items, looks at the one in position i with probability
    1 / i, and clicks on one looked at with the probability of its quality. Ties in the
    ranking are broken by chance.

    Parameters
    ----------
    quality : array-like of shape (n,)
        What share of those who look at an item click on it, in [0, 1]; at least `slots` items.
    rounds, users, slots : int
    rank_by : {"clicks", "relevance"}, default "clicks"
        Rank by the clicks so far, or by the clicks so far, each multiplied by its position, per
        impression. An item not yet shown then counts as the mean.
    randomised : float in [0, 1], default 0
        The share of users who see items in random order instead.
    random_state : int, numpy Generator or None

    Returns
    -------
    DataFrame
        A row for each round, item, position (from 1) and ``random`` (True for users who saw a
        random order) that occurred, with ``impressions`` and ``clicks``.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 16, Degenerate feedback loops. A. J. B. Chaney et al., "How algorithmic confounding
    in recommendation systems increases homogeneity and decreases utility", RecSys (2018).

    Examples
    --------
    >>> from mlsys_helpers.monitoring import simulate_feedback_loop
    >>> log = simulate_feedback_loop([0.2] * 50, random_state=0)
    >>> log["item"].nunique()  # of 50 equal ones
    10
    """
    quality = _checks.numbers(quality, "quality", low=0, high=1)
    _checks.whole_number(rounds, "rounds")
    _checks.whole_number(users, "users")
    if _checks.whole_number(slots, "slots") > len(quality):
        raise ValueError(f"slots must be at most the {len(quality)} items, got {slots}")
    _checks.one_of(rank_by, "rank_by", ("clicks", "relevance"))
    _checks.number(randomised, "randomised", 0, 1)
    examination = 1 / np.arange(1, slots + 1)
    rng = _checks.generator(random_state)
    n = len(quality)
    seen, clicked = np.zeros((2, rounds, 2, n, slots), dtype=int)
    for now in range(rounds):
        past = clicked[:now].sum((0, 1))
        credit = past.sum(-1).astype(float)
        if rank_by == "relevance":
            weighed, shown = (past / examination).sum(-1), seen[:now].sum((0, 1, 3))
            credit = (weighed + weighed.sum() / max(shown.sum(), 1)) / (shown + 1)
        ranked = np.lexsort((rng.random(n), -credit))[:slots]
        n_random = rng.binomial(users, randomised)
        seen[now, 0, ranked, np.arange(slots)] = users - n_random
        orders = rng.random((n_random, n)).argsort(axis=1)[:, :slots]
        np.add.at(seen[now, 1], (orders, np.arange(slots)), 1)
        clicked[now] = rng.binomial(seen[now], quality[:, None] * examination)
    place = np.nonzero(seen)
    log = pd.DataFrame(dict(zip(("round", "random", "item", "position"), place, strict=True)))
    log["random"], log["position"] = log["random"] == 1, log["position"] + 1
    return log.assign(impressions=seen[place], clicks=clicked[place])


def popularity_metrics(counts):
    """How unequal a popularity is: the Gini coefficient, and the share of items with any.

    Parameters
    ----------
    counts : array-like of shape (n,)
        Clicks or impressions of every item there is, at least 0 and not all 0.

    Returns
    -------
    dict of float
        ``gini``: 0 where all are equal, 1 - 1 / n where one has all; ``coverage`` in (0, 1].

    Raises
    ------
    ValueError
        If counts are empty, negative, not finite or all 0.

    References
    ----------
    Chapter 16, Degenerate feedback loops. C. Gini, Variabilità e mutabilità (1912).

    Examples
    --------
    >>> from mlsys_helpers.monitoring import popularity_metrics
    >>> popularity_metrics([0, 0, 0, 8])
    {'gini': 0.75, 'coverage': 0.25}
    """
    counts = np.sort(_checks.numbers(counts, "counts", low=0))
    if counts.sum() == 0:
        raise ValueError("counts are all 0")
    n = len(counts)
    gini = 2 * (np.arange(1, n + 1) * counts).sum() / (n * counts.sum()) - (n + 1) / n
    return {"gini": float(gini), "coverage": float((counts > 0).mean())}


def position_bias_correction(log, propensity=None):
    """Each item's relevance, with every click divided by how likely its position is looked at.

    Parameters
    ----------
    log : DataFrame
        Columns ``item``, ``position`` (from 1), ``impressions`` and ``clicks``; with no
        propensity also ``random``, as `simulate_feedback_loop` gives.
    propensity : array-like, optional
        Of each position, above 0. By default the click rate of a position among the users who
        saw a random order, over that of position 1: there all positions hold the same items.

    Returns
    -------
    DataFrame indexed by item
        ``click_rate``, as observed; ``relevance``, the click rate to expect at a position of
        propensity 1; ``standard_error`` of the relevance, the propensities taken as known.

    Raises
    ------
    ValueError
        If a column is missing or holds what no log can, a position has no propensity above 0, or
        none can be estimated.
    TypeError
        If log is not a DataFrame.

    References
    ----------
    Chapter 16, Degenerate feedback loops. T. Joachims, A. Swaminathan and T. Schnabel,
    "Unbiased learning-to-rank with biased feedback", WSDM (2017).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.monitoring import position_bias_correction
    >>> log = pd.DataFrame({"item": ["a", "b"], "position": [1, 2]})
    >>> log = log.assign(impressions=1000, clicks=[200, 150])
    >>> position_bias_correction(log, [1, 0.5])["relevance"].to_dict()
    {'a': 0.2, 'b': 0.3}
    """
    _table(log, "log")
    for name in ("item", "position", "impressions", "clicks"):
        _column(log, name, "log")
    for name, low in {"position": 1, "impressions": 1, "clicks": 0}.items():
        _checks.numbers(log[name], f"log[{name!r}]", low=low)
    if (log["position"] % 1).any() or (log["clicks"] > log["impressions"]).any():
        raise ValueError("log must hold whole positions, and at most as many clicks as impressions")
    if propensity is None:
        random = log[_column(log, "random", "log").astype(bool)]
        sums = random.groupby("position")[["impressions", "clicks"]].sum()
        rate = (sums["clicks"] / sums["impressions"]).reindex(range(1, log["position"].max() + 1))
        if not (rate > 0).all():
            raise ValueError("propensity cannot be estimated: positions without random clicks")
        propensity = rate / rate.iloc[0]
    propensity = _checks.numbers(propensity, "propensity")
    if log["position"].max() > len(propensity) or not (propensity > 0).all():
        raise ValueError(
            f"propensity must be above 0 at each of the {log['position'].max()} positions"
        )
    weight = 1 / propensity[log["position"].to_numpy(dtype=int) - 1]
    sums = log.assign(weighed=log["clicks"] * weight, squared=log["clicks"] * weight**2)
    sums = sums.groupby("item")[["impressions", "clicks", "weighed", "squared"]].sum()
    return pd.DataFrame(
        {
            "click_rate": sums["clicks"] / sums["impressions"],
            "relevance": sums["weighed"] / sums["impressions"],
            "standard_error": np.sqrt(sums["squared"]) / sums["impressions"],
        }
    )


# --- Detection --------------------------------------------------------------------------------


def describe_shift(reference, current):
    """The summary statistics of each numeric column, then and now.

    Parameters
    ----------
    reference, current : DataFrame
        With the same columns; those that do not hold numbers in both are left out.

    Returns
    -------
    DataFrame with the rows (column, "reference") and (column, "current")
        ``rows``, ``missing`` (a share), ``mean``, ``std``, ``min``, the quartiles ``25%``,
        ``50%``, ``75%``, ``max``, ``skew`` and excess ``kurtosis``, over the finite values; NaN
        where there are too few.

    Raises
    ------
    ValueError
        If a table is empty, or the columns differ.
    TypeError
        If one is not a DataFrame.

    References
    ----------
    Chapter 16, Detecting Data Distribution Shift.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.monitoring import describe_shift
    >>> old, new = pd.DataFrame({"temp": [1, 2, 3]}), pd.DataFrame({"temp": [3, 4, None]})
    >>> describe_shift(old, new)[["rows", "missing", "mean", "max"]].round(2).values.tolist()
    [[3.0, 0.0, 2.0, 3.0], [3.0, 0.33, 3.5, 4.0]]
    """
    _tables(reference, current)
    numeric = [
        name
        for name in reference.columns
        if all(pd.api.types.is_numeric_dtype(frame[name].dtype) for frame in (reference, current))
    ]
    rows = {}
    for name in numeric:
        for side, frame in (("reference", reference), ("current", current)):
            values = frame[name].astype(float)
            finite = values[np.isfinite(values)]
            summary = {"rows": len(values), "missing": values.isna().mean()}
            summary |= finite.describe().drop("count").to_dict()
            rows[name, side] = summary | {"skew": finite.skew(), "kurtosis": finite.kurt()}
    return pd.DataFrame(rows).T


def psi(reference, current, edges=None, bins=10):
    """The population stability index of two columns: 0 for equal shares in every bin.

    It is the sum over bins of ``(q - p) * log(q / p)``, with p the share of the reference in the
    bin and q that of the current column. Missing values are left out; watch their share apart. A
    bin that is empty on one side counts there as half a row, one that is empty on both as nothing.

    Parameters
    ----------
    reference, current : array-like of shape (n,) and (m,)
        Both numbers (infinite ones fall in the outer bins), or both categories (text, booleans):
        then every category of either column is a bin.
    edges : array-like of shape (k,), optional
        Rising cuts that make k + 1 bins, the outer ones open; a value equal to an edge falls in
        the bin above it. By default the quantiles of the reference, where a value that fills
        more than one quantile has a bin of its own.
    bins : int of at least 2, default 10
        How many quantiles; of no effect beside `edges` or with categories.

    Returns
    -------
    float of at least 0
        The rule of thumb reads below 0.1 as stable and above 0.2 as shifted; how often it is
        wrong depends on the number of rows.

    Raises
    ------
    ValueError
        If a column is empty or has no value at all, one holds numbers and the other does not,
        edges do not rise or stand beside categories, or bins is below 2.

    References
    ----------
    Chapter 16, Detecting Data Distribution Shift. B. Yurdakul and J. Naranjo, "Statistical
    properties of the population stability index", Journal of Risk Model Validation (2020).

    Examples
    --------
    >>> from mlsys_helpers.monitoring import psi
    >>> round(psi(["a"] * 5 + ["b"] * 5, ["a"] * 6 + ["b"] * 4), 5)
    0.04055
    >>> round(psi(range(100), range(30, 130), edges=[50]), 5)  # half, then 80 % above the cut
    0.41589
    """
    reference, current = _present(reference, "reference"), _present(current, "current")
    _same_kind(reference, current)
    p, q = _binned(reference, current, edges, _checks.whole_number(bins, "bins", 2))
    return float(_psi_of_counts(p, q))


def psi_threshold(n, m, bins=10, alpha=0.05):
    """The population stability index that chance alone exceeds with probability alpha.

    Where nothing has shifted, PSI is about (1/n + 1/m) times a chi-square of bins - 1 degrees
    of freedom, if every bin holds more than a few rows.

    Parameters
    ----------
    n, m : int
        Rows of the reference and of the window.
    bins : int of at least 2, default 10
    alpha : float in (0, 1), default 0.05

    Returns
    -------
    float above 0

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 16, A test for each column. Yurdakul and Naranjo (2020), as for `psi`.

    Examples
    --------
    >>> from mlsys_helpers.monitoring import psi_threshold
    >>> [round(psi_threshold(m, m), 3) for m in (100, 1000, 10_000)]
    [0.338, 0.034, 0.003]
    """
    _checks.number(alpha, "alpha", 0, 1, open_low=True, open_high=True)
    spread = 1 / _checks.whole_number(n, "n") + 1 / _checks.whole_number(m, "m")
    return float(spread * stats.chi2.isf(alpha, _checks.whole_number(bins, "bins", 2) - 1))


def mmd_test(reference, current, permutations=200, random_state=None):
    """The maximum mean discrepancy of two tables of numbers, and its permutation p-value.

    The unbiased estimate of the squared distance of the two mean embeddings under the kernel
    ``exp(-d² / (2 w²))``, d being the distance of two rows whose columns are divided by their
    standard deviations over both tables, and w the median distance of two different rows. Time
    and memory grow with (n + m)².

    Parameters
    ----------
    reference, current : array-like of shape (n, k) and (m, k)
        Finite numbers, at least 2 rows each.
    permutations : int, default 200
        How often the rows are dealt out anew; p is at least 1 / (permutations + 1).
    random_state : int, numpy Generator or None

    Returns
    -------
    statistic, p : float

    Raises
    ------
    ValueError
        If a table has missing or infinite values, fewer than 2 rows, other columns than the
        other table, or an argument is out of range.

    References
    ----------
    Chapter 16, A test for all columns together. A. Gretton et al., "A kernel two-sample test",
    Journal of Machine Learning Research (2012).

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.monitoring import mmd_test
    >>> X = np.random.default_rng(0).normal(size=(80, 2))
    >>> statistic, p = mmd_test(X[:40], X[40:] + [0, 1], random_state=0)
    >>> p < 0.01
    True
    """
    old, new = _matrices(reference, current)
    _checks.whole_number(permutations, "permutations")
    rng = _checks.generator(random_state)
    n, m = len(old), len(new)
    X = _standardised(np.concatenate([old, new]))
    apart = pdist(X)
    width = np.median(apart[apart > 0]) if apart.any() else 1.0
    kernel = squareform(np.exp(-(apart**2) / (2 * width**2)))  # with zeros on the diagonal
    first = np.tile(np.arange(n + m) < n, (permutations + 1, 1))
    first[1:] = rng.permuted(first[1:], axis=1)
    first = first.astype(float)
    inner = (first @ kernel * first).sum(1)
    across = first @ kernel.sum(1) - inner
    outer = kernel.sum() - 2 * across - inner
    distance = inner / (n * (n - 1)) + outer / (m * (m - 1)) - 2 * across / (n * m)
    return float(distance[0]), _permutation_p(distance)


def domain_classifier_test(reference, current, folds=5, permutations=200, random_state=None):
    """How well a classifier tells the two tables apart on rows it has not seen, and a p-value.

    The classifier is least squares with a small ridge on the standardised columns and their
    products, which costs so little that it can be fitted for every permutation at once. The AUC
    is the mean over folds. Folds share training rows, so their AUCs depend on one
    another, and a Mann-Whitney test of all of them together would cry wolf; hence p comes
    from permutations, each with the same folds and models fitted anew.

    Parameters
    ----------
    reference, current : array-like of shape (n, k) and (m, k)
        Finite numbers, at least `folds` rows each.
    folds : int of at least 2, default 5
    permutations : int, default 200
    random_state : int, numpy Generator or None

    Returns
    -------
    auc, p : float
        The area is 1/2 where nothing tells the tables apart.

    Raises
    ------
    ValueError
        If a table has missing or infinite values, too few rows, other columns than the other
        table, or an argument is out of range.

    References
    ----------
    Chapter 16, A test for all columns together. D. Lopez-Paz and M. Oquab, "Revisiting
    classifier two-sample tests", ICLR (2017).

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.monitoring import domain_classifier_test
    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> auc, p = domain_classifier_test(X[:200], X[200:] + [0, 1], random_state=0)
    >>> round(auc, 1), p < 0.01
    (0.8, True)
    """
    old, new = _matrices(reference, current)
    _checks.whole_number(permutations, "permutations")
    if min(len(old), len(new)) < _checks.whole_number(folds, "folds", 2):
        raise ValueError(f"folds must be at most the rows of the smaller table, got {folds}")
    rng = _checks.generator(random_state)
    X = _standardised(np.concatenate([old, new]))
    i, j = np.triu_indices(X.shape[1])
    X = np.column_stack([np.ones(len(X)), X, X[:, i] * X[:, j]])
    labels = np.tile(np.repeat([0.0, 1.0], [len(old), len(new)]), (permutations + 1, 1))
    fold = np.concatenate([rng.permutation(len(part)) % folds for part in (old, new)])
    for k in range(folds):  # dealt out within the folds, so that each keeps its two classes
        labels[1:, fold == k] = rng.permuted(labels[1:, fold == k], axis=1)
    auc = np.zeros(permutations + 1)
    for k in range(folds):
        out = fold == k
        auc += _fold_areas(X[~out], labels[:, ~out], X[out], labels[:, out]) / folds
    return float(auc[0]), _permutation_p(auc)


def _fold_areas(X, labels, X_test, labels_test):
    """One area for each row of labels: the classifiers are fitted on X and judged on X_test."""
    ridge = 1e-3 * len(X) * np.eye(X.shape[1])
    scores = X_test @ np.linalg.solve(X.T @ X + ridge, X.T @ labels.T)
    ranks = stats.rankdata(scores.T, axis=1)
    n_new = labels_test.sum(1)
    n_old = labels_test.shape[1] - n_new
    return ((ranks * labels_test).sum(1) - n_new * (n_new + 1) / 2) / (n_new * n_old)


def correct_p_values(p, method="holm"):
    """The p-values of many tests, corrected so that they may be read together.

    Parameters
    ----------
    p : array-like of shape (n,)
        In [0, 1].
    method : {"holm", "benjamini-hochberg", "none"}, default "holm"
        Holm bounds the probability of *any* false alarm, whatever the dependence; Benjamini and
        Hochberg bound the expected *share* of false ones among the alarms.

    Returns
    -------
    array of shape (n,), in [0, 1]

    Raises
    ------
    ValueError
        If p is empty, missing or out of range, or the method unknown.

    References
    ----------
    Chapter 16, Many columns at once. S. Holm, Scandinavian Journal of Statistics (1979);
    Y. Benjamini and Y. Hochberg, Journal of the Royal Statistical Society B (1995).

    Examples
    --------
    >>> from mlsys_helpers.monitoring import correct_p_values
    >>> correct_p_values([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    >>> correct_p_values([0.01, 0.04, 0.03], "benjamini-hochberg").tolist()
    [0.03, 0.04, 0.04]
    """
    p = _checks.numbers(p, "p", low=0, high=1)
    _checks.one_of(method, "method", ("holm", "benjamini-hochberg", "none"))
    if method == "benjamini-hochberg":
        return stats.false_discovery_control(p)
    if method == "none":
        return p
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(corrected, 1)


def detect_shift(reference, current, *, correction="holm", alpha=0.05, min_effect=0.1):
    """Test every column of a window against the reference, most shifted first.

    Numbers are compared by the test of Kolmogorov and Smirnov; categories by a chi-square,
    those with an expected count below 5 taken together; the share of missing values, where
    there are any, by Fisher's test in a row of its own. A column without a single value on one
    side has that row only. Infinite values are values, larger or smaller than all others.

    Parameters
    ----------
    reference, current : DataFrame
        The same columns, in any order, at least one row.
    correction : {"holm", "benjamini-hochberg", "none"}, default "holm"
        See `correct_p_values`.
    alpha : float in (0, 1), default 0.05
    min_effect : float in [0, 1], default 0.1
        A shift is reported if it is significant *and* at least this large.

    Returns
    -------
    DataFrame
        ``feature``, ``part`` ("values" or "missing"), ``test``, ``p``, ``p_corrected``;
        ``effect`` in [0, 1], the largest difference between the two sides in the probability of
        being at most some number, of a set of categories, or of being missing; ``psi`` and
        ``js`` (Jensen-Shannon distance to base 2, in [0, 1]) in the bins of `psi`; ``new``, the
        share of categories never seen in the reference; ``shifted``.

    Raises
    ------
    ValueError
        If a table is empty, the columns differ, one holds numbers on one side only, or an
        argument is out of range.
    TypeError
        If one is not a DataFrame.

    References
    ----------
    Chapter 16, Many columns at once. S. Rabanser, S. Günnemann and Z. Lipton, "Failing loudly",
    NeurIPS (2019).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.monitoring import detect_shift
    >>> old = pd.DataFrame({"km": range(100), "carrier": ["AA", "UA"] * 50})
    >>> new = pd.DataFrame({"km": range(60, 160), "carrier": ["AA", "UA"] * 50})
    >>> detect_shift(old, new)[["feature", "effect", "shifted"]].values.tolist()
    [['km', 0.6, True], ['carrier', 0.0, False]]
    """
    _tables(reference, current)
    _checks.number(alpha, "alpha", 0, 1, open_low=True, open_high=True)
    _checks.number(min_effect, "min_effect", 0, 1)
    rows = []
    for name in reference.columns:
        gone = [frame[name].isna().to_numpy() for frame in (reference, current)]
        if gone[0].any() or gone[1].any():
            difference = abs(gone[1].mean() - gone[0].mean())
            row = {"feature": name, "part": "missing", "test": "Fisher", "p": _fisher(*gone)}
            rows.append(row | {"effect": difference})
        if not (gone[0].all() or gone[1].all()):
            old, new = (_present(frame[name], name) for frame in (reference, current))
            _same_kind(old, new, name)
            rows.append({"feature": name, "part": "values"} | _compare(old, new))
    columns = ["feature", "part", "test", "p", "p_corrected", "effect", "psi", "js", "new"]
    table = pd.DataFrame(rows, columns=columns)
    if len(table):
        table["p_corrected"] = correct_p_values(table["p"], correction)
    table["shifted"] = (table["p_corrected"] < alpha) & (table["effect"] >= min_effect)
    return table.sort_values(["effect", "p"], ascending=[False, True], ignore_index=True)


def _compare(old, new):
    """The row of `detect_shift` for two columns of values."""
    counts = np.array(_binned(old, new, None, 10))
    shares = counts / counts.sum(1, keepdims=True)
    row = {"psi": float(_psi_of_counts(*counts)), "js": float(jensenshannon(*shares, base=2))}
    if old.dtype.kind == "f":
        test = stats.ks_2samp(old, new)
        return row | {"test": "KS", "p": test.pvalue, "effect": test.statistic}
    rare = counts.sum(0) * counts.sum(1).min() / counts.sum() < 5
    pooled = np.column_stack([counts[:, ~rare], counts[:, rare].sum(1)])
    pooled = pooled[:, pooled.sum(0) > 0]
    p = stats.chi2_contingency(pooled, correction=False).pvalue if pooled.shape[1] > 1 else 1.0
    effect = abs(shares[0] - shares[1]).sum() / 2
    new_share = shares[1, counts[0] == 0].sum()
    return row | {"test": "chi-square", "p": p, "effect": effect, "new": new_share}


def shift_over_time(reference, current, time, width, every=None, *, cumulative=False, min_rows=30):
    """`detect_shift` for one window of time after the other.

    Parameters
    ----------
    reference, current : DataFrame
    time : array-like of shape (m,)
        When each current row came; in any order, none missing.
    width : str or Timedelta
        How long a window is: "1h", "1D", "28D".
    every : str or Timedelta, optional
        How often a window ends; by default every `width`, so that windows lie side by side.
        Less makes them slide.
    cumulative : bool, default False
        If True, every window begins at the first row instead.
    min_rows : int, default 30
        Windows with fewer rows are left out.

    Returns
    -------
    DataFrame
        The columns of `detect_shift`, with p-values corrected within each window, and before
        them ``window``, its end (not included), and ``rows``.

    Raises
    ------
    ValueError
        If an argument is out of range, a time is missing, or no window has enough rows.

    References
    ----------
    Chapter 16, Windows.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.monitoring import shift_over_time
    >>> time = pd.date_range("2013-01-01", periods=96, freq="h")
    >>> old, new = pd.DataFrame({"hour": time.hour}), pd.DataFrame({"hour": time.hour})
    >>> shift_over_time(old, new, time, "1D", min_rows=24)["effect"].tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    _tables(reference, current)
    _checks.whole_number(min_rows, "min_rows")
    time = _times(time, len(current))
    width = _length(width, "width")
    every = width if every is None else _length(every, "every")
    order = np.argsort(time, kind="stable")
    first = time.min().floor(every)
    ends = pd.date_range(first + every, time.max().floor(every) + every, freq=every)
    stop = time[order].searchsorted(ends)
    start = np.zeros_like(stop) if cumulative else time[order].searchsorted(ends - width)
    tables = []
    for a, b, end in zip(start, stop, ends, strict=True):
        if b - a >= min_rows and (cumulative or end - width >= first):
            table = detect_shift(reference, current.iloc[order[a:b]])
            table.insert(0, "window", end)
            table.insert(1, "rows", b - a)
            tables.append(table)
    if not tables:
        raise ValueError(f"min_rows={min_rows} is more than any window of {width} holds")
    return pd.concat(tables, ignore_index=True)


def plot_shift_over_time(table, ax=None):
    """Draw a map of shift: a row for each feature, the most shifted on top, time to the right.

    Parameters
    ----------
    table : DataFrame
        From `shift_over_time`.
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If table lacks a column.
    TypeError
        If table is not a DataFrame.

    References
    ----------
    Chapter 16, Windows.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.monitoring import plot_shift_over_time, shift_over_time
    >>> time = pd.date_range("2013-01-01", periods=96, freq="h")
    >>> frame = pd.DataFrame({"day": time.day, "hour": time.hour})
    >>> ax = plot_shift_over_time(shift_over_time(frame, frame, time, "1D", min_rows=24))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['hour', 'day']
    """
    _table(table, "table")
    for name in ("window", "feature", "part", "effect"):
        _column(table, name, "table")
    name = table["feature"].astype(str) + np.where(table["part"] == "missing", " (missing)", "")
    grid = table.assign(name=name).pivot_table(index="name", columns="window", values="effect")
    grid = grid.loc[grid.mean(axis=1).sort_values(kind="stable").index]
    ax = get_axes(ax, figsize=(9, 1 + 0.32 * len(grid)))
    image = ax.pcolormesh(grid, cmap="Blues", vmin=0)
    ax.figure.colorbar(image, ax=ax, label="effect")
    ax.set_yticks(np.arange(len(grid)) + 0.5, grid.index)
    step = 1 + grid.shape[1] // 8
    days = [f"{end:%d %b}" for end in grid.columns]
    ax.set_xticks(np.arange(0, len(days), step) + 0.5, days[::step])
    ax.set_xlabel("end of the window")
    ax.grid(False)
    return ax


# --- Monitoring ---------------------------------------------------------------------------------


def infer_schema(reference, bins=10):
    """What each column should hold, drafted from data that is known to be good; then edit it.

    Parameters
    ----------
    reference : DataFrame
        Every column with at least one value.
    bins : int of at least 2, default 10

    Returns
    -------
    dict
        Column → ``{"kind": "number", "low": …, "high": …, "edges": […]}``, with the range seen
        and the cuts of `psi`, or ``{"kind": "category", "values": […]}``. It can be kept as JSON.

    Raises
    ------
    ValueError
        If the table is empty, a column has no finite value, or bins is below 2.
    TypeError
        If reference is not a DataFrame.

    References
    ----------
    Chapter 16, Monitoring. E. Breck et al., "Data validation for machine learning", MLSys (2019).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.monitoring import infer_schema
    >>> schema = infer_schema(pd.DataFrame({"carrier": ["UA", "AA"], "distance": [100, 900]}))
    >>> schema["carrier"]
    {'kind': 'category', 'values': ['AA', 'UA']}
    >>> schema["distance"]["high"]
    900.0
    """
    _table(reference, "reference")
    _checks.whole_number(bins, "bins", 2)
    schema = {}
    for name in reference.columns:
        values = _present(reference[name], name)
        if values.dtype.kind == "f":
            values = values[np.isfinite(values)]
            if not len(values):
                raise ValueError(f"{name} holds no finite value")
            edges = _edges(values, bins).tolist()
            low, high = float(values.min()), float(values.max())
            schema[name] = {"kind": "number", "low": low, "high": high, "edges": edges}
        else:
            schema[name] = {"kind": "category", "values": sorted(set(values))}
    return schema


class FeatureProfile:
    """What a monitor remembers of one column: sums that can be added up, and no rows.

    Parameters
    ----------
    spec : dict
        One entry of a schema, as `infer_schema` makes them.

    Attributes
    ----------
    rows, missing, wrong_type, infinite, out_of_range : int
        ``wrong_type`` counts text where numbers belong, and numbers where categories do;
        ``out_of_range`` finite numbers outside low and high, and categories not in values.
    count, mean, m2, minimum, maximum
        Of the finite numbers: how many, their mean, the sum of the squared distances from it,
        and their range.
    counts : array of int
        Rows in each bin (infinite numbers in the outer ones), or of each category and, last, of
        all others.

    Raises
    ------
    ValueError
        If spec is not an entry of a schema.

    References
    ----------
    Chapter 16, Monitoring. T. F. Chan, G. H. Golub and R. J. LeVeque, "Updating formulae and a
    pairwise algorithm for computing sample variances" (1979).

    Examples
    --------
    >>> from mlsys_helpers.monitoring import FeatureProfile
    >>> age = {"kind": "number", "low": 0, "high": 120, "edges": [18, 65]}
    >>> left = FeatureProfile(age).update([30, -5, None])
    >>> whole = left.merge(FeatureProfile(age).update([80, "unknown"]))
    >>> whole.rows, whole.missing, whole.wrong_type, whole.out_of_range, whole.counts.tolist()
    (5, 1, 1, 1, [1, 1, 1])
    """

    _TOTALS = ("rows", "missing", "wrong_type", "infinite", "out_of_range", "count")

    def __init__(self, spec):
        kind = spec.get("kind") if isinstance(spec, dict) else None
        needed = {"number": ("low", "high", "edges"), "category": ("values",)}
        if kind not in needed or any(key not in spec for key in needed[kind]):
            raise ValueError(f"spec must be an entry of a schema, got {spec!r}")
        if kind == "number":
            _checks.number(spec["high"], "high", _checks.number(spec["low"], "low"))
        elif len(set(spec["values"])) < len(spec["values"]):
            raise ValueError(f"values must differ, got {spec['values']!r}")
        bins = len(_rising(spec["edges"])) if kind == "number" else len(spec["values"])
        self.spec = spec
        self.rows = self.missing = self.wrong_type = self.infinite = self.out_of_range = 0
        self.count, self.mean, self.m2 = 0, 0.0, 0.0
        self.minimum, self.maximum = np.inf, -np.inf
        self.counts = np.zeros(bins + 1, dtype=int)

    def update(self, values):
        """Add the values of a batch, of any length, and return the profile itself."""
        values = pd.Series(values, dtype=None if len(values) else float).reset_index(drop=True)
        present = values.dropna()
        self.rows += len(values)
        self.missing += len(values) - len(present)
        (self._add_numbers if self.spec["kind"] == "number" else self._add_categories)(present)
        return self

    def _add_numbers(self, present):
        numeric = _are_numbers(present)
        self.wrong_type += int((~numeric).sum())
        x = present[numeric].to_numpy(dtype=float)
        codes = np.searchsorted(self.spec["edges"], x, side="right")
        self.counts += np.bincount(codes, minlength=len(self.counts))
        x = x[np.isfinite(x)]
        self.infinite += int(numeric.sum()) - len(x)
        self.out_of_range += int(((x < self.spec["low"]) | (x > self.spec["high"])).sum())
        if len(x):
            mean = x.mean()
            self._add_moments(len(x), mean, ((x - mean) ** 2).sum(), x.min(), x.max())

    def _add_categories(self, present):
        numeric = _are_numbers(present)
        self.wrong_type += int(numeric.sum())
        codes = pd.Index(self.spec["values"]).get_indexer(present[~numeric].astype(str))
        self.counts += np.bincount(codes % len(self.counts), minlength=len(self.counts))
        self.out_of_range += int((codes < 0).sum())

    def _add_moments(self, count, mean, m2, minimum, maximum):
        total, apart = self.count + count, mean - self.mean
        if total:
            self.m2 += float(m2 + apart**2 * self.count * count / total)
            self.mean += float(apart * count / total)
        self.count = total
        self.minimum, self.maximum = min(self.minimum, minimum), max(self.maximum, maximum)

    def merge(self, other):
        """A new profile of the rows of both; the schema entries must be the same."""
        if not isinstance(other, FeatureProfile) or other.spec != self.spec:
            raise ValueError("other must be a FeatureProfile of the same schema entry")
        merged = FeatureProfile(self.spec)
        for part in (self, other):
            for name in self._TOTALS[:-1]:
                setattr(merged, name, getattr(merged, name) + getattr(part, name))
            merged.counts = merged.counts + part.counts
            merged._add_moments(part.count, part.mean, part.m2, part.minimum, part.maximum)
        return merged

    def to_json(self):
        """All that the profile holds, as text, to be read back by `from_json`."""
        state = {key: value for key, value in vars(self).items() if key != "counts"}
        return json.dumps(state | {"counts": self.counts.tolist()})

    @classmethod
    def from_json(cls, text):
        """The profile that `to_json` wrote."""
        try:
            state = json.loads(text)
            profile = cls(state["spec"])
            counts = np.array(state["counts"], dtype=int)
            if set(state) != set(vars(profile)) or counts.shape != profile.counts.shape:
                raise ValueError("it holds other fields, or other bins")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"text must be what to_json wrote, got {text!r:.60}: {error}"
            ) from None
        vars(profile).update(state | {"counts": counts})
        return profile


def alert_episodes(values, enter, leave, *, k=2, n=3):
    """When an alert is raised and when it ends: one episode each, however long it lasts.

    Parameters
    ----------
    values : array-like of shape (w,)
        A signal, window after window; where it is NaN the window is passed over.
    enter, leave : float
        The alert is raised once k of the last n windows are at `enter` or above, and ends once n
        windows in a row are below `leave`, which is at most `enter` (hysteresis).
    k, n : int, default 2 and 3

    Returns
    -------
    list of (int, int or None)
        The windows in which it was raised and ended; None while it lasts.

    Raises
    ------
    ValueError
        If values are no numbers in one dimension, k is above n, or leave above enter.

    References
    ----------
    Chapter 16, Alerts that do not cry wolf.

    Examples
    --------
    >>> from mlsys_helpers.monitoring import alert_episodes
    >>> alert_episodes([0, 0.9, 0, 0.3, 0.3, 0.15, 0.3, 0, 0, 0], enter=0.2, leave=0.1)
    [(3, 9)]
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"values must have one dimension, got {values.ndim}")
    if _checks.whole_number(k, "k") > _checks.whole_number(n, "n"):
        raise ValueError(f"k must be at most n, got k={k} and n={n}")
    if _checks.number(leave, "leave") > _checks.number(enter, "enter"):
        raise ValueError(f"leave must be at most enter, got leave={leave} and enter={enter}")
    episodes, raised, recent, quiet = [], None, [], 0
    for window in np.flatnonzero(~np.isnan(values)).tolist():
        if raised is None:
            recent = [*recent, values[window] >= enter][-n:]
            if sum(recent) >= k:
                raised, quiet = window, 0
        else:
            quiet = quiet + 1 if values[window] < leave else 0
            if quiet == n:
                episodes.append((raised, window))
                raised, recent = None, []
    return episodes if raised is None else [*episodes, (raised, None)]


class Monitor:
    """Watch a table that comes in batches: profiles by window, signals, and alerts.

    Parameters
    ----------
    schema : dict
        As `infer_schema` makes it.
    reference : DataFrame
        Data known to be good, with the columns of the schema.
    window : str or Timedelta, default "1D"
    enter : float or dict, default 0.2
        The PSI at which a window counts towards an alert; a dict gives it by feature.
    share : float in (0, 1], default 0.05
        The same for the change of the missing share, and for the invalid share.
    k, n : int, default 2 and 3
        See `alert_episodes`; a signal is calm again below half of its limit.
    min_rows : int, default 200
        Windows with fewer rows raise and end no alert.

    Attributes
    ----------
    windows : dict
        Start of a window → column → `FeatureProfile`.

    Raises
    ------
    ValueError
        If an argument is out of range, a column is missing or doubled, or times with a time zone
        follow such without.

    References
    ----------
    Chapter 16, Monitoring.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.monitoring import Monitor, infer_schema
    >>> time = pd.date_range("2013-01-01", periods=240, freq="h")
    >>> good = pd.DataFrame({"hour": time.hour})
    >>> monitor = Monitor(infer_schema(good), good, min_rows=24)
    >>> for day, batch in good.assign(hour=good["hour"] + 12 * (time.day > 5)).groupby(time.day):
    ...     _ = monitor.update(batch, time[time.day == day])
    >>> monitor.alerts()[["feature", "signal", "raised"]].astype(str).values.tolist()
    [['hour', 'psi', '2013-01-07'], ['hour', 'invalid', '2013-01-07']]
    """

    def __init__(
        self, schema, reference, window="1D", *, enter=0.2, share=0.05, k=2, n=3, min_rows=200
    ):
        _table(reference, "reference")
        if not isinstance(schema, dict) or not schema:
            raise ValueError(f"schema must be a dict with at least one column, got {schema!r}")
        self.schema, self.window = schema, _length(window, "window")
        self.share = _checks.number(share, "share", 0, 1, open_low=True)
        self.enter = {name: enter for name in schema} if not isinstance(enter, dict) else enter
        for name in schema:
            _checks.number(self.enter.get(name), f"enter[{name!r}]", 0, open_low=True)
        self.rule, self.min_rows = {"k": k, "n": n}, _checks.whole_number(min_rows, "min_rows")
        alert_episodes([], 1, 1, **self.rule)  # refuses a rule that cannot be
        self.reference = {
            name: FeatureProfile(spec).update(_column(reference, name, "reference"))
            for name, spec in schema.items()
        }
        self.windows = {}

    def update(self, batch, time):
        """Add a batch of rows, in any order of time, late ones too, and return the monitor itself.

        A column that is not in the schema is passed over; one that is missing is refused.
        """
        _table(batch, "batch")
        columns = {name: _column(batch, name, "batch") for name in self.schema}
        starts = _times(time, len(batch)).floor(self.window)
        for seen in list(self.windows)[:1]:
            if (seen.tz is None) != (starts.tz is None):
                raise ValueError("time must have a time zone in all batches, or in none")
        for start, rows in pd.Series(range(len(batch))).groupby(starts):
            profiles = self.windows.setdefault(start, {})
            for name, values in columns.items():
                profile = profiles.setdefault(name, FeatureProfile(self.schema[name]))
                profile.update(values.iloc[rows.to_numpy()])
        return self

    def signals(self):
        """A row for each window and feature, in the order of time.

        ``rows``; ``psi`` against the reference (NaN where a window has no value); ``missing``,
        the change of the missing share, either way; ``invalid``, the share of wrong type, out of
        range or infinite; ``mean`` (NaN for categories).
        """
        table = []
        for start in sorted(self.windows):
            for name, profile in self.windows[start].items():
                usual = self.reference[name]
                bad = profile.wrong_type + profile.infinite + profile.out_of_range
                missing = profile.missing / profile.rows - usual.missing / usual.rows
                both = profile.counts.sum() and usual.counts.sum()
                value = _psi_of_counts(usual.counts, profile.counts) if both else np.nan
                mean = profile.mean if profile.count else np.nan
                row = (start, name, profile.rows, value, abs(missing), bad / profile.rows, mean)
                table.append(row)
        columns = ["window", "feature", "rows", "psi", "missing", "invalid", "mean"]
        return pd.DataFrame(table, columns=columns)

    def alerts(self):
        """A row for each alert, in the order in which they were raised.

        ``feature``, ``signal``; ``raised`` and ``ended``, the windows of it (NaT while it lasts);
        ``worst``, the largest value of the signal meanwhile.
        """
        found = []
        for name, table in self.signals().groupby("feature", sort=False):
            table = table.reset_index(drop=True)
            enter = {"psi": self.enter[name], "missing": self.share, "invalid": self.share}
            for signal, high in enter.items():
                values = table[signal].where(table["rows"] >= self.min_rows)
                for first, last in alert_episodes(values, high, high / 2, **self.rule):
                    ended = pd.NaT if last is None else table["window"][last]
                    worst = values[first:last].max()
                    found.append((name, signal, table["window"][first], ended, worst))
        columns = ["feature", "signal", "raised", "ended", "worst"]
        table = pd.DataFrame(found, columns=columns)
        table["raised"], table["ended"] = map(pd.to_datetime, (table["raised"], table["ended"]))
        return table.sort_values("raised", kind="stable", ignore_index=True)

    def collect(self):
        """What prometheus_client asks of a collector: the latest window, and the open alerts."""
        from prometheus_client.core import GaugeMetricFamily

        signals, alerts = self.signals(), self.alerts()
        latest = signals[signals["window"] == signals["window"].max()]
        for name in ("rows", "psi", "missing", "invalid"):
            text = f"Of the latest window: {name}, as the monitor defines it."
            gauge = GaugeMetricFamily(f"mlsys_feature_{name}", text, labels=["feature"])
            for feature, value in zip(latest["feature"], latest[name], strict=True):
                gauge.add_metric([str(feature)], value)
            yield gauge
        gauge = GaugeMetricFamily("mlsys_alert", "1 while it lasts.", labels=["feature", "signal"])
        for _, alert in alerts[alerts["ended"].isna()].iterrows():
            gauge.add_metric([str(alert["feature"]), alert["signal"]], 1)
        yield gauge


# --- Observability ------------------------------------------------------------------------------


def explain_shift(reference, current, by, time=None, min_rows=100, top=10):
    """From alert to cause: which feature, in which slice of the rows, since when.

    Every feature is compared in all rows, in each value of each column of `by`, and in each pair
    of values. What ranks them is ``strength``, effect · sqrt(n m / (n + m)) for n and m rows: a
    slice that is too wide dilutes the effect, one that is too narrow has fewer rows, and the
    slice that holds just what changed comes first.

    Parameters
    ----------
    reference, current : DataFrame
        The same columns; features are all but `time`.
    by : list of str
        Columns to slice by.
    time : str, optional
        A column of times, in any order, none missing.
    min_rows : int, default 100
        Slices with fewer rows on either side are left out.
    top : int, default 10

    Returns
    -------
    DataFrame of at most `top` rows, the strongest first
        ``feature``; ``slice`` ("all rows" or "column=value, column=value"); ``rows``, current
        ones; ``effect`` in [0, 1], the largest difference of the distribution functions over
        the bins of `psi`, with what is missing below all numbers, or the largest change of one
        category's share; ``strength``; with `time`, ``since``: when the rows of the slice, of
        both tables, fall apart most clearly into before and after.

    Raises
    ------
    ValueError
        If the columns differ, one of `by` or `time` is not there, or no slice has enough rows.
    TypeError
        If a table is not a DataFrame.

    References
    ----------
    Chapter 16, Observability. F. Abuzaid et al., "DIFF: a relational interface for large-scale
    data explanation", VLDB (2018).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsys_helpers.monitoring import explain_shift
    >>> old = pd.DataFrame({"origin": ["EWR", "JFK"] * 500, "miles": range(1000)})
    >>> new = old.assign(miles=old["miles"].where(old["origin"] == "EWR", 0))
    >>> explain_shift(old, new, by=["origin"])[["feature", "slice"]].values.tolist()[0]
    ['miles', 'origin=JFK']
    """
    _tables(reference, current)
    _checks.whole_number(min_rows, "min_rows")
    _checks.whole_number(top, "top")
    if isinstance(by, str) or not len(by):
        raise ValueError(f"by must be a list of columns, got {by!r}")
    both = pd.concat([reference, current], ignore_index=True)
    for name in [*by, *([] if time is None else [time])]:
        _column(both, name, "reference")
    is_new = np.arange(len(both)) >= len(reference)
    bins = {name: _all_codes(both[name], is_new, name) for name in both.columns if name != time}
    found = []
    for label, names, rows in _slices(both, by):
        new = is_new[rows]
        n, m = (~new).sum(), new.sum()
        if min(n, m) < min_rows:
            continue
        for feature, (codes, size, ordered) in bins.items():
            if feature not in names:
                inside = codes[rows]
                p = np.bincount(inside[~new], minlength=size) / n
                q = np.bincount(inside[new], minlength=size) / m
                effect = _largest_difference(p, q, ordered)
                strength = effect * np.sqrt(n * m / (n + m))
                found.append((feature, label, m, effect, strength, rows))
    if not found:
        raise ValueError(f"min_rows={min_rows} is more than any slice holds on both sides")
    columns = ["feature", "slice", "rows", "effect", "strength", "members"]
    table = pd.DataFrame(found, columns=columns)
    table = table.sort_values("strength", ascending=False, kind="stable", ignore_index=True)
    table = table.head(top)
    if time is not None:
        times = _times(both[time], len(both))
        since = []
        for feature, rows in zip(table["feature"], table["members"], strict=True):
            rows = rows[np.argsort(times[rows], kind="stable")]
            since.append(times[rows[_change_point(rows, *bins[feature])]])
        table["since"] = since
    return table.drop(columns="members")


def _change_point(rows, codes, size, ordered):
    """The row at which those before and those after differ most clearly."""
    before = np.cumsum(np.eye(size)[codes[rows]], axis=0)[:-1]
    n = np.arange(1, len(rows))[:, None]
    after = (before[-1] + np.eye(size)[codes[rows[-1]]] - before) / (len(rows) - n)
    difference = _largest_difference(before / n, after, ordered)
    return 1 + int(np.argmax(difference * np.sqrt(n[:, 0] * (len(rows) - n[:, 0]))))


def _largest_difference(old, new, ordered):
    difference = np.cumsum(new - old, axis=-1) if ordered else new - old
    return abs(difference).max(-1)


def _slices(frame, by):
    """All rows, those of each value of each column, and of each pair of values."""
    yield "all rows", (), np.arange(len(frame))
    for names in [*((name,) for name in by), *combinations(by, 2)]:
        groups = frame.groupby(list(names), observed=True, dropna=False)
        for values, part in groups[names[0]]:
            label = ", ".join(f"{n}={v}" for n, v in zip(names, values, strict=True))
            yield label, names, part.index.to_numpy()


def _all_codes(values, is_new, name):
    """The bin of each row, 0 if missing; the number of bins; whether they have an order."""
    here = values.notna().to_numpy()
    codes = np.zeros(len(values), dtype=int)
    if not here.any():
        return codes, 1, True
    present = _present(values, name)
    if present.dtype.kind != "f":
        codes[here] = 1 + pd.factorize(present)[0]
        return codes, codes.max() + 1, False
    old = present[~is_new[here]]
    edges = _edges(old if len(old) else present, 20)
    codes[here] = 1 + np.searchsorted(edges, present, side="right")
    return codes, len(edges) + 2, True


def write_dashboard(monitor, path, title="Monitor"):
    """Write one page that shows a monitor to people: alerts, and each feature over time.

    Parameters
    ----------
    monitor : Monitor
        With at least one window.
    path : str or Path
        Of the HTML file, which needs neither network nor other files.
    title : str

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If the monitor has seen nothing.
    TypeError
        If monitor is not a Monitor.

    References
    ----------
    Chapter 16, Metrics for machines, a page for people.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from mlsys_helpers.monitoring import Monitor, infer_schema, write_dashboard
    >>> good = pd.DataFrame({"hour": range(24)})
    >>> monitor = Monitor(infer_schema(good), good)
    >>> monitor = monitor.update(good, pd.date_range("2013-01-01", periods=24, freq="h"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_dashboard(monitor, f"{folder}/page.html").read_text()
    >>> page.count("<svg")
    1
    """
    if not isinstance(monitor, Monitor):
        raise TypeError(f"monitor must be a Monitor, got {type(monitor).__name__}")
    signals, alerts = monitor.signals(), monitor.alerts()
    if signals.empty:
        raise ValueError("monitor has seen nothing yet")
    seen, rows = signals["window"], signals.groupby("window")["rows"].first().sum()
    cards = {"rows": rows, "windows": seen.nunique(), "features": signals["feature"].nunique()}
    cards |= {"alerts": len(alerts), "still open": alerts["ended"].isna().sum()}
    shown = alerts.assign(worst=alerts["worst"].round(2), ended=alerts["ended"].dt.date)[::-1]
    shown["ended"] = shown["ended"].astype(str).replace("NaT", "still open")
    lines = []
    for name, table in signals.groupby("feature", sort=False):
        chart = _sparkline(table, alerts[alerts["feature"] == name], monitor.enter[name])
        now = table.iloc[-1]
        cells = [html.escape(str(name)), chart, f"{now['psi']:.2f}", f"{table['psi'].max():.2f}"]
        cells += [f"{now['missing']:.1%}", f"{now['invalid']:.1%}"]
        lines.append("<tr><td>" + "</td><td>".join(cells) + "</td></tr>")
    page = _PAGE.format(
        title=html.escape(title),
        span=f"{seen.min():%d %b %Y} to {seen.max():%d %b %Y}",
        cards="".join(f"<div><b>{value:,}</b>{name}</div>" for name, value in cards.items()),
        alerts=shown.to_html(index=False, border=0),
        lines="".join(lines),
        **COLORS,
    )
    Path(path).write_text(page, encoding="utf-8")
    return Path(path)


def _sparkline(table, alerts, enter, width=420, height=44):
    """PSI by window as an SVG: the line, the threshold dashed, alerts shaded."""
    start, end = table["window"].min(), table["window"].max()
    span = max((end - start) / pd.Timedelta("1s"), 1)
    top = max(table["psi"].max(), 1.5 * enter)

    def x(moment):
        return width * ((end if pd.isna(moment) else moment) - start).total_seconds() / span

    def y(value):
        return height - 2 - (height - 4) * value / top

    bands = "".join(
        f'<rect x="{x(a["raised"]):.1f}" y="0" height="{height}" '
        f'width="{max(x(a["ended"]) - x(a["raised"]), 2):.1f}" class="alert"/>'
        for _, a in alerts.iterrows()
    )
    points = table.dropna(subset="psi")
    line = " ".join(
        f"{x(t):.1f},{y(v):.1f}" for t, v in zip(points["window"], points["psi"], strict=True)
    )
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}">{bands}'
        f'<line x1="0" x2="{width}" y1="{y(enter):.1f}" y2="{y(enter):.1f}" class="enter"/>'
        f'<polyline points="{line}"/></svg>'
    )


_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
.monitor {{ font: 15px/1.45 system-ui, sans-serif; max-width: 900px; margin: 24px auto }}
.monitor {{ color: {black} }} .monitor h1 {{ margin: 0 }} .monitor h2 {{ margin: 28px 0 8px }}
.monitor p {{ color: {grey}; margin: 0 }} .cards {{ display: flex; gap: 12px; margin-top: 16px }}
.cards div {{ flex: 1; background: {light}; border-radius: 8px; padding: 10px 14px }}
.cards b {{ display: block; font-size: 24px }}
.monitor table {{ border-collapse: collapse; width: 100% }}
.monitor th, .monitor td {{ text-align: left; padding: 4px 8px; border-bottom: 1px solid {light} }}
.monitor polyline {{ fill: none; stroke: {blue}; stroke-width: 1.6 }}
.enter {{ stroke: {grey}; stroke-dasharray: 4 4 }} .alert {{ fill: {red}; opacity: .25 }}
</style></head><body><div class="monitor"><h1>{title}</h1><p>{span}</p>
<div class="cards">{cards}</div>
<h2>Alerts, the latest first</h2>{alerts}
<h2>Features</h2><p>Line: PSI by window. Dashed: its limit. Shaded: an alert of any kind.</p>
<table><tr><th>feature</th><th>PSI over time</th><th>last</th><th>worst</th><th>missing, change</th>
<th>invalid</th></tr>{lines}</table></div></body></html>
"""


# --- What all of them share ---------------------------------------------------------------------


def _psi_of_counts(reference, current):
    """PSI from counts; the last axis holds the bins."""
    empty = (reference == 0) & (current == 0)
    p = np.where(reference == 0, 0.5, reference) / reference.sum(-1, keepdims=True)
    q = np.where(current == 0, 0.5, current) / current.sum(-1, keepdims=True)
    ratio = np.where(empty, 1, q) / np.where(empty, 1, p)
    return ((q - p) * np.log(ratio)).sum(-1)


def _binned(reference, current, edges, bins):
    """The counts of both columns in the same bins."""
    if reference.dtype.kind == "f":
        edges = _edges(reference, bins) if edges is None else _rising(edges)
        codes = [np.searchsorted(edges, values, side="right") for values in (reference, current)]
        return [np.bincount(code, minlength=len(edges) + 1) for code in codes]
    if edges is not None:
        raise ValueError("edges are of no use to categories: leave them out")
    codes = pd.factorize(np.concatenate([reference, current]))[0]
    return [
        np.bincount(part, minlength=codes.max() + 1)
        for part in (codes[: len(reference)], codes[len(reference) :])
    ]


def _edges(reference, bins):
    """The quantiles of the reference; a value that fills more than one is cut on both sides."""
    cuts = np.quantile(reference, np.linspace(0, 1, bins + 1), method="lower")
    values, times = np.unique(cuts, return_counts=True)
    atoms = values[times > 1]
    return np.unique(np.concatenate([cuts[1:-1], atoms, np.nextafter(atoms, np.inf)]))


def _rising(edges):
    edges = _checks.numbers(edges, "edges", finite=False)
    if (np.diff(edges) <= 0).any():
        raise ValueError(f"edges must rise, got {edges.tolist()}")
    return edges


def _present(values, name):
    """The values that are not missing: floats, or text for categories; at least one."""
    if np.ndim(values) != 1:
        raise ValueError(f"{name} must have one dimension, got {np.ndim(values)}")
    series = pd.Series(values).reset_index(drop=True)
    if series.empty:
        raise ValueError(f"{name} is empty")
    series = series.dropna()
    if series.empty:
        raise ValueError(f"{name} holds no value: all are missing")
    if pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series):
        return series.to_numpy(dtype=float)
    kind = pd.api.types.infer_dtype(series, skipna=True)
    if kind not in ("string", "boolean", "categorical", "mixed"):
        raise ValueError(f"{name} must hold numbers or categories, got values of type {kind}")
    return series.astype(str).to_numpy(dtype=object)


def _same_kind(reference, current, name="reference and current"):
    kinds = ["numbers" if part.dtype.kind == "f" else "categories" for part in (reference, current)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"{name} must be of one kind: the reference holds {kinds[0]}, the current column "
            f"{kinds[1]}"
        )


def _are_numbers(present):
    """Which of the values are numbers; a Boolean is none."""
    if pd.api.types.is_bool_dtype(present):
        return np.zeros(len(present), dtype=bool)
    if pd.api.types.is_numeric_dtype(present):
        return np.ones(len(present), dtype=bool)
    return present.map(_checks._is_number).to_numpy(dtype=bool)


def _fisher(old, new):
    """Fisher's exact p for a share in two columns of 0 and 1."""
    return stats.fisher_exact(
        [[part.sum(), len(part) - part.sum()] for part in (old, new)]
    ).pvalue  # fmt: skip


def _permutation_p(statistics):
    """The share of the statistics that are at least the first, which is the observed one."""
    return float((statistics >= statistics[0] - 1e-12).mean())


def _matrices(reference, current):
    old, new = (
        check_array(values, dtype=float, ensure_min_samples=2, input_name=name)
        for values, name in ((reference, "reference"), (current, "current"))
    )
    if old.shape[1] != new.shape[1]:
        raise ValueError(f"current must have {old.shape[1]} columns, got {new.shape[1]}")
    return old, new


def _standardised(X):
    spread = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _table(frame, name):
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{name} must be a DataFrame, got {type(frame).__name__}")
    if not len(frame):
        raise ValueError(f"{name} is empty")


def _tables(reference, current):
    _table(reference, "reference")
    _table(current, "current")
    if not reference.columns.is_unique or set(reference.columns) != set(current.columns):
        odd = sorted(map(str, set(reference.columns) ^ set(current.columns)))
        raise ValueError(f"reference and current must have the same columns, each once: {odd}")


def _column(frame, column, name):
    times = (frame.columns == column).sum()
    if times != 1:
        found = f"{times} columns" if times else "no column"
        raise ValueError(f"{name} has {found} {column!r}, and needs one")
    return frame[column]


def _times(time, length):
    try:
        if pd.api.types.is_numeric_dtype(pd.Series(time)):
            raise TypeError("numbers")
        time = pd.DatetimeIndex(time)
    except (TypeError, ValueError) as error:
        raise ValueError(f"time must hold times, all with a time zone or none: {error}") from None
    if len(time) != length:
        raise ValueError(f"time must have {length} entries, got {len(time)}")
    if time.isna().any():
        raise ValueError(f"time holds {time.isna().sum()} missing values; remove those rows")
    return time


def _length(value, name):
    try:
        length = pd.Timedelta(value)
        if not length > pd.Timedelta(0):
            raise ValueError
        return length
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a length of time above 0, got {value!r}") from None
