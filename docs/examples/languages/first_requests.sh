#!/bin/sh
# A loss with its gradient, an error that is handled, and an evaluation with a gate: curl and nothing else.
#
#     sh docs/examples/languages/first_requests.sh http://127.0.0.1:8000
set -eu
url=${1:-http://127.0.0.1:8000}

# --fail-with-body makes the command fail where the service refuses, and prints the reason all the same.
post() {
  curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' --data "$2" "$url$1"
}

echo "A loss and its gradient:"
post /v1/losses/cross_entropy '{"predictions": [[2.0, -1.0, 0.3]], "labels": [0], "gradients": ["predictions"]}'

printf '\n\nA label that is no class; "errors" says where:\n'
if problem=$(post /v1/losses/cross_entropy '{"predictions": [[2.0, -1.0, 0.3]], "labels": [7]}' 2>/dev/null); then
  echo "this should have been refused: $problem" >&2
  exit 2
fi
echo "$problem"

printf '\nAn evaluation with a gate:\n'
report=$(post /v1/evaluate '{
  "task": "multiclass", "predictions_are": "logits",
  "predictions": [[2.0, -1.0, 0.3], [0.1, 1.5, -0.4], [-0.5, 0.2, 1.1], [1.2, 0.9, -1.0]], "labels": [0, 1, 2, 1],
  "metrics": [{"metric": "accuracy"}], "gates": [{"metric": "accuracy", "minimum": 0.7}]}')
echo "$report"

# The last "passed" of the report is that of all gates together.
case $report in
*'"passed":true,"warnings"'*) echo "The gate holds." ;;
*) echo "The gate does not hold." && exit 1 ;;
esac
