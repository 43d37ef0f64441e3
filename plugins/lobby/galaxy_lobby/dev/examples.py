"""A game against machine players by hand. It goes on from the example of the auth plugin, which sets TOKEN."""

from galaxy_kernel.api import DevExample

_START = """\
ask() { curl -s -X "$1" "{api}/api/v1/user/$2" -H "Authorization: Bearer $TOKEN" ${3:+--json} ${3:+"$3"}; }
first_id() { grep -o '"id":"[^"]*"' | head -n 1 | cut -d '"' -f 4; }
until ask GET engine-versions | grep -q '"suggest"'; do sleep 1; done   # the engine is checked first
ENGINE=$(ask GET engine-versions | first_id)
GAME=$(ask POST games '{"name": "Andromeda", "engine_version": "'$ENGINE'", "visibility": "private",
  "min_players": 3, "max_players": 3, "schedule": {"interval": "1d"}, "run_when_final": true}' | first_id)
for STEP in open-enrolment join; do ask POST games/$GAME/$STEP >/dev/null; done
ask POST games/$GAME/machines '{"count": 2}' >/dev/null; ask POST games/$GAME/start; echo"""

_READ = """\
until ask GET games/$GAME | grep -q '"state":"running"'; do sleep 1; done
ask GET games/$GAME/turns/0/report | python3 -c 'import json, sys; print(json.load(sys.stdin)["text"])'"""

FIRST_GAME = (
    DevExample("Start a game against two machine players:", _START),
    DevExample("Read your first report:", _READ),
)
"""Two steps of a player. They need `curl` (7.82 or later), `grep` and `python3`."""
