#!/usr/bin/env python3
"""genflow's model core beside transformers: tokens a second of forward passes and of decoding, fp32.

Both run the same work on the same torch version, one after the other, twice over; the best of each counts.
Needs torch, transformers and gguf. Usage: python3 bench/nn/nn_speed.py BUILD/bin/nn_speed FILE.gguf [THREADS]
"""
import json
import pathlib
import subprocess
import sys
import time

import torch
from transformers import AutoModelForCausalLM


def seconds(work, repeats):
    work()
    best = 1e9
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


@torch.inference_mode()
def reference(model):
    ids = torch.randint(0, model.config.vocab_size, (4, 512))
    forward = seconds(lambda: model.model(ids, use_cache=False), 3)

    def decode(batch, tokens):
        prompt = torch.randint(0, model.config.vocab_size, (batch, 32))
        mask = torch.ones_like(prompt)

        def run(count):
            return seconds(lambda: model.generate(prompt, attention_mask=mask, do_sample=False, max_new_tokens=count,
                                                  min_new_tokens=count, pad_token_id=0, eos_token_id=None), 2)
        return batch * (tokens - 1) / (run(tokens) - run(1))

    return {"forward_4x512_tok_s": 4 * 512 / forward, "decode_1_tok_s": decode(1, 33), "decode_8_tok_s": decode(8, 17)}


@torch.inference_mode()
def limits(model):
    """What the machine allows: matrix products of a forward pass alone, and reading all weights once a token."""
    config = model.config
    weights = [(name, p) for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    x = {n: torch.randn(2048, n) for n in {p.shape[1] for _, p in weights}}
    products = seconds(lambda: [torch.nn.functional.linear(x[p.shape[1]], p) for _, p in weights], 2)
    one = {n: torch.randn(1, n) for n in x}
    head = model.get_output_embeddings().weight
    reads = seconds(lambda: [torch.nn.functional.linear(one[p.shape[1]], p) for _, p in weights]
                    + [torch.nn.functional.linear(one[config.hidden_size], head)], 5)
    return {"forward_4x512_tok_s": 2048 / products, "decode_1_tok_s": 1 / reads}


def main():
    binary, path = sys.argv[1], pathlib.Path(sys.argv[2])
    threads = int(sys.argv[3]) if len(sys.argv) > 3 else torch.get_num_threads()
    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    ours, theirs = {}, {}
    for _ in range(2):
        run = json.loads(subprocess.run([binary, path, str(threads)], check=True, capture_output=True).stdout)
        ours = {key: max(value, ours.get(key, 0)) for key, value in run.items()}
        theirs = {key: max(value, theirs.get(key, 0)) for key, value in reference(model).items()}
    bound = limits(model)
    print(f"{'':22}{'genflow':>10}{'transformers':>14}{'ratio':>8}{'matmul alone':>14}")
    for key in theirs:
        print(f"{key:22}{ours[key]:10.1f}{theirs[key]:14.1f}{ours[key] / theirs[key]:8.2f}{bound.get(key, float('nan')):14.1f}")


if __name__ == "__main__":
    main()
