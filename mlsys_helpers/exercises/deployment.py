"""The exercises of chapter 15."""

import numpy as np

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "two things matter about an order: when it happened, and when it was known.",
    "the window is open on the left and closed on the right: now - window < ordered <= now.",
    "what is received after now does not exist yet: received <= now.",
)
def orders_known(attempt):
    ordered = np.array([0, 3, 3, 10, 11, 12, 12.5, 13, 14])
    received = np.array([0.5, 3, 3.2, 10.5, 25, 30, 16, 13, 14.5])
    count = attempt(ordered, received, 13, 10)
    expect(np.ndim(count) == 0, "Return one number.")
    expect(
        count != 5,
        "The order of minute 12 was received at minute 30: at minute 13 nobody knew of it.",
    )
    expect(count != 4, "An order of exactly `window` minutes ago has left: now - window < ordered.")
    expect(count != 3, "The window is about when an order was placed, not when it was received.")
    expect(count != 1, "An order of this very moment counts, if it is known by now.")
    expect(
        count == 2, "At minute 13, the orders of minutes 10 and 13 were known and in the window."
    )
    rng = np.random.default_rng(0)
    for now, window in [(5, 3), (9, 20), (20, 1), (0, 5)]:
        ordered = rng.integers(0, 20, 30) * 1.0
        received = ordered + rng.integers(0, 8, 30)
        expect(
            attempt(ordered, received, now, window) == _count(ordered, received, now, window),
            "Count what was ordered in (now - window, now] and received by now.",
        )


def _count(ordered, received, now, window):
    return int(((ordered > now - window) & (ordered <= now) & (received <= now)).sum())


@exercise(
    "there are three kinds of trouble: names missing, names too many, values that do not fit.",
    "a bool is an int to Python; isinstance(value, (int, float)) and not isinstance(value, bool).",
    "do not ask if the value is outside; ask if it is inside, `low <= value <= high`: nan is not.",
)
def problems(attempt):
    contract = {"temp": (-40, 120), "humid": (0, 100)}
    good = {"temp": 70.0, "humid": 100}
    expect(
        _names(attempt(good, contract)) == [],
        "Nothing is wrong with this row; whole numbers and the bounds themselves are allowed.",
    )
    cases = [
        ({"humid": 50}, ["temp"], "A field that is missing is a problem."),
        (good | {"wind": 3}, ["wind"], "A field that the contract does not know is a problem."),
        (good | {"temp": 121}, ["temp"], "A value above its range is a problem."),
        (good | {"humid": -0.1}, ["humid"], "A value below its range is a problem."),
        (
            good | {"temp": float("nan")},
            ["temp"],
            "Every comparison with nan is false, so it slipped through. Ask what is inside.",
        ),
        (good | {"temp": "70"}, ["temp"], "Text is no number, even if it looks like one."),
        (good | {"humid": True}, ["humid"], "True is an int to Python, and no humidity."),
        (good | {"humid": None}, ["humid"], "None is no number."),
        (
            {"wind": 1, "temp": 500},
            ["humid", "temp", "wind"],
            "Report all problems at once, sorted by name.",
        ),
    ]
    for row, wanted, diagnosis in cases:
        expect(_names(attempt(row, contract)) == wanted, diagnosis)
    other = {"a": (0, 1)}
    expect(_names(attempt({"a": 0.5}, other)) == [], "Take the names and ranges from the contract.")
    expect(_names(attempt({"a": 2}, other)) == ["a"], "Take the ranges from the contract.")


def _names(result):
    expect(
        isinstance(result, (list, tuple, np.ndarray))
        and all(isinstance(name, str) for name in result),
        "Return a list of names.",
    )
    return list(result)


@exercise(
    "go through the arrivals in order; the first request of the open batch sets the clock.",
    "a request joins if the batch has room and it comes by the first one's arrival + max_wait.",
    "else the open batch is closed and the request opens the next. Mind the last batch.",
)
def batches(attempt):
    expect(
        _lists(attempt([0, 1, 2, 3, 4], 2, 100)) == [[0, 1], [2, 3], [4]],
        "A batch closes when it holds max_batch requests; the last one may be smaller.",
    )
    result = _lists(attempt([0, 4, 8, 12], 10, 5))
    expect(
        result != [[0, 4, 8, 12]],
        "The wait counts from the *first* request of a batch, not from the last one that joined: "
        "else a steady trickle keeps it waiting.",
    )
    expect(result == [[0, 4], [8, 12]], "Request 8 is too late for the batch that opened at 0.")
    expect(
        _lists(attempt([0, 5, 6], 10, 5)) == [[0, 5], [6]],
        "A request that arrives at exactly first + max_wait still joins.",
    )
    expect(_lists(attempt([3, 3, 3], 10, 0)) == [[3, 3, 3]], "What arrives together goes together.")
    expect(_lists(attempt([], 4, 1)) == [], "Of no requests there are no batches.")
    expect(
        _lists(attempt([0, 1, 2, 9, 10, 30], 2, 3)) == [[0, 1], [2], [9, 10], [30]],
        "Both limits hold at once.",
    )


def _lists(result):
    expect(
        isinstance(result, (list, tuple))
        and all(isinstance(batch, (list, tuple, np.ndarray)) for batch in result),
        "Return a list of lists of arrival times.",
    )
    return [list(batch) for batch in result]


@exercise(
    "from when does a passenger wait? Not from the moment at which a client was free to send.",
    "the waits are np.where(np.isnan(answered), np.inf, answered - due). Sort them.",
    "of n sorted waits the one at place math.ceil(0.99 * n) - 1 is enough for 99 of 100.",
)
def p99_felt(attempt):
    due, rng = np.arange(200.0), np.random.default_rng(0)
    sent, answered = _one_client(due, np.where(due == 100, 20, rng.uniform(0.3, 0.6, 200)))
    p99 = attempt(due, sent, answered)
    expect(np.ndim(p99) == 0, "Return one number.")
    expect(
        not _is_p99(p99, answered - sent),
        "That is coordinated omission: while one request took 20 seconds, others were due, and "
        "their waiting counts. Count from `due`.",
    )
    expect(
        not _is_p99(p99, sent - due),
        "A passenger waits until the answer comes, not until the request is sent.",
    )
    expect(
        not np.isclose(p99, (answered - due).max()),
        "That is the longest wait of all; one in a hundred may wait longer than p99.",
    )
    low, high = _bounds(answered - due)
    expect(
        _is_p99(p99, answered - due),
        f"Of these 200 waits, counted from `due`, the 99th percentile is {low:.1f} to {high:.1f}.",
    )
    due = np.cumsum(rng.exponential(1, 500)) + 1000
    sent = due + rng.exponential(3, 500)
    answered = sent + rng.exponential(30, 500)
    expect(
        _is_p99(attempt(due, sent, answered), answered - due),
        "It is wrong where many clients send: answers overtake each other there, so keep each with "
        "its own request; and the clock need not begin at 0.",
    )
    for lost, bound in ((4, "finite"), (12, "without end")):
        answered[rng.permutation(500)[:lost]] = np.nan
        waits = np.where(np.isnan(answered), np.inf, answered - due)
        lost, p99 = np.isinf(waits).sum(), attempt(due, sent, answered)
        expect(
            not np.isnan(p99),
            "nan is no wait. Who gets no answer waits np.inf; and between two infinities "
            "np.percentile finds nan, so take a place of the sorted waits.",
        )
        expect(
            _is_p99(p99, waits),
            f"Of 500 requests {lost} got no answer. Left out, or counted as short, they make a "
            f"service look fast because it fails. They are the longest waits; here p99 is {bound}.",
        )


def _one_client(due, service):
    """When one client that waits for each answer sends, and when it is answered."""
    free, sent = -np.inf, []
    for at, takes in zip(due, service, strict=True):
        sent.append(max(free, at))
        free = sent[-1] + takes
    return np.array(sent), np.array(sent) + service


def _bounds(waits):
    """The two waits between which every usual way of taking p99 ends."""
    place = 0.99 * (len(waits) - 1)
    return np.sort(waits)[[int(place), int(place) + 1]]


def _is_p99(found, waits):
    low, high = _bounds(waits)
    return low - 1e-9 <= found <= high + 1e-9
