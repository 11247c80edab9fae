"""Every chapter's data: the flights out of New York City in 2013, and what describes them.

The tables ship with the course as Parquet files; nothing is downloaded. Each folder under
``datasets/`` holds a data card that tells source, licence, columns and units.
"""

import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_breast_cancer as _bundled_breast_cancer
from sklearn.datasets import load_digits as _bundled_digits
from sklearn.datasets import load_sample_image as _bundled_image

from mlsys_helpers import _checks

__all__ = [
    "FLIGHT_FEATURES",
    "load_flights",
    "load_weather",
    "load_planes",
    "load_airports",
    "load_airlines",
    "load_flight_features",
    "load_digits",
    "load_photograph",
    "load_docstrings",
    "FEEDBACK_WORDS",
    "make_feedback",
    "load_breast_cancer",
    "load_ct_scans",
    "load_posts",
    "make_feed",
]

FLIGHT_FEATURES = {
    "schedule": [
        "carrier",
        "origin",
        "dest",
        "distance",
        "weekday",
        "departure_hour",
        "arrival_hour",
        "departures_that_hour",
    ],
    "weather": [
        "temp",
        "dewp",
        "humid",
        "wind_dir",
        "wind_speed",
        "wind_gust",
        "precip",
        "pressure",
        "visib",
    ],
    "airport": [
        "recent_departures",
        "recent_mean_delay",
        "recent_late_share",
        "waiting_flights",
    ],
}

_NOTICE = 120  # minutes before the scheduled departure at which a prediction is made
_LATE = 60  # minutes after which a departure in the recent past counts as late

# Inside an installed package the tables lie beside this file, in a clone beside the package.
_INSTALLED = Path(__file__).parent / "_datasets"
_FOLDER = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[1] / "datasets"


def _read(table, folder="flights"):
    """One table, of the flights data by default, refused where it is missing or damaged."""
    path = _FOLDER / folder / f"{table}.parquet"
    advice = "get it back with `git checkout -- datasets`, or install the package again"
    sums = path.with_name("SHA256SUMS")
    for needed in (path, sums):
        if not needed.is_file():
            raise FileNotFoundError(f"{needed} is missing: {advice}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if f"{digest}  {path.name}" not in sums.read_text().splitlines():
        raise ValueError(f"{path} is damaged, its SHA-256 is not the one in {sums.name}: {advice}")
    return pd.read_parquet(path)


def load_flights():
    """All 336,776 flights that were to leave EWR, JFK and LGA in 2013.

    Returns
    -------
    DataFrame of shape (336776, 19)
        One row a flight, in the order of the source. Delays are minutes, negative when early;
        clock times are local, as HHMM; ``time_hour`` is the scheduled hour of departure in UTC.
        A cancelled flight (8,255 of them) has no ``dep_time``; 1,175 more left and have no
        ``arr_delay``, most of them diverted.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or damaged.

    References
    ----------
    Data card: ``datasets/flights/README.md``.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_flights
    >>> flights = load_flights()
    >>> flights.shape
    (336776, 19)
    >>> print((flights["arr_delay"].dropna() > 60).mean().round(3))  # share over an hour late
    0.085
    """
    return _read("flights")


def load_weather():
    """Hourly weather at the three airports, 26,115 rows.

    Returns
    -------
    DataFrame of shape (26115, 15)
        One row an airport and hour. Temperatures in °F, humidity in %, wind direction in
        degrees, speeds in miles an hour, precipitation in inches, pressure in millibars,
        visibility in miles; ``time_hour`` is the start of the hour in UTC.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or damaged.

    References
    ----------
    Data card: ``datasets/flights/README.md``.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_weather
    >>> weather = load_weather()
    >>> print(weather["pressure"].isna().groupby(weather["precip"] > 0).mean().round(2).tolist())
    [0.07, 0.53]
    """
    return _read("weather")


def load_planes():
    """The 3,322 planes whose tail number is in the register of the aviation authority.

    Returns
    -------
    DataFrame of shape (3322, 9)
        One row a tail number: year built, type, manufacturer, model, engines, seats, cruising
        speed in miles an hour (missing in 99 % of rows), kind of engine.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or damaged.

    References
    ----------
    Data card: ``datasets/flights/README.md``.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_planes
    >>> load_planes()["manufacturer"].mode()[0]
    'BOEING'
    """
    return _read("planes")


def load_airports():
    """The 1,458 airports of the United States, with place and time zone.

    Returns
    -------
    DataFrame of shape (1458, 8)
        One row an airport: code, name, latitude and longitude in degrees, altitude in feet,
        offset from UTC in hours, daylight-saving rule, name of the time zone.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or damaged.

    References
    ----------
    Data card: ``datasets/flights/README.md``.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_airports
    >>> load_airports().set_index("faa").loc["JFK", "tzone"]
    'America/New_York'
    """
    return _read("airports")


def load_airlines():
    """The 16 carriers' codes and names.

    Returns
    -------
    DataFrame of shape (16, 2)
        One row a carrier: ``carrier`` (two letters or digits) and ``name``.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or damaged.

    References
    ----------
    Data card: ``datasets/flights/README.md``.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_airlines
    >>> load_airlines().set_index("carrier").loc["UA", "name"]
    'United Air Lines Inc.'
    """
    return _read("airlines")


def load_flight_features(late_after=60, cancelled="exclude"):
    """The model table: what is known of a flight two hours before departure, and its label.

    Parameters
    ----------
    late_after : float, default 60
        Minutes, at least 0: a flight is late when it arrives *more* than this after schedule.
    cancelled : {"exclude", "late"}, default "exclude"
        What becomes of the 9,430 flights with no recorded arrival (cancelled or diverted).
        "exclude" drops them: then the model answers for flights that will arrive, which nobody
        knows beforehand. "late" keeps them with the label 1: the passengers are not there.

    Returns
    -------
    DataFrame of 327,346 rows ("exclude") or 336,776 rows ("late")
        The index is the row number in `load_flights`. Columns: ``scheduled`` (departure, UTC),
        ``date`` (local calendar day), the features named in `FLIGHT_FEATURES` by group, and
        the label ``late`` (0 or 1). ``carrier``, ``origin`` and ``dest`` are categories.
        Weather is that of the last hour that was over two hours before departure. The airport
        group counts what was seen at the same airport in the two hours before that moment:
        flights that left, their mean delay in minutes, the share that left more than an hour
        late, and flights that were due and had not left. No column knows anything later.

    Raises
    ------
    ValueError
        If an argument is out of range, or a file is damaged.
    FileNotFoundError
        If a file is missing.

    Notes
    -----
    The plane is left out on purpose: the table records the tail number that *flew*, planes are
    swapped until the last minute, and a missing tail number gives a cancelled flight away.
    The month is left out too: a model trained up to August has never seen a September.

    References
    ----------
    Data card: ``datasets/flights/README.md``.

    Examples
    --------
    >>> from mlsys_helpers.datasets import FLIGHT_FEATURES, load_flight_features
    >>> table = load_flight_features(late_after=120)
    >>> train, test = table[table["date"] < "2013-09-01"], table[table["date"] >= "2013-09-01"]
    >>> X, y = train[FLIGHT_FEATURES["weather"]], train["late"]
    >>> print(X.shape, y.mean().round(3))
    (217727, 9) 0.036
    """
    _checks.number(late_after, "late_after", low=0)
    _checks.one_of(cancelled, "cancelled", ("exclude", "late"))
    return _flight_features(load_flights(), load_weather(), late_after, cancelled)


def _flight_features(flights, weather, late_after, cancelled):
    scheduled = flights["time_hour"] + pd.to_timedelta(flights["minute"], unit="min")
    known_at = scheduled - pd.Timedelta(minutes=_NOTICE)
    table = pd.concat(
        [
            scheduled.rename("scheduled"),
            pd.to_datetime(flights[["year", "month", "day"]]).rename("date"),
            _schedule_features(flights),
            _weather_features(flights["origin"], known_at, weather),
            _airport_features(flights, scheduled, known_at),
            (flights["arr_delay"] > late_after).astype(int).rename("late"),
        ],
        axis="columns",
    )
    arrived = flights["arr_delay"].notna()
    if cancelled == "exclude":
        return table[arrived].copy()
    table.loc[~arrived, "late"] = 1
    return table


def _schedule_features(flights):
    def clock_hour(hhmm):
        return hhmm // 100 + hhmm % 100 / 60

    features = flights[["carrier", "origin", "dest"]].astype("category")
    features["distance"] = flights["distance"]
    features["weekday"] = pd.to_datetime(flights[["year", "month", "day"]]).dt.day_of_week
    features["departure_hour"] = clock_hour(flights["sched_dep_time"])
    features["arrival_hour"] = clock_hour(flights["sched_arr_time"])
    same_hour = flights.groupby(["origin", "time_hour"])["flight"]
    features["departures_that_hour"] = same_hour.transform("size")
    return features


def _weather_features(origin, known_at, weather):
    """The weather of the last full hour before known_at: an hour is known when it is over."""
    last_full_hour = known_at.dt.floor("h") - pd.Timedelta(hours=1)
    asked = pd.DataFrame({"origin": origin, "time_hour": last_full_hour})
    columns = ["origin", "time_hour", *FLIGHT_FEATURES["weather"]]
    found = asked.merge(weather[columns], on=["origin", "time_hour"], how="left")
    return found[FLIGHT_FEATURES["weather"]].set_index(origin.index)


def _airport_features(flights, scheduled, known_at):
    """Counts over the two hours before known_at, by differences of running totals."""
    features = pd.DataFrame(np.nan, flights.index, FLIGHT_FEATURES["airport"])
    minute = pd.Timedelta(minutes=1)
    start = scheduled.min()
    due_at = ((scheduled - start) / minute).to_numpy()
    asked_at = ((known_at - start) / minute).to_numpy()
    delay = flights["dep_delay"].to_numpy()
    for rows in flights.groupby("origin").indices.values():
        due, now = due_at[rows], asked_at[rows]
        left = due + delay[rows]
        order = np.argsort(left, kind="stable")[: np.isfinite(left).sum()]  # NaN sorts last

        until_now = np.searchsorted(left[order], now, side="right")
        before = np.searchsorted(left[order], now - _NOTICE, side="right")
        late = delay[rows][order] > _LATE
        total_delay = np.concatenate([[0], np.cumsum(delay[rows][order])])
        total_late = np.concatenate([[0], np.cumsum(late)])
        count = until_now - before
        some = np.where(count > 0, count, np.nan)  # no departure, no mean

        # A flight waits from its due time until it leaves, and is given up after two hours.
        gone = np.clip(np.where(np.isnan(left), np.inf, left), due, due + _NOTICE)
        waiting = np.searchsorted(np.sort(due), now, side="right") - np.searchsorted(
            np.sort(gone), now, side="right"
        )
        features.iloc[rows] = np.column_stack(
            [
                count,
                (total_delay[until_now] - total_delay[before]) / some,
                (total_late[until_now] - total_late[before]) / some,
                waiting,
            ]
        )
    return features


def load_digits():
    """Images of 1,797 handwritten digits, 8 by 8 pixels, and which digit each one is.

    Returns
    -------
    X : ndarray of shape (1797, 8, 8)
        Darkness of each pixel, from 0 (paper) to 1 (ink), in steps of 1/16.
    y : ndarray of 1797 integers
        The digit, 0 to 9; 174 to 183 images of each.

    References
    ----------
    Data card: ``datasets/digits/README.md``. E. Alpaydin and C. Kaynak, "Optical Recognition of
    Handwritten Digits", UCI Machine Learning Repository (1998).

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_digits
    >>> X, y = load_digits()
    >>> print(X.shape, X.min(), X.max(), y[:5].tolist())
    (1797, 8, 8) 0.0 1.0 [0, 1, 2, 3, 4]
    """
    bunch = _bundled_digits()
    return bunch.images / 16, bunch.target


def load_photograph(name="flower"):
    """A colour photograph.

    Parameters
    ----------
    name : {"flower", "china"}, default "flower"
        A dahlia, or a Chinese palace.

    Returns
    -------
    ndarray of shape (427, 640, 3)
        Red, green and blue of each pixel, from 0 to 1.

    Raises
    ------
    ValueError
        If there is no such photograph.

    References
    ----------
    Data card: ``datasets/photographs/README.md``.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_photograph
    >>> load_photograph("china").shape
    (427, 640, 3)
    """
    _checks.one_of(name, "name", ("flower", "china"))
    return _bundled_image(f"{name}.jpg") / 255


def load_docstrings():
    """15,825 sentences out of the docstrings of six Python libraries, and whose they are.

    Returns
    -------
    DataFrame of shape (15825, 2)
        ``sentence``, of 6 to 40 words without code or digits, each once; and ``library``:
        networkx, numpy, pandas, scikit-learn, scipy or torch.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or damaged.

    References
    ----------
    Data card: ``datasets/docstrings/README.md``.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_docstrings
    >>> load_docstrings()["library"].value_counts().loc[["scipy", "torch"]].tolist()
    [4271, 1165]
    """
    return _read("docstrings", "docstrings")


FEEDBACK_WORDS = {
    "topic": {
        "baggage": (
            ("bag", "suitcase", "luggage", "trunk"),
            ("carried", "unloaded", "weighed", "scanned"),
            ("carousel", "belt", "conveyor", "scales"),
        ),
        "crew": (
            ("crew", "staff", "steward", "attendant"),
            ("trained", "briefed", "introduced", "thanked"),
            ("door", "gate", "desk", "bridge"),
        ),
        "food": (
            ("meal", "dinner", "lunch", "snack"),
            ("cooked", "heated", "served", "seasoned"),
            ("galley", "kitchen", "trolley", "oven"),
        ),
        "seating": (
            ("seat", "chair", "recliner", "bench"),
            ("reserved", "assigned", "upgraded", "swapped"),
            ("window", "aisle", "bulkhead", "wing"),
        ),
    },
    "mood": {
        "praise": (("wonderful", "excellent", "lovely", "superb"),),
        "complaint": (("dreadful", "terrible", "awful", "horrible"),),
    },
}
_FEEDBACK_SENTENCES = (
    "The {thing}, {deed} near the {place}, was {mood} {when}.",
    "{when} the {thing} was {deed} at the {place}, and that was {mood}.",
    "{mood} {thing}, {deed} by the {place} {when}.",
    "{mood}! The {thing} was {deed} beside the {place} {when}.",
)
_FEEDBACK_WHEN = (
    "today",
    "this morning",
    "on my flight",
    "as always",
    "on Monday",
    "again",
    "in Newark",
    "last week",
)


def make_feedback(n=2_000, random_state=0):
    """Generated sentences of passengers, with planted synonyms and two labels that are known.

    They are generated because only then it is known, of any sentence and of any change to it,
    what its label is: by the words of `FEEDBACK_WORDS`, and by nothing else.

    Parameters
    ----------
    n : int, default 2000
    random_state : int, numpy Generator or None

    Returns
    -------
    DataFrame of n rows
        ``text``, a sentence; ``topic``: baggage, crew, food or seating; ``mood``: praise or
        complaint. Topic and mood are drawn independently. Of each group of synonyms in
        `FEEDBACK_WORDS` one word is drawn with equal chance; words of praise and of complaint
        stand in the same places.

    Raises
    ------
    ValueError
        If n is below 1, or random_state is no seed.

    References
    ----------
    Data card: ``datasets/feedback/README.md``.

    Examples
    --------
    >>> from mlsys_helpers.datasets import make_feedback
    >>> print(make_feedback(3)["text"][0])
    The recliner, assigned near the aisle, was dreadful today.
    """
    n = _checks.whole_number(n, "n")
    rng = _checks.generator(random_state)
    rows = []
    for _ in range(n):
        topic = rng.choice(list(FEEDBACK_WORDS["topic"]))
        mood = rng.choice(list(FEEDBACK_WORDS["mood"]))
        thing, deed, place = map(rng.choice, FEEDBACK_WORDS["topic"][topic])
        text = rng.choice(_FEEDBACK_SENTENCES).format(
            thing=thing,
            deed=deed,
            place=place,
            mood=rng.choice(FEEDBACK_WORDS["mood"][mood][0]),
            when=rng.choice(_FEEDBACK_WHEN),
        )
        rows.append((text[0].upper() + text[1:], str(topic), str(mood)))
    return pd.DataFrame(rows, columns=["text", "topic", "mood"])


def load_breast_cancer():
    """Tumours of 569 patients, 30 measurements each, and whether the tumour was malignant.

    Returns
    -------
    X : DataFrame of shape (569, 30)
        Measurements of cell nuclei in a fine-needle aspirate.
    y : Series of 569 integers
        1 for malignant (212), 0 for benign (357). scikit-learn's bundled copy has it the other
        way round; here the class that matters is the positive one.

    References
    ----------
    Data card: ``datasets/breast_cancer/README.md``. W. H. Wolberg and O. L. Mangasarian,
    "Breast Cancer Wisconsin (Diagnostic)", UCI Machine Learning Repository (1995).

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer()
    >>> print(X.shape, y.sum())
    (569, 30) 212
    """
    bunch = _bundled_breast_cancer(as_frame=True)
    return bunch.data, (1 - bunch.target).rename("malignant")


def load_ct_scans(patients=600, random_state=0):
    """Generated scans of two hospitals, with a faint lesion and the trace of the scanner.

    No real patient is in it. It is generated because the truth must be known: what belongs to
    the disease, and what to the machine.

    Parameters
    ----------
    patients : int, default 600
        Patients of each hospital, at least 1; each is scanned twice.
    random_state : int, numpy Generator or None, default 0

    Returns
    -------
    scans : ndarray of shape (4 * patients, 24, 24), float32
        Grey values without unit, mean about 0. The old scanner adds nothing. The advanced one
        makes even rows of pixels 0.3 brighter and odd ones 0.3 darker, under noise of 1.
    table : DataFrame of 4 * patients rows
        ``patient``, ``hospital`` ("A" or "B"), ``visit`` (0, and 1 a week later), ``scanner``
        ("old" or "advanced") and ``cancer`` (0 or 1, one half of the patients). Hospital A sends
        96 % of its patients with cancer to the advanced scanner, and 4 % of the others; at
        hospital B chance decides, scan by scan.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Data card: ``datasets/ct_scans/README.md``. The story is that of C. Huyen, Designing Machine
    Learning Systems (O'Reilly 2022), chapter 5.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_ct_scans
    >>> scans, table = load_ct_scans()
    >>> print(scans.shape, table["patient"].nunique())
    (2400, 24, 24) 1200
    >>> advanced = table["scanner"] == "advanced"
    >>> print(advanced.groupby([table["hospital"], table["cancer"]]).mean().round(1).tolist())
    [0.0, 0.9, 0.5, 0.5]
    """
    _checks.whole_number(patients, "patients")
    rng, size, everybody = _checks.generator(random_state), 24, 2 * patients
    hospital = np.repeat(["A", "B"], patients)
    cancer = (rng.random(everybody) < 0.5).astype(int)
    at_a = rng.random(everybody) < np.where(cancer == 1, 0.96, 0.04)  # for both of their scans
    at_b = rng.random((2, everybody)) < 0.5
    advanced = np.where(hospital == "A", at_a, at_b)

    body = gaussian_filter(rng.normal(size=(everybody, size, size)), (0, 2, 2))
    body *= 0.5 / body.std()
    y, x = np.mgrid[:size, :size]
    centre_y, centre_x = rng.normal([[9], [15]], 1.5, (2, everybody))[..., None, None]
    lesion = np.exp(-((y - centre_y) ** 2 + (x - centre_x) ** 2) / 8)
    body += 0.7 * cancer[:, None, None] * lesion
    stripes = np.where(y % 2 == 0, 0.3, -0.3)

    scans = body + advanced[..., None, None] * stripes
    scans = scans + rng.normal(size=scans.shape)  # shape: visits, patients, rows, columns
    table = pd.DataFrame(
        {
            "patient": np.tile(np.arange(everybody), 2),
            "hospital": np.tile(hospital, 2),
            "visit": np.repeat([0, 1], everybody),
            "scanner": np.where(advanced.ravel(), "advanced", "old"),
            "cancer": np.tile(cancer, 2),
        }
    )
    return scans.reshape(-1, size, size).astype(np.float32), table


_POSTS = {
    "complaint": (
        "we have been waiting {n} hours at {airport}",
        "{n} hours late and nobody tells us why",
        "{n} hours in the queue and no end in sight",
        "stuck at the gate since noon without any announcement",
        "our connection is gone because of the delay",
        "sleeping on the floor of {airport} tonight",
        "the board has said delayed all evening",
        "great, another evening at {airport}",
        "who pays for the hotel we needed?",
        "I want a refund for this flight",
        "still no compensation after three emails",
        "your voucher does not pay for a missed wedding",
        "charged twice for the same seat",
        "my suitcase never arrived in {dest}",
        "the stroller came back in two pieces",
        "an hour at the carousel and still no bag",
        "the agent at the desk was {bad}",
        "{bad} crew, they ignored us",
        "the seat was {bad} and the toilet {bad}",
        "no heating for the whole flight to {dest}",
        "not even water on board",
        "rebooked without being asked, onto a {bad} connection",
    ),
    "other": (
        "the crew was {good}",
        "{good} flight to {dest}, thank you",
        "landed early in {dest}, {good} landing",
        "boarding was quick and the gate agent {good}",
        "a {good} seat with room for my legs",
        "can I bring a {thing} on board?",
        "what time does check-in open at {airport}?",
        "is there wifi on the flight to {dest}?",
        "how do I change my seat?",
        "how do I get a refund for a ticket I did not use?",
        "what is your rule on compensation?",
        "off to {dest} for {n} days",
        "{n} hours until {dest}, cannot wait",
        "photo from the window somewhere over {dest}",
        "first time in {dest} with the kids",
        "my sister starts as a pilot today",
        "back home from {dest}, what a week",
        "does the lounge at {airport} have showers?",
        "watching the planes at {airport} with a coffee",
        "new paint on the old planes, I like it",
    ),
    "either": (
        "flying {carrier} today",
        "seat {n}C again",
        "it is raining in {dest}",
        "{airport} is crowded this morning",
        "travelling with my parents and a {thing}",
        "on the way to a meeting in {dest}",
    ),
    "hotel complaint": (
        "the receptionist was {bad}",
        "a {bad} room with a {bad} bathroom",
        "breakfast was {bad} and cold",
        "{bad} night, the neighbours sang",
        "never again, {bad} and dear",
    ),
    "hotel other": (
        "the receptionist was {good}",
        "a {good} room with a view",
        "breakfast was {good}, thank you",
        "{good} stay, we will be back",
        "a {good} garden and a {good} pool",
    ),
}
_POST_WORDS = {
    "bad": [
        "rude",
        "useless",
        "filthy",
        "awful",
        "terrible",
        "unhelpful",
        "broken",
        "dreadful",
        "shabby",
        "careless",
    ],
    "good": [
        "friendly",
        "lovely",
        "spotless",
        "smooth",
        "helpful",
        "excellent",
        "wonderful",
        "kind",
        "perfect",
        "calm",
    ],
    "thing": ["violin", "stroller", "surfboard", "cat", "tent", "cello", "bicycle", "drone"],
}


def load_posts(n_posts=6_000, kind="airline", random_state=0):
    """Posts that passengers might have written, GENERATED, with their true labels.

    Generated because a course on labels needs texts whose truth is known beyond dispute, and no
    collection of real posts comes with that, or with leave to show what people wrote. The
    flights that they are about are real rows of `load_flights`.

    Parameters
    ----------
    n_posts : int, default 6000
        At least 1.
    kind : {"airline", "hotel"}, default "airline"
        "hotel" gives reviews of hotels that share the praise and the blame with the posts, and
        nothing else: something for another model to learn from. They have no flight.
    random_state : int, numpy Generator or None, default 0

    Returns
    -------
    DataFrame of n_posts rows
        ``text``; ``channel`` (app, web or phone, dealt out at random); ``flight``, the row
        number in `load_flights` of the flight that the author had booked, missing for two
        authors in three; and the truth ``complaint``, 1 or 0. A passenger whose flight was over
        an hour late or cancelled complains with probability 0.75, any other with 0.3. One
        sentence in twelve is of the other class.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Data card: ``datasets/posts/README.md``.

    Examples
    --------
    >>> from mlsys_helpers.datasets import load_posts
    >>> posts = load_posts()
    >>> print(posts.shape, posts["complaint"].mean().round(2))
    (6000, 4) 0.42
    >>> print(posts["text"][2])
    sleeping on the floor of JFK tonight
    """
    _checks.whole_number(n_posts, "n_posts")
    _checks.one_of(kind, "kind", ("airline", "hotel"))
    rng = _checks.generator(random_state)
    flights = load_flights()
    trouble = (flights["arr_delay"] > 60) | flights["dep_time"].isna()
    chances = np.where(trouble, 3.0, 1.0)  # trouble makes people write
    rows = rng.choice(len(flights), n_posts, p=chances / chances.sum())
    complaint = (rng.random(n_posts) < np.where(trouble.iloc[rows], 0.75, 0.3)).astype(int)
    booked = flights.iloc[rows][["origin", "dest", "carrier"]].itertuples(index=False)
    texts = [
        _post(kind, label, *flight, rng) for label, flight in zip(complaint, booked, strict=True)
    ]
    unknown = (rng.random(n_posts) < 2 / 3) | (kind == "hotel")
    return pd.DataFrame(
        {
            "text": texts,
            "channel": rng.choice(["app", "web", "phone"], n_posts),
            "flight": pd.array(rows, dtype="Int64"),
            "complaint": complaint,
        }
    ).assign(flight=lambda posts: posts["flight"].mask(unknown))


def _post(kind, complains, origin, dest, carrier, rng):
    """One to three sentences, the odd one of the other class, and words that tell nothing."""

    def draw(options):
        return options[rng.integers(len(options))]

    filled = {"airport": origin, "dest": dest, "carrier": carrier}

    def fill(slot):
        if slot[1] == "n":
            return str(rng.integers(2, 9))
        return filled[slot[1]] if slot[1] in filled else draw(_POST_WORDS[slot[1]])

    sentences = []
    for _ in range(rng.integers(1, 4)):
        of_complaint = complains != (rng.random() < 1 / 12)
        pool = "complaint" if of_complaint else "other"
        sentences.append(draw(_POSTS[pool if kind == "airline" else f"hotel {pool}"]))
    if kind == "airline" and rng.random() < 0.5:
        sentences.insert(rng.integers(len(sentences) + 1), draw(_POSTS["either"]))
    return re.sub(r"\{(\w+)\}", fill, ". ".join(sentences)).replace("?.", "?")


def make_feed(n_posts=6_000, random_state=0):
    """Generated posts of a news feed, whose true quality and true engagement are known.

    No real post is in it. It is generated because nobody knows the true quality of a real one,
    and only against the truth can two ways of ranking be compared.

    Parameters
    ----------
    n_posts : int, default 6000
        At least 1.
    random_state : int, numpy Generator or None, default 0

    Returns
    -------
    X : DataFrame of shape (n_posts, 6)
        What a model may look at, all in standard units (mean 0, standard deviation 1):
        ``sources``, ``author_years``, ``outrage``, ``novelty``, ``links`` and ``capitals``.
    posts : DataFrame of n_posts rows
        The truth, ``true_quality`` and ``true_engagement``, both from 0 to 1; what was seen of
        it: ``quality``, a rating with an error of 0.15, and ``engagement``, the share of 50
        viewers who clicked; and ``spam`` and ``extreme``, 0 or 1. Sources make for quality,
        outrage for clicks and against quality. Extreme posts are clicked more than others of
        their kind, spam less.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Data card: ``datasets/feed/README.md``.

    Examples
    --------
    >>> from mlsys_helpers.datasets import make_feed
    >>> X, posts = make_feed()
    >>> print(X.shape, posts[["spam", "extreme"]].mean().round(2).tolist())
    (6000, 6) [0.09, 0.07]
    """
    _checks.whole_number(n_posts, "n_posts")
    rng = _checks.generator(random_state)
    columns = ["sources", "author_years", "outrage", "novelty", "links", "capitals"]
    X = pd.DataFrame(rng.normal(size=(n_posts, 6)), columns=columns)

    def chance(intercept, **slopes):
        logit = intercept + sum(slope * X[name] for name, slope in slopes.items())
        return 1 / (1 + np.exp(-logit))

    spam = rng.random(n_posts) < chance(-4.2, links=1.8, capitals=1.6, author_years=-0.8)
    extreme = rng.random(n_posts) < chance(-4.4, outrage=2.2, capitals=0.8)
    quality = chance(0.2, sources=0.8, author_years=0.4, outrage=-0.5)
    quality = np.where(spam, 0.3 * quality, quality)
    clicks = chance(-1.4, outrage=0.7, novelty=0.5, sources=-0.2)
    clicks = np.where(spam, 0.5 * clicks, np.where(extreme, (1 + clicks) / 2, clicks))
    posts = pd.DataFrame(
        {
            "true_quality": quality,
            "true_engagement": clicks,
            "quality": quality + rng.normal(scale=0.15, size=n_posts),
            "engagement": rng.binomial(50, clicks) / 50,
            "spam": spam.astype(int),
            "extreme": extreme.astype(int),
        }
    )
    return X, posts
