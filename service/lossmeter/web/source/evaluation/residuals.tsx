// What a regression leaves over: predictions against labels, and what is missing at each prediction.
import { Plot, rangeOf } from "../drawing/plot";
import { t } from "../strings";

const MOST = 3000;

export function Residuals({ predictions, labels }: { predictions: number[]; labels: number[] }) {
  const every = Math.max(1, Math.ceil(predictions.length / MOST));
  const kept = (values: number[]) => values.filter((_, i) => i % every === 0);
  const [x, y] = [kept(predictions), kept(labels)];
  const rest = x.map((one, i) => (y[i] ?? 0) - one);
  const whole = (values: number[]) => ({ from: Math.min(...values), to: Math.max(...values) });
  const room = ({ from, to }: { from: number; to: number }) => (from === to ? { from: from - 1, to: to + 1 } : { from: from - 0.04 * (to - from), to: to + 0.04 * (to - from) });
  const both = room(whole([...x, ...y]));
  const [low, high] = rangeOf(rest);
  return (
    <section class="card" aria-label={t("Residuals")}>
      <h2>{t("Residuals")}</h2>
      <div class="figures-row">
        <Plot height={270} square label={t("Labels by prediction")} x={{ ...both, label: t("prediction") }} y={{ ...both, label: t("label") }} series={[{ name: "p", form: "points", colour: 0, x, y }]}>
          {(frame) => <line class="marker" x1={frame.x(both.from)} y1={frame.y(both.from)} x2={frame.x(both.to)} y2={frame.y(both.to)} />}
        </Plot>
        <Plot height={270} square label={t("Residuals by prediction")} x={{ ...room(whole(x)), label: t("prediction") }} y={{ from: low, to: high, label: t("label less prediction") }} series={[{ name: "r", form: "points", colour: 1, x, y: rest }]} />
      </div>
    </section>
  );
}
