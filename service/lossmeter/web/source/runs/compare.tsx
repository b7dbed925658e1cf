// Two runs: by how much each figure differs, with the interval of the difference in pairs.
import { useEffect } from "preact/hooks";
import { href } from "../address";
import { usePromise } from "../prose";
import { Call, Ends, scaleOf, Whiskers } from "../report/intervals";
import type { Interval, Run } from "../report/types";
import { short } from "../numbers";
import { call, type Json } from "../service";
import { t } from "../strings";
import { titleOf } from "./list";

interface Difference {
  loss?: string;
  metric?: string;
  parameters: Record<string, Json>;
  better: "higher" | "lower" | "neither";
  baseline: number | null;
  candidate: number | null;
  difference: number | null;
  interval: Interval | null;
  p_value: number | null;
}
interface Part {
  losses: Difference[];
  metrics: Difference[];
}
interface Comparison extends Part {
  baseline: Run;
  candidate: Run;
  slices: (Part & { column: string; value: string | number | boolean })[];
  left_out: { loss: string | null; metric: string | null }[];
}

export function ComparePage({ baseline, candidate }: { baseline: string; candidate: string }) {
  const { given, error } = usePromise(() => call<Comparison>("POST", "v1/comparisons", JSON.stringify({ baseline, candidate })).then((answer) => answer.given), [baseline, candidate]);
  useEffect(() => {
    document.title = `${t("Comparison")} · lossmeter`;
  }, []);
  return (
    <main id="main" class="page wide" tabIndex={-1} aria-busy={!given && !error}>
      <header class="title">
        <p class="kind"><a href="#/runs">{t("Runs")}</a></p>
        <h1>{t("Comparison")}</h1>
      </header>
      {error && <p class="error" role="alert">{error.message}</p>}
      {given && (
        <>
          <p class="lead"><a href={href(["runs", candidate])}>{titleOf(given.candidate)}</a> {t("less")} <a href={href(["runs", baseline])}>{titleOf(given.baseline)}</a></p>
          <div class="row"><a class="quiet" href={href(["compare", candidate, baseline])}>{t("The other way round")}</a></div>
          <Differences title={t("All samples")} part={given} />
          {given.slices.map((part) => <Differences key={`${part.column} ${String(part.value)}`} title={`${part.column} = ${String(part.value)}`} part={part} />)}
          {given.left_out.length > 0 && <p class="hint">{t("Only one of the runs measures: {names}", { names: given.left_out.map((one) => one.loss ?? one.metric ?? "").join(", ") })}</p>}
        </>
      )}
    </main>
  );
}

function verdict({ better, interval }: Difference): "better" | "worse" | "" {
  if (!interval || interval.low === null || interval.high === null || better === "neither") return "";
  const sign = interval.low > 0 ? 1 : interval.high < 0 ? -1 : 0;
  return sign === 0 ? "" : (sign > 0) === (better === "higher") ? "better" : "worse";
}

function Differences({ title, part }: { title: string; part: Part }) {
  const rows = [...part.losses, ...part.metrics];
  return (
    <section class="card" aria-label={title}>
      <h2>{title}</h2>
      <div class="scroll" tabIndex={0}>
        <table class="figures">
          <thead><tr><th scope="col">{t("Figure")}</th><th scope="col">{t("Baseline")}</th><th scope="col">{t("Candidate")}</th><th scope="col">{t("Difference")}</th><th scope="col">{t("Interval")}</th><td /><th scope="col">p</th><th scope="col">{t("Verdict")}</th></tr></thead>
          <tbody>
            {rows.map((one) => {
              const says = verdict(one);
              return (
                <tr key={`${one.loss ?? ""} ${one.metric ?? ""} ${JSON.stringify(one.parameters)}`}>
                  <th scope="row"><Call name={one.loss ?? one.metric ?? ""} parameters={one.parameters} /></th>
                  <td>{short(one.baseline)}</td><td>{short(one.candidate)}</td><td class="strong">{short(one.difference)}</td><td><Ends interval={one.interval} /></td>
                  <td><Whiskers zero value={one.difference} interval={one.interval} scale={scaleOf([{ value: one.difference, interval: one.interval }], true)} colour={says === "worse" ? 1 : 0} /></td>
                  <td>{short(one.p_value, 2)}</td><td class={says}>{says === "better" ? t("better") : says === "worse" ? t("worse") : t("undecided")}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}
