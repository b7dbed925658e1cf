// A plot of lines, points and bars in a plane: drawn as SVG, so that it follows the colours of the page, prints, and can be read.
import { ticks } from "d3-array";
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { short } from "../numbers";

export type Numbers = readonly (number | null)[];
export interface Series {
  name: string;
  x: Numbers;
  y: Numbers;
  /** Place in the palette. */
  colour: number;
  form?: "line" | "points" | "steps";
  faint?: boolean;
}
export interface Scale {
  label: string;
  from: number;
  to: number;
}
export interface Frame {
  x: (value: number) => number;
  y: (value: number) => number;
}

const MARGIN = { top: 10, right: 12, bottom: 34, left: 52 };

/** The range that shows the numbers: poles are cut, and a constant is not a line at the edge. */
export function rangeOf(all: Numbers, least = 0): [number, number] {
  const numbers = (all.filter((one) => one !== null && Number.isFinite(one)) as number[]).sort((a, b) => a - b);
  if (!numbers.length) return [0, 1];
  const at = (share: number) => numbers[Math.min(numbers.length - 1, Math.floor(share * numbers.length))] as number;
  let [low, high] = [at(0), at(1)];
  const [inner, outer] = [at(0.04), at(0.96)];
  const middle = outer - inner;
  if (middle > 0 && high - outer > 2 * middle) high = outer + middle;
  if (middle > 0 && inner - low > 2 * middle) low = inner - middle;
  if (low > 0 && low < 0.4 * high) low = 0;
  if (high - low < least || high === low) [low, high] = [low - Math.max(least, 0.5 * Math.abs(low), 1e-3) / 2, high + Math.max(least, 0.5 * Math.abs(high), 1e-3) / 2];
  const room = 0.06 * (high - low);
  return [low === 0 ? 0 : low - room, high + room];
}

export function Plot({ x, y, series, height = 220, label, marker, children, square = false, bare = false, onPoint, onPlace }: {
  x: Scale; y: Scale; series: Series[]; height?: number; label: string; marker?: number | null; square?: boolean; bare?: boolean;
  children?: (frame: Frame) => ComponentChildren; onPoint?: (x: number) => void; onPlace?: (x: number, y: number) => void;
}) {
  const node = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(560);
  const clip = useId();
  useLayoutEffect(() => {
    if (!node.current || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(([entry]) => entry && entry.contentRect.width > 0 && setWidth(Math.round(entry.contentRect.width)));
    observer.observe(node.current);
    return () => observer.disconnect();
  }, []);
  const wide = square ? Math.min(width, height + MARGIN.left + MARGIN.right - MARGIN.top - MARGIN.bottom) : width;
  const right = wide - MARGIN.right;
  const bottom = height - MARGIN.bottom;
  const frame: Frame = {
    x: (value) => MARGIN.left + ((value - x.from) / (x.to - x.from)) * (right - MARGIN.left),
    y: (value) => bottom - ((value - y.from) / (y.to - y.from)) * (bottom - MARGIN.top),
  };
  function pointed(event: PointerEvent) {
    if (event.type === "pointermove" && event.pointerType === "touch" && !event.buttons) return;
    const box = (event.currentTarget as SVGElement).getBoundingClientRect();
    const at = x.from + ((event.clientX - box.left - MARGIN.left) / (right - MARGIN.left)) * (x.to - x.from);
    onPoint?.(Math.min(x.to, Math.max(x.from, at)));
    if (!onPlace || !event.buttons) return;
    const up = y.from + ((bottom - (event.clientY - box.top)) / (bottom - MARGIN.top)) * (y.to - y.from);
    onPlace(Math.min(x.to, Math.max(x.from, at)), Math.min(y.to, Math.max(y.from, up)));
  }
  const pointing = onPoint || onPlace ? pointed : undefined;
  return (
    <div class="plot" ref={node}>
      <svg width={wide} height={height} viewBox={`0 0 ${wide} ${height}`} role="img" aria-label={label}
        onPointerMove={pointing} onPointerDown={pointing}>
        <clipPath id={clip}><rect x={MARGIN.left} y={MARGIN.top - 2} width={Math.max(0, right - MARGIN.left)} height={bottom - MARGIN.top + 4} /></clipPath>
        {!bare && <g class="grid">
          {ticks(x.from, x.to, Math.max(2, Math.round(wide / 90))).map((at) => (
            <g key={at}>
              <line x1={frame.x(at)} x2={frame.x(at)} y1={MARGIN.top} y2={bottom} class={at === 0 ? "zero" : ""} />
              <text x={frame.x(at)} y={bottom + 15} text-anchor="middle">{short(at)}</text>
            </g>
          ))}
          {ticks(y.from, y.to, Math.max(2, Math.round(height / 55))).map((at) => (
            <g key={at}>
              <line x1={MARGIN.left} x2={right} y1={frame.y(at)} y2={frame.y(at)} class={at === 0 ? "zero" : ""} />
              <text x={MARGIN.left - 7} y={frame.y(at) + 4} text-anchor="end">{short(at)}</text>
            </g>
          ))}
          <text class="name" x={(MARGIN.left + right) / 2} y={height - 3} text-anchor="middle">{x.label}</text>
          <text class="name" transform={`translate(11 ${(MARGIN.top + bottom) / 2}) rotate(-90)`} text-anchor="middle">{y.label}</text>
        </g>}
        <g clip-path={`url(#${clip})`}>
          {series.map((one) => <Drawn key={one.name} series={one} frame={frame} />)}
          {children?.(frame)}
          {marker !== undefined && marker !== null && (
            <>
              <line class="marker" x1={frame.x(marker)} x2={frame.x(marker)} y1={MARGIN.top} y2={bottom} />
              {series.map((one) => {
                const value = at(one, marker);
                return value === null ? null : <circle key={one.name} class={`s${one.colour} dot`} cx={frame.x(marker)} cy={frame.y(value)} r="4" />;
              })}
            </>
          )}
        </g>
      </svg>
    </div>
  );
}

/** The value of a line at the point nearest to x. */
export function at({ x, y }: { x: Numbers; y: Numbers }, wanted: number): number | null {
  let best = -1;
  for (let i = 0; i < x.length; i += 1) {
    const one = x[i];
    if (one !== null && one !== undefined && (best < 0 || Math.abs(one - wanted) < Math.abs((x[best] as number) - wanted))) best = i;
  }
  return best < 0 ? null : (y[best] ?? null);
}

function Drawn({ series, frame }: { series: Series; frame: Frame }) {
  const { x, y, form = "line", colour, faint } = series;
  const kind = `s${colour}${faint ? " faint" : ""}`;
  if (form === "points") {
    return (
      <g class={`${kind} points`}>
        {x.map((at, i) => (at === null || y[i] === null || y[i] === undefined ? null : <circle key={i} cx={frame.x(at)} cy={frame.y(y[i])} r="2.5" />))}
      </g>
    );
  }
  let path = "";
  let pen = false;
  for (let i = 0; i < x.length; i += 1) {
    const [a, b] = [x[i], y[i]];
    if (a === null || a === undefined || b === null || b === undefined) {
      pen = false;
      continue;
    }
    // Beyond the frame there is nothing to see, and huge coordinates are drawn wrongly.
    const [px, py] = [frame.x(a), Math.max(-1e4, Math.min(1e4, frame.y(b)))];
    if (form === "steps" && pen) path += `H${px.toFixed(2)}`;
    path += `${pen ? "L" : "M"}${px.toFixed(2)} ${py.toFixed(2)}`;
    pen = true;
  }
  return <path class={`${kind} line`} d={path} />;
}

export function Legend({ series }: { series: { name: string; colour: number }[] }) {
  return (
    <ul class="legend">
      {series.map(({ name, colour }) => <li key={name}><span class={`swatch s${colour}`} aria-hidden="true" />{name}</li>)}
    </ul>
  );
}
