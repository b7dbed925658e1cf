// Curves of a loss and of others beside it, which the service computes while their parameters are moved.
import { useEffect, useMemo, useState } from "preact/hooks";
import { remember } from "../address";
import { CopyButton, Segments, Select, Slider } from "../controls";
import { at, Plot, rangeOf, type Series } from "../drawing/plot";
import { short } from "../numbers";
import { Name } from "../prose";
import { Failure } from "../refusal";
import type { Loss } from "../service";
import { t } from "../strings";
import { type Curve, bodiesOf, useCurves } from "./curves";
import { Knobs } from "./knobs";
import { Plane } from "./plane";
import type { Profile } from "./profile";
import { profileOf } from "./profiles";
import { Triangle } from "./triangle";
import { axisOf, parseCall, queryOf, type View, viewOf, writeCall } from "./state";

/** Comparisons that show most, for the losses where there are some. */
const TELLING: Record<string, string[]> = {
  focal: ["cross_entropy"], binary_focal: ["binary_cross_entropy_with_logits"], huber: ["mse", "mae"], cross_entropy: ["focal"], mse: ["mae", "huber"],
  mae: ["mse", "huber"], smooth_l1: ["huber"], log_cosh: ["huber"], hinge: ["squared_hinge", "soft_margin"], ppo_clip: ["importance_sampling"],
  barron: ["barron(alpha=-2)"], iou: ["giou", "diou"], giou: ["iou", "diou"], diou: ["iou", "ciou"], dpo: ["ipo", "dpo_hinge"], dice: ["tversky(alpha=0.3,beta=0.7)"],
};

/** Losses that can be drawn along the axis of another: they take the same kind of sample. */
function companions(all: Loss[], profile: Profile, axis: string): Loss[] {
  const label = profile.axes.find((one) => one.id === axis)?.label;
  return all.filter((loss) => profileOf(loss)?.axes.some((one) => one.id === axis && one.label === label));
}

export function Explorer({ loss, all, query }: { loss: Loss; all: Loss[]; query: URLSearchParams }) {
  const profile = useMemo(() => profileOf(loss), [loss]);
  if (!profile) return <p class="note">{t("This loss has no curve yet. Try it by hand below.")}</p>;
  return <Curves key={loss.name} loss={loss} all={all} profile={profile} query={query} />;
}

function Curves({ loss, all, profile, query }: { loss: Loss; all: Loss[]; profile: Profile; query: URLSearchParams }) {
  const [view, setView] = useState<View>(() => {
    const start = viewOf(query, loss, profile);
    return [...query].length ? start : { ...start, others: (TELLING[loss.name] ?? []).map(parseCall) };
  });
  const change = (part: Partial<View>) => setView((before) => ({ ...before, ...part }));
  useEffect(() => {
    if (view !== first) remember([loss.name], queryOf(view, loss, profile));
  }, [view]);
  const [first] = useState(view);

  const axis = axisOf(view, profile);
  const byName = useMemo(() => new Map(all.map((one) => [one.name, one])), [all]);
  const possible = useMemo(() => companions(all, profile, axis.id), [all, profile, axis]);
  const shown = useMemo(() => [{ name: loss.name, parameters: view.parameters }, ...view.others].flatMap(({ name, parameters }) => {
    const one = byName.get(name);
    const drawn = one && profileOf(one);
    return one && drawn && possible.includes(one) ? [{ loss: one, profile: drawn, parameters }] : [];
  }), [loss, view.parameters, view.others, byName, possible]);
  const wishes = useMemo(() => shown.map((one) => ({
    ...one, name: writeCall(one.loss.name, one.parameters), bodies: bodiesOf(one.profile, axis, withDefaults(one.profile, view), one.parameters),
  })), [shown, axis, view.settings]);
  const { curves, of } = useCurves(wishes, axis, view.settings);
  const point = view.at ?? start(axis.from, axis.to);
  const read = (x: number) => change({ at: x });
  // What has not changed is not drawn again while a slider moves.
  const plots = useMemo(() => {
    const first = curves.find((curve) => curve.points.length);
    const range = { ...axis, ...(first ? { from: first.points[0] as number, to: first.points.at(-1) as number } : {}) };
    const series = (which: "values" | "slopes"): Series[] => curves.flatMap((curve, colour) => (curve.points.length ? [{ name: `${colour} ${curve.name}`, x: curve.points, y: curve[which], colour }] : []));
    return (
      <>
        <Panel title={t("Loss")} x={range} series={series("values")} name={`${loss.name}: ${t("loss")}`} marker={point} onPoint={read} />
        <Panel title={t("Gradient")} x={range} series={series("slopes")} name={`${loss.name}: ${t("gradient by the {what}", { what: profile.by })}`} marker={point} onPoint={read} height={190} />
        <Reading curves={curves} point={point} axis={axis} by={profile.by} onPoint={read} />
      </>
    );
  }, [curves, axis, point]);

  return (
    <section class="explorer" aria-label={t("Curves")} data-curves={curves.length} data-of={of.length ? "ready" : ""}>
      <div class="plots">
        {profile.batch && <p class="hint">{t("Its values depend on the whole batch: what is drawn is the mean of a small one, of which one sample moves.")}</p>}
        {profile.axes.length > 1 && <Segments label={t("Horizontal axis")} value={axis.id} options={profile.axes.map((one) => [one.id, one.label])} onValue={(id) => change({ axis: id, at: null })} />}
        {plots}
        <Plane loss={loss} profile={profile} axis={axis} settings={withDefaults(profile, view)} parameters={view.parameters} point={point}
          onPlace={(x, settings) => change({ at: x, settings: { ...view.settings, ...settings } })} />
        <Triangle loss={loss} profile={profile} parameters={view.parameters} />
      </div>
      <div class="knobs">
        {shown.map((one, place) => (
          <fieldset key={place} class="curve">
            <legend><span class={`swatch s${place}`} aria-hidden="true" /> <code><Name name={one.loss.name} /></code>
              {place > 0 && <button type="button" class="quiet" aria-label={t("Remove {name}", { name: one.loss.name })} onClick={() => change({ others: view.others.filter((_, i) => i !== place - 1) })}>×</button>}
            </legend>
            <Knobs loss={one.loss} values={one.parameters} onValues={(parameters) => (place === 0 ? change({ parameters }) : change({ others: view.others.map((other, i) => (i === place - 1 ? { ...other, parameters } : other)) }))} />
            {curves[place]?.refused && <Failure error={curves[place].refused} />}
          </fieldset>
        ))}
        {profile.settings.length > 0 && (
          <fieldset class="curve">
            <legend>{t("The sample")}</legend>
            {profile.settings.map((one) => (
              <Slider key={one.name} label={one.label} value={view.settings[one.name] ?? one.initial} minimum={one.minimum} maximum={one.maximum} step={one.step}
                onValue={(value) => change({ settings: { ...view.settings, [one.name]: value } })} />
            ))}
          </fieldset>
        )}
        <Add possible={possible} full={shown.length > 5} onAdd={(name) => change({ others: [...view.others, { name, parameters: name === loss.name ? view.parameters : {} }] })} />
        <CopyButton label={t("Copy the address of this view")} text={() => `${document.baseURI.split("#")[0]}#/${loss.name}?${queryOf(view, loss, profile)}`} />
      </div>
    </section>
  );
}

const start = (from: number, to: number) => from + 0.7 * (to - from);

function withDefaults(profile: Profile, view: View): Record<string, number> {
  return { ...Object.fromEntries(profile.settings.map((one) => [one.name, one.initial])), ...view.settings };
}

function Panel({ title, name, x, series, marker, height, onPoint }: {
  title: string; name: string; x: { label: string; from: number; to: number }; series: Series[]; marker: number; height?: number; onPoint: (x: number) => void;
}) {
  const [from, to] = useMemo(() => rangeOf(series.flatMap((one) => one.y)), [series]);
  return <Plot x={x} y={{ label: title, from, to }} series={series} label={name} marker={marker} height={height} onPoint={onPoint} />;
}

/** The numbers at one point, which is moved by mouse, finger or keyboard. */
function Reading({ curves, point, axis, by, onPoint }: {
  curves: Curve[]; point: number; axis: { label: string; from: number; to: number }; by: string; onPoint: (x: number) => void;
}) {
  return (
    <div class="reading">
      <Slider label={t("Read at {axis}", { axis: axis.label })} value={Number(point.toPrecision(4))} minimum={axis.from} maximum={axis.to} step={(axis.to - axis.from) / 240} onValue={onPoint} />
      <div class="scroll" tabIndex={0}>
        <table class="figures">
          <thead><tr><th scope="col">{t("Curve")}</th><th scope="col">{t("Loss")}</th><th scope="col">{t("Gradient by the {what}", { what: by })}</th></tr></thead>
          <tbody>
            {curves.map((curve, place) => (
              <tr key={place}>
                <th scope="row"><span class={`swatch s${place}`} aria-hidden="true" /> <code>{curve.name}</code></th>
                <td>{short(at({ x: curve.points, y: curve.values }, point))}</td>
                <td>{short(at({ x: curve.points, y: curve.slopes }, point))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function Add({ possible, full, onAdd }: { possible: Loss[]; full: boolean; onAdd: (name: string) => void }) {
  if (full) return <p class="hint">{t("Six curves are as many as can be told apart.")}</p>;
  const options: [string, string][] = [["", t("Choose a loss …")], ...possible.map((one): [string, string] => [one.name, one.name])];
  return <Select label={t("Compare with")} value="" options={options} onValue={(name) => name && onAdd(name)} />;
}

