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

/** The text in the language of the page; `{name}` stands for a value. */
export function t(text: Text, values: Record<string, string | number> = {}): string {
  const said: string = language === "zh" ? chinese[text] : text;
  return said.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** Keeps the choice in this browser, and shows the page in it. */
export function speak(wanted: Language): void {
  localStorage.setItem(PLACE, wanted);
  location.reload();
}
