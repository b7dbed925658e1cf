// A loss with its gradient, an error, and an evaluation, through the generated client: `example URL KEY`.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"

	"example/lossmeter"
)

var logits = []any{
	[]float64{2.0, -1.0, 0.3}, []float64{0.1, 1.5, -0.4}, []float64{-0.5, 0.2, 1.1}, []float64{1.2, 0.9, -1.0},
}

func nested(items ...any) lossmeter.Tensor {
	return lossmeter.ArrayOfAnyAsTensor(&items)
}

func main() {
	configuration := lossmeter.NewConfiguration()
	configuration.Servers = lossmeter.ServerConfigurations{{URL: os.Args[1]}}
	client := lossmeter.NewAPIClient(configuration)
	ctx := context.WithValue(context.Background(), lossmeter.ContextAccessToken, os.Args[2])
	labels := nested(0, 1, 2, 1)

	request := lossmeter.NewCrossEntropyRequest(nested(logits...), labels)
	request.SetLabelSmoothing(0.1)
	request.SetGradients([]string{"predictions"})
	loss, _, err := client.LossesAPI.CrossEntropy(ctx).CrossEntropyRequest(*request).Execute()
	if err != nil {
		log.Fatal(err)
	}
	gradient := loss.Gradients["predictions"]

	flat := lossmeter.NewTensorObject(lossmeter.DATATYPE_FP32, []int64{4, 3})
	for _, row := range logits {
		for _, number := range row.([]float64) {
			flat.Data = append(flat.Data, number)
		}
	}
	same := lossmeter.NewCrossEntropyRequest(lossmeter.TensorObjectAsTensor(flat), labels)
	same.SetLabelSmoothing(0.1)
	again, _, err := client.LossesAPI.CrossEntropy(ctx).CrossEntropyRequest(*same).Execute()
	if err != nil {
		log.Fatal(err)
	}
	if again.GetValue() != loss.GetValue() {
		log.Fatal("the same numbers in another form give another loss")
	}

	wrong := lossmeter.NewCrossEntropyRequest(nested(logits...), nested(0, 1, 2, 7))
	_, _, err = client.LossesAPI.CrossEntropy(ctx).CrossEntropyRequest(*wrong).Execute()
	var refused *lossmeter.GenericOpenAPIError
	if !errors.As(err, &refused) {
		log.Fatal("a label that is no class is no problem")
	}
	problem := refused.Model().(lossmeter.Problem)

	f1 := lossmeter.NewF1Metric("f1")
	f1.SetAverage(lossmeter.AVERAGING_NONE)
	averaged := lossmeter.F1MetricAsMetricChoice(f1)
	focal := lossmeter.NewFocalLoss("focal")
	focal.SetGamma(2.0)
	focal.SetWeightInObjective(0.5)
	focused := lossmeter.FocalLossAsLossChoice(focal)
	gate := lossmeter.NewGate()
	gate.SetMetric("accuracy")
	gate.SetMinimum(0.7)
	crossEntropy, accuracy := "cross_entropy", "accuracy"
	evaluation := lossmeter.NewEvaluateRequest(
		nested(logits...), labels, lossmeter.TASK_MULTICLASS, lossmeter.PREDICTIONSARE_LOGITS,
	)
	evaluation.SetLosses([]lossmeter.LossOrText{
		lossmeter.StringAsLossOrText(&crossEntropy),
		lossmeter.LossChoiceAsLossOrText(&focused),
	})
	evaluation.SetMetrics([]lossmeter.MetricOrText{
		lossmeter.StringAsMetricOrText(&accuracy),
		lossmeter.MetricChoiceAsMetricOrText(&averaged),
	})
	evaluation.SetGates([]lossmeter.GateOrText{lossmeter.GateAsGateOrText(gate)})
	report, _, err := client.EvaluationAPI.Evaluate(ctx).EvaluateRequest(*evaluation).Execute()
	if err != nil {
		log.Fatal(err)
	}
	losses := []float64{}
	for _, one := range report.Losses {
		losses = append(losses, *one.Value.Get())
	}

	found := map[string]any{
		"value":    loss.GetValue(),
		"shape":    gradient.Shape,
		"gradient": gradient.Data,
		"problem": map[string]any{
			"status":  problem.Status,
			"code":    problem.Code,
			"pointer": problem.Errors[0].Pointer,
			"index":   problem.Errors[0].Index,
		},
		"evaluation": map[string]any{
			"losses":   losses,
			"accuracy": report.Metrics[0].ScalarFigure.Value.Get(),
			"f1":       report.Metrics[1].PerClassFigure.Value,
			"passed":   report.Passed,
		},
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		log.Fatal(err)
	}
}
