// A table of samples, from text as people paste it: CSV, TSV, JSON, JSON Lines. It never leaves the browser but to the service.
import { gap, t } from "../strings";

export type Cell = string | number | boolean | null | number[];
export interface Table {
  columns: { name: string; values: Cell[] }[];
  rows: number;
}

export class Unreadable extends Error {}

/** Arrays in one or two dimensions as columns, of which all have the same rows. */
export function columnsOf(arrays: { name: string; shape: number[]; flat: number[] }[]): Table {
  const columns = arrays.map(({ name, shape: [rows = 0, width], flat }) => ({ name, values: width === undefined ? flat : Array.from({ length: rows }, (_, i) => flat.slice(i * width, (i + 1) * width)) }));
  const rows = columns[0]?.values.length ?? 0;
  const odd = columns.find((column) => column.values.length !== rows);
  if (!rows || odd) throw new Unreadable(odd ? t("{name} has {count} rows; {first} has {rows}", { name: odd.name, count: odd.values.length, first: columns[0]?.name ?? "", rows }) : t("there is no array"));
  return { rows, columns };
}

/** Reads text; what it is follows from how it begins. */
export function parse(text: string): Table {
  const trimmed = text.replace(/^\uFEFF/, "").trim();
  if (!trimmed) throw new Unreadable(t("nothing there"));
  if (trimmed.startsWith("[") || trimmed.startsWith("{")) return fromJson(trimmed);
  return fromSeparated(trimmed);
}

export function fromSeparated(text: string): Table {
  const head = text.slice(0, text.indexOf("\n") + 1 || undefined);
  const separator = ["\t", ";", ","].find((one) => head.includes(one)) ?? ",";
  const [names = [], ...records] = records_(text, separator);
  const bad = records.findIndex((record) => record.length !== names.length);
  if (bad >= 0) throw new Unreadable(t("row {row} has {count} fields; the head has {fields}", { row: bad + 1, count: records[bad]?.length ?? 0, fields: names.length }));
  if (!records.length) throw new Unreadable(t("there is a head, and no row"));
  return { rows: records.length, columns: names.map((name, i) => ({ name: name.trim(), values: typed(records.map((record) => record[i] ?? "")) })) };
}

/** Records of RFC 4180: quotes around what holds separators, quotes or line ends. */
function records_(text: string, separator: string): string[][] {
  const records: string[][] = [[]];
  let field = "";
  let quoted = false;
  const last = () => records[records.length - 1] as string[];
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i] as string;
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[i + 1] === '"') field += text[++i];
      else quoted = false;
    } else if (c === '"' && field === "") quoted = true;
    else if (c === separator) {
      last().push(field);
      field = "";
    } else if (c === "\n") {
      last().push(field.replace(/\r$/, ""));
      field = "";
      records.push([]);
    } else field += c;
  }
  last().push(field.replace(/\r$/, ""));
  return records.filter((record) => record.length > 1 || record[0] !== "");
}

/** A column of numbers, of truth values or of texts: whichever all of it is. */
function typed(texts: string[]): Cell[] {
  const trimmed = texts.map((text) => text.trim());
  if (trimmed.every((text) => text === "" || Number.isFinite(Number(text)))) return trimmed.map((text) => (text === "" ? null : Number(text)));
  if (trimmed.every((text) => /^(true|false)$/i.test(text))) return trimmed.map((text) => text.toLowerCase() === "true");
  return trimmed;
}

function fromJson(text: string): Table {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    try {
      given = text.split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line) as unknown);
    } catch {
      throw new Unreadable(`${t("not JSON:")}${gap}${(error as Error).message}`);
    }
  }
  if (Array.isArray(given)) return fromRecords(given);
  const columns = Object.entries(given as Record<string, unknown>).filter(([, values]) => Array.isArray(values)) as [string, Cell[]][];
  const rows = columns[0]?.[1].length ?? 0;
  if (!rows) throw new Unreadable(t("expected records, or columns of values by name"));
  const odd = columns.find(([, values]) => values.length !== rows);
  if (odd) throw new Unreadable(t("{name} has {count} rows; {first} has {rows}", { name: odd[0], count: odd[1].length, first: columns[0]?.[0] ?? "", rows }));
  return { rows, columns: columns.map(([name, values]) => ({ name, values })) };
}

function fromRecords(records: unknown[]): Table {
  if (!records.length || records.some((one) => typeof one !== "object" || one === null || Array.isArray(one))) throw new Unreadable(t("expected records: objects with the same names"));
  const names = [...new Set(records.flatMap((one) => Object.keys(one as object)))];
  return { rows: records.length, columns: names.map((name) => ({ name, values: records.map((one) => (one as Record<string, Cell>)[name] ?? null) })) };
}

/** A table as CSV, to be edited. */
export function written(table: Table): string {
  const quoted = (cell: Cell) => {
    const text = Array.isArray(cell) ? JSON.stringify(cell) : String(cell ?? "");
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = Array.from({ length: table.rows }, (_, i) => table.columns.map((column) => quoted(column.values[i] ?? null)).join(","));
  return [table.columns.map((column) => quoted(column.name)).join(","), ...lines].join("\n");
}
