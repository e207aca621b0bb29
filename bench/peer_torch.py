"""PyTorch as a peer of bench/run: the method written down with its modules, in every way PyTorch has to run it."""
import os

import numpy as np
import torch

try:
    from torch._inductor import config as inductor
except ImportError:  # before 2.0
    inductor = None

from bench_common import safetensors_io
from bench_parts import CONVOLUTIONS, LIMIT, SCALES
from torch_flow import BLOCKS, Flow


class Features(torch.nn.Module):
    """AlexNet's features at all scales, averaged."""

    def __init__(self, tensors):
        super().__init__()
        layers = []
        for number, stride, pad, pool in CONVOLUTIONS:
            weight, bias = (tensors[f"features.{number}.{part}"] for part in ("weight", "bias"))
            out_c, in_c, kernel, _ = weight.shape
            layer = torch.nn.Conv2d(in_c, out_c, kernel, stride, pad)
            with torch.no_grad():
                layer.weight.copy_(torch.tensor(weight.astype(np.float32)))
                layer.bias.copy_(torch.tensor(bias.astype(np.float32)))
            layers += [layer, torch.nn.ReLU()] + ([torch.nn.MaxPool2d(3, 2)] if pool else [])
        self.layers = torch.nn.Sequential(*layers)

    def forward(self, x):
        return torch.cat([self.layers(x[:, :, ::step, ::step]).mean((2, 3)) for step in SCALES], 1)


class Scored(torch.nn.Module):
    """Features, not standardised -> z."""

    def __init__(self, flow, bundle):
        super().__init__()
        self.flow, self.mean, self.deviation = flow, torch.tensor(bundle.mean), torch.tensor(bundle.deviation)

    def forward(self, y):
        return self.flow((y - self.mean) / self.deviation)[0].clamp(-LIMIT, LIMIT)


def frozen(module, example):
    """TorchScript, optimised for inference."""
    with torch.no_grad():
        return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(module, example)))


def compiled(module, _):
    return torch.compile(module, dynamic=False, mode="max-autotune-no-cudagraphs")


class Engine:
    def __init__(self, bundle, threads, thorough):
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        torch.manual_seed(0)
        self.version, self.bundle = torch.__version__, bundle
        self.modes = [("eager", lambda module, _: module)]
        if thorough:  # the method's own way is the plain one
            self.modes.append(("TorchScript", frozen))
            if inductor:
                inductor.freezing = True
                self.modes.append(("torch.compile", compiled))

    def _way(self, mode, module, given, chunks):
        """Runs over the chunks; the module is made ready at the first run.  A failure there is this way's."""
        made = []

        def run(x=None):
            parts = chunks if x is None else (torch.from_numpy(x),)
            with torch.inference_mode():
                if not made:
                    made.append(mode(module, given))
                return torch.cat([made[0](part) for part in parts]).numpy()
        return run

    def feature_ways(self, views, batches):
        for layout, order in (("NCHW", torch.contiguous_format), ("NHWC", torch.channels_last)):
            module = Features(self.bundle.backbone).eval().to(memory_format=order)
            given = torch.from_numpy(views).contiguous(memory_format=order)
            for batch in batches:
                chunks = given.split(batch)
                for name, mode in self.modes:
                    yield f"{name}, {layout}, batch {batch}", self._way(mode, module, chunks[0], chunks)

    def _flow(self, tensors):
        hidden = len(tensors["blocks.0.net1.0.bias"])
        return Flow(len(tensors["blocks.0.permutation"]), hidden, BLOCKS).take(tensors)

    def flow_ways(self, rows):
        module = Scored(self._flow(self.bundle.flow()), self.bundle).eval()
        for name, mode in self.modes:
            yield f"{name}, batch {rows}", self._way(mode, module, torch.zeros(rows, len(self.bundle.mean)), None)

    def step_ways(self, rows):
        tensors = safetensors_io.load(os.path.join(self.bundle.folder, "step_flow.safetensors"))[0]
        flow, x = self._flow(tensors), torch.from_numpy(rows)
        del tensors
        for name, more in (("Adam", {"foreach": False}), ("Adam foreach", {"foreach": True}),
                           ("Adam fused", {"fused": True})):
            try:
                adam = torch.optim.Adam(flow.parameters(), lr=2e-4, betas=(0.8, 0.8), eps=1e-4, weight_decay=1e-5,
                                        **more)
            except (TypeError, RuntimeError):  # this version has no such one for CPUs
                continue
            yield name, lambda adam=adam: self._train(flow, adam, x)

    @staticmethod
    def _train(flow, adam, x):
        z, logdet = flow(x)
        loss = ((0.5 * z ** 2).sum(1) - logdet).mean() / x.shape[1]
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        return loss.item()
