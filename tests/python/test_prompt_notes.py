"""Every command says once, before it answers, that triattention's budget has no room for an answer
to this prompt."""

from __future__ import annotations

import json

from harness import DEMO, run_dms
from serving import serving

NOTE = "triattention: the prompt fills the budget"
PROMPT = "The rain fell on the roof all night, and in the morning the street was a river."
TIGHT = ("--policy", "triattention", "--policy-args", "budget=6")
ROOMY = ("--policy", "triattention", "--policy-args", "budget=6,count_prompt_tokens=false")


def notes(*args: object, stdin: str = "") -> int:
    done = run_dms(*args, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stderr.decode().count(NOTE)


def test_generate_and_score(tmp_path):
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(list(range(5, 25))))
    generate = ("generate", DEMO, "-p", PROMPT, "--max-new-tokens", 2)
    assert notes(*generate, *TIGHT) == 1
    assert notes(*generate, *TIGHT, "--json") == 1
    assert notes(*generate, *ROOMY) == 0
    score = ("score", DEMO, "--ids", ids)
    assert notes(*score, *TIGHT, "--decode-from", 10) == 1
    assert notes(*score, *TIGHT, "--decode-from", 5) == 0
    assert notes(*score, *TIGHT) == 0  # nothing is an answer


def test_chat():
    chat = ("chat", DEMO, "--template", "plain", "--max-new-tokens", 2)
    assert notes(*chat, *TIGHT, stdin=PROMPT + "\n") == 1
    assert notes(*chat, *ROOMY, stdin=PROMPT + "\n") == 0


def test_serve():
    with serving(*TIGHT) as server:
        body = {"prompt": PROMPT, "max_tokens": 2}
        for _ in range(2):
            usage = server.post("/v1/completions", body)["usage"]
            assert [note.startswith(NOTE) for note in usage["dms"]["notes"]] == [True]
        assert (
            "notes" not in server.post("/v1/completions", {**body, "prompt": "a"})["usage"]["dms"]
        )
        assert server.stop() == 0
        assert server.log().count(NOTE) == 1
