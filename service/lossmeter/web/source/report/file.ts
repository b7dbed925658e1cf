// A report as one file that anybody can open: the page that the service keeps for it, with the figures put in.
import { address } from "../service";
import type { Report } from "./types";

const PLACE = "@report@";

export async function reportFile(report: Report): Promise<string> {
  const page = await (await fetch(address("static/report/report.html"))).text();
  const [before = "", after = ""] = page.split(PLACE);
  // Inside a script element only "<" can mean anything to a browser.
  return before + JSON.stringify(report).replaceAll("<", "\\u003c") + after;
}
