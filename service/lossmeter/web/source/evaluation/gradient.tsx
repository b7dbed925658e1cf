// The gradient of a loss by the predictions as a map: where training would pull, and how hard; and what the service advises.
import { useEffect, useState } from "preact/hooks";
import { Select } from "../controls";
import { usePromise } from "../prose";
import { HeatMap } from "../losses/answer";
import { Warnings } from "../report/warnings";
import type { Report } from "../report/types";
import { call, type Loss, losses, type Tensor, type Warned } from "../service";
import { t } from "../strings";
import type { Request } from "./request";

/** Rows of a map of one number for each sample have so many of them. */
const LINE = 10;
const SHOWN = 20;
/** A larger table is not sent once more for its map. */
const MOST_SAMPLES = 20_000;

/** Whether a loss takes as this role what the predictions are; its meaning begins with that. */
const takes = (loss: Loss | undefined, role: string, are: string) => loss?.roles.find((one) => one.name === role)?.meaning.some((meaning) => meaning.startsWith(`${are}:`)) ?? false;

export function Gradient({ request, report }: { request: Request; report: Report }) {
  const [chosen, setChosen] = useState(0);
  const [gradient, setGradient] = useState<Tensor>();
  const { given: all } = usePromise(losses, []);
  const figure = report.losses[chosen] ?? report.losses[0];
  const small = report.samples <= MOST_SAMPLES;
  useEffect(() => {
    let current = true;
    if (!figure || !small) return;
    const { gates, ...plan } = request.plan;
    const asked = { ...plan, ...request.data, losses: [{ loss: figure.loss, ...figure.parameters }], metrics: [], replicates: 0, hardest: 0, gradients: ["predictions"] };
    call<{ objective: { gradients: Record<string, Tensor> } }>("POST", "v1/evaluate", JSON.stringify(asked)).then(
      ({ given }) => current && setGradient(given.objective.gradients.predictions), () => current && setGradient(undefined));
    return () => {
      current = false;
    };
  }, [request, figure]);
  if (!figure) return null;
  const loss = all?.find((one) => one.name === figure.loss);
  return (
    <>
      {loss && small && takes(loss, "predictions", String(request.plan.predictions_are)) && <Advice request={request} loss={loss} parameters={figure.parameters} />}
      {gradient && (
        <section class="card" aria-label={t("Gradient by the predictions")}>
          <h2>{t("Gradient by the predictions")}</h2>
          <p class="hint">{t("Where training would change the predictions, and how strongly: orange lowers them, blue raises them.")}</p>
          {report.losses.length > 1 && <div class="narrow"><Select label={t("Loss")} value={String(chosen)} options={report.losses.map((one, i): [string, string] => [String(i), one.loss])} onValue={(value) => setChosen(Number(value))} /></div>}
          <HeatMap title={figure.loss} tensor={inLines(gradient)} rows={SHOWN} names={gradient.shape.length > 1 ? request.names : undefined} label={(row) => (gradient.shape.length > 1 ? String((request.data.sample_ids as unknown[])[row]) : `${row * LINE + 1}–${Math.min((row + 1) * LINE, gradient.data.length)}`)} />
        </section>
      )}
    </>
  );
}

/** One number for each sample is shown ten in a row. */
function inLines(tensor: Tensor): Tensor {
  return tensor.shape.length > 1 ? tensor : { ...tensor, shape: [Math.ceil(tensor.data.length / LINE), LINE] };
}

/** What the service says of these numbers as input of the loss, with what to do. */
function Advice({ request, loss, parameters }: { request: Request; loss: Loss; parameters: Request["plan"] }) {
  const [warnings, setWarnings] = useState<Warned[]>([]);
  useEffect(() => {
    let current = true;
    const { predictions, labels } = request.data;
    call<{ warnings: Warned[] }>("POST", `v1/losses/${loss.name}`, JSON.stringify({ ...parameters, predictions, labels })).then(
      ({ given }) => current && setWarnings(given.warnings.filter((one) => one.remedy)), () => current && setWarnings([]));
    return () => {
      current = false;
    };
  }, [request, loss]);
  return <Warnings label={t("Advice")} warnings={warnings} />;
}
