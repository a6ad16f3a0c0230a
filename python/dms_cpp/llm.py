"""A model in memory."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dms_cpp import _core
from dms_cpp.chat import Message, core_messages, is_conversation, is_list_of_messages, render
from dms_cpp.document import Document
from dms_cpp.errors import RunError
from dms_cpp.options import CacheOptions, byte_count, dtype_name
from dms_cpp.outputs import RequestOutput, Score
from dms_cpp.pending import Job, Pending
from dms_cpp.prompts import Prompt, TokenIds, as_ids, as_text, read_prompt, split_prompts
from dms_cpp.sampling import SamplingParams
from dms_cpp.session import Session
from dms_cpp.stream import Stream

_GIB = 1 << 30


class LLM:
    """The model of a Hugging Face folder or a GGUF file, and the engine that serves it.

    Any thread may call any function. Calls of several threads share the engine's passes: each
    answer is the same as alone.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        dtype: str = "auto",
        weights: str = "auto",
        threads: int | None = None,
        chunk_tokens: int = 256,
        max_num_seqs: int = 64,
        max_num_batched_tokens: int = 512,
        kv_memory: int | str | None = None,
        kv_cache_dtype: str = "auto",
        enable_prefix_caching: bool | None = None,
        swap_space: float | str = 0,
        swap_folder: str | os.PathLike[str] | None = None,
        policy: str | None = None,
        policy_args: Mapping[str, object] | None = None,
        window: int | None = None,
        adapter: str | os.PathLike[str] | None = None,
        draft: str | os.PathLike[str] | None = None,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        """Opens a folder and reads its weights.

        Args:
            model: The folder.
            dtype: Of activations and of the window: "bfloat16" ("auto") or "float32".
            weights: Storage of linear layers: "bf16", "f32", "int8", "int4"; "auto": dtype.
            threads: None: one for each core this process may use.
            chunk_tokens: A prompt is computed in pieces of so many tokens.
            max_num_seqs: Answers computed side by side; other requests wait.
            max_num_batched_tokens: Prompt tokens of one pass together.
            kv_memory: The most all caches may take together, in bytes or as "1GiB". None: no limit.
            kv_cache_dtype: Storage of what survives the window; "auto": dtype.
            enable_prefix_caching: Prompts start from what earlier ones with the same beginning
                computed. None: where kv_memory is set.
            swap_space: Where memory runs out, requests wait with their cache written here: GiB, or
                a text like "512MiB".
            swap_folder: Where; None: in memory.
            policy, policy_args, window: Of all caches that are not asked for otherwise, see
                CacheOptions.
            adapter: A trained eviction adapter's folder, applied to a plain model.
            draft: The folder of a smaller model with the same tokens, which guesses ahead where
                SamplingParams.speculate says so.
            device: What computes: "cpu", or "cuda" in builds that have it.
            seed: Where seeds are drawn from for requests without one.
        """
        options = _core.ModelOptions()
        options.dtype = dtype_name(dtype) or options.dtype
        options.weights = dtype_name(weights)
        options.device = device
        options.threads = threads or 0
        options.chunk_tokens = chunk_tokens
        options.max_step_tokens = max_num_batched_tokens
        options.max_sequences = max_num_seqs
        options.kv_memory_bytes = 0 if kv_memory is None else byte_count("kv_memory", kv_memory)
        has_prefix_cache = enable_prefix_caching
        options.prefix_cache = bool(kv_memory) if has_prefix_cache is None else has_prefix_cache
        swap = swap_space if isinstance(swap_space, str) else int(swap_space * _GIB)
        options.swap_bytes = byte_count("swap_space", swap)
        if swap_folder is not None:
            options.swap_folder = swap_folder
        if adapter is not None:
            options.adapter = adapter
        if draft is not None:
            options.draft = draft
        self.model = model
        self.cache = CacheOptions(policy, policy_args or {}, window, kv_cache_dtype)
        self._engine = _core.Engine(model, options, self.cache.to_core())
        self._max_num_seqs = max_num_seqs
        self._seeds = random.Random(seed)
        self._tokenizer = self._engine.tokenizer() if self._engine.has_tokenizer else None
        self._chat_template: _core.ChatTemplate | None = None

    @property
    def info(self) -> _core.ModelInfo:
        """The model's shape."""
        return self._engine.info

    @property
    def tokenizer(self) -> _core.Tokenizer:
        """Raises InputError where the folder has none."""
        return self._tokenizer or self._engine.tokenizer()

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text."""
        return self.tokenizer.encode(as_text(text, "text"), add_special_tokens)

    def decode(self, token_ids: TokenIds, skip_special_tokens: bool = True) -> str:
        """The text of token ids."""
        return self.tokenizer.decode(as_ids(token_ids, "token_ids").tolist(), skip_special_tokens)

    def get_default_sampling_params(self) -> SamplingParams:
        """Those that the folder's generation_config.json recommends, where it wants sampling."""
        said = self.info.sampling
        if said.temperature == 0:
            return SamplingParams()
        return SamplingParams(
            temperature=said.temperature,
            top_p=said.top_p,
            top_k=said.top_k,
            min_p=said.min_p,
            repetition_penalty=said.repetition_penalty,
        )

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        document: Document | str | os.PathLike[str] | None = None,
        cache: CacheOptions | None = None,
        priority: int = 0,
        timeout: float | None = None,
    ) -> list[RequestOutput]:
        """Continues prompts, all of them together; the outputs are in their order.

        Args:
            prompts: A text, token ids, or a list of such.
            sampling_params: For all prompts, or one for each. None: get_default_sampling_params().
            document: What stands before each prompt, made of one by document(); or its file.
            cache: How their caches are kept; None: as the LLM says, or the document's.
            priority: The lower, the earlier a request is served, as in vLLM.
            timeout: Seconds, after which what has not ended ends as "deadline".

        Raises:
            InputError: A prompt or a parameter is bad; nothing was computed.
            RunError: An answer failed, at the memory limit.
        """
        held = self._held(document, cache, is_chat=False)
        return self._generate(prompts, sampling_params, held, cache, priority, timeout)

    def _generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None,
        document: Document | None,
        cache: CacheOptions | None,
        priority: int,
        timeout: float | None,
    ) -> list[RequestOutput]:
        several = split_prompts(prompts)
        params = self._params_for(several, sampling_params)
        pending: list[Pending] = []
        try:
            for prompt, chosen in zip(several, params, strict=True):
                job = self._job(prompt, chosen, cache, priority, timeout, document=document)
                pending.append(self._submit(job, _core.Delivery.WHOLE))
            return [request.output() for request in pending]
        finally:
            for request in pending:
                request.core.cancel()
            for request in pending:
                request.core.close()

    def chat(
        self,
        messages: Sequence[Message] | Sequence[Sequence[Message]],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        chat_template: str | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        document: Document | str | os.PathLike[str] | None = None,
        cache: CacheOptions | None = None,
        priority: int = 0,
        timeout: float | None = None,
    ) -> list[RequestOutput]:
        """Answers a conversation, or each of a list of conversations.

        Args:
            messages: As in OpenAI's API: [{"role": "user", "content": "Hello"}].
            chat_template: A Jinja text; None: the folder's.
            chat_template_kwargs: For the template: {"enable_thinking": False}.
            add_generation_prompt: The assistant speaks next.
            continue_final_message: The last message is continued; without add_generation_prompt.
            tools: Descriptions, passed to the template.
            document: Whose messages stand before these, which begin with a user's; or its file.

        The rest is as for generate().
        """
        held = self._held(document, cache, is_chat=True)
        single = is_conversation(messages)
        conversations = [messages] if single else messages
        prompts = [
            self._render_after(
                held,
                conversation,  # type: ignore[arg-type]
                chat_template=chat_template,
                chat_template_kwargs=chat_template_kwargs,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                tools=tools,
            )
            for conversation in conversations
        ]
        return self._generate(prompts, sampling_params, held, cache, priority, timeout)

    def render_chat(
        self,
        messages: Sequence[Message],
        *,
        chat_template: str | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> dict[str, object]:
        """A conversation as the prompt {"prompt": text, "prompt_token_ids": ids}."""
        text = render(
            self._template(chat_template),
            messages,
            tools=tools,
            chat_template_kwargs=chat_template_kwargs,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
        )
        return {"prompt": text, "prompt_token_ids": self.tokenizer.encode(text, False)}

    def stream(
        self,
        prompt: Prompt,
        sampling_params: SamplingParams | None = None,
        *,
        document: Document | str | os.PathLike[str] | None = None,
        cache: CacheOptions | None = None,
        priority: int = 0,
        timeout: float | None = None,
    ) -> Stream:
        """Continues a prompt piece by piece.

        >>> for piece in llm.stream("It was a dark night"):
        ...     print(piece.text, end="", flush=True)
        """
        params = sampling_params or self.get_default_sampling_params()
        held = self._held(document, cache, is_chat=False)
        job = self._job(prompt, params, cache, priority, timeout, document=held)
        return Stream(self._submit(job, _core.Delivery.STREAM))

    def score(
        self, prompt: Prompt, *, logits: bool = False, cache: CacheOptions | None = None
    ) -> Score:
        """How likely the model finds a text, every token predicted through the cache.

        Args:
            prompt: At least two tokens, at most the model's context.
            logits: Give those after each token too, float32 [tokens, vocab].
        """
        return self.session(cache=cache).score(prompt, logits=logits)

    def document(
        self,
        prompt: Prompt | Sequence[Message],
        *,
        chat_template: str | None = None,
        cache: CacheOptions | None = None,
    ) -> Document:
        """Computes and compresses once what many prompts or conversations begin with.

        Args:
            prompt: A text, token ids, or messages, which conversations are to begin with.
            chat_template: For messages, a Jinja text; None: the folder's.
            cache: How its cache is kept, also by policies that rank a whole prompt; None: as the
                LLM says.

        Raises:
            InputError: The chat template does not write the messages first, whatever comes after.
            RunError: The memory limit.
        """
        job, messages = self._document_job(prompt, chat_template, cache)
        pending = self._submit(job, _core.Delivery.WHOLE)
        try:
            return self._document_of(pending, messages)
        finally:
            pending.core.close()

    def load_document(self, file: str | os.PathLike[str]) -> Document:
        """A document that Document.save(), `dms document` or a server has written. Its memory is
        the file's, mapped: replace the file, and never change it in place."""
        return Document(self, self._engine.load_document(file))

    def session(
        self, *, document: Document | None = None, cache: CacheOptions | None = None
    ) -> Session:
        """A new conversation over one cache, or one that has read the document."""
        if document is not None:
            self._check_document(document, cache)
            return Session(self, self._engine.session_after(document._core))
        return Session(self, self._engine.new_session((cache or self.cache).to_core()))

    def load_session(self, file: str | os.PathLike[str]) -> Session:
        """A conversation that Session.save() wrote, to go on as if never interrupted."""
        return Session(self, self._engine.load_session(file))

    def stats(self) -> _core.EngineStats:
        """What the engine is at, and what it has done so far."""
        return self._engine.stats()

    def _params_for(
        self,
        prompts: Sequence[Prompt],
        params: SamplingParams | Sequence[SamplingParams] | None,
    ) -> Sequence[SamplingParams]:
        if params is None:
            params = self.get_default_sampling_params()
        if isinstance(params, SamplingParams):
            return [params] * len(prompts)
        if len(params) != len(prompts):
            _core.throw_input_error(
                "sampling_params", "not one for each prompt", str(len(params)), str(len(prompts))
            )
        return params

    def _job(
        self,
        prompt: Prompt,
        params: SamplingParams,
        cache: CacheOptions | None,
        priority: int,
        timeout: float | None,
        used_tokens: int = 0,
        document: Document | None = None,
    ) -> Job:
        """A request, ready to be submitted; a form may take seconds to compile."""
        is_first = document is None
        text, ids = read_prompt(prompt, lambda text: self.tokenizer.encode(text, is_first))
        if document is not None:
            if params.prompt_logprobs is not None:
                _core.throw_input_error("document", "has no log-probabilities of the prompt")
            ids = np.concatenate([document.token_ids, ids])
            cache = document.cache
        context_left = self.info.context - used_tokens - len(ids)
        sampling = params.to_core(context_left, self._seeds.getrandbits(63))
        self._engine.compile(sampling)
        return Job(text, ids, params, sampling, cache or self.cache, priority, timeout, document)

    def _document_job(
        self,
        prompt: Prompt | Sequence[Message],
        chat_template: str | None,
        cache: CacheOptions | None,
    ) -> tuple[Job, list[_core.ChatMessage]]:
        """A request whose prompt becomes a document, and the messages that it stands for."""
        messages: list[_core.ChatMessage] = []
        if is_list_of_messages(prompt):
            messages = core_messages(prompt)
            ids = _core.document_ids(self._template(chat_template), self.tokenizer, messages)
        else:
            encode = self.tokenizer.encode
            ids = read_prompt(prompt, lambda text: encode(text, True))[1]  # type: ignore[arg-type]
        sampling = _core.Sampling()
        sampling.max_new_tokens = 0
        job = Job(None, ids, SamplingParams(), sampling, cache or self.cache, 0, None)
        return replace(job, keeps_document=True), messages

    def _document_of(self, pending: Pending, messages: list[_core.ChatMessage]) -> Document:
        """What came of it; blocks until it has ended."""
        (generation,) = pending.core.wait()
        if generation.finish_reason == "error":
            raise RunError(generation.error)
        return Document(self, _core.Document(generation, messages))

    def _held(
        self,
        document: Document | str | os.PathLike[str] | None,
        cache: CacheOptions | None,
        is_chat: bool,
    ) -> Document | None:
        """The document that a request names, if it may."""
        if document is None:
            return None
        held = document if isinstance(document, Document) else self.load_document(document)
        self._check_document(held, cache)
        if bool(held.messages) != is_chat:
            made_of = "a prompt: ask it by generate()" if is_chat else "messages: ask it by chat()"
            _core.throw_input_error("document", f"was made of {made_of}")
        return held

    def _check_document(self, document: Document, cache: CacheOptions | None) -> None:
        if document._llm is not self:
            _core.throw_input_error("document", "is of another LLM")
        if cache is not None:
            _core.throw_input_error("cache", "cannot go with a document, which has its own")

    def _render_after(
        self, document: Document | None, messages: Sequence[Message], **template: Any
    ) -> dict[str, object]:
        """As render_chat(), of what comes after the document's tokens."""
        if document is None:
            return self.render_chat(messages, **template)
        prompt = self.render_chat([*document.messages, *messages], **template)
        ids = as_ids(prompt["prompt_token_ids"])  # type: ignore[arg-type]
        document._core.require_beginning(ids)
        return {**prompt, "prompt_token_ids": ids[len(document) :]}

    def _submit(self, job: Job, delivery: _core.Delivery) -> Pending:
        core = self._engine.submit(
            job.ids,
            job.sampling,
            job.cache.to_core(),
            job.params.n,
            -job.priority,
            job.timeout,
            delivery,
            job.document._core if job.document else None,
            job.keeps_document,
        )
        return Pending(job, core, self._spell)

    def _spell(self, token_id: int) -> str | None:
        token = self._tokenizer.token(token_id) if self._tokenizer else None
        return token.bytes.decode(errors="replace") if token else None

    def _template(self, source: str | None) -> _core.ChatTemplate:
        if source is not None:
            return _core.ChatTemplate(source, "chat_template", self.model)
        if self._chat_template is None:
            self._chat_template = _core.ChatTemplate.load(self.model)
        if self._chat_template is None:
            _core.throw_input_error(
                "chat_template", "the folder has none", expected="one, or the argument"
            )
        return self._chat_template
