// The tensors of a safetensors file: a head in JSON that says where each is, and their bytes.
import { t } from "../strings";
import { columnsOf, type Table, Unreadable } from "./table";

type Read = (view: DataView, at: number) => number;
interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** A float of 16 bits whose exponent has so many. */
const half = (exponent: number): Read => (view, at) => {
  const bits = view.getUint16(at, true);
  const [most, fraction] = [2 ** exponent - 1, 15 - exponent];
  const [sign, power, rest] = [bits & 0x8000 ? -1 : 1, (bits >> fraction) & most, (bits & (2 ** fraction - 1)) / 2 ** fraction];
  const bias = 2 ** (exponent - 1) - 1;
  if (power === most) return rest ? NaN : sign * Infinity;
  return sign * (power ? (1 + rest) * 2 ** (power - bias) : rest * 2 ** (1 - bias));
};
const KINDS: Record<string, [size: number, Read]> = {
  F64: [8, (view, at) => view.getFloat64(at, true)], F32: [4, (view, at) => view.getFloat32(at, true)], F16: [2, half(5)], BF16: [2, half(8)],
  I64: [8, (view, at) => Number(view.getBigInt64(at, true))], I32: [4, (view, at) => view.getInt32(at, true)], I16: [2, (view, at) => view.getInt16(at, true)],
  I8: [1, (view, at) => view.getInt8(at)], U8: [1, (view, at) => view.getUint8(at)], BOOL: [1, (view, at) => view.getUint8(at)],
};

export async function fromSafetensors(file: Blob): Promise<Table> {
  const buffer = await file.arrayBuffer();
  const view = new DataView(buffer);
  const size = buffer.byteLength < 8 ? Infinity : Number(view.getBigUint64(0, true));
  if (8 + size > buffer.byteLength) throw new Unreadable(t("this is not a safetensors file"));
  let head: Record<string, Entry>;
  try {
    head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size))) as Record<string, Entry>;
  } catch (error) {
    throw new Unreadable(t("the head of the safetensors file cannot be read: {reason}", { reason: (error as Error).message }));
  }
  const tensors = Object.entries(head).filter(([name]) => name !== "__metadata__").sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0]);
  return columnsOf(tensors.map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
    const [bytes, read] = KINDS[dtype] ?? [0, () => NaN];
    const count = shape.reduce((product, one) => product * one, 1);
    if (!bytes || shape.length < 1 || shape.length > 2) throw new Unreadable(t("{name} is {kind} [{shape}]; expected numbers in one or two dimensions, row by row", { name, kind: dtype, shape: shape.join(", ") }));
    if (to - from !== bytes * count || 8 + size + to > buffer.byteLength) throw new Unreadable(t("{name} does not have the bytes of its shape [{shape}]", { name, shape: shape.join(", ") }));
    return { name, shape, flat: Array.from({ length: count }, (_, i) => read(view, 8 + size + from + i * bytes)) };
  }));
}
