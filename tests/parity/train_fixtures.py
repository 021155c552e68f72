#!/usr/bin/env python3
"""What torch, transformers and PEFT compute when they train, on a tiny random Llama.

Writes tests/parity/fixtures/train/:
  gradients.safetensors   for three LoRA settings: the adapter, a batch, the loss and every gradient
  curve.safetensors       an adapter, a data set, and 20 updates of a PEFT/transformers loop: loss, learning
                          rate and gradient norm of each, the adapter afterwards
  optimizer.safetensors   AdamW (torch.optim) for 12 steps, with and without weight decay and clipping
  optimizers.safetensors  two tensors trained for 12 steps by AdamW8bit (bitsandbytes), Adafactor (transformers), and
                          AdamW with a learning rate 4 times higher for the second (LoRA+)
  schedules.json          get_scheduler's learning rates
  peft_adapter/, peft_patterns/   adapter folders as PEFT writes them, with their merged weights
Tolerances of the tests: gradients 1e-4 relative (to the largest entry of a tensor), losses 1e-4,
optimizers 1e-6 (8-bit moments: 1e-6 while no number falls on the border of two codes), schedules 1e-12.

Reference: torch 2.15, transformers 5.24, peft 0.21. The base model is fixtures/nn/tiny_gqa_tied
(nn_fixtures.py). Usage:
  python3 tests/parity/train_fixtures.py                  write the fixtures
  python3 tests/parity/train_fixtures.py --check FOLDER   open an adapter that genflow saved with PEFT
"""
import argparse
import json
import pathlib
import shutil

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, get_scheduler

HERE = pathlib.Path(__file__).parent / "fixtures"
BASE = HERE / "nn" / "tiny_gqa_tied"
OUT = HERE / "train"
VOCAB = 131

SETTINGS = {
    "all_linear": dict(r=4, lora_alpha=8, target_modules="all-linear"),
    "attention": dict(r=3, lora_alpha=5, target_modules=["q_proj", "v_proj"], use_rslora=True),
    "regex": dict(r=2, lora_alpha=2, target_modules=r".*\.1\.mlp\.(gate|down)_proj"),
}


def base_model():
    return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32, attn_implementation="sdpa")


def adapted(seed, **arguments):
    model = get_peft_model(base_model(), LoraConfig(task_type="CAUSAL_LM", **arguments))
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            with torch.no_grad():
                weight.normal_(0, 0.1, generator=generator)
        elif "lora_A" in name:
            with torch.no_grad():
                weight.normal_(0, 0.2, generator=generator)
    return model.train()


def plain_name(name):
    return name.replace(".default", "")


def lora_parameters(model):
    return {plain_name(n): p for n, p in model.named_parameters() if p.requires_grad}


def random_examples(generator, lengths):
    """Sequences with a random share of tokens marked as to be learned, at least one after the first."""
    out = []
    for length in lengths:
        ids = torch.randint(0, VOCAB, (length,), generator=generator)
        train = torch.rand(length, generator=generator) < 0.5
        train[-1] = True
        out.append((ids, train))
    return out


def summed_loss(model, ids, train):
    logits = model(ids.unsqueeze(0)).logits[0].float()
    labels = torch.where(train, ids, -100)
    return torch.nn.functional.cross_entropy(logits[:-1], labels[1:], ignore_index=-100, reduction="sum")


def label_count(examples):
    return sum(int(train[1:].sum()) for _, train in examples)


def put_examples(tensors, prefix, examples):
    for i, (ids, train) in enumerate(examples):
        tensors[f"{prefix}ids.{i}"] = ids.int()
        tensors[f"{prefix}train.{i}"] = train.int()


def gradients():
    tensors = {}
    for n, (setting, arguments) in enumerate(SETTINGS.items()):
        model = adapted(100 + n, **arguments)
        examples = random_examples(torch.Generator().manual_seed(200 + n), [17, 5, 17, 31])
        # One sequence at a time: no padding and no packing to get wrong.
        loss = sum(summed_loss(model, ids, train) for ids, train in examples) / label_count(examples)
        loss.backward()
        put_examples(tensors, f"{setting}/", examples)
        tensors[f"{setting}/loss"] = loss.detach().reshape(1)
        for name, weight in lora_parameters(model).items():
            tensors[f"{setting}/value/{name}"] = weight.detach().clone()
            tensors[f"{setting}/gradient/{name}"] = weight.grad.clone()
    save_file(tensors, OUT / "gradients.safetensors")


CURVE = dict(epochs=5, micro_batch=3, accumulation=2, learning_rate=2e-2, warmup_steps=3, weight_decay=0.1,
             max_grad_norm=0.5)


def curve():
    """19 examples in the order of the data set, micro-batches of 3 (the last holds one), windows of 2 micro-batches
    (the last holds one): 4 updates an epoch with unequal numbers of labels, 5 epochs."""
    model = adapted(300, r=4, lora_alpha=8, target_modules="all-linear")
    tensors = {f"value/{n}": p.detach().clone() for n, p in lora_parameters(model).items()}
    lengths = [9, 31, 4, 22, 15, 3, 40, 12, 7, 26, 18, 5, 33, 11, 2, 20, 28, 6, 13]
    examples = random_examples(torch.Generator().manual_seed(301), lengths)
    put_examples(tensors, "", examples)

    parameters = list(lora_parameters(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=CURVE["learning_rate"], betas=(0.9, 0.999), eps=1e-8,
                                  weight_decay=CURVE["weight_decay"])
    micro = [examples[i:i + CURVE["micro_batch"]] for i in range(0, len(examples), CURVE["micro_batch"])]
    windows = [micro[i:i + CURVE["accumulation"]] for i in range(0, len(micro), CURVE["accumulation"])]
    total = CURVE["epochs"] * len(windows)
    scheduler = get_scheduler("cosine", optimizer, num_warmup_steps=CURVE["warmup_steps"], num_training_steps=total)
    losses, rates, norms = [], [], []
    for _ in range(CURVE["epochs"]):
        for window in windows:
            items = sum(label_count(batch) for batch in window)  # transformers' num_items_in_batch
            loss = 0.0
            for batch in window:
                part = sum(summed_loss(model, ids, train) for ids, train in batch) / items
                part.backward()
                loss += part.item()
            norms.append(torch.nn.utils.clip_grad_norm_(parameters, CURVE["max_grad_norm"]).item())
            losses.append(loss)
            rates.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    assert len(losses) == 20
    tensors["loss"] = torch.tensor(losses)
    tensors["learning_rate"] = torch.tensor(rates)
    tensors["grad_norm"] = torch.tensor(norms)
    for name, weight in lora_parameters(model).items():
        tensors[f"final/{name}"] = weight.detach().clone()
    save_file(tensors, OUT / "curve.safetensors")


def optimizer():
    tensors = {}
    generator = torch.Generator().manual_seed(400)
    start = torch.randn(37, generator=generator)
    gradient = torch.randn(12, 37, generator=generator) * torch.logspace(-6, 1, 37)
    tensors["start"], tensors["gradient"] = start, gradient
    for name, decay, clip in (("plain", 0.0, 0.0), ("decay", 0.1, 0.0), ("clipped", 0.01, 0.7)):
        weight = torch.nn.Parameter(start.clone())
        adam = torch.optim.AdamW([weight], lr=3e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=decay)
        steps, norms = [], []
        for g in gradient:
            weight.grad = g.clone()
            if clip:
                norms.append(torch.nn.utils.clip_grad_norm_([weight], clip))
            adam.step()
            steps.append(weight.detach().clone())
        tensors[f"{name}/steps"] = torch.stack(steps)
        if clip:
            tensors[f"{name}/norms"] = torch.stack(norms)
    save_file(tensors, OUT / "optimizer.safetensors")


def optimizers():
    import bitsandbytes
    from transformers.optimization import Adafactor

    # bitsandbytes' CPU kernel takes codes from a coarse table, which are not always the nearest; this is its own
    # reference for them (backends/default).
    def nearest(values, code, absmax, out, blocksize):
        blocks = values.reshape(-1, blocksize)
        absmax.copy_(blocks.abs().amax(-1))
        scaled = torch.clamp(blocks * (1.0 / absmax.clamp(min=1e-38).view(-1, 1)), -1, 1)
        out.copy_(torch.bucketize(scaled, (code[:-1] + code[1:]) / 2, out_int32=True).reshape(out.shape))

    bitsandbytes.backends.cpu.ops._quant_blockwise_fp32_direct = nearest
    generator = torch.Generator().manual_seed(410)
    shapes = ((40, 128), (9, 16))  # the first is large enough for moments of 8 bits, the second is not
    start = [torch.randn(shape, generator=generator) for shape in shapes]
    gradient = [torch.randn((12, *shape), generator=generator) * torch.logspace(-1, 0, shape[1]) for shape in shapes]
    tensors = {}
    for i in range(2):
        tensors[f"start.{i}"], tensors[f"gradient.{i}"] = start[i], gradient[i]
    makers = {
        "adamw_8bit": lambda w: bitsandbytes.optim.AdamW8bit(w, lr=3e-3, weight_decay=0.1),
        "adafactor": lambda w: Adafactor(w, lr=3e-3, scale_parameter=False, relative_step=False, weight_decay=0.1),
        "loraplus": lambda w: torch.optim.AdamW([dict(params=w[:1], lr=3e-3), dict(params=w[1:], lr=4 * 3e-3)],
                                                weight_decay=0.1),
    }
    for name, make in makers.items():
        weights = [torch.nn.Parameter(value.clone()) for value in start]
        made = make(weights)
        for step in range(12):
            for weight, g in zip(weights, gradient):
                weight.grad = g[step].clone()
            made.step()
            for i, weight in enumerate(weights) if step in (0, 4, 11) else ():
                tensors[f"{name}/{i}.{step}"] = weight.detach().clone()
    save_file(tensors, OUT / "optimizers.safetensors")


def schedules():
    cases = []
    plain = (("constant", 0, 6), ("constant_with_warmup", 4, 9), ("linear", 0, 10), ("linear", 3, 10), ("linear", 12, 10),
             ("cosine", 0, 10), ("cosine", 4, 17), ("cosine", 1, 1))
    decays = (dict(num_decay_steps=4), dict(num_decay_steps=4, decay_type="linear", min_lr_ratio=0.1),
              dict(num_decay_steps=7, decay_type="1-sqrt"))
    for name, warmup, total, kwargs in ([(*case, {}) for case in plain] +
                                        [("warmup_stable_decay", 3, 14, kwargs) for kwargs in decays]):
        weight = torch.nn.Parameter(torch.zeros(1))
        adam = torch.optim.AdamW([weight], lr=1.7e-4)
        scheduler = get_scheduler(name, adam, num_warmup_steps=warmup, num_training_steps=total,
                                  scheduler_specific_kwargs=kwargs)
        rates = []
        for _ in range(total + 2):
            rates.append(scheduler.get_last_lr()[0])
            adam.step()
            scheduler.step()
        cases.append({"name": name, "warmup": warmup, "total": total, "rates": rates, **kwargs})
    (OUT / "schedules.json").write_text(json.dumps({"learning_rate": 1.7e-4, "cases": cases}) + "\n")


def adapters():
    for name, arguments in (("peft_adapter", dict(r=4, lora_alpha=6, lora_dropout=0.05, target_modules="all-linear")),
                            ("peft_patterns", dict(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"],
                                                   rank_pattern={"down_proj": 2},
                                                   alpha_pattern={r"layers\.1\.self_attn\.q_proj": 3}))):
        model = adapted(500, **arguments).eval()
        folder = OUT / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        (folder / "README.md").unlink()
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text())
        config["base_model_name_or_path"] = None
        config["target_modules"].sort()  # a set: PEFT writes it in any order
        path.write_text(json.dumps(config, indent=2, sort_keys=True))
        ids = torch.randint(0, VOCAB, (1, 19), generator=torch.Generator().manual_seed(501))
        with torch.no_grad():
            logits = model(ids).logits[0].clone()
        merged = model.merge_and_unload()
        weights = {k: v for k, v in merged.state_dict().items() if k.endswith("_proj.weight")}
        save_file({"ids": ids[0].int(), "logits": logits, **{k: v.contiguous() for k, v in weights.items()}},
                  OUT / f"{name}.expected.safetensors")


def check(folder):
    """An adapter that genflow wrote opens in PEFT, nothing missing or unexpected, same values."""
    model = PeftModel.from_pretrained(base_model(), folder)
    loaded = get_peft_model_state_dict(model)
    written = load_file(pathlib.Path(folder) / "adapter_model.safetensors")
    assert loaded.keys() == written.keys(), loaded.keys() ^ written.keys()
    for key, value in written.items():
        assert torch.equal(loaded[key], value), key
    config = json.loads((pathlib.Path(folder) / "adapter_config.json").read_text())
    known = set(LoraConfig().to_dict()) | {"peft_version"}
    assert set(config) <= known, set(config) - known
    print(f"PEFT opens {folder}: {len(written)} tensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.check:
        return check(arguments.check)
    OUT.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    gradients()
    curve()
    optimizer()
    optimizers()
    schedules()
    adapters()


if __name__ == "__main__":
    main()
