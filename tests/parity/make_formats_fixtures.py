#!/usr/bin/env python3
"""Writes tests/parity/fixtures/formats/: small files of the reference libraries and what they hold.

Usage: make_formats_fixtures.py SMOLLM2.gguf      (needs: pip install torch transformers safetensors gguf tokenizers)

tiny_llama/, tiny_qwen2/: Hugging Face folders saved by transformers (F32 and BF16, the second in two shards).
tiny_llama.gguf: the first as gguf-py writes it: q and k permuted as llama.cpp's converter does, one GGML type a tensor
in turn, with the vocabulary of tests/parity/fixtures/text/tokenizers/gpt2.json.
tiny_llama_gguf.safetensors: its tensors dequantised by gguf-py, unpermuted by transformers' rule, under Hugging Face
names, all in one file.
mixed.safetensors: tensors of several types, as Hugging Face's library orders them.
smollm2_digests.json: SHA-256 of each tensor of SmolLM2, dequantised to float32 by gguf-py and unpermuted.
"""
import hashlib
import json
import os
import shutil
import sys

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

BASE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
HERE = os.path.join(BASE, "formats")
TOKENIZER = os.path.join(BASE, "text", "tokenizers", "gpt2.json")


def save(model, name, dtype, **options):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    model.to(dtype).save_pretrained(folder, **options)
    return folder


def permute(weights, heads):
    """llama.cpp's LlamaModel.permute."""
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def unpermute(weights, heads):
    """transformers' LlamaTensorProcessor._reverse_permute_weights."""
    return weights.reshape(heads, weights.shape[0] // heads // 2, 2, *weights.shape[1:]).swapaxes(2, 1).reshape(weights.shape)


def write_gguf(model, config, path):
    vocabulary = json.load(open(TOKENIZER, encoding="utf-8"))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    tokens = sorted(vocabulary["model"]["vocab"].items(), key=lambda item: item[1])
    names = [token for token, _ in tokens] + [added["content"] for added in vocabulary["added_tokens"] if added["id"] >= len(tokens)]
    special = {added["content"] for added in vocabulary["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types([3 if name in special else 1 for name in names])
    writer.add_token_merges([" ".join(m) for m in vocabulary["model"]["merges"]])
    writer.add_eos_token_id(names.index("<|endoftext|>"))
    types = [Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.F16, Q.BF16, Q.F32]
    expected, turn = {}, 0
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        weights = tensor.float().numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
        if heads:
            weights = permute(weights, heads)
        kind = Q.F32
        if weights.ndim > 1:
            kind, turn = types[turn % len(types)], turn + 1
        data = gguf.quantize(weights, kind)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), data, raw_dtype=kind)
        values = gguf.dequantize(data, kind) if kind != Q.F32 else weights
        expected[name] = torch.from_numpy(np.ascontiguousarray(unpermute(values, heads) if heads else values).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


def smollm2_digests(path):
    reader = gguf.GGUFReader(path)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 30)
    to_hf = {}
    for layer in range(30):
        for part in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
                     "mlp.down_proj", "input_layernorm", "post_attention_layernorm"):
            name = f"model.layers.{layer}.{part}"
            to_hf[names.get_name(name) + ".weight"] = name + ".weight"
    to_hf |= {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    out = {}
    for tensor in reader.tensors:
        name, values = to_hf[tensor.name], gguf.dequantize(tensor.data, tensor.tensor_type)
        heads = {"q_proj": 9, "k_proj": 3}.get(name.split(".")[-2])
        values = unpermute(values, heads) if heads else values
        out[name] = hashlib.sha256(np.ascontiguousarray(values, dtype="<f4").tobytes()).hexdigest()[:16]
    return out


def main():
    os.makedirs(HERE, exist_ok=True)
    torch.manual_seed(7)
    config = LlamaConfig(vocab_size=904, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, head_dim=16, max_position_embeddings=128, tie_word_embeddings=True,
                         rms_norm_eps=1e-5, bos_token_id=None, eos_token_id=900)
    model = LlamaForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            torch.nn.init.normal_(parameter, 1.0, 0.1)
    folder = save(model, "tiny_llama", torch.float32)
    shutil.copy(TOKENIZER, os.path.join(folder, "tokenizer.json"))
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump({"eos_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}, f)
    expected = write_gguf(model, config, os.path.join(HERE, "tiny_llama.gguf"))
    save_file(expected, os.path.join(HERE, "tiny_llama_gguf.safetensors"), metadata={"format": "pt"})

    qwen = Qwen2ForCausalLM(Qwen2Config(vocab_size=256, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                                        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False))
    save(qwen, "tiny_qwen2", torch.bfloat16, max_shard_size="32KB")

    with open(os.path.join(HERE, "smollm2_digests.json"), "w", encoding="ascii") as f:
        json.dump(smollm2_digests(sys.argv[1]), f, indent=0)
        f.write("\n")

    torch.manual_seed(8)
    save_file({"b.half": torch.randn(3, 5).half(), "a.full": torch.randn(4), "c.brain": torch.randn(2, 2, 2).bfloat16(),
               "\u00e9.full": torch.zeros(1), "d.half": torch.tensor(1.5).half()},
              os.path.join(HERE, "mixed.safetensors"), metadata={"format": "pt"})


main()
