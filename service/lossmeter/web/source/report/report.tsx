// A report: the verdict first, then the figures with how sure they are, and what explains them.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Plot } from "../drawing/plot";
import { short } from "../numbers";
import { comma, t } from "../strings";
import { Calibration, Decisions } from "./decisions";
import { Call, Ends, scaleOf, Whiskers } from "./intervals";
import { Slices } from "./slices";
import { type Report, scalarsOf, type Verdict } from "./types";
import { Warnings } from "./warnings";

export function ReportView({ report, names = report.class_names ?? [], about, children }: {
  report: Report; names?: string[]; about?: (sample: string | number) => string | undefined; children?: ComponentChildren;
}) {
  return (
    <div class="report">
      <Gates report={report} />
      <FigureTable report={report} />
      <Decisions figures={report} names={names} />
      <Calibration figures={report} />
      {children}
      <PerClass report={report} names={names} />
      <Slices report={report} />
      <Hardest report={report} about={about} />
      <Doubts report={report} />
    </div>
  );
}

function gateText({ gate }: Verdict): string {
  const { metric, loss, minimum, maximum, baseline, margin, slice, at, ...parameters } = gate;
  const inside = Object.entries(parameters).filter(([, value]) => value !== null).map(([key, value]) => `${key}=${String(value)}`);
  const where = slice === undefined || slice === null ? "" : typeof slice === "string" ? `[${slice}]` : `[${Object.values(slice).map(String).join("=")}]`;
  const end = typeof at === "string" && at !== "value" ? `@${at}` : "";
  const bounds = [
    minimum !== undefined && minimum !== null && `≥ ${String(minimum)}`,
    maximum !== undefined && maximum !== null && `≤ ${String(maximum)}`,
    baseline !== undefined && baseline !== null && `${String(baseline)} ± ${String(margin ?? 0)}`,
  ].filter(Boolean);
  return `${String(metric ?? loss)}${inside.length ? `(${inside.join(", ")})` : ""}${end}${where} ${bounds.join(", ")}`;
}

/** How far the figure is from the bound. */
function distance({ observed, threshold, passed }: Verdict): string {
  if (observed === null || !Number.isFinite(observed - threshold)) return "";
  const by = short(Math.abs(observed - threshold), 3);
  return `${comma}${passed ? t("{distance} to spare", { distance: by }) : t("missed by {distance}", { distance: by })}`;
}

function Gates({ report }: { report: Report }) {
  if (!report.gates.length) return null;
  return (
    <section class={report.passed ? "card verdict passed" : "card verdict failed"} aria-label={t("Gates")}>
      <h2>{report.passed ? t("All gates hold") : t("Not all gates hold")}</h2>
      <ul class="gates">
        {report.gates.map((one) => (
          <li key={gateText(one)} class={one.passed ? "passed" : "failed"}>
            <span class="badge">{one.passed ? t("holds") : t("fails")}</span> <code>{gateText(one)}</code>
            <span class="kind"> {t("observed {observed}, needed {threshold}", { observed: short(one.observed), threshold: short(one.threshold) })}{distance(one)}
              {one.where && ` · ${one.where.column} = ${String(one.where.value)}`}
              {one.failed_slices.length > 0 && ` · ${t("fails in {slices}", { slices: one.failed_slices.map((place) => String(place.value)).join(", ") })}`}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function FigureTable({ report }: { report: Report }) {
  const figures = scalarsOf(report);
  const groups = (["loss", "metric"] as const).map((kind) => figures.filter((one) => one.kind === kind)).filter((group) => group.length);
  const level = figures.find((one) => one.interval)?.interval?.level;
  return (
    <section class="card" aria-label={t("Figures")}>
      <h2>{t("Figures")}</h2>
      <p class="hint">{t("{samples} samples", { samples: report.samples.toLocaleString("en") })}{level !== undefined && ` · ${t("intervals hold the true value in {level} of cases", { level: `${100 * level} %` })}`}</p>
      <div class="scroll" tabIndex={0}>
        <table class="figures">
          <thead><tr><th scope="col">{t("Figure")}</th><th scope="col">{t("Value")}</th><th scope="col">{t("Interval")}</th><td /></tr></thead>
          {groups.map((group) => (
            <tbody key={group[0]?.kind}>
              {group.map((one) => (
                <tr key={one.key}>
                  <th scope="row"><Call name={one.name} parameters={one.parameters} /></th>
                  <td class="strong">{short(one.value)}</td><td><Ends interval={one.interval} /></td>
                  <td><Whiskers value={one.value} interval={one.interval} scale={shared(one, group)} colour={one.kind === "loss" ? 1 : 0} /></td>
                </tr>
              ))}
            </tbody>
          ))}
        </table>
      </div>
    </section>
  );
}

type Scalar = ReturnType<typeof scalarsOf>[number];
const share = (one: Scalar) => [one.value, one.interval?.low, one.interval?.high].every((number) => number === null || number === undefined || (number >= 0 && number <= 1));

/** Shares are drawn on one scale from 0 to 1; every other metric on its own; losses on one. */
const shared = (one: Scalar, group: Scalar[]) => (one.kind === "loss" ? scaleOf(group) : share(one) ? [0, 1] as [number, number] : scaleOf([one]));

function PerClass({ report, names }: { report: Report; names: string[] }) {
  const figures = report.metrics.filter((one) => one.kind === "per_class");
  if (!figures.length) return null;
  return (
    <section class="card" aria-label={t("By class")}>
      <h2>{t("By class")}</h2>
      <div class="scroll" tabIndex={0}>
        <table class="figures">
          <thead><tr><th scope="col">{t("Class")}</th>{figures.map((one) => <th key={one.metric} scope="col">{one.metric}</th>)}</tr></thead>
          <tbody>
            {(figures[0]?.value ?? []).map((_, i) => <tr key={i}><th scope="row">{names[i] ?? i}</th>{figures.map((one) => <td key={one.metric}>{short(one.value[i])}</td>)}</tr>)}
          </tbody>
        </table>
      </div>
    </section>
  );
}

const FIRST = 10;

function Hardest({ report, about }: { report: Report; about?: (sample: string | number) => string | undefined }) {
  const [shown, setShown] = useState(FIRST);
  if (!report.hardest.length) return null;
  const most = Math.max(...report.hardest.map((one) => one.loss ?? 0));
  const left = report.hardest.length - shown;
  return (
    <section class="card" aria-label={t("Hardest samples")}>
      <h2>{t("Hardest samples")}</h2>
      {report.hardest.length === report.samples && report.samples > 2 * FIRST && <Histogram values={report.hardest.flatMap((one) => (one.loss === null ? [] : [one.loss]))} />}
      <div class="scroll" tabIndex={0}>
        <table class="figures">
          <thead><tr><th scope="col">{t("Sample")}</th><th scope="col">{t("Loss")}</th><td />{about && <th scope="col" class="row-text">{t("Row")}</th>}</tr></thead>
          <tbody>
            {report.hardest.slice(0, shown).map((one, i) => (
              <tr key={i}>
                <th scope="row">{String(one.sample_id ?? `${one.batch_id ?? ""} ${one.position ?? ""}`)}</th>
                <td class="strong">{short(one.loss)}</td>
                <td><svg class="whiskers s1" width="140" height="12" aria-hidden="true"><rect class="bar" width={Math.max(1, (140 * (one.loss ?? 0)) / (most || 1))} height="12" /></svg></td>
                {about && <td class="row-text">{one.sample_id === null ? "" : about(one.sample_id)}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {left > 0 && <div class="row"><button type="button" class="quiet" onClick={() => setShown(shown + 5 * FIRST)}>{t("Show {count} more", { count: Math.min(left, 5 * FIRST) })}</button></div>}
    </section>
  );
}

const BINS = 30;

function Histogram({ values }: { values: number[] }) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) return null;
  const counts = Array.from({ length: BINS }, () => 0);
  for (const value of values) counts[Math.min(BINS - 1, Math.floor((BINS * (value - low)) / (high - low)))] += 1;
  const width = (high - low) / BINS;
  return (
    <Plot height={160} label={t("Losses of all samples")} x={{ label: t("loss"), from: low, to: high }} y={{ label: t("samples"), from: 0, to: 1.05 * Math.max(...counts) }} series={[]}>
      {(frame) => counts.map((count, i) => (
        <rect key={i} class="bar" x={frame.x(low + i * width) + 0.5} width={Math.max(0.5, frame.x(low + width) - frame.x(low) - 1)} y={frame.y(count)} height={frame.y(0) - frame.y(count)} />
      ))}
    </Plot>
  );
}

/** What is not finite by nature (the first threshold of a curve, an empty bin) is not worth a warning, nor the bound of a value that is none. */
function Doubts({ report }: { report: Report }) {
  const curves = report.metrics.flatMap((one, i) => (one.kind === "curve" ? [`/metrics/${i}/`] : []));
  const rest = report.warnings.filter((one) => !curves.some((place) => one.pointer.startsWith(place)) && !one.pointer.endsWith("/error_bound") && !/^\/slices\/\d+\/metrics\/\d+\/value\/\d+\//.test(one.pointer));
  return <Warnings label={t("Warnings")} warnings={rest.slice(0, 20)} />;
}
