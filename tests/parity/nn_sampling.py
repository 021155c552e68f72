#!/usr/bin/env python3
"""What transformers' logits processors leave of random logits.

Writes tests/parity/fixtures/nn/sampling.json: cases {options, logits, seen, processed}; null stands for
minus infinity. The test holds genflow's ProcessLogits to these: the same entries ruled out, the others
within 1e-6.

Reference: torch 2.15, transformers 5.24. Usage: python3 tests/parity/nn_sampling.py
"""
import json
import math
import pathlib

import torch
from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper
from transformers import TopKLogitsWarper, TopPLogitsWarper

OUT = pathlib.Path(__file__).parent / "fixtures" / "nn" / "sampling.json"

CASES = [
    dict(temperature=0.0, repetition_penalty=1.2),
    dict(temperature=0.7),
    dict(temperature=1.0, top_k=5),
    dict(temperature=1.3, top_k=1000),
    dict(temperature=1.0, top_p=0.9),
    dict(temperature=0.5, top_p=0.3),
    dict(temperature=1.0, top_p=0.0001),
    dict(temperature=0.8, top_k=12, top_p=0.8),
    dict(temperature=0.9, top_k=20, top_p=0.95, repetition_penalty=1.5),
    dict(temperature=2.0, top_p=0.99, repetition_penalty=0.8),
]


def processors(options):
    chain = LogitsProcessorList()
    if options.get("repetition_penalty", 1.0) != 1.0:
        chain.append(RepetitionPenaltyLogitsProcessor(options["repetition_penalty"]))
    if options["temperature"] == 0:
        return chain
    if options["temperature"] != 1.0:
        chain.append(TemperatureLogitsWarper(options["temperature"]))
    if options.get("top_k", 0):
        chain.append(TopKLogitsWarper(options["top_k"]))
    if options.get("top_p", 1.0) < 1.0:
        chain.append(TopPLogitsWarper(options["top_p"]))
    return chain


def main():
    generator = torch.Generator().manual_seed(3)
    cases = []
    for options in CASES:
        for scale in (1.0, 4.0):
            logits = torch.randn(1, 60, generator=generator) * scale
            seen = torch.randint(0, 60, (1, 15), generator=generator)
            processed = processors(options)(seen, logits.clone())[0].tolist()
            cases.append({"options": options, "logits": logits[0].tolist(), "seen": seen[0].tolist(),
                          "processed": [None if math.isinf(v) else v for v in processed]})
    # Ties at the cut of top-k stay.
    logits = torch.tensor([[2.0, 1.0, 1.0, 1.0, 0.0]])
    options = dict(temperature=1.0, top_k=2)
    processed = processors(options)(torch.zeros(1, 1, dtype=torch.long), logits.clone())[0].tolist()
    cases.append({"options": options, "logits": logits[0].tolist(), "seen": [0],
                  "processed": [None if math.isinf(v) else v for v in processed]})
    OUT.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
