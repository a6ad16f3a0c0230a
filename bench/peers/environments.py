"""One pinned virtual environment for each peer, made when first needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
TORCH = "torch==2.13.0"  # first and alone: the other packages must not choose its build

# Each list is complete and installed without looking at dependencies. For OpenVINO this leaves out
# torchvision, which optimum-intel names but does not need for text, and which must fit torch's
# build to the letter to be importable at all.
PEER_NAMES = ["llamacpp", "transformers", "openvino"]
NEEDS_TORCH = ["transformers", "openvino", "kvpress"]

LLAMA_CPP_BUILD = {
    "CMAKE_ARGS": "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF",
    "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
}


def peers_folder() -> Path:
    """Where environments and model files lie: $DMS_PEERS_DIR, or .venv-peers in the checkout."""
    return Path(os.environ.get("DMS_PEERS_DIR", CHECKOUT / ".venv-peers")).resolve()


def python_of(name: str) -> Path:
    """The interpreter of the peer's environment, which is completed first if it is not."""
    folder = peers_folder() / name
    python = folder / "bin" / "python"
    wanted = (HERE / "requirements" / f"{name}.txt").read_text()
    done = folder / "installed.txt"
    if not done.exists() or done.read_text() != wanted:
        install(name, folder, python)
        done.write_text(wanted)
    return python


def install(name: str, folder: Path, python: Path) -> None:
    """Creates the environment and installs the pinned packages into it."""
    print(f"installing {name} in {folder}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet"]
    if name in NEEDS_TORCH:
        subprocess.run([*pip, TORCH], check=True)
    requirements = HERE / "requirements" / f"{name}.txt"
    subprocess.run(
        [*pip, "--no-deps", "--no-binary", "llama-cpp-python", "-r", requirements],
        check=True,
        env=os.environ | LLAMA_CPP_BUILD,
    )
