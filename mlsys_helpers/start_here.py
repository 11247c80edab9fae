"""The course as a whole: its chapters, its map, its index of techniques, and a check-up."""

import importlib
import json
import re
import socket
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "CHAPTERS",
    "ROUTES",
    "doctor",
    "course_map",
    "course_routes",
    "technique_index",
    "plot_course",
]

_ROOT = Path(__file__).parents[1]


class Chapter(NamedTuple):
    """One chapter: its name is that of its notebook, module, exercises and tests."""

    number: int
    name: str
    part: str
    minutes: int
    question: str

    @property
    def stem(self):
        return f"{self.number:02}_{self.name}"

    @property
    def title(self):
        title = self.name.replace("_", " ").replace("ml ", "ML ")
        return title[0].upper() + title[1:]


CHAPTERS = (
    Chapter(0, "start_here", "", 15, "How does this course work, and where do I begin?"),
    Chapter(1, "ml_system_design", "Systems", 60, "What must a system do besides score well?"),
    Chapter(2, "data_engineering", "Systems", 60, "Where does data come from, and how is it kept?"),
    Chapter(3, "dataflow", "Systems", 60, "How does data get from one process to another?"),
    Chapter(4, "sampling", "Data", 60, "Which rows do I look at, when I cannot look at all?"),
    Chapter(5, "labels", "Data", 60, "Where do labels come from, and can I believe them?"),
    Chapter(6, "class_imbalance", "Data", 75, "What if the class that matters is rare?"),
    Chapter(7, "data_augmentation", "Data", 60, "Can I make more data out of what I have?"),
    Chapter(8, "feature_engineering", "Features", 75, "How does a raw column become a feature?"),
    Chapter(9, "data_leakage", "Features", 60, "Why did the score collapse in production?"),
    Chapter(10, "model_selection", "Models", 60, "Which model should I choose, and how?"),
    Chapter(11, "ensembles", "Models", 60, "When are many models better than one?"),
    Chapter(12, "distributed_training", "Models", 75, "What if one machine is not enough?"),
    Chapter(13, "experiment_tracking", "Models", 45, "Which run was that, and can I repeat it?"),
    Chapter(14, "offline_evaluation", "Models", 75, "Is the model good, and good for everyone?"),
    Chapter(15, "deployment", "Production", 75, "How do predictions reach the people who ask?"),
    Chapter(16, "monitoring", "Production", 75, "How do I notice that the world has changed?"),
    Chapter(17, "continual_learning", "Production", 60, "When and how should a model be updated?"),
    Chapter(
        18, "testing_in_production", "Production", 75, "Is the new model better for real users?"
    ),
)


# Chapters by number. None needs more than what its own first lines and the route name.
ROUTES = {
    "self-study, an evening each": tuple(range(19)),
    "half-day workshop": (0, 6, 9, 14),
    "two-day workshop": (0, 1, 3, 4, 5, 6, 8, 9, 14, 15, 16, 17, 18),
}


class LibraryTechnique(NamedTuple):
    """A technique whose best home is a well-kept library, and the section that shows it."""

    name: str
    chapter: str
    section: str
    home: str


LIBRARY_TECHNIQUES = (
    LibraryTechnique(
        "Versioned tables on a data lake",
        "data_engineering",
        "A table that remembers",
        "deltalake.write_deltalake",
    ),
    LibraryTechnique(
        "Text as weighted words (TF-IDF)",
        "labels",
        "Weak supervision",
        "sklearn.feature_extraction.text.TfidfVectorizer",
    ),
    LibraryTechnique(
        "Self-training",
        "labels",
        "Semi-supervision",
        "sklearn.semi_supervised.SelfTrainingClassifier",
    ),
    LibraryTechnique(
        "Zero rule and other dummies",
        "class_imbalance",
        "A lazy model looks good",
        "sklearn.dummy.DummyClassifier",
    ),
    LibraryTechnique(
        "Random oversampling",
        "class_imbalance",
        "Under- and oversampling, SMOTE, Tomek links",
        "imblearn.over_sampling.RandomOverSampler",
    ),
    LibraryTechnique(
        "Random undersampling",
        "class_imbalance",
        "Under- and oversampling, SMOTE, Tomek links",
        "imblearn.under_sampling.RandomUnderSampler",
    ),
    LibraryTechnique(
        "SMOTE",
        "class_imbalance",
        "Under- and oversampling, SMOTE, Tomek links",
        "imblearn.over_sampling.SMOTE",
    ),
    LibraryTechnique(
        "Tomek links",
        "class_imbalance",
        "Under- and oversampling, SMOTE, Tomek links",
        "imblearn.under_sampling.TomekLinks",
    ),
    LibraryTechnique(
        "Mean and median imputation",
        "feature_engineering",
        "Deletion and imputation",
        "sklearn.impute.SimpleImputer",
    ),
    LibraryTechnique(
        "Iterative imputation",
        "feature_engineering",
        "Deletion and imputation",
        "sklearn.impute.IterativeImputer",
    ),
    LibraryTechnique(
        "Scaling to a range", "feature_engineering", "Scaling", "sklearn.preprocessing.MinMaxScaler"
    ),
    LibraryTechnique(
        "Standardisation", "feature_engineering", "Scaling", "sklearn.preprocessing.StandardScaler"
    ),
    LibraryTechnique(
        "One-hot encoding",
        "feature_engineering",
        "Unknown planes over the months",
        "sklearn.preprocessing.OneHotEncoder",
    ),
    LibraryTechnique(
        "k-means clustering", "model_selection", "Without labels", "sklearn.cluster.KMeans"
    ),
    LibraryTechnique(
        "Isolation forest",
        "model_selection",
        "Few labels: fraud as anomaly detection",
        "sklearn.ensemble.IsolationForest",
    ),
    LibraryTechnique(
        "Distance to neighbours",
        "model_selection",
        "Few labels: fraud as anomaly detection",
        "sklearn.neighbors.NearestNeighbors",
    ),
    LibraryTechnique(
        "Autoencoder",
        "model_selection",
        "Few labels: fraud as anomaly detection",
        "sklearn.neural_network.MLPRegressor",
    ),
    LibraryTechnique(
        "Random forest", "ensembles", "Is it worth it?", "sklearn.ensemble.RandomForestClassifier"
    ),
    LibraryTechnique(
        "Gradient checkpointing",
        "distributed_training",
        "Gradient checkpointing",
        "torch.utils.checkpoint.checkpoint_sequential",
    ),
    LibraryTechnique(
        "Data parallelism under torchrun",
        "distributed_training",
        "Many machines",
        "torch.nn.parallel.DistributedDataParallel",
    ),
    LibraryTechnique(
        "Threshold from a cost, cross-validated",
        "offline_evaluation",
        "Baselines",
        "sklearn.model_selection.TunedThresholdClassifierCV",
    ),
    LibraryTechnique(
        "Platt scaling, isotonic regression",
        "offline_evaluation",
        "Model Calibration",
        "sklearn.calibration.CalibratedClassifierCV",
    ),
    LibraryTechnique(
        "Metrics for Prometheus",
        "monitoring",
        "Metrics for machines, a page for people",
        "prometheus_client.start_http_server",
    ),
    LibraryTechnique(
        "Matrix factorisation",
        "continual_learning",
        "Networks, trees and factors",
        "sklearn.decomposition.TruncatedSVD",
    ),
)


def doctor():
    """Look this machine over and print, in plain words, what is fine and what is missing.

    Returns
    -------
    bool
        True if nothing is missing.

    Examples
    --------
    >>> from mlsys_helpers.start_here import doctor
    >>> healthy = doctor()  # doctest: +ELLIPSIS
    fine     Python ...
    """
    checks = (_look_at_python, _look_at_packages, _look_at_data, _look_at_memory, _look_at_port)
    findings = [look() for look in checks]
    for fine, text in findings:
        print(f"{'fine' if fine else 'MISSING':8} {text}")
    return all(fine for fine, _ in findings)


def _look_at_python():
    version = ".".join(map(str, sys.version_info[:3]))
    return sys.version_info >= (3, 11), f"Python {version}; the course needs 3.11 or later"


def _look_at_packages():
    lock = _ROOT / "requirements.lock"
    if not lock.is_file():
        return True, "packages: no requirements.lock here, so their versions were not compared"
    wanted = dict(line.split("==") for line in lock.read_text().splitlines() if "==" in line)
    wrong = []
    for name, version in wanted.items():
        try:
            here = metadata.version(name).split("+")[0]  # 2.13.0+cpu is a build of 2.13.0
        except metadata.PackageNotFoundError:
            here = "not installed"
        if here != version:
            wrong.append(f"{name} is {here}, wanted {version}")
    if wrong:
        return False, f"packages: {'; '.join(wrong)}. Run `make lab` again, it repairs this"
    return True, f"packages: all {len(wanted)} as in requirements.lock"


def _look_at_data():
    from mlsys_helpers import datasets

    try:
        for load in (datasets.load_flights, datasets.load_weather, datasets.load_planes):
            load()
        datasets.load_airports(), datasets.load_airlines()
    except (OSError, ValueError) as error:
        return False, f"data: {error}"
    return True, "data: all five tables of the flights are whole"


def _look_at_memory():
    try:
        import psutil
    except ImportError:
        return False, "memory: psutil is not installed, so nobody looked. Run `make lab` again"
    free = psutil.virtual_memory().available / 1e9
    return free > 2, f"memory: {free:.1f} GB free; a chapter needs up to 2 GB"


def _look_at_port():
    try:
        with socket.create_server(("127.0.0.1", 0)):
            return True, "network: a server can listen on this machine's loopback address"
    except OSError as error:
        return False, f"network: no server can listen on 127.0.0.1 ({error.strerror})"


def course_map(folder="."):
    """The chapter map as a Markdown table, with links to the chapters.

    Parameters
    ----------
    folder : str, default "."
        Where the notebooks lie, seen from the page that shows the map.

    Returns
    -------
    str

    Examples
    --------
    >>> from mlsys_helpers.start_here import course_map
    >>> print(course_map().splitlines()[0])
    | | chapter | the question it answers | minutes |
    """
    rows = ["| | chapter | the question it answers | minutes |", "|---|---|---|---|"]
    for chapter in CHAPTERS:
        link = f"[{chapter.title}]({folder}/{chapter.stem}.ipynb)"
        rows.append(f"| {chapter.number:02} | {link} | {chapter.question} | {chapter.minutes} |")
    return "\n".join(rows)


def course_routes():
    """The routes through the course as a Markdown table, with their chapters and hours.

    Returns
    -------
    str

    Examples
    --------
    >>> from mlsys_helpers.start_here import course_routes
    >>> print(course_routes().splitlines()[0])
    | route | chapters | hours |
    """
    rows = ["| route | chapters | hours |", "|---|---|---|"]
    for route, numbers in ROUTES.items():
        chapters = [CHAPTERS[number] for number in numbers]
        names = [f"{chapter.number:02}" for chapter in chapters]
        hours = sum(chapter.minutes for chapter in chapters) / 60
        rows.append(f"| {route} | {', '.join(names)} | {hours:.1f} |")
    return "\n".join(rows)


def technique_index(folder="."):
    """Where each technique stands, as a Markdown table: technique, helper, section, test.

    Parameters
    ----------
    folder : str, default "."
        Where the notebooks lie, seen from the page that shows the index.

    Returns
    -------
    str
        Chapter by chapter: one row for each public helper, then one for each technique that
        another library brings. The section is the first one of the notebook that uses it.

    Examples
    --------
    >>> from mlsys_helpers.start_here import technique_index
    >>> print(technique_index().splitlines()[0])
    | technique | helper | section | test |
    """
    rows = ["| technique | helper | section | test |", "|---|---|---|---|"]
    for chapter in CHAPTERS[1:]:
        rows += [_index_row(chapter, folder, *entry) for entry in _techniques(chapter)]
    return "\n".join(rows)


def _techniques(chapter):
    """For each technique of a chapter: what it is, its home, its section, what proves it."""
    module = importlib.import_module(f"mlsys_helpers.{chapter.name}")
    sections = _sections_by_helper(chapter, module.__all__)
    for helper in module.__all__:
        what = getattr(module, helper).__doc__.splitlines()[0].rstrip(".")
        section = sections.get(helper, chapter.title)
        yield what, f"{chapter.name}.{helper}", section, f"tests/test_{chapter.name}.py"
    for what, name, section, home in LIBRARY_TECHNIQUES:
        if name == chapter.name:
            yield what, home, section, f"notebooks/{chapter.stem}.ipynb"


def _index_row(chapter, folder, what, home, section, test):
    link = f"{folder}/{chapter.stem}.ipynb#{section.replace(' ', '-')}"
    return f"| {what} | `{home}` | [{chapter.number:02} · {section}]({link}) | `{test}` |"


def _sections_by_helper(chapter, helpers):
    """For each helper, the heading of the first section of the notebook that calls it."""
    path = _ROOT / "notebooks" / f"{chapter.stem}.ipynb"
    section, found = None, {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            headings = re.findall(r"^##+ (.+)$", source, flags=re.MULTILINE)
            section = headings[-1] if headings else section
        elif section:
            for helper in helpers:
                if re.search(rf"\b{helper}\(", source):
                    found.setdefault(helper, section)
    return found


def plot_course(ax=None):
    """The course as a picture: a year of flights, and the chapters that take it apart.

    Parameters
    ----------
    ax : matplotlib Axes or None

    Returns
    -------
    matplotlib Axes
        Above the chapters, the share of flights that arrived more than an hour late, by day.

    Examples
    --------
    >>> from mlsys_helpers.start_here import plot_course
    >>> ax = plot_course()
    """
    from matplotlib.patches import FancyBboxPatch

    from mlsys_helpers.plotting import COLORS, get_axes

    ax = get_axes(ax, figsize=(11, 6.4))
    parts = list(dict.fromkeys(chapter.part for chapter in CHAPTERS[1:]))
    colors = dict(zip(parts, ("blue", "green", "orange", "purple", "red"), strict=True))
    for x, part in enumerate(parts):
        ax.text(x, 0.6, part, ha="center", fontweight="bold", color=COLORS["black"], size=13)
        for y, chapter in enumerate(c for c in CHAPTERS if c.part == part):
            color = COLORS[colors[part]]
            corner, style = (x - 0.43, -y - 0.33), "round,pad=0.02"
            ax.add_patch(FancyBboxPatch(corner, 0.86, 0.66, style, color=color))
            text = f"{chapter.number:02}  {chapter.title}"
            ax.text(x, -y, text, ha="center", va="center", size=9.5, color="white")
    ax.set(xlim=(-0.55, 4.55), ylim=(-4.5, 3.9))
    ax.axis("off")
    _plot_year(ax.inset_axes([0.045, 0.69, 0.93, 0.25]))
    return ax


def _plot_year(ax):
    """The share of flights that arrived more than an hour late, day by day."""
    import pandas as pd
    from matplotlib.dates import DateFormatter, MonthLocator

    from mlsys_helpers.datasets import load_flights
    from mlsys_helpers.plotting import COLORS, percent_axis

    arrived = load_flights().dropna(subset="arr_delay")
    day = pd.to_datetime(arrived[["year", "month", "day"]])
    late = (arrived["arr_delay"] > 60).groupby(day).mean()
    ax.bar(late.index, late, width=1.0, color=COLORS["sky"])
    ax.xaxis.set_major_locator(MonthLocator())
    ax.xaxis.set_major_formatter(DateFormatter("%b"))
    percent_axis(ax)
    ax.set_xlim(late.index[0], late.index[-1])
    ax.set_title("Flights that left New York City in 2013: share over an hour late, by day")
    ax.grid(axis="x", visible=False)


if __name__ == "__main__":  # python -m mlsys_helpers.start_here: draw the README's picture anew
    from mlsys_helpers.plotting import use_style

    use_style()
    plot_course().figure.savefig(_ROOT / "course.png", metadata={"Software": None})
