"""A pipeline whose last step runs only if the gates hold: a gate that does not is exit code 1, and fails its task."""

from datetime import UTC, datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("model", schedule="@daily", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):
    predict = BashOperator(task_id="predict", bash_command="python predict.py")
    gates = BashOperator(
        task_id="gates",
        bash_command="lossmeter evaluate predictions.csv --config gates.json --predictions probability --labels malignant",
        retries=0,
    )
    deploy = BashOperator(task_id="deploy", bash_command="echo deployed")
    predict >> gates >> deploy
