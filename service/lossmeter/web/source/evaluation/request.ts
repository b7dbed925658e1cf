// The request that a table and its setup make: the plan, and the data.
import type { Json, Metric } from "../service";
import { parseCall } from "../losses/state";
import { t } from "../strings";
import type { Setup, Task } from "./proposal";
import type { Cell, Table } from "./table";

export interface Wishes {
  losses: string[];
  metrics: string[];
  gates: string[];
  confidence: number;
}
export interface Request {
  plan: Record<string, Json>;
  data: Record<string, Json>;
  slices: Record<string, Json[]>;
  /** Names of the classes, in the order of their indices. */
  names: string[];
}

export class Incomplete extends Error {}

/** Samples whose loss is asked for, the hardest first: all of them in a table that is not larger. */
const PER_SAMPLE = 1000;
const PLOTS: Record<Task, string[]> = {
  binary: ["confusion_matrix", "roc_curve", "pr_curve", "reliability_diagram"],
  multiclass: ["confusion_matrix", "roc_curve", "reliability_diagram"],
  multilabel: ["roc_curve"],
  regression: [],
  clustering: [],
};
const fits = (metric: Metric, { task, predictionsAre }: Setup) => (metric.predictions_are[task] ?? []).includes(predictionsAre);

export const usual = (metrics: Metric[], setup: Setup) => metrics.filter((one) => one.usual_for.includes(setup.task) && fits(one, setup)).map((one) => one.name);
export const possible = (metrics: Metric[], setup: Setup) => metrics.filter((one) => one.kind === "scalar" && fits(one, setup)).map((one) => one.name);
const plots = (metrics: Metric[], setup: Setup) => PLOTS[setup.task].filter((name) => metrics.some((one) => one.name === name && fits(one, setup)));

/** `recall(average=macro)@lower[country=de]>=0.7`, the grammar of the command line. */
const GATE = /^\s*([\w]+(?:\([^)]*\))?)(?:@(lower|upper))?(?:\[([^=\]]+)(?:=([^\]]*))?\])?\s*(>=|<=)\s*(-?[\d.]+(?:e-?\d+)?)\s*$/;

export function gateOf(text: string, isMetric: (name: string) => boolean): Record<string, Json> {
  const parts = GATE.exec(text);
  if (!parts) throw new Incomplete(t("{text}: expected a figure and a bound, such as {examples}", { text, examples: "accuracy>=0.9, recall[country]>=0.7, accuracy@lower>=0.8" }));
  const [, call = "", at, column, value, sign, bound] = parts;
  const { name, parameters } = parseCall(call);
  return {
    [isMetric(name) ? "metric" : "loss"]: name, ...parameters, [sign === ">=" ? "minimum" : "maximum"]: Number(bound), ...(at ? { at } : {}),
    ...(column ? { slice: value === undefined ? column : { column, value: valueOf(value) } } : {}),
  };
}

function valueOf(text: string): Json {
  return text !== "" && Number.isInteger(Number(text)) ? Number(text) : text === "true" ? true : text === "false" ? false : text;
}

export function requestOf(table: Table, setup: Setup, wishes: Wishes, metrics: Metric[]): Request {
  const of = (use: string) => table.columns.filter((_, i) => setup.uses[i] === use);
  const [labels] = of("label");
  const predictions = of("prediction");
  if (!predictions.length) throw new Incomplete(t("no column is a prediction"));
  if (!labels) throw new Incomplete(t("no column is the label"));
  const classes = setup.task !== "regression";
  const names = classes ? namesOf(predictions.map((one) => one.name), [...labels.values, ...(setup.predictionsAre === "classes" ? (predictions[0]?.values ?? []) : [])], setup) : [];
  const index = (one: Cell): Json => {
    const place = names.indexOf(String(one));
    if (classes && !Array.isArray(one) && place < 0) throw new Incomplete(t("the label {label} is none of the classes {names}", { label: String(one), names: names.join(", ") }));
    return classes && !Array.isArray(one) ? place : (one as Json);
  };
  const numbers = (values: Cell[], name: string) => values.map((one, i) => {
    if (typeof one !== "number" && !Array.isArray(one)) throw new Incomplete(t("{name}, row {row}: {value} is no number", { name, row: i + 1, value: String(one) }));
    return one;
  });
  const columns = predictions.map((one) => (setup.predictionsAre === "classes" ? one.values.map(index) : numbers(one.values, one.name)));
  const [first = []] = columns;
  const data: Record<string, Json> = {
    predictions: columns.length > 1 ? first.map((_, i) => columns.map((column) => column[i] as Json)) : (first as Json[]),
    labels: classes ? labels.values.map(index) : (numbers(labels.values, labels.name) as Json[]),
    sample_ids: of("id")[0]?.values.map((one) => (typeof one === "number" && Number.isInteger(one) ? one : String(one))) ?? Array.from({ length: table.rows }, (_, i) => i),
  };
  const [weight] = of("weight");
  if (weight) data.sample_weight = numbers(weight.values, weight.name) as Json[];
  const [group] = of("group");
  if (group) data.groups = group.values.map((one) => (typeof one === "number" && Number.isInteger(one) ? one : String(one)));
  const isMetric = (name: string) => metrics.some((one) => [one.name, ...one.aliases].includes(name));
  const chosen = [...new Set([...usual(metrics, setup), ...wishes.metrics])];
  const plan: Record<string, Json> = {
    task: setup.task,
    predictions_are: setup.predictionsAre,
    ...(setup.predictionsAre === "classes" && classes ? { classes: Math.max(2, names.length) } : {}),
    ...(wishes.losses.length ? { losses: wishes.losses.map((text) => ({ loss: parseCall(text).name, ...parseCall(text).parameters })) } : {}),
    metrics: [...chosen.map((text) => ({ metric: parseCall(text).name, ...parseCall(text).parameters })), ...plots(metrics, setup).map((metric) => ({ metric }))],
    ...(wishes.gates.length ? { gates: wishes.gates.map((text) => gateOf(text, isMetric)) } : {}),
    confidence: wishes.confidence,
    hardest: setup.predictionsAre === "classes" || setup.predictionsAre === "scores" ? 0 : Math.min(PER_SAMPLE, table.rows),
  };
  const slices = Object.fromEntries(of("slice").map((one) => [one.name, one.values.map((cell) => (typeof cell === "boolean" || (typeof cell === "number" && Number.isInteger(cell)) ? cell : String(cell ?? "")))]));
  return { plan, data, slices, names };
}

/** The classes: as the columns of predictions are called, where the labels are called so too; else the labels in order. */
function namesOf(columns: string[], labels: Cell[], setup: Setup): string[] {
  const found = new Set(labels.filter((one) => !Array.isArray(one)).map(String));
  const numbers = [...found].every((one) => /^\d+$/.test(one));
  if (columns.length > 1) {
    const suffixes = columns.map((name) => name.replace(/^[a-z]+[_ .-]/i, ""));
    for (const candidates of [columns, suffixes]) if ([...found].every((one) => candidates.includes(one))) return candidates;
    const width = columns.length;
    if (numbers) return Array.from({ length: width }, (_, i) => String(i));
    return [...found].sort().concat(Array.from({ length: Math.max(0, width - found.size) }, (_, i) => `class ${found.size + i}`));
  }
  if (setup.task === "binary" && [...found].every((one) => one === "true" || one === "false")) return ["false", "true"];
  if (numbers) return Array.from({ length: Math.max(2, ...[...found].map((one) => Number(one) + 1)) }, (_, i) => String(i));
  return [...found].sort();
}

export const bodyOf = ({ plan, data, slices }: Request) => JSON.stringify({ ...plan, ...data, ...(Object.keys(slices).length ? { slices } : {}) });
