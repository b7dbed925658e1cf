// A run under its own address: its report, kept up with while it is open.
import { useEffect, useRef, useState } from "preact/hooks";
import { href } from "../address";
import { save } from "../controls";
import { reportFile } from "../report/file";
import { Pictures } from "../report/pictures";
import { ReportView } from "../report/report";
import { type Report, type Run, scalarsOf } from "../report/types";
import { call, Refused } from "../service";
import { t } from "../strings";
import { brief } from "../words";
import { Edit } from "./edit";
import { titleOf, when } from "./list";
import { Progress } from "./progress";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const EVERY_MS = 2000;
/** A report that takes long is asked for less often. */
const REST = 4;
const CLOSED = "closed";
const stateOf = (run: Run) => `${run.batches} ${run.closed === null ? "open" : CLOSED}`;
type Reported = Report & { run: Run };

/** What the list says of one run, which no report has to be computed for: the newest of those that were opened before the next id. */
async function listed(id: string): Promise<Run | undefined> {
  const next = (BigInt(`0x${id.replaceAll("-", "")}`) + 1n).toString(16).padStart(32, "0");
  const cursor = next.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  const { given } = await call<{ runs: Run[] }>("GET", `v1/runs?limit=1&cursor=${cursor}`);
  return given.runs.find((one) => one.id === id);
}

export function RunPage({ id }: { id: string }) {
  const [report, setReport] = useState<Reported>();
  const [run, setRun] = useState<Run>();
  const [error, setError] = useState("");
  const [tick, setTick] = useState(0);
  useEffect(() => {
    let timer = 0;
    let current = true;
    let had = "";
    let rested = 0;
    async function follow() {
      if (document.hidden) {
        timer = setTimeout(follow, EVERY_MS);
        return;
      }
      try {
        // The report of a large run takes a second or more: until then the page shows what is known already.
        const known = UUID.test(id) ? await listed(id) : undefined;
        if (!current) return;
        if (known) setRun(known);
        const begun = performance.now();
        const news = !known || stateOf(known) !== had;
        if (news && begun >= rested) {
          const { given } = await call<Reported>("GET", `v1/runs/${encodeURIComponent(id)}`);
          if (!current) return;
          had = stateOf(given.run);
          rested = performance.now() + REST * (performance.now() - begun);
          setReport(given);
          setRun(given.run);
          setError("");
        }
        if (!had.endsWith(CLOSED)) timer = setTimeout(follow, EVERY_MS);
      } catch (reason) {
        if (!(reason instanceof Refused)) throw reason;
        if (current) setError(reason.message);
      }
    }
    follow();
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [id, tick]);
  const title = run && titleOf(run);
  useEffect(() => {
    if (title) document.title = `${title} · lossmeter`;
  }, [title]);
  if (!run) return <main id="main" class="page wide" tabIndex={-1} aria-busy={!error}>{error ? <p class="error" role="alert">{error}</p> : <p class="hint" role="status">{t("The report is being computed …")}</p>}</main>;
  return (
    <main id="main" class="page wide" tabIndex={-1} aria-busy={!report && !error}>
      <header class="title">
        <p class="kind"><a href="#/runs">{t("Runs")}</a> · {brief("task", String(run.plan.task))} · {brief("kind", String(run.plan.predictions_are))}</p>
        <h1><bdi>{titleOf(run)}</bdi></h1>
        <p class="row">{run.tags.map((tag) => <a key={tag} class="chip" href={href(["runs"], new URLSearchParams({ tag }))}><bdi>{tag}</bdi></a>)}</p>
        <p class="hint" role="status" data-batches={run.batches}>
          {run.closed ? t("closed {time}", { time: when(run.closed) }) : t("open since {time}; what arrives is shown", { time: when(run.created) })} · {t("{batches} batches, {samples} samples", { batches: run.batches.toLocaleString("en"), samples: run.samples.toLocaleString("en") })}
        </p>
        <Progress run={run} />
      </header>
      {error && <p class="error" role="alert">{error}</p>}
      <div class="row">
        {report && (
          <>
            <button type="button" class="quiet" onClick={() => save(`${run.id}.json`, "application/json", JSON.stringify(report, null, 1))}>{t("Save as JSON")}</button>
            <button type="button" class="quiet" onClick={async () => save(`${run.id}.html`, "text/html", await reportFile(report))}>{t("Save as HTML")}</button>
            <button type="button" class="quiet" onClick={() => save(`${run.id}.csv`, "text/csv", csv(report))}>{t("Save as CSV")}</button>
            <Pictures name={run.id} title={titleOf(run)} report={report} />
          </>
        )}
        {!run.closed && <button type="button" class="quiet" onClick={() => call("POST", `v1/runs/${run.id}/close`).then(() => setTick(tick + 1), (reason: Error) => setError(reason.message))}>{t("Close the run")}</button>}
        <Edit run={run} onEdited={() => setTick(tick + 1)} />
        <Delete run={run} onError={setError} />
      </div>
      {report ? <ReportView report={report} /> : !error && <p class="hint" role="status">{t("The report is being computed …")}</p>}
    </main>
  );
}

function Delete({ run, onError }: { run: Run; onError: (text: string) => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  async function remove() {
    dialog.current?.close();
    try {
      await call("DELETE", `v1/runs/${run.id}`);
      location.hash = "#/runs";
    } catch (reason) {
      onError((reason as Error).message);
    }
  }
  return (
    <>
      <button type="button" class="quiet danger" onClick={() => dialog.current?.showModal()}>{t("Delete")}</button>
      <dialog ref={dialog} aria-labelledby="delete-question">
        <p id="delete-question">{t("Delete the run {name}, with its {samples} samples? It cannot be brought back.", { name: titleOf(run), samples: run.samples })}</p>
        <div class="row">
          <button type="button" class="quiet danger" id="delete-yes" onClick={remove}>{t("Delete")}</button>
          <button type="button" class="quiet" onClick={() => dialog.current?.close()}>{t("Keep it")}</button>
        </div>
      </dialog>
    </>
  );
}

/** All figures that are one number, of all samples and of each slice. What a spreadsheet would take for a formula is marked as text. */
export function csv(report: Report): string {
  const quoted = (value: string | number | boolean | null | undefined) => {
    const text = String(value ?? "");
    const plain = typeof value !== "number" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };
  const parts = [{ column: "", value: "" as string | number | boolean, ...report }, ...report.slices];
  const rows = parts.flatMap((part) => scalarsOf(part).map((one) => [
    part.column, part.value, part.samples, one.kind, one.name, JSON.stringify(one.parameters), one.value, one.interval?.low, one.interval?.high, one.interval?.level, one.interval?.method,
  ]));
  return [["column", "slice", "samples", "kind", "name", "parameters", "value", "low", "high", "level", "method"], ...rows].map((row) => row.map(quoted).join(",")).join("\n");
}
