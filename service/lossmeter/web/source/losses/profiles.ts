// Curves of a loss: they follow from the roles that the catalogue declares, except where a name has a sketch of its own.
import type { Loss } from "../service";
import { elementwise } from "./elements";
import type { Profile } from "./profile";
import { byFamily, classes, named } from "./samples";

/** How a loss is drawn; null where a value depends on the whole batch, so that no curve of one sample exists. */
export function profileOf(loss: Loss): Profile | null {
  return named(loss) ?? elementwise(loss) ?? classes(loss) ?? byFamily(loss);
}
