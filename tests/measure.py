"""Measure the course on this machine, and write what came out into the README: `make measure`.

Each notebook runs alone, top to bottom, as a learner's Run All does. Memory is what its kernel and
every process that it started hold together at the worst moment, pages that they share counted once.
"""

import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient

from mlsys_helpers.start_here import CHAPTERS

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- measured: by `make measure` -->", "<!-- end of what was measured -->"
LOOK_EVERY = 0.1  # seconds between two looks at the memory


def memory(process):
    """Bytes that a process and all beneath it hold; what is shared counts once where told."""
    held = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            info = one.memory_full_info()
        except psutil.Error:  # it ended between two looks
            continue
        held += getattr(info, "pss", info.rss)
    return held


def watch(process, until, peak):
    while not until.wait(LOOK_EVERY):
        for kernel in process.children():
            peak[0] = max(peak[0], memory(kernel))


def measure(path):
    """Seconds, seconds of the slowest cell, and peak bytes of one notebook."""
    notebook, seconds, started = nbformat.read(path, as_version=4), {}, {}

    def starts(cell, cell_index):
        started[cell_index] = time.perf_counter()

    def ends(cell, cell_index, execute_reply):
        seconds[cell_index] = time.perf_counter() - started[cell_index]

    client = NotebookClient(
        notebook,
        timeout=200,
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=starts,
        on_cell_executed=ends,
    )
    done, peak = threading.Event(), [0]
    watcher = threading.Thread(target=watch, args=(psutil.Process(), done, peak))
    watcher.start()
    try:
        client.execute()
    finally:
        done.set()
        watcher.join()
    return sum(seconds.values()), max(seconds.values()), peak[0]


def measure_tests():
    """What pytest says at its end: how many passed, in how many seconds."""
    command = [sys.executable, "-m", "pytest", "--quiet"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    last = result.stdout.strip().splitlines()[-1]
    if result.returncode:
        raise SystemExit(f"the tests do not pass, so nothing was written: {last}")
    return re.search(r"(\d+) passed", last)[1], float(re.search(r"in ([\d.]+)s", last)[1])


def table(rows, passed, test_seconds):
    """The section of the README, from what was measured."""
    cores, gigabytes = os.cpu_count(), psutil.virtual_memory().total / 2**30
    lines = [
        BEGIN,
        f"Measured on {date.today():%d %B %Y} with {cores} cores, {gigabytes:.0f} GB of memory and "
        f"Python {platform.python_version()}, each chapter alone from top to bottom. "
        f"`make test`: {int(passed):,} tests in {test_seconds / 60:.1f} minutes.",
        "",
        "| | chapter | seconds | slowest cell (s) | peak memory (MB) |",
        "|---|---|---:|---:|---:|",
    ]
    for chapter, seconds, slowest, peak in rows:
        lines.append(
            f"| {chapter.number:02} | {chapter.title} | {seconds:.0f} | {slowest:.1f} "
            f"| {peak / 1e6:,.0f} |"
        )
    return "\n".join([*lines, END])


def main():
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLSYS_PROGRESS"] = os.path.join(folder, "progress")  # not the learner's own
        for chapter in CHAPTERS:
            seconds, slowest, peak = measure(ROOT / "notebooks" / f"{chapter.stem}.ipynb")
            print(f"{chapter.stem:26} {seconds:5.1f} s {peak / 1e6:6.0f} MB", flush=True)
            rows.append((chapter, seconds, slowest, peak))
    section = table(rows, *measure_tests())
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    readme.write_text(before + section + after, encoding="utf-8")


if __name__ == "__main__":
    main()
