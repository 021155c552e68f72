#!/usr/bin/env python3
"""Opens in llama.cpp what `genflow models` wrote, and compares log-probabilities with transformers' and PEFT's in fp32.

For a base model (a GGUF file) and two adapters of noise on all projections, one plain and one rank-stabilised with another
alpha for v_proj: the eight most probable next tokens after each of a few prompts.

                                                                                          largest, mean difference
  merge --type f16                   against the base with the adapter in PEFT            5e-2     2e-2
  merge --type bf16                  against the same file, read by transformers          2e-1     5e-2
  merge --type q8_0, q4_k_m          against the same file, read by transformers          1.5      3e-1
  convert ADAPTER --base             the GGUF adapter on the base in F32, against PEFT    5e-2     2e-2

llama.cpp rounds what it multiplies with bf16 weights to bf16, and with blocks to 8 bits: SmolLM2 itself, without an
adapter and as Q8_0, differs by 0.63 and 0.11. Rows out of order or a lost scaling differ by more than 3 and 1. Exits 1
when anything is off.

usage: llama_cpp_check.py --genflow build/release/bin/genflow --base models/smollm2-135m-instruct.gguf
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import torch
import xllamacpp
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

TOP = 8
PROMPTS = ["The capital of France is", "In one line, the command `tar` does the following:", "1, 2, 3, 4,",
           "Once upon a time there was a small", "Water boils at a temperature of"]
ADAPTERS = {
    "plain": dict(r=8, lora_alpha=16),
    "stabilised": dict(r=8, lora_alpha=4, use_rslora=True, alpha_pattern={"v_proj": 6}),
}
TOLERANCE = {  # largest, mean
    "f16": (5e-2, 2e-2), "bf16": (2e-1, 5e-2), "q8_0": (1.5, 3e-1), "q4_k_m": (1.5, 3e-1), "adapter": (5e-2, 2e-2)}


def load(path):
    return AutoModelForCausalLM.from_pretrained(os.path.dirname(path) or ".", gguf_file=os.path.basename(path), dtype=torch.float32)


def make_adapter(base, folder, arguments, seed):
    model = get_peft_model(load(base), LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", **arguments))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                weight.copy_(0.02 * torch.randn(weight.shape, generator=generator))
    model.save_pretrained(folder)
    return model


def logprobs(model, ids):
    with torch.no_grad():
        return [torch.log_softmax(model(torch.tensor([row])).logits[0, -1].float(), -1) for row in ids]


def llama_cpp(path, ids, adapter=None):
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = 256
    params.cpuparams.n_threads = os.cpu_count()
    params.n_gpu_layers = 0
    params.n_parallel = 1
    params.warmup = False
    if adapter:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 1.0)]
    server = xllamacpp.Server(params)
    out = []
    for row in ids:
        answer = server.handle_completions({"prompt": row, "n_predict": 1, "temperature": 0.0, "n_probs": 4 * TOP, "cache_prompt": False})
        answer = answer if isinstance(answer, dict) else json.loads(answer)
        steps = answer.get("completion_probabilities") or answer["choices"][0]["logprobs"]["content"]
        out.append({entry["id"]: entry["logprob"] for entry in steps[0]["top_logprobs"]})
    return out


def compare(what, tolerance, expected, theirs):
    differences = [abs(scores[token].item() - entries[token]) if token in entries else float("inf")
                   for scores, entries in zip(expected, theirs) for token in torch.topk(scores, TOP).indices.tolist()]
    worst, mean = max(differences), sum(differences) / len(differences)
    good = worst <= tolerance[0] and mean <= tolerance[1]
    print(f"{'ok  ' if good else 'FAIL'} {what:28} largest difference {worst:.1e} (at most {tolerance[0]:g}), "
          f"mean {mean:.1e} (at most {tolerance[1]:g})", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--genflow", required=True)
    parser.add_argument("--base", required=True, help="a GGUF file")
    parser.add_argument("--adapter", choices=list(ADAPTERS), action="append", help="one of the adapters alone")
    args = parser.parse_args()
    args.base = os.path.realpath(args.base)

    def genflow(*arguments):
        subprocess.run([args.genflow, "models", *arguments], check=True, stdout=subprocess.DEVNULL)

    tokenizer = AutoTokenizer.from_pretrained(os.path.dirname(args.base), gguf_file=os.path.basename(args.base))
    ids = [tokenizer(prompt, add_special_tokens=False).input_ids for prompt in PROMPTS]
    good = []
    with tempfile.TemporaryDirectory(prefix="llama_cpp_check_") as work:
        base_f32 = os.path.join(work, "base-f32.gguf")
        genflow("convert", args.base, "--type", "f32", "-o", base_f32)
        before = logprobs(load(args.base), ids)
        for seed, (name, arguments) in enumerate(ADAPTERS.items()):
            if args.adapter and name not in args.adapter:
                continue
            adapter = os.path.join(work, name)
            tuned = logprobs(make_adapter(args.base, adapter, arguments, seed), ids)
            moved = max((a - b).abs().max().item() for a, b in zip(before, tuned))
            if moved < 1:
                raise SystemExit(f"the adapter '{name}' moves log-probabilities by {moved} alone: too little to be seen")
            for kind in ("f16", "bf16", "q8_0", "q4_k_m"):
                merged = os.path.join(work, f"{name}-{kind}.gguf")
                genflow("merge", args.base, adapter, "--type", kind, "-o", merged)
                expected = tuned if kind == "f16" else logprobs(load(merged), ids)
                good.append(compare(f"{name}, merged, {kind}", TOLERANCE[kind], expected, llama_cpp(merged, ids)))
                os.remove(merged)
            gguf = os.path.join(work, f"{name}-lora.gguf")
            genflow("convert", adapter, "--base", args.base, "-o", gguf)
            good.append(compare(f"{name}, GGUF adapter", TOLERANCE["adapter"], tuned, llama_cpp(base_f32, ids, gguf)))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
