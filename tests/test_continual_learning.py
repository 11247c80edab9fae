"""Chapter 17 against known answers: scikit-learn, scipy, closed forms, and planted changes."""

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from mlsys_helpers import continual_learning as cl
from mlsys_helpers.datasets import load_airports, load_flight_features, load_flights
from mlsys_helpers.exercises._engine import judge
from mlsys_helpers.labels import arrival_times
from mlsys_helpers.monitoring import psi

DAY = pd.Timedelta("1D")


def linear(seed=0):
    return cl.ScaledClassifier(SGDClassifier(loss="log_loss", random_state=seed))


@pytest.fixture(scope="module")
def stream():
    """A year of hourly rows whose rule turns slowly: its truth is known because it is generated."""
    rng = np.random.default_rng(0)
    asked = pd.date_range("2013-01-01", "2013-12-31 23:00", freq="h")
    turn = np.arange(len(asked)) / len(asked) * np.pi
    X = pd.DataFrame(rng.normal(size=(len(asked), 3)), columns=list("abc"))
    logits = 2 * (X["a"] * np.cos(turn) + X["b"] * np.sin(turn))
    y = (rng.random(len(asked)) < 1 / (1 + np.exp(-logits))).astype(float).to_numpy().copy()
    known = pd.Series(asked + pd.to_timedelta(rng.integers(2, 30, len(asked)), unit="h"))
    known[rng.random(len(asked)) < 0.03] = pd.NaT
    y[known.isna()] = np.nan
    return X, y, asked, known


MONTHS = pd.date_range("2013-01-01", "2014-01-01", freq="MS")


class Fixed:
    """A model whose probabilities are given."""

    def __init__(self, p):
        self.p = np.asarray(p, dtype=float)

    def predict_proba(self, X):
        return np.column_stack([1 - self.p, self.p])


class Recorder:
    """A learner that writes down what it is given."""

    def __init__(self):
        self.learned, self.served, self.history_ = [], [], []

    def update(self, X, y, until):
        self.learned.append((until, X.index.tolist(), list(y)))
        self.history_.append({"until": until, "rows": len(y)})

    def predict_proba(self, X):
        self.served.append(X.index.tolist())
        return np.full((len(X), 2), 0.5)


# --- Micro-batches


@given(st.lists(st.integers(0, 9)), st.integers(1, 5))
def test_micro_batches_lose_nothing_and_keep_the_order(items, size):
    batches = list(cl.micro_batches(items, size))
    assert [item for batch in batches for item in batch] == items
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(batches)


def test_micro_batches_are_handed_out_before_the_stream_ends():
    endless = iter(lambda: 1, 0)
    assert next(cl.micro_batches(endless, 3)) == [1, 1, 1]


# --- Replay


def test_every_row_that_came_is_held_with_the_same_probability():
    held = np.zeros(40)
    for seed in range(3_000):
        buffer = cl.ReplayBuffer(5, random_state=seed)
        for rows in np.split(np.arange(40), [3, 4, 20, 33]):  # batches of any size
            buffer.add(rows[:, None], rows)
        held[buffer.y_] += 1
    assert held.sum() == 5 * 3_000
    expected = 3_000 * 5 / 40
    # without repetition in a draw: the statistic is chi-square times (1 - 5/40) · 40/39
    statistic = ((held - expected) ** 2 / expected).sum() / ((1 - 5 / 40) * 40 / 39)
    assert stats.chi2.sf(statistic, 39) > 1e-4


@given(st.lists(st.integers(0, 12), max_size=8), st.integers(1, 20))
def test_the_buffer_holds_rows_that_came_with_their_labels(sizes, size):
    buffer = cl.ReplayBuffer(size, random_state=0)
    start = 0
    for n in [1, *filter(None, sizes)]:
        rows = np.arange(start, start + n)
        buffer.add(np.column_stack([rows, -rows]), rows)
        start += n
    assert buffer.seen_ == start
    assert len(buffer.y_) == min(size, start) == len(set(buffer.y_.tolist()))
    assert (buffer.X_[:, 0] == buffer.y_).all() and (buffer.X_[:, 1] == -buffer.y_).all()


@pytest.mark.parametrize(("share", "old"), [(0, 0), (0.25, 10), (0.5, 30), (0.75, 90)])
def test_mix_gives_the_share_that_was_asked(share, old):
    buffer = cl.ReplayBuffer(200, random_state=0)
    buffer.add(np.zeros((500, 2)), np.zeros(500))
    X, y = buffer.mix(np.ones((30, 2)), np.ones(30), share)
    assert (y == 0).sum() == old and (y == 1).sum() == 30 and (X[:, 0] == y).all()


def test_a_small_buffer_gives_what_it_has_and_one_seed_one_sample():
    samples = []
    for _ in range(2):
        buffer = cl.ReplayBuffer(5, random_state=3)
        buffer.add(np.arange(50)[:, None], np.arange(50))
        samples.append(buffer.sample(20)[1].tolist())
    assert len(samples[0]) == 5 and samples[0] == samples[1]


def test_a_network_forgets_the_old_task_and_replay_mends_it():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1_200, 2)), np.repeat([0, 1, 2, 3], 300)
    X += 4 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])[y]
    old, new = np.flatnonzero(y < 2), np.flatnonzero(y >= 2)
    scores = {}
    for share in (0, 0.3):
        model, buffer = MLPClassifier((16,), learning_rate_init=0.01, random_state=0), None
        buffer = cl.ReplayBuffer(50, random_state=0)
        for task in (old, new):
            for _ in range(20):
                for rows in cl.micro_batches(rng.permutation(task), 30):
                    batch = X[rows], y[rows]
                    if task is new:
                        batch = buffer.mix(*batch, share)
                    model.partial_fit(*batch, classes=range(4))
            if task is old:
                assert model.score(X[old], y[old]) > 0.9
                buffer.add(X[old], y[old])
        scores[share] = model.score(X[old], y[old])
    assert scores[0] < 0.3 < 0.85 < scores[0.3]


# --- Stateless, stateful, never


@pytest.mark.parametrize("estimator", [linear(), GaussianNB(), MLPClassifier(random_state=0)])
def test_after_one_batch_all_modes_are_the_same_model(stream, estimator):
    X, y, *_ = stream
    answers = [
        cl.ContinualLearner(estimator, mode).update(X[:500], y[:500]).predict_proba(X)
        for mode in ("stateless", "stateful", "never")
    ]
    assert (answers[0] == answers[1]).all() and (answers[1] == answers[2]).all()


def test_stateful_naive_bayes_is_the_model_of_all_rows(stream):
    X, y, *_ = stream
    known = ~np.isnan(y)
    learner = cl.ContinualLearner(GaussianNB(var_smoothing=0), "stateful")
    for part in np.array_split(np.arange(len(y)), 7):
        learner.update(X.iloc[part], y[part])
    whole = GaussianNB(var_smoothing=0).fit(X[known], y[known])
    np.testing.assert_allclose(learner.predict_proba(X), whole.predict_proba(X), atol=1e-9)
    assert [update["kept"] for update in learner.history_] == [0] * 7
    assert sum(update["rows"] for update in learner.history_) == known.sum()


def test_stateless_with_a_window_is_a_new_model_on_the_last_batches(stream):
    X, y, *_ = stream
    learner = cl.ContinualLearner(LogisticRegression(), "stateless", window=2)
    for start in (0, 1_000, 2_000, 3_000):
        learner.update(X[start : start + 1_000], y[start : start + 1_000])
    rows = np.arange(2_000, 4_000)[~np.isnan(y[2_000:4_000])]
    expected = LogisticRegression().fit(X.iloc[rows], y[rows].astype(int))
    assert (learner.model_.coef_ == expected.coef_).all()
    assert learner.history_[-1]["rows"] == learner.history_[-1]["kept"] == len(rows)


def test_never_stays_as_it_is(stream):
    X, y, *_ = stream
    learner = cl.ContinualLearner(linear(), "never").update(X[:500], y[:500])
    model = learner.model_
    learner.update(X[500:900], y[500:900])
    assert learner.model_ is model
    assert learner.history_[-1]["status"] == "as it is" and learner.history_[-1]["rows"] == 0


def test_the_estimator_itself_is_never_fitted_and_inputs_stay(stream):
    X, y, *_ = stream
    estimator, X_before, y_before = linear(), X.copy(), y.copy()
    cl.ContinualLearner(estimator, "stateful").update(X, y).update(X, y)
    assert not hasattr(estimator, "estimator_")
    pd.testing.assert_frame_equal(X, X_before)
    np.testing.assert_array_equal(y, y_before)


@pytest.mark.parametrize("mode", ["stateless", "stateful"])
def test_a_window_without_labels_leaves_the_model(stream, mode):
    X, y, *_ = stream
    learner = cl.ContinualLearner(linear(), mode).update(X[:500], y[:500], until=1)
    before = learner.predict_proba(X)
    learner.update(X[500:600], np.full(100, np.nan), until=2)
    learner.update(X[:0], y[:0], until=3)
    assert [update["status"] for update in learner.history_] == ["learned", *["no labels"] * 2]
    assert (learner.predict_proba(X) == before).all()


def test_a_window_of_one_class():
    X = np.random.default_rng(0).normal(size=(40, 2))
    both, one = np.arange(40) % 2, np.ones(40, dtype=int)
    stateless = cl.ContinualLearner(LogisticRegression(), "stateless", window=1)
    stateless.update(X, both)
    model = stateless.model_
    stateless.update(X, one)
    assert stateless.history_[-1]["status"] == "one class" and stateless.model_ is model
    assert stateless.history_[-1]["rows"] == 0
    stateful = cl.ContinualLearner(linear(), "stateful").update(X, one)
    assert stateful.history_[-1]["status"] == "one class" and stateful.model_ is None
    stateful.update(X, both).update(X, one)  # a model that stands may go on
    assert stateful.history_[-1]["status"] == "learned"
    assert stateful.predict_proba(X).shape == (40, 2)


def test_time_that_runs_backwards_is_refused_and_nothing_changes(stream):
    X, y, *_ = stream
    learner = cl.ContinualLearner(linear(), "stateful").update(X[:500], y[:500], until=MONTHS[3])
    before = learner.predict_proba(X)
    for moment in (MONTHS[2], MONTHS[3]):
        with pytest.raises(ValueError, match="until must be later"):
            learner.update(X[500:600], y[500:600], until=moment)
    with pytest.raises(ValueError, match="until must be comparable"):
        learner.update(X[500:600], y[500:600], until="yesterday")
    assert (learner.predict_proba(X) == before).all() and len(learner.history_) == 1
    learner.update(X[500:600], y[500:600], until=MONTHS[4])


def test_a_new_class_is_refused_by_name(stream):
    X, y, *_ = stream
    learner = cl.ContinualLearner(linear(), "stateful").update(X[:500], y[:500])
    with pytest.raises(ValueError, match=r"y must hold the classes \[0, 1\], got .*2"):
        learner.update(X[:2], [0, 2])
    assert len(learner.history_) == 1
    three = cl.ContinualLearner(linear(), "stateful", classes=("bus", "car", "van"))
    three.update(X[:4], ["bus", "car", "bus", "car"])  # one that comes later is named beforehand
    assert three.update(X[:4], ["van", "car", None, "van"]).predict_proba(X[:4]).shape == (4, 3)
    assert three.history_[-1]["rows"] == 3


def test_a_changed_schema_is_refused_by_name_and_another_order_put_right(stream):
    X, y, *_ = stream
    learner = cl.ContinualLearner(linear(), "stateful").update(X[:500], y[:500])
    twin = deepcopy(learner)
    bad = {
        r"missing \['a'\], new \['z'\]": X.rename(columns={"a": "z"}),
        r"missing \['b'\], new \[\]": X[["a", "c"]],
        r"changed: \['a'\]": X.astype({"a": str}),
    }
    for message, table in bad.items():
        with pytest.raises(ValueError, match=message):
            learner.update(table[:50], y[:50])
        with pytest.raises(ValueError, match=message):
            learner.predict_proba(table[:50])
    assert len(learner.history_) == 1
    learner.update(X[["c", "a", "b"]][500:900], y[500:900])
    twin.update(X[500:900], y[500:900])
    assert (learner.predict_proba(X[["b", "c", "a"]]) == twin.predict_proba(X)).all()
    with pytest.raises(ValueError, match="X must be a table of shape"):
        learner.update(np.zeros((5, 2)), y[:5])


def test_arrays_and_tables_may_follow_each_other():
    for first, second in ((X6, pd.DataFrame(X6)), (pd.DataFrame(X6), X6)):
        learner = cl.ContinualLearner(GaussianNB(), "stateless")
        learner.update(first, Y6).update(second, Y6)
        assert learner.history_[-1]["rows"] == 12


def test_a_new_category_is_no_accident():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"kind": pd.Categorical(rng.choice(["a", "b"], 400))})
    y = (X["kind"] == "a").to_numpy().astype(int)
    trees = HistGradientBoostingClassifier(
        max_iter=5, categorical_features="from_dtype", min_samples_leaf=5, random_state=0
    )
    learner = cl.ContinualLearner(trees, "stateless").update(X, y)
    new = pd.DataFrame({"kind": pd.Categorical(["c"] * 400)})
    assert np.isfinite(learner.predict_proba(new)).all()
    learner.update(new, np.ones(400, dtype=int))
    after = learner.predict_proba(new)[:, 1]
    assert learner.history_[-1]["rows"] == 800 and (after > 0.7).all()


def test_a_model_that_answers_nan_does_not_take_over(stream):
    class Sick(GaussianNB):
        def predict_proba(self, X):
            return super().predict_proba(X) * (np.nan if self.class_count_.sum() > 600 else 1)

    X, y, *_ = stream
    learner = cl.ContinualLearner(Sick(), "stateful").update(X[:500], y[:500])
    before = learner.predict_proba(X)
    learner.update(X[500:900], y[500:900])
    assert learner.history_[-1]["status"] == "not finite" and learner.history_[-1]["rows"] == 0
    assert (learner.predict_proba(X) == before).all()


# --- Living through


def test_no_row_is_learned_before_its_label_is_known(stream):
    X, y, asked, known = stream
    recorder = Recorder()
    answers, updates = cl.live_through({"r": recorder}, X, y, asked, known, MONTHS)
    learned = []
    for until, rows, labels in recorder.learned:
        assert (known[rows] <= until).all() and np.array_equal(y[rows], labels)
        learned += rows
    assert len(learned) == len(set(learned))  # none twice
    assert set(learned) == set(known.index[known <= MONTHS[-2]])  # and none forgotten
    served = [row for rows in recorder.served for row in rows]
    assert served == list(range(len(X))) and answers["r"].notna().all()
    assert updates["until"].tolist() == list(MONTHS[:-1])


def test_rows_outside_the_moments_have_no_answer(stream):
    X, y, asked, known = stream
    learner = cl.ContinualLearner(linear(), "never")
    answers, _ = cl.live_through({"n": learner}, X, y, asked, known, MONTHS[3:6])
    inside = (asked >= MONTHS[3]) & (asked < MONTHS[5])
    assert (answers["n"].notna() == inside).all() and answers.index.equals(X.index)


def test_under_drift_retraining_wins_and_fresh_rows_beat_old_ones(stream):
    X, y, asked, known = stream
    learners = {
        "never": cl.ContinualLearner(linear(), "never"),
        "stateful": cl.ContinualLearner(linear(), "stateful"),
        "last month": cl.ContinualLearner(linear(), "stateless", window=1),
        "all": cl.ContinualLearner(linear(), "stateless"),
    }
    answers, updates = cl.live_through(learners, X, y, asked, known, MONTHS[1:])
    judged = (asked >= MONTHS[6]) & ~np.isnan(y)
    brier = ((answers[judged].sub(y[judged], axis=0)) ** 2).mean()
    assert brier["last month"] < brier["all"] < brier["never"] and brier["stateful"] < brier["all"]
    rows = updates.groupby("learner")["rows"].sum()
    assert rows["never"] < rows["stateful"] < rows["all"]


def test_the_flights_labels_come_when_the_flights_do():
    flights = load_flight_features(cancelled="late")
    known = arrival_times(load_flights(), load_airports())
    known = known.where(load_flights()["arr_delay"].notna())
    asked = flights["scheduled"] - pd.Timedelta("2h")
    recorder = Recorder()
    moments = pd.date_range("2013-06-30", periods=4, freq="D", tz="America/New_York")
    X = flights[["distance"]]
    cl.live_through({"r": recorder}, X, flights["late"].to_numpy(), asked, known, moments)
    assert known.isna().sum() == 9_430  # cancelled and diverted flights
    for until, rows, _ in recorder.learned:
        assert (known[rows] <= until).all()
    today = asked[(asked >= moments[1]) & (asked < moments[2])].index
    learned_next = set(recorder.learned[2][1])
    assert 0 < len(set(today) - learned_next) < len(today)  # some are still in the air, or never


# --- Champion and challenger


def test_without_groups_the_gate_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    y, p, q = rng.integers(0, 2, 300), rng.uniform(0.1, 0.9, 300), rng.uniform(0.1, 0.9, 300)
    losses = [-np.log(np.where(y == 1, a, 1 - a)) for a in (p, q)]
    test = stats.ttest_rel(*losses, alternative="greater")
    verdict = cl.champion_challenger(Fixed(p), Fixed(q), np.zeros((300, 1)), y)
    assert verdict.p_value == pytest.approx(test.pvalue, abs=1e-12)
    assert verdict.gain == pytest.approx((losses[0] - losses[1]).mean(), abs=1e-12)


def test_with_groups_of_one_size_the_gate_is_the_t_test_of_their_means():
    rng = np.random.default_rng(1)
    y, p, q = rng.integers(0, 2, 300), rng.uniform(0.1, 0.9, 300), rng.uniform(0.1, 0.9, 300)
    groups = np.arange(300) % 20
    gains = -np.log(np.where(y == 1, p, 1 - p)) + np.log(np.where(y == 1, q, 1 - q))
    test = stats.ttest_1samp(pd.Series(gains).groupby(groups).mean(), 0, alternative="greater")
    found = cl.champion_challenger(Fixed(p), Fixed(q), np.zeros((300, 1)), y, groups=groups)
    assert found.p_value == pytest.approx(test.pvalue, abs=1e-12)


def _duel(rng, days=30, rows=40, edge=0.0):
    """Two models whose gain is `edge` on average, with luck that all rows of a day share."""
    y = rng.integers(0, 2, days * rows)
    day = np.repeat(np.arange(days), rows)
    luck = rng.normal(0, 0.15, days)[day]
    p = np.full(len(y), 0.6)
    loss = -np.log(p) - luck - edge + rng.normal(0, 0.02, len(y))
    q = np.exp(-np.clip(loss, 0.01, None))
    return (
        Fixed(np.where(y == 1, p, 1 - p)),
        Fixed(np.where(y == 1, q, 1 - q)),
        np.zeros((len(y), 1)),
        y,
        day,
    )


def test_by_days_luck_is_promoted_at_the_level_and_by_rows_far_more_often():
    rng, promoted = np.random.default_rng(0), {"days": 0, "rows": 0}
    for _ in range(1_000):
        *duel, day = _duel(rng)
        promoted["days"] += cl.champion_challenger(*duel, groups=day).promoted
        promoted["rows"] += cl.champion_challenger(*duel).promoted
    assert abs(promoted["days"] - 50) < 3 * np.sqrt(1_000 * 0.05 * 0.95)
    assert promoted["rows"] > 200


def test_a_better_challenger_is_promoted():
    *duel, day = _duel(np.random.default_rng(0), edge=0.2)
    verdict = cl.champion_challenger(*duel, groups=day)
    assert verdict.promoted and verdict.reason == "better" and verdict.gain > 0.1


def test_a_challenger_that_learned_poisoned_labels_is_refused(stream):
    X, y, *_ = stream
    X, y = X[~np.isnan(y)], y[~np.isnan(y)].astype(int)
    train, recent = slice(0, 1_000), slice(1_000, 2_000)
    champion = LogisticRegression().fit(X[train], y[train])
    poisoned = LogisticRegression().fit(X[train], 1 - y[train])
    verdict = cl.champion_challenger(champion, poisoned, X[recent], y[recent])
    assert not verdict.promoted and verdict.reason == "not surely better" and verdict.gain < 0
    assert cl.champion_challenger(poisoned, champion, X[recent], y[recent]).promoted


class Raises:
    def predict_proba(self, X):
        raise RuntimeError("out of memory")


BROKEN = {
    "raises": (Raises(), "RuntimeError: out of memory"),
    "NaN": (Fixed([np.nan] * 200), "missing"),
    "above 1": (Fixed([1.5] * 200), "from 0 to 1"),
    "one class": (DummyClassifier().fit([[0]], [0]), "shape"),
    "too few answers": (Fixed([0.5] * 3), "shape"),
    "no model": (None, "AttributeError"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_challenger_is_refused_and_the_champion_serves_on(case):
    challenger, words = BROKEN[case]
    champion, y = Fixed([0.5] * 200), np.arange(200) % 2
    service = cl.Champion(champion)
    verdict = service.propose(challenger, np.zeros((200, 1)), y)
    assert not verdict.promoted and verdict.reason.startswith("broken") and words in verdict.reason
    assert service.model_ is champion
    assert service.history_[-1]["event"] == "refused" and service.history_[-1]["version"] == 0


def test_without_labels_nobody_is_promoted():
    duel = Fixed([0.5] * 200), Fixed([0.9] * 200), np.zeros((200, 1))
    verdict = cl.champion_challenger(*duel, np.full(200, np.nan))
    assert not verdict.promoted and verdict.reason == "too few labels: 0 of 100"
    verdict = cl.champion_challenger(*duel, np.ones(200), groups=np.zeros(200))
    assert not verdict.promoted and verdict.reason == "too few groups: 1 of 2"
    same = cl.champion_challenger(duel[0], duel[0], duel[2], np.ones(200))
    assert not same.promoted and same.gain == 0
    surely = cl.champion_challenger(*duel, np.ones(200))  # better by the same on every row
    assert surely.promoted and surely.p_value == 0


def test_rows_without_a_label_do_not_count():
    rng = np.random.default_rng(0)
    y, p, q = rng.integers(0, 2, 400) * 1.0, rng.uniform(size=400), rng.uniform(size=400)
    with_holes = y.copy()
    with_holes[300:] = np.nan

    class Sliced(Fixed):
        def predict_proba(self, X):
            return super().predict_proba(X)[X[:, 0].astype(int)]

    X = np.arange(400)[:, None]
    found = cl.champion_challenger(Sliced(p), Sliced(q), X, with_holes)
    assert found == cl.champion_challenger(Sliced(p), Sliced(q), X[:300], y[:300])
    assert found.rows == 300


def test_history_and_the_way_back():
    y, X = np.arange(200) % 2, np.zeros((200, 1))
    models = [Fixed(np.where(y == 1, p, 1 - p)) for p in (0.5, 0.7, 0.9)]
    service = cl.Champion(models[0])
    for model in (models[1], models[0], models[2]):
        service.propose(model, X, y)
    assert service.model_ is models[2]
    service.rollback("users complain")
    assert service.model_ is models[1]
    assert (service.predict_proba(X) == models[1].predict_proba(X)).all()
    service.propose(models[2], X, y)  # a new version, not the number of the one taken back
    service.rollback()
    service.rollback()
    assert service.model_ is models[0]
    events = [(entry["event"], entry["version"]) for entry in service.history_]
    assert events == [
        ("promoted", 1),
        ("refused", 1),
        ("promoted", 2),
        ("rolled back", 1),
        ("promoted", 3),
        ("rolled back", 1),
        ("rolled back", 0),
    ]
    assert service.history_[3]["reason"] == "users complain"
    with pytest.raises(ValueError, match="no champion before"):
        service.rollback()


def test_a_broken_champion_is_an_error_not_a_verdict():
    with pytest.raises(ValueError, match="probabilities of the champion holds"):
        cl.champion_challenger(
            Fixed([np.nan] * 200), Fixed([0.5] * 200), np.zeros((200, 1)), np.arange(200) % 2
        )


# --- Scalers


@parametrize_with_checks([cl.RunningScaler(), linear(), cl.ScaledClassifier(GaussianNB(), "last")])
def test_estimators_follow_scikit_learn(estimator, check):
    check(estimator)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.floats(-1e4, 1e4))
@settings(max_examples=40)
def test_running_scaler_is_standard_scaler_on_all_data_seen(sizes, offset):
    rng = np.random.default_rng(len(sizes))
    X = rng.normal(offset, [1, 1e-2, 50], size=(sum(sizes), 3))
    X[rng.random(X.shape) < 0.1] = np.nan
    X[0] = offset  # no column is missing as a whole
    running = cl.RunningScaler()
    for part in np.split(X, np.cumsum(sizes)[:-1]):
        running.partial_fit(part)
    whole = StandardScaler().fit(X)
    np.testing.assert_allclose(running.mean_, whole.mean_, rtol=1e-9)
    np.testing.assert_allclose(running.scale_, whole.scale_, rtol=1e-9)
    np.testing.assert_allclose(running.transform(X), whole.transform(X), atol=1e-7)
    assert np.array_equal(running.n_samples_seen_, (~np.isnan(X)).sum(axis=0))


def test_merged_scalers_are_the_scaler_of_both_and_stay_as_they_were():
    X = np.random.default_rng(0).normal([0, 5], [1, 3], size=(1_000, 2))
    parts = [cl.RunningScaler().fit(part) for part in np.split(X, [100, 130])]
    before = parts[0].mean_.copy()
    merged = parts[0].merge(parts[1]).merge(parts[2])
    whole = StandardScaler().fit(X)
    np.testing.assert_allclose(merged.mean_, whole.mean_, atol=1e-12)
    np.testing.assert_allclose(merged.var_, whole.var_, rtol=1e-12)
    assert (parts[0].mean_ == before).all() and parts[0].n_samples_seen_.tolist() == [100, 100]


def test_running_scaler_keeps_its_digits_far_from_0_and_centres_constants():
    X = np.random.default_rng(0).normal(1e8, 1, size=(2_000, 1))
    running = cl.RunningScaler()
    for part in np.split(X, 20):
        running.partial_fit(part)
    assert running.var_[0] == pytest.approx(X.var(), rel=1e-6)
    constant = cl.RunningScaler().partial_fit([[0.1]] * 7).partial_fit([[0.1]] * 4)
    assert constant.scale_[0] == 1 and np.allclose(constant.transform([[0.1], [1.1]]), [[0], [1]])
    later = cl.RunningScaler().partial_fit([[np.nan, 1]]).partial_fit([[3, 2], [5, 3]])
    assert later.mean_.tolist() == [4, 2] and later.n_samples_seen_.tolist() == [2, 3]


def test_what_rows_are_scaled_by():
    first, second = np.array([[0.0], [2.0]]), np.array([[100.0], [104.0]])
    means = {}
    for kind in ("running", "frozen", "last"):
        model = cl.ScaledClassifier(GaussianNB(), kind).partial_fit(first, [0, 1], classes=[0, 1])
        means[kind] = float(model.partial_fit(second, [0, 1]).scaler_.mean_[0])
    assert means == {"running": 51.5, "frozen": 1.0, "last": 102.0}


def test_a_missing_value_counts_as_the_mean():
    model = linear().fit([[0.0], [2.0], [4.0], [6.0]], [0, 0, 1, 1])
    assert (model.predict_proba([[np.nan]]) == model.predict_proba([[3.0]])).all()
    assert not hasattr(cl.ScaledClassifier(LogisticRegression()), "partial_fit")


# --- Triggers


def _world(days, turns=None, swapped=(), seed=0, rows=100):
    """Days of rows whose rule turns round on one day, some with 0 and 1 swapped in the labels."""
    rng = np.random.default_rng(seed)
    for day in range(days):
        X, y = rng.normal(size=(rows, 1)), rng.integers(0, 2, rows)
        X[:, 0] += 2 * (y if turns is None or day < turns else 1 - y)
        yield day, X, 1 - y if day in swapped else y


FORGETS = SGDClassifier("log_loss", learning_rate="constant", eta0=0.02, random_state=0)


def _triggered_over(world, **options):
    world = list(world)
    days, tables, labels = zip(*world[:5], strict=True)
    model = deepcopy(FORGETS).fit(np.concatenate(tables), np.concatenate(labels))
    given = {"since": days[-1], "max_age": 999, "max_rows": 99_999, "level": 1e-4}
    learner = cl.TriggeredLearner(model, **(given | options))
    for day, X, y in world:
        learner.update(X, y, until=day)
    return learner, pd.DataFrame(learner.history_).set_index("until")


def test_a_triggered_learner_stays_as_it_is_where_nothing_changes():
    for seed in range(10):
        learner, history = _triggered_over(_world(60, seed=seed))
        assert (history["fired"] == "").all() and (history["status"] == "as it is").all()
        assert history["rows"].sum() == 0 and learner.service_.history_ == []
        assert history["kept"].iloc[-1] == 55 * 100  # what came after day 4


def test_a_triggered_learner_learns_a_planted_change_and_not_before():
    for seed in range(10):
        *lived, (_, X, y) = _world(70, turns=30, seed=seed)
        learner, history = _triggered_over(lived, max_age=20)
        by_performance = history.index[history["fired"].str.contains("performance")]
        assert 30 <= by_performance[0] <= 37
        assert history["fired"].loc[24] == "time" and (history["fired"].loc[:23] == "").all()
        assert (learner.predict_proba(X)[:, 1].round() == y).mean() > 0.7


def test_triggers_of_time_and_volume_fire_to_the_day_and_wait_between_challengers():
    _, history = _triggered_over(_world(60), max_age=20)
    assert history.index[history["fired"] != ""].tolist() == [24, 44]
    _, history = _triggered_over(_world(60), max_rows=2_000)
    fired = history[history["fired"] == "volume"]
    assert fired.index[0] == 24 and (np.diff(fired.index) >= 7).all() and len(fired) >= 3
    assert fired["rows"].iloc[0] == 100 * (24 - 4 - 7)  # all but the last seven days


def test_a_bad_week_turns_a_stateful_learner_and_not_a_triggered_one():
    """Labels swapped in the last week: both have seen it, and day 32 is as all days before."""
    for seed in range(5):
        *lived, (_, X, y) = _world(33, swapped=range(25, 32), seed=seed)
        learner, _ = _triggered_over(lived, max_rows=1_500)
        stateful = cl.ContinualLearner(FORGETS, "stateful")
        for _, X_day, y_day in lived:
            stateful.update(X_day, y_day)
        right = [(m.predict_proba(X)[:, 1].round() == y).mean() for m in (learner, stateful)]
        assert right[0] > 0.75 and right[1] < 0.5


def test_a_triggered_learner_leaves_its_model_and_takes_periods_without_labels():
    X, y = np.random.default_rng(0).normal(size=(50, 1)), np.arange(50) % 2
    model = GaussianNB().fit(X, y)
    before = model.theta_.copy()
    learner = cl.TriggeredLearner(model, since=0, max_age=3, max_rows=10, judged=2, normal=2)
    for day in range(1, 12):
        labels = np.full(50, np.nan) if day == 5 else y
        learner.update(X, labels, until=day)
    assert (model.theta_ == before).all()
    kept = [update["kept"] for update in learner.history_]
    assert kept[4] == kept[3]  # day 5 brought nothing
    assert {update["status"] for update in learner.history_} <= {"as it is", "refused", "learned"}


def test_drift_takes_true_and_false_as_numbers():
    rng = np.random.default_rng(0)
    reference = pd.DataFrame({"a": rng.random(900) < 0.5})
    same = cl.retraining_trigger(reference=reference, current=reference)
    other = cl.retraining_trigger(reference=reference, current=pd.DataFrame({"a": [True] * 300}))
    assert not same.loc["drift", "fires"] and other.loc["drift", "fires"]


def test_time_and_volume_fire_at_their_limit_and_not_before():
    for age, fires in ((29, False), (30, True), (31, True)):
        table = cl.retraining_trigger(age=age * DAY, max_age=30 * DAY)
        assert table.loc["time", "fires"] == fires and table.index.tolist() == ["time"]
    for rows, fires in ((0, False), (999, False), (1_000, True)):
        table = cl.retraining_trigger(new_rows=rows, max_rows=1_000)
        assert table.loc["volume", "fires"] == fires


def test_performance_is_welchs_test():
    rng = np.random.default_rng(0)
    before, now = rng.gamma(2, 1, 40), rng.gamma(2, 1.2, 25)
    table = cl.retraining_trigger(reference_losses=before, losses=now)
    expected = stats.ttest_ind(now, before, equal_var=False, alternative="greater").pvalue
    assert table.loc["performance", "value"] == pytest.approx(expected, abs=1e-12)
    for now, fires in ((2, True), (1, False), (0.5, False)):  # losses without any spread
        table = cl.retraining_trigger(reference_losses=[1, 1, 1], losses=[now, now])
        assert table.loc["performance", "fires"] == fires


def test_without_a_change_performance_and_drift_fire_at_their_level():
    rng, alarms, repeats, level = np.random.default_rng(0), np.zeros(2), 1_000, 0.02
    for _ in range(repeats):
        table = cl.retraining_trigger(
            reference_losses=rng.normal(size=40),
            losses=rng.normal(size=40),
            reference=pd.DataFrame({"a": rng.normal(size=1_500), "b": rng.integers(0, 3, 1_500)}),
            current=pd.DataFrame({"a": rng.normal(size=700), "b": rng.integers(0, 3, 700)}),
            level=level,
        )
        alarms += table.loc[["performance", "drift"], "fires"].to_numpy(dtype=float)
    assert (alarms < repeats * level + 4 * np.sqrt(repeats * level)).all()
    assert (alarms > repeats * level / 3).all()  # Bonferroni is on the safe side, not asleep


def test_they_fire_on_planted_changes_soon_and_not_before():
    """200 streams, looked at on each of 20 days at level 1e-4; the world changes on day 10.

    By the level, at most 200 · 10 · 1e-4 = 0.2 false alarms are to be expected; four or more
    have a probability below 1e-4 (Poisson).
    """
    early, late = {"performance": 0, "drift": 0}, {"performance": 0, "drift": 0}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        normal, accepted = pd.DataFrame(rng.normal(size=(1_000, 1))), rng.normal(0.3, 0.1, 40)
        losses = rng.normal(0.3, 0.1, 30) + 0.4 * (np.arange(-10, 20) >= 10)
        fired = dict.fromkeys(early, 99)
        for day in range(20):
            table = cl.retraining_trigger(
                reference_losses=accepted,
                losses=losses[day + 1 : day + 11],  # ten days, of which this is the last
                reference=normal,
                current=pd.DataFrame(rng.normal(0.8 * (day >= 10), 1, (150, 1))),
                level=1e-4,
            )
            for name in early:
                fired[name] = min(fired[name], day if table.loc[name, "fires"] else 99)
        for name, day in fired.items():
            early[name] += day < 10
            late[name] += day > 19
    assert max(early.values()) < 4
    assert max(late.values()) <= 4  # within ten days 98 % of the changes are found


def test_drift_names_the_feature_and_its_psi():
    rng = np.random.default_rng(0)
    reference = pd.DataFrame(rng.normal(size=(3_000, 3)), columns=["temp", "wind", "rain"])
    current = pd.DataFrame(rng.normal(size=(900, 3)), columns=["temp", "wind", "rain"])
    current["wind"] += 0.5
    current.loc[:40, "temp"] = np.nan
    row = cl.retraining_trigger(reference=reference, current=current[["rain", "temp", "wind"]])
    edges = np.quantile(reference["wind"], np.arange(1, 10) / 10, method="lower")
    expected = psi(reference["wind"], current["wind"], edges=edges)
    assert row.loc["drift", "fires"] and row.loc["drift", "detail"] == f"wind: PSI {expected:.3g}"


def test_drift_of_a_column_that_was_constant():
    reference = pd.DataFrame({"a": [1.0] * 500})
    same = cl.retraining_trigger(reference=reference, current=pd.DataFrame({"a": [1.0] * 200}))
    other = cl.retraining_trigger(reference=reference, current=pd.DataFrame({"a": [2.0] * 200}))
    assert not same.loc["drift", "fires"] and other.loc["drift", "fires"]


# --- Fresh data


def test_under_drift_older_windows_cost_more_and_without_it_nothing(stream):
    X, y, asked, known = stream
    table = cl.data_freshness_gain(
        LogisticRegression(), X, y, asked, known, MONTHS, gaps=[0, 2, 5], window=2
    )
    gain = table.groupby("gap")["gain"].mean()
    assert gain[0] == 0 < gain[2] < gain[5]
    rng = np.random.default_rng(0)
    still = (rng.random(len(X)) < 1 / (1 + np.exp(-2 * X["a"]))).astype(int).to_numpy()
    table = cl.data_freshness_gain(
        LogisticRegression(), X, still, asked, known, MONTHS, gaps=[0, 2, 5], window=2
    )
    assert abs(table.groupby("gap")["gain"].mean()[5]) < 0.005


def test_windows_are_equally_long_and_end_before_the_period(stream):
    X, y, asked, known = stream
    seen = []

    class Spy(LogisticRegression):
        def fit(self, X, y):
            seen.append((X.index.min(), X.index.max()))
            return super().fit(X, y)

    table = cl.data_freshness_gain(Spy(), X, y, asked, known, MONTHS, gaps=[3, 0], window=2)
    assert table["period"].unique().tolist() == list(MONTHS[5:-1])
    assert table["gap"].unique().tolist() == [0, 3]
    first, last = (pd.DatetimeIndex([asked[i] for i in part]) for part in zip(*seen, strict=True))
    known_last = pd.DatetimeIndex([known[i] for _, i in seen])
    ends = MONTHS[2:-1]
    assert len(seen) == len(ends) == len(set(seen))  # each window is fitted once
    order = np.argsort(first)
    assert (known_last[order] <= ends).all() and (last[order] < ends).all()
    assert (first[order] - MONTHS[:-3] < DAY).all()


def test_freshness_counts_money_if_asked(stream):
    X, y, asked, known = stream
    table = cl.data_freshness_gain(
        LogisticRegression(), X, y, asked, known, MONTHS, [0, 4], metric=lambda y, p: len(y)
    )
    labelled = pd.Series(~known.isna().to_numpy(), index=asked.month).groupby(level=0).sum()
    assert table.groupby("period")["score"].first().tolist() == labelled.iloc[5:].tolist()


# --- Bad input

A = pd.date_range("2013-01-01", periods=6, freq="D")
X6, Y6 = np.arange(12.0).reshape(6, 2), np.arange(6) % 2
LIVE = {"n": cl.ContinualLearner(GaussianNB(), "never")}
P200, Z200, Y200 = Fixed([0.5] * 200), np.zeros((200, 1)), np.arange(200) % 2


def _trigger(**options):
    return cl.retraining_trigger(**options)


def _fresh(**options):
    given = {"estimator": GaussianNB(), "X": X6, "y": Y6, "asked": A, "known": A, "moments": A}
    return cl.data_freshness_gain(**(given | {"gaps": [0]} | options))


def _triggered(**options):
    given = {"model": GaussianNB().fit(X6, Y6), "since": 0, "max_age": 5, "max_rows": 10}
    return cl.TriggeredLearner(**(given | options))


DOUBLED = pd.DataFrame(X6, columns=["a", "a"])
BAD_INPUT = {
    "no stream": (cl.micro_batches, (3, 1), {}, "stream must be iterable"),
    "size 0": (cl.micro_batches, ([1], 0), {}, "size must be"),
    "buffer of 0": (cl.ReplayBuffer, (0,), {}, "size must be"),
    "empty buffer": (cl.ReplayBuffer(3).sample, (1,), {}, "buffer is empty"),
    "share 1": (cl.ReplayBuffer(3).mix, (X6, Y6, 1), {}, "share must be"),
    "replay labels": (cl.ReplayBuffer(3).add, (X6, [0, 1, 0, 1, 0, None]), {}, "y holds 1 missing"),
    "replay rows": (cl.ReplayBuffer(3).add, (X6[:4], Y6), {}, "X must have shape"),
    "mode": (cl.ContinualLearner, (GaussianNB(), "online"), {}, "mode must be"),
    "a class": (cl.ContinualLearner, (GaussianNB,), {}, "estimator must be"),
    "stateful": (
        cl.ContinualLearner,
        (LogisticRegression(), "stateful"),
        {},
        "estimator must have partial_fit",
    ),
    "window": (cl.ContinualLearner, (GaussianNB(), "stateful"), {"window": 2}, "window is of no"),
    "window 0": (cl.ContinualLearner, (GaussianNB(),), {"window": 0}, "window must be"),
    "classes": (cl.ContinualLearner, (GaussianNB(),), {"classes": [1]}, "classes must hold"),
    "no model": (cl.ContinualLearner(GaussianNB()).predict_proba, (X6,), {}, "no model yet"),
    "y length": (cl.ContinualLearner(GaussianNB()).update, (X6, Y6[:3]), {}, "y must have 6"),
    "no learners": (cl.live_through, ({}, X6, Y6, A, A, A), {}, "learners must be"),
    "backwards": (cl.live_through, (LIVE, X6, Y6, A, A, A[::-1]), {}, "moments must be"),
    "one moment": (cl.live_through, (LIVE, X6, Y6, A, A, A[:1]), {}, "moments must be"),
    "known first": (cl.live_through, (LIVE, X6, Y6, A, A - DAY, A), {}, "known must not be before"),
    "asked missing": (
        cl.live_through,
        (LIVE, X6, Y6, [*A[:5], pd.NaT], A, A),
        {},
        "asked holds 1 missing",
    ),
    "clocks": (cl.live_through, (LIVE, X6, Y6, A, A.tz_localize("UTC"), A), {}, "one clock"),
    "live lengths": (cl.live_through, (LIVE, X6, Y6, A[:5], A, A), {}, "must have 6 entries"),
    "live labels": (cl.live_through, (LIVE, X6, Y6[:5], A, A, A), {}, "y must have 6"),
    "level": (cl.champion_challenger, (P200, P200, Z200, Y200), {"level": 1}, "level must be"),
    "min_rows": (cl.champion_challenger, (P200, P200, Z200, Y200), {"min_rows": 1}, "min_rows"),
    "gate labels": (cl.champion_challenger, (P200, P200, Z200, Y200 * 2), {}, "labels 0 and 1"),
    "gate length": (cl.champion_challenger, (P200, P200, Z200, Y200[:5]), {}, "y must have 200"),
    "groups": (cl.champion_challenger, (P200, P200, Z200, Y200), {"groups": [1]}, "groups must"),
    "scaler": (cl.ScaledClassifier(GaussianNB(), "robust").fit, (X6, Y6), {}, "scaler must be"),
    "merge": (
        cl.RunningScaler().fit(X6).merge,
        (cl.RunningScaler().fit(X6[:, :1]),),
        {},
        "other must have the same 2 columns",
    ),
    "nothing asked": (_trigger, (), {}, "nothing is asked"),
    "half a pair": (_trigger, (), {"age": 3}, "age and max_age must come together"),
    "negative age": (
        _trigger,
        (),
        {"age": -1 * DAY, "max_age": DAY},
        "time must not run backwards",
    ),
    "mixed ages": (_trigger, (), {"age": 3, "max_age": DAY}, "two numbers or two spans"),
    "rows": (_trigger, (), {"new_rows": -1, "max_rows": 5}, "new_rows must be"),
    "losses NaN": (
        _trigger,
        (),
        {"reference_losses": [1, 2], "losses": [1, np.nan]},
        "losses holds 1 missing",
    ),
    "one loss": (_trigger, (), {"reference_losses": [1, 2], "losses": [1]}, "at least two"),
    "drift columns": (
        _trigger,
        (),
        {"reference": pd.DataFrame({"a": [1]}), "current": pd.DataFrame({"b": [1]})},
        r"missing \['a'\], new \['b'\]",
    ),
    "drift text": (
        _trigger,
        (),
        {"reference": pd.DataFrame({"a": ["x"]}), "current": pd.DataFrame({"a": ["x"]})},
        "must hold numbers",
    ),
    "drift empty": (
        _trigger,
        (),
        {"reference": pd.DataFrame({"a": [1.0]}), "current": pd.DataFrame({"a": []})},
        "current must be a DataFrame with rows",
    ),
    "drift missing": (
        _trigger,
        (),
        {"reference": pd.DataFrame({"a": [1.0]}), "current": pd.DataFrame({"a": [np.nan]})},
        "holds no value",
    ),
    "trigger level": (_trigger, (), {"age": 1, "max_age": 2, "level": 0}, "level must be"),
    "doubled": (
        cl.ContinualLearner(GaussianNB()).update,
        (DOUBLED, Y6),
        {},
        "X has two columns 'a'",
    ),
    "until NaT": (cl.ContinualLearner(GaussianNB()).update, (X6, Y6, pd.NaT), {}, "until must be"),
    "a learner": (cl.live_through, ({"n": GaussianNB()}, X6, Y6, A, A, A), {}, "learners must"),
    "NaT moment": (cl.live_through, (LIVE, X6, Y6, A, A, [A[0], pd.NaT]), {}, "moments must"),
    "champion": (cl.champion_challenger, (None, P200, Z200, Y200), {}, "champion must have"),
    "no champion": (cl.Champion, (None,), {}, "model must have"),
    "flat": (cl.champion_challenger, (P200, P200, Y200, Y200), {}, "X must be a table"),
    "group NaN": (
        cl.champion_challenger,
        (P200, P200, Z200, Y200),
        {"groups": [np.nan] * 200},
        "groups holds 200 missing",
    ),
    "merge text": (cl.RunningScaler().fit(X6).merge, ("x",), {}, "other must be"),
    "merge names": (
        cl.RunningScaler().fit(pd.DataFrame(X6, columns=["a", "b"])).merge,
        (cl.RunningScaler().fit(pd.DataFrame(X6, columns=["b", "a"])),),
        {},
        "the same 2 columns",
    ),
    "infinite": (cl.RunningScaler().fit, ([[np.inf]],), {}, "infinity"),
    "age as text": (_trigger, (), {"age": "3D", "max_age": "5D"}, "age and max_age must be"),
    "age NaT": (_trigger, (), {"age": pd.NaT, "max_age": DAY}, "age must be at least 0"),
    "losses inf": (
        _trigger,
        (),
        {"reference_losses": [1, 2], "losses": [1, np.inf]},
        "losses must hold finite",
    ),
    "drift doubled": (
        _trigger,
        (),
        {"reference": DOUBLED, "current": DOUBLED},
        "X has two columns 'a'",
    ),
    "metric": (_fresh, (), {"metric": "auc"}, "metric a function"),
    "fresh estimator": (_fresh, (), {"estimator": None}, "estimator must be"),
    "fresh labels": (_fresh, (), {"y": list("ababab")}, "labels 0 and 1"),
    "fresh length": (_fresh, (), {"y": Y6[:3]}, "y must have 6"),
    "fresh NaN": (_fresh, (), {"y": [0, 1, np.nan, 0, 1, 0]}, "y holds 1 missing"),
    "triggered model": (_triggered, (), {"model": P200}, "model must be fitted and have partial"),
    "triggered age": (_triggered, (), {"max_age": 0}, "max_age above 0"),
    "triggered rows": (_triggered, (), {"max_rows": 0}, "max_rows must be"),
    "triggered level": (_triggered, (), {"level": 2}, "level must be"),
    "judged": (_triggered, (), {"judged": 1}, "judged must be"),
    "normal": (_triggered, (), {"normal": 1}, "normal must be"),
    "triggered clock": (_triggered().update, (X6, Y6, A[0]), {}, "until must be comparable"),
    "triggered never": (_triggered().update, (X6, Y6, None), {}, "until must be comparable"),
    "triggered back": (
        _triggered().update(X6, Y6, 2).update,
        (X6, Y6, 1),
        {},
        "until must be later",
    ),
    "triggered labels": (_triggered().update, (X6, Y6 * 3, 1), {}, "labels 0 and 1"),
    "triggered length": (_triggered().update, (X6, Y6[:2], 1), {}, "y must have 6"),
    "no gaps": (_fresh, (), {"gaps": []}, "leave no period"),
    "gaps too long": (_fresh, (), {"gaps": [5]}, "leave no period of 5"),
    "negative gap": (_fresh, (), {"gaps": [-1]}, "gaps must be"),
    "fresh window": (_fresh, (), {"window": 0}, "window must be"),
    "fresh one class": (_fresh, (), {"y": [1] * 6}, "at least two classes"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_by_name(case):
    function, args, options, message = BAD_INPUT[case]
    with pytest.raises((ValueError, TypeError), match=message):
        function(*args, **options)


# --- Exercises: the mistakes that people make, and a word of the diagnosis that each must meet


def _by_asked(asked, known, last, now):
    return ((asked > last) & (asked <= now)).to_numpy()


def _all_known(asked, known, last, now):
    return (known <= now).to_numpy()


def _asked_by_now(asked, known, last, now):
    return (~(known <= last) & (asked <= now)).to_numpy()


def _edges_swapped(asked, known, last, now):
    return ((known >= last) & (known < now)).to_numpy()


def _both_edges(asked, known, last, now):
    return ((known >= last) & (known <= now)).to_numpy()


def _row_numbers(asked, known, last, now):
    return np.flatnonzero((known > last) & (known <= now))


def _solved(new, held, share, rng):
    k = min(round(len(new) * share / (1 - share)), len(held))
    return np.concatenate([new, rng.choice(held, k, replace=False)])


def _as_many_as_new(new, held, share, rng):
    return np.concatenate([new, rng.choice(held, min(len(new), len(held)), replace=False)])


def _share_of_the_new(new, held, share, rng):
    k = min(round(len(new) * share), len(held))
    return np.concatenate([new, rng.choice(held, k, replace=False)])


def _share_of_the_held(new, held, share, rng):
    k = round(len(held) * share)
    return np.concatenate([new, rng.choice(held, k, replace=False)])


def _in_place_of_new(new, held, share, rng):
    k = round(len(new) * share)
    return np.concatenate([new[k:], rng.choice(held, k, replace=False)])


def _with_repetition(new, held, share, rng):
    k = round(len(new) * share / (1 - share)) if len(held) else 0
    return np.concatenate([new, rng.choice(held, k) if k else held[:0]])


def _more_than_are_held(new, held, share, rng):
    k = round(len(new) * share / (1 - share))
    return np.concatenate([new, rng.choice(held, k, replace=False)])


def _fails_at_the_start(new, held, share, rng):
    if len(held) == 0:
        raise ValueError("nothing held")
    return _solved(new, held, share, rng)


def _always_the_newest(new, held, share, rng):
    k = min(round(len(new) * share / (1 - share)), len(held))
    return np.concatenate([new, held[len(held) - k :]])


def _own_seed(new, held, share, rng):
    return _solved(new, held, share, np.random.default_rng(0))


def _ignores_rng(new, held, share, rng):
    return _solved(new, held, share, np.random.default_rng())


def _prefers_the_newest(new, held, share, rng):
    k = round(len(new) * share / (1 - share))
    recent = held[-max(k, len(held) // 2) :] if k <= len(held) else held
    return _solved(new, recent, share, rng)


def _positions(new, held, share, rng):
    k = min(round(len(new) * share / (1 - share)), len(held))
    return np.concatenate([new, rng.choice(len(held), k, replace=False)]) if k else new


def _shuffles_the_buffer(new, held, share, rng):
    rng.shuffle(held)
    return np.concatenate([new, held[: round(len(new) * share / (1 - share))]])


def _rows_as_units(champion, challenger, day):
    gain = champion - challenger
    return bool(gain.mean() > 1.7 * gain.std(ddof=1) / np.sqrt(len(gain)))


def _any_gain(champion, challenger, day):
    return bool(np.nanmean(champion) > np.nanmean(challenger))


def _wrong_way(champion, challenger, day):
    gain = pd.Series(challenger - champion).groupby(day).mean()
    return bool(gain.mean() > 1.7 * gain.std() / np.sqrt(len(gain)))


def _skips_nan(champion, challenger, day):
    gain = pd.Series(champion - challenger).groupby(day).mean()
    return bool(gain.mean() > 1.7 * gain.std() / np.sqrt(len(gain)))


def _reshapes(champion, challenger, day):
    if not np.isfinite(challenger).all():
        return False
    gain = (champion - challenger).reshape(30, 50).mean(axis=1)
    return bool(gain.mean() > 1.7 * gain.std(ddof=1) / np.sqrt(30))


def _without_root(champion, challenger, day):
    gain = pd.Series(champion - challenger).groupby(day).mean()
    return bool(np.isfinite(challenger).all() and gain.mean() > 1.7 * gain.std())


def _writes_into_counts(counts, item_factors):
    there = ~np.isnan(counts)
    counts[~there] = 0
    return np.linalg.lstsq(item_factors[:, there].T, counts[there], rcond=None)[0]


def _zeros(counts, item_factors):
    return np.linalg.lstsq(item_factors.T, np.nan_to_num(counts), rcond=None)[0]


@pytest.mark.parametrize("form", [list, tuple, pd.Series, pd.Index, np.flip])
def test_replay_is_right_in_any_form_and_order(form):
    verdict = judge("continual_learning.replay", lambda *given: form(_solved(*given)))
    assert verdict.status == "correct", verdict.message


WRONG_ANSWERS = {
    "learnable": [
        (_by_asked, "not known at 12:00 yet"),
        (_all_known, "the update before has learned them"),
        (_asked_by_now, "cancelled"),
        (_edges_swapped, "known at 12:00 exactly"),
        (_both_edges, "9:00 exactly"),
        (_row_numbers, "True or False for each row"),
        (lambda asked, known, last, now: (known > last).to_numpy(), "not known at 12:00 yet"),
    ],
    "replay": [
        (_as_many_as_new, "share 0.25"),
        (_share_of_the_new, "whole"),
        (_share_of_the_held, "whole"),
        (_in_place_of_new, "All the new rows"),
        (lambda new, held, share, rng: rng.choice(held, 10, replace=False), "All the new rows"),
        (_with_repetition, "drawn twice"),
        (_more_than_are_held, "take all 5"),
        (_fails_at_the_start, "nothing is held"),
        (_always_the_newest, "same old rows"),
        (_own_seed, "same old rows"),
        (_ignores_rng, "one seed"),
        (_prefers_the_newest, "same chance"),
        (_positions, "not positions"),
        (_shuffles_the_buffer, "changed its input"),
        (lambda new, held, share, rng: len(new) * share / (1 - share), "one list"),
        (lambda new, held, share, rng: (new, rng.choice(held, len(new))), "one list"),
    ],
    "promote": [
        (_rows_as_units, "share their luck"),
        (_any_gain, "NaN loss"),
        (_wrong_way, "higher"),
        (_skips_nan, "NaN loss"),
        (_reshapes, "days need not be"),
        (_without_root, "small gain"),
        (lambda champion, challenger, day: True, "higher"),
        (lambda champion, challenger, day: False, "every one of 30 days"),
    ],
    "fold_in": [
        (lambda counts, item_factors: item_factors @ counts, "projection"),
        (_zeros, "not a count of 0"),
        (_writes_into_counts, "changed its input"),
        (lambda c, f: np.linalg.lstsq(f.T, c, rcond=None)[0] @ f, "one number a factor"),
        (lambda c, f: np.linalg.solve(f @ f.T + np.eye(3), f @ c), "rebuild"),
    ],
}
