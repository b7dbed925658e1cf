// Slices as a table that sorts by each of its columns, with the interval of one figure drawn in each row.
import { useState } from "preact/hooks";
import { Select } from "../controls";
import { short } from "../numbers";
import { t } from "../strings";
import { Ends, scaleOf, Whiskers } from "./intervals";
import { type Report, scalarsOf } from "./types";

type Column = "slice" | "samples" | "value";

export function Slices({ report }: { report: Report }) {
  const figures = scalarsOf(report);
  const [key, setKey] = useState(figures.find((one) => one.kind === "metric")?.key ?? figures[0]?.key ?? "");
  const [order, setOrder] = useState<{ by: Column; down: boolean }>({ by: "slice", down: false });
  if (!report.slices.length || !figures.length) return null;
  const whole = figures.find((one) => one.key === key) ?? figures[0];
  const rows = report.slices.map((slice) => {
    const figure = scalarsOf(slice).find((one) => one.key === whole?.key);
    return { slice: `${slice.column} = ${String(slice.value)}`, samples: slice.samples, value: figure?.value ?? null, interval: figure?.interval ?? null };
  });
  const scale = scaleOf([...rows, ...(whole ? [whole] : [])], false, true);
  const sign = order.down ? -1 : 1;
  rows.sort((a, b) => sign * (order.by === "slice" ? a.slice.localeCompare(b.slice, undefined, { numeric: true }) : (a[order.by] ?? -Infinity) - (b[order.by] ?? -Infinity)));
  const head = (by: Column, text: string) => (
    <th scope="col" aria-sort={order.by === by ? (order.down ? "descending" : "ascending") : "none"}>
      <button type="button" class="sort" onClick={() => setOrder({ by, down: order.by === by && !order.down })}>{text}{order.by === by ? (order.down ? " ↓" : " ↑") : ""}</button>
    </th>
  );
  return (
    <section class="card" aria-label={t("Slices")}>
      <h2>{t("Slices")}</h2>
      <div class="narrow"><Select label={t("Figure")} value={whole?.key ?? ""} options={figures.map((one): [string, string] => [one.key, one.name])} onValue={setKey} /></div>
      <div class="scroll" tabIndex={0}>
        <table class="figures slices">
          <thead><tr>{head("slice", t("Slice"))}{head("samples", t("Samples"))}{head("value", whole?.name ?? "")}<th scope="col">{t("Interval")}</th><td /></tr></thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.slice}>
                <th scope="row">{row.slice}</th><td>{row.samples.toLocaleString("en")}</td><td>{short(row.value)}</td><td><Ends interval={row.interval} /></td>
                <td><Whiskers value={row.value} interval={row.interval} scale={scale} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
