// `node --test clients/k6`: the script with modules of k6 that only record, for k6 itself is a program of its own.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const SOURCE = readFileSync(new URL("flashsale.js", import.meta.url), "utf8");

/** The script's exports, with modules of k6 that give these answers. */
async function load(env, answers, files = {}) {
  const seen = { requests: [], redirects: [], waits: [], checks: [], counts: {} };
  class Metric {
    constructor(name) {
      this.name = name;
    }
    add(value, tags) {
      (seen.counts[this.name] ??= []).push(tags?.code ?? value);
    }
  }
  globalThis.k6 = {
    default: {
      setResponseCallback() {},
      expectedStatuses: (range) => range,
      post(url, body, { headers, redirects }) {
        const [status, fields, document] = answers[seen.requests.push([url, JSON.parse(body), headers.authorization]) - 1];
        seen.redirects.push(redirects);
        // k6 throws for a body that is not JSON, such as a page.
        return { status, headers: fields, json: (name) => (typeof document === "string" ? JSON.parse(document) : document)[name] };
      },
    },
    check: (answer, checks) => Object.values(checks).forEach((holds) => seen.checks.push(holds(answer))),
    sleep: (seconds) => seen.waits.push(seconds),
    Counter: Metric,
    Trend: Metric,
    SharedArray: function (_, read) {
      return read();
    },
    exec: { scenario: { iterationInTest: 7 } },
  };
  Object.assign(globalThis, { __ENV: env, open: (name) => files[name] });
  const text = SOURCE.replace(/^import (.*) from "k6[^"]*";$/gm, (_, names) => {
    if (names === "http") return "const http = globalThis.k6.default;";
    return `const ${names.startsWith("{") ? names : `{ ${names} }`} = globalThis.k6;`;
  });
  assert.doesNotMatch(text, /^import /m);
  return { script: await import(`data:text/javascript,${encodeURIComponent(text)}#${Math.random()}`), ...seen };
}

test("buyer repeats the same request after Retry-After and then counts", async () => {
  const { script, requests, waits, checks, counts } = await load({ PRODUCT: "shoe", URL: "http://engine" }, [
    [503, { "Retry-After": "2" }, { code: "not_ready" }],
    [0, {}, {}],
    [200, {}, { orderId: "shoe.1" }],
  ]);
  script.default({ run: "r" });
  const same = ["http://engine/order", { productId: "shoe", quantity: 1, requestId: "k6-r-7", userId: "k6-r-7" }, undefined];
  assert.deepEqual(requests, [same, same, same]);
  assert.ok(waits[0] >= 2 && waits[0] <= 3 && waits[1] >= 1 && waits[1] <= 1.5);
  assert.deepEqual([counts, checks], [{ flashsale_attempts: [3], flashsale_accepted: ["accepted"] }, [true]]);
});

test("buyer with a token is not named in the body", async () => {
  const files = { "tokens.txt": "fsb1.a\nfsb1.b\n" };
  const { script, requests, counts } = await load({ PRODUCT: "shoe", TOKENS: "tokens.txt" }, [[409, {}, { code: "out_of_stock" }]], files);
  script.default({ run: "r" });
  assert.deepEqual(requests, [["http://127.0.0.1:8000/order", { productId: "shoe", quantity: 1, requestId: "k6-r-7" }, "Bearer fsb1.b"]]);
  assert.deepEqual(counts.flashsale_refused, ["out_of_stock"]);
});

test("buyer gives up after ten attempts", async () => {
  const { script, requests, counts } = await load({ PRODUCT: "shoe" }, Array(20).fill([503, { "Retry-After": "1" }, {}]));
  script.default({ run: "r" });
  assert.deepEqual([requests.length, counts], [10, { flashsale_unanswered: [1] }]);
});

test("page of a proxy is counted as a refusal, and its check fails", async () => {
  const { script, redirects, checks, counts } = await load({ PRODUCT: "shoe" }, [[404, {}, "<html>"]]);
  script.default({ run: "r" });
  assert.deepEqual([counts, checks], [{ flashsale_attempts: [1], flashsale_refused: ["unknown"] }, [false]]);
  assert.deepEqual(redirects, [0]);
});

test("page of something else with the status 200 is no order", async () => {
  const { script, waits, checks, counts } = await load({ PRODUCT: "shoe" }, [
    [200, {}, "<html>"],
    [503, { "Retry-After": "Fri, 27 Nov 2026 10:00:00 GMT" }, "<html>"],
    [200, {}, { orderId: "shoe.1" }],
  ]);
  script.default({ run: "r" });
  assert.deepEqual([counts, checks], [{ flashsale_attempts: [3], flashsale_accepted: ["accepted"] }, [true]]);
  assert.ok(waits.every((seconds) => seconds >= 1 && seconds <= 1.5));
});

test("crowd arrives at a constant rate", async () => {
  const { script } = await load({ RATE: "50", SECONDS: "10" }, []);
  assert.deepEqual(script.options.scenarios.crowd.duration, "10s");
  assert.equal(script.options.scenarios.crowd.rate, 50);
});
