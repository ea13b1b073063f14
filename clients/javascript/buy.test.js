// `node --test clients/javascript`: buy() by the shared scenarios, and the signer by the shared vectors.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { buy, newRequestId } from "./buy.js";
import { signBuyerToken } from "./token.js";

const read = (name) => JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), "utf8"));
const WISH = { url: "http://engine", productId: "shoe", requestId: "click-1", token: "fsb1.ann.1.x" };

/** An engine that gives these answers, and the time that passes in between. */
function engine(answers) {
  const requests = [];
  const waits = [];
  let clock = 100;
  const fetch = async (url, request) => {
    requests.push([url, request.headers.authorization, JSON.parse(request.body)]);
    const answer = answers[requests.length - 1];
    if (answer === undefined) throw new Error("one request too many");
    if (answer === null) throw new TypeError("fetch failed");
    const [status, headers, body] = answer;
    return new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });
  };
  const sleep = async (seconds) => {
    waits.push(seconds);
    clock += seconds;
  };
  return { requests, waits, patience: { fetch, sleep, now: () => clock, random: () => 0 } };
}

for (const { name, answers, waits, result, repeatable, replayed = false } of read("scenarios.json").scenarios) {
  test(name, async () => {
    const shop = engine(answers);
    const outcome = await buy(WISH, shop.patience);
    assert.equal(outcome.ok ? outcome.order.orderId : outcome.problem.code, result);
    assert.deepEqual(shop.waits, waits);
    assert.equal(outcome.attempts, answers.length);
    if (outcome.ok) assert.equal(outcome.replayed, replayed);
    else assert.equal(outcome.repeatable, repeatable);
    const same = ["http://engine/order", "Bearer fsb1.ann.1.x", { productId: "shoe", quantity: 1, requestId: "click-1" }];
    assert.deepEqual(shop.requests, answers.map(() => same));
  });
}

test("waits are spread upwards from Retry-After and downwards from the backoff", async () => {
  const shop = engine([[503, { "retry-after": "2" }, {}], null, [409, {}, { code: "ended" }]]);
  await buy(WISH, { ...shop.patience, random: () => 0.5 });
  assert.deepEqual(shop.waits, [2.5, 0.375]);
});

test("attempt that takes too long is ended and repeated", async () => {
  let attempts = 0;
  const hanging = (_, { signal }) => new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const fetch = (url, request) => (++attempts === 1 ? hanging(url, request) : Promise.resolve(new Response('{"orderId":"shoe.1"}')));
  const outcome = await buy(WISH, { fetch, attemptSeconds: 0.01, random: () => 1 });
  assert.deepEqual([outcome.ok, outcome.attempts], [true, 2]);
});

test("aborted signal ends the wait", async () => {
  const leaving = new AbortController();
  const shop = engine([[503, { "retry-after": "20" }, {}]]);
  const bought = buy(WISH, { fetch: shop.patience.fetch, signal: leaving.signal });
  setTimeout(() => leaving.abort(new Error("the page was left")), 5);
  await assert.rejects(bought, /the page was left/);
});

test("signal of a browser of 2021 keeps no order from the buyer, and still ends the wait", async () => {
  const leaving = new AbortController();
  for (const name of ["throwIfAborted", "reason"]) Object.defineProperty(leaving.signal, name, { value: undefined });
  const { fetch } = engine([[200, {}, { orderId: "shoe.1" }], [503, { "retry-after": "20" }, {}]]).patience;
  assert.equal((await buy(WISH, { fetch, signal: leaving.signal })).order.orderId, "shoe.1");
  const bought = buy(WISH, { fetch, signal: leaving.signal });
  setTimeout(() => leaving.abort(), 5);
  await assert.rejects(bought, { name: "AbortError" });
});

test("each click has its own request id", () => {
  const ids = new Set(Array.from({ length: 100 }, newRequestId));
  assert.equal(ids.size, 100);
  for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/);
});

const VECTORS = "fsb1_vectors.json";
test("vectors of buyer tokens are signed", { skip: !existsSync(new URL(`../${VECTORS}`, import.meta.url)) }, async () => {
  for (const { key, user, expires, token } of read(VECTORS).signed) assert.equal(await signBuyerToken(key, user, expires), token);
});

test("user id or end that the engine would refuse is not signed", async () => {
  for (const user of ["", "a b", "#up", 'a"b', "ü", "a".repeat(256), "ann\n"]) await assert.rejects(signBuyerToken("k", user, 1), RangeError);
  for (const expires of [0, -1, 1.5, 253402300800, Number.NaN]) await assert.rejects(signBuyerToken("k", "ann", expires), RangeError);
});
