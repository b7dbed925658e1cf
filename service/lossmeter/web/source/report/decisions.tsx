// Scores and decisions: ROC and precision-recall curves, and a threshold that moves along them and through the confusion matrix.
import { useState } from "preact/hooks";
import { Slider } from "../controls";
import { Legend, Plot, type Series } from "../drawing/plot";
import { percent, short } from "../numbers";
import { t } from "../strings";
import { Matrix } from "./matrix";
import { type Curve, type Figures, found } from "./types";

const UNIT = { from: 0, to: 1 };
const MOST = 6;
const POINTS = 2000;
const RATES: [string, string] = [t("false positive rate"), t("true positive rate")];
const SHARES: [string, string] = [t("recall"), t("precision")];

/** Points at equal steps, the first and the last among them: more cannot be told apart. */
function thinned<T>(column: readonly T[]): readonly T[] {
  if (column.length <= POINTS) return column;
  return Array.from({ length: POINTS }, (_, i) => column[Math.floor((i * (column.length - 1)) / (POINTS - 1))] as T);
}

export function Decisions({ figures, names }: { figures: Figures; names: string[] }) {
  const matrix = found(figures, "confusion_matrix", "matrix");
  const roc = found(figures, "roc_curve", "curve");
  const precision = found(figures, "pr_curve", "curve");
  const single = roc?.value.length === 1 && matrix?.value.length === 2 ? roc.value[0] : undefined;
  if (!matrix && !roc && !precision) return null;
  return (
    <section class="card" aria-label={t("Decisions")}>
      <h2>{t("Decisions")}</h2>
      {single && matrix ? <Threshold curve={single} counts={matrix.value} start={Number(matrix.parameters.threshold ?? 0.5)} precision={precision?.value[0]} names={names} />
        : (
          <div class="figures-row">
            {matrix && <Matrix counts={matrix.value} names={names} title={t("Confusion matrix")} />}
            {roc && <Curves title={t("ROC")} curves={roc.value} x="false_positive_rate" y="true_positive_rate" axes={RATES} names={names} diagonal />}
            {precision && <Curves title={t("Precision and recall")} curves={precision.value} x="recall" y="precision" axes={SHARES} names={names} />}
          </div>
        )}
    </section>
  );
}


function Curves({ title, curves, x, y, axes, names, diagonal = false, point }: {
  title: string; curves: Curve[]; x: string; y: string; axes: [string, string]; names: string[]; diagonal?: boolean; point?: { x: number; y: number } | null;
}) {
  const series: Series[] = curves.slice(0, MOST).map((curve, i) => ({ name: curves.length > 1 ? (names[i] ?? String(i)) : title, colour: i, x: thinned(curve[x] ?? []), y: thinned(curve[y] ?? []) }));
  return (
    <figure>
      <figcaption>{title}</figcaption>
      <Plot square height={270} label={title} x={{ ...UNIT, label: axes[0] }} y={{ ...UNIT, label: axes[1] }} series={series}>
        {(frame) => (
          <>
            {diagonal && <line class="marker" x1={frame.x(0)} y1={frame.y(0)} x2={frame.x(1)} y2={frame.y(1)} />}
            {point && <circle class="s1 dot" cx={frame.x(point.x)} cy={frame.y(point.y)} r="5" />}
          </>
        )}
      </Plot>
      {series.length > 1 && <Legend series={series} />}
      {curves.length > MOST && <p class="hint">{t("The first {shown} of {all} classes.", { shown: MOST, all: curves.length })}</p>}
    </figure>
  );
}

/** The last point of a curve whose threshold is not below the wanted one: all scores from there up are called positive. */
function placeOf(curve: Curve, threshold: number): number {
  let place = 0;
  (curve.threshold ?? []).forEach((one, i) => {
    if (one !== null && one >= threshold) place = i;
  });
  return place;
}

function Threshold({ curve, counts, start, precision, names }: { curve: Curve; counts: (number | null)[][]; start: number; precision?: Curve; names: string[] }) {
  const finite = (curve.threshold ?? []).filter((one) => one !== null);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const shares = low >= 0 && high <= 1;
  const [threshold, setThreshold] = useState(shares ? start : 0);
  const total = (row: number) => (counts[row] ?? []).reduce<number>((sum, one) => sum + (one ?? 0), 0);
  const [negatives, positives] = [total(0), total(1)];
  const place = placeOf(curve, threshold);
  const [fpr, tpr] = [curve.false_positive_rate?.[place] ?? 0, curve.true_positive_rate?.[place] ?? 0];
  const whole = (number: number) => (Math.abs(number - Math.round(number)) < 1e-6 ? Math.round(number) : number);
  const [hits, alarms] = [whole(tpr * positives), whole(fpr * negatives)];
  const moved = [[whole(negatives - alarms), alarms], [whole(positives - hits), hits]];
  const said = hits + alarms;
  const right = said ? hits / said : null;
  const [from, to] = shares ? [0, 1] : [low, high];
  return (
    <>
      <div class="threshold">
        <Slider label={t("Threshold: positive from this score")} value={threshold} minimum={from} maximum={to} step={(to - from) / 200} onValue={setThreshold} />
        <p class="hint" role="status">
          {t("precision {precision}, recall {recall}, false positive rate {fpr}, accuracy {accuracy}", {
            precision: short(right, 3), recall: short(tpr, 3), fpr: short(fpr, 3), accuracy: percent((hits + negatives - alarms) / (positives + negatives)),
          })}
        </p>
      </div>
      <div class="figures-row">
        <Matrix counts={moved} names={names} title={t("Confusion matrix")} />
        <Curves title={t("ROC")} curves={[curve]} x="false_positive_rate" y="true_positive_rate" axes={RATES} names={names} diagonal point={{ x: fpr, y: tpr }} />
        {precision && <Curves title={t("Precision and recall")} curves={[precision]} x="recall" y="precision" axes={SHARES} names={names} point={right === null ? null : { x: tpr, y: right }} />}
      </div>
    </>
  );
}

/** Of the samples to which the model gave a probability, how many it was right about: on the diagonal where it knows how sure it is. */
export function Calibration({ figures }: { figures: Figures }) {
  const diagram = found(figures, "reliability_diagram", "curve")?.value[0];
  if (!diagram) return null;
  const weights = diagram.weight ?? [];
  const most = Math.max(...weights.map((one) => one ?? 0), 1e-12);
  return (
    <section class="card" aria-label={t("Calibration")}>
      <h2>{t("Calibration")}</h2>
      <p class="hint">{t("How often the model was right, by how sure it was. Bars show how many samples are in each bin.")}</p>
      <Plot square height={290} label={t("Calibration")} x={{ ...UNIT, label: t("confidence") }} y={{ ...UNIT, label: t("frequency") }}
        series={[{ name: "line", colour: 0, x: diagram.confidence ?? [], y: diagram.frequency ?? [] }, { name: "points", form: "points", colour: 0, x: diagram.confidence ?? [], y: diagram.frequency ?? [] }]}>
        {(frame) => (
          <>
            <line class="marker" x1={frame.x(0)} y1={frame.y(0)} x2={frame.x(1)} y2={frame.y(1)} />
            {weights.map((weight, i) => {
              const [from, to] = [diagram.from?.[i] ?? 0, diagram.to?.[i] ?? 0];
              const top = frame.y((0.25 * (weight ?? 0)) / most);
              return <rect key={i} class="bar" x={frame.x(from) + 1} width={Math.max(0, frame.x(to) - frame.x(from) - 2)} y={top} height={frame.y(0) - top} />;
            })}
          </>
        )}
      </Plot>
    </section>
  );
}
