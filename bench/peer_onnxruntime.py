"""ONNX Runtime as a peer of bench/run."""
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime

from onnx_export import features_path, flow_path


def session(path, threads):
    """Its threads spin while a run lasts, as they do by default, and sleep between runs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Engine:
    def __init__(self, bundle, threads, _):
        self.version, self.bundle, self.threads = onnxruntime.__version__, bundle, threads
        self.pool = ThreadPoolExecutor(threads)

    def _within(self, path, name, chunks):
        """All threads share each run."""
        made = []

        def run():
            if not made:
                made.append(session(path, self.threads))
            return np.concatenate([made[0].run(None, {name: chunk})[0] for chunk in chunks])
        return run

    def _beside(self, path, name, chunks):
        """Each thread makes runs of its own."""
        made = []

        def run():
            if not made:
                made.append(session(path, 1))
            return np.concatenate(list(self.pool.map(lambda chunk: made[0].run(None, {name: chunk})[0], chunks)))
        return run

    def feature_ways(self, views, batches):
        for batch in batches:
            path = features_path(self.bundle, batch)
            chunks = [views[i:i + batch] for i in range(0, len(views), batch)]
            yield f"batch {batch}", self._within(path, "views", chunks)
            if 1 < self.threads <= len(chunks):
                yield f"batch {batch}, {self.threads} runs at once", self._beside(path, "views", chunks)

    def flow_ways(self, rows):
        whole = session(flow_path(self.bundle, rows), self.threads)
        yield f"batch {rows}", lambda x: whole.run(None, {"features": x})[0]
