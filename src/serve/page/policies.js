// What can be set of each policy here. Its other arguments are as docs/cli.md says by default.

/** @typedef {{name: string, label: string, hint?: string, options?: string[]}} Argument a number, or
 *   one of `options`, the first of which is the default */

const BUDGET = {name: 'budget', label: 'Budget', hint: 'entries a head holds'};
const RATIO = {name: 'compression_ratio', label: 'Share that goes', hint: '0.5'};
const WINDOW = {name: 'window', label: 'Window', hint: "the model's"};
const INTERVAL = {name: 'interval', label: 'Cut every', hint: '128'};
const OVER = {name: 'budget_over', label: 'Budget of each', options: ['head', 'layer', 'model']};
const ranked = (about) => ({about, args: [RATIO, BUDGET, INTERVAL, OVER]});

/** @type {Object<string, {about: string, args: Argument[], set?: Object<string, string>}>} `set`:
 *   what is asked for beside the arguments */
export const POLICIES = {
  none: {about: 'Keeps everything: a full cache.', args: []},
  dms: {about: 'The model decides, as it was trained to.', args: [WINDOW]},
  kvzap: {
    about: 'Scores that were fitted to the model decide.',
    args: [{name: 'threshold', label: 'Threshold', hint: "the adapter's"}, WINDOW],
  },
  streaming: {
    about: 'Keeps the first tokens and the latest.',
    args: [
      {name: 'start_size', label: 'First', hint: '4'},
      {name: 'recent_size', label: 'Latest', hint: '2000'},
    ],
  },
  adms: {
    about: 'The first tokens, the latest, and a compressed middle.',
    args: [
      {name: 'recent_size', label: 'Latest', hint: '2000'},
      {name: 'compressed_budget', label: 'Middle', hint: '128'},
      {name: 'compressor_type', label: 'Compressed by', options: ['low_rank', 'vq', 'summary']},
    ],
    set: {enable_dynamic_sink: 'false'},
  },
  random: {about: 'Keeps one token in so many, by chance.', args: [{name: 'cr', label: 'One in', hint: '8'}, WINDOW]},
  tova: {about: 'Drops what the last token attends least.', args: [{...BUDGET, hint: '1024'}, INTERVAL]},
  h2o: {about: 'Drops what was attended least so far.', args: [{...BUDGET, hint: '1024'}, INTERVAL]},
  rkv: {about: 'What is attended, and of keys alike the last.', args: [{...BUDGET, hint: '1024'}, INTERVAL]},
  triattention: {
    about: 'For long answers: drops what queries to come would attend least.',
    args: [{...BUDGET, hint: '2048'}, INTERVAL],
  },
  knorm: ranked('Keeps short keys.'),
  keydiff: ranked('Keeps keys that differ from the mean.'),
  lagkv: ranked('Keeps what spreads its channels most.'),
  snapkv: ranked('Keeps what the last queries attend.'),
  expected_attention: ranked('Keeps what queries to come would attend.'),
  compactor: ranked('Keeps keys that stand out.'),
  criticalkv: ranked('SnapKV, weighed by what values do.'),
  adaptive: {about: "SnapKV, heads share a layer's budget.", args: [RATIO, BUDGET, INTERVAL]},
  chunked: ranked('SnapKV, chunk by chunk.'),
  kvzip: {about: 'Keeps what repeating the prompt attends.', args: [RATIO, BUDGET]},
  kvzip_plus: {about: 'KVzip, weighed by what values do.', args: [RATIO, BUDGET]},
};

/** The request's "dms" field. */
export function cacheRequest({policy, args}) {
  if (!policy) return {report: true};
  const {window, ...rest} = Object.fromEntries(
    Object.entries(args).filter(([, text]) => String(text).trim() !== ''));
  return {
    report: true,
    policy,
    policy_args: {...POLICIES[policy]?.set, ...rest},
    ...(window === undefined ? {} : {window: Number(window)}),
  };
}

/** In few words. `info`: the server's, for what it does by itself. */
export function cacheLabel({policy, args}, info) {
  if (!policy) return info ? info.policy : 'default';
  const given = Object.entries(args).filter(([, text]) => String(text).trim() !== '');
  return [policy, ...given.map(([name, text]) => `${name} ${text}`)].join(' · ');
}
