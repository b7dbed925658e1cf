// A report as one picture: its figures with their intervals, and the plots that are in the page. As SVG, or painted as PNG.
import { save } from "../controls";
import { short } from "../numbers";
import { t } from "../strings";
import { scaleOf } from "./intervals";
import { type Report, scalarsOf } from "./types";

const SVG = "http://www.w3.org/2000/svg";
const [WIDE, EDGE, LINE, DENSITY] = [1000, 24, 24, 2];
/** What is taken over from the style sheet into the picture, which has none. */
const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity", "font-size", "font-family", "font-weight"];

export function Pictures({ name, title, report }: { name: string; title: string; report: Report }) {
  return (
    <>
      <button type="button" class="quiet" onClick={() => { const picture = draw(title, report); save(`${name}.svg`, "image/svg+xml", new XMLSerializer().serializeToString(picture)); picture.remove(); }}>{t("Save as SVG")}</button>
      <button type="button" class="quiet" onClick={async () => { const picture = draw(title, report); save(`${name}.png`, "image/png", await painted(picture)); picture.remove(); }}>{t("Save as PNG")}</button>
    </>
  );
}

function element<K extends keyof SVGElementTagNameMap>(kind: K, attributes: Record<string, string | number>, text?: string): SVGElementTagNameMap[K] {
  const node = document.createElementNS(SVG, kind);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  if (text !== undefined) node.textContent = text;
  return node;
}

/** The picture, which stands in the page out of sight until it is removed. */
function draw(title: string, report: Report): SVGSVGElement {
  const style = getComputedStyle(document.documentElement);
  const colour = (one: string) => style.getPropertyValue(`--${one}`).trim();
  const picture = element("svg", { xmlns: SVG, class: "hidden", width: WIDE });
  const ground = element("rect", { width: WIDE, fill: colour("card") });
  const write = (x: number, y: number, text: string, more: Record<string, string | number> = {}) => picture.append(element("text", { x, y, fill: colour("ink"), "font-size": "13px", "font-family": "sans-serif", ...more }, text));
  picture.append(ground);
  let y = EDGE + 14;
  write(EDGE, y, title.length > 90 ? `${title.slice(0, 90)}…` : title, { "font-size": "20px", "font-weight": 600 });
  const figures = scalarsOf(report);
  for (const one of figures) {
    y += LINE;
    const [from, to] = scaleOf(one.kind === "loss" ? figures.filter(({ kind }) => kind === "loss") : [one]);
    const at = (value: number) => 680 + (280 * (value - from)) / (to - from);
    const { interval } = one;
    write(EDGE, y, one.name, { "font-family": "monospace" });
    write(380, y, short(one.value), { "font-weight": 600 });
    picture.append(element("path", { d: `M680 ${y - 4}H960`, stroke: colour("line"), fill: "none" }));
    if (interval && interval.low !== null && interval.high !== null) {
      write(480, y, `${short(interval.low)} … ${short(interval.high)}`, { fill: colour("soft") });
      picture.append(element("path", { d: `M${at(interval.low)} ${y - 9}v10M${at(interval.low)} ${y - 4}H${at(interval.high)}M${at(interval.high)} ${y - 9}v10`, stroke: colour("s0"), "stroke-width": 1.5, fill: "none" }));
    }
    if (one.value !== null) picture.append(element("circle", { cx: at(one.value), cy: y - 4, r: 4, fill: colour("s0") }));
  }
  y += LINE;
  let [x, tall] = [EDGE, 0];
  for (const plot of document.querySelectorAll<SVGSVGElement>(".report .plot > svg")) {
    const [width, height] = [plot.width.baseVal.value, plot.height.baseVal.value];
    if (x > EDGE && x + width > WIDE - EDGE) [x, y, tall] = [EDGE, y + tall + LINE, 0];
    write(x + 52, y, plot.getAttribute("aria-label") ?? "", { "font-weight": 600 });
    const copy = styled(plot);
    for (const [key, value] of Object.entries({ x, y: y + 8, width, height })) copy.setAttribute(key, String(value));
    picture.append(copy);
    [x, tall] = [x + width + EDGE, Math.max(tall, height + 8)];
  }
  const height = y + tall + EDGE;
  for (const node of [picture, ground]) node.setAttribute("height", String(height));
  picture.setAttribute("viewBox", `0 0 ${WIDE} ${height}`);
  document.body.append(picture);
  return picture;
}

/** A copy of a plot that looks the same without the style sheet. */
function styled(plot: SVGSVGElement): SVGSVGElement {
  const copy = plot.cloneNode(true) as SVGSVGElement;
  const nodes = [...plot.querySelectorAll("*")];
  copy.querySelectorAll("*").forEach((node, i) => {
    const style = getComputedStyle(nodes[i] as Element);
    for (const name of STYLES) node.setAttribute(name, style.getPropertyValue(name));
    node.removeAttribute("class");
  });
  return copy;
}

/** Paints the picture stroke by stroke: the content policy lets no picture be made of a text. */
function painted(picture: SVGSVGElement): Promise<Blob> {
  const canvas = document.createElement("canvas");
  canvas.width = DENSITY * WIDE;
  canvas.height = DENSITY * Number(picture.getAttribute("height"));
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  const root = (picture.getScreenCTM() as DOMMatrix).inverse();
  for (const node of picture.querySelectorAll<SVGGraphicsElement>("rect, path, line, circle, text")) {
    if (node.closest("clipPath")) continue;
    context.save();
    const clip = node.closest("[clip-path]")?.getAttribute("clip-path")?.match(/#([^"')]+)/)?.[1];
    const frame = clip && node.ownerSVGElement?.querySelector<SVGRectElement>(`[id="${clip}"] rect`);
    context.setTransform(new DOMMatrix().scale(DENSITY).multiply(root).multiply(node.ownerSVGElement?.getScreenCTM() as DOMMatrix));
    if (frame) context.clip(new Path2D(outline(frame)));
    context.setTransform(new DOMMatrix().scale(DENSITY).multiply(root).multiply(node.getScreenCTM() as DOMMatrix));
    const said = (name: string) => node.closest(`[${name}]`)?.getAttribute(name) ?? "";
    const alpha = Number(said("opacity") || 1);
    const [fill, stroke] = [said("fill") || "#000", said("stroke") || "none"];
    context.globalAlpha = alpha * Number(said("fill-opacity") || 1);
    context.fillStyle = fill;
    if (node instanceof SVGTextElement) {
      context.font = `${said("font-weight") || 400} ${said("font-size")} ${said("font-family")}`;
      context.textAlign = ({ middle: "center", end: "right" } as const)[node.getAttribute("text-anchor") ?? ""] ?? "left";
      context.fillText(node.textContent ?? "", Number(node.getAttribute("x") ?? 0), Number(node.getAttribute("y") ?? 0));
    } else {
      const path = new Path2D(outline(node));
      if (fill !== "none" && !(node instanceof SVGLineElement)) context.fill(path);
      context.globalAlpha = alpha;
      context.strokeStyle = stroke;
      context.lineWidth = parseFloat(said("stroke-width")) || 1;
      context.setLineDash((said("stroke-dasharray").match(/[\d.]+/g) ?? []).map(Number));
      if (stroke !== "none") context.stroke(path);
    }
    context.restore();
  }
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob as Blob)));
}

function outline(node: SVGGraphicsElement): string {
  const n = (name: string) => Number(node.getAttribute(name) ?? 0);
  if (node instanceof SVGRectElement) return `M${n("x")} ${n("y")}h${n("width")}v${n("height")}h${-n("width")}z`;
  if (node instanceof SVGLineElement) return `M${n("x1")} ${n("y1")}L${n("x2")} ${n("y2")}`;
  if (node instanceof SVGCircleElement) return `M${n("cx") - n("r")} ${n("cy")}a${n("r")} ${n("r")} 0 1 0 ${2 * n("r")} 0a${n("r")} ${n("r")} 0 1 0 ${-2 * n("r")} 0z`;
  return node.getAttribute("d") ?? "";
}
