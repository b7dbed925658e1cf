// How a loss is drawn as a curve: its axes, what may be set besides, and the request that has one sample for each point.
import type { Json } from "../service";

export interface Axis {
  id: string;
  label: string;
  from: number;
  to: number;
}
export interface Setting {
  name: string;
  label: string;
  minimum: number;
  maximum: number;
  step: number;
  initial: number;
}
export type Settings = Record<string, number>;
export interface Profile {
  axes: Axis[];
  settings: Setting[];
  /** Tensors by role, with a sample for each point of an axis. */
  inputs(axis: string, points: number[], settings: Settings): Record<string, Json>;
  /** The role that gradients are taken by, and how it moves with the axis at a point: the slope is their product. */
  role: string;
  direction(axis: string, point: number, settings: Settings): number[];
  /** By what the slope is: what it is called. */
  by: string;
  /** Of losses whose values depend on a whole batch: the tensors of one, at a point of an axis. */
  batch?(axis: string, point: number, settings: Settings): Record<string, Json>;
  /** Of losses over three classes: tensors with a sample for each vector of probabilities, the first class being the true one. */
  simplex?(points: number[][]): Record<string, Json>;
  /** Whether a map over the axis and the first setting says more than curves. */
  plane?: boolean;
}

export const setting = (name: string, label: string, minimum: number, maximum: number, initial: number, step = 0.05): Setting => ({
  name, label, minimum, maximum, initial, step,
});
export const kindOf = (role: { meaning: string[] } | undefined) => (role?.meaning ?? []).map((text) => text.split(":")[0] ?? "");
