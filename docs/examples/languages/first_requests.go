// A loss with its gradient, an error that is handled, and an evaluation with a gate: the standard library and nothing else.
//
//	go run docs/examples/languages/first_requests.go http://127.0.0.1:8000
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
)

type object map[string]any

// Problem is what the service refuses, as application/problem+json.
type Problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Errors []struct {
		Pointer string `json:"pointer"`
		Message string `json:"message"`
		Index   []int  `json:"index"`
	} `json:"errors"`
}

func (problem *Problem) Error() string { return problem.Detail }

// Tensor is one of an answer.
type Tensor struct {
	Datatype string    `json:"datatype"`
	Shape    []int     `json:"shape"`
	Data     []float64 `json:"data"`
}

// Loss is the part of an answer that is used here. A value that is not finite is null, hence the pointer.
type Loss struct {
	Value     *float64          `json:"value"`
	Gradients map[string]Tensor `json:"gradients"`
}

// Report is the part of a report that is used here.
type Report struct {
	Metrics []struct {
		Metric string  `json:"metric"`
		Value  float64 `json:"value"`
	} `json:"metrics"`
	Passed bool `json:"passed"`
}

func post(url string, fields object, answer any) error {
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	response, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 400 {
		problem := &Problem{}
		if err := json.NewDecoder(response.Body).Decode(problem); err != nil {
			return fmt.Errorf("status %d, and no problem: %w", response.StatusCode, err)
		}
		return problem
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

func rounded(numbers ...float64) string {
	words := make([]string, len(numbers))
	for place, number := range numbers {
		words[place] = fmt.Sprintf("%.4f", number)
	}
	return strings.Join(words, " ")
}

func main() {
	url := "http://127.0.0.1:8000"
	if len(os.Args) > 1 {
		url = os.Args[1]
	}

	// A loss and its gradient.
	predictions := [][]float64{{2.0, -1.0, 0.3}}
	var loss Loss
	fields := object{"predictions": predictions, "labels": []int{0}, "gradients": []string{"predictions"}}
	if err := post(url+"/v1/losses/cross_entropy", fields, &loss); err != nil {
		log.Fatal(err)
	}
	fmt.Println("loss", rounded(*loss.Value))
	fmt.Println("gradient", rounded(loss.Gradients["predictions"].Data...))

	// A label that is no class.
	err := post(url+"/v1/losses/cross_entropy", object{"predictions": predictions, "labels": []int{7}}, &loss)
	var problem *Problem
	if !errors.As(err, &problem) {
		log.Fatal("expected a problem, not ", err)
	}
	for _, flaw := range problem.Errors {
		fmt.Printf("refused %s: %s\n", flaw.Pointer, flaw.Message)
	}

	// An evaluation with a gate.
	var report Report
	fields = object{
		"task":            "multiclass",
		"predictions_are": "logits",
		"predictions":     [][]float64{{2.0, -1.0, 0.3}, {0.1, 1.5, -0.4}, {-0.5, 0.2, 1.1}, {1.2, 0.9, -1.0}},
		"labels":          []int{0, 1, 2, 1},
		"metrics":         []object{{"metric": "accuracy"}},
		"gates":           []object{{"metric": "accuracy", "minimum": 0.7}},
	}
	if err := post(url+"/v1/evaluate", fields, &report); err != nil {
		log.Fatal(err)
	}
	verdict := map[bool]string{true: "passed", false: "failed"}[report.Passed]
	fmt.Println("accuracy", rounded(report.Metrics[0].Value), verdict)
	if !report.Passed {
		os.Exit(1)
	}
}
