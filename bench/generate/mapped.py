#!/usr/bin/env python3
"""Whether a large checkpoint is mapped, and not copied: answers from one of Llama-2-7B's shape, 13.8 GB in bf16.

Writes a Hugging Face folder of random weights in three shards, with SmolLM2's tokenizer, and asks it for a few tokens
with `genflow models chat`. Prints the checkpoint's size, the most memory of its own (RssAnon) that the process took,
which a second copy of the weights would show in, and the seconds to the first token with the files in the page cache.
Ends with 1 where its own memory is more than a tenth of the weights.

Needs nothing but Python and a built genflow, 14 GB of disk and as much memory for the page cache.
Usage: python3 bench/generate/mapped.py build/release/bin/genflow FILE.gguf [--folder KEPT] [--layers 32]
"""
import argparse
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time

HIDDEN, INTERMEDIATE, HEADS = 4096, 11008, 32
SHARDS = 3


def tensors(layers, vocab):
    yield "model.embed_tokens.weight", (vocab, HIDDEN)
    for i in range(layers):
        layer = f"model.layers.{i}."
        for name in "qkvo":
            yield f"{layer}self_attn.{name}_proj.weight", (HIDDEN, HIDDEN)
        yield layer + "mlp.gate_proj.weight", (INTERMEDIATE, HIDDEN)
        yield layer + "mlp.up_proj.weight", (INTERMEDIATE, HIDDEN)
        yield layer + "mlp.down_proj.weight", (HIDDEN, INTERMEDIATE)
        yield layer + "input_layernorm.weight", (HIDDEN,)
        yield layer + "post_attention_layernorm.weight", (HIDDEN,)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (vocab, HIDDEN)


def count(shape):
    return shape[0] * (shape[1] if len(shape) == 2 else 1)


def write(folder, layers, vocab):
    """The weights; returns their bytes."""
    generator = random.Random(1)
    pattern = b"".join(struct.pack("<f", generator.gauss(0, 0.02))[2:] for _ in range(1 << 19))  # bf16
    everything = list(tensors(layers, vocab))
    total, where = sum(2 * count(shape) for _, shape in everything), {}
    per_shard = -(-len(everything) // SHARDS)
    for shard in range(SHARDS):
        name = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
        part, header, at = everything[shard * per_shard:(shard + 1) * per_shard], {}, 0
        for tensor, shape in part:
            size = 2 * count(shape)
            header[tensor] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
            where[tensor] = name
            at += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(folder / name, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            while at > 0:
                out.write(pattern[:at])
                at -= len(pattern)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": where}))
    return total


def own_memory(pid):
    """RssAnon in bytes of a process and its children; 0 of one that is gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    anonymous = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")]
    return 1024 * sum(anonymous) + sum(own_memory(int(child)) for child in children)


def answer(command):
    """Seconds to the first token, and the most own memory."""
    begin = time.perf_counter()
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE) as running:
        most, done = 0, threading.Event()

        def watch():
            nonlocal most
            while not done.wait(0.02):
                most = max(most, own_memory(running.pid))
        watcher = threading.Thread(target=watch)
        watcher.start()
        wrote = running.stdout.read(1)
        seconds = time.perf_counter() - begin
        running.stdout.read()
        done.set()
        watcher.join()
    if not wrote or running.returncode != 0:
        raise SystemExit(f"genflow ended with {running.returncode}")
    return seconds, most


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("genflow", type=pathlib.Path)
    parser.add_argument("gguf", type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=32)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or pathlib.Path(scratch) / "model"
        small = pathlib.Path(scratch) / "small"
        subprocess.run([arguments.genflow.resolve(), "models", "convert", arguments.gguf, "--to", "hf", "-o", small],
                       check=True, stdout=subprocess.DEVNULL)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            (folder / name).write_bytes((small / name).read_bytes())
        config = json.loads((small / "config.json").read_text())
        config.update(hidden_size=HIDDEN, intermediate_size=INTERMEDIATE, num_attention_heads=HEADS,
                      num_key_value_heads=HEADS, num_hidden_layers=arguments.layers, head_dim=HIDDEN // HEADS,
                      tie_word_embeddings=False, dtype="bfloat16")
        (folder / "config.json").write_text(json.dumps(config))
        total = write(folder, arguments.layers, config["vocab_size"])
        command = [arguments.genflow.resolve(), "models", "chat", folder, "--dtype", "bf16", "--max-tokens", 3,
                   "--prompt", "Hello"]
        answer(command)  # brings the files into the page cache
        seconds, most = answer(command)
    print(f"weights {total / 1e9:.1f} GB; own memory {most / 1e9:.2f} GB, {100 * most / total:.1f}% of them; "
          f"first token after {seconds:.1f} s")
    return most > total / 10


if __name__ == "__main__":
    sys.exit(main())
