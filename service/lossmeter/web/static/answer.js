// An answer as people read it: the value large, tensors as tables whose colours follow the numbers.
import { copyButton, element } from "./dom.js";

const ROWS = 8;
const COLUMNS = 12;
const CHARACTERS = 20000;

/** A number to four digits. */
export function short(number) {
  if (number === 0) return "0";
  const size = Math.abs(number);
  const text = size >= 1e6 || size < 1e-4 ? number.toExponential(3) : String(Number(number.toPrecision(4)));
  return text.replace("-", "−");
}

/** The answer to a request that succeeded. */
export function success(answer, timing) {
  const reduced = answer.values === undefined;
  const odd = new Map(answer.warnings.map((w) => [[w.pointer, ...(w.index ?? [])].join(), w.value]));
  const value = reduced ? answer.value ?? odd.get("/value") : null;
  return [
    element("div", { class: "outcome" },
      reduced && element("output", { class: "value", "data-value": String(value) },
        typeof value === "number" ? full(value) : value) || null,
      element("p", { class: "hint" }, meaning(answer))),
    element("dl", { class: "facts" }, facts(answer)),
    answer.warnings.length ? element("ul", { class: "warnings" }, answer.warnings.map((w) => element("li", {}, w.message))) : null,
    reduced ? null : tensor("values", "/values", answer.values, odd),
    Object.entries(answer.gradients).map(([role, gradient]) => tensor(`gradient of ${role}`, `/gradients/${role}`, gradient, odd)),
    stages(timing),
  ].flat();
}

/** The answer to a request that was refused. */
export function refusal(problem) {
  return [
    element("div", { class: "outcome refused" },
      element("p", { class: "status" }, `${problem.status} ${problem.title}`),
      element("p", {}, problem.detail)),
  ];
}

/** JSON or a command, to be copied. */
export function listing(title, text, open = false) {
  const shown = text.length > CHARACTERS ? `${text.slice(0, CHARACTERS)} …` : text;
  return element("details", { class: "listing", open },
    element("summary", {}, title),
    element("div", { class: "code" }, copyButton(() => text), element("pre", { tabindex: 0 }, element("code", {}, shown))));
}

function full(number) {
  const [digits, exponent] = number.toPrecision(9).split("e");
  const trimmed = digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
  return (exponent ? `${trimmed}e${exponent}` : trimmed).replace("-", "−");
}

function meaning({ loss, reduction, count }) {
  const counted = `${count} ${count === 1 ? "value" : "values"}`;
  if (reduction === "none") return `${loss}, unreduced`;
  return `${loss}, ${reduction} of ${counted}`;
}

function facts(answer) {
  const shown = { sum: answer.sum, normalizer: answer.normalizer, count: answer.count, precision: answer.precision, device: answer.device };
  return Object.entries(shown).map(([name, value]) => element("div", {},
    element("dt", {}, name),
    element("dd", { title: String(value) }, typeof value === "number" ? short(value) : value ?? "not finite")));
}

/** A tensor as rows of its last dimension; the beginning of it, if it is large. */
function tensor(title, pointer, { datatype, shape, data }, odd) {
  const columns = shape.at(-1) ?? 1;
  const rows = columns ? data.length / columns : 0;
  const peak = data.reduce((most, x) => Math.max(most, Math.abs(x)), Number.MIN_VALUE);
  const shownColumns = Math.min(columns, COLUMNS);
  const body = Array.from({ length: Math.min(rows, ROWS) }, (_, row) => {
    const index = coordinates(row, shape.slice(0, -1));
    const cells = Array.from({ length: shownColumns }, (_, column) => {
      const number = data[row * columns + column];
      const place = shape.length ? [...index, column] : [];
      return cell(number ?? odd.get([pointer, ...place].join()) ?? "null", peak);
    });
    return element("tr", {}, rows > 1 ? element("th", { scope: "row" }, index.join(", ")) : null, cells,
      columns > COLUMNS ? element("td", { class: "more" }, "…") : null);
  });
  const missing = rows > ROWS || columns > COLUMNS ? `, the first ${body.length} × ${shownColumns} of ${rows} × ${columns}` : "";
  return element("figure", { class: "tensor" },
    element("figcaption", {}, title, " ", element("span", { class: "kind" }, `${datatype} [${shape.join(", ")}]${missing}`)),
    element("div", { class: "scroll", tabindex: 0 }, element("table", {}, element("tbody", {}, body))));
}

function coordinates(position, sizes) {
  return sizes.reduceRight(([rest, index], size) => [Math.floor(rest / size), [rest % size, ...index]], [position, []])[1];
}

function cell(value, peak) {
  if (typeof value !== "number") return element("td", { class: "odd" }, value);
  const node = element("td", { class: value < 0 ? "below" : "above", title: String(value) }, short(value));
  node.style.setProperty("--heat", `${Math.round(60 * Math.abs(value) / peak)}%`);
  return node;
}

/** Where the time went, by the header Server-Timing. */
function stages(timing) {
  const parts = [...timing.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, time]) => [name, Number(time)]);
  const whole = parts.reduce((sum, [, time]) => sum + time, 0);
  const bar = parts.map(([name, time]) => {
    const part = element("span", { class: name });
    part.style.flexGrow = String(Math.max(time / whole || 0, 0.01));
    return part;
  });
  return element("div", { class: "timing" },
    element("div", { class: "bar", "aria-hidden": "true" }, bar),
    element("p", { class: "hint" }, parts.map(([name, time]) => element("span", { class: name }, `${name} ${time.toFixed(2)} ms`))));
}
