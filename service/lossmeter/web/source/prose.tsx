// Prose of the catalogue: `code`, $formulas$ and addresses. Text is set as text, never as markup.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { address } from "./service";
import { t } from "./strings";

interface Katex {
  render(latex: string, node: HTMLElement, options: { displayMode: boolean; strict: boolean }): void;
}
declare global {
  interface Window {
    katex?: Katex;
  }
}

let loading: Promise<Katex | undefined> | undefined;

/** KaTeX, fetched with the first formula and not before. */
function katex(): Promise<Katex | undefined> {
  loading ??= new Promise((resolve) => {
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: address("static/katex/katex.min.css") });
    const script = Object.assign(document.createElement("script"), { src: address("static/katex/katex.min.js") });
    script.onload = script.onerror = () => resolve(window.katex);
    document.head.append(style, script);
  });
  return loading;
}

/** A formula; as it is written until KaTeX is there, and if KaTeX does not know it. */
export function Formula({ latex, display = false }: { latex: string; display?: boolean }) {
  const node = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    let current = true;
    katex().then((library) => {
      if (!current || !node.current) return;
      try {
        library?.render(latex, node.current, { displayMode: display, strict: false });
      } catch {
        node.current.textContent = latex;
      }
    });
    return () => {
      current = false;
    };
  }, [latex, display]);
  return <span class={display ? "math display" : "math"} ref={node} key={latex} />;
}

/** A displayed formula, its parts side by side where there is room and below each other where there is not. */
export function Display({ latex }: { latex: string }) {
  const parts = latex.split(/\\q?quad\b/);
  const whole = parts.every((part) => (part.match(/[{]|\\begin/g) ?? []).length === (part.match(/[}]|\\end/g) ?? []).length);
  return (
    <div class="formula" role="figure" aria-label={t("Formula")}>
      {(whole ? parts : [latex]).map((part) => (
        <div class="scroll" tabIndex={0} key={part}>
          <Formula latex={part} display />
        </div>
      ))}
    </div>
  );
}

const MARKS = /`([^`]+)`|\$([^$]+)\$([.,;:)]*)|(https?:\/\/[^\s;]*[^\s;.,])/g;

/** A line of prose. Code that names a loss leads to it. */
export function Line({ text, names }: { text: string; names?: ReadonlySet<string> }) {
  const parts: ComponentChildren[] = [];
  let done = 0;
  for (const match of text.matchAll(MARKS)) {
    const [whole, code, latex, after, link] = match;
    parts.push(text.slice(done, match.index));
    if (latex) parts.push(<span class="unbroken"><Formula latex={latex} />{after}</span>);
    else if (link) parts.push(<a href={link} rel="noreferrer">{link.replace(/^https?:\/\//, "")}</a>);
    else if (code && names?.has(code)) parts.push(<a href={`#/${code}`}><code>{code}</code></a>);
    else parts.push(<code>{code}</code>);
    done = match.index + whole.length;
  }
  parts.push(text.slice(done));
  return <>{parts}</>;
}

export function Prose({ text, names }: { text: string; names?: ReadonlySet<string> }) {
  return <>{text.split(/\n\s*\n/).map((paragraph) => <p key={paragraph}><Line text={paragraph} names={names} /></p>)}</>;
}

/** A name that may be broken after its underscores. */
export function Name({ name }: { name: string }) {
  return <>{name.split("_").map((word, i) => (i ? <>_<wbr />{word}</> : word))}</>;
}

export function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  if (/[.!。！？]$/.test(begun)) return begun;
  return /\p{Script=Han}$/u.test(begun) ? `${begun}。` : `${begun}.`;
}

/** What a promise gave, and why it gave nothing. */
export function usePromise<T>(make: () => Promise<T>, keys: unknown[]): { given?: T; error?: Error } {
  const [state, set] = useState<{ given?: T; error?: Error }>({});
  useEffect(() => {
    let current = true;
    make().then((given) => current && set({ given }), (error: Error) => current && set({ error }));
    return () => {
      current = false;
    };
  }, keys);
  return state;
}
