"""Chapter 18: is the new model better for real users?

In the order of the chapter: backtests and shadow; A/B tests with their assignment, size, looks and
alternation by day; the canary release; interleaving; bandits.

Throughout, the model in production is the *champion* and the new one the *candidate*; a difference
is candidate minus champion, and p-values are two-sided.
"""

import hashlib
import math
import threading
import time
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import optimize, special, stats
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from mlsys_helpers import _checks, _servers

__all__ = [
    "backtest",
    "start_scorer",
    "shadow_test",
    "assign_variant",
    "sample_ratio_check",
    "sample_size",
    "ab_test",
    "crossing_probability",
    "group_sequential_bounds",
    "always_valid_bound",
    "sequential_ab_test",
    "sprt_bounds",
    "simulate_market",
    "switchback_schedule",
    "switchback",
    "CanaryRelease",
    "simulate_releases",
    "team_draft_interleave",
    "Bandit",
    "simulate_bandit",
    "replay_bandit",
]

VARIANTS = ("champion", "candidate")


def _chance(value, name, high=1):
    """Refuse what is not strictly between 0 and high."""
    return _checks.number(value, name, 0, high, open_low=True, open_high=True)


# --- Backtest and shadow -----------------------------------------------------------------------


def backtest(model, frame, features, label, time, *, start, step, gap="0D"):
    """The scores of a model that is trained anew at each of many past moments.

    At each *origin* (`start`, `start` + `step`, …) a clone of the model is trained on rows from
    before the origin and judged on the rows of the step that follows.

    Parameters
    ----------
    model : scikit-learn classifier
    frame : DataFrame
        One row an event, in any order.
    features : list of str
    label : str
        Column of labels 0 and 1; missing where the label never arrived. Such rows are left out.
    time : str
        Column of timestamps.
    start : str or timestamp without zone
        The first origin, in the time zone of the column.
    step : str, Timedelta or DateOffset
        From one origin to the next, such as ``"7D"`` or ``pd.DateOffset(months=1)``.
    gap : the same, default "0D"
        How long a label takes to arrive: rows younger than this at the origin are not trained on.

    Returns
    -------
    DataFrame
        One row an origin: ``origin``, ``trained_until`` (time of the newest row trained on),
        ``n_train``, ``n_test`` (labelled rows) and ``score``, the ROC AUC, which is missing where
        the step holds no labels, or those of one class only.

    Raises
    ------
    ValueError
        If a column is missing or doubled, a time is missing, a label is not 0 or 1, a step does not
        go forward, a gap is negative, no row comes after `start`, or a training window does not
        hold both classes.

    References
    ----------
    Chapter 18, Testing In Production. L. J. Tashman, "Out-of-sample tests of forecasting accuracy",
    International Journal of Forecasting 16 (2000).

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from mlsys_helpers.testing_in_production import backtest
    >>> days = pd.date_range("2013-01-01", periods=60)
    >>> frame = pd.DataFrame({"day": days, "x": range(60), "late": [0, 1] * 30})
    >>> model = DecisionTreeClassifier(max_depth=1)
    >>> folds = backtest(model, frame, ["x"], "late", "day", start="2013-02-01", step="14D")
    >>> folds[["n_train", "n_test"]].values.tolist()
    [[31, 14], [45, 14], [59, 1]]
    """
    for name in (*features, label, time):
        if list(frame.columns).count(name) != 1:
            raise ValueError(f"frame has no column {name!r}, or has it twice")
    when = pd.to_datetime(pd.Series(_checks.column(frame[time], time), index=frame.index))
    last = when.max()
    try:
        if pd.isna(start):
            raise ValueError("start is missing")
        origin = pd.Timestamp(start, tz=when.dt.tz)
        step, gap = (pd.Timedelta(v) if isinstance(v, str) else v for v in (step, gap))
        forward = origin + step > origin and origin + gap >= origin
        after_all = origin > last
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"start must be a timestamp without zone, step and gap spans of time, got {start!r}, "
            f"{step!r} and {gap!r}"
        ) from error
    if not forward:
        raise ValueError(f"step must go forward and gap not back, got step {step}, gap {gap}")
    if after_all:
        raise ValueError(f"start must not be after the last row, {last}, got {origin}")
    labelled = frame[label].notna()
    _checks.binary_labels(frame.loc[labelled, label], label)
    folds = []
    while origin <= last:
        known = labelled & (when < origin - gap)
        judged = labelled & (when >= origin) & (when < origin + step)
        y_train, y_test = frame.loc[known, label].astype(int), frame.loc[judged, label].astype(int)
        if y_train.nunique() < 2:
            raise ValueError(
                f"the training window before {origin} holds {y_train.nunique()} classes of label "
                f"{label!r}; both are needed: start later"
            )
        value = np.nan
        if y_test.nunique() == 2:
            fitted = clone(model).fit(frame.loc[known, features], y_train)
            value = roc_auc_score(y_test, fitted.predict_proba(frame.loc[judged, features])[:, 1])
        folds.append((origin, when[known].max(), len(y_train), len(y_test), value))
        origin = origin + step
    return pd.DataFrame(folds, columns=["origin", "trained_until", "n_train", "n_test", "score"])


def start_scorer(path, *, fault=None, after=0):
    """Serve a fitted classifier over HTTP, from a process of its own.

    ``POST /score`` takes ``{"row": [numbers, null where missing]}`` and answers ``{"score": p}``.

    Parameters
    ----------
    path : str or Path
        A model that joblib stored. Load only files that you wrote yourself: a pickle runs code.
    fault : {"crash", "nan", "hang"}, optional
        What goes wrong: the process dies; the score is null, as JSON has no NaN; the answer
        takes three seconds.
    after : int, default 0
        How many requests are answered well before that.

    Returns
    -------
    Process
        With its address in ``url``; ``stop()``, or the end of a ``with``, ends it.

    Raises
    ------
    ValueError
        If there is no such file, the fault is none of these, or after is negative.
    ServerError
        If the service does not come up.

    References
    ----------
    Chapter 18, Testing In Production.

    Examples
    --------
    >>> import tempfile, httpx, joblib
    >>> from pathlib import Path
    >>> from sklearn.dummy import DummyClassifier
    >>> from mlsys_helpers.testing_in_production import start_scorer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model"
    ...     _ = joblib.dump(DummyClassifier().fit([[0]] * 4, [0, 0, 0, 1]), path)
    ...     with start_scorer(path) as scorer:
    ...         httpx.post(f"{scorer.url}/score", json={"row": [1.0]}).json()
    {'score': 0.25}
    """
    if fault is not None:
        _checks.one_of(fault, "fault", ("crash", "nan", "hang"))
    after = _checks.whole_number(after, "after", low=0)
    if not Path(path).is_file():
        raise ValueError(f"path must be a file that joblib stored, got {str(path)!r}")
    return _servers.start_service(_serve_scorer, str(path), fault, after, name="the scorer")


def _serve_scorer(path, fault, after):
    """In the new process: load the model and answer."""
    import os

    import joblib
    from fastapi import Body, FastAPI

    model, app, answered = joblib.load(path), FastAPI(), iter(range(10**9))

    @app.post("/score")
    def score(row: list[float | None] = Body(embed=True)):  # noqa: B008
        if fault and next(answered) >= after:
            if fault == "crash":
                os._exit(1)
            if fault == "hang":
                time.sleep(3)
            return {"score": None}
        rows = np.array([row], dtype=float)
        return {"score": float(model.predict_proba(rows)[0, 1])}

    _servers.serve(app)


def shadow_test(requests, champion, candidate, *, threshold=0.5, timeout=1.0):
    """The champion's answers, and how the candidate's to the same requests differ.

    Parameters
    ----------
    requests : sequence
        What both are asked, one after the other.
    champion, candidate : function of a request, giving a finite number
        If the candidate raises, answers anything else or takes longer than `timeout`, that is an
        error in the report and nothing else; if the champion raises, so does this.
    threshold : float, default 0.5
        Scores from here on lead to the other decision.
    timeout : float, default 1.0
        Seconds.

    Returns
    -------
    answers : ndarray of shape (n,)
        The champion's, which the users get.
    report : Series
        ``requests``; ``errors`` of the candidate; of the requests that both answered
        ``mean_difference``, ``mean_absolute_difference``, ``decisions_changed`` (a share), all
        missing if there are none; median ``champion_ms`` and ``candidate_ms``, waits included.

    Raises
    ------
    ValueError
        If requests is empty, timeout is not above 0, or the champion's answer is no finite number.

    References
    ----------
    Chapter 18, Testing In Production.

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import shadow_test
    >>> def candidate(x):
    ...     return 0.5 / x  # fails at 0
    >>> answers, report = shadow_test([0, 1, 2], lambda x: 0.2, candidate, threshold=0.4)
    >>> answers.tolist(), int(report["errors"]), float(report["decisions_changed"])
    ([0.2, 0.2, 0.2], 1, 0.5)
    """
    _checks.number(threshold, "threshold")
    _checks.number(timeout, "timeout", low=0, open_low=True)
    if len(requests) == 0:
        raise ValueError("requests is empty")
    answers, others, waits = [], [], []
    for request in requests:
        begin = time.perf_counter()
        answers.append(_checks.number(champion(request), "the champion's answer"))
        champion_seconds = time.perf_counter() - begin
        other, seconds = _guarded(candidate, request, timeout)
        others.append(np.nan if other is None else other)
        waits.append([champion_seconds, seconds])
    answers, others = np.array(answers, dtype=float), np.array(others, dtype=float)
    both = ~np.isnan(others)
    gaps, changed = others - answers, (others >= threshold) != (answers >= threshold)

    def mean(values):
        return values[both].mean() if both.any() else np.nan

    milliseconds = 1000 * np.median(waits, axis=0)
    report = {"requests": len(answers), "errors": (~both).sum(), "mean_difference": mean(gaps)}
    report |= {"mean_absolute_difference": mean(abs(gaps)), "decisions_changed": mean(changed)}
    report |= {"champion_ms": milliseconds[0], "candidate_ms": milliseconds[1]}
    return answers, pd.Series(report)


def _guarded(call, request, timeout):
    """What the call answers, or None if it fails, is no finite number or is late; and seconds."""
    answer = []

    def run():
        try:
            answer.append(_checks.number(call(request), "answer"))
        except BaseException:  # whatever a candidate does, no user may feel it
            answer.append(None)

    begin = time.perf_counter()
    worker = threading.Thread(target=run, daemon=True)  # one that hangs does not outlive us
    worker.start()
    worker.join(timeout)
    return (answer[0] if answer else None), time.perf_counter() - begin


# --- A/B testing: who gets what, and how many ----------------------------------------------------


def assign_variant(unit, salt, weights):
    """The variant of a unit: at random between units, always the same for one.

    Parameters
    ----------
    unit : str, int, or array-like of shape (n,)
        What is assigned: a user, a plane. A number and its text are the same unit.
    salt : str
        Name of the experiment: another salt assigns independently.
    weights : dict of str to float
        Share of each variant, from 0 to 1, summing to one. In order: when the shares change, only
        units next to a border that moved change their variant.

    Returns
    -------
    str, or ndarray of str of shape (n,)

    Raises
    ------
    ValueError
        If the weights do not sum to one or one is negative, the salt is no text or empty, or a
        unit is missing.

    References
    ----------
    Chapter 18, A/B Testing. R. Kohavi, D. Tang and Y. Xu, Trustworthy Online Controlled
    Experiments (2020).

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import assign_variant
    >>> half = {"champion": 0.5, "candidate": 0.5}
    >>> print(*assign_variant(["N14228", "N804JB", "N14228"], "airport columns", half))
    candidate champion candidate
    """
    names, borders = _shares(weights)
    codes, units = pd.factorize(_checks.column(np.atleast_1d(unit), "unit"))
    at = _hashed(units, _salt(salt))
    chosen = names[np.searchsorted(borders[:-1], at, side="right")][codes]
    return str(chosen[0]) if np.ndim(unit) == 0 else chosen


def _salt(salt):
    if not isinstance(salt, str) or not salt:
        raise ValueError(f"salt must be a text that is not empty, got {salt!r}")
    return salt


def _shares(weights):
    """Names of the variants, and the upper border of each on [0, 1]."""
    if not isinstance(weights, dict) or not weights:
        raise ValueError(f"weights must be a dict of variant to share, got {weights!r}")
    shares = _checks.numbers(list(weights.values()), "weights", low=0, high=1)
    if not math.isclose(shares.sum(), 1, abs_tol=1e-9):
        raise ValueError(f"weights must sum to one, got {shares.sum():g}")
    return np.array(list(weights)), np.cumsum(shares)


def _hashed(units, salt):
    """A number in [0, 1) for each unit, from SHA-256."""
    digests = (hashlib.sha256(f"{salt}:{unit}".encode()).digest() for unit in units)
    return np.array([int.from_bytes(digest[:6]) for digest in digests]) / 2**48


def sample_ratio_check(counts, weights):
    """Whether the sizes of the variants fit the shares they were to have.

    Parameters
    ----------
    counts : dict of str to int
        Units seen in each variant.
    weights : dict of str to float
        The shares planned, as in `assign_variant`.

    Returns
    -------
    Series
        ``chi2``, ``p_value``, and ``suspicious``: p below 0.001. Then something is broken between
        assignment and count, and no result of the experiment can be trusted.

    Raises
    ------
    ValueError
        If a count is negative or all are 0, the weights do not sum to one or one is 0, or the names
        differ.

    References
    ----------
    Chapter 18, A/B Testing. A. Fabijan et al., "Diagnosing sample ratio mismatch in online
    controlled experiments", KDD (2019).

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import sample_ratio_check
    >>> half = {"champion": 0.5, "candidate": 0.5}
    >>> check = sample_ratio_check({"champion": 50_600, "candidate": 49_400}, half)
    >>> bool(check["suspicious"])
    True
    """
    names, borders = _shares(weights)
    if not isinstance(counts, dict) or set(counts) != set(names):
        raise ValueError(f"counts must name the variants {', '.join(names)}, got {counts!r}")
    seen = np.array([_checks.whole_number(counts[name], "counts", low=0) for name in names])
    shares = np.diff(borders, prepend=0)
    if seen.sum() == 0 or (shares == 0).any():
        raise ValueError(f"counts must not all be 0, nor a share be 0; got {counts}, {weights}")
    chi2, p_value = stats.chisquare(seen, seen.sum() * shares)
    return pd.Series({"chi2": chi2, "p_value": p_value, "suspicious": p_value < 0.001})


def sample_size(effect, *, baseline=None, sd=None, alpha=0.05, power=0.8):
    """Units that each of two equal variants needs, to find an effect of this size.

    Parameters
    ----------
    effect : float
        The difference to be found, in the unit of the outcome; not 0.
    baseline : float in (0, 1), for shares
        The champion's share; the candidate's is this plus `effect`.
    sd : float, for means
        Standard deviation of the outcome. Give either this or `baseline`.
    alpha : float in (0, 1), default 0.05
        Chance of a false alarm, two-sided.
    power : float in (0, 1), default 0.8
        Chance of finding the effect if it is there.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If an argument is out of range, or not exactly one of baseline and sd is given.

    References
    ----------
    Chapter 18, A/B Testing. G. van Belle, Statistical Rules of Thumb (2008): 16 sd² / effect².

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import sample_size
    >>> sample_size(effect=1, sd=1), sample_size(effect=0.0025, baseline=0.05)
    (16, 122124)
    """
    _checks.number(effect, "effect")
    if effect == 0:
        raise ValueError("effect must not be 0: no sample shows that there is none")
    z_alpha = stats.norm.isf(_chance(alpha, "alpha") / 2)
    z_power = stats.norm.ppf(_chance(power, "power"))
    if (baseline is None) == (sd is None):
        raise ValueError("give either baseline (for shares) or sd (for means)")
    if sd is not None:
        spread = (z_alpha + z_power) * math.sqrt(2) * _checks.number(sd, "sd", 0, open_low=True)
    else:
        p = np.array([_chance(baseline, "baseline"), baseline + effect])
        _checks.number(p[1], "baseline + effect", 0, 1)
        apart = math.sqrt((p * (1 - p)).sum())
        spread = z_alpha * math.sqrt(2 * p.mean() * (1 - p.mean())) + z_power * apart
    if spread > 1e9 * abs(effect):
        raise ValueError(f"effect is too small to be found: {effect} at a spread of {spread:.3g}")
    return max(1, math.ceil((spread / effect) ** 2))


# --- A/B testing: the test --------------------------------------------------------------------


def ab_test(
    outcome, variant, *, method="welch", unit=None, alpha=0.05, resamples=1000, random_state=None
):
    """The difference between two variants, with its interval and p-value.

    Parameters
    ----------
    outcome : array-like of shape (n,)
        One number a row; 0 or 1 for "proportion".
    variant : array-like of shape (n,)
        "champion" or "candidate".
    method : {"welch", "proportion", "bootstrap"}, default "welch"
        Welch's t; the two-proportion z test (pooled for the p-value, unpooled for the interval);
        or percentiles of resampled means.
    unit : array-like of shape (n,), optional
        The unit that was assigned, where one has several rows: its rows are then summed (the delta
        method for a ratio of sums), or resampled together. Not for "proportion".
    alpha : float in (0, 1), default 0.05
    resamples : int, default 1000
        For "bootstrap".
    random_state : int, numpy Generator or None

    Returns
    -------
    Series
        Mean outcome of ``champion`` and ``candidate``, their ``difference``, its
        1 − alpha interval ``low`` to ``high``, ``p_value``, and ``n``, the units tested.

    Raises
    ------
    ValueError
        If a variant has fewer than two units, a unit was in both, another variant occurs, the
        outcome does not vary, holds what the method cannot take, or has another length.

    References
    ----------
    Chapter 18, A/B Testing. A. Deng, U. Knoblich and J. Lu, "Applying the delta method in metric
    analytics", KDD (2018).

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import ab_test
    >>> variant = ["champion"] * 4 + ["candidate"] * 4
    >>> result = ab_test([1, 2, 3, 4, 4, 5, 6, 7], variant)
    >>> result[["difference", "low", "high", "p_value"]].round(2).tolist()
    [3.0, 0.77, 5.23, 0.02]
    """
    _checks.one_of(method, "method", ("welch", "proportion", "bootstrap"))
    _chance(alpha, "alpha")
    groups = _totals(outcome, variant, unit)
    units = np.array([len(sums) for sums, _ in groups])
    means = np.array([sums.sum() / sizes.sum() for sums, sizes in groups])
    squared = np.array([_squared_error(*group) for group in groups])
    difference = means[1] - means[0]
    if squared.sum() == 0:
        raise ValueError("outcome does not vary within the variants: nothing can be tested")
    if method == "bootstrap":
        rng, times = _checks.generator(random_state), _checks.whole_number(resamples, "resamples")
        drawn = -np.subtract(*(_resampled_means(*group, times, rng) for group in groups))
        low, high = np.quantile(drawn, [alpha / 2, 1 - alpha / 2])
        p_value = min(1, 2 * (min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1) / (times + 1))
    else:
        error = error_if_equal = math.sqrt(squared.sum())
        law = stats.t(squared.sum() ** 2 / (squared**2 / (units - 1)).sum())
        if method == "proportion":
            if unit is not None:
                raise ValueError("unit is of no use to 'proportion': it takes rows as independent")
            _checks.binary_labels(outcome, "outcome")
            pooled, law = means @ units / units.sum(), stats.norm
            error = math.sqrt((means * (1 - means) / units).sum())
            error_if_equal = math.sqrt(pooled * (1 - pooled) * (1 / units).sum())
        p_value = 2 * law.sf(abs(difference) / error_if_equal)
        low, high = difference + law.isf(alpha / 2) * error * np.array([-1, 1])
    found = {"difference": difference, "low": low, "high": high, "p_value": p_value}
    return pd.Series(dict(zip(VARIANTS, means, strict=True)) | found | {"n": units.sum()})


def _totals(outcome, variant, unit):
    """Sum and number of the outcomes of each unit, for both variants."""
    outcome = _checks.numbers(outcome, "outcome", low=-1e100, high=1e100)
    variant = _checks.column(variant, "variant", len(outcome))
    strange = set(pd.unique(variant)) - set(VARIANTS)
    if strange:
        raise ValueError(f"variant must be champion or candidate, got {strange.pop()!r}")
    chosen = [variant == name for name in VARIANTS]
    if unit is None:
        groups = [(outcome[rows], np.ones(rows.sum())) for rows in chosen]
    else:
        codes, names = pd.factorize(_checks.column(unit, "unit", len(outcome)))
        sizes = [np.bincount(codes[rows], minlength=len(names)) for rows in chosen]
        both = np.flatnonzero((sizes[0] > 0) & (sizes[1] > 0))
        if len(both):
            raise ValueError(f"unit {names[both[0]]!r} was in both variants")
        sums = [np.bincount(codes[rows], outcome[rows], len(names)) for rows in chosen]
        groups = [(s[n > 0], n[n > 0].astype(float)) for s, n in zip(sums, sizes, strict=True)]
    for name, (sums, _) in zip(VARIANTS, groups, strict=True):
        if len(sums) < 2:
            raise ValueError(f"variant {name!r} has {len(sums)} units; at least two are needed")
    return groups


def _squared_error(sums, sizes):
    """Squared standard error of the mean of all rows, where units are independent."""
    rest = sums - sums.sum() / sizes.sum() * sizes
    rest[abs(rest) < 1e-12 * abs(sums).max()] = 0  # what rounding leaves of equal outcomes
    return len(sums) / (len(sums) - 1) * (rest**2).sum() / sizes.sum() ** 2


def _resampled_means(sums, sizes, times, rng):
    means = np.empty(times)
    for i in range(times):
        rows = rng.integers(len(sums), size=len(sums))
        means[i] = sums[rows].sum() / sizes[rows].sum()
    return means


# --- A/B testing: looking more than once ---------------------------------------------------------


def crossing_probability(bounds, drift=0.0):
    """Chance that |z| is first beyond its bound at each of several equally spaced looks.

    Parameters
    ----------
    bounds : array-like of shape (looks,)
        Bound of |z| at each look, above 0 and at most 40.
    drift : float, default 0
        Mean of z at the first look; 0 where there is no difference. At look k it is √k times that.

    Returns
    -------
    ndarray of shape (looks,)

    Raises
    ------
    ValueError
        If a bound is out of range, or drift is no finite number.

    References
    ----------
    Chapter 18, A/B Testing. P. Armitage, C. K. McPherson and B. C. Rowe, "Repeated significance
    tests on accumulating data", Journal of the Royal Statistical Society A 132 (1969): the
    density of the sum is carried from look to look by numerical integration.

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import crossing_probability
    >>> print(crossing_probability([1.96] * 5).sum().round(3))
    0.142
    """
    bounds = _checks.numbers(bounds, "bounds")
    _checks.number(drift, "drift")
    if bounds.min() <= 0 or bounds.max() > 40:
        raise ValueError(f"bounds must be above 0 and at most 40, got {bounds.tolist()}")
    limits = bounds * np.sqrt(np.arange(1, len(bounds) + 1))
    places, weights = special.roots_legendre(max(64, int(10 * limits.max())))
    at, mass = np.zeros(1), np.ones(1)  # the sum of all so far: where it may be, how likely
    survived = [1.0]
    for limit in limits:
        density = stats.norm.pdf(limit * places[:, None] - at - drift) @ mass
        at, mass = limit * places, limit * weights * density
        survived.append(mass.sum())
    return -np.diff(survived)


def group_sequential_bounds(looks, kind="obrien-fleming", alpha=0.05):
    """Bounds of |z| at equally spaced looks that hold all false alarms together at alpha.

    Parameters
    ----------
    looks : int
        From 1 to 100.
    kind : {"obrien-fleming", "pocock"}, default "obrien-fleming"
        Bounds that fall as 1/√look, and hardly cost power; or the same bound at each look.
    alpha : float in (0, 0.5), default 0.05
        Two-sided.

    Returns
    -------
    ndarray of shape (looks,)

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 18, A/B Testing. S. J. Pocock, Biometrika 64 (1977); P. C. O'Brien and T. R. Fleming,
    Biometrics 35 (1979).

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import group_sequential_bounds
    >>> group_sequential_bounds(5).round(2).tolist()
    [4.56, 3.23, 2.63, 2.28, 2.04]
    """
    _checks.number(_checks.whole_number(looks, "looks"), "looks", high=100)
    _checks.one_of(kind, "kind", ("obrien-fleming", "pocock"))
    _chance(alpha, "alpha", 0.5)
    k = np.arange(1, looks + 1)
    shape = np.ones(looks) if kind == "pocock" else np.sqrt(looks / k)
    once = stats.norm.isf(alpha / 2)

    def excess(factor):
        return crossing_probability(factor * shape).sum() - alpha

    most = stats.norm.isf(alpha / 2 / looks)  # Bonferroni's bound is never too low
    factor = once if looks == 1 else optimize.brentq(excess, once, most, xtol=1e-8)
    return factor * shape


def always_valid_bound(variance, tau, alpha=0.05):
    """Bound of |z| that holds however often, and for however long, somebody looks.

    Parameters
    ----------
    variance : float or array-like of shape (n,)
        Squared standard error of the difference at the look, above 0.
    tau : float
        Size of effect that is expected, in the unit of the outcome: where the test is sharpest. It
        must be chosen before the data are seen.
    alpha : float in (0, 1), default 0.05

    Returns
    -------
    float or ndarray of shape (n,)

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 18, A/B Testing. R. Johari et al., "Peeking at A/B tests", KDD (2017): the mixture
    sequential probability ratio test, with a normal mixture of standard deviation tau.

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import always_valid_bound
    >>> always_valid_bound([1.0, 0.01], tau=0.3).round(2).tolist()
    [8.58, 3.04]
    """
    v = _checks.numbers(np.atleast_1d(variance), "variance")
    if (v <= 0).any():
        raise ValueError(f"variance must be above 0, got {v.min():g}")
    _checks.number(tau, "tau", low=0, open_low=True)
    _chance(alpha, "alpha")
    total = v + tau**2
    bound = np.sqrt(total / tau**2 * (2 * math.log(1 / alpha) + np.log(total / v)))
    return float(bound[0]) if np.ndim(variance) == 0 else bound


def sequential_ab_test(
    outcome, variant, looks, *, method="obrien-fleming", tau=None, unit=None, alpha=0.05
):
    """An A/B test that may be looked at while it runs, and stopped at the first crossing.

    Parameters
    ----------
    outcome, variant, unit
        As in `ab_test`, in the order of arrival.
    looks : int
        Equally spaced looks at all rows so far; the last is at all rows.
    method : {"obrien-fleming", "pocock", "always valid"}, default "obrien-fleming"
        The first two need the number of looks beforehand; the third does not.
    tau : float, for "always valid" only
        As in `always_valid_bound`.
    alpha : float, default 0.05

    Returns
    -------
    DataFrame
        One row a look: ``n`` rows seen, ``difference``, ``z``, ``bound`` of its absolute value,
        and ``stop``, true from the first crossing on. A difference found by stopping early is, on
        average, too large.

    Raises
    ------
    ValueError
        As `ab_test` and `group_sequential_bounds`; if tau is missing or of no use; if a variant is
        empty at the first look.

    References
    ----------
    Chapter 18, A/B Testing.

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.testing_in_production import sequential_ab_test
    >>> outcome = np.random.default_rng(0).normal(size=400)
    >>> outcome[1::2] += 0.5  # every second unit has the candidate, which is better
    >>> table = sequential_ab_test(outcome, ["champion", "candidate"] * 200, looks=4)
    >>> table["stop"].tolist()
    [False, True, True, True]
    """
    _checks.one_of(method, "method", ("obrien-fleming", "pocock", "always valid"))
    if (tau is None) == (method == "always valid"):
        raise ValueError("give tau for 'always valid', and for no other method")
    outcome = _checks.numbers(outcome, "outcome")
    variant = _checks.column(variant, "variant", len(outcome))
    looks = _checks.whole_number(looks, "looks")
    ends = np.linspace(0, len(outcome), looks + 1).round().astype(int)[1:]
    rows = []
    for end in ends:
        part = None if unit is None else np.asarray(unit)[:end]
        first, second = _totals(outcome[:end], variant[:end], part)
        difference = second[0].sum() / second[1].sum() - first[0].sum() / first[1].sum()
        rows.append([end, difference, _squared_error(*first) + _squared_error(*second)])
    n, difference, squared = np.array(rows).T
    if (squared == 0).any():
        raise ValueError("outcome does not vary at the first look: look later")
    z = difference / np.sqrt(squared)
    if method == "always valid":
        bounds = always_valid_bound(squared, tau, alpha)
    else:
        bounds = group_sequential_bounds(looks, method, alpha)
    stop = np.logical_or.accumulate(np.abs(z) >= bounds)
    table = {"n": n.astype(int), "difference": difference, "z": z, "bound": bounds, "stop": stop}
    return pd.DataFrame(table, index=pd.RangeIndex(1, looks + 1, name="look"))


def sprt_bounds(alpha=0.05, beta=0.2):
    """Wald's bounds of the log-likelihood ratio: above the first H1 is taken, below the second H0.

    Parameters
    ----------
    alpha : float
        Chance of taking H1 although H0 holds.
    beta : float
        Chance of taking H0 although H1 holds. Together below 1.

    Returns
    -------
    upper, lower : float

    Raises
    ------
    ValueError
        If alpha or beta is not in (0, 1), or together they are not below 1.

    References
    ----------
    Chapter 18, A/B Testing. A. Wald, "Sequential tests of statistical hypotheses", Annals of
    Mathematical Statistics 16 (1945).

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import sprt_bounds
    >>> [round(bound, 4) for bound in sprt_bounds(0.05, 0.2)]
    [2.7726, -1.5581]
    """
    _chance(alpha, "alpha")
    _chance(beta, "beta", 1 - alpha)
    return math.log((1 - beta) / alpha), math.log(beta / (1 - alpha))


# --- A/B testing: where variants interfere --------------------------------------------------------


_DEMAND, _WANTS, _DRIVERS, _BUSY = (180, 220), (0.5, 0.8), 600, 0.8  # of the market below


def simulate_market(candidate_share, *, random_state=None):
    """Rides of a generated market in which both variants draw on the same 600 drivers.

    Each day 180 or 220 riders an hour ask, with equal chances. A rider takes the champion's price
    with probability 0.5 and the candidate's, which is lower, with 0.8. As many rides begin as there
    are free drivers. A driver under way at the end of an hour is free an hour later with chance
    0.2, so with all 600 under way 120 come free, and no more rides can begin. Generated, because
    the truth must be known: a day with `d` requests an hour and one variant for all settles at
    ``min(wants * d, 120) / d`` rides a request.

    Parameters
    ----------
    candidate_share : array-like of shape (days,)
        Share of the riders who get the candidate on each day, from 0 to 1.
    random_state : int, numpy Generator or None

    Returns
    -------
    DataFrame
        A row for each day, hour and variant that was asked: ``day``, ``hour``, ``variant``,
        ``requests`` and ``rides``. The first day begins as a champion's day ends.

    Raises
    ------
    ValueError
        If a share is out of range.

    References
    ----------
    Chapter 18, A/B Testing.

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import simulate_market
    >>> rides = simulate_market([0.5] * 7, random_state=0).groupby("variant").sum()
    >>> (rides["rides"] / rides["requests"]).round(2).to_dict()
    {'candidate': 0.71, 'champion': 0.45}
    """
    shares = _checks.numbers(candidate_share, "candidate_share", low=0, high=1)
    rng = _checks.generator(random_state)
    away = int(_BUSY * min(_WANTS[0] * np.mean(_DEMAND) / (1 - _BUSY), _DRIVERS))
    rows = []
    for day, share in enumerate(shares):
        level = rng.choice(_DEMAND)
        for hour in range(24):
            requests = rng.poisson([level * (1 - share), level * share])
            wanted = rng.binomial(requests, _WANTS)
            rides = min(wanted.sum(), _DRIVERS - away)
            of_champion = rng.hypergeometric(*wanted, rides)
            away = rng.binomial(away + rides, _BUSY)
            rows.append((day, hour, "champion", requests[0], of_champion))
            rows.append((day, hour, "candidate", requests[1], rides - of_champion))
    table = pd.DataFrame(rows, columns=["day", "hour", "variant", "requests", "rides"])
    return table[table["requests"] > 0].reset_index(drop=True)


def switchback_schedule(periods, random_state=None):
    """A variant for each period: in each pair of periods both variants, in random order.

    Parameters
    ----------
    periods : int
        At least 4, and even.
    random_state : int, numpy Generator or None

    Returns
    -------
    ndarray of str of shape (periods,)

    Raises
    ------
    ValueError
        If periods is odd or too small.

    References
    ----------
    Chapter 18, A/B Testing. I. Bojinov, D. Simchi-Levi and J. Zhao, "Design and analysis of
    switchback experiments", Management Science 69 (2023).

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import switchback_schedule
    >>> print(*switchback_schedule(4, random_state=0))
    champion candidate champion candidate
    """
    periods = _checks.whole_number(periods, "periods", low=4)
    if periods % 2:
        raise ValueError(f"periods must be even, got {periods}")
    rng = _checks.generator(random_state)
    pairs = np.tile(np.array(VARIANTS), (periods // 2, 1))
    return rng.permuted(pairs, axis=1).ravel()


def switchback(outcome, size, period, variant, *, elapsed=None, washout=0, alpha=0.05):
    """The difference between variants that took turns, with periods as the sample.

    Parameters
    ----------
    outcome, size : array-like of shape (n,)
        Sums of the outcome, and how many they are sums of (rides and requests); size above 0.
    period : array-like of shape (n,)
        The day, or whatever the variants alternate by.
    variant : array-like of str of shape (n,)
        "champion" or "candidate", one in each period.
    elapsed : array-like of shape (n,), with `washout` only
        Time since the period began.
    washout : float, default 0
        Rows with less than this elapsed still feel the variant before, and are left out.
    alpha : float, default 0.05

    Returns
    -------
    Series
        As `ab_test` gives it, on one number a period, outcome over size; ``n`` counts periods.

    Raises
    ------
    ValueError
        As `ab_test`; if a period has two variants, a size is not above 0, a washout has no elapsed,
        or it leaves nothing over.

    References
    ----------
    Chapter 18, A/B Testing. Bojinov, Simchi-Levi and Zhao (2023).

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import switchback
    >>> variant = ["champion", "candidate"] * 3
    >>> result = switchback([50, 60, 52, 58, 48, 62], [100] * 6, range(6), variant)
    >>> print(result["difference"].round(3), int(result["n"]))
    0.1 6
    """
    outcome = _checks.numbers(outcome, "outcome")
    size = _checks.numbers(size, "size", len(outcome))
    if (size <= 0).any():
        raise ValueError(f"size must be above 0, got {size.min():g}")
    rows = pd.DataFrame({"outcome": outcome, "size": size})
    rows["period"] = _checks.column(period, "period", len(outcome))
    rows["variant"] = _checks.column(variant, "variant", len(outcome))
    _checks.number(washout, "washout", low=0)
    if washout:
        if elapsed is None:
            raise ValueError("washout needs elapsed, the time since each period began")
        rows = rows[_checks.numbers(elapsed, "elapsed", len(outcome)) >= washout]
        if rows.empty:
            raise ValueError(f"washout of {washout:g} leaves no row over")
    mixed = rows.groupby("period")["variant"].nunique()
    if (mixed > 1).any():
        raise ValueError(f"period {mixed.idxmax()!r} has two variants")
    days = rows.groupby(["period", "variant"])[["outcome", "size"]].sum().reset_index()
    return ab_test(days["outcome"] / days["size"], days["variant"], alpha=alpha)


# --- Canary release ---------------------------------------------------------------------------


class CanaryRelease:
    """A roll-out that grows in stages, holds at each, and sends everybody back if it must.

    States: "running", then "promoted" (the candidate serves all) or "aborted" (the champion does).
    `serve` or `record` say what happened, `advance` looks at it and decides.

    Parameters
    ----------
    stages : tuple of float, default (0.01, 0.05, 0.25, 0.5, 1)
        Share of the units that get the candidate, growing to 1. Who has it keeps it.
    hold : float, default 24
        Time that each stage lasts at least, by `advance`'s clock, which begins at 0.
    min_outcomes : int, default 500
        Outcomes of the candidate that each stage needs, of requests served in it. Without labels
        it waits.
    max_error_rate : float in (0, 1), default 0.01
        Aborted if so many errors had a chance below `alpha` at this rate.
    max_latency : float, optional
        Seconds. Aborted if the median of the last 1,000 answers of the candidate (at least 20) is
        above.
    alpha : float in (0, 0.5), default 0.001
        Also: aborted if the candidate has fewer good outcomes than the champion by a one-sided
        Mantel–Haenszel test at this level, with stages as strata: as the days and the shares
        change together, sums over all stages would mislead (Chapter 14, Simpson's paradox). Small,
        because it is looked at again and again. At a share of 1 there is no champion to compare.
    first_markets : collection, optional
        In the first stage only units of these markets get the candidate; record the champion's
        outcomes of these markets only, too.
    timeout : float, default 1
        Seconds that `serve` waits for the candidate.
    salt : str
        As in `assign_variant`.

    Attributes
    ----------
    state : str
    stage : int
        Number of the stage, from 0; give it to `record` with outcomes that are late.
    share : float
        Of the units, now.
    counts : dict
        Of each variant since the start: requests, errors, outcomes, good.
    history : list of dict
        Every change: ``time``, ``share`` from then on, ``state`` and ``reason``.

    Raises
    ------
    ValueError
        If a parameter is out of range, the stages do not grow to 1, time runs backwards, a unit is
        missing, a stage has not come yet, or a count is negative or larger than the one that it is
        part of.

    References
    ----------
    Chapter 18, Canary Release. D. Sato, "CanaryRelease", martinfowler.com (2014).

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import CanaryRelease
    >>> release = CanaryRelease(stages=(0.1, 1), hold=1, min_outcomes=100)
    >>> release.record("candidate", requests=200, errors=20, outcomes=180, good=90)
    >>> release.advance(now=1)
    'aborted'
    >>> release.share, release.history[-1]["reason"]
    (0.0, '20 errors in 200 requests')
    """

    def __init__(
        self,
        stages=(0.01, 0.05, 0.25, 0.5, 1),
        *,
        hold=24,
        min_outcomes=500,
        max_error_rate=0.01,
        max_latency=None,
        alpha=0.001,
        first_markets=None,
        timeout=1.0,
        salt="canary",
    ):
        shares = _checks.numbers(stages, "stages", low=0, high=1)
        if shares[-1] != 1 or shares[0] == 0 or (np.diff(shares) <= 0).any():
            raise ValueError(f"stages must grow from above 0 to 1, got {stages}")
        _chance(max_error_rate, "max_error_rate")
        _chance(alpha, "alpha", 0.5)
        if max_latency is not None:
            _checks.number(max_latency, "max_latency", low=0, open_low=True)
        self.stages, self.hold = shares.tolist(), _checks.number(hold, "hold", low=0)
        self.min_outcomes = _checks.whole_number(min_outcomes, "min_outcomes", low=0)
        self.max_error_rate, self.max_latency, self.alpha = max_error_rate, max_latency, alpha
        markets = set() if first_markets is None else first_markets
        if isinstance(markets, str) or not hasattr(markets, "__contains__"):
            raise ValueError(
                f"first_markets must be a collection of markets, got {first_markets!r}"
            )
        self.first_markets = first_markets
        self.timeout = _checks.number(timeout, "timeout", low=0, open_low=True)
        self.salt = _salt(salt)
        self.counts = {name: dict.fromkeys(_COUNTS, 0) for name in VARIANTS}
        self._strata = [{name: [0, 0] for name in VARIANTS} for _ in self.stages]  # outcomes, good
        self._seconds = deque(maxlen=1000)
        self.stage, self._now = 0, 0.0
        self.state, self.history = "running", []
        self._change("running", self.stages[0], "start")

    def route(self, unit, market=None):
        """The variant for this unit: "champion" or "candidate"."""
        if pd.isna(unit):
            raise ValueError(f"unit is missing, got {unit!r}")
        elsewhere = self.first_markets is not None and market not in self.first_markets
        if elsewhere and self.state == "running" and self.stage == 0:
            return "champion"
        return VARIANTS[int(_hashed([unit], self.salt)[0] < self.share)]

    def serve(self, request, unit, champion, candidate, market=None):
        """An answer for the user: the champion's wherever the candidate fails.

        `champion` and `candidate` are functions of the request that give a finite number. A
        candidate that raises, answers anything else or is late counts as an error. A candidate
        that was promoted is the champion of the next release: it has no other to fall back on.
        """
        if self.route(unit, market) == "champion":
            self.record("champion", requests=1)
            return champion(request)
        answer, seconds = _guarded(candidate, request, self.timeout)
        self._seconds.append(seconds)
        self.record("candidate", requests=1, errors=int(answer is None))
        return champion(request) if answer is None else answer

    def record(self, variant, *, requests=0, errors=0, outcomes=0, good=0, stage=None):
        """Add to a variant's counts; outcomes come when the labels do.

        Where labels are late, give outcomes the `stage` in which the requests were served: its
        number, as it was then in the attribute ``stage``. By default it is the present one.
        """
        _checks.one_of(variant, "variant", VARIANTS)
        new = dict(zip(_COUNTS, (requests, errors, outcomes, good), strict=True))
        for name, count in new.items():
            new[name] = _checks.whole_number(count, name, low=0)
        if errors > requests or good > outcomes:
            raise ValueError("errors must be part of the requests, and good of the outcomes")
        stage = self.stage if stage is None else _checks.whole_number(stage, "stage", low=0)
        if stage > self.stage:
            raise ValueError(f"stage must be at most the present one, {self.stage}, got {stage}")
        for name, count in new.items():
            self.counts[variant][name] += count
        counted = self._strata[stage][variant]
        counted[:] = counted[0] + new["outcomes"], counted[1] + new["good"]

    def advance(self, now):
        """Look, and go on, hold or abort; the state after that."""
        if _checks.number(now, "now") < self._now:
            raise ValueError(f"now must not run backwards: {now} comes after {self._now}")
        self._now = now
        if self.state != "running":
            return self.state
        reason = self._harm()
        held = now - self._since >= self.hold
        if reason:
            self._change("aborted", 0.0, reason)
        elif held and self._strata[self.stage]["candidate"][0] >= self.min_outcomes:
            if self.stage + 1 == len(self.stages):
                self._change("promoted", 1.0, "every stage held")
            else:
                self.stage += 1
                self._change("running", self.stages[self.stage], "stage held")
        return self.state

    def _harm(self):
        """Why the candidate must go, or None."""
        n, errors = (self.counts["candidate"][name] for name in ("requests", "errors"))
        if errors and special.bdtrc(errors - 1, n, self.max_error_rate) < self.alpha:
            return f"{errors} errors in {n} requests"
        slow = self.max_latency is not None and len(self._seconds) >= 20
        if slow and np.median(self._seconds) > self.max_latency:
            return "answers too slow"
        excess, variance = 0.0, 0.0
        for stratum in self._strata[: self.stage + 1]:
            of_stage = _excess_good(*stratum["champion"], *stratum["candidate"])
            excess, variance = excess + of_stage[0], variance + of_stage[1]
        if variance and special.ndtr(excess / math.sqrt(variance)) < self.alpha:
            return f"{-excess:.0f} good outcomes fewer than the champion would have had"
        return None

    def _change(self, state, share, reason):
        self.state, self.share, self._since = state, share, self._now
        entry = {"time": self._now, "share": share, "state": state, "reason": reason}
        self.history.append(entry)


def _excess_good(n_old, good_old, n_new, good_new):
    """Good outcomes of the candidate beyond its part of all in this stage, and their variance."""
    if n_old == 0 or n_new == 0:
        return 0.0, 0.0
    n, good = n_old + n_new, good_old + good_new
    share = n_new / n
    return good_new - share * good, share * (1 - share) * good * (n - good) / (n - 1)


_COUNTS = ("requests", "errors", "outcomes", "good")


def simulate_releases(
    good_share, n=1000, *, champion_share=0.35, error_rate=0.0, random_state=None, **options
):
    """What becomes of many canary releases of a candidate whose quality is known.

    Every hour 1,000 requests come, each with an outcome at once; the releases are those of
    `CanaryRelease`, and each runs until it has ended, or for 60 days.

    Parameters
    ----------
    good_share : float in [0, 1]
        Of the candidate's answers that come without an error.
    n : int, default 1000
        Releases.
    champion_share : float in [0, 1], default 0.35
        Good answers of the champion.
    error_rate : float in [0, 1], default 0
        Of the candidate; the champion makes no errors.
    random_state : int, numpy Generator or None
    **options
        Of `CanaryRelease`, whose clock counts hours.

    Returns
    -------
    DataFrame of n rows
        ``state`` at the end, ``hours`` it took, and ``served`` by the candidate until then.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Chapter 18, Canary Release.

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import simulate_releases
    >>> ends = simulate_releases(good_share=0.10, n=50, random_state=0)  # far too few good ones
    >>> ends["state"].unique().tolist()
    ['aborted']
    """
    shares = _checks.numbers([good_share, champion_share], "good_share and champion_share", 2, 0, 1)
    _checks.number(error_rate, "error_rate", 0, 1)
    rng, ends = _checks.generator(random_state), []
    for _ in range(_checks.whole_number(n, "n")):
        release, share, hours = CanaryRelease(**options), None, []
        for hour in range(1, 24 * 60 + 1):
            if share != release.share or not hours:  # drawn a day at a time, which is faster
                share = release.share
                asked = rng.binomial(1000, share, 24)
                fine = asked - rng.binomial(asked, error_rate)
                good, others = rng.binomial(fine, shares[0]), rng.binomial(1000 - asked, shares[1])
                hours = np.column_stack([asked, fine, good, others]).tolist()
            n, fine, good, others = hours.pop()
            release.record("candidate", requests=n, errors=n - fine, outcomes=fine, good=good)
            release.record("champion", requests=1000 - n, outcomes=1000 - n, good=others)
            if release.advance(hour) != "running":
                break
        ends.append((release.state, hour, release.counts["candidate"]["requests"]))
    return pd.DataFrame(ends, columns=["state", "hours", "served"])


# --- Interleaving -----------------------------------------------------------------------------


def team_draft_interleave(champion, candidate, k=None, random_state=None):
    """One list out of two rankings, and whose choice each item of it is.

    As captains choose teams: in each round both rankings add their best item that is not in the
    list yet, and a coin says which goes first.

    Parameters
    ----------
    champion, candidate : sequence of shape (n,)
        The same kind of items, best first, none twice.
    k : int, optional
        Length of the list; by default until the ranking whose turn it is has no more to add.
    random_state : int, numpy Generator or None

    Returns
    -------
    items : list
    teams : ndarray of str
        "champion" or "candidate" for each item: a click on it counts for that ranking.

    Raises
    ------
    ValueError
        If a ranking is empty or holds an item twice, or k is below 1.

    References
    ----------
    Chapter 18, Interleaving. F. Radlinski, M. Kurup and T. Joachims, "How does clickthrough data
    reflect retrieval quality?", CIKM (2008).

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import team_draft_interleave
    >>> items, teams = team_draft_interleave("abcd", "bdca", k=3, random_state=1)
    >>> items, teams.tolist()
    (['a', 'b', 'c'], ['champion', 'candidate', 'champion'])
    """
    rankings = [list(champion), list(candidate)]
    for ranking, name in zip(rankings, VARIANTS, strict=True):
        if not ranking or len(set(ranking)) < len(ranking):
            raise ValueError(f"{name} must hold at least one item, and none twice, got {ranking}")
    k = sum(map(len, rankings)) if k is None else _checks.whole_number(k, "k")
    rng = _checks.generator(random_state)
    items, teams = [], []
    while len(items) < k:
        turn = int(rng.random() < 0.5) if len(items) % 2 == 0 else 1 - teams[-1]
        chosen = next((item for item in rankings[turn] if item not in items), None)
        if chosen is None:
            break
        items.append(chosen)
        teams.append(turn)
    return items, np.array(VARIANTS)[teams]


# --- Bandits ----------------------------------------------------------------------------------


class Bandit:
    """A choice among arms that learns from the rewards of what it chose, in many runs at once.

    Parameters
    ----------
    arms : int
        At least 2.
    policy : {"epsilon-greedy", "ucb1", "thompson"}, default "thompson"
        At random with chance `epsilon`, else the best mean so far; the highest upper bound; the
        highest draw from each arm's Beta distribution, which begins uniform.
    epsilon : float in [0, 1], default 0.1
    runs : int, default 1
        Independent runs side by side.
    random_state : int, numpy Generator or None

    Attributes
    ----------
    pulls, rewards : ndarray of shape (runs, arms)
        How often each arm was chosen and rewarded, and its rewards added up.

    Raises
    ------
    ValueError
        If an argument is out of range, or a reward is not from 0 to 1.

    References
    ----------
    Chapter 18, Bandits. P. Auer, N. Cesa-Bianchi and P. Fischer, "Finite-time analysis of the
    multiarmed bandit problem", Machine Learning 47 (2002); W. R. Thompson, Biometrika 25 (1933).

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import Bandit
    >>> bandit = Bandit(arms=2, policy="ucb1", random_state=0)
    >>> for reward in ([0.2], [0.9], [0.8]):
    ...     bandit.update(bandit.choose(), reward)
    >>> bandit.pulls.tolist()
    [[1.0, 2.0]]
    """

    def __init__(self, arms, policy="thompson", *, epsilon=0.1, runs=1, random_state=None):
        self.policy = _checks.one_of(policy, "policy", ("epsilon-greedy", "ucb1", "thompson"))
        self.epsilon = _checks.number(epsilon, "epsilon", 0, 1)
        shape = (_checks.whole_number(runs, "runs"), _checks.whole_number(arms, "arms", low=2))
        self.pulls, self.rewards = np.zeros(shape), np.zeros(shape)
        self._rng = _checks.generator(random_state)

    def index(self):
        """What each arm is worth to the policy now, of shape (runs, arms): the highest is chosen.

        For "ucb1" mean + √(2 ln N / n), with n the arm's pulls and N those of all arms. An arm
        without a reward yet has an infinite index, for "thompson" a uniform draw.
        """
        if self.policy == "thompson":
            lost = self.pulls - self.rewards
            return self._rng.beta(1 + self.rewards, 1 + lost)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = self.rewards / self.pulls
            if self.policy == "ucb1":
                total = self.pulls.sum(axis=1, keepdims=True)
                mean = mean + np.sqrt(2 * np.log(total) / self.pulls)
        return np.where(self.pulls == 0, np.inf, mean)

    def choose(self):
        """An arm for each run, of shape (runs,); of equally good ones any."""
        index = self.index()
        tie_break = self._rng.random(index.shape)
        best = np.where(index == index.max(axis=1, keepdims=True), tie_break, -1).argmax(axis=1)
        if self.policy != "epsilon-greedy":
            return best
        explore = self._rng.random(len(best)) < self.epsilon
        return np.where(explore, self._rng.integers(index.shape[1], size=len(best)), best)

    def update(self, arm, reward):
        """Learn the rewards, from 0 to 1, of the arms chosen; one for each run."""
        runs, arms = self.pulls.shape
        arm = _whole_numbers(np.atleast_1d(arm), "arm", runs, arms - 1)
        reward = _checks.numbers(np.atleast_1d(reward), "reward", runs, 0, 1)
        self.pulls[np.arange(runs), arm] += 1
        self.rewards[np.arange(runs), arm] += reward


def _whole_numbers(values, name, length, high):
    array = _checks.numbers(values, name, length, 0, high)
    if (array % 1).any():
        raise ValueError(f"{name} must hold whole numbers, got {array[array % 1 > 0][0]:g}")
    return array.astype(int)


def simulate_bandit(bandit, means, steps, *, delay=0, random_state=None):
    """The regret of a bandit on arms whose means are known.

    Parameters
    ----------
    bandit : Bandit
        A fresh one; it learns.
    means : array-like of shape (arms,)
        Chance of a reward of 1.
    steps : int
    delay : int, default 0
        Steps that pass until a reward is known.
    random_state : int, numpy Generator or None

    Returns
    -------
    ndarray of shape (steps, runs)
        Regret so far: what always choosing the best arm would have brought more, on average.

    Raises
    ------
    ValueError
        If the number of means is not that of the arms, or an argument is out of range.

    References
    ----------
    Chapter 18, Bandits.

    Examples
    --------
    >>> from mlsys_helpers.testing_in_production import Bandit, simulate_bandit
    >>> bandit = Bandit(arms=2, runs=100, random_state=0)
    >>> regret = simulate_bandit(bandit, [0.1, 0.3], steps=500, random_state=1)
    >>> bool(regret[-1].mean() < 0.25 * 500 * 0.1)  # a quarter of what choosing at random costs
    True
    """
    runs, arms = bandit.pulls.shape
    means = _checks.numbers(means, "means", arms, 0, 1)
    steps, delay = _checks.whole_number(steps, "steps"), _checks.whole_number(delay, "delay", low=0)
    rng, waiting, regret = _checks.generator(random_state), deque(), np.empty((steps, runs))
    for step in range(steps):
        arm = bandit.choose()
        regret[step] = means.max() - means[arm]
        waiting.append((arm, (rng.random(runs) < means[arm]).astype(float)))
        if len(waiting) > delay:
            bandit.update(*waiting.popleft())
    return regret.cumsum(axis=0)


def replay_bandit(bandit, arms, rewards):
    """The rewards that a bandit would have had, from a log of arms chosen uniformly at random.

    Where the bandit's choice is the logged one, the logged reward counts and is learned; other
    rows are skipped.

    Parameters
    ----------
    bandit : Bandit
        A fresh one of a single run; it learns.
    arms : array-like of int of shape (n,)
        Chosen uniformly at random, in the order of time.
    rewards : array-like of shape (n,)
        From 0 to 1.

    Returns
    -------
    ndarray of shape (m,)
        The rewards of the rows that counted, about one in so many as there are arms.

    Raises
    ------
    ValueError
        If the bandit has several runs, or an argument has another length or range.

    References
    ----------
    Chapter 18, Bandits. L. Li et al., "Unbiased offline evaluation of contextual-bandit-based news
    article recommendation algorithms", WSDM (2011).

    Examples
    --------
    >>> import numpy as np
    >>> from mlsys_helpers.testing_in_production import Bandit, replay_bandit
    >>> rng = np.random.default_rng(0)
    >>> arms = rng.integers(2, size=2000)
    >>> rewards = (rng.random(2000) < np.array([0.1, 0.4])[arms]).astype(int)
    >>> got = replay_bandit(Bandit(arms=2, random_state=0), arms, rewards)
    >>> bool(got.mean() > 0.3)
    True
    """
    runs, n_arms = bandit.pulls.shape
    if runs != 1:
        raise ValueError(f"bandit must have a single run, got {runs}")
    arms = _whole_numbers(arms, "arms", None, n_arms - 1)
    rewards = _checks.numbers(rewards, "rewards", len(arms), 0, 1)
    counted = []
    for arm, reward in zip(arms, rewards, strict=True):
        if bandit.choose()[0] == arm:
            bandit.update(arm, reward)
            counted.append(reward)
    return np.array(counted)
