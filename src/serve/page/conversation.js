// A conversation as a tree: editing and asking again add branches, and nothing is lost.

import {withFiles} from './attachments.js';
import {optionsFrom} from './options.js';

/**
 * @typedef {{id: string, parent: string, role: 'user'|'assistant', content: string,
 *   reasoning: string, files: import('./attachments.js').TextFile[],
 *   cache?: import('./options.js').CacheChoice, group?: string, finish?: string, error?: string,
 *   usage?: object, memory?: import('./memory.js').Memory}} Message
 *   Assistants of one parent with the same `group` were asked together, to be compared.
 * @typedef {{id: string, title: string, updated: number, messages: Object<string, Message>,
 *   chosen: Object<string, string>, options: import('./options.js').Options & {changed: number}}} Conversation
 *   `chosen`: of each message's answers ('': of the beginnings) the one that is shown; `options`: how
 *   the next ones are made.
 */

let lastId = 0;
const newId = () => `${Date.now().toString(36)}-${(lastId++).toString(36)}-${
  Math.floor(Math.random() * 2 ** 32).toString(36)}`;

/** @param {import('./options.js').Options} options those it begins with @returns {Conversation} */
export function newConversation(options) {
  return {id: newId(), title: 'New conversation', updated: Date.now(), messages: {}, chosen: {},
    options: optionsFrom(options)};
}

export const newGroup = newId;

/** Adds a message as the branch that is shown. @returns {Message} */
export function addMessage(conversation, parent, fields) {
  const message = {id: newId(), parent, content: '', reasoning: '', files: [], ...fields};
  conversation.messages[message.id] = message;
  choose(conversation, message);
  if (conversation.title === 'New conversation' && message.role === 'user') {
    conversation.title = titleOf(message);
  }
  return message;
}

function titleOf(message) {
  const text = (message.content || message.files[0]?.name || '').replace(/\s+/g, ' ').trim();
  return text.length > 60 ? `${text.slice(0, 59)}…` : text || 'New conversation';
}

export function choose(conversation, message) {
  conversation.chosen[message.parent] = message.id;
  conversation.updated = Date.now();
}

export function childrenOf(conversation, parent) {
  return Object.values(conversation.messages).filter((message) => message.parent === parent);
}

/** Those that stand for one another, itself among them; of a comparison its first stands for all. */
export function branchesOf(conversation, message) {
  const seen = new Set();
  return childrenOf(conversation, message.parent).filter((child) => {
    if (!child.group) return true;
    if (seen.has(child.group)) return false;
    seen.add(child.group);
    return true;
  });
}

/** Which of branchesOf() it is, or its comparison. */
export function branchIndex(branches, message) {
  return branches.findIndex(
    (branch) => branch.id === message.id || (branch.group && branch.group === message.group));
}

/** What was asked together with it, itself included. */
export function comparedWith(conversation, message) {
  if (!message.group) return [message];
  return childrenOf(conversation, message.parent).filter((child) => child.group === message.group);
}

/** The messages that are shown, from the first on. @returns {Message[]} */
export function pathOf(conversation) {
  const path = [];
  const next = (parent) =>
    conversation.messages[conversation.chosen[parent]] ?? childrenOf(conversation, parent).at(-1);
  for (let message = next(''); message; message = next(message.id)) path.push(message);
  return path;
}

const hasEnded = (message) => Boolean(message.finish || message.error);

/**
 * What was added elsewhere (`kept`) becomes branches here; an answer that has ended there, too. Of
 * options those hold that were changed last.
 */
export function takeOthers(conversation, kept) {
  for (const [id, own] of Object.entries(conversation.messages)) {
    const other = kept.messages[id];
    if (other && hasEnded(other) && !hasEnded(own)) Object.assign(own, other);
  }
  conversation.messages = {...kept.messages, ...conversation.messages};
  conversation.chosen = {...kept.chosen, ...conversation.chosen};
  if (kept.options?.changed > conversation.options.changed) conversation.options = kept.options;
}

/** From the first message to this one. */
export function lineOf(conversation, message) {
  const line = [];
  for (let at = message; at; at = conversation.messages[at.parent]) line.unshift(at);
  return line;
}

/**
 * The body's "messages" for an answer to `message`. Answers that failed before their first word are
 * none; what was asked before and after one is asked as one, for templates want turns to alternate.
 */
export function asRequest(conversation, message, system) {
  const turns = [];
  for (const turn of lineOf(conversation, message)) {
    const content = turn.role === 'user' ? withFiles(turn) : turn.content;
    const last = turns.at(-1);
    if (turn.role === 'assistant' && !content) continue;
    if (last?.role === turn.role) last.content += `\n\n${content}`;
    else turns.push({role: turn.role, content});
  }
  return system.trim() ? [{role: 'system', content: system}, ...turns] : turns;
}
