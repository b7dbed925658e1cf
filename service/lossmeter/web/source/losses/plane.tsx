// Losses over two things at once, as contours: an axis and what may be set besides.
import { contours } from "d3-contour";
import { useMemo, useState } from "preact/hooks";
import { Segments } from "../controls";
import { type Frame, Plot } from "../drawing/plot";
import { useNewest } from "../newest";
import { short } from "../numbers";
import type { Json, Loss, LossAnswer } from "../service";
import { t } from "../strings";
import { computed, mean } from "./curves";
import type { Axis, Profile, Setting, Settings } from "./profile";

export const [COLUMNS, ROWS] = [49, 41];
const LEVELS = 12;
export type Parameters = Record<string, Json>;

export const spread = (from: number, to: number, count: number) => Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1));

/** One sample for each place of the grid, row by row. What all samples share is not repeated. */
function gridOf(profile: Profile, axis: Axis, setting: Setting, settings: Settings): Record<string, Json> {
  const xs = spread(axis.from, axis.to, COLUMNS);
  const rows = spread(setting.minimum, setting.maximum, ROWS).map((y) => profile.inputs(axis.id, xs, { ...settings, [setting.name]: y }));
  return Object.fromEntries(Object.entries(rows[0] ?? {}).map(([role, first]) => [role, Array.isArray(first) && first.length === COLUMNS ? rows.flatMap((row) => row[role] as Json[]) : first]));
}

/** The values on a grid, those that are not finite as the highest. */
export function useValues(loss: Loss, tensors: Record<string, Json> | null, parameters: Parameters): number[] | null {
  const body = tensors && JSON.stringify({ ...tensors, ...parameters, reduction: "none" });
  const ask = async () => {
    if (!body) return null;
    try {
      return await computed(`v1/losses/${loss.name}`, body);
    } catch {
      return null; // The curves beside it say what is wrong.
    }
  };
  const { given } = useNewest<LossAnswer | null>(body ?? "", ask, null);
  return useMemo(() => {
    const data = given?.values?.data;
    if (!data) return null;
    const each = data.length / (COLUMNS * ROWS);
    const values = Array.from({ length: COLUMNS * ROWS }, (_, i) => mean(data.slice(i * each, (i + 1) * each)));
    const highest = Math.max(...values.filter((one) => one !== null));
    return values.map((one) => one ?? highest);
  }, [given]);
}

/** Contours of values on a grid, light where they are low. */
export function Contours({ values, frame, x, y }: { values: number[]; frame: Frame; x: Ends; y: Ends }) {
  const [low, high] = rangeOf(values);
  const levels = spread(low, high, LEVELS + 1).slice(0, LEVELS);
  const shapes = useMemo(() => contours().size([COLUMNS, ROWS]).thresholds(levels)(values), [values]);
  const place = ([column, row]: number[]) => {
    const a = x.from + (((column as number) - 0.5) / (COLUMNS - 1)) * (x.to - x.from);
    const b = y.from + (((row as number) - 0.5) / (ROWS - 1)) * (y.to - y.from);
    return `${frame.x(a).toFixed(1)} ${frame.y(b).toFixed(1)}`;
  };
  return (
    <g class="contours">
      {shapes.map((shape, i) => (
        <path key={i} fill={`color-mix(in srgb, var(--s0) ${Math.round((75 * i) / LEVELS)}%, var(--card))`}
          d={shape.coordinates.flatMap((polygon) => polygon.map((ring) => `M${ring.map(place).join("L")}Z`)).join("")} />
      ))}
    </g>
  );
}

interface Ends {
  from: number;
  to: number;
}

/** Poles are cut: a few huge values would leave everything else in one shade. */
function rangeOf(values: number[]): [number, number] {
  const sorted = [...values].sort((a, b) => a - b);
  return [sorted[0] as number, sorted[Math.floor(0.97 * (sorted.length - 1))] as number];
}

/** From where to where the shades go. */
export const ends = (values: number[]) => ({ low: short(rangeOf(values)[0], 3), high: short(rangeOf(values)[1], 3) });

export function Plane({ loss, profile, axis, settings, parameters, point, onPlace }: {
  loss: Loss; profile: Profile; axis: Axis; settings: Settings; parameters: Parameters; point: number; onPlace: (x: number, settings: Settings) => void;
}) {
  const usable = profile.settings.filter((one) => (one.maximum - one.minimum) / one.step > 2);
  const [open, setOpen] = useState(profile.plane ?? false);
  const [name, setName] = useState(usable[0]?.name ?? "");
  const setting = usable.find((one) => one.name === name);
  const values = useValues(loss, open && setting ? gridOf(profile, axis, setting, settings) : null, parameters);
  if (!setting) return null;
  const title = t("As a map over {x} and {y}", { x: axis.label, y: setting.label });
  const y = { label: setting.label, from: setting.minimum, to: setting.maximum };
  const at = settings[setting.name] ?? setting.initial;
  const size = settings.size ?? 1;
  return (
    <details class="map" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{title}</summary>
      {usable.length > 1 && <Segments label={t("Vertical axis")} value={setting.name} options={usable.map((one) => [one.name, one.label])} onValue={setName} />}
      {values && (
        <>
          <Plot x={axis} y={y} series={[]} height={320} label={title} onPlace={(a, b) => onPlace(a, { [setting.name]: Number(b.toPrecision(3)) })}>
            {(frame) => (
              <>
                <Contours values={values} frame={frame} x={axis} y={y} />
                {loss.family === "boxes" && setting.name === "y" && (
                  <>
                    <rect class="box s2" x={frame.x(0)} y={frame.y(1)} width={frame.x(1) - frame.x(0)} height={frame.y(0) - frame.y(1)} />
                    <rect class="box s1" x={frame.x(point)} y={frame.y(at + size)} width={frame.x(point + size) - frame.x(point)} height={frame.y(at) - frame.y(at + size)} />
                  </>
                )}
                <circle class="s1 dot" cx={frame.x(point)} cy={frame.y(at)} r="5" />
              </>
            )}
          </Plot>
          <p class="hint">{t("From {low} (faint) to {high} (strong).", ends(values))}</p>
        </>
      )}
    </details>
  );
}
