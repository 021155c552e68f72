#!/usr/bin/env python3
"""100 trivial stages: genflow beside Snakemake, DVC and ninja, cold and with nothing to do.

Usage: run.py [--genflow PATH] [--stages N] [--runs N] [--json FILE]

Every tool runs the same graph: N independent steps that each write one small file. `cold` starts with
no state at all, `again` runs with everything done. The best of --runs counts. Peers that are not
installed beside this interpreter or on PATH are named and left out.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def find(name):
    beside = pathlib.Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def genflow_project(folder, count, binary):
    lines = ["name: bench", "stages:"]
    for i in range(count):
        lines += [f"  s{i}:", "    uses: exec", f"    with: {{ run: 'echo {i} > $GENFLOW_OUT_OUT' }}",
                  "    out: { out: file }"]
    (folder / "pipeline.yaml").write_text("\n".join(lines) + "\n")
    return [binary, "run", "--quiet", "pipeline.yaml"]


def ninja_project(folder, count, binary):
    lines = ["rule step", "  command = bash -c 'echo $i > $out'"]
    for i in range(count):
        lines += [f"build out{i}: step", f"  i = {i}"]
    (folder / "build.ninja").write_text("\n".join(lines) + "\n")
    return [binary, "--quiet"]


def snakemake_project(folder, count, binary):
    text = f"rule all:\n    input: expand('out{{i}}', i=range({count}))\n"
    text += "rule step:\n    output: 'out{i}'\n    shell: 'echo {wildcards.i} > {output}'\n"
    (folder / "Snakefile").write_text(text)
    return [binary, "--cores", str(os.cpu_count()), "--quiet", "all"]


def dvc_project(folder, count, binary):
    subprocess.run([binary, "init", "--no-scm", "--quiet"], cwd=folder, check=True)
    text = "stages:\n"
    for i in range(count):
        text += f"  s{i}:\n    cmd: echo {i} > out{i}\n    outs: [out{i}]\n"
    (folder / "dvc.yaml").write_text(text)
    return [binary, "repro", "--quiet"]


def timed(command, folder):
    env = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    start = time.perf_counter()
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed ({result.returncode}):\n{result.stdout}{result.stderr}")
    return seconds


def measure(project, binary, count, runs):
    cold, again = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            command = project(folder, count, binary)
            cold.append(timed(command, folder))
            again.append(min(timed(command, folder) for _ in range(3)))
    return min(cold), min(again)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--genflow", default=str(ROOT / "build/release/bin/genflow"))
    parser.add_argument("--stages", type=int, default=100)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()

    tools = [("genflow", genflow_project, args.genflow), ("ninja", ninja_project, find("ninja")),
             ("Snakemake", snakemake_project, find("snakemake")), ("DVC", dvc_project, find("dvc"))]
    results = {}
    for name, project, binary in tools:
        if binary is None or not pathlib.Path(binary).exists():
            print(f"{name}: not installed, left out", file=sys.stderr)
            continue
        results[name] = measure(project, binary, args.stages, args.runs)

    # What `make quickstart` makes first; the pipeline is not valid without it.
    subprocess.run([ROOT / "tools/manpages", ROOT / "data/manpages"], check=True, stdout=subprocess.DEVNULL)

    def best(command, times=20):
        return min(timed(command, ROOT) for _ in range(times))

    startup = {"genflow --version": best([args.genflow, "--version"]),
               "genflow validate pipelines/quickstart.yaml":
                   best([args.genflow, "validate", str(ROOT / "pipelines/quickstart.yaml")])}

    mine = results["genflow"]
    print(f"{args.stages} trivial stages, {os.cpu_count()} cores, best of {args.runs}\n")
    print(f"{'':12}{'cold':>10}{'again':>10}{'cold / genflow':>17}{'again / genflow':>17}")
    for name, (cold, again) in results.items():
        print(f"{name:12}{cold:>9.3f}s{again:>9.3f}s{cold / mine[0]:>16.1f}x{again / mine[1]:>16.1f}x")
    print()
    for name, seconds in startup.items():
        print(f"{name}: {seconds * 1000:.1f} ms")
    if args.json:
        args.json.write_text(json.dumps({"stages": args.stages, "seconds": results, "startup": startup}, indent=2))


if __name__ == "__main__":
    main()
