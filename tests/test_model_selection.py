"""Chapter 10 against known answers: closed forms, scikit-learn, planted truths."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, Ridge
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from mlsys_helpers import model_selection as ms
from mlsys_helpers.datasets import load_digits, load_flight_features, make_feed

ASSUMPTIONS = list(ms._ASSUMED_BY)


@pytest.fixture(scope="module")
def two_classes():
    """A generated set whose truth is known: logit-linear in two columns of four."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    p = 1 / (1 + np.exp(-2 * X[:, 0] - X[:, 1]))
    return X, (rng.random(600) < p).astype(int)


@pytest.fixture(scope="module")
def feed():
    X, posts = make_feed(2_000, random_state=1)
    return X[:1_000], posts[:1_000], X[1_000:].reset_index(drop=True), posts[1_000:]


# --- Loss


@pytest.mark.parametrize("k", [1, 3, 7])
def test_inertia_is_the_sum_of_squared_distances(k):
    X = np.random.default_rng(0).normal(size=(200, 2))
    fitted = KMeans(k, n_init=2, random_state=0).fit(X)
    distances = X - fitted.cluster_centers_[fitted.labels_]
    assert fitted.inertia_ == pytest.approx(np.square(distances).sum())


# --- Framing


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
    st.lists(st.integers(-50, 50), min_size=1, max_size=6, unique=True),
)
def test_buckets_are_those_of_pandas_cut(y, edges):
    edges = sorted(edges)
    cut = pd.cut(y, [-np.inf, *edges, np.inf], labels=False)
    assert ms.bucket_target(y, edges).tolist() == cut.tolist()


def test_a_value_on_an_edge_is_below_it():
    assert ms.bucket_target([60, 60.1], [60]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("y", "edges", "message"),
    [
        ([], [1], "y is empty"),
        ([1], [], "edges is empty"),
        ([1], [2, 1], "edges must increase"),
        ([1], [1, 1], "edges must increase"),
        ([np.nan], [1], "missing"),
        ([1], [np.inf], "finite"),
        (["late"], [1], "y must hold numbers"),
    ],
)
def test_bad_buckets_are_refused(y, edges, message):
    with pytest.raises(ValueError, match=message):
        ms.bucket_target(y, edges)


@pytest.fixture(scope="module")
def numeric_target():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3_000, 2))
    return X, 20 * X[:, 0] + rng.normal(scale=15, size=3_000)


def frame(X, y, edges=(0, 30), new_edge=15, decision=30, **models):
    models = {"regressor": LinearRegression(), "classifier": LogisticRegression()} | models
    new, old = slice(2_000, None), slice(0, 2_000)
    return ms.framing_report(
        X[old], y[old], X[new], y[new], list(edges), new_edge, decision, **models
    ).set_index("framing")


def test_framings_agree_with_the_same_models_by_hand(numeric_target):
    X, y = numeric_target
    report, old, new = frame(X, y), slice(0, 2_000), slice(2_000, None)
    above = y[new] > 30
    minutes = LinearRegression().fit(X[old], y[old]).predict(X[new])
    assert report.loc["regression", "auc"] == pytest.approx(metrics.roc_auc_score(above, minutes))
    assert report.loc["regression", "mean_error"] == pytest.approx(np.abs(minutes - y[new]).mean())
    binary = LogisticRegression().fit(X[old], y[old] > 30).predict_proba(X[new])[:, 1]
    assert report.loc["binary", "auc"] == pytest.approx(metrics.roc_auc_score(above, binary))
    bands = np.digitize(y, [0, 30], right=True)
    many = LogisticRegression().fit(X[old], bands[old])
    accuracy = many.score(X[new], bands[new])
    assert report.loc["multiclass", "accuracy"] == pytest.approx(accuracy)
    means = [y[old][bands[old] == k].mean() for k in range(3)]
    back = many.predict_proba(X[new]) @ means
    assert report.loc["multiclass", "mean_error"] == pytest.approx(np.abs(back - y[new]).mean())


class _CountsFits(LogisticRegression):
    fits = 0

    def fit(self, X, y):
        type(self).fits += 1
        return super().fit(X, y)


def test_the_fits_reported_are_the_fits_made(numeric_target):
    X, y = numeric_target
    for edges, new_edge in (([0, 30], 15), ([-10, 0, 10, 30], 20)):
        _CountsFits.fits = 0
        models = {"regressor": LinearRegression(), "classifier": _CountsFits()}
        report = ms.framing_report(X, y, X, y, edges, new_edge, 30, **models)
        by_classifier = report[report["framing"] != "regression"]
        assert by_classifier[["fits", "new_fits"]].sum(axis=None) == _CountsFits.fits


def test_what_a_new_class_costs_each_framing(numeric_target):
    report = frame(*numeric_target)
    assert report["fits"].tolist() == [1, 1, 1, 2]
    assert report["outputs"].tolist() == [1, 3, 1, 2]
    assert report["new_fits"].tolist() == [0, 1, 1, 1]
    assert (report["changed"] > 0).tolist() == [False, True, False, False]
    assert report["mean_error"].isna().tolist() == [False, False, True, True]
    assert report["accuracy"].isna().tolist() == [False, False, True, False]


def test_a_multilabel_model_may_contradict_itself_and_is_counted(numeric_target):
    X, y = numeric_target
    unruly = frame(X, y, edges=(29, 30), classifier=DecisionTreeClassifier(random_state=0))
    assert unruly.loc["multilabel", "contradictions"] > 0
    sober = frame(X, y, edges=(-40, 30))
    assert sober.loc["multilabel", "contradictions"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decision": 10}, "decision must be one of edges"),
        ({"new_edge": 30}, "new_edge must not"),
        ({"new_edge": 500}, "leave a bucket without rows"),
        ({"edges": (30, 500), "new_edge": 15}, "leave a bucket without rows"),
    ],
)
def test_bad_framings_are_refused(numeric_target, change, message):
    with pytest.raises(ValueError, match=message):
        frame(*numeric_target, **change)


def test_a_classifier_without_probabilities_cannot_be_framed(numeric_target):
    with pytest.raises(TypeError, match="no predict_proba"):
        frame(*numeric_target, classifier=Perceptron())


# --- Decoupling objectives


def test_the_feed_is_what_its_card_says():
    X, posts = make_feed(20_000)
    assert X.mean().abs().max() < 4 / np.sqrt(20_000)
    assert ((posts["true_quality"] > 0) & (posts["true_quality"] < 1)).all()
    error = posts["quality"] - posts["true_quality"]
    assert error.std() == pytest.approx(0.15, rel=0.03)
    share = posts["true_engagement"]
    z = (posts["engagement"] - share) / np.sqrt(share * (1 - share) / 50)  # binomial, 50 viewers
    assert z.var() == pytest.approx(1, abs=0.05)
    by_kind = posts.groupby(["spam", "extreme"])["true_engagement"].mean()
    assert by_kind[1, 0] < by_kind[0, 0] < by_kind[0, 1]
    assert make_feed(50)[1].equals(make_feed(50)[1])
    with pytest.raises(ValueError, match="n_posts"):
        make_feed(0)


@pytest.mark.parametrize("learner", [LinearRegression(), Ridge(3.0), KNeighborsRegressor(20)])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_models_linear_in_the_target_give_the_same_ranking_both_ways(feed, learner, alpha):
    X, posts, X_new, _ = feed
    weights = {"quality": alpha, "engagement": 1 - alpha}
    ranker = ms.DecoupledRanker({name: learner for name in weights}).fit(X, posts)
    mixed = sum(weight * posts[name] for name, weight in weights.items())
    retrained = clone(learner).fit(X, mixed).predict(X_new)
    assert np.allclose(ranker.combine(X_new, weights), retrained, atol=1e-9)


def test_the_loss_with_two_terms_is_lowest_at_the_mixed_target():
    q, e, alpha, beta = 0.8, 0.2, 1.5, 0.5
    f = np.linspace(0, 1, 100_001)
    loss = alpha * (f - q) ** 2 + beta * (f - e) ** 2
    assert f[loss.argmin()] == pytest.approx((alpha * q + beta * e) / (alpha + beta), abs=1e-5)


def test_trees_reach_the_same_front_to_tolerance(feed):
    X, posts, X_new, truth = feed
    learner = HistGradientBoostingRegressor(max_iter=40, max_leaf_nodes=6, random_state=0)
    ranker = ms.DecoupledRanker({"quality": learner, "engagement": learner}).fit(X, posts)
    goals = truth[["true_quality", "true_engagement"]].to_numpy()
    for alpha in (0, 0.25, 0.5, 0.75, 1):
        weights = {"quality": alpha, "engagement": 1 - alpha}
        mixed = sum(weight * posts[name] for name, weight in weights.items())
        alone = np.argsort(-clone(learner).fit(X, mixed).predict(X_new))[:200]
        apart = ranker.rank(X_new, weights)[:200]
        # The means of two sets of 200 that overlap, each entry with a spread of some 0.25.
        assert np.abs(goals[alone].mean(axis=0) - goals[apart].mean(axis=0)).max() < 0.06
    assert sum(ranker.fits_.values()) == 2


def test_more_weight_on_quality_gives_more_quality_and_fewer_clicks(feed):
    X, posts, X_new, truth = feed
    goals = ("quality", "engagement")
    ranker = ms.DecoupledRanker({name: LinearRegression() for name in goals}).fit(X, posts)
    reached = pd.DataFrame(
        [
            truth.iloc[ranker.rank(X_new, {"quality": a, "engagement": 1 - a})[:200]].mean()
            for a in (0, 0.3, 0.6, 1)
        ]
    )
    assert reached["true_quality"].is_monotonic_increasing
    assert reached["true_engagement"].is_monotonic_decreasing


def filtered(**options):
    goals = {"quality": LinearRegression(), "engagement": LinearRegression()}
    return ms.DecoupledRanker(goals, {"spam": LogisticRegression()}, **options)


def test_filters_hold_back_exactly_what_they_find_too_likely(feed):
    X, posts, X_new, _ = feed
    ranker = filtered(max_probability=0.3).fit(X, posts)
    said = ranker.predict(X_new)
    order = ranker.rank(X_new, {"quality": 1})
    assert set(order) == set(np.flatnonzero(said["spam"] <= 0.3))
    assert (np.diff(said["quality"].to_numpy()[order]) <= 0).all()
    assert np.array_equal(ranker.rank(said, {"quality": 1}), order)


def test_one_model_is_updated_and_no_other(feed):
    X, posts, X_new, _ = feed
    ranker = filtered().fit(X, posts)
    before, kept = ranker.predict(X_new), ranker.models_["quality"]
    ranker.update("spam", X, 1 - posts["spam"])
    after = ranker.predict(X_new)
    assert ranker.models_["quality"] is kept
    assert after[["quality", "engagement"]].equals(before[["quality", "engagement"]])
    assert not after["spam"].equals(before["spam"])
    assert ranker.fits_ == {"quality": 1, "engagement": 1, "spam": 2}


def test_the_ranker_keeps_its_parameters_and_its_inputs(feed):
    X, posts, X_new, _ = feed
    ranker = filtered()
    goals, copies = ranker.objectives, (X.copy(), posts.copy())
    ranker.fit(X, posts).rank(X_new, {"quality": 1})
    assert ranker.objectives is goals and not hasattr(goals["quality"], "coef_")
    assert clone(ranker).get_params()["max_probability"] == 0.5
    pd.testing.assert_frame_equal(X, copies[0])
    pd.testing.assert_frame_equal(posts, copies[1])


def test_a_mistaken_ranker_is_refused(feed):
    X, posts, X_new, _ = feed
    with pytest.raises(ValueError, match="not fitted yet"):
        filtered().predict(X_new)
    with pytest.raises(ValueError, match="no column 'spam'"):
        filtered().fit(X, posts.drop(columns="spam"))
    with pytest.raises(ValueError, match="spam holds one class only"):
        filtered().fit(X, posts.assign(spam=0))
    with pytest.raises(ValueError, match="max_probability"):
        filtered(max_probability=0).fit(X, posts)
    with pytest.raises(ValueError, match="objectives must be a dict"):
        ms.DecoupledRanker({}).fit(X, posts)
    with pytest.raises(ValueError, match="share the name 'spam'"):
        ms.DecoupledRanker({"spam": Ridge()}, {"spam": LogisticRegression()}).fit(X, posts)
    ranker = filtered().fit(X, posts)
    with pytest.raises(ValueError, match="weights must name objectives"):
        ranker.rank(X_new, {"spam": 1})
    with pytest.raises(ValueError, match="weights must name objectives"):
        ranker.rank(X_new, {})
    with pytest.raises(ValueError, match=r"weights\['quality'\]"):
        ranker.combine(X_new, {"quality": np.nan})
    with pytest.raises(ValueError, match="name must be one of"):
        ranker.update("clicks", X, posts["spam"])


def test_plot_trade_off_draws_each_front_and_labels_the_ends():
    front = pd.DataFrame({"x": [1, 2], "y": [2, 1], "α": [0, 1]})
    ax = ms.plot_trade_off({"a": front, "b": front + 1}, "x", "y", label="α")
    assert [line.get_label() for line in ax.lines] == ["a", "b"]
    assert ax.lines[1].get_xdata().tolist() == [2, 3]
    with pytest.raises(ValueError, match="with the columns x, z"):
        ms.plot_trade_off({"a": front}, "x", "z")
    with pytest.raises(ValueError, match="fronts must be a dict"):
        ms.plot_trade_off({}, "x", "y")


# --- Models compared on equal terms


class Recorder(ClassifierMixin, BaseEstimator):
    """Remembers, for all its copies, which rows were fitted to and asked for."""

    log = []  # noqa: RUF012

    def __init__(self, name="a", setting=0):
        self.name = name
        self.setting = setting

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        Recorder.log.append((self.name, "fit", self.setting, tuple(X[:, 0].astype(int))))
        return self

    def predict(self, X):
        Recorder.log.append((self.name, "predict", self.setting, tuple(X[:, 0].astype(int))))
        return (X[:, 0] % 2).astype(int)


def record(groups=None, budget=3):
    Recorder.log.clear()
    rows = np.arange(60.0)[:, None]
    space = {"setting": [1, 2, 3, 4, 5]}
    models = {name: (Recorder(name), space) for name in "ab"}
    y = np.arange(60) % 2
    table = ms.compare_models(models, rows, y, budget, groups=groups, folds=3, progress=False)
    logs = {name: [entry[1:] for entry in Recorder.log if entry[0] == name] for name in "ab"}
    return table, logs


def test_every_model_has_the_same_folds_and_the_same_trials():
    table, logs = record()
    assert logs["a"] == logs["b"]  # the very same rows and settings, in the same order
    assert table["trials"].tolist() == [3, 3]
    assert len([entry for entry in logs["a"] if entry[0] == "fit"]) == 3 * (3 + 1)


def test_test_rows_are_seen_by_no_trial_and_every_row_is_tested_once():
    _, logs = record()
    fits = [set(rows) for what, _, rows in logs["a"] if what == "fit"]
    final = fits[3::4]
    assert sorted(set().union(*(set(range(60)) - rows for rows in final))) == list(range(60))
    assert sum(60 - len(rows) for rows in final) == 60
    for fold in range(3):
        for trial in fits[4 * fold : 4 * fold + 3]:
            assert trial < final[fold]
            assert len(trial) == pytest.approx(0.75 * len(final[fold]), abs=1)


def test_rows_of_a_group_stay_on_one_side():
    groups = np.repeat(np.arange(15), 4)
    _, logs = record(groups)
    fits = [rows for what, _, rows in logs["a"] if what == "fit"]
    for rows in fits:
        inside = set(groups[list(rows)])
        assert len(rows) == sum(4 for _ in inside)


def test_scores_are_those_of_scikit_learn(two_classes):
    X, y = two_classes
    seed = int(np.random.default_rng(7).integers(2**31))
    folds = StratifiedKFold(4, shuffle=True, random_state=seed)
    for scoring in ("roc_auc", "average_precision", "accuracy", "neg_log_loss"):
        table = ms.compare_models(
            {"m": LogisticRegression()},
            *(X, y, 1),
            scoring=scoring,
            folds=4,
            random_state=7,
            progress=False,
        )
        scorer = metrics.get_scorer(scoring)
        scores = [
            scorer(LogisticRegression().fit(X[train], y[train]), X[test], y[test])
            for train, test in folds.split(X, y)
        ]
        assert table["score"][0] == pytest.approx(np.mean(scores))
        error = np.sqrt((1 / 4 + 1 / 3) * np.var(scores, ddof=1)) * stats.t.ppf(0.975, 3)
        assert table["high"][0] - table["score"][0] == pytest.approx(error)


def test_grouped_folds_are_those_of_scikit_learn(two_classes):
    X, y = two_classes
    groups = np.arange(600) // 10
    table = ms.compare_models(
        {"m": GaussianNB()}, X, y, 1, groups=groups, folds=3, random_state=1, progress=False
    )
    seed = int(np.random.default_rng(1).integers(2**31))
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=seed).split(X, y, groups)
    scores = [
        metrics.roc_auc_score(y[test], GaussianNB().fit(X[a], y[a]).predict_proba(X[test])[:, 1])
        for a, test in folds
    ]
    assert table["score"][0] == pytest.approx(np.mean(scores))


def test_the_search_finds_the_setting_that_works(two_classes):
    X, y = two_classes
    space = {"max_depth": [1, 3, 5]}
    models = {
        "stuck": DummyClassifier(),
        "tree": (DecisionTreeClassifier(max_depth=1, random_state=0), space),
    }
    table = ms.compare_models(models, X, y, 4, folds=3, progress=False).set_index("model")
    assert table.loc["tree", "chosen"]["max_depth"] > 1
    assert table.loc["stuck", "score"] == 0.5  # a constant prediction is a prediction
    assert table.loc["stuck", "trials"] == 1  # and has nothing to search
    assert table.loc["stuck", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
    assert table.loc["tree", "gain_low"] > 0


def test_a_small_space_is_searched_whole_and_a_distribution_drawn_from(two_classes):
    X, y = two_classes
    few = (LogisticRegression(), {"C": [0.1, 1]})
    many = (LogisticRegression(), {"C": stats.loguniform(1e-3, 1e3)})
    table = ms.compare_models({"few": few, "many": many}, X, y, 6, folds=2, progress=False)
    assert table["trials"].tolist() == [3, 6]


class Slow(GaussianNB):
    def fit(self, X, y):
        time.sleep(0.02)
        return super().fit(X, y)


def test_with_the_same_seconds_the_faster_model_tries_more(two_classes):
    X, y = two_classes
    space = {"var_smoothing": [10.0**-k for k in range(8)]}
    models = {"slow": (Slow(), space), "fast": (GaussianNB(), space)}
    table = ms.compare_models(models, X, y, 8, seconds=0.03, folds=2, progress=False)
    slow, fast = table.set_index("model")["trials"].loc[["slow", "fast"]]
    assert 1 <= slow <= 2 < fast  # a trial that runs is finished, and no further one begins


def test_costs_are_reported(two_classes):
    X, y = two_classes
    models = {"k-NN": KNeighborsClassifier(), "logistic": LogisticRegression()}
    table = ms.compare_models(models, X, y, 1, folds=2, progress=False).set_index("model")
    costs = ["search_seconds", "fit_seconds", "predict_seconds", "row_ms", "size_kb"]
    assert (table[costs] > 0).all(axis=None)
    assert table.loc["k-NN", "size_kb"] > 3 * table.loc["logistic", "size_kb"]  # it keeps the rows


def test_pipelines_on_data_frames_with_categories():
    flights = load_flight_features().sample(1_500, random_state=0)
    X = flights[["carrier", "departure_hour", "recent_mean_delay"]]
    trees = HistGradientBoostingClassifier(
        categorical_features="from_dtype", max_iter=10, early_stopping=False
    )
    table = ms.compare_models(
        {"trees": trees}, X, flights["late"], 1, groups=flights["date"], folds=2, progress=False
    )
    assert table["score"][0] > 0.6


def test_several_classes():
    images, digit = load_digits()
    X = images.reshape(len(images), -1)[:600]
    models = {"k-NN": make_pipeline(StandardScaler(), KNeighborsClassifier())}
    for scoring, low in (("accuracy", 0.9), ("neg_log_loss", -1.5)):
        table = ms.compare_models(
            models, X, digit[:600], 1, scoring=scoring, folds=3, progress=False
        )
        assert low < table["score"][0] <= 1


class BlackBox:
    """No scikit-learn: fit and predict, and whatever else it is given."""

    def __init__(self, predict=None, predict_proba=None):
        if predict:
            self.predict = predict
        if predict_proba:
            self.predict_proba = predict_proba

    def fit(self, X, y):
        self.seen = len(y)


def test_anything_with_fit_and_predict_is_a_model(two_classes):
    X, y = two_classes
    box = BlackBox(predict=lambda X: X[:, 0])
    table = ms.compare_models({"box": box}, X, y, 5, folds=3, progress=False)
    assert table["score"][0] == pytest.approx(metrics.roc_auc_score(y, X[:, 0]), abs=0.02)
    assert not hasattr(box, "seen")  # a copy was fitted
    assert np.isnan(table["size_kb"][0])  # a lambda cannot be pickled
    perceptron = ms.compare_models({"p": Perceptron()}, X, y, 1, folds=3, progress=False)
    assert perceptron["score"][0] > 0.7  # ranks by its decision function


@pytest.mark.parametrize(
    ("box", "scoring", "error", "message"),
    [
        (BlackBox(), "roc_auc", TypeError, "has no predict"),
        (BlackBox(predict=lambda X: X), "accuracy", ValueError, "must predict shape"),
        (BlackBox(predict=lambda X: X[:-1, 0]), "roc_auc", ValueError, "must predict shape"),
        (BlackBox(predict=lambda X: X[:, 0] * np.nan), "roc_auc", ValueError, "missing"),
        (BlackBox(predict=lambda X: X[:, 0]), "neg_log_loss", TypeError, "no predict_proba"),
        (
            BlackBox(predict_proba=lambda X: np.full(len(X), 0.5)),
            "roc_auc",
            ValueError,
            "must give probabilities",
        ),
        (
            BlackBox(predict_proba=lambda X: np.full((len(X), 3), 1 / 3)),
            "average_precision",
            ValueError,
            "must give probabilities",
        ),
        (
            BlackBox(predict_proba=lambda X: np.full((len(X), 2), 0.4)),
            "neg_log_loss",
            ValueError,
            "miss the sum 1 by 0.2",
        ),
        (
            BlackBox(predict_proba=lambda X: np.tile([-0.2, 1.2], (len(X), 1))),
            "roc_auc",
            ValueError,
            "from 0 to 1",
        ),
    ],
)
def test_black_boxes_that_answer_wrongly_are_refused_by_name(
    two_classes, box, scoring, error, message
):
    with pytest.raises(error, match=message) as caught:
        ms.compare_models(
            {"the box": box}, *two_classes, 1, scoring=scoring, folds=2, progress=False
        )
    assert "the box" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"models": {}}, ValueError, "models must be a dict"),
        ({"models": {"a": GaussianNB}}, TypeError, "must be a model with fit"),
        ({"models": {"a": (GaussianNB(), [1])}}, TypeError, "a dict as its space"),
        ({"X": np.ones(600)}, ValueError, "X must be a table"),
        ({"X": np.ones((0, 3))}, ValueError, "X must be a table"),
        ({"y": np.zeros(600)}, ValueError, "one class only"),
        ({"y": np.zeros(3)}, ValueError, "y must have 600 entries"),
        ({"y": np.arange(600), "scoring": "roc_auc"}, ValueError, "labels 0 and 1"),
        ({"y": np.arange(600) % 2 * 2, "scoring": "accuracy"}, ValueError, "without a gap"),
        ({"y": (np.arange(600) < 3).astype(int)}, ValueError, "needs at least 5 rows of each"),
        ({"groups": np.arange(600) // 300}, ValueError, "needs at least 5 groups"),
        ({"budget": 0}, ValueError, "budget must be a whole number"),
        ({"budget": 2.5}, ValueError, "budget must be a whole number"),
        ({"seconds": 0}, ValueError, "seconds must be a number above 0"),
        ({"scoring": "f2"}, ValueError, "scoring must be one of"),
        ({"folds": 1}, ValueError, "folds must be a whole number of at least 2"),
        ({"random_state": -1}, ValueError, "random_state"),
    ],
)
def test_bad_races_are_refused(two_classes, change, error, message):
    X, y = two_classes
    given = {"models": {"a": GaussianNB()}, "X": X, "y": y, "budget": 1, "progress": False}
    with pytest.raises(error, match=message):
        ms.compare_models(**(given | change))


def test_the_race_is_repeatable_and_leaves_its_inputs_alone(two_classes):
    X, y = two_classes
    before = X.copy(), y.copy()
    models = {"tree": (DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2, 3, 4]})}
    tables = [ms.compare_models(models, X, y, 3, folds=3, progress=False) for _ in range(2)]
    stable = ["model", "score", "low", "high", "trials", "chosen"]
    assert tables[0][stable].equals(tables[1][stable])
    assert np.array_equal(X, before[0]) and np.array_equal(y, before[1])


# --- Now against later


def test_learning_curves_train_on_nested_rows_the_same_for_each_model():
    Recorder.log.clear()
    rows, y = np.arange(40.0)[:, None], np.arange(40) % 2
    models = {name: Recorder(name) for name in "ba"}
    curves = ms.learning_curves(
        models, rows, y, rows, y, [10, 20, 40], repeats=2, scoring="accuracy", progress=False
    )
    fits = {n: [set(e[3]) for e in Recorder.log if e[:2] == (n, "fit")] for n in "ab"}
    assert fits["a"] == fits["b"]
    assert fits["a"][0] < fits["a"][1] < fits["a"][2]
    assert [len(rows) for rows in fits["a"]] == [10, 20, 40] * 2
    assert curves["model"].unique().tolist() == ["b", "a"]  # in the order given
    assert len(curves) == 2 * 3 * 2 and (curves["score"] == 1).all()


def test_a_learning_curve_point_is_a_plain_fit(two_classes):
    X, y = two_classes
    curves = ms.learning_curves(
        {"m": GaussianNB()}, X[:400], y[:400], X[400:], y[400:], [400], repeats=1, progress=False
    )
    p = GaussianNB().fit(X[:400], y[:400]).predict_proba(X[400:])[:, 1]
    assert curves["score"][0] == pytest.approx(metrics.roc_auc_score(y[400:], p))


def test_curves_that_are_known_to_cross_do():
    """One strong column and nineteen weak ones: few rows fit one slope, many rows fit twenty."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6_000, 20))
    p = 1 / (1 + np.exp(-2 * X[:, 0] - 0.5 * X[:, 1:].sum(axis=1)))
    y = (rng.random(6_000) < p).astype(int)
    loose = LogisticRegression(C=1e4, max_iter=1_000)
    models = {"one": make_pipeline(FunctionTransformer(lambda X: X[:, :1]), loose), "all": loose}
    curves = ms.learning_curves(
        models, X[:3000], y[:3000], X[3000:], y[3000:], [15, 3_000], repeats=20, progress=False
    )
    mean = curves.groupby(["size", "model"])["score"].mean()
    assert mean[15, "one"] > mean[15, "all"] + 0.01
    assert mean[3_000, "all"] > mean[3_000, "one"] + 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": [20, 10]}, "that increase"),
        ({"sizes": [20.5]}, "whole numbers"),
        ({"sizes": [1]}, "sizes must hold numbers from 2"),
        ({"sizes": [601]}, "sizes must hold numbers from 2"),
        ({"sizes": []}, "sizes is empty"),
        ({"repeats": 0}, "repeats"),
        ({"y": (np.arange(600) < 2).astype(int), "sizes": [3]}, "lack a class"),
    ],
)
def test_bad_learning_curves_are_refused(two_classes, change, message):
    X, y = two_classes
    given = {"models": {"m": GaussianNB()}, "X": X, "y": y, "X_test": X, "y_test": y}
    given |= {"sizes": [50], "progress": False}
    with pytest.raises(ValueError, match=message):
        ms.learning_curves(**(given | change))


def power_law(limit, gap, rate, sizes, noise=0.0, repeats=5, seed=0):
    rng = np.random.default_rng(seed)
    sizes = np.asarray(sizes, dtype=float)
    frames = [
        pd.DataFrame(
            {
                "model": "m",
                "size": sizes,
                "repeat": repeat,
                "score": limit - gap * sizes**-rate + noise * rng.normal(size=len(sizes)),
            }
        )
        for repeat in range(repeats)
    ]
    return pd.concat(frames, ignore_index=True)


@given(st.floats(0.5, 0.99), st.floats(0.2, 3), st.floats(0.2, 1.5))
def test_a_power_law_is_recovered(limit, gap, rate):
    curves = power_law(limit, gap, rate, [50, 100, 200, 400, 800], repeats=1)
    found = ms.extrapolate_curve(curves, [1e5], bootstraps=1).iloc[0]
    assert found["forecast"] == pytest.approx(limit - gap * 1e5**-rate, abs=1e-4)
    assert found["limit"] == pytest.approx(limit, abs=1e-3)


def test_the_fit_is_scipys():
    from scipy.optimize import curve_fit

    sizes = np.array([50, 100, 200, 400, 800, 1600])
    curves = power_law(0.9, 2, 0.6, sizes, noise=0.002)
    mean = curves.groupby("size")["score"].mean().to_numpy()
    ours = ms.extrapolate_curve(curves, [6400]).iloc[0]
    theirs, _ = curve_fit(lambda n, a, b, c: a - b * n**-c, sizes, mean, p0=(0.9, 2, 0.6))
    assert ours[["limit", "gap", "rate"]].tolist() == pytest.approx(theirs, rel=1e-3)


def test_forecasts_hold_the_end_that_was_held_back():
    """Of 100 noisy curves, the interval at four times the rows holds the truth for most."""
    truth = 0.9 - 2 * 6400**-0.6
    inside = []
    for seed in range(100):
        curves = power_law(0.9, 2, 0.6, [50, 100, 200, 400, 800, 1600], 0.005, 8, seed)
        row = ms.extrapolate_curve(curves, [6400], bootstraps=60, random_state=seed).iloc[0]
        inside.append(row["low"] <= truth <= row["high"])
    assert np.mean(inside) > 0.8  # a bootstrap of eight repeats is a little too narrow for 0.95


def test_the_limit_stays_below_the_ceiling():
    sizes = [50, 100, 200, 400]
    rising = power_law(1.5, 1.2, 0.1, sizes, repeats=1)
    free = ms.extrapolate_curve(rising, [1e4], ceiling=9).iloc[0]
    bound = ms.extrapolate_curve(rising, [1e4]).iloc[0]
    assert free["limit"] == pytest.approx(1.5, abs=0.01) and bound["limit"] == 1
    flat = ms.extrapolate_curve(power_law(0.7, 0.0, 1, sizes, repeats=2), [1e4]).iloc[0]
    assert flat["forecast"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("curves", "sizes", "message"),
    [
        (pd.DataFrame({"model": ["m"]}), [10], "with the columns model, size"),
        (power_law(0.9, 1, 1, [1, 2, 3]), [10], "four at least"),
        (power_law(0.9, 1, 1, [1, 2, 3, 4]).drop(index=2), [10], "in every repeat"),
        (power_law(0.9, 1, 1, [1, 2, 3, 4]), [0], "sizes must hold numbers"),
        (power_law(0.9, 1, 1, [1, 2, 3, 4]).head(0), [10], "is empty"),
    ],
)
def test_bad_forecasts_are_refused(curves, sizes, message):
    with pytest.raises(ValueError, match=message):
        ms.extrapolate_curve(curves, sizes)


def test_plot_learning_curves_draws_means_bands_and_forecasts():
    curves = power_law(0.9, 2, 0.6, [50, 100, 200, 400], noise=0.01)
    forecast = ms.extrapolate_curve(curves, [800, 1600])
    ax = ms.plot_learning_curves(curves, forecast)
    assert np.allclose(ax.lines[0].get_ydata(), curves.groupby("size")["score"].mean())
    assert ax.texts[0].get_text() == "m" and ax.get_xscale() == "log"
    assert any(np.array_equal(line.get_xdata(), [800, 1600]) for line in ax.lines[1:])
    with pytest.raises(ValueError, match="forecast must be a DataFrame"):
        ms.plot_learning_curves(curves, curves)


# --- What models assume


def planted(what, seed, n=800):
    """Two normal classes in three independent columns, with one thing wrong, or nothing."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 25 if what == "tractability" else 3)) + y[:, None] * 0.8
    if what == "prediction":
        X = rng.normal(size=(n, 3))
    elif what == "IID":
        order = np.argsort(X[:, 0])
        X, y = X[order], y[order]
    elif what == "smoothness":
        number = rng.integers(0, 60, n)
        X, y = number[:, None].astype(float), (rng.random(60) < 0.5)[number].astype(int)
    elif what == "boundaries":
        X = rng.normal(size=(n, 3)) * np.where(y == 1, 2, 0.7)[:, None]
    elif what == "conditional independence":
        X[:, 1] += 0.7 * (X[:, 0] - 0.8 * y)
    elif what == "normality":
        X[:, 2] = rng.exponential(size=n)
    return X, y


def violated(what, seeds):
    runs = [ms.check_assumptions(*planted(what, seed), random_state=seed) for seed in seeds]
    return pd.DataFrame([run.set_index("assumption")["violated"] for run in runs]).mean()


@pytest.mark.parametrize("what", ASSUMPTIONS)
def test_each_planted_violation_is_found(what):
    found = violated(what, range(12))
    # Of data that cannot be predicted, a test at 5 % lets one set in twenty look predictable.
    assert found[what] >= (0.75 if what == "prediction" else 1)


def test_noise_looks_predictable_no_more_often_than_the_level():
    found = violated("prediction", range(60))
    # At 5 %, of 60 sets more than 8 look predictable with a chance of 0.3 %.
    assert found["prediction"] >= 52 / 60
    assert found["smoothness"] >= 52 / 60


def test_silence_on_clean_data_whole():
    found = violated("nothing", range(60))
    # Each at 5 % or less: of 60 sets, 8 or more alarms happen with a chance below 1 %.
    assert (found <= 7 / 60).all()
    assert (found[["prediction", "smoothness", "tractability", "boundaries"]] == 0).all()


@pytest.mark.parametrize("check", ["IID", "conditional independence", "normality"])
def test_false_alarms_are_at_the_level(check):
    alarms = 0
    for seed in range(400):
        X, y = planted("nothing", seed, n=300)
        if check == "IID":
            alarms += ms._check_iid(pd.DataFrame(X), y, 0.05)[0]
        elif check == "normality":
            alarms += ms._check_normality(X, list("abc"), y, 0.05)[0]
        else:
            alarms += ms._check_independence(X, list("abc"), y, 0.05)[0]
    # At a rate of 5 %, 33 or more of 400 happen with a chance of 0.3 %; Bonferroni makes it fewer.
    assert 4 <= alarms <= 32


def test_findings_name_the_culprit():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    table = pd.DataFrame(rng.normal(size=(600, 4)) + y[:, None], columns=list("abcd"))
    table["d"] = table["b"] + 0.1 * rng.normal(size=600)
    table["c"] = np.exp(table["c"])
    findings = ms.check_assumptions(table, y).set_index("assumption")
    assert findings.index.tolist() == ASSUMPTIONS
    assert findings.loc["conditional independence", "evidence"].startswith("b and d where")
    assert findings.loc["normality", "evidence"].startswith("c where")
    drift = table.assign(a=table["a"] + np.linspace(0, 3, 600))
    assert "a " in ms.check_assumptions(drift, y).set_index("assumption").loc["IID", "evidence"]


def test_tractability_counts_two_to_the_number_of_columns():
    X, y = planted("nothing", 0)
    for limit, expected in ((7, True), (8, False)):
        findings = ms.check_assumptions(X, y, max_terms=limit).set_index("assumption")
        assert findings.loc["tractability", "violated"] == expected
    assert np.isnan(findings.loc["tractability", "p_value"])
    assert "3 columns: 8 terms" in findings.loc["tractability", "evidence"]


def test_one_column_a_constant_and_repeated_rows_are_looked_at():
    y = np.arange(200) % 2
    one = ms.check_assumptions(y[:, None].astype(float), y).set_index("assumption")
    assert not one.loc["conditional independence", "violated"]
    assert one.loc["smoothness", "evidence"] == "only 2 distinct rows"
    constant = np.column_stack([np.random.default_rng(0).normal(size=200), np.ones(200)])
    found = ms.check_assumptions(constant, y).set_index("assumption")
    assert found.loc["normality", "violated"]


def test_many_rows_are_thinned_and_inputs_left_alone():
    X, y = planted("nothing", 0, n=4_000)
    before = X.copy(), y.copy()
    first = ms.check_assumptions(X, y, max_rows=400, random_state=3)
    assert first.equals(ms.check_assumptions(X, y, max_rows=400, random_state=3))
    assert np.array_equal(X, before[0]) and np.array_equal(y, before[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.full((800, 2), np.nan)}, "missing values"),
        ({"X": np.full((800, 2), np.inf)}, "finite"),
        ({"X": pd.DataFrame({"carrier": ["AA"] * 800})}, r"X\['carrier'\] must hold numbers"),
        ({"X": np.ones((800, 0))}, "no columns"),
        ({"X": np.ones((5, 2))}, "y must have 5 entries"),
        ({"y": np.ones(800)}, "one class only"),
        ({"y": (np.arange(800) < 10).astype(int)}, "at least 20 of each"),
        ({"level": 0}, "level"),
        ({"max_rows": 100}, "max_rows"),
        ({"max_rows": 6_000}, "max_rows"),
        ({"max_terms": 0}, "max_terms"),
        ({"X": pd.DataFrame(np.ones((800, 2)), columns=["a", "a"])}, "two columns 'a'"),
        ({"X": pd.DataFrame(np.ones((800, 2)), columns=[1, "1"])}, "two columns '1'"),
        ({"y": (np.arange(800) < 25).astype(int), "max_rows": 200}, "fewer than 20"),
    ],
)
def test_bad_data_to_check_are_refused(change, message):
    X, y = planted("nothing", 0)
    with pytest.raises(ValueError, match=message):
        ms.check_assumptions(**({"X": X, "y": y} | change))


def test_very_many_columns_are_intractable_and_do_not_overflow():
    X = np.random.default_rng(0).normal(size=(60, 1_100))
    found = ms.check_assumptions(X, np.arange(60) % 2).set_index("assumption").loc["tractability"]
    assert found["violated"] and "2^1100 terms" in found["evidence"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": np.inf}, "finite"),
        ({"score": "a"}, "must hold numbers"),
        ({"score": 2.0}, "ceiling=1 is below a score, 2"),
        ({"size": -1}, "from 1"),
        ({"model": None}, "missing"),
        ({"size": 7}, "twice in one repeat"),
    ],
)
def test_curves_that_are_none_are_refused(change, message):
    curves = pd.DataFrame({"model": "m", "size": [1, 2, 4, 8], "repeat": 0, "score": 0.5})
    if "size" in change and change["size"] < 0:
        change = {"size": -curves["size"]}
    with pytest.raises(ValueError, match=message):
        ms.extrapolate_curve(curves.assign(**change), [100])
    if change != {"score": 2.0}:
        with pytest.raises(ValueError, match=message):
            ms.plot_learning_curves(curves.assign(**change))


def test_more_models_than_colours_and_text_to_draw_are_refused():
    curves = pd.DataFrame({"model": range(9), "size": 1, "repeat": 0, "score": 0.5})
    with pytest.raises(ValueError, match="at most 8 models"):
        ms.plot_learning_curves(curves)
    front = pd.DataFrame({"x": [0.0], "y": [1.0], "α": ["a"]})
    with pytest.raises(ValueError, match="must hold numbers"):
        ms.plot_trade_off({"f": front}, "x", "y", label="α")


@pytest.mark.parametrize("model", [None, LinearRegression])
def test_what_is_no_model_is_refused_by_name(model):
    X, y = np.arange(8.0)[:, None], np.arange(8.0)
    with pytest.raises(TypeError, match="the model 'q' must be a model with fit"):
        ms.DecoupledRanker({"q": model}).fit(X, {"q": y})
    for name in ("regressor", "classifier"):
        models = {"regressor": LinearRegression(), "classifier": LogisticRegression(), name: model}
        with pytest.raises(TypeError, match=f"{name} must be a model with fit"):
            ms.framing_report(X, y, X, y, [3, 5], 1, 3, **models)


def test_a_ranker_names_unfit_targets_and_weights():
    X, y = np.arange(8.0)[:, None], np.arange(8.0)
    ranker = ms.DecoupledRanker({"q": LinearRegression()})
    with pytest.raises(ValueError, match="targets must be a DataFrame or a dict, got NoneType"):
        ranker.fit(X, None)
    with pytest.raises(ValueError, match="weights must name objectives"):
        ranker.fit(X, {"q": y}).rank(X, ["q"])


# --- Exercises: the mistakes that people make, and a word of the diagnosis that each must meet


def _best(points):
    return (points == points.max(axis=0)).any(axis=1)


def _dominates(points, worse):
    return np.array([worse(points, row).any() for row in points])


def _front(points):
    return ~_dominates(points, lambda q, row: (q >= row).all(axis=1) & (q > row).any(axis=1))


def _neighbours_only(points):
    windows = (points[max(i - 3, 0) : i + 4] for i in range(len(points)))
    return np.array(
        [
            not ((near >= row).all(axis=1) & (near > row).any(axis=1)).any()
            for near, row in zip(windows, points, strict=True)
        ]
    )


def _law(sizes, scores, rate, at):
    return np.polyval(np.polyfit(sizes.astype(float) ** -rate, scores, 1), at**-rate)


def _rising(scores, k):
    return np.diff((np.arange(len(scores) + 1) / len(scores)) ** k)


WRONG_ANSWERS = {
    "buckets": [
        (lambda y, edges: np.searchsorted(edges, y, side="right"), "*below* it"),
        (lambda y, edges: np.searchsorted(edges, y) + 1, "begin with 0"),
        (lambda y, edges: np.digitize(y, edges), "*below* it"),
        (lambda y, edges: np.searchsorted(edges, y).astype(float), "integers"),
        (lambda y, edges: (y > edges[0]).astype(int), "above both edges"),
        (lambda y, edges: (y > edges[0]).astype(int) + (y > edges[1]), "Use all edges"),
        (lambda y, edges: np.searchsorted(edges, np.round(y)), "do not round"),
    ],
    "pareto_front": [
        (lambda p: ~_dominates(p, lambda q, row: (q > row).all(axis=1)), "equal in one objective"),
        (lambda p: ~_dominates(p, lambda q, row: (q >= row).all(axis=1)), "worst in the other"),
        (
            lambda p: _dominates(p, lambda q, row: (q >= row).all(axis=1) & (q > row).any(axis=1)),
            "wrong way round",
        ),
        (_best, "(3, 3) is on the front"),
        (lambda p: _front(p[:, :2]), "*every* objective"),
        (
            lambda p: ~_dominates(p, lambda q, row: (q > row).sum(axis=1) > (q < row).sum(axis=1)),
            "*how many*",
        ),
        (lambda p: p.sum(axis=1) == p.sum(axis=1).max(), "one and the same row"),
        (_neighbours_only, "Compare with all"),
    ],
    "best_of_k": [
        (lambda scores, k: max(scores), "best of all trials"),
        (lambda scores, k: np.mean(scores), "single trial"),
        (lambda scores, k: scores @ _rising(scores, k), "must be sorted"),
        (lambda scores, k: np.sort(scores) @ _rising(scores, min(k, 2)), "any k"),
        (lambda scores, k: np.sort(scores) @ _rising(np.ones(4), k)[: len(scores)], "any n"),
        (lambda scores, k: np.sort(scores)[::-1] @ _rising(scores, k), "wrong way round"),
        (
            lambda scores, k: np.mean(
                [max(a, b) for i, a in enumerate(scores) for b in scores[i + 1 :]]
            ),
            "*without*",
        ),
    ],
    "forecast_score": [
        (
            lambda sizes, scores, rate, at: np.polyval(np.polyfit(sizes, scores, 1), at),
            "straight line in the number of rows",
        ),
        (
            lambda sizes, scores, rate, at: np.polyval(
                np.polyfit(np.log(sizes), scores, 1), np.log(at)
            ),
            "logarithm",
        ),
        (
            lambda sizes, scores, rate, at: np.polyfit(sizes.astype(float) ** -rate, scores, 1)[1],
            "the limit",
        ),
        (
            lambda sizes, scores, rate, at: np.interp(
                at**-rate,
                (sizes.astype(float) ** -rate)[[-1, 0]],
                scores[[-1, 0]],
            ),
            "0.88 is due",
        ),
        (lambda sizes, scores, rate, at: _law(sizes, scores, 0.5, at), "use `rate`"),
        (lambda sizes, scores, rate, at: _law(sizes, scores, rate, 10_000), "at 10,000 rows"),
        (
            lambda sizes, scores, rate, at: np.polyval(
                np.polyfit(sizes**-rate, scores, 1), float(at) ** -rate
            ),
            "Integers to negative integer powers",
        ),
    ],
}
