"""Records what PyTorch computes for the models and optimizers of `src/training`: run on demand, from the repository's
root, with `python test/training/pytorch/record.py`, where PyTorch 2.5 or newer is installed. Everything is in float64 and
written with PyTorch's own layers, so that the two have nothing in common but the names of the parameters."""
import json
import math
import pathlib

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
MASK = 0xFFFFFFFF
STEPS, BATCHES = 100, 4


class Random:
    """xoshiro128** 1.1, seeded by splitmix32: `createRandom` of `src/onnx/random.ts`."""

    def __init__(self, seed):
        self.counter = seed & MASK
        self.s = [self.split() for _ in range(4)]

    def split(self):
        self.counter = (self.counter + 0x9E3779B9) & MASK
        z = self.counter
        z = ((z ^ (z >> 16)) * 0x21F0AAAD) & MASK
        z = ((z ^ (z >> 15)) * 0x735A2D97) & MASK
        return z ^ (z >> 15)

    def uint32(self):
        rotate = lambda x, by: ((x << by) | (x >> (32 - by))) & MASK
        a, b, c, d = self.s
        result = (rotate((b * 5) & MASK, 7) * 9) & MASK
        t = (b << 9) & MASK
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        c ^= t
        self.s = [a, b, c, rotate(d, 11)]
        return result

    def unit(self):
        return self.uint32() / 2**32

    def tensor(self, shape):
        return torch.tensor([self.unit() * 2 - 1 for _ in range(math.prod(shape))]).float().double().reshape(shape)

    def integers(self, shape, limit):
        return torch.tensor([math.floor(self.unit() * limit) for _ in range(math.prod(shape))]).reshape(shape)


def mlp(p, x, c):
    for at in range(len(c["sizes"]) - 1):
        x = F.linear(x if at == 0 else F.relu(x), p[f"{at}.weight"].T, p[f"{at}.bias"])
    return x


def cnn(p, x, c):
    for at in range(len(c["channels"])):
        x = F.max_pool2d(F.relu(F.conv2d(x, p[f"{at}.weight"], p[f"{at}.bias"], padding="same")), 2)
    x = F.relu(F.linear(x.flatten(1), p["hidden.weight"].T, p["hidden.bias"]))
    return F.linear(x, p["output.weight"].T, p["output.bias"])


def lstm(p, tokens, c):
    x = F.embedding(tokens, p["token.embedding"])
    for at in range(c["layers"]):
        layer = torch.nn.LSTM(x.shape[2], c["hidden"], batch_first=True)
        # PyTorch has the gates in the order input, forget, new, output; here the new values come last.
        gates = lambda v, axis=-1: torch.cat([v.chunk(4, axis)[i] for i in (0, 1, 3, 2)], axis)
        weights = {
            "weight_ih_l0": gates(p[f"{at}.input"]).T,
            "weight_hh_l0": gates(p[f"{at}.recurrent"], 0),
            "bias_ih_l0": gates(p[f"{at}.bias"]),
            "bias_hh_l0": torch.zeros_like(p[f"{at}.bias"]),
        }
        x, _ = torch.func.functional_call(layer, weights, (x,))
    return F.linear(x, p["head.weight"].T, p["head.bias"])


def rotary(x):
    half = x.shape[-1] // 2
    angles = torch.outer(torch.arange(x.shape[-2]).double(), 10000.0 ** (-torch.arange(half) / half))
    turn = torch.polar(torch.ones_like(angles), angles)
    turned = torch.complex(x[..., :half], x[..., half:]) * turn
    return torch.cat([turned.real, turned.imag], -1)


def transformer(p, tokens, c):
    rms = c.get("norm") == "rms"
    heads, key_heads = c["heads"], c.get("keyHeads", c["heads"])

    def norm(x, name):
        if rms:
            return F.rms_norm(x, x.shape[-1:], p[f"{name}.scale"], 1e-5)
        return F.layer_norm(x, x.shape[-1:], p[f"{name}.scale"], p[f"{name}.bias"], 1e-5)

    def dense(x, name):
        return F.linear(x, p[f"{name}.weight"].T, p.get(f"{name}.bias"))

    x = F.embedding(tokens, p["token.embedding"])
    if "position.embedding" in p:
        x = x + p["position.embedding"][: tokens.shape[1]]
    for at in range(c["layers"]):
        y = norm(x, f"{at}.before")
        split = lambda v, count: v.unflatten(-1, (count, -1)).transpose(1, 2)
        q = split(dense(y, f"{at}.attention.query"), heads)
        k = split(dense(y, f"{at}.attention.key"), key_heads)
        v = split(dense(y, f"{at}.attention.value"), key_heads)
        if c.get("positions") == "rotary":
            q, k = rotary(q), rotary(k)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + dense(mixed.transpose(1, 2).flatten(2), f"{at}.attention.output")
        y = norm(x, f"{at}.between")
        hidden = dense(y, f"{at}.mlp.input")
        if c.get("activation") == "silu":
            hidden = F.silu(dense(y, f"{at}.mlp.gate")) * hidden
        else:
            hidden = F.gelu(hidden, approximate="tanh" if c.get("activation") == "gelu-tanh" else "none")
        x = x + dense(hidden, f"{at}.mlp.output")
    return dense(norm(x, "final"), "head")


def dense_shapes(name, inputs, outputs, bias=True):
    return [(f"{name}.weight", (inputs, outputs))] + ([(f"{name}.bias", (outputs,))] if bias else [])


def mlp_shapes(c):
    s = c["sizes"]
    return [e for at in range(len(s) - 1) for e in dense_shapes(str(at), s[at], s[at + 1])]


def cnn_shapes(c):
    into, shapes = 1, []
    for at, out in enumerate(c["channels"]):
        shapes += [(f"{at}.weight", (out, into, c["kernel"], c["kernel"])), (f"{at}.bias", (out,))]
        into = out
    flat = into * (c["side"] // 2 ** len(c["channels"])) ** 2
    return shapes + dense_shapes("hidden", flat, c["hidden"]) + dense_shapes("output", c["hidden"], c["classes"])


def lstm_shapes(c):
    width, shapes, h = c["width"], [("token.embedding", (c["vocabulary"], c["width"]))], c["hidden"]
    for at in range(c["layers"]):
        shapes += [(f"{at}.input", (width, 4 * h)), (f"{at}.bias", (4 * h,)), (f"{at}.recurrent", (4 * h, h))]
        width = h
    return shapes + dense_shapes("head", width, c["vocabulary"])


def transformer_shapes(c):
    w, rms = c["width"], c.get("norm") == "rms"
    keys = w // c["heads"] * c.get("keyHeads", c["heads"])
    norm = lambda name: [(f"{name}.scale", (w,))] + ([] if rms else [(f"{name}.bias", (w,))])
    shapes = [("token.embedding", (c["vocabulary"], w))]
    if c.get("positions") != "rotary":
        shapes.append(("position.embedding", (c["context"], w)))
    for at in range(c["layers"]):
        shapes += norm(f"{at}.before")
        for name, out in (("query", w), ("key", keys), ("value", keys), ("output", w)):
            shapes += dense_shapes(f"{at}.attention.{name}", w, out, not rms)
        shapes += norm(f"{at}.between")
        if c.get("activation") == "silu":
            shapes += dense_shapes(f"{at}.mlp.gate", w, 4 * w, not rms)
        shapes += dense_shapes(f"{at}.mlp.input", w, 4 * w, not rms) + dense_shapes(f"{at}.mlp.output", 4 * w, w, not rms)
    return shapes + norm("final") + dense_shapes("head", w, c["vocabulary"], False)


MODELS = {
    "2nn": ("mlp", mlp, mlp_shapes, {"sizes": [12, 8, 8, 4]}, [5, 12], 4),
    "cnn": ("cnn", cnn, cnn_shapes, {"side": 8, "channels": [3, 4], "kernel": 3, "hidden": 6, "classes": 4}, [3, 1, 8, 8], 4),
    "lstm": ("lstm", lstm, lstm_shapes, {"vocabulary": 11, "width": 4, "hidden": 6, "layers": 2, "length": 7}, [3, 7], 11),
    "gpt": ("transformer", transformer, transformer_shapes,
            {"layers": 2, "heads": 2, "width": 8, "context": 6, "vocabulary": 11}, [2, 6], 11),
    "llama": ("transformer", transformer, transformer_shapes,
              {"layers": 1, "heads": 4, "keyHeads": 2, "width": 16, "context": 6, "vocabulary": 11, "positions": "rotary",
               "activation": "silu", "norm": "rms"}, [2, 6], 11),
}
OPTIMIZERS = [
    {"kind": "sgd", "learningRate": 0.05},
    {"kind": "sgd", "learningRate": 0.05, "momentum": 0.9, "clipNorm": 0.5},
    {"kind": "sgd", "learningRate": 0.02, "momentum": 0.9, "nesterov": True, "weightDecay": 0.01,
     "schedule": {"kind": "linear", "warmupSteps": 10, "finalShare": 0.1}},
    {"kind": "adamw", "learningRate": 0.003, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weightDecay": 0.1,
     "schedule": {"kind": "cosine", "warmupSteps": 10, "finalShare": 0.1}},
]


def parameters_of(shapes):
    random, p = Random(7), {}
    for name, shape in shapes:
        # Rounded to float32 once, as what both start from.
        value = (random.tensor(shape) * 0.5 + (1 if name.endswith(".scale") else 0)).float().double()
        p[name] = value.requires_grad_()
    return p


def torch_optimizer(plan, p):
    decays = lambda name: p[name].ndim > 1 and not name.endswith(".embedding")
    groups = [
        {"params": [v for n, v in p.items() if decays(n)], "weight_decay": plan.get("weightDecay", 0)},
        {"params": [v for n, v in p.items() if not decays(n)], "weight_decay": 0},
    ]
    if plan["kind"] == "adamw":
        return torch.optim.AdamW(groups, plan["learningRate"], (plan["beta1"], plan["beta2"]), plan["epsilon"])
    return torch.optim.SGD(groups, plan["learningRate"], plan.get("momentum", 0), nesterov=plan.get("nesterov", False))


def share(plan, step):
    schedule = plan.get("schedule", {"kind": "constant"})
    warm = min(1, step / max(1, schedule.get("warmupSteps", 0)))
    if schedule["kind"] == "constant":
        return warm
    t, final = step / STEPS, schedule["finalShare"]
    return warm * (final + (1 - final) * (1 - t if schedule["kind"] == "linear" else (1 + math.cos(math.pi * t)) / 2))


def digits(tensor):
    return [float(f"{v:.6g}") for v in tensor.detach().flatten().tolist()]


def record(title):
    model, forward, shapes_of, config, shape, classes = MODELS[title]
    shapes = shapes_of(config)
    random, batches = Random(11), []
    sequence = model in ("lstm", "transformer")
    for _ in range(BATCHES):
        inputs = random.integers(shape, classes) if sequence else random.tensor(shape)
        batches.append((inputs, random.integers(shape if sequence else shape[:1], classes)))

    def loss_of(p, at):
        inputs, targets = batches[at % BATCHES]
        return F.cross_entropy(forward(p, inputs, config).flatten(0, -2), targets.flatten())

    p = parameters_of(shapes)
    logits = forward(p, batches[0][0], config)
    loss_of(p, 0).backward()
    runs = []
    for plan in OPTIMIZERS:
        q, losses = parameters_of(shapes), []
        optimizer = torch_optimizer(plan, q)
        for step in range(1, STEPS + 1):
            for group in optimizer.param_groups:
                group["lr"] = plan["learningRate"] * share(plan, step)
            optimizer.zero_grad()
            loss = loss_of(q, step - 1)
            losses.append(loss)
            loss.backward()
            if "clipNorm" in plan:
                torch.nn.utils.clip_grad_norm_(q.values(), plan["clipNorm"])
            optimizer.step()
        last = {name: digits(value.flatten()[:4]) + digits(value.norm()) for name, value in q.items()}
        runs.append({"optimizer": plan, "losses": digits(torch.stack(losses)), "last": last})
    result = {
        "model": model, "config": config, "inputs": shape, "classes": classes, "steps": STEPS, "batches": BATCHES,
        "parameters": [{"name": name, "shape": shape} for name, shape in shapes],
        "logits": digits(logits), "gradients": {name: digits(value.grad) for name, value in p.items()}, "runs": runs,
        "torch": torch.__version__,
    }
    path = pathlib.Path(__file__).parent.parent / "vectors" / f"{title}.json"
    path.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    print(path.name, path.stat().st_size)


if __name__ == "__main__":
    for title in MODELS:
        record(title)
