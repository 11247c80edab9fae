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
    "the server works on one request at a time, in order: when can it begin with request i?",
    "it begins at max(due[i], end of the one before), and ends service[i] later.",
    "latency since due is the end minus due[i].",
)
def latencies(attempt):
    due, service = np.array([0.0, 10.0, 20.0, 30.0]), np.array([2.0, 25.0, 2.0, 2.0])
    result = np.asarray(attempt(due, service))
    expect(result.shape == (4,), "Return one latency for each request.")
    expect(
        not np.allclose(result, service),
        "That is coordinated omission: requests 2 and 3 were due while the server was busy, and "
        "their waiting counts.",
    )
    expect(
        not np.allclose(result, np.cumsum(service) - due),
        "Before request 1 the server is idle until it is due: it cannot begin earlier.",
    )
    expect(
        not np.allclose(result, [2, 35, 37, 39]),
        "Those are the moments at which the answers come; subtract when each was due.",
    )
    expect(
        np.allclose(result, [2, 25, 17, 9]),
        "Request 1 ends at 35, so request 2, due at 20, is answered at 37, and request 3 at 39.",
    )
    rng = np.random.default_rng(0)
    due, service = np.cumsum(rng.exponential(1, 50)) + 7, rng.exponential(0.9, 50)
    end, wanted = -np.inf, []
    for d, s in zip(due, service, strict=True):
        end = max(end, d) + s
        wanted.append(end - d)
    result = np.asarray(attempt(due, service))
    expect(
        result.shape == (50,) and np.allclose(result, wanted),
        "It fits the first example only. The clock need not begin at 0, and queues come and go.",
    )
