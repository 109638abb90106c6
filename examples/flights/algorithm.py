"""When, and with whom, does one leave New York on time?

An algorithm for Compute-to-Data, written against Ocean's published conventions: it reads the
datasets that `DIDS` names from `/data/inputs/<did>/0`, its parameters from
`/data/inputs/algoCustomData.json`, and writes what may leave to `/data/outputs`: means over many
flights, the weights of a small model and a plot, but no row of the data itself.
"""

# ruff: noqa: INP001, T201 - it stands alone, and its log is what it prints

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

INPUTS = Path(os.environ.get("INPUTS", "/data/inputs"))
OUTPUTS = Path(os.environ.get("OUTPUTS", "/data/outputs"))
COLUMNS = ["month", "day", "hour", "carrier", "origin", "dep_delay"]
ENOUGH = 100  # flights that a mean must rest on to be drawn
RED, BLUE, GREY = "#c2403a", "#2b5f8a", "#8a8f98"


def load() -> tuple[pd.DataFrame, dict[str, str]]:
    """Read the flights that left, and the names of the carriers, in the order of `DIDS`."""
    flights_did, carriers_did = json.loads(os.environ["DIDS"])
    flights = pd.read_csv(INPUTS / flights_did / "0", usecols=COLUMNS)
    carriers = pd.read_csv(INPUTS / carriers_did / "0", index_col="carrier")["name"]
    return flights.dropna(subset=["dep_delay"]), carriers.to_dict()


def means(flights: pd.DataFrame, by: str, late: float) -> pd.DataFrame:
    """Count flights, their mean delay, and the share that leaves late."""
    groups = flights.assign(late=flights["dep_delay"] > late).groupby(by)
    return groups.agg(
        flights=("dep_delay", "size"), mean_delay=("dep_delay", "mean"), late=("late", "mean")
    )


def features(flights: pd.DataFrame) -> pd.DataFrame:
    """Turn what is known when one books into columns of numbers."""
    hour = (flights["hour"] - 13) / 6
    known = pd.get_dummies(
        flights[["month", "carrier", "origin"]].astype(str), drop_first=True, dtype=float
    )
    return known.assign(one=1.0, hour=hour, hour2=hour**2, hour3=hour**3)


def fit(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fit a logistic regression by Newton's method."""
    weights = np.zeros(x.shape[1])
    for _ in range(8):
        chance = 1 / (1 + np.exp(-x @ weights))
        curvature = (x * (chance * (1 - chance))[:, None]).T @ x + 1e-3 * np.eye(x.shape[1])
        weights += np.linalg.solve(curvature, x.T @ (y - chance) - 1e-3 * weights)
    return weights


def model(flights: pd.DataFrame, late: float, every: int) -> dict:
    """Learn who leaves late on most days; judge it on the days that it has not seen."""
    table, is_late = features(flights), (flights["dep_delay"] > late).to_numpy(float)
    unseen = (flights["day"] % every == 0).to_numpy()
    weights = fit(table[~unseen].to_numpy(), is_late[~unseen])
    chance = 1 / (1 + np.exp(-table[unseen].to_numpy() @ weights))
    tenths = np.array_split(np.argsort(chance, kind="stable"), 10)
    truth = is_late[unseen]
    return {
        "learned_from": int((~unseen).sum()),
        "judged_on": int(unseen.sum()),
        "late_overall": float(truth.mean()),
        "tenths": [
            {"predicted": float(chance[tenth].mean()), "late": float(truth[tenth].mean())}
            for tenth in tenths
        ],
        "weights": {
            name: round(float(w), 4) for name, w in zip(table.columns, weights, strict=True)
        },
    }


def plot(hours: pd.DataFrame, carriers: pd.DataFrame, learned: dict, late: float) -> Figure:
    """Draw delays by hour and carrier, and how well the model tells flights apart."""
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplot_mosaic([["hours", "carriers"], ["model", "carriers"]])
    hours = hours[hours["flights"] >= ENOUGH]
    axes["hours"].bar(hours.index, hours["mean_delay"], color=BLUE)
    axes["hours"].set(
        xlabel="scheduled hour of departure",
        ylabel="mean delay, minutes",
        xticks=range(5, 24, 2),
    )
    axes["hours"].set_title("It gets later as the day goes on")
    carriers = carriers.sort_values("mean_delay")
    bars = axes["carriers"].barh(carriers["name"], carriers["mean_delay"], color=BLUE)
    axes["carriers"].bar_label(bars, fmt="%.1f", padding=3, color=GREY)
    axes["carriers"].set(xlabel="mean delay, minutes", title="Carriers")
    tenths = learned["tenths"]
    places = np.arange(1, len(tenths) + 1)
    axes["model"].bar(places, [100 * one["late"] for one in tenths], color=BLUE, label="seen")
    predicted = [100 * one["predicted"] for one in tenths]
    axes["model"].plot(places, predicted, "o-", color=RED, label="predicted")
    axes["model"].set(
        xlabel="tenths of the flights, safest to riskiest",
        ylabel=f"% over {late:g} min late",
        xticks=places,
    )
    axes["model"].set_title("The model, on days it has not seen")
    axes["model"].legend(frameon=False)
    for one in axes.values():
        one.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Departures from New York, 2013", fontsize=15)
    return figure


def main() -> None:
    """Compute, and write a summary and a plot."""
    parameters = json.loads((INPUTS / "algoCustomData.json").read_text()) or {}
    late = parameters.get("late_minutes", 15)
    flights, names = load()
    print(f"{len(flights):,} flights by {flights['carrier'].nunique()} carriers", flush=True)
    hours = means(flights, "hour", late)
    carriers = means(flights, "carrier", late).assign(name=lambda table: table.index.map(names))
    learned = model(flights, late, parameters.get("unseen_every", 5))
    print(f"the model learned from {learned['learned_from']:,} of them", flush=True)
    summary = {
        "flights": len(flights),
        "late_minutes": late,
        "mean_delay": float(flights["dep_delay"].mean()),
        "by_hour": hours.to_dict("index"),
        "by_carrier": carriers.to_dict("index"),
        "model": learned,
    }
    (OUTPUTS / "summary.json").write_text(json.dumps(summary, indent=1))
    plot(hours, carriers, learned, late).savefig(OUTPUTS / "delays.png", dpi=120)
    print("wrote summary.json and delays.png")


if __name__ == "__main__":
    main()
