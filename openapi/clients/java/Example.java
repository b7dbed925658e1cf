import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import lossmeter.client.ApiClient;
import lossmeter.client.ApiException;
import lossmeter.client.api.EvaluationApi;
import lossmeter.client.api.EvaluationApi.APIEvaluateRequest;
import lossmeter.client.api.LossesApi;
import lossmeter.client.model.Averaging;
import lossmeter.client.model.CrossEntropyRequest;
import lossmeter.client.model.Datatype;
import lossmeter.client.model.EvaluateAnswer;
import lossmeter.client.model.EvaluateRequest;
import lossmeter.client.model.F1Metric;
import lossmeter.client.model.FocalLoss;
import lossmeter.client.model.Gate;
import lossmeter.client.model.GateOrText;
import lossmeter.client.model.LossAnswer;
import lossmeter.client.model.LossChoice;
import lossmeter.client.model.LossFigure;
import lossmeter.client.model.LossOrText;
import lossmeter.client.model.MetricChoice;
import lossmeter.client.model.MetricOrText;
import lossmeter.client.model.PredictionsAre;
import lossmeter.client.model.Problem;
import lossmeter.client.model.Task;
import lossmeter.client.model.TensorAnswer;
import lossmeter.client.model.TensorObject;

/** A loss with its gradient, an error, and an evaluation, through the generated client: {@code java Example URL KEY}. */
final class Example {
  private static final double[][] LOGITS = {{2.0, -1.0, 0.3}, {0.1, 1.5, -0.4}, {-0.5, 0.2, 1.1}, {1.2, 0.9, -1.0}};
  private static final long[] LABELS = {0, 1, 2, 1};

  private Example() {}

  public static void main(String[] arguments) throws Exception {
    ApiClient client = new ApiClient();
    client.updateBaseUri(arguments[0]);
    client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + arguments[1]));
    ObjectMapper json = client.getObjectMapper();
    LossesApi losses = new LossesApi(client);

    LossAnswer loss =
        losses.crossEntropy(
            new CrossEntropyRequest()
                .predictions(LOGITS)
                .labels(LABELS)
                .labelSmoothing(0.1)
                .addGradientsItem(CrossEntropyRequest.GradientsEnum.PREDICTIONS));
    TensorAnswer gradient = loss.getGradients().get("predictions");

    TensorObject flat = new TensorObject().datatype(Datatype.FP32).shape(List.of(4L, 3L));
    for (double[] row : LOGITS) {
      for (double number : row) {
        flat.addDataItem(number);
      }
    }
    LossAnswer same =
        losses.crossEntropy(new CrossEntropyRequest().predictions(flat).labels(LABELS).labelSmoothing(0.1));
    if (!same.getValue().equals(loss.getValue())) {
      throw new AssertionError("the same numbers in another form give another loss");
    }

    Problem problem;
    try {
      losses.crossEntropy(new CrossEntropyRequest().predictions(LOGITS).labels(new long[] {0, 1, 2, 7}));
      throw new AssertionError("a label that is no class is no problem");
    } catch (ApiException refused) {
      problem = json.readValue(refused.getResponseBody(), Problem.class);
    }

    EvaluateRequest evaluation =
        new EvaluateRequest()
            .task(Task.MULTICLASS)
            .predictionsAre(PredictionsAre.LOGITS)
            .predictions(LOGITS)
            .labels(LABELS)
            .addLossesItem(new LossOrText("cross_entropy"))
            .addLossesItem(
                new LossOrText(
                    new LossChoice(
                        new FocalLoss().loss(FocalLoss.LossEnum.FOCAL).gamma(2.0).weightInObjective(0.5))))
            .addMetricsItem(new MetricOrText("accuracy"))
            .addMetricsItem(
                new MetricOrText(
                    new MetricChoice(new F1Metric().metric(F1Metric.MetricEnum.F1).average(Averaging.NONE))))
            .addGatesItem(new GateOrText(new Gate().metric("accuracy").minimum(0.7)));
    EvaluateAnswer report =
        new EvaluationApi(client).evaluate(APIEvaluateRequest.newBuilder().evaluateRequest(evaluation).build());

    Map<String, Object> found = new LinkedHashMap<>();
    found.put("value", loss.getValue());
    found.put("shape", gradient.getShape());
    found.put("gradient", gradient.getData());
    found.put(
        "problem",
        Map.of(
            "status", problem.getStatus(),
            "code", problem.getCode(),
            "pointer", problem.getErrors().get(0).getPointer(),
            "index", problem.getErrors().get(0).getIndex()));
    found.put(
        "evaluation",
        Map.of(
            "losses", report.getLosses().stream().map(LossFigure::getValue).toList(),
            "accuracy", report.getMetrics().get(0).getScalarFigure().getValue(),
            "f1", report.getMetrics().get(1).getPerClassFigure().getValue(),
            "passed", report.getPassed()));
    System.out.println(json.writeValueAsString(found));
  }
}
