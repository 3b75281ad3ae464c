"""`python -m bench.plot FILE`: draws throughput against concurrency and latency, from JSON on the standard input."""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # needs no screen; chosen before pyplot is imported
from matplotlib import pyplot as plt


def main(document: dict[str, Any], path: str) -> None:
    """Two pictures side by side, both axes logarithmic."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True)
    for (axis, points), plot, column in zip(document["series"].items(), axes, (0, 1), strict=True):
        along = [point[0] if column == 0 else point[1] * 1000 for point in points]
        plot.plot(along, [point[0] / point[1] for point in points], ":", color="grey", label="concurrency ÷ latency")
        for number, name in enumerate(document["systems"]):
            plot.plot(along, [point[2 + number] for point in points], "o-", label=name)
        plot.set(xscale="log", yscale="log", xlabel="calls in flight" if column == 0 else "latency of the API (ms)")
        plot.set_title(f"Throughput against {axis}")
        plot.grid(visible=True, which="both", alpha=0.3)
    axes[0].set_ylabel("closures/s")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(json.load(sys.stdin), sys.argv[1])
