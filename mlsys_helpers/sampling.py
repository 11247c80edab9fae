"""Chapter 04: which rows to look at, when you cannot look at all.

In the order of the chapter: non-probability designs, which return row numbers; what judges a
design; probability designs, which also return how likely each row was to be drawn; importance
sampling; reservoirs, which sample a stream that nobody holds.

Throughout, rows are numbered from 0, as in ``frame.iloc[rows]``. ``strata`` are groups of rows:
a column with a label for each row, or, quicker when you draw many times, the dict label → row
numbers that ``frame.groupby(by).indices`` gives.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice, repeat
from operator import length_hint
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from mlsys_helpers import _checks
from mlsys_helpers.plotting import COLORS, get_axes

__all__ = [
    "convenience_sample",
    "snowball_sample",
    "judgement_sample",
    "quota_sample",
    "sampling_error",
    "simple_random_sample",
    "horvitz_thompson",
    "allocate",
    "stratified_sample",
    "stratified_error",
    "weighted_sample",
    "importance_estimate",
    "effective_sample_size",
    "ReservoirSampler",
    "reservoir_sample",
    "WeightedReservoirSampler",
    "weighted_reservoir_sample",
    "plot_sampling_error",
]


# --- Non-probability sampling ----------------------------------------------------------------


def convenience_sample(n_rows, n, random_state=None):
    """Take what is at hand: consecutive rows, from a random place on.

    Parameters
    ----------
    n_rows : int
        Rows of the table that is at hand.
    n : int
        Rows to take, at most n_rows.
    random_state : int, numpy Generator or None
        Where you happen to open the table.

    Returns
    -------
    ndarray of n row numbers, ascending

    Raises
    ------
    ValueError
        If n or n_rows is not a whole number of at least 1, or n exceeds n_rows.

    References
    ----------
    Chapter 04, Convenience.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_flights
    >>> from mlsys_helpers.sampling import convenience_sample
    >>> flights = load_flights()
    >>> rows = convenience_sample(len(flights), 500, random_state=0)
    >>> print(len(flights.iloc[rows][["month", "day"]].drop_duplicates()))  # all from one day
    1
    """
    n_rows, n = _sizes(n_rows, n)
    start = _checks.generator(random_state).integers(n_rows - n + 1)
    return np.arange(start, start + n)


def snowball_sample(graph, seeds, waves, fan_out=None, random_state=None):
    """Follow links from the seeds: the neighbours found in one wave name those of the next.

    Parameters
    ----------
    graph : networkx graph
        Of a directed graph, links are followed forwards.
    seeds : node or iterable of nodes
        Where to begin; each must be in the graph.
    waves : int
        How many times the links are followed, at least 0.
    fan_out : int, optional
        The most new neighbours that each node names, drawn at random. By default all.
    random_state : int, numpy Generator or None

    Returns
    -------
    list of nodes
        In the order of discovery, the seeds first, none twice.

    Raises
    ------
    ValueError
        If seeds is empty or holds a node that is not in the graph, or waves or fan_out is out
        of range.
    TypeError
        If graph has no ``neighbors``, as a networkx graph has.

    References
    ----------
    Chapter 04, Snowball. L. A. Goodman, "Snowball sampling", Annals of Mathematical Statistics
    32 (1961).

    Examples
    --------
    >>> import networkx as nx
    >>> from mlsys_helpers.datasets import load_flights
    >>> from mlsys_helpers.sampling import snowball_sample
    >>> routes = nx.from_pandas_edgelist(load_flights(), "origin", "dest")
    >>> snowball_sample(routes, ["BOS"], waves=1)
    ['BOS', 'JFK', 'EWR', 'LGA']
    """
    if not hasattr(graph, "neighbors"):
        raise TypeError(f"graph must be a networkx graph, got {type(graph).__name__}")
    alone = isinstance(seeds, str) or not isinstance(seeds, Iterable)
    seeds = [seeds] if alone else list(seeds)
    strange = [node for node in seeds if node not in graph]
    if strange or not seeds:
        raise ValueError(f"seeds must be nodes of the graph, got {strange or seeds}")
    _checks.whole_number(waves, "waves", low=0)
    if fan_out is not None:
        _checks.whole_number(fan_out, "fan_out")
    rng = _checks.generator(random_state)

    found = dict.fromkeys(seeds)  # a dict keeps the order
    wave = list(found)
    for _ in range(waves):
        if not wave:  # everything that can be reached is found
            break
        named = []
        for node in wave:
            new = [other for other in graph.neighbors(node) if other not in found]
            new = [new[i] for i in rng.permutation(len(new))[:fan_out]] if fan_out else new
            found.update(dict.fromkeys(new))
            named += new
        wave = named
    return list(found)


def judgement_sample(scores, n, noise=0.0, random_state=None):
    """Take the rows that an expert rates highest.

    Parameters
    ----------
    scores : array-like of shape (n_rows,)
        How fit to be looked at the expert finds each row; finite.
    n : int
        Rows to take.
    noise : float, default 0
        Standard deviation of what experts differ by, in the unit of the scores; at least 0.
    random_state : int, numpy Generator or None

    Returns
    -------
    ndarray of n row numbers, the highest rated first

    Raises
    ------
    ValueError
        If n exceeds the rows, noise is negative, or scores are not finite numbers.

    References
    ----------
    Chapter 04, Judgement.

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.datasets import load_flights
    >>> from mlsys_helpers.sampling import judgement_sample
    >>> late = load_flights().groupby(["month", "day"])["dep_delay"].mean()
    >>> rows = judgement_sample(-np.abs(late - late.median()), 3)  # the most typical days
    >>> late.index[rows].tolist()
    [(12, 28), (11, 26), (8, 18)]
    """
    scores = _checks.numbers(scores, "scores")
    _, n = _sizes(len(scores), n)
    _checks.number(noise, "noise", low=0)
    rated = scores + noise * _checks.generator(random_state).standard_normal(len(scores))
    return np.argsort(-rated, kind="stable")[:n]


def quota_sample(strata, quotas, random_state=None):
    """Take rows as they come, from a random place on, until each stratum's quota is filled.

    Parameters
    ----------
    strata : array-like of shape (n_rows,), or dict
        A label for each row, or label → row numbers.
    quotas : dict or Series
        Label → how many rows, at least 0. Strata without a quota are passed over.
    random_state : int, numpy Generator or None
        Where the interviewer begins; after the last row the first one follows.

    Returns
    -------
    ndarray of row numbers
        Exactly the quota of each stratum, stratum by stratum.

    Raises
    ------
    ValueError
        If a quota cannot be met: the stratum is smaller than it, or does not exist.

    References
    ----------
    Chapter 04, Quota.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_flights
    >>> from mlsys_helpers.sampling import quota_sample
    >>> flights = load_flights()
    >>> rows = quota_sample(flights["origin"], {"EWR": 40, "JFK": 30, "LGA": 30}, random_state=0)
    >>> flights.iloc[rows]["origin"].value_counts().to_dict()
    {'EWR': 40, 'JFK': 30, 'LGA': 30}
    """
    groups = _groups(strata)
    quotas = _counts(quotas, "quotas", groups)
    last = max(rows.max() for rows in groups.values())
    start = _checks.generator(random_state).integers(last + 1)
    taken = []
    for label, quota in quotas.items():
        rows = np.sort(groups[label])
        first = np.searchsorted(rows, start)
        taken.append(rows[(first + np.arange(quota)) % len(rows)])
    return np.concatenate(taken)


def sampling_error(designs, truth, repeats=1000, random_state=0, *, progress=True):
    """Draw again and again by each design: how far off is its estimate, and how?

    Parameters
    ----------
    designs : dict
        Name → function of a numpy Generator that draws one sample and returns its estimate.
    truth : float
        What the estimates should be.
    repeats : int, default 1000
        Samples of each design, at least 2.
    random_state : int, numpy Generator or None
    progress : bool, default True
        Show a bar, a step a sample.

    Returns
    -------
    DataFrame, a row a design, in the unit of the estimates
        ``bias``: mean estimate minus truth. ``spread``: standard deviation of the estimates.
        ``rmse``: root of the mean squared error, whose square is bias² + spread².
        ``bias_error``: the standard error of the bias, as the repeats are finite.

    Raises
    ------
    ValueError
        If designs is empty, a design's estimate is not a finite number, or an argument is out
        of range.
    TypeError
        If a design is not a function.

    References
    ----------
    Chapter 04, Bias, spread and RMSE.

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.sampling import sampling_error
    >>> designs = {"mean of 25": lambda rng: rng.normal(size=25).mean()}  # truly 0 ± 0.2
    >>> sampling_error(designs, truth=0, progress=False)["spread"].round(2).to_dict()
    {'mean of 25': 0.2}
    """
    if not isinstance(designs, Mapping) or not designs:
        raise ValueError(f"designs must be a dict of at least one design, got {designs!r}")
    for name, design in designs.items():
        if not callable(design):
            raise TypeError(f"designs[{name!r}] must be a function, got {design!r}")
    _checks.number(truth, "truth")
    _checks.whole_number(repeats, "repeats", low=2)
    rng = _checks.generator(random_state)

    rows = {}
    bar = tqdm(total=len(designs) * repeats, desc="samples", disable=not progress)
    for name, design in designs.items():
        estimates = np.empty(repeats)
        for i in range(repeats):
            estimates[i] = _checks.number(design(rng), f"the estimate of designs[{name!r}]")
            bar.update()
        error = estimates - truth
        spread = error.std()
        rows[name] = {
            "bias": error.mean(),
            "spread": spread,
            "rmse": math.sqrt((error**2).mean()),
            "bias_error": spread / math.sqrt(repeats),
        }
    bar.close()
    return pd.DataFrame.from_dict(rows, orient="index")


# --- Probability sampling --------------------------------------------------------------------


def simple_random_sample(n_rows, n, random_state=None):
    """Draw rows without replacement, each set of n equally likely.

    Parameters
    ----------
    n_rows, n : int
        Rows there are, and rows to draw, at most n_rows.
    random_state : int, numpy Generator or None

    Returns
    -------
    rows : ndarray of n row numbers
    inclusion : ndarray of shape (n,)
        The probability with which each was drawn, n / n_rows.

    Raises
    ------
    ValueError
        If n or n_rows is not a whole number of at least 1, or n exceeds n_rows.

    References
    ----------
    Chapter 04, Simple random. W. G. Cochran, Sampling Techniques (1977), chapter 2.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_flights
    >>> from mlsys_helpers.sampling import simple_random_sample
    >>> flights = load_flights()
    >>> rows, inclusion = simple_random_sample(len(flights), 1000, random_state=0)
    >>> print(flights.iloc[rows].shape, inclusion[0].round(5))
    (1000, 19) 0.00297
    """
    n_rows, n = _sizes(n_rows, n)
    rows = _checks.generator(random_state).choice(n_rows, n, replace=False)
    return rows, np.full(n, n / n_rows)


def horvitz_thompson(values, inclusion):
    """Estimate the total over all rows: each value drawn stands for 1 / its inclusion.

    It has no bias where every row with a value other than 0 can be drawn. With replacement,
    where inclusion is the expected number of draws, it is the estimator of Hansen and Hurwitz.

    Parameters
    ----------
    values : array-like of shape (n,)
        What was found in the rows drawn; finite.
    inclusion : array-like of shape (n,)
        Their probabilities of being drawn (or expected numbers of draws), above 0.

    Returns
    -------
    float
        The total. Divide by the number of rows for the mean.

    Raises
    ------
    ValueError
        If a probability is 0 or less, lengths differ, or a number is not finite.

    References
    ----------
    Chapter 04, Weighted. D. G. Horvitz and D. J. Thompson, "A generalization of sampling
    without replacement from a finite universe", JASA 47 (1952).

    Examples
    --------
    >>> from mlsys_helpers.sampling import horvitz_thompson
    >>> horvitz_thompson([10, 40], inclusion=[0.5, 1.0])  # the 10 stands for two rows
    60.0
    """
    values = _checks.numbers(values, "values")
    inclusion = _checks.numbers(inclusion, "inclusion", len(values))
    if inclusion.min() <= 0:
        raise ValueError(f"inclusion must be above 0 in every row, got {inclusion.min():g}")
    return float((values / inclusion).sum())


def allocate(sizes, n, method="proportional", spreads=None):
    """How many of n rows to draw from each stratum.

    Every stratum gets at least one row, or its mean would be unknown, and at most all it has.
    Within that, the sum of N_h² S_h² / n_h, to which the variance of the estimated mean is
    proportional but for a constant, is the least that whole numbers allow.

    Parameters
    ----------
    sizes : dict or Series
        Stratum → how many rows it has, N_h, at least 1.
    n : int
        Rows to draw in all: at least one a stratum, at most all.
    method : {"proportional", "equal", "neyman"}, default "proportional"
        "proportional" to the sizes; "equal" for all; "neyman" to size times spread.
    spreads : dict or Series, for "neyman" only
        Stratum → standard deviation S_h in it, at least 0; a guess from earlier data will do.

    Returns
    -------
    Series of int
        Stratum → rows to draw. A stratum too small for its share is taken whole, and the
        others share what is left.

    Raises
    ------
    ValueError
        If n is too small or too large, sizes is empty, or spreads is missing, of no use, or not
        given for every stratum.

    References
    ----------
    Chapter 04, Stratified. J. Neyman, "On the two different aspects of the representative
    method", Journal of the Royal Statistical Society 97 (1934). T. Wright, "The equivalence of
    Neyman optimum allocation for sampling and equal proportions for apportioning the U.S. House
    of Representatives", The American Statistician 66 (2012).

    Examples
    --------
    >>> from mlsys_helpers.sampling import allocate
    >>> sizes, spreads = {"small": 100, "large": 900}, {"small": 0.5, "large": 0.1}
    >>> allocate(sizes, 100).to_dict()
    {'small': 10, 'large': 90}
    >>> allocate(sizes, 100, "neyman", spreads).to_dict()
    {'small': 36, 'large': 64}
    """
    sizes = _whole_series(sizes, "sizes", low=1)
    _checks.one_of(method, "method", ("proportional", "equal", "neyman"))
    _checks.whole_number(n, "n")
    if not len(sizes) <= n <= sizes.sum():
        raise ValueError(f"n must be from {len(sizes)} (strata) to {sizes.sum()} (rows), got {n}")
    if (spreads is None) == (method == "neyman"):
        raise ValueError(f"spreads must be given for 'neyman' and for no other, got {method!r}")
    if method == "neyman":
        scores = sizes * _spreads(spreads, sizes)
    else:
        scores = sizes if method == "proportional" else pd.Series(1, sizes.index)

    # What the sum falls by when a stratum's count goes from m to m + 1 is (score²) / (m (m + 1)).
    # It only gets less as m grows, so take the largest falls there are (Wright 2012).
    stratum = np.repeat(np.arange(len(sizes)), np.minimum(sizes, n) - 1)
    m = np.concatenate([np.arange(1, min(size, n)) for size in sizes])
    falls = scores.to_numpy(float)[stratum] / np.sqrt(m * (m + 1.0))
    largest = np.argsort(-falls, kind="stable")[: n - len(sizes)]
    return 1 + pd.Series(np.bincount(stratum[largest], minlength=len(sizes)), sizes.index)


def stratified_sample(strata, n, random_state=None):
    """Draw a simple random sample from each stratum.

    Parameters
    ----------
    strata : array-like of shape (n_rows,), or dict
        A label for each row, or label → row numbers.
    n : int, dict or Series
        Rows in all, allocated in proportion; or stratum → rows, as from `allocate`. Each
        stratum must be given at least one row, and have as many as it is given.
    random_state : int, numpy Generator or None

    Returns
    -------
    rows : ndarray of row numbers, stratum by stratum
    inclusion : ndarray
        The probability with which each was drawn, n_h / N_h.

    Raises
    ------
    ValueError
        If a stratum is smaller than its number, gets none, or does not exist.

    References
    ----------
    Chapter 04, Stratified. W. G. Cochran, Sampling Techniques (1977), chapter 5.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_flights
    >>> from mlsys_helpers.sampling import stratified_sample
    >>> flights = load_flights()
    >>> rows, inclusion = stratified_sample(flights["carrier"], 1000, random_state=0)
    >>> print(flights.iloc[rows]["carrier"].nunique())  # all of them, the rarest included
    16
    """
    groups = _groups(strata)
    if not isinstance(n, (Mapping, pd.Series)):
        n = allocate({label: len(rows) for label, rows in groups.items()}, n)
    counts = _counts(n, "n", groups)
    left_out = [label for label in groups if not counts.get(label)]
    if left_out:
        raise ValueError(f"n must give each stratum at least one row, but gives {left_out} none")
    rng = _checks.generator(random_state)
    rows = [rng.choice(groups[label], count, replace=False) for label, count in counts.items()]
    inclusion = [np.full(count, count / len(groups[label])) for label, count in counts.items()]
    return np.concatenate(rows), np.concatenate(inclusion)


def stratified_error(sizes, spreads, counts):
    """The standard error that the mean of a stratified sample will have.

    Parameters
    ----------
    sizes : dict or Series
        Stratum → rows, N_h, at least 1.
    spreads : dict or Series
        Stratum → standard deviation S_h (with divisor N_h − 1), at least 0.
    counts : dict or Series
        Stratum → rows drawn, n_h, from 1 to N_h.

    Returns
    -------
    float
        The root of the sum of (N_h / N)² (1 − n_h / N_h) S_h² / n_h.

    Raises
    ------
    ValueError
        If an argument lacks a stratum or is out of range.

    References
    ----------
    Chapter 04, Stratified. W. G. Cochran, Sampling Techniques (1977), theorem 5.3.

    Examples
    --------
    >>> from mlsys_helpers.sampling import allocate, stratified_error
    >>> sizes, spreads = {"small": 100, "large": 900}, {"small": 0.5, "large": 0.1}
    >>> for method, known in (("proportional", None), ("neyman", spreads)):
    ...     counts = allocate(sizes, 100, method, known)
    ...     print(method, round(stratified_error(sizes, spreads, counts), 4))
    proportional 0.0175
    neyman 0.0127
    """
    sizes = _whole_series(sizes, "sizes", low=1)
    spreads = _spreads(spreads, sizes)
    counts = _whole_series(counts, "counts", low=1)
    if set(counts.index) != set(sizes.index) or (counts.reindex(sizes.index) > sizes).any():
        raise ValueError("counts must give each stratum from 1 row to as many as it has")
    counts = counts.reindex(sizes.index)
    share = sizes / sizes.sum()
    return math.sqrt((share**2 * (1 - counts / sizes) * spreads**2 / counts).sum())


def weighted_sample(weights, n, replace=False, random_state=None):
    """Draw rows with probabilities in proportion to their weights.

    Parameters
    ----------
    weights : array-like of shape (n_rows,)
        Finite, at least 0. A row of weight 0 is never drawn.
    n : int
        Rows to draw. Without replacement, at most as many as have a weight above 0.
    replace : bool, default False
        With replacement each draw is made from all rows. Without, the rows are put in random
        order and taken at equal steps of cumulated weight (Hartley and Rao), which keeps the
        proportions exactly; a row whose share of n exceeds one draw is taken for certain, and
        the others share what is left.
    random_state : int, numpy Generator or None

    Returns
    -------
    rows : ndarray of n row numbers
    inclusion : ndarray of shape (n,)
        The probability with which each was drawn; with replacement, the expected number of
        times. Either way, what `horvitz_thompson` asks for.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, all are 0, or too few are above 0.

    References
    ----------
    Chapter 04, Weighted. M. H. Hansen and W. N. Hurwitz, "On the theory of sampling from finite
    populations", Annals of Mathematical Statistics 14 (1943). H. O. Hartley and J. N. K. Rao,
    "Sampling with unequal probabilities and without replacement", Annals of Mathematical
    Statistics 33 (1962).

    Examples
    --------
    >>> from mlsys_helpers.sampling import weighted_sample
    >>> rows, inclusion = weighted_sample([1, 1, 2, 8], n=2, random_state=0)
    >>> print(dict(zip(rows.tolist(), inclusion.tolist())))  # the last row for certain
    {3: 1.0, 2: 0.5}
    """
    weights = _checks.numbers(weights, "weights", low=0)
    _checks.whole_number(n, "n")
    rng = _checks.generator(random_state)
    with np.errstate(over="ignore"):
        total = weights.sum()
    if total == 0 or not np.isfinite(total):
        raise ValueError(f"weights must have a sum above 0 and finite, got {total:g}")
    if replace:
        rows = _rows_at(weights, rng.random(n))
        return rows, weights[rows] * (n / total)

    above_zero = np.count_nonzero(weights)
    if n > above_zero:
        raise ValueError(f"n must be at most {above_zero}, the weights above 0, got {n}")
    certain = _certain(weights, n)
    left = n - len(certain)
    if left == 0:
        return certain, np.ones(n)
    order = rng.permutation(len(weights))
    if len(certain):
        order = order[~np.isin(order, certain)]
    others = weights[order]
    drawn = _rows_at(others, (rng.random() + np.arange(left)) / left)
    rows = np.concatenate([certain, order[drawn]])
    inclusion = np.minimum(others[drawn] * (left / others.sum()), 1)  # rounding may exceed 1
    return rows, np.concatenate([np.ones(len(certain)), inclusion])


def _rows_at(weights, fractions):
    """The row in which each fraction of the cumulated weight falls."""
    ends = np.cumsum(weights)
    return np.searchsorted(ends, fractions * ends[-1])


def _certain(weights, n):
    """Rows whose share of the draws is one or more, also of the draws that are left."""
    certain = np.array([], dtype=int)
    while len(certain) < n:
        others = np.delete(weights, certain) if len(certain) else weights
        bound = others.sum() / (n - len(certain))
        if others.max() < bound:
            break
        certain = np.flatnonzero(weights >= bound)
    return certain


# --- Importance sampling ---------------------------------------------------------------------


class _ImportanceEstimate(NamedTuple):
    """What `importance_estimate` returns."""

    estimate: float
    standard_error: float
    effective_size: float
    largest_share: float


def importance_estimate(values, log_p, log_q, *, self_normalised=False):
    """Estimate a mean under P from draws of Q: E_P[f(x)] = E_Q[f(x) P(x) / Q(x)].

    Q must be able to draw every x at which P(x) f(x) is not 0. What it never draws is missing
    from the estimate, and no number below can tell.

    Parameters
    ----------
    values : array-like of shape (n,)
        f(x) at n independent draws of Q, at least two; finite.
    log_p, log_q : array-like of shape (n,)
        Logarithms of the densities of P and Q at the draws. log_p may be -inf, log_q may not:
        what Q gives no density it did not draw.
    self_normalised : bool, default False
        False divides the weighted sum by n: no bias, and both densities must be complete. True
        divides by the sum of the weights: a small bias, and constant factors of P and Q cancel.

    Returns
    -------
    tuple of float, with names
        ``estimate``; its ``standard_error``, itself estimated from the draws; of the weights
        P / Q, the ``effective_size`` (see `effective_sample_size`) and the ``largest_share``,
        that of the largest weight in their sum.

    Raises
    ------
    ValueError
        If log_q is not finite, log_p is NaN or +inf, every weight is 0, the largest weight
        overflows or underflows, lengths differ or there are fewer than two draws.

    References
    ----------
    Chapter 04, Importance sampling. A. B. Owen, Monte Carlo Theory, Methods and Examples (2013),
    chapter 9.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import norm
    >>> from mlsys_helpers.sampling import importance_estimate
    >>> x = np.random.default_rng(0).normal(loc=4, size=100_000)  # Q: where it matters
    >>> result = importance_estimate(x > 4, norm.logpdf(x), norm.logpdf(x, loc=4))
    >>> print(f"P(X > 4) = {result.estimate:.2e}, in truth {norm.sf(4):.2e}")
    P(X > 4) = 3.11e-05, in truth 3.17e-05
    """
    values = _checks.numbers(values, "values")
    n = len(values)
    log_p = _checks.numbers(log_p, "log_p", n, finite=False)
    log_q = _checks.numbers(log_q, "log_q", n)
    if n < 2:
        raise ValueError("values must hold at least two draws, got 1")
    if log_p.max() == np.inf:
        raise ValueError("log_p must be below infinity")
    log_weights = log_p - log_q
    top = log_weights.max()
    if top == -np.inf:
        raise ValueError("log_p must be above -inf at one draw at least: Q drew nothing of P")
    if not self_normalised and abs(top) > 650:
        raise ValueError(
            "log_p - log_q must be at most 650, or the weights overflow, and reach -650, or they "
            f"underflow; its largest is {top:g}"
        )
    weights = np.exp(log_weights - top)  # the largest is 1, so that no square is lost
    if self_normalised:
        estimate = np.average(values, weights=weights)
        error = math.sqrt((weights**2 * (values - estimate) ** 2).sum()) / weights.sum()
    else:
        estimate = (weights * values).mean() * math.exp(top)
        error = (weights * values).std(ddof=1) / math.sqrt(n) * math.exp(top)
    share = weights.max() / weights.sum()
    size = effective_sample_size(weights)
    return _ImportanceEstimate(float(estimate), float(error), size, float(share))


def effective_sample_size(weights):
    """How many equally weighted draws would be worth as much (Kish): (Σw)² / Σw².

    Parameters
    ----------
    weights : array-like of shape (n,)
        Finite, at least 0, not all 0. A constant factor does not matter.

    Returns
    -------
    float
        From 1, where one weight is all, to n, where all are equal.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or all are 0.

    References
    ----------
    Chapter 04, Importance sampling. L. Kish, Survey Sampling (1965).

    Examples
    --------
    >>> from mlsys_helpers.sampling import effective_sample_size
    >>> round(effective_sample_size([1, 2, 3, 4]), 3)
    3.333
    """
    weights = _checks.numbers(weights, "weights", low=0)
    if weights.max() == 0:
        raise ValueError("weights must not all be 0")
    weights = weights / weights.max()  # so that no square overflows
    return float(weights.sum() ** 2 / (weights**2).sum())


# --- Reservoir sampling ----------------------------------------------------------------------


class ReservoirSampler:
    """Hold k items of a stream, of all that have come each with the same probability.

    Stop whenever you like: after n items, each of them is in `sample_` with probability k / n.
    Memory is that of k items, however long the stream.

    Parameters
    ----------
    k : int
        Size of the reservoir. While fewer items have come, it holds them all.
    method : {"L", "R"}, default "L"
        "R" draws a random number for each item. "L" draws how many items to pass over until
        the next one that enters: the same distribution, far fewer random numbers.
    random_state : int, numpy Generator or None

    Attributes
    ----------
    sample_ : list
        The items held. Their order tells nothing, but is not random.
    seen_ : int
        How many items have come.
    replacements_ : int
        How many items have replaced another.

    Raises
    ------
    ValueError
        If k is not a whole number of at least 1, or method is another.

    References
    ----------
    Chapter 04, Reservoir sampling. J. S. Vitter, "Random sampling with a reservoir", ACM
    Transactions on Mathematical Software 11 (1985), for R, which he credits to A. G. Waterman.
    K.-H. Li, "Reservoir-sampling algorithms of time complexity O(n(1 + log(N/n)))", ACM
    Transactions on Mathematical Software 20 (1994), for L.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_flights
    >>> from mlsys_helpers.sampling import ReservoirSampler
    >>> sampler = ReservoirSampler(k=100, random_state=0)
    >>> for flight in load_flights().itertuples():
    ...     sampler.update(flight.dest)
    >>> print(len(sampler.sample_), sampler.seen_, sampler.replacements_)
    100 336776 802
    """

    def __init__(self, k, method="L", random_state=None):
        self.k = _checks.whole_number(k, "k")
        self.method = _checks.one_of(method, "method", ("L", "R"))
        self._random = _checks.generator(random_state).random
        self.sample_ = []
        self.seen_ = 0
        self.replacements_ = 0
        self._log_w = 0.0  # L: each item has a random key; logarithm of the k-th smallest so far
        self._to_skip = 0  # L: items to pass over before one enters …
        self._place = 0  # … and the place that it takes

    def update(self, item):
        """Take notice of the next item."""
        self.seen_ += 1
        if self.seen_ <= self.k:
            self.sample_.append(item)
            if self.seen_ == self.k and self.method == "L":
                self._plan()
        elif self.method == "R":
            place = int(self._random() * self.seen_)  # 0 … n - 1
            if place < self.k:
                self.sample_[place] = item
                self.replacements_ += 1
        elif self._to_skip:
            self._to_skip -= 1
        else:
            self.sample_[self._place] = item
            self.replacements_ += 1
            self._plan()

    def extend(self, stream):
        """Take notice of every item of an iterable; L passes over items without a look."""
        stream = _stream(stream)
        if self.method == "L":
            for item in islice(stream, max(self.k - self.seen_, 0)):
                self.update(item)
            item = None
            while self.seen_ >= self.k and item is not _END:
                skipped = _pass_over(stream, self._to_skip)
                self.seen_ += skipped
                self._to_skip -= skipped
                item = next(stream, _END)
                if item is not _END:
                    self.update(item)
        else:
            for item in stream:
                self.update(item)
        return self

    def _plan(self):
        """Draw how many items to pass over, and the place that the next one takes."""
        u, v, place = self._random(3).tolist()
        self._log_w += math.log(1 - u) / self.k
        self._to_skip = int(math.log(1 - v) / math.log1p(-math.exp(self._log_w)))
        self._place = int(place * self.k)


def reservoir_sample(stream, k, method="L", random_state=None):
    """Draw k items from a stream of unknown length, reading it once and holding k of it.

    Parameters
    ----------
    stream : iterable
    k : int
        Items to draw. A stream with fewer gives all it has.
    method : {"L", "R"}, default "L"
        As in `ReservoirSampler`.
    random_state : int, numpy Generator or None

    Returns
    -------
    list of items, at most k

    Raises
    ------
    ValueError
        If k is not a whole number of at least 1, or method is another.
    TypeError
        If stream cannot be iterated over.

    References
    ----------
    Chapter 04, Reservoir sampling. As `ReservoirSampler`.

    Examples
    --------
    >>> from mlsys_helpers.sampling import reservoir_sample
    >>> lines = (f"line {i}" for i in range(1_000_000))  # a file, a socket, a queue
    >>> reservoir_sample(lines, k=3, random_state=0)
    ['line 311251', 'line 20674', 'line 881474']
    """
    return ReservoirSampler(k, method, random_state).extend(stream).sample_


class WeightedReservoirSampler:
    """Hold k items of a stream as if drawn one after the other in proportion to their weights.

    At every moment `sample_` is distributed as k draws without replacement from the items that
    have come, each draw in proportion to the weights that are left (successive sampling). This
    is Algorithm A-ExpJ: each item has a key u^(1/w), the k largest keys stay, and jumps over
    cumulated weight save drawing a key for items that have no chance.

    Parameters
    ----------
    k : int
        Size of the reservoir. While fewer items of weight above 0 have come, it holds them all.
    random_state : int, numpy Generator or None

    Attributes
    ----------
    sample_ : list
        The items held, the smallest key first.
    seen_ : int
        How many items have come.
    replacements_ : int
        How many items have replaced another.

    Raises
    ------
    ValueError
        If k is not a whole number of at least 1; on `update`, if a weight is negative or not
        finite.

    References
    ----------
    Chapter 04, A weighted reservoir. P. S. Efraimidis and P. G. Spirakis, "Weighted random
    sampling with a reservoir", Information Processing Letters 97 (2006).

    Examples
    --------
    >>> from mlsys_helpers.sampling import WeightedReservoirSampler
    >>> sampler = WeightedReservoirSampler(k=2, random_state=0)
    >>> for item, weight in [("a", 1), ("b", 0), ("c", 50), ("d", 40), ("e", 1)]:
    ...     sampler.update(item, weight)
    >>> sorted(sampler.sample_)
    ['c', 'd']
    """

    def __init__(self, k, random_state=None):
        self.k = _checks.whole_number(k, "k")
        self._random = _checks.generator(random_state).random
        self.seen_ = 0
        self.replacements_ = 0
        self._held = []  # a heap of (logarithm of the key, number of the item, item)
        self._jump = 0.0  # weight to pass over before an item enters

    @property
    def sample_(self):
        return [item for _, _, item in sorted(self._held, key=lambda held: held[:2])]

    def update(self, item, weight):
        """Take notice of the next item; one of weight 0 never enters."""
        _checks.number(weight, "weight", low=0)
        self.seen_ += 1
        if weight == 0:
            return
        if len(self._held) < self.k:
            key = math.log(1 - self._random()) / weight
            heapq.heappush(self._held, (key, self.seen_, item))
            if len(self._held) == self.k:
                self._draw_jump()
            return
        self._jump -= weight
        if self._jump <= 0:  # it enters, so its key is above the smallest: draw it from there
            lowest = math.exp(weight * self._held[0][0])
            key = math.log(1 - self._random() * (1 - lowest)) / weight
            heapq.heapreplace(self._held, (key, self.seen_, item))
            self.replacements_ += 1
            self._draw_jump()

    def _draw_jump(self):
        self._jump = math.log(1 - self._random()) / self._held[0][0]


def weighted_reservoir_sample(stream, k, random_state=None):
    """Draw k items from a stream of (item, weight) pairs, reading it once.

    Parameters
    ----------
    stream : iterable of pairs
        Item, and its weight: finite, at least 0. An item of weight 0 is never drawn.
    k : int
        Items to draw. A stream with fewer of weight above 0 gives all of them.
    random_state : int, numpy Generator or None

    Returns
    -------
    list of items, at most k

    Raises
    ------
    ValueError
        If k is not a whole number of at least 1, a weight is negative or not finite, or the
        stream holds anything but pairs.
    TypeError
        If stream cannot be iterated over.

    References
    ----------
    Chapter 04, A weighted reservoir. As `WeightedReservoirSampler`.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_flights
    >>> from mlsys_helpers.sampling import weighted_reservoir_sample
    >>> flights = load_flights()
    >>> pairs = zip(flights["dest"], flights["distance"])  # long flights more often
    >>> weighted_reservoir_sample(pairs, k=5, random_state=0)
    ['LAX', 'BNA', 'PBI', 'CMH', 'SJU']
    """
    sampler = WeightedReservoirSampler(k, random_state)
    for pair in _stream(stream):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ValueError(f"stream must hold pairs of item and weight, got {pair!r}")
        sampler.update(*pair)
    return sampler.sample_


_END = object()  # stands for the item that an ended stream does not have


def _pass_over(stream, count):
    """Read so many items and forget them, without a loop in Python; how many there were."""
    left = repeat(None, count)  # one is used up with each item
    deque(zip(islice(stream, count), left, strict=False), maxlen=0)
    return count - length_hint(left)


def _stream(stream):
    if not isinstance(stream, Iterable):
        raise TypeError(f"stream must be iterable, got {type(stream).__name__}")
    return iter(stream)


# --- All designs side by side ----------------------------------------------------------------


def plot_sampling_error(table, ax=None):
    """Draw each design's bias as a point, its spread as a bar to both sides, its RMSE as text.

    Parameters
    ----------
    table : DataFrame
        From `sampling_error`. A design whose bias is more than four times its standard error, and
        so no chance, is drawn in red.
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the table lacks a column or has no row.

    References
    ----------
    Chapter 04, Which rows do I look at?

    Examples
    --------
    >>> from mlsys_helpers.sampling import plot_sampling_error, sampling_error
    >>> designs = {"mean of 25": lambda rng: rng.normal(size=25).mean()}
    >>> ax = plot_sampling_error(sampling_error(designs, truth=0, progress=False))
    >>> ax.get_xlabel()
    'estimate minus truth: bias ± spread'
    """
    columns = ["bias", "spread", "rmse", "bias_error"]
    if not isinstance(table, pd.DataFrame) or not set(columns) <= set(table.columns):
        raise ValueError(f"table must be a DataFrame with the columns {', '.join(columns)}")
    if table.empty:
        raise ValueError("table must have at least one row")
    ax = get_axes(ax, figsize=(9, 0.42 * len(table) + 1))
    ax.axvline(0, color=COLORS["black"], linewidth=1)
    for y, row in enumerate(table[columns].itertuples()):
        color = COLORS["red" if abs(row.bias) > 4 * row.bias_error else "blue"]
        ax.errorbar(row.bias, y, xerr=row.spread, fmt="o", color=color, linewidth=3)
        ax.annotate(
            f"RMSE {row.rmse:#.3g}",
            (1.01, y),
            xycoords=("axes fraction", "data"),
            va="center",
            color=color,
        )
    ax.set_yticks(range(len(table)), table.index)
    ax.set_ylim(len(table) - 0.5, -0.5)  # the first design on top
    ax.set(xlabel="estimate minus truth: bias ± spread")
    return ax


# --- Checks ----------------------------------------------------------------------------------


def _sizes(n_rows, n):
    n_rows, n = _checks.whole_number(n_rows, "n_rows"), _checks.whole_number(n, "n")
    if n_rows > np.iinfo(int).max:
        raise ValueError(f"n_rows must be at most {np.iinfo(int).max}, got {n_rows}")
    if n > n_rows:
        raise ValueError(f"n must be at most the number of rows, {n_rows}, got {n}")
    return n_rows, n


def _groups(strata):
    """Label → row numbers, from a column of labels or from such a dict."""
    if not isinstance(strata, Mapping):
        column = pd.Series(_checks.column(strata, "strata"))
        return column.groupby(column).indices
    if not strata:
        raise ValueError("strata is empty")
    groups = {label: np.asarray(rows) for label, rows in strata.items()}
    for label, rows in groups.items():
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
            raise ValueError(f"strata[{label!r}] must hold row numbers, got {strata[label]!r}")
        if rows.min() < 0:
            raise ValueError(f"strata[{label!r}] must hold row numbers from 0, got {rows.min()}")
        if not (rows[1:] > rows[:-1]).all() and len(np.unique(rows)) < len(rows):
            raise ValueError(f"strata[{label!r}] must hold each row number once")
    return groups


def _counts(counts, name, groups):
    """Label → rows to take: whole numbers that the strata can give."""
    counts = _whole_series(counts, name, low=0).to_dict()
    for label, count in counts.items():
        if label not in groups:
            raise ValueError(f"{name} must name strata that exist, got {label!r}")
        if count > len(groups[label]):
            raise ValueError(
                f"{name} must be at most {len(groups[label])} for {label!r}, all the rows that "
                f"the stratum has, got {count}"
            )
    return counts


def _whole_series(values, name, low):
    """A Series of whole numbers of at least low, from a dict or a Series."""
    if not isinstance(values, (Mapping, pd.Series)) or not len(values):
        raise ValueError(f"{name} must give a number for each stratum, got {values!r}")
    series = pd.Series(values)
    _refuse_repeats(series, name)
    numbers = _checks.numbers(series, name, low=low)
    if (numbers != np.floor(numbers)).any() or numbers.max() > 2**53:
        raise ValueError(f"{name} must hold whole numbers up to 2**53, got {numbers.tolist()}")
    return pd.Series(numbers.astype(int), series.index)


def _refuse_repeats(series, name):
    if not series.index.is_unique:
        twice = series.index[series.index.duplicated()][0]
        raise ValueError(f"{name} must give each stratum once, got {twice!r} again")


def _spreads(spreads, sizes):
    """The strata's standard deviations, in the order of their sizes."""
    if not isinstance(spreads, (Mapping, pd.Series)) or set(spreads.keys()) != set(sizes.index):
        raise ValueError(f"spreads must be given for each stratum, got {spreads!r}")
    spreads = pd.Series(spreads)
    _refuse_repeats(spreads, "spreads")
    spreads = spreads.reindex(sizes.index)
    return pd.Series(_checks.numbers(spreads, "spreads", low=0), sizes.index)
