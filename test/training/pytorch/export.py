"""Exports small PyTorch models with both of PyTorch's exporters, and records what PyTorch computes for them: run on demand,
from the repository's root, with `python test/training/pytorch/export.py`, where PyTorch, onnx and onnxscript are installed.
The models are exported in float32; what is recorded is computed in float64, from the same weights."""
import copy
import json
import pathlib
import sys
import warnings

import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F

sys.dont_write_bytecode = True
from record import Random, digits  # noqa: E402

warnings.filterwarnings("ignore")
torch.set_default_dtype(torch.float32)
FOLDER = pathlib.Path(__file__).parent.parent / "vectors" / "exported"
STEPS, BATCHES = 20, 2


class CNN(nn.Module):
    """Three convolutions, each with another norm or none, and all kinds of pooling."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(6)
        self.conv3, self.drop, self.head = nn.Conv2d(6, 8, 3, stride=2), nn.Dropout(0.2), nn.Linear(8, 4)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)
        x = F.avg_pool2d(F.hardswish(self.norm2(self.conv2(x))), 3, stride=2, padding=1, ceil_mode=True)
        return self.head(self.drop(F.adaptive_avg_pool2d(F.silu(self.conv3(F.pad(x, (1, 0, 0, 1)))), 1).flatten(1)))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        split = lambda t: t.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
        q, k, v = map(split, self.qkv(x).split(width, 2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class LayersAttention(nn.Module):
    """PyTorch's own layer, with a mask."""

    def __init__(self, width, heads):
        super().__init__()
        self.layer = nn.MultiheadAttention(width, heads, batch_first=True)
        self.register_buffer("mask", torch.full((6, 6), float("-inf")).triu(1), persistent=False)

    def forward(self, x):
        length = x.shape[1]
        return self.layer(x, x, x, attn_mask=self.mask[:length, :length])[0]


class Block(nn.Module):
    def __init__(self, attention, width, heads):
        super().__init__()
        self.before, self.attention = nn.LayerNorm(width), attention(width, heads)
        self.between, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(3 * width, width)

    def forward(self, x):
        x = x + self.attention(self.before(x))
        return x + self.down(F.gelu(self.up(self.between(x))))


class GPT(nn.Module):
    """Learned positions; the head is the table of tokens."""

    def __init__(self, attention=Attention, vocabulary=11, width=8, heads=2, layers=2, context=6, tied=True):
        super().__init__()
        self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(attention, width, heads) for _ in range(layers))
        self.final, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        if tied:
            self.head.weight = self.token.weight

    def forward(self, tokens):
        x = self.token(tokens) + self.position(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.final(x))


class Recurrent(nn.Module):
    def __init__(self, kind, bidirectional):
        super().__init__()
        self.token = nn.Embedding(11, 4)
        self.cells = kind(4, 5, num_layers=2, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(10 if bidirectional else 5, 11)

    def forward(self, tokens):
        return self.head(self.cells(self.token(tokens))[0])


IMAGES, TOKENS = ([3, 1, 9, 9], 4), ([2, 6], 11)
SGD = {"kind": "sgd", "learningRate": 0.05, "momentum": 0.9}
ADAMW = {"kind": "adamw", "learningRate": 0.01, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8}
#        name, model, its data, exporter, operator set, optimizer of its 20 steps
CASES = [
    ("cnn-script-13", CNN, IMAGES, "script", 13, SGD),
    ("cnn-dynamo-18", CNN, IMAGES, "dynamo", 18, None),
    ("gpt-script-13", lambda: GPT(LayersAttention, tied=False), TOKENS, "script", 13, SGD),
    ("gpt-script-17", GPT, TOKENS, "script", 17, ADAMW),
    ("gpt-dynamo-18", GPT, TOKENS, "dynamo", 18, None),
    ("gpt-dynamo-20", GPT, TOKENS, "dynamo", 20, ADAMW),
    ("lstm-script-17", lambda: Recurrent(nn.LSTM, True), TOKENS, "script", 17, ADAMW),
    ("gru-script-17", lambda: Recurrent(nn.GRU, False), TOKENS, "script", 17, SGD),
]


def create(make):
    random, model = Random(5), make().eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                drawn = random.tensor(value.shape).float() * 0.5
                value.copy_(drawn + 1 if "norm" in name and name.endswith(("weight", "var")) else drawn)
    return model


def export(model, inputs, exporter, version, path, named):
    # Recurrent layers are unrolled: their length is a number in the file.
    axes = {0: "batch"} if named == 1 else {0: "batch", 1: "sequence"}
    options = {"input_names": ["data"], "output_names": ["logits"], "opset_version": version}
    if exporter == "script":
        # As the model stands, in inference, and with its norms: they are folded into convolutions otherwise.
        keep = torch.onnx.TrainingMode.PRESERVE if isinstance(model, CNN) else torch.onnx.TrainingMode.EVAL
        torch.onnx.export(model, (inputs,), str(path), dynamo=False, training=keep, dynamic_axes={"data": axes}, **options)
    else:
        shapes = ({at: torch.export.Dim(name) for at, name in axes.items()},)
        torch.onnx.export(model, (inputs,), str(path), dynamo=True, dynamic_shapes=shapes, external_data=False,
                          optimize=not isinstance(model, CNN), verbose=False, **options)
    file = onnx.load(path)
    # Where in this script a node comes from says nothing to a reader, and is half of the file.
    for item in [*file.graph.node, *file.graph.value_info, *file.graph.initializer]:
        kept = [entry for entry in item.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"]
        item.ClearField("metadata_props")
        item.metadata_props.extend(kept)
        item.ClearField("doc_string")
    del file.graph.value_info[:]
    onnx.save(file, path)
    return file


def placed(file, p):
    """The file's tensor for each parameter, and how it stands there: as it is, or turned round."""
    places = {}
    for tensor in file.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        value = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        for name, parameter in p.items():
            same = lambda other: other.shape == value.shape and bool((other.float() == value).all())
            if same(parameter):
                places[name] = (tensor.name, False)
            elif parameter.ndim == 2 and same(parameter.T) and name not in places:
                places[name] = (tensor.name, True)
    return places


def record(name, make, data, exporter, version, plan):
    shape, classes = data
    sequence = data is TOKENS
    random, batches = Random(11), []
    for _ in range(BATCHES):
        inputs = random.integers(shape, classes) if sequence else random.tensor(shape)
        batches.append((inputs, random.integers(shape if sequence else shape[:1], classes)))
    model = create(make)
    example = batches[0][0] if sequence else batches[0][0].float()
    recurrent = isinstance(model, Recurrent)
    file = export(copy.deepcopy(model), example, exporter, version, FOLDER / f"{name}.onnx", 2 if sequence and not recurrent else 1)
    model = model.double()
    p = dict(model.named_parameters())
    places = placed(file, p)

    def loss_of(at):
        inputs, targets = batches[at % BATCHES]
        return F.cross_entropy(model(inputs).flatten(0, -2), targets.flatten())

    logits = model(batches[0][0])
    loss_of(0).backward()
    turned = lambda value, place: value.T if place[1] else value
    gradients = {place[0]: digits(turned(p[key].grad, place)) for key, place in places.items()}
    result = {"name": name, "inputs": shape, "classes": classes, "batches": BATCHES, "logits": digits(logits),
              "gradients": gradients}
    if plan is not None:
        optimizer = (torch.optim.AdamW(p.values(), plan["learningRate"], (plan["beta1"], plan["beta2"]), plan["epsilon"], 0)
                     if plan["kind"] == "adamw" else torch.optim.SGD(p.values(), plan["learningRate"], plan["momentum"]))
        losses = []
        for step in range(STEPS):
            optimizer.zero_grad()
            loss = loss_of(step)
            losses.append(loss)
            loss.backward()
            optimizer.step()
        result["run"] = {"optimizer": plan, "losses": digits(torch.stack(losses))}
    missing = sorted(set(p) - set(places))
    print(name, (FOLDER / f"{name}.onnx").stat().st_size, "not in the file as they are:", missing)
    return result


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    results = [record(*case) for case in CASES]
    out = {"torch": torch.__version__, "steps": STEPS, "cases": results}
    (FOLDER / "exported.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print("exported.json", (FOLDER / "exported.json").stat().st_size)
