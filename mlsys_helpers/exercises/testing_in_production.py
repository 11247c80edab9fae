"""The exercises of chapter 18."""

import numpy as np

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "hashlib.sha256(text.encode()).digest() gives 32 bytes that look random, always the same.",
    "int.from_bytes(digest[:8], 'big') / 2**64 is a number from 0 to 1.",
    "hash the salt together with the unit, and compare the number with the share.",
)
def gets_candidate(attempt):
    units = [f"N{number}" for number in range(2000)]

    def answers(salt, share):
        return np.array([attempt(unit, salt, share) for unit in units])

    half = answers("first", 0.5)
    expect(half.dtype == bool, "Return True or False.")
    expect(
        np.array_equal(half, answers("first", 0.5)),
        "The same unit was given another answer when it came back: draw nothing, hash.",
    )
    expect(
        abs(half.mean() - 0.5) < 0.06,
        f"Of 2,000 units at a share of 0.5, {half.mean():.0%} got the candidate.",
    )
    tenth = answers("first", 0.1)
    expect(
        abs(tenth.mean() - 0.1) < 0.04,
        f"Of 2,000 units at a share of 0.1, {tenth.mean():.0%} got the candidate.",
    )
    expect(
        not (tenth & ~half).any(),
        "When the share grew from 0.1 to 0.5, some units lost the candidate.",
    )
    both = (half & answers("second", 0.5)).mean()
    expect(
        abs(both - 0.25) < 0.05,
        f"With another salt {both:.0%} of the units get both candidates, where independent tests "
        "give 25 %: hash the salt, too.",
    )
    runs = np.abs(np.diff(half.astype(int))).mean()
    expect(abs(runs - 0.5) < 0.06, "Neighbouring units must be independent of each other.")
    expect(
        not answers("first", 0.0).any() and answers("first", 1.0).all(),
        "At a share of 0 nobody gets the candidate, at 1 everybody does.",
    )


@exercise(
    "outcome - outcome.mean() first; then sum these deviations within each unit.",
    "np.sqrt of the sum of the squared sums, divided by the number of outcomes (not of units).",
)
def standard_error(attempt):
    outcome, unit = np.array([1.0, 1, 0, 0, 1, 0]), np.array(["a", "a", "b", "b", "c", "c"])
    error = attempt(outcome, unit)
    expect(np.shape(error) == (), "Return one number.")
    expect(
        not np.isclose(error, outcome.std() / np.sqrt(6), rtol=1e-3)
        and not np.isclose(error, outcome.std(ddof=1) / np.sqrt(6), rtol=1e-3),
        "That takes the six outcomes as independent; there are three units.",
    )
    expect(
        not np.isclose(error, np.sqrt(2) / 3, rtol=1e-3),
        "Divide by the number of outcomes, 6, not by that of units.",
    )
    expect(
        not np.isclose(error, 2 / 36 * 6, rtol=1e-3) and not np.isclose(error, 2 / 6, rtol=1e-3),
        "The root is missing: take it of the sum of squares, before you divide.",
    )
    right = np.sqrt(2) / 6
    expect(np.isclose(error, right, rtol=1e-6), "The sums of the deviations are 1, −1 and 0.")
    values, names = np.array([3.0, 1, 8, 0, 2, 4, 2]), np.array([7, 2, 7, 7, 2, 9, 9])
    sums = [(values - values.mean())[names == name].sum() for name in (2, 7, 9)]
    expect(
        np.isclose(attempt(values, names), np.linalg.norm(sums) / 7, rtol=1e-6),
        "Units may be of different sizes and their rows in any order: sum each unit's deviations "
        "from the mean of *all* outcomes.",
    )
    alone = attempt(values, np.arange(7))
    expect(
        np.isclose(alone, values.std() / np.sqrt(7), rtol=1e-6),
        "Where each outcome is a unit of its own, this is the usual standard error.",
    )


@exercise(
    "first ask if it does harm, then if enough was seen, then where the next stage is.",
    "errors > limit * requests asks for the share without dividing by 0.",
)
def next_share(attempt):
    stages = [0.01, 0.05, 0.25, 0.5, 1.0]

    def step(share=0.05, requests=1000, errors=0, enough=500, stages=stages):
        return attempt(share, stages, requests, errors, 0.02, enough)

    expect(step(errors=50) == 0, "5 % errors at a limit of 2 %: abort, the share is 0.")
    expect(
        step(requests=100, errors=50) == 0,
        "Half of the first 100 requests were errors. Harm does not wait until enough was seen.",
    )
    expect(step(requests=100) == 0.05, "Not enough was seen yet: stay at the present share.")
    expect(step() == 0.25, "All is well and enough was seen: from 0.05 the next stage is 0.25.")
    expect(step(requests=0) == 0.05, "Without any request there is nothing to judge: stay.")
    expect(step(errors=20) == 0.25, "Exactly at the limit is not more than the limit.")
    expect(step(requests=500) == 0.25, "Exactly enough is enough.")
    expect(step(share=1.0) == 1.0, "At the last stage there is no next one: stay at 1.")
    expect(step(share=0.1, stages=[0.1, 0.3, 1.0]) == 0.3, "The stages are those that are given.")


@exercise(
    "look first if an arm was never pulled: there the formula divides by 0.",
    "rewards / pulls + np.sqrt(2 * np.log(pulls.sum()) / pulls), and np.argmax.",
)
def ucb1_arm(attempt):
    arm = attempt(np.array([10, 100, 50]), np.array([3.0, 50, 20]))
    expect(np.shape(arm) == () and arm == int(arm), "Return the number of one arm.")
    expect(
        arm != 1,
        "Arm 1 has the highest mean, but arm 0 was pulled 10 times only: add the bonus.",
    )
    expect(arm == 0, "The indices are 1.31, 0.82 and 0.85.")
    expect(
        attempt(np.array([1000, 900, 1200]), np.array([300.0, 450, 600])) == 1,
        "With many pulls the means decide, and of equal means the arm pulled less.",
    )
    expect(
        attempt(np.array([540, 80]), np.array([459.0, 56.0])) == 1,
        "The root is missing: the bonus is √(2 ln N / n).",
    )
    for pulls, rewards, right in (
        ([380, 40], [152.0, 4], 1),
        ([20, 210], [4.0, 126], 0),
        ([320, 40], [288.0, 20], 0),
    ):
        expect(
            attempt(np.array(pulls), np.array(rewards)) == right,
            "The bonus is √(2 ln N / n), with the natural logarithm of N, the pulls of *all* arms.",
        )
    expect(
        attempt(np.array([5, 3, 0]), np.array([5.0, 3, 0])) == 2,
        "An arm that was never pulled comes first.",
    )
