"""A Gaussian at every position of the maps, its variants, and the figures that judge them (positions_variants.py)."""
import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import label

from positions_features import CHANNELS, TAPS
from positions_others import Coreset, PlacedFlow

SHRINKS = (5, 20, 80, 320, 1280)
ROWS = 24000  # rows that standardisation and projection are found from


@dataclasses.dataclass
class Settings:
    taps: str = "pool2,conv3,conv4,conv5"
    pool: int = 1           # side of the average of neighbouring cells, 1: none
    k: int = 100
    shrink: float = 20      # rows' worth of the shared covariance
    floor: float = 0.002    # added to every variance, of 1
    near: int = 3           # side of the neighbourhood whose rows make a position's covariance
    weight: float = 0.3     # of the neighbours' rows; the position's own have 1
    sigma: float = 0.6      # of the map's smoothing, in cells
    modes: int = 0          # directions in which whole pictures differ that are taken away first
    mean_shrink: float = 0  # images' worth of the mean of all positions in a position's mean
    shared: str = "within"  # within positions, or total
    cov: str = "local"      # local, shared
    whiten: bool = True
    folds: int = 5          # of the cross-fitting
    adaptive: bool = False  # shrink chosen from SHRINKS by the likelihood of held-out pictures
    power: float = 0.5      # of the picture's median that its map is divided by
    density: str = "gaussian"  # coreset, flow, flow_z2: positions_others.py
    rows: int = 2000        # of the coreset
    scales: int = 1         # 2: the maps of every second pixel as well, interpolated to the grid


def box(z, side):
    """z: (n, g, g, k), mean over side x side cells, fewer at the border."""
    if side == 1:
        return z
    y = F.avg_pool2d(z.permute(0, 3, 1, 2), side, 1, side // 2, count_include_pad=False)
    return y.permute(0, 2, 3, 1)


def smooth(maps, sigma):
    """maps: (n, g, g)"""
    if sigma == 0:
        return maps
    r = int(np.ceil(3 * sigma))
    x = torch.arange(-r, r + 1) / sigma
    w = (-x * x / 2).exp()
    w = w / w.sum()
    m = F.pad(maps[:, None], (r, r, r, r), "reflect")
    return F.conv2d(F.conv2d(m, w[None, None, :, None]), w[None, None, None, :])[:, 0]


class Projection:
    def __init__(self, maps, s, rng):
        self.s = s
        self.channels = np.concatenate([np.arange(TAPS[t].start, TAPS[t].stop) + scale * CHANNELS
                                        for scale in range(s.scales) for t in s.taps.split(",")])
        n, g = maps.shape[:2]
        some = np.sort(rng.permutation(n)[:max(8, -(-ROWS // (g * g)))])
        rows = box(torch.from_numpy(maps[some][..., self.channels].astype(np.float32)), s.pool)
        rows = rows.reshape(-1, len(self.channels))
        self.mean = rows.mean(0)
        sd = rows.std(0)
        self.sd = sd.clamp_min(0.1 * sd.pow(2).mean().sqrt())
        z = (rows - self.mean) / self.sd
        e, v = torch.linalg.eigh((z.T @ z / len(z)).double())
        k = min(s.k, len(e))
        e, v = e[-k:].clamp_min(1e-4), v[:, -k:]
        self.matrix = ((v / e.sqrt() if s.whiten else v / e[-1].sqrt()).float() / self.sd[:, None]).contiguous()
        self.offset = self.mean @ self.matrix

    def __call__(self, maps):
        """(n, g * g, k)"""
        out = []
        for i in range(0, len(maps), 8):
            x = torch.from_numpy(maps[i:i + 8][..., self.channels].astype(np.float32))
            out.append(box(x @ self.matrix - self.offset, self.s.pool))
        z = torch.cat(out)
        return z.reshape(len(z), -1, z.shape[-1])


class Moments:
    """Sums over images: first and second moments of each position.  A picture weighs 1 whatever the number of its
    copies: they are no more evidence, and counted as such they would weaken the shrinking."""
    def __init__(self, z, copies=1):
        self.n = len(z) / copies
        self.sum = z.sum(0) / copies
        zp = z.transpose(0, 1)
        self.square = torch.bmm(zp.transpose(1, 2), zp) / copies

    def without(self, other):
        rest = object.__new__(Moments)
        rest.n, rest.sum, rest.square = self.n - other.n, self.sum - other.sum, self.square - other.square
        return rest


class Gaussian:
    def __init__(self, m, s, shrink=None):
        positions, k = m.sum.shape
        g = int(round(positions ** 0.5))
        mean = m.sum / m.n
        whole = mean.mean(0)
        self.mean = (m.n * mean + s.mean_shrink * whole) / (m.n + s.mean_shrink) if np.isfinite(s.mean_shrink) \
            else whole.expand(positions, k).contiguous()
        about = m.square - m.n * mean[:, :, None] * mean[:, None, :]
        shared = about.sum(0) / max(1, (m.n - 1) * positions)
        if s.shared == "total":
            shared = m.square.sum(0) / (m.n * positions) - whole[:, None] * whole
        eye = torch.eye(k)
        if s.cov == "shared":
            cov = (shared + s.floor * eye).expand(positions, k, k)
        else:
            shrink = s.shrink if shrink is None else shrink
            total, rows = self.near_rows(about, mean, m.n, g, s)
            cov = (total + shrink * shared) / (rows + shrink)[:, None, None] + s.floor * eye
        self.factor = torch.linalg.cholesky(cov)
        self.logdet = 2 * self.factor.diagonal(dim1=1, dim2=2).log().sum(1)

    def near_rows(self, about, mean, n, g, s):
        """Sums of squares of the neighbours' rows about this position's mean, and how many rows."""
        positions, k = mean.shape
        A, M = about.reshape(g, g, k, k), mean.reshape(g, g, k)
        c = self.mean.reshape(g, g, k)
        total, rows, r = torch.zeros(g, g, k, k), torch.zeros(g, g), s.near // 2
        for dy in range(-r, r + 1):
            for dx in range(-r, r + 1):
                y = slice(max(0, -dy), g - max(0, dy))
                x = slice(max(0, -dx), g - max(0, dx))
                yo, xo = slice(max(0, dy), g + min(0, dy)), slice(max(0, dx), g + min(0, dx))
                d = M[yo, xo] - c[y, x]
                weight = s.weight if dy or dx else 1
                total[y, x] += weight * (A[yo, xo] + n * d[..., :, None] * d[..., None, :])
                rows[y, x] += weight * n
        return total.reshape(positions, k, k), rows.reshape(-1)

    def whitened(self, z):
        """(n, positions, k)"""
        d = (z - self.mean).permute(1, 2, 0)
        return torch.linalg.solve_triangular(self.factor, d, upper=False).permute(2, 0, 1)

    def distances(self, z):
        """(n, positions) squared Mahalanobis distances"""
        return self.whitened(z).pow(2).sum(2)

    def loss(self, z):
        """mean negative log-density per dimension"""
        return ((self.distances(z) + self.logdet) / 2).mean().item() / z.shape[2]


def without_modes(z, mean, modes):
    if modes is None:
        return z
    d = (z - mean).reshape(len(z), -1)
    return z - (d @ modes.T @ modes).reshape(z.shape)


def find_modes(z, count):
    """The directions (count, positions * k) in which whole pictures differ most."""
    d = (z - z.mean(0)).reshape(len(z), -1)
    e, u = torch.linalg.eigh((d @ d.T).double())
    keep = min(count, max(0, len(z) // 4))
    if keep == 0:
        return None
    return (u[:, -keep:].float().T @ d) / e[-keep:].float().sqrt()[:, None]


class Model:
    """Learns from maps; owner[i] is the picture that row i is a copy of.  self.cross: distances of the pictures
    themselves (copies left out) by Gaussians that learned without them."""
    def __init__(self, maps, s, seed=0, owner=None):
        rng = np.random.default_rng(seed)
        owner = np.arange(len(maps)) if owner is None else np.asarray(owner)
        self.s, self.grid = s, maps.shape[1]
        self.project = Projection(maps, s, rng)
        z = self.project(maps)
        pictures = np.unique(owner)
        copies = len(maps) / len(pictures)
        first = np.array([np.flatnonzero(owner == p)[0] for p in pictures])
        fold = rng.permutation(len(pictures)) % min(s.folds, len(pictures))
        fold_of = fold[np.searchsorted(pictures, owner)]
        self.z_mean, self.modes = z.mean(0), None
        self.cross = torch.zeros(len(pictures), z.shape[1])
        self.cross_loss = []
        if s.modes and s.density != "gaussian":
            raise ValueError(f"modes go with the Gaussian, not with density={s.density}")
        if s.modes:
            for f in range(fold.max() + 1):
                rest = z[fold_of != f]
                mean, modes = rest.mean(0), find_modes(rest, s.modes)
                gaussian = Gaussian(Moments(without_modes(rest, mean, modes), copies), s)
                self.cross[fold == f] = gaussian.distances(without_modes(z[first[fold == f]], mean, modes))
            self.modes = find_modes(z, s.modes)
            self.gaussian = Gaussian(Moments(without_modes(z, self.z_mean, self.modes), copies), s)
            return
        if s.density != "gaussian":
            self.gaussian = self.other(z, copies)
            for f in range(fold.max() + 1):
                self.cross[fold == f] = self.other(z[fold_of != f], copies).distances(z[first[fold == f]])
            return
        whole = Moments(z, copies)
        shrink = s.shrink
        if s.adaptive:
            losses = {c: [] for c in SHRINKS}
            for f in range(min(3, fold.max() + 1)):
                rest = whole.without(Moments(z[fold_of == f], copies))
                for c in losses:
                    losses[c].append(Gaussian(rest, s, c).loss(z[first[fold == f]]))
            shrink = min(losses, key=lambda c: np.mean(losses[c]))
            self.losses = {c: np.mean(v) for c, v in losses.items()}
        self.shrink = shrink
        self.gaussian = Gaussian(whole, s, shrink)
        for f in range(fold.max() + 1):
            out = z[first[fold == f]]
            gaussian = Gaussian(whole.without(Moments(z[fold_of == f], copies)), s, shrink)
            self.cross[fold == f] = gaussian.distances(out)
            self.cross_loss.append(gaussian.loss(out))

    def other(self, z, copies):
        if self.s.density == "coreset":
            return Coreset(z, self.s.rows)
        return PlacedFlow(Gaussian(Moments(z, copies), self.s), z, self.s.density == "flow_z2")

    def distances(self, maps):
        z = self.project(maps)
        return self.gaussian.distances(without_modes(z, self.z_mean, self.modes))

    def smoothed(self, distances):
        return smooth(distances.reshape(len(distances), self.grid, self.grid), self.s.sigma)

    def shown(self, smoothed):
        """A good picture that is unusual as a whole raises all of its cells: what stands out counts."""
        return smoothed / smoothed.flatten(1).median(1).values[:, None, None] ** self.s.power


# ---- figures ----

class Masks:
    """Masks at side x side, with their regions."""
    def __init__(self, test, side=224):
        self.side, self.masks = side, []
        for path, anomalous, mask in test:
            if anomalous and mask is None:
                self.masks.append(None)
            elif not anomalous:
                self.masks.append(np.zeros((side, side), np.int32))
            else:
                m = np.asarray(Image.open(mask).convert("L").resize((side, side), Image.BOX)) > 127
                if not m.any():
                    m = np.asarray(Image.open(mask).convert("L").resize((side, side), Image.BOX)) > 20
                self.masks.append(label(m, np.ones((3, 3)))[0])
        self.any = any(m is not None and m.any() for m in self.masks)

    def figures(self, maps, limit=0.3):
        """Pixel AUROC, AUPRO up to the limit of false positives."""
        good, regions = [], []
        maps = F.interpolate(maps[:, None], (self.side, self.side), mode="bilinear", align_corners=False)[:, 0].numpy()
        for i, (m, regions_of) in enumerate(zip(maps, self.masks)):
            if regions_of is not None:
                good.append(m[regions_of == 0][i % 3::3])
                regions += [m[regions_of == r] for r in range(1, regions_of.max() + 1)]
        good, bad = np.sort(np.concatenate(good)), np.sort(np.concatenate(regions))
        area = 1 - (np.searchsorted(bad, good[::5]) / len(bad)).mean()
        rates = np.linspace(0, limit, 151)
        levels = good[np.minimum(len(good) - 1, ((1 - rates) * len(good)).astype(int))]
        overlap = np.mean([1 - np.searchsorted(np.sort(r), levels, "right") / len(r) for r in regions], 0)
        return area, np.trapz(overlap, rates) / limit


def standard(v, good):
    """Log scores against those of good pictures that were not learned from."""
    middle = np.median(good)
    return (v - middle) / max(np.quantile(good, 0.9) - middle, 1e-6)


def damped(t):
    return np.sign(t) * np.log1p(np.abs(t))


def highest(maps, share):
    """Mean of the highest share of the cells."""
    flat = maps.flatten(1)
    return flat.topk(max(1, round(share * flat.shape[1])), 1).values.mean(1).log().numpy()


def stand_out(maps, good, share=0.025):
    """How far the highest cells stand out of their picture, and how unusual the picture is as a whole: standardised,
    for the maps and for the good ones."""
    def median(m):
        return m.flatten(1).median(1).values.log().numpy()
    a, m, ga, gm = highest(maps, share), median(maps), highest(good, share), median(good)
    slope = float(np.clip(np.cov(gm, ga)[0, 1] / max(gm.var(ddof=1), 1e-9), 0, 1.5)) * len(ga) / (len(ga) + 10)
    return ((standard(a - slope * m, ga - slope * gm), standard(m, gm)),
            (standard(ga - slope * gm, ga - slope * gm), standard(gm, gm)))


def either(local, whole):
    return np.hypot(np.maximum(local, 0), np.maximum(whole, 0)) + 0.05 * (local + whole)
