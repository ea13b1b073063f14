// Buy in a sale, patiently: one order, however often its request has to be repeated.
// A plain ES module for browsers and for Node 18 or newer, without dependencies. Its types are in buy.d.ts.

const BACKOFF_FIRST_SECONDS = 0.25;
const BACKOFF_MOST_SECONDS = 8;
/** Waits differ by up to this share, so that a crowd does not return at once. */
const SPREAD = 0.5;
const NO_ANSWER = { type: "about:blank", title: "No answer arrived; the order may exist", status: 0, code: "no_answer" };

/**
 * Order units of a sale. It repeats the request, with the same request id, while no answer arrives or the answer allows it.
 *
 * A repetition comes no earlier than Retry-After says; if that is past the deadline, the answer is returned at once.
 * @param {import("./buy.js").Wish} wish
 * @param {import("./buy.js").Patience} [patience]
 * @returns {Promise<import("./buy.js").Outcome>}
 */
export async function buy(wish, patience = {}) {
  const { deadlineSeconds = 30, signal, now = seconds, sleep = pause, random = Math.random } = patience;
  const requestId = wish.requestId ?? newRequestId();
  const ends = now() + deadlineSeconds;
  for (let attempts = 1; ; attempts++) {
    const answer = await send(wish, requestId, patience, ends - now());
    if (signal?.aborted) throw reasonOf(signal);
    if (answer.order) return { ok: true, requestId, attempts, order: answer.order, replayed: answer.replayed };
    const wait = answer.repeatable ? waitSeconds(answer.retryAfterSeconds, attempts, random) : Infinity;
    if (now() + wait >= ends) {
      return { ok: false, requestId, attempts, problem: answer.problem, repeatable: answer.repeatable };
    }
    await sleep(wait, signal);
  }
}

/** A request id for one click. Keep it, for example in sessionStorage, until the click has its answer. */
export function newRequestId() {
  // Not randomUUID: browsers have it on pages of https only.
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One attempt: an order, or a problem and whether the same request may be sent again. */
async function send(wish, requestId, { attemptSeconds = 10, signal, fetch = globalThis.fetch }, secondsLeft) {
  const attempt = new AbortController();
  const abort = () => attempt.abort();
  const timer = setTimeout(abort, 1000 * Math.max(0, Math.min(attemptSeconds, secondsLeft)));
  signal?.addEventListener("abort", abort);
  try {
    return await read(await fetch(`${wish.url ?? ""}/order`, { ...request(wish, requestId), signal: attempt.signal }));
  } catch {
    return { problem: NO_ANSWER, repeatable: true };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

function request({ productId, quantity = 1, userId, token }, requestId) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  return { method: "POST", headers, body: JSON.stringify({ userId, productId, quantity, requestId }) };
}

async function read(response) {
  const text = await response.text();
  const order = response.status === 200 ? orderOf(text) : undefined;
  if (order) return { order, replayed: response.headers.get("idempotent-replayed") === "true" };
  const retryAfterSeconds = parseRetryAfter(response.headers.get("retry-after"));
  // A proxy in front answers 502 or 504 without a problem document and without Retry-After; a 200 without an order may hide one.
  const repeatable = retryAfterSeconds !== undefined || response.status >= 500 || [200, 408].includes(response.status);
  return { problem: problemOf(response.status, text), repeatable, retryAfterSeconds };
}

/** Undefined for a 200 of something else, such as the sign-in page of a proxy. */
function orderOf(text) {
  try {
    const document = JSON.parse(text);
    if (typeof document.orderId === "string") return document;
  } catch {
    // Not from the engine.
  }
}

function problemOf(status, text) {
  try {
    const document = JSON.parse(text);
    if (typeof document.code === "string") return document;
  } catch {
    // Not from the engine: a proxy's page.
  }
  return { type: "about:blank", title: `The answer has the status ${status} and no problem document`, status, code: "unknown" };
}

/** Seconds; undefined without the header, or if it is a date, which the engine never sends. */
function parseRetryAfter(text) {
  return /^\d{1,9}$/.test(text ?? "") ? Number(text) : undefined;
}

function waitSeconds(retryAfterSeconds, attempts, random) {
  if (retryAfterSeconds !== undefined) return Math.max(BACKOFF_FIRST_SECONDS, retryAfterSeconds) * (1 + SPREAD * random());
  return Math.min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** (attempts - 1)) * (1 - SPREAD * random());
}

function seconds() {
  return performance.now() / 1000;
}

/** Browsers before 2022, such as Safari 15.3, have neither a reason nor throwIfAborted, which would end a purchase that was made. */
function reasonOf(signal) {
  return signal.reason ?? new DOMException("The operation was aborted", "AbortError");
}

/** Ends early, by rejecting, when the signal is aborted. */
function pause(waitSeconds, signal) {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      reject(reasonOf(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, waitSeconds * 1000);
    signal?.addEventListener("abort", end, { once: true });
  });
}
