"""LitServe with the same loss, one worker, its defaults otherwise."""

# LitServe makes FastAPI routes of the annotations, so they stay as its own examples have them: none.

import sys

import litserve
import torch
from torch.nn.functional import cross_entropy


class CrossEntropy(litserve.LitAPI):
    """Logits and class indices in; value and gradient out."""

    def setup(self, device):
        self.device = device

    def decode_request(self, request):
        predictions = torch.tensor(request["predictions"], device=self.device, requires_grad=True)
        return predictions, torch.tensor(request["labels"], device=self.device)

    def predict(self, x):
        predictions, labels = x
        loss = cross_entropy(predictions, labels)
        loss.backward()
        return loss.item(), predictions.grad

    def encode_response(self, output):
        value, gradient = output
        return {"value": value, "gradients": {"predictions": gradient.tolist()}}


def main(port: int) -> None:
    api = CrossEntropy(api_path="/v1/losses/cross_entropy")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=600, healthcheck_path="/healthz")
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
