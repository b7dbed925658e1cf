// Guides, tutorials, metrics and the operations of the service, under one navigation with one search.
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { href } from "../address";
import { usePromise } from "../prose";
import { Failure } from "../refusal";
import { language, t } from "../strings";
import { type Document, document_, lossOf, type Operation, operationsOf } from "./document";
import { allMetrics, contents, type Group, type Guide, guide, INDEX, languageOf, leadsFrom, metricPages, type Section, sectionsOf, toGuide } from "./guides";
import { Markdown, tokensOf } from "./markdown";
import { ErrorsPage, OperationPage } from "./operation";

const FOUND = 40;
const CHINESE = "chinese.md";

export default function Documentation({ path: [, kind, ...rest], query }: { path: string[]; query: URLSearchParams }) {
  const { given: groups = [], error } = usePromise(contents, []);
  const { given: all } = usePromise(document_, []);
  const { given: metrics = [] } = usePromise(metricPages, []);
  const operations = useMemo(() => (all ? operationsOf(all) : []), [all]);
  const [open, setOpen] = useState(false);
  const [search, setSearch] = useState("");
  const here = kind === "api" || kind === "errors" ? "" : rest.join("/") || (language === "zh" ? CHINESE : INDEX);
  const operation = kind === "api" ? operations.find((one) => one.operationId === rest[0]) : undefined;
  const current = [kind, ...rest].join("/");
  useEffect(() => {
    setOpen(false);
    setSearch("");
  }, [current, query.toString()]);
  useAnchor(`${current} ${all ? "" : "…"}`, query.get("at"));
  const list = useRef<HTMLElement>(null);
  return (
    <div class="layout">
      <nav ref={list} id="catalogue" class={open ? "open guides" : "guides"} aria-label={t("Documentation")}>
        <input id="search" type="search" placeholder={t("Search")} aria-label={t("Search the documentation")} autocomplete="off" spellcheck={false} value={search} onInput={(event) => setSearch(event.currentTarget.value)}
          onKeyDown={(event) => { const first = list.current?.querySelector<HTMLAnchorElement>(".found a"); if (event.key === "Enter" && first) location.hash = first.hash; }} />
        {search.trim() ? <Results search={search} groups={groups} metrics={metrics} operations={operations} /> : (
          <>
            {groups.filter(({ folded }) => !folded).map((group) => <GuideList key={group.name} group={group} here={here} />)}
            <Reference document={all} operations={operations} current={kind === "errors" ? "errors" : rest[0] ?? ""} shown={kind === "api"} />
            {metrics.length > 0 && <Folded title={t("Metrics")} open={here.startsWith("metrics/") || here === allMetrics}><Guides guides={[{ path: allMetrics, title: t("All metrics"), lang: language }, ...metrics]} here={here} at={query.get("at") ?? undefined} /></Folded>}
            {groups.filter(({ folded }) => folded).map((group) => <Folded key={group.name} title={t(group.name)} open={group.guides.some((one) => one.path === here)}><Guides guides={group.guides} here={here} /></Folded>)}
          </>
        )}
      </nav>
      <div>
        <main id="main" class="page prose" tabIndex={-1}>
          <button class="menu contents" type="button" aria-expanded={open} aria-controls="catalogue" onClick={() => setOpen(!open)}>{t("Contents and search")}</button>
          {error && <Failure error={error} />}
          {kind === "errors" ? all && <ErrorsPage document={all} />
            : kind !== "api" ? <GuidePage key={here} path={here} />
              : operation && all ? <OperationPage key={operation.operationId} document={all} operation={operation} />
                : all && (rest[0] ? <p class="note" role="alert">{t("No operation is called {name}.", { name: rest[0] })}</p> : <ReferencePage document={all} operations={operations} />)}
        </main>
      </div>
    </div>
  );
}

/** Brings the place that the address names into view once the page is there. */
function useAnchor(page: string, at: string | null) {
  useEffect(() => {
    if (!at) return;
    let left = 40;
    const find = () => {
      const node = document.getElementById(at);
      if (node) node.scrollIntoView();
      else if (left-- > 0) timer = setTimeout(find, 50);
    };
    let timer = setTimeout(find);
    return () => clearTimeout(timer);
  }, [page, at]);
}

function GuidePage({ path }: { path: string }) {
  const { given, error } = usePromise(() => guide(path), [path]);
  const tokens = useMemo(() => (given === undefined ? [] : tokensOf(given)), [given]);
  const leads = useMemo(() => leadsFrom(path), [path]);
  useEffect(() => {
    const title = tokens.find((one) => one.type === "heading");
    document.title = `${title && "text" in title ? title.text : t("Documentation")} · lossmeter`;
  }, [tokens]);
  if (error) return <Failure error={error} />;
  return <div aria-busy={given === undefined} data-page={given === undefined ? "" : path}><Markdown tokens={tokens} leads={leads} lang={languageOf(path)} /></div>;
}

function Guides({ guides, here, at: place }: { guides: (Guide & { lang?: string })[]; here: string; at?: string }) {
  return <ul>{guides.map(({ path, title, at, lang = at ? undefined : languageOf(path) }) => <li key={toGuide(path, at)}><a lang={lang} href={toGuide(path, at)} aria-current={path === here && at === place ? "page" : undefined}>{title}</a></li>)}</ul>;
}

function GuideList({ group, here }: { group: Group; here: string }) {
  return <section><h2>{t(group.name)}</h2><Guides guides={group.guides} here={here} /></section>;
}

function Folded({ title, open, children }: { title: string; open: boolean; children: ComponentChildren }) {
  return <details class="folded" open={open}><summary>{title}</summary>{children}</details>;
}

const short = (one: Operation) => <><span class={`method ${one.method.toLowerCase()}`}>{one.method}</span> {one.path.replace(/^\/v[12]/, "") || "/"}</>;
const to = (one: Operation) => href(["docs", "api", one.operationId]);

function Reference({ document, operations, current, shown }: { document?: Document; operations: Operation[]; current: string; shown: boolean }) {
  if (!document) return null;
  return (
    <section>
      <h2>{t("API reference")}</h2>
      <ul><li><a href="#/docs/api" aria-current={shown && !current ? "page" : undefined}>{t("All operations")}</a></li><li><a href="#/docs/errors" aria-current={current === "errors" ? "page" : undefined}>{t("Errors")}</a></li></ul>
      {document.tags.map(({ name }) => {
        const mine = operations.filter((one) => one.tags.includes(name) && !lossOf(one));
        const losses = operations.filter((one) => one.tags.includes(name) && lossOf(one));
        return (
          <Folded key={name} title={name} open={[...mine, ...losses].some((one) => one.operationId === current)}>
            <ul>{[...mine, ...losses].map((one) => <li key={one.operationId}><a href={to(one)} title={one.summary} aria-current={one.operationId === current ? "page" : undefined}>{short(one)}</a></li>)}</ul>
          </Folded>
        );
      })}
    </section>
  );
}

function ReferencePage({ document: all, operations }: { document: Document; operations: Operation[] }) {
  useEffect(() => {
    document.title = `${t("API reference")} · lossmeter`;
  }, []);
  return (
    <>
      <header class="title"><h1>{t("API reference")}</h1><p class="kind">{all.info.title} {all.info.version} · <a href="openapi.json">openapi.json</a></p></header>
      <p>{t("Each operation has its parameters, body and answers, the request in five languages, and a form that sends it.")}</p>
      {all.tags.map(({ name, description }, i) => {
        const mine = operations.filter((one) => one.tags.includes(name) && !lossOf(one));
        const losses = operations.filter((one) => one.tags.includes(name) && lossOf(one));
        return (
          <section key={name} class="card" aria-labelledby={`tag-${i}`}>
            <h2 class="tag" id={`tag-${i}`} lang="en">{name}</h2>
            <p class="hint" lang="en">{description}</p>
            <ul class="operations">{mine.map((one) => <li key={one.operationId}><a href={to(one)}>{short(one)}</a> <span class="kind" lang="en">{one.summary}</span></li>)}</ul>
            {losses.length > 0 && <details><summary>{t("One operation for each of {count} losses", { count: losses.length })}</summary><ul class="operations">{losses.map((one) => <li key={one.operationId}><a href={to(one)}>{short(one)}</a> <span class="kind" lang="en">{one.summary}</span></li>)}</ul></details>}
          </section>
        );
      })}
    </>
  );
}

async function everything(groups: Group[], metrics: Guide[], operations: Operation[]): Promise<Section[]> {
  const guides = await Promise.all([...groups.flatMap((group) => group.guides), { path: allMetrics, title: t("Metrics") }].map((one) => sectionsOf(one).catch((): Section[] => [])));
  return [
    ...operations.flatMap((one) => { const loss = lossOf(one); return loss ? [{ title: loss, part: t("Loss"), text: one.summary, href: href([loss]) }] : []; }),
    ...metrics.map((one) => ({ title: one.title, part: t("Metrics"), text: "", href: toGuide(one.path, one.at) })),
    ...guides.flat(),
    ...operations.map((one) => ({ title: `${one.method} ${one.path}`, part: t("API reference"), text: `${one.operationId} ${one.summary} ${one.description ?? ""}`, href: to(one) })),
  ];
}

function score({ title, part, text }: Section, words: string[]): number {
  const [high, middle, low] = [title, part, text].map((one) => one.toLowerCase()) as [string, string, string];
  let sum = 0;
  for (const word of words) {
    const points = high === word ? 12 : high.includes(word) ? 6 : middle.includes(word) ? 4 : low.includes(word) ? 1 : 0;
    if (!points) return 0;
    sum += points;
  }
  return sum - Math.min(0.9, low.length / 1e4);
}

function Results({ search, groups, metrics, operations }: { search: string; groups: Group[]; metrics: Guide[]; operations: Operation[] }) {
  const { given } = usePromise(() => everything(groups, metrics, operations), [groups, metrics, operations]);
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const results = (given ?? []).map((one) => ({ one, points: score(one, words) })).filter(({ points }) => points > 0).sort((a, b) => b.points - a.points).slice(0, FOUND);
  return (
    <div class="found" aria-busy={!given}>
      <p class="hint" role="status">{given ? (results.length ? "" : t("Nothing is found.")) : "…"}</p>
      <ul>{results.map(({ one }) => <li key={one.href + one.part}><a href={one.href}>{one.title}{one.part && <span class="kind"> {one.part}</span>}<span class="snippet">{snippet(one.text, words[0] ?? "")}</span></a></li>)}</ul>
    </div>
  );
}

function snippet(text: string, word: string): string {
  const at = text.toLowerCase().indexOf(word);
  const from = Math.max(0, at - 40);
  return `${from > 0 ? "…" : ""}${text.slice(from, from + 110).trim()}${text.length > from + 110 ? "…" : ""}`;
}
