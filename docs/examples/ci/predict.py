"""Stands for your model: writes what it says of data that it has not seen, with what is true, as predictions.csv."""

from __future__ import annotations

import csv
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

data = load_breast_cancer()
malignant = 1 - data.target
rows = list(range(len(malignant)))
train, test = train_test_split(rows, test_size=0.5, stratify=malignant, random_state=0)
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data[train], malignant[train])
large = data.data[:, 0] > 13.4  # mean radius, the median

with Path("predictions.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["id", "probability", "malignant", "size"])
    for row, probability in zip(test, model.predict_proba(data.data[test])[:, 1], strict=True):
        writer.writerow([row, f"{probability:.6f}", malignant[row], "large" if large[row] else "small"])
