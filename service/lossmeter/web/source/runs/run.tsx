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
import { titleOf, when } from "./list";

const EVERY_MS = 2000;
/** A report that takes long is asked for less often. */
const REST = 4;
type Reported = Report & { run: Run };

export function RunPage({ id }: { id: string }) {
  const [report, setReport] = useState<Reported>();
  const [error, setError] = useState("");
  const [tick, setTick] = useState(0);
  useEffect(() => {
    let timer = 0;
    let current = true;
    async function follow() {
      if (document.hidden) {
        timer = setTimeout(follow, EVERY_MS);
        return;
      }
      try {
        const begun = performance.now();
        const { given } = await call<Reported>("GET", `v1/runs/${encodeURIComponent(id)}`);
        if (!current) return;
        setReport(given);
        setError("");
        document.title = `${titleOf(given.run)} · lossmeter`;
        if (given.run.closed === null) timer = setTimeout(follow, Math.max(EVERY_MS, REST * (performance.now() - begun)));
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
  if (!report) return <main id="main" class="page wide" tabIndex={-1} aria-busy={!error}>{error ? <p class="error" role="alert">{error}</p> : <p class="hint" role="status">{t("The report is being computed …")}</p>}</main>;
  const { run } = report;
  return (
    <main id="main" class="page wide" tabIndex={-1}>
      <header class="title">
        <p class="kind"><a href="#/runs">{t("Runs")}</a> · {String(run.plan.task)} · {String(run.plan.predictions_are)}</p>
        <h1><bdi>{titleOf(run)}</bdi></h1>
        <p class="row">{run.tags.map((tag) => <a key={tag} class="chip" href={href(["runs"], new URLSearchParams({ tag }))}><bdi>{tag}</bdi></a>)}</p>
        <p class="hint" role="status" data-batches={run.batches}>
          {run.closed ? t("closed {time}", { time: when(run.closed) }) : t("open since {time}; what arrives is shown", { time: when(run.created) })} · {t("{batches} batches, {samples} samples", { batches: run.batches, samples: run.samples })}
        </p>
      </header>
      {error && <p class="error" role="alert">{error}</p>}
      <div class="row">
        <button type="button" class="quiet" onClick={() => save(`${run.id}.json`, "application/json", JSON.stringify(report, null, 1))}>{t("Save as JSON")}</button>
        <button type="button" class="quiet" onClick={async () => save(`${run.id}.html`, "text/html", await reportFile(report))}>{t("Save as HTML")}</button>
        <button type="button" class="quiet" onClick={() => save(`${run.id}.csv`, "text/csv", csv(report))}>{t("Save as CSV")}</button>
        <Pictures name={run.id} title={titleOf(run)} report={report} />
        {!run.closed && <button type="button" class="quiet" onClick={() => call("POST", `v1/runs/${run.id}/close`).then(() => setTick(tick + 1), (reason: Error) => setError(reason.message))}>{t("Close the run")}</button>}
        <Delete run={run} onError={setError} />
      </div>
      <ReportView report={report} />
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
