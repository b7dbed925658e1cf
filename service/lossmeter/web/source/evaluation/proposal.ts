// What the columns of a table may be, and what is asked of them: a proposal that somebody confirms. The service itself never guesses.
import type { Cell, Table } from "./table";

export type Use = "prediction" | "label" | "id" | "weight" | "group" | "slice" | "";
export const TASKS = ["binary", "multiclass", "regression", "multilabel", "clustering"] as const;
export type Task = (typeof TASKS)[number];
export const PREDICTIONS_ARE: Record<Task, string[]> = {
  binary: ["probabilities", "logits", "scores", "classes"],
  multiclass: ["probabilities", "logits", "log_probabilities", "classes"],
  regression: ["values"],
  multilabel: ["probabilities", "logits", "classes"],
  clustering: ["classes"],
};
export interface Setup {
  uses: Use[];
  task: Task;
  predictionsAre: string;
}

const NAMES: [Use, RegExp][] = [
  ["label", /^(y|labels?|targets?|truth|y_?true|class|actual|gold|ground_?truth)$/i],
  ["weight", /^(w|weights?|sample_?weight)$/i],
  ["id", /^(id|ids|sample_?ids?|uid|uuid|key|index)$/i],
  ["group", /^(groups?|patient|user|subject)(_?id)?$/i],
  ["prediction", /^(p|pred|predictions?|predicted|scores?|logits?|prob(a|ability|abilities)?|y_?(pred|hat|score|prob)|forecast|estimate)([_ .-]?\w+)?$|^[a-z]+_?\d+$/i],
];
const FEW = 50;

const numeric = (values: Cell[]) => values.every((one) => typeof one === "number" || Array.isArray(one));
const distinct = (values: Cell[]) => new Set(values.map(String)).size;

export function propose(table: Table): Setup {
  const uses: Use[] = table.columns.map(({ name, values }) => {
    const use = NAMES.find(([, pattern]) => pattern.test(name))?.[0] ?? "";
    if (use === "prediction" && !numeric(values) && distinct(values) > FEW) return "";
    if (use) return use;
    return !numeric(values) && distinct(values) <= Math.min(FEW, table.rows) ? "slice" : "";
  });
  if (!uses.includes("label")) {
    const place = uses.findLastIndex((use) => use === "" || use === "slice");
    if (place >= 0) uses[place] = "label";
  }
  if (!uses.includes("prediction")) {
    const place = table.columns.findIndex((column, i) => uses[i] === "" && numeric(column.values));
    if (place >= 0) uses[place] = "prediction";
  }
  const only = uses.indexOf("label");
  uses.forEach((use, i) => {
    if (use === "label" && i !== only) uses[i] = "";
  });
  return { uses, ...meaning(table, uses) };
}

/** The task, and what the predictions are, as the numbers look. */
export function meaning(table: Table, uses: Use[]): { task: Task; predictionsAre: string } {
  const predictions = table.columns.filter((_, i) => uses[i] === "prediction").map((column) => column.values);
  const labels = table.columns[uses.indexOf("label")]?.values ?? [];
  const [first = []] = predictions;
  const rows: number[][] = predictions.length > 1 ? first.map((_, i) => predictions.map((column) => Number(column[i]))) : Array.isArray(first[0]) ? (first as number[][]) : [];
  if (rows.length) {
    if (Array.isArray(labels[0])) return { task: "multilabel", predictionsAre: within(rows.flat()) ? "probabilities" : "logits" };
    const near = (sum: number) => Math.abs(sum - 1) < 0.02;
    if (rows.every((row) => within(row) && near(row.reduce((a, b) => a + b, 0)))) return { task: "multiclass", predictionsAre: "probabilities" };
    if (rows.every((row) => row.every((x) => x <= 0) && near(row.reduce((a, b) => a + Math.exp(b), 0)))) return { task: "multiclass", predictionsAre: "log_probabilities" };
    return { task: "multiclass", predictionsAre: "logits" };
  }
  if (labels.length && distinct(labels) <= 2 && labels.every((one) => typeof one !== "number" || one === 0 || one === 1)) {
    const numbers = first.map(Number);
    if (!numeric(first) || numbers.every((x) => x === 0 || x === 1)) return { task: "binary", predictionsAre: "classes" };
    return { task: "binary", predictionsAre: within(numbers) ? "probabilities" : "logits" };
  }
  const whole = (values: Cell[]) => values.every((one) => typeof one === "string" || typeof one === "boolean" || (typeof one === "number" && Number.isInteger(one)));
  if (whole(first) && whole(labels) && distinct(labels) <= FEW && distinct(labels) < labels.length) return { task: "multiclass", predictionsAre: "classes" };
  return { task: "regression", predictionsAre: "values" };
}

const within = (numbers: number[]) => numbers.every((x) => x >= 0 && x <= 1);
