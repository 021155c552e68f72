#!/usr/bin/env python3
"""What TRL's SFTTrainer does in 50 updates of a LoRA adapter on a tiny random Llama.

Writes tests/parity/fixtures/train/length_grouped.json, and train/trl_curve.safetensors: an adapter, 19 examples with the tokens to learn, and of each
update the loss, gradient norm and learning rate that the trainer logs, for several settings. Micro-batches of 3 (the
last of an epoch holds 1), windows of 2 of them (the last holds 1), unequal numbers of labels: where trainers differ.
Tolerances of the test: losses max 1e-3 and mean 1e-5, gradient norms max 0.1 and mean 1e-3.

Reference: torch 2.15, transformers 5.24, peft 0.21, trl 1.16. Usage: python3 tests/parity/trl_fixtures.py
"""
import json
import tempfile

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.trainer_pt_utils import get_length_grouped_indices
from trl import SFTConfig, SFTTrainer

from train_fixtures import BASE, OUT, lora_parameters, put_examples, random_examples

LENGTHS = [9, 31, 4, 22, 15, 3, 40, 12, 7, 26, 18, 5, 33, 11, 2, 20, 28, 6, 13]
SETTINGS = {
    "adamw": dict(lr_scheduler_type="cosine", warmup_steps=5, weight_decay=0.1),
    "checkpointing": dict(lr_scheduler_type="linear", warmup_steps=0, weight_decay=0.0, gradient_checkpointing=True),
    "adafactor": dict(lr_scheduler_type="constant_with_warmup", warmup_steps=5, learning_rate=2e-3, optim="adafactor"),
}


class InOrder(SFTTrainer):
    def _get_train_sampler(self, *args, **kwargs):
        return SequentialSampler(self.train_dataset)


def tokenizer():
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    made = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({f"t{i}": i for i in range(131)}, "t0")))
    made.pad_token, made.eos_token = "t0", "t1"
    return made


def length_grouped():
    """transformers' order of group_by_length, and the permutation that it drew: train/length_grouped.json."""
    cases = []
    for size, window, longest in ((1, 4, 9), (7, 4, 9), (19, 6, 40), (100, 3, 12), (700, 2, 500)):
        lengths = torch.randint(2, longest + 1, (size,), generator=torch.Generator().manual_seed(size)).tolist()
        order = torch.randperm(size, generator=torch.Generator().manual_seed(7)).tolist()
        grouped = get_length_grouped_indices(lengths, window, generator=torch.Generator().manual_seed(7))
        cases.append({"lengths": lengths, "window": window, "order": order, "grouped": [int(i) for i in grouped]})
    (OUT / "length_grouped.json").write_text(json.dumps(cases) + "\n")


def main():
    examples = random_examples(torch.Generator().manual_seed(601), LENGTHS)
    tensors = {}
    put_examples(tensors, "", examples)
    rows = Dataset.from_list([{"input_ids": ids.tolist(), "completion_mask": train.int().tolist()}
                              for ids, train in examples])
    for name, arguments in SETTINGS.items():
        model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32, attn_implementation="sdpa")
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear"))
        generator = torch.Generator().manual_seed(600)
        for key, weight in lora_parameters(model).items():
            with torch.no_grad():
                weight.normal_(0, 0.1 if "lora_B" in key else 0.2, generator=generator)
            tensors[f"value/{key}"] = weight.detach().clone()
        with tempfile.TemporaryDirectory() as folder:
            config = SFTConfig(output_dir=folder, max_steps=50, per_device_train_batch_size=3,
                               gradient_accumulation_steps=2, max_grad_norm=0.5, logging_steps=1,
                               save_strategy="no", report_to=[], use_cpu=True, bf16=False, packing=False, max_length=None, completion_only_loss=True,
                               dataloader_num_workers=0, **{"gradient_checkpointing": False, "learning_rate": 1e-2, **arguments})
            trainer = InOrder(model=model, args=config, train_dataset=rows, processing_class=tokenizer())
            trainer.train()
        log = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
        assert len(log) == 50, len(log)
        for key in ("loss", "grad_norm", "learning_rate"):
            tensors[f"{name}/{key}"] = torch.tensor([float(entry[key]) for entry in log], dtype=torch.float64).float()
    save_file(tensors, OUT / "trl_curve.safetensors")
    length_grouped()


if __name__ == "__main__":
    main()
