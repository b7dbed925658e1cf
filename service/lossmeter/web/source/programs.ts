// One request as a command or a program; a long body comes from a file that can be saved beside it.
import { hasKey } from "./service";

export const LANGUAGES = ["curl", "Python", "JavaScript", "Java", "Go"] as const;
export type Target = (typeof LANGUAGES)[number];
const LONG = 4000;
export const FILE = "request.json";
export const isLong = (body: string) => body.length > LONG;

/** The request as a command or a program; without a body where it has none. */
export function program(target: Target, method: string, url: string, body?: string): string {
  const long = body !== undefined && isLong(body);
  const key = hasKey();
  const content = body === undefined ? "" : body;
  switch (target) {
    case "curl": {
      const parts = [
        `curl ${method === (body === undefined ? "GET" : "POST") ? "" : `-X ${method} `}${/[?&{}]/.test(url) ? `'${url.replaceAll("'", "%27")}'` : url}`,
        ...(key ? ["-H \"Authorization: Bearer $LOSSMETER_API_KEY\""] : []),
        ...(body === undefined ? [] : ["-H 'Content-Type: application/json'", long ? `--data-binary @${FILE}` : `-d '${content.replaceAll("'", "'\\''")}'`]),
      ];
      return parts.join(" \\\n  ");
    }
    case "Python": {
      const headers = [...(body === undefined ? [] : ['"Content-Type": "application/json"']), ...(key ? ["\"Authorization\": f\"Bearer {os.environ['LOSSMETER_API_KEY']}\""] : [])];
      return `import ${key ? "os\nimport " : ""}httpx\n\n${body === undefined ? "" : long ? `body = open("${FILE}", "rb").read()\n` : `body = ${python(content)}\n`}answer = httpx.request(
    "${method}",
    ${python(url)},
${body === undefined ? "" : "    content=body,\n"}${headers.length ? `    headers={${headers.join(", ")}},\n` : ""}    timeout=60,
)
answer.raise_for_status()
print(${method === "DELETE" ? "answer.status_code" : "answer.json()"})`;
    }
    case "JavaScript": {
      const headers = [...(body === undefined ? [] : ['"Content-Type": "application/json"']), ...(key ? ["Authorization: `Bearer ${process.env.LOSSMETER_API_KEY}`"] : [])];
      return `${long ? "import { readFile } from \"node:fs/promises\";\n\n" : ""}${body === undefined ? "" : `const body = ${long ? `await readFile("${FILE}", "utf8")` : JSON.stringify(content)};\n`}const answer = await fetch(${JSON.stringify(url)}, {
  method: "${method}",
${headers.length ? `  headers: { ${headers.join(", ")} },\n` : ""}${body === undefined ? "" : "  body,\n"}});
if (!answer.ok) throw new Error(await answer.text());
console.log(await answer.${method === "DELETE" ? "text" : "json"}());`;
    }
    case "Java":
      return `import java.net.URI;
import java.net.http.*;${long ? "\nimport java.nio.file.Path;" : ""}

class Request {
    public static void main(String[] args) throws Exception {
        var body = ${body === undefined ? "HttpRequest.BodyPublishers.noBody()" : long ? `HttpRequest.BodyPublishers.ofFile(Path.of("${FILE}"))` : `HttpRequest.BodyPublishers.ofString(${JSON.stringify(content)})`};
        var request = HttpRequest.newBuilder(URI.create(${JSON.stringify(url)}))${body === undefined ? "" : "\n            .header(\"Content-Type\", \"application/json\")"}${key ? "\n            .header(\"Authorization\", \"Bearer \" + System.getenv(\"LOSSMETER_API_KEY\"))" : ""}
            .method("${method}", body)
            .build();
        var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() / 100 != 2) throw new RuntimeException(answer.body());
        System.out.println(answer.body());
    }
}`;
    case "Go":
      return `package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
${long || key ? "	\"os\"\n" : ""}${long || body === undefined ? "" : "	\"strings\"\n"})

func main() {
${body === undefined ? "" : long ? `	body, err := os.Open("${FILE}")\n	if err != nil {\n		log.Fatal(err)\n	}\n` : `	body := strings.NewReader(${JSON.stringify(content)})\n`}	request, err := http.NewRequest("${method}", ${JSON.stringify(url)}, ${body === undefined ? "nil" : "body"})
	if err != nil {
		log.Fatal(err)
	}
${body === undefined ? "" : "	request.Header.Set(\"Content-Type\", \"application/json\")\n"}${key ? "	request.Header.Set(\"Authorization\", \"Bearer \"+os.Getenv(\"LOSSMETER_API_KEY\"))\n" : ""}	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode/100 != 2 {
		log.Fatal(answer.Status, string(text), err)
	}
	fmt.Println(string(text))
}`;
  }
}

/** JSON text as a literal of Python: a string that no quote ends. */
const python = (body: string) => JSON.stringify(body);
