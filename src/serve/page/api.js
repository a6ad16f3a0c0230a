// The server's API. A key that it asks for is kept as long as the tab (sessionStorage).

const KEY_NAME = 'dms-api-key';
const SENDABLE_KEY = /^[\x21-\x7e]+$/;  // a header takes no others
let savedKey = '';
try {
  savedKey = sessionStorage.getItem(KEY_NAME) ?? '';
} catch {
  // Forbidden: it is asked for once a page.
}

export class ApiFailure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function rememberKey(key) {
  savedKey = key;
  try {
    sessionStorage.setItem(KEY_NAME, key);
  } catch {
    // As above.
  }
}

/** Asks for it once, however many requests want it. `ask` resolves to null where nobody answers. */
let askForKey = async () => null;
let pendingKey = null;
export function setKeyQuestion(ask) {
  const askUntilSendable = async (wasWrong) => {
    const key = await ask(wasWrong);
    return key === null || SENDABLE_KEY.test(key) ? key : askUntilSendable(true);
  };
  askForKey = () => {
    pendingKey ??= askUntilSendable(Boolean(savedKey)).finally(() => (pendingKey = null));
    return pendingKey;
  };
}

async function send(path, options) {
  const headers = {...options.headers};
  if (savedKey) headers.Authorization = `Bearer ${savedKey}`;
  try {
    return await fetch(new URL(path, document.baseURI), {...options, headers, cache: 'no-store'});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiFailure(0, 'The server cannot be reached.');
  }
}

async function failureOf(response) {
  let message = `The server answered ${response.status}.`;
  try {
    message = (await response.json()).error.message;
  } catch {
    // No JSON: the status has to do.
  }
  return new ApiFailure(response.status, message);
}

async function call(path, options = {}) {
  for (;;) {
    const response = await send(path, options);
    if (response.ok) return response;
    if (response.status !== 401) throw await failureOf(response);
    const key = await askForKey();
    if (key === null) throw new ApiFailure(401, 'The server wants an API key.');
    rememberKey(key);
  }
}

/** What the model is and what its cache can do: GET /dms/info. */
export async function readInfo() {
  return (await call('dms/info')).json();
}

/** The chunks of a streamed chat. Throws ApiFailure. */
export async function* streamChat(body, signal) {
  const response = await call('v1/chat/completions', {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({...body, stream: true, stream_options: {include_usage: true}}),
    signal,
  });
  for await (const data of eventsOf(response.body)) {
    if (data === '[DONE]') return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ApiFailure(chunk.error.code ?? 500, chunk.error.message);
    yield chunk;
  }
  throw new ApiFailure(0, 'The connection to the server was lost.');
}

/** The data of server-sent events. */
async function* eventsOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  try {
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      text += value;
      const events = text.split('\n\n');
      text = events.pop();
      for (const event of events) yield event.replace(/^data: /, '');
    }
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiFailure(0, 'The connection to the server was lost.');
  } finally {
    reader.cancel().catch(() => {});
  }
}
