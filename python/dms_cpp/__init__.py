"""Large language models over a KV cache that holds only what the model decided to remember.

>>> from dms_cpp import LLM, SamplingParams
>>> llm = LLM("models/demo")
>>> print(llm.generate("It was a dark night", SamplingParams(max_tokens=40))[0].outputs[0].text)

Names and defaults are vLLM's where they mean the same. All of it may be used by several threads.
"""

from dms_cpp._core import (
    DmsInfo,
    EngineStats,
    KvStats,
    KvzapInfo,
    ModelInfo,
    StoredType,
    Timings,
    TokenInfo,
    Tokenizer,
)
from dms_cpp.async_llm import AsyncLLM, AsyncStream
from dms_cpp.document import Document
from dms_cpp.errors import Error, InputError, RunError
from dms_cpp.http_api import HttpApi, HttpReply
from dms_cpp.llm import LLM
from dms_cpp.options import CacheOptions
from dms_cpp.outputs import CompletionOutput, Logprob, RequestOutput, Score
from dms_cpp.prompts import Prompt
from dms_cpp.sampling import SamplingParams
from dms_cpp.session import Session
from dms_cpp.stream import Stream
from dms_cpp.structured_outputs import StructuredOutputsParams

__all__ = [
    "LLM",
    "AsyncLLM",
    "AsyncStream",
    "CacheOptions",
    "CompletionOutput",
    "DmsInfo",
    "Document",
    "EngineStats",
    "Error",
    "HttpApi",
    "HttpReply",
    "InputError",
    "KvStats",
    "KvzapInfo",
    "Logprob",
    "ModelInfo",
    "Prompt",
    "RequestOutput",
    "RunError",
    "SamplingParams",
    "Score",
    "Session",
    "StoredType",
    "Stream",
    "StructuredOutputsParams",
    "Timings",
    "TokenInfo",
    "Tokenizer",
]
