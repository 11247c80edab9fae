"""Helpers of the course: one module a chapter, named as its notebook is.

Import the module that you need, for example ``from mlsys_helpers.class_imbalance import
choose_threshold``. This package itself loads nothing else, so that importing it costs nothing.
"""

__version__ = "0.1.0"
