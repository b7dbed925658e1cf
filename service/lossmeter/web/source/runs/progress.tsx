// How much of a run has arrived, where a tag says how much will: `batches=1000` or `samples=64000`.
import type { Run } from "../report/types";
import { percent } from "../numbers";
import { t } from "../strings";

const TOTAL = /^(batches|samples)=(\d{1,15})$/;

export function Progress({ run }: { run: Run }) {
  const [, what, digits] = run.tags.map((tag) => TOTAL.exec(tag)).find((found) => found) ?? [];
  const total = Number(digits);
  if (!total) return null;
  const [arrived, text] = what === "batches" ? [run.batches, t("{arrived} of {total} batches", { arrived: run.batches.toLocaleString("en"), total: total.toLocaleString("en") })]
    : [run.samples, t("{arrived} of {total} samples", { arrived: run.samples.toLocaleString("en"), total: total.toLocaleString("en") })];
  const share = Math.min(1, arrived / total);
  return <p class="progress"><progress max={total} value={Math.min(arrived, total)} aria-label={text} /> <span class="hint">{text}, {percent(share)}</span></p>;
}
