// The OpenAPI document of the service, as far as it is shown.
import { fetched, type Json } from "../service";

export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  title?: string;
  description?: string;
  enum?: Json[];
  const?: Json;
  default?: Json;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minItems?: number;
  maxItems?: number;
  minLength?: number;
  maxLength?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  additionalProperties?: boolean | Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
}
export interface Content {
  schema?: Schema;
  example?: Json;
  examples?: Record<string, { summary?: string; value: Json }>;
}
export interface Answer {
  $ref?: string;
  description?: string;
  content?: Record<string, Content>;
}
export interface Parameter {
  $ref?: string;
  name: string;
  in: "path" | "query" | "header";
  required?: boolean;
  description?: string;
  schema?: Schema;
  example?: Json;
}
export interface Operation {
  method: string;
  path: string;
  operationId: string;
  tags: string[];
  summary: string;
  description?: string;
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content: Record<string, Content> };
  responses: Record<string, Answer>;
  security?: Record<string, string[]>[];
}
export interface Document {
  info: { title: string; version: string; description: string };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; responses: Record<string, Answer>; parameters: Record<string, Parameter> };
}

export const document_ = () => fetched<Document>("openapi.json");

export function operationsOf({ paths }: Document): Operation[] {
  return Object.entries(paths).flatMap(([path, item]) => Object.entries(item).flatMap(([method, one]) => ("operationId" in one ? [{ ...one, method: method.toUpperCase(), path }] : [])));
}

/** The loss that an operation computes, and nothing else. */
export const lossOf = ({ method, path }: Operation) => (method === "POST" ? /^\/v1\/losses\/(\w+)$/.exec(path)?.[1] : undefined);

/** What a reference names; what stands beside the reference counts more. */
export function resolved<T extends { $ref?: string }>(document: Document, given: T): T {
  const [, , kind = "", name = ""] = given.$ref?.split("/") ?? [];
  if (!given.$ref) return given;
  const { $ref: _, ...beside } = given;
  const named = (document.components as Record<string, Record<string, unknown>>)[kind]?.[name] as T | undefined;
  return { ...(named ? resolved(document, named) : {}), ...beside } as T;
}

const bound = (word: string, value: number | undefined) => (value === undefined ? [] : [`${word} ${value}`]);

/** The type of a schema in a few words. */
export function typeOf(document: Document, given: Schema, depth = 0): string {
  const schema = resolved(document, given);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return depth > 3 ? "…" : [...new Set(choices.map((one) => typeOf(document, one, depth + 1)))].join(" | ");
  if (schema.allOf?.[0]) return typeOf(document, schema.allOf[0], depth + 1);
  const types = [schema.type ?? (schema.properties ? "object" : "any")].flat();
  const written = types.map((type) => (type === "array" ? `array of ${depth > 3 || !schema.items ? "any" : typeOf(document, schema.items, depth + 1)}` : type)).join(" | ");
  const bounds = [
    ...bound("≥", schema.minimum), ...bound(">", schema.exclusiveMinimum), ...bound("≤", schema.maximum), ...bound("<", schema.exclusiveMaximum),
    ...bound("at least", schema.minItems ?? schema.minLength), ...bound("at most", schema.maxItems ?? schema.maxLength),
  ];
  return bounds.length ? `${written} (${bounds.join(", ")})` : written;
}

/** The schema whose properties a value of this one has: behind references, and inside arrays. */
export function insideOf(document: Document, given: Schema, depth = 0): Schema | undefined {
  const schema = resolved(document, given);
  if (schema.properties) return schema;
  if (depth > 4) return undefined;
  if (schema.items) return insideOf(document, schema.items, depth + 1);
  if (typeof schema.additionalProperties === "object") return insideOf(document, schema.additionalProperties, depth + 1);
  const inside = [schema.anyOf, schema.oneOf, schema.allOf].flatMap((all) => all ?? []).flatMap((one) => insideOf(document, one, depth + 1) ?? []);
  return inside.length === 1 ? inside[0] : undefined;
}

/** The variants of a schema, where a value may be one of several kinds of object. */
export function variantsOf(document: Document, given: Schema): Schema[] {
  const schema = resolved(document, given);
  const all = schema.anyOf ?? schema.oneOf ?? (schema.items ? (resolved(document, schema.items).anyOf ?? resolved(document, schema.items).oneOf) : undefined);
  return all && all.length > 1 ? all.filter((one) => insideOf(document, one)) : [];
}

/** The first example of a body as text that a person can edit. */
export function exampleOf({ requestBody }: Operation): string | undefined {
  const content = requestBody?.content["application/json"];
  if (!content) return undefined;
  const value = content.example ?? Object.values(content.examples ?? {})[0]?.value;
  return laidOut(value ?? {});
}

/** JSON in lines: objects in several, arrays of numbers in one. */
export function laidOut(value: Json, indent = ""): string {
  const whole = JSON.stringify(value);
  if (whole.length + indent.length < 90 || typeof value !== "object" || value === null) return whole;
  const deeper = `${indent}  `;
  if (Array.isArray(value)) return value.every((one) => typeof one !== "object") ? whole : `[\n${value.map((one) => deeper + laidOut(one, deeper)).join(",\n")}\n${indent}]`;
  return `{\n${Object.entries(value).map(([name, one]) => `${deeper}${JSON.stringify(name)}: ${laidOut(one, deeper)}`).join(",\n")}\n${indent}}`;
}
