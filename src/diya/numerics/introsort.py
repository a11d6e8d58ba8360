"""The C++ library's selection and sorting, step by step, for which of several equal elements PyTorch gives.

PyTorch selects with ``std::partial_sort``, ``std::nth_element`` and ``std::sort``, none of which is stable: where elements are
equal, their positions in the result depend on every swap. These are the algorithms of the GNU library (Musser's introsort and
introselect, median of three, heaps where they go too deep). ``a`` holds positions, and ``key[a[i]]`` is what is compared.
"""

from __future__ import annotations

import numpy as np

from ..runtime.arrays import copy
from .order import keys, runs, stable_order, stable_top

LIMIT = 1 << 14  # elements from which on equal ones come in their order: a step is Python, and any order is right
SMALL = 16  # elements from which down a part is left to insertion sort


def sorted_order(x: np.ndarray, descending: bool = False, stable: bool = True) -> np.ndarray:
    """The permutation (int64) that sorts each row, as PyTorch's ``sort`` gives it."""
    out = stable_order(x, descending)
    if not stable and SMALL < x.shape[-1] and x.size <= LIMIT:
        for at in _tied(np.take_along_axis(x, out, -1)):
            key, a = _start(x[at], descending)
            _sort(key, a, 0, len(a))
            out[at] = a
    return out


def sorted_values(x: np.ndarray, descending: bool = False, stable: bool = True) -> np.ndarray:
    """Each row sorted: the elements at ``sorted_order``, signs of zeros included."""
    if x.dtype.kind == "f" and (x.view(f"i{x.dtype.itemsize}") == np.iinfo(f"i{x.dtype.itemsize}").min).any():
        return np.take_along_axis(x, sorted_order(x, descending, stable), -1)
    out = copy(x)
    out.sort(axis=-1)
    return out[..., ::-1] if descending else out


def top_order(x: np.ndarray, k: int, largest: bool, ordered: bool = True) -> np.ndarray:
    """The positions of the ``k`` first elements of each row, as PyTorch's ``topk`` gives them."""
    n = x.shape[-1]
    if not k or x.size > LIMIT:
        return stable_top(x, k, largest)
    first = stable_top(x, min(k + 1, n), largest)  # one more: it may equal the last
    heap = 64 * k <= n
    out = first[..., :k]
    for at in _tied(np.take_along_axis(x, first, -1)) if ordered or heap else np.ndindex(*x.shape[:-1]):
        key, a = _start(x[at], largest)
        if heap:
            _partial_sort(key, a, 0, k, n)
        else:
            _select(key, a, k - 1)
            if ordered:
                _sort(key, a, 0, k - 1)
        out[at] = a[:k]
    return out


def kth_order(x: np.ndarray, k: int) -> np.ndarray:
    """The position in each row of the element that ``kthvalue`` chooses, as a last dimension of one."""
    out = stable_top(x, k + 1, False)
    if x.size <= LIMIT:
        values = np.take_along_axis(x, stable_top(x, min(k + 2, x.shape[-1]), False)[..., max(k - 1, 0):], -1)
        for at in _tied(values):
            out[at][k] = _quickselect(*_start(x[at], False), k)
    return out[..., k:]


def modes(x: np.ndarray) -> np.ndarray:
    """The position in each row of the element that ``mode`` chooses, as a last dimension of one."""
    order = sorted_order(x, stable=False)
    end = np.expand_dims(runs(np.take_along_axis(x, order, -1)).argmax(-1), -1)  # of the first run that is longest
    return np.take_along_axis(order, end, -1)


def _tied(ordered: np.ndarray) -> list[tuple[int, ...]]:
    """Which of the sorted rows have equal neighbours; NaN equals NaN."""
    k = keys(ordered)
    return [tuple(at) for at in np.argwhere((k[..., 1:] == k[..., :-1]).any(-1)).tolist()]


def _start(row: np.ndarray, descending: bool) -> tuple[list, list[int]]:
    return keys(row, descending).tolist(), list(range(len(row)))


def _quickselect(key: list, a: list[int], k: int) -> int:
    """The position that PyTorch's own quickselect (Hoare, median of three) puts at ``k``."""
    left, right = 0, len(a) - 1
    while right > left + 1:
        middle = left + (right - left) // 2
        _swap(a, middle, left + 1)
        for i, j in ((left + 1, right), (left, right), (left + 1, left)):
            if key[a[i]] > key[a[j]]:
                _swap(a, i, j)
        i, j, pivot = left + 1, right, key[a[left]]
        while True:
            i += 1
            while pivot > key[a[i]]:
                i += 1
            j -= 1
            while key[a[j]] > pivot:
                j -= 1
            if j < i:
                break
            _swap(a, i, j)
        _swap(a, left, j)
        if j <= k:
            left = i
        if j >= k:
            right = j - 1
    if right == left + 1 and key[a[left]] > key[a[right]]:
        _swap(a, left, right)
    return a[k]


def _swap(a: list[int], i: int, j: int) -> None:
    a[i], a[j] = a[j], a[i]


def _depth(n: int) -> int:
    return 2 * (n.bit_length() - 1)


def _insertion_sort(key: list, a: list[int], first: int, last: int) -> None:
    a[first:last] = sorted(a[first:last], key=key.__getitem__)  # both are stable


def _partition(key: list, a: list[int], first: int, last: int) -> int:
    """Parts ``first..last`` at the median of three; where the second part begins."""
    i, j, k = first + 1, first + (last - first) // 2, last - 1
    x, y, z = key[a[i]], key[a[j]], key[a[k]]
    if x < y:
        median = j if y < z else k if x < z else i
    else:
        median = i if x < z else k if y < z else j
    _swap(a, first, median)
    pivot, left, right = key[a[first]], first + 1, last
    while True:
        while key[a[left]] < pivot:
            left += 1
        right -= 1
        while pivot < key[a[right]]:
            right -= 1
        if not left < right:
            return left
        _swap(a, left, right)
        left += 1


def _select(key: list, a: list[int], n: int) -> None:
    """``std::nth_element``."""
    first, last, depth = 0, len(a), _depth(len(a))
    while last - first > 3:
        if not depth:
            _heap_select(key, a, first, n + 1, last)
            _swap(a, first, n)
            return
        depth -= 1
        cut = _partition(key, a, first, last)
        if cut <= n:
            first = cut
        else:
            last = cut
    _insertion_sort(key, a, first, last)


def _sort(key: list, a: list[int], first: int, last: int) -> None:
    """``std::sort``."""
    if last > first:
        _introsort(key, a, first, last, _depth(last - first))
        _insertion_sort(key, a, first, last)


def _introsort(key: list, a: list[int], first: int, last: int, depth: int) -> None:
    while last - first > SMALL:
        if not depth:
            _partial_sort(key, a, first, last, last)
            return
        depth -= 1
        cut = _partition(key, a, first, last)
        _introsort(key, a, cut, last, depth)
        last = cut


def _partial_sort(key: list, a: list[int], first: int, middle: int, last: int) -> None:
    _heap_select(key, a, first, middle, last)
    for end in range(middle - 1, first, -1):
        value, a[end] = a[end], a[first]
        _sift(key, a, first, 0, end - first, value)


def _heap_select(key: list, a: list[int], first: int, middle: int, last: int) -> None:
    """The smallest elements become a heap in ``first..middle``."""
    size = middle - first
    for hole in range(size // 2 - 1, -1, -1):
        _sift(key, a, first, hole, size, a[first + hole])
    greatest = key[a[first]]
    for i in range(middle, last):
        value = a[i]
        if key[value] < greatest:
            a[i] = a[first]
            _sift(key, a, first, 0, size, value)
            greatest = key[a[first]]


def _sift(key: list, a: list[int], first: int, hole: int, size: int, value: int) -> None:
    """``value`` finds its place in a heap with a hole: down along the greater children, then up."""
    top, child = hole, hole
    while child < (size - 1) // 2:
        child = 2 * (child + 1)
        if key[a[first + child]] < key[a[first + child - 1]]:
            child -= 1
        a[first + hole] = a[first + child]
        hole = child
    if size % 2 == 0 and child == (size - 2) // 2:
        a[first + hole] = a[first + 2 * child + 1]
        hole = 2 * child + 1
    while hole > top and key[a[first + (hole - 1) // 2]] < key[value]:
        a[first + hole] = a[first + (hole - 1) // 2]
        hole = (hole - 1) // 2
    a[first + hole] = value
