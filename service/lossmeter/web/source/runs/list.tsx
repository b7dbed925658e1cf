// The runs that the service keeps: found by name, tag and task, opened, compared.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { href } from "../address";
import { Check } from "../controls";
import { short } from "../numbers";
import { scaleOf, Whiskers } from "../report/intervals";
import type { Run } from "../report/types";
import { call, Refused } from "../service";
import { language, t } from "../strings";
import { brief as inShort } from "../words";
import { type Brief, briefOf, useBrief } from "./reports";
import { Rows } from "./rows";

interface Page {
  runs: Run[];
  next: string | null;
}

/** Runs are fetched in pages until all are there, or this many. */
const MOST = 20_000;
const [FIRST, FURTHER] = [100, 500];
const ROW_PX = 44;
const COURSE = 20;
export const MOST_COMPARED = 6;

export const titleOf = (run: Run) => run.name.trim() || run.id.slice(0, 8);
export const when = (time: string) => new Date(time).toLocaleString(language === "zh" ? "zh-CN" : undefined, { dateStyle: "medium", timeStyle: "short" });

/** All runs with these tags, page by page, newest first. */
function useRuns(tags: string[]) {
  const [state, setState] = useState<{ runs: Run[]; next: string | null; busy: boolean; error: string }>({ runs: [], next: null, busy: true, error: "" });
  const [more, setMore] = useState(0);
  useEffect(() => {
    let current = true;
    async function load() {
      let cursor = more ? state.next : null;
      let runs = more ? state.runs : [];
      const most = runs.length + MOST;
      do {
        const asked = new URLSearchParams([...tags.map((tag) => ["tag", tag]), ["limit", String(runs.length ? FURTHER : FIRST)], ...(cursor ? [["cursor", cursor]] : [])]);
        const { given }: { given: Page } = await call<Page>("GET", `v1/runs?${asked}`);
        if (!current) return;
        runs = [...runs, ...given.runs];
        cursor = given.next;
        setState({ runs, next: cursor, busy: cursor !== null && runs.length < most, error: "" });
      } while (cursor && runs.length < most);
    }
    load().catch((reason: Error) => {
      if (!(reason instanceof Refused)) throw reason;
      if (current) setState((before) => ({ ...before, busy: false, error: reason.message }));
    });
    return () => {
      current = false;
    };
  }, [tags.join("\n"), more]);
  return { ...state, onMore: () => setMore(more + 1) };
}

export function RunsPage({ query }: { query: URLSearchParams }) {
  const tags = query.getAll("tag");
  const { runs, next, busy, error, onMore } = useRuns(tags);
  const [search, setSearch] = useState("");
  const [state, setState] = useState<"all" | "open" | "closed">("all");
  const [task, setTask] = useState("");
  const [chosen, setChosen] = useState<Run[]>([]);
  const [, drawn] = useState(0);
  const pending = useRef(0);
  useEffect(() => {
    document.title = `${t("Runs")} · lossmeter`;
  }, []);
  const texts = useMemo(() => new Map(runs.map((run) => [run.id, [run.name, run.id, ...run.tags, String(run.plan.task)].join(" ").toLowerCase()])), [runs]);
  const tasks = useMemo(() => [...new Set(runs.map((run) => String(run.plan.task)))].sort(), [runs]);
  const shown = useMemo(() => {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    return runs.filter((run) => (state === "all" || (state === "open") === (run.closed === null)) && (!task || run.plan.task === task) && words.every((word) => texts.get(run.id)?.includes(word)));
  }, [runs, texts, search, state, task]);
  const named = useMemo(() => Map.groupBy(runs, (run) => run.name), [runs]);
  const toggle = (run: Run) => setChosen(chosen.some((one) => one.id === run.id) ? chosen.filter((one) => one.id !== run.id) : [...chosen, run].slice(-MOST_COMPARED));
  // Ids of runs sort by the time at which they were opened: the oldest is the baseline.
  const ids = chosen.map((run) => run.id).sort();
  function known() {
    pending.current ||= setTimeout(() => {
      pending.current = 0;
      drawn((count) => count + 1);
    }, 100);
  }
  return (
    <main id="main" class="page wide" tabIndex={-1} aria-busy={busy && runs.length === 0}>
      <h1>{t("Runs")}</h1>
      <div class="row filters">
        <input id="search-runs" type="search" placeholder={t("Search")} aria-label={t("Search the runs by name, tag or task")} value={search} onInput={(event) => setSearch(event.currentTarget.value)} />
        <select aria-label={t("State")} value={state} onChange={(event) => setState(event.currentTarget.value as typeof state)}>
          <option value="all">{t("open and closed")}</option><option value="open">{t("open")}</option><option value="closed">{t("closed")}</option>
        </select>
        <select aria-label={t("Task")} value={task} onChange={(event) => setTask(event.currentTarget.value)}>
          <option value="">{t("all tasks")}</option>{tasks.map((one) => <option key={one} value={one}>{inShort("task", one)}</option>)}
        </select>
        {tags.map((tag) => <a key={tag} class="chip" href={href(["runs"], new URLSearchParams(tags.filter((one) => one !== tag).map((one) => ["tag", one])))}><bdi>{tag}</bdi> ×</a>)}
        {ids.length > 1 ? <a class="compute" href={href(["compare", ...ids])}>{ids.length === 2 ? t("Compare the two") : t("Compare the {count}", { count: ids.length })}</a> : <span class="hint">{t("Choose two runs or more to compare them.")}</span>}
      </div>
      {error && <p class="error" role="alert">{error}</p>}
      {!busy && !error && runs.length === 0 && <p class="note">{t("There is no run yet. An evaluation can be kept as one, and programs send theirs in batches:")} <a href="#/evaluate">{t("Evaluate")}</a></p>}
      {runs.length > 0 && (
        <>
          <p class="hint" role="status" data-runs={runs.length} data-busy={busy}>{t("{shown} of {all} runs", { shown: shown.length.toLocaleString("en"), all: `${runs.length.toLocaleString("en")}${next ? "+" : ""}` })}</p>
          <Rows count={shown.length} height={ROW_PX} label={t("Runs")} head={<tr><td /><th scope="col">{t("Run")}</th><th scope="col" class="aside">{t("Task")}</th><th scope="col" class="aside">{t("Samples")}</th><th scope="col" class="aside">{t("State")}</th><th scope="col">{t("Gates")}</th><th scope="col">{t("First metric")}</th><th scope="col">{t("Course")}</th><th scope="col">{t("Opened")}</th></tr>}>
            {(index) => {
              const run = shown[index] as Run;
              return <Row key={run.id} index={index} run={run} tags={tags} family={named.get(run.name) ?? []} chosen={chosen.some((one) => one.id === run.id)} onToggle={() => toggle(run)} onKnown={known} />;
            }}
          </Rows>
        </>
      )}
      {next && !busy && <div class="row"><button type="button" class="quiet" onClick={onMore}>{t("Older runs")}</button></div>}
    </main>
  );
}

function Row({ index, run, tags, family, chosen, onToggle, onKnown }: { index: number; run: Run; tags: string[]; family: Run[]; chosen: boolean; onToggle: () => void; onKnown: () => void }) {
  const brief = useBrief(run, onKnown);
  const title = titleOf(run);
  return (
    <tr aria-rowindex={index + 2}>
      <td><Check label={<span class="hidden">{t("Compare {name}", { name: title })}</span>} checked={chosen} onChecked={onToggle} /></td>
      <th scope="row"><div class="naming"><a href={href(["runs", run.id])} title={title}><bdi>{title}</bdi></a>{run.tags.map((tag) => <a key={tag} class="chip" title={tag} href={href(["runs"], new URLSearchParams([...tags.filter((one) => one !== tag), tag].map((one) => ["tag", one])))}><bdi>{tag}</bdi></a>)}</div></th>
      <td class="aside">{inShort("task", String(run.plan.task))}</td><td class="number aside">{run.samples.toLocaleString("en")}</td><td class="aside">{run.closed ? t("closed") : t("open")}</td>
      <td>{brief && brief.passed !== null && <span class={brief.passed ? "passed" : "failed"}><span class="badge">{brief.passed ? t("hold") : t("fail")}</span></span>}</td>
      <td>{brief?.name && <div class="first"><span><span class="kind">{brief.name}</span> <strong>{short(brief.value)}</strong></span><Whiskers value={brief.value} interval={brief.interval} scale={scaleOf([brief])} /></div>}</td>
      <td>{brief && <Course run={run} brief={brief} family={family} />}</td>
      <td>{when(run.created)}</td>
    </tr>
  );
}

/** The first metric over this run and the earlier ones of its name, as far as their reports have been read. */
function Course({ run, brief, family }: { run: Run; brief: Brief; family: Run[] }) {
  if (!run.name || family.length < 2) return null;
  const from = family.findIndex((one) => one.id === run.id);
  const values = family.slice(from, from + COURSE).flatMap((one) => {
    const other = briefOf(one);
    return other?.name === brief.name && other.value !== null ? [other.value] : [];
  }).reverse();
  if (values.length < 2) return null;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (i: number) => 3 + (74 * i) / (values.length - 1);
  const y = (value: number) => (high === low ? 10 : 17 - (14 * (value - low)) / (high - low));
  return (
    <svg class="whiskers s0" width="80" height="20" viewBox="0 0 80 20" role="img" aria-label={t("{name} over {count} runs: {values}", { name: brief.name, count: values.length, values: values.map((one) => short(one, 3)).join(", ") })}>
      <path d={values.map((value, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join("")} />
      <circle cx={x(values.length - 1)} cy={y(values.at(-1) as number)} r="2.5" />
    </svg>
  );
}
