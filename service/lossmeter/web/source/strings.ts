// The words of the interface. English is the key; the other languages are tables of it, which the type checker holds complete.
import { chinese } from "./chinese";

export type Text = keyof typeof chinese;
export type Language = "en" | "zh";

const PLACE = "lossmeter.language";
const chosen = typeof localStorage === "undefined" ? null : stored();
export const language: Language = (chosen ?? navigator.language).toLowerCase().startsWith("zh") ? "zh" : "en";

function stored(): string | null {
  try {
    return localStorage.getItem(PLACE);
  } catch {
    return null;
  }
}

/** What stands between parts of a sentence, and behind a colon: marks of Chinese have room in themselves. */
export const [comma, gap] = language === "zh" ? ["，", ""] : [", ", " "];

const SINGULAR: Record<string, string> = { batches: "batch", losses: "loss", rows: "row", runs: "run", samples: "sample", values: "value" };
const ONE = new RegExp(`(?<![\\d.,])1 (${Object.keys(SINGULAR).join("|")})\\b`, "g");
const LATIN_THEN_HAN = /(?<=[A-Za-z0-9])(?=\p{Script=Han})/gu;

/** Chinese with a space behind Latin letters and digits. */
export const spaced = (text: string) => text.replace(LATIN_THEN_HAN, " ");

/** The text in the language of the page; `{name}` stands for a value. */
export function t(text: Text, values: Record<string, string | number> = {}): string {
  const said: string = language === "zh" ? chinese[text] : text;
  const filled = said.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
  return language === "zh" ? spaced(filled) : filled.replace(ONE, (_, noun: string) => `1 ${SINGULAR[noun]}`);
}

/** Keeps the choice in this browser, and shows the page in it. */
export function speak(wanted: Language): void {
  localStorage.setItem(PLACE, wanted);
  location.reload();
}
