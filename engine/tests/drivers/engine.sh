#!/bin/sh
# The engine of these tests: it does what DO says, under every driver.
case "${DO:-wait}" in
wait) echo "up on $PORT"; exec sleep 3600 ;;
exit) echo "leaving" >&2; exit 3 ;;
stubborn) trap '' TERM; echo "deaf"; while :; do sleep 1; done ;;
nested) sleep 3600 & echo "child $!"; wait ;;
shout) while :; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; done ;;
speak) printf 'one\ntwo \033[31mred\033[0m\nthr\303\251e\n'; exec sleep 3600 ;;
serve) exec httpd -f -p "$PORT" -h /etc ;;
oom) exec dd if=/dev/zero of=/dev/null bs=400M count=1 ;;
look)
    echo "uid $(id -u) gid $(id -g)"
    grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status
    touch /file 2>/dev/null && echo "root is writable"
    touch /etc/file 2>/dev/null && echo "etc is writable"
    touch /tmp/file && echo "tmp is writable"
    dd if=/dev/zero of=/tmp/file bs=1M count=64 2>/dev/null || echo "tmp is full at $(stat -c %s /tmp/file)"
    touch /data/file 2>/dev/null && echo "data is writable"
    dd if=/dev/zero of=/data/file bs=1M count=64 2>/dev/null || echo "data is full"
    echo "init $(cat /proc/1/comm)"
    echo "files $(ulimit -n) core $(ulimit -c)"
    echo "seen"; exec sleep 3600 ;;
connect)
    for target in $TARGETS; do
        nc -w 2 "${target%:*}" "${target#*:}" </dev/null >/dev/null 2>&1 && echo "reached $target" || echo "no way to $target"
    done
    echo "tried"; exec sleep 3600 ;;
fork)
    count=0
    while [ $count -lt 200 ]; do sleep 3600 & count=$((count + 1)); done
    echo "forked"; wait ;;
variables) env; exec sleep 3600 ;;
esac
