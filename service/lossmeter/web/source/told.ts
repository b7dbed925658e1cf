// What the service says of a request, in Chinese: by its codes, pointers, indices and evidence, never by the words of its English.
import chinese from "./chinese.json";
import { percent, short } from "./numbers";
import type { Flaw, Json, Problem, Warned } from "./service";
import { language, spaced, t } from "./strings";

const TITLES: Record<string, string> = chinese.problems;
const ADVICE: Record<string, { message: string; remedy: string }> = chinese.advice;

/** What kind of problem it is, in the language of the page. */
export const titleOf = ({ code, title }: Pick<Problem, "code" | "title">) => (language === "zh" && TITLES[code]) || title;

/** A piece of advice in Chinese; nothing where there is none. */
export function adviceOf({ code, pointer, evidence }: Warned): { message: string; remedy: string } | undefined {
  const advice = language === "zh" ? ADVICE[code] : undefined;
  const said = (whole: string, name: string, share?: string) => {
    const value = evidence?.[name];
    if (value === undefined) return name === "place" ? placeOf({ pointer, index: null }) : whole;
    return share ? percent(value) : Number.isInteger(value) ? String(value) : short(value);
  };
  return advice && { ...advice, message: spaced(advice.message.replace(/\{(\w+)(:%)?\}/g, said)) };
}

const partsOf = (pointer: string) => pointer.slice(1).split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));

/** A pointer and an index as they are read: `losses.0.labels[3]`. */
const placeOf = ({ pointer, index }: Pick<Flaw, "pointer" | "index">) => `${partsOf(pointer).join(".")}${index?.length ? `[${index.join(", ")}]` : ""}`;

const within = (given: Json | undefined, part: string | number): Json | undefined => (given === null || typeof given !== "object" ? undefined : (given as Record<string, Json>)[part]);

function shapeOf(given: Json): number[] {
  return Array.isArray(given) ? [given.length, ...(given.length ? shapeOf(given[0] as Json) : [])] : [];
}

/** Where a request is wrong, and what stands there, in Chinese. `expected` is what single numbers of that place should be. */
export function flawOf(flaw: Flaw, request: Json, expected?: string): string {
  if (!flaw.pointer) return "";
  const place = placeOf(flaw);
  const given = [...partsOf(flaw.pointer), ...(flaw.index ?? [])].reduce<Json | undefined>(within, request);
  if (given === undefined) return flaw.index ? t("{place} is not accepted.", { place }) : t("{place} is missing.", { place });
  if (Array.isArray(given)) return t("{place}, of shape {shape}, is not accepted.", { place, shape: `[${shapeOf(given).join(", ")}]` });
  if (typeof given === "object" && given !== null) return t("{place} is not accepted.", { place });
  const refused = t("{place} is {value}, which is not accepted.", { place, value: JSON.stringify(given) });
  return flaw.index && expected ? `${refused}${t("Expected: {expected}.", { expected })}` : refused;
}

/** What stands somewhere in an answer or a request, in Chinese. */
export const valueOf = ({ pointer, index, value }: Warned) => t("{place} is {value}.", { place: placeOf({ pointer, index }), value: value ?? "" });
