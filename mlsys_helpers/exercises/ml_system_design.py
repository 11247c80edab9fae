"""The exercises of chapter 01."""

import numpy as np
import pandas as pd

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "where nobody is warned, nothing changes against never warning.",
    "a warning changes a row's value from value[0, truth] to value[1, truth].",
    "value[warned, y_true] picks one entry of the matrix for each row.",
)
def money_saved(attempt):
    value = np.array([[0, -3000], [-200, -1200]])
    y_true, warned = np.array([1, 1, 1, 0, 0, 0, 0]), np.array([1, 1, 0, 1, 0, 0, 0])
    money = attempt(y_true, warned, value)
    expect(np.ndim(money) == 0, "Return one number: the sum over all rows.")
    expect(
        not np.isclose(money, -5600),
        "That is what the decisions bring by themselves. Never warning brings -9000 here: return "
        "the difference.",
    )
    expect(
        not np.isclose(money, 3600),
        "Warnings in vain cost something, too: the fourth row was warned and was not late.",
    )
    expect(
        not np.isclose(money, 3400 / 7),
        "Return the sum over all rows, not the mean.",
    )
    transposed = (value.T[warned, y_true] - value.T[0, y_true]).sum()
    expect(
        not np.isclose(money, transposed),
        "The matrix is read the wrong way round: it is value[predicted, true].",
    )
    expect(
        np.isclose(money, 3400),
        "Two late flights were warned and save 1800 each; one warning in vain costs 200.",
    )
    other = attempt(y_true, warned, np.array([[0, -500], [-50, -100]]))
    expect(
        not np.isclose(other, 3400),
        "Other prices came, and the answer was the same: read them from `value`.",
    )
    expect(
        np.isclose(other, 750),
        "With other prices, two late flights save 400 each and one warning in vain costs 50: read "
        "every price from `value`.",
    )
    none = attempt(y_true, np.zeros(7, dtype=int), value)
    expect(np.isclose(none, 0), "Nobody is warned here: nothing is saved and nothing is lost.")
    shifted = attempt(y_true, warned, value + 500)
    expect(
        np.isclose(shifted, 3400),
        "A right silence may bring something, too: value[0, 0] is not always 0.",
    )


@exercise(
    "the server is free when the query before has ended, not when it began.",
    "start = max(arrival, end of the one before); wait = start - arrival.",
)
def waits_in_line(attempt):
    arrivals, services = np.array([0.0, 1.0, 2.0, 10.0, 10.5]), np.array([3.0, 2.0, 1.0, 1.0, 4.0])
    expected = np.array([0.0, 2.0, 3.0, 0.0, 0.5])
    waits = np.asarray(attempt(arrivals, services), dtype=float)
    expect(waits.shape == (5,), "Return one wait for each query.")
    expect(
        not np.allclose(waits, expected + services),
        "That is the time until the answer is done. The wait ends when the service begins.",
    )
    expect(
        (waits >= 0).all(),
        "A wait is negative: where the server is idle a query begins at once and waits 0.",
    )
    expect(
        not np.allclose(waits, [0, 2, 1, 0, 0.5]),
        "The query before may have waited itself, and then it ends later: it ends at its *start* "
        "plus its service, not at its arrival plus its service.",
    )
    expect(
        not np.allclose(waits[[1, 4]], [1, 3.5]),
        "What you wait for is the service of the one *before* you, not your own.",
    )
    expect(np.allclose(waits, expected), f"These five wait {expected.tolist()} seconds.")
    later = np.asarray(attempt(arrivals + 100.0, services), dtype=float)
    expect(np.allclose(later, expected), "The same line 100 seconds later waits as long.")


@exercise(
    "below the load there is no answer, so begin just above it.",
    "the smallest whole number above the load is int(load) + 1, also where the load is whole.",
    "go up one by one while p_wait(servers) is more than allowed.",
)
def fewest_servers(attempt):
    from mlsys_helpers.ml_system_design import erlang_c

    def p_wait(load):
        return lambda servers: erlang_c(load, servers)  # refuses servers at or below the load

    servers = attempt(13.9, p_wait(13.9), 0.1)
    expect(
        servers != 21,
        "One too many: the search goes on although the share is allowed already.",
    )
    expect(servers != 14, "That only keeps up with the load: 97 of 100 queries would wait.")
    expect(servers == 20, "At 19 servers 0.14 of the queries wait, at 20 servers 0.09.")
    expect(attempt(0.5, p_wait(0.5), 0.5) == 1, "One server is busy half of the time here.")
    expect(
        attempt(1.0, p_wait(1.0), 1 / 3) == 2,
        "Exactly the share that is allowed is allowed.",
    )
    expect(attempt(0.0, p_wait(0.0), 0.01) == 1, "Without a query one server will do.")


@exercise(
    "NaN does not equal NaN, so == reports a change where there is none.",
    "Series.equals compares values, order and dtype, and takes NaN as equal to NaN.",
    "columns of only one of the tables count, too: look at set(before) | set(after).",
)
def changed_columns(attempt):
    before = pd.DataFrame(
        {
            "temp": [50.0, 60.0, np.nan],
            "wind": [1.0, 2.0, 3.0],
            "flight": [11, 12, 13],
            "gust": [np.nan, 20.0, 30.0],
        }
    )
    same = list(attempt(before, before.copy()))
    expect(
        same != ["gust", "temp"],
        "Two equal tables were compared, and the columns with missing values were reported: what "
        "is missing in both is equal.",
    )
    expect(same == [], "Two equal tables were compared: nothing has changed.")
    after = before.assign(gust=[np.nan, 20.0, 31.0])
    expect(list(attempt(before, after)) == ["gust"], "One cell of gust has changed.")
    after = before.assign(wind=[3.0, 2.0, 1.0])
    expect(
        list(attempt(before, after)) == ["wind"],
        "The values of wind are in another order, so its rows hold other values, though mean and "
        "range are the same.",
    )
    after = before.assign(flight=before["flight"].astype(float))
    expect(list(attempt(before, after)) == ["flight"], "flight has another dtype now.")
    after = before.assign(temp=[50.0, np.nan, np.nan])
    expect(list(attempt(before, after)) == ["temp"], "A value of temp has gone missing.")
    after = before.drop(columns="temp").assign(snow=0.0)
    expect(
        list(attempt(before, after)) == ["snow", "temp"],
        "A column that is in only one of the tables has changed, too; and the names are sorted.",
    )
