#!/usr/bin/env python3
"""What transformers computes on SmolLM2-135M-Instruct, dequantised from its GGUF file.

Writes tests/parity/fixtures/nn/smollm2.json: for several prompts, fp32 logits of chosen tokens at chosen
positions (held to 2e-3), the log-probability of every token (held to 2e-3), and a greedy answer with the
distance of the best two logits at each step (held to equality where that is more than 0.1).

Reference: torch 2.15, transformers 5.24, gguf 0.19. Usage: python3 tests/parity/nn_smollm2.py FILE.gguf
"""
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

OUT = pathlib.Path(__file__).parent / "fixtures" / "nn" / "smollm2.json"
NEW_TOKENS = 24

TEXTS = [
    "The capital of France is",
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    "What does the command tar do?<|im_end|>\n<|im_start|>assistant\n",
    "def quicksort(items):\n    if len(items) <= 1:\n        return items\n    pivot = items[0]\n",
    "grep searches for patterns in each file. A file named - stands for standard input; if no file is given, "
    "recursive searches examine the working directory, and nonrecursive searches read standard input. Typically "
    "patterns should be quoted when grep is used in a shell command. " * 4,
    "Zürich — 1 234,50 €, 日本語のテキスト, and some emoji 🚀🎉.",
]


@torch.no_grad()
def main():
    path = pathlib.Path(sys.argv[1])
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(1)
    cases = []
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        n = ids.shape[1]
        logits = model(ids).logits[0]
        positions = sorted({0, 1, n // 3, n // 2, n - 2, n - 1})
        probes = []
        for position in positions:
            tokens = logits[position].topk(8).indices.tolist()
            tokens += torch.randint(0, logits.shape[1], (16,), generator=generator).tolist()
            probes.append({"position": position, "tokens": tokens, "logits": logits[position][tokens].tolist()})
        logprobs = logits.log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
        answer = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS,
                                eos_token_id=[], pad_token_id=0)[0, n:]
        top = model(torch.cat([ids[0], answer])[None]).logits[0, n - 1:-1].topk(2).values
        cases.append({"ids": ids[0].tolist(), "probes": probes, "logprobs": [round(v, 6) for v in logprobs.tolist()],
                      "answer": answer.tolist(), "margins": [round(v, 4) for v in (top[:, 0] - top[:, 1]).tolist()]})
    OUT.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
