"""The aggregation rules of docs/fl-protocol.md, written from that text alone, in Python's integers.

`python3 test/federation/vectors/record_aggregation.py > test/federation/vectors/aggregation.json` records what the tests of
`src/federation/aggregation/` must find again, to the bit. No package is needed.
"""

import json
import struct
from fractions import Fraction
from math import ceil, floor, isqrt

WHOLE = 2**26


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def squared_distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b))


def lower(values):
    return sorted(values)[(len(values) - 1) // 2]


def upper(values):
    return sorted(values)[len(values) // 2]


def liars_among(liars, n):
    return liars if isinstance(liars, int) else n * liars["percent"] // 100


def in_units(bound, rows):
    if "norm" in bound:
        return floor(Fraction(bound["norm"]) * 2**24)
    return lower([isqrt(dot(x, x)) for x in rows]) * floor(Fraction(bound["medians"]) * 1024) // 1024


def enough(plan, n):
    rule, mix = plan["rule"], plan.get("mix")
    if n < 1 or (mix and n <= 2 * liars_among(mix["liars"], n)):
        return False
    if "liars" not in rule:
        return True
    f = liars_among(rule["liars"], n)
    if rule["kind"] == "trimmed-mean":
        return n > 2 * f
    return n >= 2 * f + 3 and rule.get("keep", 1) <= n - f


def outliers(plan, rows):
    n = len(rows)
    if "outliers" not in plan or n < 5:
        return set()
    if plan["outliers"]["measure"] == "norm":
        sizes = [isqrt(dot(x, x)) for x in rows]
    else:
        sizes = [
            isqrt(lower([squared_distance(x, y) for j, y in enumerate(rows) if j != i])) for i, x in enumerate(rows)
        ]
    at_least_1 = [max(1, size) for size in sizes]
    c = lower(at_least_1)
    r = upper([max(size * 2**16 // c, c * 2**16 // size) for size in at_least_1])
    p = ceil(Fraction(3 * plan["outliers"]["sigmas"] * (n + 4), n))
    limit = max(c * isqrt(r**p * 2**32 // 2 ** (16 * p)) // 2**16, 3 * c // 2)
    gone = set()
    for i in sorted((i for i in range(n) if sizes[i] > limit), key=lambda i: (-sizes[i], -i)):
        if not enough(plan, n - len(gone) - 1):
            break
        gone.add(i)
    return gone


def clip(plan, rows):
    if "clip" not in plan:
        return rows
    b = in_units(plan["clip"], rows)
    clipped = []
    for x in rows:
        if dot(x, x) > b * b:
            k = isqrt(b * b * 2**52 // dot(x, x))
            x = [(abs(v) * k // 2**26) * (1 if v > 0 else -1) for v in x]
        clipped.append(x)
    return clipped


def distances(rows, weights, whole):
    """Rounded down, in 2^-16 units, from the weighted mean, which is formed here."""
    total = [sum(w * x[place] for w, x in zip(weights, rows)) for place in range(len(rows[0]))]
    return [
        isqrt(sum((whole * v - t) ** 2 for v, t in zip(x, total)) * 2**32 // whole**2) for x in rows
    ]


def weigh(rule, rows, shares, m):
    n, kind = len(rows), rule["kind"]
    if kind == "mean":
        return shares, sum(shares)
    if kind == "geometric-median":
        w = list(shares)
        least = floor(Fraction(rule["smoothing"]) * 2**40) * m
        for _ in range(rule["iterations"]):
            q = [s * 2**96 // max(d, least) for s, d in zip(shares, distances(rows, w, sum(w)))]
            w = [one * WHOLE // sum(q) for one in q]
        return w, sum(w)
    if kind == "centered-clipping":
        w = [0] * n
        t = in_units(rule["radius"], rows) * (m if "norm" in rule["radius"] else 1)
        total = sum(shares)
        for _ in range(rule["iterations"]):
            a = [
                s * WHOLE // total if d <= t * 2**16 else s * WHOLE * t * 2**16 // (total * d)
                for s, d in zip(shares, distances(rows, w, WHOLE))
            ]
            w = [one * (WHOLE - sum(a)) // WHOLE + step for one, step in zip(w, a)]
        return w, WHOLE
    f = liars_among(rule["liars"], n)
    scores = [
        sum(sorted(squared_distance(x, y) for j, y in enumerate(rows) if j != i)[: n - f - 2])
        for i, x in enumerate(rows)
    ]
    keep = 1 if kind == "krum" else rule.get("keep", n - f)
    chosen = sorted(range(n), key=lambda i: (scores[i], i))[:keep]
    w = [s if i in chosen else 0 for i, s in enumerate(shares)]
    return w, sum(w)


def aggregate(plan, updates):
    n = len(updates)
    rows = [update["values"] for update in updates]
    shares = [
        1 if plan["weigh"] == "equal" else min(u["samples"], plan.get("mostSamples", WHOLE)) for u in updates
    ]
    gone = outliers(plan, rows)
    left = [i for i in range(n) if i not in gone]
    shares = [shares[i] for i in left]
    rows = clip(plan, [rows[i] for i in left])
    n = len(rows)
    rule = plan["rule"]
    places = range(len(rows[0]))

    if rule["kind"] in ("median", "trimmed-mean"):
        counts = shares if plan["weigh"] == "samples" else [1] * n
        total = sum(counts)
        f = ceil(Fraction(total, 2)) - 1 if rule["kind"] == "median" else liars_among(rule["liars"], total)
        values = []
        for place in places:
            column = sorted(v for x, count in zip(rows, counts) for v in [x[place]] * count)
            values.append(sum(column[f : total - f]) / (total - 2 * f))
        weights = counts
    else:
        m, near = 1, None
        if "mix" in plan:
            m = n - liars_among(plan["mix"]["liars"], n)
            near = [
                sorted(range(n), key=lambda j: (squared_distance(rows[i], rows[j]), j))[:m] for i in range(n)
            ]
        given = rows if near is None else [[sum(rows[j][p] for j in js) for p in places] for js in near]
        weights, whole = weigh(rule, given, shares, m)
        if near is not None:
            weights = [sum(w for w, js in zip(weights, near) if j in js) for j in range(n)]
            if whole * m > WHOLE:
                weights = [w // m for w in weights]
            else:
                whole *= m
        values = [sum(w * x[p] for w, x in zip(weights, rows)) / whole for p in places]
    by_update = dict(zip(left, weights))
    return {
        "values": "".join(struct.pack("<d", value).hex() for value in values),
        "weights": [by_update.get(i, 0) for i in range(len(updates))],
    }


def updates_of(n, length, spread, seed):
    """Around one direction, with three that lie: turned, a hundred times as long, and small."""
    state = seed

    def uniform(limit):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) % (2 * limit + 1) - limit

    common = [uniform(20_000) for _ in range(length)]
    updates = []
    for i in range(n):
        values = [v + uniform(spread) for v in common]
        if i == 2:
            values = [-v for v in values]
        if i == 5:
            values = [100 * v for v in values]
        if i == 7:
            values = [v // 10 for v in values]
        updates.append({"samples": 1 + (uniform(400) + 400), "values": values})
    return updates


PLANS = [
    {"weigh": "samples", "rule": {"kind": "mean"}},
    {"weigh": "samples", "mostSamples": 300, "rule": {"kind": "mean"}},
    {"weigh": "samples", "clip": {"medians": 1}, "rule": {"kind": "mean"}},
    {"weigh": "equal", "clip": {"norm": 0.0078125}, "rule": {"kind": "mean"}},
    {"weigh": "samples", "outliers": {"measure": "norm", "sigmas": 3}, "rule": {"kind": "mean"}},
    {"weigh": "samples", "outliers": {"measure": "distance", "sigmas": 1}, "clip": {"medians": 0.7}, "rule": {"kind": "mean"}},
    {
        "weigh": "samples",
        "outliers": {"measure": "distance", "sigmas": 2},
        "clip": {"medians": 0.8},
        "rule": {"kind": "geometric-median", "iterations": 4, "smoothing": 1e-6},
    },
    {"weigh": "samples", "mix": {"liars": 3}, "rule": {"kind": "mean"}},
    {"weigh": "equal", "rule": {"kind": "median"}},
    {"weigh": "samples", "rule": {"kind": "median"}},
    {"weigh": "equal", "rule": {"kind": "trimmed-mean", "liars": 3}},
    {"weigh": "samples", "clip": {"medians": 1.5}, "rule": {"kind": "trimmed-mean", "liars": {"percent": 30}}},
    {"weigh": "equal", "rule": {"kind": "krum", "liars": 3}},
    {"weigh": "equal", "mix": {"liars": 3}, "rule": {"kind": "krum", "liars": {"percent": 30}}},
    {"weigh": "samples", "rule": {"kind": "multi-krum", "liars": 3}},
    {"weigh": "equal", "rule": {"kind": "multi-krum", "liars": {"percent": 20}, "keep": 2}},
    {"weigh": "samples", "rule": {"kind": "geometric-median", "iterations": 32, "smoothing": 1e-6}},
    {"weigh": "equal", "mix": {"liars": {"percent": 30}}, "rule": {"kind": "geometric-median", "iterations": 8, "smoothing": 1e-6}},
    {"weigh": "samples", "rule": {"kind": "centered-clipping", "iterations": 8, "radius": {"medians": 1}}},
    {"weigh": "samples", "mix": {"liars": 2}, "rule": {"kind": "centered-clipping", "iterations": 3, "radius": {"norm": 0.004}}},
]

if __name__ == "__main__":
    # In the last some updates are equal, and many distances: it is about ties.
    ties = [
        {"samples": 1 + i % 3, "values": values}
        for i, values in enumerate([[1, 0], [0, 1], [1, 0], [0, -1], [0, 1], [1, 0], [-1, 0], [0, 1], [0, 0], [1, 1]])
    ]
    rounds = [updates_of(9, 37, 20_000, 1), updates_of(10, 12, 120_000, 2), ties]
    print("[")
    lines = []
    for updates in rounds:
        results = [{"plan": plan, **aggregate(plan, updates)} for plan in PLANS]
        lines.append(json.dumps({"updates": updates, "results": results}))
    print(",\n".join(lines))
    print("]")
