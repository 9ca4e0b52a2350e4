#!/usr/bin/env bash
# The SLURM profile on a real SLURM on this one machine, with faked GPUs: installs Debian's packages, starts munge,
# slurmctld and slurmd, runs the smoke configuration through the queue, kills a fit in the middle, finishes, compares the
# bytes with an undisturbed local run, and stops what it started. As root, on a throw-away machine: it writes
# /etc/slurm. Not part of `make test`.
#
#     sudo tests/slurm.sh          every kind of cell, some 20 minutes on two cores
#     sudo tests/slurm.sh tiny     three cells, 3 minutes
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

die() { failed=1; echo "slurm.sh: $*; see ${work:-}" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "must be root to install and start SLURM; run it with sudo"
[ -x .venv/bin/python ] || die "there is no environment; run make env first"
[ ! -e /etc/slurm/slurm.conf ] || grep -q "written by tests/slurm.sh" /etc/slurm/slurm.conf ||
    die "/etc/slurm/slurm.conf exists already: this machine has a SLURM of its own"


echo "== install"
if ! command -v slurmctld > /dev/null || ! command -v munged > /dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends slurm-wlm munge > /dev/null
fi
python -m pip install --quiet --disable-pip-version-check -e '.[slurm]'

case "${1:-smoke}" in
    smoke) target=all overlays=(workflow/config/smoke.yaml) ;;
    tiny) target=demo overlays=(workflow/config/demo.yaml tests/tiny.yaml) ;;
    *) die "unknown configuration $1; say smoke or tiny" ;;
esac
work=$(mktemp -d)
host=$(hostname -s)
daemons=() # the process ids of those that are started here: others' are not ended
stop() {
    trap - EXIT
    scancel --user=root > /dev/null 2>&1 || true
    for daemon in "${daemons[@]}"; do kill "$daemon" 2> /dev/null || true; done
    rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
    # with the plugin there and no SLURM, every start of snakemake would wait for it
    python -m pip uninstall --quiet -y snakemake-executor-plugin-slurm snakemake-executor-plugin-slurm-jobstep || true
    [ -n "${failed:-}" ] || rm -rf "$work"
}
trap stop EXIT

echo "== start"
mkdir -p /etc/slurm "$work"/{state,spool,log}
cat > /etc/slurm/slurm.conf << EOF
# written by tests/slurm.sh
ClusterName=here
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
GresTypes=gpu
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/log/slurmctld.log
SlurmdLogFile=$work/log/slurmd.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=20000 Gres=gpu:2 State=UNKNOWN
PartitionName=debug Nodes=$host Default=YES MaxTime=INFINITE State=UP
EOF
echo "NodeName=$host Name=gpu File=/dev/null,/dev/zero" > /etc/slurm/gres.conf
mkdir -p /run/munge && chown munge /run/munge
[ -s /etc/munge/munge.key ] || { head -c 1024 /dev/urandom > /etc/munge/munge.key; chmod 400 /etc/munge/munge.key; }
chown munge /etc/munge/munge.key
start() { "$@" >> "$work/log/daemons.log" 2>&1 & daemons=("$!" "${daemons[@]}"); }
# Debian's package may have started munge already; that one will do, and stays
pgrep -x munged > /dev/null || start setpriv --reuid=munge --regid=munge --init-groups /usr/sbin/munged --foreground
for _ in $(seq 10); do munge -n > /dev/null 2>&1 && break; sleep 1; done
start slurmctld -D
start slurmd -D -N "$host"
for _ in $(seq 30); do sinfo -h -o %T 2> /dev/null | grep -q idle && break; sleep 1; done
sinfo -h -o "%N %T %G" | grep idle || die "the node did not come up; see $work/log"

echo "== an undisturbed run without SLURM, to compare with"
# the jobs ask the queue for a faked GPU, and run on the CPU that is there; one kind of fit is long enough to kill
cat > "$work/gpu.yaml" << EOF
seeds: [0]
execution: {device: auto, save_every: 0.5}
variants: {decoupled: {training: {iterations: 5000}}}
EOF
overlays+=("$work/gpu.yaml")
export IMAGENET="$work/imagenet"
python tests/image_folder.py "$IMAGENET"
copy() {
    mkdir -p "$1"
    cp -r Snakefile config.yaml workflow profiles nern "$1"
    mkdir "$1/tests" && cp tests/tiny.yaml "$1/tests"
}
copy "$work/local"
copy "$work/cluster"
(cd "$work/local" && snakemake --cores "$(nproc)" "$target" --configfile "${overlays[@]}" > "$work/local.log" 2>&1) ||
    { tail -30 "$work/local.log"; die "the local run failed"; }

echo "== through the queue, with a fit killed in the middle"
cd "$work/cluster"
submit() {
    snakemake --workflow-profile workflow/profiles/slurm "$target" --configfile "${overlays[@]}" \
        --slurm-status-command squeue --slurm-no-account --slurm-init-seconds-before-status-checks 2 \
        --seconds-between-status-checks 2 --latency-wait 10 --default-resources slurm_partition=debug mem_mb=2000 runtime=20
}
submit > "$work/cluster.log" 2>&1 &
driver=$!
killed=""
while [ -z "$killed" ] && kill -0 "$driver" 2> /dev/null; do
    for state in $(find results -name state.safetensors 2> /dev/null); do
        for pid in $(pgrep -f -- "-m nern fit $(dirname "$state") "); do
            # a fit of that name elsewhere is not this run's
            if [ "$(readlink "/proc/$pid/cwd")" = "$PWD" ]; then kill -9 "$pid" && killed=$state; break 2; fi
        done
    done
    sleep 0.2
done
squeue -O JobID,State,tres-per-job || true
wait "$driver" || { tail -40 "$work/cluster.log"; die "the run through the queue failed"; }
[ -n "$killed" ] || die "no fit could be killed in time"
echo "killed in the middle: $(dirname "$killed")"
grep -rqs "resumes at iteration" logs || die "the killed fit did not resume"
grep -h "resumes at iteration" -r logs

echo "== compare"
submit 2>&1 | grep -q "Nothing to be done" || die "a second run found something to do"
for file in $(cd results && find . -name predictor.safetensors -o -name history.csv -o -name metrics.json); do
    cmp "results/$file" "$work/local/results/$file"
done
echo "slurm.sh: $(find results -name predictor.safetensors | wc -l) cells through SLURM, equal to the local run byte for byte"
