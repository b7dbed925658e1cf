// A report as the service answers it: to an evaluation, and at a run.
import type { Json, Warned } from "../service";

export interface Interval {
  low: number | null;
  high: number | null;
  level: number;
  method: string;
}
export interface LossFigure {
  loss: string;
  parameters: Record<string, Json>;
  value: number | null;
  count: number;
  interval: Interval | null;
}
export type Curve = Record<string, (number | null)[]>;
interface Measured {
  metric: string;
  parameters: Record<string, Json>;
  interval: Interval | null;
}
export type MetricFigure = Measured & (
  | { kind: "scalar"; value: number | null }
  | { kind: "per_class"; value: (number | null)[] }
  | { kind: "matrix"; value: (number | null)[][] }
  | { kind: "curve"; value: Curve[] }
);
export interface Place {
  column: string;
  value: string | number | boolean;
}
export interface Verdict {
  gate: Record<string, Json>;
  passed: boolean;
  observed: number | null;
  threshold: number;
  where: Place | null;
  failed_slices: (Place & { observed: number | null })[];
}
export interface Run {
  id: string;
  name: string;
  tags: string[];
  plan: Record<string, Json>;
  classes: number | null;
  created: string;
  closed: string | null;
  batches: number;
  samples: number;
}
export interface Figures {
  samples: number;
  losses: LossFigure[];
  objective: { value: number | null; interval: Interval | null };
  metrics: MetricFigure[];
}
export interface Report extends Figures {
  slices: (Figures & Place)[];
  hardest: { sample_id: string | number | null; batch_id: string | null; position: number | null; loss: number | null }[];
  gates: Verdict[];
  passed: boolean;
  warnings: Warned[];
  class_names?: string[] | null;
  run?: Run;
}
/** A figure that is one number. */
export interface Scalar {
  key: string;
  kind: "loss" | "metric";
  name: string;
  parameters: Record<string, Json>;
  value: number | null;
  interval: Interval | null;
}

/** All figures that are one number, losses first. */
export function scalarsOf({ losses, metrics }: Figures): Scalar[] {
  const all: Omit<Scalar, "key">[] = [
    ...losses.map((one) => ({ kind: "loss" as const, name: one.loss, parameters: one.parameters, value: one.value, interval: one.interval })),
    ...metrics.flatMap((one) => (one.kind === "scalar" ? [{ kind: "metric" as const, name: one.metric, parameters: one.parameters, value: one.value, interval: one.interval }] : [])),
  ];
  return all.map((one) => ({ ...one, key: `${one.kind} ${one.name} ${JSON.stringify(one.parameters)}` }));
}

/** The first metric of a name and kind. */
export function found<K extends MetricFigure["kind"]>(figures: Figures, name: string, kind: K): Extract<MetricFigure, { kind: K }> | undefined {
  return figures.metrics.find((one) => one.metric === name && one.kind === kind) as Extract<MetricFigure, { kind: K }> | undefined;
}
