// Curves of losses whose every value depends on its own place alone; the few names here have a domain of their own.
import type { Loss } from "../service";
import { t } from "../strings";
import { type Axis, kindOf, type Profile, type Setting, setting } from "./profile";

const VALUE: Axis = { id: "prediction", label: t("prediction"), from: -4, to: 4 };
const POSITIVE: Axis = { ...VALUE, from: 0.05, to: 5 };
const LOGIT: Axis = { id: "logit", label: t("logit"), from: -6, to: 6 };
const PROBABILITY: Axis = { id: "probability", label: t("probability"), from: 0.002, to: 0.998 };
const SCORE: Axis = { id: "score", label: t("score"), from: -3, to: 3 };
const LOG_PROBABILITY: Axis = { id: "log_probability", label: t("log-probability"), from: -6, to: 0 };
const DOMAINS: Record<string, { axis: Axis; label?: [number, number, number] }> = {
  msle: { axis: { ...VALUE, from: 0, to: 6 }, label: [0, 6, 1] },
  mape: { axis: VALUE, label: [0.1, 4, 1] },
  smape: { axis: VALUE, label: [0.1, 4, 1] },
  tweedie: { axis: POSITIVE, label: [0.1, 5, 1] },
  poisson_nll: { axis: { ...VALUE, from: -3, to: 3 }, label: [0, 10, 2] },
  hinge_embedding: { axis: { ...VALUE, label: t("distance"), from: 0, to: 3 } },
};
const AXES: Record<string, Axis> = {
  logits: LOGIT, probabilities: PROBABILITY, scores: SCORE, "positive numbers": POSITIVE, "log-probabilities": LOG_PROBABILITY,
};
const OTHERS: Record<string, Setting> = {
  scale: setting("scale", t("scale"), 0.1, 4, 1),
  variance: setting("variance", t("variance"), 0.1, 4, 1),
  dispersion: setting("dispersion", t("dispersion"), 0.05, 3, 0.5),
};
const logit = (p: number) => Math.log(p / (1 - p));

/** Each value depends on its own place alone: a point is an element. */
export function elementwise(loss: Loss): Profile | null {
  const [first, second, ...others] = loss.roles.filter((role) => role.required);
  if (!first || !first.shape[0]?.startsWith("(…shape)")) return null;
  const kind = kindOf(first)[0] ?? "";
  const domain = DOMAINS[loss.name];
  const pair = second !== undefined && kindOf(second)[0] === kind && second.name !== "labels";
  const axis = domain?.axis ?? (pair ? { ...SCORE, id: "difference", label: t("difference") } : AXES[kind] ?? VALUE);
  const labelOf = (): Setting | null => {
    const named = pair ? others[0] : second;
    const labels = kindOf(named)[0];
    if (!named) return null;
    if (labels === "±1") return setting("label", t("label"), -1, 1, 1, 2);
    if (labels === "counts") return setting("label", t("label"), 0, 10, 2, 1);
    if (domain?.label) return setting("label", t("label"), domain.label[0], domain.label[1], domain.label[2]);
    if (labels === "probabilities" || kind === "log-probabilities") return setting("label", t("label"), 0, 1, kind === "log-probabilities" ? 0.5 : 1);
    if (labels === "positive numbers") return setting("label", t("label"), 0.1, 5, 1);
    return setting("label", t("label"), -3, 3, 0);
  };
  const label = labelOf();
  const rest = others.map((role) => OTHERS[role.name]).filter((one) => one !== undefined);
  const labels = pair ? others[0]?.name : second?.name;
  const number = (id: string, x: number) => (kind === "logits" && id === "probability" ? logit(x) : x);
  return {
    axes: kind === "logits" ? [axis, PROBABILITY] : [axis],
    settings: [...(label ? [label] : []), ...rest],
    role: first.name,
    by: kind === "logits" ? t("logit") : axis.label,
    direction: () => [1],
    inputs: (id, points, settings) => ({
      [first.name]: points.map((x) => number(id, x)),
      ...(pair ? { [second.name]: points.map(() => 0) } : {}),
      ...(labels ? { [labels]: points.map(() => settings.label ?? 0) } : {}),
      ...Object.fromEntries(rest.map((one) => [one.name, points.map(() => settings[one.name] ?? one.initial)])),
    }),
  };
}
