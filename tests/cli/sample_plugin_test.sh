#!/bin/bash
# Installs genflow into a temporary folder, builds the sample plugin against it out of tree, and runs it.
set -euo pipefail
cmake=$1 build=$2 source=$3 compiler=$4
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

"$cmake" --install "$build" --prefix "$work/prefix" >"$work/install.log" || { cat "$work/install.log"; exit 1; }
"$cmake" -S "$source" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_BUILD_TYPE=Release >"$work/configure.log" 2>&1 || { cat "$work/configure.log"; exit 1; }
"$cmake" --build "$work/build" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }

cat >"$work/pipeline.yaml" <<'YAML'
name: sample
stages:
  hello:
    uses: exec
    with: { run: 'printf "hello plugin" > "$GENFLOW_OUT_TEXT"' }
    out: { text: file }
  upper:
    uses: text.upper
    in: { text: hello.text }
    with: { suffix: "?" }
YAML
export GENFLOW_PLUGIN_PATH=$work/build
genflow=$work/prefix/bin/genflow
"$genflow" stages show text.upper | grep -q "Makes text upper case."
"$genflow" run "$work/pipeline.yaml"
cd "$work"
"$genflow" artifacts export upper.text "$work/result"
result=$(cat "$work/result")
if [ "$result" != "HELLO PLUGIN?" ]; then
  echo "the plugin wrote '$result'"
  exit 1
fi
