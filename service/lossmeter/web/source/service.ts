// The service behind the page: what it knows and what it answers. The key, where one is asked for, is kept until the tab is closed.
import { language, t } from "./strings";
import { titleOf } from "./told";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export interface Schema {
  type?: string | string[];
  enum?: Json[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  anyOf?: Schema[];
  default?: Json;
  description?: string;
  $ref?: string;
}
export interface Role {
  name: string;
  meaning: string[];
  shape: string[];
  required: boolean;
  differentiable: boolean;
  description: string;
}
export interface Parameter {
  name: string;
  json_schema: Schema;
  default: Json;
  description: string;
}
export interface Entry {
  name: string;
  aliases: string[];
  family: string;
  summary: string;
  explanation: string;
  formula: string;
  parameters: Parameter[];
  returns: string;
  use_when: string;
  avoid_when: string;
  source: string;
}
export interface Loss extends Entry {
  roles: Role[];
  tensor_parameters: Role[];
  reductions: string[];
  separable: boolean;
  elementwise: boolean;
  mean: string;
  examples: { request: Record<string, Json>; answer: { value: number } }[];
}
export interface Metric extends Entry {
  tasks: string[];
  usual_for: string[];
  predictions_are: Record<string, string[]>;
  kind: "scalar" | "per_class" | "matrix" | "curve";
  higher_is_better: boolean | null;
}
export interface Tensor {
  datatype: string;
  shape: number[];
  data: (number | null)[];
}
export interface Warned {
  code: string;
  message: string;
  pointer: string;
  index: number[] | null;
  value: string | null;
  evidence?: Record<string, number> | null;
  remedy: string | null;
}
export interface LossAnswer {
  loss: string;
  reduction: string;
  value?: number | null;
  values?: Tensor;
  sum: number | null;
  normalizer: number;
  count: number;
  gradients: Record<string, Tensor>;
  precision: string;
  device: string;
  warnings: Warned[];
}
/** One place that is wrong; `index` leads to an element, if the value is a tensor. */
export interface Flaw {
  pointer: string;
  message: string;
  index: number[] | null;
}
export interface Problem {
  status: number;
  code: string;
  title: string;
  detail: string;
  errors: Flaw[];
}
export interface Answer<T> {
  given: T;
  timing: string;
}

/** An answer that is none: what the service refuses, or that it is not there. Its message has a title in the language of the page. */
export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(language === "zh" ? `${titleOf(problem)}：${problem.detail}` : problem.detail);
  }
}

const KEY = "lossmeter.key";
let asked: (reason: string) => void = () => {};

/** Names who is told that the service asks for a key. */
export function onKeyWanted(listener: (reason: string) => void): void {
  asked = listener;
}

/** Asks for a key, as if the service had refused to go on without one. */
export const wantKey = (reason: string) => asked(reason);

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
/** The public part of the key in use, if it looks like one. */
export const keyId = () => /^lm_([a-z2-7]{12})_/.exec(sessionStorage.getItem(KEY) ?? "")?.[1];
export const giveKey = (key: string) => sessionStorage.setItem(KEY, key);
export const address = (path: string) => new URL(path, document.baseURI).href;

function headers(content?: string): Record<string, string> {
  const key = sessionStorage.getItem(KEY);
  return { "Accept-Language": language, ...(content ? { "Content-Type": content } : {}), ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

/** The answer as it comes, whatever its status; `body` is JSON text. */
export const exchanged = (method: string, path: string, body?: string) => fetch(address(path), { method, headers: headers(body === undefined ? undefined : "application/json"), body });

/** Calls the service; `body` is JSON text. Throws Refused. */
export async function call<T>(method: string, path: string, body?: string): Promise<Answer<T>> {
  const { text, timing } = await answered(method, path, body);
  return { given: (text ? JSON.parse(text) : null) as T, timing };
}

/** Reads what is text and not JSON. Throws Refused. */
export const read = async (path: string) => (await answered("GET", path)).text;

async function answered(method: string, path: string, body?: string): Promise<{ text: string; timing: string }> {
  let response: Response;
  try {
    response = await exchanged(method, path, body);
  } catch (error) {
    throw new Refused({ status: 0, code: "", title: t("No answer"), detail: `The service did not answer: ${(error as Error).message}.`, errors: [] });
  }
  const text = await response.text();
  if (response.ok) return { text, timing: response.headers.get("Server-Timing") ?? "" };
  const refused = new Refused(parsed(text, response));
  if (response.status === 401) asked(refused.message);
  throw refused;
}

function parsed(text: string, response: Response): Problem {
  const nothing = { status: response.status, code: "", title: response.statusText, detail: text.slice(0, 200), errors: [] };
  try {
    return { ...nothing, ...(JSON.parse(text) as Problem) };
  } catch {
    return nothing;
  }
}

const kept = new Map<string, Promise<unknown>>();

/** What does not change while the page is open, asked for once. */
export function fetched<T>(path: string): Promise<T> {
  let promise = kept.get(path) as Promise<T> | undefined;
  if (!promise) {
    promise = call<T>("GET", path).then((answer) => answer.given);
    kept.set(path, promise);
    promise.catch(() => kept.delete(path));
  }
  return promise;
}

export const losses = () => fetched<{ losses: Loss[] }>("v1/losses").then((given) => given.losses);
export const metrics = () => fetched<{ metrics: Metric[] }>("v1/metrics").then((given) => given.metrics);
