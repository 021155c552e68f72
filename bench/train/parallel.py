#!/usr/bin/env python3
"""LoRA training in one process and in several: the same updates on the same machine.

Every token labelled, r = 16 on all projections, AdamW; an update is `--batch` rows of `--length` tokens, whoever
computes them. `--rounds` times over, one setting after the other; the best update of each counts, after a first one that
warms up. Prints tokens/s of all processes together, peak resident memory of all together, and the share of N times one
process of one thread that N of them, and one process of N threads, reach.

Needs torch, transformers and gguf to make the model's folder, and genflow built with -DGENFLOW_BENCH=ON.
Usage: python3 bench/train/parallel.py BUILD/bin/train_speed FILE.gguf|0.5b|1.5b [--dtypes fp32,bf16] [--batch 4]
         [--length 512] [--processes 2] [--steps N] [--rounds N]
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from run import RANK


def measure(arguments, folder, dtype, processes, threads):
    """Best tokens/s of an update, and megabytes in all."""
    with tempfile.TemporaryDirectory() as meeting:
        command = [arguments.binary, folder, dtype, threads, arguments.steps, arguments.batch, arguments.length, RANK]
        more = [[rank, processes, f"{meeting}/file"] if processes > 1 else [] for rank in range(processes)]
        started = [subprocess.Popen([str(part) for part in command + own], stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL, text=True) for own in more]
        outs = [process.communicate(timeout=1800)[0] for process in started]
    if any(process.returncode != 0 for process in started):
        sys.exit(f"{arguments.binary} failed")
    results = [json.loads(out.strip().splitlines()[-1]) for out in outs]
    return results[0]["tokens_per_second"], sum(result["peak_mb"] for result in results)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("model")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--dtypes", default="fp32,bf16")
    arguments = parser.parse_args()
    n = arguments.processes
    print(f"{pathlib.Path(arguments.model).name}, {arguments.batch} x {arguments.length} tokens an update, r {RANK}, "
          f"{arguments.steps} updates, best of {arguments.rounds} rounds")
    print(f"{'':36}{'tokens/s':>10}{'peak MB':>10}{f'of {n} x one':>12}")
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, str(pathlib.Path(__file__).with_name("run.py")), str(arguments.binary), arguments.model]
        subprocess.run([*run, "--part", "model", "--folder", folder], check=True, timeout=900,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for dtype in arguments.dtypes.split(","):
            settings = [(1, 1), (1, n), (n, 1)]
            found = {setting: [] for setting in settings}
            for _ in range(arguments.rounds):
                for setting in settings:
                    found[setting].append(measure(arguments, folder, dtype, *setting))
            one = max(speed for speed, _ in found[1, 1])
            for processes, threads in settings:
                speed = max(s for s, _ in found[processes, threads])
                peak = min(p for _, p in found[processes, threads])
                name = (f"{dtype}, {processes} process{'es' if processes > 1 else ''} of {threads} "
                        f"thread{'s' if threads > 1 else ''}")
                print(f"{name:36}{speed:10.0f}{peak:10.0f}{100 * speed / one / n:11.0f}%", flush=True)


if __name__ == "__main__":
    main()
