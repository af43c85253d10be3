#!/usr/bin/env bash
# The demonstration behind ./fuse-test.sh demo: real work on a real mount and zdb's verdict; then the recursive-transaction
# deadlock of 2011 on the same kind of mount, and the same work under the fix. At most 5 minutes.
# Environment: ZFSLITE (the command), DEMO_DIR (default: artifacts/demo), DEMO_SEED (default 1).
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
ZFSLITE="${ZFSLITE:-$ROOT/artifacts/zfslite}"
OUT="${DEMO_DIR:-$ROOT/artifacts/demo}"
SEED="${DEMO_SEED:-1}"
readonly ROOT ZFSLITE OUT SEED
readonly MNT="$OUT/mnt" POOLS="$OUT/pool" SRC="$OUT/src"
readonly IMG="$POOLS/demo.img" LAB="$OUT/lab/lab.img"
readonly SVG="$OUT/deadlock.svg" REPORT="$OUT/deadlock.txt"
readonly COPIES=20 LAB_MEMORY=16M DEADLOCK_SECONDS_MAX=60 LAB_SECONDS=60
readonly SMALL_DIRS=4 SMALL_FILES=3000 WRITERS=12

# shellcheck source=tools/demo/common.sh
. "$ROOT/tools/demo/common.sh"

# What fio calls each reader of small files: one pass after the other over files of one block, opened, read past the page cache
# and closed, so that every read dirties the access time of a znode which nobody uses afterwards.
# Two readers for each directory.
SMALL_READERS=()
readers=0
for job in $(seq "$SMALL_DIRS") $(seq "$SMALL_DIRS"); do
    # shellcheck disable=SC2016 # $filenum is for fio
    SMALL_READERS+=(--name="read$((++readers))" --new_group --directory="$MNT/small/$job" --filename_format='$filenum' --nrfiles="$SMALL_FILES"
        --filesize=512 --bs=512 --rw=read --direct=1 --openfiles=4 --file_service_type=sequential)
done
readonly SMALL_READERS

SAMPLER=0

cleanup() {
    local code=$?
    trap - EXIT
    [ "$SAMPLER" -eq 0 ] || kill "$SAMPLER" 2>/dev/null || true
    if mountpoint -q "$MNT" 2>/dev/null; then
        timeout 20 "$ZFSLITE" unmount "$MNT" >/dev/null 2>&1 || umount -l "$MNT" 2>/dev/null || true
    fi
    [ "$DAEMON" -eq 0 ] || kill "$DAEMON" 2>/dev/null || true
    rm -rf "$SRC" "$POOLS" "$OUT/lab"
    exit "$code"
}

# sample_pss PID FILE: keeps the highest Pss of a process, in KiB, in a file.
sample_pss() {
    local pid="$1" file="$2" max=0 now
    while now="$(awk '/^Pss:/ { print $2; exit }' "/proc/$pid/smaps_rollup" 2>/dev/null)" && [ -n "$now" ]; do
        if [ "$now" -gt "$max" ]; then
            max="$now"
            echo "$max" >"$file"
        fi
        sleep 0.5
    done
}

start_sampler() {
    echo 0 >"$OUT/pss"
    sample_pss "$1" "$OUT/pss" &
    SAMPLER=$!
}

# stop_sampler ARENA_MIB: says the highest Pss and fails if it was more than the arena and 150 MiB.
stop_sampler() {
    kill "$SAMPLER" 2>/dev/null || true
    wait "$SAMPLER" 2>/dev/null || true
    SAMPLER=0
    PSS_MIB=$(($(cat "$OUT/pss") / 1024))
    saw "highest resident memory (Pss) of the daemon: $PSS_MIB MiB; allowed: $1 (arena) + 150 MiB"
    [ "$PSS_MIB" -le $(($1 + 150)) ] || fail "the daemon took $PSS_MIB MiB"
}

# tree_sum DIR: one checksum over the names and contents of all files below.
tree_sum() { (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1); }

part_a() {
    title "(a) A pool, a mount, real work, and the verdict of zdb"
    step "make a pool of 2 GiB in a sparse file and mount it: atime=on, an arena of 128 MiB"
    zl create demo "$IMG" --size 2G
    zl mount "$IMG" "$MNT" -o atime --memory 128M --background
    saw "$(grep " $MNT " /proc/mounts)"
    start_sampler "$(daemon_pid)"

    step "fio writes 2 x 64 MiB in order and 32 MiB at random, each block with a crc32c, and reads it back"
    fio --directory="$MNT" --verify=crc32c --do_verify=1 --verify_fatal=1 --verify_state_save=0 --end_fsync=1 --randseed="$SEED" --group_reporting \
        --name=seq --rw=write --bs=128k --size=64m --numjobs=2 \
        --name=rand --new_group --rw=randwrite --bs=8k --size=32m >"$OUT/fio-a.log" 2>&1 || fail "fio: $(tail -n 5 "$OUT/fio-a.log")"
    saw "fio: $(grep -c 'err= 0' "$OUT/fio-a.log") groups without an error, every crc32c right"
    sed -n 's/^ *\(READ\|WRITE\): \(bw=[^ ]*\).*io=\([^ ]*\).*/        \1 \2 \3/p' "$OUT/fio-a.log"

    step "copy this repository $COPIES times (cp -a), compare by sha256 after a new mount"
    mkdir -p "$SRC/1" "$MNT/tree"
    (cd "$ROOT" && git ls-files -z 2>/dev/null | xargs -0 -r cp --parents -t "$SRC/1" 2>/dev/null) || true
    [ -n "$(ls -A "$SRC/1")" ] || (cd "$ROOT" && find . -path ./artifacts -prune -o -path ./.git -prune -o -type f -print0 | xargs -0 cp --parents -t "$SRC/1")
    local i
    for i in $(seq 2 "$COPIES"); do cp -a "$SRC/1" "$SRC/$i"; done
    cp -a "$SRC/." "$MNT/tree/"
    local expected found
    expected="$(tree_sum "$SRC")"
    zl unmount "$MNT"
    stop_sampler 128
    zl mount "$IMG" "$MNT" -o atime --memory 128M --background
    found="$(tree_sum "$MNT/tree")"
    saw "$(find "$SRC" -type f | wc -l) files, $(du -sh "$SRC" | cut -f1): sha256 of all is $found"
    [ "$expected" = "$found" ] || fail "the copies differ: $expected is right"

    step "unmount, and let two judges read every block: zfslite check and zdb -bcc"
    zl unmount "$MNT"
    judge "$IMG" demo
}

make_lab() {
    title "(b) The deadlock of 2011: policy none, an arena of $LAB_MEMORY, atime=on"
    mkdir -p "$(dirname "$LAB")"
    step "make a pool with $((SMALL_DIRS * SMALL_FILES)) small files"
    zl create lab "$LAB" --size 1G
    zl mount "$LAB" "$MNT" -o noatime --memory 128M --background
    mkdir -p "$MNT/small"/{1..4}
    fio --create_fsync=0 "${SMALL_READERS[@]}" --create_only=1 >"$OUT/fio-make.log" 2>&1 || fail "fio: $(tail -n 5 "$OUT/fio-make.log" | cut -c1-200)"
    mkdir -p "$MNT/big"
    zl unmount "$MNT"
}

# lab_work LOG SECONDS: readers that open, read past the page cache and close every small file over and over, and writers; ends
# after that time, or when the mount breaks.
lab_work() {
    timeout --kill-after=5 $((LAB_SECONDS + 30)) fio --randseed="$SEED" --time_based --runtime="$LAB_SECONDS" --group_reporting \
        "${SMALL_READERS[@]}" \
        --name=write --new_group --directory="$MNT/big" --rw=randwrite --bs=128k --size=32m --numjobs="$WRITERS" >"$1" 2>&1
}

# start_foreground POLICY: the daemon of the lab pool.
start_foreground() { start_daemon "$OUT/daemon-$1.log" "$LAB" -o atime --memory "$LAB_MEMORY" --policy "$1" --deadlock-svg "$SVG"; }

part_b() {
    step "$((2 * SMALL_DIRS)) fio readers (O_DIRECT: every read changes an atime) and $WRITERS writers; no injection, no torture"
    start_foreground none
    local started=$SECONDS fio_pid
    lab_work "$OUT/fio-b.log" "$DEADLOCK_SECONDS_MAX" &
    fio_pid=$!
    await_daemon "$DEADLOCK_SECONDS_MAX"
    B_SECONDS=$((SECONDS - started))
    kill "$fio_pid" 2>/dev/null || true
    wait "$fio_pid" 2>/dev/null || true
    if [ "$CODE" = running ]; then
        saw "no deadlock within $DEADLOCK_SECONDS_MAX s this time"
        zl unmount "$MNT"
        await_daemon 20
        return 1
    fi
    [ "$CODE" -eq "$EXIT_DEADLOCK" ] || fail "the daemon ended with exit code $CODE: $(tail -n 5 "$OUT/daemon-none.log")"
    cp "$OUT/daemon-none.log" "$REPORT"
    saw "after $B_SECONDS s the daemon proved a deadlock, and ended with exit code $CODE:"
    sed -n '1,60p' "$REPORT" | sed 's/^/        | /'
    [ -s "$SVG" ] || fail "no picture at $SVG"
    saw "the whole report: $REPORT"
    saw "the picture:      $SVG"
    step "nothing stays hung: the connection was aborted and the mount taken away; the pool opens, and is clean"
    if mountpoint -q "$MNT"; then fail "$MNT is still mounted"; fi
    judge "$LAB" lab
}

part_c() {
    title "(c) The same job, the same seed, policy fstrans"
    start_foreground fstrans
    local pid=$DAEMON
    start_sampler "$pid"
    step "the same readers and writers for $LAB_SECONDS s"
    local started=$SECONDS
    lab_work "$OUT/fio-c.log" "$LAB_SECONDS" || fail "fio: $(tail -n 5 "$OUT/fio-c.log")"
    C_SECONDS=$((SECONDS - started))
    "$ZFSLITE" kmem "$MNT" >"$OUT/kmem-c.txt" || fail "zfslite kmem"
    saw "completed after $C_SECONDS s"
    saw "sleeping allocations turned away from reclaim:      $(counter turned_away "$OUT/kmem-c.txt")"
    saw "dips into the reserve:                              $(counter reserve_events "$OUT/kmem-c.txt")"
    saw "atime-dirty znodes handed to the inactive queue:    $(counter znodes_inactive_queued "$OUT/kmem-c.txt")"
    zl unmount "$MNT"
    await_daemon 30
    [ "$CODE" = 0 ] || fail "the daemon ended with exit code $CODE: $(tail -n 5 "$OUT/daemon-fstrans.log")"
    stop_sampler "${LAB_MEMORY%M}"
    judge "$LAB" lab
}

rate() { sed -n "s/^ *$1: \(bw=[^ ]*\).*/\1/p" "$OUT/fio-c.log" | paste -sd' ' | cut -c1-26; }

part_d() {
    title "(d) Side by side"
    local row='  %-44s %-26s %-26s\n'
    # shellcheck disable=SC2059 # the format is a constant of three lines above
    {
        printf "$row" "" "(b) policy none" "(c) policy fstrans"
        printf "$row" "arena, atime, seed" "$LAB_MEMORY, on, $SEED" "$LAB_MEMORY, on, $SEED"
        printf "$row" "outcome" "deadlock, proved" "completed"
        printf "$row" "seconds of work" "$B_SECONDS" "$C_SECONDS"
        printf "$row" "daemon's exit code" "$EXIT_DEADLOCK" "0"
        printf "$row" "threads in the cycle" "$(cycle_length "$REPORT")" "-"
        printf "$row" "allocations turned away from reclaim" "$(counter turned_away "$REPORT")" "$(counter turned_away "$OUT/kmem-c.txt")"
        printf "$row" "dips into the reserve" "$(counter reserve_events "$REPORT")" "$(counter reserve_events "$OUT/kmem-c.txt")"
        printf "$row" "znodes handed to the inactive queue" "$(counter znodes_inactive_queued "$REPORT")" "$(counter znodes_inactive_queued "$OUT/kmem-c.txt")"
        printf "$row" "atimes written by a thread in reclaim" "$(counter znodes_evicted_in_reclaim_with_tx "$REPORT")" "$(counter znodes_evicted_in_reclaim_with_tx "$OUT/kmem-c.txt")"
        printf "$row" "written" "-" "$(rate WRITE)"
        printf "$row" "pool afterwards: zfslite check, zdb -bcc" "clean, clean" "clean, clean"
    } | tee "$OUT/table.txt"
}

main() {
    trap cleanup EXIT
    trap 'exit 130' INT TERM
    if mountpoint -q "$MNT" 2>/dev/null; then
        "$ZFSLITE" unmount "$MNT" >/dev/null 2>&1 || fail "$MNT is still mounted; type: umount -l $MNT"
    fi
    rm -rf "$OUT"
    mkdir -p "$MNT" "$POOLS"
    SECONDS=0
    part_a
    make_lab
    part_b || part_b || fail "no deadlock in two runs of $DEADLOCK_SECONDS_MAX s"
    part_c
    part_d
    printf '\ndemo: success after %d s; everything it saw is in %s\n' "$SECONDS" "$OUT"
}

main "$@"
