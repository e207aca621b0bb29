#!/usr/bin/python3
"""Makes flow.safetensors (a flow file) and flow_results.safetensors: what PyTorch computes for it in float64.

The flow is written here a second time, from the paper's formulas; gradients come from autograd, the trained weights
from torch.optim.Adam.
"""
import json
import os
import zlib

import numpy as np
import torch

import safetensors_io

HERE = os.path.dirname(os.path.abspath(__file__))
DIMENSION, HIDDEN, BLOCKS, CLAMP, ROWS, STEPS = 12, 20, 3, 1.9, 5, 10
HALF = DIMENSION // 2
ADAM = dict(lr=2e-4, betas=(0.8, 0.8), eps=1e-4, weight_decay=1e-5)  # paper section 4.1


def layer_shapes():
    return [(HIDDEN, HALF), (HIDDEN, HIDDEN), (HIDDEN, HIDDEN), (2 * HALF, HIDDEN)]


def make_tensors(random):
    """Weights large enough that s leaves the linear part of the soft clamp."""
    tensors = {}
    for block in range(BLOCKS):
        for net in ("net2", "net1"):
            for layer, (out, inputs) in enumerate(layer_shapes()):
                name = f"blocks.{block}.{net}.{layer}."
                tensors[name + "weight"] = (random.normal(size=(out, inputs)) * 1.1 / inputs ** 0.5).astype("float32")
                tensors[name + "bias"] = (random.normal(size=out) * 0.3).astype("float32")
    for block in range(BLOCKS):
        tensors[f"blocks.{block}.permutation"] = random.permutation(DIMENSION).astype("uint32")
    return tensors


def soft_clamp(s):
    return CLAMP * 0.636 * torch.atan(s / CLAMP)  # paper equation 5


def run_net(parameters, block, net, x):
    for layer in range(4):
        name = f"blocks.{block}.{net}.{layer}."
        x = x @ parameters[name + "weight"].T + parameters[name + "bias"]
        if layer < 3:
            x = torch.relu(x)
    return x[:, :HALF], x[:, HALF:]


def forward(parameters, permutations, x):
    logdet = 0
    for block in range(BLOCKS):
        x = x[:, permutations[block]]
        x1, x2 = x[:, :HALF], x[:, HALF:]
        s2, t2 = run_net(parameters, block, "net2", x2)
        y1 = x1 * torch.exp(soft_clamp(s2)) + t2
        s1, t1 = run_net(parameters, block, "net1", y1)
        y2 = x2 * torch.exp(soft_clamp(s1)) + t1
        logdet = logdet + soft_clamp(s1).sum(1) + soft_clamp(s2).sum(1)
        x = torch.clamp(torch.cat((y1, y2), 1), -1e6, 1e6)
    return x, logdet


def inverse(parameters, permutations, y):
    for block in reversed(range(BLOCKS)):
        y1, y2 = y[:, :HALF], y[:, HALF:]
        s1, t1 = run_net(parameters, block, "net1", y1)
        x2 = (y2 - t1) * torch.exp(-soft_clamp(s1))
        s2, t2 = run_net(parameters, block, "net2", x2)
        x1 = (y1 - t2) * torch.exp(-soft_clamp(s2))
        y = torch.cat((x1, x2), 1)[:, np.argsort(permutations[block])]
    return y


def loss_of(z, logdet):
    return torch.mean(0.5 * (z ** 2).sum(1) - logdet) / DIMENSION  # paper equation 3


def flat(tensors):
    return np.concatenate([tensor.detach().numpy().ravel() for tensor in tensors])


def save_flow(tensors):
    data = b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in tensors.values())
    configuration = {"dimension": DIMENSION, "blocks": BLOCKS, "hidden": HIDDEN, "clamp": CLAMP, "seed": "7"}
    safetensors_io.save(os.path.join(HERE, "flow.safetensors"), tensors, {
        "differnet.kind": "flow", "differnet.format": "1", "differnet.flow": json.dumps(configuration),
        "differnet.crc32": f"{zlib.crc32(data):08x}"})


def main():
    random = np.random.RandomState(11)
    tensors = make_tensors(random)
    save_flow(tensors)
    permutations = [tensors[f"blocks.{block}.permutation"].astype("int64") for block in range(BLOCKS)]
    parameters = {name: torch.tensor(array.astype("float64"), requires_grad=True)
                  for name, array in tensors.items() if "permutation" not in name}
    results = {"x": random.normal(size=(ROWS, DIMENSION)).astype("float32"),
               "z_gradient": random.normal(size=(ROWS, DIMENSION)).astype("float32"),
               "logdet_gradient": random.normal(size=ROWS).astype("float32"),
               "sample_z": random.normal(size=(ROWS, DIMENSION)).astype("float32")}
    x = torch.tensor(results["x"].astype("float64"), requires_grad=True)
    z, logdet = forward(parameters, permutations, x)
    factors = torch.tensor(results["z_gradient"].astype("float64")), torch.tensor(
        results["logdet_gradient"].astype("float64"))
    towards_x, = torch.autograd.grad((factors[0] * z).sum() + (factors[1] * logdet).sum(), x, retain_graph=True)
    loss = loss_of(z, logdet)
    loss.backward()
    results["z"], results["logdet"] = z.detach().numpy(), logdet.detach().numpy()
    results["loss"] = np.array([loss.item()])
    results["x_gradient"] = towards_x.numpy()
    results["parameter_gradient"] = flat(p.grad for p in parameters.values()).astype("float32")
    results["sample_x"] = inverse(parameters, permutations,
                                  torch.tensor(results["sample_z"].astype("float64"))).detach().numpy()
    optimiser = torch.optim.Adam(parameters.values(), **ADAM)
    losses = []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = loss_of(*forward(parameters, permutations, x.detach()))
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    results["losses"] = np.array(losses)
    results["trained"] = flat(parameters.values()).astype("float32")
    safetensors_io.save(os.path.join(HERE, "flow_results.safetensors"), results)


if __name__ == "__main__":
    main()
