"""The results, as text, as JSON and as a chart."""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path

DETAILS = ("median_ms", "p99_ms", "generator_busy", "prosody_busy", "easy-invite_busy")
"""Further numbers of a measurement, besides the figure that is compared."""


@dataclass
class Row:
    """Several sides that did the same, in turn."""

    key: str
    title: str
    figure: str = "per_second"
    """The number that is compared. Higher is better, unless the title says otherwise."""
    sides: dict[str, list[dict]] = field(default_factory=dict)
    """Each side's measurements, one for each round."""
    goals: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    """Each side's goal: another side, "at least" or "at most", and the ratio to reach."""

    def add(self, side: str, measured: dict) -> None:
        """Adds a round of a side."""
        self.sides.setdefault(side, []).append(measured)

    def median(self, side: str, number: str | None = None) -> float | None:
        """The median of a side's rounds for a number, by
        default the figure, or None if it was not measured."""
        name = number or self.figure
        values = [measured[name] for measured in self.sides[side] if name in measured]
        return statistics.median(values) if values else None

    def ratios(self, side: str, other: str) -> list[float]:
        """The ratio in each round. A disturbance of the machine affects both sides of a round."""
        return [one[self.figure] / another[self.figure] for one, another in zip(self.sides[side], self.sides[other])]

    def ratio(self, side: str, other: str) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios(side, other))

    def text(self) -> str:
        """The row as a table."""
        width = max(map(len, self.sides))
        first = next(iter(self.sides))
        figure = self.figure.replace("_", " ")
        lines = [self.title, f"  {'':{width}}  {figure:>12}  {'ratio':>7}  {'median ms':>9}  {'p99 ms':>8}  "
                             "busy: load, Prosody, easy-invite"]
        for side in self.sides:
            load, *servers = (self.median(side, name) for name in DETAILS[2:])
            shares = " ".join("   -" if share is None else f"{share:4.0%}" for share in (load, *servers))
            times = [self.median(side, name) for name in ("median_ms", "p99_ms")]
            median, p99 = ("-" if value is None else f"{value:.2f}" for value in times)
            line = (f"  {side:{width}}  {shown(self.median(side)):>12}  {self.ratio(side, first):7.3g}  {median:>9}  "
                    f"{p99:>8}  {shares}")
            if side in self.goals:
                other, bound, wanted = self.goals[side]
                ratios = self.ratios(side, other)
                line += (f"  [{self.ratio(side, other):.3g} of {other}, {min(ratios):.3g} to {max(ratios):.3g}; "
                         f"goal: {bound} {wanted:g}]")
            lines.append(line)
        return "\n".join(lines)

    def data(self) -> dict:
        """Everything in the row, for programs."""
        goals = {side: {"against": other, "bound": bound, "wanted": wanted, "reached": self.ratio(side, other)}
                 for side, (other, bound, wanted) in self.goals.items()}
        numbers = (self.figure, *DETAILS)
        medians = {side: {name: value for name in numbers if (value := self.median(side, name)) is not None}
                   for side in self.sides}
        return {"key": self.key, "title": self.title, "figure": self.figure, "medians": medians, "goals": goals,
                "rounds": self.sides}


def shown(value: float) -> str:
    """A figure with its significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write(rows: list[Row], machine: dict, folder: Path) -> None:
    """Writes bench.json and bench.txt."""
    data = {"machine": machine, "rows": [row.data() for row in rows]}
    (folder / "bench.json").write_text(json.dumps(data, indent=1) + "\n")
    facts = "\n".join(f"{name}: {value}" for name, value in machine.items())
    (folder / "bench.txt").write_text(facts + "\n\n" + "\n\n".join(row.text() for row in rows) + "\n")


def chart(rows: list[Row], file: Path) -> None:
    """Draws New Invite per second by the number of waiting
    invites, ours and Prosody's own, on logarithmic axes."""
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.hashsalt": "easy-invite", "font.family": "sans-serif", "axes.spines.top": False,
                            "axes.spines.right": False})
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row.key.startswith("waiting/"):
            for side in row.sides:
                name, _, waiting = side.rpartition(", ")
                lines.setdefault(name, []).append((int(waiting.replace(",", "").split()[0]), row.median(side)))
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, points in lines.items():
        points.sort()
        axes.plot([waiting for waiting, _ in points], [rate for _, rate in points], marker="o", label=name)
    axes.set(yscale="log", xlabel="invites waiting already", ylabel="New Invite per second, 8 at once")
    axes.set_xscale("symlog", linthresh=1000, linscale=0.5)
    sizes = sorted({waiting for points in lines.values() for waiting, _ in points})
    axes.set_xticks(sizes)
    axes.set_xlim(-100, 1.3 * sizes[-1])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(file, metadata={"Date": None})
