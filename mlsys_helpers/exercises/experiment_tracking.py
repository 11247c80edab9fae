"""The exercises of chapter 13."""

import numpy as np
import pandas as pd

from mlsys_helpers.exercises._engine import exercise, expect


@exercise(
    "imagine the numbers of all layers in one long vector.",
    "its length is the square root of the sum of all squares.",
    "sum the squares over every layer first; take one root at the end.",
)
def global_norm(attempt):
    gradients = [np.array([[1.0, -2.0], [4.0, 2.0]]), np.array([-4.0, 8.0, 8.0])]
    norm = attempt(gradients)
    expect(np.ndim(norm) == 0, "Return one number for all layers together.")
    expect(not np.isclose(norm, 17), "Norms do not add: 5 and 12 make 13. Add the squares.")
    expect(not np.isclose(norm, 169), "That is the square of the length: take the root at the end.")
    expect(not np.isclose(norm, 12), "That is the longest layer, not all of them together.")
    expect(
        not np.isclose(norm, 13 / np.sqrt(7)),
        "That is a mean over the numbers; the length is the root of their sum of squares.",
    )
    expect(not np.isclose(norm, 17 / 2), "That is a mean over the layers.")
    expect(np.isclose(norm, 13), "The layers have lengths 5 and 12: 25 + 144 = 169 = 13 · 13.")
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=shape) for shape in ((3, 4), (4,), (2, 3, 4))]
    whole = np.concatenate([gradient.ravel() for gradient in gradients])
    expect(
        np.isclose(attempt(gradients), np.linalg.norm(whole)),
        "Three layers, one of three dimensions: every number counts once.",
    )
    expect(np.isclose(attempt([np.zeros(3)]), 0), "A gradient of zeros has the length 0.")


@exercise(
    "walk through the epochs, and remember the best one so far.",
    "stop as soon as the present epoch lies `patience` epochs behind the best one.",
    "what comes after the stop you have not seen: it cannot be the best.",
)
def early_stop(attempt):
    losses = [0.9, 0.6, 0.5, 0.55, 0.52, 0.51, 0.53, 0.3]
    pair = attempt(np.array(losses), 3)
    expect(np.shape(pair) == (2,), "Return two epochs: the best one seen, and the last one run.")
    best, stop = pair
    expect((best, stop) != (5, 2), "The two are swapped: the best epoch first.")
    expect(
        best != 7,
        "The loss of epoch 7 is the lowest, but training stopped before: nobody saw it.",
    )
    expect((best, stop) != (3, 6), "Epochs count from 0.")
    expect(stop != 6, "Epoch 5 is the third without an improvement, and the patience is 3: stop.")
    expect(
        stop != 4,
        "Compare with the best loss so far, not with that of the epoch before.",
    )
    expect((best, stop) == (2, 5), "Epoch 2 is the best one seen; 3, 4 and 5 are no better.")
    expect(
        tuple(attempt(np.array([0.5, 0.6, 0.55, 0.54, 0.56]), 2)) == (0, 2),
        "Losses 0.5, 0.6, 0.55: neither is better than the first, though 0.55 is below 0.6.",
    )
    expect(
        tuple(attempt(np.array([0.5, 0.5, 0.5, 0.4]), 2)) == (0, 2),
        "Equal is not better: epochs 1 and 2 did not improve on epoch 0.",
    )
    expect(
        tuple(attempt(np.array([0.5, 0.4, 0.3]), 2)) == (2, 2),
        "The loss improved to the end: the last epoch is the best, and the last one run.",
    )
    expect(
        tuple(attempt(np.array([0.5, 0.4, 0.45, 0.42]), 5)) == (1, 3),
        "It never comes to 5 epochs without an improvement: all 4 are run, and epoch 1 is best.",
    )
    expect(
        tuple(attempt(np.array([0.5, 0.6, 0.4]), 1)) == (0, 1),
        "A patience of 1: the first epoch that is no better is the last.",
    )
    long = np.array([*np.linspace(1, 0.1, 12), 0.2, 0.3, 0.15, 0.4, 0.05])
    expect(tuple(attempt(long, 4)) == (11, 15), "Twelve epochs improve, the next four do not.")


@exercise(
    "keep the finished runs first.",
    "`idxmin` gives the label of the smallest value, and skips missing ones; a label goes to .loc.",
    "float() makes a number of the text in params.learning_rate.",
)
def best_run(attempt):
    runs = pd.DataFrame(
        {
            "run_id": ["a1", "b2", "c3", "d4", "e5"],
            "status": ["FINISHED", "FAILED", "FINISHED", "FINISHED", "RUNNING"],
            "metrics.valid_loss": [0.31, 0.12, np.nan, 0.27, 0.11],
            "params.learning_rate": ["0.01", "1.0", "0.1", "3e-3", "0.001"],
        },
        index=[7, 5, 3, 1, 9],
    )
    pair = attempt(runs)
    expect(np.ndim(pair) == 1 and len(pair) == 2, "Return the id and the rate.")
    best, rate = tuple(pair)
    expect(best not in ("b2", "e5"), "That run failed, or is not over: take FINISHED ones only.")
    expect(best != "a1", "Of the finished runs that is the highest loss. Low is good.")
    expect(best != "c3", "That run has no validation loss: a missing one is not the lowest.")
    expect(best == "d4", "Run d4 has 0.27, the lowest loss of the finished runs.")
    expect(not isinstance(rate, str), "The learning rate is still text; return a number.")
    expect(np.isclose(rate, 0.003), "The learning rate of run d4 is 3e-3.")
    order = runs.iloc[[3, 0, 4, 2, 1]].assign(**{"metrics.valid_loss": [0.4, 0.2, 0.1, 0.3, 0.05]})
    best, rate = attempt(order)
    expect(best == "a1" and np.isclose(rate, 0.01), "In other runs, in another order, a1 has 0.2.")
    killed = runs.assign(status=["KILLED", "FINISHED", "SCHEDULED", "FINISHED", "KILLED"])
    killed["params.learning_rate"] = ["0.1", "5e-1", "0.3", "0.4", "0.2"]
    best, rate = attempt(killed)
    expect(
        best == "b2" and np.isclose(rate, 0.5),
        "A run may be KILLED or SCHEDULED, too: only b2 and d4 are FINISHED here, and b2 has 0.12.",
    )


@exercise(
    "a package may be missing on either side: look at all keys of both.",
    "then.keys() | now.keys() is the union; get(package) gives None for what is missing.",
    "keep a package where get gives two different versions.",
)
def what_changed(attempt):
    then = {"numpy": "2.4.6", "torch": "2.13.0", "scipy": "1.17.1"}
    now = {"numpy": "2.4.6", "torch": "2.14.0", "polars": "1.9"}
    found = attempt(then, now)
    expect(isinstance(found, dict), "Return a dict, from package to a pair of versions.")
    expect("numpy" not in found, "numpy is the same in both: it has not changed.")
    expect("scipy" in found, "scipy is gone: what is missing now has changed, too.")
    expect("polars" in found, "polars is new: what was not there then has changed, too.")
    expect("torch" in found, "torch was 2.13.0 and is 2.14.0.")
    expect(all(np.shape(pair) == (2,) for pair in found.values()), "Each entry is a pair.")
    pairs = {package: tuple(pair) for package, pair in found.items()}
    expect(pairs["torch"] != ("2.14.0", "2.13.0"), "The pair is swapped: then first, now second.")
    expect(pairs["torch"] == ("2.13.0", "2.14.0"), "torch was 2.13.0 and is 2.14.0.")
    expect(
        pairs["scipy"] == ("1.17.1", None) and pairs["polars"] == (None, "1.9"),
        "Where a package is missing, its version is None.",
    )
    expect(attempt(then, dict(then)) == {}, "Two equal environments: nothing has changed.")
    expect(
        {key: tuple(pair) for key, pair in attempt({"a": "1.10"}, {"a": "1.1"}).items()}
        == {"a": ("1.10", "1.1")},
        "1.10 and 1.1 are two versions: compare them as text, not as numbers.",
    )
    expect(
        list(attempt({"a": "1.1.0", "b": "2.0"}, {"a": "1.1.1", "b": "2.0"})) == ["a"],
        "1.1.0 and 1.1.1 are two versions: the last number counts, too.",
    )
