#!/usr/bin/env python3
"""What stages that share a base model spend until they have it: what a worker that keeps it would save.

Usage: model_load.py [--genflow PATH] [--pipeline FILE] [--examples N]

Runs the quickstart once on N training examples (default 40), one stage at a time, in a store of its own, and prints
for each stage that loads the model the seconds from its start to the model (process, libraries, reading,
dequantising, adapter). All but the first of them are what a warm worker could save. `make quickstart` brings the
manual pages and the model that the pipeline reads.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOADED = ("model on ", "trainable parameters in ")  # what stages log once they have it


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--genflow", default=str(ROOT / "build/release/bin/genflow"))
    parser.add_argument("--pipeline", default=str(ROOT / "pipelines/quickstart.yaml"))
    parser.add_argument("--examples", type=int, default=40)
    args = parser.parse_args()
    started, loaded, ended = {}, {}, {}
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as store:
        run = subprocess.Popen(
            [args.genflow, "run", args.pipeline, "--json", "--jobs", "1", "-k", "--store", store, "-p",
             f"train_examples={args.examples}", "-p", f"test_examples={max(4, args.examples // 8)}"],
            stdout=subprocess.PIPE, text=True)
        for line in run.stdout:
            event = json.loads(line)
            now = time.perf_counter() - begin
            stage = event.get("stage")
            if event["event"] == "stage-started":
                started[stage] = now
            elif event["event"] == "stage-finished":
                ended[stage] = now
            elif event["event"] == "log" and any(text in event.get("text", "") for text in LOADED):
                loaded.setdefault(stage, now)
        run.wait()
    total = time.perf_counter() - begin
    waits = {stage: loaded[stage] - started[stage] for stage in loaded}
    if len(waits) < 2:
        raise SystemExit("fewer than two stages have loaded the model: run it on the quickstart's pipeline")
    print(f"The whole run: {total:.1f} s")
    for stage, seconds in waits.items():
        print(f"  {stage}: has the model after {seconds:.2f} s of {ended[stage] - started[stage]:.1f} s")
    print(f"  a worker that keeps it could save {sum(waits.values()) - max(waits.values()):.2f} s of it")


if __name__ == "__main__":
    sys.exit(main())
