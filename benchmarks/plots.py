"""Draws results as SVG files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.model import Plot, Results, Timeline
from pipecat_responses.testing.line import SLOT

COLOURS = {"Pipecat WebSocket": "#d1495b", "Pipecat HTTP": "#edae49"}
OUR_COLOURS = {"ours WebSocket": "#00798c", "ours HTTP": "#2e4057"}
GREY = "#8d99ae"

DRAWN = 3
"""Slots of 20 ms that are one point of a time line."""


def draw(results: Results, folder: Path) -> list[Path]:
    """Draws every plot into a folder.

    Returns:
        The files.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("svg")
    # Text stays text: whoever shows the file brings the font. Equal runs give equal files.
    matplotlib.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "pipecat-responses",
            "font.family": "sans-serif",
            "font.size": 10,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    return [
        drawn
        for findings in results.findings
        for drawn in (
            *(_draw(plot, folder / f"{plot.name}.svg") for plot in findings.plots),
            *(_line(each, folder / f"{each.name}.svg") for each in findings.timelines),
        )
    ]


def _line(timeline: Timeline, path: Path) -> Path:
    """The sides of calls, one below the other over the same seconds."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(7.2, 0.9 * len(timeline.strips) + 0.8), facecolor="white")
    all_axes: Any = picture.subplots(len(timeline.strips), sharex=True, squeeze=False)
    for axes, strip in zip(all_axes[:, 0], timeline.strips, strict=True):
        high = [max(strip.peaks[n : n + DRAWN]) for n in range(0, len(strip.peaks), DRAWN)]
        seconds = [n * DRAWN * SLOT for n in range(len(high))]
        low = [-peak for peak in high]
        colour = _style(strip.label)["color"] if strip.label.endswith("bot") else GREY
        axes.fill_between(seconds, low, high, color=colour, linewidth=0)
        axes.set_ylim(-1, 1)
        axes.set_yticks([])
        axes.set_ylabel(strip.label.replace(": ", "\n"), rotation=0, ha="right", va="center")
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    all_axes[0, 0].set_title(timeline.title, loc="left", fontweight="bold")
    all_axes[-1, 0].set_xlabel("seconds")
    picture.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
    return path


def _draw(plot: Plot, path: Path) -> Path:
    from matplotlib.figure import Figure

    picture = Figure(figsize=(7.2, 4.0), facecolor="white")
    axes: Any = picture.add_subplot()
    for series in plot.series:
        axes.plot(
            series.x,
            series.y,
            marker="o",
            markersize=4,
            linewidth=1.8,
            label=series.label,
            **_style(series.label),
        )
    if plot.log_x:
        axes.set_xscale("log")
    if plot.log_y:
        axes.set_yscale("log")
    ticks = sorted({x for series in plot.series for x in series.x})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if not plot.log_y:
        axes.set_ylim(bottom=0)
    axes.set_title(plot.title, loc="left", fontweight="bold")
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    axes.grid(True, color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    picture.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
    return path


def _style(label: str) -> dict[str, str]:
    for name, colour in {**COLOURS, **OUR_COLOURS}.items():
        if label.startswith(name):
            return {"color": colour, "linestyle": "--" if "full" in label else "-"}
    return {"color": GREY, "linestyle": ":"}
