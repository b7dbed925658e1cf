// One request as a command or a program; a long body comes from a file that can be saved beside it.
import { hasKey } from "./service";

export const LANGUAGES = ["curl", "Python", "JavaScript", "Java", "Go"] as const;
export type Target = (typeof LANGUAGES)[number];
const LONG = 4000;
export const FILE = "request.json";
export const isLong = (body: string) => body.length > LONG;

export function program(target: Target, url: string, body: string): string {
  const long = isLong(body);
  const key = hasKey();
  switch (target) {
    case "curl":
      return `curl ${url} \\\n${key ? "  -H \"Authorization: Bearer $LOSSMETER_API_KEY\" \\\n" : ""}  -H 'Content-Type: application/json' \\\n  ${long ? `--data-binary @${FILE}` : `-d '${body.replaceAll("'", "'\\''")}'`}`;
    case "Python":
      return `import ${key ? "os\nimport " : ""}httpx\n\n${long ? `body = open("${FILE}", "rb").read()` : `body = ${python(body)}`}
answer = httpx.post(
    "${url}",
    content=body,
    headers={"Content-Type": "application/json"${key ? ", \"Authorization\": f\"Bearer {os.environ['LOSSMETER_API_KEY']}\"" : ""}},
    timeout=60,
)
answer.raise_for_status()
print(answer.json())`;
    case "JavaScript":
      return `${long ? "import { readFile } from \"node:fs/promises\";\n\n" : ""}const body = ${long ? `await readFile("${FILE}", "utf8")` : JSON.stringify(body)};
const answer = await fetch("${url}", {
  method: "POST",
  headers: { "Content-Type": "application/json"${key ? ", Authorization: `Bearer ${process.env.LOSSMETER_API_KEY}`" : ""} },
  body,
});
if (!answer.ok) throw new Error(await answer.text());
console.log(await answer.json());`;
    case "Java":
      return `import java.net.URI;
import java.net.http.*;
import java.nio.file.Path;

class Evaluate {
    public static void main(String[] args) throws Exception {
        var body = ${long ? `HttpRequest.BodyPublishers.ofFile(Path.of("${FILE}"))` : `HttpRequest.BodyPublishers.ofString(${JSON.stringify(body)})`};
        var request = HttpRequest.newBuilder(URI.create("${url}"))
            .header("Content-Type", "application/json")${key ? "\n            .header(\"Authorization\", \"Bearer \" + System.getenv(\"LOSSMETER_API_KEY\"))" : ""}
            .POST(body)
            .build();
        var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) throw new RuntimeException(answer.body());
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
	${long || key ? "\"os\"" : ""}
	${long ? "" : "\"strings\""}
)

func main() {
	${long ? `body, err := os.Open("${FILE}")\n	if err != nil {\n		log.Fatal(err)\n	}` : `body := strings.NewReader(${JSON.stringify(body)})`}
	request, err := http.NewRequest("POST", "${url}", body)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
${key ? "	request.Header.Set(\"Authorization\", \"Bearer \"+os.Getenv(\"LOSSMETER_API_KEY\"))\n" : ""}	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		log.Fatal(answer.Status, string(text), err)
	}
	fmt.Println(string(text))
}`.replace(/\n\t\n/g, "\n").replace(/\n\t\n/g, "\n");
  }
}

/** JSON text as a literal of Python: a string that no quote ends. */
const python = (body: string) => JSON.stringify(body);
