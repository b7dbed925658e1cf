// A long list of which only the rows in view, and a few beyond, are in the page.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

const BEYOND = 8;

/** Rows of one height in a box that scrolls; `children` draws the row of a number. */
export function Rows({ count, height, label, head, children }: { count: number; height: number; label: string; head: ComponentChildren; children: (index: number) => ComponentChildren }) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, room: 800 });
  useEffect(() => {
    const node = box.current;
    if (!node) return;
    const look = () => setView({ top: node.scrollTop, room: node.clientHeight });
    const observer = new ResizeObserver(look);
    observer.observe(node);
    node.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      node.removeEventListener("scroll", look);
    };
  }, []);
  const first = Math.max(0, Math.min(Math.floor(view.top / height) - BEYOND, count - 1));
  const last = Math.min(count, Math.ceil((view.top + view.room) / height) + BEYOND);
  const space = (rows: number) => rows > 0 && <tr aria-hidden="true"><td class="space" colSpan={9} height={rows * height} /></tr>;
  return (
    <div class="card scroll rows" tabIndex={0} ref={box} role="region" aria-label={label}>
      <table class="figures runs" aria-rowcount={count + 1}>
        <thead>{head}</thead>
        <tbody>
          {space(first)}
          {Array.from({ length: Math.max(0, last - first) }, (_, i) => children(first + i))}
          {space(count - last)}
        </tbody>
      </table>
    </div>
  );
}
