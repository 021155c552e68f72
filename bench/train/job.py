#!/usr/bin/env python3
"""A whole training job, from the start of the process to the saved adapter: genflow beside TRL.

Conversations of mixed length: what functions and classes of Python's standard library do, as their documentation says
it; two epochs of LoRA, r = 16 on all projections, 8 rows a batch, answers alone learned. TRL runs with SFTTrainer's
defaults, and with its packing. genflow runs `genflow run`: read, train, save, with nothing cached. Prints the times
and the ratios; the training's final losses show that the same was learned.

Needs torch, transformers, peft, trl, datasets and gguf, and genflow.
Usage: python3 bench/train/job.py FILE.gguf [--genflow PATH] [--tokens 20000] [--threads N]
"""
import argparse
import importlib
import inspect
import json
import os
import pathlib
import pkgutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
EPOCHS, RANK, BATCH, MAX_LENGTH, RATE = 2, 16, 8, 1024, 2e-4
MODULES = """argparse ast asyncio bisect calendar collections configparser contextlib csv dataclasses datetime decimal
difflib email enum fractions functools gettext glob heapq http.client inspect io itertools json logging mailbox math
multiprocessing operator os pathlib pickle platform pprint queue random re sched shelve shlex shutil smtplib socket
sqlite3 ssl statistics string struct subprocess tarfile tempfile textwrap threading timeit tokenize traceback types
typing unittest urllib.request uuid wave weakref xml.dom zipfile""".split()


def conversations(tokenizer, wanted):
    """[(question, answer)] of about `wanted` tokens, the same on every machine with this Python."""
    rows, tokens, seen = [], 0, set()
    for name in MODULES:
        module = importlib.import_module(name)
        for member in sorted(vars(module)):
            value = getattr(module, member)
            if member.startswith("_") or not (inspect.isfunction(value) or inspect.isclass(value)):
                continue
            text = inspect.getdoc(value)
            if not text or text in seen or len(text) < 20:
                continue
            seen.add(text)
            size = len(tokenizer(text).input_ids) + 40
            if size > MAX_LENGTH:
                continue
            rows.append((f"What does {name}.{member} do in Python?", text))
            tokens += size
    rows.sort(key=lambda row: hash_of(row[0]))
    share = max(1, round(len(rows) * min(1.0, wanted / tokens)))
    return rows[:share]


def hash_of(text):
    import hashlib
    return hashlib.sha256(text.encode()).hexdigest()


def peer(folder, packing, threads):
    """SFTTrainer with its defaults but for what the job says."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(threads)
    rows = [json.loads(line) for line in (folder / "chats.jsonl").read_text().splitlines()]
    data = Dataset.from_list([{"prompt": row["messages"][:1], "completion": row["messages"][1:]} for row in rows])
    config = SFTConfig(output_dir=str(folder / f"trl_{packing}"), num_train_epochs=EPOCHS, learning_rate=RATE,
                       per_device_train_batch_size=BATCH, max_length=MAX_LENGTH, packing=packing, report_to=[],
                       use_cpu=not torch.cuda.is_available(),
                       logging_steps=1, save_strategy="no")
    trainer = SFTTrainer(model=str(folder / "model"), args=config, train_dataset=data,
                         processing_class=AutoTokenizer.from_pretrained(folder / "model"),
                         peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"))
    trainer.train()
    trainer.save_model(str(folder / f"trl_{packing}"))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(json.dumps(losses))


def timed(command, cwd, **kwargs):
    begin = time.perf_counter()
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=3000,
                          **kwargs)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - begin, done.stdout


def report(title, seconds, losses):
    last = losses[-3:]
    print(f"{title:32}{seconds:8.1f} s   {len(losses)} updates, loss {sum(last) / len(last):.3f} at the end", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gguf", type=pathlib.Path)
    parser.add_argument("--genflow", default=str(ROOT / "build/release/bin/genflow"))
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()

    from transformers import AutoTokenizer
    import run
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        run.model_folder(arguments.gguf, folder / "model")
        tokenizer = AutoTokenizer.from_pretrained(arguments.gguf.parent, gguf_file=arguments.gguf.name)
        tokenizer.save_pretrained(folder / "model")
        rows = conversations(tokenizer, arguments.tokens)
        with open(folder / "chats.jsonl", "w") as out:
            for question, answer in rows:
                out.write(json.dumps({"messages": [{"role": "user", "content": question},
                                                   {"role": "assistant", "content": answer}]}) + "\n")
        lengths = sorted(len(tokenizer(question + answer).input_ids) for question, answer in rows)
        print(f"{len(rows)} conversations, {sum(lengths):,} tokens, {lengths[0]} to {lengths[-1]} each, "
              f"{lengths[len(lengths) // 2]} in the middle; {EPOCHS} epochs, {arguments.threads} threads", flush=True)
        text = f"""name: job
stages:
  base: {{ uses: model.import, with: {{ path: model }} }}
  chats: {{ uses: data.read, with: {{ files: chats.jsonl }} }}
  tune:
    uses: train.lora
    in: {{ model: base.model, dataset: chats.dataset }}
    with:
      lora: {{ r: {RANK}, alpha: {2 * RANK} }}
      epochs: {EPOCHS}
      learning_rate: {RATE}
      lr_scheduler_type: linear
      per_device_train_batch_size: {BATCH}
      max_length: {MAX_LENGTH}
      packing: PACKING
"""
        results = {}
        for title, packing in (("genflow, packed", "true"), ("genflow, one example a row", "false")):
            (folder / "job.yaml").write_text(text.replace("PACKING", packing))
            seconds, _ = timed([arguments.genflow, "run", "--quiet", "job.yaml"], folder)
            results[title] = seconds
            question = [arguments.genflow, "runs", "metrics", "latest", "tune", "--name", "loss", "--json"]
            points = json.loads(timed(question, folder)[1])["stages"]["tune"]["loss"]
            report(title, seconds, [point["value"] for point in points])
        for title, packing in (("TRL, its defaults", 0), ("TRL with packing", 1)):
            seconds, out = timed([sys.executable, __file__, "--peer", folder, packing, arguments.threads], folder)
            results[title] = seconds
            report(title, seconds, json.loads(out.strip().splitlines()[-1]))
        ours = results["genflow, packed"]
        print(f"genflow is {results['TRL, its defaults'] / ours:.2f} times as fast as TRL's defaults, "
              f"{results['TRL with packing'] / ours:.2f} times as fast as TRL with packing")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(pathlib.Path(sys.argv[2]), sys.argv[3] == "1", int(sys.argv[4]))
    else:
        main()
