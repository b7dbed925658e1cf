// Pages of Markdown as elements of the page: their text is set as text, and HTML in them is left out.
import { Marked, type Token, type Tokens } from "marked";
import type { ComponentChildren } from "preact";
import { Code } from "../controls";
import { Formula } from "../prose";

interface Math extends Tokens.Generic {
  type: "math";
  latex: string;
  display: boolean;
}
/** What a link of a page leads to here; null where it leads nowhere. */
export type Leads = (href: string) => string | null;

const marked = new Marked({
  gfm: true,
  extensions: [
    {
      name: "math",
      level: "inline",
      start: (text) => text.indexOf("$"),
      tokenizer(text) {
        const [raw, display, inline] = /^\$\$([^$]+)\$\$/.exec(text) ?? /^(?:\$`([^`$]+)`\$|\$(?!\s)([^$\n]*[^$\s])\$(?!\w))/.exec(text) ?? [];
        if (raw === undefined) return undefined;
        return { type: "math", raw, latex: (display ?? inline ?? "").trim(), display: raw.startsWith("$$") };
      },
    },
  ],
});

export const tokensOf = (text: string): Token[] => marked.lexer(text);

/** The name of a heading in an address, as GitHub makes it. */
export const slug = (text: string) => text.toLowerCase().replace(/<[^>]*>/g, "").replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s/g, "-");

/** A text in one line: between Chinese characters a line break is no space. */
const joined = (text: string) => text.replace(/(?<=[\p{Script=Han}，。、；：）”])\n(?=[\p{Script=Han}（“])/gu, "");

export function plain(tokens: Token[] | undefined): string {
  return (tokens ?? []).map((one) => ("tokens" in one && one.tokens ? plain(one.tokens) : one.type === "html" ? "" : one.type === "br" ? " " : ((one as Tokens.Text).text ?? (one as Math).latex ?? ""))).join("");
}

export function Markdown({ tokens, leads, lang }: { tokens: Token[]; leads: Leads; lang?: string }) {
  return <div class="markdown" lang={lang}>{tokens.map((one, i) => <Block key={i} token={one} leads={leads} />)}</div>;
}

function Block({ token, leads }: { token: Token; leads: Leads }) {
  const inline = (tokens: Token[] | undefined) => <Inline tokens={tokens ?? []} leads={leads} />;
  switch (token.type) {
    case "heading": {
      const { depth, tokens } = token as Tokens.Heading;
      const id = slug(plain(tokens));
      return depth === 1 ? <h1 id={id}>{inline(tokens)}</h1> : depth === 2 ? <h2 id={id}>{inline(tokens)}</h2> : <h3 id={id}>{inline(tokens)}</h3>;
    }
    case "paragraph": {
      const { tokens } = token as Tokens.Paragraph;
      const [only] = tokens;
      if (tokens.length === 1 && only?.type === "math" && (only as Math).display) return <div class="scroll" tabIndex={0}><Formula latex={(only as Math).latex} display /></div>;
      return <p>{inline(tokens)}</p>;
    }
    case "text":
      return <>{inline((token as Tokens.Text).tokens ?? [token])}</>;
    case "code": {
      const { lang, text } = token as Tokens.Code;
      return lang === "math" ? <div class="scroll" tabIndex={0}><Formula latex={text} display /></div> : <Code text={text} />;
    }
    case "list": {
      const { ordered, items, start } = token as Tokens.List;
      const all = items.map((item, i) => <li key={i}>{item.tokens.map((one, j) => <Block key={j} token={one} leads={leads} />)}</li>);
      return ordered ? <ol start={Number(start) || 1}>{all}</ol> : <ul>{all}</ul>;
    }
    case "blockquote":
      return <blockquote>{(token as Tokens.Blockquote).tokens.map((one, i) => <Block key={i} token={one} leads={leads} />)}</blockquote>;
    case "table": {
      const { header, rows } = token as Tokens.Table;
      return (
        <div class="scroll" tabIndex={0}>
          <table class="figures">
            <thead><tr>{header.map((cell, i) => (cell.text ? <th key={i} scope="col">{inline(cell.tokens)}</th> : <td key={i} />))}</tr></thead>
            <tbody>{rows.map((row, i) => <tr key={i}>{row.map((cell, j) => <td key={j}>{inline(cell.tokens)}</td>)}</tr>)}</tbody>
          </table>
        </div>
      );
    }
    case "hr":
      return <hr />;
    default:
      return null;
  }
}

function Inline({ tokens, leads }: { tokens: Token[]; leads: Leads }) {
  return <>{tokens.map((one, i) => <Piece key={i} token={one} leads={leads} />)}</>;
}

function Piece({ token, leads }: { token: Token; leads: Leads }): ComponentChildren {
  const inside = () => <Inline tokens={("tokens" in token && token.tokens) || []} leads={leads} />;
  switch (token.type) {
    case "strong":
      return <strong>{inside()}</strong>;
    case "em":
      return <em>{inside()}</em>;
    case "del":
      return <del>{inside()}</del>;
    case "codespan":
      return <code>{(token as Tokens.Codespan).text}</code>;
    case "br":
      return <br />;
    case "math":
      return <Formula latex={(token as Math).latex} display={(token as Math).display} />;
    case "link": {
      const href = leads((token as Tokens.Link).href);
      return href === null ? <>{inside()}</> : <a href={href} rel="noreferrer">{inside()}</a>;
    }
    case "image": {
      const { href, text } = token as Tokens.Image;
      const source = leads(href);
      return source === null ? <>{text}</> : <img src={source} alt={text} loading="lazy" />;
    }
    case "html":
      return null;
    default:
      return "tokens" in token && token.tokens ? inside() : joined((token as Tokens.Text).text);
  }
}
