"""What bench/run measures with: pictures, models, and the same network, flow and views for every engine."""
import os

import numpy as np

from bench_common import differnet, safetensors_io

PICTURE_SIDE = 600
# The network as the peers build it: number, stride, padding, whether a pool of 3 x 3 with stride 2 follows.
CONVOLUTIONS = ((0, 4, 2, True), (3, 1, 2, True), (6, 1, 1, False), (8, 1, 1, False), (10, 1, 1, True))
SCALES = (1, 2, 4)
BLOCKS, CLAMP, LIMIT = 8, 3.0, 1e6


def picture(seed, side=PICTURE_SIDE):
    """(side, side, 3): a disc with a grain on a shaded ground, somewhere else for each seed."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[:side, :side] / side
    shade = 90 + 60 * x + 30 * y
    centre = 0.5 + 0.05 * random.uniform(-1, 1, 2)
    shade[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 0.1] += 60
    grain = random.normal(0, 8, (side, side, 3))
    return np.clip(shade[:, :, None] * (1, 0.95, 0.9) + grain, 0, 255).astype(np.uint8)


def write_pictures(folder, count):
    """Paths of `count` pictures."""
    os.makedirs(folder, exist_ok=True)
    paths = [os.path.join(folder, f"{i}.png") for i in range(count)]
    for i, path in enumerate(paths):
        if not os.path.exists(path):
            differnet.write_png(picture(i), path)
    return paths


def make_model(path, preset, hidden=None, input_size=448, backbone=None):
    """Saves a model that has learned nothing: built-in backbone (or a file's), a flow with its initial weights."""
    extractor = (differnet.Extractor.open(backbone, input_size=input_size) if backbone
                 else differnet.Extractor.default(input_size=input_size))
    settings = {"epochs": 0, "bank": 16, "heatmap_images": 0, "angles": differnet.ANGLES_GRID,
                "positions": 0}  # the method of the paper, which the peers compute
    if hidden:
        settings["hidden"] = hidden
    trainer = differnet.Trainer(extractor, preset, **settings)
    for i in range(3):
        trainer.add(picture(i))
    with trainer.run() as model:
        model.save(path)
    return path


def grid_angles(views):
    """The angles of DN_ANGLES_GRID."""
    return [i * 360.0 / views for i in range(views)]


def make_bundle(folder, model_path, views):
    """What the peers work on, taken out of a model: backbone, flow, standardisation, and the views as the model's
    scorer sees them."""
    os.makedirs(folder, exist_ok=True)
    with differnet.Model.open(model_path) as model:
        extractor = model.extractor
        extractor.save(os.path.join(folder, "backbone.safetensors"))
        model.flow.save(os.path.join(folder, "flow.safetensors"))
        np.save(os.path.join(folder, "mean.npy"), np.array(model.feature_mean, np.float32))
        np.save(os.path.join(folder, "deviation.npy"), np.array(model.feature_deviation, np.float32))
        np.save(os.path.join(folder, "views.npy"), extractor.views(picture(100), grid_angles(views)))
    return folder


class Bundle:
    """A bundle as the peers read it.  Views: (n, 3, size, size), one block of memory."""

    def __init__(self, folder):
        self.folder = folder
        self.backbone = safetensors_io.load(os.path.join(folder, "backbone.safetensors"))[0]
        self.mean, self.deviation = (np.load(os.path.join(folder, name + ".npy")) for name in ("mean", "deviation"))
        views = np.load(os.path.join(folder, "views.npy"), mmap_mode="r")
        self.views = np.ascontiguousarray(views.transpose(0, 3, 1, 2))

    def flow(self):
        """Tensors of the flow; not kept, they are large."""
        return safetensors_io.load(os.path.join(self.folder, "flow.safetensors"))[0]
