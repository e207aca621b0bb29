"""OpenVINO as a peer of bench/run."""
import numpy as np
import openvino

from onnx_export import features_path, flow_path


class Engine:
    def __init__(self, bundle, threads, _):
        self.version, self.core = openvino.__version__.split("-")[0], openvino.Core()
        self.bundle, self.threads = bundle, threads

    def _compile(self, path, hint, streams):
        """float32, as everything else here computes: it would take bfloat16 where the processor is fast at it."""
        return self.core.compile_model(self.core.read_model(path), "CPU", {
            "INFERENCE_NUM_THREADS": self.threads, "PERFORMANCE_HINT": hint, "NUM_STREAMS": streams,
            "INFERENCE_PRECISION_HINT": "f32"})

    def _within(self, path, chunks):
        """All threads share each inference."""
        made = []

        def run():
            if not made:
                made.append(self._compile(path, "LATENCY", 1).create_infer_request())
            # The result is overwritten by the next inference.
            return np.concatenate([made[0].infer([chunk], share_inputs=True)[0].copy() for chunk in chunks])
        return run

    def _beside(self, path, chunks):
        """As many streams as threads, as OpenVINO's throughput mode does."""
        made, results = [], [None] * len(chunks)

        def keep(request, index):
            results[index] = request.get_output_tensor(0).data.copy()

        def run():
            if not made:
                made.append(openvino.AsyncInferQueue(self._compile(path, "THROUGHPUT", self.threads), self.threads))
                made[0].set_callback(keep)
            for index, chunk in enumerate(chunks):
                made[0].start_async([chunk], index, share_inputs=True)
            made[0].wait_all()
            return np.concatenate(results)
        return run

    def feature_ways(self, views, batches):
        for batch in batches:
            path = features_path(self.bundle, batch)
            chunks = [views[i:i + batch] for i in range(0, len(views), batch)]
            yield f"batch {batch}", self._within(path, chunks)
            if 1 < self.threads <= len(chunks):
                yield f"batch {batch}, {self.threads} streams", self._beside(path, chunks)

    def flow_ways(self, rows):
        request = self._compile(flow_path(self.bundle, rows), "LATENCY", 1).create_infer_request()
        yield f"batch {rows}", lambda x: request.infer([x], share_inputs=True)[0].copy()
