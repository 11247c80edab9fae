"""The exercises of chapter 02."""

import hashlib
import hmac

import numpy as np
import pandas as pd

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "pd.to_numeric(frame['distance'], errors='coerce') is missing where the text is no number.",
    "work out one array of reasons, empty for a good row; np.select takes the first that fits.",
    "select rows of the frame as it came: frame[bad] and frame[~bad].",
)
def quarantine_distance(attempt):
    text = ["1400", "far", None, "-3", "0", "17.5", ""]
    flight = [1, 2, 3, 4, 5, 6, 7]
    frame = pd.DataFrame({"flight": flight, "distance": text}, index=[9, 9, 8, 3, 5, 1, 0])
    pair = attempt(frame)
    expect(
        isinstance(pair, tuple) and len(pair) == 2, "Return two tables: the valid rows, the others."
    )
    valid, rejected = pair
    expect(
        isinstance(valid, pd.DataFrame) and isinstance(rejected, pd.DataFrame),
        "Return two tables: the valid rows, the others.",
    )
    expect("reason" in rejected, "The second table needs a column `reason` (is it the first?).")
    count = len(valid) + len(rejected)
    expect(
        count >= len(frame),
        f"{len(frame)} rows came and {count} are left. A missing value is a reason, too: nothing "
        "may be lost.",
    )
    expect(count == len(frame), f"{len(frame)} rows came and {count} are there: some twice.")
    kept = valid[valid["flight"].isin([4, 5])]
    expect(kept.empty, "A distance of 0 or below is not positive: reject it.")
    expect(
        sorted(valid["flight"]) == [1, 6],
        "Only flights 1 and 6 have a distance that is a number above 0.",
    )
    expect(
        valid["distance"].tolist() == ["1400", "17.5"],
        "The values were changed. Convert to decide, but hand on the rows as they came.",
    )
    expect(
        valid.index.tolist() == [9, 1],
        "The index was changed, and with it the way back to the input.",
    )
    reasons = dict(zip(rejected["flight"], rejected["reason"], strict=True))
    expect(reasons[3] == "missing", "Flight 3 has no distance: its reason is 'missing'.")
    expect(
        reasons[2] == reasons[7] == "not a number",
        "Flights 2 and 7 hold a text that is no number: their reason is 'not a number'.",
    )
    expect(
        reasons[4] == reasons[5] == "not positive",
        "Flights 4 and 5 hold a number of 0 or below: their reason is 'not positive'.",
    )
    as_they_came = frame[frame["flight"].isin(rejected["flight"])].sort_values("flight")
    given = rejected.sort_values("flight").drop(columns="reason")
    expect(
        given.equals(as_they_came),
        "The rejected rows must be as they came, too: somebody has to mend them.",
    )


@exercise(
    "the standard library has a module for keyed hashes: hmac.",
    "hmac.new(key, message, hashlib.sha256) takes bytes; a text has .encode().",
    ".hexdigest() gives the 64 hexadecimal digits.",
)
def pseudonym(attempt):
    value, key = "N14228", b"a secret of the airline"
    result = attempt(value, key)
    expect(isinstance(result, str), "Return text: the 64 hexadecimal digits.")
    expect(
        result != hashlib.sha256(value.encode()).hexdigest(),
        "That hash needs no key: whoever can list all tail numbers can undo it.",
    )
    naive = (key + value.encode(), value.encode() + key)
    expect(
        result not in [hashlib.sha256(text).hexdigest() for text in naive],
        "A key glued to the message is not HMAC: such a hash can be extended without the key.",
    )
    expect(
        result != hmac.new(value.encode(), key, hashlib.sha256).hexdigest(),
        "Key and message are swapped.",
    )
    expect(len(result) == 64, "SHA-256 has 64 hexadecimal digits; is it another hash?")
    known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    expect(
        attempt("what do ya want for nothing?", b"Jefe") == known,
        f"RFC 4231, test case 2, should give {known[:16]}…",
    )
    expect(result == hmac.new(key, value.encode(), hashlib.sha256).hexdigest(), "Not HMAC-SHA256.")


@exercise(
    "when can you be *sure* that a row group holds no value from low to high?",
    "it may hold one if its minimum is at most high, and its maximum at least low.",
    "a group without statistics may hold anything: np.isnan finds it.",
)
def row_groups_to_read(attempt):
    minima, maxima = np.array([1.0, 10.0, 20.0, 30.0]), np.array([12.0, 19.0, 35.0, 40.0])
    groups = attempt(minima, maxima, 15, 32)
    array = np.asarray(groups)
    expect(array.ndim == 1, "Return a list or an array of numbers.")
    expect(array.dtype != bool, "Return the numbers of the groups, not a mask; np.flatnonzero.")
    expect(
        sorted(array.tolist()) != [],
        "No group lies wholly within 15 to 32, but three reach into it: look for an overlap.",
    )
    expect(
        sorted(array.tolist()) == [1, 2, 3],
        "Asked for 15 to 32: groups 1 (10 to 19), 2 (20 to 35) and 3 (30 to 40) may hold it.",
    )
    expect(
        sorted(np.asarray(attempt(minima, maxima, 12, 20)).tolist()) == [0, 1, 2],
        "Asked for 12 to 20: a minimum of exactly 20 and a maximum of exactly 12 belong to it.",
    )
    inside = sorted(np.asarray(attempt(minima, maxima, 13, 14)).tolist())
    expect(inside == [1], "Asked for 13 to 14: group 1 (10 to 19) surrounds it, and may hold it.")
    unknown = np.array([np.nan, 50.0]), np.array([np.nan, 60.0])
    expect(
        np.asarray(attempt(*unknown, 1, 2)).tolist() == [0],
        "A group without statistics (nan) may hold anything, so it must be read.",
    )


@exercise(
    "start from flights, so that none is lost: FROM flights LEFT JOIN planes …",
    "count(*) counts rows; count(planes.tailnum) does not count those without a plane.",
    "SELECT manufacturer, count(*) … GROUP BY manufacturer puts the unknown ones under NULL.",
)
def flights_by_maker(attempt):
    import duckdb

    sql = attempt()
    expect(isinstance(sql, str), "Return the query as text.")
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE flights (flight INT, tailnum VARCHAR)")
        connection.execute(
            "CREATE TABLE planes (tailnum VARCHAR PRIMARY KEY, manufacturer VARCHAR)"
        )
        connection.execute("INSERT INTO planes VALUES ('A1', 'AIRBUS'), ('B1', 'BOEING')")
        connection.execute("INSERT INTO planes VALUES ('B2', 'BOEING'), ('C1', 'CESSNA')")
        connection.execute(
            "INSERT INTO flights VALUES (1, 'A1'), (2, 'B1'), (3, 'B1'), (4, 'B2'), (5, 'X9'), "
            "(6, NULL)"
        )
        rows = connection.execute(sql).fetchall()
    expect(rows and len(rows[0]) == 2, "The query must give two columns: maker and number.")
    expect(
        all(isinstance(number, int) for _, number in rows),
        "First the manufacturer, then the number of flights.",
    )
    found = dict(rows)
    expect(len(found) == len(rows), "A maker has several rows: group by the maker alone.")
    expect(
        found.get("BOEING") != 2,
        "BOEING has two planes, and three flights: the flights are asked for.",
    )
    expect(
        "CESSNA" not in found,
        "CESSNA's plane did not fly. Which table must keep all of its rows?",
    )
    expect(
        None in found,
        "Flights 5 and 6 are lost: their plane is not known. An inner join drops them.",
    )
    expect(
        found[None] == 2,
        f"Flights 5 and 6 have no known plane, and {found[None]} were counted: count(column) "
        "leaves missing values out.",
    )
    expect(found == {"AIRBUS": 1, "BOEING": 3, None: 2}, f"Of 6 flights it found {found}.")


@exercise(
    "start with an empty set, and go through the commits from 0 up to the version.",
    "an 'add' puts a file into the set, a 'remove' takes it out.",
    "log[: version + 1] are the commits up to this version, itself included.",
)
def files_at(attempt):
    log = [
        [{"add": "a"}],
        [{"add": "b"}, {"add": "c"}],
        [{"remove": "a"}, {"add": "d"}],
        [{"remove": "d"}, {"add": "a"}, {"remove": "b"}],
    ]
    result = attempt(log, 1)
    expect(isinstance(result, (set, frozenset, list, tuple)), "Return the names of the files.")
    expect(
        set(result) != {"a"},
        "Version 1 is what stands after commit 1: that one counts, too.",
    )
    expect(
        set(result) == {"a", "b", "c"},
        "Version 1 holds a, b and c: later commits do not matter yet.",
    )
    expect(
        "a" not in set(attempt(log, 2)),
        "Commit 2 removed the file a, and version 2 still shows it.",
    )
    expect(set(attempt(log, 2)) == {"b", "c", "d"}, "Version 2 holds b, c and d.")
    expect(
        set(attempt(log, 3)) == {"a", "c"},
        "In commit 3 the file a comes back: what counts is the last action on a file.",
    )
    expect(set(attempt(log, 0)) == {"a"}, "Version 0 is the first commit.")
