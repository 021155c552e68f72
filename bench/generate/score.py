#!/usr/bin/env python3
"""Log-likelihoods of multiple-choice answers: genflow beside lm-evaluation-harness's Hugging Face backend, on the same
requests, tokenised once by the harness; one machine, one model, fp32.

The requests are the questions of MMLU that the harness carries (its chain-of-thought examples), four answers each.
The harness runs with batches of --batch-size requests. Both times are of the scoring alone, without loading. Prints
the seconds, the ratio and the largest difference of a log-likelihood.

Needs torch, transformers, gguf (tests/parity/requirements.txt) and lm_eval (peers.txt), and genflow built with
-DGENFLOW_BENCH=ON.
Usage: python3 bench/generate/score.py BUILD/bin/score_speed FILE.gguf [--requests 800] [--batch-size 8] [--threads N]
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time


def questions():
    import lm_eval
    carried = pathlib.Path(lm_eval.__file__).parent / "tasks/mmlu/flan_cot_fewshot/_cot_prompts.json"
    for subject, text in sorted(json.loads(carried.read_text()).items()):
        head = text.split("\n\n")[0]
        for block in re.split(r"\n\n(?=Q: )", text)[1:]:
            asked = block.split("\nA: ")[0]
            choices = re.findall(r"\([A-D]\) (.*?)(?= \([A-D]\) |$)", asked.split("\n")[-1])
            if len(choices) == 4:
                yield f"{head}\n\n{asked}\nA:", [f" {choice}" for choice in choices]


def peer(arguments):
    """Scores with the harness, and leaves the requests as it tokenised them."""
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(arguments.threads)
    model = HFLM(pretrained=arguments.folder, dtype="float32", device="cpu", batch_size=arguments.batch_size)
    pairs = [(context, choice) for context, choices in questions() for choice in choices][:arguments.requests]
    requests = []
    for context, choice in pairs:
        before, answer = model._encode_pair(context, choice)
        requests.append({"tokens": before + answer, "begin": len(before)})
    pathlib.Path(arguments.folder, "requests.json").write_text(json.dumps(requests))
    begin = time.perf_counter()
    scores = model.loglikelihood([Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)],
                                 disable_tqdm=True)
    return {"seconds": time.perf_counter() - begin, "logprobs": [float(s[0]) for s in scores],
            "greedy": [bool(s[1]) for s in scores]}


def model_folder(gguf, folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = type(read.config)(**{k: v for k, v in read.config.to_dict().items() if k != "quantization_config"})
    model = type(read)(config)  # what was read from a GGUF counts as quantised, and refuses to be saved
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--requests", type=int, default=800)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--folder", help=argparse.SUPPRESS)  # given to a process of its own
    arguments = parser.parse_args()
    if arguments.folder:
        model_folder(arguments.model, arguments.folder)
        return print(json.dumps(peer(arguments)))
    with tempfile.TemporaryDirectory() as folder:
        def measure(command):
            done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  check=True, text=True)
            return json.loads(done.stdout.strip().splitlines()[-1])
        theirs = measure([sys.executable, __file__, *sys.argv[1:], "--folder", folder])
        requests = json.loads(pathlib.Path(folder, "requests.json").read_text())
        tokens = sum(len(request["tokens"]) for request in requests)
        ours = measure([arguments.binary, folder, "fp32", arguments.threads, pathlib.Path(folder, "requests.json")])
    worst = max(abs(a - b) for a, b in zip(ours["logprobs"], theirs["logprobs"], strict=True))
    greedy = sum(a != b for a, b in zip(ours["greedy"], theirs["greedy"], strict=True))
    print(f"{len(requests)} requests, {tokens} tokens, {arguments.threads} threads, fp32")
    print(f"lm_eval, batches of {arguments.batch_size}: {theirs['seconds']:.1f} s; genflow: {ours['seconds']:.1f} s; "
          f"{theirs['seconds'] / ours['seconds']:.1f} times as fast")
    print(f"largest difference of a log-likelihood: {worst:.1e}; {greedy} of the greedy flags differ")


if __name__ == "__main__":
    main()
