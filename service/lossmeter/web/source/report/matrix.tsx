// A confusion matrix: what the truth was, by row, and what was said, by column; as counts or as shares of each row.
import { useState } from "preact/hooks";
import { Segments } from "../controls";
import { percent, short } from "../numbers";
import { t } from "../strings";
import { Heat } from "./heat";

const SHOWN = 30;

export function Matrix({ counts, names, title }: { counts: (number | null)[][]; names: string[]; title: string }) {
  const [form, setForm] = useState<"counts" | "shares">("counts");
  const shown = counts.slice(0, SHOWN).map((row) => row.slice(0, SHOWN));
  const sums = counts.map((row) => row.reduce<number>((sum, one) => sum + (one ?? 0), 0));
  return (
    <figure class="matrix">
      <figcaption class="row">{title}
        <Segments label={title} value={form} options={[["counts", t("counts")], ["shares", t("shares")]]} onValue={setForm} />
      </figcaption>
      <div class="scroll" tabIndex={0}>
        <table>
          <thead>
            <tr><td /><th scope="colgroup" colSpan={shown.length}>{t("predicted")}</th></tr>
            <tr><th scope="col">{t("true")}</th>{shown.map((_, i) => <th key={i} scope="col">{names[i] ?? i}</th>)}</tr>
          </thead>
          <tbody>
            {shown.map((row, i) => (
              <tr key={i}>
                <th scope="row">{names[i] ?? i}</th>
                {row.map((count, j) => {
                  const share = sums[i] ? (count ?? 0) / (sums[i] as number) : 0;
                  return <Heat key={j} share={share} right={i === j} title={`${short(count)} · ${percent(share)}`}>{form === "counts" ? short(count) : percent(share)}</Heat>;
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {counts.length > SHOWN && <p class="hint">{t("The first {shown} of {all} classes.", { shown: SHOWN, all: counts.length })}</p>}
    </figure>
  );
}
