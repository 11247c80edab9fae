"""Chapter 18 against known answers: published tables, closed forms, statsmodels, scipy."""

import math
import time
import zlib

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from statsmodels.stats import power as sm_power
from statsmodels.stats import proportion as sm_proportion
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from mlsys_helpers import testing_in_production as tip

HALF = {"champion": 0.5, "candidate": 0.5}


def three_errors(share, n):
    return 3 * math.sqrt(share * (1 - share) / n)


# --- Backtest


class Spy(ClassifierMixin, BaseEstimator):
    """Remembers which rows it was trained on, in a list that its clones share."""

    seen = []  # noqa: RUF012

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        Spy.seen.append(X["row"].to_numpy())
        return self

    def predict_proba(self, X):
        return np.column_stack([1 - X["x"], X["x"]])


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    times = pd.date_range("2013-01-01", periods=400, freq="6h")
    table = pd.DataFrame({"time": times, "row": range(400), "x": rng.random(400)})
    table["late"] = (rng.random(400) < table["x"]).astype(float)
    return table.sample(frac=1, random_state=1)  # in no order


@pytest.mark.parametrize("gap", ["0D", "3D"])
def test_no_row_of_the_future_is_in_any_training_window(frame, gap):
    Spy.seen.clear()
    folds = tip.backtest(
        Spy(), frame, ["row", "x"], "late", "time", start="2013-02-01", step="7D", gap=gap
    )
    when = frame.set_index("row")["time"]
    assert len(folds) == len(Spy.seen) == 10
    for rows, fold in zip(Spy.seen, folds.itertuples(), strict=True):
        trained = when[rows]
        edge = fold.origin - pd.Timedelta(gap)
        assert trained.max() < edge and trained.max() == fold.trained_until
        expected = when < edge
        assert set(rows) == set(when.index[expected]) and len(rows) == fold.n_train


def test_backtest_scores_are_those_of_each_step(frame):
    folds = tip.backtest(
        Spy(), frame, ["row", "x"], "late", "time", start="2013-02-01", step=pd.DateOffset(months=1)
    )
    for fold in folds.itertuples():
        judged = frame[
            (frame["time"] >= fold.origin) & (frame["time"] < fold.origin + pd.DateOffset(months=1))
        ]
        assert fold.n_test == len(judged)
        assert fold.score == pytest.approx(roc_auc_score(judged["late"], judged["x"]))


def test_a_step_without_labels_has_no_score_and_trains_nobody(frame):
    late_times = (frame["time"] >= "2013-02-08") & (frame["time"] < "2013-02-15")
    frame.loc[late_times, "late"] = np.nan
    before = frame.copy()
    folds = tip.backtest(Spy(), frame, ["row", "x"], "late", "time", start="2013-02-01", step="7D")
    assert folds["n_test"].tolist()[1] == 0 and np.isnan(folds["score"][1])
    assert folds["score"].notna().sum() == len(folds) - 1
    assert folds["n_train"][2] == folds["n_train"][1]  # nothing came in between
    pd.testing.assert_frame_equal(frame, before)


def test_backtest_tells_what_a_random_split_hides():
    rng = np.random.default_rng(0)  # each day has a risk of its own; x tells the day apart
    day = np.repeat(np.arange(200), 20)
    table = pd.DataFrame({"day": pd.Timestamp("2013-01-01") + pd.to_timedelta(day, "D")})
    table["x"] = rng.permutation(200)[day]
    table["late"] = (rng.random(len(day)) < rng.choice([0.1, 0.6], 200)[day]).astype(int)
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(random_state=0)
    folds = tip.backtest(tree, table, ["x"], "late", "day", start="2013-04-01", step="28D")
    held = rng.random(len(day)) < 0.25
    p = tree.fit(table.loc[~held, ["x"]], table["late"][~held]).predict_proba(table[["x"]])[:, 1]
    assert roc_auc_score(table["late"][held], p[held]) > 0.7
    assert abs(folds["score"].mean() - 0.5) < 0.1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": "2014-01-01"}, "start must not be after"),
        ({"start": "2013-01-01"}, "training window before"),
        ({"step": "-7D"}, "step must go forward"),
        ({"step": "0D"}, "step must go forward"),
        ({"gap": "-1D"}, "gap not back"),
        ({"start": None}, "start must be a timestamp"),
        ({"start": "soon"}, "start must be a timestamp"),
        ({"start": pd.Timestamp("2013-02-01", tz="UTC")}, "start must be a timestamp without zone"),
        ({"step": 7}, "spans of time"),
        ({"gap": None}, "spans of time"),
        ({"label": "nothing"}, "no column 'nothing'"),
        ({"gap": "40D"}, "classes of label"),
    ],
)
def test_backtest_refuses(frame, options, words):
    arguments = {"label": "late", "start": "2013-02-01", "step": "7D"} | options
    with pytest.raises(ValueError, match=words):
        tip.backtest(Spy(), frame, ["row", "x"], time="time", **arguments)


def test_backtest_refuses_other_labels_and_doubled_columns(frame):
    for table, words in (
        (frame.assign(late=frame["late"] * 2), "late must hold the labels 0 and 1"),
        (frame.assign(late=frame["x"]), "late must hold the labels 0 and 1"),
        (pd.concat([frame, frame[["x"]]], axis=1), "'x', or has it twice"),
    ):
        with pytest.raises(ValueError, match=words):
            tip.backtest(Spy(), table, ["x"], "late", "time", start="2013-02-01", step="7D")


def test_backtest_refuses_a_missing_time_and_reads_zones(frame):
    zoned = frame.assign(time=frame["time"].dt.tz_localize("UTC"))
    folds = tip.backtest(Spy(), zoned, ["row", "x"], "late", "time", start="2013-02-01", step="7D")
    assert len(folds) == 10
    frame.loc[frame.index[0], "time"] = pd.NaT
    with pytest.raises(ValueError, match="missing"):
        tip.backtest(Spy(), frame, ["row", "x"], "late", "time", start="2013-02-01", step="7D")


# --- Shadow


def failing(request):
    raise RuntimeError("no")


def hanging(request):
    time.sleep(5)


@pytest.mark.parametrize(
    "candidate",
    [failing, hanging, lambda x: np.nan, lambda x: np.inf, lambda x: None, lambda x: "1"],
)
def test_shadow_users_get_the_champions_answer_whatever_the_candidate_does(candidate):
    answers, report = tip.shadow_test([1, 2, 3], lambda x: x / 10, candidate, timeout=0.05)
    assert answers.tolist() == [0.1, 0.2, 0.3]
    assert report["requests"] == report["errors"] == 3
    assert np.isnan(report["decisions_changed"]) and np.isnan(report["mean_difference"])


def test_shadow_measures_the_differences():
    _, report = tip.shadow_test(
        [0.1, 0.3, 0.6, 0.9], lambda x: x, lambda x: x + 0.25, threshold=0.5
    )
    assert report["mean_difference"] == pytest.approx(0.25)
    assert report["mean_absolute_difference"] == pytest.approx(0.25)
    assert report["decisions_changed"] == 0.25 and report["errors"] == 0
    _, slow = tip.shadow_test(range(5), lambda x: 0, lambda x: time.sleep(0.02) or 0)
    assert slow["candidate_ms"] > 20 > slow["champion_ms"]


def test_shadow_refuses():
    with pytest.raises(ValueError, match="requests is empty"):
        tip.shadow_test([], float, float)
    with pytest.raises(ValueError, match="timeout"):
        tip.shadow_test([1], float, float, timeout=0)
    with pytest.raises(ValueError, match="champion's answer"):
        tip.shadow_test([1], lambda x: np.nan, float)
    with pytest.raises(RuntimeError):
        tip.shadow_test([1], failing, float)


@pytest.fixture
def model(tmp_path):
    X = np.random.default_rng(0).normal(size=(200, 2))
    fitted = LogisticRegression().fit(X, X[:, 0] > 0)
    joblib.dump(fitted, tmp_path / "model")
    return fitted, tmp_path / "model"


@pytest.mark.parametrize("fault", [None, "crash", "nan", "hang"])
def test_a_real_service_that_fails_hurts_no_user(model, fault):
    fitted, path = model
    with tip.start_scorer(path, fault=fault, after=3) as server, httpx.Client() as client:

        def candidate(row):
            answer = client.post(f"{server.url}/score", json={"row": row}, timeout=2)
            return answer.json()["score"]

        rows = [[0.1 * i, 1.0] for i in range(6)]
        assert candidate(rows[5]) == pytest.approx(fitted.predict_proba([rows[5]])[0, 1])
        answers, report = tip.shadow_test(rows[:3], lambda row: 0.5, candidate, timeout=0.5)
        assert (answers == 0.5).all()
        assert report["errors"] == (0 if fault is None else 1)
        if fault is None:  # a bad request is answered as one, and the service lives on
            assert client.post(f"{server.url}/score", json={"row": ["x"]}).status_code == 422
            assert np.isfinite(candidate(rows[0]))
        if fault == "crash":
            server.wait_until(lambda: server.returncode is not None, "gone")


def test_start_scorer_refuses(tmp_path):
    with pytest.raises(ValueError, match="fault must be one of"):
        tip.start_scorer(tmp_path, fault="sulk")
    with pytest.raises(ValueError, match="after"):
        tip.start_scorer(tmp_path, after=-1)
    with pytest.raises(ValueError, match="path must be a file"):
        tip.start_scorer(tmp_path / "nothing")


# --- Assignment


def test_assignment_is_balanced_stable_and_independent_between_experiments():
    units = [f"N{i}" for i in range(20_000)]
    weights = {"a": 0.5, "b": 0.3, "c": 0.2}
    first = tip.assign_variant(units, "first", weights)
    counts = pd.Series(first).value_counts()
    assert stats.chisquare([counts[k] for k in weights], [10_000, 6_000, 4_000]).pvalue > 1e-4
    assert (tip.assign_variant(units[::-1], "first", weights)[::-1] == first).all()
    assert tip.assign_variant("N77", "first", weights) == first[77]
    second = tip.assign_variant(units, "second", weights)
    assert stats.chi2_contingency(pd.crosstab(first, second)).pvalue > 1e-4
    changes = (first[1:] == first[:-1]).mean()
    assert abs(changes - (0.25 + 0.09 + 0.04)) < three_errors(0.38, 20_000)


def test_assignment_is_the_same_on_every_machine():
    assert (tip.assign_variant(list("abcdefgh"), "s", HALF) == "candidate").tolist() == [
        True,
        True,
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert tip.assign_variant(7, "s", HALF) == tip.assign_variant("7", "s", HALF)


@given(st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=30)
def test_ramping_moves_nobody_back(one, other):
    small, large = sorted((one, other))
    units = range(300)
    before, after = (
        tip.assign_variant(units, "x", {"champion": 1 - share, "candidate": share}) == "candidate"
        for share in (small, large)
    )
    assert not (before & ~after).any()


@pytest.mark.parametrize(
    ("unit", "salt", "weights", "words"),
    [
        (["a"], "s", {"x": 0.5, "y": 0.4}, "sum to one"),
        (["a"], "s", {"x": 1.5, "y": -0.5}, "weights must hold numbers from 0 to 1"),
        (["a"], "s", {}, "weights must be a dict"),
        (["a"], "", HALF, "salt"),
        (["a"], 3, HALF, "salt"),
        (["a", None], "s", HALF, "missing"),
        ([], "s", HALF, "empty"),
    ],
)
def test_assign_variant_refuses(unit, salt, weights, words):
    with pytest.raises(ValueError, match=words):
        tip.assign_variant(unit, salt, weights)


def test_sample_ratio_check_is_scipys():
    weights = {"a": 0.7, "b": 0.2, "c": 0.1}
    found = tip.sample_ratio_check({"c": 130, "a": 690, "b": 180}, weights)
    known = stats.chisquare([690, 180, 130], [700, 200, 100])
    assert found["chi2"] == pytest.approx(known.statistic)
    assert found["p_value"] == pytest.approx(known.pvalue)
    assert found["suspicious"] == (known.pvalue < 0.001)


@pytest.mark.parametrize(
    ("counts", "weights", "words"),
    [
        ({"champion": -1, "candidate": 5}, HALF, "counts must be a whole number"),
        ({"champion": 0, "candidate": 0}, HALF, "not all be 0"),
        ({"champion": 3}, HALF, "must name the variants"),
        ({"champion": 3, "other": 3}, HALF, "must name the variants"),
        ({"champion": 3, "candidate": 3}, {"champion": 0.5, "candidate": 0.6}, "sum to one"),
        ({"champion": 3, "candidate": 3}, {"champion": 1.0, "candidate": 0.0}, "share be 0"),
    ],
)
def test_sample_ratio_check_refuses(counts, weights, words):
    with pytest.raises(ValueError, match=words):
        tip.sample_ratio_check(counts, weights)


# --- Sample size


def test_sixteen_is_15_698_and_the_published_example():
    assert tip.sample_size(1, sd=1000) == math.ceil(15.69776 * 1e6)
    assert round(16 * 0.05 * 0.95 / 0.0025**2) == 121_600  # Kohavi, Tang and Xu (2020)
    assert tip.sample_size(0.0025, sd=math.sqrt(0.05 * 0.95)) == math.ceil(121_600 * 15.69776 / 16)


@pytest.mark.parametrize(("effect", "sd", "power"), [(5, 340, 0.8), (-0.2, 1, 0.9)])
def test_sample_size_of_means_is_statsmodels(effect, sd, power):
    n = tip.sample_size(effect, sd=sd, power=power)
    known = sm_power.NormalIndPower().solve_power(abs(effect) / sd, power=power, alpha=0.05)
    assert n == math.ceil(known)


@pytest.mark.parametrize(("baseline", "effect"), [(0.05, 0.0025), (0.3, -0.05), (0.9, 0.05)])
def test_sample_size_of_shares_reaches_the_power_that_statsmodels_computes(baseline, effect):
    n = tip.sample_size(effect, baseline=baseline)
    power = sm_proportion.power_proportions_2indep(effect, baseline, n, alpha=0.05).power
    before = sm_proportion.power_proportions_2indep(effect, baseline, n - 2, alpha=0.05).power
    assert before < 0.8 <= power + 1e-6 and power < 0.802


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"effect": 0, "sd": 1}, "effect must not be 0"),
        ({"effect": 1}, "either baseline"),
        ({"effect": 0.1, "sd": 1, "baseline": 0.5}, "either baseline"),
        ({"effect": 0.6, "baseline": 0.5}, r"baseline \+ effect"),
        ({"effect": 1, "sd": 0}, "sd"),
        ({"effect": 1, "sd": 1, "alpha": 0}, "alpha"),
        ({"effect": 1, "sd": 1, "power": 1}, "power"),
        ({"effect": np.nan, "sd": 1}, "effect"),
        ({"effect": 1e-200, "sd": 1}, "effect is too small"),
    ],
)
def test_sample_size_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        tip.sample_size(**arguments)


# --- The test


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    unit = rng.integers(80, size=1500)
    variant = np.array(tip.VARIANTS)[unit % 2]
    outcome = rng.normal(size=1500) + rng.normal(size=80)[unit] + 0.4 * (unit % 2)
    return outcome, variant, unit


def test_welch_is_scipys_and_statsmodels(data):
    outcome, variant, _ = data
    a, b = outcome[variant == "champion"], outcome[variant == "candidate"]
    found = tip.ab_test(outcome, variant, alpha=0.1)
    known = stats.ttest_ind(b, a, equal_var=False)
    low, high = CompareMeans(DescrStatsW(b), DescrStatsW(a)).tconfint_diff(0.1, usevar="unequal")
    assert found["p_value"] == pytest.approx(known.pvalue, rel=1e-9)
    assert (found["low"], found["high"]) == pytest.approx((low, high), rel=1e-9)
    assert found["champion"] == pytest.approx(a.mean()) and found["n"] == 1500
    assert found["difference"] == pytest.approx(b.mean() - a.mean())


def test_two_proportions_are_statsmodels(data):
    outcome, variant, _ = data
    good = (outcome > 0.5).astype(int)
    hits = [good[variant == name].sum() for name in ("candidate", "champion")]
    sizes = [(variant == name).sum() for name in ("candidate", "champion")]
    found = tip.ab_test(good, variant, method="proportion")
    assert found["p_value"] == pytest.approx(sm_proportion.proportions_ztest(hits, sizes)[1])
    known = sm_proportion.confint_proportions_2indep(
        hits[0], sizes[0], hits[1], sizes[1], method="wald"
    )
    assert (found["low"], found["high"]) == pytest.approx(known)


def test_units_are_statsmodels_cluster_robust_regression(data):
    outcome, variant, unit = data
    x = sm.add_constant((variant == "candidate").astype(float))
    fit = sm.OLS(outcome, x).fit(
        cov_type="cluster", cov_kwds={"groups": unit, "use_correction": False}
    )
    found = tip.ab_test(outcome, variant, unit=unit)
    error = (found["high"] - found["low"]) / 2 / stats.t.isf(0.025, 75)  # about 38 + 38 freedom
    assert error == pytest.approx(fit.bse[1] * math.sqrt(40 / 39), rel=0.01)
    sums = tip._totals(outcome, variant, unit)
    squared = sum(tip._squared_error(*group) for group in sums)
    assert math.sqrt(squared * 39 / 40) == pytest.approx(fit.bse[1], rel=1e-9)
    assert found["difference"] == pytest.approx(fit.params[1])
    assert found["n"] == 80


def test_units_of_one_row_are_the_plain_test(data):
    outcome, variant, _ = data
    pd.testing.assert_series_equal(
        tip.ab_test(outcome, variant), tip.ab_test(outcome, variant, unit=range(1500))
    )


def test_the_bootstrap_is_scipys(data):
    outcome, variant, _ = data
    a, b = outcome[variant == "champion"], outcome[variant == "candidate"]
    found = tip.ab_test(outcome, variant, method="bootstrap", resamples=4000, random_state=0)
    known = stats.bootstrap(
        (b, a), lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis), n_resamples=4000,
        method="percentile", vectorized=True, batch=500, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    width = known.high - known.low
    assert abs(found["low"] - known.low) < 0.05 * width
    assert abs(found["high"] - known.high) < 0.05 * width
    again = tip.ab_test(outcome, variant, method="bootstrap", resamples=4000, random_state=0)
    pd.testing.assert_series_equal(found, again)


def test_the_bootstrap_of_units_is_as_wide_as_the_formula(data):
    outcome, variant, unit = data
    by_formula = tip.ab_test(outcome, variant, unit=unit)
    drawn = tip.ab_test(outcome, variant, unit=unit, method="bootstrap", random_state=0)
    widths = [result["high"] - result["low"] for result in (by_formula, drawn)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert widths[0] > 2 * np.ptp(tip.ab_test(outcome, variant)[["low", "high"]])


def test_a_a_tests_by_row_are_inflated_and_by_unit_are_not():
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(60), 30)
    alarms = np.zeros(2)
    for _ in range(400):
        outcome = rng.normal(size=60)[unit] + rng.normal(size=1800)
        variant = np.array(tip.VARIANTS)[rng.permutation(60) % 2][unit]
        alarms += [
            tip.ab_test(outcome, variant, unit=chosen)["p_value"] < 0.05 for chosen in (None, unit)
        ]
    by_row, by_unit = alarms / 400
    assert by_row > 0.4
    assert abs(by_unit - 0.05) < three_errors(0.05, 400)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1, 2, 3], ["champion"] * 3), "variant 'candidate' has 0 units"),
        (([1, 2, 3], ["champion", "champion", "candidate"]), "'candidate' has 1 units"),
        (([1, 2, 3, 4], ["a", "champion"] * 2), "champion or candidate, got 'a'"),
        (([1, np.nan, 3, 4], ["champion", "candidate"] * 2), "missing"),
        (([1, 2, 3], ["champion", "candidate"] * 2), "variant must have 3"),
        (([1, 1, 1, 1], ["champion", "candidate"] * 2), "does not vary"),
        (([0.1] * 3 + [0.3] * 3, ["champion"] * 3 + ["candidate"] * 3), "does not vary"),
        (([1e300, 2, 3, 4], ["champion", "candidate"] * 2), "outcome must hold numbers from"),
        (([], []), "empty"),
    ],
)
def test_ab_test_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        tip.ab_test(*arguments)


def test_ab_test_refuses_options_that_do_not_fit(data):
    outcome, variant, unit = data
    with pytest.raises(ValueError, match="was in both"):
        tip.ab_test(outcome, variant, unit=unit // 2)
    with pytest.raises(ValueError, match="labels 0 and 1"):
        tip.ab_test(outcome, variant, method="proportion")
    with pytest.raises(ValueError, match="of no use"):
        tip.ab_test((outcome > 0).astype(int), variant, unit=unit, method="proportion")
    for options in ({"method": "x"}, {"alpha": 1}, {"method": "bootstrap", "resamples": 0}):
        with pytest.raises(ValueError, match=next(iter(options)) if len(options) == 1 else "resa"):
            tip.ab_test(outcome, variant, **options)


# --- Looks

ARMITAGE = {1: 0.05, 2: 0.083, 3: 0.107, 4: 0.126, 5: 0.142, 10: 0.193}


@pytest.mark.parametrize(("looks", "published"), ARMITAGE.items())
def test_peeking_meets_the_published_table(looks, published):
    assert tip.crossing_probability([1.959964] * looks).sum() == pytest.approx(published, abs=6e-4)
    runs = 40_000
    z = np.random.default_rng(looks).normal(size=(runs, looks)).cumsum(axis=1)
    simulated = (abs(z / np.sqrt(np.arange(1, looks + 1))) > 1.959964).any(axis=1).mean()
    assert abs(simulated - published) < three_errors(published, runs) + 5e-4


def test_published_bounds_and_power():
    obrien = tip.group_sequential_bounds(5)
    assert obrien.round(2).tolist() == [4.56, 3.23, 2.63, 2.28, 2.04]
    assert tip.group_sequential_bounds(5, "pocock").round(3).tolist() == [2.413] * 5
    pocock = {2: 2.178, 3: 2.289, 4: 2.361, 10: 2.555}  # Jennison and Turnbull (2000), table 2.1
    for looks, bound in pocock.items():
        assert tip.group_sequential_bounds(looks, "pocock")[0] == pytest.approx(bound, abs=6e-4)
    assert tip.group_sequential_bounds(1)[0] == tip.group_sequential_bounds(1, "pocock")[0]
    assert tip.crossing_probability(tip.group_sequential_bounds(30, "pocock", 0.49)).sum() == (
        pytest.approx(0.49, abs=1e-6)
    )
    assert tip.group_sequential_bounds(1)[0] == pytest.approx(1.959964, abs=1e-6)
    # 80 % power of a fixed test, and the inflation factors of their tables 2.2 and 2.4
    for kind, factor in {"pocock": 1.228, "obrien-fleming": 1.028}.items():
        drift = (1.959964 + 0.841621) * math.sqrt(factor / 5)
        power = tip.crossing_probability(tip.group_sequential_bounds(5, kind), drift).sum()
        assert power == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize("kind", ["pocock", "obrien-fleming"])
@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_bounds_hold_alpha_in_simulation(kind, alpha):
    looks, runs = 7, 40_000
    bounds = tip.group_sequential_bounds(looks, kind, alpha)
    z = np.random.default_rng(1).normal(size=(runs, looks)).cumsum(axis=1)
    share = (abs(z / np.sqrt(np.arange(1, looks + 1))) >= bounds).any(axis=1).mean()
    assert abs(share - alpha) < three_errors(alpha, runs)


def test_crossing_probability_with_drift_is_the_simulation():
    bounds, drift, runs = [2.5, 2.0, 2.2, 1.8], 0.7, 100_000
    z = (np.random.default_rng(2).normal(size=(runs, 4)) + drift).cumsum(axis=1)
    over = abs(z / np.sqrt(np.arange(1, 5))) >= bounds
    first = np.bincount(over.argmax(axis=1)[over.any(axis=1)], minlength=4) / runs
    known = tip.crossing_probability(bounds, drift)
    assert (abs(first - known) < 3.5 * np.sqrt(known * (1 - known) / runs)).all()


def test_the_always_valid_bound_holds_at_any_number_of_looks():
    n, runs = np.arange(1, 1001), 4_000
    z = np.random.default_rng(3).normal(size=(runs, len(n))).cumsum(axis=1) / np.sqrt(n)
    alarms = (abs(z) >= tip.always_valid_bound(1 / n, tau=0.2)).any(axis=1).mean()
    assert alarms < 0.05 + three_errors(0.05, runs)
    assert (abs(z) > 1.96).any(axis=1).mean() > 0.4
    # at its bound the mixture likelihood ratio is 1 / alpha (Johari et al. 2017, equation 4)
    v, tau = 0.3, 0.5
    d = tip.always_valid_bound(v, tau) * math.sqrt(v)
    ratio = stats.norm.pdf(d, 0, math.sqrt(v + tau**2)) / stats.norm.pdf(d, 0, math.sqrt(v))
    assert ratio == pytest.approx(20)


@pytest.mark.parametrize(
    ("method", "tau"), [("obrien-fleming", None), ("pocock", None), ("always valid", 0.3)]
)
def test_sequential_tests_hold_five_percent_on_outcomes_and_find_an_effect(method, tau):
    rng = np.random.default_rng(4)
    variant = np.tile(tip.VARIANTS, 250)
    alarms = found = 0
    for _ in range(150):
        outcome = rng.exponential(size=500)
        arguments = {"looks": 5, "method": method, "tau": tau}
        alarms += tip.sequential_ab_test(outcome, variant, **arguments)["stop"].any()
        better = outcome + 0.4 * (variant == "candidate")
        found += tip.sequential_ab_test(better, variant, **arguments)["stop"].any()
    assert alarms / 150 < 0.05 + three_errors(0.05, 150)
    assert found / 150 > 0.9


def test_sequential_looks_are_the_tests_of_the_rows_so_far(data):
    outcome, variant, unit = data
    table = tip.sequential_ab_test(outcome, variant, 3, unit=unit)
    assert table["n"].tolist() == [500, 1000, 1500]
    part = tip.ab_test(outcome[:1000], variant[:1000], unit=unit[:1000])
    assert table["difference"][2] == pytest.approx(part["difference"])
    stopped = table["stop"].to_numpy()
    assert (np.diff(stopped.astype(int)) >= 0).all()


def test_sequential_refuses(data):
    outcome, variant, _ = data
    for options, words in (
        ({"looks": 0}, "looks"),
        ({"looks": 3, "method": "always valid"}, "give tau"),
        ({"looks": 3, "tau": 1}, "give tau"),
        ({"looks": 3, "method": "never"}, "method"),
        ({"looks": 101}, "looks"),
        ({"looks": 3, "method": "always valid", "tau": 0}, "tau"),
    ):
        with pytest.raises(ValueError, match=words):
            tip.sequential_ab_test(outcome, variant, **options)
    ordered = np.sort(variant)  # all of one variant come first
    with pytest.raises(ValueError, match="variant 'champion' has 0 units"):
        tip.sequential_ab_test(outcome, ordered, 5)
    for call in (
        lambda: tip.group_sequential_bounds(5, "haybittle"),
        lambda: tip.group_sequential_bounds(5, alpha=0.6),
        lambda: tip.crossing_probability([2, 0]),
        lambda: tip.crossing_probability([2, 1e6]),
        lambda: tip.crossing_probability([2], drift=np.inf),
        lambda: tip.always_valid_bound(0, 1),
        lambda: tip.sprt_bounds(0.5, 0.5),
        lambda: tip.sprt_bounds(0, 0.5),
    ):
        with pytest.raises(ValueError, match=r"must be"):
            call()


def test_sprt_bounds_and_their_errors():
    upper, lower = tip.sprt_bounds(0.05, 0.2)
    assert (upper, lower) == pytest.approx((2.7726, -1.5581), abs=5e-5)
    p0, p1, runs = 0.3, 0.35, 3_000
    steps = np.array([math.log((1 - p1) / (1 - p0)), math.log(p1 / p0)])
    taken = []
    for p in (p0, p1):
        hits = np.random.default_rng(5).random((runs, 4_000)) < p
        ratio = steps[hits.astype(int)].cumsum(axis=1)
        end = ((ratio >= upper) | (ratio <= lower)).argmax(axis=1)
        taken.append((ratio[np.arange(runs), end] >= upper).mean())
    assert taken[0] < 0.05 + three_errors(0.05, runs)
    assert taken[1] > 0.8 - three_errors(0.2, runs)


# --- Switchback

TRUTH = np.mean([120 / 180 - 0.5, 120 / 220 - 0.5])


def test_the_market_settles_at_its_closed_form():
    for share, name, rates in (
        (1.0, "candidate", [120 / 180, 120 / 220]),
        (0.0, "champion", [0.5, 0.5]),
    ):
        table = tip.simulate_market([share] * 300, random_state=0)
        assert set(table["variant"]) == {name}
        hours = table[table["hour"] >= 5].groupby("day")[["rides", "requests"]].sum()
        busy = hours["requests"] / 19 > 200
        found = (hours["rides"] / hours["requests"]).groupby(busy).mean()
        assert found.tolist() == pytest.approx(rates, abs=0.006)
    assert (table["rides"] <= table["requests"]).all()


@pytest.fixture(scope="module")
def designs():
    rows = []
    for seed in range(40):
        split = tip.simulate_market([0.5] * 28, random_state=seed).groupby("variant").sum()
        rates = split["rides"] / split["requests"]
        turns = tip.switchback_schedule(28, random_state=seed)
        rides = tip.simulate_market(turns == "candidate", random_state=500 + seed)
        what = (rides["rides"], rides["requests"], rides["day"], rides["variant"])
        plain = tip.switchback(*what)
        washed = tip.switchback(*what, elapsed=rides["hour"], washout=2)
        hourly = tip.ab_test(rides["rides"] / rides["requests"], rides["variant"])
        rows.append(
            {
                "split": rates["candidate"] - rates["champion"],
                "plain": plain["difference"],
                "washed": washed["difference"],
                "covered": washed["low"] < TRUTH < washed["high"],
                "covered by hour": hourly["low"] < TRUTH < hourly["high"],
            }
        )
        assert washed["n"] == 28
    return pd.DataFrame(rows).astype(float)


def test_a_user_split_is_biased_where_variants_interfere_and_a_switchback_is_not(designs):
    error = designs.std() / math.sqrt(len(designs))
    assert designs["split"].mean() > 2 * TRUTH
    assert abs(designs["washed"].mean() - TRUTH) < 3 * error["washed"]
    assert designs["plain"].mean() > designs["washed"].mean() + 0.004  # carry-over
    assert designs["covered"].mean() > 0.95 - three_errors(0.95, 40)
    assert designs["covered by hour"].mean() < 0.7


def test_schedule_has_both_variants_in_each_pair():
    turns = tip.switchback_schedule(60, random_state=1).reshape(-1, 2)
    assert (turns[:, 0] != turns[:, 1]).all()
    assert 5 < (turns[:, 0] == "champion").sum() < 25
    for bad in (3, 2, 5, 7.0):
        with pytest.raises(ValueError, match="periods"):
            tip.switchback_schedule(bad)


def test_switchback_is_the_test_of_period_means():
    rng = np.random.default_rng(0)
    period = np.repeat(np.arange(10), 6)
    variant = np.array(tip.VARIANTS)[period % 2]
    rides, requests = rng.integers(1, 50, 60), rng.integers(50, 90, 60)
    found = tip.switchback(rides, requests, period, variant)
    means = [rides[period == k].sum() / requests[period == k].sum() for k in range(10)]
    known = stats.ttest_ind(means[1::2], means[::2], equal_var=False)
    assert found["p_value"] == pytest.approx(known.pvalue) and found["n"] == 10


def test_switchback_and_market_refuse():
    good = ([1, 2, 3, 5], [5] * 4, [0, 1, 2, 3], ["champion", "candidate"] * 2)
    for change, words in (
        ({1: [5, 5, 0, 5]}, "size must be above 0"),
        ({2: [0, 0, 2, 3]}, "two variants"),
        ({3: ["champion"] * 4}, "'candidate' has 0 units"),
        ({0: [1, 2, 3, np.nan]}, "missing"),
    ):
        arguments = [change.get(i, value) for i, value in enumerate(good)]
        with pytest.raises(ValueError, match=words):
            tip.switchback(*arguments)
    with pytest.raises(ValueError, match="washout needs elapsed"):
        tip.switchback(*good, washout=1)
    with pytest.raises(ValueError, match="leaves no row"):
        tip.switchback(*good, elapsed=[0] * 4, washout=1)
    with pytest.raises(ValueError, match="candidate_share"):
        tip.simulate_market([0.5, 1.5])


# --- Canary


def test_a_release_grows_holds_and_ends():
    release = tip.CanaryRelease((0.1, 0.5, 1), hold=10, min_outcomes=100)
    good = {"requests": 100, "outcomes": 100, "good": 50}
    release.record("candidate", **good)
    assert release.advance(9) == "running" and release.share == 0.1  # the hold is not over
    assert release.advance(10) == "running" and release.share == 0.5
    assert release.advance(25) == "running" and release.share == 0.5  # no outcomes in this stage
    release.record("candidate", **good)
    release.advance(26)
    assert release.share == 1
    release.record("candidate", **good)
    release.advance(35)
    assert release.advance(36) == "promoted" and release.advance(99) == "promoted"
    assert [entry["share"] for entry in release.history] == [0.1, 0.5, 1, 1]
    assert [entry["time"] for entry in release.history] == [0, 10, 26, 36]
    assert release.history[-1]["state"] == "promoted"
    assert all(entry["reason"] for entry in release.history)


def test_no_labels_no_growth():
    release = tip.CanaryRelease(hold=1, min_outcomes=1)
    release.record("candidate", requests=10_000)
    for now in range(100):
        release.advance(now)
    assert release.share == 0.01 and release.state == "running"


def test_errors_abort_as_the_binomial_tail_says():
    for errors in range(1, 12):
        release = tip.CanaryRelease(max_error_rate=0.01, alpha=0.001)
        release.record("candidate", requests=100, errors=errors)
        tail = stats.binom.sf(errors - 1, 100, 0.01)
        assert (release.advance(0) == "aborted") == (tail < 0.001)


def test_outcomes_abort_as_mantel_haenszel_says():
    from statsmodels.stats.contingency_tables import StratifiedTable

    rng = np.random.default_rng(0)
    ends = set()
    for _ in range(30):
        stages = [rng.integers(20, 200, (2, 2)) for _ in range(3)]  # variant by good or not
        release = tip.CanaryRelease((0.1, 0.5, 1), hold=0, min_outcomes=0, alpha=0.001)
        for now, table in enumerate(stages):
            for name, (good, rest) in zip(tip.VARIANTS, table, strict=True):
                release.record(name, outcomes=int(good + rest), good=int(good))
            release.advance(now)
            tables = [t[::-1].astype(float) for t in stages[: now + 1]]
            known = StratifiedTable(tables).test_null_odds()
            fewer = sum(t[0, 0] - t[0].sum() * t[:, 0].sum() / t.sum() for t in tables) < 0
            expected = fewer and known.pvalue / 2 < 0.001
            assert (release.state == "aborted") == expected
            if expected:
                break
        ends.add(release.state)
    assert ends == {"aborted", "promoted"}


def test_a_drift_between_stages_does_not_deceive_the_release():
    release = tip.CanaryRelease((0.1, 1), hold=1, min_outcomes=0)
    release.record("champion", outcomes=9000, good=4500)
    release.record("candidate", outcomes=1000, good=520)
    release.advance(1)
    release.record("candidate", outcomes=9000, good=900)  # a bad week, and all have the candidate
    assert release.advance(2) == "promoted"


def test_routing_keeps_who_has_the_candidate():
    release = tip.CanaryRelease((0.1, 0.5, 1), hold=0, min_outcomes=0)
    units = range(1000)
    had = set()
    for now in range(3):
        have = {unit for unit in units if release.route(unit) == "candidate"}
        assert had <= have
        assert abs(len(have) / 1000 - release.share) <= three_errors(release.share, 1000)
        had = have
        release.advance(now)
    assert release.state == "promoted" and len(had) == 1000
    weights = {"candidate": 0.3, "champion": 0.7}
    other = tip.CanaryRelease((0.3, 1))
    assert [other.route(unit) for unit in units] == list(
        tip.assign_variant(units, "canary", weights)
    )


def test_a_small_market_comes_first():
    release = tip.CanaryRelease((0.5, 1), hold=0, min_outcomes=0, first_markets={"LGA"})
    assert all(release.route(unit, "JFK") == "champion" for unit in range(200))
    assert {release.route(unit, "LGA") for unit in range(200)} == set(tip.VARIANTS)
    release.advance(0)
    assert all(release.route(unit, "JFK") == "candidate" for unit in range(200))


@pytest.mark.parametrize("candidate", [failing, hanging, lambda x: float("nan"), lambda x: None])
def test_a_failing_candidate_costs_users_nothing_and_is_sent_home(candidate):
    release = tip.CanaryRelease((0.5, 1), timeout=0.02)
    for now in range(40):
        assert release.serve(now, f"user {now}", lambda x: x / 2, candidate) == now / 2
        release.advance(now)
    assert release.state == "aborted" and "errors in" in release.history[-1]["reason"]
    counts = release.counts["candidate"]
    assert 0 < counts["errors"] == counts["requests"] < 10
    assert {release.route(unit) for unit in range(200)} == {"champion"}


def test_a_good_candidate_answers_its_users_and_a_slow_one_is_sent_home():
    release = tip.CanaryRelease((0.5, 1), max_latency=0.005)
    for now in range(60):
        answer = release.serve(now, now, lambda x: 0, lambda x: time.sleep(0.01) or 1)
        assert answer == (1 if release.route(now) == "candidate" else 0)
    assert release.advance(60) == "aborted"
    assert release.history[-1]["reason"] == "answers too slow"


def test_time_does_not_run_backwards_and_counts_are_counts():
    release = tip.CanaryRelease()
    release.advance(5)
    with pytest.raises(ValueError, match="must not run backwards: 4 comes after 5"):
        release.advance(4)
    for bad, words in (
        ({"requests": -1}, "requests must be a whole number"),
        ({"outcomes": -3, "good": -3}, "outcomes must be a whole number"),
        ({"requests": 1, "errors": 2}, "part of"),
        ({"outcomes": 1, "good": 2}, "part of"),
    ):
        with pytest.raises(ValueError, match=words):
            release.record("candidate", **bad)
    assert release.counts["candidate"]["requests"] == 0
    with pytest.raises(ValueError, match="variant"):
        release.record("other", requests=1)
    with pytest.raises(ValueError, match="now"):
        release.advance(np.nan)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stages": (0.1, 0.5)}, "stages must grow"),
        ({"stages": (0.5, 0.1, 1)}, "stages must grow"),
        ({"stages": (0, 1)}, "stages must grow"),
        ({"stages": ()}, "stages"),
        ({"hold": -1}, "hold"),
        ({"min_outcomes": -1}, "min_outcomes"),
        ({"max_error_rate": 0}, "max_error_rate"),
        ({"alpha": 0.5}, "alpha"),
        ({"max_latency": 0}, "max_latency"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_canary_refuses(options, words):
    with pytest.raises(ValueError, match=words):
        tip.CanaryRelease(**options)


@pytest.fixture(scope="module")
def thousand():
    kinds = {"good": 0.22, "equal": 0.16, "bad": 0.10}
    return {
        name: tip.simulate_releases(share, n=1000, champion_share=0.16, random_state=1)
        for name, share in kinds.items()
    }


def test_a_thousand_releases_of_each_kind(thousand):
    promoted = {name: (table["state"] == "promoted").mean() for name, table in thousand.items()}
    assert promoted["good"] == 1 and promoted["equal"] > 0.95 and promoted["bad"] == 0
    assert all(len(table) == 1000 for table in thousand.values())
    bad, good = thousand["bad"], thousand["good"]
    assert bad["hours"].median() < good["hours"].min() / 2  # early …
    assert bad["served"].max() < good["served"].min() / 10  # … and with its harm bounded
    assert (good["hours"] >= 5 * 24).all()  # every stage was held


def test_simulated_errors_abort_and_bad_input_is_refused():
    ends = tip.simulate_releases(0.35, n=100, error_rate=0.05, random_state=0)
    assert (ends["state"] == "aborted").all()
    pd.testing.assert_frame_equal(
        ends, tip.simulate_releases(0.35, n=100, error_rate=0.05, random_state=0)
    )
    for arguments in ({"good_share": 1.5}, {"good_share": 0.5, "n": 0}):
        with pytest.raises(ValueError, match=list(arguments)[-1]):
            tip.simulate_releases(**arguments)
    with pytest.raises(ValueError, match="error_rate"):
        tip.simulate_releases(0.5, error_rate=-1)


def test_late_labels_count_in_the_stage_in_which_they_were_served():
    """Equal variants; in the second stage, with all shares at one half, few outcomes are good."""
    served = [(0, "champion", 9000, 4500), (0, "candidate", 1000, 500)]
    served += [(1, "champion", 5000, 500), (1, "candidate", 5000, 500)]
    ends = {}
    for named in (True, False):  # all labels come in the second stage
        release = tip.CanaryRelease((0.1, 0.5, 1), hold=1, min_outcomes=0)
        release.advance(1)
        for stage, name, outcomes, good in served:
            late = {"stage": stage} if named else {}
            release.record(name, outcomes=outcomes, good=good, **late)
        ends[named] = release.advance(1.5)
    assert ends == {True: "running", False: "aborted"}
    assert [release.counts["champion"][name] for name in ("outcomes", "good")] == [14_000, 5_000]


def test_a_stage_needs_outcomes_of_its_own():
    release = tip.CanaryRelease((0.1, 0.5, 1), hold=1, min_outcomes=100)
    release.record("candidate", outcomes=100, good=50)
    release.advance(1)
    assert release.stage == 1
    release.record("candidate", outcomes=1000, good=500, stage=0)  # late ones do not count here
    assert release.advance(9) == "running" and release.stage == 1
    release.record("candidate", outcomes=100, good=50, stage=1)
    release.advance(10)
    assert release.stage == 2
    for bad in (3, -1, 1.0, "1"):
        with pytest.raises(ValueError, match="stage must be"):
            release.record("candidate", outcomes=1, stage=bad)


def test_a_release_refuses_a_missing_unit_and_markets_that_are_a_text():
    for unit in (None, np.nan, pd.NaT):
        with pytest.raises(ValueError, match="unit is missing"):
            tip.CanaryRelease().route(unit)
    for markets in ("LGA", 5):
        with pytest.raises(ValueError, match="first_markets"):
            tip.CanaryRelease(first_markets=markets)
    with pytest.raises(ValueError, match="salt"):
        tip.CanaryRelease(salt="")


# --- Interleaving

rankings = st.permutations(list(range(8)))


@given(rankings, rankings, st.integers(1, 8), st.integers(0, 99))
@settings(max_examples=80)
def test_team_draft_keeps_its_rules(champion, candidate, k, seed):
    items, teams = tip.team_draft_interleave(champion, candidate, k, seed)
    assert len(items) == len(set(items)) == len(teams) == k
    for i, (item, team) in enumerate(zip(items, teams, strict=True)):
        ranking = champion if team == "champion" else candidate
        assert item == next(x for x in ranking if x not in items[:i])  # its best one left
        if i % 2:
            assert team != teams[i - 1]  # one each in every round


def test_identical_rankers_no_preference():
    rng = np.random.default_rng(0)
    credit = []
    for _ in range(4000):
        items, teams = tip.team_draft_interleave(range(10), range(10), 10, rng)
        assert items == list(range(10))
        credit.append((teams[:3] == "candidate").sum() - (teams[:3] == "champion").sum())
    won = (np.array(credit) > 0).sum()
    assert stats.binomtest(int(won), 4000).pvalue > 1e-3


def test_a_planted_better_ranker_wins_with_fewer_users_than_an_ab_test():
    rng = np.random.default_rng(1)
    good = np.arange(10) < 4
    wins, clicks = [], {"champion": [], "candidate": []}
    for _ in range(3000):
        better, worse = np.argsort(~good + rng.normal(0, 0.8, 10)), rng.permutation(10)
        eager = rng.beta(0.5, 0.5)

        def clicked(items, eager=eager):
            return rng.random(len(items)) < eager * np.where(good[items], 0.9, 0.1)

        items, teams = tip.team_draft_interleave(worse, better, 4, rng)
        wins.append(np.sign(np.where(teams == "candidate", 1, -1) @ clicked(items)))
        clicks["champion"].append(clicked(worse[:4]).sum())
        clicks["candidate"].append(clicked(better[:4]).sum())
    users = tip.sample_size(np.mean(wins), sd=np.std(wins)) / 2
    effect = np.mean(clicks["candidate"]) - np.mean(clicks["champion"])
    assert np.mean(wins) > 0.1 and effect > 0
    assert users < tip.sample_size(effect, sd=np.std(clicks["champion"]))


def test_interleaving_ends_where_one_ranking_does_and_refuses():
    items, _ = tip.team_draft_interleave(["a"], ["a", "b", "c"], random_state=0)
    assert items[0] == "a" and items == ["a", "b", "c"][: len(items)]
    stopped, _ = tip.team_draft_interleave(["a"], ["a", "b", "c"], random_state=1)
    assert {len(items), len(stopped)} <= {1, 2, 3}
    for champion, candidate, k, words in (
        ([], ["a"], 1, "champion must hold"),
        (["a"], [], 1, "candidate must hold"),
        (["a", "a"], ["a"], 1, "champion must hold"),
        (["a"], ["a"], 0, "k must be"),
    ):
        with pytest.raises(ValueError, match=words):
            tip.team_draft_interleave(champion, candidate, k)


# --- Bandits

MEANS = [0.2, 0.5, 0.6]


def test_ucb1_index_is_the_formula():
    bandit = tip.Bandit(3, "ucb1", random_state=0)
    for arm, reward in ((0, 1), (1, 0), (1, 1), (2, 0.5), (1, 1)):
        bandit.update([arm], [reward])
    expected = [
        1 + math.sqrt(2 * math.log(5) / 1),
        2 / 3 + math.sqrt(2 * math.log(5) / 3),
        0.5 + math.sqrt(2 * math.log(5) / 1),
    ]
    assert bandit.index()[0] == pytest.approx(expected)
    assert bandit.choose().tolist() == [0]
    assert np.isinf(tip.Bandit(2, "ucb1").index()).all()


def test_each_arm_is_tried_before_any_is_tried_again():
    for policy in ("ucb1", "epsilon-greedy"):
        bandit = tip.Bandit(4, policy, epsilon=0, runs=50, random_state=0)
        for _ in range(4):
            bandit.update(bandit.choose(), np.ones(50))
        assert (bandit.pulls == 1).all()


def test_epsilon_is_the_share_of_exploration():
    bandit = tip.Bandit(4, "epsilon-greedy", epsilon=0.2, runs=20_000, random_state=0)
    bandit.pulls += 10
    bandit.rewards += [1, 5, 2, 3]
    away = (bandit.choose() != 1).mean()
    assert abs(away - 0.2 * 3 / 4) < three_errors(0.15, 20_000)


def test_thompson_draws_from_the_beta_posterior():
    bandit = tip.Bandit(2, "thompson", runs=20_000, random_state=0)
    bandit.pulls += [10, 5]
    bandit.rewards += [7, 4]
    draws = bandit.index()
    assert stats.kstest(draws[:, 0], stats.beta(8, 4).cdf).pvalue > 1e-3
    assert stats.kstest(draws[:, 1], stats.beta(5, 2).cdf).pvalue > 1e-3


@pytest.fixture(scope="module")
def regrets():
    found = {}
    for policy in ("thompson", "ucb1", "epsilon-greedy"):
        for delay in (0, 200):
            bandit = tip.Bandit(3, policy, runs=200, random_state=0)
            found[policy, delay] = tip.simulate_bandit(
                bandit, MEANS, 2_000, delay=delay, random_state=1
            )
    return found


def test_regret_order_on_a_known_bandit(regrets):
    final = {key: regret[-1].mean() for key, regret in regrets.items()}
    error = {key: regret[-1].std() / math.sqrt(200) for key, regret in regrets.items()}
    at_random = 2_000 * (max(MEANS) - np.mean(MEANS))
    for better, worse in (("thompson", "epsilon-greedy"), ("thompson", "ucb1")):
        gap = final[worse, 0] - final[better, 0]
        assert gap > 3 * math.hypot(error[worse, 0], error[better, 0])
    for policy in ("thompson", "ucb1", "epsilon-greedy"):
        assert final[policy, 0] < final[policy, 200] < at_random / 2
    # Auer et al. (2002), theorem 1: the bound of UCB1's regret
    gaps = [0.4, 0.1]
    bound = sum(8 * math.log(2_000) / g for g in gaps) + (1 + math.pi**2 / 3) * sum(gaps)
    assert final["ucb1", 0] < bound
    assert (np.diff(regrets["ucb1", 0], axis=0) >= 0).all()


def test_what_a_bandit_costs_the_estimate_and_the_p_value():
    bandit = tip.Bandit(2, "thompson", runs=4_000, random_state=0)
    tip.simulate_bandit(bandit, [0.3, 0.3], 400, random_state=1)
    mean = bandit.rewards / bandit.pulls
    error = np.nanstd(mean) / math.sqrt(np.isfinite(mean).sum())
    assert np.nanmean(mean) < 0.3 - 5 * error  # biased downwards
    fair = tip.Bandit(2, "epsilon-greedy", epsilon=1, runs=4_000, random_state=0)
    tip.simulate_bandit(fair, [0.3, 0.3], 400, random_state=1)
    assert abs((fair.rewards / fair.pulls).mean() - 0.3) < 4 * error


def test_replay_is_unbiased():
    rng = np.random.default_rng(0)
    means = np.array([0.3, 0.4, 0.7])
    shares, lengths = [], []
    for seed in range(30):
        arms = rng.integers(3, size=1500)
        rewards = (rng.random(1500) < means[arms]).astype(int)
        got = tip.replay_bandit(tip.Bandit(3, "ucb1", random_state=seed), arms, rewards)
        shares.append(got[:400].mean())
        lengths.append(len(got))
    live = tip.Bandit(3, "ucb1", runs=300, random_state=0)
    regret = tip.simulate_bandit(live, means, 400, random_state=1)[-1] / 400
    error = math.hypot(np.std(shares) / math.sqrt(30), regret.std() / math.sqrt(300))
    assert abs(np.mean(shares) - (0.7 - regret.mean())) < 3.5 * error
    assert abs(np.mean(lengths) / 1500 - 1 / 3) < 0.02


def test_bandits_refuse():
    for call, words in (
        (lambda: tip.Bandit(1), "arms"),
        (lambda: tip.Bandit(2, "greedy"), "policy"),
        (lambda: tip.Bandit(2, epsilon=2), "epsilon"),
        (lambda: tip.Bandit(2, runs=0), "runs"),
        (lambda: tip.Bandit(2).update([2], [1]), "arm"),
        (lambda: tip.Bandit(2).update([0.5], [1]), "arm must hold whole numbers"),
        (lambda: tip.Bandit(2).update([1], [-1]), "reward"),
        (lambda: tip.Bandit(2).update([1], [np.nan]), "reward"),
        (lambda: tip.Bandit(2, runs=2).update([1], [1]), "arm must have 2"),
        (lambda: tip.simulate_bandit(tip.Bandit(2), [0.5], 10), "means must have 2"),
        (lambda: tip.simulate_bandit(tip.Bandit(2), [0.5, 0.6], 10, delay=-1), "delay"),
        (lambda: tip.replay_bandit(tip.Bandit(2, runs=3), [0], [1]), "single run"),
        (lambda: tip.replay_bandit(tip.Bandit(2), [0, 1], [1]), "rewards must have 2"),
        (lambda: tip.replay_bandit(tip.Bandit(2), [0, 2], [1, 1]), "arms"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_the_same_seed_gives_the_same_choices():
    first, second = (
        tip.simulate_bandit(tip.Bandit(3, runs=5, random_state=1), MEANS, 50, random_state=2)
        for _ in range(2)
    )
    assert np.array_equal(first, second)


# --- The exercises' wrong answers


def _crc(unit, salt, share):
    return zlib.crc32(f"{salt}:{unit}".encode()) / 2**32


def _random(unit, salt, share):
    return bool(np.random.default_rng().random() < share)


def _no_salt(unit, salt, share):
    return tip._hashed([unit], "always the same")[0] < share


def _fresh_draw_for_each_share(unit, salt, share):
    return bool(tip._hashed([unit], f"{salt}{share}")[0] < share)


def _sums(outcome, unit):
    return pd.Series(outcome - outcome.mean()).groupby(unit).sum()


def _patient(share, stages, requests, errors, limit, enough):
    if requests < enough or share == stages[-1]:
        return share
    return 0.0 if errors > limit * requests else stages[stages.index(share) + 1]


def _divides(share, stages, requests, errors, limit, enough):
    if errors / requests > limit:
        return 0.0
    return share if requests < enough or share == 1 else stages[stages.index(share) + 1]


def _over_the_end(share, stages, requests, errors, limit, enough):
    if errors > limit * requests:
        return 0.0
    return share if requests < enough else stages[stages.index(share) + 1]


def _never_waits(share, stages, requests, errors, limit, enough):
    return 0.0 if errors > limit * requests else stages[min(stages.index(share) + 1, 4)]


def _ucb(pulls, rewards, log=np.log, total=None, power=0.5):
    total = pulls.sum() if total is None else total
    return int(np.argmax(rewards / pulls + (2 * log(total) / pulls) ** power))


WRONG_ANSWERS = {
    "gets_candidate": [
        (_random, "when it came back"),
        (lambda unit, salt, share: bool(_no_salt(unit, salt, share)), "hash the salt"),
        (_fresh_draw_for_each_share, "lost the candidate"),
        (lambda unit, salt, share: _crc(unit, salt, share), "True or False"),
        (lambda unit, salt, share: bool(_crc(unit, salt, share) > share), "0.1"),
        (lambda unit, salt, share: int(unit[1:]) % 100 < share * 100, "hash the salt"),
        (lambda unit, salt, share: True, "100%"),
    ],
    "standard_error": [
        (lambda outcome, unit: outcome.std(ddof=1) / np.sqrt(len(outcome)), "as independent"),
        (lambda outcome, unit: np.sqrt((_sums(outcome, unit) ** 2).sum()) / 3, "not by that"),
        (lambda outcome, unit: (_sums(outcome, unit) ** 2).sum() / len(outcome), "root is missing"),
        (lambda outcome, unit: np.sqrt(2) / 6, "different sizes"),
        (lambda outcome, unit: _sums(outcome, unit).to_numpy(), "one number"),
    ],
    "next_share": [
        (_patient, "does not wait"),
        (_divides, "ZeroDivisionError"),
        (_over_the_end, "IndexError"),
        (_never_waits, "Not enough was seen"),
        (lambda share, *rest: share, "abort"),
    ],
    "ucb1_arm": [
        (lambda pulls, rewards: int(np.argmax(rewards / pulls)), "add the bonus"),
        (lambda pulls, rewards: int(np.argmin(pulls)), "*all* arms"),
        (lambda pulls, rewards: _ucb(pulls, rewards, np.log10), "natural logarithm"),
        (lambda pulls, rewards: _ucb(pulls, rewards, np.log2), "natural logarithm"),
        (lambda pulls, rewards: _ucb(pulls, rewards, total=pulls), "*all* arms"),
        (lambda pulls, rewards: _ucb(pulls, rewards, power=1), "root is missing"),
        (lambda pulls, rewards: 0, "the means decide"),
    ],
}
