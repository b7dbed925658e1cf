// The data: dropped, chosen, pasted or typed, and which column is what.
import { useRef, useState } from "preact/hooks";
import { t } from "../strings";
import { brief } from "../words";
import { EXAMPLES } from "./examples";
import { fromNpz } from "./npz";
import type { Setup, Use } from "./proposal";
import { fromSafetensors } from "./safetensors";
import { type Cell, parse, type Table, written } from "./table";

/** Files that are no text, by how their names end. */
const fromParquet = async (file: Blob) => (await import("./parquet")).fromParquet(file);
const READERS: Record<string, (file: Blob) => Promise<Table>> = { npz: fromNpz, parquet: fromParquet, pq: fromParquet, safetensors: fromSafetensors };
const SHOWN = 8;
const EDITABLE = 200;

export function DataInput({ onTable }: { onTable: (table: Table, example?: string) => void }) {
  const [over, setOver] = useState(false);
  const [text, setText] = useState("");
  const [error, setError] = useState("");
  const input = useRef<HTMLInputElement>(null);
  async function take(read: () => Promise<Table> | Table, example?: string) {
    try {
      onTable(await read(), example);
      setError("");
    } catch (reason) {
      setError((reason as Error).message);
    }
  }
  const file = (one: File | undefined) => one && take(async () => {
    const read = READERS[/[^.]*$/.exec(one.name.toLowerCase())?.[0] ?? ""];
    return read ? read(one) : parse(await one.text());
  });
  return (
    <section class={over ? "card drop over" : "card drop"} aria-label={t("Data")}
      onDragOver={(event) => { event.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)}
      onDrop={(event) => { event.preventDefault(); setOver(false); file(event.dataTransfer?.files[0]); }}>
      <h2>{t("Data")}</h2>
      <p>{t("Drop a file of predictions and labels here, or paste it below. CSV, JSON, JSON Lines, NPZ, Parquet and safetensors are read. It goes to this service and nowhere else.")}</p>
      <div class="row">
        <button type="button" class="quiet" onClick={() => input.current?.click()}>{t("Choose a file")}</button>
        <input ref={input} class="hidden" type="file" tabIndex={-1} aria-label={t("Choose a file")} accept=".csv,.tsv,.json,.jsonl,.ndjson,.npz,.parquet,.pq,.safetensors,.txt" onChange={(event) => file(event.currentTarget.files?.[0])} />
        {Object.entries(EXAMPLES()).map(([name, make]) => <button key={name} type="button" class="quiet" onClick={() => take(() => parse(make()), name)}>{t("Example: {name}", { name: brief("task", name) })}</button>)}
      </div>
      <textarea id="pasted" rows={5} spellcheck={false} aria-label={t("Paste a table")} placeholder={"score,label,country\n0.9,1,de\n0.2,0,fr"} value={text} onInput={(event) => setText(event.currentTarget.value)} />
      {error && <p class="error" role="alert">{error}</p>}
      <div class="actions"><button type="button" class="compute" disabled={!text.trim()} onClick={() => take(() => parse(text))}>{t("Read")}</button></div>
    </section>
  );
}

const USES: [Use, Parameters<typeof t>[0]][] = [["prediction", "prediction"], ["label", "label"], ["slice", "slice"], ["id", "id"], ["weight", "weight"], ["group", "group"], ["", "not used"]];

export function Columns({ table, setup, onUses, onTable }: { table: Table; setup: Setup; onUses: (uses: Use[]) => void; onTable: (table: Table) => void }) {
  const editable = table.rows <= EDITABLE;
  const [all, setAll] = useState(false);
  const rows = all ? table.rows : Math.min(SHOWN, table.rows);
  function edit(column: number, row: number, text: string) {
    const old = table.columns[column]?.values[row];
    const value: Cell = typeof old === "number" && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : Array.isArray(old) ? (JSON.parse(text) as number[]) : text;
    onTable({ ...table, columns: table.columns.map((one, i) => (i === column ? { ...one, values: one.values.map((cell, j) => (j === row ? value : cell)) } : one)) });
  }
  const shown = (cell: Cell) => (Array.isArray(cell) ? JSON.stringify(cell) : String(cell ?? ""));
  return (
    <>
      <div class="scroll" tabIndex={0}>
        <table class="figures data">
          <thead>
            <tr>{table.columns.map((column) => <th key={column.name} scope="col">{column.name}</th>)}</tr>
            <tr>
              {table.columns.map((column, i) => (
                <td key={column.name}>
                  <select aria-label={t("{column} is", { column: column.name })} value={setup.uses[i]} onChange={(event) => onUses(setup.uses.map((use, j) => (j === i ? (event.currentTarget.value as Use) : use)))}>
                    {USES.map(([use, text]) => <option key={use} value={use}>{t(text)}</option>)}
                  </select>
                </td>
              ))}
            </tr>
          </thead>
          <tbody>
            {Array.from({ length: rows }, (_, row) => (
              <tr key={row}>
                {table.columns.map((column, i) => (
                  <td key={column.name}>
                    {editable ? <input type="text" aria-label={t("{column}, row {row}", { column: column.name, row: row + 1 })} class={typeof column.values[row] === "number" ? "numeric" : undefined} value={shown(column.values[row] ?? null)} onChange={(event) => edit(i, row, event.currentTarget.value)} /> : shown(column.values[row] ?? null)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="row">
        <span class="hint">{t("{rows} rows", { rows: table.rows })}</span>
        {table.rows > SHOWN && editable && <button type="button" class="quiet" onClick={() => setAll(!all)}>{all ? t("Show fewer") : t("Show and edit all")}</button>}
        {editable && <button type="button" class="quiet" onClick={() => onTable(parse(`${written(table)}\n${table.columns.map((column) => shown(column.values.at(-1) ?? null)).map((text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)).join(",")}`))}>{t("Add a row")}</button>}
      </div>
    </>
  );
}
