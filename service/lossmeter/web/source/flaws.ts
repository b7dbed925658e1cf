// What is wrong with the fields of a form, as the service says it.
import type { Flaw, Refused } from "./service";

export type Told = Pick<Flaw, "pointer" | "message">;

/** The places that a request was refused for; one without a place where the service names none. */
export const flawsOf = ({ problem, message }: Refused): Told[] => (problem.errors.length ? problem.errors : [{ pointer: "", message }]);

/** What is wrong with a field, and with all that has none of these fields. */
export function byField(flaws: Told[], fields: string[]) {
  const fieldOf = ({ pointer }: Told) => pointer.split("/")[1] ?? "";
  const joined = (some: Told[]) => some.map((one) => one.message).join(" ");
  return {
    told: (field: string) => joined(flaws.filter((one) => fieldOf(one) === field)),
    rest: joined(flaws.filter((one) => !fields.includes(fieldOf(one)))),
  };
}
