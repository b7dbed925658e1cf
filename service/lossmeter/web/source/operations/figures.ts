// What /metrics says, read as numbers: rates between two readings, and quantiles of histograms.
export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}
export interface Reading {
  at: number;
  samples: Sample[];
}

const LINE = /^(\w+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

export function parsed(text: string, at: number): Reading {
  const samples = text.split("\n").flatMap((line) => {
    const [, name, labels = "", value] = LINE.exec(line) ?? [];
    if (!name) return [];
    return [{ name: name.replace(/^lossmeter_/, ""), value: Number(value?.replace("Inf", "Infinity")), labels: Object.fromEntries([...labels.matchAll(LABEL)].map(([, key, one]) => [key, one])) as Record<string, string> }];
  });
  return { at, samples };
}

/** The sum of all samples of a name that have these labels; null if there is none. */
export function total({ samples }: Reading, name: string, fits: (labels: Record<string, string>) => boolean = () => true): number | null {
  const found = samples.filter((one) => one.name === name && fits(one.labels));
  return found.length ? found.reduce((sum, one) => sum + one.value, 0) : null;
}

/** By how much a counter grew in a second, between two readings. */
export function rate(before: Reading, after: Reading, name: string, fits?: (labels: Record<string, string>) => boolean): number | null {
  const [low, high] = [total(before, name, fits) ?? 0, total(after, name, fits)];
  return high === null || after.at <= before.at ? null : Math.max(0, high - low) / ((after.at - before.at) / 1000);
}

/** A quantile of a histogram since the start of the service, by interpolation within its bucket. */
export function quantile(reading: Reading, name: string, share: number, fits: (labels: Record<string, string>) => boolean): number | null {
  const counts = new Map<number, number>();
  for (const one of reading.samples) {
    if (one.name !== `${name}_bucket` || !fits(one.labels)) continue;
    const end = Number(one.labels.le?.replace("+Inf", "Infinity"));
    counts.set(end, (counts.get(end) ?? 0) + one.value);
  }
  const buckets = [...counts].sort(([a], [b]) => a - b);
  const wanted = share * (buckets.at(-1)?.[1] ?? 0);
  if (!wanted) return null;
  let [start, below] = [0, 0];
  for (const [end, count] of buckets) {
    if (count >= wanted) return end === Infinity ? start : start + ((end - start) * (wanted - below)) / (count - below);
    [start, below] = [end, count];
  }
  return null;
}
