// Numbers as people read them.

const MINUS = "−";

/** A number to four digits. */
export function short(number: number | null | undefined, digits = 4): string {
  if (number === null || number === undefined || Number.isNaN(number)) return "–";
  if (number === 0) return "0";
  const size = Math.abs(number);
  const text = size >= 1e6 || size < 1e-4 ? number.toExponential(digits - 1) : String(Number(number.toPrecision(digits)));
  return text.replaceAll("-", MINUS);
}

/** A number to nine digits, without zeros at its end. */
export function full(number: number): string {
  const [digits = "", exponent] = number.toPrecision(9).split("e");
  const trimmed = digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
  return (exponent ? `${trimmed}e${exponent}` : trimmed).replaceAll("-", MINUS);
}

/** As many decimals as a step needs. */
export function atStep(number: number, step: number): number {
  return Number(number.toFixed(Math.max(0, Math.min(12, Math.ceil(-Math.log10(step) - 1e-9)))));
}

/** A share of one as a percentage. */
export const percent = (share: number) => `${(100 * share).toFixed(share > 0.0995 || share === 0 ? 0 : 1)} %`;

/** Nested arrays as people write them: a row a line. */
export function laidOut(value: unknown, depth = 0): string {
  if (!Array.isArray(value)) return JSON.stringify(value);
  if (!value.some(Array.isArray)) return `[${value.map((item) => JSON.stringify(item)).join(", ")}]`;
  return `[${value.map((item) => laidOut(item, depth + 1)).join(`,\n${" ".repeat(depth + 1)}`)}]`;
}
