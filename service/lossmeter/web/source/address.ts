// Where the page stands: the path and the parameters behind the # of its address, so that an address can be passed on.
import { useEffect, useState } from "preact/hooks";

export interface Place {
  path: string[];
  query: URLSearchParams;
}

export function placeOf(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { path: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function href(path: string[], query?: URLSearchParams): string {
  const text = query?.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** The place, kept up with. */
export function usePlace(): Place {
  const [place, set] = useState(() => placeOf(location.hash));
  useEffect(() => {
    const changed = () => set(placeOf(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return place;
}

let pending = 0;

/** Writes state into the address without a step in the history, at most a few times a second: browsers allow no more. */
export function remember(path: string[], query: URLSearchParams): void {
  clearTimeout(pending);
  pending = setTimeout(() => {
    if (placeOf(location.hash).path.join("/") === path.join("/")) history.replaceState(null, "", href(path, query));
  }, 200);
}
