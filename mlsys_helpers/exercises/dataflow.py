"""The exercises of chapter 03."""

import json

import numpy as np

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "a mean of means is wrong unless all parts are of one size.",
    "count times mean is the part's sum. Add the sums, add the counts, and divide once.",
    "a part without rows has no mean; leave it out of the sum.",
)
def merge_means(attempt):
    pair = attempt([(1, 10.0), (3, 2.0)])
    expect(np.shape(pair) == (2,), "Return two things: count, mean.")
    count, mean = pair
    expect(
        not np.isclose(mean, 6.0),
        "That is the mean of the means. The second part has three rows and must weigh as much.",
    )
    expect(not np.isclose(mean, 16.0), "That is the sum of all rows; divide it by their count.")
    expect(count == 4, "One row and three rows are four.")
    expect(np.isclose(mean, 4.0), "The rows add up to 10 + 3 · 2 = 16, and there are four.")
    count, mean = attempt([(2, 5.0), (0, None)])
    expect(count == 2 and np.isclose(mean, 5.0), "A part without rows must change nothing.")
    count, mean = attempt([(2, 0.0), (1, 1.5), (3, 0.5)])
    expect(count != 4, "The first part has a mean of 0, and two rows: they count.")
    expect(count == 6, "Two rows, one and three are six. There may be any number of parts.")
    expect(np.isclose(mean, 0.5), "Here the rows add up to 3.0, and 3.0 / 6 = 0.5; do not round.")
    merged = attempt([attempt([(1, 10.0), (3, 2.0)]), (4, 8.0)])
    expect(
        merged[0] == 8 and np.isclose(merged[1], 6.0),
        "What you return must be fit to be merged again.",
    )
    expect(tuple(attempt([(0, None)])) == (0, None), "Without any row the answer is (0, None).")


def _body(number, origin):
    return json.dumps({"number": number, "origin": origin}).encode()


@exercise(
    "keep a set of the numbers that are done, and look there first.",
    "put json.loads and both look-ups into one try; except (ValueError, KeyError, TypeError).",
    "a dead letter keeps its body as it came, and is not counted.",
)
def handle(attempt):
    good = [_body(1, "JFK"), _body(2, "EWR"), _body(3, "JFK")]
    pair = attempt(good)
    expect(
        isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], dict),
        "Return two things: a dict of counts, and a list of bodies.",
    )
    expect(dict(pair[0]) == {"JFK": 2, "EWR": 1}, "Three flights: two of JFK and one of EWR.")
    expect(list(pair[1]) == [], "Nothing is wrong with these three, so no letter is dead.")
    counts, dead = attempt([*good, good[0], _body(2, "EWR")])
    expect(
        dict(counts) == {"JFK": 2, "EWR": 1},
        "Numbers 1 and 2 were delivered again, and were counted again. Once is enough.",
    )
    expect(list(dead) == [], "A message that comes again is no dead letter: it has been handled.")
    counts, _ = attempt([_body(1, "JFK"), b'{"origin": "JFK", "number": 1}'])
    expect(
        dict(counts) == {"JFK": 1},
        "Two bodies may differ and hold the same number. Compare the numbers, not the bytes.",
    )
    counts, dead = attempt([_body(0, "LGA")])
    expect(
        dict(counts) == {"LGA": 1} and len(dead) == 0,
        "0 is a number, too. Ask if the field is there, not if it is true.",
    )
    bad = [b"\xff\xfe", b'{"number": 4', b'{"number": 5}', b'{"origin": "LGA"}', b"[1, 2]", b"7"]
    counts, dead = attempt([bad[0], good[0], *bad[1:4], good[1], *bad[4:]])
    expect(
        dict(counts) == {"JFK": 1, "EWR": 1},
        "Only two of these can be handled; a message without its number or origin cannot.",
    )
    expect(len(dead) > 0, "The messages that cannot be handled are gone. Keep them.")
    expect(
        list(dead) == bad,
        "Each body that cannot be handled belongs into the list, as it came and in its order.",
    )
    counts, dead = attempt([b'{"number": 6}', _body(6, "LGA")])
    expect(
        dict(counts) == {"LGA": 1},
        "A number is done when its message has been handled, not when it has been seen.",
    )


@exercise(
    "offsets are not places in the list: the list may begin at any offset.",
    "events with an offset above last_read are unread.",
    "if the oldest offset kept is above last_read + 1, those between are gone.",
)
def unread(attempt):
    log = [(0, "a"), (1, "b"), (2, "c")]
    pair = attempt(log, 0)
    expect(
        isinstance(pair, (tuple, list))
        and [np.ndim(part) for part in pair] == [1, 0]
        and not isinstance(pair[1], str),
        "Return two things: a list of events, and a number.",
    )
    events, gone = pair
    expect(list(events) != ["a", "b", "c"], "The event at offset last_read has been read.")
    expect(
        list(events) == ["b", "c"], "Offset 0 is read, so the events at 1 and 2 are unread: b, c."
    )
    expect(gone == 0, "Nothing has been removed from this log.")
    events, gone = attempt(log, -1)
    expect(list(events) == ["a", "b", "c"], "With −1 nothing has been read yet.")
    expect(gone == 0, "Nothing is lost: the log begins at offset 0, which is the next to read.")
    trimmed = [(5, "f"), (6, "g"), (7, "h")]
    events, gone = attempt(trimmed, 6)
    expect(list(events) == ["h"], "Offsets are not places in the list: 7 is the only one above 6.")
    expect(
        gone == 0,
        "What retention removed had been read already, so nothing *unread* is gone.",
    )
    events, gone = attempt(trimmed, 1)
    expect(list(events) == ["f", "g", "h"], "All three that are kept are unread.")
    expect(gone == 3, "Offsets 2, 3 and 4 were unread, and are gone: three.")
    for last_read, missed in ((0, 4), (-1, 5)):
        _, gone = attempt(trimmed, last_read)
        expect(gone == missed, f"Whoever has read up to {last_read} has missed {missed} events.")
    expect(tuple(attempt(trimmed, 7)) == ([], 0), "Everything has been read, and nothing is lost.")


@exercise(
    "first find the start of the event's window, then ask if that window is closed.",
    "closed means: start + width <= latest - lateness, with the latest time seen before.",
    "an old event must not move `latest` back: latest = max(latest, time).",
)
def count_events(attempt):
    pair = attempt([1, 4, 12, 15], 10, 0)
    expect(
        isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], dict),
        "Return two things: a dict, and a number.",
    )
    counts, late = pair
    expect(set(counts) == {0, 10}, "Key the windows by their start: here 0 and 10.")
    expect(dict(counts) == {0: 2, 10: 2}, "Two events lie in [0, 10) and two in [10, 20).")
    expect(late == 0, "These came in order, so none is late.")
    counts, late = attempt([1, 8, 3, 5], 10, 0)
    expect(
        late == 0 and dict(counts) == {0: 4},
        "Out of order is not too late: the window [0, 10) is still open when 3 and 5 come.",
    )
    counts, late = attempt([1, 12, 3], 10, 0)
    expect(
        late == 1 and dict(counts) == {0: 1, 10: 1},
        "Once 12 has come, the watermark is 12 and the window [0, 10) is closed; 3 is too late.",
    )
    counts, late = attempt([1, 12, 3], 10, 5)
    expect(
        late == 0 and dict(counts) == {0: 2, 10: 1},
        "With a lateness of 5 the watermark is 7, the window [0, 10) is open, and 3 counts.",
    )
    counts, late = attempt([10, 9], 10, 0)
    expect(late == 1, "A window that ends *at* the watermark is closed.")
    counts, late = attempt([25, 16, 8], 10, 7)
    expect(
        late == 1 and dict(counts) == {20: 1, 10: 1},
        "The watermark never goes back: after 25 and 16 the latest time seen is 25.",
    )
    counts, late = attempt([-7, -2, 1], 5, 0)
    expect(
        late == 0,
        "These came in order, so none is late. Before the first event, no time has been seen.",
    )
    expect(
        dict(counts) == {-10: 1, -5: 1, 0: 1},
        "Times may be negative: with a width of 5, −7 lies in [−10, −5) and −2 in [−5, 0).",
    )
    expect(tuple(attempt([], 10, 0)) == ({}, 0), "No events: nothing counted, nothing late.")
