// The guides as the service keeps them, in Markdown; what is among them stands in their own index.
import type { Token, Tokens } from "marked";
import { href as place } from "../address";
import { address, read } from "../service";
import { language, type Text } from "../strings";
import { type Leads, plain, slug, tokensOf } from "./markdown";

export interface Guide {
  /** Its file, from the folder of the guides. */
  path: string;
  title: string;
  /** The place in it, where several guides are one file. */
  at?: string;
}
export interface Group {
  name: Text;
  guides: Guide[];
  folded?: boolean;
}

export const INDEX = "index.md";
const METRICS = "metrics/index.md";
/** All metrics in Chinese, on one page. */
const CHINESE_METRICS = "chinese/metrics.md";
export const allMetrics = language === "zh" ? CHINESE_METRICS : METRICS;
const FOLDER = "static/guides/";
const kept = new Map<string, Promise<string>>();

/** The language in which a guide is written. */
export const languageOf = (path: string) => (path.startsWith("chinese") ? "zh" : "en");

/** The text of a guide, fetched once. Throws Refused. */
export function guide(path: string): Promise<string> {
  let promise = kept.get(path);
  if (!promise) {
    promise = read(`${FOLDER}${path}`);
    kept.set(path, promise);
    promise.catch(() => kept.delete(path));
  }
  return promise;
}

/** A path beside that of a page: `../` is understood; null outside the folder. */
export function beside(page: string, path: string): string | null {
  const parts = page.split("/").slice(0, -1);
  for (const part of path.split("/")) {
    if (part === "..") {
      if (!parts.length) return null;
      parts.pop();
    } else if (part !== "." && part !== "") parts.push(part);
  }
  return parts.join("/");
}

export const toGuide = (path: string, at?: string) => place(["docs", "guides", ...path.split("/")], at ? new URLSearchParams({ at }) : undefined);

/** Where the links of a page lead: other guides and losses to their pages here, other files of the folder to themselves. */
export function leadsFrom(page: string): Leads {
  return (href) => {
    if (/^https?:/.test(href)) return href;
    if (href.startsWith("#")) return toGuide(page, href.slice(1));
    const [file = "", at] = href.split("#", 2);
    if (file.endsWith("openapi/openapi.json")) return address("openapi.json");
    const path = beside(page, file);
    if (path === null) return null;
    const loss = /^losses\/(\w+)\.md$/.exec(path)?.[1];
    if (loss && loss !== "index") return place([loss]);
    return path.endsWith(".md") ? toGuide(path, at) : address(`${FOLDER}${path}`);
  };
}

const GROUPS: [Text, (path: string, section: string) => boolean][] = [
  ["Tutorials", (path) => path === "tour.md" || path.startsWith("tutorials/")],
  ["Design decisions", (path) => path.startsWith("decisions/")],
  ["How it is made and tested", (_, section) => section === "Trusting it"],
  ["Guides", () => true],
];
const ORDER: Text[] = ["Tutorials", "Guides", "How it is made and tested", "Design decisions"];

/** The guides in their groups, as the index lists them. */
export async function contents(): Promise<Group[]> {
  const groups = new Map<Text, Map<string, Guide>>(ORDER.map((name) => [name, new Map()]));
  let section = "";
  for (const token of tokensOf(await guide(INDEX))) {
    if (token.type === "heading") section = plain((token as Tokens.Heading).tokens);
    for (const { href, tokens } of linksIn(token)) {
      const path = beside(INDEX, href.split("#")[0] ?? "");
      // The lists of all losses and metrics in Chinese are led to by the page before them.
      if (!path?.endsWith(".md") || path.startsWith("chinese/")) continue;
      const name = GROUPS.find(([, holds]) => holds(path, section))?.[0] as Text;
      const title = plain(tokens);
      if (!groups.get(name)?.has(path)) groups.get(name)?.set(path, { path, title: title.charAt(0).toUpperCase() + title.slice(1) });
    }
  }
  return [...groups].map(([name, guides]) => ({ name, guides: [...guides.values()], folded: name === "Design decisions" })).filter(({ guides }) => guides.length);
}

/** The metrics, as their own index lists them. */
export async function metricPages(): Promise<Guide[]> {
  const links = tokensOf(await guide(METRICS)).flatMap(linksIn);
  const found = links.map(({ href, tokens }) => ({ path: beside(METRICS, href.split("#")[0] ?? "") ?? "", title: plain(tokens) }));
  const pages = [...new Map(found.filter(({ path }) => /^metrics\/\w+\.md$/.test(path) && path !== METRICS).map((one) => [one.path, one])).values()];
  return language === "zh" ? pages.map(({ title }) => ({ path: CHINESE_METRICS, title, at: title })) : pages;
}

function linksIn(token: Token): Tokens.Link[] {
  if (token.type === "link") return [token as Tokens.Link];
  if (token.type === "list") return (token as Tokens.List).items.flatMap((item) => item.tokens.flatMap(linksIn));
  if (token.type === "table") return (token as Tokens.Table).rows.flat().flatMap((cell) => cell.tokens.flatMap(linksIn));
  return "tokens" in token && token.tokens ? token.tokens.flatMap(linksIn) : [];
}

export interface Section {
  title: string;
  part: string;
  text: string;
  href: string;
}

/** The sections of a guide, each with what it says. */
export async function sectionsOf({ path, title }: Guide): Promise<Section[]> {
  const sections: Section[] = [{ title, part: "", text: "", href: toGuide(path) }];
  for (const token of tokensOf(await guide(path))) {
    if (token.type === "heading" && (token as Tokens.Heading).depth > 1) {
      const part = plain((token as Tokens.Heading).tokens);
      sections.push({ title, part, text: "", href: toGuide(path, slug(part)) });
    } else if (token.type !== "html" && token.type !== "heading") (sections.at(-1) as Section).text += ` ${wordsOf(token)}`;
  }
  return sections;
}

function wordsOf(token: Token): string {
  if (token.type === "list") return (token as Tokens.List).items.map((item) => plain(item.tokens)).join(" ");
  if (token.type === "table") return [(token as Tokens.Table).header, ...(token as Tokens.Table).rows].flat().map((cell) => plain(cell.tokens)).join(" ");
  return "tokens" in token && token.tokens ? plain(token.tokens) : ((token as Tokens.Code).text ?? "");
}
