"""Draws results as SVG files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.model import Plot, Results

COLOURS = {"Pipecat WebSocket": "#d1495b", "Pipecat HTTP": "#edae49"}
OUR_COLOURS = {"ours WebSocket": "#00798c", "ours HTTP": "#2e4057"}
GREY = "#8d99ae"


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
        _draw(plot, folder / f"{plot.name}.svg")
        for findings in results.findings
        for plot in findings.plots
    ]


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
