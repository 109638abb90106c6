"""In which month does one leave New York on time? Means by month, and no row of the data."""

# ruff: noqa: INP001, T201 - it stands alone, and its log is what it prints

import json
import os
from pathlib import Path

import pandas as pd

inputs, outputs = Path(os.environ["INPUTS"]), Path(os.environ["OUTPUTS"])
(dataset,) = json.loads(os.environ["DIDS"])
flights = pd.read_csv(inputs / dataset / "0").dropna(subset=["dep_delay"])
delays = flights.groupby("month")["dep_delay"].agg(flights="size", mean_delay="mean").round(2)
delays.to_csv(outputs / "delays.csv")
print(f"the worst month is {delays['mean_delay'].idxmax()}")
