// Curves as the service computes them.
import { useNewest } from "../newest";
import { call, type Json, type Loss, type LossAnswer, Refused } from "../service";
import type { Axis, Profile, Settings } from "./profile";

export const POINTS = 241;
/** Of losses whose values depend on a whole batch, as each point is a request. */
const SWEPT = 61;

export interface Curve {
  name: string;
  points: number[];
  values: (number | null)[];
  slopes: (number | null)[];
  refused?: Refused;
}

const pointsOf = ({ from, to }: Axis, count = POINTS) => Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1));

/** The bodies that ask for the values at all points, and for what the slope follows from: one, or one for each point. */
export function bodiesOf(profile: Profile, axis: Axis, settings: Settings, parameters: Record<string, Json>): string[] {
  const { batch, role } = profile;
  if (batch) return pointsOf(axis, SWEPT).map((x) => JSON.stringify({ ...batch(axis.id, x, settings), ...parameters, gradients: [role] }));
  return [JSON.stringify({ ...profile.inputs(axis.id, pointsOf(axis), settings), ...parameters, reduction: "none", gradients: [role] })];
}

function curveOf(name: string, profile: Profile, axis: Axis, settings: Settings, answer: LossAnswer): Curve {
  const points = pointsOf(axis);
  const values = answer.values?.data ?? [];
  const gradient = answer.gradients[profile.role]?.data ?? [];
  const [each, width] = [values.length / POINTS, gradient.length / POINTS];
  return {
    name,
    points,
    values: points.map((_, i) => mean(values.slice(i * each, (i + 1) * each))),
    slopes: points.map((x, i) => {
      const slope = product(profile.direction(axis.id, x, settings), gradient.slice(i * width, (i + 1) * width));
      return slope === null ? null : slope / each;
    }),
  };
}

/** A curve of which each point is the mean of a batch. */
function sweptCurve(name: string, profile: Profile, axis: Axis, settings: Settings, answers: LossAnswer[]): Curve {
  const points = pointsOf(axis, SWEPT);
  return {
    name,
    points,
    values: answers.map((answer) => answer.value ?? null),
    slopes: points.map((x, i) => product(profile.direction(axis.id, x, settings), answers[i]?.gradients[profile.role]?.data ?? [])),
  };
}

function product(direction: number[], gradient: (number | null)[]): number | null {
  let sum = 0;
  for (const [k, d] of direction.entries()) {
    const g = gradient[k];
    if (d !== 0 && (g === null || g === undefined)) return null;
    if (d !== 0) sum += d * (g as number);
  }
  return sum;
}

/** The mean of the values of one sample; null if one is not finite. */
export const mean = (values: (number | null)[]) => (values.includes(null) ? null : (values as number[]).reduce((a, b) => a + b, 0) / values.length);

const KEPT = 1000;
const kept = new Map<string, Promise<LossAnswer>>();

/** The answer to a request, kept: sliders go back and forth. */
export function computed(path: string, body: string): Promise<LossAnswer> {
  const key = `${path} ${body}`;
  let answer = kept.get(key);
  if (!answer) {
    answer = call<LossAnswer>("POST", path, body).then((one) => one.given);
    kept.set(key, answer);
    answer.catch(() => kept.delete(key));
    const [oldest] = kept.keys();
    if (kept.size > KEPT && oldest !== undefined) kept.delete(oldest);
  }
  return answer;
}

export interface Wish {
  name: string;
  loss: Loss;
  profile: Profile;
  bodies: string[];
}

async function granted({ name, loss, profile, bodies }: Wish, axis: Axis, settings: Settings): Promise<Curve> {
  try {
    const answers = await Promise.all(bodies.map((body) => computed(`v1/losses/${loss.name}`, body)));
    return profile.batch ? sweptCurve(name, profile, axis, settings, answers) : curveOf(name, profile, axis, settings, answers[0] as LossAnswer);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { name, points: [], values: [], slopes: [], refused: error };
  }
}

/** The curves of all wishes, as soon as the newest are there. */
export function useCurves(wishes: Wish[], axis: Axis, settings: Settings): { curves: Curve[]; of: string } {
  const wish = wishes.map((one) => `${one.loss.name} ${one.name} ${one.bodies.join()}`).join("\n");
  const { given, wish: of } = useNewest<Curve[]>(wish, () => Promise.all(wishes.map((one) => granted(one, axis, settings))), []);
  return { curves: given, of };
}
