#!/bin/bash
# Installs genflow into a temporary folder, builds the plugin guide's example against it out of tree, and runs it.
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
  rows:
    uses: data.read
    with: { files: ["*.txt"], format: text }
YAML
echo "a row" >"$work/rows.txt"
# What is installed stands on its own: no plugin may look into the build folder or among the downloads.
if readelf -d "$work"/prefix/lib/genflow/plugins/*.so | grep -E 'R(UN)?PATH' | grep -v '\[\$ORIGIN/'; then
  echo "an installed plugin has an absolute search path"
  exit 1
fi
export GENFLOW_PLUGIN_PATH=$work/build XDG_CACHE_HOME=$work/cache
genflow=$work/prefix/bin/genflow
for file in man/man1/genflow.1 man/man1/genflow-run.1 bash-completion/completions/genflow \
  zsh/site-functions/_genflow fish/vendor_completions.d/genflow.fish; do
  if ! grep -q genflow "$work/prefix/share/$file"; then
    echo "share/$file is not installed"
    exit 1
  fi
done
"$genflow" stages show text.upper | grep -q "Makes text upper case."
"$genflow" run "$work/pipeline.yaml"

sed 's/suffix: "?"/copies: 2, suffix: ""/' "$work/pipeline.yaml" >"$work/wrong.yaml"
if "$genflow" validate "$work/wrong.yaml" 2>"$work/problems"; then
  echo "Check() was not asked"
  exit 1
fi
grep -q "wrong.yaml:10:32: error: suffix is empty, so copies would run into each other" "$work/problems"
grep -q "hint: give one" "$work/problems"
cd "$work"
"$genflow" artifacts export upper.text "$work/result"
result=$(cat "$work/result")
if [ "$result" != "HELLO PLUGIN?" ]; then
  echo "the plugin wrote '$result'"
  exit 1
fi
