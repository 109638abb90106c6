# The first process of an algorithm's container. Its one argument is a shell line, the entrypoint:
#   /.c2d/busybox sh /.c2d/launch.sh 'python $ALGO'
# It runs in the static shell that lies beside it, whose built-in tools do the plumbing. It creates
# $LOGS/algorithm.log, which must not be there yet, sees that nothing can be reached that is listed
# in the file `closed` beside it, runs the line in the image's own sh where there is one, copies all
# output to that log (up to a limit) and to the container's log, passes signals on, reaps what is
# orphaned, and ends with the line's exit code, or with one of its own:
log_exists=221
broken=222
network_open=223
disk_full=224 # in place of another code than 0
grace=15 # seconds in which the network may still be closed by a policy that comes late
limit=67108864 # bytes of the log; a multiple of 512
scant=2097152 # bytes that may be left on a volume though the last large write did not fit

entrypoint=$1
folder=${0%/*}
static_shell=$folder/busybox
log=$LOGS/algorithm.log
newline='
'
early= job= own_log=
unset SHLVL # the static shell counts itself in the algorithm's environment

fail() {
  echo "launcher: $2" >&2
  [ ! "$own_log" ] || echo "launcher: $2" >>"$log"
  exit "$1"
}

# Says whether everything in the list is `closed`, or `open`, or that this is `unknown`.
look_around() {
  [ -r "$folder/closed" ] || { echo unknown; return; }
  probes=
  while read -r address port; do
    "$static_shell" sh "$folder/connect.sh" "$address" "$port" &
    probes="$probes $!"
  done <"$folder/closed"
  verdict=closed
  for probe in $probes; do
    wait "$probe"
    case $? in 9) verdict=open ;; 1) ;; *) echo unknown; return ;; esac
  done
  echo "$verdict"
}

# Ends the launcher unless the network is shown to be closed.
prove_isolation() {
  until verdict=$(look_around) && [ "$verdict" = closed ]; do
    [ "$verdict" = open ] || fail "$broken" 'it cannot be found out whether the network is closed'
    [ "$grace" -gt 0 ] || fail "$network_open" 'the network is not closed'
    grace=$((grace - 1))
    sleep 1
  done
}

# Sets `state` and `session` of a process. Its name, in parentheses, may hold anything.
inspect() {
  read -r -d '' stat 2>/dev/null <"/proc/$1/stat"
  stat=${stat##*) }
  state=${stat%% *}
  stat=${stat#* * * }
  session=${stat%% *}
}

# Sends a signal to every process outside of the launcher's own session, which is the algorithm:
# it begins in a session of its own, and no process can move into another one's.
# Succeeds if there was any.
signal_algorithm() {
  reached=1
  for process in /proc/[0-9]*; do
    inspect "${process#/proc/}"
    [ "$state" = Z ] || [ "$session" = "$own_session" ] || [ -z "$session" ] ||
      { kill -s "$1" "${process#/proc/}" 2>/dev/null && reached=0; }
  done
  return "$reached"
}

# Passes a signal on as soon as there is an algorithm, unless everything has ended.
pass_on() {
  interrupted=1
  if [ -z "$job" ]; then
    early=$1
    return
  fi
  until signal_algorithm "$1" || ! kill -0 "$job" 2>/dev/null; do usleep 10000; done
}

# Finds the image's own shell, so that the static one's tools hide none of the image's programs.
find_shell() {
  IFS=:
  for folder in /bin $PATH; do
    if [ -f "$folder/sh" ] && [ -x "$folder/sh" ]; then
      shell=$folder/sh
      break
    fi
  done
  unset IFS
}

# Without such a shell: functions that put the image's programs before the static shell's tools.
prefer_image() {
  IFS=:$newline
  for tool in $("$static_shell" --list); do
    case $tool in *[!a-z0-9_]* | [0-9]* | echo | false | kill | printf | pwd | test | true) continue ;; esac
    for folder in $PATH; do
      if [ -f "$folder/$tool" ] && [ -x "$folder/$tool" ]; then
        echo "$tool() { '$folder/$tool' \"\$@\"; }"
        break
      fi
    done
  done
  unset IFS
}

# Succeeds if the volume of a path has no room or no file left for others than root.
# Where files are not counted at all, there are none in total.
is_full() {
  set -- $(stat -f -c '%S %a %c %d' "$1" 2>/dev/null)
  [ $# = 4 ] || return
  [ $(($1 * $2)) -lt "$scant" ] || { [ "$3" != 0 ] && [ "$4" = 0 ]; }
}

# Names a code in place of the line's: what failed on a full volume did so because of that.
judge() {
  [ "$1" != 0 ] && { is_full "${OUTPUTS:-$LOGS}" || is_full "$LOGS"; } || return
  echo "${newline}launcher: the disk is full; the algorithm ended with exit code $1" >&2
  echo "$disk_full"
}

# Runs the line; what it leaves running ends with it. Descriptor 5 takes its exit code, and then
# the one in its place. That comes last: it takes a process, of which an algorithm may leave none.
run() {
  if [ "$shell" ]; then
    setsid "$shell" -c "$entrypoint" 3<&- 4>&- 5>&-
  else
    setsid "$static_shell" sh -c "$(prefer_image)$newline$entrypoint" 3<&- 4>&- 5>&-
  fi
  ended_with=$?
  echo "$ended_with" >&5
  while signal_algorithm KILL; do usleep 10000; done
  judge "$ended_with" >&5
}

# Copies output to the log until a write would pass the limit, and to standard output always.
copy() {
  trap '' XFSZ
  ulimit -f $((limit / 512))
  tee -a "$log" 2>/dev/null
}

note_limit() {
  [ "$(stat -c %s "$log")" -lt "$limit" ] ||
    echo "${newline}launcher: the log ends here, at its limit of $limit bytes" >>"$log"
}

# The whole pipeline. Its standard output ends when the line's output has been written.
launch() {
  exec 5>&1
  run 2>&1 | copy >&4 || note_limit
}

# The signals of a stop request reach the algorithm also where they come before its first line.
for signal in HUP INT QUIT TERM USR1 USR2; do
  trap "pass_on $signal" "$signal"
done

[ $# = 1 ] && [ "$LOGS" ] || fail "$broken" 'usage: LOGS=FOLDER launch.sh LINE'
[ $$ = 1 ] || fail "$broken" 'it must be the first process of a container'
inspect 1
own_session=$session
if ! (set -C && : >"$log") 2>/dev/null; then
  [ -e "$log" ] && fail "$log_exists" "$log is there already: this job has run before"
  fail "$broken" "$log cannot be created"
fi
own_log=1
prove_isolation
find_shell

# The pipeline is started by a process substitution, not by `&`, which would make the algorithm
# deaf to SIGINT and SIGQUIT. The job that is waited for ends when the pipeline has.
exec 4>&1
exec 3< <(launch)
{
  read -r code
  read -r verdict && read -r _
  exit "${verdict:-${code:-$broken}}"
} <&3 &
job=$!
exec 3<&-
[ -z "$early" ] || pass_on "$early"

while :; do
  interrupted=
  wait "$job"
  code=$?
  [ "$interrupted" ] && [ "$code" -gt 128 ] || exit "$code"
done
