"""Records what PyTorch (SGD with momentum, and Nesterov's) and numpy (Algorithm 2 of Reddi et al. 2021) make of the same
deltas, in float64; and the bits after many rounds, with the operations and roundings that `src/training/outer.ts`
prescribes. Run on demand, from the repository's root, with `python test/training/pytorch/outer.py`."""
import hashlib
import json
import pathlib

import numpy as np
import torch

from record import Random

ROUNDS, LENGTH = 20, 6
LONG = {"rounds": 100, "length": 1000}
PLANS = {
    "fedavg": {"kind": "fedavg", "learningRate": 1},
    "fedavgm": {"kind": "fedavgm", "learningRate": 1, "momentum": 0.9},
    "fedadam": {"kind": "fedadam", "learningRate": 0.01, "beta1": 0.9, "beta2": 0.99, "adaptivity": 1e-3},
    "diloco": {"kind": "nesterov", "learningRate": 0.7, "momentum": 0.9},
}
MORE = [
    {"kind": "fedavg", "learningRate": 0.25},
    {"kind": "fedadam", "learningRate": 0.1, "beta1": 0, "beta2": 0.5, "adaptivity": 0.1},
]
f32, f64 = np.float32, np.float64


def end(plan, start, deltas):
    if plan["kind"] == "fedadam":
        rate, b1, b2, tau = (plan[name] for name in ("learningRate", "beta1", "beta2", "adaptivity"))
        w, m, v = start.astype(f64), np.zeros(start.size), np.full(start.size, tau**2)
        for delta in deltas.astype(f64):
            m = b1 * m + (1 - b1) * delta
            v = b2 * v + (1 - b2) * delta**2
            w = w + rate * m / (np.sqrt(v) + tau)
        return w.tolist()
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    nesterov = plan["kind"] == "nesterov"
    optimizer = torch.optim.SGD([w], lr=plan["learningRate"], momentum=plan.get("momentum", 0), nesterov=nesterov)
    for delta in deltas:
        w.grad = -torch.tensor(delta, dtype=torch.float64)
        optimizer.step()
    return w.detach().tolist()


def bits(plan):
    """SHA-256 of parameters and state: each kept number is rounded to float32, all else is done in doubles."""
    random = Random(5)
    vector = lambda scale: np.array([(random.unit() - 0.5) * scale for _ in range(LONG["length"])]).astype(f32)
    w = vector(2)
    rate, mu = plan["learningRate"], plan.get("momentum", 0)
    state = {"fedavg": [], "fedadam": [np.zeros_like(w), np.full_like(w, plan.get("adaptivity", 0) ** 2)]}
    state = state.get(plan["kind"], [np.zeros_like(w)])
    for _ in range(LONG["rounds"]):
        d = vector(0.125).astype(f64)
        if plan["kind"] == "fedavg":
            change = rate * d
        elif plan["kind"] == "fedadam":
            b1, b2 = plan["beta1"], plan["beta2"]
            m = (b1 * state[0].astype(f64) + (1 - b1) * d).astype(f32)
            s = (b2 * state[1].astype(f64) + (1 - b2) * (d * d)).astype(f32)
            state = [m, s]
            change = (rate * m.astype(f64)) / (np.sqrt(s.astype(f64)).astype(f32).astype(f64) + plan["adaptivity"])
        else:
            v = (mu * state[0].astype(f64) + d).astype(f32)
            state = [v]
            change = rate * (mu * v.astype(f64) + d if plan["kind"] == "nesterov" else v.astype(f64))
        w = (w.astype(f64) + change).astype(f32)
    return hashlib.sha256(b"".join(each.tobytes() for each in [w, *state])).hexdigest()


random = np.random.default_rng(1)
start = random.normal(size=LENGTH).astype(f32)
deltas = (random.normal(size=(ROUNDS, LENGTH)) * 0.1 + 0.02).astype(f32)
vectors = {
    "torch": torch.__version__,
    "start": start.tolist(),
    "deltas": deltas.tolist(),
    "ends": [{"plan": plan, "parameters": end(plan, start, deltas)} for plan in [*PLANS.values(), *MORE]],
    "bits": {**LONG, "sha256": {name: bits(plan) for name, plan in PLANS.items()}},
}
path = pathlib.Path(__file__).parent.parent / "vectors" / "outer/outer.json"
path.write_text(json.dumps(vectors, separators=(",", ":")) + "\n")
