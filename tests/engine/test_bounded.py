from diya.bounded import Bounded


def test_the_least_lately_used_goes_and_the_latest_stays():
    cache = Bounded(10)
    for key in "abc":
        cache.put(key, key.upper(), 4 if key != "c" else 2)
    assert cache.get("a") == "A" and cache.weight == 10
    cache.put("d", "D", 3)                  # b was used longest ago
    assert cache.get("b") is None and cache.values() == ["C", "A", "D"] and cache.weight == 9
    cache.put("a", "other", 1)
    assert cache.get("a") == "other" and cache.weight == 6
    cache.put("e", "E", 50)
    assert cache.values() == ["E"] and len(cache) == 1
    cache.drop("e")
    cache.drop("e")
    assert cache.weight == 0 and not len(cache)
