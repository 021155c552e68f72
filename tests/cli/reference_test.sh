#!/bin/bash
# docs/reference must be what `genflow stages reference` writes. A build without torch lacks some plugins: then
# the pages of those that it has are compared.
set -euo pipefail
genflow=$1 docs=$2 complete=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset GENFLOW_PLUGIN_PATH
"$genflow" stages reference --output "$work" >/dev/null
stale=0
for page in "$work"/*.md; do
  name=$(basename "$page")
  if [ "$name" = README.md ] && [ "$complete" != ON ]; then continue; fi
  if ! diff -u "$docs/$name" "$page"; then stale=1; fi
done
if [ "$complete" = ON ]; then
  for page in "$docs"/*.md; do
    if [ ! -e "$work/$(basename "$page")" ]; then
      echo "$page describes a plugin that is gone"
      stale=1
    fi
  done
fi
if [ $stale = 1 ]; then
  echo "write them again: genflow stages reference --output docs/reference"
  exit 1
fi
