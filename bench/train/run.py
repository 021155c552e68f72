#!/usr/bin/env python3
"""LoRA training: genflow beside PEFT on one machine, one model, one torch version.

SmolLM2-135M, batch 4 x 512, every token labelled, r = 16 on all projections, AdamW, fp32 and bf16. The two run
one after the other, `--rounds` times over; the best step of each counts, after a first one that warms up.
Prints tokens/s, peak resident memory and the ratios (above 1: genflow is faster, smaller).

Needs torch, transformers, peft and gguf, and genflow built with -DGENFLOW_BENCH=ON.
Usage: python3 bench/train/run.py BUILD/bin/train_speed FILE.gguf [--threads N] [--steps N] [--dtypes fp32,bf16]
"""
import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

BATCH, LENGTH, RANK = 4, 512, 16


def peer(folder, dtype, threads, steps):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[dtype], attn_implementation="sdpa").to(device)
    model.config.use_cache = False
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear",
                                             task_type="CAUSAL_LM")).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-4, weight_decay=0.0)
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    torch.manual_seed(1)
    best = 0.0
    for step in range(steps):
        ids = torch.randint(0, model.config.vocab_size, (BATCH, LENGTH), device=device)
        begin = time.perf_counter()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        if step > 0 or steps == 1:
            best = max(best, BATCH * LENGTH / (time.perf_counter() - begin))
    print(json.dumps({"tokens_per_second": best, "loaded_mb": loaded,
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def hugging_face_folder(gguf, where):
    """The same weights for both, as safetensors, so that reading them costs both the same."""
    from transformers import AutoModelForCausalLM
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    config = type(read.config)(**{k: v for k, v in read.config.to_dict().items() if k != "quantization_config"})
    model = type(read)(config)  # what was read from a GGUF counts as quantised, and refuses to be saved
    model.load_state_dict(read.state_dict())
    model.save_pretrained(where)


def measure(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=1800, check=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("gguf", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--dtypes", default="fp32,bf16")
    arguments = parser.parse_args()
    this = [sys.executable, __file__]
    print(f"batch {BATCH} x {LENGTH}, r {RANK}, {arguments.threads} threads, {arguments.steps} steps")
    print(f"{'':14}{'tokens/s':>10}{'peak MB':>10}")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*this, "--convert", arguments.gguf, folder], check=True, timeout=600,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for dtype in arguments.dtypes.split(","):
            ours, theirs = [], []
            for _ in range(arguments.rounds):
                ours.append(measure([arguments.binary, folder, dtype, str(arguments.threads), str(arguments.steps),
                                     str(BATCH), str(LENGTH), str(RANK)]))
                theirs.append(measure([*this, "--peer", folder, dtype, str(arguments.threads), str(arguments.steps)]))
            speed = [max(r["tokens_per_second"] for r in runs) for runs in (ours, theirs)]
            peak = [min(r["peak_mb"] for r in runs) for runs in (ours, theirs)]
            for name, s, p in zip(("genflow", "PEFT"), speed, peak):
                print(f"{dtype + ' ' + name:14}{s:10.0f}{p:10.0f}")
            print(f"{dtype + ' ratio':14}{speed[0] / speed[1]:10.2f}{peak[1] / peak[0]:10.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    elif sys.argv[1:2] == ["--convert"]:
        hugging_face_folder(pathlib.Path(sys.argv[2]), sys.argv[3])
    else:
        main()
