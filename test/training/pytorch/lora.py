"""Records LoRA (Hu et al. 2021) on the GPT of `record.py`: gradients of adapters and 100 steps, in float64. The adapted
weight is made here as W + scale A B, where `src/training/lora` leaves W alone and adds a second product.
Run from the repository's root: `python test/training/pytorch/lora.py`."""
import json
import pathlib

import torch
import torch.nn.functional as F
from record import BATCHES, MODELS, OPTIMIZERS, STEPS, Random, digits, parameters_of, share, torch_optimizer

RANK, ALPHA = 3, 6
model, forward, shapes_of, config, shape, classes = MODELS["gpt"]
frozen = {name: value.detach() for name, value in parameters_of(shapes_of(config)).items()}
targets = [name for name in frozen if (".attention." in name or ".mlp." in name) and name.endswith(".weight")]
random, batches = Random(11), []
for _ in range(BATCHES):
    inputs = random.integers(shape, classes)
    batches.append((inputs, random.integers(shape, classes)))


def adapters_of():
    drawn, p = Random(13), {}
    for name in targets:
        rows, columns = frozen[name].shape
        stem = name.removesuffix(".weight")
        for part, size in (("A", (rows, RANK)), ("B", (RANK, columns))):
            p[f"{stem}.lora_{part}.weight"] = (drawn.tensor(size) * 0.5).float().double().requires_grad_()
    return p


def loss_of(p, at):
    inputs, wanted = batches[at % BATCHES]
    whole = dict(frozen)
    for name in targets:
        stem = name.removesuffix(".weight")
        whole[name] = frozen[name] + ALPHA / RANK * p[f"{stem}.lora_A.weight"] @ p[f"{stem}.lora_B.weight"]
    return F.cross_entropy(forward(whole, inputs, config).flatten(0, -2), wanted.flatten())


start = adapters_of()
loss_of(start, 0).backward()
p, plan, losses = adapters_of(), OPTIMIZERS[3], []
optimizer = torch_optimizer(plan, p)
for step in range(1, STEPS + 1):
    for group in optimizer.param_groups:
        group["lr"] = plan["learningRate"] * share(plan, step)
    optimizer.zero_grad()
    loss = loss_of(p, step - 1)
    losses.append(loss)
    loss.backward()
    optimizer.step()
result = {
    "config": config, "inputs": shape, "classes": classes, "steps": STEPS, "batches": BATCHES, "rank": RANK, "alpha": ALPHA,
    "parameters": [{"name": name, "shape": list(value.shape)} for name, value in frozen.items()],
    "gradients": {name: digits(value.grad) for name, value in start.items()},
    "optimizer": plan, "losses": digits(torch.stack(losses)),
    "last": {name: digits(value.flatten()[:4]) + digits(value.norm()) for name, value in p.items()}, "torch": torch.__version__,
}
path = pathlib.Path(__file__).parent.parent / "vectors" / "lora" / "gpt.json"
path.parent.mkdir(exist_ok=True)
path.write_text(json.dumps(result, separators=(",", ":")) + "\n")
print(path.name, path.stat().st_size)
