// The arrays of an NPZ file: a zip of arrays as numpy writes them, stored or deflated.
import { t } from "../strings";
import { columnsOf, type Table, Unreadable } from "./table";

const END = 0x06054b50;

export async function fromNpz(file: Blob): Promise<Table> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const view = new DataView(bytes.buffer);
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) end -= 1;
  if (end < 0) throw new Unreadable(t("this is not a zip file"));
  const arrays = [];
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left -= 1) {
    const [method, size, name, extra, comment, start] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true), view.getUint16(at + 28, true), view.getUint16(at + 30, true), view.getUint16(at + 32, true), view.getUint32(at + 42, true)];
    const title = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + name)).replace(/\.npy$/, "");
    const data = start + 30 + view.getUint16(start + 26, true) + view.getUint16(start + 28, true);
    const packed = bytes.subarray(data, data + size);
    arrays.push(arrayOf(title, method === 0 ? packed : await inflated(packed)));
    at += 46 + name + extra + comment;
  }
  return columnsOf(arrays);
}

async function inflated(packed: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const KINDS: Record<string, (buffer: ArrayBuffer) => ArrayLike<number | bigint>> = {
  "<f8": (b) => new Float64Array(b), "<f4": (b) => new Float32Array(b), "<i8": (b) => new BigInt64Array(b), "<i4": (b) => new Int32Array(b),
  "<i2": (b) => new Int16Array(b), "|i1": (b) => new Int8Array(b), "|u1": (b) => new Uint8Array(b), "|b1": (b) => new Uint8Array(b),
};

function arrayOf(name: string, bytes: Uint8Array<ArrayBuffer>): { name: string; shape: number[]; flat: number[] } {
  const long = bytes[6] === 1 ? 2 : 4;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const size = long === 2 ? view.getUint16(8, true) : view.getUint32(8, true);
  const head = new TextDecoder("latin1").decode(bytes.subarray(8 + long, 8 + long + size));
  const kind = /'descr': '([^']+)'/.exec(head)?.[1] ?? "?";
  const shape = (/'shape': \(([^)]*)\)/.exec(head)?.[1] ?? "").split(",").map((one) => one.trim()).filter(Boolean).map(Number);
  const read = KINDS[kind];
  if (!read || /'fortran_order': True/.test(head) || shape.length < 1 || shape.length > 2) throw new Unreadable(t("{name} is {kind} [{shape}]; expected numbers in one or two dimensions, row by row", { name, kind, shape: shape.join(", ") }));
  return { name, shape, flat: Array.from(read(bytes.slice(8 + long + size).buffer), Number) };
}
