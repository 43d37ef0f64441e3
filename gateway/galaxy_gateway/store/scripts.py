"""The store's operations as Redis scripts: each is atomic, and uses Redis's clock, which all gateways share."""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the digest by which Redis knows it."""

    text: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


SPEND = Script("""
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local full = redis.call('MGET', unpack(KEYS))
local allowed, debts = 1, {}
for i = 1, #KEYS do
  local interval, capacity = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  debts[i] = math.min(math.max(tonumber(full[i] or now) - now, 0), capacity)
  if debts[i] + interval > capacity then allowed = 0 end
end
if allowed == 1 then
  for i = 1, #KEYS do
    debts[i] = debts[i] + tonumber(ARGV[2 * i - 1])
    redis.call('SET', KEYS[i], string.format('%.0f', now + debts[i]), 'PX', math.ceil(debts[i] / 1000))
  end
end
return {allowed, unpack(debts)}
""")
"""Keys: allowances. Arguments: interval and capacity of each. Returns whether all were spent, and the debts.

`%.0f` since Lua's own conversion keeps 14 digits, and the time of day in microseconds has 16.
"""

CLAIM = Script("""
local found = redis.call('HMGET', KEYS[1], 'fingerprint', 'answer')
if found[1] then return found end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'fingerprint', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {}
""")
"""Arguments: owner, fingerprint, milliseconds of the lease. Returns nothing if granted, else fingerprint and answer."""

FINISH = Script("""
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] and redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HDEL', KEYS[1], 'owner')
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[2], 'answer', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
""")
"""Arguments: owner, fingerprint, answer, milliseconds to keep it. Returns whether it is kept."""

ABANDON = Script("""
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")
"""Argument: owner. Returns whether the claim still stood."""
