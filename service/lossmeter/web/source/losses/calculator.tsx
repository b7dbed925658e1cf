// One loss by hand: any tensors, any parameters, its value and gradients, and the same as a command.
import { useRef, useState } from "preact/hooks";
import { Listing } from "../controls";
import { SameRequest } from "../same";
import { type Answer, call, type Json, type Loss, type LossAnswer, type Problem, Refused } from "../service";
import { gap, t } from "../strings";
import { Exact, Refusal, Wrong } from "../refusal";
import { Success } from "./answer";
import { type Fault, type Field, meaningOf, NotJson, RequestForm, ownFields, useDraft, written } from "./form";

export function Calculator({ loss }: { loss: Loss }) {
  const [draft, setDraft] = useDraft(loss);
  const [fields, setFields] = useState<Field[]>(() => ownFields(loss));
  const [errors, setErrors] = useState<Fault[]>([]);
  const [outcome, setOutcome] = useState<{ answer?: Answer<LossAnswer>; problem?: Problem; number: number }>();
  const [busy, setBusy] = useState(false);
  const latest = useRef(0);
  const path = `v1/losses/${loss.name}`;

  let whole: string | null = null;
  try {
    whole = written(draft, fields);
  } catch {
    // What is not JSON yet is said when it is sent.
  }
  async function submit() {
    const number = ++latest.current;
    let body: string;
    try {
      body = written(draft, fields);
    } catch (error) {
      const { field, message } = error as NotJson;
      setErrors([{ pointer: `/${field}`, said: <>{t("not JSON:")}{gap}<Exact text={message} /></> }]);
      setOutcome((before) => ({ ...before, number }));
      return;
    }
    setBusy(true);
    try {
      const answer = await call<LossAnswer>("POST", path, body);
      if (number !== latest.current) return; // a later one is under way
      setErrors([]);
      setOutcome({ answer, number });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (number !== latest.current) return;
      const request = JSON.parse(body) as Json;
      setErrors(error.problem.errors.map((flaw) => ({ pointer: flaw.pointer, said: <Wrong flaw={flaw} request={request} expected={meaningOf(loss, flaw.pointer)} /> })));
      setOutcome({ problem: error.problem, number });
    } finally {
      setBusy(false);
    }
  }
  const given = outcome?.answer?.given ?? outcome?.problem;
  return (
    <section class="workbench" aria-label={t("By hand")}>
      <h2>{t("By hand")}</h2>
      <div class="bench">
        <RequestForm loss={loss} draft={draft} onDraft={setDraft} onReset={(next) => { setDraft(next); setErrors([]); }} errors={errors} busy={busy} onSubmit={submit} onFields={setFields} />
        <div>
          <section class="answer" aria-live="polite" aria-label={t("Answer")} data-number={outcome?.number ?? 0}>
            {outcome?.answer ? <Success answer={outcome.answer.given} timing={outcome.answer.timing} /> : outcome?.problem ? <Refusal class="outcome refused" problem={outcome.problem}><p><Exact text={outcome.problem.detail} /></p></Refusal> : <p class="hint">{t("The answer will appear here.")}</p>}
            {given && <Listing title={t("As JSON")} text={JSON.stringify(given, null, 1).replace(/\n\s+(?=[-\d\]n])/g, " ")} />}
          </section>
          {whole && <SameRequest path={path} written={() => whole} open />}
        </div>
      </div>
    </section>
  );
}
