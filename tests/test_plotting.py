"""The course's look: told apart by colour-blind eyes, readable from afar."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from mlsys_helpers.plotting import COLORS, get_axes, label_line, percent_axis, use_style

# Machado, Oliveira and Fernandes (2009), severity 1: what a colour-blind eye sees of a colour.
SEEN = {
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
}


@pytest.mark.parametrize("eye", SEEN)
def test_colour_blind_readers_can_tell_the_lines_apart(eye):
    lines = [name for name in COLORS if name not in ("light", "grey")]
    seen = {name: np.array(SEEN[eye]) @ to_rgb(COLORS[name]) for name in lines}
    for first in lines:
        for second in lines:
            if first < second:
                assert np.linalg.norm(seen[first] - seen[second]) > 0.12, (first, second)


def test_the_style_is_the_courses():
    use_style()
    assert plt.rcParams["font.size"] >= 12
    assert not plt.rcParams["axes.spines.top"]
    cycle = [entry["color"] for entry in plt.rcParams["axes.prop_cycle"]]
    assert cycle == [COLORS[name] for name in ("blue", "orange", "green", "red", "purple", "sky")]


def test_given_axes_are_used_and_new_ones_made():
    ax = get_axes(figsize=(3, 2))
    assert get_axes(ax) is ax
    assert ax.figure.get_size_inches().tolist() == [3, 2]


def test_labels_and_percentages():
    ax = get_axes()
    label = label_line(ax, 0.2, 0.4, "recall", "red", xytext=(0, 9))
    assert label.get_color() == COLORS["red"] and label.xy == (0.2, 0.4)
    percent_axis(ax, "x", decimals=1)
    assert ax.xaxis.get_major_formatter()(0.125, 0) == "12.5%"
    assert ax.yaxis.get_major_formatter() is not ax.xaxis.get_major_formatter()
    with pytest.raises(ValueError, match="which must be one of 'x', 'y', got 'z'"):
        percent_axis(ax, "z")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")
