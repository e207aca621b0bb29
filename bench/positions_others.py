"""What else could stand at every position in the Gaussian's place (positions_variants.py, density=...): rows to be near to,
and a coupling flow that is told the position."""
import math

import torch
from torch import nn


class Coreset:
    """Squared distance to the nearest of some rows of good pictures, whatever their position (PatchCore: Roth et al., 2022).
    The rows are chosen greedily, each the one farthest from those chosen before."""
    def __init__(self, z, rows):
        """z: (n, positions, k)"""
        flat = z.reshape(-1, z.shape[2])
        squares = flat.pow(2).sum(1)
        chosen, nearest = [0], None
        while len(chosen) < min(rows, len(flat)):
            last = flat[chosen[-1]]
            distance = squares - 2 * flat @ last + last @ last
            nearest = distance if nearest is None else torch.minimum(nearest, distance)
            chosen.append(int(nearest.argmax()))
        self.rows = flat[chosen]

    def distances(self, z):
        return torch.stack([torch.cdist(picture, self.rows).amin(1).pow(2) for picture in z])


BLOCKS, WIDTH, CLAMP, NOISE, BATCH, STEPS = 6, 192, 1.9, 0.1, 1024, 400


def places(side):
    """Sines and cosines of the row and the column, (side * side, 12)."""
    at = torch.linspace(-1, 1, side)
    v, u = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([wave(turns * math.pi * axis) for turns in (1, 2, 4) for axis in (v, u)
                        for wave in (torch.sin, torch.cos)], -1).reshape(side * side, -1)


class Block(nn.Module):
    """A coupling block: each half is stretched and moved by what the other and the place tell."""
    def __init__(self, k, told, generator):
        super().__init__()
        self.order = torch.randperm(k, generator=generator)
        self.half = k // 2
        self.first, self.second = (self.network(k - self.half, self.half, told),
                                   self.network(self.half, k - self.half, told))

    @staticmethod
    def network(given, moved, told):
        last = nn.Linear(WIDTH, 2 * moved)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return nn.Sequential(nn.Linear(given + told, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), last)

    @staticmethod
    def couple(network, moved, given, place):
        scale, shift = network(torch.cat([given, place], 1)).chunk(2, 1)
        scale = CLAMP * 2 / math.pi * torch.atan(scale / CLAMP)
        return moved * scale.exp() + shift, scale.sum(1)

    def forward(self, x, place):
        x = x[:, self.order]
        a, b = x[:, :self.half], x[:, self.half:]
        a, first = self.couple(self.first, a, b, place)
        b, second = self.couple(self.second, b, a, place)
        return torch.cat([a, b], 1), first + second


class PlacedFlow:
    """Minus the log-likelihood of rows that the Gaussian of their position has whitened, by a flow that all positions
    share and that is told which (as CFLOW-AD: Gudovskiy et al., 2022).  z2: |z|^2 alone."""
    def __init__(self, gaussian, z, z2, seed=0):
        """z: (n, positions, k)"""
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        self.gaussian, self.z2 = gaussian, z2
        self.place = places(int(round(z.shape[1] ** 0.5)))
        self.blocks = nn.ModuleList(Block(z.shape[2], self.place.shape[1], generator) for _ in range(BLOCKS))
        rows = gaussian.whitened(z).reshape(-1, z.shape[2])
        optimiser = torch.optim.Adam(self.blocks.parameters(), 1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=STEPS)
        for _ in range(STEPS):
            some = torch.randint(len(rows), (BATCH,))
            x = rows[some] + NOISE * torch.randn(BATCH, rows.shape[1])
            out, logdet = self.forward(x, self.place[some % len(self.place)])
            loss = (out.pow(2).sum(1) / 2 - logdet).mean() / rows.shape[1]
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.blocks.parameters(), 5.0)
            optimiser.step()
            schedule.step()
        with torch.inference_mode():
            some = torch.randperm(len(rows))[:BATCH * 8]
            self.typical = self.forward(rows[some], self.place[some % len(self.place)])[1].mean()

    def forward(self, x, place):
        logdet = 0
        for block in self.blocks:
            x, more = block(x, place)
            logdet = logdet + more
        return x, logdet

    @torch.inference_mode()
    def distances(self, z):
        """(n, positions): |z|^2 - 2 (logdet - its mean over the rows learned from), which only shifts the log-likelihood;
        never below a thousandth of k."""
        told = []
        for picture in self.gaussian.whitened(z):
            out, logdet = self.forward(picture, self.place)
            told.append(out.pow(2).sum(1) - (0 if self.z2 else 2 * (logdet - self.typical)))
        return torch.stack(told).clamp_min(1e-3 * z.shape[2])
