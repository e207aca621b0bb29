#!/usr/bin/env python3
"""Executes docs/python.ipynb with the package of the source tree.  usage: test_notebook.py SOURCE LIBRARY"""
import json
import os
import sys
import tempfile
from pathlib import Path

try:
    import ipykernel  # noqa: F401
    import nbclient
    import nbformat
    import numpy  # noqa: F401
    import pandas  # noqa: F401
except ImportError as error:
    print(f"{error}: the notebook is not executed")
    sys.exit(77)


def main():
    source, library = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    path = source / "docs/python.ipynb"
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs") and not cell.get("execution_count"), "the notebook is kept without outputs"
    os.environ.update(PYTHONPATH=str(source / "bindings/python"), LD_LIBRARY_PATH=str(library.parent))
    with tempfile.TemporaryDirectory() as folder:
        # What a user's own kernels and settings are does not matter, nor is anything written to them.
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            os.environ[name] = os.path.join(folder, name)
        notebook = nbformat.read(path, as_version=4)
        nbclient.NotebookClient(notebook, timeout=500, kernel_name="python3",
                                resources={"metadata": {"path": folder}}).execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = [output["data"] for output in outputs if output.output_type == "execute_result"]
    texts = "\n".join(data["text/plain"] for data in printed)
    assert "array([-1,  1,  1, -1,  1,  1])" in texts, texts  # the scratched ones are found, the others are not
    assert texts.rstrip().endswith("True"), texts
    shown = [data["text/html"] for data in printed if "text/html" in data]
    assert any("data:image/png;base64," in text for text in shown), "no picture of the explanation"
    errors = [output for output in outputs if output.output_type in ("error", "stream")]
    assert not errors, errors
    print(f"{len(printed)} results")


if __name__ == "__main__":
    main()
