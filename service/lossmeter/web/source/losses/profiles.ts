// Curves of a loss: they follow from the roles that the catalogue declares, except where a name has a sketch of its own.
import type { Loss } from "../service";
import { batched } from "./batches";
import { elementwise } from "./elements";
import type { Profile } from "./profile";
import { byFamily, classes, named } from "./samples";

/** How a loss is drawn; null where nothing is known that moves it. */
export function profileOf(loss: Loss): Profile | null {
  return batched(loss) ?? named(loss) ?? elementwise(loss) ?? classes(loss) ?? byFamily(loss);
}
