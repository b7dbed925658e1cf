// Curves of losses whose samples are more than one number: the classes of one sample, a pair, a sequence, a box, an image.
import type { Json, Loss } from "../service";
import { t } from "../strings";
import { kindOf, type Axis, type Profile, type Settings, setting } from "./profile";

const CLASSES = 3;
const LOGIT: Axis = { id: "logit", label: t("logit of the true class, others 0"), from: -6, to: 6 };
const PROBABILITY: Axis = { id: "probability", label: t("probability of the true class"), from: 0.002, to: 0.998 };
const RATIO: Axis = { id: "ratio", label: t("ratio of new to old probability"), from: 0.02, to: 3 };
const LOG_RATIO: Axis = { id: "log_ratio", label: t("logarithm of the ratio"), from: -2, to: 2 };
const ANGLE: Axis = { id: "angle", label: t("angle in degrees"), from: 0, to: 180 };
const DISTANCE: Axis = { id: "distance", label: t("distance"), from: 0.01, to: 3 };
const OLD = -3;

type Point<T> = (x: number, settings: Settings, axis: string) => T;

interface Sketch {
  axes: Axis[];
  settings?: ReturnType<typeof setting>[];
  role: string;
  by: string;
  /** The role's part of one sample, by the axis. */
  sample: Point<Json>;
  /** The parts of the other roles, one for each sample. */
  others?: Record<string, Point<Json>>;
  /** What all samples share. */
  shared?: (settings: Settings) => Record<string, Json>;
  direction?: Point<number[]>;
  /** The role's part of one sample of three classes with these probabilities. */
  mixed?: (probabilities: number[]) => Json;
  plane?: boolean;
}

function profile({ axes, settings = [], role, by, sample, others = {}, shared, direction, mixed, plane }: Sketch): Profile {
  return {
    axes, settings, role, by, plane,
    ...(mixed ? { simplex: (points) => ({ [role]: points.map(mixed), ...Object.fromEntries(Object.entries(others).map(([name, part]) => [name, points.map(() => part(0, { truth: 0 }, ""))])), ...shared?.({}) }) } : {}),
    direction: (axis, x, given) => direction?.(x, given, axis) ?? [1],
    inputs: (axis, points, given) => ({
      [role]: points.map((x) => sample(x, given, axis)),
      ...Object.fromEntries(Object.entries(others).map(([name, part]) => [name, points.map((x) => part(x, given, axis))])),
      ...shared?.(given),
    }),
  };
}

const logSumExp = (row: number[]) => Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
const logSoftmax = (row: number[]) => row.map((x) => x - logSumExp(row));
const softmax = (row: number[]) => logSoftmax(row).map(Math.exp);
const logitOf = (axis: string, x: number) => (axis === "probability" ? Math.log(x / (1 - x)) + Math.log(CLASSES - 1) : x);
const row = (place: number, x: number, length = CLASSES) => Array.from({ length }, (_, i) => (i === place ? x : 0));
const radians = (x: number) => (x * Math.PI) / 180;
const around = (x: number) => [Math.cos(radians(x)), Math.sin(radians(x))];
const along = (x: number) => [-Math.sin(radians(x)), Math.cos(radians(x))];

/** Logits, probabilities, log-probabilities or scores of several classes, of which one moves. */
export function classes(loss: Loss): Profile | null {
  const [first, second] = loss.roles;
  if (!first || loss.family === "segmentation" || !/^\((N, C[,)]|B, T, [VK]|…batch, C)/.test(first.shape[0] ?? "")) return null;
  const kind = kindOf(first)[0] ?? "";
  const kinds = kindOf(second);
  const wrap = (one: number[]): Json => (first.shape[0]?.startsWith("(B, T") ? [one] : one);
  const wrapLabel = (one: number): Json => (first.shape[0]?.startsWith("(B, T") ? [one] : one);
  const scores = kind === "scores" || kind === "logits";
  const written = (logits: number[]) => (scores ? logits : kind === "log-probabilities" ? logSoftmax(logits) : softmax(logits));
  const mixed = (p: number[]) => wrap(written(p.map(Math.log)));
  const base = { role: first.name, axes: scores && kind !== "scores" ? [LOGIT, PROBABILITY] : scores ? [LOGIT] : [PROBABILITY], by: t("logit of the true class") };
  const sample = (x: number, { truth = 0 }: Settings, axis: string) => wrap(written(row(truth, logitOf(axis, x))));
  if (!scores) base.by = kind === "log-probabilities" ? t("log-probability of the true class") : t("probability of the true class");
  if (kinds.includes("flags") || loss.name === "multilabel_soft_margin") {
    return profile({ ...base, by: t("logit"), settings: [setting("label", t("label"), 0, 1, 1, 1)], others: { labels: (_, { label = 1 }) => [label] },
      sample: (x, _, axis) => [axis === "probability" ? Math.log(x / (1 - x)) : x] });
  }
  if (loss.name === "multilabel_margin") return profile({ ...base, sample, others: { labels: () => [0, -1, -1] }, direction: () => row(0, 1) });
  const others: Sketch["others"] = {};
  const settings = [];
  let shared: Sketch["shared"];
  if (second && second.name === "labels" && (kinds.includes("class indices") || kinds.includes("tokens"))) {
    others.labels = (_, { truth = 0 }) => wrapLabel(truth);
    const third = loss.roles[2]?.name;
    if (third === "counts" || third === "prior") {
      settings.push(setting("truth", t("true class: 0 is frequent, 2 is rare"), 0, 2, 2, 1));
      shared = () => ({ [third]: third === "counts" ? [900, 90, 10] : [0.9, 0.09, 0.01] });
    }
  } else if (second) {
    settings.push(setting("other", second.name === "teacher" ? t("teacher's logit") : t("logit of the label"), -4, 4, 2));
    others[second.name] = (_, { other = 2 }) => {
      const logits = row(0, other);
      const secondKind = kinds[0] ?? "";
      return wrap(secondKind === "logits" ? logits : secondKind === "log-probabilities" ? logSoftmax(logits) : softmax(logits));
    };
  }
  return profile({ ...base, settings, sample, others, shared, mixed: kind === "scores" ? undefined : mixed, direction: (_, { truth = 0 }) => row(truth, 1) });
}

/** Losses of a policy: a sequence of one token for each point. */
function policy(loss: Loss): Profile | null {
  const [first, second] = loss.roles;
  if (first?.name !== "log_probs") return null;
  const others: Sketch["others"] = {};
  const settings = [];
  if (loss.roles.some((role) => role.name === "advantages")) {
    settings.push(setting("advantage", t("advantage"), -2, 2, 1, 0.1));
    others.advantages = (_, { advantage = 1 }) => [advantage];
  }
  const reference = second && /old|reference/.test(second.name);
  if (reference) others[second.name] = () => [OLD];
  const alone: Axis = { id: "log_probability", label: t("log-probability"), from: -5, to: 0 };
  return profile({
    axes: reference ? [RATIO, LOG_RATIO] : [alone], settings, role: first.name, by: t("log-probability"), others, plane: settings.length > 0,
    sample: (x, _, axis) => [reference ? OLD + (axis === "ratio" ? Math.log(x) : x) : x],
  });
}

/** Preferences between two answers, or for one: by how much more the policy prefers than the reference does. */
function preference(loss: Loss): Profile | null {
  if (loss.family !== "preference") return null;
  const names = new Set(loss.roles.map((role) => role.name));
  const axis: Axis = { id: "margin", label: t("log-probability gained over the reference, chosen less rejected"), from: -20, to: 20 };
  if (names.has("chosen")) return profile({ axes: [{ ...axis, label: t("reward of chosen less rejected"), from: -5, to: 5 }], role: "chosen", by: t("reward"), sample: (x) => x, others: { rejected: () => 0 } });
  if (names.has("policy")) {
    return profile({
      axes: [{ ...axis, label: t("log-probability gained over the reference") }], role: "policy", by: t("log-probability"),
      settings: [setting("label", t("label: 1 desirable, −1 not"), -1, 1, 1, 2)], sample: (x) => -50 + x,
      others: { reference: () => -50, labels: (_, { label = 1 }) => label }, shared: () => ({ reference_kl: 0 }),
    });
  }
  if (loss.name === "orpo") {
    return profile({
      axes: [{ id: "log_probability", label: t("mean log-probability of the chosen answer"), from: -4, to: -0.02 }], role: "policy_chosen", by: t("log-probability"),
      settings: [setting("rejected", t("mean log-probability of the rejected answer"), -4, -0.05, -1)], sample: (x) => x,
      others: { policy_rejected: (_, { rejected = -1 }) => rejected },
    });
  }
  const fixed = ["reference_chosen", "reference_rejected"].filter((name) => names.has(name));
  const lengths = ["chosen_lengths", "rejected_lengths"].filter((name) => names.has(name));
  return profile({
    axes: [fixed.length ? axis : { ...axis, label: t("log-probability of chosen less rejected") }], role: "policy_chosen", by: t("log-probability of chosen"),
    sample: (x) => -50 + x / 2,
    others: {
      policy_rejected: (x) => -50 - x / 2, ...Object.fromEntries(fixed.map((name) => [name, () => -50])),
      ...Object.fromEntries(lengths.map((name) => [name, () => 10])),
    },
  });
}

/** An image of eight pixels, four of them foreground: all are as right, or as wrong, as the logit says. */
function segmentation(loss: Loss): Profile | null {
  if (loss.family !== "segmentation") return null;
  const truth = [0, 0, 0, 0, 1, 1, 1, 1];
  const sign = truth.map((one) => 2 * one - 1);
  const axes = [{ id: "logit", label: t("logit by which each pixel is right"), from: -6, to: 6 }];
  const base = { axes, role: "predictions", by: t("this logit"), others: { labels: () => truth } };
  if (loss.name === "lovasz_hinge") return profile({ ...base, sample: (x) => sign.map((s) => s * x), direction: () => sign });
  const still = truth.map(() => 0);
  return profile({ ...base, sample: (x) => [still, sign.map((s) => s * x)], direction: () => [...still, ...sign] });
}

const lists = (loss: Loss) => (loss.roles[0]?.shape[0] === "(Q, D)"
  ? profile({ axes: [{ id: "score", label: t("score of the relevant document, others 0"), from: -5, to: 5 }], role: "predictions", by: t("score"),
    sample: (x) => row(0, x), others: { labels: () => row(0, 1) }, direction: () => row(0, 1) })
  : null);

const boxes = (loss: Loss) => (loss.family === "boxes"
  ? profile({ axes: [{ id: "shift", label: t("shift of the box, in widths"), from: -2, to: 2 }], role: "predictions", by: t("shift"),
    plane: true,
    settings: [setting("y", t("vertical shift"), -2, 2, 0), setting("size", t("size of the box"), 0.2, 3, 1)],
    sample: (x, { y = 0, size = 1 }) => [x, y, x + size, y + size], others: { labels: () => [0, 0, 1, 1] }, direction: () => [1, 0, 1, 0] })
  : null);

export const byFamily = (loss: Loss) => policy(loss) ?? preference(loss) ?? segmentation(loss) ?? lists(loss) ?? boxes(loss);

const LABEL = setting("label", t("label: 1 alike, −1 not"), -1, 1, 1, 2);
const TRUE_VALUE = setting("label", t("label"), -3, 3, 0);
const byAngle = (role: string, others: Sketch["others"], shared?: Sketch["shared"]): Sketch => ({
  axes: [ANGLE], role, by: t("angle in radians"), sample: around, direction: along, others, shared,
});
const thresholds = (): Sketch => ({
  axes: [{ ...LOGIT, label: t("logit of every threshold") }], role: "predictions", by: t("these logits"),
  settings: [setting("label", t("true level"), 0, 3, 2, 1)], sample: (x) => [x, x, x], others: { labels: (_, { label = 2 }) => label }, direction: () => [1, 1, 1],
});
const triplet = (): Sketch => ({
  plane: true, axes: [{ ...DISTANCE, label: t("distance of the positive") }], role: "positive", by: t("distance"),
  settings: [setting("negative", t("distance of the negative"), 0.05, 3, 1)], sample: (x) => [x, 0],
  others: { anchor: () => [0, 0], negative: (_, { negative = 1 }) => [0, negative] }, direction: () => [1, 0],
});
const SKETCHES: Record<string, () => Sketch> = {
  z_loss: () => ({ axes: [{ ...LOGIT, label: t("logit of one class, others 0") }], role: "predictions", by: t("logit"), sample: (x) => row(0, x), direction: () => row(0, 1) }),
  linear_cross_entropy: () => ({
    axes: [LOGIT, PROBABILITY], role: "features", by: t("feature"), sample: (x, _, axis) => [logitOf(axis, x)], others: { labels: () => 0 },
    shared: () => ({ classifier: [[1], [0], [0]] }),
  }),
  coral: thresholds,
  corn: thresholds,
  contrastive: () => ({
    axes: [DISTANCE], role: "input2", by: t("distance"), settings: [LABEL], sample: (x) => [x, 0],
    others: { input1: () => [0, 0], labels: (_, { label = 1 }) => label }, direction: () => [1, 0],
  }),
  cosine_embedding: () => ({ ...byAngle("input2", { input1: () => [1, 0], labels: (_, { label = 1 }) => label }), settings: [LABEL] }),
  cosine_distance: () => byAngle("predictions", { labels: () => [1, 0] }),
  triplet_margin: triplet,
  triplet_margin_with_distance: triplet,
  arcface: () => byAngle("embeddings", { labels: () => 0 }, () => ({ prototypes: [[1, 0], [0, -1]] })),
  cosface: () => byAngle("embeddings", { labels: () => 0 }, () => ({ prototypes: [[1, 0], [0, -1]] })),
  info_nce: () => byAngle("query", { positive: () => [1, 0] }, () => ({ negatives: [[0, -1], [-1, 0]] })),
  vae_kl: () => ({
    axes: [{ id: "prediction", label: t("mean"), from: -3, to: 3 }], role: "mean", by: t("mean"),
    settings: [setting("log_variance", t("log-variance"), -3, 3, 0)], sample: (x) => [x], others: { log_variance: (_, { log_variance = 0 }) => [log_variance] },
  }),
  wasserstein_1d: () => ({
    axes: [{ id: "shift", label: t("shift of both samples"), from: -3, to: 3 }], role: "predictions", by: t("shift"),
    sample: (x) => [x, x + 1], others: { labels: () => [0, 1] }, direction: () => [1, 1],
  }),
  crps_ensemble: () => ({
    axes: [{ id: "prediction", label: t("middle of the ensemble"), from: -4, to: 4 }], role: "predictions", by: t("middle of the ensemble"),
    settings: [TRUE_VALUE, setting("spread", t("spread"), 0, 3, 1)], sample: (x, { spread = 1 }) => [x - spread, x, x + spread],
    others: { labels: (_, { label = 0 }) => label }, direction: () => [1, 1, 1],
  }),
  quantile: () => ({
    axes: [{ id: "prediction", label: t("prediction"), from: -4, to: 4 }], role: "predictions", by: t("prediction"), settings: [TRUE_VALUE],
    sample: (x) => [x], others: { labels: (_, { label = 0 }) => label },
  }),
  value_clip: () => ({
    axes: [{ id: "prediction", label: t("new value"), from: -2, to: 2 }], role: "predictions", by: t("new value"),
    settings: [setting("old", t("old value"), -2, 2, 0), setting("label", t("return"), -2, 2, 1)],
    sample: (x) => [x], others: { old_values: (_, { old = 0 }) => [old], labels: (_, { label = 1 }) => [label] },
  }),
};

export function named(loss: Loss): Profile | null {
  const sketch = SKETCHES[loss.name];
  return sketch ? profile(sketch()) : null;
}
