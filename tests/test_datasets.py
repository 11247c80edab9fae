"""The tables are whole, the model table knows nothing of the future, damage is named."""

import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer as bundled

from mlsys_helpers import datasets
from mlsys_helpers.datasets import FLIGHT_FEATURES, load_flight_features

TABLES = ("flights", "weather", "planes", "airports", "airlines")
FEATURES = [name for group in FLIGHT_FEATURES.values() for name in group]


@pytest.fixture(scope="module")
def flights():
    return datasets.load_flights()


@pytest.fixture(scope="module")
def weather():
    return datasets.load_weather()


@pytest.fixture(scope="module")
def table():
    return load_flight_features()


# --- The tables: counts that the source publishes


def test_shapes_and_sums(flights, weather):
    assert flights.shape == (336_776, 19)
    assert weather.shape == (26_115, 15)
    assert datasets.load_planes().shape == (3_322, 9)
    assert datasets.load_airports().shape == (1_458, 8)
    assert datasets.load_airlines().shape == (16, 2)
    assert flights["origin"].value_counts().to_dict() == {
        "EWR": 120_835,
        "JFK": 111_279,
        "LGA": 104_662,
    }
    assert flights["dep_time"].isna().sum() == 8_255
    assert flights["arr_delay"].isna().sum() == 9_430
    assert flights["arr_delay"].mean() == pytest.approx(6.895377, abs=1e-6)
    assert flights["tailnum"].nunique() == 4_043
    assert flights["dest"].nunique() == 105
    assert flights["carrier"].value_counts().iloc[[0, -1]].tolist() == [58_665, 32]


def test_what_the_course_says_of_missing_values(weather):
    missing = weather["pressure"].isna().groupby(weather["precip"] > 0).mean()
    assert missing.round(2).tolist() == [0.07, 0.53]
    assert weather["wind_gust"].isna().mean().round(1) == 0.8
    assert datasets.load_planes()["speed"].isna().mean().round(2) == 0.99


def test_clocks_agree(flights, weather):
    for table in (flights, weather):
        local = table["time_hour"].dt.tz_convert("America/New_York")
        assert (local.dt.hour == table["hour"]).all()
        assert (local.dt.day == table["day"]).all()


def test_breast_cancer_counts_malignant_as_positive():
    X, y = datasets.load_breast_cancer()
    assert X.shape == (569, 30) and y.sum() == 212
    assert np.array_equal(y, bundled().target == 0)


# --- The model table


def test_the_model_table(table, flights):
    assert len(table) == 327_346
    assert list(table.columns) == ["scheduled", "date", *FEATURES, "late"]
    assert table["late"].sum() == 27_789
    arrived = flights.loc[table.index, "arr_delay"]
    assert np.array_equal(table["late"], arrived > 60)
    for month, share in ((7, 0.145), (11, 0.041)):
        assert table["late"][table["date"].dt.month == month].mean() == pytest.approx(
            share, abs=5e-4
        )


def test_cancelled_flights_are_treated_openly(table, flights):
    kept = load_flight_features(cancelled="late")
    assert len(kept) == len(flights)
    assert kept["late"].sum() == 27_789 + 9_430
    assert (kept["late"][flights["arr_delay"].isna()] == 1).all()
    assert kept.loc[table.index].equals(table)


def test_the_label_follows_its_limit(flights):
    assert load_flight_features(late_after=120)["late"].sum() == (flights["arr_delay"] > 120).sum()


@pytest.fixture(scope="module")
def three_days(flights, weather):
    """A few winter days, small enough to recount by hand."""
    days = flights[(flights["month"] == 2) & flights["day"].between(8, 10)]
    return days, weather[(weather["month"] == 2) & weather["day"].between(6, 10)]


def test_counts_are_those_of_a_plain_recount(three_days):
    days, weather = three_days
    table = datasets._flight_features(days, weather, 60, "late")
    due = days["time_hour"] + pd.to_timedelta(days["minute"], unit="min")
    left = due + pd.to_timedelta(days["dep_delay"], unit="min")
    hours = pd.Timedelta(hours=2)
    for row in np.random.default_rng(0).choice(days.index, 200, replace=False):
        now, here = due[row] - hours, days["origin"] == days["origin"][row]
        recent = here & (left > now - hours) & (left <= now)
        waiting = here & (due > now - hours) & (due <= now) & ~(left <= now)
        delays = days["dep_delay"][recent]
        assert table["recent_departures"][row] == recent.sum()
        assert table["waiting_flights"][row] == waiting.sum()
        if recent.any():
            assert table["recent_mean_delay"][row] == pytest.approx(delays.mean())
            assert table["recent_late_share"][row] == pytest.approx((delays > 60).mean())
        else:
            assert table.loc[row, ["recent_mean_delay", "recent_late_share"]].isna().all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 2**32 - 1))
def test_nothing_that_happens_later_is_known(three_days, which, seed):
    """Change all that happened after a flight's moment of prediction: its features stay."""
    days, weather = three_days
    row = days.index[which % len(days)]
    due = days["time_hour"] + pd.to_timedelta(days["minute"], unit="min")
    now = due[row] - pd.Timedelta(hours=2)
    left = due + pd.to_timedelta(days["dep_delay"], unit="min")

    rng = np.random.default_rng(seed)
    changed, later = days.copy(), ~(left <= now)
    soonest = ((now - due) / pd.Timedelta(minutes=1)).clip(lower=-60)[later]
    changed.loc[later, "dep_delay"] = np.floor(soonest) + 1 + rng.integers(0, 300, later.sum())
    outcomes = ["dep_time", "arr_time", "arr_delay", "air_time"]
    changed[outcomes] = rng.normal(size=(len(days), 4))
    changed["tailnum"] = "N00000"
    other_weather = weather.copy()
    not_over = other_weather["time_hour"] + pd.Timedelta(hours=1) > now
    measured = FLIGHT_FEATURES["weather"]
    other_weather.loc[not_over, measured] = rng.normal(size=(not_over.sum(), len(measured)))

    before = datasets._flight_features(days, weather, 60, "late").loc[[row], FEATURES]
    after = datasets._flight_features(changed, other_weather, 60, "late").loc[[row], FEATURES]
    pd.testing.assert_frame_equal(before, after)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"late_after": -1}, "late_after must be a number at least 0, got -1"),
        ({"late_after": "60"}, "late_after"),
        ({"late_after": np.nan}, "late_after"),
        ({"late_after": True}, "late_after"),
        ({"cancelled": "drop"}, "cancelled must be one of 'exclude', 'late', got 'drop'"),
        ({"cancelled": None}, "cancelled"),
    ],
)
def test_bad_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        load_flight_features(**options)


# --- Missing and damaged files


@pytest.fixture
def copied(tmp_path, monkeypatch):
    shutil.copytree(datasets._FOLDER / "flights", tmp_path / "flights")
    monkeypatch.setattr(datasets, "_FOLDER", tmp_path)
    return tmp_path / "flights"


@pytest.mark.parametrize("table", TABLES)
def test_a_missing_or_damaged_file_is_named(table, copied):
    load, path = getattr(datasets, f"load_{table}"), copied / f"{table}.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # one bit
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{table}.parquet is damaged"):
        load()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{table}.parquet is missing: get it back"):
        load()


def test_missing_checksums_are_named(copied):
    (copied / "SHA256SUMS").unlink()
    with pytest.raises(FileNotFoundError, match="SHA256SUMS is missing"):
        datasets.load_airlines()


# --- Data cards


@pytest.mark.parametrize("folder", sorted(path.name for path in datasets._FOLDER.iterdir()))
def test_each_dataset_has_a_card(folder):
    card = (datasets._FOLDER / folder / "README.md").read_text(encoding="utf-8")
    for part in ("Source", "Licence", "How it was made", "What it is used for", "Columns"):
        assert f"## {part}" in card


def test_the_card_of_the_flights_names_every_column():
    card = (datasets._FOLDER / "flights" / "README.md").read_text(encoding="utf-8")
    for table in TABLES:
        frame = getattr(datasets, f"load_{table}")()
        assert f"{len(frame):,} rows" in card
        for column in frame.columns:
            assert f"`{column}`" in card, column
    for feature in FEATURES:
        assert f"`{feature}`" in card, feature
