// What is asked of the data, as the address keeps it: in the words with which the service takes a file. The data are not in it.
import type { PREDICTIONS_ARE, Setup, Task, Use } from "./proposal";
import type { Wishes } from "./request";
import type { Table } from "./table";

const COLUMNS: [Use, string][] = [["prediction", "predictions"], ["label", "labels"], ["slice", "slice"], ["id", "sample_ids"], ["weight", "sample_weight"], ["group", "groups"]];
const LISTS = [["loss", "losses"], ["metric", "metrics"], ["gate", "gates"]] as const;
const CONFIDENCE = 0.95;

export function written(table: Table, setup: Setup, wishes: Wishes, example?: string): URLSearchParams {
  return new URLSearchParams([
    ...(example ? [["example", example]] : []),
    ["task", setup.task], ["predictions_are", setup.predictionsAre],
    ...COLUMNS.flatMap(([use, word]) => table.columns.flatMap(({ name }, i) => (setup.uses[i] === use ? [[word, name]] : []))),
    ...LISTS.flatMap(([word, list]) => wishes[list].map((one) => [word, one])),
    ...(wishes.confidence === CONFIDENCE ? [] : [["confidence", String(wishes.confidence)]]),
  ]);
}

/** What an address asks for; of what it does not say, nothing. */
export function wished(query: URLSearchParams): Wishes {
  const confidence = Number(query.get("confidence"));
  return { losses: query.getAll("loss"), metrics: query.getAll("metric"), gates: query.getAll("gate"), confidence: confidence > 0 && confidence < 1 ? confidence : CONFIDENCE };
}

/** A proposal as an address says otherwise, where it is about these columns. */
export function asSaid(query: URLSearchParams, table: Table, proposed: Setup, kinds: typeof PREDICTIONS_ARE): Setup {
  const names = COLUMNS.flatMap(([, word]) => query.getAll(word));
  const about = names.length > 0 && names.every((name) => table.columns.some((column) => column.name === name));
  const uses = about ? table.columns.map(({ name }) => COLUMNS.find(([, word]) => query.getAll(word).includes(name))?.[0] ?? "") : proposed.uses;
  const [task, are] = [query.get("task") ?? "", query.get("predictions_are") ?? ""];
  return task in kinds && kinds[task as Task].includes(are) ? { uses, task: task as Task, predictionsAre: are } : { ...proposed, uses };
}
