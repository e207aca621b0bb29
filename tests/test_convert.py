"""`differnet convert` from outside, with checkpoints that are written here byte by byte, also as PyTorch never does.

DIFFERNET names the executable.  tests/compare_convert.py has PyTorch's own files.
"""
import io
import json
import os
import shutil
import struct
import subprocess
import tarfile
import tempfile
import unittest
import zipfile

COMMAND = os.environ["DIFFERNET"]
LAYERS = [{"op": "conv", "weight": "w", "bias": "b"}]
WEIGHT, BIAS = (0.5, -1.25, 3.0, 0.0, 1.0, -7.0), (0.125, -2.0)  # (2, 3, 1, 1), (2)


def floats(*values):
    return struct.pack("<%df" % len(values), *values)


def longs(*values):
    return struct.pack("<%dq" % len(values), *values)


# ---- pickles, opcode by opcode ----

PROTO, STOP, MARK, TUPLE = b"\x80\x02", b".", b"(", b"t"


def name(module, text):
    return b"c" + module.encode() + b"\n" + text.encode() + b"\n"


def text(string):
    data = string if isinstance(string, bytes) else string.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -2 ** 31 <= value < 2 ** 31:
        return b"J" + struct.pack("<i", value)
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def group(*items):
    return MARK + b"".join(items) + TUPLE


def numbers(values):
    return group(*map(integer, values))


ORDERED = name("collections", "OrderedDict")
EMPTY = ORDERED + b")R"


def storage(key, count, kind="FloatStorage", *view):
    return group(text("storage"), name("torch", kind), text(key), text("cpu"), integer(count), *view) + b"Q"


def tensor(where, shape, stride, offset=0):
    return (name("torch._utils", "_rebuild_tensor_v2")
            + group(where, integer(offset), numbers(shape), numbers(stride), b"\x89", EMPTY) + b"R")


def mapping(**items):
    return b"}" + MARK + b"".join(text(key) + value for key, value in items.items()) + b"u"


def pickled(body):
    return PROTO + body + STOP


def weight(where=None):
    return tensor(where or storage("0", 6), (2, 3, 1, 1), (3, 1, 1, 1))


def bias(where=None):
    return tensor(where or storage("1", 2), (2,), (1,))


def state(**more):
    return mapping(**{"w": weight(), "b": bias(), **more})


# ---- files ----

def zip_file(pickle, storages=None, method=zipfile.ZIP_STORED, folder="archive/", more=()):
    storages = {"0": floats(*WEIGHT), "1": floats(*BIAS)} if storages is None else storages
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(folder + "data.pkl", pickle)
        archive.writestr(folder + "byteorder", b"little")
        for key, data in storages.items():
            archive.writestr(folder + "data/" + key, data)
        for member, data in more:
            archive.writestr(folder + member, data)
    return out.getvalue()


MAGIC = pickled(integer(0x1950A86A20F9469CFC6C))
MACHINE = pickled(b"}" + MARK + text("protocol_version") + integer(1001) + text("little_endian") + b"\x88" + b"u")


def legacy_file(pickle, storages=None, head=None):
    storages = {"0": floats(*WEIGHT), "1": floats(*BIAS)} if storages is None else storages
    out = (MAGIC + pickled(integer(1001)) + MACHINE if head is None else head) + pickle
    out += pickled(b"]" + MARK + b"".join(map(text, storages)) + b"e")
    return out + b"".join(longs(len(data) // 4) + data for data in storages.values())


def tar_file(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for member, data in files.items():
            info = tarfile.TarInfo(member)
            info.size, info.mtime = len(data), 1485000000.25
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def short(string):
    """Text as Python 2 wrote it."""
    return b"U" + bytes([len(string)]) + string.encode()


def tar_parts(**changes):
    """The two tensors; keys are integers too large for BININT, in the decimal form that Python 2 used."""
    def key(number):
        return b"I%d\n" % (140000000000000 + number)

    def block(number, data):
        return pickled(group(key(number), short("cpu"), name("torch", "FloatStorage"))) + longs(len(data) // 4) + data

    def description(number, where, shape, stride, offset):
        return pickled(group(key(number), key(where), name("torch", "FloatTensor"))) + longs(
            len(shape), *shape, *stride, offset)

    def pair(label, number):
        return b"]" + MARK + short(label) + short(str(140000000000000 + number)) + b"Q" + b"e"

    parts = {
        "sys_info": MACHINE,
        "pickle": pickled(ORDERED + b"]" + MARK + pair("w", 1) + pair("b", 2) + b"e" + b"\x85R"),
        "tensors": pickled(integer(2)) + description(1, 11, (2, 3, 1, 1), (3, 1, 1, 1), 0)
        + description(2, 13, (2,), (1,), 0),
        # The bias is a view into the second storage.
        "storages": pickled(integer(2)) + block(11, floats(*WEIGHT)) + block(12, floats(9, *BIAS, 9))
        + pickled(b"]" + MARK + group(key(13), key(12), integer(1), integer(2)) + b"e"),
    }
    parts.update(changes)
    return parts


def safetensors(tensors, metadata=None):
    """tensors: {name: (dtype, shape, bytes)}"""
    header, offset = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for label, (kind, shape, data) in tensors.items():
        header[label] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + b"".join(data for _, _, data in tensors.values())


PLAIN = {"w": ("F32", [2, 3, 1, 1], floats(*WEIGHT)), "b": ("F32", [2], floats(*BIAS))}
LISTED = {"differnet.layers": json.dumps(LAYERS)}
ALEXNET_BARE = {"%d.%s" % (i, kind): ("F32", [2, 3 if i == 0 else 2, k, k] if kind == "weight" else [2],
                                      floats(*[0.01 * (i + 1)] * (2 * (3 if i == 0 else 2) * k * k
                                                                  if kind == "weight" else 2)))
                for i, k in ((0, 11), (3, 5), (6, 3), (8, 3), (10, 3)) for kind in ("weight", "bias")}
FORMATS = {"torch-zip": zip_file(pickled(state())), "torch-legacy": legacy_file(pickled(state())),
           "torch-tar": tar_file(tar_parts()), "safetensors": safetensors(PLAIN)}


def contents(path):
    """({name: (dtype, shape, bytes)}, metadata) of a safetensors file."""
    with open(path, "rb") as file:
        data = file.read()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__")
    return {label: (entry["dtype"], entry["shape"], data[start + entry["data_offsets"][0]:
                                                         start + entry["data_offsets"][1]])
            for label, entry in header.items()}, metadata


class ConvertTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="differnet-convert-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.target, self.layers = self.at("out.safetensors"), self.at("layers.json")
        self.write("layers.json", json.dumps(LAYERS).encode())

    def at(self, label):
        return os.path.join(self.folder, label)

    def write(self, label, data):
        with open(self.at(label), "wb") as file:
            file.write(data)
        return self.at(label)

    def run_command(self, *arguments, code=0):
        result = subprocess.run([COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        result.out, result.err = result.stdout.decode(), result.stderr.decode()
        self.assertNotIn("Sanitizer", result.err)
        self.assertNotIn("runtime error", result.err)
        self.assertEqual(result.returncode, code, (arguments, result.err, result.out))
        return result

    def convert(self, data, *options, layers=True):
        """The report of a conversion that succeeds."""
        given = ["--layers", self.layers] if layers else []
        result = self.run_command("convert", self.write("in", data), self.target, "--json", *given, *options)
        self.assertEqual(result.err, "")
        return json.loads(result.out)

    def refused(self, data, *texts, options=(), layers=True):
        """The message of a conversion that fails and leaves nothing behind."""
        given = ["--layers", self.layers] if layers else []
        self.write("out.safetensors", b"old")
        before = sorted(os.listdir(self.folder))
        result = self.run_command("convert", self.write("in", data), self.target, *given, *options, code=2)
        for part in texts:
            self.assertIn(part, result.err)
        self.assertEqual(result.out, "")
        self.assertTrue(all(line.startswith("differnet: ") for line in result.err.splitlines()), result.err)
        self.assertTrue(all(line.isprintable() for line in result.err.splitlines()), repr(result.err))
        self.assertEqual(sorted(set(os.listdir(self.folder)) - {"in"}), sorted(set(before) - {"in"}))
        with open(self.target, "rb") as file:
            self.assertEqual(file.read(), b"old")
        return result.err

    def check_plain(self, message=None):
        tensors, metadata = contents(self.target)
        self.assertEqual(tensors, PLAIN, message)
        self.assertEqual(metadata["differnet.kind"], "backbone")


class Formats(ConvertTest):
    def test_each(self):
        ids = set()
        for format, data in FORMATS.items():
            told = self.convert(data)
            self.check_plain(format)
            self.assertEqual(told["format"], format)
            ids.add(told["id"])
            info = json.loads(self.run_command("info", "--json", self.target).out)
            self.assertEqual((info["kind"], info["id"], info["layers"]), ("backbone", told["id"], 1))
        self.assertEqual(len(ids), 1)

    def test_report(self):
        counter = tensor(storage("2", 1, "LongStorage"), (), ())
        told = self.convert(zip_file(pickled(state(classifier=bias(), n=counter)),
                                     {"0": floats(*WEIGHT), "1": floats(*BIAS), "2": longs(5)}), "--name", "mine")
        self.assertEqual(list(told), ["input", "format", "output", "bytes", "storage", "id", "name", "layers",
                                      "parameters", "taps", "tensors", "dropped"])
        self.assertEqual((told["input"], told["output"], told["name"]), (self.at("in"), self.target, "mine"))
        self.assertEqual((told["tensors"], told["dropped"]), (2, ["classifier", "n"]))
        self.assertEqual((told["layers"], told["parameters"], told["taps"]), (1, 8, ["w"]))
        self.assertEqual(told["bytes"], os.path.getsize(self.target))
        result = self.run_command("convert", self.at("in"), self.target, "--layers", self.layers)
        for part in ("zip format", "float32, id " + told["id"], "2 tensors, and not 2 that no layer uses: classifier n",
                     "0.485 0.456 0.406"):
            self.assertIn(part, result.out)
        many = zip_file(pickled(state(**{"t%d" % i: bias() for i in range(12)})))
        self.write("in", many)
        result = self.run_command("convert", self.at("in"), self.target, "--layers", self.layers)
        self.assertIn("and not 12 that no layer uses: t0 t1 t2 t3 t4 t5 t6 t7 ...\n", result.out)

    def test_half(self):
        told = self.convert(FORMATS["torch-zip"], "--f16")
        self.assertEqual(told["storage"], "float16")
        tensors, _ = contents(self.target)
        self.assertEqual(tensors["w"], ("F16", [2, 3, 1, 1], struct.pack("<6e", *WEIGHT)))
        self.refused(zip_file(pickled(state()), {"0": floats(*WEIGHT[:5], 65520), "1": floats(*BIAS)}), "float16",
                     options=["--f16"])

    def test_deflated(self):
        many = mapping(w=weight(), b=bias(), z=tensor(storage("2", 50000), (50000,), (1,)))
        storages = {"0": floats(*WEIGHT), "1": floats(*BIAS), "2": bytes(200000)}
        self.convert(zip_file(pickled(many), storages, zipfile.ZIP_DEFLATED))
        self.check_plain()

    def test_zip_with_other_folder_and_comment(self):
        data = bytearray(zip_file(pickled(state()), folder="alexnet-owt/"))
        data[-2:] = struct.pack("<H", 5)
        self.convert(bytes(data) + b"hello")
        self.check_plain()

    def test_nested(self):
        for key in ("state_dict", "model_state_dict", "model"):
            inner = ORDERED + b")R" + MARK + b"".join(
                text("module." + label) + body for label, body in (("w", weight()), ("b", bias()))) + b"u"
            inner += mapping(_metadata=EMPTY) + b"b"
            company = mapping(**{"epoch": integer(3), "loss": b"G" + bytes(8), "best": bias(), key: inner,
                                 "big": integer(1 << 80), "list": b"]" + MARK + b"N\x88" + integer(-70000) + b"e"})
            for data in (zip_file(pickled(company)), legacy_file(pickled(company))):
                self.convert(data)
                self.check_plain(key)
        listed = [{key: "module." + value if key in ("weight", "bias") else value for key, value in layer.items()}
                  for layer in LAYERS]
        own = safetensors({"module." + label: tensor for label, tensor in PLAIN.items()},
                          {"differnet.layers": json.dumps(listed)})
        self.convert(own, layers=False)  # whose layer list names them so
        self.assertEqual(contents(self.target)[0], {"module." + label: tensor for label, tensor in PLAIN.items()})
        mixed = mapping(**{"module.w": weight(), "b": bias()})
        self.refused(zip_file(pickled(mixed)), "w")  # a prefix that not all have is none

    def test_older_pickles(self):
        old = name("torch._utils", "_rebuild_tensor")
        items = (old + group(storage("0", 6), integer(0), numbers((2, 3, 1, 1)), numbers((3, 1, 1, 1))) + b"R",
                 name("torch._utils", "_rebuild_parameter") + group(bias(), b"\x88", EMPTY) + b"R")
        body = ORDERED + b"]" + MARK + b"".join(
            b"]" + short(label) + b"a" + item + b"a" for label, item in zip("wb", items)) + b"e" + b"\x85R"
        for data in (zip_file(pickled(body)), legacy_file(pickled(body))):
            self.convert(data)
            self.check_plain()

    def test_views_of_legacy_storages(self):
        view = storage("0", 9, "FloatStorage", group(text("view"), integer(7), integer(2)))
        body = mapping(w=weight(storage("0", 9, "FloatStorage", b"N")), b=bias(view))
        self.convert(legacy_file(pickled(body), {"0": floats(*WEIGHT, 4, *BIAS)}))
        self.check_plain()
        view = storage("0", 9, "FloatStorage", group(text("view"), integer(8), integer(2)))
        self.refused(legacy_file(pickled(mapping(b=bias(view))), {"0": bytes(36)}), "view beyond its storage")

    def test_memo_and_protocol_4(self):
        rebuild = name("torch._utils", "_rebuild_tensor_v2")
        by_stack = b"\x8c\x0ctorch._utils\x8c\x12_rebuild_tensor_v2\x93r\x07\x00\x00\x00"
        body = (b"\x80\x04\x95" + struct.pack("<Q", 3) + b"}\x94(\x8c\x01w\x94" + weight().replace(rebuild, by_stack)
                + b"\x8c\x01b" + bias().replace(rebuild, b"j\x07\x00\x00\x00") + b"u.")
        self.convert(zip_file(body))
        self.check_plain()

    def test_other_number_types(self):
        brain = struct.pack("<6H", *(struct.unpack("<I", floats(value))[0] >> 16 for value in WEIGHT))
        half, double = struct.pack("<2e", *BIAS), struct.pack("<2d", *BIAS)
        for other, kind, stored in ((half, "Half", "F16"), (double, "Double", "F64")):
            body = mapping(w=weight(storage("0", 6, "BFloat16Storage")), b=bias(storage("1", 2, kind + "Storage")))
            self.convert(zip_file(pickled(body), {"0": brain, "1": other}))
            self.check_plain(kind)
            self.convert(safetensors({"w": ("BF16", [2, 3, 1, 1], brain), "b": (stored, [2], other),
                                      "n": ("I64", [], longs(3))}))
            self.check_plain(stored)
        whole = mapping(w=weight(storage("0", 6, "IntStorage")), b=bias())
        self.refused(zip_file(pickled(whole)), "w")

    def test_strides(self):
        spread = floats(*(WEIGHT[i // 3] if i % 3 == 0 else 99 for i in range(18)))
        turned = floats(WEIGHT[0], WEIGHT[3], WEIGHT[1], WEIGHT[4], WEIGHT[2], WEIGHT[5])
        for data, count, stride, offset in ((spread, 18, (9, 3, 77, 1 << 61), 0), (turned, 6, (1, 2, 5, 0), 0),
                                            (floats(1, 2) + turned, 8, (1, 2, 1, 1), 2)):
            body = mapping(w=tensor(storage("0", count), (2, 3, 1, 1), stride, offset), b=bias())
            self.convert(zip_file(pickled(body), {"0": data, "1": floats(*BIAS)}))
            self.check_plain(stride)


class Safetensors(ConvertTest):
    def test_metadata_is_kept_and_overridden(self):
        own = {**LISTED, "name": "first", "differnet.mean": "[0.1,0.2,0.3]", "differnet.std": "[1,2,3]",
               "differnet.random": "1", "other": "gone"}
        self.convert(safetensors(PLAIN, own), layers=False)
        self.check_plain()
        _, metadata = contents(self.target)
        self.assertEqual((metadata["name"], metadata["differnet.random"]), ("first", "1"))
        self.assertEqual(json.loads(metadata["differnet.std"]), [1, 2, 3])
        self.assertNotIn("other", metadata)
        self.convert(safetensors(PLAIN, own), "--name", "second", "--mean", "0,0.5,-1e3", "--std=0.25,0.5,1",
                     layers=False)
        _, metadata = contents(self.target)
        self.assertEqual(metadata["name"], "second")
        self.assertEqual(json.loads(metadata["differnet.mean"]), [0, 0.5, -1000])
        self.assertEqual(json.loads(metadata["differnet.std"]), [0.25, 0.5, 1])
        with open(self.target, "rb") as file:
            told = self.convert(file.read(), "--f16", layers=False)  # what convert wrote, once more
        self.assertEqual((told["name"], told["dropped"], told["format"]), ("second", [], "safetensors"))

    def test_alexnet_without_prefix(self):
        told = self.convert(safetensors({**ALEXNET_BARE, "classifier.1.bias": ("F32", [1], floats(1))}), layers=False)
        self.assertEqual((told["tensors"], told["dropped"], told["name"]), (10, ["classifier.1.bias"], "AlexNet"))
        tensors, _ = contents(self.target)
        self.assertEqual(tensors, {"features." + label: entry for label, entry in ALEXNET_BARE.items()})

    def test_damaged(self):
        good = FORMATS["safetensors"]
        for cut in range(len(good)):
            if cut % 7 == 0 or cut < 10:
                self.refused(good[:cut])
        head = b'{"w":{"dtype":"F32","shape":[2,3,1,1],"data_offsets":[0,24]}}'
        for old, new in ((b"F32", b"F99"), (b"[2,3,1,1]", b"[2,3,1,9]"), (b"[2,3,1,1]", b"[-2,3,-1,1]"),
                         (b"[2,3,1,1]", b"[1,1,1,1,1,1,1,1,6]"), (b"[2,3,1,1]", b"[4611686018427387904,8,1,1]"),
                         (b"[0,24]", b"[8,32]"), (b"[0,24]", b"[-8,16]"), (b"[0,24]", b"[24,0]"), (b"[0,24]", b"24"),
                         (b"24]}}", b"24]},\"w\":{}}"), (b"24]}}", b"24]}"), (b"\"w\"", b"\"\\u0007\""),
                         (b"\"w\"", b"\"\"")):
            self.assertIn(old, head)
            changed = head.replace(old, new)
            self.refused(len(changed).to_bytes(8, "little") + changed + floats(*WEIGHT))
        self.refused((1 << 60).to_bytes(8, "little") + head + floats(*WEIGHT), "header")
        deep = b'{"w":' + b"[" * 5000
        self.refused(len(deep).to_bytes(8, "little") + deep, "header")

    def test_other_kinds_and_values(self):
        for kind, part in (("model", "is a model"), ("flow", "is a flow"), ("bank", "is a bank")):
            self.refused(safetensors(PLAIN, {**LISTED, "differnet.kind": kind}), part, layers=False)
        self.refused(safetensors({**PLAIN, "b": ("F32", [2], floats(float("nan"), 0))}), "b", "NaN")
        self.refused(safetensors(PLAIN), "unknown network", "--layers", layers=False)
        self.refused(safetensors({**PLAIN, "b": ("F32", [1, 2], floats(*BIAS))}), "tensor b")


class Usage(ConvertTest):
    def test_help(self):
        out = self.run_command("convert", "--help").out
        self.assertIn("usage: differnet convert IN OUT", out)
        self.assertLess(max(map(len, out.splitlines())), 105)
        self.assertIn("convert", self.run_command("--help").out)

    def test_wrong_use(self):
        data = FORMATS["torch-zip"]
        self.write("in", data)
        for arguments in ((), (self.at("in"),), (self.at("in"), self.target, "third")):
            self.assertIn("usage: differnet convert", self.run_command("convert", *arguments, code=2).err)
        self.assertIn("same file", self.run_command("convert", self.at("in"), self.at("in"), code=2).err)
        os.link(self.at("in"), self.at("link"))
        self.assertIn("same file", self.run_command("convert", self.at("in"), self.at("link"), code=2).err)
        with open(self.at("in"), "rb") as file:
            self.assertEqual(file.read(), data)
        for option, values in (("--mean", ("1,2", "1,2,3,4", "a,b,c", "1;2;3", "1,2,nan", "1,2,inf", "")),
                               ("--std", ("1,2,0", "1,2,-3", "0.5"))):
            for value in values:
                self.refused(data, option, value, options=["%s=%s" % (option, value)])

    def test_files(self):
        self.assertIn("absent", self.run_command("convert", self.at("absent"), self.target, code=2).err)
        self.assertIn("not a regular file", self.run_command("convert", self.folder, self.target, code=2).err)
        os.mkfifo(self.at("pipe"))
        self.assertIn("not a regular file", self.run_command("convert", self.at("pipe"), self.target, code=2).err)
        self.write("in", FORMATS["torch-zip"])
        self.assertIn("none/out", self.run_command("convert", self.at("in"), self.at("none/out"), code=2).err)
        self.assertIn("not a regular file", self.run_command("convert", self.at("in"), self.folder, code=2).err)
        with open(self.at("huge"), "wb") as file:
            file.truncate((1 << 32) + 1)
        self.assertIn("limit", self.run_command("convert", self.at("huge"), self.target, code=2).err)
        self.assertEqual(sorted(os.listdir(self.folder)), ["huge", "in", "layers.json", "pipe"])

    def test_layer_lists(self):
        data = FORMATS["torch-zip"]
        for listed, part in ((b"[", "malformed"), (b"", "malformed"), (b"[]", "array of 1 to 256"),
                             (b"[\0]", "no JSON"), (b'[{"op":"fft"}]', "fft"),
                             (b'[{"op":"conv","weight":"x"}]', "x"), (b"\xff", "UTF-8")):
            self.refused(data, part, options=["--layers", self.write("bad.json", listed)], layers=False)
        with open(self.at("long.json"), "wb") as file:
            file.truncate((1 << 20) + 1)
        self.refused(data, "long.json", "limit", options=["--layers", self.at("long.json")], layers=False)
        self.refused(data, "none.json", options=["--layers", self.at("none.json")], layers=False)
        self.refused(data, "unknown network", "docs/backbones.md", layers=False)
        self.refused(data, "UTF-8", options=["--name", os.fsdecode(b"\xff")])

    def test_other_files(self):
        for data in (b"", b"PK", b"hello world, this is text", b"PK\3\4" + bytes(100), b"\x80\x02" + bytes(100),
                     b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(2000)):
            self.refused(data, self.at("in"))


class Hostile(ConvertTest):
    """Nothing is executed, and nothing makes the command crash."""

    def all_formats(self, body, *texts):
        """A pickle's body in the place of the state dict of each format."""
        for data in (zip_file(pickled(body)), legacy_file(pickled(body)),
                     tar_file(tar_parts(pickle=pickled(body)))):
            self.refused(data, *texts)

    def test_calls_are_refused(self):
        marker = self.at("executed")
        for module, function in (("posix", "system"), ("os", "system"), ("subprocess", "getoutput"),
                                 ("builtins", "eval"), ("__builtin__", "eval"), ("torch.storage", "_load_from_bytes"),
                                 ("torch", "load"), ("torch.serialization", "load"), ("collections", "OrderedDict2"),
                                 ("torch._utils", "_rebuild_tensor_v2 "), ("torch", "Storage"),
                                 ("torch", "XFloatStorage"), ("torch", "FloatStorage.x"), ("", ""),
                                 ("torch.nn.parameter", "Parameter")):
            call = name(module, function) + group(text("touch " + marker)) + b"R"
            self.all_formats(call, "%s.%s" % (module, function), "nothing was executed")
            stacked = text(module) + text(function) + b"\x93" + group(text("touch " + marker)) + b"R"
            self.all_formats(stacked, "%s.%s" % (module, function), "byte")
        # Inside an otherwise good state dict, too.
        for data in (zip_file, legacy_file):
            call = name("os", "system") + group(text("touch " + marker)) + b"R"
            self.refused(data(pickled(state(x=call))), "os.system")
        self.assertFalse(os.path.exists(marker))

    def test_allowed_names_in_wrong_places(self):
        kind, one = name("torch", "FloatStorage"), numbers((1,))
        rebuild = name("torch._utils", "_rebuild_tensor_v2")
        where = storage("0", 6)
        hook = (b"\x89", EMPTY)
        for body, part in (
                (kind + b")R", "no function"), (integer(3) + b")R", "no function"), (ORDERED + b"NR", "no function"),
                (ORDERED + group(integer(3)) + b"R", "no list"),
                (ORDERED + group(b"]" + integer(3) + b"a") + b"R", "pairs"),
                (EMPTY + b"Nb", "attributes"), (b"]}b", "attributes"), (rebuild + b")R", "without storage"),
                (rebuild + group(where, integer(0), numbers((2,)), one) + b"R", "without storage"),
                (rebuild + group(integer(1), integer(0), numbers((2,)), one, *hook) + b"R", "without storage"),
                (rebuild + group(where, integer(-1), numbers((2,)), one, *hook) + b"R", "without storage"),
                (rebuild + group(where, integer(0), integer(2), one, *hook) + b"R", "8 integers"),
                (rebuild + group(where, integer(0), numbers((2, 3)), one, *hook) + b"R", "8 integers"),
                (rebuild + group(where, integer(0), numbers((-2,)), one, *hook) + b"R", "8 integers"),
                (rebuild + group(where, integer(0), numbers((2,)), numbers((-1,)), *hook) + b"R", "8 integers"),
                (rebuild + group(where, integer(0), numbers((1,) * 9), numbers((1,) * 9), *hook) + b"R", "8 integers"),
                (rebuild + group(where, integer(0), group(integer(1 << 64)), one, *hook) + b"R", "8 integers"),
                (name("torch._utils", "_rebuild_parameter") + group(integer(1), b"\x88", EMPTY) + b"R", "parameter"),
                (text("0") + b"Q", "describes no storage"), (b")Q", "describes no storage"),
                (group(text("module"), kind, b"N", b"N") + b"Q", "state_dict()"),
                (group(text("storage"), ORDERED, text("0"), text("cpu"), integer(6)) + b"Q", "describes no storage"),
                (group(text("storage"), kind, integer(0), text("cpu"), integer(6)) + b"Q", "describes no storage"),
                (group(text("storage"), kind, text("0"), text("cpu"), integer(-6)) + b"Q", "describes no storage"),
                (b"N", "state_dict()"), (b"]", "state_dict()"), (mapping(x=integer(1)), "state_dict()")):
            for data in (zip_file(pickled(body)), legacy_file(pickled(body))):
                self.refused(data, part)

    def test_opcodes_are_refused_by_name(self):
        for code, label in ((b"\x81", "NEWOBJ"), (b"\x92", "NEWOBJ_EX"), (b"i", "INST"), (b"o", "OBJ"),
                            (b"\x82", "EXT1"), (b"0", "POP"), (b"2", "DUP"), (b"B", "BINBYTES"), (b"P", "PERSID"),
                            (b"V", "UNICODE"),
                            (b"\x8f", "EMPTY_SET"), (b"\x97", "NEXT_BUFFER")):
            self.refused(zip_file(PROTO + b"}" + code + b"os\nsystem\n."), "data.pkl, byte 3: opcode %s " % label)
        self.refused(zip_file(PROTO + b"\xff."), "byte 2: 0xFF is no opcode")
        self.refused(legacy_file(PROTO + b"\x81."), "NEWOBJ")

    def test_stack_and_memo(self):
        for body in (b"", b"t", b"e", b"u", b"a", b"s", b"\x85", b"R", b"b", b"Q", b"\x93", b"q\x00", b"\x94", b"h\x00",
                     b"j\xff\xff\xff\xff", b"}r\xff\xff\xff\xff", b"}h\x05", b"N(a", b"}(e", b"](u", b"}(Nu", b"}N",
                     b"(}", b"}(}(", b"N(N\x85", b"(N\x86", b"}(s", b"I12x\n", b"I\n", b"I-\n",
                     b"I" + b"9" * 40 + b"\n",
                     b"I" + b"9" * 300 + b"\n", b"ctorch\n", b"c" + b"x" * 300 + b"\ny\n", b"X\xff\xff\xff\xffabc",
                     b"T\xff\xff\xff\xff", b"\x8c\xffabc", b"\x8a\xff", b"G1234", b"\x95" + b"\xff" * 8, b"\x80\x09"):
            self.refused(zip_file(PROTO + body + STOP), "data.pkl, byte")
            self.refused(legacy_file(PROTO + body + STOP))

    def test_much_and_deep(self):
        for body in (MARK * 3000000, b"}" * 2000000, b"]" * 1000 + b"a" * 999, b"]" + b"N" * 900000,
                     b"](" + b"]q\x00" * 100 + b"h\x00h\x00" * 100000 + b"e", b"N" + b"\x85" * 500000,
                     b"".join(b"]r" + struct.pack("<I", i) for i in range(0, 1 << 20, 9)),
                     b"]" + (b"(" + b"N" * 2000 + b"t") * 20000):
            self.refused(zip_file(pickled(body), method=zipfile.ZIP_DEFLATED))
        # What contains itself has no end for those who walk through it.
        self.refused(zip_file(pickled(b"}q\x00" + text("model") + b"h\x00s")), "state_dict()")
        self.convert(zip_file(pickled(b"}q\x00(" + text("self") + b"h\x00" + text("w") + weight() + text("b") + bias()
                                      + b"u")))
        self.check_plain()

    def test_tensors_beyond_their_storage(self):
        big = 1 << 62
        for shape, stride, offset in (((7,), (1,), 0), ((6,), (1,), 1), ((2, 3), (4, 1), 0), ((2,), (6,), 0),
                                      ((1,), (1,), 6), ((1,), (1,), 1 << 63), ((2,), (big,), 0), ((3,), (big,), 0),
                                      ((big, 4), (0, 0), 0), ((1 << 32, 1 << 32), (0, 0), 0), ((2, 2), (big, big), 0),
                                      ((1,), (1,), (1 << 63) - 1), ((7,), (0,), 0), ((big,), (0,), 0),
                                      ((0, big, 8), (0, 0, 0), 0)):
            body = mapping(w=weight(), b=bias(), x=tensor(storage("0", 6), shape, stride, offset))
            for data in (zip_file(pickled(body)), legacy_file(pickled(body))):
                self.refused(data)
        none = mapping(w=weight(), b=bias(), x=tensor(storage("2", 0), (0, 5), (5, 1)),
                       y=tensor(storage("2", 0), (5, 0), (big, 1), 7))
        self.convert(zip_file(pickled(none), {"0": floats(*WEIGHT), "1": floats(*BIAS), "2": b""}))
        self.check_plain()

    def test_storages(self):
        for count in (7, 1 << 61, 1 << 62, (1 << 63) - 1):
            body = pickled(mapping(w=weight(storage("0", count)), b=bias()))
            self.refused(zip_file(body), "storage 0 has 24 bytes")
            self.refused(legacy_file(body), "size differs")
        self.refused(zip_file(pickled(state()), {"0": floats(*WEIGHT)}), "storage 1 is missing")
        self.refused(legacy_file(pickled(state()), {"0": floats(*WEIGHT)}), "storage is missing")
        good = legacy_file(pickled(state()))
        self.refused(good.replace(longs(6), longs(-1)), "cut off")
        self.refused(good.replace(longs(6), longs(1 << 62)), "cut off")
        self.refused(good.replace(longs(6), longs(5)), "size differs")
        self.refused(legacy_file(pickled(state()), {"0": floats(*WEIGHT), "1": floats(*BIAS), "2": b""}),
                     "no tensor uses")
        both = pickled(mapping(w=weight(), b=bias(storage("0", 6, "HalfStorage"))))
        self.refused(legacy_file(both, {"0": floats(*WEIGHT)}), "size differs")

    def test_names(self):
        for label in (b"", b"a\0b", b"\x1b[31m", b"line\nbreak", b"\x7f", b"x" * 256):
            body = b"}" + MARK + text("w") + weight() + text(label) + bias() + b"u"
            message = self.refused(zip_file(pickled(body)), "name")
            self.assertNotIn("\x1b", message)
        twice = b"}" + MARK + text("w") + weight() + text("w") + weight() + b"u"
        self.refused(zip_file(pickled(twice)), "two tensors have the name w")
        self.refused(zip_file(pickled(b"}" + MARK + text(b"\xff\xfe") + bias() + b"u")), "UTF-8")
        self.refused(zip_file(pickled(name("\x1b[31m", "\x07"))), "?[31m.?")
        self.convert(zip_file(pickled(state(**{"é" * 100: bias(), "x" * 255: bias()}))))
        self.check_plain()

    def test_legacy_heads(self):
        body = pickled(state())
        self.refused(legacy_file(body, head=pickled(integer(1001)) + pickled(integer(1001)) + MACHINE), "number")
        self.refused(legacy_file(body, head=MAGIC + pickled(integer(1002)) + MACHINE), "1001")
        big = MACHINE.replace(b"\x88", b"\x89")
        self.refused(legacy_file(body, head=MAGIC + pickled(integer(1001)) + big), "little")
        self.refused(legacy_file(body, head=MAGIC + pickled(integer(1001)) + pickled(b"N")), "little")
        self.refused(pickled(mapping(a=integer(1))), "not one of torch.save")

    def test_zip_archives(self):
        good = FORMATS["torch-zip"]
        body = pickled(state())
        end = len(good) - 22
        first = good.index(b"PK\1\2")

        def patched(at, data):
            return good[:at] + data + good[at + len(data):]

        for data, part in (
                (patched(end + 16, struct.pack("<I", len(good))), "directory"),
                (patched(end + 16, struct.pack("<I", 0)), "directory"),
                (patched(end + 12, struct.pack("<I", 1 << 31)), "directory"),
                (patched(end + 10, struct.pack("<H", 60000)), "directory"),
                (patched(end + 10, struct.pack("<H", 0)), "directory"),
                (patched(end + 10, struct.pack("<H", 2)), "storage 0 is missing"),
                (patched(end + 20, b"\1"), "no end"),
                (patched(first + 8, b"\1"), "encrypted"),
                (patched(first + 10, struct.pack("<H", 12)), "method 12"),
                (patched(first + 16, b"ABCD"), "checksum differs"),
                (patched(first + 20, struct.pack("<I", 3)), "two sizes"),
                (patched(first + 24, struct.pack("<I", 1 << 31)), "two sizes"),
                (patched(first + 20, struct.pack("<II", 1 << 31, 1 << 31)), "larger than all"),
                (patched(first + 20, struct.pack("<II", first - 9, first - 9)), "outside"),
                (patched(first + 42, struct.pack("<I", 5)), "outside"),
                (patched(first + 42, struct.pack("<I", 1 << 31)), "outside"),
                (patched(first + 28, struct.pack("<H", 60000)), "cut off"),
                (patched(first + 30, struct.pack("<H", 2)), ""),
                (patched(30, b"Z"), "two names"), (patched(26, struct.pack("<H", 60000)), "outside"),
                (good.replace(floats(*BIAS), floats(*BIAS[::-1])), "checksum differs"),
                (zip_file(body, folder=""), "no data.pkl"), (zip_file(body, folder="a/b/"), "no data.pkl"),
                (zip_file(body, more=[("constants.pkl", b"")]), "TorchScript"),
                (zip_file(body, method=zipfile.ZIP_BZIP2), "method 12")):
            self.refused(data, part)
        big = io.BytesIO()
        with zipfile.ZipFile(big, "w") as archive:
            archive.writestr("archive/data.pkl", body)
            archive.writestr("archive/byteorder", b"big")
        self.refused(big.getvalue(), "little-endian")
        with self.assertWarns(UserWarning):
            self.refused(zip_file(body, more=[("data/0", b"")]), "two files have one name")
        two = io.BytesIO()
        with zipfile.ZipFile(two, "w") as archive:
            archive.writestr("a/data.pkl", body)
            archive.writestr("b/data.pkl", body)
        self.refused(two.getvalue(), "data.pkl")

    def test_zip_compression(self):
        body = pickled(state())
        good = zip_file(body, method=zipfile.ZIP_DEFLATED)
        first = good.index(b"PK\1\2")

        def patched(at, data):
            return good[:at] + data + good[at + len(data):]

        size = len(body)
        self.refused(patched(first + 24, struct.pack("<I", 1 << 31)), "impossible size")
        self.refused(patched(first + 24, struct.pack("<I", size - 1)), "compressed data")
        self.refused(patched(first + 24, struct.pack("<I", size + 1)), "compressed data")
        self.refused(patched(60, b"\xff\xff\xff\xff"), "archive")
        # 64-bit sizes as PyTorch writes them, with impossible values.
        locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(good), 1)
        for count, length, at in ((1 << 40, 1 << 50, 0), (3, 1 << 63, 0), (3, 200, 1 << 63), (1 << 63, 0, 0)):
            record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, at)
            self.refused(good[:-22] + record + struct.pack("<4sIQI", b"PK\6\7", 0, len(good) - 22, 1) + good[-22:],
                         "directory")
        self.convert(good[:-22] + locator + good[-22:])  # a locator that points nowhere is none
        self.check_plain()

    def test_zip_with_64_bit_fields(self):
        good = FORMATS["torch-zip"]
        first, end = good.index(b"PK\1\2"), len(good) - 22
        name_end = first + 46 + len("archive/data.pkl")
        size, packed, place = struct.unpack("<I", good[first + 24:first + 28])[0], good[first + 20:first + 24], 0
        self.assertEqual(packed, struct.pack("<I", size))

        def with_extra(extra, tail=b""):
            entry = bytearray(good[first:name_end] + extra)
            entry[20:28] = b"\xff" * 8
            entry[42:46] = b"\xff" * 4
            entry[30:32] = struct.pack("<H", len(extra))
            record = bytearray(good[end:])
            record[12:16] = struct.pack("<I", end - first + len(extra))
            return good[:first] + bytes(entry) + good[name_end:end] + bytes(record) + tail

        fields = struct.pack("<HHH", 7, 2, 0) + struct.pack("<HHQQQ", 1, 24, size, size, place)
        self.convert(with_extra(fields))
        self.check_plain()
        self.refused(with_extra(fields[:-1]), "cut off")
        self.refused(with_extra(fields[:8] + struct.pack("<H", 8) + fields[10:18]), "cut off")
        self.refused(with_extra(struct.pack("<HHQQQ", 1, 24, size, size, 1 << 63)), "outside")
        self.refused(with_extra(struct.pack("<HHQQQ", 1, 24, 1 << 63, 1 << 63, 0)), "larger than all")
        self.refused(with_extra(b""), "larger than all")

    def test_many_tensors_of_one_storage(self):
        """More than 4 GiB altogether, in a file of 64 KiB."""
        count = 1 << 24
        one = tensor(storage("0", count), (count,), (1,))
        data = zip_file(pickled(mapping(**{"t%d" % i: one for i in range(65)})), {"0": bytes(4 * count)},
                        zipfile.ZIP_DEFLATED)
        self.assertLess(len(data), 1 << 17)
        self.refused(data, "4294967296")
        bomb = zip_file(pickled(mapping(t=one)), {"0": bytes(4 * count)}, zipfile.ZIP_DEFLATED)
        self.refused(bomb.replace(struct.pack("<I", 4 * count), struct.pack("<I", 0xFFFFFFF0)), "")

    def test_tar_archives(self):
        parts = tar_parts()
        good = tar_file(parts)
        for label in parts:
            self.refused(tar_file({key: value for key, value in parts.items() if key != label}), "no file " + label)
        self.refused(good.replace(b"sys_info\0", b"sys_infx\0", 1), "sum")
        self.refused(good[:157] + b"\1" + good[158:], "sum")

        def spoil(old, new, file):
            self.assertIn(old, parts[file])
            return tar_file(tar_parts(**{file: parts[file].replace(old, new)}))

        for data, part in (
                (spoil(pickled(integer(2)), pickled(integer(65537)), "tensors"), "count"),
                (spoil(pickled(integer(2)), pickled(integer(-1)), "storages"), "count"),
                (spoil(pickled(integer(2)), pickled(b"N"), "storages"), "count"),
                (spoil(pickled(integer(2)), pickled(integer(3)), "storages"), ""),
                (spoil(longs(6), longs(1 << 62), "storages"), "cut off"),
                (spoil(longs(6), longs(-6), "storages"), "negative"),
                (spoil(longs(4, 2), longs(9, 2), "tensors"), "8 dimensions"),
                (spoil(longs(4, 2), longs(4, -2), "tensors"), "negative"),
                (spoil(longs(4, 2), longs(4, 1 << 62), "tensors"), "beyond its storage"),
                (spoil(longs(4, 2), longs(0xFFFFFFFF, 2), "tensors"), "8 dimensions"),
                (spoil(b"I140000000000013", b"I140000000000077", "tensors"), "storage is missing"),
                (spoil(b"I140000000000012", b"I140000000000013", "storages"), "twice"),
                (spoil(b"I140000000000002", b"I140000000000001", "tensors"), "twice"),
                (spoil(integer(1) + integer(2), integer(3) + integer(2), "storages"), "view beyond"),
                (spoil(integer(1) + integer(2), integer(-1) + integer(2), "storages"), "view beyond"),
                (spoil(b"140000000000002", b"140000000000009", "pickle"), "no tensor's"),
                (spoil(b"140000000000002", b"14000000000000x", "pickle"), "no tensor's"),
                (spoil(b"140000000000002", b"999999999999999", "pickle"), "no tensor's"),
                (spoil(b"\x88", b"\x89", "sys_info"), "little"),
                (tar_file(tar_parts(sys_info=pickled(text("0") + b"Q"))), "where none belongs")):
            self.refused(data, part)

    def test_cut(self):
        """A file that ends too early is refused; tests/fuzz/fuzz_torch_file.c does it at every byte."""
        for format, data in FORMATS.items():
            for size in [*range(0, len(data.rstrip(b"\0")), 61), len(data.rstrip(b"\0")) - 1]:
                self.refused(data[:size])


if __name__ == "__main__":
    unittest.main()
