// What the service warns of, each with what to do about it where it says so.
import type { Warned } from "../service";
import { t } from "../strings";

export function Warnings({ label, warnings }: { label: string; warnings: Warned[] }) {
  if (!warnings.length) return null;
  return (
    <ul class="warnings" aria-label={label}>
      {warnings.map((one) => <li key={one.message}>{one.message}{one.remedy && <strong class="remedy">{t("What to do:")} {one.remedy}</strong>}</li>)}
    </ul>
  );
}
