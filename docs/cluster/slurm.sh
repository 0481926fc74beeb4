#!/bin/bash
# sbatch docs/cluster/slurm.sh manifest.csv /shared/out --size 224
# A job array of 16 tasks, each with its share of the parts; a task that was stopped before its end is queued again.
#SBATCH --job-name=flowkit
#SBATCH --array=1-16
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@60
set -u
manifest=$1 out=$2
shift 2
# srun passes the SIGTERM of --signal on to flowkit.
srun --ntasks=1 flowkit extract "$manifest" -o "$out" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --workers "$SLURM_CPUS_PER_TASK" --log "$out.$SLURM_ARRAY_TASK_ID.jsonl" "$@"
code=$?
if [ $code -eq 3 ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit $code
