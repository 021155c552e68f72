#!/usr/bin/env python3
"""Opens a package with the tools of others and compares what they compute with genflow.

For each of the held-out prompts of a dataset: the log-probabilities of genflow's eight most probable next
tokens, and greedy text wherever the two most probable tokens are more than GAP apart.

  PEFT          adapter/ on the base model, fp32        within 1e-2 of genflow with the adapter
  transformers  merged/ in fp32                         within 1e-2 of genflow on merged/
  llama.cpp     gguf/*.gguf (F16)                       within 5e-2 of genflow with the adapter, fp32

Needs torch, transformers, peft, gguf, pyarrow and xllamacpp. Exits with 1 when anything is off.

usage: package_check.py --genflow build/release/bin/genflow --package DIR --base MODEL --dataset DIR [--prompts 20]
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

from pyarrow import parquet

GAP = 0.1
TOP = 8
NEW_TOKENS = 32


def genflow_rows(args, work, name, model, adapter=None):
    """Sample rows of eval.logprobs in fp32."""
    out = os.path.join(work, name)
    command = [args.genflow, "stages", "run", "eval.logprobs", "--out", out, "--in", f"model={model}",
               "--in", f"dataset={args.dataset}", "--with",
               json.dumps({"dtype": "fp32", "device": "cpu", "top_k": TOP, "max_examples": args.prompts,
                           "max_new_tokens": NEW_TOKENS})]
    if adapter:
        command += ["--in", f"adapter={adapter}"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    rows = []
    for row in parquet.read_table(os.path.join(out, "report", "samples.parquet")).to_pylist():
        for key in ("prompt_tokens", "top_tokens", "top_logprobs", "greedy_tokens", "greedy_gaps"):
            row[key] = json.loads(row[key])
        rows.append(row)
    if len(rows) != args.prompts:
        raise SystemExit(f"{args.prompts} prompts are wanted, and {len(rows)} were held out")
    return rows


class Tally:
    """Differences of one tool over all prompts."""

    def __init__(self, name, tolerance):
        self.name, self.tolerance = name, tolerance
        self.worst, self.turned, self.near_ties, self.tokens = 0.0, [], 0, 0

    def logprobs(self, row, theirs):
        """theirs: token id -> log-probability."""
        for token, value in zip(row["top_tokens"], row["top_logprobs"]):
            self.worst = max(self.worst, abs(value - theirs[token]))

    def greedy(self, row, theirs):
        """theirs: greedy token ids, the end-of-turn token included or not."""
        for i, token in enumerate(row["greedy_tokens"]):
            self.tokens += 1
            if i < len(theirs) and theirs[i] == token:
                continue
            if row["greedy_gaps"][i] <= GAP:
                self.near_ties += 1
            else:
                self.turned.append((row["id"], i, token, theirs[i] if i < len(theirs) else None))
            return

    def report(self):
        good = self.worst <= self.tolerance and not self.turned and self.tokens > 0
        print(f"{'ok  ' if good else 'FAIL'} {self.name:13} worst log-probability difference {self.worst:.2e} "
              f"(at most {self.tolerance:.0e}); {self.tokens} greedy tokens, {len(self.turned)} turned, "
              f"{self.near_ties} answers left at a near tie")
        for case in self.turned[:5]:
            print("       prompt %s, token %d: genflow %s, %s %s" % (case[0], case[1], case[2], self.name, case[3]))
        return good


def check_transformers(model, rows, tally):
    import torch
    model.eval()
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row["prompt_tokens"]])
            scores = torch.log_softmax(model(ids).logits[0, -1].float(), -1)
            tally.logprobs(row, {t: scores[t].item() for t in row["top_tokens"]})
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False)
            tally.greedy(row, out[0, ids.shape[1]:].tolist())


def check_llama_cpp(path, rows, tally):
    import xllamacpp
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = 2048
    params.cpuparams.n_threads = os.cpu_count()
    params.n_gpu_layers = 0
    params.n_parallel = 1
    server = xllamacpp.Server(params)
    for row in rows:
        answer = server.handle_completions({
            "prompt": row["prompt_tokens"], "n_predict": len(row["greedy_tokens"]) or 1, "temperature": 0.0,
            "top_k": 1, "n_probs": 4 * TOP, "cache_prompt": False})
        if isinstance(answer, str):
            answer = json.loads(answer)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        steps = completion_steps(answer)
        theirs = {entry["id"]: entry["logprob"] for entry in steps[0]["top_logprobs"]}
        missing = [t for t in row["top_tokens"] if t not in theirs]
        if missing:
            raise RuntimeError(f"llama.cpp does not list tokens {missing} among its {4 * TOP} most probable")
        tally.logprobs(row, theirs)
        tally.greedy(row, [step["id"] for step in steps])


def completion_steps(answer):
    """Per-token entries, wherever this version of the server puts them."""
    if "completion_probabilities" in answer:
        return answer["completion_probabilities"]
    return answer["choices"][0]["logprobs"]["content"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--genflow", required=True)
    parser.add_argument("--package", required=True)
    parser.add_argument("--base", required=True, help="the base model: Hugging Face folder, or .gguf file")
    parser.add_argument("--dataset", required=True, help="a messages dataset of held-out examples")
    parser.add_argument("--prompts", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="package_check_") as work:
        return check(args, work)


def check(args, work):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter, merged = os.path.join(args.package, "adapter"), os.path.join(args.package, "merged")
    gguf = glob.glob(os.path.join(args.package, "gguf", "*.gguf"))
    tuned = genflow_rows(args, work, "tuned", args.base, adapter)
    whole = genflow_rows(args, work, "merged", merged)
    good = []

    if args.base.endswith(".gguf"):
        base = AutoModelForCausalLM.from_pretrained(os.path.dirname(args.base), gguf_file=os.path.basename(args.base),
                                                    dtype=torch.float32)
    else:
        base = AutoModelForCausalLM.from_pretrained(args.base, dtype=torch.float32)
    tally = Tally("PEFT", 1e-2)
    check_transformers(PeftModel.from_pretrained(base, adapter), tuned, tally)
    good.append(tally.report())
    del base

    tally = Tally("transformers", 1e-2)
    check_transformers(AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32), whole, tally)
    good.append(tally.report())

    tally = Tally("llama.cpp", 5e-2)
    check_llama_cpp(gguf[0], tuned, tally)
    good.append(tally.report())
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
