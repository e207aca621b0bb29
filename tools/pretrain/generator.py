"""Binding of the procedural image generator (generator.h): numpy arrays in and out, batches made ahead in a thread."""
import collections
import concurrent.futures
import ctypes

import numpy as np

Batch = collections.namedtuple("Batch", "images classes kinds masks")


class _Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("size", ctypes.c_int32), ("seed", ctypes.c_uint64),
                ("siblings", ctypes.c_int32), ("threads", ctypes.c_int32), ("pose", ctypes.c_float),
                ("look", ctypes.c_float), ("degrade", ctypes.c_float), ("zoom", ctypes.c_float)]


def _pointer(array, kind):
    return array.ctypes.data_as(ctypes.POINTER(kind))


class Generator:
    """Images as a pure function of (options, class, instance, kind of defect)."""

    def __init__(self, library, seed, siblings=4, threads=1):
        self.library = ctypes.CDLL(library)
        self.library.generator_defect_name.restype = ctypes.c_char_p
        self.library.generator_family_name.restype = ctypes.c_char_p
        self.library.generator_family_of.argtypes = [ctypes.c_uint64, ctypes.c_int32, ctypes.c_int32]
        self.seed, self.siblings, self.threads = seed, siblings, threads
        self.kinds = [self.library.generator_defect_name(kind).decode()
                      for kind in range(self.library.generator_defect_kinds() + 1)]
        self.families = [self.library.generator_family_name(family).decode()
                         for family in range(self.library.generator_families())]

    def family(self, index):
        """Name of the family that class `index` belongs to."""
        return self.families[self.library.generator_family_of(self.seed, self.siblings, index)]

    def classes_of(self, families, each):
        """The first `each` parents' first classes of every family, by family."""
        found = {family: [] for family in families}
        for number in range(0, 100000 * self.siblings, self.siblings):
            family = self.family(number)
            if family in found and len(found[family]) < each:
                found[family].append(number)
                if all(len(numbers) == each for numbers in found.values()):
                    break
        return [number for family in families for number in found[family]]

    def __call__(self, size, classes, instances, kinds, pose=1.0, look=1.0, degrade=1.0, zoom=1.0):
        """classes, instances, kinds: (n) integers; kind 0: without a defect, -1: one drawn at random.  Returns a Batch:
        images (n, size, size, 3) bytes, classes (n), kinds (n) as drawn, masks (n, size, size) bytes."""
        classes = np.ascontiguousarray(classes, np.int32)
        instances = np.ascontiguousarray(instances, np.int64)
        kinds = np.ascontiguousarray(kinds, np.int32)
        n = len(classes)
        images = np.empty((n, size, size, 3), np.uint8)
        masks = np.empty((n, size, size), np.uint8)
        drawn = np.empty(n, np.int32)
        options = _Options(ctypes.sizeof(_Options), size, self.seed, self.siblings, self.threads, pose, look, degrade,
                           zoom)
        status = self.library.generator_run(
            ctypes.byref(options), _pointer(classes, ctypes.c_int32), _pointer(instances, ctypes.c_int64),
            _pointer(kinds, ctypes.c_int32), ctypes.c_int64(n), _pointer(images, ctypes.c_uint8),
            _pointer(drawn, ctypes.c_int32), _pointer(masks, ctypes.c_uint8))
        if status != 0:
            raise RuntimeError(f"the generator failed with status {status}")
        return Batch(images, classes, drawn, masks)


class Prefetch:
    """Calls make(step) for the steps ahead in a thread of its own, `depth` of them in advance."""

    def __init__(self, make, first, depth=4):
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.make, self.next = make, first
        self.waiting = collections.deque()
        for _ in range(depth):
            self._ask()

    def _ask(self):
        self.waiting.append(self.pool.submit(self.make, self.next))
        self.next += 1

    def get(self):
        batch = self.waiting.popleft().result()
        self._ask()
        return batch

    def close(self):
        self.pool.shutdown(wait=True, cancel_futures=True)
