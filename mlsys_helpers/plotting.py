"""The course's one look: a style for every figure, its colours, and small shared parts.

The colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart; sizes
are chosen so that a figure can be read from the back of a workshop room.
"""

import matplotlib.pyplot as plt
from matplotlib.ticker import PercentFormatter

from mlsys_helpers import _checks

__all__ = ["COLORS", "get_axes", "label_line", "percent_axis", "use_style"]

COLORS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "black": "#222222",
    "grey": "#8A8A8A",
    "light": "#E3E7EB",
}

_STYLE = {
    "figure.figsize": (7.5, 4.2),
    "figure.dpi": 96,
    "figure.constrained_layout.use": True,
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLORS["grey"],
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": plt.cycler(
        color=[COLORS[name] for name in ("blue", "orange", "green", "red", "purple", "sky")]
    ),
    "grid.color": COLORS["light"],
    "lines.linewidth": 2.2,
    "legend.frameon": False,
}


def use_style():
    """Draw every figure from here on in the course's style.

    Examples
    --------
    >>> from mlsys_helpers.plotting import use_style
    >>> use_style()
    """
    plt.rcParams.update(_STYLE)


def get_axes(ax=None, **figure_options):
    """The given Axes, or those of a new figure.

    Parameters
    ----------
    ax : matplotlib Axes or None
        Returned as it is unless None.
    **figure_options
        Passed to `matplotlib.pyplot.subplots` when a figure is made.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> from mlsys_helpers.plotting import get_axes
    >>> ax = get_axes(figsize=(4, 3))
    >>> get_axes(ax) is ax
    True
    """
    if ax is not None:
        return ax
    return plt.subplots(**figure_options)[1]


def label_line(ax, x, y, text, color, **options):
    """Write a line's name beside it, in its colour, so that no legend is needed.

    Parameters
    ----------
    ax : matplotlib Axes
    x, y : float
        Where the text begins, in the units of the axes.
    text : str
    color : str
        A name in `COLORS`, or any colour that matplotlib knows.
    **options
        Passed to `matplotlib.axes.Axes.annotate`; ``xytext`` moves the text, in points.

    Returns
    -------
    matplotlib Annotation

    Examples
    --------
    >>> from mlsys_helpers.plotting import get_axes, label_line
    >>> label_line(get_axes(), 0.5, 0.5, "recall", "blue").get_text()
    'recall'
    """
    options = {"xytext": (6, 0), "va": "center", "fontweight": "bold"} | options
    return ax.annotate(
        text, (x, y), textcoords="offset points", color=COLORS.get(color, color), **options
    )


def percent_axis(ax, which="y", decimals=0):
    """Show the ticks of an axis that holds shares from 0 to 1 as percentages.

    Parameters
    ----------
    ax : matplotlib Axes
    which : {"x", "y"}, default "y"
    decimals : int, default 0

    Raises
    ------
    ValueError
        If there is no such axis.

    Examples
    --------
    >>> from mlsys_helpers.plotting import get_axes, percent_axis
    >>> percent_axis(get_axes())
    """
    _checks.one_of(which, "which", ("x", "y"))
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_formatter(PercentFormatter(1, decimals=decimals))
