// A report as one file that anybody can open: the page that the service keeps for it, with the figures put in.
import { address } from "../service";
import { t } from "../strings";
import type { Report } from "./types";

const FIGURES = "@report@";
const TEXT = "@text@";

export async function reportFile(report: Report): Promise<string> {
  const page = await (await fetch(address("static/report/report.html"))).text();
  const [before = "", after = ""] = page.replace(TEXT, t("Drawing the figures needs JavaScript.")).split(FIGURES);
  // Inside a script element only "<" can mean anything to a browser.
  return before + JSON.stringify(report).replaceAll("<", "\\u003c") + after;
}
