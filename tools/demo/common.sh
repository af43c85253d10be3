# shellcheck shell=bash
# What the demonstrations share: their screen, the command, a daemon in the foreground, and the two judges.
# Read by scripts that have set ZFSLITE (the command) and MNT.

SHOW="$(basename "$0" .sh)"
readonly SHOW
readonly EXIT_DEADLOCK=75
DAEMON=0

if [ -t 1 ]; then BOLD=$'\e[1m' DIM=$'\e[2m' OFF=$'\e[0m'; else BOLD='' DIM='' OFF=''; fi

title() { printf '\n%s%s%s\n' "$BOLD" "$*" "$OFF"; }
step() { printf '%s%4d s%s  %s\n' "$DIM" "$SECONDS" "$OFF" "$*"; }
saw() { printf '        %s\n' "$*"; }
fail() { printf '\n%s: FAILED: %s\n' "$SHOW" "$*" >&2; exit 1; }

# zl ARGUMENTS...: the command; its output is shown indented, its failure ends everything.
zl() {
    local text
    text="$("$ZFSLITE" "$@" 2>&1)" || fail "zfslite $*: $text"
    [ -z "$text" ] || saw "$text"
}

daemon_pid() { "$ZFSLITE" status "$MNT" --json | sed -n 's/.*"pid":\([0-9]*\).*/\1/p'; }

# judge IMAGE POOL: zfslite check, then zdb -bcc.
judge() {
    local text
    zl check "$1"
    text="$("$ZFSLITE" zdb "$(dirname "$1")" "$2" 2>&1)" || fail "zdb -bcc: exit code $?: $(tail -n 5 <<<"$text")"
    grep -q 'No leaks' <<<"$text" || fail "zdb -bcc does not say that there are no leaks: $(tail -n 5 <<<"$text")"
    saw "zdb -bcc: exit code 0, $(grep 'No leaks' <<<"$text" | sed 's/^[[:space:]]*//')"
}

# start_daemon LOG IMAGE ARGUMENTS...: mounts it on MNT, the daemon as a child, so that its exit code is seen.
start_daemon() {
    local log="$1" image="$2" i
    shift 2
    "$ZFSLITE" mount "$image" "$MNT" "$@" >"$log" 2>&1 &
    DAEMON=$!
    for i in $(seq 200); do
        mountpoint -q "$MNT" && return 0
        kill -0 "$DAEMON" 2>/dev/null || break
        sleep 0.1
    done
    fail "the daemon did not mount ($i): $(tail -n 3 "$log")"
}

# await_daemon SECONDS: its exit code in CODE; "running" if it still runs then.
await_daemon() {
    local end=$((SECONDS + $1))
    while kill -0 "$DAEMON" 2>/dev/null; do
        if [ "$SECONDS" -ge "$end" ]; then
            CODE=running
            return 0
        fi
        sleep 0.2
    done
    CODE=0
    wait "$DAEMON" || CODE=$?
    DAEMON=0
}

# counter NAME FILE: a counter of the small kernel, from the report of a deadlock or from zfslite kmem.
counter() { awk -v name="$1" '$1 == name { print $2; exit }' "$2"; }

# cycle_length REPORT: how many threads wait for each other.
cycle_length() {
    if grep -q 'PROVEN DEADLOCK.*waits for itself' "$1"; then
        echo "1: it waits for itself"
    else
        sed -n 's/.*cycle of \([0-9]*\) thread.*/\1/p' "$1" | head -n 1
    fi
}
