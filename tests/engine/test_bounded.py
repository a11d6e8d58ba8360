from diya.bounded import Bounded


def test_those_used_longest_ago_go_and_the_latest_stays():
    cache = Bounded(12)
    for key in "abc":
        cache.put(key, key.upper(), 4)
    assert cache.get("a") == "A" and cache.weight == 12
    cache.put("d", "D", 1)                  # b was used longest ago: 9 are left, three quarters
    assert cache.get("b") is None and cache.values() == ["A", "C", "D"] and cache.weight == 9
    cache.put("a", "other", 1)
    assert cache.get("a") == "other" and cache.weight == 6
    cache.put("e", "E", 50)
    assert cache.values() == ["E"] and len(cache) == 1
    cache.drop("e")
    cache.drop("e")
    assert cache.weight == 0 and not len(cache)
