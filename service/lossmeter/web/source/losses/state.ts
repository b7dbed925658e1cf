// What the explorer shows, as it stands in the address: parameters by name, other losses as `with=focal(gamma=5)`.
import type { Json, Loss } from "../service";
import type { Axis, Profile, Settings } from "./profile";

export interface View {
  axis: string;
  parameters: Record<string, Json>;
  settings: Settings;
  others: { name: string; parameters: Record<string, Json> }[];
  at: number | null;
}

const SET = "set.";

function valueOf(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

/** `focal(gamma=5,label_smoothing=0.1)` as name and parameters. */
export function parseCall(text: string): { name: string; parameters: Record<string, Json> } {
  const [, name = text, inside = ""] = /^([^(]+)\((.*)\)$/.exec(text) ?? [];
  const parts = inside.split(/,(?![^[]*\])/).filter(Boolean).map((part) => part.split("=", 2) as [string, string]);
  return { name, parameters: Object.fromEntries(parts.map(([key, value]) => [key.trim(), valueOf(value ?? "")])) };
}

export function writeCall(name: string, parameters: Record<string, Json>): string {
  const inside = Object.entries(parameters).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return inside.length ? `${name}(${inside.join(",")})` : name;
}

export function viewOf(query: URLSearchParams, loss: Loss, profile: Profile): View {
  const known = new Map(loss.parameters.map((one) => [one.name, one]));
  const parameters: Record<string, Json> = {};
  const settings = Object.fromEntries(profile.settings.map((one) => [one.name, one.initial]));
  for (const [name, text] of query) {
    const own = name.startsWith(SET) ? name.slice(SET.length) : "";
    if (known.has(name)) parameters[name] = valueOf(text);
    else if (own in settings && Number.isFinite(Number(text))) settings[own] = Number(text);
  }
  const axis = profile.axes.find((one) => one.id === query.get("axis"))?.id ?? profile.axes[0]?.id ?? "";
  const at = query.get("at");
  return { axis, parameters, settings, others: query.getAll("with").slice(0, 5).map(parseCall), at: at !== null && Number.isFinite(Number(at)) ? Number(at) : null };
}

export function queryOf(view: View, loss: Loss, profile: Profile): URLSearchParams {
  const query = new URLSearchParams();
  if (view.axis !== profile.axes[0]?.id) query.set("axis", view.axis);
  for (const { name, default: start } of loss.parameters) {
    const value = view.parameters[name];
    if (value !== undefined && JSON.stringify(value) !== JSON.stringify(start)) query.set(name, typeof value === "string" ? value : JSON.stringify(value));
  }
  for (const { name, initial } of profile.settings) if (view.settings[name] !== initial) query.set(SET + name, String(view.settings[name]));
  for (const one of view.others) query.append("with", writeCall(one.name, one.parameters));
  if (view.at !== null) query.set("at", String(Number(view.at.toPrecision(4))));
  return query;
}

/** Where a view of a loss is found again. */
export const axisOf = (view: View, profile: Profile): Axis => profile.axes.find((one) => one.id === view.axis) ?? (profile.axes[0] as Axis);
