"""Industrial image anomaly detection that learns from good images only: Python binding of libdifferent.

    import differnet

    trainer = differnet.Trainer(differnet.Extractor.default(), epochs=192, threads=4)
    for path in good_images:
        trainer.add(path)
    model = trainer.run(lambda progress: print(progress.phase, progress.done, progress.total))
    model.save("part.dnm")

    scorer = differnet.Scorer(differnet.Model.open("part.dnm"))
    result = scorer.score("part.png")
    print(result.score, result.p_value, result.anomalous)

The library is the one in this package, where pip installed it; otherwise the one that the dynamic linker finds
(LD_LIBRARY_PATH, ldconfig).  load(path) names another file before first use.

Images: wherever an image is asked for, give a path (str or os.PathLike: PNG, JPEG, BMP, PNM, TIFF), an Image, a PIL
image, or an array with __array_interface__, __array__ or the buffer protocol (numpy, OpenCV, torch on the CPU): uint8
or uint16 of shape (height, width), uint8 of shape (height, width, 3) for RGB or (height, width, 4) for RGBA.  OpenCV's
colours are the other way round, which nothing but you can know: Pixels(frame, format="bgr8").  Raw bytes: Pixels(data,
width, height).  A PIL image's pixels are taken as they are: apply PIL.ImageOps.exif_transpose where a camera's
orientation matters, or give the path.  Anything else is a TypeError that says what to do.

Numbers: arrays of floats go in as numpy arrays, anything with the buffer protocol and format "f" or "d", or nested
sequences.  They come out as numpy arrays if numpy is there, otherwise as memoryviews of the same shape.

Options are keyword arguments with the names and defaults of the option structs in differnet.h, which documents them.
Failures of the library raise Error; arguments that cannot be meant, TypeError or ValueError.

Threads: calls release the interpreter lock.  An Extractor, Flow or Model may be used by any number of threads; those
that share a Scorer, Localizer or Trainer take turns.  Handles are freed with their last reference, or by close(), in
both cases once the calls in progress have ended.  They cannot be copied or pickled.

Ctrl-C: in the main thread every call runs on a helper thread, so that KeyboardInterrupt, or whatever a signal handler
raises, comes at once.  The interrupted call ends by itself as soon as it can (training after its step, a batch after
its group, anything else when it is done); until then the next call on the same Scorer, Localizer or Trainer waits, as
does the end of the program.
"""
from ._call import Error, blas_corename, blas_set_threads, blas_threads, load, version
from ._constants import *  # noqa: F403
from ._detector import Detector, NotFittedError
from ._image import Image, Pixels, encode_png, write_png
from ._inputs import images_in
from ._model import Model
from ._network import Extractor, Flow
from ._results import Box, Explanation, Score
from ._scoring import Calibrator, Localizer, Monitor, Scorer, overlay
from ._training import Trainer

__all__ = [
    "Box", "Calibrator", "Detector", "Error", "Explanation", "Extractor", "Flow", "Image", "Localizer", "Model",
    "Monitor", "NotFittedError", "Pixels", "Score", "Scorer", "Trainer", "blas_corename", "blas_set_threads",
    "blas_threads", "encode_png", "images_in", "load", "overlay", "version", "write_png",
]

for _name in __all__:  # where they are found, whatever module of the package they are defined in
    globals()[_name].__module__ = __name__
del _name
