#!/usr/bin/env bash
# The demonstration behind ./fuse-test.sh nfs: a mount exported by nfs-ganesha over NFS v3 and v4, in a network namespace of its own
# (and with a /run of its own, so that no portmapper of the machine is met). What is written on one side is compared on the other;
# handles are used after eviction, after restarts of the daemon and of the server (over v3 and v4), and after their object's number
# went to another; then the recursive transaction of 2011 over NFS, and the same load under the fix. Root, for open_by_handle_at and
# the namespaces.
# Environment: ZFSLITE (the command), NFSHOLD (the client that keeps handles), FIO_NFS (a fio with the nfs engine),
# NFS_DIR (default: artifacts/nfs), NFS_SEED (default 1).
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
ZFSLITE="${ZFSLITE:-$ROOT/artifacts/zfslite}"
NFSHOLD="${NFSHOLD:-$ROOT/artifacts/nfshold/nfshold}"
FIO_NFS="${FIO_NFS:-$ROOT/artifacts/fio-nfs/fio}"
OUT="${NFS_DIR:-$ROOT/artifacts/nfs}"
SEED="${NFS_SEED:-1}"
readonly ROOT ZFSLITE NFSHOLD FIO_NFS OUT SEED
readonly MNT="$OUT/mnt" IMG="$OUT/pool/nfs.img" LAB="$OUT/lab/lab.img" DATA="$OUT/data"
readonly SVG="$OUT/deadlock.svg" REPORT="$OUT/deadlock.txt"
readonly NFS_PORT=20490 MOUNT_PORT=20480
readonly V3="?nfsport=$NFS_PORT&mountport=$MOUNT_PORT&version=3" V4="?nfsport=$NFS_PORT&version=4"
readonly HOST=nfs://127.0.0.1
readonly LAB_MEMORY=16M LAB_SECONDS=45 DEADLOCK_SECONDS_MAX=55 SMALL_JOBS=4 SMALL_FILES=3000
readonly ESTALE=116 NFS4_STALE=70 NFS4_STALE_STATE=10023 REUSE_TRIES_MAX=2000

# shellcheck source=tools/demo/common.sh
. "$ROOT/tools/demo/common.sh"

SPACE=0
SERVER=0
HOLDER=0

cleanup() {
    local code=$?
    trap - EXIT
    stop_holder
    stop_server
    if mountpoint -q "$MNT" 2>/dev/null; then
        timeout 20 "$ZFSLITE" unmount "$MNT" >/dev/null 2>&1 || umount -l "$MNT" 2>/dev/null || true
    fi
    [ "$DAEMON" -eq 0 ] || kill "$DAEMON" 2>/dev/null || true
    [ "$SPACE" -eq 0 ] || kill "$SPACE" 2>/dev/null || true
    rm -rf "$OUT/pool" "$OUT/lab" "$DATA" "$OUT/recovery"
    exit "$code"
}

# inside COMMAND...: runs it in the network namespace.
inside() { nsenter -t "$SPACE" -n "$@"; }

make_space() {
    unshare -n sleep infinity &
    SPACE=$!
    local i
    for i in $(seq 50); do
        [ "$(readlink "/proc/$SPACE/ns/net")" != "$(readlink /proc/self/ns/net)" ] && break
        sleep 0.1
    done
    inside ip link set lo up
    [ "$(inside ip -o link | grep -c .)" -eq 1 ] || fail "the network namespace has more than lo after $i tries"
}

# The server's cache keeps few files, so that it closes them soon: a file that is kept open is never forgotten by the kernel below.
# write_config GRACE: with "true", opens of v4 can be taken up again after a restart, and until all were, or for a time, new ones wait.
write_config() {
    local graceless=true
    [ "$1" = false ] || graceless=false
    cat >"$OUT/ganesha.conf" <<TEXT
NFS_CORE_PARAM { Protocols = 3, 4; NFS_Port = $NFS_PORT; MNT_Port = $MOUNT_PORT; Enable_NLM = false; Enable_RQUOTA = false;
    mount_path_pseudo = true; Enable_UDP = false; }
NFSv4 { Graceless = $graceless; Grace_Period = 15; Lease_Lifetime = 10; Minor_Versions = 0, 1, 2; RecoveryBackend = fs; RecoveryRoot = $OUT/recovery; Only_Numeric_Owners = true; }
NFS_KRB5 { Active_krb5 = false; }
MDCACHE { Entries_HWMark = 300; LRU_Run_Interval = 1; }
EXPORT_DEFAULTS { Access_Type = RW; Squash = No_Root_Squash; SecType = sys, none; Protocols = 3, 4; Transports = TCP; }
EXPORT { Export_Id = 1; Path = $MNT; Pseudo = /x; Filesystem_Id = 101.1; FSAL { Name = VFS; } }
LOG { Default_Log_Level = EVENT; }
TEXT
}

start_server() {
    mkdir -p "$OUT/recovery"
    # shellcheck disable=SC2016 # for the inner shell
    nsenter -t "$SPACE" -n unshare -m sh -c 'mount -t tmpfs none /run && mkdir -p /run/ganesha && { rpcbind -f & } && n=0 &&
        until rpcinfo -p 127.0.0.1 >/dev/null 2>&1; do n=$((n + 1)); [ "$n" -lt 200 ] || exit 1; sleep 0.05; done &&
        exec ganesha.nfsd -F -L "$1/ganesha.log" -f "$1/ganesha.conf" -p /run/ganesha/pid' sh "$OUT" >>"$OUT/server.log" 2>&1 &
    SERVER=$!
    local i
    for i in $(seq 200); do
        inside bash -c "exec 3<>/dev/tcp/127.0.0.1/$NFS_PORT" 2>/dev/null && return 0
        kill -0 "$SERVER" 2>/dev/null || break
        sleep 0.1
    done
    fail "nfs-ganesha does not answer ($i): $(tail -n 5 "$OUT/server.log" "$OUT/ganesha.log")"
}

# stop_server: ends it and its portmapper; nothing of the mount is open any more afterwards.
stop_server() {
    [ "$SERVER" -ne 0 ] || return 0
    local binder i
    binder="$(pgrep -P "$SERVER" -x rpcbind || true)"
    kill "$SERVER" 2>/dev/null || true
    for i in $(seq 100); do
        kill -0 "$SERVER" 2>/dev/null || break
        [ "$i" -lt 100 ] || kill -9 "$SERVER" 2>/dev/null || true
        sleep 0.1
    done
    wait "$SERVER" 2>/dev/null || true
    SERVER=0
    [ -n "$binder" ] || return 0
    # The next one needs its port.
    kill "$binder" 2>/dev/null || true
    for i in $(seq 100); do
        inside bash -c 'exec 3<>/dev/tcp/127.0.0.1/111' 2>/dev/null || return 0
        sleep 0.05
    done
}

start_holder() {
    coproc HOLD { exec nsenter -t "$SPACE" -n "$NFSHOLD" 2>"$OUT/nfshold.log"; }
    HOLDER=$HOLD_PID
}

stop_holder() {
    [ "$HOLDER" -ne 0 ] || return 0
    kill "$HOLDER" 2>/dev/null || true
    HOLDER=0
}

# ask COMMAND: what the client that keeps handles answers, in REPLY.
ask() {
    printf '%s\n' "$1" >&"${HOLD[1]}"
    read -r -t 90 REPLY <&"${HOLD[0]}" || fail "no answer to '$1': $(tail -n 3 "$OUT/nfshold.log")"
}

# want COMMAND ANSWER WHAT: the answer must begin like that.
want() {
    ask "$1"
    [[ "$REPLY" == "$2"* ]] || fail "$3: '$REPLY', not '$2'"
    if [[ "$REPLY" == "error $ESTALE "* ]]; then
        saw "$3: ESTALE"
    elif [[ "$REPLY" == "error "* ]]; then
        saw "$3: $(cut -d' ' -f3- <<<"$REPLY")"
    else
        saw "$3: $(cut -c1-19 <<<"$REPLY")"
    fi
}

sum() { sha256sum "$1" | cut -d' ' -f1; }

# same WHAT SUM SUM: they must be equal.
same() {
    [ "$2" = "$3" ] || fail "$1: sha256 $2, not $3"
    saw "$1: $(cut -c1-16 <<<"$2")…"
}

# evict: makes the kernel forget every name and inode of the mount that nobody has open.
evict() { mount -i -o remount,rw none "$MNT"; }

# asked_by_handle OBJECT: how often the kernel has asked for a regular file by its number, which only a handle makes it do.
asked_by_handle() { grep -c " Lookup node $1 " "$OUT/daemon.log" || true; }

restart_daemon() {
    zl unmount "$MNT"
    await_daemon 30
    [ "$CODE" = 0 ] || fail "the daemon ended with exit code $CODE: $(tail -n 5 "$OUT/daemon.log")"
    start_daemon "$OUT/daemon.log" "$IMG" -o atime --memory 128M -d
}

fio_rates() {
    sed -n 's/^ *\(READ\|WRITE\): \(bw=[^ ]*\).*io=\([^ ]*\).*/        '"$2"' \1 \2 \3/p' "$1"
}

# fio_nfs LOG WHAT ARGUMENTS...: a job of fio's nfs engine that must end without an error and have done something.
fio_nfs() {
    local log="$1" what="$2"
    shift 2
    inside timeout 120 "$FIO_NFS" --ioengine=nfs --randseed="$SEED" --verify_state_save=0 --group_reporting "$@" >"$log" 2>&1 || fail "fio, $what: $(tail -n 5 "$log")"
    grep -q 'err= 0' "$log" || fail "fio, $what: $(tail -n 5 "$log")"
    ! grep -q 'issued rwts: total=0,0,' "$log" || fail "fio, $what: it did no I/O"
    fio_rates "$log" "$what"
}

part_a() {
    title "(a) The export: what one side writes, the other reads"
    step "make a pool of 1 GiB, mount it (atime=on), export it with $(ganesha.nfsd -v 2>&1 | sed -n 's/.*Release = V*\([0-9.]*\).*/nfs-ganesha \1/p' | head -n 1)"
    zl create nfs "$IMG" --size 1G
    start_daemon "$OUT/daemon.log" "$IMG" -o atime --memory 128M -d
    start_server
    saw "$(inside ip -o link | sed 's/^[0-9]*: \([a-z0-9]*\):.*/the only network device of the namespace: \1/')"
    head -c 24M /dev/urandom >"$DATA/large"
    head -c 12345 /dev/urandom >"$DATA/small"
    : >"$DATA/empty"
    local name

    step "libnfs writes over v3; compared on the mount, and read back over v3 and v4"
    for name in large small empty; do
        inside nfs-cp "$DATA/$name" "$HOST/x/$name$V3" >/dev/null || fail "nfs-cp $name"
        same "$name, on the mount" "$(sum "$MNT/$name")" "$(sum "$DATA/$name")"
        same "$name, over v3" "$(inside nfs-cat "$HOST/x/$name$V3" | sha256sum | cut -d' ' -f1)" "$(sum "$DATA/$name")"
        same "$name, over v4" "$(inside nfs-cat "$HOST/x/$name$V4" | sha256sum | cut -d' ' -f1)" "$(sum "$DATA/$name")"
    done

    step "the mount writes a tree; listed and read over v3 and v4"
    mkdir -p "$MNT/tree/deep/er"
    for name in $(seq 300); do echo "file $name" >"$MNT/tree/deep/er/$name"; done
    cp "$DATA/small" "$MNT/tree/deep/copy"
    local version expected
    expected="$(cd "$MNT/tree/deep/er" && stat -c '%s %n' -- * | LC_ALL=C sort)"
    for version in 3 4; do
        local url="$V3"
        [ "$version" = 3 ] || url="$V4"
        [ "$(inside nfs-ls "$HOST/x/tree/deep/er$url" | awk '$NF !~ /^\.\.?$/ { print $5, $NF }' | LC_ALL=C sort)" = "$expected" ] || fail "nfs-ls over v$version shows another directory"
        saw "v$version lists the 300 files with their sizes"
        same "tree/deep/copy, over v$version" "$(inside nfs-cat "$HOST/x/tree/deep/copy$url" | sha256sum | cut -d' ' -f1)" "$(sum "$DATA/small")"
    done
    step "and over v4, which libnfs 4.0 can do in small pieces only (nfs-cp's are too large for it)"
    touch "$MNT/by4"
    start_holder
    want "dir root4 $HOST/x$V4" ok "the root, over v4"
    want "file by4 root4 by4" ok "an empty file, opened over v4"
    want "fill by4 $DATA/small" ok "written in pieces of 2 KiB"
    want "sum by4" "ok $(sum "$DATA/small")" "read back"
    stop_holder
    same "by4, on the mount" "$(sum "$MNT/by4")" "$(sum "$DATA/small")"

    step "fio with its nfs engine: every block with a crc32c, read back; the checksums once more on the mount"
    fio_nfs "$OUT/fio-seq.log" "v3, 1M in order" --nfs_url="$HOST/x$V3" --name=seq --filename=fio-seq --rw=write --bs=1m --size=64m --verify=crc32c --do_verify=1 --verify_fatal=1
    # The engine creates no file for random writes.
    touch "$MNT/fio-rand" "$MNT/fio-rand4"
    fio_nfs "$OUT/fio-rand.log" "v3, 8k at random" --nfs_url="$HOST/x$V3" --name=rand --filename=fio-rand --rw=randwrite --bs=8k --size=16m --verify=crc32c --do_verify=1 --verify_fatal=1
    fio_nfs "$OUT/fio-v4.log" "v4, 1M in order" --nfs_url="$HOST/x$V4" --name=seq4 --filename=fio-seq --rw=read --bs=1m --size=64m
    fio_nfs "$OUT/fio-rand4.log" "v4, 2k at random" --nfs_url="$HOST/x$V4" --name=rand4 --filename=fio-rand4 --rw=randwrite --bs=2k --size=2m --verify=crc32c --do_verify=1 --verify_fatal=1
    fio --name=seq --filename="$MNT/fio-seq" --rw=read --bs=1m --size=64m --verify=crc32c --verify_fatal=1 \
        --name=rand --new_group --filename="$MNT/fio-rand" --rw=read --bs=8k --size=16m --verify=crc32c --verify_fatal=1 --verify_state_save=0 \
        --name=rand4 --new_group --filename="$MNT/fio-rand4" --rw=read --bs=2k --size=2m --verify=crc32c --verify_fatal=1 --verify_state_save=0 >"$OUT/fio-mount.log" 2>&1 \
        || fail "fio on the mount: $(tail -n 5 "$OUT/fio-mount.log")"
    saw "on the mount: every crc32c right"
}

part_b() {
    title "(b) Handles: a client that keeps them, while everything below is forgotten, restarted, deleted"
    step "the client gets handles of a file and of a directory, over v3"
    mkdir -p "$MNT/hold/a/b" "$MNT/hold/gone"
    cp "$DATA/small" "$MNT/hold/a/b/file"
    head -c 54321 /dev/urandom >"$DATA/victim"
    cp "$DATA/victim" "$MNT/hold/victim"
    local content object victim dir i before
    content="$(sum "$DATA/small")"
    object="$(stat -c %i "$MNT/hold/a/b/file")" victim="$(stat -c %i "$MNT/hold/victim")" dir="$(stat -c %i "$MNT/hold/gone")"
    start_holder
    want "dir root $HOST/x$V3" ok "the root"
    want "dir b $HOST/x/hold/a/b$V3" ok "directory hold/a/b"
    want "dir gone $HOST/x/hold/gone$V3" ok "directory hold/gone"
    want "file file root hold/a/b/file" ok "file hold/a/b/file, object $object"
    want "file victim root hold/victim" ok "file hold/victim, object $victim"
    want "sum file" "ok $content" "its content"

    step "eviction: the kernel's names and inodes of the mount are dropped; the daemon lives on"
    stop_server
    evict
    before="$(asked_by_handle "$object")"
    start_server
    want "sum file" "ok $content" "the file, by its old handle"
    [ "$(asked_by_handle "$object")" -gt "$before" ] || fail "the kernel did not ask for object $object: it was not evicted, and nothing is proved"
    saw "the kernel had forgotten it: it asked the daemon for object $object by number"
    want "file again b file" ok "its name, by the old handle of the directory"
    want "sum again" "ok $content" "the same content"

    step "a restart of the daemon, and of the server"
    stop_server
    restart_daemon
    start_server
    want "sum file" "ok $content" "the file, by its old handle"
    [ "$(asked_by_handle "$object")" -gt 0 ] || fail "the new daemon was not asked for object $object"
    want "put file written-by-an-old-handle" ok "and it is written"
    printf %s written-by-an-old-handle | dd of="$DATA/small" conv=notrunc status=none
    same "what it wrote, on the mount" "$(sum "$MNT/hold/a/b/file")" "$(sum "$DATA/small")"
    want "stat file" "ok $object" "its attributes have the same number"
    want "file third b file" ok "its name, by the old handle of the directory"

    step "both again, over v4, where the server's end is the end of every open, until the client takes it up again by the handle"
    saw "libnfs can't, so the client is one of our own, and libnfs looks on"
    cp "$DATA/victim" "$MNT/hold/four"
    stop_server
    rm -rf "$OUT/recovery"
    write_config true
    start_server
    local four
    four="$(stat -c %i "$MNT/hold/four")"
    want "open4 four $NFS_PORT x/hold/four" ok "hold/four, object $four, opened over v4"
    want "sum4 four" "ok $(sum "$DATA/victim")" "its content"
    want "dir lib $HOST/x$V4" ok "libnfs: the root, over v4"
    want "file lib lib hold/a/b/file" ok "libnfs: hold/a/b/file"
    want "sum lib" "ok $(sum "$DATA/small")" "libnfs: its content"
    stop_server
    restart_daemon
    start_server
    want "stat4 four" "ok $four" "the file's number, by its old handle alone"
    [ "$(asked_by_handle "$four")" -gt 0 ] || fail "the new daemon was not asked for object $four"
    want "sum4 four" "error $NFS4_STALE_STATE" "its content, by an open that ended"
    want "reclaim4 four" ok "the open, taken up by the old handle"
    want "sum4 four" "ok $(sum "$DATA/victim")" "its content"
    want "put4 four written-over-v4" ok "and it is written"
    printf %s written-over-v4 | dd of="$DATA/victim" conv=notrunc status=none
    same "what it wrote, on the mount" "$(sum "$MNT/hold/four")" "$(sum "$DATA/victim")"
    ask "stat lib"
    saw "libnfs, of the same restarts: $REPLY"
    stop_server
    rm "$MNT/hold/four"
    restart_daemon
    start_server
    want "stat4 four" "error $NFS4_STALE" "deleted meanwhile: its number, by the old handle"
    want "reclaim4 four" "error $NFS4_STALE" "and the open"
    stop_server
    rm -rf "$OUT/recovery"
    write_config false

    step "deleted: the old handles are stale"
    rm "$MNT/hold/victim"
    rmdir "$MNT/hold/gone"
    restart_daemon
    start_server
    want "sum victim" "error $ESTALE" "reading the file"
    want "stat victim" "error $ESTALE" "its attributes"
    want "file none gone x" "error $ESTALE" "a name in the directory"

    step "deleted and their numbers used again: still stale, and never the new object's content"
    stop_server
    local found=0 name
    for i in $(seq "$REUSE_TRIES_MAX"); do
        name="$MNT/hold/new$i"
        echo "new" >"$name"
        case "$(stat -c %i "$name")" in
            "$victim") found=$((found | 1)) NEW="new$i" ;;
            "$dir") found=$((found | 2)) ;;
        esac
        [ "$found" -ne 3 ] || break
    done
    [ "$found" -eq 3 ] || fail "objects $victim and $dir were not used again by $i new files"
    saw "objects $victim and $dir are new files now, the last of $i"
    evict
    start_server
    want "sum victim" "error $ESTALE" "reading the file"
    want "stat victim" "error $ESTALE" "its attributes"
    want "file none gone x" "error $ESTALE" "a name in the directory"
    want "file new root hold/$NEW" ok "the new file of number $victim, by its name"
    want "sum new" "ok $(echo new | sha256sum | cut -d' ' -f1)" "its content"
    stop_holder
    stop_server
    zl unmount "$MNT"
    await_daemon 30
    [ "$CODE" = 0 ] || fail "the daemon ended with exit code $CODE: $(tail -n 5 "$OUT/daemon.log")"
    judge "$IMG" nfs
}

make_lab() {
    title "(c) The deadlock of 2011 over NFS: policy none, an arena of $LAB_MEMORY, atime=on"
    mkdir -p "$(dirname "$LAB")"
    step "make a pool with $((SMALL_JOBS * SMALL_FILES)) small files"
    zl create lab "$LAB" --size 1G
    zl mount "$LAB" "$MNT" -o noatime --memory 128M --background
    local job jobs=()
    for job in $(seq "$SMALL_JOBS"); do
        mkdir -p "$MNT/small/$job"
        # shellcheck disable=SC2016 # $filenum is for fio
        jobs+=(--name="make$job" --directory="$MNT/small/$job" --filename_format='f$filenum' --nrfiles="$SMALL_FILES" --filesize=512 --bs=512 --rw=read)
    done
    fio --create_fsync=0 --create_only=1 "${jobs[@]}" >"$OUT/fio-make.log" 2>&1 || fail "fio: $(tail -n 5 "$OUT/fio-make.log" | cut -c1-200)"
    mkdir -p "$MNT/big"
    touch "$MNT/big/"{0..5}
    zl unmount "$MNT"
}

# Readers that open, read and close small files over and over: each first read after an open is the daemon's to serve, and dirties
# the access time of a znode which nobody uses afterwards. Writers, that fill the dirty space.
lab_work() {
    local job jobs=()
    for job in $(seq "$SMALL_JOBS"); do
        # shellcheck disable=SC2016 # $filenum is for fio
        jobs+=(--name="read$job" --new_group --filename_format="small/$job/f"'$filenum' --nrfiles="$SMALL_FILES" --filesize=512 --bs=512 --rw=read --openfiles=1 --file_service_type=sequential)
    done
    # shellcheck disable=SC2016 # $jobnum is for fio
    inside timeout --kill-after=5 $((LAB_SECONDS + 30)) "$FIO_NFS" --ioengine=nfs --nfs_url="$HOST/x$V3" --randseed="$SEED" --time_based --runtime="$LAB_SECONDS" --group_reporting \
        "${jobs[@]}" --name=write --new_group --filename_format='big/$jobnum' --rw=randwrite --bs=128k --size=32m --numjobs=6 >"$1" 2>&1
}

start_lab() {
    start_daemon "$OUT/daemon-$1.log" "$LAB" -o atime --memory "$LAB_MEMORY" --policy "$1" --deadlock-svg "$SVG"
    start_server
}

part_c() {
    step "$SMALL_JOBS fio readers and 6 writers through the server; no injection, no torture"
    start_lab none
    local started=$SECONDS fio_pid
    lab_work "$OUT/fio-c.log" &
    fio_pid=$!
    await_daemon "$DEADLOCK_SECONDS_MAX"
    C_SECONDS=$((SECONDS - started))
    kill "$fio_pid" 2>/dev/null || true
    wait "$fio_pid" 2>/dev/null || true
    stop_server
    if [ "$CODE" = running ]; then
        saw "no deadlock within $C_SECONDS s this time"
        zl unmount "$MNT"
        await_daemon 20
        return 1
    fi
    [ "$CODE" -eq "$EXIT_DEADLOCK" ] || fail "the daemon ended with exit code $CODE: $(tail -n 5 "$OUT/daemon-none.log")"
    cp "$OUT/daemon-none.log" "$REPORT"
    saw "after $C_SECONDS s the daemon proved a deadlock, and ended with exit code $CODE:"
    sed -n '1,40p' "$REPORT" | sed 's/^/        | /'
    [ -s "$SVG" ] || fail "no picture at $SVG"
    grep -q 'PROVEN DEADLOCK' "$REPORT" || fail "no proof in $REPORT"
    saw "the whole report: $REPORT, the picture: $SVG"
    ! mountpoint -q "$MNT" || fail "$MNT is still mounted"
    judge "$LAB" lab
}

part_d() {
    title "(d) The same load, the same seed, policy fstrans"
    start_lab fstrans
    step "the same readers and writers for $LAB_SECONDS s"
    local started=$SECONDS
    lab_work "$OUT/fio-d.log" || fail "fio: $(tail -n 5 "$OUT/fio-d.log")"
    "$ZFSLITE" kmem "$MNT" >"$OUT/kmem-d.txt" || fail "zfslite kmem"
    saw "completed after $((SECONDS - started)) s"
    fio_rates "$OUT/fio-d.log" "over v3,"
    saw "sleeping allocations turned away from reclaim:      $(counter turned_away "$OUT/kmem-d.txt")"
    saw "atime-dirty znodes handed to the inactive queue:    $(counter znodes_inactive_queued "$OUT/kmem-d.txt")"
    saw "under none: atimes written by a thread in reclaim:  $(counter znodes_evicted_in_reclaim_with_tx "$REPORT"), deadlock of $(cycle_length "$REPORT") threads after $C_SECONDS s"
    stop_server
    zl unmount "$MNT"
    await_daemon 30
    [ "$CODE" = 0 ] || fail "the daemon ended with exit code $CODE: $(tail -n 5 "$OUT/daemon-fstrans.log")"
    judge "$LAB" lab
}

main() {
    [ "$(id -u)" -eq 0 ] || fail "open_by_handle_at and network namespaces are root's; type: sudo ./fuse-test.sh nfs"
    trap cleanup EXIT
    trap 'exit 130' INT TERM
    if mountpoint -q "$MNT" 2>/dev/null; then
        "$ZFSLITE" unmount "$MNT" >/dev/null 2>&1 || fail "$MNT is still mounted; type: umount -l $MNT"
    fi
    rm -rf "$OUT"
    mkdir -p "$MNT" "$(dirname "$IMG")" "$DATA"
    SECONDS=0
    make_space
    write_config false
    part_a
    part_b
    make_lab
    part_c || part_c || part_c || fail "no deadlock in three runs of $DEADLOCK_SECONDS_MAX s"
    part_d
    printf '\nnfs: success after %d s; everything it saw is in %s\n' "$SECONDS" "$OUT"
}

main "$@"
