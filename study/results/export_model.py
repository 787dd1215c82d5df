"""Export a study's champion as a folder that predicts where mlp-study isn't installed."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from study.data.encoding import DATE, NUMBER, TableColumn
from study.errors import BadInput, Fault, writing
from study.results import champion
from study.results.exported import METADATA, MODEL
from study.tracking import champion as logged
from study.tracking import predicting
from study.tracking.predicting import Predictor

PREDICT, README, REQUIREMENTS, CODE = "predict.py", "README.md", "requirements.txt", "code"
ONNX_MODEL = "model.onnx"
# another name than that of the code in MLflow's model, which the same process may load
PACKAGE = f"mlp_study_model_{logged.VERSION}"
MODULES = ("engine/quiet.py", "results/exported.py")
SCRIPT = '''"""Predict with this folder's model: python predict.py FILE.csv [OUTPUT.csv], or `load()` in Python. See README.md."""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER / "{code}"))

from {package}.results import exported  # noqa: E402


def load():
    """Return the model, whose `predict` takes a pandas table."""
    return exported.ExportedModel(FOLDER)


if __name__ == "__main__":
    sys.exit(exported.main(FOLDER))
'''


def export(study: str, uri: str, folder: Path, *, force: bool, onnx: bool) -> None:
    """Write the folder, whole or not at all. force: replaces a folder that this function made. onnx: adds ONNX_MODEL.

    Raises BadInput for a study without a champion, for a path that exists and for a missing tf2onnx, NotWritable, and as
    `champion.load` does.
    """
    if onnx and find_spec("tf2onnx") is None:
        raise BadInput([Fault("--onnx", "no package tf2onnx", "the extra onnx: pip install -c constraints.txt -e '.[onnx]'")])
    if folder.exists() and not (force and (folder / METADATA).is_file()):
        valid = "a new folder, or with --force one that this command wrote"
        raise BadInput([Fault("--model", str(folder), valid)])
    with champion.opened(study, uri) as (model, metadata), writing(folder):
        from study.engine import saved_model

        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            made = Predictor.of(metadata, predicting.networks(model))
            saved_model.save(model, made.columns, made.names, draft / MODEL, classes=made.classifies, threshold=made.threshold)
            if onnx:
                saved_model.save_onnx(draft / MODEL, draft / ONNX_MODEL)
            (draft / METADATA).write_text(json.dumps(metadata, ensure_ascii=False, indent=1), "utf-8")
            logged.save_code(draft / CODE / PACKAGE, (*logged.CODE, *MODULES))
            (draft / PREDICT).write_text(SCRIPT.format(code=CODE, package=PACKAGE), "utf-8")
            (draft / REQUIREMENTS).write_text("".join(f"{name}=={version(name)}\n" for name in logged.PACKAGES), "utf-8")
            (draft / README).write_text(_readme(made, metadata, onnx=onnx), "utf-8")
            draft.chmod(0o755)
            if folder.exists():
                shutil.rmtree(folder)
            draft.replace(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _readme(made: Predictor, metadata: Mapping[str, Any], *, onnx: bool) -> str:
    from study.engine.saved_model import tensor_names

    gives = list(predicting.types(made.names, classes=made.classifies))
    takes, tensors = tensor_names([column.name for column in made.columns]), tensor_names(gives)
    return "\n".join(
        [
            f"# A model of study {metadata['study']}",
            "",
            f"The mean of the {len(metadata['members'])} networks of trial {metadata['trial']}. It needs TensorFlow, NumPy",
            "and pandas (`requirements.txt` has the versions that made it), and not mlp-study.",
            "",
            "```console",
            f"$ python {PREDICT} rows.csv predictions.csv --keep id --interval 0.9",
            "```",
            "",
            "```python",
            "import predict",
            "",
            "model = predict.load()",
            "model.predict(frame)  # a pandas table with the columns below, as they come",
            "```",
            "",
            f"`{MODEL}` is a TensorFlow SavedModel for TensorFlow Serving and other languages. Its signature",
            "`serving_default` takes one tensor per column, [n], of the type below: a missing number is NaN, a missing text",
            "empty, a date in ISO's notation (2024-05-31 or 2024-05-31T12:30:00) and a truth value True or False. It warns of",
            "nothing that training hadn't seen.",
            "",
            "| column | is | tensor | type |",
            "| --- | --- | --- | --- |",
            *(f"| {_cell(column.name)} | {_kind(column)} | `{takes[column.name]}` | {_type(column)} |" for column in made.columns),
            "",
            "| prediction | tensor |",
            "| --- | --- |",
            *(f"| {_cell(name)} | `{tensors[name]}` |" for name in gives),
            "",
            *(_onnx(metadata) if onnx else ()),
        ]
    )


def _onnx(metadata: Mapping[str, Any]) -> list[str]:
    inputs, members = len(metadata["inputs"]), len(metadata["members"])
    return [
        f"`{ONNX_MODEL}` takes `x`, double [n, {inputs}], which `predict.load().predictor.encoded` makes of the columns, and",
        f"gives each network's prediction, [n, {members}, {len(metadata['outputs'])}].",
        "",
    ]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _kind(column: TableColumn) -> str:
    return {NUMBER: "a number", DATE: "a date"}.get(column.role, f"one of {len(column.levels)} levels")


def _type(column: TableColumn) -> str:
    return "double" if column.role == NUMBER else "string"
