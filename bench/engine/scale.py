#!/usr/bin/env python3
"""What genflow's engine and store cost at scale, beside ninja and the machine's own limits.

Usage: scale.py [--genflow PATH] [--plugins FOLDER] [--artifacts N] [--gigabytes N] [--json FILE]

- 10,000 stages in 100 layers: validate, a cold run of `true`, a run with nothing to do, memory; ninja the same.
- A store of N artifacts (default 100,000), and of a fifth: how long its questions, fsck and gc take.
- A stage's own cost: a chain of stages of a small plugin (the tests' own) and of `exec: "true"`.
- One large artifact handed from stage to stage: hashing, beside `openssl speed sha256`.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def timed(command, folder, env=None):
    """Seconds, and the peak memory of the process in MB."""
    with tempfile.TemporaryFile("w+") as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status != 0:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} failed ({status}):\n{said.read()}")
    return seconds, usage.ru_maxrss / 1024


def layers(count, width):
    lines, rules = ["name: layers", "stages:"], ["rule step", "  command = bash -c 'true $i && touch $out'"]
    for layer in range(count):
        for i in range(width):
            needs = [f"s{layer - 1}_{i}", f"s{layer - 1}_{(i + 1) % width}"] if layer else []
            lines += [f"  s{layer}_{i}:", "    uses: exec", f'    with: {{ run: "true {layer} {i}" }}']
            lines += [f"    needs: [{', '.join(needs)}]"] if needs else []
            rules += [f"build s{layer}_{i}: step {' '.join(needs)}", f"  i = {layer} {i}"]
    return "\n".join(lines) + "\n", "\n".join(rules) + "\n"


def measure_layers(genflow, results):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        pipeline, ninja_file = layers(100, 100)
        (folder / "pipeline.yaml").write_text(pipeline)
        results["validate"], _ = timed([genflow, "validate", "pipeline.yaml"], folder)
        results["cold"], _ = timed([genflow, "run", "--quiet", "pipeline.yaml"], folder)
        again = [timed([genflow, "run", "--quiet", "pipeline.yaml"], folder) for _ in range(3)]
        results["again"], results["megabytes"] = min(again)
        ninja = shutil.which("ninja")
        if ninja:
            (folder / "build.ninja").write_text(ninja_file)
            results["ninja_cold"], _ = timed([ninja, "--quiet"], folder)
            results["ninja_again"] = min(timed([ninja, "--quiet"], folder)[0] for _ in range(3))
    print("10,000 stages in 100 layers")
    print(f"  validate {results['validate']:.2f} s; nothing to do (validate, plan, look up) {results['again']:.2f} s, "
          f"{results['megabytes']:.0f} MB")
    print(f"  cold {results['cold']:.1f} s, {10000 / results['cold']:.0f} stages/s")
    if ninja:
        print(f"  ninja: cold {results['ninja_cold']:.1f} s ({results['cold'] / results['ninja_cold']:.1f} times as long "
              f"here), nothing to do {results['ninja_again']:.2f} s")


def measure_store(genflow, count, results):
    ports = 100
    lines = ["name: many", "stages:"]
    for i in range(count // ports):
        outputs = ", ".join(f"o{j}: file" for j in range(ports))
        run = f'for v in ${{!GENFLOW_OUT_*}}; do echo {i} $v > "${{!v}}"; done'
        lines += [f"  s{i}:", "    uses: exec", f"    with: {{ run: '{run}' }}", f"    out: {{ {outputs} }}"]
    one = "name: one\nstages:\n  one:\n    uses: exec\n    with: { run: 'true' }\n"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "many.yaml").write_text("\n".join(lines) + "\n")
        (folder / "one.yaml").write_text(one)
        many = [genflow, "run", "--quiet", "many.yaml"]
        results["made"], results["made_megabytes"] = timed(many, folder)
        _, results["again_megabytes"] = timed(many, folder)
        timed([genflow, "run", "--quiet", "one.yaml"], folder)
        commands = {"runs ls": ["runs", "ls"], "artifacts ls": ["artifacts", "ls"],
                    "artifacts show": ["artifacts", "show", "s1.o1"],
                    "a run that is cached": ["run", "--quiet", "one.yaml"]}
        for title, arguments in commands.items():
            results[title] = min(timed([genflow, *arguments], folder)[0] for _ in range(5))
        results["gc --dry-run"], _ = timed([genflow, "gc", "--dry-run"], folder)
        results["fsck"], _ = timed([genflow, "fsck"], folder)
        runs = json.loads(subprocess.run([genflow, "runs", "ls", "--json"], cwd=folder, capture_output=True, text=True,
                                         check=True).stdout)
        for run in runs:
            if run["pipeline"] == "many":
                timed([genflow, "runs", "rm", run["id"]], folder)
        results["gc"], _ = timed([genflow, "gc"], folder)
    print(f"\nA store of {count:,} artifacts (made by one run in {results['made']:.0f} s, "
          f"{results['made_megabytes']:.0f} MB; again, cached, {results['again_megabytes']:.0f} MB)")
    for title in list(commands):
        print(f"  {title}: {results[title] * 1000:.0f} ms")
    print(f"  gc --dry-run: {results['gc --dry-run']:.1f} s")
    for title in ("fsck", "gc"):
        print(f"  {title} of all of it: {results[title]:.1f} s, {results[title] / count * 1e6:.0f} us an artifact")


def measure_stage(genflow, plugins, results):
    count = 50
    chains = {"exec": ("    uses: exec\n    with: {{ run: 'echo {i} > $GENFLOW_OUT_OUT' }}\n    out: {{ out: file }}\n"),
              "plugin": "    uses: test.act\n    with: {{ text: '{i}' }}\n"}
    print("\nA stage's own cost (start, run, commit), in a chain of 50")
    for title, body in chains.items():
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            lines = ["name: chain", "stages:"]
            for i in range(count):
                lines.append(f"  s{i}:")
                lines.append((f"    needs: [s{i - 1}]\n" if i else "") + body.format(i=i).rstrip("\n"))
            (folder / "pipeline.yaml").write_text("\n".join(lines) + "\n")
            env = {**os.environ, "GENFLOW_PLUGIN_PATH": plugins}
            seconds = []
            for _ in range(3):
                shutil.rmtree(folder / ".genflow", ignore_errors=True)
                seconds.append(timed([genflow, "run", "--quiet", "pipeline.yaml"], folder, env)[0])
            results[title] = min(seconds) / count
        print(f"  {title}: {results[title] * 1000:.1f} ms")


def measure_hash(genflow, gigabytes, results):
    text = f"""name: large
stages:
  make:
    uses: exec
    with: {{ run: 'head -c {gigabytes}G /dev/zero > $GENFLOW_OUT_F' }}
    out: {{ f: file }}
  use:
    uses: exec
    in: {{ f: make.f }}
    with: {{ run: 'stat -c %s $GENFLOW_IN_F > $GENFLOW_OUT_G' }}
    out: {{ g: file }}
"""
    speed = subprocess.run(["openssl", "speed", "-seconds", "1", "-bytes", "1048576", "sha256"], capture_output=True,
                           text=True, check=False)
    limit = re.findall(r"([\d.]+)k", speed.stdout)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "pipeline.yaml").write_text(text)
        start = time.perf_counter()
        subprocess.run(["sh", "-c", f"head -c {gigabytes}G /dev/zero > written; sync written"], cwd=folder, check=True)
        results["write"] = time.perf_counter() - start
        (folder / "written").unlink()
        results["run"], _ = timed([genflow, "run", "--quiet", "pipeline.yaml"], folder)
        results["again"], _ = timed([genflow, "run", "--quiet", "pipeline.yaml"], folder)
    print(f"\nAn artifact of {gigabytes} GB from one stage to the next")
    print(f"  the whole run {results['run']:.1f} s, of which writing and syncing the file alone takes "
          f"{results['write']:.1f} s; again {results['again'] * 1000:.0f} ms")
    if limit:
        results["sha256_limit"] = float(limit[-1]) * 1000
        print(f"  SHA-256 on one core of this machine (openssl speed): {results['sha256_limit'] / 1e6:.0f} MB/s"
              f"{'' if 'sha_ni' in pathlib.Path('/proc/cpuinfo').read_text() else ', without SHA-NI'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--genflow", default=str(ROOT / "build/release/bin/genflow"))
    parser.add_argument("--plugins", default=str(ROOT / "build/release/tests/cli/plugins"))
    parser.add_argument("--artifacts", type=int, default=100_000)
    parser.add_argument("--gigabytes", type=int, default=4)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    results = {"layers": {}, "small_store": {}, "store": {}, "stage": {}, "large": {}}
    # First, before the disk has the writes of the others to catch up with.
    measure_stage(args.genflow, args.plugins, results["stage"])
    measure_layers(args.genflow, results["layers"])
    measure_hash(args.genflow, args.gigabytes, results["large"])
    measure_store(args.genflow, args.artifacts // 5, results["small_store"])
    measure_store(args.genflow, args.artifacts, results["store"])
    if args.json:
        args.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    sys.exit(main())
