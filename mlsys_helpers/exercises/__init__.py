"""Exercises: ``check`` judges an attempt, ``hint`` helps, ``progress`` tells what is solved."""

from mlsys_helpers.exercises._engine import check, hint, progress

__all__ = ["check", "hint", "progress"]
