#!/bin/sh
# The engine of these tests: it does what DO says, under every driver.
case "${DO:-wait}" in
wait) echo "up on $PORT"; exec sleep 3600 ;;
exit) echo "leaving" >&2; exit 3 ;;
stubborn) trap '' TERM; echo "deaf"; while :; do sleep 1; done ;;
nested) sleep 3600 & echo "child $!"; wait ;;
shout) while :; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; done ;;
speak) printf 'one\ntwo \033[31mred\033[0m\nthr\303\251e\n'; exec sleep 3600 ;;
variables) env; exec sleep 3600 ;;
esac
