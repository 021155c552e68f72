#!/usr/bin/env python3
"""What `genflow models size` predicts for train.lora's memory on the CPU, beside what it takes.

Each setting trains two updates on rows that are full, in a process of its own, as the engine runs it; its
peak is the kernel's (ru_maxrss). Models: a tiny one and one of Qwen2.5-0.5B's shape, randomly initialised
here in bf16, and SmolLM2-135M from its GGUF.

Needs nothing but Python and a built genflow. Ends with 1 where a prediction is off by more than --tolerance.
Usage: python3 bench/train/memory.py build/release/bin/genflow models/smollm2-135m-instruct.gguf
         [--only TEXT] [--tolerance 0.15] [--keep FOLDER]
"""
import argparse
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

SHAPES = {
    "tiny": dict(hidden_size=256, intermediate_size=704, num_hidden_layers=4, num_attention_heads=4,
                 num_key_value_heads=2, head_dim=64, vocab_size=8192),
    "0.5b": dict(hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
                 num_key_value_heads=2, head_dim=64, vocab_size=151936),
}

# model, dtype, batch, max_length, r, gradient_checkpointing, optim
SETTINGS = [
    ("tiny", "fp32", 4, 256, 8, False, "adamw_torch_fused"),
    ("tiny", "bf16", 8, 512, 16, True, "adafactor"),
    ("tiny", "bf16", 16, 1024, 64, False, "adamw_8bit"),
    ("smollm2", "bf16", 4, 512, 16, False, "adamw_torch_fused"),
    ("smollm2", "fp32", 4, 512, 16, False, "adamw_torch_fused"),
    ("smollm2", "bf16", 4, 512, 16, True, "adamw_torch_fused"),
    ("smollm2", "fp32", 2, 1024, 64, True, "adamw_8bit"),
    ("smollm2", "bf16", 1, 2048, 8, False, "adafactor"),
    ("smollm2", "bf16", 1, 256, 128, False, "adamw_torch_fused"),
    ("smollm2", "fp32", 1, 128, 4, False, "adamw_8bit"),
    ("0.5b", "bf16", 1, 512, 16, False, "adamw_torch_fused"),
    ("0.5b", "bf16", 2, 512, 16, True, "adamw_torch_fused"),
    ("0.5b", "fp32", 1, 256, 16, False, "adamw_8bit"),
    ("0.5b", "bf16", 4, 256, 64, False, "adafactor"),
    ("0.5b", "fp32", 1, 512, 32, True, "adamw_torch_fused"),
    ("0.5b", "bf16", 1, 2048, 16, False, "adamw_torch_fused"),
]


def tokenizer():
    """A token for each byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    characters, spare = {}, 0
    for byte in range(256):
        characters[byte] = chr(byte) if byte in printable else chr(256 + spare)
        spare += byte not in printable
    vocabulary = {characters[byte]: byte for byte in range(256)} | {"<|end|>": 256}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    special = {"id": 256, "content": "<|end|>", "special": True, "single_word": False, "lstrip": False,
               "rstrip": False, "normalized": False}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary,
             "merges": []}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [special],
            "normalizer": None, "pre_tokenizer": level, "post_processor": None, "decoder": level,
            "model": model}


def write_model(folder, shape):
    """Weights of about +-0.02, in bf16."""
    folder.mkdir(parents=True)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 32768,
              "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": True,
              "attention_bias": False, "mlp_bias": False, "eos_token_id": 256, "bos_token_id": 256,
              "torch_dtype": "bfloat16", **shape}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer()))
    special = {"eos_token": "<|end|>", "bos_token": "<|end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))
    h, i, d = shape["hidden_size"], shape["intermediate_size"], shape["head_dim"]
    q, kv = shape["num_attention_heads"] * d, shape["num_key_value_heads"] * d
    tensors = {"model.embed_tokens.weight": [shape["vocab_size"], h], "model.norm.weight": [h]}
    for layer in range(shape["num_hidden_layers"]):
        for name, size in (("input_layernorm", [h]), ("post_attention_layernorm", [h]),
                           ("self_attn.q_proj", [q, h]), ("self_attn.k_proj", [kv, h]),
                           ("self_attn.v_proj", [kv, h]), ("self_attn.o_proj", [h, q]),
                           ("mlp.gate_proj", [i, h]), ("mlp.up_proj", [i, h]), ("mlp.down_proj", [h, i])):
            tensors[f"model.layers.{layer}.{name}.weight"] = size
    header, position = {}, 0
    for name, size in tensors.items():
        end = position + 2 * size[0] * (size[1] if len(size) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": size, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    numbers = random.Random(1)
    values = [numbers.uniform(-0.02, 0.02) for _ in range(1 << 16)]
    block = b"".join(struct.pack("<f", value)[2:] for value in values)  # the upper half is bf16
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        while position > 0:
            file.write(block[:position])
            position -= len(block)


def peak(command, folder):
    """Bytes that the command had resident at most."""
    with open(folder / "log", "wb") as log:
        child = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd=folder)
        _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit((folder / "log").read_text()[-3000:])
    return usage.ru_maxrss * 1024


def measure(genflow, model, setting, folder):
    name, dtype, batch, length, rank, checkpointing, optim = setting
    steps = 2
    letters = length + 8 if name in SHAPES else 8 * length  # more than enough tokens
    words = random.Random(2)
    letter = "abcdefghijklmnopqrstuvwxyz     "
    with open(folder / "texts.jsonl", "w", encoding="utf-8") as file:
        for _ in range(batch * steps):
            text = "".join(words.choice(letter) for _ in range(letters))
            file.write(json.dumps({"text": text}) + "\n")
    subprocess.run([genflow, "stages", "run", "data.read", "--with", "{ files: [texts.jsonl] }",
                    "--out", "read"],
                   cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    parameters = {"lora": {"r": rank, "alpha": 2 * rank}, "max_steps": steps, "max_length": length,
                  "dtype": dtype, "per_device_train_batch_size": batch, "optim": optim, "device": "cpu",
                  "gradient_checkpointing": checkpointing, "on_too_long": "truncate"}
    return peak([genflow, "stages", "run", "train.lora", "--in", "dataset=read/dataset",
                 "--in", f"model={model}", "--with", json.dumps(parameters), "--out", "tuned"], folder)


def predict(genflow, model, setting):
    _, dtype, batch, length, rank, checkpointing, optim = setting
    command = [genflow, "models", "size", model, "--json", "--rate", 1, "--dtype", dtype, "--batch", batch,
               "--seq", length, "--rank", rank, "--optim", optim]
    command += ["--gradient-checkpointing"] * checkpointing
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)["memory"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("genflow", type=pathlib.Path)
    parser.add_argument("smollm2", type=pathlib.Path)
    parser.add_argument("--only", default="", help="settings whose line holds this")
    parser.add_argument("--tolerance", type=float, default=0.15)
    parser.add_argument("--keep", type=pathlib.Path, help="where the models are made, and stay")
    parser.add_argument("--parts", action="store_true", help="the parts of each prediction, too")
    arguments = parser.parse_args()
    genflow = arguments.genflow.resolve()
    worst = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        kept = (arguments.keep or pathlib.Path(temporary)).resolve()
        print(f"{'model':8} {'dtype':5} {'rows x tokens':>13} {'r':>4} {'checkpointing':13} {'optim':17}"
              f"{'predicted':>10}{'measured':>10}{'error':>8}   MiB", flush=True)
        for number, setting in enumerate(SETTINGS):
            name, dtype, batch, length, rank, checkpointing, optim = setting
            line = (f"{name:8} {dtype:5} {f'{batch} x {length}':>13} {rank:4} "
                    f"{'yes' if checkpointing else 'no':13} {optim:17}")
            if arguments.only not in line:
                continue
            model = arguments.smollm2.resolve() if name == "smollm2" else kept / name
            if name in SHAPES and not model.exists():
                write_model(model, SHAPES[name])
            folder = pathlib.Path(temporary) / str(number)
            folder.mkdir()
            memory = predict(genflow, model, setting)
            predicted, measured = memory["total_bytes"], measure(genflow, model, setting, folder)
            error = predicted / measured - 1
            worst = max(worst, abs(error))
            print(f"{line}{predicted / 2**20:10.0f}{measured / 2**20:10.0f}{100 * error:+7.1f}%", flush=True)
            if arguments.parts:
                parts = memory["parts"].items()
                print("   ", ", ".join(f"{k} {v / 2**20:.0f}" for k, v in parts if v), flush=True)
    print(f"furthest off: {100 * worst:.1f}%")
    sys.exit(worst > arguments.tolerance)


if __name__ == "__main__":
    main()
