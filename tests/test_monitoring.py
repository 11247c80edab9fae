"""Chapter 16 against known answers: closed forms, scipy, statsmodels, planted causes."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist, jensenshannon
from statsmodels.stats.multitest import multipletests

from mlsys_helpers.datasets import load_flight_features
from mlsys_helpers.exercises._engine import judge
from mlsys_helpers.monitoring import (
    FeatureProfile,
    Monitor,
    alert_episodes,
    correct_p_values,
    describe_shift,
    detect_shift,
    domain_classifier_test,
    explain_shift,
    infer_schema,
    make_shift,
    mmd_test,
    plot_shift_over_time,
    popularity_metrics,
    position_bias_correction,
    psi,
    psi_threshold,
    shift_over_time,
    shift_parts,
    shift_schedule,
    simulate_feedback_loop,
    write_dashboard,
)

LEVEL = 3 * np.sqrt(0.05 * 0.95 / 1000)  # three standard errors of a rate of 5 % in 1,000 draws
AGE = {"kind": "number", "low": 0.0, "high": 120.0, "edges": [18.0, 65.0]}
HOURS = pd.date_range("2013-01-01", periods=24 * 20, freq="h")


@pytest.fixture(scope="module")
def flights():
    return load_flight_features()


@pytest.fixture(scope="module")
def pool():
    """Generated, so that the truth is known: y depends on x1, x2 is noise."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(4000, 2)), columns=["x1", "x2"])
    return X, (rng.random(4000) < 1 / (1 + np.exp(1 - X["x1"]))).astype(int).to_numpy()


# --- Kinds of shift


@pytest.mark.parametrize("kind", ["covariate", "label", "concept"])
def test_a_shift_moves_what_it_may_and_leaves_the_rest(pool, kind):
    X, y = pool
    column = "x1" if kind == "covariate" else None
    rng, p = np.random.default_rng(0), []
    X, y = X[:1500], y[:1500]
    for _ in range(200):
        # both sides are fresh draws, so that the null hypothesis is true of what must stay
        X_old, y_old = make_shift(X, y, kind, 0.0, column, rng)
        X_new, y_new = make_shift(X, y, kind, 0.3, column, rng)
        p.append(shift_parts(X_old["x1"], y_old, X_new["x1"], y_new)["p"])
    rejected = (pd.DataFrame(p) < 0.05).mean()
    stays = {"covariate": "P(y|x)", "label": "P(x|y)", "concept": "P(x)"}[kind]
    moves = {"covariate": ["P(x)"], "label": ["P(y)", "P(x)"], "concept": ["P(y|x)", "P(y)"]}[kind]
    # 5 % and three standard errors of 200 draws; draws with replacement have ties, which cost
    # the tests of Kolmogorov and Smirnov nothing but make a part of the draws a little alike
    assert rejected[stays] < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert (rejected[moves] > 0.95).all()


def test_strength_has_closed_forms(pool):
    X, y = pool
    X = pd.concat([X] * 10, ignore_index=True)
    y = np.tile(y, 10)
    error = 3 * np.sqrt(0.25 / len(y))
    X_new, _ = make_shift(X, y, "covariate", 0.4, "x1", 0)
    assert (X_new["x1"] > X["x1"].median()).mean() == pytest.approx(0.7, abs=error)
    _, label = make_shift(X, y, "label", 0.4, random_state=0)
    assert label.mean() == pytest.approx(y.mean() + 0.4 * (1 - y.mean()), abs=error)
    _, concept = make_shift(X, y, "concept", 0.4, random_state=0)
    assert concept.mean() == pytest.approx(0.6 * y.mean() + 0.4 * (1 - y.mean()), abs=error)


def test_a_shift_of_no_strength_is_a_bootstrap_and_inputs_stay(pool):
    X, y = pool
    before = X.copy()
    X_new, y_new = make_shift(X, y, "concept", 0, random_state=1)
    rows = np.random.default_rng(1).integers(len(X), size=len(X))
    assert np.array_equal(X_new, X.iloc[rows]) and np.array_equal(y_new, y[rows])
    pd.testing.assert_frame_equal(X, before)
    pd.testing.assert_frame_equal(make_shift(X, y, "label", 0.5, None, 3)[0],
                                  make_shift(X, y, "label", 0.5, None, 3)[0])  # fmt: skip


def test_schedules():
    assert shift_schedule(6, "sudden", 0.3).tolist() == [0, 0, 0, 0.3, 0.3, 0.3]
    assert np.allclose(shift_schedule(5, "gradual"), [0, 0.2, 0.4, 0.6, 0.8])
    wave = shift_schedule(100, "seasonal", 0.8)
    assert wave[0] == 0 and wave[50] == pytest.approx(0.8)
    assert np.allclose(wave[1:], wave[1:][::-1])
    with pytest.raises(ValueError, match="pattern must be one of"):
        shift_schedule(3, "weekly")
    with pytest.raises(ValueError, match="strength must be"):
        shift_schedule(3, "sudden", 1.5)
    with pytest.raises(ValueError, match="n must be"):
        shift_schedule(0, "sudden")


def test_a_schedule_shifts_its_own_rows_only(pool):
    X, y = pool
    _, y_new = make_shift(X, y, "label", shift_schedule(len(X), "sudden"), random_state=0)
    assert (y_new[2000:] == 1).all() and 0.2 < y_new[:2000].mean() < 0.5


def test_make_shift_refuses(pool):
    X, y = pool
    with pytest.raises(TypeError, match="X must be a DataFrame"):
        make_shift(X.to_numpy(), y, "label", 0.1)
    with pytest.raises(ValueError, match="kind must be one of"):
        make_shift(X, y, "drift", 0.1)
    with pytest.raises(ValueError, match="strength must hold numbers from 0 to 1"):
        make_shift(X, y, "label", 2)
    with pytest.raises(ValueError, match="strength must have 4000 entries"):
        make_shift(X, y, "label", [0.1, 0.2])
    with pytest.raises(ValueError, match="no column 'x9'"):
        make_shift(X, y, "covariate", 0.1, "x9")
    with pytest.raises(ValueError, match="leave it out"):
        make_shift(X, y, "label", 0.1, "x1")
    with pytest.raises(ValueError, match="no value above its median"):
        make_shift(X.assign(x1=3.0), y, "covariate", 0.1, "x1")
    with pytest.raises(ValueError, match="missing values"):
        make_shift(X.assign(x1=np.nan), y, "covariate", 0.1, "x1")
    with pytest.raises(ValueError, match="one class only"):
        make_shift(X, np.zeros(len(X)), "label", 0.1)


def test_shift_parts_says_how_much_could_be_compared():
    y = np.tile([0, 1], 500)
    parts = shift_parts(np.arange(1000), y, np.arange(1000) + 5000, y)
    assert parts.loc["P(x)", "effect"] == 1
    assert parts.loc["P(y|x)", "compared"] == 0 and parts.loc["P(y|x)", "p"] == 1
    tiny = shift_parts([1, 2], [0, 1], [1, 2], [1, 0])
    assert tiny.loc["P(y|x)", "compared"] == 0 and (tiny["p"] > 0.3).all()
    for values, message in (([np.inf, 1], "finite"), ([np.nan, 1], "missing"), ([], "empty")):
        with pytest.raises(ValueError, match=message):
            shift_parts(values, [0, 1], [1, 2], [0, 1])


# --- Feedback loops


def test_gini_has_closed_forms():
    for n in (2, 5, 40):
        assert popularity_metrics([7] * n) == {"gini": pytest.approx(0, abs=1e-12), "coverage": 1}
        one = popularity_metrics([0] * (n - 1) + [3])
        assert one == {"gini": pytest.approx(1 - 1 / n), "coverage": 1 / n}
        ramp = popularity_metrics(np.arange(1, n + 1)[::-1])
        assert ramp["gini"] == pytest.approx((n - 1) / (3 * n))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20).filter(any))
def test_gini_is_the_mean_difference_over_twice_the_mean(counts):
    x = np.array(counts, dtype=float)
    expected = abs(x[:, None] - x).mean() / (2 * x.mean())
    assert popularity_metrics(counts)["gini"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("counts", [[], [0, 0], [-1, 2], [np.nan], [np.inf, 1]])
def test_popularity_metrics_refuses(counts):
    with pytest.raises(ValueError, match="counts"):
        popularity_metrics(counts)


def coverage(**how):
    log = simulate_feedback_loop([0.2] * 40, random_state=0, **how)
    clicks = log.groupby("item")["clicks"].sum().reindex(range(40), fill_value=0)
    return popularity_metrics(clicks)


def test_the_loop_closes_on_equal_items_and_random_orders_open_it():
    closed = coverage()
    assert closed["coverage"] == 10 / 40 and closed["gini"] > 0.75
    assert coverage(randomised=0.1)["coverage"] == 1
    assert coverage(randomised=1.0)["gini"] < 0.1


def test_every_user_sees_every_slot_and_clicks_follow_examination_times_quality():
    log = simulate_feedback_loop([0.3] * 20, 100, 300, 5, randomised=0.4, random_state=1)
    assert (log.groupby(["round", "position"])["impressions"].sum() == 300).all()
    assert (log["clicks"] <= log["impressions"]).all()
    for position, rows in log.groupby("position"):
        n, p = rows["impressions"].sum(), 0.3 / position
        assert abs(rows["clicks"].sum() / n - p) < 4 * np.sqrt(p * (1 - p) / n)
    shares = log.groupby("random")["impressions"].sum() / log["impressions"].sum()
    assert shares[True] == pytest.approx(0.4, abs=3 * np.sqrt(0.24 / 30_000))


def test_randomising_costs_its_users_clicks_and_finds_better_items():
    quality = np.linspace(0.05, 0.4, 40)

    def final_quality(seed, **how):
        log = simulate_feedback_loop(quality, random_state=seed, **how)
        rates = log.groupby("random")[["clicks", "impressions"]].sum().eval("clicks / impressions")
        last = log[(log["round"] == 49) & ~log["random"]]
        return quality[last["item"]].mean(), rates

    closed = np.mean([final_quality(seed)[0] for seed in range(10)])
    opened = [final_quality(seed, rank_by="relevance", randomised=0.1) for seed in range(10)]
    assert np.mean([best for best, _ in opened]) > closed + 0.05
    assert all(rates[True] < rates[False] for _, rates in opened)


@pytest.mark.parametrize("known", [True, False])
def test_inverse_propensity_recovers_the_relevance(known):
    quality, examination = np.linspace(0.05, 0.6, 30), 1 / np.arange(1, 11)
    log = simulate_feedback_loop(quality, 200, 500, randomised=0.3, random_state=2)
    found = position_bias_correction(log, examination if known else None)
    z = (found["relevance"] - quality[found.index]) / found["standard_error"]
    naive = abs(found["click_rate"] - quality[found.index]).mean()
    assert abs(found["relevance"] - quality[found.index]).mean() < naive / 5
    if known:  # the standard error takes the propensities as known
        assert (abs(z) < 3).all() and z.std() == pytest.approx(1, abs=0.4)


def test_position_bias_correction_refuses():
    log = simulate_feedback_loop([0.2] * 10, 2, 5, 3, random_state=0)
    with pytest.raises(TypeError, match="log must be a DataFrame"):
        position_bias_correction([1])
    with pytest.raises(ValueError, match="no column 'clicks'"):
        position_bias_correction(log.drop(columns="clicks"))
    with pytest.raises(ValueError, match="cannot be estimated"):
        position_bias_correction(log)
    for propensity in ([1, 0.5], [1, 0.5, 0], [1, 0.5, -1]):
        with pytest.raises(ValueError, match="propensity must be above 0 at each of the 3"):
            position_bias_correction(log, propensity)
    for change, message in (
        ({"position": 0}, "position"),
        ({"position": 1.5}, "whole positions"),
        ({"clicks": np.nan}, "clicks"),
        ({"clicks": 10**6}, "at most as many clicks"),
        ({"impressions": 0}, "impressions"),
    ):
        with pytest.raises(ValueError, match=message):
            position_bias_correction(log.assign(**change), [1, 0.5, 0.3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quality": [0.5, 2]}, "quality"),
        ({"slots": 9}, "slots must be at most the 5 items"),
        ({"rounds": 0}, "rounds"),
        ({"users": 1.5}, "users"),
        ({"rank_by": "love"}, "rank_by"),
        ({"randomised": 2}, "randomised"),
        ({"random_state": "a"}, "random_state"),
    ],
)
def test_simulate_feedback_loop_refuses(change, message):
    options = {"quality": [0.2] * 5, "rounds": 2, "users": 5, "slots": 3} | change
    with pytest.raises(ValueError, match=message):
        simulate_feedback_loop(**options)


# --- Detection: statistics


def test_psi_known_answers():
    assert round(psi(["a", "b"] * 50, ["a"] * 60 + ["b"] * 40), 5) == 0.04055
    assert round(psi(["a", "b"] * 50, ["a"] * 70 + ["b"] * 30), 5) == 0.16946
    numbers = psi([0.0, 1.0] * 50, [0.0] * 70 + [1.0] * 30, edges=[0.5])
    assert round(numbers, 5) == 0.16946
    assert psi([True, False] * 50, [True] * 60 + [False] * 40) == pytest.approx(0.0405465, abs=1e-6)


def test_psi_empty_bins_count_as_half_a_row():
    expected = (0.1 - 0.005) * np.log(0.1 / 0.005) + (0.9 - 1) * np.log(0.9)
    assert psi(["a"] * 100, ["a"] * 90 + ["b"] * 10) == pytest.approx(expected)
    assert psi(["a"] * 90 + ["b"] * 10, ["a"] * 100) == pytest.approx(expected)
    assert psi([1, 9], [1, 9], edges=[3, 5, 7]) == 0  # bins that are empty on both sides


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=40),
    st.lists(st.floats(-100, 100), min_size=1, max_size=40),
)
def test_psi_is_symmetric_on_fixed_edges_and_never_negative(old, new):
    edges = [-50, 0, 50]
    forth = psi(old, new, edges)
    assert forth >= 0 and forth == pytest.approx(psi(new, old, edges))
    assert psi(old, old) == 0


def test_psi_sees_values_that_fill_many_quantiles():
    assert psi([5] * 100, [5] * 40) == 0  # a constant column
    for other in (4, 6):
        assert psi([5] * 100, [other] * 100) > 5
    rain = np.r_[np.zeros(95), np.arange(1, 6)]
    assert psi(rain, np.r_[np.zeros(50), np.full(50, 0.001)]) > 1


def test_psi_of_infinite_missing_and_new_values():
    x = np.arange(100.0)
    assert psi(x, np.r_[x, np.nan]) == pytest.approx(0)
    assert np.isfinite(psi(np.r_[x, np.inf], np.r_[x, -np.inf]))
    assert psi(x, np.full(9, np.inf)) > 1
    assert psi(["a"] * 50, ["b"] * 50) > 5
    assert np.isfinite(psi([1.0], [2.0]))  # one row each
    assert psi(pd.Series([1, None], dtype="Int64"), [1]) == 0


@pytest.mark.parametrize(
    ("old", "new", "options", "message"),
    [
        ([], [1], {}, "reference is empty"),
        ([1], [], {}, "current is empty"),
        ([1.0], [None, np.nan], {}, "current holds no value: all are missing"),
        ([1.0], ["a"], {}, "must be of one kind"),
        ([[1.0]], [1.0], {}, "one dimension"),
        (3, [1.0], {}, "one dimension"),
        (["a"], ["a"], {"edges": [1]}, "leave them out"),
        ([1.0], [1.0], {"edges": [2, 1]}, "edges must rise"),
        ([1.0], [1.0], {"edges": []}, "edges is empty"),
        ([1.0], [1.0], {"bins": 1}, "bins must be"),
        (pd.to_datetime(["2013-01-01"]), [1.0], {}, "numbers or categories"),
    ],
)
def test_psi_refuses(old, new, options, message):
    with pytest.raises(ValueError, match=message):
        psi(old, new, **options)


def test_psi_threshold_is_met_by_chance_at_its_level():
    rng = np.random.default_rng(0)
    for n, m in ((1000, 1000), (5000, 600)):
        edges = np.arange(0.1, 1, 0.1)
        alarms = [
            psi(rng.random(n), rng.random(m), edges) > psi_threshold(n, m) for _ in range(1000)
        ]
        assert np.mean(alarms) == pytest.approx(0.05, abs=LEVEL)
    with pytest.raises(ValueError, match="alpha"):
        psi_threshold(10, 10, alpha=0)
    with pytest.raises(ValueError, match="bins"):
        psi_threshold(10, 10, bins=1)
    with pytest.raises(ValueError, match="n must be"):
        psi_threshold(0, 10)


def test_detect_shift_gives_scipys_numbers(flights):
    old, new = flights.iloc[:3000], flights.iloc[200_000:203_000]
    table = detect_shift(
        old[["temp", "carrier", "wind_gust"]], new[["temp", "carrier", "wind_gust"]]
    )
    table = table.set_index(["feature", "part"])
    ks = stats.ks_2samp(old["temp"].dropna(), new["temp"].dropna())
    assert table.loc[("temp", "values"), "effect"] == pytest.approx(ks.statistic, abs=1e-12)
    assert table.loc[("temp", "values"), "p"] == pytest.approx(ks.pvalue, abs=1e-12)
    counts = pd.concat([old["carrier"].value_counts(), new["carrier"].value_counts()], axis=1)
    rare = (counts.sum(axis=1) / 2 < 5).to_numpy()
    pooled = np.vstack([counts[~rare], counts[rare].sum()])
    pooled = pooled[pooled.sum(axis=1) > 0]
    expected = stats.chi2_contingency(pooled.T, correction=False).pvalue
    assert table.loc[("carrier", "values"), "p"] == pytest.approx(expected, abs=1e-12)
    shares = counts / counts.sum()
    js = jensenshannon(shares.iloc[:, 0], shares.iloc[:, 1], base=2)
    assert table.loc[("carrier", "values"), "js"] == pytest.approx(js, abs=1e-9)
    gone = [part["wind_gust"].isna() for part in (old, new)]
    fisher = stats.fisher_exact([[g.sum(), (~g).sum()] for g in gone]).pvalue
    assert table.loc[("wind_gust", "missing"), "p"] == pytest.approx(fisher, abs=1e-12)


def test_ks_chi_square_and_missing_alarm_at_their_level():
    rng, alarms = np.random.default_rng(0), []
    for _ in range(1000):
        old, new = (
            pd.DataFrame(
                {
                    "number": np.where(rng.random(200) < 0.5, np.nan, rng.normal(size=200)),
                    "category": rng.choice(
                        list("abcdef"), 200, p=[0.4, 0.3, 0.15, 0.1, 0.04, 0.01]
                    ),
                }
            )
            for _ in range(2)
        )
        table = detect_shift(old, new, correction="none", min_effect=0)
        alarms.append(table.set_index(["feature", "part"])["shifted"])
    rates = pd.DataFrame(alarms).mean()
    assert rates["category", "values"] == pytest.approx(0.05, abs=LEVEL)
    # exact tests on discrete statistics stay below their level, never above it
    assert 0.015 < rates["number", "values"] < 0.05 + LEVEL
    assert 0.015 < rates["number", "missing"] < 0.05 + LEVEL


def test_mmd_and_domain_classifier_alarm_at_their_level_and_have_power():
    rng, alarms = np.random.default_rng(0), {0: [], 0.9: []}
    for shift, found in alarms.items():
        for _ in range(1000 if shift == 0 else 200):
            X, Y = rng.normal(size=(2, 40, 2))
            found.append(
                [
                    mmd_test(X, Y + shift, 19, random_state=rng)[1] <= 0.05,
                    domain_classifier_test(X, Y + shift, 4, 19, random_state=rng)[1] <= 0.05,
                ]
            )
    assert np.mean(alarms[0], axis=0) == pytest.approx(0.05, abs=LEVEL)  # 1 / 20, exactly
    assert (np.mean(alarms[0.9], axis=0) > 0.8).all()


def test_mmd_is_its_definition():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(7, 2)), rng.normal(1, 2, size=(5, 2))
    scale = np.concatenate([X, Y]).std(axis=0)
    A, B = X / scale, Y / scale
    every = cdist(np.concatenate([A, B]), np.concatenate([A, B]))
    width = np.median(every[np.triu_indices(12, 1)])

    def k(P, Q):
        return np.exp(-(cdist(P, Q) ** 2) / (2 * width**2))

    expected = (k(A, A).sum() - 7) / 42 + (k(B, B).sum() - 5) / 20 - 2 * k(A, B).mean()
    assert mmd_test(X, Y, 10)[0] == pytest.approx(expected, abs=1e-12)


def test_tests_of_tables_take_constant_columns_and_tell_correlation():
    same = np.ones((20, 2))
    assert mmd_test(same, same) == (0, 1)
    assert domain_classifier_test(same, same) == (0.5, 1)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    Y = rng.normal(size=(200, 1)) @ [[1, 1]] + 0.3 * rng.normal(size=(200, 2))
    assert domain_classifier_test(X, Y / Y.std(axis=0), random_state=0)[1] < 0.01
    assert mmd_test(X, Y / Y.std(axis=0), random_state=0)[1] < 0.01
    assert mmd_test([[1.0], [2.0]], [[1.0], [2.0]], random_state=0)[1] > 0.3  # tiny


@pytest.mark.parametrize("test", [mmd_test, domain_classifier_test])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ([[1.0], [np.nan]], [[1.0], [2.0]], "reference contains NaN"),
        ([[1.0], [2.0]], [[1.0], [np.inf]], "current contains infinity"),
        ([[1.0], [2.0]], [[1.0]], "minimum of 2"),
        ([[1.0], [2.0]], [[1.0, 2.0], [3.0, 4.0]], "current must have 1 columns, got 2"),
        ([1.0, 2.0], [[1.0], [2.0]], "2D array"),
        ([["a"], ["b"]], [[1.0], [2.0]], "convert"),
    ],
)
def test_tests_of_tables_refuse(test, old, new, message):
    with pytest.raises(ValueError, match=message):
        test(old, new)


def test_tests_of_tables_refuse_their_options():
    X = np.zeros((4, 1))
    for options, name in (({"folds": 1}, "folds"), ({"folds": 5}, "folds must be at most")):
        with pytest.raises(ValueError, match=name):
            domain_classifier_test(X, X, **options)
    for test in (mmd_test, domain_classifier_test):
        with pytest.raises(ValueError, match="permutations"):
            test(X, X, permutations=0)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_corrections_are_those_of_statsmodels(p):
    for ours, theirs in (("holm", "holm"), ("benjamini-hochberg", "fdr_bh")):
        expected = multipletests(p, method=theirs)[1]
        assert np.allclose(correct_p_values(p, ours), expected, atol=1e-12)
    assert correct_p_values(p, "none").tolist() == p


@pytest.mark.parametrize("p", [[], [1.2], [-0.1], [np.nan]])
def test_correct_p_values_refuses(p):
    with pytest.raises(ValueError, match="p "):
        correct_p_values(p)


def test_holm_bounds_any_false_alarm_over_many_columns():
    rng = np.random.default_rng(0)
    any_alarm = {"none": 0, "holm": 0}
    for _ in range(300):
        old, new = (pd.DataFrame(rng.normal(size=(60, 10))) for _ in range(2))
        table = detect_shift(old, new, min_effect=0)
        any_alarm["none"] += (table["p"] < 0.05).any()
        any_alarm["holm"] += table["shifted"].any()
    assert any_alarm["none"] > 300 * 0.25  # of ten tests at 5 % each, 40 % if they were exact
    assert any_alarm["holm"] < 300 * 0.05 + 3 * np.sqrt(300 * 0.05 * 0.95)


def test_with_many_rows_everything_is_significant_and_effect_tells():
    rng = np.random.default_rng(0)
    old, new = (
        pd.DataFrame({"x": rng.normal(size=20_000)}),
        pd.DataFrame({"x": rng.normal(0.05, 1, 20_000)}),
    )
    row = detect_shift(old, new).iloc[0]
    assert row["p_corrected"] < 0.01 and not row["shifted"]
    # the largest gap of two normals d apart is 2 Φ(d / 2) - 1
    assert row["effect"] == pytest.approx(2 * stats.norm.cdf(0.025) - 1, abs=0.02)


def test_detect_shift_on_awkward_columns():
    old = pd.DataFrame(
        {
            "constant": [1.0] * 60,
            "gone": np.arange(60.0),
            "never": [np.nan] * 60,
            "code": ["a"] * 60,
            "wild": np.r_[np.arange(59.0), np.inf],
        }
    )
    new = old.assign(gone=np.nan, code=["a"] * 30 + ["new"] * 30)
    before = new.copy()
    table = detect_shift(old, new[["wild", "code", "never", "gone", "constant"]])
    pd.testing.assert_frame_equal(new, before)
    table = table.set_index(["feature", "part"])
    assert table.loc[("constant", "values"), "p"] == 1
    assert ("gone", "values") not in table.index and table.loc[("gone", "missing"), "shifted"]
    assert table.loc[("never", "missing"), "p"] == 1
    assert table.loc[("code", "values"), "new"] == 0.5 and table.loc[("code", "values"), "shifted"]
    assert table.loc[("wild", "values"), "effect"] == 0
    tiny = detect_shift(old.iloc[:1], new.iloc[-1:])
    assert not tiny["shifted"].any() and tiny["p"].notna().all()


def test_detect_shift_refuses():
    old = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    with pytest.raises(TypeError, match="current must be a DataFrame"):
        detect_shift(old, [1])
    with pytest.raises(ValueError, match="current is empty"):
        detect_shift(old, old.iloc[:0])
    with pytest.raises(ValueError, match=r"same columns, each once: \['b'\]"):
        detect_shift(old, old[["a"]])
    with pytest.raises(ValueError, match="each once"):
        detect_shift(old[["a", "a"]], old[["a", "a"]])
    with pytest.raises(ValueError, match="a must be of one kind"):
        detect_shift(old, old.assign(a=["1", "2"]))
    with pytest.raises(ValueError, match=r"correction|method"):
        detect_shift(old, old, correction="bonferroni")
    with pytest.raises(ValueError, match="min_effect"):
        detect_shift(old, old, min_effect=2)
    with pytest.raises(ValueError, match="alpha"):
        detect_shift(old, old, alpha=1)


def test_describe_shift_is_pandas_describe(flights):
    old, new = flights.iloc[:500], flights.iloc[-500:]
    table = describe_shift(
        old[["temp", "carrier", "distance"]], new[["temp", "carrier", "distance"]]
    )
    assert set(table.index.get_level_values(0)) == {"temp", "distance"}
    expected = new["temp"].describe()
    for name in ("mean", "std", "min", "25%", "50%", "75%", "max"):
        assert table.loc[("temp", "current"), name] == pytest.approx(expected[name])
    assert table.loc[("temp", "current"), "skew"] == pytest.approx(new["temp"].skew())
    wild = pd.DataFrame({"x": [1.0, np.inf, np.nan]})
    row = describe_shift(wild, wild.assign(x=np.nan)).loc["x"]
    assert row.loc["reference", "mean"] == 1 and np.isnan(row.loc["current", "mean"])
    assert row.loc["current", "missing"] == 1


# --- Windows


def test_windows_are_those_of_pandas(flights):
    days = flights.iloc[:5000][["temp", "distance", "scheduled"]]
    old = flights.iloc[50_000:52_000][["temp", "distance"]]
    table = shift_over_time(old, days[["temp", "distance"]], days["scheduled"], "1D", min_rows=1)
    for end, rows in days.groupby(days["scheduled"].dt.floor("1D")):
        part = table[table["window"] == end + pd.Timedelta("1D")]
        assert (part["rows"] == len(rows)).all()
        expected = detect_shift(old, rows[["temp", "distance"]])
        assert part["effect"].tolist() == expected["effect"].tolist()


def test_unsorted_time_makes_no_difference_and_nothing_is_changed(flights):
    part = flights.iloc[:3000][["temp", "scheduled"]]
    mixed = part.sample(frac=1, random_state=0)
    old, before = flights.iloc[9000:9500][["temp"]], mixed.copy()
    tables = [
        shift_over_time(old, frame[["temp"]], frame["scheduled"], "12h", "6h")
        for frame in (part, mixed)
    ]
    pd.testing.assert_frame_equal(*tables)
    pd.testing.assert_frame_equal(mixed, before)


def test_sliding_and_cumulative_windows_hold_the_right_rows():
    frame = pd.DataFrame({"x": np.arange(len(HOURS)) % 24})
    slide = shift_over_time(frame, frame, HOURS, "1D", "6h", min_rows=1)
    assert (slide["rows"] == 24).all() and len(slide) == 4 * 19 + 1
    whole = shift_over_time(frame, frame, HOURS, "1D", cumulative=True, min_rows=1)
    assert whole["rows"].tolist() == [24 * k for k in range(1, 21)]


def test_shift_over_time_refuses():
    frame = pd.DataFrame({"x": np.arange(len(HOURS))})
    with pytest.raises(ValueError, match="time must have 480 entries"):
        shift_over_time(frame, frame, HOURS[:3], "1D")
    with pytest.raises(ValueError, match="time holds 1 missing"):
        shift_over_time(frame, frame, HOURS[1:].insert(0, pd.NaT), "1D")
    for time in (["soon"] * len(HOURS), range(len(HOURS))):
        with pytest.raises(ValueError, match="time must hold times"):
            shift_over_time(frame, frame, time, "1D")
    for width in ("soon", "0D", "-1D"):
        with pytest.raises(ValueError, match="width must be a length of time"):
            shift_over_time(frame, frame, HOURS, width)
    with pytest.raises(ValueError, match="more than any window"):
        shift_over_time(frame, frame, HOURS, "1D", min_rows=25)


def test_plot_shift_over_time_draws_each_feature_once():
    frame = pd.DataFrame({"day": HOURS.day, "hour": HOURS.hour, "gap": [None] * 480}).astype(float)
    table = shift_over_time(frame, frame, HOURS, "1D", min_rows=1)
    ax = plot_shift_over_time(table)
    assert [label.get_text() for label in ax.get_yticklabels()][-1] == "day"
    assert "gap (missing)" in [label.get_text() for label in ax.get_yticklabels()]
    with pytest.raises(ValueError, match="no column 'window'"):
        plot_shift_over_time(table.drop(columns="window"))
    with pytest.raises(TypeError, match="table must be"):
        plot_shift_over_time(None)


# --- Profiles

messy = st.lists(
    st.one_of(
        st.floats(-1e6, 1e6),
        st.sampled_from([None, "x", True, np.inf, -np.inf, np.nan]),
        st.integers(0, 99),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(st.lists(messy, min_size=2, max_size=4), st.randoms())
def test_merged_parts_are_the_whole_in_any_order(parts, random):
    whole = FeatureProfile(AGE).update(pd.Series([x for part in parts for x in part], dtype=object))
    profiles = [FeatureProfile(AGE).update(pd.Series(part, dtype=object)) for part in parts]
    random.shuffle(profiles)
    merged = profiles[0]
    for other in profiles[1:]:
        merged = merged.merge(other)
    for name in (
        "rows",
        "missing",
        "wrong_type",
        "infinite",
        "out_of_range",
        "count",
        "minimum",
        "maximum",
    ):
        assert getattr(merged, name) == getattr(whole, name), name
    assert merged.counts.tolist() == whole.counts.tolist()
    assert merged.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-6)
    assert merged.m2 == pytest.approx(whole.m2, rel=1e-6, abs=1e-3)


def test_a_profile_counts_what_does_not_fit():
    values = [30, -1, 121, None, np.nan, np.inf, "forty", True]
    profile = FeatureProfile(AGE).update(values)
    assert (profile.rows, profile.missing, profile.wrong_type) == (8, 2, 2)
    assert (profile.infinite, profile.out_of_range, profile.count) == (1, 2, 3)
    assert (profile.minimum, profile.maximum, profile.mean) == (-1, 121, 50)
    assert profile.counts.tolist() == [1, 1, 2]  # infinity in the outer bin
    letters = FeatureProfile({"kind": "category", "values": ["a", "b"]})
    letters.update(["a", "b", "b", "new", None, 7]).update([])
    assert (letters.rows, letters.missing, letters.wrong_type, letters.out_of_range) == (6, 1, 1, 1)
    assert letters.counts.tolist() == [1, 2, 1]


def test_moments_of_a_profile_are_numpys_far_from_zero():
    x = 1e9 + np.random.default_rng(0).normal(size=10_000)
    profile = FeatureProfile(AGE).update(x[:10])
    profile.update(x[10:7000])
    profile.update(x[7000:])
    assert profile.mean == pytest.approx(x.mean(), rel=1e-12)
    assert profile.m2 / len(x) == pytest.approx(x.var(), rel=1e-6)


def test_profiles_travel_as_json():
    profile = FeatureProfile(AGE).update([3, None, "x", np.inf, 70])
    again = FeatureProfile.from_json(profile.to_json())
    assert json.loads(again.to_json()) == json.loads(profile.to_json())
    assert again.merge(profile).rows == 10
    empty = FeatureProfile.from_json(FeatureProfile(AGE).to_json())
    assert empty.minimum == np.inf and empty.merge(profile).minimum == 3


@pytest.mark.parametrize("change", [{"counts": [1]}, {"more": 1}, {"spec": {}}, {"counts": None}])
def test_from_json_refuses_what_is_no_profile(change):
    state = json.loads(FeatureProfile(AGE).to_json())
    for text in ("{}", "[]", "no JSON", None, json.dumps(state | change)):
        with pytest.raises(ValueError, match="text must be what to_json wrote"):
            FeatureProfile.from_json(text)


def test_profiles_refuse():
    for spec in ({}, None, {"kind": "number"}, {"kind": "text", "values": []}):
        with pytest.raises(ValueError, match="spec must be an entry of a schema"):
            FeatureProfile(spec)
    for change, message in (
        ({"low": 130.0}, "high must be"),
        ({"low": None}, "low must be"),
        ({"edges": [2, 1]}, "edges must rise"),
    ):
        with pytest.raises(ValueError, match=message):
            FeatureProfile(AGE | change)
    with pytest.raises(ValueError, match="values must differ"):
        FeatureProfile({"kind": "category", "values": ["a", "a"]})
    other = FeatureProfile(AGE | {"high": 99.0})
    with pytest.raises(ValueError, match="same schema entry"):
        FeatureProfile(AGE).merge(other)


def test_infer_schema_is_a_draft_of_the_data(flights):
    schema = infer_schema(flights[["origin", "distance"]])
    assert schema["origin"]["values"] == ["EWR", "JFK", "LGA"]
    assert (schema["distance"]["low"], schema["distance"]["high"]) == (80, 4983)
    assert json.loads(json.dumps(schema)) == schema
    profile = FeatureProfile(schema["distance"]).update(flights["distance"])
    assert profile.out_of_range == 0
    with pytest.raises(ValueError, match="all are missing"):
        infer_schema(pd.DataFrame({"x": [None, None]}))
    with pytest.raises(ValueError, match="no finite value"):
        infer_schema(pd.DataFrame({"x": [np.inf]}))
    with pytest.raises(TypeError, match="reference must be a DataFrame"):
        infer_schema([1])


def test_partitions_on_the_spark_api_give_the_whole(flights, tmp_path):
    import pyarrow as pa

    from mlsys_helpers.dataflow import spark_session

    part = flights.iloc[:30_000][["temp"]]
    part.to_parquet(tmp_path / "part.parquet", index=False)
    spec = infer_schema(part)["temp"]

    def profile(batches):
        found = FeatureProfile(spec)
        for batch in batches:
            found.update(batch.column("temp").to_pandas())
        yield pa.RecordBatch.from_pydict({"profile": [found.to_json()]})

    with spark_session() as spark:
        table = spark.read.parquet(str(tmp_path / "part.parquet")).repartition(4)
        rows = table.mapInArrow(profile, "profile string").collect()
    merged, whole = FeatureProfile(spec), FeatureProfile(spec).update(part["temp"])
    for row in rows:
        merged = merged.merge(FeatureProfile.from_json(row["profile"]))
    assert len(rows) > 1 and merged.counts.tolist() == whole.counts.tolist()
    assert (merged.rows, merged.missing) == (whole.rows, whole.missing)
    assert merged.m2 == pytest.approx(whole.m2, rel=1e-9)


# --- Alerts and the monitor


def test_alerts_need_k_of_n_and_hysteresis_makes_one_of_a_flicker():
    rule = {"enter": 0.2, "leave": 0.1}
    assert alert_episodes([0, 0.9, 0, 0, 0.9, 0], **rule) == []
    assert alert_episodes([0, 0.9, 0, 0.9, 0.15, 0.05, 0.15, 0, 0, 0.1], **rule) == [(3, None)]
    assert alert_episodes([0.3, 0.3, 0, 0, 0, 0.3, 0.3], **rule) == [(1, 4), (6, None)]
    assert alert_episodes([0.2, 0.2], **rule) == [(1, None)]
    assert alert_episodes([1, np.nan, 1], **rule) == [(2, None)]
    assert alert_episodes([], **rule) == []


@given(st.lists(st.floats(0, 1), max_size=30))
def test_episodes_follow_each_other(values):
    episodes = alert_episodes(values, 0.5, 0.3)
    flat = [window for episode in episodes for window in episode if window is not None]
    assert flat == sorted(set(flat))
    assert all(last is not None for _, last in episodes[:-1])
    naive = sum(value >= 0.5 for value in values)
    assert len(episodes) <= naive / 2  # each took two high windows


def test_alert_episodes_refuses():
    with pytest.raises(ValueError, match="k must be at most n"):
        alert_episodes([1], 1, 1, k=4)
    with pytest.raises(ValueError, match="leave must be at most enter"):
        alert_episodes([1], 0.1, 0.2)
    with pytest.raises(ValueError, match="values must have one dimension, got 2"):
        alert_episodes([[1, 1]], 1, 1)
    for bad in (np.nan, np.inf, "high"):
        with pytest.raises(ValueError, match="enter must be"):
            alert_episodes([1], bad, 0)


@pytest.fixture(scope="module")
def good():
    rng = np.random.default_rng(0)
    n = 12 * len(HOURS)
    return pd.DataFrame(
        {"age": rng.normal(40, 10, n), "plan": rng.choice(["free", "paid"], n)}
    ), HOURS.repeat(12)


def monitored(good, **changes):
    frame = good[0]
    schema = infer_schema(frame)
    schema["age"] |= {"low": 0, "high": 120}
    return Monitor(schema, frame, **changes)


def state(monitor):
    return {
        (start, name): json.loads(profile.to_json())
        for start, profiles in monitor.windows.items()
        for name, profile in profiles.items()
    }


def test_a_quiet_stream_raises_nothing(good):
    monitor = monitored(good).update(*good)
    assert len(monitor.windows) == 20 and monitor.alerts().empty
    assert monitor.signals()["rows"].eq(288).all()


@pytest.mark.parametrize(
    ("column", "fault", "signal"),
    [
        ("age", lambda x: x + 15, "psi"),
        ("age", lambda x: x * 12, "invalid"),
        ("age", lambda x: x.astype(object).where(x.index % 2 == 0, "n/a"), "invalid"),
        ("age", lambda x: x.where(x.index % 3 > 0), "missing"),
        ("age", lambda x: x.where(x.index % 9 > 0, np.inf), "invalid"),
        ("plan", lambda x: x.replace("paid", "gold"), "invalid"),
        ("plan", lambda x: x.where(x.index % 4 == 0, "free"), "psi"),
    ],
)
def test_each_fault_raises_one_alert_of_its_kind_within_two_days(good, column, fault, signal):
    frame, time = good
    monitor = monitored(good).update(frame[time < "2013-01-11"], time[time < "2013-01-11"])
    bad = frame[time >= "2013-01-11"]
    bad = bad.assign(**{column: fault(bad[column])})
    alerts = monitor.update(bad, time[time >= "2013-01-11"]).alerts()
    found = alerts[alerts["signal"] == signal]
    assert set(alerts["feature"]) == {column} and len(found) == 1
    assert found["raised"].iloc[0] == pd.Timestamp("2013-01-12") and found["ended"].isna().all()


def test_an_alert_ends_when_the_fault_does(good):
    frame, time = good
    sick = (time >= "2013-01-05") & (time < "2013-01-09")
    alerts = monitored(good).update(frame.assign(age=frame["age"] + 20 * sick), time).alerts()
    assert alerts[["raised", "ended"]].astype(str).values.tolist() == [["2013-01-06", "2013-01-11"]]


def test_order_and_batches_make_no_difference_and_windows_merge(good):
    frame, time = good
    once = state(monitored(good).update(frame, time))
    mixed = np.random.default_rng(0).permutation(len(frame))
    parts = np.array_split(mixed, 7)
    left, right = monitored(good), monitored(good)
    for i, part in enumerate(parts):
        (left if i % 2 else right).update(frame.iloc[part], time[part])
    for start, profiles in right.windows.items():
        for name, profile in profiles.items():
            left.windows[start][name] = left.windows[start][name].merge(profile)
    merged = state(left)
    assert merged.keys() == once.keys()
    for key, profile in once.items():
        for name, value in profile.items():
            assert merged[key][name] == (
                pytest.approx(value, rel=1e-9) if name in ("mean", "m2") else value
            )


def test_tiny_and_missing_windows_raise_nothing_by_psi(good):
    frame, time = good
    monitor = monitored(good, min_rows=200)
    monitor.update(frame.assign(age=999.0).iloc[:600:3], time[:600:3])  # 96 rows a day
    assert monitor.alerts().empty
    monitor = monitored(good).update(frame.assign(age=np.nan), time)
    signals = monitor.signals().query("feature == 'age'")
    assert signals["psi"].isna().all() and (signals["missing"] == 1).all()
    assert monitor.alerts()["signal"].tolist() == ["missing"]


def test_monitor_refuses(good):
    frame, time = good
    monitor = monitored(good)
    with pytest.raises(ValueError, match="batch has no column 'plan'"):
        monitor.update(frame[["age"]], time)
    assert not monitor.windows  # nothing of a refused batch is kept
    with pytest.raises(ValueError, match="time must have"):
        monitor.update(frame, time[:5])
    with pytest.raises(ValueError, match="missing values"):
        monitor.update(frame.iloc[:1], [pd.NaT])
    with pytest.raises(ValueError, match="batch is empty"):
        monitor.update(frame.iloc[:0], time[:0])
    for options, name in (
        ({"window": "x"}, "window"),
        ({"min_rows": 0}, "min_rows"),
        ({"share": 2}, "share"),
        ({"k": 9}, "k must be at most n"),
        ({"enter": {"age": 0.1}}, r"enter\['plan'\]"),
    ):
        with pytest.raises(ValueError, match=name):
            monitored(good, **options)
    for schema in ({}, ["age"], None):
        with pytest.raises(ValueError, match="schema must be a dict"):
            Monitor(schema, frame)
    with pytest.raises(ValueError, match="2 columns 'age'"):
        monitor.update(pd.concat([frame, frame], axis=1), time)
    monitor.update(frame, time)
    with pytest.raises(ValueError, match="time must have a time zone in all batches"):
        monitor.update(frame, time.tz_localize("UTC"))
    with pytest.raises(ValueError, match="no column 'age'"):
        Monitor(infer_schema(frame), frame[["plan"]])


def test_prometheus_accepts_what_the_monitor_says_over_a_real_endpoint(good):
    import urllib.request

    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.parser import text_string_to_metric_families

    frame, time = good
    odd = frame.assign(age=frame["age"] + 30).rename(columns={"age": 'a"g\\e\n'})
    monitor = Monitor(
        infer_schema(frame.set_axis(odd.columns, axis=1)), frame.set_axis(odd.columns, axis=1)
    )
    registry = CollectorRegistry()
    registry.register(monitor.update(odd, time))
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    rows = {
        sample.labels["feature"]: sample.value for sample in families["mlsys_feature_rows"].samples
    }
    assert rows == {'a"g\\e\n': 288, "plan": 288}
    alerts = {sample.labels["signal"] for sample in families["mlsys_alert"].samples}
    assert "psi" in alerts


def test_the_dashboard_is_one_page_that_shows_all(good, tmp_path):
    frame, time = good
    late = time >= "2013-01-15"
    frame = frame.rename(columns={"plan": "<plan> & co"})
    monitor = Monitor(infer_schema(frame), frame).update(
        frame.assign(age=frame["age"] + 20 * late), time
    )
    path = write_dashboard(monitor, tmp_path / "page.html", "<b>")
    page = path.read_text(encoding="utf-8")
    assert page.count("<svg") == 2 and "&lt;plan&gt; &amp; co" in page and "<b></h1>" not in page
    assert "still open" in page and "2013-01-16" in page
    for outside in ("http", "src=", "<script", "<link", "url("):
        assert outside not in page
    from xml.etree import ElementTree

    for chart in page.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + chart.split("</svg>")[0] + "</svg>")
    with pytest.raises(ValueError, match="has seen nothing"):
        write_dashboard(monitored(good), tmp_path / "x.html")
    with pytest.raises(TypeError, match="monitor must be a Monitor"):
        write_dashboard(None, tmp_path / "x.html")


# --- From alert to cause

PLANTS = [("B6", "JFK"), ("UA", "EWR"), ("DL", "LGA"), ("EV", "EWR"), ("AA", "LGA"), ("MQ", "LGA")]
COLUMNS = ["distance", "departure_hour", "arrival_hour", "carrier", "origin", "scheduled"]


@pytest.mark.parametrize(("carrier", "origin"), PLANTS)
def test_the_planted_cause_is_named_first(flights, carrier, origin):
    june = flights[flights["date"].dt.month == 6][COLUMNS]
    july = flights[flights["date"].dt.month == 7][COLUMNS].sample(frac=1, random_state=0)
    start = pd.Timestamp("2013-07-14 16:00", tz="UTC")
    hit = (july["carrier"] == carrier) & (july["origin"] == origin) & (july["scheduled"] >= start)
    july.loc[hit, "distance"] = july.loc[hit, "distance"] * 2
    before = july.copy()
    first = explain_shift(june, july, by=["carrier", "origin"], time="scheduled").iloc[0]
    pd.testing.assert_frame_equal(july, before)
    assert first["feature"] == "distance"
    assert first["slice"] in (f"carrier={carrier}, origin={origin}", f"carrier={carrier}")
    assert abs(first["since"] - start) < pd.Timedelta("1D")


def test_a_shift_of_all_rows_is_named_as_such_and_so_is_a_column_that_went_missing(flights):
    june = flights[flights["date"].dt.month == 6][COLUMNS[:-1]]
    table = explain_shift(june, june.assign(distance=june["distance"] * 1.6), ["carrier", "origin"])
    assert table[["feature", "slice"]].values.tolist()[0] == ["distance", "all rows"]
    hours = june["departure_hour"].where(june["origin"] != "LGA")
    table = explain_shift(june, june.assign(departure_hour=hours), ["origin"])
    assert table[["feature", "slice"]].values.tolist()[0] == ["departure_hour", "origin=LGA"]
    assert table["effect"][0] == pytest.approx(1)
    codes = june["carrier"].astype(str).replace("UA", "U2")
    first = explain_shift(
        june.astype({"carrier": str}), june.assign(carrier=codes), ["origin"]
    ).iloc[0]
    assert first["feature"] == "carrier"


def test_without_a_shift_nothing_is_strong():
    rng, strongest = np.random.default_rng(0), []
    for _ in range(60):
        old, new = (
            pd.DataFrame({"x": rng.normal(size=600), "a": rng.integers(0, 3, 600).astype(str)})
            for _ in range(2)
        )
        strongest.append(explain_shift(old, new, ["a"], min_rows=50)["strength"].max())
    # the 5 % point of the test of Kolmogorov and Smirnov is 1.36; here the largest of five
    assert np.quantile(strongest, 0.95) < 2 and np.mean(strongest) < 1.4


def test_explain_shift_takes_constant_missing_and_new_values():
    n = 300
    old = pd.DataFrame({"a": ["x"] * n, "c": 1.0, "gone": np.nan, "v": np.arange(n) * 1.0})
    new = old.assign(a=["x"] * 150 + ["new"] * 150, gone=1.0, v=np.r_[np.inf, np.arange(n - 1)])
    table = explain_shift(old, new, ["a"]).set_index(["feature", "slice"])
    assert table.loc[("gone", "all rows"), "effect"] == 1
    assert table.loc[("a", "all rows"), "effect"] == pytest.approx(0.5)
    assert table.loc[("c", "all rows"), "effect"] == 0


def test_explain_shift_refuses():
    old = pd.DataFrame({"a": ["x"] * 200, "v": range(200), "t": pd.NaT})
    with pytest.raises(ValueError, match="by must be a list"):
        explain_shift(old, old, "a")
    with pytest.raises(ValueError, match="no column 'b'"):
        explain_shift(old, old, ["b"])
    with pytest.raises(ValueError, match="time holds 400 missing"):
        explain_shift(old, old, ["a"], "t")
    with pytest.raises(ValueError, match="more than any slice"):
        explain_shift(old, old, ["a"], min_rows=201)
    with pytest.raises(ValueError, match="same columns"):
        explain_shift(old, old[["a"]], ["a"])
    with pytest.raises(TypeError, match="reference must be"):
        explain_shift(None, old, ["a"])


def test_the_module_loads_no_heavy_library():
    import subprocess
    import sys

    code = (
        "import sys, mlsys_helpers.monitoring as m; print({'torch', 'pyspark'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "set()", run.stderr


# --- Wrong answers to the exercises


def _counts(p, q):
    return np.where(p == 0, 0.5, p) / p.sum(), np.where(q == 0, 0.5, q) / q.sum()


def _no_rule_for_zeros(p, q):
    p, q = p / p.sum(), q / q.sum()
    with np.errstate(all="ignore"):
        return ((q - p) * np.log(q / p)).sum()


def _right_psi(p, q):
    p, q = _counts(p, q)
    return ((q - p) * np.log(q / p)).sum()


def _negative(p, q):
    p, q = _counts(p, q)
    return ((p - q) * np.log(q / p)).sum()


def _log2(p, q):
    p, q = _counts(p, q)
    return ((q - p) * np.log2(q / p)).sum()


def _divergence(p, q):
    p, q = _counts(p, q)
    return (q * np.log(q / p)).sum()


def _of_counts(p, q):
    return ((q - p) * np.log(q / p)).sum()


def _drops_empty_bins(p, q):
    keep = (p > 0) & (q > 0)
    p, q = p / p.sum(), q / q.sum()
    return ((q - p)[keep] * np.log(q[keep] / p[keep])).sum()


def _only_the_reference(p, q):
    p, q = np.where(p == 0, 0.5, p) / p.sum(), np.maximum(q, 1e-9) / q.sum()
    return ((q - p) * np.log(q / p)).sum()


def _one_is_enough(values, enter, k, n):
    return next((i for i, v in enumerate(values) if v >= enter), -1)


def _ever(values, enter, k, n):
    return next(
        (i for i in range(len(values)) if sum(v >= enter for v in values[: i + 1]) >= k), None
    )


def _in_a_row(values, enter, k, n):
    for i in range(k - 1, len(values)):
        if all(v >= enter for v in values[i - k + 1 : i + 1]):
            return i
    return -1


def _without_now(values, enter, k, n):
    for i in range(len(values)):
        if sum(v >= enter for v in values[max(0, i - n) : i]) >= k:
            return i
    return -1


def _strictly(values, enter, k, n):
    for i in range(len(values)):
        if sum(v > enter for v in values[max(0, i - n + 1) : i + 1]) >= k:
            return i
    return -1


def _right_alert(values, enter, k, n):
    for i in range(len(values)):
        if sum(v >= enter for v in values[max(0, i - n + 1) : i + 1]) >= k:
            return i
    return -1


def _none_for_never(values, enter, k, n):
    found = _right_alert(values, enter, k, n)
    return None if found == -1 else found


def _bins(reference, parts, fold=lambda old, new: old + new):
    current = {}
    for part in parts:
        for name, count in part.items():
            current[name] = fold(current[name], count) if name in current else count
    others = sum(count for name, count in current.items() if name not in reference)
    return [*reference.values(), 0], [*(current.get(name, 0) for name in reference), others]


def _with_pandas(reference, parts):
    old = pd.Series(reference, dtype=int)
    new = pd.concat([old * 0, *(pd.Series(part, dtype=int) for part in parts)])
    new = new.groupby(new.index.where(new.index.isin(old.index), "all others"), sort=False).sum()
    index = [*old.index, "all others"]
    return old.reindex(index, fill_value=0), new.reindex(index, fill_value=0)


def _with_a_counter(reference, parts):
    total = sum((Counter(part) for part in parts), Counter())
    known = [total.pop(name, 0) for name in reference]
    return np.array([[*reference.values(), 0.0], [*known, sum(total.values())]])


def _by_place(reference, parts):
    known, others = np.zeros(len(reference), dtype=int), 0
    for part in parts:
        inside = [count for name, count in part.items() if name in reference]
        known[: len(inside)] += inside
        others += sum(part.values()) - sum(inside)
    return [*reference.values(), 0], [*known, others]


def _own_bins(reference, parts):
    current = sum((Counter(part) for part in parts), Counter())
    return list(reference.values()), [current[name] for name in sorted(current)] + [0]


def _a_bin_for_each_new(reference, parts):
    current = sum((Counter(part) for part in parts), Counter())
    names = [*reference, *(name for name in current if name not in reference)]
    return [reference.get(name, 0) for name in names], [current[name] for name in names]


def _missing_is_nan(reference, parts):
    old, new = _bins(reference, parts)
    return old, [new[i] or np.nan for i in range(len(new))]


def _empties_the_parts(reference, parts):
    answer = _bins(reference, parts)
    for part in parts:
        part.clear()
    return answer


@pytest.mark.parametrize("attempt", [_bins, _with_pandas, _with_a_counter])
def test_same_bins_accepts_right_answers_in_other_forms(attempt):
    verdict = judge("monitoring.same_bins", attempt)
    assert verdict.status == "correct", verdict


WRONG_ANSWERS = {
    "psi_of_counts": [
        (_no_rule_for_zeros, "infinity or NaN"),
        (_negative, "never negative"),
        (_log2, "base 2"),
        (_divergence, "Kullback-Leibler"),
        (_of_counts, "Did you use shares"),
        (_drops_empty_bins, "half a row"),
        (_only_the_reference, "symmetric"),
        (lambda p, q: 0.0405465, "half a row"),
        (lambda p, q: (q - p) * np.log(q / p), "one number"),
        (lambda p, q: _right_psi(p[:3], q[:3]), "however many"),
    ],
    "first_alert": [
        (_one_is_enough, "One window is not enough"),
        (_ever, "long gone"),
        (_in_a_row, "need not follow"),
        (_without_now, "include the current one"),
        (_none_for_never, "None"),
        (_strictly, "two of the last three"),
        (lambda values, enter, k, n: 6, "need not follow"),
        (lambda values, enter, k, n: _right_alert(values, enter, min(2, n), n), "k and n are"),
        (lambda values, enter, k, n: _right_alert(values, enter, k, 3), "k and n are"),
        (lambda values, enter, k, n: [_right_alert(values, enter, k, n)], "one number"),
    ],
    "same_bins": [
        (lambda reference, parts: _bins(reference, parts[:1]), "not the first alone"),
        (lambda reference, parts: _bins(reference, parts, lambda old, new: new), "add its counts"),
        (lambda r, parts: _bins(dict(sorted(r.items())), parts), "order of the reference"),
        (lambda r, parts: [side[:-1] for side in _bins(r, parts)], "always one for all others"),
        (lambda reference, parts: _bins(reference, parts)[1], "two arrays"),
        (lambda r, parts: [np.divide(side, sum(side)) for side in _bins(r, parts)], "60 UA"),
        (_by_place, "by name"),
        (_own_bins, "same bins on both sides"),
        (_a_bin_for_each_new, "always one for all others"),
        (_missing_is_nan, "count of 0"),
        (_empties_the_parts, "changed its input"),
        (lambda reference, parts: ([60, 40, 0], [25, 10, 7]), "always one for all others"),
        (lambda reference, parts: _bins(reference, parts[:2]), "however many"),
    ],
}
