// A loss over the probabilities of three classes, as contours in a triangle, with a place that is moved and its value and gradient.
import { useMemo, useState } from "preact/hooks";
import { Slider } from "../controls";
import { Plot } from "../drawing/plot";
import { useNewest } from "../newest";
import { short } from "../numbers";
import type { Loss, LossAnswer } from "../service";
import { t } from "../strings";
import { computed, mean } from "./curves";
import { COLUMNS, Contours, ends, type Parameters, ROWS, spread, useValues } from "./plane";
import type { Profile } from "./profile";

const HEIGHT = Math.sqrt(3) / 2;
const LEAST = 0.004;
const START = [0.6, 0.3, 0.1];
const X = { label: "", from: -0.1, to: 1.1 };
const Y = { label: "", from: -0.1, to: HEIGHT + 0.1 };

/** Probabilities of which none is 0. */
function normalised(shares: number[]): number[] {
  const all = shares.map((one) => Math.max(LEAST, one));
  const sum = all.reduce((a, b) => a + b, 0);
  return all.map((one) => one / sum);
}

/** The probabilities at a place in the triangle with the true class on top; near the edge for places beyond it. */
function mixture(x: number, y: number): number[] {
  const top = y / HEIGHT;
  const right = x - top / 2;
  return normalised([top, 1 - top - right, right]);
}

/** Where probabilities are in the triangle. */
const placeOf = ([top = 0, , right = 0]: number[]) => [right + top / 2, top * HEIGHT] as const;

/** One probability is set; the others keep their ratio. */
function moved(shares: number[], which: number, to: number): number[] {
  const rest = 1 - (shares[which] ?? 0);
  return normalised(shares.map((one, i) => (i === which ? to : (one / rest) * (1 - to))));
}

function useSample(loss: Loss, profile: Profile, parameters: Parameters, shares: number[] | null): LossAnswer | null {
  const body = shares && profile.simplex && JSON.stringify({ ...profile.simplex([shares]), ...parameters, reduction: "none", gradients: [profile.role] });
  const ask = () => (body ? computed(`v1/losses/${loss.name}`, body).catch(() => null) : Promise.resolve(null));
  return useNewest<LossAnswer | null>(body ?? "", ask, null).given;
}

export function Triangle({ loss, profile, parameters }: { loss: Loss; profile: Profile; parameters: Parameters }) {
  const [open, setOpen] = useState(false);
  const [shares, setShares] = useState(START);
  const grid = useMemo(() => spread(0, HEIGHT, ROWS).flatMap((y) => spread(0, 1, COLUMNS).map((x) => mixture(x, y))), []);
  const values = useValues(loss, open && profile.simplex ? profile.simplex(grid) : null, parameters);
  const answer = useSample(loss, profile, parameters, open ? shares : null);
  if (!profile.simplex) return null;
  const names = [t("true class"), t("class {number}", { number: 2 }), t("class {number}", { number: 3 })];
  const clip = "triangle";
  const at = placeOf(shares);
  return (
    <details class="map" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t("Over the probabilities of three classes")}</summary>
      {values && (
        <>
          <div class="triangle">
            <Plot x={X} y={Y} series={[]} height={330} square bare label={`${loss.name}: ${t("Over the probabilities of three classes")}`} onPlace={(x, y) => setShares(mixture(x, y))}>
              {(frame) => {
                const corners = [[0, 0], [1, 0], [0.5, HEIGHT]].map(([a, b]) => `${frame.x(a as number)},${frame.y(b as number)}`).join(" ");
                return (
                  <>
                    <clipPath id={clip}><polygon points={corners} /></clipPath>
                    <g clip-path={`url(#${clip})`}><Contours values={values} frame={frame} x={{ from: 0, to: 1 }} y={{ from: 0, to: HEIGHT }} /></g>
                    <polygon class="edge" points={corners} />
                    <g class="grid">
                      <text x={frame.x(0.5)} y={frame.y(HEIGHT) - 6} text-anchor="middle">{names[0]}</text>
                      <text x={frame.x(0)} y={frame.y(0) + 15} text-anchor="middle">{names[1]}</text>
                      <text x={frame.x(1)} y={frame.y(0) + 15} text-anchor="middle">{names[2]}</text>
                    </g>
                    <circle class="s1 dot" cx={frame.x(at[0])} cy={frame.y(at[1])} r="5" />
                  </>
                );
              }}
            </Plot>
            <div class="sliders">
              {names.map((name, i) => <Slider key={name} label={t("Probability: {name}", { name })} value={Number((shares[i] ?? 0).toPrecision(3))} minimum={0} maximum={1} step={0.01} onValue={(to) => setShares(moved(shares, i, to))} />)}
              <p class="hint">{t("From {low} (faint) to {high} (strong).", ends(values))}</p>
            </div>
          </div>
          {answer && <Sample answer={answer} names={names} />}
        </>
      )}
    </details>
  );
}

function Sample({ answer, names }: { answer: LossAnswer; names: string[] }) {
  const [gradient] = Object.values(answer.gradients);
  return (
    <div class="scroll" tabIndex={0}>
      <table class="figures sample">
        <thead><tr><th scope="col">{t("Loss")}</th>{names.map((name) => <th key={name} scope="col">{t("Gradient: {name}", { name })}</th>)}</tr></thead>
        <tbody><tr><td class="strong">{short(mean(answer.values?.data ?? []))}</td>{names.map((name, i) => <td key={name}>{short(gradient?.data[i] ?? null)}</td>)}</tr></tbody>
      </table>
    </div>
  );
}
