// What a conversation's answers are asked for with. Each conversation has its own; the settings hold
// those that new ones begin with.

/**
 * How a cache is kept; empty: as the server does.
 * @typedef {{policy: string, args: Object<string, string>}} CacheChoice
 * @typedef {{system: string, sampling: Object<string, string>, caches: CacheChoice[],
 *   compares: boolean}} Options  `sampling`: texts by API name, empty: the server's; `caches`: that of
 *   the next answer, and the one that `compares` sets beside it.
 */

/** @returns {Options} */
export const defaultOptions = () => ({
  system: '',
  sampling: {},
  caches: [{policy: '', args: {}}, {policy: 'none', args: {}}],
  compares: false,
});

/** A copy. `changed`: when its reader last did. @returns {Options & {changed: number}} */
export function optionsFrom({system, sampling, caches, compares}, changed = 0) {
  return {...structuredClone({system, sampling, caches, compares}), changed};
}
