// Errors: what kind they are and where, in the language of the page, and the exact message of the service, which is English.
import type { ComponentChildren } from "preact";
import { type Flaw, type Json, type Problem, Refused } from "./service";
import { language } from "./strings";
import { flawOf, titleOf } from "./told";

/** A message as the service says it; beside Chinese it is marked as what it is. */
export const Exact = ({ text }: { text: string }) => (language === "zh" ? <span class="exact" lang="en">{text}</span> : <>{text}</>);

/** One place that is wrong. */
export function Wrong({ flaw, request, expected }: { flaw: Flaw; request: Json; expected?: string }) {
  return <>{language === "zh" && flawOf(flaw, request, expected)}<Exact text={flaw.message} /></>;
}

/** What is said in place of an answer: its title, and what follows it. */
export function Refusal({ problem, children, ...more }: { problem: Problem; children: ComponentChildren; class: string; role?: "alert" }) {
  return (
    <div {...more}>
      <p class="status">{problem.status || ""} {titleOf(problem)}</p>
      {children}
    </div>
  );
}

/** An error in one line. */
export function Failure({ error }: { error: Error }) {
  const problem = error instanceof Refused ? error.problem : undefined;
  return <p class="error" role="alert">{language === "zh" && problem && `${titleOf(problem)}。`}<Exact text={problem?.detail ?? error.message} /></p>;
}
