// An answer as people read it: the value large, tensors as tables whose colours follow the numbers.
import { useEffect, useRef } from "preact/hooks";
import { full, short } from "../numbers";
import type { LossAnswer, Tensor } from "../service";
import { comma, t } from "../strings";
import { worded } from "../words";
import { Warnings } from "../report/warnings";

const ROWS = 8;
const COLUMNS = 12;
const NOTHING_ODD = new Map<string, string | null>();

export function Success({ answer, timing }: { answer: LossAnswer; timing: string }) {
  const odd = new Map(answer.warnings.map((one) => [[one.pointer, ...(one.index ?? [])].join(), one.value]));
  const value = answer.values ? null : (answer.value ?? odd.get("/value") ?? null);
  const facts = { sum: answer.sum, normalizer: answer.normalizer, count: answer.count, precision: answer.precision, device: answer.device };
  return (
    <>
      <div class="outcome">
        {!answer.values && <output class="value" data-value={String(value)}>{typeof value === "number" ? full(value) : value}</output>}
        <p class="hint">{meaning(answer)}</p>
      </div>
      <dl class="facts">
        {Object.entries(facts).map(([name, fact]) => (
          <div key={name}><dt>{worded("fact", name)}</dt><dd title={String(fact)}>{typeof fact === "number" ? short(fact) : (fact ?? t("not finite"))}</dd></div>
        ))}
      </dl>
      <Warnings label={t("Warnings")} warnings={answer.warnings} />
      {answer.values && <HeatMap title={t("values")} pointer="/values" tensor={answer.values} odd={odd} />}
      {Object.entries(answer.gradients).map(([role, gradient]) => <HeatMap key={role} title={t("gradient of {role}", { role })} pointer={`/gradients/${role}`} tensor={gradient} odd={odd} />)}
      <Stages timing={timing} />
    </>
  );
}

function meaning({ loss, reduction, count }: LossAnswer): string {
  if (reduction === "none") return `${loss}${comma}${t("unreduced")}`;
  return `${loss}${comma}${t("{reduction} of {count} values", { reduction, count })}`;
}

/** A tensor as rows of its last dimension; the beginning of it, if it is large. */
export function HeatMap({ title, pointer = "", tensor, odd = NOTHING_ODD, rows: most = ROWS, names, label }: {
  title: string; pointer?: string; tensor: Tensor; odd?: Map<string, string | null>; rows?: number; names?: string[]; label?: (row: number) => string;
}) {
  const { datatype, shape, data } = tensor;
  const columns = shape.at(-1) ?? 1;
  const rows = columns ? Math.ceil(data.length / columns) : 0;
  const peak = data.reduce<number>((most, x) => Math.max(most, Math.abs(x ?? 0)), Number.MIN_VALUE);
  const [shownRows, shownColumns] = [Math.min(rows, most), Math.min(columns, COLUMNS)];
  const missing = rows > most || columns > COLUMNS ? `, ${t("the first")} ${shownRows} × ${shownColumns} ${t("of")} ${rows} × ${columns}` : "";
  return (
    <figure class="tensor">
      <figcaption>{title} <span class="kind">{datatype} [{shape.join(", ")}]{missing}</span></figcaption>
      <div class="scroll" tabIndex={0}>
        <table>
          {names && <thead><tr><td />{names.slice(0, shownColumns).map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>}
          <tbody>
            {Array.from({ length: shownRows }, (_, row) => {
              const index = coordinates(row, shape.slice(0, -1));
              return (
                <tr key={row}>
                  {(label || rows > 1) && <th scope="row">{label ? label(row) : index.join(", ")}</th>}
                  {Array.from({ length: shownColumns }, (_, column) => {
                    const place = shape.length ? [...index, column] : [];
                    if (row * columns + column >= data.length) return null;
                    return <Cell key={column} value={data[row * columns + column] ?? odd.get([pointer, ...place].join()) ?? "null"} peak={peak} />;
                  })}
                  {columns > COLUMNS && <td class="more">…</td>}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </figure>
  );
}

function coordinates(position: number, sizes: number[]): number[] {
  return sizes.reduceRight<[number, number[]]>(([rest, index], size) => [Math.floor(rest / size), [rest % size, ...index]], [position, []])[1];
}

function Cell({ value, peak }: { value: number | string; peak: number }) {
  const node = useRef<HTMLTableCellElement>(null);
  const heat = typeof value === "number" ? `${Math.round((45 * Math.abs(value)) / peak)}%` : "0%";
  useEffect(() => node.current?.style.setProperty("--heat", heat), [heat]);
  if (typeof value !== "number") return <td class="odd">{value}</td>;
  return <td ref={node} class={value < 0 ? "below" : "above"} title={String(value)}>{short(value)}</td>;
}

/** Where the time went, by the header Server-Timing. */
function Stages({ timing }: { timing: string }) {
  const parts = [...timing.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, time]) => [name, Number(time)] as const);
  return <p class="hint timing">{parts.map(([name, time]) => <span key={name}>{worded("stage", name ?? "")} {time.toFixed(2)} ms</span>)}</p>;
}
