# Long-running parts of a cluster: started, found again, stopped. Sourced after common.sh.
#
# A part has a name ("etcd", "node-1/skiffd"), a log, and a file with its pid and start time: the pair
# is what a later command acts on, so a pid that somebody else got meanwhile is left alone. All parts
# carry SKIFF_CLUSTER=DIR in their environment, which is how `down` finds those that nobody recorded.
# shellcheck shell=bash

part_log() {
        case $1 in
        */*) echo "$DIR/nodes/${1%/*}/log/${1#*/}.log" ;;
        *) echo "$CONTROL/log/$1.log" ;;
        esac
}
part_pidfile() { echo "$CONTROL/pid/${1//\//.}"; }

start_time() { sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f20; }
first_child() { cut -d' ' -f1 "/proc/$1/task/$1/children"; }

part_record() { # NAME PID
        local started
        started=$(start_time "$2") || return 1
        echo "$2 $started" >"$(part_pidfile "$1").new"
        mv "$(part_pidfile "$1").new" "$(part_pidfile "$1")"
}

# part_pid NAME: prints its pid when it runs
part_pid() {
        local pid started
        read -r pid started 2>/dev/null <"$(part_pidfile "$1")" || return 1
        [ "$(start_time "$pid" 2>/dev/null)" = "$started" ] && echo "$pid"
}

# part_start NAME COMMAND...: in a session of its own, its output appended to its log
part_start() {
        local name=$1 log
        shift
        log=$(part_log "$name")
        SKIFF_CLUSTER=$DIR setsid "$@" >>"$log" 2>&1 </dev/null 9>&- &
        PART_PID=$!
        part_record "$name" $PART_PID || die "$name did not start: $(tail -n 3 "$log")"
}

# part_start_within NAME NSENTER-COMMAND...: the same for a command that forks once to get into a PID
# namespace; the child is what counts
part_start_within() {
        local name=$1 log child=
        shift
        log=$(part_log "$name")
        SKIFF_CLUSTER=$DIR setsid "$@" >>"$log" 2>&1 </dev/null 9>&- &
        PART_PID=$!
        for _ in $(seq 100); do
                child=$(first_child $PART_PID 2>/dev/null) && [ -n "$child" ] && break
                sleep 0.02
        done
        [ -n "$child" ] && part_record "$name" "$child" || die "$name did not start: $(tail -n 3 "$log")"
}

# part_stop NAME [SIGNAL]: and waits for its end (SIGKILL after ten seconds)
part_stop() { "$CLUSTER_HOME/lib/stop" --recorded "$(part_pidfile "$1")" "${2:-TERM}"; }
