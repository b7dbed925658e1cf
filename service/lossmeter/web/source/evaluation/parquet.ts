// The columns of a Parquet file. The reader of the format is fetched when such a file is first dropped.
import { parquetReadObjects } from "hyparquet";
import { t } from "../strings";
import type { Cell, Table } from "./table";
import { Unreadable } from "./table";

export async function fromParquet(file: Blob): Promise<Table> {
  let records: Record<string, unknown>[];
  try {
    records = await parquetReadObjects({ file: await file.arrayBuffer() });
  } catch (error) {
    throw new Unreadable(t("the Parquet file cannot be read here: {reason}", { reason: (error as Error).message }));
  }
  const [first] = records;
  if (!first) throw new Unreadable(t("there is no row"));
  return { rows: records.length, columns: Object.keys(first).map((name) => ({ name, values: records.map((one) => cell(one[name])) })) };
}

/** Whole numbers of 64 bits become numbers where these are exact, and texts where not. */
function cell(value: unknown): Cell {
  if (value === null || value === undefined) return null;
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (ArrayBuffer.isView(value) || Array.isArray(value)) return Array.from(value as ArrayLike<number | bigint>, Number);
  if (value instanceof Date) return value.toISOString();
  return typeof value === "number" || typeof value === "boolean" ? value : String(value);
}
