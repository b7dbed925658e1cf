// Curves as the service computes them.
import { useNewest } from "../newest";
import { call, type Json, type Loss, type LossAnswer, Refused } from "../service";
import type { Axis, Profile, Settings } from "./profile";

export const POINTS = 241;

export interface Shown {
  loss: Loss;
  parameters: Record<string, Json>;
}
export interface Curve {
  name: string;
  points: number[];
  values: (number | null)[];
  slopes: (number | null)[];
  refused?: string;
}

export const pointsOf = ({ from, to }: Axis) => Array.from({ length: POINTS }, (_, i) => from + ((to - from) * i) / (POINTS - 1));

/** The body that asks for the values at all points, and for what the slope follows from. */
export function bodyOf(profile: Profile, axis: Axis, settings: Settings, parameters: Record<string, Json>): string {
  return JSON.stringify({ ...profile.inputs(axis.id, pointsOf(axis), settings), ...parameters, reduction: "none", gradients: [profile.role] });
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
      const direction = profile.direction(axis.id, x, settings);
      const slope = direction.reduce<number | null>((sum, d, k) => {
        const g = gradient[i * width + k];
        return sum === null || (d !== 0 && (g === null || g === undefined)) ? null : sum + (d === 0 ? 0 : d * (g as number));
      }, 0);
      return slope === null ? null : slope / each;
    }),
  };
}

/** The mean of the values of one sample; null if one is not finite. */
export const mean = (values: (number | null)[]) => (values.includes(null) ? null : (values as number[]).reduce((a, b) => a + b, 0) / values.length);

const KEPT = 200;
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
  body: string;
}

async function granted({ name, loss, profile, body }: Wish, axis: Axis, settings: Settings): Promise<Curve> {
  try {
    return curveOf(name, profile, axis, settings, await computed(`v1/losses/${loss.name}`, body));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { name, points: [], values: [], slopes: [], refused: error.message };
  }
}

/** The curves of all wishes, as soon as the newest are there. */
export function useCurves(wishes: Wish[], axis: Axis, settings: Settings): { curves: Curve[]; of: string } {
  const wish = wishes.map((one) => `${one.loss.name} ${one.name} ${one.body}`).join("\n");
  const { given, wish: of } = useNewest<Curve[]>(wish, () => Promise.all(wishes.map((one) => granted(one, axis, settings))), []);
  return { curves: given, of };
}
