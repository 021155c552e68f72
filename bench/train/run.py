#!/usr/bin/env python3
"""LoRA training: genflow beside PEFT and the machine's own limit; one machine, one model, one torch version.

Every token labelled, r = 16 on all projections, AdamW. The two run one after the other, `--rounds` times over; the
best step of each counts, after a first one that warms up. Prints tokens/s, peak resident memory and the ratios (above
1: genflow is faster, smaller), and what the limit would be: matrix products of the model's own shapes, as fast as
torch multiplies them here, and 4 FLOP a weight and token (forward and backward to the input), 7 for each element of
attention's two products, and 6 a parameter of the updates.

Needs torch, transformers, peft and gguf, and genflow built with -DGENFLOW_BENCH=ON.
Usage: python3 bench/train/run.py BUILD/bin/train_speed FILE.gguf|0.5b|1.5b [--dtypes fp32,bf16] [--batch 4]
         [--length 512] [--gradient-checkpointing] [--threads N] [--steps N] [--rounds N] [--no-peer]
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

RANK = 16
# Randomly initialised, of the shapes of Qwen2.5-0.5B and -1.5B.
SHAPES = {"0.5b": dict(hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
                       num_key_value_heads=2),
          "1.5b": dict(hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12,
                       num_key_value_heads=2)}


def dtype_of(name):
    import torch
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]


def peer(arguments):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(arguments.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(arguments.folder, dtype=dtype_of(arguments.dtype),
                                                 attn_implementation="sdpa").to(device)
    model.config.use_cache = False
    if arguments.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear",
                                             task_type="CAUSAL_LM")).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-4, weight_decay=0.0, fused=True)
    torch.manual_seed(1)
    best, tokens = 0.0, arguments.batch * arguments.length
    for step in range(arguments.steps):
        ids = torch.randint(0, model.config.vocab_size, (arguments.batch, arguments.length), device=device)
        begin = time.perf_counter()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        if step > 0 or arguments.steps == 1:
            best = max(best, tokens / (time.perf_counter() - begin))
    return {"tokens_per_second": best, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def limit(arguments):
    """Tokens/s if nothing but the products took time."""
    import torch
    from transformers import AutoConfig

    torch.set_num_threads(arguments.threads)
    dtype, tokens = dtype_of(arguments.dtype), arguments.batch * arguments.length
    c = AutoConfig.from_pretrained(arguments.folder)
    dim = c.hidden_size // c.num_attention_heads
    q, kv = c.num_attention_heads * dim, c.num_key_value_heads * dim
    layer = [(q + 2 * kv, c.hidden_size), (c.hidden_size, q), (2 * c.intermediate_size, c.hidden_size),
             (c.hidden_size, c.intermediate_size)]

    def seconds(out, rows_in):
        x, w, dy = (torch.randn(shape).to(dtype) for shape in ((tokens, rows_in), (out, rows_in), (tokens, out)))
        best = 1e9
        for _ in range(4):
            begin = time.perf_counter()
            torch.mm(x, w.t())
            torch.mm(dy, w)
            best = min(best, time.perf_counter() - begin)
        return best

    shapes = [shape for shape in layer for _ in range(c.num_hidden_layers)] + [(8192, c.hidden_size)]
    timed = {shape: seconds(*shape) for shape in set(shapes)}
    flops = sum(4 * tokens * out * rows_in for out, rows_in in shapes)
    rate = flops / sum(timed[shape] for shape in shapes)
    weights = sum(out * rows_in for out, rows_in in layer) * c.num_hidden_layers + c.vocab_size * c.hidden_size
    single = [(q, c.hidden_size), (kv, c.hidden_size), (kv, c.hidden_size), (c.hidden_size, q),
              (c.intermediate_size, c.hidden_size), (c.intermediate_size, c.hidden_size),
              (c.hidden_size, c.intermediate_size)]
    updates = sum(RANK * (out + rows_in) for out, rows_in in single) * c.num_hidden_layers
    passes = 1.5 if arguments.gradient_checkpointing else 1  # forward twice
    per_token = 4 * weights * passes + 6 * updates + 7 * arguments.length * q * c.num_hidden_layers
    return {"gflops": rate / 1e9, "tokens_per_second": rate / per_token}


def model_folder(source, where):
    """The same weights for both, as safetensors, so that reading them costs both the same."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig
    if source in SHAPES:
        torch.manual_seed(0)
        config = LlamaConfig(vocab_size=151936, max_position_embeddings=32768, tie_word_embeddings=True,
                             **SHAPES[source])
        AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(where)
        return
    gguf = pathlib.Path(source)
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    config = type(read.config)(**{k: v for k, v in read.config.to_dict().items() if k != "quantization_config"})
    model = type(read)(config)  # what was read from a GGUF counts as quantised, and refuses to be saved
    model.load_state_dict(read.state_dict())
    model.save_pretrained(where)


def measure(command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          timeout=1800, check=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--part", help=argparse.SUPPRESS)  # what a process of its own is to do
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--dtype", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part == "model":
        return model_folder(arguments.model, arguments.folder)
    if arguments.part:
        return print(json.dumps({"peer": peer, "limit": limit}[arguments.part](arguments)))

    this = [sys.executable, __file__, *sys.argv[1:]]
    print(f"{pathlib.Path(arguments.model).name}, batch {arguments.batch} x {arguments.length}, r {RANK}, "
          f"{arguments.threads} threads, {arguments.steps} steps"
          f"{', gradient checkpointing' if arguments.gradient_checkpointing else ''}")
    print(f"{'':14}{'tokens/s':>10}{'peak MB':>10}")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*this, "--part", "model", "--folder", folder], check=True, timeout=900,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for dtype in arguments.dtypes.split(","):
            ours, theirs = [], []
            part = [*this, "--folder", folder, "--dtype", dtype, "--part"]
            for _ in range(arguments.rounds):
                ours.append(measure([arguments.binary, folder, dtype, arguments.threads, arguments.steps, arguments.batch,
                                     arguments.length, RANK] +
                                    ["checkpointing"] * arguments.gradient_checkpointing))
                if not arguments.no_peer:
                    theirs.append(measure([*part, "peer"]))
            bound = measure([*part, "limit"])
            speed = [max((r["tokens_per_second"] for r in runs), default=0) for runs in (ours, theirs)]
            peak = [min((r["peak_mb"] for r in runs), default=0) for runs in (ours, theirs)]
            for name, s, p in zip(("genflow", "PEFT"), speed, peak):
                print(f"{dtype + ' ' + name:14}{s:10.0f}{p:10.0f}")
            if not arguments.no_peer:
                print(f"{dtype + ' ratio':14}{speed[0] / speed[1]:10.2f}{peak[1] / peak[0]:10.2f}")
            share = 100 * speed[0] / bound["tokens_per_second"]
            print(f"{dtype + ' limit':14}{bound['tokens_per_second']:10.0f}   ({bound['gflops']:.0f} GFLOP/s; genflow is at "
                  f"{share:.0f}% of it)", flush=True)


if __name__ == "__main__":
    main()
