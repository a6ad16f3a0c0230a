// Conversations, kept in this browser (IndexedDB). Where it refuses, as some private windows do,
// they last as long as the page.

import {takeOthers} from './conversation.js';
import {optionsFrom} from './options.js';

/** @typedef {import('./conversation.js').Conversation} Conversation */

const NAME = 'dms';
const TABLE = 'conversations';

const finished = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function openDatabase() {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(TABLE, {keyPath: 'id'});
  return finished(request);
}

export class Store {
  #database = null;
  /** @type {Map<string, Conversation>} */
  #conversations = new Map();

  /**
   * @param {import('./options.js').Options} options of the conversations that have none: all had the
   *   same once
   * @returns {Promise<boolean>} whether what is kept outlasts the page
   */
  async open(options) {
    try {
      this.#database = await openDatabase();
      const table = this.#table('readwrite');
      for (const kept of await finished(table.getAll())) {
        this.#conversations.set(kept.id, kept);
        if (kept.options) continue;
        kept.options = optionsFrom(options);
        table.put(kept);
      }
      return true;
    } catch {
      this.#database = null;
      return false;
    }
  }

  /** The latest first. */
  all() {
    return [...this.#conversations.values()].sort((a, b) => b.updated - a.updated);
  }

  get(id) {
    return this.#conversations.get(id);
  }

  /** What another tab has kept of it meanwhile comes into `conversation`. */
  async save(conversation) {
    this.#conversations.set(conversation.id, conversation);
    if (!this.#database) return;
    const table = this.#table('readwrite');
    const kept = await finished(table.get(conversation.id));
    if (kept) takeOthers(conversation, kept);
    await finished(table.put(conversation));
  }

  async remove(id) {
    this.#conversations.delete(id);
    if (this.#database) await finished(this.#table('readwrite').delete(id));
  }

  #table(mode) {
    return this.#database.transaction(TABLE, mode).objectStore(TABLE);
  }
}
