// Curves of losses whose values depend on a whole batch: a small batch of which one thing moves, with a request for each point.
import type { Json, Loss } from "../service";
import { t } from "../strings";
import type { Axis, Profile } from "./profile";

const ANGLE: Axis = { id: "angle", label: t("angle of one sample in a small batch, in degrees"), from: 0, to: 180 };
const radians = (x: number) => (x * Math.PI) / 180;
const around = (x: number) => [Math.cos(radians(x)), Math.sin(radians(x))];
const along = (x: number) => [-Math.sin(radians(x)), Math.cos(radians(x))];
const OTHERS = [[0, 1], [-1, 0]];

interface Moving {
  axis: Axis;
  role: string;
  by: string;
  batch: (x: number) => Record<string, Json>;
  /** How the role, flat, moves with the axis. */
  direction: (x: number) => number[];
}

const profile = ({ axis, role, by, batch, direction }: Moving): Profile => ({
  axes: [axis], settings: [], role, by, inputs: () => ({}), batch: (_, x) => batch(x), direction: (_, x) => direction(x),
});

/** Two views of three samples: the second view of the first one turns away from its first view. */
const pairs = (first: string, second: string, rest: Record<string, Json> = {}) => profile({
  axis: ANGLE, role: second, by: t("angle in radians"),
  batch: (x) => ({ [first]: [[1, 0], ...OTHERS], [second]: [around(x), ...OTHERS], ...rest }),
  direction: (x) => [...along(x), 0, 0, 0, 0],
});

/** Four samples in two groups: the first turns away from its companion, past the others. */
const groups = () => profile({
  axis: ANGLE, role: "embeddings", by: t("angle in radians"),
  batch: (x) => ({ embeddings: [around(x), [1, 0], ...OTHERS], labels: [0, 0, 1, 1] }),
  direction: (x) => [...along(x), 0, 0, 0, 0, 0, 0],
});

const risk = () => profile({
  axis: { id: "score", label: t("risk of the first of three, others 0"), from: -5, to: 5 }, role: "predictions", by: t("score"),
  batch: (x) => ({ predictions: [x, 0, 0], times: [1, 2, 3], events: [1, 1, 1] }), direction: () => [1, 0, 0],
});

const STEPS = 4;
/** One letter in four steps; at each step its logit is x, and those of the blank and of another letter are 0. */
const transcript = () => {
  const chance = (x: number) => Math.exp(x) / (Math.exp(x) + 2);
  return profile({
    axis: { id: "logit", label: t("logit of the letter in each of four steps"), from: -6, to: 6 }, role: "predictions", by: t("this logit"),
    batch: (x) => {
      const other = -Math.log(Math.exp(x) + 2);
      return { predictions: Array.from({ length: STEPS }, () => [[other, x + other, other]]), labels: [[1]], prediction_lengths: [STEPS], label_lengths: [1] };
    },
    direction: (x) => Array.from({ length: STEPS }, () => [-chance(x), 1 - chance(x), -chance(x)]).flat(),
  });
};

const PROFILES: Record<string, () => Profile> = {
  nt_xent: () => pairs("view1", "view2"),
  clip: () => pairs("image", "text", { logit_scale: 10 }),
  siglip: () => pairs("image", "text", { logit_scale: 10, logit_bias: -5 }),
  vicreg: () => pairs("view1", "view2"),
  barlow_twins: () => pairs("view1", "view2"),
  supervised_contrastive: groups,
  circle: groups,
  multi_similarity: groups,
  cox_ph: risk,
  ctc: transcript,
};

export const batched = (loss: Loss) => PROFILES[loss.name]?.() ?? null;
