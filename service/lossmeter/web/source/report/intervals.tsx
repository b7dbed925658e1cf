// Values with their intervals drawn on one scale: how sure each is can be seen before it is read.
import { short } from "../numbers";
import { t } from "../strings";
import type { Interval } from "./types";

/** The scale of several intervals: from 0 to 1 where all are shares, unless they are to be told apart. */
export function scaleOf(all: { value: number | null; interval: Interval | null }[], zero = false, close = zero): [number, number] {
  const numbers = all.flatMap(({ value, interval }) => [value, interval?.low, interval?.high]).filter((one) => typeof one === "number");
  if (zero) numbers.push(0);
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  if (!numbers.length) return [0, 1];
  if (!close && low >= 0 && high <= 1) return [0, 1];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

/** A dot with its interval; a line at 0 where differences are shown. */
export function Whiskers({ value, interval, scale, zero = false, colour = 0 }: {
  value: number | null; interval: Interval | null; scale: [number, number]; zero?: boolean; colour?: number;
}) {
  const [from, to] = scale;
  const at = (number: number) => 4 + (132 * (number - from)) / (to - from);
  return (
    <svg class={`whiskers s${colour}`} width="140" height="16" viewBox="0 0 140 16" aria-hidden="true">
      <line class="axis" x1="4" x2="136" y1="8" y2="8" />
      {zero && <line class="nought" x1={at(0)} x2={at(0)} y1="0" y2="16" />}
      {interval && interval.low !== null && interval.high !== null && (
        <path d={`M${at(interval.low)} 3.5v9M${at(interval.low)} 8H${at(interval.high)}M${at(interval.high)} 3.5v9`} />
      )}
      {value !== null && <circle cx={at(value)} cy="8" r="3.5" />}
    </svg>
  );
}

export function Ends({ interval }: { interval: Interval | null }) {
  if (!interval || interval.low === null || interval.high === null) return <>{t("no interval")}</>;
  return <span title={interval.method}>{short(interval.low)} … {short(interval.high)}</span>;
}

/** A figure with its parameters. */
export function Call({ name, parameters }: { name: string; parameters: Record<string, unknown> }) {
  const inside = Object.entries(parameters).filter(([, value]) => value !== null).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return <><code>{name}</code>{inside.length > 0 && <span class="kind"> {inside.join(", ")}</span>}</>;
}
