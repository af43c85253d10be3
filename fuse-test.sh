#!/usr/bin/env bash
# One door to everything that is built, shown and tested here. See ./fuse-test.sh help.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly ROOT
readonly ART="$ROOT/artifacts"
readonly APP="$ART/app"
readonly PREFIX="${PREFIX:-/usr/local}"
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1
export DEBIAN_FRONTEND=noninteractive

# Suite, project, back end of the small kernel; then, if not the default, slab engine, limit of --spl-slab-limit, filter. One line each on the screen, as they end.
readonly SUITES=(
    "kmem:os tests/Kmem.Tests os"
    "kmem:sim tests/Kmem.Tests sim"
    "txn:os tests/Txn.Tests os"
    "txn:sim tests/Txn.Tests sim"
    "fs:os tests/Fs.Tests os"
    "fs:sim tests/Fs.Tests sim"
    "mount:os tests/Mount.Tests os"
)
# A second pass, with every cache on slabs of the SPL engine.
readonly SPL_SUITES=(
    "kmem:sim:spl tests/Kmem.Tests sim spl 0"
    "fs:sim:spl tests/Fs.Tests sim spl 0"
    "mount:os:spl tests/Mount.Tests os spl 0 FullyQualifiedName~CliMountTests|FullyQualifiedName~ZfsLiteSmallPosixTests|FullyQualifiedName~ControlDirectory"
)

say() { printf '%s\n' "$*"; }
die() { printf 'fuse-test.sh: %s\n' "$*" >&2; exit 1; }

usage() {
    cat <<'TEXT'
usage: ./fuse-test.sh COMMAND

  build                 builds Release and leaves the command at artifacts/zfslite
  demo                  a pool, a mount, real work, zdb's verdict; then the recursive
                        deadlock, and the same work under the fix (at most 5 minutes)
  nfs                   a mount exported by nfs-ganesha over v3 and v4: data, handles after
                        eviction, restart and reuse, the deadlock and its fix (root; builds
                        a fio with the nfs engine once)
  test                  format check and every test, and a part of them once more with
                        every slab cache on the SPL engine; the last line counts them
  test --slab-engine slubq|spl [--spl-slab-limit BYTES]
                        every test, once, on this engine (spl: objects of up to 16384
                        bytes stay with slubq; 0: none do)
  stress [--minutes N] [--seed S]
                        N minutes (3) of parallel work with kill -9 of the daemon
  torture kmem [--schedules N | --minutes M] [--seed S] [--engine slubq|spl|both] [--resume]
                        random schedules of the slab engines in the simulator (1,000,000)
  torture crash [--states N | --minutes M] [--seed S] [--zdb N] [--resume]
                        the power fails after every write and flush of seeded workloads (1,000,000)
  torture images [--images N | --minutes M] [--seed S] [--pool NAME|all] [--resume]
                        damaged pools, most with right checksums: opened, listed, read, written,
                        checked; errors only (100,000)
  torture kill [--kills N | --minutes M] [--seed S] [--resume]
                        kill -9 of the daemon at random moments (500), under a mail spool and
                        fio with fsync, against a journal of what was acknowledged
  torture --minutes N   all of them, each for its share of the time
  bench kmem [--full]   allocators side by side, in 5 sizes or 12; the tables go to
                        tools/bench/results
  install, uninstall    /usr/local/bin/zfslite and the helpers of mount(8) and umount(8)
  help                  this text

What is missing is installed (Debian packages) when this runs as root or sudo asks for
no password; otherwise it says exactly what to install. PREFIX=/opt/x changes where
install puts the command.
TEXT
}

# The words that run a command as root: none for root, sudo if it asks for no password.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

can_be_root() {
    [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; }
}

find_program() {
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1
}

# need_packages "program package"...: installs the packages of the programs that are missing.
need_packages() {
    local pair missing=()
    for pair in "$@"; do
        find_program "${pair%% *}" || missing+=("${pair##* }")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    if can_be_root && command -v apt-get >/dev/null 2>&1; then
        say "installing: ${missing[*]}"
        { as_root apt-get update -q && as_root apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$ART/apt.log" 2>&1 </dev/null \
            || { tail -n 5 "$ART/apt.log" >&2; die "these packages could not be installed: ${missing[*]} (see $ART/apt.log)"; }
    else
        die "these Debian packages are missing; type: sudo apt-get install ${missing[*]}"
    fi
}

# Finds the .NET 10 SDK on PATH or in ~/.dotnet, and puts it first on PATH.
need_dotnet() {
    local candidate
    for candidate in "$(command -v dotnet || true)" "${DOTNET_ROOT:-$HOME/.dotnet}/dotnet" "$HOME/.dotnet/dotnet" /usr/share/dotnet/dotnet /usr/lib/dotnet/dotnet; do
        if [ -x "$candidate" ] && "$candidate" --list-sdks 2>/dev/null | grep -q '^10\.'; then
            DOTNET_ROOT="$(dirname "$(readlink -f "$candidate")")"
            export DOTNET_ROOT PATH="$DOTNET_ROOT:$PATH"
            return 0
        fi
    done
    die "the .NET 10 SDK is missing; type: curl -sSL https://dot.net/v1/dotnet-install.sh | bash -s -- --channel 10.0   (it goes to ~/.dotnet and is found there)"
}

# quiet LOG COMMAND...: runs it; on failure shows the errors of its log.
quiet() {
    local log="$1"
    shift
    if ! "$@" >"$log" 2>&1 </dev/null; then
        { grep -E ': (error|warning) ' "$log" || tail -n 30 "$log"; } | sort -u | head -n 30 >&2
        die "failed: $* (full log: $log)"
    fi
}

rid() {
    case "$(uname -m)" in
        x86_64) say linux-x64 ;;
        aarch64) say linux-arm64 ;;
        *) die "no .NET runtime identifier is known for $(uname -m)" ;;
    esac
}

# The small script at artifacts/zfslite (and /usr/local/bin/zfslite): finds the runtime, starts the program.
write_launcher() {
    local target="$1" app="$2"
    cat >"$target" <<TEXT
#!/bin/sh
# Starts zfslite with the .NET runtime that it was built with.
: "\${DOTNET_ROOT:=$DOTNET_ROOT}"
export DOTNET_ROOT
exec "$app/zfslite" "\$@"
TEXT
    chmod 755 "$target"
}

publish() {
    local project="$1" out="$2"
    quiet "$ART/publish.log" dotnet publish "$ROOT/$project" -c Release -r "$(rid)" --no-self-contained \
        -p:PublishReadyToRun=true -p:DebugType=none -o "$out" -v q -clp:NoSummary
}

cmd_build() {
    mkdir -p "$ART"
    need_dotnet
    say "building zfslite (Release)"
    publish tools/zfslite "$APP"
    write_launcher "$ART/zfslite" "$APP"
    say "built: $ART/zfslite"
}

cmd_install() {
    [ -x "$ART/zfslite" ] || cmd_build
    need_dotnet
    can_be_root || die "install writes to $PREFIX and /sbin; type: sudo ./fuse-test.sh install"
    local staging
    staging="$(mktemp -d)"
    write_launcher "$staging/zfslite" "$PREFIX/lib/zfslite"
    printf '#!/bin/sh\nexec %s/bin/zfslite mount-helper -- "$@"\n' "$PREFIX" >"$staging/mount.fuse.zfslite"
    printf '#!/bin/sh\nexec %s/bin/zfslite umount-helper -- "$@"\n' "$PREFIX" >"$staging/umount.fuse.zfslite"
    as_root rm -rf "$PREFIX/lib/zfslite"
    as_root mkdir -p "$PREFIX/lib/zfslite" "$PREFIX/bin" /sbin
    as_root cp -a "$APP/." "$PREFIX/lib/zfslite/"
    as_root install -m 755 "$staging/zfslite" "$PREFIX/bin/zfslite"
    as_root install -m 755 "$staging/mount.fuse.zfslite" "$staging/umount.fuse.zfslite" /sbin/
    rm -rf "$staging"
    say "installed: $PREFIX/bin/zfslite, /sbin/mount.fuse.zfslite, /sbin/umount.fuse.zfslite"
}

cmd_uninstall() {
    can_be_root || die "uninstall removes files of root; type: sudo ./fuse-test.sh uninstall"
    as_root rm -rf "$PREFIX/lib/zfslite"
    as_root rm -f "$PREFIX/bin/zfslite" /sbin/mount.fuse.zfslite /sbin/umount.fuse.zfslite
    say "removed: $PREFIX/bin/zfslite, $PREFIX/lib/zfslite, /sbin/mount.fuse.zfslite, /sbin/umount.fuse.zfslite"
}

# counters FILE: prints "total passed failed" of a TRX file. Skipped is what is left of the total.
counters() {
    sed -n 's/.*<Counters total="\([0-9]*\)" executed="[0-9]*" passed="\([0-9]*\)" failed="\([0-9]*\)" error="\([0-9]*\)" timeout="\([0-9]*\)" aborted="\([0-9]*\)".*/\1 \2 \3 \4 \5 \6/p' "$1" \
        | awk 'NR == 1 { print $1, $2, $3 + $4 + $5 + $6 }'
}

run_suite() {
    local name="$1" project="$2" spl="$3" engine="${4:-$ENGINE}" limit="${5:-$SLAB_LIMIT}" only="${6:-}"
    local results="$ART/test/${name//:/-}" started=$SECONDS code=0 total=0 passed=0 failed=0 skipped note=""
    rm -rf "$results"
    mkdir -p "$results"
    local filter='Category!=stress'
    [ "$spl" = os ] || filter+='&Backend!=os'
    [ -z "$only" ] || filter+="&($only)"
    ZFSLITE_SPL="$spl" ZFSLITE_SLAB_ENGINE="$engine" ZFSLITE_SPL_SLAB_LIMIT="$limit" timeout --kill-after=20 "${SUITE_SECONDS_MAX:-900}" \
        dotnet test "$ROOT/$project" -c Release --no-build --filter "$filter" \
        --results-directory "$results" --logger 'trx;LogFileName=suite.trx' >"$results/log" 2>&1 </dev/null || code=$?
    if [ -s "$results/suite.trx" ] && read -r total passed failed < <(counters "$results/suite.trx") && [ -n "$total" ]; then
        skipped=$((total - passed - failed))
        if [ "$code" -ne 0 ] && [ "$failed" -eq 0 ]; then
            failed=1
            note=" (the suite ended with exit code $code: counted as failed)"
        fi
    elif [ "$code" -eq 0 ] && grep -q 'No test matches\|No test is available' "$results/log"; then
        total=0 passed=0 failed=0 skipped=0 note=" (no tests)"
    else
        total=0 passed=0 failed=1 skipped=0
        [ "$code" -eq 124 ] && note=" (not done after ${SUITE_SECONDS_MAX:-900} s: counted as failed)" || note=" (no result, exit code $code: counted as failed)"
    fi
    printf '%-12s  %4d passed, %d failed, %d skipped  %4d s%s\n' "$name" "$passed" "$failed" "$skipped" "$((SECONDS - started))" "$note"
    if [ "$failed" -gt 0 ]; then
        grep -E '^\s+Failed |Error Message|Assert|Exception|crashed|aborted' "$results/log" | head -n 40 || tail -n 20 "$results/log"
        say "  full log: $results/log"
    fi
    echo "$passed $failed $skipped" >"$results/counts"
}

# run_lane SUITE...: one after the other, those that no other lane has taken.
run_lane() {
    local suite
    for suite in "$@"; do
        # shellcheck disable=SC2086 # the words of a suite
        ! mkdir "$ART/test/taken-${suite%% *}" 2>/dev/null || run_suite $suite
    done
}

# add_counts SUITE: into PASSED, FAILED and SKIPPED.
add_counts() {
    local passed=0 failed=1 skipped=0 name="${1%% *}"
    read -r passed failed skipped <"$ART/test/${name//:/-}/counts" || say "$name: no result (counted as failed)"
    PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
}

cmd_test() {
    local suites=("${SUITES[@]}" "${SPL_SUITES[@]}")
    ENGINE=slubq SLAB_LIMIT=16384
    while [ $# -gt 0 ]; do
        case "$1 ${2:-}" in
            "--slab-engine slubq" | "--slab-engine spl") ENGINE="$2" suites=("${SUITES[@]}") ;;
            "--spl-slab-limit "[0-9]*) SLAB_LIMIT="$2" ;;
            *) die "test takes --slab-engine slubq|spl and --spl-slab-limit BYTES, not '$*'" ;;
        esac
        shift 2
    done
    mkdir -p "$ART"
    PASSED=0 FAILED=0 SKIPPED=0
    need_dotnet
    need_packages "fusermount3 fuse3" "zdb zfs-fuse" "setfattr attr" "fio fio" "sha256sum coreutils" "mount mount" "mkfs.ext4 e2fsprogs"
    [ -e /dev/fuse ] || { as_root modprobe fuse || as_root mknod -m 666 /dev/fuse c 10 229; } >/dev/null 2>&1 || say "no /dev/fuse: tests on a real mount are skipped"
    say "building (Release)"
    quiet "$ART/build.log" dotnet build "$ROOT/ZfsLite.sln" -c Release -v q -clp:NoSummary
    say "checking the format"
    if ! dotnet format "$ROOT/ZfsLite.sln" --verify-no-changes --no-restore >"$ART/format.log" 2>&1 </dev/null; then
        FAILED=1
        grep -E ': (error|warning) ' "$ART/format.log" | sort -u | head -n 20 || tail -n 5 "$ART/format.log"
        say "format: the code is not formatted; type: dotnet format (counted as one failure)"
    fi
    # The mounts wait for the kernel and the disk most of the time, the others compute: side by side. Who is done first helps from the end.
    local suite mounts=() others=() last=()
    for suite in "${suites[@]}"; do
        case "$suite" in
            mount:*) mounts+=("$suite") ;;
            *) others+=("$suite") last=("$suite" "${last[@]}") ;;
        esac
    done
    rm -rf "$ART/test"
    mkdir -p "$ART/test"
    run_lane "${mounts[@]}" "${last[@]}" &
    run_lane "${others[@]}"
    wait
    for suite in "${suites[@]}"; do
        add_counts "$suite"
    done
    say "$PASSED passed, $FAILED failed, $SKIPPED skipped"
    [ "$FAILED" -eq 0 ]
}

cmd_stress() {
    cmd_build
    need_packages "fusermount3 fuse3" "zdb zfs-fuse"
    publish tools/stress "$ART/stress"
    "$ART/stress/stress" --zfslite "$ART/zfslite" "$@"
}

# torture kmem, crash, images, kill: keep their state in artifacts, and go on from there with --resume. Without a kind: all of them.
cmd_torture() {
    mkdir -p "$ART"
    need_dotnet
    case "${1:-}" in
        kmem | crash | images | "" | -h | --help) say "building (Release)" ;;
        *)
            cmd_build
            need_packages "fusermount3 fuse3" "zdb zfs-fuse" "fio fio"
            ;;
    esac
    publish tools/torture "$ART/torture"
    cd "$ROOT"
    exec "$ART/torture/torture" "$@"
}

# need_library FILE PACKAGE: installs the package of a shared library that is missing.
need_library() {
    ldconfig -p | grep -q "$1" || need_packages "$1 $2"
}

# need_file FILE PACKAGE: installs the package of a file that is missing.
need_file() {
    [ -e "$1" ] || need_packages "$1 $2"
}

# bench kmem: the allocators' tables, kept with the machine, the command and the commit they come from.
cmd_bench() {
    [ "${1:-}" = kmem ] || die "there is no benchmark '${1:-}'; type: ./fuse-test.sh bench kmem"
    shift
    local command="./fuse-test.sh bench kmem${*:+ $*}" out="$ROOT/tools/bench/results/kmem.md" commit head
    if [ "${1:-}" = --full ]; then
        export ZFSLITE_BENCH_GRID=full
        out="$ROOT/tools/bench/results/kmem-full.md"
        shift
    fi
    mkdir -p "$ART" "$(dirname "$out")"
    need_dotnet
    need_library libmimalloc.so.2 libmimalloc2.0
    need_library libjemalloc.so.2 libjemalloc2
    say "building (Release)"
    quiet "$ART/build.log" dotnet build "$ROOT/tools/bench" -c Release -v q -clp:NoSummary
    commit="$(git -C "$ROOT" rev-parse --short HEAD 2>/dev/null || echo unknown)"
    git -C "$ROOT" diff --quiet HEAD -- kmem tools/bench 2>/dev/null || commit+=" and changes that are in none"
    head="# Allocators side by side

\`$command\`, $(date -u '+%Y-%m-%d %H:%M') UTC, commit $commit, $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r), .NET $(dotnet --version), load before the run $(cut -d ' ' -f 1-2 /proc/loadavg)

"
    say "measuring: about 8 minutes, with --full about 25; every case is logged to $ART/bench.log"
    # jemalloc is loaded late and has thread-local data: room for it must be set aside at the start.
    GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384 \
        dotnet "$ART/bin/bench/release/bench.dll" kmem --head "$head" --out "$out" "$@" >"$ART/bench.log" 2>&1 </dev/null \
        || { tail -n 20 "$ART/bench.log" >&2; die "the benchmark failed (full log: $ART/bench.log)"; }
    cat "$out"
    say "written: $out"
}

cmd_demo() {
    cmd_build
    need_packages "fusermount3 fuse3" "fio fio" "zdb zfs-fuse" "git git"
    ZFSLITE="$ART/zfslite" exec bash "$ROOT/tools/demo/demo.sh" "$@"
}

# nfs: what Debian's fio lacks is built once, into artifacts.
cmd_nfs() {
    can_be_root || die "nfs needs root, for open_by_handle_at and a network namespace; type: sudo ./fuse-test.sh nfs"
    cmd_build
    need_packages "fusermount3 fuse3" "fio fio" "zdb zfs-fuse" "ganesha.nfsd nfs-ganesha" "rpcbind rpcbind" "nfs-cp libnfs-utils" \
        "ip iproute2" "nsenter util-linux" "gcc gcc" "make make" "dpkg-source dpkg-dev"
    need_library libnfs.so.13 libnfs13
    need_file /usr/include/nfsc/libnfs.h libnfs-dev
    need_file "/usr/lib/$(gcc -print-multiarch)/ganesha/libfsalvfs.so" nfs-ganesha-vfs
    publish tools/nfs "$ART/nfshold"
    if [ ! -x "$ART/fio-nfs/fio" ]; then
        say "building fio with its nfs engine from Debian's source (once, about a minute)"
        as_root bash "$ROOT/tools/nfs/fio.sh" "$ART/fio-nfs" >"$ART/fio-nfs.log" 2>&1 </dev/null \
            || { tail -n 5 "$ART/fio-nfs.log" >&2; die "fio could not be built (full log: $ART/fio-nfs.log)"; }
    fi
    as_root env DOTNET_ROOT="$DOTNET_ROOT" PATH="$PATH:/usr/sbin:/sbin" bash "$ROOT/tools/nfs/nfs.sh"
}

main() {
    local command="${1:-help}"
    [ $# -gt 0 ] && shift
    case "$command" in
        build | install | uninstall | nfs) [ $# -eq 0 ] || die "$command takes no arguments; type: ./fuse-test.sh $command" ;;&
        build) cmd_build ;;
        test) cmd_test "$@" ;;
        demo) cmd_demo "$@" ;;
        nfs) cmd_nfs ;;
        bench) cmd_bench "$@" ;;
        stress) cmd_stress "$@" ;;
        torture) cmd_torture "$@" ;;
        install) cmd_install ;;
        uninstall) cmd_uninstall ;;
        help | -h | --help) usage ;;
        *) usage >&2; die "there is no command '$command'" ;;
    esac
}

main "$@"
