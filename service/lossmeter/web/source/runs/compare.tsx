// Runs beside one of them: by how much each figure differs, with the interval of the difference in pairs.
import { useEffect, useState } from "preact/hooks";
import { href } from "../address";
import { usePromise } from "../prose";
import { Call, Ends, scaleOf, Whiskers } from "../report/intervals";
import type { Interval, Run } from "../report/types";
import { short } from "../numbers";
import { Failure } from "../refusal";
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

const SHOWN = 6;

/** A comparison of each candidate with the baseline. */
export function ComparePage({ baseline, candidates }: { baseline: string; candidates: string[] }) {
  const { given, error } = usePromise(
    () => Promise.all(candidates.map((candidate) => call<Comparison>("POST", "v1/comparisons", JSON.stringify({ baseline, candidate })).then((answer) => answer.given))),
    [baseline, ...candidates],
  );
  const [all, setAll] = useState(false);
  useEffect(() => {
    document.title = `${t("Comparison")} · lossmeter`;
  }, []);
  const first = given?.[0];
  const places = new Map(given?.flatMap((one) => one.slices).map((part) => [`${part.column} = ${String(part.value)}`, part] as const));
  const titles = given?.flatMap((one) => titleOf(one.candidate)).concat(first ? titleOf(first.baseline) : []) ?? [];
  // Runs of one name are told apart by the ends of their ids.
  const called = (run: Run) => (titles.filter((title) => title === titleOf(run)).length > 1 ? `${titleOf(run)} …${run.id.slice(-4)}` : titleOf(run));
  const left = [...new Set(given?.flatMap((one) => one.left_out).map((one) => one.loss ?? one.metric ?? ""))];
  const parts = (name?: string) => (given ?? []).flatMap((one): Compared[] => {
    const part = name === undefined ? one : one.slices.find((slice) => `${slice.column} = ${String(slice.value)}` === name);
    return part ? [{ run: one.candidate, part }] : [];
  });
  return (
    <main id="main" class="page wide" tabIndex={-1} aria-busy={!given && !error}>
      <header class="title">
        <p class="kind"><a href="#/runs">{t("Runs")}</a></p>
        <h1>{t("Comparison")}</h1>
      </header>
      {error && <Failure error={error} />}
      {!given && !error && <p class="hint" role="status">{t("The report is being computed …")}</p>}
      {given && first && (
        <>
          <p class="lead">{given.map(({ candidate }, i) => <>{i > 0 && ", "}<a key={candidate.id} href={href(["runs", candidate.id])}><bdi>{called(candidate)}</bdi></a></>)} {t("less")} <a href={href(["runs", baseline])}><bdi>{called(first.baseline)}</bdi></a></p>
          <div class="row">
            {candidates.length === 1
              ? <a class="quiet" href={href(["compare", candidates[0] as string, baseline])}>{t("The other way round")}</a>
              : given.map(({ candidate }) => <a key={candidate.id} class="quiet" href={href(["compare", candidate.id, baseline, ...candidates.filter((one) => one !== candidate.id)])}>{t("{name} as baseline", { name: called(candidate) })}</a>)}
          </div>
          <Differences title={t("All samples")} parts={parts()} called={called} />
          {[...places.keys()].slice(0, all ? undefined : SHOWN).map((name) => <Differences key={name} title={name} parts={parts(name)} called={called} />)}
          {!all && places.size > SHOWN && <div class="row"><button type="button" class="quiet" onClick={() => setAll(true)}>{t("Show {count} more", { count: places.size - SHOWN })}</button></div>}
          {left.length > 0 && <p class="hint">{t("Only one of the runs measures: {names}", { names: left.join(", ") })}</p>}
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

interface Compared {
  run: Run;
  part: Part;
}

const keyOf = (one: Difference) => `${one.loss ?? ""} ${one.metric ?? ""} ${JSON.stringify(one.parameters)}`;

/** Each figure with the difference of every candidate, on one scale. */
function Differences({ title, parts, called }: { title: string; parts: Compared[]; called: (run: Run) => string }) {
  const several = parts.length > 1;
  const all = parts.flatMap(({ run, part }) => [...part.losses, ...part.metrics].map((one) => ({ run, one })));
  const figures = Map.groupBy(all, ({ one }) => keyOf(one));
  return (
    <section class="card" aria-label={title}>
      <h2><bdi>{title}</bdi></h2>
      <div class="scroll" tabIndex={0}>
        <table class="figures">
          <thead><tr><th scope="col">{t("Figure")}</th>{several && <th scope="col">{t("Run")}</th>}<th scope="col" class="aside">{t("Baseline")}</th><th scope="col" class="aside">{t("Candidate")}</th><th scope="col">{t("Difference")}</th><th scope="col">{t("Interval")}</th><td /><th scope="col">p</th><th scope="col">{t("Verdict")}</th></tr></thead>
          {[...figures].map(([key, rows]) => {
            const scale = scaleOf(rows.map(({ one }) => ({ value: one.difference, interval: one.interval })), true);
            return (
              <tbody key={key} class="even">
                {rows.map(({ run, one }, i) => {
                  const says = verdict(one);
                  return (
                    <tr key={run.id}>
                      {i === 0 && <th scope="rowgroup" rowSpan={rows.length}><Call name={one.loss ?? one.metric ?? ""} parameters={one.parameters} /></th>}
                      {several && <td><bdi>{called(run)}</bdi></td>}
                      <td class="aside">{short(one.baseline)}</td><td class="aside">{short(one.candidate)}</td><td class={`strong ${says}`}>{short(one.difference)}</td><td><Ends interval={one.interval} /></td>
                      <td><Whiskers zero value={one.difference} interval={one.interval} scale={scale} colour={says === "worse" ? 1 : 0} /></td>
                      <td>{short(one.p_value, 2)}</td><td class={says}>{says === "better" ? t("better") : says === "worse" ? t("worse") : t("undecided")}</td>
                    </tr>
                  );
                })}
              </tbody>
            );
          })}
        </table>
      </div>
    </section>
  );
}
