# Says by its exit code whether an address can be connected to: 9 if it can, 1 if it cannot within
# a second; any other code says that this could not be found out. Run in the static shell:
#   busybox sh connect.sh 10.96.0.7 8033
# Loader and launcher ask alike, so that what only the loader reaches is closed to the algorithm.
static_shell=${0%/*}/busybox
exec "$static_shell" nc -w 1 "$1" "$2" -e "$static_shell" sh -c 'exit 9' </dev/null >/dev/null 2>&1
