// A loss with its gradient, an error that is handled, and an evaluation with a gate: the JDK (11 or newer) and nothing else.
//
//     java docs/examples/languages/FirstRequests.java http://127.0.0.1:8000
//
// The JDK reads no JSON, so answers are read here by regular expressions; a program would use its JSON library.

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Arrays;
import java.util.Locale;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

public class FirstRequests {
    private static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    /** What the service refuses, as application/problem+json. */
    static class Problem extends IOException {
        final String body;

        Problem(int status, String body) {
            super(status + ": " + text(body, "detail"));
            this.body = body;
        }
    }

    private static String post(String url, String body) throws IOException, InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
        HttpResponse<String> answer = CLIENT.send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() >= 400) {
            throw new Problem(answer.statusCode(), answer.body());
        }
        return answer.body();
    }

    private static String found(String json, String pattern) {
        var match = Pattern.compile(pattern).matcher(json);
        if (!match.find()) {
            throw new IllegalArgumentException(pattern + " is not in " + json);
        }
        return match.group(1);
    }

    private static String text(String json, String name) {
        return found(json, "\"" + name + "\":\"([^\"]*)\"");
    }

    private static String rounded(String numbers) {
        return Arrays.stream(numbers.split(","))
                .map(number -> String.format(Locale.ROOT, "%.4f", Double.parseDouble(number)))
                .collect(Collectors.joining(" "));
    }

    public static void main(String[] arguments) throws IOException, InterruptedException {
        String url = arguments.length > 0 ? arguments[0] : "http://127.0.0.1:8000";
        String losses = url + "/v1/losses/cross_entropy";

        // A loss and its gradient.
        String answer = post(losses,
                "{\"predictions\": [[2.0, -1.0, 0.3]], \"labels\": [0], \"gradients\": [\"predictions\"]}");
        System.out.println("loss " + rounded(found(answer, "\"value\":([^,]+)")));
        System.out.println("gradient " + rounded(found(answer, "\"data\":\\[([^\\]]+)\\]")));

        // A label that is no class.
        try {
            post(losses, "{\"predictions\": [[2.0, -1.0, 0.3]], \"labels\": [7]}");
        } catch (Problem problem) {
            System.out.println("refused " + text(problem.body, "pointer") + ": " + text(problem.body, "message"));
        }

        // An evaluation with a gate.
        String report = post(url + "/v1/evaluate", "{\"task\": \"multiclass\", \"predictions_are\": \"logits\","
                + " \"predictions\": [[2.0, -1.0, 0.3], [0.1, 1.5, -0.4], [-0.5, 0.2, 1.1], [1.2, 0.9, -1.0]],"
                + " \"labels\": [0, 1, 2, 1], \"metrics\": [{\"metric\": \"accuracy\"}],"
                + " \"gates\": [{\"metric\": \"accuracy\", \"minimum\": 0.7}]}");
        String accuracy = found(report, "\"metric\":\"accuracy\".*?\"value\":([^,]+)");
        boolean passed = report.contains("\"passed\":true,\"warnings\"");
        System.out.println("accuracy " + rounded(accuracy) + (passed ? " passed" : " failed"));
        System.exit(passed ? 0 : 1);
    }
}
