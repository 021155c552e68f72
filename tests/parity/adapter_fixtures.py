#!/usr/bin/env python3
"""What PEFT makes of adapters when it merges them, and llama.cpp's converter when it converts them.

Writes tests/parity/fixtures/adapter/:
  NAME/                       an adapter folder as PEFT writes it, for fixtures/nn/tiny_gqa_tied
  NAME.expected.safetensors   the weights that differ from the base's after merge_and_unload(), and all of lm_head's where
                              the merged model has one of its own
      dora, dora_rslora       DoRA, the second rank-stabilised
      rslora_patterns         rank-stabilised, with rank_pattern and alpha_pattern
      pissa, pissa_converted  one PiSSA adapter: as trained, beside the residual model pissa_base.safetensors, and
                              converted by PEFT into a LoRA of twice the rank for the original model
      head, embedding, saved  adapters of lm_head and embed_tokens, and modules_to_save. The base ties the two: the reference
                              is the same adapter on a copy of the model that does not
  for_llama_cpp/, for_llama_cpp.gguf   an adapter for fixtures/formats/tiny_llama, and convert_lora_to_gguf.py's file of it
Tolerance of the tests: 1e-6; the GGUF's tensors are equal byte for byte.

Usage: adapter_fixtures.py LLAMA_CPP
       (needs: pip install -r requirements.txt; LLAMA_CPP is the unpacked vendor/llama.cpp of the pinned source archive,
       whose convert_lora_to_gguf.py is run)
"""
import copy
import json
import os
import pathlib
import shutil
import subprocess
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent / "fixtures"
OUT = HERE / "adapter"
TIED = HERE / "nn" / "tiny_gqa_tied"

CASES = {
    "dora": dict(r=3, lora_alpha=6, target_modules=["q_proj", "down_proj"], use_dora=True),
    "dora_rslora": dict(r=2, lora_alpha=3, target_modules=["v_proj"], use_dora=True, use_rslora=True),
    "rslora_patterns": dict(r=4, lora_alpha=5, target_modules=["q_proj", "up_proj"], use_rslora=True,
                            rank_pattern={"up_proj": 2}, alpha_pattern={"layers.1.self_attn.q_proj": 9}),
    "head": dict(r=2, lora_alpha=4, target_modules=["lm_head", "q_proj"]),
    "embedding": dict(r=2, lora_alpha=4, target_modules=["embed_tokens", "v_proj"]),
    "saved": dict(r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["lm_head"]),
}
UNTIED = {"head", "embedding", "saved"}


def base_model(untied):
    model = AutoModelForCausalLM.from_pretrained(TIED, dtype=torch.float32)
    if untied:
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    return model


def trained(model, seed):
    """Stands for a training: other numbers in everything that learns."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not weight.requires_grad:
                continue
            noise = torch.randn(weight.shape, generator=generator)
            if "magnitude" in name:
                weight.mul_(1 + 0.1 * noise)
            else:
                weight.add_(0.1 * noise)
    return model


def write_case(name, arguments, seed):
    untied = name in UNTIED
    before = {key: value.clone() for key, value in base_model(untied).state_dict().items()}
    model = trained(get_peft_model(base_model(untied), LoraConfig(task_type="CAUSAL_LM", **arguments)), seed)
    shutil.rmtree(OUT / name, ignore_errors=True)
    model.save_pretrained(OUT / name)
    (OUT / name / "README.md").unlink(missing_ok=True)
    after = model.merge_and_unload().state_dict()
    changed = {key: value.contiguous() for key, value in after.items()
               if not torch.equal(value, before[key]) or (untied and key == "lm_head.weight")}
    save_file(changed, OUT / f"{name}.expected.safetensors", metadata={"format": "pt"})


def write_pissa():
    arguments = dict(r=3, lora_alpha=6, target_modules=["q_proj", "down_proj"], init_lora_weights="pissa")
    model = get_peft_model(base_model(False), LoraConfig(task_type="CAUSAL_LM", **arguments))
    initial = OUT / "pissa_initial"
    model.peft_config["default"].init_lora_weights = True  # as PEFT's example does before it saves the beginning
    model.save_pretrained(initial)
    model.peft_config["default"].init_lora_weights = "pissa"
    residual = copy.deepcopy(model).unload().state_dict()
    model = trained(model, 7)
    for name in ("pissa", "pissa_converted"):
        shutil.rmtree(OUT / name, ignore_errors=True)
    model.save_pretrained(OUT / "pissa")
    model.save_pretrained(OUT / "pissa_converted", path_initial_model_for_weight_conversion=str(initial))
    shutil.rmtree(initial)
    for name in ("pissa", "pissa_converted"):
        (OUT / name / "README.md").unlink(missing_ok=True)
    before = base_model(False).state_dict()
    merged = model.merge_and_unload().state_dict()
    changed = {key: value.contiguous() for key, value in merged.items() if not torch.equal(value, before[key])}
    save_file(changed, OUT / "pissa.expected.safetensors", metadata={"format": "pt"})
    save_file({key: residual[key].contiguous() for key in changed}, OUT / "pissa_base.safetensors", metadata={"format": "pt"})


def write_for_llama_cpp(llama_cpp):
    base = HERE / "formats" / "tiny_llama"
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapter = OUT / "for_llama_cpp"
    model = trained(get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=5, target_modules=[
        "q_proj", "k_proj", "v_proj", "down_proj"])), 11)
    shutil.rmtree(adapter, ignore_errors=True)
    model.save_pretrained(adapter)
    (adapter / "README.md").unlink(missing_ok=True)
    subprocess.run([sys.executable, os.path.join(llama_cpp, "convert_lora_to_gguf.py"), "--base", str(base), "--outfile",
                    str(OUT / "for_llama_cpp.gguf"), str(adapter)], check=True, stdout=subprocess.DEVNULL)


def main():
    torch.manual_seed(3)
    OUT.mkdir(exist_ok=True)
    for seed, (name, arguments) in enumerate(CASES.items()):
        write_case(name, arguments, seed)
        write_pissa()
    write_for_llama_cpp(sys.argv[1])
    for path in OUT.glob("*/adapter_config.json"):  # of the base its name, not where it stood
        config = json.loads(path.read_text())
        config["base_model_name_or_path"] = pathlib.Path(config["base_model_name_or_path"]).name
        path.write_text(json.dumps(config, indent=2, sort_keys=True))


if __name__ == "__main__":
    main()
