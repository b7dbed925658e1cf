"""A policy learns from rewards alone: GRPO, with the losses of the service.

The policy writes digits: given one, it should count on from there to nine, and stop. Nobody shows it how. It samples a group of
answers to each question, each gets a reward, and what an answer got more than its group is its advantage. The model computes
log-probabilities here; the clipped objective of GRPO, the penalty for leaving the first policy, and the gradients of both come
from the service. It is the loop of TRL's GRPOTrainer and of verl with seq-mean-token-mean.

    python docs/examples/grpo.py --url http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import copy
import textwrap
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lossmeter.client import Client, RemoteLoss

DIGITS, STOP, LENGTH = 10, 10, 8
QUESTIONS, GROUP = 8, 16
ROUNDS, STEPS, RATE, PENALTY = 60, 2, 0.2, 0.01


class Policy(nn.Module):
    """What comes after each token: a table of logits, as small as a language model can be."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(DIGITS + 1, DIGITS + 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """The log-probability of each token but the first, after the one before it."""
        following: Tensor = self.table(tokens[:, :-1]).log_softmax(-1)
        return following.gather(-1, tokens[:, 1:].unsqueeze(-1)).squeeze(-1)


@dataclass
class Answers:
    """Sampled answers: questions and what followed them, which tokens count, and what each answer is worth."""

    tokens: Tensor
    mask: Tensor
    rewards: Tensor

    @property
    def advantages(self) -> Tensor:
        """By how much each answer did better than the others to its question, for each of its tokens."""
        groups = self.rewards.view(-1, GROUP)
        advantages = (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)
        return advantages.view(-1, 1).expand(self.mask.shape)


def sample(policy: Policy) -> Answers:
    """Answers of the policy to questions from 2 to 9, a group for each."""
    tokens = torch.arange(2, 2 + QUESTIONS).repeat_interleave(GROUP).unsqueeze(1)
    with torch.no_grad():
        for _ in range(LENGTH):
            following = policy.table(tokens[:, -1]).softmax(-1)
            tokens = torch.cat([tokens, following.multinomial(1)], dim=1)
    # Whatever follows a stop is no part of the answer.
    stopped = (tokens[:, 1:] == STOP).cumsum(1)
    mask = (stopped == 0) | ((stopped == 1) & (tokens[:, 1:] == STOP))
    right = torch.where(tokens[:, :-1] == 9, STOP, tokens[:, :-1] + 1)
    # Up to the first wrong token: else a policy learns to count in circles, which is what it was paid for.
    rewards = (tokens[:, 1:] == right).cumprod(1).mul(mask).sum(1) / (10 - tokens[:, 0])
    return Answers(tokens, mask, rewards)


def train(client: Client, rounds: int = ROUNDS) -> list[float]:
    """Trains a policy, and returns the mean reward of each round."""
    torch.manual_seed(0)
    policy = Policy()
    reference = copy.deepcopy(policy)
    clipped = RemoteLoss("ppo_clip", client=client, reduction="sequence_mean", clip_low=0.2, clip_high=0.28)
    penalty = RemoteLoss("kl_k3", client=client, reduction="sequence_mean")
    optimizer = torch.optim.Adam(policy.parameters(), lr=RATE)
    curve = []
    for _ in range(rounds):
        answers = sample(policy)
        curve.append(answers.rewards.mean().item())
        with torch.no_grad():
            old, first = policy(answers.tokens), reference(answers.tokens)
        for _ in range(STEPS):
            log_probs = policy(answers.tokens)
            loss = clipped(log_probs, old, answers.advantages, mask=answers.mask)
            loss = loss + PENALTY * penalty(log_probs, first, mask=answers.mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return curve


def tell(curve: list[float]) -> None:
    """What was found, in words."""
    text = (
        f"Before the first step an answer got {curve[0]:.2f} of the full reward; after {len(curve) - 1} rounds of {STEPS} "
        f"steps, with {QUESTIONS * GROUP} sampled answers each, it got {curve[-1]:.2f}. Not one loss was computed in this "
        "process: log-probabilities went out, and their gradients came back."
    )
    quarters = [curve[len(curve) * quarter // 4] for quarter in range(4)]
    learnt = "On the way, at each quarter of the rounds: " + ", ".join(f"{reward:.2f}" for reward in quarters) + "."
    print(textwrap.fill(f"{text} {learnt}", 100))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where lossmeter is served")
    torch.set_num_threads(1)  # the policy is too small to be worth more
    with Client(parser.parse_args().url) as client:
        tell(train(client))


if __name__ == "__main__":
    main()
