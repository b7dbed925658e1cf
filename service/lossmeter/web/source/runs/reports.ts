// What the reports of runs say in short: read for the rows that are in view, two at a time, and kept.
import { useEffect, useState } from "preact/hooks";
import { type Interval, type Report, type Run, scalarsOf } from "../report/types";
import { call } from "../service";

export interface Brief {
  /** Whether its gates hold; null where it has none. */
  passed: boolean | null;
  name: string;
  value: number | null;
  interval: Interval | null;
}

const AT_ONCE = 2;
/** Reports of larger runs take long, and are computed when somebody opens them. */
const MOST_SAMPLES = 20_000;
const known = new Map<string, Brief>();
const waiting: { key: string; run: Run; wanted: () => boolean; done: () => void }[] = [];
let busy = 0;

const keyOf = (run: Run) => `${run.id} ${run.batches} ${run.closed ?? ""}`;
export const briefOf = (run: Run) => known.get(keyOf(run));

async function work(): Promise<void> {
  if (busy >= AT_ONCE) return;
  busy += 1;
  try {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const { key, run, wanted, done } = next;
      if (!wanted()) continue;
      if (!known.has(key)) {
        const report = await call<Report>("GET", `v1/runs/${run.id}`).then((answer) => answer.given, () => undefined);
        if (report) known.set(key, brief(report));
      }
      done();
    }
  } finally {
    busy -= 1;
  }
}

function brief(report: Report): Brief {
  const figures = scalarsOf(report);
  const first = figures.find((one) => one.kind === "metric") ?? figures[0];
  return { passed: report.gates.length ? report.passed : null, name: first?.name ?? "", value: first?.value ?? null, interval: first?.interval ?? null };
}

/** The report of a run in short, once it has been read; a run without batches, or with very many samples, is not asked for one. */
export function useBrief(run: Run, onKnown: () => void): Brief | undefined {
  const key = keyOf(run);
  const [, drawn] = useState(0);
  useEffect(() => {
    if (known.has(key) || !run.batches || run.samples > MOST_SAMPLES) return;
    let wanted = true;
    // Rows that are only scrolled past are not asked for.
    const timer = setTimeout(() => {
      waiting.push({ key, run, wanted: () => wanted, done: () => { if (wanted) { drawn((count) => count + 1); onKnown(); } } });
      work();
    }, 150);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [key]);
  return known.get(key);
}
