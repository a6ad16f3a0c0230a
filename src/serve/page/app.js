// The page as a whole: what it knows, and what happens when something is pressed.

import {announce} from './announcer.js';
import {Answers} from './answers.js';
import {readInfo, setKeyQuestion} from './api.js';
import {Composer} from './composer.js';
import {
  addMessage, branchesOf, choose, comparedWith, newConversation, newGroup, pathOf,
} from './conversation.js';
import {askForApiKey, askToDelete, openSettings} from './dialogs.js';
import {byId, h, oncePerFrame, setAttributes} from './dom.js';
import {icon} from './icons.js';
import {MemoryPanel} from './memory_panel.js';
import {NextTurn} from './next_turn.js';
import {optionsFrom} from './options.js';
import {cacheLabel} from './policies.js';
import {applyTheme, loadSettings, saveSettings} from './settings.js';
import {Sidebar} from './sidebar.js';
import {Store} from './store.js';
import {Thread} from './thread.js';

const SAVE_EVERY_MS = 1000;  // while an answer streams

class App {
  constructor() {
    this.settings = loadSettings();
    applyTheme(this.settings.theme);
    this.info = null;
    this.store = new Store();
    this.answers = new Answers();
    this.conversation = newConversation(this.settings);
    this.draw = oncePerFrame(() => this.drawNow());
    this.#build();
  }

  #build() {
    this.sidebar = new Sidebar(byId('sidebar'), {
      onNew: () => this.open(newConversation(this.settings)),
      onOpen: (id) => this.open(this.store.get(id)),
      onRemove: (conversation) => this.remove(conversation),
      onSettings: () => openSettings(this.settings, this.info, {
        onChange: () => this.changeDefaults(), onTheme: (theme) => this.setTheme(theme)}),
      onTheme: () => this.setTheme(isDark() ? 'light' : 'dark'),
      onClose: () => this.togglePanel('sidebar', false),
    });
    this.thread = new Thread(byId('thread'), byId('scroll'), {
      onSystem: (system) => this.changeOptions({system}),
      onEdit: (message, text, files) => this.#focusOn(this.send(text, files, message.parent)),
      onAgain: (message) => this.#focusOn(this.ask(message.parent)),
      onBranch: (message, index, by) => {
        const branch = branchesOf(this.conversation, message)[index];
        this.pick(branch);
        this.#focusOn(branch, by);
      },
      onPick: (message) => this.pick(message),
    });
    this.composer = new Composer(byId('composer'), {
      onSend: (text, files) => this.send(text, files, pathOf(this.conversation).at(-1)?.id ?? ''),
      onStop: () => this.answers.stop(this.conversation),
      onEditLast: () => this.editLast(),
      onPolicy: () => {
        this.togglePanel('memory', true);
        this.nextTurn.focus();
      },
    });
    this.nextTurn = new NextTurn(() => this.changeOptions());
    this.memory = new MemoryPanel(byId('memory'), {
      controls: this.nextTurn.element,
      isShaded: this.settings.isShaded,
      onShade: (isShaded) => this.change({isShaded}),
      onClose: () => this.togglePanel('memory', false),
    });
    byId('open-sidebar').append(icon('menu'));
    byId('open-memory').append(icon('memory'), h('span', {}, 'Memory'));
    byId('open-sidebar').addEventListener('click', () => this.togglePanel('sidebar'));
    byId('open-memory').addEventListener('click', () => this.togglePanel('memory'));
    byId('backdrop').addEventListener('click', () => this.closePanels());
    document.addEventListener('keydown', (event) => this.#key(event));
    for (const query of [NARROW, MEDIUM]) query.addEventListener('change', () => this.closePanels());
    this.closePanels();
  }

  async start() {
    setKeyQuestion(askForApiKey);
    this.sidebar.warning.hidden = await this.store.open(this.settings);
    const latest = this.store.all()[0];
    if (latest) this.conversation = latest;
    this.drawNow();
    byId('prompt').focus();
    await this.#learn();
  }

  /** What the server can do; where it does not say now, with the next answer. */
  async #learn() {
    while (!this.info) {
      try {
        this.info = await readInfo();
      } catch (error) {
        if (error.status !== 503) return;
        await new Promise((resolve) => setTimeout(resolve, 1000));  // it reads its weights
      }
    }
    this.drawNow();
  }

  #key(event) {
    const isTyping = event.target.matches?.('input, textarea, select');
    if (event.key === 'Escape') {
      if (document.querySelector('dialog[open]')) return;
      if (this.answers.isRunningIn(this.conversation)) this.answers.stop(this.conversation);
      else this.closePanels();
    } else if (event.key === '/' && !isTyping && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      byId('prompt').focus();
    }
  }

  open(conversation) {
    this.conversation = conversation;
    this.thread.clear();
    if (NARROW.matches) this.closePanels();
    this.drawNow();
    byId('prompt').focus();
  }

  async remove(conversation) {
    if (!await askToDelete(conversation.title)) return;
    this.answers.stop(conversation);
    const removal = this.store.remove(conversation.id);
    // Before an answer that ends now is saved: one that is open would be kept.
    if (conversation === this.conversation) this.open(newConversation(this.settings));
    else this.drawNow();
    await removal;
  }

  pick(message) {
    choose(this.conversation, message);
    this.#save(this.conversation);
    this.drawNow();
  }

  editLast() {
    const last = pathOf(this.conversation).findLast((message) => message.role === 'user');
    if (last) this.thread.views.get(last.id)?.edit();
  }

  send(content, files, parent) {
    this.thread.followsEnd = true;
    const message = addMessage(this.conversation, parent, {role: 'user', content, files});
    this.ask(message.id);
    return message;
  }

  #focusOn(message, by) {
    this.thread.views.get(message.id)?.focus(by);
  }

  /** Has a message answered under the chosen policies: one answer, or two to compare. */
  ask(parent) {
    const {caches, compares} = this.conversation.options;
    const chosen = structuredClone(compares ? caches : caches.slice(0, 1));
    const group = compares ? newGroup() : undefined;
    const conversation = this.conversation;
    const messages = chosen.map((cache) =>
      addMessage(conversation, parent, {role: 'assistant', cache, group}));
    choose(conversation, messages[0]);
    announce('Answering');
    for (const message of messages) this.#fill(conversation, message);
    this.#save(conversation);
    this.drawNow();  // that it is on its way is seen as the key is pressed
    return messages[0];
  }

  async #fill(conversation, message) {
    let saved = Date.now();
    await this.answers.fill(conversation, message, () => {
      if (Date.now() - saved > SAVE_EVERY_MS) {
        saved = Date.now();
        this.#save(conversation);
      }
      this.draw();
    });
    this.#passOver(conversation, message);
    await this.#save(conversation);
    announce(message.error ?? `Answer: ${message.content}`);
    this.draw();
    if (!this.info && !message.error) await this.#learn();
  }

  /** A conversation goes on from an answer: where one of two failed, from the other. */
  #passOver(conversation, failed) {
    if (!failed.error || failed.content || conversation.chosen[failed.parent] !== failed.id) return;
    const other = comparedWith(conversation, failed).find((message) => !message.error);
    if (other) choose(conversation, other);
  }

  /** One that was deleted while it was answered stays so. */
  async #save(conversation) {
    if (conversation !== this.conversation && !this.store.get(conversation.id)) return;
    try {
      await this.store.save(conversation);
      this.draw();  // with what another tab has added
    } catch (error) {
      this.composer.complain(`The conversation could not be kept: ${error.message}`);
    }
  }

  change(values) {
    Object.assign(this.settings, values);
    saveSettings(this.settings);
    this.drawNow();
  }

  setTheme(theme) {
    applyTheme(theme);
    this.change({theme});
  }

  /** Of this conversation; one that nothing was said in is kept for its system prompt. */
  changeOptions(values = {}) {
    Object.assign(this.conversation.options, values, {changed: Date.now()});
    if (values.system || this.store.get(this.conversation.id)) this.#save(this.conversation);
    this.drawNow();
  }

  /** Those of new conversations: the one that is shown as well, while nothing has made it its own. */
  changeDefaults() {
    const {conversation} = this;
    const isNew = !conversation.options.changed && pathOf(conversation).length === 0;
    if (isNew) conversation.options = optionsFrom(this.settings);
    this.change({});
  }

  togglePanel(name, isOpen = byId(name).inert || !byId('app').classList.contains(`has-${name}`)) {
    const opener = document.activeElement;
    byId('app').classList.toggle(`has-${name}`, isOpen);
    this.#arrangePanels();
    if (!PANELS[name].matches) {
      const others = this.settings.closed.filter((other) => other !== name);
      this.change({closed: isOpen ? others : [...others, name]});
    } else if (isOpen) {
      this.opener = opener;
      byId(name).querySelector('button').focus();
    } else {
      this.#leave(name);
    }
  }

  /** The keyboard goes back to what a panel was opened with. */
  #leave(name) {
    const isThere = this.opener?.isConnected && this.opener !== document.body;
    (isThere ? this.opener : byId(`open-${name}`)).focus();
  }

  /** Those that lie over the conversation go, those beside it are as their reader left them. */
  closePanels() {
    const open = Object.keys(PANELS).find((name) => isOver(name));
    const hadFocus = open && [byId(open), byId('backdrop')].some((part) =>
      part.contains(document.activeElement));
    for (const [name, query] of Object.entries(PANELS)) {
      const isShown = !query.matches && !this.settings.closed.includes(name);
      byId('app').classList.toggle(`has-${name}`, isShown);
    }
    this.#arrangePanels();
    if (hadFocus) this.#leave(open);
  }

  /** While a panel lies over it, the rest is out of reach of the keyboard too. */
  #arrangePanels() {
    const over = Object.keys(PANELS).find((name) => isOver(name));
    for (const name of Object.keys(PANELS)) {
      const isOpen = byId('app').classList.contains(`has-${name}`);
      byId(name).inert = !isOpen || (over !== undefined && over !== name);
      setAttributes(byId(`open-${name}`), {'aria-expanded': String(isOpen)});
    }
    byId('main').inert = over !== undefined;
    byId('backdrop').hidden = over === undefined;
  }

  drawNow() {
    const {conversation, settings, info} = this;
    const path = pathOf(conversation);
    const isRunning = this.answers.isRunningIn(conversation);
    this.thread.show({conversation, info, isShaded: settings.isShaded,
      isRunning: (message) => this.answers.isRunning(message)});
    const last = path.findLast((message) => message.role === 'assistant');
    this.memory.show(last ? comparedWith(conversation, last) : [], info);
    this.sidebar.show(this.store.all(), conversation.id);
    this.composer.setBusy(isRunning);
    const {options} = conversation;
    this.nextTurn.show(options, info);
    const labels = options.caches.map((cache) => cacheLabel(cache, info));
    this.composer.setPolicy(options.compares ? labels.join(' | ') : labels[0]);
    byId('title').textContent = conversation.title;
    document.title = info ? `${conversation.title} – ${info.model}` : conversation.title;
    setAttributes(byId('app'), {'data-running': isRunning});
  }
}

const NARROW = matchMedia('(max-width: 760px)');
const MEDIUM = matchMedia('(max-width: 1120px)');
const PANELS = {sidebar: NARROW, memory: MEDIUM};  // where each lies over the conversation
const isOver = (name) => PANELS[name].matches && byId('app').classList.contains(`has-${name}`);
const isDark = () => {
  const scheme = document.documentElement.style.colorScheme;
  return scheme === 'dark' || (scheme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
};

new App().start();
