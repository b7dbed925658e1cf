// Descriptions of the OpenAPI document, which are Markdown, in English.
import { useMemo } from "preact/hooks";
import { leadsFrom } from "./guides";
import { Markdown, tokensOf } from "./markdown";

const leads = leadsFrom("index.md");

export function Description({ text }: { text: string }) {
  const tokens = useMemo(() => tokensOf(text), [text]);
  return <Markdown lang="en" tokens={tokens} leads={(href) => (href.startsWith("./#/") ? href.slice(2) : leads(href))} />;
}
