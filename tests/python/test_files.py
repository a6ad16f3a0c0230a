"""Files that go in and come out: ids as other commands print them, outputs whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bad_input import score_refused
from harness import DEMO, HANG_GUARD_S, binary, run_ok

MANY = 40_000


# in ----------------------------------------------------------------------------------------------


def test_what_tokenize_prints_is_read_as_ids(dms_json, tmp_path):
    printed = run_ok("tokenize", DEMO, "--json", stdin="It was a dark night")
    ids = json.loads(printed)["ids"]
    whole, bare = tmp_path / "whole.json", tmp_path / "bare.json"
    whole.write_text(printed)
    bare.write_text(json.dumps(ids))
    options = ("--dtype", "f32", "-n", 5)
    texts = {dms_json("generate", DEMO, "--ids", path, *options)["text"] for path in (whole, bare)}
    assert len(texts) == 1
    text = run_ok("tokenize", DEMO, "--decode", "--no-special", stdin=printed)
    assert text.rstrip() == "It was a dark night"


def test_numbers_that_only_python_writes_do_not_keep_a_model_from_loading(dms, folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config["time_step_limit"] = [0.0, float("inf")]
    config["unused"] = {"a": float("nan"), "b": -float("inf"), "c": "NaN"}
    (folder / "config.json").write_text(json.dumps(config))
    ids = tmp_path / "ids.json"
    ids.write_text("[1, 2, 3]")
    dms("score", folder, "--ids", ids, "--dtype", "f32")


@pytest.mark.parametrize("value", [float("inf"), float("nan")], ids=str)
def test_such_a_number_in_a_field_that_matters_is_named(dms, folder, tmp_path, value):
    config = json.loads((folder / "config.json").read_text())
    config["rms_norm_eps"] = value
    (folder / "config.json").write_text(json.dumps(config))
    spelled = json.dumps(value)
    text = score_refused(dms, tmp_path, folder, "config.json: rms_norm_eps", f"got {spelled}")
    assert "e-308" not in text


def test_a_header_of_many_tensors_is_read(dms, folder, tmp_path):
    """A parser that looks through its siblings for each value takes half a minute or hours."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    for i in range(MANY):
        header[f"x.{i}"] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    ids = tmp_path / "ids.json"
    ids.write_text("[1, 2, 3]")
    dms("score", folder, "--ids", ids, "--dtype", "f32")


def test_a_configuration_of_many_keys_is_read(dms, folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(i): [] for i in range(MANY)}
    (folder / "config.json").write_text(json.dumps(config))
    ids = tmp_path / "ids.json"
    ids.write_text("[1, 2, 3]")
    dms("score", folder, "--ids", ids, "--dtype", "f32")


def test_malformed_json_is_told_by_its_place_without_codes(dms, folder, tmp_path):
    (folder / "config.json").write_text('{\n "a": 1,\n "b": oops\n}')
    text = score_refused(dms, tmp_path, folder, "config.json: line 3, column 7: malformed JSON")
    assert "json.exception" not in text
    assert "got ' \"b\": o'" in text


# out ---------------------------------------------------------------------------------------------


def open_files(process: subprocess.Popen) -> set[str]:
    """Where the process's descriptors lead; of a nameless file, its folder and \"(deleted)\"."""
    links = Path(f"/proc/{process.pid}/fd").iterdir()
    try:
        return {os.readlink(link) for link in links}
    except OSError:
        return set()  # one was closed meanwhile


def has_nameless_files(folder: Path) -> bool:
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_nothing_of_its_output(tmp_path, number):
    """Caught while its output is open: the ids are those of a long text."""
    out = tmp_path / "out"
    out.mkdir()
    if not has_nameless_files(out):
        pytest.skip("this file system has no nameless files")
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps([1 + i % 500 for i in range(4000)]))
    logits = out / "logits.npy"
    logits.write_text("old")
    command = [binary(), "score", DEMO, "--ids", ids, "--dtype", "f32", "--logits", logits]

    def heed_signals():
        signal.signal(number, signal.SIG_DFL)  # a shell's background jobs ignore Ctrl-C

    give_up = time.monotonic() + HANG_GUARD_S
    while True:
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=heed_signals if number != signal.SIGKILL else None,
        )
        while process.poll() is None:
            if any(link.startswith(f"{out}/") for link in open_files(process)):
                process.send_signal(number)
                break
        if process.wait(timeout=HANG_GUARD_S) != 0:
            break
        logits.write_text("old")  # it was faster than we were
        assert time.monotonic() < give_up, "could not be caught while it writes"
    assert [path.name for path in out.iterdir()] == ["logits.npy"]
    assert logits.read_text() == "old"
