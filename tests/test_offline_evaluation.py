"""Chapter 14 against known answers: closed forms, published tables, scikit-learn, statsmodels."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import stats
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.proportion import proportion_confint

from mlsys_helpers import offline_evaluation as oe

DEPARTMENTS = {  # R's UCBAdmissions: men admitted, men applied, women admitted, women applied
    "A": (512, 825, 89, 108),
    "B": (353, 560, 17, 25),
    "C": (120, 325, 202, 593),
    "D": (138, 417, 131, 375),
    "E": (53, 191, 94, 393),
    "F": (22, 373, 24, 341),
}


def counted(tables, names):
    """A row a kind of case, from (hits, n, hits, n) for each stratum."""
    rows = [
        (stratum, name, outcome, count)
        for stratum, (a, n_a, b, n_b) in tables.items()
        for name, hits, n in ((names[0], a, n_a), (names[1], b, n_b))
        for outcome, count in ((1, hits), (0, n - hits))
    ]
    return pd.DataFrame(rows, columns=["stratum", "group", "outcome", "count"])


def simpson(tables, names=("first", "second")):
    return oe.simpson_check(counted(tables, names), "outcome", "group", "stratum", "count")


class Answers:
    """A fitted model that gives the answers it is made with."""

    def __init__(self, proba=None, labels=None, classes=None):
        if proba is not None:
            self.predict_proba = lambda X: np.asarray(proba)
        if labels is not None:
            self.predict = lambda X: np.asarray(labels)
        if classes is not None:
            self.classes_ = np.array(classes)


class Formula:
    """A model of two classes whose risk is a function of X."""

    classes_ = np.array([0, 1])

    def __init__(self, risk):
        self.risk = risk

    def predict_proba(self, X):
        risk = np.asarray(self.risk(X), dtype=float)
        return np.column_stack([1 - risk, risk])


@st.composite
def labels_and_probabilities(draw):
    """Both classes present, probabilities on a coarse grid so that ties are common."""
    labels = [0, 1, *draw(st.lists(st.integers(0, 1), min_size=1, max_size=40))]
    grid = draw(st_numpy.arrays(int, len(labels), elements=st.integers(0, 20)))
    return np.array(labels), grid / 20


# --- Baselines


@given(st.floats(0.01, 0.99), st.floats(0.01, 1))
def test_random_baseline_is_the_closed_form(base_rate, positive_rate):
    got = oe.random_baseline(base_rate, positive_rate)
    tp = base_rate * positive_rate  # the shares of an infinite table of independent answers
    fp, fn = (1 - base_rate) * positive_rate, base_rate * (1 - positive_rate)
    assert got["accuracy"] == pytest.approx(1 - fp - fn)
    assert got["precision"] == pytest.approx(tp / (tp + fp))
    assert got["recall"] == pytest.approx(tp / (tp + fn))
    assert got["f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn))


@pytest.mark.parametrize(("strategy", "rate"), [("uniform", 0.5), ("stratified", 0.1)])
def test_both_random_baselines_of_scikit_learn_meet_their_closed_forms(strategy, rate):
    y = np.repeat([0, 1], [180_000, 20_000])
    X = np.zeros((len(y), 1))
    guess = DummyClassifier(strategy=strategy, random_state=0).fit(X, y).predict(X)
    expected = oe.random_baseline(0.1, rate)
    for name in ("accuracy", "precision", "recall", "f1"):
        score = getattr(metrics, f"{name}_score")(y, guess)
        assert score == pytest.approx(expected[name], abs=0.011), name  # 3 standard errors


def test_the_two_special_cases():
    base = 0.06
    assert oe.random_baseline(base, 0.5)["accuracy"] == pytest.approx(0.5)
    assert oe.random_baseline(base, 0.5)["f1"] == pytest.approx(2 * base / (1 + 2 * base))
    assert oe.random_baseline(base, base)["accuracy"] == pytest.approx(base**2 + (1 - base) ** 2)
    assert oe.random_baseline(base, base)["f1"] == pytest.approx(base)
    assert oe.random_baseline(base, 1)["f1"] == pytest.approx(2 * base / (1 + base))


@pytest.fixture(scope="module")
def judged():
    """500 rows in 50 groups, a table with text and gaps, labels, and fitted models."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=500), "kind": rng.choice(["a", "b"], 500)})
    y = (rng.random(500) < 1 / (1 + np.exp(-2 * X["x"]))).astype(int)
    encode = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    models = {
        "zero rule": DummyClassifier(strategy="most_frequent").fit(X, y),
        "rule": oe.RuleClassifier(lambda X: X["x"] > 0.5),
        "pipeline": make_pipeline(encode, LogisticRegression()).fit(X, y),
    }
    return X, y, models, np.repeat(np.arange(50), 10)


@pytest.mark.parametrize("metric", ["accuracy", "precision", "recall", "f1"])
def test_scores_of_labels_are_scikit_learns(judged, metric):
    X, y, models, groups = judged
    models = {name: models[name] for name in ("rule", "pipeline")}
    report = oe.baseline_report(models, X, y, metric, groups=groups, calls=1)
    for name, model in models.items():
        expected = getattr(metrics, f"{metric}_score")(y, model.predict(X))
        assert report["score"][name] == pytest.approx(expected)
        assert report["low"][name] < expected < report["high"][name]


def test_scores_of_probabilities_are_scikit_learns(judged):
    X, y, models, _ = judged
    model = {"pipeline": models["pipeline"]}
    p = models["pipeline"].predict_proba(X)[:, 1]
    expected = {
        "brier": metrics.brier_score_loss(y, p),
        "log_loss": metrics.log_loss(y, p),
        "calibration_gap": p.mean() - y.mean(),
    }
    for metric, value in expected.items():
        report = oe.baseline_report(model, X, y, metric, calls=1)
        assert report["score"]["pipeline"] == pytest.approx(value)


def test_the_interval_of_a_proportion_is_wilsons(judged):
    X, y, models, _ = judged
    report = oe.baseline_report({"rule": models["rule"]}, X, y, "accuracy", calls=1)
    hits = (models["rule"].predict(X) == y).sum()
    expected = proportion_confint(hits, len(y), method="wilson")
    # the variance is that of n − 1, so that each row as a group of its own gives n − 1 rows
    assert report[["low", "high"]].loc["rule"].tolist() == pytest.approx(expected)
    own = oe.baseline_report(
        {"rule": models["rule"]}, X, y, "accuracy", groups=np.arange(500), calls=1
    )
    assert own[["low", "high"]].loc["rule"].tolist() == pytest.approx(expected, abs=1e-4)


def test_the_interval_of_a_mean_is_students(judged):
    X, y, models, _ = judged
    p = models["pipeline"].predict_proba(X)[:, 1]
    loss = (p - y) ** 2
    low, high = stats.t.interval(0.95, 499, loss.mean(), stats.sem(loss))
    report = oe.baseline_report({"m": models["pipeline"]}, X, y, "brier", calls=1)
    assert report[["low", "high"]].loc["m"].tolist() == pytest.approx([low, high])


def test_a_gain_is_the_paired_difference(judged):
    X, y, models, _ = judged
    report = oe.baseline_report(models, X, y, "accuracy", existing="rule", calls=1)
    right = {name: (model.predict(X) == y).astype(float) for name, model in models.items()}
    difference = right["pipeline"] - right["rule"]
    low, high = stats.t.interval(0.95, 499, difference.mean(), stats.sem(difference))
    row = report.loc["pipeline", ["gain", "gain_low", "gain_high"]].tolist()
    assert row == pytest.approx([difference.mean(), low, high])
    assert report.loc["rule", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]


@pytest.mark.parametrize("metric", ["recall", "brier", "f1"])
def test_intervals_by_group_hold_the_truth_where_those_by_row_do_not(metric):
    """200 tables of 60 days; what is hard about a day is hard for all of its rows."""
    rng = np.random.default_rng(0)
    n_days, per_day = 60, 40
    day = np.repeat(np.arange(n_days), per_day)

    def table(days):
        luck = rng.normal(size=days).repeat(per_day)
        y = (rng.random(days * per_day) < 0.4).astype(int)
        score = 1 / (1 + np.exp(-(y - 0.5 + luck + rng.normal(size=len(y)))))
        return y, (score if metric == "brier" else (score > 0.5).astype(int))

    truth = oe.slice_report(*table(20_000), {}, metric)["score"].iloc[0]
    inside = {"rows": 0, "days": 0}
    for _ in range(200):
        y, output = table(n_days)
        for name, groups in {"rows": None, "days": day}.items():
            row = oe.slice_report(y, output, {}, metric, groups).iloc[0]
            inside[name] += row["low"] <= truth <= row["high"]
    assert 180 <= inside["days"] <= 200  # 190 ± 3 standard errors of 3.1
    assert inside["rows"] < 180


def test_cost_is_time_and_fees(judged):
    X, y, models, _ = judged
    options = {"fees": {"rule": 0.5}, "calls": 3}
    free = oe.baseline_report(models, X, y, price_per_hour=0, **options)
    assert free["cost_per_million"].tolist() == [0, 5e5, 0]
    paid = oe.baseline_report(models, X, y, price_per_hour=3.6, **options)
    seconds = paid["latency_ms"] / 1e3
    assert (seconds > 0).all()
    assert np.allclose(paid["cost_per_million"], 1e6 * seconds * 3.6 / 3600 + [0, 5e5, 0])


def test_what_is_not_defined_is_nan(judged):
    X, y, models, _ = judged
    never = DummyClassifier(strategy="constant", constant=0).fit(X, y)
    models = models | {"never": never}
    report = oe.baseline_report(models, X, y, "precision", existing="rule", calls=1)
    assert report.loc["never", ["score", "low", "high", "gain"]].isna().all()
    assert report.loc["pipeline", ["score", "gain"]].notna().all()


def test_a_constant_prediction_has_a_score():
    y = np.repeat([0, 1], [99, 1])
    lazy = DummyClassifier(strategy="most_frequent").fit(y[:, None], y)
    report = oe.baseline_report({"lazy": lazy}, y[:, None], y, "accuracy", calls=1)
    assert report["score"]["lazy"] == 0.99
    zero = oe.baseline_report({"lazy": lazy}, y[:, None], y, "recall", calls=1).loc["lazy"]
    assert zero["score"] == 0 and zero["low"] == pytest.approx(0) and zero["high"] > 0.5


def test_a_model_with_one_method_only_will_do():
    y, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9])
    X = np.zeros((4, 1))
    report = oe.baseline_report({"p": Answers(np.c_[1 - p, p])}, X, y, "accuracy", calls=1)
    assert report["score"]["p"] == 0.5
    report = oe.baseline_report({"l": Answers(labels=[0, 0, 1, 0])}, X, y, "recall", calls=1)
    assert report["score"]["l"] == 0.5


def test_rule_classifier_is_a_classifier():
    rule = oe.RuleClassifier(lambda X: X[:, 0] > 1)
    X = np.array([[0.0], [2.0]])
    assert rule.fit(X, [0, 1]).predict(X).tolist() == [0, 1]
    assert rule.score(X, [0, 1]) == 1


def test_plot_scores_draws_the_scores(judged):
    X, y, models, _ = judged
    report = oe.baseline_report(models, X, y, "accuracy", existing="rule", calls=1)
    ax = oe.plot_scores(report, metric="accuracy")
    assert np.allclose(ax.lines[0].get_xdata(), report["score"])
    assert ax.lines[-1].get_xdata()[0] == pytest.approx(report["score"]["rule"])
    assert ax.get_xlabel() == "accuracy"
    slices = oe.slice_report([1, 1, 0], [1, 0, 0], ["a", "b", "c"], "recall")
    ax = oe.plot_scores(slices, plt.subplots()[1])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a (1)", "b (1)"]  # c has no recall
    assert ax.lines[-1].get_xdata()[0] == 0.5
    plt.close("all")


# --- Behavioural tests


@pytest.fixture(scope="module")
def applicants():
    """Generated, so that the bias is known: equal skill, one group of names invited less."""
    rng = np.random.default_rng(0)
    n = 2000
    group = rng.integers(0, 2, n)
    X = pd.DataFrame({"name": np.where(group, "Jamal", "Greg"), "skill": rng.normal(size=n)})
    y = (rng.random(n) < 1 / (1 + np.exp(-(2 * X["skill"] - 1.5 * group)))).astype(int)
    return X, y, group


def test_the_planted_name_bias_is_found(applicants):
    X, y, group = applicants
    encode = make_column_transformer((OneHotEncoder(), ["name"]), remainder="passthrough")
    model = make_pipeline(encode, LogisticRegression()).fit(X, y)
    report = oe.invariance_test(model, X, lambda X: X.assign(name="Greg"), name="name")
    assert not report.passed
    assert report.tests[0].rows == group.sum()  # the others keep their name
    failures = report.failures()
    assert len(failures) == group.sum() and (failures["change"] > 0).all()
    assert failures["change"].abs().is_monotonic_decreasing
    assert (failures["name"] == "Jamal").all()


def test_a_model_without_the_name_passes(applicants):
    X, y, _ = applicants
    only_skill = make_column_transformer(("passthrough", ["skill"]))
    model = make_pipeline(only_skill, LogisticRegression()).fit(X, y)
    report = oe.invariance_test(model, X, lambda X: X.assign(name="Greg"))
    assert report.passed and report.failures().empty
    report.check()
    assert report.tests[0].name == "lambda"  # unless it is given a name


def test_a_monotone_model_passes_and_a_kink_fails_with_its_row():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"waiting": rng.uniform(0, 9, 400), "other": rng.normal(size=400)})
    X.index = X.index + 1000
    y = (rng.random(400) < X["waiting"] / 10).astype(int)
    steady = HistGradientBoostingClassifier(monotonic_cst={"waiting": 1}, max_iter=20).fit(X, y)
    assert oe.directional_test(steady, X, {"waiting": [0.5, 1, 5]}).passed

    def kinked(X):
        """The steady risk, but for a drop beyond 20, where one row alone arrives."""
        return steady.predict_proba(X)[:, 1] * np.where(X["waiting"] > 20, 0.5, 1)

    X.loc[1123, "waiting"] = 19.5
    report = oe.directional_test(Formula(kinked), X, {"waiting": [0.1, 1]}, name="kink")
    assert not report.passed
    failures = report.failures("kink")
    assert failures.index.tolist() == [1123]
    assert failures["variant"].tolist() == ["waiting +1"]
    assert failures["after"].iloc[0] == pytest.approx(failures["before"].iloc[0] / 2)
    assert "row 1123" in str(report) and "FAILED" in str(report)
    with pytest.raises(AssertionError, match="row 1123"):
        report.check()


def test_a_direction_may_be_down_and_the_model_a_regression():
    X = np.array([[1.0], [2.0], [5.0]])
    model = LinearRegression().fit(X, [3, 2, -1])
    assert oe.directional_test(model, X, {0: 1}, "decrease").passed
    report = oe.directional_test(model, X, lambda X: X + 1)
    assert len(report.failures()) == 3
    assert report.failures()["change"].tolist() == pytest.approx([-1, -1, -1])


@pytest.mark.parametrize(("tolerance", "failing"), [(0.5, 100), (1.0, 0)])
def test_noise_of_a_known_size_moves_the_output_by_a_known_size(tolerance, failing):
    X = pd.DataFrame({"x": np.arange(100.0), "unused": 0.0})
    model = LinearRegression().fit(X, 2 * X["x"])  # noise of ±0.5 moves it by up to 1
    report = oe.perturbation_test(
        model, X, {"x": 0.5}, tolerance=tolerance, repeats=40, random_state=0
    )
    assert len(report.failures()) == failing
    assert oe.perturbation_test(model, X, {"unused": 0.5}, tolerance=1e-9).passed
    assert model.predict(X)[1] == pytest.approx(2)


def test_the_allowed_share_decides():
    X = pd.DataFrame({"x": np.arange(10.0)})
    model = Formula(lambda X: 0.5 + 0.3 * (X["x"] > 8.5))
    options = {"tolerance": 0.1, "repeats": 1}
    for allowed, passed in ((0.0, False), (0.1, True)):
        report = oe.perturbation_test(
            model, X, lambda X, rng: X + 1, allowed=allowed, name="plus", **options
        )
        assert report.passed is passed
        assert report.failures().index.tolist() == [8]


def test_noise_is_the_same_with_the_same_seed():
    X = pd.DataFrame({"x": np.linspace(0, 1, 50)})
    model = Formula(lambda X: np.clip(X["x"], 0, 1))
    changes = [
        oe.perturbation_test(model, X, {"x": 0.2}, tolerance=0, random_state=3).failures()
        for _ in range(2)
    ]
    pd.testing.assert_frame_equal(*changes)


def test_many_classes_and_labels_of_any_type_can_be_tested():
    X, y = load_iris(return_X_y=True)
    several = LogisticRegression(max_iter=500).fit(X, y)
    report = oe.perturbation_test(several, X, {2: 2.0}, tolerance=0.3, random_state=0)
    worst = report.failures().iloc[0]
    assert abs(worst["change"]) > 0.3 and 0 <= worst["before"] <= 1
    words = LinearSVC(random_state=0).fit(X, np.array(["setosa", "versi", "virgi"])[y])
    report = oe.invariance_test(words, X, lambda X: X * 0)
    assert not report.passed
    assert set(report.failures()["before"]) <= {"setosa", "versi", "virgi"}
    assert (report.failures()["change"] == 1).all()


def test_a_constant_model_passes_and_is_told():
    X = pd.DataFrame({"x": [1.0, 2.0]})
    report = oe.directional_test(Formula(lambda X: np.full(len(X), 0.3)), X, {"x": 1})
    assert report.passed and "shows nothing" in str(report)
    moving = oe.directional_test(Formula(lambda X: X["x"] / 9), X, {"x": 1})
    assert "shows nothing" not in str(moving)


def test_reports_add_up():
    X = pd.DataFrame({"x": [1.0, 2.0]})
    good = oe.directional_test(Formula(lambda X: X["x"] / 9), X, {"x": 1}, name="up")
    bad = oe.directional_test(Formula(lambda X: X["x"] / 9), X, {"x": 1}, "decrease", name="down")
    both = sum([good, bad], start=oe.BehaviourReport())
    assert [test.passed for test in both.tests] == [True, False]
    assert str(both).splitlines()[-1] == "1 passed, 1 failed"
    assert len(both.failures("down")) == 2
    assert good.passed and len(good.tests) == 1
    with pytest.raises(ValueError, match="name must be that of one test"):
        both.failures()
    with pytest.raises(ValueError, match="name must be that of one test"):
        both.failures("sideways")


def test_missing_values_that_stay_missing_are_no_change():
    X = pd.DataFrame({"x": [1.0, np.nan, 3.0], "kind": pd.Categorical(["a", "b", None])})
    model = Formula(lambda X: X["x"].fillna(0) / 9)
    assert oe.directional_test(model, X, {"x": 1}).tests[0].rows == 2


# --- Calibration


@given(labels_and_probabilities(), st.integers(1, 12), st.sampled_from(["uniform", "quantile"]))
def test_calibration_table_is_scikit_learns_curve(data, bins, strategy):
    y, p = data
    table = oe.calibration_table(y, p, bins, strategy)
    observed, predicted = calibration_curve(y, p, n_bins=bins, strategy=strategy)
    assert np.allclose(table["observed"], observed)
    assert np.allclose(table["predicted"], predicted)
    assert table["n"].sum() == len(y)
    counts = (table["observed"] * table["n"]).round()
    low, high = proportion_confint(counts, table["n"], method="wilson")
    assert np.allclose(table["low"], low) and np.allclose(table["high"], high)


def test_the_calibration_error_by_hand_in_each_norm():
    y, p = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.8, 0.9]  # off by 0 and, for 2 of 6, 0.15
    assert oe.expected_calibration_error(y, p, 2) == pytest.approx(0.15 / 3)
    assert oe.expected_calibration_error(y, p, 2, norm="l2") == pytest.approx(0.15 / 3**0.5)
    assert oe.expected_calibration_error(y, p, 2, norm="max") == pytest.approx(0.15)


@given(labels_and_probabilities(), st.integers(1, 12))
def test_the_norms_are_ordered(data, bins):
    l1, l2, worst = (
        oe.expected_calibration_error(*data, bins, norm=norm) for norm in ("l1", "l2", "max")
    )
    assert 0 <= l1 <= l2 + 1e-12 <= worst + 2e-12 <= 1 + 3e-12


def test_a_constant_base_rate_is_calibrated_and_useless():
    y = np.repeat([0, 1], [70, 30])
    p = np.full(100, 0.3)
    assert oe.expected_calibration_error(y, p) == pytest.approx(0)
    assert len(oe.calibration_table(y, p)) == 1
    assert metrics.brier_score_loss(y, p) == pytest.approx(0.21)


def test_perfect_probabilities_have_an_error_of_chance_only():
    rng = np.random.default_rng(0)
    p = rng.random(100_000)
    y = (rng.random(100_000) < p).astype(int)
    # of each bin of 10,000 rows the error has a mean of at most sqrt(0.25 / 10,000) = 0.005
    assert 0 < oe.expected_calibration_error(y, p) < 0.005
    table = oe.calibration_table(y, p)
    held = table["predicted"].between(table["low"], table["high"])
    assert held.sum() >= 8
    assert oe.expected_calibration_error(y, p**2) > 0.1


def test_plot_reliability_draws_the_table():
    y, p = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.8, 0.9]
    ax = oe.plot_reliability(y, p, label="model", bins=2)
    assert np.allclose(np.transpose(ax.lines[1].get_data()), [[0.25, 0.25], [0.85, 1]])
    assert ax.texts[0].get_text() == "model: ECE 0.050"
    assert oe.plot_reliability(y, p, ax, "again", "red") is ax
    assert ax.texts[0].xy != ax.texts[1].xy
    plt.close("all")


FILMS = np.repeat(["action", "comedy"], 50)
TASTE = {"action": 0.7, "comedy": 0.3}


@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_lambda_0_keeps_the_order_and_lambda_1_reaches_70_30(seed, n):
    rng = np.random.default_rng(seed)
    scores = np.where(FILMS == "action", 0.5, 0.0) + rng.random(100) / 2
    by_score = oe.calibrated_rerank(scores, FILMS, TASTE, n, 0)
    assert by_score.tolist() == np.argsort(-scores, kind="stable")[:n].tolist()
    by_taste = oe.calibrated_rerank(scores, FILMS, TASTE, 10, 1)
    assert (FILMS[by_taste] == "action").sum() == 7
    assert len(set(by_taste.tolist())) == 10
    for kind in TASTE:  # within a category, the best come first
        own = scores[by_taste[FILMS[by_taste] == kind]]
        assert np.array_equal(own, np.sort(scores[kind == FILMS])[::-1][: len(own)])


def test_every_step_of_the_rerank_maximises_stecks_objective():
    rng = np.random.default_rng(0)
    scores, kinds = rng.random(12), rng.choice(["a", "b", "c"], 12)
    target, weight, alpha = {"a": 0.5, "b": 0.3, "c": 0.2}, 0.6, 0.01
    kinds[:3] = ["a", "b", "c"]

    def objective(items):
        share = {k: np.mean([kinds[i] == k for i in items]) for k in target}
        kl = sum(p * np.log(p / ((1 - alpha) * share[k] + alpha * p)) for k, p in target.items())
        return (1 - weight) * scores[items].sum() - weight * kl

    chosen = oe.calibrated_rerank(scores, kinds, target, 6, weight, alpha).tolist()
    for size in range(6):
        rest = [i for i in range(12) if i not in chosen[:size]]
        best = max(objective([*chosen[:size], i]) for i in rest)
        assert objective(chosen[: size + 1]) == pytest.approx(best)


def test_a_film_of_another_category_counts_for_no_share():
    chosen = oe.calibrated_rerank([0.9, 0.5, 0.4], ["war", "action", "comedy"], TASTE, 2, 1)
    assert sorted(chosen.tolist()) == [1, 2]


# --- Confidence


@given(labels_and_probabilities())
def test_risk_coverage_by_brute_force(data):
    y, p = data
    table = oe.risk_coverage(y, p)
    confidence, wrong = np.maximum(p, 1 - p), (p > 0.5) != y
    assert table["threshold"].tolist() == sorted(set(confidence.tolist()), reverse=True)
    for row in table.itertuples():
        answered = confidence >= row.threshold
        assert row.coverage == pytest.approx(answered.mean())
        assert row.risk == pytest.approx(wrong[answered].mean())
    assert table["coverage"].iloc[-1] == 1
    assert table["risk"].iloc[-1] == pytest.approx(1 - metrics.accuracy_score(y, p > 0.5))


def test_one_confidence_for_all_gives_one_row():
    assert oe.risk_coverage([0, 1, 1, 1], np.full(4, 0.7)).values.tolist() == [[0.7, 1, 0.25]]


def test_plot_risk_coverage_draws_the_table():
    y, p = [1, 0, 1, 0], [0.9, 0.2, 0.7, 0.6]
    table = oe.risk_coverage(y, p)
    ax = oe.plot_risk_coverage(y, p, label="model")
    assert np.allclose(np.transpose(ax.lines[0].get_data()), table[["coverage", "risk"]])
    assert ax.texts[0].get_text() == "model"
    plt.close("all")


@pytest.fixture(scope="module")
def three_classes():
    """Probabilities and labels; half of the labels do not follow the probabilities at all."""
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3), 600)
    y = (proba.cumsum(axis=1) < rng.random((600, 1))).sum(axis=1)
    y[:300] = rng.integers(0, 3, 300)  # a bad model: the promise holds all the same
    return proba, y


@pytest.mark.parametrize(("alpha", "n"), [(0.1, 100), (0.2, 57), (0.05, 39)])
def test_conformal_sets_keep_their_promise_over_1000_splits(three_classes, alpha, n):
    proba, y = three_classes
    rng = np.random.default_rng(1)
    coverage = []
    for _ in range(1000):
        order = rng.permutation(len(y))
        back, new = order[:n], order[n:]
        sets = oe.conformal_sets(proba[back], y[back], proba[new], alpha)
        coverage.append(sets[np.arange(len(new)), y[new]].mean())
    error = np.std(coverage) / np.sqrt(1000)
    assert 1 - alpha - 3 * error <= np.mean(coverage) <= 1 - alpha + 1 / (n + 1) + 3 * error
    exact = np.ceil((n + 1) * (1 - alpha) - 1e-9) / (n + 1)
    assert np.mean(coverage) == pytest.approx(exact, abs=3 * error)


def test_coverage_follows_the_beta_distribution():
    rng = np.random.default_rng(0)
    n, alpha = 50, 0.1
    coverage = []
    for _ in range(1000):  # new rows each time; probability of the truth uniform on [0, 1]
        truth = rng.random(n)
        p = np.linspace(0, 1, 2001)
        sets = oe.conformal_sets(np.c_[1 - truth, truth], np.ones(n), np.c_[1 - p, p], alpha)
        coverage.append(sets[:, 1].mean())
    rank = np.ceil((n + 1) * (1 - alpha))
    assert stats.kstest(coverage, stats.beta(rank, n + 1 - rank).cdf).pvalue > 1e-4


def test_each_class_gets_its_promise(three_classes):
    proba, y = three_classes
    proba = proba * [1, 1, 0.2]  # the model neglects class 2
    proba /= proba.sum(axis=1, keepdims=True)
    rng = np.random.default_rng(2)
    covered = {False: [], True: []}
    for _ in range(300):
        order = rng.permutation(len(y))
        back, new = order[:300], order[300:]
        for by_class in covered:
            sets = oe.conformal_sets(proba[back], y[back], proba[new], 0.1, by_class)
            hit = sets[np.arange(len(new)), y[new]]
            covered[by_class].append([hit[y[new] == c].mean() for c in range(3)])
    mean = {by_class: np.mean(values, axis=0) for by_class, values in covered.items()}
    assert mean[False][2] < 0.85
    assert ((mean[True] > 0.89) & (mean[True] < 0.93)).all()


def test_too_few_rows_rule_nothing_out_and_ties_are_in():
    assert oe.conformal_sets([0.9] * 8, [1] * 8, [0.99, 0.01], alpha=0.1).all()
    sets = oe.conformal_sets([0.9] * 9, [1] * 9, [0.9, 0.899], alpha=0.1)
    assert sets.tolist() == [[False, True], [False, False]]


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.5))
def test_a_stronger_promise_has_larger_sets(seed, alpha):
    rng = np.random.default_rng(seed)
    proba, y = rng.dirichlet(np.ones(4), 40), rng.integers(0, 4, 40)
    weaker = oe.conformal_sets(proba[:30], y[:30], proba[30:], alpha)
    stronger = oe.conformal_sets(proba[:30], y[:30], proba[30:], alpha / 2)
    assert (stronger >= weaker).all()


# --- Slices


def test_slice_report_counts_and_scores(judged):
    X, y, models, _ = judged
    labels = models["pipeline"].predict(X)
    report = oe.slice_report(y, labels, X["kind"], "recall")
    assert report.index.tolist() == ["all rows", "a", "b"]
    for kind in "ab":
        rows = (X["kind"] == kind).to_numpy()
        assert report.loc[kind, "n"] == rows.sum()
        assert report.loc[kind, "positives"] == y[rows].sum()
        assert report.loc[kind, "score"] == pytest.approx(
            metrics.recall_score(y[rows], labels[rows])
        )
    assert report.loc["all rows", "n"] == report["n"].drop("all rows").sum()


def test_slices_without_rows_or_with_one_class():
    kind = pd.Categorical(["a", "a", "b", None], categories=["a", "b", "c"])
    report = oe.slice_report([1, 0, 0, 1], [1, 0, 0, 1], kind, "recall")
    assert report["n"].to_dict() == {"all rows": 4, "a": 2, "b": 1, "c": 0, "missing": 1}
    assert report["note"].to_dict() == {
        "all rows": "",
        "a": "",
        "b": "undefined",
        "c": "no rows",
        "missing": "",
    }
    assert report.loc[["b", "c"], ["score", "low", "high"]].isna().all(axis=None)
    assert report.loc["missing", "score"] == 1
    assert report.loc["missing", ["low", "high"]].tolist() == pytest.approx(
        proportion_confint(1, 1, method="wilson")
    )
    brier = oe.slice_report([1, 0, 0, 1], [0.9, 0.2, 0.1, 0.5], kind, "brier")
    assert brier.loc["b", "score"] == pytest.approx(0.01) and np.isnan(brier.loc["b", "low"])


def test_slices_may_be_masks_that_overlap():
    masks = {"first": np.array([True, True, False]), "none": np.zeros(3, dtype=bool)}
    report = oe.slice_report([1, 0, 1], [1, 1, 1], masks, "precision")
    assert report["score"].tolist()[:2] == pytest.approx([2 / 3, 1 / 2])
    assert report.loc["none", "note"] == "no rows"


def make_slices(rng, n=3000):
    return pd.DataFrame(
        {
            "device": rng.choice(["phone", "laptop", "tv"], n),
            "country": rng.choice(list("ABCDE"), n),
            "age": rng.normal(40, 10, n).round(),
            "income": np.where(rng.random(n) < 0.2, np.nan, rng.lognormal(size=n)),
        }
    )


@pytest.mark.parametrize("kind", ["error", "loss"])
def test_the_planted_slice_ranks_first(kind):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        frame = make_slices(rng)
        bad = ((frame["device"] == "tv") & (frame["country"] == "B")).to_numpy()
        loss = rng.random(3000) < np.where(bad, 0.35, 0.1)
        if kind == "loss":
            loss = rng.gamma(2, 1, 3000) + 1.2 * bad
        table = oe.find_slices(frame, loss)
        assert table["slice"][0] == "device = tv and country = B"
        assert table["found"][0] and table["n"][0] == bad.sum()
        assert table["gap"][0] == pytest.approx(loss[bad].mean() - loss[~bad].mean())


@pytest.mark.parametrize("kind", ["errors, 6 %", "skewed", "by group"])
def test_false_alarms_on_a_homogeneous_set_come_at_the_stated_rate(kind):
    alarms, n_sets = 0, 200
    for seed in range(n_sets):
        rng = np.random.default_rng(seed)
        frame, groups = make_slices(rng, 1500), None
        loss = {"errors, 6 %": rng.random(1500) < 0.06, "skewed": rng.exponential(size=1500)}.get(
            kind
        )
        if kind == "by group":
            groups = np.repeat(np.arange(150), 10)
            loss = rng.normal(size=150)[groups] + rng.normal(size=1500)
        alarms += oe.find_slices(frame, loss, alpha=0.1, groups=groups)["found"].any()
    assert alarms <= 0.1 * n_sets + 3 * np.sqrt(0.1 * 0.9 * n_sets)  # 20 + 3 · 4.2


def test_groups_that_fail_together_are_no_slice():
    """A column that is the same for all rows of a day: rows find it by chance, days do not."""
    found = {"rows": 0, "days": 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        day = np.repeat(np.arange(60), 25)
        frame = pd.DataFrame({"weekday": day % 7, "wind": rng.random(60)[day]})
        loss = rng.normal(size=60)[day] + rng.normal(size=1500)
        found["rows"] += oe.find_slices(frame, loss)["found"].any()
        found["days"] += oe.find_slices(frame, loss, groups=day)["found"].any()
    assert found["rows"] > 30 and found["days"] <= 3 + 3 * 1.7


def test_the_test_is_welchs_without_groups():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": np.repeat(["a", "b"], [200, 300])})
    loss = rng.normal(size=500) + (frame["kind"] == "a")
    table = oe.find_slices(frame, loss, max_columns=1).set_index("slice")
    a, b = loss[:200], loss[200:]
    error = np.sqrt(a.var(ddof=0) / 200 + b.var(ddof=0) / 300) * np.sqrt(500 / 499)
    low = a.mean() - b.mean() - stats.t.ppf(1 - 0.05 / 2, 199) * error
    assert len(table) == 2
    assert table["at_least"]["kind = a"] == pytest.approx(low)
    p = 2 * stats.t.sf((a.mean() - b.mean()) / error, 199)
    assert table["p_value"]["kind = a"] == pytest.approx(p)
    assert table["p_value"]["kind = b"] == 1 and not table["found"]["kind = b"]


def test_how_columns_are_cut():
    n = 1000
    frame = pd.DataFrame(
        {
            "few": np.arange(n) % 3,
            "many": np.arange(n) % 500,
            "mostly_0": np.where(np.arange(n) < 800, 0, np.arange(n)),
            "mostly_10": np.where(np.arange(n) < 800, 10.0, np.arange(n) / 1000),
            "gaps": pd.Categorical(np.where(np.arange(n) % 2, "x", None)),
        }
    )
    names = oe.find_slices(frame, np.arange(n) % 7, max_columns=1, bins=2)["slice"]
    assert sorted(names) == [
        *("few = 0", "few = 1", "few = 2"),
        *("gaps = x", "gaps is missing"),
        *("many > 250", "many ≤ 250"),
        *("mostly_0 > 0", "mostly_0 ≤ 0"),
        *("mostly_10 > 0.999", "mostly_10 ≤ 0.999"),
    ]
    assert oe.find_slices(frame, np.arange(n) % 7, min_size=400)["n"].between(400, 600).all()


def test_a_loss_without_spread_finds_nothing():
    frame = pd.DataFrame({"kind": np.repeat(["a", "b"], 200)})
    table = oe.find_slices(frame, np.full(400, 0.3))
    assert not table["found"].any() and (table["p_value"] >= 0.5).all()


# --- Simpson's paradox


def test_berkeley_1973():
    totals = np.sum(list(DEPARTMENTS.values()), axis=0)
    assert totals.tolist() == [1198, 2691, 557, 1835]
    check = simpson(DEPARTMENTS, ("men", "women"))
    assert check.table.loc["all", "rate men"] == pytest.approx(0.445, abs=5e-4)
    assert check.table.loc["all", "rate women"] == pytest.approx(0.304, abs=5e-4)
    assert check.reversed_strata == list("ABDF") and check.compared == 6
    assert check.verdict == "reversed in 4 of 6 strata"
    assert check.pooled_odds_ratio == pytest.approx(0.9047, abs=5e-5)


def test_kidney_stones_1986():
    check = simpson({"small": (81, 87, 234, 270), "large": (192, 263, 55, 80)})
    assert check.table.loc["all", ["rate first", "rate second"]].tolist() == pytest.approx(
        [0.78, 0.83], abs=5e-3
    )
    assert check.verdict == "reversed in all strata"
    assert check.crude_odds_ratio == pytest.approx(0.748, abs=5e-4)
    assert check.pooled_odds_ratio == pytest.approx(1.447, abs=5e-4)


@given(st_numpy.arrays(int, (3, 2, 2), elements=st.integers(1, 60)))
def test_the_pooled_odds_ratio_is_statsmodels(tables):
    strata = {k: (t[0, 0], t[0].sum(), t[1, 0], t[1].sum()) for k, t in enumerate(tables)}
    check = simpson(strata)
    expected = StratifiedTable(np.moveaxis(tables, 0, -1).astype(float))
    assert check.pooled_odds_ratio == pytest.approx(expected.oddsratio_pooled)
    (a, b), (c, d) = tables.sum(axis=0)
    assert check.crude_odds_ratio == pytest.approx(a * d / (b * c))


def test_rows_and_counts_say_the_same():
    counts = counted(DEPARTMENTS, ("men", "women"))
    rows = counts.loc[counts.index.repeat(counts["count"])].drop(columns="count")
    by_rows = oe.simpson_check(rows, "outcome", "group", "stratum")
    by_counts = oe.simpson_check(counts, "outcome", "group", "stratum", count="count")
    pd.testing.assert_frame_equal(by_rows.table, by_counts.table)
    assert by_rows[1:] == by_counts[1:]


def test_no_reversal_and_a_stratum_with_one_group():
    check = simpson({"x": (9, 10, 5, 10), "y": (8, 10, 3, 10), "z": (0, 0, 3, 9)})
    assert check.verdict == "not reversed" and check.compared == 2
    assert np.isnan(check.table.loc["z", "difference"])
    everything = simpson({"x": (10, 10, 5, 10)})
    assert everything.crude_odds_ratio == everything.pooled_odds_ratio == np.inf
    nothing = simpson({"x": (0, 10, 0, 10)})
    assert np.isnan(nothing.crude_odds_ratio)


# --- Bad input

Y, P = [0, 1, 0, 1], [0.1, 0.9, 0.2, 0.7]
X4 = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0]})
GOOD = Formula(lambda X: np.linspace(0.1, 0.4, len(X)))


def report_of(model, metric="f1", X=X4, y=Y, **options):
    return oe.baseline_report({"bad": model}, X, y, metric, calls=1, **options)


def invariance_of(change, model=GOOD):
    return oe.invariance_test(model, X4, change)


def simpson_of(**columns):
    frame = pd.DataFrame({"y": Y, "g": list("aabb"), "s": list("xyxy")} | columns)
    return oe.simpson_check(frame, "y", "g", "s", "n" if "n" in columns else None)


TWO = np.c_[1 - np.array(P), P]
FRAME = pd.DataFrame({"kind": np.repeat(["a", "b"], 200)})

BAD_INPUT = {
    "base rate": (oe.random_baseline, (0,), "base_rate must be a number above 0"),
    "positive rate": (oe.random_baseline, (0.5, 1.2), "positive_rate.*1.2"),
    "no rule": (oe.RuleClassifier("x > 1").predict, (X4,), "rule must be a function"),
    "rule of text": (oe.RuleClassifier(lambda X: list("abcd")).predict, (X4,), "rule.X.*0 and 1"),
    "rule too short": (oe.RuleClassifier(lambda X: [1]).predict, (X4,), "rule.X.*4 entries"),
    "no models": (oe.baseline_report, ({}, X4, Y), "models must be a dict"),
    "models as a list": (oe.baseline_report, ([GOOD], X4, Y), "models must be a dict"),
    "model is a class": (report_of, (LogisticRegression,), r"models\['bad'\] must have predict"),
    "model is nothing": (report_of, (None,), r"models\['bad'\] must have predict"),
    "labels too many": (report_of, (Answers(labels=[0, 1]),), r"predict\(X\) must have 4"),
    "labels in two columns": (report_of, (Answers(labels=TWO),), "one dimension"),
    "labels of text": (report_of, (Answers(labels=list("abab")),), "labels 0 and 1"),
    "labels missing": (report_of, (Answers(labels=[0, 1, np.nan, 0]),), "1 missing"),
    "no probabilities": (report_of, (Answers(labels=Y), "brier"), "must have predict_proba"),
    "one column": (report_of, (Answers(P), "brier"), r"predict_proba\(X\) must have shape"),
    "too few rows": (report_of, (Answers(TWO[:3]), "brier"), r"shape \(4, 2\), got \(3, 2\)"),
    "three columns": (report_of, (Answers(np.ones((4, 3)) / 3, classes=[0, 1]), "brier"), "shape"),
    "sum": (report_of, (Answers(TWO * 0.9), "brier"), "sum to 1 in each row, got a sum of 0.9"),
    "above 1": (report_of, (Answers(np.c_[np.full(4, -0.5), np.full(4, 1.5)]), "brier"), "in .0"),
    "NaN": (report_of, (Answers(TWO * np.nan), "brier"), r"\[0, 1\], got nan"),
    "text": (report_of, (Answers([["a", "b"]] * 4), "brier"), "must hold numbers"),
    "other classes": (report_of, (Answers(TWO, classes=["n", "y"]), "brier"), "classes 0 and 1"),
    "metric": (report_of, (GOOD, "auc"), "metric must be one of"),
    "one class": (report_of, (GOOD,), {"y": [0] * 4}, "y holds one class"),
    "y length": (report_of, (GOOD,), {"y": [0, 1]}, "y must have 4"),
    "empty X": (report_of, (GOOD,), {"X": X4.iloc[:0], "y": []}, "X must be a table"),
    "X is a column": (report_of, (GOOD,), {"X": X4["x"]}, "X must be a table"),
    "groups": (report_of, (GOOD,), {"groups": [1, 2]}, "groups must have 4"),
    "existing": (report_of, (GOOD,), {"existing": "old"}, "must name models, got 'old'"),
    "fee of nobody": (report_of, (GOOD,), {"fees": {"x": 1}}, "must name models, got 'x'"),
    "negative fee": (report_of, (GOOD,), {"fees": {"bad": -1}}, r"fees\['bad'\]"),
    "price": (report_of, (GOOD,), {"price_per_hour": -1}, "price_per_hour"),
    "calls": (oe.baseline_report, ({"m": GOOD}, X4, Y), {"calls": 0}, "calls"),
    "report": (oe.plot_scores, (pd.DataFrame({"score": [1]}),), "report must be a DataFrame"),
    "no score": (
        oe.plot_scores,
        (pd.DataFrame({"score": [np.nan], "low": 0, "high": 0}),),
        "report holds no score",
    ),
    "noise": (oe.perturbation_test, (GOOD, X4, 0.1), "noise must be a dict or a function"),
    "noise column": (oe.perturbation_test, (GOOD, X4, {"z": 1}), "noise must name columns"),
    "noise width": (oe.perturbation_test, (GOOD, X4, {"x": -1}), r"noise\['x'\]"),
    "no noise": (oe.perturbation_test, (GOOD, X4, {}), "noise must name columns"),
    "noise of 0": (oe.perturbation_test, (GOOD, X4, {"x": 0}), "noise must alter a row"),
    "repeats": (oe.perturbation_test, (GOOD, X4, {"x": 1}), {"repeats": 0}, "repeats"),
    "tolerance": (oe.perturbation_test, (GOOD, X4, {"x": 1}), {"tolerance": -1}, "tolerance"),
    "allowed": (oe.perturbation_test, (GOOD, X4, {"x": 1}), {"allowed": 1}, "allowed"),
    "behaviour seed": (oe.perturbation_test, (GOOD, X4, {"x": 1}), {"random_state": -1}, "random"),
    "change": (invariance_of, ({"x": 1},), "change must be a function"),
    "change drops rows": (invariance_of, (lambda X: X.iloc[:2],), r"keep the shape \(4, 1\)"),
    "change to an array": (invariance_of, (lambda X: X.to_numpy(),), "keep the shape"),
    "change of columns": (invariance_of, (lambda X: X.set_axis(["y"], axis=1),), "columns and the"),
    "change of nothing": (invariance_of, (lambda X: X,), "change must alter a row"),
    "behaviour model": (invariance_of, (lambda X: X + 1, None), "model must have predict"),
    "behaviour shape": (invariance_of, (lambda X: X + 1, Answers(TWO[:2])), "model.predict_proba"),
    "behaviour sums": (invariance_of, (lambda X: X + 1, Answers(TWO / 2)), "sum to 1"),
    "direction": (oe.directional_test, (GOOD, X4, {"x": 1}, "up"), "direction must be one of"),
    "direction column": (oe.directional_test, (GOOD, X4, {"z": 1}), "change must name columns"),
    "direction change": (oe.directional_test, (GOOD, X4, 1), "change must be a dict or a function"),
    "direction step": (oe.directional_test, (GOOD, X4, {"x": "1"}), r"change\['x'\]"),
    "three classes": (
        oe.directional_test,
        (Answers(np.ones((4, 3)) / 3), X4, {"x": 1}),
        "model must have two classes",
    ),
    "direction of labels": (
        oe.directional_test,
        (Answers(labels=list("abab")), X4, {"x": 1}),
        "model.predict.X. must hold numbers",
    ),
    "calibration labels": (oe.calibration_table, ([0, 2], [0.1, 0.2]), "y_true.*0 and 1"),
    "calibration length": (oe.calibration_table, (Y, P[:2]), "y_prob must have 4"),
    "calibration empty": (oe.calibration_table, ([], []), "y_true is empty"),
    "calibration range": (oe.calibration_table, (Y, [0, 0, 0, 1.2]), "y_prob.*1.2"),
    "calibration NaN": (oe.calibration_table, (Y, [0, 0, 0, np.nan]), "y_prob holds 1 missing"),
    "bins": (oe.calibration_table, (Y, P, 0), "bins"),
    "strategy": (oe.calibration_table, (Y, P, 5, "equal"), "strategy must be one of"),
    "norm": (oe.expected_calibration_error, (Y, P), {"norm": "l3"}, "norm must be one of"),
    "color": (oe.plot_reliability, (Y, P), {"color": "C0"}, "color must be one of"),
    "rerank n": (oe.calibrated_rerank, (P, list("aabb"), {"a": 0.5, "b": 0.5}, 5), "n must be at"),
    "rerank lambda": (oe.calibrated_rerank, (P, list("aabb"), {"a": 1.0}, 2, 1.1), "trade_off"),
    "rerank sum": (oe.calibrated_rerank, (P, list("aabb"), {"a": 0.5}, 2), "target.*sum to 1"),
    "rerank zero": (
        oe.calibrated_rerank,
        (P, list("aabb"), {"a": 1.0, "b": 0.0}, 2),
        "target must hold positive",
    ),
    "rerank category": (
        oe.calibrated_rerank,
        (P, list("aabb"), {"a": 0.5, "c": 0.5}, 2),
        "target must name categories",
    ),
    "rerank target": (oe.calibrated_rerank, (P, list("aabb"), [0.5, 0.5], 2), "target must be a"),
    "rerank smoothing": (
        oe.calibrated_rerank,
        (P, list("aabb"), {"a": 1.0}, 2, 0.5, 0),
        "smoothing",
    ),
    "rerank lengths": (oe.calibrated_rerank, (P, ["a"], {"a": 1.0}, 2), "categories must have 4"),
    "risk labels": (oe.risk_coverage, ([0, 1, 2, 1], P), "y_true must hold column numbers"),
    "risk fraction": (oe.risk_coverage, ([0, 0.5, 1, 1], P), "y_true must hold column numbers"),
    "risk sums": (oe.risk_coverage, (Y, TWO * 0.8), "proba must sum to 1"),
    "risk length": (oe.risk_coverage, (Y, P[:2]), "y_true must have 2"),
    "risk color": (oe.plot_risk_coverage, (Y, P), {"color": "C0"}, "color"),
    "alpha": (oe.conformal_sets, (P, Y, P, 1), "alpha"),
    "conformal classes": (oe.conformal_sets, (P, Y, np.ones((2, 3)) / 3), "proba must have 2"),
    "conformal labels": (oe.conformal_sets, (P, [1, 2, 3, 4], P), "y_calibration"),
    "conformal class missing": (
        oe.conformal_sets,
        (P, [1] * 4, P, 0.5, True),
        r"each class, got none of \[0\]",
    ),
    "slice metric": (oe.slice_report, (Y, P, list("aabb"), "auc"), "metric must be one of"),
    "slice labels": (oe.slice_report, (Y, P, list("aabb"), "recall"), "output must hold the lab"),
    "slice range": (oe.slice_report, (Y, [2, 0, 0, 0], list("aabb")), "output.*from 0 to 1"),
    "slice lengths": (oe.slice_report, (Y, P, list("aab")), "slices must have 4"),
    "slice mask": (oe.slice_report, (Y, P, {"m": [1, 0, 1, 0]}), r"slices\['m'\] must be a mask"),
    "slice groups": (oe.slice_report, (Y, P, list("aabb"), "brier", [1]), "groups must have 4"),
    "find frame": (oe.find_slices, ([[1]], [1]), "frame must be a DataFrame"),
    "find empty": (oe.find_slices, (pd.DataFrame(), []), "frame must hold at least one row"),
    "find loss": (oe.find_slices, (FRAME, [1.0]), "loss must have 400"),
    "find NaN": (oe.find_slices, (FRAME, np.full(400, np.nan)), "loss holds 400 missing"),
    "find columns": (oe.find_slices, (FRAME, np.ones(400)), {"max_columns": 4}, "max_columns"),
    "find bins": (oe.find_slices, (FRAME, np.ones(400)), {"bins": 1}, "bins"),
    "find alpha": (oe.find_slices, (FRAME, np.ones(400)), {"alpha": 0}, "alpha"),
    "find size": (oe.find_slices, (FRAME, np.ones(400)), {"min_size": 300}, "min_size=300 leaves"),
    "find groups": (oe.find_slices, (FRAME, np.ones(400)), {"groups": [1]}, "groups must have"),
    "simpson frame": (oe.simpson_check, ([1], "y", "g", "s"), "frame must be a DataFrame"),
    "simpson column": (oe.simpson_check, (X4, "y", "g", "s"), "frame must have the column 'y'"),
    "simpson outcome": (simpson_of, (), {"y": [0, 1, 2, 1]}, r"frame\['y'\].*0 and 1"),
    "simpson groups": (simpson_of, (), {"g": list("abca")}, r"frame\['g'\] must hold two values"),
    "simpson missing": (simpson_of, (), {"s": ["x", None, "x", "y"]}, "1 missing"),
    "simpson count": (simpson_of, (), {"n": [1, 1, -1, 1]}, r"frame\['n'\].*-1"),
    "simpson apart": (simpson_of, (), {"s": list("xxyy")}, "in which both of g occur"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_by_name(case):
    function, args, *options, message = BAD_INPUT[case]
    with pytest.raises((ValueError, TypeError), match=message):
        function(*args, **(options[0] if options else {}))


def test_a_model_must_answer_alike_before_and_after():
    class Moody:
        def predict(self, X):
            return np.zeros(len(X)) if X["x"].iloc[0] == 1 else np.zeros(len(X) - 1)

    with pytest.raises(ValueError, match=r"model.predict\(X\) must have 4"):
        invariance_of(lambda X: X + 1, Moody())


def test_inputs_are_never_changed():
    X, y, p = X4.copy(), np.array(Y), np.array(P)
    frame = pd.DataFrame({"kind": np.repeat(["a", "b"], 200), "x": np.arange(400.0)})
    before = X.copy(), y.copy(), p.copy(), frame.copy()
    oe.baseline_report({"m": GOOD}, X, y, "brier", groups=[1, 1, 2, 2])
    oe.perturbation_test(GOOD, X, {"x": 0.5}, tolerance=9, random_state=0)
    oe.directional_test(GOOD, X, {"x": [1, 2]})
    oe.perturbation_test(LinearRegression().fit(X.to_numpy(), y), X.to_numpy(), {0: 0.1})
    oe.calibration_table(y, p, strategy="quantile")
    oe.conformal_sets(p, y, p, 0.5)
    oe.slice_report(y, p, list("aabb"))
    oe.find_slices(frame, np.arange(400.0))
    assert X.equals(before[0]) and frame.equals(before[3])
    assert np.array_equal(y, before[1]) and np.array_equal(p, before[2])


TWICE = pd.DataFrame(np.arange(8.0).reshape(4, 2), columns=["a", "a"])
RULE = oe.RuleClassifier(lambda X: np.arange(len(X)) > 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: oe.find_slices(TWICE, [0, 1, 0, 1], min_size=2), "frame has two columns 'a'"),
        (lambda: oe.invariance_test(RULE, TWICE, lambda X: X + 1), "X has two columns 'a'"),
        (lambda: oe.directional_test(RULE, pd.DataFrame({"a": ["x", "y"]}), {"a": 1}), "'a' must"),
        (lambda: oe.directional_test(RULE, np.array([["x"], ["y"]]), {0: 1}), "X must hold num"),
        (lambda: oe.slice_report([1, 0], [1, 0], ["missing", None], "accuracy"), "'missing'"),
        (lambda: oe.slice_report([1, 0], [1, 0], ["all rows", "b"], "accuracy"), "'all rows'"),
        (lambda: oe.slice_report([1, 0], [1, 0], {"all rows": [True, False]}), "'all rows'"),
        (
            lambda: oe.baseline_report({"r": RULE}, np.ones((3, 1)), [0, 0, 1], fees=0.1),
            "fees must be a dict",
        ),
    ],
)
def test_what_would_be_overwritten_or_not_add_up_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_group_finds_no_slice_and_infinity_is_named():
    frame = pd.DataFrame({"a": np.arange(400.0), "b": np.arange(400) % 2})
    wrong = frame["b"].to_numpy()
    with pytest.raises(ValueError, match="at least two groups, got one"):
        oe.find_slices(frame, wrong, groups=np.zeros(400))
    with pytest.raises(ValueError, match=r"frame\['a'\] must hold finite numbers"):
        oe.find_slices(frame.replace({"a": {3: np.inf}}), wrong)


def test_slices_of_several_types_and_of_nullable_numbers():
    mixed = oe.slice_report([1, 1, 0, 0], [1, 0, 0, 0], [1, "a", 1, "a"], "accuracy")
    assert mixed["n"].tolist() == [4, 2, 2]
    whole = pd.array([1, None] * 200, dtype="Int64")
    report = oe.slice_report(np.tile([1, 0], 200), np.tile([1, 0], 200), whole, "accuracy")
    assert report["n"].to_dict() == {"all rows": 400, 1: 200, "missing": 200}
    found = oe.find_slices(pd.DataFrame({"a": whole, "b": [1, "x"] * 200}), np.tile([1, 0], 200))
    assert set(found["slice"]) >= {"a is missing", "a = 1", "b = 1", "b = x"}
    shifted = oe.directional_test(RULE, pd.DataFrame({"a": whole}), {"a": 1})
    assert shifted.tests[0].rows == 200  # a gap stays a gap


def test_a_part_of_a_case_is_no_case():
    frame = pd.DataFrame({"o": [0, 1, 0, 1], "g": list("uvuv"), "s": 1, "n": [1, 2, 3, 0.5]})
    with pytest.raises(ValueError, match="whole numbers of cases"):
        oe.simpson_check(frame, "o", "g", "s", count="n")


def test_quantile_bins_are_scikit_learns_where_an_edge_is_a_tie():
    y, p = np.eye(19, dtype=int)[1], np.r_[0, 0.1, [0] * 4, 0.05, [0.15] * 12]
    table = oe.calibration_table(y, p, 9, "quantile")
    observed, predicted = calibration_curve(y, p, n_bins=9, strategy="quantile")
    assert np.allclose(table["observed"], observed) and np.allclose(table["predicted"], predicted)


# --- Wrong answers to the exercises, each with a part of the diagnosis that it must meet


def _bins(p, bins):
    return np.minimum((p * bins).astype(int), bins - 1)


def _errors(y, p, bins):
    of = _bins(p, bins)
    return np.array([(np.mean(of == b), y[of == b].mean() - p[of == b].mean()) for b in set(of)])


def _unweighted(y, p, bins):
    return np.abs(_errors(y, p, bins)[:, 1]).mean()


def _signed(y, p, bins):
    weight, error = _errors(y, p, bins).T
    return abs((weight * error).sum())


def _last_bin_falls_off(y, p, bins):
    of = (p * bins).astype(int)
    total = 0.0
    for b in range(bins):
        if (of == b).any():
            total += (of == b).mean() * abs(y[of == b].mean() - p[of == b].mean())
    return total if (of < bins).all() else total + 1 / bins


def _added(X, column, step):
    return X.assign(**{column: X[column] + step})


def _in_place(predict, X, column, step):
    before = predict(X)
    X[column] += step
    return X.index[predict(X) < before]


def _rank_without_the_new_row(held_back, proba, alpha):
    rank = int(np.ceil(len(held_back) * (1 - alpha)))
    return 1 - proba <= np.sort(held_back)[rank - 1]


def _counts_from_0(held_back, proba, alpha):
    rank = int(np.ceil((len(held_back) + 1) * (1 - alpha)))
    return 1 - proba <= np.sort(held_back)[min(rank, len(held_back) - 1)]


def _never_infinite(held_back, proba, alpha):
    rank = int(np.ceil((len(held_back) + 1) * (1 - alpha)))
    return 1 - proba <= np.sort(held_back)[min(rank, len(held_back)) - 1]


def _on_the_probability(held_back, proba, alpha):
    rank = int(np.ceil((len(held_back) + 1) * (1 - alpha)))
    return proba >= np.sort(held_back)[min(rank, len(held_back)) - 1]


def _ratio_of_totals(tables):
    (a, b), (c, d) = tables.sum(axis=0)
    return a * d / (b * c)


def _sets(back, proba, alpha, sort=sorted, up=np.ceil, most=None):
    rank = int(up((len(back) + 1) * (1 - alpha)))
    most = len(back) if most is None else most
    return 1 - proba <= (sort(back)[rank - 1] if rank <= most else np.inf)


def _ece(y, place, bins, p=None):
    p = place if p is None else p
    of = np.minimum((place * bins).astype(int), bins - 1)
    gaps = ((of == b, y[of == b].mean() - p[of == b].mean()) for b in np.unique(of))
    return sum(rows.mean() * abs(gap) for rows, gap in gaps)


def _hits(tables):
    return tables[:, :, 0].T, tables.sum(axis=2).T


def _cells(tables):
    return tables.transpose(1, 2, 0).reshape(4, -1), tables.sum(axis=(1, 2))


def _upside_down(tables):
    (a, b, c, d), n = _cells(tables)
    return (b * c / n).sum() / (a * d / n).sum()


def _mean_of_ratios(tables):
    (a, b, c, d), _ = _cells(tables)
    return (a * d / (b * c)).mean()


def _without_n(tables):
    (a, b, c, d), _ = _cells(tables)
    return (a * d).sum() / (b * c).sum()


WRONG_ANSWERS = {
    "calibration_error": [
        (_unweighted, "plain mean over the bins"),
        (_signed, "does not make up"),
        (lambda y, p, bins: np.abs(_errors(y, p, bins)[:, 1]).max(), "largest error"),
        (lambda y, p, bins: np.abs(y - p).mean(), "single rows are 0 or 1"),
        (_last_bin_falls_off, "belongs to the last bin"),
        (lambda y, p, bins: _ece(y, p, 2), "not always two bins"),
        (
            lambda y, p, bins: oe.expected_calibration_error(y, p, bins, "quantile"),
            "equally many rows",
        ),
        (
            lambda y, p, bins: _ece(y, (p - p.min()) / max(np.ptp(p), 1e-9), bins, p),
            "from 0 to 1",
        ),
        (
            lambda y, p, bins: _ece((p > 0.5) == y, np.maximum(p, 1 - p), bins),
            "whether an answer",
        ),
    ],
    "rows_that_fall": [
        (_in_place, "changed its input"),
        (lambda f, X, c, s: X.index[f(_added(X, c, s)) > f(X)], "rows that rise"),
        (lambda f, X, c, s: np.flatnonzero(f(_added(X, c, s)) < f(X)), "positions"),
        (lambda f, X, c, s: f(_added(X, c, s)) < f(X), "truth value"),
        (lambda f, X, c, s: X.index[f(_added(X, c, s)) != f(X)], "Only a fall"),
        (lambda f, X, c, s: X.index[f(_added(X, c, 1)) < f(X)], "Add `step`"),
        (lambda f, X, c, s: X.index[f(X + s) < f(X)], "`column` alone"),
        (lambda f, X, c, s: X.index[f(_added(X, "waiting", s)) < f(X)], "whatever its name"),
        (lambda f, X, c, s: X.index[f(_added(X, c, s)) < f(X) - 1], "however little"),
        (lambda f, X, c, s: X.index[f(_added(X, c, int(s))) < f(X)], "fractions"),
    ],
    "prediction_sets": [
        (_rank_without_the_new_row, "too small"),
        (_counts_from_0, "counted from 1"),
        (_never_infinite, "no class can be ruled out"),
        (_on_the_probability, "1 − probability"),
        (lambda back, p, alpha: _sets(back, p, alpha, sort=list), "8th in the list"),
        (
            lambda back, p, alpha: _sets(back, p, alpha) | (p == p.max(axis=1, keepdims=True)),
            "may be empty",
        ),
        (lambda back, p, alpha: _sets(back, p, alpha, up=round), "goes *up*"),
        (lambda back, p, alpha: _sets(back, p, alpha, most=len(back) - 1), "is not above n"),
    ],
    "pooled_odds_ratio": [
        (_ratio_of_totals, "crude"),
        (_upside_down, "second group"),
        (_mean_of_ratios, "plain mean"),
        (_without_n, "number of cases"),
        (lambda tables: oe._odds_ratio(*_hits(tables[:2])), "all of them"),
    ],
}
