// A report as one file: the figures stand in it as JSON, and what draws them is the same as in the console.
import { render } from "preact";
import { ReportView } from "./report/report";
import type { Report } from "./report/types";
import { language, t } from "./strings";
import "./console.css";

function Page({ report }: { report: Report }) {
  const { run } = report;
  return (
    <>
      <header class="title">
        {run && <p class="kind">{[run.plan.task, run.plan.predictions_are, ...run.tags].map(String).join(" · ")}</p>}
        <h1>{run ? run.name || run.id : t("Report")}</h1>
        {run && <p class="hint">{run.id} · {run.created}{run.closed === null ? "" : ` – ${run.closed}`} · {t("{batches} batches, {samples} samples", { batches: run.batches, samples: run.samples })}</p>}
      </header>
      <ReportView report={report} />
    </>
  );
}

const data = document.getElementById("report-data")?.textContent;
const root = document.getElementById("main");
if (data && root) {
  const report = JSON.parse(data) as Report;
  document.documentElement.lang = language;
  if (report.run) document.title = report.run.name || report.run.id;
  root.replaceChildren();
  render(<Page report={report} />, root);
}
