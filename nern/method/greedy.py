"""The greedy walk through many points, exact and fast: compiled code of `permutation` (paper, section 3.3).

The unvisited points lie in a tree of boxes, WIDTH children to a group; a point is a box without extent. A query
skips every box that lies farther away than the best point found. This loses nothing, ties included: rounding is
monotone and both distances are summed in the same order, so the computed distance of a box never exceeds the
computed distance of a point inside it. Boxes shrink as points are visited, and the tree is rebuilt whenever half
of its points are gone.

A group holds its boxes side by side, `low[group, dimension, lane]`, so that one instruction treats several of them
without changing the order of any sum. Groups of points come first, then the levels above; the root is the last.
The loops are written out because numba compiles them several times faster than slices.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Tree = tuple[Floats, Floats, Integers, Integers]
"""low and high [groups, d, WIDTH]; content [groups·WIDTH], the point or group in a box; owner [groups], its own box."""

Function = TypeVar("Function", bound=Callable[..., Any])

WIDTH = 32
STACK = 1024  # more than WIDTH boxes on each level of any tree that fits in a memory


def _compiled(function: Function) -> Function:
    """Compile with numba, keeping the machine code on disk where any directory for it is writable."""
    try:
        return cast(Function, numba.njit(cache=True)(function))
    except RuntimeError:
        return cast(Function, numba.njit(function))


@_compiled
def _box_distances(low: Floats, high: Floats, group: int, point: Floats, out: Floats) -> None:
    """Squared distance from a point to each box of a group; infinite for an empty one."""
    out[:] = 0.0
    for k in range(point.size):
        for lane in range(WIDTH):
            below = low[group, k, lane] - point[k]
            above = point[k] - high[group, k, lane]
            gap = below if below > above else above
            gap = gap if gap > 0.0 else 0.0
            out[lane] += gap * gap


@_compiled
def _fit_box(low: Floats, high: Floats, group: int, box: int) -> bool:
    """Shrink the box that stands for a group to its content; whether it changed."""
    changed = False
    for k in range(low.shape[1]):
        least, most = np.inf, -np.inf
        for lane in range(WIDTH):
            least = min(least, low[group, k, lane])
            most = max(most, high[group, k, lane])
        if least != low[box // WIDTH, k, box % WIDTH] or most != high[box // WIDTH, k, box % WIDTH]:
            low[box // WIDTH, k, box % WIDTH] = least
            high[box // WIDTH, k, box % WIDTH] = most
            changed = True
    return changed


@_compiled
def _split(keys: Floats, items: Integers, start: int, middle: int, stop: int) -> None:
    """Quickselect: reorder items[start:stop] so that no key before `middle` exceeds one from `middle` on."""
    first, last = start, stop - 1
    while first < last:
        pivot = keys[items[(first + last) // 2]]
        i, j = first, last
        while i <= j:
            while keys[items[i]] < pivot:
                i += 1
            while keys[items[j]] > pivot:
                j -= 1
            if i <= j:
                items[i], items[j] = items[j], items[i]
                i, j = i + 1, j - 1
        if middle <= j:
            last = j
        elif middle >= i:
            first = i
        else:
            return


@_compiled
def _sort_for_tree(points: Floats, items: Integers) -> None:
    """Reorder items so that each aligned run of WIDTH, WIDTH², … of them lies close together: splits at the widest."""
    pending = [(0, items.size)]
    while pending:
        start, stop = pending.pop()
        if stop - start <= WIDTH:
            continue
        left = WIDTH
        while 2 * left < stop - start:
            left *= 2
        widest, dimension = -1.0, 0
        for k in range(points.shape[1]):
            least, most = np.inf, -np.inf
            for i in range(start, stop):
                least, most = min(least, points[items[i], k]), max(most, points[items[i], k])
            if most - least > widest:
                widest, dimension = most - least, k
        _split(points[:, dimension], items, start, start + left, stop)
        pending.append((start, start + left))
        pending.append((start + left, stop))


@_compiled
def _build(points: Floats, items: Integers) -> Tree:
    """The tree over some of the points."""
    _sort_for_tree(points, items)
    leaves = max(1, -(-items.size // WIDTH))
    groups, level = leaves, leaves
    while level > 1:
        level = -(-level // WIDTH)
        groups += level
    low = np.full((groups, points.shape[1], WIDTH), np.inf)
    high = np.full((groups, points.shape[1], WIDTH), -np.inf)
    content = np.full(groups * WIDTH, -1)
    owner = np.full(groups, -1)
    for slot in range(items.size):
        content[slot] = items[slot]
        for k in range(points.shape[1]):
            low[slot // WIDTH, k, slot % WIDTH] = points[items[slot], k]
            high[slot // WIDTH, k, slot % WIDTH] = points[items[slot], k]
    first, above = 0, leaves  # the first group of a level, and that of the level above
    while above < groups:
        for group in range(first, above):
            box = above * WIDTH + group - first
            content[box], owner[group] = group, box
            _fit_box(low, high, group, box)
        first, above = above, above - (first - above) // WIDTH
    return low, high, content, owner


@_compiled
def _remove(tree: Tree, slot: int) -> None:
    """Empty a point's slot and shrink the boxes around it."""
    low, high, _, owner = tree
    group = slot // WIDTH
    for k in range(low.shape[1]):
        low[group, k, slot % WIDTH] = np.inf
        high[group, k, slot % WIDTH] = -np.inf
    while owner[group] >= 0 and _fit_box(low, high, group, owner[group]):
        group = owner[group] // WIDTH


@_compiled
def _nearest(
    tree: Tree, leaves: int, point: Floats, start: int, stack: Integers, bounds: Floats, lanes: Floats
) -> tuple[float, int]:
    """Squared distance and number of the nearest point in the tree, the lowest number of several; (inf, -1) if empty.

    `start` is a group to look at first: the closer its points, the more boxes are skipped.
    """
    low, high, content, owner = tree
    best, winner = np.inf, -1
    stack[0], bounds[0] = owner.size - 1, 0.0
    stack[1], bounds[1] = start, 0.0
    size = 2
    while size > 0:
        size -= 1
        if bounds[size] > best:
            continue
        group = stack[size]
        _box_distances(low, high, group, point, lanes)
        bottom = size
        for lane in range(WIDTH):
            distance = lanes[lane]
            if distance > best or distance == np.inf:
                continue
            child = content[group * WIDTH + lane]
            if group < leaves:
                if distance < best or child < winner:
                    best, winner = distance, child
                continue
            place = size  # the nearest box on top, to be opened first
            while place > bottom and bounds[place - 1] < distance:
                stack[place], bounds[place] = stack[place - 1], bounds[place - 1]
                place -= 1
            stack[place], bounds[place] = child, distance
            size += 1
    return best, winner


@_compiled
def walk(points: Floats, apart: NDArray[np.bool_], apart_distance: float) -> Integers:
    """Start at point 0 and always go to the nearest unvisited point, the lowest number of several.

    Args:
        points: [n, d], finite. Many equal ones make it slow: they all tie.
        apart: [n], points at one distance from every other, wherever they lie.
        apart_distance: the square of that distance.

    Returns:
        [n], the points in the order of the visit. Distances are squared Euclidean ones, summed from dimension 0 on.
    """
    count = points.shape[0]
    path = np.empty(count, np.int64)
    visited = np.zeros(count, np.bool_)
    slots = np.full(count, -1)
    stack, bounds, lanes = np.empty(STACK, np.int64), np.empty(STACK), np.empty(WIDTH)
    items = np.nonzero(~apart)[0]
    alive, built = items.size, -1
    current, lowest, lowest_apart = 0, 0, 0
    for step in range(count):
        if built < 0 or 0 < 2 * alive <= built:
            items = items[~visited[items]]
            tree = _build(points, items)
            for slot in range(items.size):
                slots[items[slot]] = slot
            leaves, built, start = max(1, -(-items.size // WIDTH)), items.size, tree[3].size - 1
        if step > 0 and apart[current]:
            while visited[lowest]:
                lowest += 1
            current = lowest
        elif step > 0:
            distance, nearest = _nearest(tree, leaves, points[current], start, stack, bounds, lanes)
            while lowest_apart < count and (visited[lowest_apart] or not apart[lowest_apart]):
                lowest_apart += 1
            tied = distance == apart_distance and lowest_apart < nearest
            if lowest_apart < count and (distance > apart_distance or tied):
                nearest = lowest_apart
            current = nearest
        path[step] = current
        visited[current] = True
        if not apart[current]:
            _remove(tree, slots[current])
            start = slots[current] // WIDTH
            alive -= 1
    return path


@_compiled
def summed_distances(points: Floats, apart: NDArray[np.bool_], apart_distance: float, roots: bool) -> Floats:
    """Distances of filters: over their kernels, the sum of the kernels' squared distances, or of those distances.

    Args:
        points: [C, d, F], filters side by side.
        apart: [C, F], kernels at one distance from every other.
        apart_distance: the square of that distance.
        roots: sum distances, not their squares.

    Returns:
        [F, F].
    """
    channels, dimensions, filters = points.shape
    total = np.zeros((filters, filters))
    squares = np.empty(filters)
    for f in range(filters):
        for c in range(channels):
            squares[:] = 0.0
            for k in range(dimensions):
                for g in range(filters):
                    gap = points[c, k, g] - points[c, k, f]
                    squares[g] += gap * gap
            for g in range(filters):
                square = apart_distance if apart[c, f] or apart[c, g] else squares[g]
                total[f, g] += np.sqrt(square) if roots else square
    return total
