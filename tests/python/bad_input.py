"""What every refused input has in common."""

from __future__ import annotations


def assert_error(done, *words: object, status: int = 2) -> str:
    """Exactly one error line, holding every word; nothing on standard output."""
    text = done.stderr.decode()
    assert done.returncode == status, f"status {done.returncode}, expected {status}: {text}"
    assert text.startswith("dms: error: "), text
    assert text.endswith("\n"), text
    assert text.count("\n") == 1, f"more than one line: {text}"
    assert len(text) < 1000, f"too long: {text}"
    for word in words:
        assert str(word) in text, f"does not say {word!r}: {text}"
    assert not done.stdout, f"printed {done.stdout!r} before: {text}"
    return text


def score_refused(dms, tmp_path, model, *words: object, status: int = 2) -> str:
    """Scoring three tokens with `model` is refused."""
    ids = tmp_path / "ids.json"
    ids.write_text("[1, 2, 3]")
    done = dms("score", model, "--ids", ids, "--dtype", "f32", check=False)
    return assert_error(done, *words, status=status)
