#!/bin/bash
# A sweep on a Slurm cluster: Ray on every node of the job, the sweep on the first, again after a requeue.
#
#   sbatch cluster_configs/slurm.sh sweep.yaml "$SCRATCH/runs/first" [options of `sweeper run`]
#   sweeper status "$SCRATCH/runs/first"       from a login node
#   scancel --signal=TERM --batch JOB          ends it in order; the same sbatch goes on
#
# Sweeper and its pinned versions are installed once, on a file system that all nodes see (README.md). Frames
# and the run folder are on such a file system too. Before the time limit the sweep is stopped and the job
# requeued; it goes on from the run folder, and nothing is computed twice.
#
# Change these: sites differ in them most. For GPU nodes add `--constraint=gpu --gpus-per-node=4`.
#SBATCH --job-name=sweeper
#SBATCH --account=YOUR_ACCOUNT
#SBATCH --qos=regular
#SBATCH --nodes=4
#SBATCH --cpus-per-task=128
#SBATCH --time=06:00:00
#
# What follows fits as it is. USR1 comes to this script alone (B), five minutes before the time limit.
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=sweeper-%j.log

set -euo pipefail

if (($# < 2)); then
    echo "usage: sbatch slurm.sh SPEC RUN [options of sweeper run]" >&2
    exit 2
fi
spec=$1 run=$2
shift 2

# Where the environment is; change it when it is not beside this script's clone.
sweeper_env=${SWEEPER_ENV:-$SLURM_SUBMIT_DIR/.venv}
# shellcheck disable=SC1091
. "$sweeper_env/bin/activate"

head=$SLURMD_NODENAME
# The address by which another node of the job is reached: the other way round it leads here. A node's own name may
# stand for its loopback, and there may be no way out of the cluster.
# shellcheck disable=SC2046 # one name a word
address=$(python - "$head" $(scontrol show hostnames "$SLURM_JOB_NODELIST") <<'PYTHON'
import ipaddress, socket, sys

head, *nodes = sys.argv[1:]
others = [node for node in nodes if node != head]
found = []
for other in others:
    try:
        family, kind, _, _, place = socket.getaddrinfo(other, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as way:
            way.connect(place)  # sends nothing
            found.append(way.getsockname()[0])
    except OSError:
        pass  # another one may be known
usable = [address for address in found if not ipaddress.ip_address(address).is_loopback]
if usable or not others:
    print(usable[0] if usable else "127.0.0.1")
else:
    sys.exit(f"no address of {head} leads to {', '.join(others)} ({', '.join(found) or 'no way there'}): look at "
             "/etc/hosts and the routes of the node, or set `address` in this script")
PYTHON
)

# The token keeps other users of these nodes out. It is new for every start, in a file that is yours alone; all
# nodes read it.
umask 077
token=$HOME/.sweeper-token-$SLURM_JOB_ID
python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$token"
chmod 600 "$token"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$token

# One task takes one core; without these every library starts as many threads as there are cores.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
export RAY_USAGE_STATS_ENABLED=0 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0
export RAY_TRAIN_HEALTH_CHECK_INTERVAL_S=0.2 RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS=0
export RAY_idle_worker_killing_time_threshold_ms=600000 RAY_worker_maximum_startup_concurrency=64

cpus=${SLURM_CPUS_PER_TASK:-$(nproc)}
gpus=${SLURM_GPUS_ON_NODE:-0}
# A trial waits in a slot, takes no core, and keeps one core a fold busy: half as many slots as cores are plenty.
slots="{\"trial_slot\": $((cpus / 2 + 1))}"
port=$((20000 + SLURM_JOB_ID % 20000)) # jobs that share a node must not meet
started=()
current='' status=0 requeue=no stopping=no signalled=no

stop_ray() {
    trap - EXIT
    for pid in "${started[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    wait || true
    rm -f "$token"
}

# shellcheck disable=SC2317 # the traps call it
stop_current() {
    signalled=yes stopping=yes
    if [[ -n $current ]]; then
        kill -TERM "$current" 2>/dev/null || true
    fi
}

# Exit status of the process that was started last; a signal interrupts `wait`, and the process may then need a
# moment, as the sweep does to put its journal on disk.
await_current() {
    current=$1
    while true; do
        signalled=no status=0
        wait "$current" || status=$?
        [[ $signalled == yes ]] || break
    done
    current=''
}

trap stop_ray EXIT
trap 'requeue=yes; stop_current' USR1 # the time limit is near
trap stop_current TERM                # preempted (Slurm requeues by itself), or scancel

# The dashboard listens on the first node's loopback alone: `ssh -L 8265:127.0.0.1:8265 NODE` gets there. Ray's
# files go to a folder of this job's own in each node's /tmp.
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --block --node-ip-address="$address" --port="$port" --dashboard-host=127.0.0.1 \
    --num-cpus="$cpus" --num-gpus="$gpus" --resources="$slots" --temp-dir="/tmp/ray-$SLURM_JOB_ID" &
started+=($!)
if ((SLURM_JOB_NUM_NODES > 1)); then
    workers=$((SLURM_JOB_NUM_NODES - 1))
    # shellcheck disable=SC2016 # expanded on the node
    srun --overlap --nodes="$workers" --ntasks="$workers" --exclude="$head" bash -c '
        until ray start --address="$0" --block --num-cpus="$1" --num-gpus="$2" --resources="$3"; do
            sleep 5 # the head is not there yet
        done' "$address:$port" "$cpus" "$gpus" "$slots" &
    started+=($!)
fi

# All nodes have joined before the sweep starts: it takes what is there as all there is.
python - "$address:$port" "$SLURM_JOB_NUM_NODES" <<'PYTHON' &
import sys, time

import ray

address, wanted = sys.argv[1], int(sys.argv[2])
deadline = time.monotonic() + 600
while True:
    try:
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        alive = sum(node["Alive"] for node in ray.nodes())
    except ConnectionError:
        alive = 0
    if alive >= wanted:
        break
    if time.monotonic() > deadline:
        sys.exit(f"{alive} of {wanted} nodes joined within ten minutes")
    time.sleep(2)
print(f"Ray on {alive} nodes, {ray.cluster_resources().get('CPU', 0):.0f} cores, at {address}", flush=True)
PYTHON
await_current $!

if [[ $status == 0 && $stopping == no ]]; then
    sweeper run "$spec" --out "$run" --address "$address:$port" "$@" &
    await_current $!
fi
stop_ray
if [[ $requeue == yes && ($status == 130 || $status == 143) ]]; then
    echo "the time limit is near: requeued, goes on from $run"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
