#!/usr/bin/env python3
"""Writes the binary inputs of tests/fuzz/corpus: safetensors and GGUF files of a few hundred bytes.

Usage: make_corpus.py      (needs nothing but Python)

corpus/safetensors: tensors of several types, none at all, metadata; then one wrong in each of the ways that a file may
be wrong. corpus/gguf: a whole one-layer model with its tokenizer, a file of every kind of value, quantised tensors, an
adapter; then the same with lengths, counts, offsets and types that lie.
"""
import json
import os
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def save(folder, name, data):
    os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    with open(os.path.join(HERE, folder, name), "wb") as file:
        file.write(data)


def safetensors(header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors_corpus():
    good = {"__metadata__": {"format": "pt"}, "a": entry("F32", [2, 3], 0, 24), "b": entry("BF16", [4], 24, 32),
            "c": entry("F16", [], 32, 34), "d": entry("U8", [0, 5], 34, 34), "e": entry("F4", [3, 2], 34, 37)}
    save("safetensors", "good", safetensors(good, bytes(range(37))))
    save("safetensors", "none", safetensors({}))
    save("safetensors", "gap", safetensors({"a": entry("I64", [1], 8, 16)}, bytes(16)))
    save("safetensors", "overlap", safetensors({"a": entry("I8", [8], 0, 8), "b": entry("I8", [8], 4, 12)}, bytes(12)))
    save("safetensors", "twice", safetensors(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":1}', b"x"))
    save("safetensors", "huge_shape", safetensors({"a": entry("F64", [2**32, 2**32, 2**32], 0, 8)}, bytes(8)))
    save("safetensors", "negative", safetensors({"a": entry("F32", [-1, -1], 0, 4)}, bytes(4)))
    save("safetensors", "huge_header", safetensors({}, size=2**63))
    save("safetensors", "cut", safetensors(good)[:60])
    save("safetensors", "deep", safetensors(b'{"a":' + b"[" * 40 + b"]" * 40 + b"}"))


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, item):
    formats = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
    return text(item) if kind == 8 else struct.pack(formats[kind], item)


def key(name, kind, item):
    return text(name) + struct.pack("<I", kind) + value(kind, item)


def array(name, kind, items, count=None):
    return (text(name) + struct.pack("<IIQ", 9, kind, len(items) if count is None else count) +
            b"".join(value(kind, item) for item in items))


def tensor(name, sizes, kind, offset):
    return text(name) + struct.pack("<I", len(sizes)) + b"".join(struct.pack("<Q", size) for size in sizes) + struct.pack("<IQ", kind, offset)


def gguf(keys, tensors=(), data=b"", version=3, counts=None):
    tensor_count, key_count = counts or (len(tensors), len(keys))
    head = b"GGUF" + struct.pack("<IQQ", version, tensor_count, key_count) + b"".join(keys) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + data


def model_keys(arch="llama"):
    tokens = [chr(c) for c in range(97, 101)] + ["ab", "\u0120", "<|end|>", "cd"]
    return [key("general.architecture", 8, arch), key(f"{arch}.embedding_length", 4, 4), key(f"{arch}.feed_forward_length", 4, 4),
            key(f"{arch}.block_count", 4, 1), key(f"{arch}.attention.head_count", 4, 2), key(f"{arch}.context_length", 4, 16),
            key(f"{arch}.attention.layer_norm_rms_epsilon", 6, 1e-5), key(f"{arch}.rope.freq_base", 6, 10000.0),
            key("tokenizer.ggml.model", 8, "gpt2"), key("tokenizer.ggml.pre", 8, "smollm"), array("tokenizer.ggml.tokens", 8, tokens),
            array("tokenizer.ggml.token_type", 5, [1] * 6 + [3, 1]), array("tokenizer.ggml.merges", 8, ["a b", "c d"]),
            key("tokenizer.ggml.eos_token_id", 4, 6), key("tokenizer.ggml.add_eos_token", 7, True),
            key("tokenizer.chat_template", 8, "{{ messages }}")]


def model_tensors():
    shapes = {"token_embd.weight": [4, 8], "output_norm.weight": [4], "blk.0.attn_norm.weight": [4], "blk.0.ffn_norm.weight": [4]}
    shapes |= {f"blk.0.{name}.weight": [4, 4] for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")}
    out, offset = [], 0
    for name, sizes in shapes.items():
        out.append(tensor(name, sizes, 0, offset))
        offset += -(-4 * (sizes[0] * (sizes[1] if len(sizes) > 1 else 1)) // 32) * 32
    return out, bytes(i % 251 for i in range(offset))


def gguf_corpus():
    tensors, data = model_tensors()
    save("gguf", "model", gguf(model_keys(), tensors, data))
    save("gguf", "qwen2", gguf(model_keys("qwen2"), tensors, data))
    numbers = [(0, 1), (1, -1), (2, 1), (3, -1), (4, 1), (5, -1), (6, 0.5), (7, True), (10, 2**63), (11, -1), (12, 0.5)]
    kinds = [key(f"k{kind}", kind, item) for kind, item in numbers] + [array(f"a{kind}", kind, [item]) for kind, item in numbers[:-3]]
    save("gguf", "kinds", gguf(kinds + [array("none", 8, [])]))
    blocks = {2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 12: (256, 144), 14: (256, 210), 20: (32, 18), 1: (4, 8), 30: (4, 8)}
    entries, offset = [], 0
    for kind, (columns, size) in blocks.items():
        entries.append(tensor(f"t{kind}", [columns], kind, offset))
        offset += -(-size // 32) * 32
    save("gguf", "blocks", gguf([key("general.alignment", 4, 32)], entries, bytes(i * 7 % 256 for i in range(offset))))
    pair = [tensor("blk.0.attn_q.weight.lora_a", [4, 2], 0, 0), tensor("blk.0.attn_q.weight.lora_b", [2, 4], 0, 32)]
    save("gguf", "adapter", gguf([key("general.type", 8, "adapter"), key("adapter.lora.alpha", 6, 4.0)], pair, bytes(64)))
    save("gguf", "version", gguf([], version=1))
    save("gguf", "many_keys", gguf([], counts=(0, 2**40)))
    save("gguf", "long_text", b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62))
    save("gguf", "long_array", gguf([array("a", 8, ["x"], count=2**40)]))
    save("gguf", "nested", gguf([text("a") + struct.pack("<IIQ", 9, 9, 1)]))
    save("gguf", "huge_shape", gguf([], [tensor("t", [2**62, 4], 0, 0)], bytes(32)))
    save("gguf", "beyond", gguf([], [tensor("t", [8], 0, 2**40)], bytes(32)))
    save("gguf", "unknown_type", gguf([], [tensor("t", [8], 99, 0)], bytes(32)))
    save("gguf", "token_types", gguf(model_keys()[:11] + [array("tokenizer.ggml.token_type", 5, [1])] + model_keys()[12:], tensors, data))


safetensors_corpus()
gguf_corpus()
