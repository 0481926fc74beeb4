#!/bin/bash
# docs/cluster/ray_job.sh http://HEAD:8265 /shared/manifest.csv /shared/out --size 224
# Runs an extraction as a job of a running Ray cluster, whose nodes have flowkit and see /shared.
set -eu
dashboard=$1 manifest=$2 out=$3
shift 3
ray job submit --address "$dashboard" -- flowkit extract "$manifest" -o "$out" --engine ray "$@"
