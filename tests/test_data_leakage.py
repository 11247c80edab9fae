"""Chapter 09 against known answers: closed forms, scikit-learn, planted leaks, clean splits."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import stats
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.model_selection import (
    GroupKFold,
    StratifiedGroupKFold,
    TimeSeriesSplit,
    cross_val_score,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from mlsys_helpers import data_leakage as dl
from mlsys_helpers import datasets
from mlsys_helpers.datasets import FLIGHT_FEATURES

FEATURES = [name for group in FLIGHT_FEATURES.values() for name in group]
HOUR = pd.Timedelta(hours=1)


@pytest.fixture(scope="module")
def flights():
    """The model table with what was recorded later, and the moments at which it was known."""
    table = datasets.load_flight_features()
    recorded = datasets.load_flights()[["tailnum", "dep_delay", "air_time"]]
    table = table.join(recorded).sort_values("scheduled")
    table["asked"] = table["scheduled"] - 2 * HOUR
    table["left"] = table["scheduled"] + pd.to_timedelta(table["dep_delay"], unit="min")
    table["landed"] = table["left"] + pd.to_timedelta(table["air_time"], unit="min")
    return table.drop(columns=["scheduled", "date"])


def generated(seed, n=600, d=8):
    """A table whose truth is known: numbers, a category, gaps, a moment, groups; nothing leaks."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n, d)), columns=[f"x{i}" for i in range(d)])
    table["kind"] = rng.choice(list("abcd"), n)
    table["y"] = (rng.random(n) < 1 / (1 + np.exp(2 - table["x0"]))).astype(int)
    table["x1"] = table["x1"].mask(rng.random(n) < 0.2)
    table["asked"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), unit="h")
    table["patient"] = np.arange(n) // 4
    return table


def halves(table):
    cut = len(table) // 2
    return table[:cut].copy(), table[cut:].copy()


def checks(findings):
    return set(findings["check"])


# --- The scans of two hospitals


def image_model(scans, table, train, test):
    X, y = scans.reshape(len(scans), -1), table["cancer"]
    fitted = LogisticRegression(C=0.001).fit(X[train], y[train])
    return roc_auc_score(y[test], fitted.decision_function(X[test]))


@pytest.fixture(scope="module")
def hospitals():
    """AUC at A and B, on the scans as they are and without the stripes, for five seeds."""
    results = []
    for seed in range(5):
        scans, table = datasets.load_ct_scans(random_state=seed)
        at_a, half = table["hospital"] == "A", table["patient"] % 2 == 0
        pooled = (scans[:, ::2] + scans[:, 1::2]) / 2
        results.append(
            [
                [image_model(s, table, at_a & half, test) for test in (at_a & ~half, ~at_a)]
                for s in (scans, pooled)
            ]
        )
    return np.array(results)  # seed, with or without trace, A or B


def test_the_leaky_model_is_great_at_a_and_near_chance_at_b(hospitals):
    assert (hospitals[:, 0, 0] >= 0.9).all()
    assert (np.abs(hospitals[:, 0, 1] - 0.5) < 0.1).all()


def test_without_the_trace_both_hospitals_get_the_same(hospitals):
    difference = hospitals[:, 1, 0] - hospitals[:, 1, 1]
    error = difference.std(ddof=1) / np.sqrt(5)
    assert abs(difference.mean()) < 3 * error + 0.02
    assert (np.abs(difference) < 0.08).all()  # three standard errors of 600 scans at AUC 0.65
    assert (hospitals[:, 1, 1] > hospitals[:, 0, 1]).all()  # and B is served better


def test_the_scanner_follows_the_label_at_a_only():
    _, table = datasets.load_ct_scans(patients=4000, random_state=0)
    advanced = (table["scanner"] == "advanced").groupby([table["hospital"], table["cancer"]]).mean()
    error = 3 * np.sqrt(0.25 / 4000)
    assert np.allclose(advanced, [0.04, 0.96, 0.5, 0.5], atol=error)


def test_removing_the_stripes_is_exact():
    scans, table = datasets.load_ct_scans(patients=3000, random_state=1)
    pooled = (scans[:, ::2] + scans[:, 1::2]) / 2
    healthy_at_b = (table["hospital"] == "B") & (table["cancer"] == 0)
    advanced = table["scanner"] == "advanced"
    for images, expected in ((scans, 0.3), (pooled, 0.0)):
        new, old = images[healthy_at_b & advanced].mean(0), images[healthy_at_b & ~advanced].mean(0)
        assert np.abs((new - old)[0]).mean() == pytest.approx(expected, abs=0.05)


def test_two_scans_of_one_patient_leak():
    scans, table = datasets.load_ct_scans(random_state=0)
    pooled = (scans[:, ::2] + scans[:, 1::2]) / 2
    X, y = pooled.reshape(len(scans), -1), table["cancer"]
    at_b = (table["hospital"] == "B").to_numpy()
    scores = []
    for groups in (np.arange(at_b.sum()), table["patient"][at_b]):
        folds = dl.group_split(groups, y=y[at_b], random_state=0)
        nearest = KNeighborsClassifier(1)
        scores.append(cross_val_score(nearest, X[at_b], y[at_b], cv=folds, scoring="roc_auc"))
    assert scores[0].mean() > 0.7 > 0.6 > scores[1].mean()


def test_scans_are_the_same_for_the_same_seed_and_have_a_card():
    for a, b in zip(datasets.load_ct_scans(5, 3), datasets.load_ct_scans(5, 3), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(datasets.load_ct_scans(5, 3)[0], datasets.load_ct_scans(5, 4)[0])
    card = (datasets._FOLDER / "ct_scans" / "README.md").read_text(encoding="utf-8")
    for part in ("Source", "Licence", "How it was made", "What it is used for", "Columns"):
        assert f"## {part}" in card
    assert "generated" in card and all(
        f"`{column}`" in card for column in datasets.load_ct_scans(2)[1]
    )


# --- When a column is known


def test_availability_by_hand():
    asked = pd.Series(pd.to_datetime(["2013-01-01 10:00"] * 4))
    table = pd.DataFrame({"asked": asked, "a": 1, "b": 1, "c": 1, "d": 1})
    table["known"] = asked + pd.to_timedelta([-1, 0, 1, 3], unit="h")
    table["rarely"] = asked.where([True, False, False, False])
    rules = {"a": "known", "b": -2 * HOUR, "c": "asked", "d": "rarely"}
    found = dl.availability(table, "asked", rules).set_index("column")
    assert found["too_late"].to_dict() == {"a": 0.5, "b": 0, "c": 0, "d": 0.75}
    assert found["typical_lag"]["a"] == HOUR / 2 and found["typical_lag"]["b"] == -2 * HOUR
    assert pd.isna(found["typical_lag"]["d"])  # most never come
    assert list(found.index[:2]) == ["b", "c"] and found.index[-1] == "d"


def test_availability_of_numbers_and_the_boundary():
    table = pd.DataFrame({"t": [1, 2, 3], "x": 0, "known": [1, 2, 4]})
    found = dl.availability(table, "t", {"x": "known"})
    assert found["too_late"].tolist() == [1 / 3]  # known at the moment of prediction is in time
    assert dl.availability(table, "t", {"x": 0})["too_late"].tolist() == [0]
    assert dl.availability(table, "t", {"x": 0.5})["too_late"].tolist() == [1]


def test_availability_of_the_flights(flights):
    known_at = {"carrier": -1000 * HOUR, "dep_delay": "left", "air_time": "landed"}
    found = dl.availability(flights, "asked", known_at).set_index("column")
    assert found["too_late"].tolist() == [0, 1, 1]  # no flight leaves two hours early
    assert 1.5 < found["typical_lag"]["dep_delay"] / HOUR < 2.5


# --- Splits


@given(st.integers(4, 40), st.integers(2, 3), st.integers(0, 1))
def test_time_split_is_scikit_learns_on_distinct_times(n, n_splits, gap):
    if n // (n_splits + 1) * n_splits + gap >= n:
        return
    order = np.random.default_rng(n).permutation(n)
    ours = dl.time_split(order, n_splits, gap=gap)
    theirs = TimeSeriesSplit(n_splits, gap=gap).split(np.arange(n))
    for (train, test), (their_train, their_test) in zip(ours, theirs, strict=True):
        assert set(order[train]) == set(their_train) and set(order[test]) == set(their_test)


@given(st_numpy.arrays(int, 40, elements=st.integers(0, 15)), st.integers(0, 2))
def test_time_split_never_looks_ahead_and_keeps_ties_together(times, gap):
    moments = np.unique(times)
    if len(moments) < 3 + gap + 2:
        with pytest.raises(ValueError, match="times holds"):
            dl.time_split(times, n_splits=len(moments) + 2)
        return
    for train, test in dl.time_split(times, n_splits=2, test_size=1, gap=gap):
        assert times[train].max() < times[test].min()
        between = (moments > times[train].max()) & (moments < times[test].min())
        assert between.sum() == gap
        for moment in moments:
            here = set(np.flatnonzero(times == moment))
            assert here <= set(train) or here <= set(test) or not here & {*train, *test}


def test_time_split_of_days(flights):
    days = flights["asked"].dt.floor("D")
    train, test = dl.time_split(days, n_splits=2, test_size=30, gap=2)[-1]
    assert days.iloc[test].nunique() == 30
    assert days.iloc[test].min() - days.iloc[train].max() == pd.Timedelta(days=3)


@given(st_numpy.arrays(int, 60, elements=st.integers(0, 12)), st.integers(2, 4))
def test_group_split_is_scikit_learns_and_keeps_groups_apart(groups, n_splits):
    if len(set(groups)) < n_splits:
        with pytest.raises(ValueError, match="n_splits"):
            dl.group_split(groups, n_splits)
        return
    seed = int(np.random.default_rng(7).integers(2**31))
    theirs = GroupKFold(n_splits, shuffle=True, random_state=seed)
    theirs = list(theirs.split(groups, groups=pd.factorize(groups)[0]))
    ours = dl.group_split(groups, n_splits, random_state=7)
    for (train, test), (their_train, their_test) in zip(ours, theirs, strict=True):
        assert np.array_equal(train, their_train) and np.array_equal(test, their_test)
        assert not set(groups[train]) & set(groups[test])
    assert sorted(np.concatenate([test for _, test in ours])) == list(range(60))


def test_group_split_with_labels_is_stratified():
    groups, y = np.arange(400) // 4, np.repeat([0, 0, 0, 1], 100)
    seed = int(np.random.default_rng(0).integers(2**31))
    theirs = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(groups, y, groups)
    folds = dl.group_split(groups, y=y, random_state=0)
    assert all(
        np.array_equal(a[1], b[1]) and y[a[1]].mean() == pytest.approx(0.25, abs=0.05)
        for a, b in zip(folds, theirs, strict=True)
    )


# --- What a leak is worth


def test_the_interval_of_the_gap_is_students():
    leaky = lambda seed: np.random.default_rng(seed).random()  # noqa: E731
    clean = lambda seed: np.random.default_rng(seed + 1).random()  # noqa: E731
    gap = dl.leakage_gap(leaky, clean, repeats=8, random_state=3)
    seeds = np.random.default_rng(3).integers(2**31, size=8).tolist()
    difference = np.array([leaky(seed) - clean(seed) for seed in seeds])
    expected = stats.ttest_1samp(difference, 0).confidence_interval(0.95)
    assert np.allclose(gap[["low", "high"]].astype(float), expected)
    assert gap["gap"] == pytest.approx(difference.mean())
    assert gap["leaky"] - gap["clean"] == pytest.approx(gap["gap"])
    assert np.isnan(gap["future"])


def test_both_pipelines_get_the_same_seeds():
    seen = {"leaky": [], "clean": [], "future": []}

    def note(name):
        return lambda seed: seen[name].append(seed) or 0.5

    gap = dl.leakage_gap(note("leaky"), note("clean"), note("future"), repeats=3)
    assert seen["leaky"] == seen["clean"] == seen["future"] and len(set(seen["leaky"])) == 3
    assert gap["gap"] == gap["low"] == gap["high"] == 0


def test_choosing_features_before_the_split_scores_far_above_chance_on_noise():
    def table(seed):
        rng = np.random.default_rng(seed)
        return rng.normal(size=(100, 3000)), rng.permutation(np.repeat([0, 1], 50))

    def leaky(seed):
        X, y = table(seed)
        X = SelectKBest(k=10).fit_transform(X, y)
        return cross_val_score(GaussianNB(), X, y, scoring="roc_auc").mean()

    def clean(seed):
        model = make_pipeline(SelectKBest(k=10), GaussianNB())
        return cross_val_score(model, *table(seed), scoring="roc_auc").mean()

    gap = dl.leakage_gap(leaky, clean, repeats=12)
    assert gap["leaky"] > 0.85 and gap["low"] > 0.25
    # Labels and columns are independent. One fold-mean AUC of 100 rows has an error near 0.06.
    assert abs(gap["clean"] - 0.5) < 3 * 0.06 / np.sqrt(12)


def test_the_gaps_are_drawn_row_by_row():
    gap = dl.leakage_gap(lambda s: 0.99 + s / 2**31 / 100, lambda s: 0.7, lambda s: 0.6)
    ax = dl.plot_leakage_gaps(pd.DataFrame({"one": gap, "two": gap}).T)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two"]
    drawn = {line.get_label(): line.get_xdata() for line in ax.lines}
    for name in ("leaky", "clean", "future"):
        assert np.allclose(drawn[name], [gap[name]] * 2)
    assert max(c.get_segments()[0][1][0] for c in ax.collections) <= 1  # no AUC is above 1


# --- The power of features


@given(st_numpy.arrays(float, 24, elements=st.integers(0, 6)), st.integers(0, 2**32 - 1))
def test_placements_give_the_auc_and_delongs_variance(score, seed):
    y = np.random.default_rng(seed).permutation(np.repeat([0, 1], [14, 10]))
    below, above = dl._placements(y, score)
    pairs = (score[y == 1][:, None] > score[y == 0]) + 0.5 * (
        score[y == 1][:, None] == score[y == 0]
    )
    assert np.allclose(below, pairs.mean(axis=1)) and np.allclose(above, pairs.mean(axis=0))
    auc, error = dl._auc_and_error(below, above)
    assert auc == pytest.approx(roc_auc_score(y, score))
    variance = pairs.mean(1).var(ddof=1) / 10 + pairs.mean(0).var(ddof=1) / 14
    assert error == pytest.approx(np.sqrt(variance))


def test_power_by_closed_form_of_a_yes_no_column():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 20_000)
    flag = rng.random(40_000) < np.where(y == 1, 0.7, 0.2)
    power = dl.feature_power(pd.DataFrame({"flag": flag, "as_number": flag * 3.0}), y)
    assert np.allclose(power["auc"], (1 + 0.7 - 0.2) / 2, atol=3 * power["error"].max())


def test_power_of_odd_columns():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1], 500))
    noise = rng.normal(size=1000)
    X = pd.DataFrame(
        {
            "label": y * 5.0,
            "gaps": np.where(y == 1, np.nan, noise),
            "infinite": np.where(y == 1, np.inf, noise),
            "far_apart": np.where(y == 1, rng.choice([-np.inf, np.inf], 1000), noise),
            "u_shape": np.where(y == 1, np.abs(noise) + 2, noise),
            "text": np.where(y == 1, "b", "a"),
            "mixed": pd.Series(["1" if label else 1 for label in y], dtype=object),
            "time": pd.Timestamp("2020") + pd.to_timedelta(y, unit="D"),
            "constant": 7,
            "all_missing": np.nan,
            "identifier": [f"N{i}" for i in range(1000)],
            "noise": noise,
        }
    )
    auc = dl.feature_power(X, y).set_index("column")["auc"]
    for column in ("label", "gaps", "infinite", "far_apart", "text", "mixed", "time"):
        assert auc[column] > 0.98, column
    assert auc["u_shape"] > 0.9
    for column in ("constant", "all_missing", "identifier"):
        assert auc[column] == 0.5, column
    assert abs(auc["noise"] - 0.5) < 0.06


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_power_does_not_change_with_the_scale(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=200), np.repeat([0, 1], 100)
    power = dl.feature_power(pd.DataFrame({"x": x, "exp": np.exp(x), "shifted": 3 * x + 1e6}), y)
    assert power["auc"].nunique() == 1


def test_power_on_the_flights(flights):
    summer = flights[flights["asked"].dt.month.between(6, 8)]
    auc = dl.feature_power(summer[[*FEATURES, "dep_delay", "air_time"]], summer["late"])
    auc = auc.set_index("column")["auc"]
    assert auc.index[0] == "dep_delay" and auc["dep_delay"] > 0.95 > 0.85 > auc.iloc[1]
    assert auc["air_time"] < 0.7  # a leak that power does not show


def test_an_honest_column_may_be_powerful():
    assert dl.feature_power(*datasets.load_breast_cancer())["auc"][0] > 0.95


# --- Ablation


def test_a_gain_is_the_difference_of_two_scores():
    a, b = halves(generated(0).drop(columns=["kind", "asked", "patient"]).fillna(0))
    model = LogisticRegression()
    columns = [name for name in a if name != "y"]
    table = dl.ablation(model, a[columns], a["y"], b[columns], b["y"]).set_index("features")
    full = roc_auc_score(b["y"], model.fit(a[columns], a["y"]).predict_proba(b[columns])[:, 1])
    rest = [name for name in columns if name != "x0"]
    without = roc_auc_score(b["y"], model.fit(a[rest], a["y"]).predict_proba(b[rest])[:, 1])
    assert table.index[0] == "x0" and table["low"]["x0"] > 0
    assert table["without"]["x0"] == pytest.approx(without)
    assert table["gain"]["x0"] == pytest.approx(full - without)


def test_twins_hide_each_other_and_are_found_together():
    a, b = halves(generated(1)[["x2", "x3", "y"]])
    for part in (a, b):
        part["leak"], part["twin"] = part["y"] * 2.0, part["y"] * 3.0
    sets = {"leak": ["leak"], "twin": ["twin"], "both": ["leak", "twin"]}
    X = ["x2", "x3", "leak", "twin"]
    model = LogisticRegression()
    table = dl.ablation(model, a[X], a["y"], b[X], b["y"], sets).set_index("features")
    assert table.index[0] == "both" and table["gain"]["both"] > 0.3
    assert table.loc[["leak", "twin"], "gain"].abs().max() < 0.01
    assert not hasattr(model, "coef_")


def test_the_interval_of_a_gain_covers_zero_as_often_as_it_says():
    """Two scores of equal worth: the paired interval holds 0 in 95 % of 1,000 tables."""
    y, covered = np.repeat([0, 1], [150, 50]), 0
    rng = np.random.default_rng(0)
    for _ in range(1000):
        signal = y + rng.normal(size=200)
        first, second = (dl._placements(y, signal + rng.normal(size=200)) for _ in range(2))
        gain, error = dl._auc_and_error(first[0] - second[0], first[1] - second[1])
        covered += abs(gain) <= 1.96 * error
    assert abs(covered / 1000 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 1000)


# --- Copies


@settings(max_examples=60, deadline=None)
@given(
    st_numpy.arrays(
        float, (9, 3), elements=st.sampled_from([0, 0.1, 0.2, 1, np.nan, np.inf, -np.inf])
    ),
    st_numpy.arrays(
        float, (7, 3), elements=st.sampled_from([0, 0.1, 0.2, 1, np.nan, np.inf, -np.inf])
    ),
    st.sampled_from([0, 0.1, 0.4]),
)
def test_near_duplicates_are_those_of_a_brute_force_search(left, right, tolerance):
    both = np.vstack([left, right])
    spread = np.array([np.std(c[np.isfinite(c)]) if np.isfinite(c).any() else 0 for c in both.T])

    def distance(a, b):
        with np.errstate(invalid="ignore"):
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            gap = np.abs(a - b) / np.where(spread > 0, spread, 1)
        return np.where(same, 0, np.where(np.isfinite(gap), gap, np.inf)).max()

    expected = {}
    for j, row in enumerate(right):
        nearest = min(distance(other, row) for other in left)
        if nearest <= tolerance + 1e-9:
            expected[j] = nearest
    names = list("abc")
    found = dl.near_duplicates(
        pd.DataFrame(left, columns=names), pd.DataFrame(right, columns=names), tolerance
    )
    assert found["right"].tolist() == list(expected)
    assert np.allclose(found["distance"], list(expected.values()), atol=1e-6)
    for row in found.itertuples():
        assert distance(left[row.left], right[row.right]) <= tolerance + 1e-6


def test_text_gaps_and_times_must_agree():
    left = pd.DataFrame(
        {
            "text": ["a", None, "c", "d"],
            "mixed": pd.Series([1, "1", 2.5, True], dtype=object),
            "time": pd.to_datetime(["2020-01-01", "2020-06-01", None, "2020-12-01"]),
            "constant": 5,
            "empty": np.nan,
        }
    )
    found = dl.near_duplicates(left, left[::-1])
    assert found["left"].tolist() == [3, 2, 1, 0] and (found["distance"] == 0).all()
    other = left.assign(mixed=pd.Series(["1", 1, 2.6, "True"], dtype=object))
    assert len(dl.near_duplicates(left, other)) == 0
    assert len(dl.near_duplicates(left.assign(constant=6), left)) == 0
    assert len(dl.near_duplicates(left, left.assign(empty=0.0))) == 0


@pytest.mark.parametrize("size", [1e-300, 1e-5, 1, 1e15, 1e300])
def test_numbers_of_any_size_are_compared_by_their_spread(size):
    left = pd.DataFrame({"x": np.array([1.0, 2.0, 4.0]) * size, "constant": size})
    right = pd.DataFrame({"x": np.array([2.001, 3.0, 4.0]) * size, "constant": size})
    found = dl.near_duplicates(left, right)
    assert found[["left", "right"]].values.tolist() == [[1, 0], [2, 2]]
    assert (found["distance"] > 0).tolist() == [True, False]


def test_categories_of_different_sets_are_compared_by_value():
    left = pd.DataFrame({"dest": pd.Categorical(["LAX", "BOS"])})
    right = pd.DataFrame({"dest": pd.Categorical(["SFO", "BOS"])})
    assert dl.near_duplicates(left, right)[["left", "right"]].values.tolist() == [[1, 1]]


def test_all_planted_copies_are_found_among_300_000_flights(flights):
    rows = flights[FEATURES]
    rng = np.random.default_rng(0)
    numbers = [name for name in FEATURES if rows[name].dtype != "category"]
    copies = rows.sample(3000, random_state=0)
    spread = rows[numbers].std().to_numpy()
    copies[numbers] += rng.uniform(-0.009, 0.009, (3000, len(numbers))) * spread
    left, right = rows[:220_000], rows[220_000:]
    of_left = copies.index.isin(left.index)
    found = dl.near_duplicates(left, pd.concat([right, copies]), tolerance=0.01)
    planted = found[found["right"] >= len(right)]
    assert len(planted) == of_left.sum()  # recall 1
    assert len(found) - len(planted) <= 5  # and next to nothing that is not a copy
    origin = left.index.get_indexer(copies.index)[planted["right"] - len(right)]
    assert (planted["left"].to_numpy() == origin).mean() > 0.999


def test_a_coarse_table_of_many_equal_rows_is_no_trouble(flights):
    rows = flights[["origin", "weekday", "departures_that_hour"]]
    found = dl.near_duplicates(rows[:200_000], rows[200_000:], tolerance=0)
    expected = rows[200_000:].merge(rows[:200_000].drop_duplicates(), how="inner")
    assert len(found) == len(expected) > 100_000


# --- The audit: each planted leak is found, and named


def test_time_overlap_by_how_much():
    train, test = halves(generated(0))
    for moved, severity in ((0, None), (1, "low"), (10, "medium"), (60, "high")):
        late = test.copy()
        late.iloc[:moved, late.columns.get_loc("asked")] = train["asked"].max()
        found = dl.audit_leakage(train, late.iloc[:300], "y", time="asked")
        expected = [] if moved == 0 else [severity]
        if moved == 1:
            expected = [dl._grade(1 / 300, 0.05, 0.005)]
        assert found["severity"].tolist() == expected
        assert found["share"].tolist() == ([moved / 300] if moved else [])


def test_labels_that_had_not_come_in():
    train, test = halves(generated(0))
    rules = {"y": 24 * HOUR}
    found = dl.audit_leakage(train, test, "y", time="asked", available_at=rules)
    assert found["check"].tolist() == ["labels"] and found["share"][0] == pytest.approx(23 / 300)
    assert "23 of 300" in found["evidence"][0]
    assert dl.audit_leakage(train[:-23], test, "y", time="asked", available_at=rules).empty


@pytest.mark.parametrize(("strength", "severity"), [(6, "high"), (0.7, "medium"), (0, "low")])
def test_groups_are_as_severe_as_what_they_give_away(strength, severity):
    table = generated(0, n=4000)
    rng = np.random.default_rng(1)
    table["patient"] = rng.integers(0, 100, 4000)
    effect = strength * rng.normal(size=100)[table["patient"]]
    table["y"] = (rng.random(4000) < 1 / (1 + np.exp(-effect))).astype(int)
    found = dl.audit_leakage(*halves(table), "y", groups="patient")
    assert found[["check", "severity"]].values.tolist() == [["groups", severity]]
    assert found["share"][0] == 1
    assert dl.audit_leakage(*halves(generated(0)), "y", groups=["patient"]).empty


def test_groups_that_overlap_in_part_and_missing_ones():
    train, test = halves(generated(0))
    test["patient"] = test["patient"].astype(float)
    train["patient"] = train["patient"].astype(float)
    test.iloc[:30, test.columns.get_loc("patient")] = 0
    test.iloc[30:60, test.columns.get_loc("patient")] = np.nan
    train.iloc[:8, train.columns.get_loc("patient")] = np.nan
    train.iloc[8, train.columns.get_loc("patient")] = 0
    found = dl.audit_leakage(train, test, "y", groups="patient")
    assert found["share"].tolist() == [0.1]  # a missing group is no group


@pytest.mark.parametrize(("n", "severity"), [(30, "high"), (2, "medium")])
def test_copies_exact_and_near(n, severity):
    train, test = halves(generated(0))
    exact, near = train[:n], train[100 : 100 + n].copy()
    near["x3"] += 0.004
    found = dl.audit_leakage(train, pd.concat([test, exact, near]), "y")
    assert found["check"].tolist() == ["duplicates", "near-duplicates"]
    assert found["severity"].tolist() == [severity] * 2
    assert f"{n} test rows" in found["evidence"][0] and "100% of them" in found["evidence"][0]
    assert dl.audit_leakage(train, pd.concat([test, near]), "y", tolerance=0).empty


def test_columns_that_come_too_late():
    train, test = halves(generated(0))
    rules = {"x0": 2 * HOUR, "x1": -HOUR, "kind": "asked"}
    found = dl.audit_leakage(train, test, "y", time="asked", available_at=rules)
    assert found[["severity", "check", "column"]].values.tolist() == [
        ["high", "availability", "x0"]
    ]
    assert "100.0%" in found["evidence"][0] and "2.0 hours after" in found["evidence"][0]
    for part in (train, test):
        part["never"] = pd.NaT
        part["never"] = part["never"].astype("datetime64[ns]")
    found = dl.audit_leakage(train, test, "y", time="asked", available_at={"x2": "never"})
    assert found["share"].tolist() == [1] and "never" in found["evidence"][0]


def test_columns_that_say_the_label():
    table = generated(0, n=4000)
    rng = np.random.default_rng(2)
    table["copy"] = table["y"] + rng.normal(scale=0.02, size=len(table))
    table["gaps"] = np.where(table["y"] == 1, np.nan, 1.0)
    table["hint"] = table["y"] + rng.normal(scale=0.48, size=len(table))  # AUC about 0.93
    found = dl.audit_leakage(*halves(table), "y", power=0.85)
    severity = found.set_index("column")["severity"].to_dict()
    assert severity == {"copy": "high", "gaps": "high", "hint": "medium"}
    assert checks(found) == {"power"} and found["severity"].iloc[0] == "high"
    strict = dl.audit_leakage(*halves(table), "y", power=0.99)
    assert set(strict["column"]) == {"copy", "gaps"}


def test_every_planted_leak_is_found_on_the_flights(flights):
    rows = flights[flights["asked"].dt.month.between(6, 8)].sample(30_000, random_state=0)
    rows["label_known"] = rows["landed"] + HOUR
    near = rows[:1000].copy()
    near["temp"] += 0.05
    rows = pd.concat([rows, rows[1000:4000], near]).sample(frac=1, random_state=1)
    rules = {"dep_delay": "left", "air_time": "landed", "late": "label_known"}
    options = {"time": "asked", "groups": "tailnum", "available_at": rules}
    rows = rows[
        [
            *FEATURES,
            "dep_delay",
            "air_time",
            "tailnum",
            "late",
            "asked",
            "left",
            "landed",
            "label_known",
        ]
    ]
    found = dl.audit_leakage(rows[:24_000], rows[24_000:], "late", **options)
    severity = {(row.check, row.column): row.severity for row in found.itertuples()}
    assert severity == {
        ("time", "asked"): "high",
        ("labels", "late"): "high",
        ("availability", "dep_delay"): "high",
        ("availability", "air_time"): "high",
        ("power", "dep_delay"): "high",
        ("duplicates", "all features"): "high",
        ("near-duplicates", "all features"): "high",
        ("groups", "tailnum"): "low",
    }
    order = found["severity"].map(dl._SEVERITIES.index)
    assert order.is_monotonic_increasing


# --- The audit: silent on clean splits


def test_no_false_alarm_on_200_clean_splits_of_generated_tables():
    """0 of 200: at 95 % confidence the rate is below 1 − 0.05 ** (1 / 200) = 1.5 %.

    Five columns of numbers: with three, rows are alike by chance in about 1 % of such tables.
    """
    alarms = []
    for seed in range(200):
        train, test = halves(generated(seed, n=400, d=5))
        rules = {"x0": -HOUR, "kind": "asked", "y": HOUR}
        options = {"time": "asked", "groups": "patient", "available_at": rules}
        alarms.append(dl.audit_leakage(train, test, "y", **options))
    assert sum(map(len, alarms)) == 0


def test_no_false_alarm_on_200_clean_splits_of_the_flights(flights):
    """Splits by time with two days between, at dates all over the year.

    Six columns only, so that rows are often alike by chance. (All columns together are below,
    and in the notebook.)
    """
    columns = ["carrier", "departure_hour", "temp", "wind_gust"]
    columns += ["recent_mean_delay", "waiting_flights"]
    rows = flights[[*columns, "late", "asked", "landed"]].dropna(subset="landed")
    rules = {"late": "landed", "carrier": -1000 * HOUR, "temp": pd.Timedelta(0)}
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        part = rows.iloc[np.sort(rng.choice(len(rows), 1500, replace=False))]  # by time, as rows
        cut = part["asked"].iloc[rng.integers(600, 1200)].floor("D")
        train, test = part[part["asked"] < cut - 48 * HOUR], part[part["asked"] >= cut]
        alarms += len(dl.audit_leakage(train, test, "late", time="asked", available_at=rules)) > 0
    assert alarms == 0


def test_no_alarm_on_the_whole_year(flights):
    rows = flights[[*FEATURES, "late", "asked"]]
    past = rows["asked"] < "2013-09-01"
    assert dl.audit_leakage(rows[past], rows[~past], "late", time="asked").empty


def test_rows_that_are_alike_by_chance_are_no_copies(flights):
    rows = flights[[*FLIGHT_FEATURES["schedule"], "late", "asked"]]
    past = rows["asked"] < "2013-09-01"
    train, test = rows[past], rows[~past]
    assert len(dl.near_duplicates(train.iloc[:, :8], test.iloc[:, :8])) > 10_000
    assert dl.audit_leakage(train, test, "late", time="asked").empty


def test_kappa_is_scikit_learns():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, 100), rng.integers(0, 2, 100)
    assert dl._kappa(a, b) == pytest.approx(cohen_kappa_score(a, b))
    assert dl._kappa(np.ones(3), np.ones(3)) == 0


def test_the_audit_takes_odd_columns():
    table = generated(0)
    table["infinite"] = np.where(np.arange(600) % 3 == 0, np.inf, 1.0)
    table["minus"] = -np.inf
    table["mixed"] = pd.Series([1, "1", None, True, 2.5, "x"] * 100, dtype=object)
    table["constant"], table["all_missing"] = "same", np.nan
    table["span"] = pd.to_timedelta(np.arange(600), unit="min")
    assert dl.audit_leakage(*halves(table), "y", time="asked", groups="patient").empty
    only_label = table[["y", "asked"]]
    assert dl.audit_leakage(*halves(only_label), "y", time="asked").empty  # no features


# --- Bad input

TABLE = pd.DataFrame(
    {"t": [1.0, 2, 3, 4] * 5, "x": range(20), "y": [0, 1] * 10, "text": list("ab") * 10}
)
Y = TABLE["y"]
SEEDED = lambda seed: 0.5  # noqa: E731
GAPS = pd.DataFrame([dict.fromkeys(["leaky", "clean", "future", "gap", "low", "high"], 0.5)])
X = TABLE[["t", "x"]]
LOGISTIC = LogisticRegression()
TWICE = pd.concat([X, X], axis=1)
LISTS = pd.DataFrame({"a": [[1], [2]] * 10})


def _audit(train=TABLE, test=TABLE, target="y", **options):
    return dl.audit_leakage(train, test, target, **options)


BAD_INPUT = {
    "no table": (dl.availability, ([1], "t", {"x": 0}), {}, "table must be a DataFrame, got list"),
    "empty table": (dl.availability, (TABLE[:0], "t", {"x": 0}), {}, "table is empty"),
    "moment": (dl.availability, (TABLE, "when", {"x": 0}), {}, "moment must be the name.*'when'"),
    "moment of text": (dl.availability, (TABLE, "text", {"x": 0}), {}, "moment='text' must hold"),
    "missing moment": (
        dl.availability,
        (TABLE.assign(t=np.nan), "t", {"x": 0}),
        {},
        "moment='t' holds 20 missing",
    ),
    "no rules": (dl.availability, (TABLE, "t", {}), {}, "available_at must be a dict"),
    "rule of no column": (dl.availability, (TABLE, "t", {"z": 0}), {}, "key of available_at.*'z'"),
    "unknown moments": (dl.availability, (TABLE, "t", {"x": "z"}), {}, r"available_at\['x'\].*'z'"),
    "moments of text": (dl.availability, (TABLE, "t", {"x": "text"}), {}, r"available_at\['x'\]"),
    "offset of another kind": (dl.availability, (TABLE, "t", {"x": HOUR}), {}, r"\['x'\].*offset"),
    "no times": (dl.time_split, ([],), {}, "times is empty"),
    "missing times": (dl.time_split, ([1, np.nan],), {}, "times holds 1 missing"),
    "times as text": (
        dl.time_split,
        (["10/2/2013", "9/1/2013", "9/15/2013"],),
        {},
        "times must be",
    ),
    "mixed times": (dl.time_split, (np.array([1, "a", 2], dtype=object),), {}, "times must be"),
    "one split": (dl.time_split, ([1, 2, 3], 1), {}, "n_splits.*at least 2, got 1"),
    "few times": (dl.time_split, ([1, 1, 2],), {}, "times holds 2 distinct"),
    "negative gap": (dl.time_split, ([1, 2, 3], 2), {"gap": -1}, "gap"),
    "no test": (dl.time_split, ([1, 2, 3], 2), {"test_size": 0}, "test_size"),
    "large gap": (dl.time_split, ([1, 2, 3], 2), {"gap": 5}, "times holds 3 distinct"),
    "no groups": (dl.group_split, ([],), {}, "groups is empty"),
    "missing groups": (dl.group_split, ([1, None, 2],), {}, "groups holds 1 missing"),
    "few groups": (dl.group_split, ([1, 1, 2],), {}, "n_splits=5 needs as many groups, got 2"),
    "labels of groups": (dl.group_split, ([1, 2], 2), {"y": [1]}, "y must have 2 entries"),
    "rare labels": (dl.group_split, ([1, 2, 3], 3), {"y": [0, 0, 1]}, "y cannot be split|n_splits"),
    "seed": (dl.group_split, ([1, 2], 2), {"random_state": "a"}, "random_state"),
    "not callable": (dl.leakage_gap, (0.9, SEEDED), {}, "leaky must be a function"),
    "future not callable": (dl.leakage_gap, (SEEDED, SEEDED, 1), {}, "future must be a function"),
    "no score": (dl.leakage_gap, (SEEDED, lambda s: np.nan), {}, "scores of clean"),
    "text score": (dl.leakage_gap, (lambda s: "good", SEEDED), {}, "scores of leaky"),
    "one repeat": (dl.leakage_gap, (SEEDED, SEEDED), {"repeats": 1}, "repeats"),
    "gaps without columns": (dl.plot_leakage_gaps, (X,), {}, "gaps must be a DataFrame with"),
    "no gaps": (dl.plot_leakage_gaps, (GAPS[:0],), {}, "gaps is empty"),
    "X no table": (dl.feature_power, (X.to_numpy(), Y), {}, "X must be a DataFrame"),
    "X empty": (dl.feature_power, (X[:0], []), {}, "X is empty"),
    "X without columns": (dl.feature_power, (X[[]], Y), {}, "X is empty"),
    "column twice": (dl.feature_power, (TWICE, Y), {}, r"X must name each column once.*'t'"),
    "y length": (dl.feature_power, (X, Y[:3]), {}, "y must have 20"),
    "y missing": (dl.feature_power, (X, Y.where(Y > 0)), {}, "y holds 10 missing"),
    "one class": (dl.feature_power, (X, Y * 0), {}, "y holds one class"),
    "rare class": (dl.feature_power, (X, [1] + [0] * 19), {}, r"y must hold at least 5.*\[19, 1\]"),
    "bins": (dl.feature_power, (X, Y), {"bins": 1}, "bins"),
    "lists in a column": (dl.feature_power, (LISTS, Y), {}, "column 'a' holds values that cannot"),
    "no probabilities": (
        dl.ablation,
        (KNeighborsClassifier, X, Y, X, Y),
        {},
        "estimator must have",
    ),
    "other columns": (dl.ablation, (LOGISTIC, X, Y, X[["t"]], Y), {}, r"same columns.*'x'"),
    "other order": (dl.ablation, (LOGISTIC, X, Y, X[["x", "t"]], Y), {}, "same order"),
    "y_train": (dl.ablation, (LOGISTIC, X, Y[:2], X, Y), {}, "y_train must have 20"),
    "y_test one class": (dl.ablation, (LOGISTIC, X, Y, X, Y * 0), {}, "y_test holds one class"),
    "y_test rare": (dl.ablation, (LOGISTIC, X, Y, X, [1] + [0] * 19), {}, "y_test must hold at"),
    "no sets": (dl.ablation, (LOGISTIC, X, Y, X, Y, {}), {}, "sets must be a dict"),
    "set of all": (dl.ablation, (LOGISTIC, X, Y, X, Y, {"a": ["t", "x"]}), {}, "must leave a"),
    "unknown in set": (dl.ablation, (LOGISTIC, X, Y, X, Y, {"a": ["z"]}), {}, r"sets\['a'\].*'z'"),
    "one column": (dl.ablation, (LOGISTIC, X[["t"]], Y, X[["t"]], Y), {}, "must leave a column"),
    "left empty": (dl.near_duplicates, (X[:0], X), {}, "left is empty"),
    "right no table": (dl.near_duplicates, (X, None), {}, "right must be a DataFrame"),
    "columns differ": (dl.near_duplicates, (X, TABLE), {}, "left and right.*'text', 'y'"),
    "tolerance": (dl.near_duplicates, (X, X), {"tolerance": 0.6}, "tolerance.*0.5, got 0.6"),
    "tolerance NaN": (dl.near_duplicates, (X, X), {"tolerance": np.nan}, "tolerance"),
    "lists to compare": (dl.near_duplicates, (LISTS, LISTS), {}, "column 'a' holds values"),
    "train empty": (_audit, (), {"train": TABLE[:0]}, "train is empty"),
    "test no table": (_audit, (), {"test": TABLE.to_numpy()}, "test must be a DataFrame"),
    "test lacks": (_audit, (), {"test": X}, "train and test must have the same.*'text', 'y'"),
    "target": (_audit, (), {"target": "z"}, "target must be the name of a column, got 'z'"),
    "text labels": (_audit, (), {"target": "text"}, r"train\['text'\] must hold the labels"),
    "few labels": (
        _audit,
        (),
        {"train": TABLE.assign(y=[1] + [0] * 19)},
        r"train\['y'\] must hold at least 5",
    ),
    "labels missing in test": (
        _audit,
        (),
        {"test": TABLE.assign(y=np.nan)},
        r"test\['y'\] holds 20 missing",
    ),
    "time": (_audit, (), {"time": "z"}, "time must be the name.*'z'"),
    "time of text": (_audit, (), {"time": "text"}, "time='text' must hold timestamps"),
    "groups": (_audit, (), {"groups": ["z"]}, "groups must be the name.*'z'"),
    "groups as a number": (_audit, (), {"groups": 3}, "groups must be a name or a list"),
    "rules without time": (_audit, (), {"available_at": {"x": 0}}, "available_at needs time"),
    "rules as a list": (_audit, (), {"time": "t", "available_at": ["x"]}, "available_at must be a"),
    "power": (_audit, (), {"power": 0.5}, "power must be a number above 0.5"),
    "audit tolerance": (_audit, (), {"tolerance": -1}, "tolerance"),
    "patients": (datasets.load_ct_scans, (0,), {}, "patients must be a whole number"),
    "scan seed": (datasets.load_ct_scans, (1, -1), {}, "random_state"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_by_name(case):
    function, args, options, message = BAD_INPUT[case]
    with pytest.raises((ValueError, TypeError), match=message):
        function(*args, **options)


def test_inputs_are_never_changed():
    train, test = halves(generated(0))
    before = train.copy(), test.copy()
    rules = {"x0": HOUR, "y": HOUR}
    groups = ["patient"]
    dl.audit_leakage(train, test, "y", time="asked", groups=groups, available_at=rules)
    dl.availability(train, "asked", rules)
    dl.near_duplicates(train, test)
    dl.feature_power(train, train["y"])
    numbers = ["x0", "x2", "x3"]
    dl.ablation(LOGISTIC, train[numbers], train["y"], test[numbers], test["y"])
    dl.time_split(train["asked"])
    dl.group_split(train["patient"])
    pd.testing.assert_frame_equal(train, before[0])
    pd.testing.assert_frame_equal(test, before[1])
    assert rules == {"x0": HOUR, "y": HOUR} and groups == ["patient"]


def test_a_group_may_be_a_boolean():
    train, test = halves(generated(0))
    train, test = (part.assign(flag=np.arange(len(part)) % 4 < 2) for part in (train, test))
    found = dl.audit_leakage(train, test, "y", groups="flag")
    assert found["check"].tolist() == ["groups"] and found["severity"].tolist() == ["low"]


def test_any_index_will_do():
    train, test = halves(generated(0))
    test = pd.concat([test, train[:5]])
    expected = dl.audit_leakage(train, test, "y", time="asked", groups="patient")
    for index in (np.zeros(len(test)), np.arange(len(test))[::-1] - 7.5):
        again = dl.audit_leakage(train, test.set_index(index), "y", time="asked", groups="patient")
        pd.testing.assert_frame_equal(again, expected)
    assert len(expected) == 3


# --- Exercises: the mistakes that people make, and a word of the diagnosis that each must meet


def _known_at_departure(known_at, notice):
    return [name for name, hour in known_at.items() if hour is not None and hour <= 0]


def _strictly_before(known_at, notice):
    return [name for name, hour in known_at.items() if hour is not None and hour < -notice]


def _wrong_sign(known_at, notice):
    return [name for name, hour in known_at.items() if hour is not None and hour <= notice + 3]


def _never_is_zero(known_at, notice):
    return [name for name, hour in known_at.items() if (hour or 0) <= -notice]


def _sorted_names(known_at, notice):
    names = [name for name, hour in known_at.items() if hour is not None and hour <= -notice]
    return sorted(names, reverse=True)


def _oldest(times, share):
    return times <= np.sort(times)[int(np.ceil(share * len(times))) - 1]


def _last_of_the_table(times, share):
    return np.arange(len(times)) >= len(times) - int(np.ceil(share * len(times)))


def _splits_ties(times, share):
    test = np.zeros(len(times), dtype=bool)
    test[np.argsort(times, kind="stable")[-int(np.ceil(share * len(times))) :]] = True
    return test


def _rounds_down(times, share):
    return times >= np.sort(times)[-int(share * len(times))]


def _by_quantile(times, share):
    return times >= np.quantile(times, 1 - share)


def _row_numbers(times, share):
    return np.argsort(times)[-int(np.ceil(share * len(times))) :]


def _scales_all_at_once(X_train, X_test):
    both = np.vstack([X_train, X_test])
    return (X_train - both.mean(0)) / both.std(0), (X_test - both.mean(0)) / both.std(0)


def _each_by_its_own(X_train, X_test):
    scaled = [(X - X.mean(0)) / np.where(X.std(0) == 0, 1, X.std(0)) for X in (X_train, X_test)]
    return tuple(scaled)


def _divides_by_zero(X_train, X_test):
    mean, spread = X_train.mean(0), X_train.std(0)
    return (X_train - mean) / spread, (X_test - mean) / spread


def _adds_a_little(X_train, X_test):
    mean, spread = X_train.mean(0), X_train.std(0) + 1e-9
    return (X_train - mean) / spread, (X_test - mean) / spread


def _one_spread_for_all(X_train, X_test):
    return (X_train - X_train.mean()) / X_train.std(), (X_test - X_train.mean()) / X_train.std()


def _sample_deviation(X_train, X_test):
    mean, spread = X_train.mean(0), X_train.std(0, ddof=1)
    return (X_train - mean) / spread, (X_test - mean) / spread


def _own_label_too(category, y):
    return pd.Series(y).groupby(category).transform("mean").to_numpy()


def _own_row_in_the_count(category, y):
    groups = pd.Series(y).groupby(category)
    return ((groups.transform("sum") - y) / groups.transform("size")).to_numpy()


def _nothing_for_the_lone(category, y):
    groups = pd.Series(y).groupby(category)
    return ((groups.transform("sum") - y) / (groups.transform("size") - 1)).to_numpy()


def _all_for_the_lone(category, y):
    means = pd.Series(_nothing_for_the_lone(category, y))
    return means.fillna(y.mean()).to_numpy()


def _first_label_for_the_lone(category, y):
    means = pd.Series(_nothing_for_the_lone(category, y))
    return means.fillna((y.sum() - y[0]) / (len(y) - 1)).to_numpy()


WRONG_ANSWERS = {
    "usable_columns": [
        (_known_at_departure, "after the moment of prediction"),
        (_strictly_before, "at the moment of prediction itself"),
        (_wrong_sign, "after"),
        (_never_is_zero, "None is never"),
        (_sorted_names, "order of known_at"),
    ],
    "newest_rows": [
        (_oldest, "*oldest* rows"),
        (_last_of_the_table, "last rows of the table"),
        (_splits_ties, "stay on one side"),
        (_rounds_down, "round up"),
        (_by_quantile, "quantile between two rows"),
        (_row_numbers, "one value for each row"),
    ],
    "standardise": [
        (_scales_all_at_once, "have been looked at"),
        (_each_by_its_own, "own statistics"),
        (_divides_by_zero, "not NaN"),
        (_adds_a_little, "divided by 1"),
        (_one_spread_for_all, "axis=0"),
        (_sample_deviation, "divisor is n"),
    ],
    "others_mean": [
        (_own_label_too, "that is the leak"),
        (_own_row_in_the_count, "still in the count"),
        (_nothing_for_the_lone, "has no others"),
        (_first_label_for_the_lone, "Two lone rows"),
        (_all_for_the_lone, "Leave it out there, too"),
    ],
}
