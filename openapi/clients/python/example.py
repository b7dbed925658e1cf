"""A loss with its gradient, an error, and an evaluation, through the generated client: `python example.py URL KEY`."""

from __future__ import annotations

import json
import sys

from lossmeter_client import AuthenticatedClient
from lossmeter_client.api.evaluation import evaluate
from lossmeter_client.api.losses import cross_entropy
from lossmeter_client.models import (
    AccuracyMetric,
    CrossEntropyLoss,
    CrossEntropyRequest,
    EvaluateAnswer,
    EvaluateRequest,
    F1Metric,
    FocalLoss,
    Gate,
    LossAnswer,
    Problem,
    ScalarFigure,
    TensorObject,
)

LOGITS = [[2.0, -1.0, 0.3], [0.1, 1.5, -0.4], [-0.5, 0.2, 1.1], [1.2, 0.9, -1.0]]
LABELS = [0, 1, 2, 1]


def main(url: str, key: str) -> None:
    client = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)

    request = CrossEntropyRequest(predictions=LOGITS, labels=LABELS, label_smoothing=0.1, gradients=["predictions"])
    loss = cross_entropy.sync(client=client, body=request)
    assert isinstance(loss, LossAnswer)
    gradient = loss.gradients["predictions"]

    flat = TensorObject(datatype="FP32", shape=[4, 3], data=[number for row in LOGITS for number in row])
    same = cross_entropy.sync(client=client, body=CrossEntropyRequest(flat, LABELS, label_smoothing=0.1))
    assert isinstance(same, LossAnswer)
    assert same.value == loss.value

    problem = cross_entropy.sync(client=client, body=CrossEntropyRequest(predictions=LOGITS, labels=[0, 1, 2, 7]))
    assert isinstance(problem, Problem)

    report = evaluate.sync(
        client=client,
        body=EvaluateRequest(
            task="multiclass",
            predictions_are="logits",
            predictions=LOGITS,
            labels=LABELS,
            losses=[
                CrossEntropyLoss(loss="cross_entropy"),
                FocalLoss(loss="focal", gamma=2.0, weight_in_objective=0.5),
            ],
            metrics=[AccuracyMetric(metric="accuracy"), F1Metric(metric="f1", average="none")],
            gates=[Gate(metric="accuracy", minimum=0.7)],
        ),
    )
    assert isinstance(report, EvaluateAnswer)
    accuracy = report.metrics[0]
    assert isinstance(accuracy, ScalarFigure)

    found = {
        "value": loss.value,
        "shape": gradient.shape,
        "gradient": gradient.data,
        "problem": {
            "status": problem.status,
            "code": problem.code,
            "pointer": problem.errors[0].pointer,
            "index": problem.errors[0].index,
        },
        "evaluation": {
            "losses": [one.value for one in report.losses],
            "accuracy": accuracy.value,
            "f1": report.metrics[1].value,
            "passed": report.passed,
        },
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
