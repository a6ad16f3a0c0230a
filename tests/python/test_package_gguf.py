"""The Python package opens a GGUF file wherever it opens a folder."""

from __future__ import annotations

from test_gguf import write_talker


def test_the_library_opens_it(dms_cpp, tmp_path):
    llm = dms_cpp.LLM(write_talker(tmp_path), dtype="float32")
    assert llm.info.stored[0].name == "Q4_0"
    assert llm.info.stored[0].tensors == 2 * 7 + 2
    assert llm.encode("Hello there")[0] == 1
    rendered = llm.render_chat([{"role": "user", "content": "Hi"}])
    assert rendered["prompt"].startswith("<|im_start|>user\nHi<|im_end|>")
    params = dms_cpp.SamplingParams(temperature=0, max_tokens=4)
    assert llm.generate("Hello there", params)[0].outputs[0].token_ids
