"""Chapter 01 against known answers: closed forms, simulation, other processes, real requests."""

import hashlib
import math
import os
import signal
import subprocess
import sys
import time

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from mlsys_helpers import ml_system_design as design
from mlsys_helpers.class_imbalance import expected_cost, minimum_cost_threshold
from mlsys_helpers.datasets import FLIGHT_FEATURES, load_flight_features, load_weather

PRICES = np.array([[0, -3000], [-200, -1200]])


@pytest.fixture(scope="module")
def flights():
    table = load_flight_features()
    return table[table["date"] < "2013-01-15"]


@pytest.fixture(scope="module")
def artifact(flights, tmp_path_factory):
    """A registry with one model of half a month, and what it was trained on."""
    features = [name for group in FLIGHT_FEATURES.values() for name in group]
    model = HistGradientBoostingClassifier(
        categorical_features="from_dtype", max_iter=5, random_state=0
    ).fit(flights[features], flights["late"])
    registry = design.ArtifactRegistry(tmp_path_factory.mktemp("registry"))
    registry.save("late", model, flights[features], auc=0.7)
    return registry, model, flights[features]


def as_json(rows):
    return rows.astype(object).where(rows.notna(), None).to_dict("records")


# --- The business metric


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=1, max_size=30),
    st.lists(st.floats(-100, 100), min_size=4, max_size=4),
    st.sampled_from([-np.inf, 0, 0.2, 0.5, 1, np.inf]),
)
def test_business_value_is_minus_the_expected_cost(rows, values, threshold):
    y_true, y_score = (np.array(part) for part in zip(*rows, strict=True))
    y_score = y_score / 6
    value = np.reshape(values, (2, 2))
    got = design.business_value(y_true, y_score, value, threshold)
    y_pred = (y_score >= threshold).astype(int)
    assert got == pytest.approx(-len(y_true) * expected_cost(y_true, y_pred, -value), abs=1e-6)
    assert got == pytest.approx(value[y_pred, y_true].sum(), abs=1e-6)


def test_many_thresholds_at_once():
    y_true, y_score = [0, 0, 1, 1], [0.05, 0.3, 0.2, 0.9]
    thresholds = [np.inf, 0.9, 0.25, 0.2, -np.inf]
    one_by_one = [design.business_value(y_true, y_score, PRICES, t) for t in thresholds]
    assert design.business_value(y_true, y_score, PRICES, thresholds).tolist() == one_by_one
    assert one_by_one == [-6000, -4200, -4400, -2600, -2800]


@given(*[st.floats(0.5, 100)] * 2, st.floats(-50, 50), st.floats(-50, 50))
def test_break_even_is_elkans_threshold(alarm, hit, base, caught):
    value = np.array([[base, caught - hit], [base - alarm, caught]])
    threshold = design.break_even_threshold(value)
    assert threshold == pytest.approx(minimum_cost_threshold(-value))
    p = threshold  # both decisions bring the same there
    silent, warned = value @ [1 - p, p]
    assert silent == pytest.approx(warned, abs=1e-9)


@given(st.integers(1, 39), st.integers(1, 39))
def test_on_calibrated_scores_the_best_threshold_is_the_closed_form(alarm, hit):
    """20 rows at each score k/20, exactly k of them positive: calibrated to the last row."""
    y_score = np.repeat(np.arange(21) / 20, 20)
    y_true = np.concatenate([np.arange(20) < k for k in range(21)]).astype(int)
    value = np.array([[0, -hit], [-alarm, 0]])
    at_closed_form = design.business_value(
        y_true, y_score, value, design.break_even_threshold(value)
    )
    everywhere = design.business_value(y_true, y_score, value, [*np.arange(21) / 20, np.inf])
    assert at_closed_form == pytest.approx(everywhere.max())


def test_on_sampled_calibrated_scores_the_curve_peaks_at_the_closed_form():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 9, 400_000)
    y = (rng.random(len(p)) < p).astype(int)
    grid = np.arange(0.02, 0.4, 0.005)
    best = grid[design.business_value(y, p, PRICES, grid).argmax()]
    assert abs(best - 0.1) <= 0.01  # two steps of the grid: the top is flat


def test_the_curve_draws_the_gain_and_the_closed_form():
    y_true, y_score = [0, 0, 1, 1], [0.05, 0.3, 0.2, 0.9]
    ax = design.plot_value_curve(y_true, y_score, PRICES, thresholds=[0.1, 0.5])
    curve, zero, closed_form = ax.lines
    assert curve.get_ydata().tolist() == [3400, 1800]
    assert set(zero.get_ydata()) == {0} and set(closed_form.get_xdata()) == {0.1}
    assert design.plot_value_curve(y_true, y_score, PRICES, ax=ax) is ax


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[0, 1, 2], [3, 4, 5]], r"shape \(2, 2\), got \(2, 3\)"),
        ([[0, np.nan], [1, 2]], "1 missing value"),
        ([[0, np.inf], [1, 2]], "finite"),
        ([["0", "-1"], ["-1", "0"]], "must hold numbers"),
        (np.array([[0, 1], [2, 3]], "datetime64[D]"), "must hold numbers"),
        (np.ma.masked_equal([[0, -1], [-2, 3]], -2), "1 missing value"),
        ([[0, -(10**400)], [-1, 0]], "must hold numbers"),
        ("free", r"shape \(2, 2\), got \(\)"),
        ([[0, -1], [-1]], "matrix of numbers"),
        ([[0, -1], [1, 0]], "one prediction is always best"),
        ([[0, 5], [-1, 5]], "one prediction is always best"),
    ],
)
def test_bad_value_matrices_are_refused(value, message):
    with pytest.raises(ValueError, match=f"value_matrix.*{message}"):
        design.break_even_threshold(value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": []}, "y_true is empty"),
        ({"y_true": [0, 2]}, "labels 0 and 1"),
        ({"y_score": [0.1]}, "y_score must have 2"),
        ({"y_score": [0.1, np.nan]}, "missing"),
        ({"y_score": [0.1, np.inf]}, "finite"),
        ({"threshold": [0.1, np.nan]}, "missing"),
        ({"threshold": "much"}, "threshold must hold numbers"),
        ({"value_matrix": [1, 2]}, "value_matrix"),
    ],
)
def test_business_value_refuses_by_name(change, message):
    right = {"y_true": [0, 1], "y_score": [0.1, 0.9], "value_matrix": PRICES, "threshold": 0.5}
    with pytest.raises(ValueError, match=message):
        design.business_value(**right | change)


@pytest.mark.parametrize("thresholds", [0.1, [0.1], [2, 3], [0, 0.05]])
def test_a_curve_of_one_height_has_room(thresholds):
    ax = design.plot_value_curve([0, 1], [0.3, 0.9], PRICES, np.add(thresholds, 0.01))
    low, high = ax.get_ylim()
    heights = ax.lines[0].get_ydata()
    assert low < min(heights) <= max(heights) < high


def test_the_curve_refuses_an_unknown_colour():
    with pytest.raises(ValueError, match="color must be one of"):
        design.plot_value_curve([0, 1], [0.1, 0.9], PRICES, color="pink")


# --- Artifacts and the service


def test_an_artifact_answers_as_the_model_did_whatever_the_columns_order(artifact):
    registry, model, X = artifact
    expected = model.predict_proba(X[:50])[:, 1]
    assert np.array_equal(registry.predict("late", X[:50]), expected)
    assert np.array_equal(registry.predict("late", X[X.columns[::-1]][:50]), expected)
    as_text = X[:50].astype({"carrier": str, "dest": str, "distance": float})
    assert np.array_equal(registry.predict("late", as_text), expected)


def test_a_category_that_was_never_seen_counts_as_missing(artifact):
    registry, model, X = artifact
    strange = X[:5].assign(dest="MOON")
    unknown = X[:5].assign(dest=pd.Categorical([None] * 5, dtype=X["dest"].dtype))
    expected = model.predict_proba(unknown)[:, 1]
    assert np.array_equal(registry.predict("late", strange), expected)


def test_versions_count_up_and_none_is_overwritten(tmp_path):
    X = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
    rising, falling = (LogisticRegression().fit(X, y) for y in ([0, 0, 1, 1], [1, 1, 0, 0]))
    registry = design.ArtifactRegistry(tmp_path / "models" / "here")
    assert registry.table().empty
    assert registry.save("a", rising, X, auc=1) == 1
    assert registry.save("b", falling, X) == 1
    assert registry.save("a", falling, X[:2], auc=0.5) == 2
    table = registry.table()
    assert table["name"].tolist() == ["a", "b", "a"] and table["version"].tolist() == [1, 1, 2]
    assert table["auc"].tolist()[::2] == [1.0, 0.5] and math.isnan(table["auc"][1])
    assert table["rows"].tolist() == [4, 4, 2]
    assert table["trained_on"][0] == design.fingerprint(X) != table["trained_on"][2]
    for _, row in table.iterrows():
        path = tmp_path / "models" / "here" / f"{row['name']}-v{row['version']}.joblib"
        assert path.stat().st_size == row["bytes"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]
    assert registry.predict("a", X)[3] < 0.5 < registry.predict("a", X, version=1)[3]
    again = design.ArtifactRegistry(tmp_path / "models" / "here")  # the folder is all there is
    assert again.table().equals(table)


def test_a_damaged_or_missing_artifact_is_refused(tmp_path):
    X = pd.DataFrame({"x": [0.0, 1.0]})
    registry = design.ArtifactRegistry(tmp_path)
    registry.save("a", LogisticRegression().fit(X, [0, 1]), X)
    path = tmp_path / "a-v1.joblib"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"a-v1\.joblib is missing or damaged"):
        registry.predict("a", X)
    path.unlink()
    with pytest.raises(ValueError, match=r"a-v1\.joblib is missing or damaged"):
        registry.predict("a", X)
    with pytest.raises(ValueError, match=r"no artifact 'b' here; there are \['a v1'\]"):
        registry.predict("b", X)
    with pytest.raises(ValueError, match="no artifact 'a v7'"):
        registry.predict("a", X, version=7)


def test_rows_that_do_not_fit_are_refused_by_column(artifact):
    registry, _, X = artifact
    with pytest.raises(ValueError, match="rows lack the column 'temp'"):
        registry.predict("late", X.drop(columns="temp"))
    with pytest.raises(ValueError, match=r"rows\['temp'\] must be float64"):
        registry.predict("late", X[:2].assign(temp="warm"))
    with pytest.raises(ValueError, match=r"rows\['distance'\] must be int64"):
        registry.predict("late", X[:2].assign(distance=np.nan))


@pytest.mark.parametrize("key", ["sha256", "version", "rows", "bytes", "trained_on"])
def test_scores_do_not_overwrite_the_record(key, tmp_path):
    X = pd.DataFrame({"x": [0.0, 1.0]})
    model = LogisticRegression().fit(X, [0, 1])
    registry = design.ArtifactRegistry(tmp_path)
    with pytest.raises(ValueError, match=f"{key} is a field of the record"):
        registry.save("m", model, X, **{key: 5})
    for bad in ("good", None, np.nan):
        with pytest.raises(ValueError, match="auc must be a number"):
            registry.save("m", model, X, auc=bad)
    assert list(tmp_path.iterdir()) == []


def test_predict_refuses_rows_that_are_no_table_and_values_that_would_change(tmp_path):
    X = pd.DataFrame({"whole": [0, 1, 2, 3], "flag": [True, False] * 2})
    registry = design.ArtifactRegistry(tmp_path)
    model = LogisticRegression().fit(X, [0, 0, 1, 1])
    registry.save("m", model, X)
    with pytest.raises(TypeError, match="rows must be a DataFrame, got list"):
        registry.predict("m", [1])
    for column, bad in (("whole", 1e300), ("whole", 1.5), ("flag", "False"), ("flag", 2)):
        with pytest.raises(ValueError, match=rf"rows\['{column}'\] must be"):
            registry.predict("m", X.astype(object).assign(**{column: bad}))
        with pytest.raises(ValueError, match=rf"rows\['{column}'\] must be"):
            registry.predict("m", X.assign(**{column: bad}))
    same = pd.DataFrame({"whole": [0.0, 1.0, 2.0, 3.0], "flag": [1, 0, 1, 0]})
    for rows in (same, same.astype(object), X.convert_dtypes()):
        assert registry.predict("m", rows).tolist() == model.predict_proba(X)[:, 1].tolist()
    registry.save("one", DummyClassifier().fit(X, [0] * 4), X)
    with pytest.raises(ValueError, match="two probabilities a row, got 1"):
        registry.predict("one", X)


def test_an_unseen_category_of_a_categorical_counts_as_missing(artifact):
    registry, _, X = artifact
    rows = X.head(2).assign(origin=pd.Categorical(["JFK", "XXX"]))
    gone = X.head(2).assign(origin=["JFK", None])
    assert registry.predict("late", rows).tolist() == registry.predict("late", gone).tolist()


def test_what_cannot_be_saved_is_refused(tmp_path):
    X = pd.DataFrame({"x": [0.0, 1.0]})
    model = LogisticRegression().fit(X, [0, 1])
    registry = design.ArtifactRegistry(tmp_path)
    for name in ("", "../up", "a b", 7):
        with pytest.raises(ValueError, match="name must be of letters"):
            registry.save(name, model, X)
    with pytest.raises(TypeError, match="predict_proba"):
        registry.save("a", "model", X)
    with pytest.raises(TypeError, match="X_train must be a DataFrame"):
        registry.save("a", model, X.to_numpy())
    assert list(tmp_path.iterdir()) == []


def test_the_service_answers_from_another_process_and_says_what_is_wrong(artifact):
    registry, model, X = artifact
    rows = as_json(X[:100])
    with design.model_service(registry, "late") as url:
        assert url.startswith("http://127.0.0.1:")
        good = httpx.post(f"{url}/predict", json=rows)
        assert good.status_code == 200
        assert np.array_equal(good.json(), model.predict_proba(X[:100])[:, 1])

        assert httpx.post(f"{url}/predikt", json=rows).status_code == 404
        assert httpx.get(f"{url}/predict").status_code == 405
        for bad, word in (
            ([], "rows are empty"),
            ([{k: v for k, v in rows[0].items() if k != "temp"}], "temp"),
            ([rows[0] | {"temp": "warm"}], "temp"),
            ({"rows": rows[:1]}, "list"),
            ([1, 2], "dict"),
        ):
            answer = httpx.post(f"{url}/predict", json=bad)
            assert answer.status_code == 422 and word in answer.text, bad
        broken = httpx.post(
            f"{url}/predict", content=b"[{", headers={"content-type": "application/json"}
        )
        assert broken.status_code == 422

        stale = X[:100].assign(recent_mean_delay=X["recent_mean_delay"].iloc[100:200].to_numpy())
        silent = httpx.post(f"{url}/predict", json=as_json(stale))  # wrong numbers, status 200
        assert silent.status_code == 200 and silent.json() != good.json()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_the_service_is_gone_after_an_error_in_the_block(artifact):
    with pytest.raises(KeyError, match="cell"), design.model_service(artifact[0], "late") as url:
        raise KeyError("cell failed")
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_two_services_run_side_by_side(artifact):
    registry, _, X = artifact
    with (
        design.model_service(registry, "late") as one,
        design.model_service(registry, "late") as two,
    ):
        assert one != two
        answers = [httpx.post(f"{url}/predict", json=as_json(X[:2])).json() for url in (one, two)]
        assert answers[0] == answers[1]


@pytest.mark.skipif(os.name != "posix", reason="kills a process the POSIX way")
def test_the_service_ends_when_the_process_that_started_it_is_killed(artifact):
    code = f"""
import time
from mlsys_helpers.ml_system_design import ArtifactRegistry, model_service
with model_service(ArtifactRegistry({str(artifact[0].folder)!r}), "late") as url:
    print(url, flush=True)
    time.sleep(60)"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        url = parent.stdout.readline().strip()
        assert httpx.get(f"{url}/docs").status_code == 200
        os.kill(parent.pid, signal.SIGKILL)
    for _ in range(50):
        try:
            httpx.get(f"{url}/docs")
        except httpx.TransportError:
            return
        time.sleep(0.1)
    pytest.fail("the service outlived its parent by five seconds")


def test_a_service_that_does_not_come_up_says_why(artifact, tmp_path):
    start = time.perf_counter()
    with (
        pytest.raises(RuntimeError, match=r"(?s)'nobody' ended with code 1.*no artifact 'nobody'"),
        design.model_service(artifact[0], "nobody"),
    ):
        pass
    assert time.perf_counter() - start < 50  # it ended by itself, not by the time limit
    with (
        pytest.raises(RuntimeError, match=r"'late' was not up after 0\.01 seconds"),
        design.model_service(artifact[0], "late", timeout=0.01),
    ):
        pass
    with pytest.raises(TypeError, match="registry must be"), design.model_service("x", "late"):
        pass
    with (
        pytest.raises(ValueError, match="timeout"),
        design.model_service(artifact[0], "late", timeout=0),
    ):
        pass


# --- Faults


FAULTS = [
    ("miles_to_km", "distance"),
    ("miles_to_km", ["wind_speed", "visib"]),
    ("fahrenheit_to_celsius", ["temp", "dewp"]),
    ("stale_join", FLIGHT_FEATURES["airport"]),
    ("stale_join", "carrier"),
    ("nan_to_zero", ["wind_gust", "pressure"]),
    ("swapped_columns", ["temp", "dewp"]),
]


@pytest.mark.parametrize(("fault", "column"), FAULTS)
def test_a_fault_changes_its_column_and_nothing_else(flights, fault, column):
    before = flights.copy(deep=True)
    broken = design.inject_fault(flights, fault, column)
    pd.testing.assert_frame_equal(flights, before)  # the input stays
    assert broken.dtypes.equals(flights.dtypes)
    assert broken.index.equals(flights.index) and list(broken) == list(flights)
    changed = {name for name in flights if not broken[name].equals(flights[name])}
    assert changed == set([column] if isinstance(column, str) else column)


def test_units_and_zeros_by_hand():
    frame = pd.DataFrame({"far": [1000, 3], "hot": [32.0, 212.0], "gap": [np.nan, 1.5]})
    assert design.inject_fault(frame, "miles_to_km", "far")["far"].tolist() == [1609, 5]
    km = design.inject_fault(frame, "miles_to_km", "hot")["hot"]
    assert np.allclose(km, [32 * 1.609344, 212 * 1.609344])
    celsius = design.inject_fault(frame, "fahrenheit_to_celsius", "hot")["hot"]
    assert np.allclose(celsius, [0, 100])
    assert design.inject_fault(frame, "nan_to_zero", "gap")["gap"].tolist() == [0, 1.5]
    swapped = design.inject_fault(frame, "swapped_columns", ["hot", "gap"])
    assert swapped["gap"].tolist() == [32.0, 212.0] and swapped["hot"].equals(
        frame["gap"].rename("hot")
    )


def test_a_stale_join_gives_what_was_current_then_by_key_whatever_the_order():
    hours = pd.Timestamp("2013-01-01", tz="UTC") + pd.to_timedelta([0, 0, 10, 20, 30, 30], "h")
    frame = pd.DataFrame(
        {
            "scheduled": hours,
            "origin": ["JFK", "LGA", "JFK", "JFK", "JFK", "LGA"],
            "value": [1, 2, 3, np.nan, 5, 6],
        },
        index=list("abcdef"),
    )
    expected = [1, 2, 1, 1, 3, 2]  # 12 hours ago; before the first, the first
    stale = design.inject_fault(frame, "stale_join", "value", age="12h")
    assert stale["value"].tolist() == expected
    mixed = design.inject_fault(frame.iloc[[4, 0, 5, 3, 1, 2]], "stale_join", "value", age="12h")
    assert mixed.loc[list("abcdef"), "value"].tolist() == expected
    ten = design.inject_fault(frame, "stale_join", "value", age=pd.Timedelta("10h"))
    assert ten["value"].tolist()[:4] == [1, 2, 1, 3]  # exactly that old counts
    assert math.isnan(ten["value"].iloc[4])  # what was missing then is missing now


def test_no_value_of_a_stale_join_is_younger_than_its_age(flights):
    clock = flights.assign(seen=flights["scheduled"])
    stale = design.inject_fault(clock, "stale_join", "seen", age="24h")
    age = flights["scheduled"] - stale["seen"]
    first_day = flights["scheduled"] < flights["scheduled"].min() + pd.Timedelta("25h")
    assert (age[~first_day] >= pd.Timedelta("24h")).all()
    assert age.max() < pd.Timedelta("48h")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("typo", "x"), "fault must be one of"),
        (("miles_to_km", "y"), "column 'y' is not in frame"),
        (("miles_to_km", []), "column is empty"),
        (("miles_to_km", 5), "column 5 is not in frame"),
        (("miles_to_km", "small"), "column 'small' is int8, which cannot hold 161"),
        (("fahrenheit_to_celsius", "unsigned"), "column 'unsigned' is uint8, .* hold -7"),
        (("miles_to_km", "nullable"), "column 'nullable' is Int8, which cannot hold 161"),
        (("nan_to_zero", "maybe"), "column 'maybe' must be numeric, it is boolean"),
        (("miles_to_km", "maybe"), "column 'maybe' must be numeric, it is boolean"),
        (("miles_to_km", "text"), "column 'text' must be numeric"),
        (("nan_to_zero", "flag"), "column 'flag' must be numeric"),
        (("swapped_columns", "x"), "two columns"),
        (("swapped_columns", ["x", "x"]), "two columns"),
        (("swapped_columns", ["x", "z", "whole"]), "two columns"),
        (("swapped_columns", ["x", "whole"]), "two of one dtype, got float64 and int64"),
        (("stale_join", "x"), "column 'scheduled' is not in frame"),
    ],
)
def test_faults_that_cannot_be_are_refused(arguments, message):
    frame = pd.DataFrame({"x": [1.0], "z": [2.0], "whole": [1], "text": ["a"], "flag": [True]})
    frame["small"] = np.array([100], "int8")
    frame["unsigned"] = np.array([20], "uint8")
    frame["nullable"] = pd.array([100], "Int8")
    frame["maybe"] = pd.array([True], "boolean")
    with pytest.raises(ValueError, match=message):
        design.inject_fault(frame, *arguments)


def test_a_small_integer_column_holds_what_fits():
    frame = pd.DataFrame({"x": np.array([-100, 70, 79], "int8")})
    frame["y"] = pd.array([-100, None, 79], "Int8")
    celsius = design.inject_fault(frame, "fahrenheit_to_celsius", ["x", "y"])
    assert celsius["x"].tolist() == [-73, 21, 26] and celsius.dtypes.equals(frame.dtypes)
    assert celsius["y"].tolist() == [-73, pd.NA, 26]
    twice = pd.DataFrame([[1, 2]], columns=["x", "x"])
    with pytest.raises(ValueError, match="frame must have columns of distinct names"):
        design.inject_fault(twice, "miles_to_km", "x")


@pytest.mark.parametrize("names", [("row", "row_found"), ("by", "time"), ("time", "by")])
def test_stale_joins_know_no_forbidden_names_and_ages_finer_than_the_times(names):
    time, by = names
    hours = pd.to_datetime(["2013-01-01 00:00", "2013-01-01 01:00", "2013-01-01 02:00"])
    frame = pd.DataFrame({time: hours.as_unit("us"), by: ["a"] * 3, "value": [1.0, 2.0, 3.0]})
    for age, stale in (("1h", [1, 1, 2]), ("1ns", [1, 1, 2]), (pd.Timedelta("2h"), [1, 1, 1])):
        broken = design.inject_fault(frame, "stale_join", "value", time=time, by=by, age=age)
        assert broken["value"].tolist() == stale and broken[[time, by]].equals(frame[[time, by]])


def test_stale_joins_that_cannot_be_are_refused(flights):
    with pytest.raises(ValueError, match="age must be more than 0"):
        design.inject_fault(flights, "stale_join", "temp", age="0h")
    for age in ("abc", np.inf, True, 3600, None):
        with pytest.raises(ValueError, match="age must be"):
            design.inject_fault(flights, "stale_join", "temp", age=age)
    with pytest.raises(ValueError, match="by must be another column than time"):
        design.inject_fault(flights, "stale_join", "temp", by="scheduled")
    gap = flights.head(3).assign(origin=["JFK", None, "LGA"])
    with pytest.raises(ValueError, match="column 'origin' must hold a key in every row"):
        design.inject_fault(gap, "stale_join", "temp")
    with pytest.raises(ValueError, match="must hold a time"):
        design.inject_fault(flights, "stale_join", "temp", time="distance")
    with pytest.raises(ValueError, match="neither 'scheduled' nor 'origin'"):
        design.inject_fault(flights, "stale_join", ["origin", "temp"])
    with pytest.raises(TypeError, match="frame must be a DataFrame"):
        design.inject_fault([1], "nan_to_zero", "x")


# --- Queues


@given(st.floats(0.01, 0.99))
def test_erlang_c_of_one_and_two_servers_is_the_closed_form(rho):
    assert design.erlang_c(rho, 1) == pytest.approx(rho, rel=1e-9)
    assert design.erlang_c(2 * rho, 2) == pytest.approx(2 * rho**2 / (1 + rho), rel=1e-9)


@pytest.mark.parametrize(("load", "servers"), [(0.5, 3), (4, 5), (13.9, 16), (90, 100)])
def test_erlang_c_is_the_sum_in_the_textbook(load, servers):
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    others = sum(load**k / math.factorial(k) for k in range(servers))
    assert design.erlang_c(load, servers) == pytest.approx(last / (others + last), rel=1e-9)


def test_erlang_c_broadcasts_and_holds_at_the_ends():
    table = design.erlang_c(np.array([[0.0], [1.5]]), [2, 3])
    assert table.shape == (2, 2) and (table[0] == 0).all()
    assert table[1, 0] == design.erlang_c(1.5, 2) > table[1, 1]
    assert 0 < design.erlang_c(9_900, 10_000) < 1  # no overflow


@pytest.mark.parametrize(
    ("queries", "servers", "n_queries"),
    [(57_600, 1, 400_000), (115_200, 2, 400_000), (1_000_000, 16, 400_000)],
)
def test_a_simulated_queue_is_within_three_standard_errors(queries, servers, n_queries):
    waits = design.simulate_queue(queries, 0.05, servers, n_queries, random_state=1)
    load = queries / 3600 * 0.05

    def within(values, expected):
        batches = values.reshape(40, -1).mean(axis=1)  # 10,000 queries: far beyond their memory
        assert abs(batches.mean() - expected) < 3 * batches.std(ddof=1) / np.sqrt(40)

    within(waits > 0, design.erlang_c(load, servers))
    within(waits > 0.03, design.wait_probability(queries, 0.05, servers, longer_than=0.03))
    within(waits, design.erlang_c(load, servers) * 0.05 / (servers - load))  # mean wait


def test_one_server_is_lindleys_recursion():
    rng = np.random.default_rng(0)
    arrivals = np.cumsum(rng.exponential(1.0, 5_000))
    services = rng.exponential(0.9, 5_000)
    steps = services[:-1] - np.diff(arrivals)
    walk = np.concatenate([[0], np.cumsum(steps)])
    lindley = walk - np.minimum.accumulate(walk)
    assert np.allclose(design._waits(arrivals, services, np.zeros(1)), lindley)


def test_the_queue_is_the_same_for_a_seed_and_another_for_another():
    one, two, other = (design.simulate_queue(9_000, 0.3, 1, 500, random_state=s) for s in (0, 0, 1))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    assert one.shape == (500,) and (one >= 0).all()


@settings(deadline=None)
@given(st.integers(0, 3_000_000), st.floats(0.001, 0.5), st.floats(0, 1), st.floats(0.05, 0.999))
def test_replicas_needed_is_the_smallest_number_that_will_do(queries, service, wait, quantile):
    needed = design.replicas_needed(queries, service, wait, quantile)

    def late(servers):
        return design.wait_probability(queries, service, servers, longer_than=wait)

    assert needed > queries / 3600 * service
    assert late(needed) <= 1 - quantile
    if needed - 1 > queries / 3600 * service:
        assert late(needed - 1) > 1 - quantile


def test_replicas_of_many_rates_are_those_of_each():
    rates = [0, 1_000, 250_000, 1_000_000]
    each = [design.replicas_needed(rate, 0.05, 0.1, 0.99) for rate in rates]
    assert design.replicas_needed(rates, 0.05, 0.1, 0.99).tolist() == each == [1, 1, 6, 16]
    assert isinstance(each[0], int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: design.erlang_c(2, 2), "servers must be more than the load of 2 erlangs, got 2"),
        (lambda: design.erlang_c(-1, 2), "load"),
        (lambda: design.erlang_c(np.nan, 2), "load"),
        (lambda: design.erlang_c(0.5, 1.5), "servers must be a whole number"),
        (lambda: design.erlang_c(0.5, 0), "servers must be a whole number"),
        (lambda: design.wait_probability(1e6, 0.05, 10), "line would grow without end"),
        (lambda: design.wait_probability(1e6, 0.05, 16, -1), "longer_than"),
        (lambda: design.wait_probability(1e6, 0.05, [16, 17]), "servers must be a whole number"),
        (lambda: design.simulate_queue(1e6, 0.05, [16, 17]), "servers must be a whole number"),
        (lambda: design.wait_probability([1, 2], 0.05, 16), "queries_per_hour must be one number"),
        (lambda: design.wait_probability(1e6, 0, 16), "service_seconds"),
        (lambda: design.simulate_queue(0, 0.05, 1), "queries_per_hour must be a number at least"),
        (lambda: design.simulate_queue(1e-310, 1, 2, 5), "queries_per_hour must be a number"),
        (lambda: design.replicas_needed(1e30, 1, 1), "queries_per_hour / 3600 .* 1e"),
        (lambda: design.replicas_needed(1e300, 1e300, 1), "queries_per_hour / 3600 .* 1e"),
        (lambda: design.simulate_queue(1e6, 0.05, 13), "line would grow without end"),
        (lambda: design.simulate_queue(100, 0.05, 1, 0), "n_queries"),
        (lambda: design.simulate_queue(100, 0.05, 1, 10, random_state="x"), "random_state"),
        (lambda: design.replicas_needed(-1, 0.05, 0.1), "queries_per_hour"),
        (lambda: design.replicas_needed([1, np.nan], 0.05, 0.1), "queries_per_hour"),
        (lambda: design.replicas_needed(1, -0.05, 0.1), "service_seconds"),
        (lambda: design.replicas_needed(1, 0.05, -0.1), "max_wait_seconds"),
        (lambda: design.replicas_needed(1, 0.05, 0.1, 1), "quantile"),
    ],
)
def test_queues_refuse_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_arrays_keep_their_shape():
    flat = design.wait_probability(1e6, 0.05, 18, [0, 0.01, 0.05, 0.1])
    square = design.wait_probability(1e6, 0.05, 18, [[0, 0.01], [0.05, 0.1]])
    assert square.tolist() == flat.reshape(2, 2).tolist()
    many = design.replicas_needed([[1e5, 1e6], [2e6, 0]], 0.05, 0.05)
    one_by_one = [design.replicas_needed(rate, 0.05, 0.05) for rate in (1e5, 1e6, 2e6, 0)]
    assert many.shape == (2, 2) and many.ravel().tolist() == one_by_one


# --- Autoscaling

DAY = [100_000] * 6 + [1_000_000] * 3 + [600_000] * 9 + [100_000] * 6
TARGET = {"service_seconds": 0.05, "max_wait_seconds": 0.1, "quantile": 0.99}


def test_the_day_keeps_its_queries_and_its_rates():
    plan = design.autoscaling_plan(DAY, **TARGET)
    rate = plan["queries_per_hour"]
    assert len(plan) == 24 * 60 and plan.index.name == "minute"
    assert rate.sum() / 60 == pytest.approx(sum(DAY))
    assert rate.min() >= 100_000 and rate.max() <= 1_000_000
    assert plan["needed"].equals(
        pd.Series(design.replicas_needed(rate, **TARGET), plan.index, name="needed")
    )


def test_fixed_and_scheduled_meet_the_target_and_scheduled_is_cheaper():
    fixed = design.autoscaling_plan(DAY, **TARGET, policy="fixed")
    scheduled = design.autoscaling_plan(DAY, **TARGET, policy="scheduled", startup_minutes=10)
    assert fixed["meets_target"].all() and scheduled["meets_target"].all()
    assert (fixed["paid"] == fixed["needed"].max()).all()
    assert scheduled["paid"].sum() < 0.75 * fixed["paid"].sum()
    assert (scheduled["paid"] >= scheduled["replicas"]).all()
    ahead = np.roll(scheduled["needed"], -10)  # what is needed in ten minutes is on order now
    assert (scheduled["paid"] >= ahead).all()


@pytest.mark.parametrize("startup", [0, 1, 5, 15, 40])
def test_reactive_is_a_controller_run_minute_by_minute(startup):
    """The same policy as a simulation: orders, starts, cancellations, dismissals."""
    plan = design.autoscaling_plan(DAY, **TARGET, startup_minutes=startup, cooldown_minutes=5)
    needed = plan["needed"].tolist() * 3
    ordered_at = []  # for each replica on order or up, the minute of its order, oldest first
    up, paid = [], []
    for minute in range(len(needed)):
        wanted = max(needed[max(0, minute - 6) : minute] or [needed[0]])
        ordered_at = ordered_at[:wanted]  # the youngest go first
        ordered_at += [minute] * (wanted - len(ordered_at))
        up.append(sum(minute - then >= startup for then in ordered_at))
        paid.append(len(ordered_at))
    assert plan["replicas"].tolist() == up[1440:2880]
    assert plan["paid"].tolist() == paid[1440:2880]


def test_slower_starts_miss_more_queries_and_headroom_costs_money():
    def missed(**options):
        plan = design.autoscaling_plan(DAY, **TARGET, **options)
        return plan["queries_per_hour"][~plan["meets_target"]].sum(), plan["paid"].sum()

    by_startup = [missed(startup_minutes=minutes)[0] for minutes in (1, 5, 15, 30)]
    assert by_startup == sorted(by_startup) and by_startup[0] < by_startup[-1]
    plain, spare = missed(startup_minutes=15), missed(startup_minutes=15, headroom=0.3)
    assert spare[0] < plain[0] and spare[1] > plain[1]


def test_the_backlog_is_what_comes_less_what_is_answered():
    plan = design.autoscaling_plan(DAY, **TARGET, startup_minutes=30)
    backlog, expected = 0.0, []
    for row in list(plan.itertuples()) * 2:
        backlog = max(0.0, backlog + row.queries_per_hour / 60 - row.replicas * 60 / 0.05)
        expected.append(backlog)
    assert np.allclose(plan["backlog"], expected[1440:], atol=1e-3)
    alone = plan["backlog"] * 0.05 / plan["replicas"]  # if no replica were added or removed
    falling = plan["replicas"][::-1].rolling(15).max()[::-1] <= plan["replicas"]
    assert (plan["delay_seconds"] <= alone + 1e-6)[~falling].all() and alone.max() > 60
    steady = plan["replicas"][::-1].rolling(15).agg(np.ptp)[::-1] == 0
    assert np.allclose(plan["delay_seconds"][steady], alone[steady])
    assert plan["backlog"].max() > 1_000


def test_the_fluid_backlog_is_that_of_a_simulated_morning():
    """600,000 random queries through replicas that come up one by one, from 5 to 7 o'clock."""
    plan = design.autoscaling_plan(DAY, **TARGET, startup_minutes=20).loc[300:419]
    assert plan["replicas"].is_monotonic_increasing
    rng = np.random.default_rng(0)
    counts = rng.poisson(plan["queries_per_hour"] / 60)
    minutes = np.repeat(np.arange(len(plan)), counts)
    arrivals = np.sort(60 * (minutes + rng.random(len(minutes))))
    up = plan["replicas"].to_numpy()
    free_at = [0.0] * up[0] + [
        60.0 * minute for minute in range(1, len(up)) for _ in range(up[minute] - up[minute - 1])
    ]
    waits = design._waits(arrivals, rng.exponential(0.05, len(arrivals)), np.array(free_at))
    simulated = pd.Series(waits).groupby((arrivals // 60).astype(int)).last().to_numpy()
    fluid = plan["delay_seconds"].to_numpy()
    chance = np.sqrt(2 * counts.cumsum()) * 0.05 / up  # of arrivals and of service times
    long = fluid > 60  # far from the edge, where the line may run empty by chance
    assert long.sum() > 60 and fluid.max() > 400
    assert (np.abs(simulated - fluid) < 3 * chance)[long].all()


def test_a_flat_day_needs_no_scaling():
    for policy in ("fixed", "reactive", "scheduled"):
        plan = design.autoscaling_plan([500_000] * 2, **TARGET, policy=policy)
        assert plan["replicas"].nunique() == 1 and plan["meets_target"].all()
    idle = design.autoscaling_plan([0], **TARGET)
    assert (idle["replicas"] == 1).all() and (idle["backlog"] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hourly_queries": []}, "hourly_queries is empty"),
        ({"hourly_queries": [-1]}, "hourly_queries must hold"),
        ({"hourly_queries": [1, None]}, "missing"),
        ({"hourly_queries": "busy"}, "hourly_queries"),
        ({"policy": "hope"}, "policy must be one of"),
        ({"startup_minutes": -1}, "startup_minutes"),
        ({"startup_minutes": 2.5}, "startup_minutes must be a whole number"),
        ({"cooldown_minutes": -1}, "cooldown_minutes"),
        ({"startup_minutes": 60, "hourly_queries": [1]}, "below the day's 60, got 65"),
        ({"headroom": -0.1}, "headroom"),
        ({"quantile": 0}, "quantile"),
    ],
)
def test_autoscaling_refuses_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        design.autoscaling_plan(**{"hourly_queries": DAY} | TARGET | change)


# --- Fingerprints


def in_another_process(code, seed):
    script = f"from mlsys_helpers.ml_system_design import fingerprint\n{code}"
    environment = os.environ | {"PYTHONHASHSEED": str(seed)}
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    return run.stdout.strip()


def test_the_same_content_has_the_same_hash_in_another_process(flights):
    code = """
from mlsys_helpers.datasets import load_flight_features, load_weather
table = load_flight_features()
print(fingerprint(load_weather()), fingerprint(table[table["date"] < "2013-01-15"]))"""
    here = f"{design.fingerprint(load_weather())} {design.fingerprint(flights)}"
    assert in_another_process(code, seed=7) == here


MIXED = pd.DataFrame(
    {
        "whole": [1, 2, 3],
        "real": [0.5, np.nan, -0.0],
        "text": ["a", None, "ü"],
        "flag": [True, False, True],
        "when": pd.to_datetime(["2013-01-01", None, "2013-01-02"], utc=True),
        "lasted": pd.to_timedelta([1, None, 3], "h"),
        "kind": pd.Categorical(["x", "y", None]),
        "maybe": pd.array([1, None, 3], dtype="Int64"),
    },
    index=["r", "s", "t"],
)


def test_a_known_hash_by_hand():
    """Index, then columns; name, dtype and bytes of each, every piece after its length."""
    frame = pd.DataFrame({"x": [1, 2]})

    def pack(*pieces):
        return b"".join(len(piece).to_bytes(8, "little") + piece for piece in pieces)

    numbers = [np.array(v, dtype="<i8").tobytes() for v in ([0, 1], [1, 2])]
    expected = pack(b"index", b"1", b"") + pack(b"None", b"int64", b"\0\0" + numbers[0])
    expected += pack(b"'x'", b"int64", b"\0\0" + numbers[1])
    assert design.fingerprint(frame) == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize("column", MIXED.columns)
@pytest.mark.parametrize("row", [0, 1, 2])
def test_any_changed_cell_changes_the_hash(column, row):
    other = {
        "whole": 9,
        "real": 7.25,
        "text": "z",
        "flag": not MIXED["flag"].iloc[row],
        "when": pd.Timestamp("2014-05-05", tz="UTC"),
        "lasted": pd.Timedelta("9h"),
        "kind": "y" if row == 0 else "x",
        "maybe": 9,
    }
    changed = MIXED.copy()
    changed.iloc[row, MIXED.columns.get_loc(column)] = other[column]
    assert changed.dtypes.equals(MIXED.dtypes)
    assert design.fingerprint(changed) != design.fingerprint(MIXED)
    if column not in ("whole", "flag"):
        gone = MIXED.copy()
        gone.iloc[row, MIXED.columns.get_loc(column)] = None
        was_missing = pd.isna(MIXED[column].iloc[row])
        assert (design.fingerprint(gone) == design.fingerprint(MIXED)) == was_missing


@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=8), st.data())
def test_equal_hash_means_equal_numbers(values, data):
    frame = pd.DataFrame({"x": values})
    position = data.draw(st.integers(0, len(values) - 1))
    value = data.draw(st.floats(allow_nan=False))
    changed = frame.copy()
    changed.loc[position, "x"] = value
    same = design.fingerprint(changed) == design.fingerprint(frame)
    assert same == (value == values[position])  # 0.0 == -0.0


@given(st.lists(st.text(max_size=3), min_size=2, max_size=4))
def test_texts_do_not_run_together(texts):
    frame = pd.DataFrame({"x": pd.Series(texts, dtype=object)})
    moved = [texts[0] + texts[1][:1], texts[1][1:], *texts[2:]]
    other = pd.DataFrame({"x": pd.Series(moved, dtype=object)})
    assert (design.fingerprint(frame) == design.fingerprint(other)) == (texts == moved)


def test_order_names_dtypes_and_index_count():
    prints = [
        MIXED,
        MIXED[::-1],
        MIXED[MIXED.columns[::-1]],
        MIXED.rename(columns={"whole": "entire"}),
        MIXED.reset_index(drop=True),
        MIXED.rename_axis("row"),
        MIXED.astype({"whole": "int32"}),
        MIXED.astype({"whole": float}),
        MIXED.astype({"maybe": float}),
        MIXED.astype({"kind": str}),
        MIXED.assign(kind=MIXED["kind"].cat.as_ordered()),
        MIXED.assign(kind=MIXED["kind"].cat.add_categories("w")),
        MIXED.assign(when=MIXED["when"].dt.tz_convert("America/New_York")),
        MIXED.assign(when=MIXED["when"].dt.tz_localize(None)),
        MIXED.drop(columns="flag"),
        MIXED[:2],
        MIXED[:0],
        pd.DataFrame(),
        pd.DataFrame(index=["r", "s", "t"]),
        pd.DataFrame({1: [1]}),
        pd.DataFrame({"1": [1]}),
        pd.DataFrame([[1, 2]], columns=["a", "b"]),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
    ]
    assert len({design.fingerprint(frame) for frame in prints}) == len(prints)


def test_storage_does_not_count():
    same = [
        MIXED.copy(),
        MIXED.iloc[[0, 1, 2]],
        MIXED.assign(real=[0.5, None, 0.0]),
        MIXED.assign(text=pd.Series(["a", np.nan, "ü"], MIXED.index, dtype=object)),
        MIXED.assign(whole=MIXED["whole"].to_numpy().astype(">i8")),
        pd.concat([MIXED[:1], MIXED[1:]]).assign(kind=MIXED["kind"]),
    ]
    assert {design.fingerprint(frame) for frame in same} == {design.fingerprint(MIXED)}
    counted, listed = pd.DataFrame({"x": [1, 2]}), pd.DataFrame({"x": [1, 2]}, index=[0, 1])
    assert design.fingerprint(counted) == design.fingerprint(listed)
    levels = MIXED.set_index(["kind", "text"])
    assert design.fingerprint(levels) == design.fingerprint(levels.copy())


def test_a_round_trip_through_a_file_keeps_the_fingerprint(tmp_path, flights):
    flights.to_parquet(tmp_path / "flights.parquet")
    again = pd.read_parquet(tmp_path / "flights.parquet")
    assert design.fingerprint(again) == design.fingerprint(flights)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ([1, 2], "frame must be a DataFrame, got list"),
        (pd.Series([1]), "frame must be a DataFrame, got Series"),
        (
            pd.DataFrame({"x": [[1], [2]]}),
            r"column 'x' must hold numbers, times or text, got \[1\]",
        ),
        (pd.DataFrame({"x": ["a", 1]}), "column 'x' must hold numbers, times or text, got 1"),
        (pd.DataFrame({"x": [1j]}), "column 'x' .* complex128"),
        (pd.DataFrame({"x": pd.arrays.SparseArray([0.0, 1.0])}), "column 'x' .* Sparse"),
        (
            pd.DataFrame({"x": pd.to_datetime(["2013-01-01"])}).convert_dtypes(
                dtype_backend="pyarrow"
            ),
            r"column .x. .* timestamp\[us\]\[pyarrow\]",
        ),
    ],
)
def test_what_has_no_fingerprint_is_refused(frame, message):
    with pytest.raises(TypeError, match=message):
        design.fingerprint(frame)


def test_a_missing_boolean_is_neither_true_nor_false():
    columns = ([True, None], [True, False], [True, True])
    hashes = {design.fingerprint(pd.DataFrame({"a": pd.array(c, "boolean")})) for c in columns}
    assert len(hashes) == 3


def test_a_run_is_reproducible_in_another_process(flights):
    code = """
import pandas as pd
from mlsys_helpers.datasets import FLIGHT_FEATURES, load_flight_features
from sklearn.ensemble import HistGradientBoostingClassifier
table = load_flight_features()
table = table[table["date"] < "2013-01-15"]
X = table[FLIGHT_FEATURES["weather"] + FLIGHT_FEATURES["airport"]]
model = HistGradientBoostingClassifier(max_iter=3, random_state=0).fit(X, table["late"])
result = fingerprint(pd.DataFrame({"p": model.predict_proba(X)[:, 1]}))
print(result)"""
    X = flights[FLIGHT_FEATURES["weather"] + FLIGHT_FEATURES["airport"]]
    model = HistGradientBoostingClassifier(max_iter=3, random_state=0).fit(X, flights["late"])
    here = design.fingerprint(pd.DataFrame({"p": model.predict_proba(X)[:, 1]}))
    assert in_another_process(code, seed=1) == here


def test_importing_the_module_loads_nothing_heavy():
    code = """
import sys
heavy = {"torch", "fastapi", "uvicorn", "httpx"} & set(sys.modules)
print(sorted(heavy))"""
    assert in_another_process(code, seed=0) == "[]"


# --- Exercises: the mistakes that people make, and a word of the diagnosis that each must meet


def _ends_as_arrival_plus_service(arrivals, services):
    waits = np.zeros(len(arrivals))
    ends = arrivals[:-1] + services[:-1]
    waits[1:] = np.maximum(0, ends - arrivals[1:])
    return waits


def _own_service(arrivals, services):
    gaps = np.diff(arrivals)
    return np.concatenate([[0], np.maximum(0, services[1:] - gaps)])


def _never_idle(arrivals, services):
    return np.concatenate([[0], np.cumsum(services)[:-1]]) - arrivals


def _until_done(arrivals, services):
    done, free = [], 0.0
    for arrival, service in zip(arrivals, services, strict=True):
        free = max(arrival, free) + service
        done.append(free - arrival)
    return np.array(done)


def _one_too_many(load, p_wait, allowed):
    servers = int(load) + 1
    while p_wait(servers) > allowed:
        servers += 1
    return servers + 1


def _starts_at_one(load, p_wait, allowed):
    servers = 1
    while p_wait(servers) > allowed:
        servers += 1
    return servers


def _rounds_the_load_up(load, p_wait, allowed):
    servers = max(1, math.ceil(load))
    while p_wait(servers) > allowed:
        servers += 1
    return servers


def _allowed_is_too_much(load, p_wait, allowed):
    servers = int(load) + 1
    while p_wait(servers) >= allowed:
        servers += 1
    return servers


def _same_cells(before, after):
    return sorted(c for c in before if not (before[c] == after[c]).all())


def _same_means(before, after):
    return sorted(c for c in before if before[c].mean() != after[c].mean())


def _values_only(before, after):
    return sorted(c for c in before if not np.array_equal(before[c], after[c], equal_nan=True))


def _common_columns_only(before, after):
    return sorted(c for c in before if c in after and not before[c].equals(after[c]))


WRONG_ANSWERS = {
    "money_saved": [
        (lambda y, w, value: value[w, y].sum(), "the difference"),
        (lambda y, w, value: 1800 * ((w == 1) & (y == 1)).sum(), "in vain"),
        (lambda y, w, value: (value[w, y] - value[0, y]).mean(), "not the mean"),
        (lambda y, w, value: (value.T[w, y] - value.T[0, y]).sum(), "wrong way round"),
        (lambda y, w, value: value[w, y] - value[0, y], "one number"),
        (lambda y, w, value: 1800 * (w & y).sum() - 200 * (w & ~y & 1).sum(), "Other prices came"),
        (
            lambda y, w, value: 1800 * (w & y).sum() + value[1, 0] * (w & ~y & 1).sum(),
            "every price",
        ),
        (lambda y, w, value: (value[w, y] - value[0, 1] * y).sum(), "not always 0"),
    ],
    "waits_in_line": [
        (_ends_as_arrival_plus_service, "ends later"),
        (_own_service, "not your own"),
        (_never_idle, "idle"),
        (_until_done, "until the answer is done"),
        (lambda arrivals, services: _until_done(arrivals, services).mean(), "one wait for each"),
    ],
    "fewest_servers": [
        (_one_too_many, "One too many"),
        (lambda load, p_wait, allowed: int(load) + 1, "keeps up with the load"),
        (_starts_at_one, "servers must be more than the load"),
        (_rounds_the_load_up, "servers must be more than the load"),
        (_allowed_is_too_much, "Exactly the share"),
    ],
    "changed_columns": [
        (_same_cells, "missing in both is equal"),
        (_same_means, "in another order"),
        (_values_only, "another dtype"),
        (_common_columns_only, "only one of the tables"),
        (lambda before, after: set(before) ^ set(after), "One cell of gust"),
    ],
}
