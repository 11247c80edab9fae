"""The first exercise of the course."""

import numpy as np

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "what does arr_delay hold for a flight that never arrived?",
    "drop the missing values first, then take the mean of a comparison.",
)
def late_share(attempt):
    delays = np.array([61.0, 60.0, -5.0, 130.0, np.nan])
    share = attempt(delays)
    expect(not np.isnan(share), "The missing delay made the share missing too.")
    expect(
        not np.isclose(share, 2 / 5),
        "The flight without an arrival counts as on time here. Leave it out of the division.",
    )
    expect(
        not np.isclose(share, 3 / 4),
        "Late means *more* than 60 minutes, and nobody knows how late the last flight was.",
    )
    expect(
        not np.isclose(share, 3 / 5),
        "The flight without an arrival, or the one of exactly 60 minutes, counts as late here.",
    )
    expect(np.isclose(share, 2 / 4), "Two of the four flights that arrived were over an hour late.")
    share = attempt(np.array([-10.0, 0.0]))
    expect(np.isclose(share, 0), "No flight was late, so the share is 0.")
