// The runs that the service keeps: found by name and tag, opened, compared.
import { useEffect, useState } from "preact/hooks";
import { href } from "../address";
import { usePromise } from "../prose";
import type { Run } from "../report/types";
import { call, Refused } from "../service";
import { t } from "../strings";

interface Page {
  runs: Run[];
  next: string | null;
}

export const titleOf = (run: Run) => run.name || run.id.slice(0, 8);
export const when = (time: string) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

export function RunsPage({ query }: { query: URLSearchParams }) {
  const [runs, setRuns] = useState<Run[]>();
  const [next, setNext] = useState<string | null>(null);
  const [search, setSearch] = useState("");
  const [state, setState] = useState<"all" | "open" | "closed">("all");
  const [chosen, setChosen] = useState<string[]>([]);
  const [error, setError] = useState("");
  const tags = query.getAll("tag");
  async function load(cursor: string | null) {
    const asked = new URLSearchParams([...tags.map((tag) => ["tag", tag]), ...(cursor ? [["cursor", cursor]] : [])]);
    try {
      const { given } = await call<Page>("GET", `v1/runs?${asked}`);
      setRuns((before) => (cursor ? [...(before ?? []), ...given.runs] : given.runs));
      setNext(given.next);
      setError("");
    } catch (reason) {
      if (!(reason instanceof Refused)) throw reason;
      setError(reason.message);
    }
  }
  useEffect(() => {
    document.title = `${t("Runs")} · lossmeter`;
    load(null);
  }, [tags.join("\n")]);
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = (runs ?? []).filter((run) => words.every((word) => [run.name, run.id, ...run.tags, String(run.plan.task)].join(" ").toLowerCase().includes(word)) && (state === "all" || (state === "open") === (run.closed === null)));
  const toggle = (id: string) => setChosen(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id].slice(-2));
  const older = [...chosen].sort((a, b) => (runs ?? []).findIndex((one) => one.id === b) - (runs ?? []).findIndex((one) => one.id === a));
  return (
    <main id="main" class="page wide" tabIndex={-1}>
      <h1>{t("Runs")}</h1>
      <div class="row filters">
        <input id="search-runs" type="search" placeholder={t("Search")} aria-label={t("Search the runs by name, tag or task")} value={search} onInput={(event) => setSearch(event.currentTarget.value)} />
        <select aria-label={t("State")} value={state} onChange={(event) => setState(event.currentTarget.value as typeof state)}>
          <option value="all">{t("open and closed")}</option><option value="open">{t("open")}</option><option value="closed">{t("closed")}</option>
        </select>
        {tags.map((tag) => <a key={tag} class="chip" href={href(["runs"], new URLSearchParams(tags.filter((one) => one !== tag).map((one) => ["tag", one])))}>{tag} ×</a>)}
        {older.length === 2 ? <a class="compute" href={href(["compare", ...older])}>{t("Compare the two")}</a> : <span class="hint">{t("Choose two runs to compare them.")}</span>}
      </div>
      {error && <p class="error" role="alert">{error}</p>}
      {runs && runs.length === 0 && <p class="note">{t("There is no run yet. An evaluation can be kept as one, and programs send theirs in batches:")} <a href="#/evaluate">{t("Evaluate")}</a></p>}
      {runs && runs.length > 0 && (
        <div class="card scroll" tabIndex={0}>
          <table class="figures runs">
            <thead><tr><td /><th scope="col">{t("Run")}</th><th scope="col">{t("Task")}</th><th scope="col">{t("Samples")}</th><th scope="col">{t("Batches")}</th><th scope="col">{t("State")}</th><th scope="col">{t("Gates")}</th><th scope="col">{t("Opened")}</th></tr></thead>
            <tbody>
              {shown.map((run) => (
                <tr key={run.id}>
                  <td><input type="checkbox" aria-label={t("Compare {name}", { name: titleOf(run) })} checked={chosen.includes(run.id)} onChange={() => toggle(run.id)} /></td>
                  <th scope="row"><a href={href(["runs", run.id])}>{titleOf(run)}</a> {run.tags.map((tag) => <a key={tag} class="chip" href={href(["runs"], new URLSearchParams([...tags.filter((one) => one !== tag), tag].map((one) => ["tag", one])))}>{tag}</a>)}</th>
                  <td>{String(run.plan.task)}</td><td>{run.samples.toLocaleString("en")}</td><td>{run.batches}</td><td>{run.closed ? t("closed") : t("open")}</td><td><Verdict run={run} /></td><td>{when(run.created)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {next && <div class="row"><button type="button" class="quiet" onClick={() => load(next)}>{t("Older runs")}</button></div>}
    </main>
  );
}

/** Whether the gates of a run hold, which its report says; a run without gates is not asked. */
function Verdict({ run }: { run: Run }) {
  const gated = Array.isArray(run.plan.gates) && run.plan.gates.length > 0 && run.batches > 0;
  const { given } = usePromise<{ passed: boolean } | null>(() => (gated ? call<{ passed: boolean }>("GET", `v1/runs/${run.id}`).then((answer) => answer.given) : Promise.resolve(null)), [run.id, run.batches]);
  if (!given) return null;
  return <span class={given.passed ? "passed" : "failed"}><span class="badge">{given.passed ? t("hold") : t("fail")}</span></span>;
}
