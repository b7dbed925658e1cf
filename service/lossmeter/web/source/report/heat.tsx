// A cell whose ground follows a share. Its colour is set through the style object, as the content policy forbids style attributes.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

export function Heat({ share, right, title, children }: { share: number; right: boolean; title: string; children: ComponentChildren }) {
  const node = useRef<HTMLTableCellElement>(null);
  useLayoutEffect(() => node.current?.style.setProperty("--heat", `${Math.round(45 * share)}%`), [share]);
  return <td ref={node} class={right ? "heat right" : "heat wrong"} title={title}>{children}</td>;
}
