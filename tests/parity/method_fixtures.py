#!/usr/bin/env python3
"""What bitsandbytes stores, and what PEFT and TRL's SFTTrainer compute with the methods besides plain LoRA.

Writes tests/parity/fixtures/train/:
  quantization.safetensors  matrices as bitsandbytes quantises them: NF4 with double quantisation, and rows of int8
  methods.safetensors       for each setting: what is trained as it begins, the gradients of the first update, and of 50
                            updates the loss, gradient norm and learning rate that SFTTrainer logs
  peft_dora/, peft_saved/   adapter folders as PEFT writes them, with logits and merged weights beside them
  pissa.expected.safetensors  an adapter that PiSSA began: base weights and products as they begin, and the converted
                            adapter (path_initial_model_for_weight_conversion) after an arbitrary change of it
Tolerances of the tests: losses max 1e-3 and mean 1e-5, gradient norms max 0.1 and mean 1e-3, gradients 1e-4 of the
largest entry of a tensor, quantised numbers exact. A quantised base is held to a run on the dequantised weights.

Reference: torch 2.15, transformers 5.24, peft 0.21, trl 1.16, bitsandbytes 0.50 (its reference code, backends/default:
the same on every processor). The bases are fixtures/nn (nn_fixtures.py). Usage: python3 tests/parity/method_fixtures.py
"""
import json
import os
import shutil
import tempfile

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # bitsandbytes' reference code as it stands

import bitsandbytes
import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from datasets import Dataset
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from trl import SFTConfig

from train_fixtures import HERE, OUT, label_count, put_examples, random_examples, summed_loss
from trl_fixtures import LENGTHS, InOrder, tokenizer

TIED, UNTIED = "tiny_gqa_tied", "tiny_llama3_untied"
LORA = dict(r=4, lora_alpha=8, target_modules="all-linear")
ADAMW = dict(lr_scheduler_type="cosine", warmup_steps=5, weight_decay=0.1)
SETTINGS = {  # base, LoraConfig or None for full fine-tuning, training arguments
    "dora": (TIED, dict(LORA, use_dora=True), ADAMW),
    "dora_checkpointing": (UNTIED, dict(LORA, use_dora=True, use_rslora=True), dict(ADAMW, gradient_checkpointing=True)),
    "pissa": (TIED, dict(LORA, init_lora_weights="pissa"), ADAMW),
    "saved_tied": (TIED, dict(LORA, modules_to_save=["embed_tokens"]), ADAMW),
    "saved_head": (TIED, dict(LORA, modules_to_save=["lm_head"]), ADAMW),
    "saved_untied": (UNTIED, dict(LORA, modules_to_save=["lm_head", "embed_tokens", "model.norm"]), ADAMW),
    "full_tied": (TIED, None, dict(ADAMW, learning_rate=2e-3)),
    "full_checkpointing": (UNTIED, None, dict(ADAMW, learning_rate=2e-3, gradient_checkpointing=True)),
    "full_adafactor": (TIED, None, dict(ADAMW, learning_rate=1e-3, optim="adafactor")),
    "nf4": (TIED, LORA, ADAMW),
    "int8": (TIED, LORA, ADAMW),
}


def base_model(name):
    return AutoModelForCausalLM.from_pretrained(HERE / "nn" / name, dtype=torch.float32, attn_implementation="sdpa")


def nearest(values, code=None, absmax=None, out=None, blocksize=256, nested=False):
    """bitsandbytes.functional.quantize_blockwise by its reference code (backends/default); the kernel for CPUs takes
    codes from a coarse table, which are not always the nearest."""
    code = bitsandbytes.functional.create_dynamic_map()
    padded = torch.nn.functional.pad(values, (0, -values.numel() % blocksize)).view(-1, blocksize)
    absmax = padded.abs().amax(-1)
    scaled = torch.clamp(padded * (1.0 / absmax.clamp(min=1e-38).view(-1, 1)), -1, 1)
    codes = torch.bucketize(scaled, (code[:-1] + code[1:]) / 2, out_int32=True).flatten()[:values.numel()]
    state = bitsandbytes.functional.QuantState(absmax=absmax, code=code, blocksize=blocksize, dtype=values.dtype)
    return codes.to(torch.uint8), state


bitsandbytes.functional.quantize_blockwise = nearest


def nf4(weight):
    packed, state = bitsandbytes.functional.quantize_4bit(weight, blocksize=64, quant_type="nf4",
                                                          compress_statistics=True)
    # By its reference code: the kernel for CPUs takes rows for whole blocks.
    absmax = bitsandbytes.functional.dequantize_blockwise(state.absmax, state.state2) + state.offset
    values = _dequantize_4bit_compute(packed.flatten(), absmax, state.code, 64, weight.shape, torch.float32)
    return packed, state, values.view(weight.shape)


def int8(weight):
    codes, absmax, _ = bitsandbytes.functional.int8_vectorwise_quant(weight.half())
    return codes, absmax, bitsandbytes.functional.int8_vectorwise_dequant(codes, absmax)


def quantization():
    tensors = {}
    generator = torch.Generator().manual_seed(700)
    for i, shape in enumerate(((40, 64), (37, 48), (5, 100), (300, 64), (3, 7))):
        weight = torch.randn(shape, generator=generator) * torch.logspace(-2, 0, shape[0]).unsqueeze(1)
        packed, state, values = nf4(weight)
        tensors |= {f"weight.{i}": weight, f"nf4/codes.{i}": packed.flatten().int(),
                    f"nf4/absmax.{i}": state.absmax.int(), f"nf4/nested_absmax.{i}": state.state2.absmax,
                    f"nf4/offset.{i}": state.offset.reshape(1), f"nf4/values.{i}": values}
        codes, absmax, values = int8(weight)
        tensors |= {f"int8/codes.{i}": codes.int(), f"int8/absmax.{i}": absmax.float(), f"int8/values.{i}": values}
    save_file({k: v.contiguous() for k, v in tensors.items()}, OUT / "quantization.safetensors")


def saved_name(name):
    """A parameter's name in an adapter's file."""
    name = name.replace(".modules_to_save.default", "").replace(".default", "")
    return name.replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def trained(model):
    return {saved_name(n): p for n, p in model.named_parameters() if p.requires_grad}


def make(setting, seed):
    base, arguments, _ = SETTINGS[setting]
    model = base_model(base)
    if setting in ("nf4", "int8"):
        for name, module in model.named_modules():
            if name.endswith("_proj"):
                module.weight.data = (nf4 if setting == "nf4" else int8)(module.weight.data)[-1]
    if arguments is None:
        return model
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **arguments))
    if arguments.get("init_lora_weights") != "pissa":
        generator = torch.Generator().manual_seed(seed)
        for key, weight in trained(model).items():
            if "lora_A" in key or "lora_B" in key:
                with torch.no_grad():
                    weight.normal_(0, 0.1 if "lora_B" in key else 0.2, generator=generator)
    return model


def methods():
    tensors = {}
    for n, (setting, (base, arguments, training)) in enumerate(SETTINGS.items()):
        model = make(setting, 800 + n)
        examples = [(ids % model.config.vocab_size, train)
                    for ids, train in random_examples(torch.Generator().manual_seed(601), LENGTHS)]
        put_examples(tensors, f"{base}/", examples)
        rows = Dataset.from_list([{"input_ids": ids.tolist(), "completion_mask": train.int().tolist()}
                                  for ids, train in examples])
        (sum(summed_loss(model, *e) for e in examples[:6]) / label_count(examples[:6])).backward()
        for key, weight in trained(model).items():
            if arguments is not None and setting != "pissa":
                tensors[f"{setting}/value/{key}"] = weight.detach().clone()
            if setting in ("dora", "saved_untied", "full_tied"):
                tensors[f"{setting}/gradient/{key}"] = weight.grad.clone()
            weight.grad = None
        with tempfile.TemporaryDirectory() as folder:
            config = SFTConfig(output_dir=folder, max_steps=50, per_device_train_batch_size=3,
                               gradient_accumulation_steps=2, max_grad_norm=0.5, logging_steps=1, save_strategy="no",
                               report_to=[], use_cpu=True, bf16=False, packing=False, max_length=None,
                               completion_only_loss=True, dataloader_num_workers=0,
                               **{"gradient_checkpointing": False, "learning_rate": 1e-2, **training})
            trainer = InOrder(model=model, args=config, train_dataset=rows, processing_class=tokenizer())
            trainer.train()
        log = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
        assert len(log) == 50, len(log)
        for key in ("loss", "grad_norm", "learning_rate"):
            tensors[f"{setting}/{key}"] = torch.tensor([float(entry[key]) for entry in log], dtype=torch.float32)
        print(setting, log[0]["loss"], "to", log[-1]["loss"], flush=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, OUT / "methods.safetensors")


def adapters():
    for n, (name, base, arguments) in enumerate((
            ("peft_dora", TIED, dict(LORA, use_dora=True, lora_dropout=0.05)),
            ("peft_saved", UNTIED, dict(r=2, lora_alpha=4, target_modules=["q_proj"],
                                        modules_to_save=["lm_head", "embed_tokens"])))):
        model = get_peft_model(base_model(base), LoraConfig(task_type="CAUSAL_LM", **arguments)).eval()
        generator = torch.Generator().manual_seed(900 + n)
        with torch.no_grad():
            for weight in trained(model).values():
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
        folder = OUT / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        (folder / "README.md").unlink()
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text())
        config["base_model_name_or_path"] = None
        config["target_modules"].sort()  # a set: PEFT writes it in any order
        path.write_text(json.dumps(config, indent=2, sort_keys=True))
        ids = torch.randint(0, model.config.vocab_size, (1, 19), generator=torch.Generator().manual_seed(501))
        with torch.no_grad():
            logits = model(ids).logits[0].clone()
        merged = model.merge_and_unload().state_dict()
        weights = {k: v.contiguous().clone() for k, v in merged.items() if k.endswith("_proj.weight")}
        save_file({"ids": ids[0].int(), "logits": logits, **weights}, OUT / f"{name}.expected.safetensors")


def pissa():
    model = make("pissa", 0)
    tensors = {}
    state = get_peft_model_state_dict(model)
    for name, module in model.named_modules():
        if hasattr(module, "lora_A"):
            plain = name.removeprefix("base_model.model.")
            tensors[f"residual/{plain}"] = module.base_layer.weight.detach().clone()
            tensors[f"product/{plain}"] = module.get_delta_weight("default").detach().clone()
    with tempfile.TemporaryDirectory() as folder:
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(folder + "/initial")
        model.peft_config["default"].init_lora_weights = "pissa"
        with torch.no_grad():
            for weight in trained(model).values():
                weight.mul_(1.25)
        model.save_pretrained(folder + "/converted", path_initial_model_for_weight_conversion=folder + "/initial")
        config = json.loads(open(folder + "/converted/adapter_config.json").read())
        written = load_file(folder + "/converted/adapter_model.safetensors")
    scaling = config["lora_alpha"] / config["r"]
    for name in state:
        if name.endswith(".lora_A.weight"):
            plain = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            b = written[name.replace("lora_A", "lora_B")]
            tensors[f"converted/{plain}"] = scaling * b @ written[name]
    tensors["converted_r"] = torch.tensor([config["r"]], dtype=torch.int32)
    tensors["converted_alpha"] = torch.tensor([float(config["lora_alpha"])])
    print("PiSSA, converted:", {k: config[k] for k in ("r", "lora_alpha", "init_lora_weights")})
    save_file({k: v.contiguous() for k, v in tensors.items()}, OUT / "pissa.expected.safetensors")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    quantization()
    pissa()
    adapters()
    methods()


if __name__ == "__main__":
    main()
