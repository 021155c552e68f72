#!/usr/bin/env python3
"""Downloads, checks and unpacks the pinned archives of cmake/dependencies.json.

Usage: fetch_deps.py [--root DIR] [--group NAME ...]

Prints one line per group, `NAME=FOLDER`, where FOLDER holds the unpacked files.
Downloads are kept by SHA-256 under ROOT/downloads, so any number of clones share
them; a folder appears whole (unpacked aside, then renamed) or not at all.
ROOT is $GENFLOW_DEPS_DIR, or genflow/deps in the user's cache folder.
"""
import argparse
import fcntl
import fnmatch
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent


def default_root():
    if os.environ.get("GENFLOW_DEPS_DIR"):
        return pathlib.Path(os.environ["GENFLOW_DEPS_DIR"])
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "genflow" / "deps"


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def fetch(dep, python, root):
    """Returns the archive of `dep`, downloading it if it is not there yet."""
    home = root / "downloads" / dep["sha256"]
    if home.is_dir():
        for path in home.iterdir():
            return path
    print(f"fetching {dep['name']} {dep['version']}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=root, prefix="fetch-") as folder:
        folder = pathlib.Path(folder)
        requirement = folder / "requirements.txt"
        requirement.write_text(f"{dep['name']}=={dep['version']} --hash=sha256:{dep['sha256']}\n")
        into = folder / "archive"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                   "--disable-pip-version-check", "--require-hashes",
                   "--dest", str(into), "--requirement", str(requirement)]
        if dep["kind"] == "wheel":
            command += ["--only-binary", ":all:", "--python-version", python["version"],
                        "--implementation", python["implementation"]]
            for platform in python["platforms"]:
                command += ["--platform", platform]
        else:
            command += ["--no-binary", dep["name"]]
        # `make` exports its job server; the metadata step of a source archive must not join it.
        env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        for attempt in (1, 2, 3):
            result = subprocess.run(command, env=env, check=False)
            if result.returncode == 0:
                break
        else:
            raise SystemExit(f"error: cannot download {dep['name']} {dep['version']} "
                             f"(pip exit {result.returncode})")
        archives = list(into.iterdir())
        if len(archives) != 1:
            raise SystemExit(f"error: {dep['name']}: expected one archive, got {archives}")
        found = sha256(archives[0])
        if found != dep["sha256"]:
            raise SystemExit(f"error: {archives[0].name}: SHA-256 is {found}, expected {dep['sha256']}")
        home.parent.mkdir(parents=True, exist_ok=True)
        os.replace(into, home)
        return home / archives[0].name


def wanted(name, patterns):
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def unpack(archive, dep, into):
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as bundle:
            for info in bundle.infolist():
                if not info.is_dir() and wanted(info.filename, dep["unpack"]):
                    bundle.extract(info, into)
        return
    with tarfile.open(archive) as bundle:
        for info in bundle:
            inside = info.name.partition("/")[2]
            if info.isfile() and wanted(inside, dep["unpack"]) and ".." not in inside.split("/"):
                info.name = inside
                bundle.extract(info, into)


def group_folder(name, deps, python, root):
    key = hashlib.sha256(json.dumps(deps, sort_keys=True).encode()).hexdigest()[:12]
    folder = root / f"{name}-{key}"
    if folder.is_dir():
        return folder
    staging = pathlib.Path(tempfile.mkdtemp(dir=root, prefix="unpack-"))
    try:
        for dep in deps:
            unpack(fetch(dep, python, root), dep, staging)
        staging.chmod(0o755)
        os.replace(staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return folder


def nvidia_driver():
    """Whether this machine has an NVIDIA driver; $GENFLOW_CUDA=0|1 overrides what is seen."""
    if os.environ.get("GENFLOW_CUDA"):
        return os.environ["GENFLOW_CUDA"] == "1"
    return any(pathlib.Path("/dev").glob("nvidia[0-9]*"))


def applies(dep):
    return dep.get("when") != "nvidia-driver" or nvidia_driver()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=default_root())
    parser.add_argument("--group", action="append")
    args = parser.parse_args()
    table = json.loads((HERE / "dependencies.json").read_text())
    args.root.mkdir(parents=True, exist_ok=True)
    with open(args.root / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in args.group or table["groups"]:
            deps = [dep for dep in table["groups"][name] if applies(dep)]
            folder = group_folder(name, deps, table["python"], args.root)
            print(f"{name}={folder}", flush=True)


if __name__ == "__main__":
    main()
