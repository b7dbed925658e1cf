// A loss with its gradient, an error, and an evaluation, through the generated types: `node example.js URL KEY`.

import createClient from "openapi-fetch";
import type { components, paths } from "./lossmeter.js";

type Tensor = components["schemas"]["Tensor"];

const logits: Tensor = [[2.0, -1.0, 0.3], [0.1, 1.5, -0.4], [-0.5, 0.2, 1.1], [1.2, 0.9, -1.0]];
const labels: Tensor = [0, 1, 2, 1];

const [baseUrl = "http://127.0.0.1:8000", key = ""] = process.argv.slice(2);
const client = createClient<paths, "application/json" | "application/problem+json">({
  baseUrl,
  headers: { Authorization: `Bearer ${key}` },
});

const { data: loss } = await client.POST("/v1/losses/cross_entropy", {
  body: { predictions: logits, labels, label_smoothing: 0.1, gradients: ["predictions"] },
});
const gradient = loss?.gradients["predictions"];
if (!loss || !gradient) throw new Error("there is no gradient");

const flat: Tensor = { datatype: "FP32", shape: [4, 3], data: logits.flat() };
const { data: same } = await client.POST("/v1/losses/cross_entropy", {
  body: { predictions: flat, labels, label_smoothing: 0.1 },
});
if (same?.value !== loss.value) throw new Error("the same numbers in another form give another loss");

const { error: problem } = await client.POST("/v1/losses/cross_entropy", {
  body: { predictions: logits, labels: [0, 1, 2, 7] },
});
const flaw = problem?.errors[0];
if (!problem || !flaw) throw new Error("a label that is no class is no problem");

const { data: report } = await client.POST("/v1/evaluate", {
  body: {
    task: "multiclass",
    predictions_are: "logits",
    predictions: logits,
    labels,
    losses: [{ loss: "cross_entropy" }, { loss: "focal", gamma: 2.0, weight_in_objective: 0.5 }],
    metrics: [{ metric: "accuracy" }, { metric: "f1", average: "none" }],
    gates: [{ metric: "accuracy", minimum: 0.7 }],
  },
});
if (!report) throw new Error("there is no report");
const [accuracy, f1] = report.metrics;
if (accuracy?.kind !== "scalar" || f1?.kind !== "per_class") throw new Error("these are not the metrics that were asked for");
const wrong: number | null = accuracy.value === null ? null : 1 - accuracy.value; // a number, because kind says so

console.log(JSON.stringify({
  value: loss.value,
  shape: gradient.shape,
  gradient: gradient.data,
  problem: { status: problem.status, code: problem.code, pointer: flaw.pointer, index: flaw.index },
  evaluation: {
    losses: report.losses.map((one) => one.value),
    accuracy: wrong === null ? null : accuracy.value,
    f1: f1.value,
    passed: report.passed,
  },
}));
