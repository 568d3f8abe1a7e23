"""PyTorch."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.cases import Case, Problem
from benchmarks.data import Data
from benchmarks.worker import Run


def recurrence(
    case: dict[str, Any], train: bool, packed: bool = False, bfloat16: bool = False
) -> Run | None:
    """`torch.nn.LSTM` on padded batches, or on a PackedSequence."""
    size = Case(**case)
    problem = Problem.of(size)
    if packed and problem.lengths is None:
        return None
    module = nn.LSTM(size.features, size.hidden, batch_first=True, bidirectional=size.bidirectional)
    for index, suffix in enumerate(["", "_reverse"][: size.directions]):
        arrays = {
            "weight_ih": problem.input_kernels[index].T,
            "weight_hh": problem.recurrent_kernels[index].T,
            "bias_ih": problem.biases[index],
            "bias_hh": np.zeros_like(problem.biases[index]),
        }
        for name, array in arrays.items():
            getattr(module, f"{name}_l0{suffix}").data = torch.tensor(np.ascontiguousarray(array))
    inputs = torch.tensor(problem.inputs, requires_grad=train)
    cotangent = torch.tensor(problem.cotangent)
    if bfloat16:
        module = module.to(torch.bfloat16)
        inputs = inputs.detach().to(torch.bfloat16).requires_grad_(train)
        cotangent = cotangent.to(torch.bfloat16)

    def forward() -> torch.Tensor:
        if not packed:
            return module(inputs)[0]
        sequence = pack_padded_sequence(
            inputs, torch.tensor(problem.lengths), batch_first=True, enforce_sorted=False
        )
        outputs, _ = module(sequence)
        return pad_packed_sequence(outputs, batch_first=True, total_length=size.time)[0]

    def run() -> dict[str, Any]:
        if not train:
            with torch.inference_mode():
                outputs = forward().float().numpy()
                return {} if size.ragged and not packed else {"outputs": outputs}
        module.zero_grad(set_to_none=True)
        inputs.grad = None
        (forward() * cotangent).sum().backward()
        if size.bidirectional and size.ragged and not packed:
            return {}  # it read the padding first: its results are others
        weights: Any = module
        gradients = {
            "d_input_kernel": weights.weight_ih_l0.grad.T,
            "d_recurrent_kernel": weights.weight_hh_l0.grad.T,
            "d_inputs": inputs.grad,
        }
        return {name: array.float().numpy() for name, array in gradients.items()}

    return run


def matrix_product(size: int) -> Run:
    """One float32 product of two square matrices."""
    left, right, product = torch.randn(size, size), torch.randn(size, size), torch.empty(size, size)

    def run() -> dict[str, Any]:
        torch.mm(left, right, out=product)
        return {}

    return run


class Classifier(nn.Module):
    """The article's model."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        vocabulary, features = weights["embedding"].shape
        hidden = weights["recurrent_kernel"].shape[0]
        self.embedding = nn.Embedding(vocabulary, features)
        self.lstm = nn.LSTM(features, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)
        values = {
            "embedding.weight": weights["embedding"],
            "lstm.weight_ih_l0": weights["input_kernel"].T,
            "lstm.weight_hh_l0": weights["recurrent_kernel"].T,
            "lstm.bias_ih_l0": weights["bias"],
            "lstm.bias_hh_l0": np.zeros_like(weights["bias"]),
            "head.weight": weights["head_kernel"].T,
            "head.bias": weights["head_bias"],
        }
        self.load_state_dict({k: torch.tensor(np.ascontiguousarray(v)) for k, v in values.items()})

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        embeddings = self.embedding(tokens)
        if lengths is not None:
            embeddings = pack_padded_sequence(
                embeddings, lengths, batch_first=True, enforce_sorted=False
            )
        _, (hidden, _) = self.lstm(embeddings)
        return self.head(hidden[-1])[:, 0]


def training(folder: str, batch_size: int, steps: int, lengths: bool) -> Run | None:
    """Steps of a training loop on a DataLoader."""
    if lengths:
        return None
    data = Data.load(folder)
    model = Classifier(data.weights)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.BCEWithLogitsLoss()
    tokens, labels = torch.tensor(data.padded()), torch.tensor(data.train_labels).float()
    with torch.inference_mode():
        logits = model(tokens[:64]).numpy()[:, None]
    loader = DataLoader(TensorDataset(tokens, labels), batch_size, shuffle=True)

    def endless() -> Iterator[list[torch.Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def run() -> dict[str, Any]:
        for _ in range(steps):
            inputs, targets = next(batches)
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        return {"logits": logits}

    return run


def vocabulary(size: int) -> Run:
    """One step of training the article's model with a vocabulary of another size."""
    rng = np.random.default_rng(0)
    shapes = {"embedding": (size, 32), "input_kernel": (32, 400), "recurrent_kernel": (100, 400)}
    shapes |= {"bias": (400,), "head_kernel": (100, 1), "head_bias": (1,)}
    model = Classifier({n: 0.05 * rng.normal(size=s).astype("f") for n, s in shapes.items()})
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    tokens, labels = torch.tensor(rng.integers(0, size, (32, 100))), torch.ones(32)

    def run() -> dict[str, Any]:
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(tokens), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return {}

    return run


class Predictor:
    """Texts to probabilities: a dictionary of words, packed batches."""

    def __init__(self, data: Data) -> None:
        self.model = Classifier(data.weights).eval()
        self.ids = {word: index for index, word in enumerate(data.words)}
        self.split = re.compile(r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~\t\n ]+""").split

    def encode(self, text: str) -> torch.Tensor:
        start, unknown = self.ids["<start>"], self.ids["<unk>"]
        words = [word for word in self.split(text.lower()) if word]
        return torch.tensor([start, *(self.ids.get(word, unknown) for word in words)][:500])

    @torch.inference_mode()
    def predict(self, texts: list[str], batch_size: int, by_length: bool = False) -> np.ndarray:
        sequences = [self.encode(text) for text in texts]
        order = list(range(len(texts)))
        if by_length:
            order.sort(key=lambda n: len(sequences[n]))
        probabilities = np.empty(len(texts))
        for first in range(0, len(texts), batch_size):
            chosen = order[first : first + batch_size]
            rows = [sequences[n] for n in chosen]
            logits = self.model(
                pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])
            )
            probabilities[chosen] = torch.sigmoid(logits).numpy()
        return probabilities


def prediction(folder: str, batch_size: int, by_length: bool = False) -> Run:
    """All test reviews, in their order or in that of their lengths."""
    data = Data.load(folder)
    predictor = Predictor(data)
    return lambda: {"probability": predictor.predict(data.test_texts, batch_size, by_length)}


def latency(folder: str) -> Run:
    """One text to its probability, the next one in each call."""
    data = Data.load(folder)
    predictor, order = Predictor(data), itertools.cycle(data.test_texts[:500])
    return lambda: {"probability": predictor.predict([next(order)], 1)}
