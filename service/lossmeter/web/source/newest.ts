// What the service answers to the newest wish: while a request is under way, those in between are dropped.
import { useLayoutEffect, useRef, useState } from "preact/hooks";

/** The last answer, and the wish (a text) that it answers. */
export function useNewest<T>(wish: string, ask: () => Promise<T>, start: T): { given: T; wish: string } {
  const [state, set] = useState({ given: start, wish: "" });
  const newest = useRef({ wish, ask });
  newest.current = { wish, ask };
  const busy = useRef(false);
  const gone = useRef(false);
  useLayoutEffect(() => {
    async function follow() {
      for (let done: string | null = null; done !== newest.current.wish && !gone.current; ) {
        const now = newest.current;
        const given = await now.ask();
        done = now.wish;
        if (!gone.current) set({ given, wish: done });
      }
    }
    if (busy.current) return;
    busy.current = true;
    follow().finally(() => (busy.current = false));
  }, [wish]);
  useLayoutEffect(() => {
    gone.current = false;
    return () => {
      gone.current = true;
    };
  }, []);
  return state;
}
