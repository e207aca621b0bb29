"""The network that is pretrained: AlexNet's convolutions with batch normalisation, folded away at export."""
import json
import os
import sys

import numpy as np
import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden"))
import safetensors_io  # noqa: E402

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# (index in torchvision's features, in, out, kernel, stride, padding, max pool 3/2 behind)
CONVOLUTIONS = [(0, 3, 64, 11, 4, 2, True), (3, 64, 192, 5, 1, 2, True), (6, 192, 384, 3, 1, 1, False),
                (8, 384, 256, 3, 1, 1, False), (10, 256, 256, 3, 1, 1, True)]


class Stage(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, padding, pool):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.pool = nn.MaxPool2d(3, 2) if pool else None
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x):
        """(n, in, h, w) -> activation before and behind the pool (the same where there is none)."""
        x = torch.relu(self.norm(self.conv(x)))
        return x, self.pool(x) if self.pool else x

    def folded(self):
        """Weight and bias with the normalisation's running moments folded in."""
        scale = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        return (self.conv.weight * scale[:, None, None, None]).detach(), \
            (self.norm.bias - self.norm.running_mean * scale).detach()


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(Stage(*row[1:]) for row in CONVOLUTIONS)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    def forward(self, x):
        """x: (n, 3, size, size) in 0..1.  Returns the last map (n, 256, h, w) before and behind its pool."""
        x = (x - self.mean) / self.std
        for stage in self.stages:
            last, x = stage(x)
        return last, x


def export(backbone, path, metadata):
    """Writes torchvision's tensor names in float16.  metadata: {key: text}."""
    tensors = {}
    for row, stage in zip(CONVOLUTIONS, backbone.stages):
        weight, bias = stage.folded()
        for name, tensor in (("weight", weight), ("bias", bias)):
            array = tensor.float().cpu().numpy().astype(np.float16)
            if not np.isfinite(array).all():
                raise SystemExit(f"features.{row[0]}.{name}: a value does not fit float16")
            tensors[f"features.{row[0]}.{name}"] = array
    text = {"differnet.mean": json.dumps(MEAN), "differnet.std": json.dumps(STD), **metadata}
    safetensors_io.save(path + ".part", tensors, text)
    os.replace(path + ".part", path)
