// Answers on their way.

import {streamChat} from './api.js';
import {asRequest} from './conversation.js';
import {samplingRequest} from './controls.js';
import {addReport, newMemory} from './memory.js';
import {cacheRequest} from './policies.js';

export class Answers {
  #running = new Map();  // by message id

  isRunning(message) {
    return this.#running.has(message.id);
  }

  isRunningIn(conversation) {
    return Object.values(conversation.messages).some((message) => this.isRunning(message));
  }

  stop(conversation) {
    for (const id of Object.keys(conversation.messages)) this.#running.get(id)?.abort();
  }

  /**
   * Fills in `message`, an answer to its parent. Never throws: what goes wrong is its `error`.
   * @param {() => void} onChange
   */
  async fill(conversation, message, onChange) {
    const abort = new AbortController();
    this.#running.set(message.id, abort);
    onChange();
    try {
      const {system, sampling} = conversation.options;
      const body = {
        messages: asRequest(conversation, conversation.messages[message.parent], system),
        ...samplingRequest(sampling),
        dms: cacheRequest(message.cache),
      };
      for await (const chunk of streamChat(body, abort.signal)) {
        takeChunk(message, chunk);
        onChange();
      }
    } catch (error) {
      if (error.name === 'AbortError') message.finish = 'stopped';
      else message.error = error.message;
    } finally {
      this.#running.delete(message.id);
      onChange();
    }
  }
}

function takeChunk(message, chunk) {
  if (chunk.usage) message.usage = chunk.usage;
  const choice = chunk.choices[0];
  if (!choice) return;
  message.content += choice.delta.content ?? '';
  message.reasoning += choice.delta.reasoning_content ?? '';
  if (choice.finish_reason) message.finish = choice.finish_reason;
  if (choice.dms) addReport((message.memory ??= newMemory()), choice.dms);
}
