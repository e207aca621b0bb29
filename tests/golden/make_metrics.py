"""Writes metrics.txt: figures of merit by scikit-learn, and AUPRO by a direct computation over all thresholds.

Image cases:  image COUNT AUROC AP F1 / then COUNT lines: SCORE LABEL
Pixel cases:  pixel IMAGES AUROC AUPRO / then per image: WIDTH HEIGHT HAS_MASK / map values / mask values
Map values are multiples of 1/256, which the histogram's bins tell apart exactly.
"""
import os

import numpy as np
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

random = np.random.default_rng(7)


def image_case(scores, labels):
    precision, recall, _ = precision_recall_curve(labels, scores)
    total = precision + recall
    f1 = np.max(np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0))
    lines = ["image %d %.17g %.17g %.17g" % (len(scores), roc_auc_score(labels, scores),
                                             average_precision_score(labels, scores), f1)]
    return lines + ["%.17g %d" % (score, label) for score, label in zip(scores, labels)]


def aupro(maps, masks, limit=0.3):
    """For each threshold: mean overlap of the regions, share of normal pixels; trapezoids up to the limit."""
    regions, normal = [], []
    for values, mask in zip(maps, masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [values[labels == k] for k in range(1, count + 1)]
        normal.append(values[mask == 0])
    normal = np.concatenate(normal)
    thresholds = np.unique(np.concatenate([m.ravel() for m in maps]))[::-1]
    x = np.array([0.0] + [np.mean(normal >= t) for t in thresholds])
    y = np.array([0.0] + [np.mean([np.mean(region >= t) for region in regions]) for t in thresholds])
    keep = x < limit
    at_limit = np.interp(limit, x[np.argmin(keep) - 1:np.argmin(keep) + 1], y[np.argmin(keep) - 1:np.argmin(keep) + 1])
    return np.trapz(np.append(y[keep], at_limit), np.append(x[keep], limit)) / limit


def pixel_case(maps, masks):
    values = np.concatenate([m.ravel() for m in maps])
    labels = np.concatenate([m.ravel() for m in masks])
    lines = ["pixel %d %.17g %.17g" % (len(maps), roc_auc_score(labels, values), aupro(maps, masks))]
    for number, (values, mask) in enumerate(zip(maps, masks)):
        lines.append("%d %d %d" % (values.shape[1], values.shape[0], number > 0))
        lines.append(" ".join("%.17g" % v for v in values.ravel()))
        if number > 0:  # the first image is a good one
            lines.append(" ".join("%d" % v for v in mask.ravel()))
    return lines


def random_maps(shift, levels):
    maps, masks = [], []
    for number, (width, height) in enumerate([(20, 15), (17, 23), (24, 16)]):
        mask = ndimage.gaussian_filter(random.standard_normal((height, width)), 1.2) > (9 if number == 0 else 0.22)
        values = np.abs(ndimage.gaussian_filter(random.standard_normal((height, width)), 1.0)) + shift * mask
        maps.append(np.floor(values * levels) / levels)
        masks.append(mask.astype(int))
    return maps, masks


lines = []
for count, share, digits, shift in [(12, 0.5, 3, 1), (60, 0.3, 1, 0.7), (200, 0.7, 6, 0.4), (40, 0.1, 0, 1), (5, 0.5, 2, 0)]:
    labels = (random.random(count) < share).astype(int)
    labels[:2] = [0, 1]
    lines += image_case(np.round(random.standard_normal(count) + shift * labels, digits), labels)
for shift, levels in [(0.2, 256), (0.0, 16), (2.0, 256)]:
    lines += pixel_case(*random_maps(shift, levels))
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "metrics.txt"), "w") as file:
    file.write("\n".join(lines) + "\n")
