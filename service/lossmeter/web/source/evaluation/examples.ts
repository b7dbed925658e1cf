// Small data sets to try the page with, made here from a generator that always gives the same.
function random(): () => number {
  let state = 20240229;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const lines = (head: string, rows: string[]) => [head, ...rows].join("\n");

function binary(): string {
  const next = random();
  return lines("id,score,label,country", Array.from({ length: 120 }, (_, i) => {
    const country = ["de", "fr", "cn"][i % 3] as string;
    const label = next() < 0.4 ? 1 : 0;
    const noise = (next() + next() + next() - 1.5) * (country === "fr" ? 1.6 : 1);
    return `s${i},${(1 / (1 + Math.exp(-2.2 * (label - 0.5) - 2 * noise))).toFixed(3)},${label},${country}`;
  }));
}

function multiclass(): string {
  const next = random();
  const names = ["cat", "dog", "owl"];
  return lines("p_cat,p_dog,p_owl,label,light", Array.from({ length: 90 }, () => {
    const label = Math.floor(3 * next());
    const light = next() < 0.5 ? "day" : "night";
    const scores = names.map((_, k) => Math.exp((k === label ? (light === "day" ? 1.8 : 0.8) : 0) + 2 * next()));
    const sum = scores.reduce((a, b) => a + b, 0);
    return `${scores.map((one) => (one / sum).toFixed(4)).join(",")},${names[label]},${light}`;
  }));
}

function regression(): string {
  const next = random();
  return lines("predicted,target,district", Array.from({ length: 100 }, (_, i) => {
    const target = 1 + 9 * next();
    return `${(0.6 + 0.9 * target + (next() - 0.5) * 0.4 * target).toFixed(2)},${target.toFixed(2)},${["north", "south"][i % 2]}`;
  }));
}

export const EXAMPLES = (): Record<string, () => string> => ({ binary, multiclass, regression });
