// An evaluation: data, what they are, what is measured, and the report.
import { useEffect, useMemo, useState } from "preact/hooks";
import { save, Select } from "../controls";
import { usePromise } from "../prose";
import { reportFile } from "../report/file";
import { Pictures } from "../report/pictures";
import { ReportView } from "../report/report";
import type { Report } from "../report/types";
import { Exact, Failure, Refusal, Wrong } from "../refusal";
import { call, type Json, losses, metrics as fetchMetrics, type Metric, type Problem, Refused } from "../service";
import { SameRequest } from "../same";
import { remember } from "../address";
import { t } from "../strings";
import { brief } from "../words";
import { Columns, DataInput } from "./data";
import { EXAMPLES } from "./examples";
import { Gradient } from "./gradient";
import { Keep } from "./keep";
import { meaning, PREDICTIONS_ARE, propose, type Setup, type Task, TASKS, type Use } from "./proposal";
import { bodyOf, Incomplete, possible, type Request, requestOf, usual, type Wishes } from "./request";
import { Residuals } from "./residuals";
import { asSaid, wished, written } from "./state";
import { parse, type Table } from "./table";

/** The data stay while other pages are looked at, and until the tab is closed. */
const kept: { table?: Table; setup?: Setup; wishes?: Wishes; example?: string } = {};

export function EvaluationPage({ query }: { query: URLSearchParams }) {
  // What an address says goes before what was looked at last.
  const said = query.size > 0;
  const asked = query.get("example") ?? undefined;
  const other = asked !== undefined && asked !== kept.example;
  const [table, setTable] = useState(other ? undefined : kept.table);
  const [setup, setSetup] = useState(said && kept.table && kept.setup ? asSaid(query, kept.table, kept.setup, PREDICTIONS_ARE) : kept.setup);
  const [wishes, setWishes] = useState((!said && kept.wishes) || wished(query));
  const [example, setExample] = useState(kept.example);
  Object.assign(kept, { table, setup, wishes, example });
  const { given: metrics, error } = usePromise(fetchMetrics, []);
  useEffect(() => {
    document.title = `${t("Evaluate")} · lossmeter`;
  }, []);
  function take(next: Table, name?: string) {
    setTable(next);
    setSetup(asSaid(query, next, propose(next), PREDICTIONS_ARE));
    setExample(name);
  }
  useEffect(() => {
    const make = EXAMPLES()[asked ?? ""];
    if (!table && make) take(parse(make()), asked);
  }, []);
  useEffect(() => {
    if (table && setup) remember(["evaluate"], written(table, setup, wishes, example));
  }, [table, setup, wishes, example]);
  return (
    <main id="main" class="page wide" tabIndex={-1}>
      <h1>{t("Evaluate")}</h1>
      {error && <Failure error={error} />}
      {table ? null : <DataInput onTable={take} />}
      {table && setup && metrics && (
        <Evaluation table={table} setup={setup} wishes={wishes} metrics={metrics} onTable={(next) => { setTable(next); setExample(undefined); }} onSetup={setSetup} onWishes={setWishes} onOther={() => setTable(undefined)} />
      )}
    </main>
  );
}

function Evaluation({ table, setup, wishes, metrics, onTable, onSetup, onWishes, onOther }: {
  table: Table; setup: Setup; wishes: Wishes; metrics: Metric[]; onTable: (table: Table) => void; onSetup: (setup: Setup) => void; onWishes: (wishes: Wishes) => void; onOther: () => void;
}) {
  const [outcome, setOutcome] = useState<{ report: Report; request: Request; table: Table; setup: Setup }>();
  const [problem, setProblem] = useState<{ problem: Problem; request: Request }>();
  const [busy, setBusy] = useState(false);
  const made = useMemo((): { request?: Request; error?: string } => {
    try {
      return { request: requestOf(table, setup, wishes, metrics) };
    } catch (reason) {
      if (!(reason instanceof Incomplete)) throw reason;
      return { error: reason.message };
    }
  }, [table, setup, wishes, metrics]);
  const request = made.request;
  async function evaluate() {
    if (!request) return;
    setBusy(true);
    try {
      const { given: report } = await call<Report>("POST", "v1/evaluate", bodyOf(request));
      setOutcome({ report, request, table, setup });
      setProblem(undefined);
    } catch (reason) {
      if (!(reason instanceof Refused)) throw reason;
      setProblem({ problem: reason.problem, request });
    } finally {
      setBusy(false);
    }
  }
  const use = (uses: Use[]) => onSetup({ uses, ...meaning(table, uses) });
  return (
    <>
      <section class="card" aria-label={t("Columns")}>
        <div class="row spread"><h2>{t("Columns")}</h2><button type="button" class="quiet" onClick={onOther}>{t("Other data")}</button></div>
        <Columns table={table} setup={setup} onUses={use} onTable={onTable} />
        <p class="note">{t("Proposed from names and numbers. Check it: what the predictions are decides what every figure means.")}</p>
        <div class="pair">
          <Select label={t("Task")} value={setup.task} options={TASKS.map((one) => [one, brief("task", one)])} onValue={(task) => onSetup({ ...setup, task: task as Task, predictionsAre: PREDICTIONS_ARE[task as Task][0] ?? "" })} />
          <Select label={t("Predictions are")} value={setup.predictionsAre} options={PREDICTIONS_ARE[setup.task].map((one) => [one, brief("kind", one)])} onValue={(predictionsAre) => onSetup({ ...setup, predictionsAre })} />
          <Select label={t("Confidence")} value={String(wishes.confidence)} options={["0.9", "0.95", "0.99"]} onValue={(text) => onWishes({ ...wishes, confidence: Number(text) })} />
        </div>
        {request && request.names.length > 0 && <p class="hint">{t("Classes: {names}", { names: request.names.slice(0, 20).join(", ") })}</p>}
        <Measures wishes={wishes} onWishes={onWishes} setup={setup} metrics={metrics} />
        {made.error && <p class="error" role="alert">{made.error}</p>}
        {problem && <Rejected {...problem} />}
        <div class="actions"><button type="button" class="compute" id="evaluate" aria-busy={busy} disabled={!request} onClick={evaluate}>{t("Evaluate")}</button></div>
        {request && <SameRequest path="v1/evaluate" written={() => bodyOf(request)} />}
      </section>
      {outcome && <Outcome {...outcome} />}
    </>
  );
}

function Rejected({ problem, request }: { problem: Problem; request: Request }) {
  const { errors, detail } = problem;
  const sent = useMemo(() => JSON.parse(bodyOf(request)) as Json, [request]);
  return <Refusal class="refused" role="alert" problem={problem}>{errors.length ? errors.map((flaw, i) => <p key={i}><Wrong flaw={flaw} request={sent} /></p>) : <p><Exact text={detail} /></p>}</Refusal>;
}

function Measures({ wishes, onWishes, setup, metrics }: { wishes: Wishes; onWishes: (wishes: Wishes) => void; setup: Setup; metrics: Metric[] }) {
  const { given: all = [] } = usePromise(losses, []);
  const names = usual(metrics, setup);
  const more = possible(metrics, setup).filter((name) => !names.includes(name));
  return (
    <div class="measures">
      <Chips id="metrics" label={t("Metrics")} fixed={names} about={(name) => metrics.find((one) => one.name === name)?.summary} chosen={wishes.metrics} options={more} onChosen={(metrics_) => onWishes({ ...wishes, metrics: metrics_ })} />
      <Chips id="losses" label={t("Losses")} fixed={wishes.losses.length ? [] : [t("the usual ones")]} chosen={wishes.losses} options={all.map((one) => one.name)} onChosen={(chosen) => onWishes({ ...wishes, losses: chosen })} />
      <Chips id="gates" label={t("Gates")} fixed={[]} chosen={wishes.gates} options={names.slice(0, 4).map((name) => (metrics.find((one) => one.name === name)?.higher_is_better === false ? `${name}<=0.5` : `${name}>=0.9`))} onChosen={(gates) => onWishes({ ...wishes, gates })} />
    </div>
  );
}

/** Names that are added by typing or choosing, and removed by a button. */
function Chips({ id, label, fixed, about, chosen, options, onChosen }: { id: string; label: string; fixed: string[]; about?: (name: string) => string | undefined; chosen: string[]; options: string[]; onChosen: (chosen: string[]) => void }) {
  const [text, setText] = useState("");
  function add() {
    if (text.trim()) onChosen([...new Set([...chosen, text.trim()])]);
    setText("");
  }
  return (
    <div class="field">
      <label for={`add-${id}`}>{label}</label>
      <div class="row chips">
        {fixed.map((name) => <span key={name} class="chip" title={about?.(name)}>{name}</span>)}
        {chosen.map((name) => <span key={name} class="chip" title={about?.(name)}>{name} <button type="button" aria-label={t("Remove {name}", { name })} onClick={() => onChosen(chosen.filter((one) => one !== name))}>×</button></span>)}
        <input id={`add-${id}`} type="text" list={`${id}-options`} autocomplete="off" spellcheck={false} placeholder={options[0] ?? ""} value={text} onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => { if (event.key === "Enter") { event.preventDefault(); add(); } }} />
        <button type="button" class="quiet" onClick={add}>{t("Add")}</button>
        <datalist id={`${id}-options`}>{options.map((name) => <option key={name} value={name} />)}</datalist>
      </div>
    </div>
  );
}

function Outcome({ report, request, table, setup }: { report: Report; request: Request; table: Table; setup: Setup }) {
  const rows = useMemo(() => new Map((request.data.sample_ids as (string | number)[]).map((id, i) => [id, i])), [request]);
  const about = (id: string | number) => {
    const row = rows.get(id);
    return row === undefined ? undefined : table.columns.map((column) => `${column.name} ${String(column.values[row])}`).join(" · ");
  };
  return (
    <>
      <h2 id="report" tabIndex={-1}>{t("Report")}</h2>
      <ReportView report={report} names={request.names} about={about}>
        <Gradient request={request} report={report} />
        {setup.task === "regression" && <Residuals predictions={request.data.predictions as number[]} labels={request.data.labels as number[]} />}
      </ReportView>
      <div class="row">
        <button type="button" class="quiet" onClick={() => save("report.json", "application/json", JSON.stringify(report, null, 1))}>{t("Save as JSON")}</button>
        <button type="button" class="quiet" onClick={async () => save("report.html", "text/html", await reportFile({ ...report, class_names: request.names }))}>{t("Save as HTML")}</button>
        <Pictures name="report" title={t("Report")} report={report} />
      </div>
      <Keep request={request} />
    </>
  );
}
