#!/usr/bin/env python3
"""Text generation: genflow beside llama.cpp (the xllamacpp wheel) on the same GGUF files, and the machine's own limit.

Prompts of random tokens; reading one of --prompt tokens, and decoding one stream and eight at once, each the time of
--tokens tokens less that of one. A file in BF16 or F32 is computed in that type, any other from its own blocks. The
limits: the products of the model's projections alone, as fast as genflow multiplies them here in bf16 (fp32 for a
file in F32), and attention's at that rate; and reading all weights once a token at the bandwidth that all threads
together reach. Both programs run one after the other, --rounds times over; the best of each counts. Prints tokens/s
and the ratios (above 1: genflow is faster). Then the seconds from starting a process to the first token of an answer,
the median of nine: of `genflow models chat`, and of a Python program that imports the wheel and asks the same.

Needs xllamacpp (peers.txt), and genflow built with -DGENFLOW_BENCH=ON. Other types are made of one file by
`genflow models convert MODEL --to gguf --type bf16|q8_0|q4_k_m -o FILE`.
Usage: python3 bench/generate/run.py BUILD/bin/generate_speed FILE.gguf... [--prompt 512] [--tokens 65] [--threads N]
         [--rounds N]
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

STREAMS = (1, 8)


QUESTION = "What is the capital of France?"


def first_token(command):
    """Seconds until the process has written something."""
    seconds = []
    for _ in range(9):
        begin = time.perf_counter()
        with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as running:
            wrote = running.stdout.read(1)
            seconds.append(time.perf_counter() - begin)
            running.stdout.read()
        if not wrote or running.returncode != 0:
            raise SystemExit(f"{command[0]} ended with {running.returncode}")
    return sorted(seconds)[len(seconds) // 2]


def peer(arguments):
    import xllamacpp

    def server(streams):
        parameters = xllamacpp.CommonParams()
        parameters.model.path = arguments.models[0]
        parameters.n_parallel = streams
        parameters.n_ctx = 1024 * streams
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = arguments.threads
        parameters.n_gpu_layers = 0
        parameters.verbosity = -1
        return xllamacpp.Server(parameters)

    def ask(running, prompts, tokens):
        def one(prompt):
            answers = []
            running.handle_completions({"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True,
                                        "cache_prompt": False}, answers.append)
            assert answers[-1]["usage"]["completion_tokens"] == tokens, answers
        threads = [threading.Thread(target=one, args=(prompt,)) for prompt in prompts]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - begin

    if arguments.part == "first":
        def show(answer):
            print(answer["choices"][0]["message"]["content"], flush=True)
            os._exit(0)
        server(1).handle_chat_completions({"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 1,
                                           "temperature": 0}, show)
    random.seed(1)
    prompt = lambda length: [random.randrange(300, 40000) for _ in range(length)]
    result = {}
    for streams in STREAMS:
        running = server(streams)
        prompts = [prompt(32) for _ in range(streams)]
        ask(running, prompts, 1)
        seconds = {n: min(ask(running, prompts, n) for _ in range(3)) for n in (1, arguments.tokens)}
        result[f"decode_{streams}_tok_s"] = (streams * (arguments.tokens - 1) /
                                             (seconds[arguments.tokens] - seconds[1]))
        if streams == 1:
            long = prompt(arguments.prompt)
            result["prefill_tok_s"] = arguments.prompt / min(ask(running, [long], 1) for _ in range(2))
        del running
    return result


def stored_type(path):
    """The type of the first matrix of a decoder layer, as generate_speed names it."""
    import gguf
    for tensor in gguf.GGUFReader(path).tensors:
        if tensor.name.endswith("ffn_gate.weight"):
            return {"BF16": "bf16", "F32": "fp32"}.get(tensor.tensor_type.name, "gguf")
    raise SystemExit(f"{path}: holds no decoder layer")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=65)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--part", help=argparse.SUPPRESS)  # what a process of its own is to do
    arguments = parser.parse_args()
    if arguments.part:
        return print(json.dumps(peer(arguments)))

    def measure(command):
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              check=True, text=True, timeout=900)
        return json.loads(done.stdout.strip().splitlines()[-1])

    genflow = pathlib.Path(arguments.binary).with_name("genflow")
    rows = ["prefill_tok_s"] + [f"decode_{streams}_tok_s" for streams in STREAMS]
    for model in arguments.models:
        ours, theirs = {}, {}
        other = [sys.executable, __file__, arguments.binary, model, "--prompt", arguments.prompt, "--tokens",
                 arguments.tokens, "--threads", arguments.threads, "--part"]
        for _ in range(arguments.rounds):
            run = measure([arguments.binary, model, stored_type(model), arguments.threads, arguments.prompt,
                           arguments.tokens])
            ours = {key: max(value, ours.get(key, 0)) for key, value in run.items()}
            run = measure([*other, "peer"])
            theirs = {key: max(value, theirs.get(key, 0)) for key, value in run.items()}
        print(f"{pathlib.Path(model).name}, prompt of {arguments.prompt}, {arguments.threads} threads, "
              f"{ours['bandwidth_gb_s']:.0f} GB/s")
        print(f"{'tokens/s':16}{'genflow':>10}{'llama.cpp':>11}{'ratio':>8}{'limit':>9}{'of it':>7}")
        limits = {"prefill_tok_s": ours["prefill_limit_tok_s"], "decode_1_tok_s": ours["decode_limit_tok_s"]}
        for row in rows:
            bound = limits.get(row)
            share = f"{bound:9.0f}{100 * ours[row] / bound:6.0f}%" if bound else ""
            print(f"{row[:-6]:16}{ours[row]:10.1f}{theirs[row]:11.1f}{ours[row] / theirs[row]:8.2f}{share}", flush=True)
        seconds = [first_token([genflow, "models", "chat", model, "--threads", arguments.threads, "--max-tokens", 1,
                                "--prompt", QUESTION]), first_token([*other, "first"])]
        print(f"{'first token, s':16}{seconds[0]:10.2f}{seconds[1]:11.2f}{seconds[1] / seconds[0]:8.2f}", flush=True)


if __name__ == "__main__":
    main()
