#!/usr/bin/env python3
"""Converts checkpoints that PyTorch itself wrote, and compares with the tensors that PyTorch has.

usage: compare_convert.py DIFFERNET LIBRARY [unittest arguments]

Skipped (exit 77) where torch or numpy is missing.
"""
import collections
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "golden"), os.path.join(HERE, "..", "bindings", "python")]
try:
    import numpy as np
    import torch

    import safetensors_io
except ImportError as problem:
    print(f"skipped: {problem}")
    sys.exit(77)
import differnet  # noqa: E402

COMMAND, LIBRARY = sys.argv[1], sys.argv[2]
CONVOLUTIONS = {0: (8, 3, 11), 3: (12, 8, 5), 6: (16, 12, 3), 8: (16, 16, 3), 10: (12, 16, 3)}


def describe():
    """The function that docs/backbones.md shows."""
    with open(os.path.join(HERE, "..", "docs", "backbones.md"), encoding="utf-8") as file:
        code = file.read().split("```python\n")[1].split("```")[0]
    names = {}
    exec(code, names)
    return names["describe"]


def alexnet():
    """torchvision's names, few channels, a small classifier."""
    torch.manual_seed(7)
    features = torch.nn.Sequential(*(
        torch.nn.Conv2d(CONVOLUTIONS[i][1], CONVOLUTIONS[i][0], CONVOLUTIONS[i][2]) if i in CONVOLUTIONS
        else torch.nn.ReLU() for i in range(13)))
    classifier = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(48, 20), torch.nn.ReLU(),
                                     torch.nn.Dropout(), torch.nn.Linear(20, 20), torch.nn.ReLU(),
                                     torch.nn.Linear(20, 10))
    network = torch.nn.Module()
    network.features, network.classifier = features, classifier
    return network.state_dict()


def save_tar(state, path):
    """As torch.save before 0.1.10: tensors apart from the pickle, which names them by number."""
    tensors, storages, described = {}, {}, b""

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if not isinstance(item, torch.Tensor):
                return None
            tensors[id(item)] = item
            return str(id(item))

    def numbers(*values):
        return b"".join(struct.pack("<q", value) for value in values)

    body = io.BytesIO()
    Pickler(body, protocol=2).dump(state)
    for key, tensor in tensors.items():
        storage = tensor.storage()
        place = storage.data_ptr()
        if place not in storages:
            storages[place] = (pickle.dumps((place, "cpu", torch.FloatStorage), 2) + numbers(len(storage))
                               + torch.empty(0).set_(storage).numpy().tobytes())
        described += pickle.dumps((key, place, torch.FloatTensor), 2) + numbers(
            tensor.dim(), *tensor.shape, *tensor.stride(), tensor.storage_offset())
    info = {"protocol_version": 1000, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 8}}
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as tar:
        for name, content in (("sys_info", pickle.dumps(info, 2)), ("pickle", body.getvalue()),
                              ("tensors", pickle.dumps(len(tensors), 2) + described),
                              ("storages", pickle.dumps(len(storages), 2) + b"".join(storages.values())
                               + pickle.dumps([], 2))):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1485000000.5  # a fraction takes an extended header
            tar.addfile(member, io.BytesIO(content))


def save_zip(state, path):
    torch.save(state, path)


def save_legacy(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)


FORMATS = {"torch-zip": save_zip, "torch-legacy": save_legacy, "torch-tar": save_tar}


class ConvertTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="differnet-convert-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.source, self.target = self.at("in.pth"), self.at("out.safetensors")

    def at(self, name):
        return os.path.join(self.folder, name)

    def convert(self, *options):
        result = subprocess.run([COMMAND, "convert", self.source, self.target, "--json", *options],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, b"")
        return json.loads(result.stdout)

    def refused(self, *texts, options=()):
        result = subprocess.run([COMMAND, "convert", self.source, self.target, *options], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, 2, result.stderr)
        for text in texts:
            self.assertIn(text, result.stderr.decode())
        self.assertFalse(os.path.exists(self.target))

    def features(self, path):
        extractor = differnet.Extractor.open(path, input_size=256, scales=2)
        image = np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)
        return extractor.info, np.array(extractor.features_image(image, [0, 33, 90]))

    def compare(self, state, metadata=None):
        """OUT gives the same bits as a file of the same tensors that Python wrote."""
        direct = self.at("direct.safetensors")
        safetensors_io.save(direct, {name: tensor.detach().float().numpy() for name, tensor in state.items()
                                     if tensor.is_floating_point()}, metadata)
        expected, expected_features = self.features(direct)
        info, features = self.features(self.target)
        self.assertEqual(info, expected)
        self.assertEqual(features.tobytes(), expected_features.tobytes())
        self.assertGreater(np.abs(features).max(), 0)

    def test_every_format(self):
        for format, save in FORMATS.items():
            with self.subTest(format):
                state = alexnet()
                save(state, self.source)
                again = torch.load(self.source, weights_only=False)  # what is tested is what PyTorch reads
                self.assertEqual(list(again), list(state))
                told = self.convert()
                self.assertEqual((told["format"], told["tensors"], told["storage"]), (format, 10, "float32"))
                self.assertEqual(told["dropped"], ["classifier.%d.%s" % (i, kind) for i in (1, 4, 6)
                                                   for kind in ("weight", "bias")])
                self.assertEqual(told["bytes"], os.path.getsize(self.target))
                self.compare(state)
                tensors, metadata = safetensors_io.load(self.target)
                self.assertEqual(sorted(tensors), sorted(name for name in state if name.startswith("features")))
                for name, tensor in tensors.items():
                    np.testing.assert_array_equal(tensor, state[name].numpy())

    def test_protocols(self):
        state = alexnet()
        for protocol in (2, 3, 4, 5):
            for new in (True, False):
                torch.save(state, self.source, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
                self.convert()
                self.compare(state)

    def test_nested_prefixed_and_with_company(self):
        state = alexnet()
        parallel = collections.OrderedDict(("module." + name, tensor) for name, tensor in state.items())
        for key in ("state_dict", "model_state_dict", "model"):
            for save in (save_zip, save_legacy):
                save({"epoch": 90, "arch": "alexnet", "best": 0.5653, "seen": 1 << 70, "none": None, "yes": True,
                      "history": [1, 2.5, ("a", [])], "far": -5, "farther": -(1 << 40), key: parallel,
                      "optimizer": {"state": {0: {"step": torch.tensor(3)}}, "groups": [{"lr": 0.1}]}}, self.source)
                self.convert()
                self.compare(state)

    def test_parameters_and_other_types(self):
        state = alexnet()
        mixed = collections.OrderedDict()
        for i, (name, tensor) in enumerate(state.items()):
            mixed[name] = torch.nn.Parameter(tensor) if i % 2 else tensor
        mixed["features.1.num_batches_tracked"] = torch.tensor(5)
        for save in (save_zip, save_legacy):
            save(mixed, self.source)
            self.assertIn("features.1.num_batches_tracked", self.convert()["dropped"])
            self.compare(state)
        for kind in (torch.float16, torch.bfloat16, torch.float64):
            typed = {name: tensor.to(kind) for name, tensor in state.items()}
            for save in (save_zip, save_legacy):
                save(typed, self.source)
                self.convert()
                self.compare(typed)

    def test_not_contiguous(self):
        state = alexnet()
        shuffled = dict(state)
        weight = state["features.3.weight"]
        shuffled["features.3.weight"] = weight.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)
        shuffled["features.6.weight"] = state["features.6.weight"].to(memory_format=torch.channels_last)
        padded = torch.zeros(40, 50)
        padded[3, 5:41:3] = state["features.3.bias"]
        shuffled["features.3.bias"] = padded[3, 5:41:3]  # every third number of a row
        both = torch.cat([state["features.8.bias"], state["features.6.bias"]])
        shuffled["features.8.bias"], shuffled["features.6.bias"] = both[:16], both[16:]  # in one storage
        self.assertFalse(shuffled["features.3.weight"].is_contiguous() or shuffled["features.6.weight"].is_contiguous())
        for save in FORMATS.values():
            save(shuffled, self.source)
            self.convert()
            self.compare(state)
        shuffled["features.3.bias"] = torch.zeros(1).expand(12)
        save_zip(shuffled, self.source)
        os.remove(self.target)
        self.refused("features.3.bias", "expanded", "contiguous()")

    def test_half(self):
        state = alexnet()
        save_zip(state, self.source)
        told = self.convert("--f16")
        self.assertEqual(told["storage"], "float16")
        tensors, _ = safetensors_io.load(self.target)
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(tensor, state[name].half().numpy())
        self.compare({name: tensor.half() for name, tensor in state.items()})

    def test_layer_list(self):
        """Batch norm folded by the function in docs/backbones.md, against the network itself."""
        torch.manual_seed(1)
        modules, inputs = [], 3
        for groups, outputs, kernel, stride in ((1, 8, 3, 2), (8, 8, 3, 1), (1, 12, 1, 1), (12, 12, 3, 2),
                                                (1, 16, 1, 1)):
            norm = torch.nn.BatchNorm2d(outputs)
            torch.nn.init.uniform_(norm.weight, 0.5, 2)
            torch.nn.init.normal_(norm.bias)
            torch.nn.init.normal_(norm.running_mean)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2)
            modules += [torch.nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=kernel == 1),
                        norm, torch.nn.ReLU6()]
            inputs = outputs
        modules[9:9] = [torch.nn.MaxPool2d(3, 2, 1), torch.nn.AvgPool2d(2, 1)]
        network = torch.nn.Sequential(*modules).eval()
        folded, layers = describe()(network, taps=(8, 16))
        save_zip(folded, self.source)
        with open(self.at("layers.json"), "w") as file:
            json.dump(layers, file, indent=1)
        told = self.convert("--layers", self.at("layers.json"), "--mean", "0.5,0.25,1", "--std", "0.5,0.5,0.5",
                            "--name", "klein & fein: ä")
        self.assertEqual((told["name"], told["layers"], told["tensors"]), ("klein & fein: ä", 12, 10))
        self.assertEqual(len(told["taps"]), 2)
        self.compare(folded, {"differnet.layers": json.dumps(layers), "differnet.mean": "[0.5, 0.25, 1]",
                              "differnet.std": "[0.5,0.5,0.5]", "name": "klein & fein: ä"})
        extractor = differnet.Extractor.open(self.target, input_size=64, scales=1)
        image = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)
        view = torch.tensor(np.array(extractor.views(image, [0]))).permute(0, 3, 1, 2)
        expected = torch.cat([network[:9](view).mean((2, 3)), network(view).mean((2, 3))], 1).detach()
        got = np.array(extractor.features_image(image, [0]))
        np.testing.assert_allclose(got, expected.numpy(), rtol=0, atol=1e-5 * float(expected.abs().max()))

    def test_what_layer_lists_lack(self):
        nn = torch.nn
        for module in (nn.Conv2d(3, 4, 3, dilation=2), nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
                       nn.Conv2d(3, 4, 3, stride=(1, 2)), nn.MaxPool2d(3, 2, ceil_mode=True),
                       nn.MaxPool2d(3, 2, dilation=2), nn.AvgPool2d(3, 2, ceil_mode=True),
                       nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.AvgPool2d(3, 2, divisor_override=1),
                       nn.Sigmoid()):
            with self.subTest(module=module), self.assertRaisesRegex(ValueError, "cannot be described"):
                describe()([module])

    def test_whole_module_is_refused(self):
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 11))
        for save in (save_zip, save_legacy):
            save(network, self.source)
            self.refused("torch.nn.modules.container.Sequential", "state_dict()")
        torch.jit.script(network).save(self.source)
        self.refused("TorchScript")


if __name__ == "__main__":
    differnet.load(LIBRARY)
    print("torch", torch.__version__)
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
