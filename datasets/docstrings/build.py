"""Write docstrings.parquet anew: sentences from the docstrings of six installed libraries.

Run it with the course's environment: ``python datasets/docstrings/build.py``. Another version of
a library has other sentences; the versions of the file that is kept are in the data card.
"""

import importlib
import inspect
import re
import warnings
from pathlib import Path

import pandas as pd

MODULES = {
    "networkx": ["networkx"],
    "numpy": ["numpy", "numpy.linalg", "numpy.fft", "numpy.random", "numpy.ma", "numpy.polynomial"],
    "pandas": ["pandas", "pandas.api.types"],
    "scikit-learn": [
        "sklearn.calibration",
        "sklearn.cluster",
        "sklearn.compose",
        "sklearn.covariance",
        "sklearn.datasets",
        "sklearn.decomposition",
        "sklearn.ensemble",
        "sklearn.feature_extraction.text",
        "sklearn.feature_selection",
        "sklearn.gaussian_process",
        "sklearn.impute",
        "sklearn.inspection",
        "sklearn.linear_model",
        "sklearn.manifold",
        "sklearn.metrics",
        "sklearn.mixture",
        "sklearn.model_selection",
        "sklearn.naive_bayes",
        "sklearn.neighbors",
        "sklearn.neural_network",
        "sklearn.pipeline",
        "sklearn.preprocessing",
        "sklearn.semi_supervised",
        "sklearn.svm",
        "sklearn.tree",
        "sklearn.utils",
    ],
    "scipy": [
        "scipy.cluster.hierarchy",
        "scipy.fft",
        "scipy.integrate",
        "scipy.interpolate",
        "scipy.io",
        "scipy.linalg",
        "scipy.ndimage",
        "scipy.optimize",
        "scipy.signal",
        "scipy.sparse",
        "scipy.sparse.csgraph",
        "scipy.sparse.linalg",
        "scipy.spatial",
        "scipy.spatial.distance",
        "scipy.special",
        "scipy.stats",
    ],
    "torch": [
        "torch",
        "torch.distributions",
        "torch.linalg",
        "torch.nn",
        "torch.nn.functional",
        "torch.optim",
        "torch.utils.data",
    ],
}
PLAIN = re.compile(r"[A-Z][A-Za-z ,;:'()\-]+\.")  # no code, no digit, no formula


def docstrings(library, modules):
    """Every docstring of a public function, class or method that the library itself defines."""
    package = "sklearn" if library == "scikit-learn" else library
    for module in map(importlib.import_module, modules):
        public = [name for name in sorted(dir(module)) if not name.startswith("_")]
        for thing in (getattr(module, name) for name in public):
            members = [thing]
            if inspect.isclass(thing):
                names = [name for name in sorted(dir(thing)) if not name.startswith("_")]
                members += [getattr(thing, name, None) for name in names]
            for member in members:
                home = getattr(member, "__module__", None) or package
                if callable(member) and home.split(".")[0] == package:
                    yield inspect.getdoc(member) or ""


def sentences(text):
    """Its plain sentences of 6 to 40 words; examples, references and parameter names are left."""
    for part in re.split(r"\n(?=[A-Z][A-Za-z ]+\n-{3,})", text):
        if re.match(r"(Examples|References|See Also|Methods)", part):
            continue
        part = re.sub(r"^[A-Z][A-Za-z ]+\n-+\n", "", part)
        for paragraph in re.split(r"\n\s*\n|\n(?=\S[^\n]* : )", part):
            paragraph = re.sub(r"^\S+ : [^\n]*\n", "", paragraph)
            for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(paragraph.split())):
                if PLAIN.fullmatch(sentence) and 6 <= len(sentence.split()) <= 40:
                    yield sentence


def main():
    warnings.simplefilter("ignore")
    rows = [
        (sentence, library)
        for library, modules in MODULES.items()
        for text in docstrings(library, modules)
        for sentence in sentences(text)
    ]
    table = pd.DataFrame(rows, columns=["sentence", "library"])
    table = table.drop_duplicates()
    in_two = table["sentence"].duplicated(keep=False)  # whose sentence is it?
    table = table[~in_two].sort_values(["library", "sentence"], ignore_index=True)
    path = Path(__file__).with_name("docstrings.parquet")
    table.to_parquet(path, compression="zstd")
    print(table["library"].value_counts().to_string())
    print(len(table), "sentences,", table["sentence"].str.split().str.len().sum(), "words")


if __name__ == "__main__":
    main()
