"""Times PyTorch eager on the steps of `test/bench/training.bench.ts`: `python bench.py THREADS`. Prints one line of JSON:
the median milliseconds of each step."""
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

sys.dont_write_bytecode = True
import record  # noqa: E402

torch.set_default_dtype(torch.float32)
torch.set_num_threads(int(sys.argv[1]))
MLP = ("mlp", record.mlp, record.mlp_shapes, {"sizes": [784, 200, 200, 10]})
CNN = ("cnn", record.cnn, record.cnn_shapes, {"side": 28, "channels": [32, 64], "kernel": 5, "hidden": 512, "classes": 10})
LSTM = ("lstm", record.lstm, record.lstm_shapes, {"vocabulary": 96, "width": 8, "hidden": 256, "layers": 2, "length": 80})
GPT = ("gpt", record.transformer, record.transformer_shapes,
       {"layers": 4, "heads": 4, "width": 128, "context": 128, "vocabulary": 96})
CASES = {
    "mlp10": (MLP, [10, 784], 10), "mlp64": (MLP, [64, 784], 10), "cnn10": (CNN, [10, 1, 28, 28], 10),
    "cnn64": (CNN, [64, 1, 28, 28], 10), "lstm": (LSTM, [10, 80], 96), "gpt": (GPT, [16, 128], 96),
}
SECONDS = 0.8


def measure(model, shape, classes):
    title, forward, shapes, config = model
    p = {n: (torch.randn(s) * 0.05 + (1 if n.endswith(".scale") else 0)).requires_grad_() for n, s in shapes(config)}
    sequence = title in ("lstm", "gpt")
    x = torch.randint(classes, shape) if sequence else torch.rand(shape)
    y = torch.randint(classes, shape if sequence else shape[:1])
    optimizer = torch.optim.AdamW(p.values(), 1e-3) if title == "gpt" else torch.optim.SGD(p.values(), 0.01)
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 8:
        start = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(forward(p, x, config).flatten(0, -2), y.flatten()).backward()
        optimizer.step()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[3:])


print(json.dumps({name: measure(*case) for name, case in CASES.items()}))
