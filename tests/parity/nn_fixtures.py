#!/usr/bin/env python3
"""Tiny random Llama models with what transformers computes on them.

Writes tests/parity/fixtures/nn/<model>/: a Hugging Face folder, expected.safetensors (input ids and fp32
logits) and expected.json (greedy answers, with and without a repetition penalty). The tests hold genflow's
logits to these within 1e-4 and the answers to equality.

Reference: torch 2.15, transformers 5.24. Usage: python3 tests/parity/nn_fixtures.py
"""
import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

OUT = pathlib.Path(__file__).parent / "fixtures" / "nn"

MODELS = {
    # Grouped keys and values, head tied to the embedding.
    "tiny_gqa_tied": dict(
        vocab_size=131, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=128,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0}),
    # One key head for all, a head size of its own, a head of its own, stretched positions.
    "tiny_llama3_untied": dict(
        vocab_size=97, hidden_size=40, intermediate_size=72, num_hidden_layers=2, num_attention_heads=5,
        num_key_value_heads=1, head_dim=12, tie_word_embeddings=False, max_position_embeddings=128,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 32}),
    # Biases everywhere, odd sizes, transformers 4's spelling of the configuration.
    "tiny_linear_bias": dict(
        vocab_size=61, hidden_size=36, intermediate_size=37, num_hidden_layers=3, num_attention_heads=3,
        num_key_value_heads=3, tie_word_embeddings=False, attention_bias=True, mlp_bias=True,
        max_position_embeddings=96,
        rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}),
}
LENGTHS = [1, 7, 23, 64]
PROMPTS = [5, 1, 17, 9]
NEW_TOKENS = 24


def build(name, arguments, seed):
    torch.manual_seed(seed)
    config = LlamaConfig(bos_token_id=None, eos_token_id=None, pad_token_id=None, dtype="float32", **arguments)
    model = LlamaForCausalLM(config).float().eval()
    with torch.no_grad():
        # Large enough weights that the next token is far from a tie.
        for key, weight in model.named_parameters():
            weight.normal_(1.0 if "norm" in key else 0.0, 0.2)
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if name == "tiny_linear_bias":
        path = folder / "config.json"
        config = json.loads(path.read_text())
        config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
        config["rope_scaling"] = {"type": "linear", "factor": 2.5}
        config["torch_dtype"] = config.pop("dtype")
        path.write_text(json.dumps(config, indent=2) + "\n")
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model


@torch.no_grad()
def expected(name, model, seed):
    generator = torch.Generator().manual_seed(seed)
    vocab = model.config.vocab_size
    tensors, greedy = {}, []
    for i, length in enumerate(LENGTHS):
        ids = torch.randint(0, vocab, (1, length), generator=generator)
        tensors[f"ids.{i}"] = ids[0]
        tensors[f"logits.{i}"] = model(ids).logits[0].clone()
    for length in PROMPTS:
        ids = torch.randint(0, vocab, (1, length), generator=generator)
        entry = {"prompt": ids[0].tolist()}
        for key, penalty in (("greedy", 1.0), ("penalised", 1.3)):
            out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, use_cache=True,
                                 max_new_tokens=NEW_TOKENS, repetition_penalty=penalty, pad_token_id=0)
            entry[key] = out[0, length:].tolist()
        # Smallest distance of the two best logits on the way: says how much a rounding error may matter.
        logits = model(torch.tensor([entry["prompt"] + entry["greedy"]])).logits[0, length - 1:-1]
        top = logits.topk(2).values
        entry["margin"] = (top[:, 0] - top[:, 1]).min().item()
        greedy.append(entry)
    save_file(tensors, OUT / name / "expected.safetensors")
    (OUT / name / "expected.json").write_text(json.dumps({"generate": greedy}) + "\n")
    return min(entry["margin"] for entry in greedy)


# Chosen so that no greedy step is nearer to a tie than 5e-3.
SEEDS = {"tiny_gqa_tied": 7, "tiny_llama3_untied": 18, "tiny_linear_bias": 12}


def main():
    for name, arguments in MODELS.items():
        margin = expected(name, build(name, arguments, SEEDS[name]), SEEDS[name] + 100)
        assert margin > 5e-3, f"{name}: a greedy step is {margin} from a tie, choose another seed"


if __name__ == "__main__":
    main()
