# ruff: noqa: E402
# %% [markdown]
# # A tour
#
# From the first request to a comparison of two models that decides which one is deployed. Every block below was run against a
# served instance, and prints what it printed; [tour.py](examples/tour.py) is the whole program:
# `python docs/examples/tour.py --url http://127.0.0.1:8000`.
# %% hidden
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--url", default="http://127.0.0.1:8000")
URL = parser.parse_args().url
# %% [markdown]
# ## The first request
#
# One sample, three classes, of which the first is right. The answer has the loss and, since it was asked for, the gradient with
# respect to the logits: probability minus label.
# %%
import httpx

service = httpx.Client(base_url=URL, timeout=60)
request = {"predictions": [[2.0, -1.0, 0.3]], "labels": [0], "gradients": ["predictions"]}
answer = service.post("/v1/losses/cross_entropy", json=request).json()
print(f"loss      {answer['value']:.6f}")
print("gradient ", [f"{number:.6f}" for number in answer["gradients"]["predictions"]["data"]])
# %% [markdown]
# ## A mistake
#
# Errors say where: a JSON Pointer to the tensor, the index in it, what was given and what was expected.
# %%
refused = service.post("/v1/losses/cross_entropy", json={"predictions": [[2.0, -1.0, 0.3]], "labels": [7]})
print(refused.status_code, refused.json()["code"])
for flaw in refused.json()["errors"]:
    print(flaw["pointer"], flaw["index"], flaw["message"])
# %% [markdown]
# ## Two models
#
# The data are scikit-learn's: thirty measurements of each of 569 tumours, and whether it was malignant. One model takes the
# measurements for independent of each other, which they are not; the other is a logistic regression.
# %%
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

data = load_breast_cancer()
malignant = 1 - data.target
ids = np.arange(len(malignant))
train, test = train_test_split(ids, test_size=0.5, stratify=malignant, random_state=0)
size = np.where(data.data[:, 0] > np.median(data.data[:, 0]), "large", "small")
regression = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky", tol=1e-10))
models = {"bayes": GaussianNB(), "regression": regression}
probabilities = {}
for name, model in models.items():
    probabilities[name] = model.fit(data.data[train], malignant[train]).predict_proba(data.data[test])[:, 1]
print(len(train), "tumours to learn from,", len(test), "to be judged by")
# %% [markdown]
# ## Is it good enough?
#
# One request measures a batch by many figures, each with an interval that holds the true value with a probability of 95 %, in
# every slice too. Gates say what must hold: here, that accuracy is at least 0.9 for sure, and recall at least 0.8 among small
# tumours as well as among large ones. Nine of ten rightly judged is not yet nine of ten for sure: the first gate fails.
# %%
from lossmeter.client import Client

client = Client(URL)
report = client.evaluate(
    probabilities["bayes"],
    malignant[test],
    task="binary",
    predictions_are="probabilities",
    sample_ids=ids[test],
    slices={"size": size[test]},
    metrics=["accuracy", "recall"],
    gates=[
        {"metric": "accuracy", "minimum": 0.9, "at": "lower"},
        {"metric": "recall", "minimum": 0.8, "slice": "size"},
    ],
    hardest=3,
)
print(report)
accuracy = report.metrics.accuracy
print(f"\naccuracy is {accuracy.value:.6f}, at least {accuracy.interval.low:.6f}; passed: {report.passed}")
# %% [markdown]
# ## In batches
#
# Where predictions come in batches, from one process or from many, a run adds them up. Each batch counts once however often it
# had to be sent, and the report is that of one pass over everything. The ids of the samples let two runs be compared in pairs.
# %%
runs = {}
for name, predicted in probabilities.items():
    with client.run(
        name, task="binary", predictions_are="probabilities", metrics=["accuracy", "recall", "auroc"]
    ) as run:
        for part in np.array_split(np.arange(len(test)), 4):
            run.add(predicted[part], malignant[test][part], sample_ids=ids[test][part])
    runs[name] = run
    report = run.report()
    figures = [f"{figure.name} {figure.value:.6f}" for figure in report.metrics]
    print(f"{name:10} {report.run.batches} batches,", ", ".join(figures))
# %% [markdown]
# ## Which of them?
#
# Both were asked about the same tumours, so they are compared in pairs, which tells much smaller differences from chance than
# two intervals side by side. A gate lets the candidate through if it is not worse than the baseline by more than a margin, for
# sure; what is negative here is better.
# %%
comparison = client.compare(
    runs["bayes"],
    runs["regression"],
    gates=[{"metric": "accuracy", "margin": 0.005}, {"metric": "recall", "margin": 0.02}],
)
for figure in comparison.metrics:
    print(f"{figure.name:9} {figure.difference:+.6f} in [{figure.interval.low:+.6f}, {figure.interval.high:+.6f}]")
for verdict in comparison.gates:
    print(f"{verdict.gate['metric']}: worse by at most {verdict.observed:.6f}:", "holds" if verdict.passed else "fails")
print("the regression is", "deployed" if comparison.passed else "not deployed")
# %% [markdown]
# ## From here
#
# - [Losses](losses/index.md) and [metrics](metrics/index.md): what there is, and when to use which
# - [The Python client](client.md): losses that train in torch and jax, retries, runs; [other languages](languages.md)
# - [Gates in CI](ci.md): the same decisions by one command
# %% hidden
for run in runs.values():
    run.delete()
service.close()
client.close()
