// What the service warns of, each with what to do about it where it says so.
import { Exact } from "../refusal";
import type { Warned } from "../service";
import { gap, language, t } from "../strings";
import { adviceOf, valueOf } from "../told";

export function Warnings({ label, warnings }: { label: string; warnings: Warned[] }) {
  if (!warnings.length) return null;
  return <ul class="warnings" aria-label={label}>{warnings.map((one) => <li key={one.message}><Warning given={one} /></li>)}</ul>;
}

function Warning({ given }: { given: Warned }) {
  const advice = adviceOf(given);
  const remedy = advice?.remedy ?? given.remedy;
  return (
    <>
      {advice ? advice.message : <>{language === "zh" && given.value !== null && valueOf(given)}<Exact text={given.message} /></>}
      {remedy && <strong class="remedy">{t("What to do:")}{gap}{advice ? remedy : <Exact text={remedy} />}</strong>}
    </>
  );
}
