#!/bin/bash
# Every pipeline of the repository is valid, given files in the place of those that it reads.
set -euo pipefail
genflow=$1 pipelines=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset GENFLOW_PLUGIN_PATH
export HOME=$work XDG_CACHE_HOME=$work/cache

printf 'GGUF' >"$work/model.gguf"
mkdir -p "$work/man/man1" "$work/man/man8"
printf '.TH LS 1\n.SH NAME\nls \\- list directory contents\n' >"$work/man/man1/ls.1"
printf '.TH MOUNT 8\n.SH NAME\nmount \\- mount a filesystem\n' >"$work/man/man8/mount.8"
declare -A stand_ins=([model]=$work/model.gguf [manpages]=$work/man)

# The names under `params:`.
params() {
  awk '/^params:/ { inside = 1; next } /^[^ #]/ { inside = 0 } inside && /^  [a-z_]+:/ { sub(":.*", ""); print $1 }' "$1"
}

seen=0
for pipeline in "$pipelines"/*.yaml; do
  seen=$((seen + 1))
  given=()
  while read -r name; do
    if [ -n "${stand_ins[$name]:-}" ]; then given+=(-p "$name=${stand_ins[$name]}"); fi
  done < <(params "$pipeline")
  if [ ${#given[@]} = 0 ]; then
    echo "$pipeline has none of the parameters ${!stand_ins[*]}: say in $0 what stands in for what it reads"
    exit 1
  fi
  "$genflow" validate "$pipeline" "${given[@]}"
done
if [ $seen = 0 ]; then
  echo "there are no pipelines in $pipelines"
  exit 1
fi
