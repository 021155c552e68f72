#!/bin/sh
# Runs a pipeline as a job of any CI system, or by hand:
#
#   run-pipeline.sh PIPELINE [OPTION OF genflow run]...
#
# REPORTS         folder for junit.xml, summary.md and code-quality.json (default: reports)
# GENFLOW_STORE   the store, which must outlive the job (default: ~/.cache/genflow/NAME OF THE PIPELINE)
#
# Ends with the exit code of genflow: 0 done, 1 a stage failed, 2 invalid pipeline, 3 a gate said no,
# 4 another run goes on, 75 interrupted; after 75 it tries twice more, from the last checkpoint.
set -eu

if [ $# -eq 0 ]; then
  echo "usage: $0 PIPELINE [OPTION OF genflow run]..." >&2
  exit 2
fi
pipeline=$1
shift
name=$(basename "$pipeline" .yaml)
reports=${REPORTS:-reports}
export GENFLOW_STORE="${GENFLOW_STORE:-$HOME/.cache/genflow/$name}"
mkdir -p "$reports" "$(dirname "$GENFLOW_STORE")"

attempt=1
while :; do
  code=0
  genflow run "$pipeline" "$@" \
    --junit "$reports/junit.xml" \
    --summary "$reports/summary.md" \
    --code-quality "$reports/code-quality.json" || code=$?
  [ "$code" -eq 75 ] && [ "$attempt" -lt 3 ] || break
  attempt=$((attempt + 1))
  echo "interrupted: attempt $attempt goes on from there" >&2
done

case $code in
  0) genflow gc --keep-last 5 >/dev/null ;;
  3) echo "a gate said no: $reports/summary.md has the numbers" >&2 ;;
  4) echo "another run of $pipeline goes on with $GENFLOW_STORE" >&2 ;;
esac
exit "$code"
