// Load a sale with k6: `k6 run -e URL=http://127.0.0.1:8000 -e PRODUCT=shoe clients/k6/flashsale.js`.
//
// URL, PRODUCT: the engine and the sale. RATE: buyers per second (200). SECONDS: for how long (30). QUANTITY: units of an order (1).
// TOKENS: a file with one buyer token per line, for installations whose mode is `token`; without it the body names the buyers (mode `body`).
// KEY: a service key instead (mode `service`). Each buyer sends one order, and repeats it with the same request id as Retry-After says.
import http from "k6/http";
import { check, sleep } from "k6";
import { Counter, Trend } from "k6/metrics";
import { SharedArray } from "k6/data";
import exec from "k6/execution";

const url = __ENV.URL || "http://127.0.0.1:8000";
const rate = Number(__ENV.RATE || 200);
const duration = Number(__ENV.SECONDS || 30);
const ATTEMPTS_MOST = 10;
const tokens = __ENV.TOKENS ? new SharedArray("tokens", () => open(__ENV.TOKENS).split("\n").filter(Boolean)) : [];

const accepted = new Counter("flashsale_accepted");
const refused = new Counter("flashsale_refused");
const unanswered = new Counter("flashsale_unanswered");
const attempts = new Trend("flashsale_attempts");

export const options = {
  scenarios: {
    // A constant rate of arrivals: buyers do not wait for each other's answers.
    crowd: { executor: "constant-arrival-rate", rate, timeUnit: "1s", duration: `${duration}s`, preAllocatedVUs: rate, maxVUs: rate * 20 },
  },
  thresholds: { flashsale_unanswered: ["count==0"], http_req_duration: ["p(99)<1000"] },
};
// Refusals such as 409 "sold out" are answers.
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 499 }));

export function setup() {
  return { run: Date.now().toString(36) };
}

export default function ({ run }) {
  const buyer = exec.scenario.iterationInTest;
  const headers = { "content-type": "application/json" };
  const bearer = tokens.length > 0 ? tokens[buyer % tokens.length] : __ENV.KEY;
  if (bearer) headers.authorization = `Bearer ${bearer}`;
  const order = { productId: __ENV.PRODUCT, quantity: Number(__ENV.QUANTITY || 1), requestId: `k6-${run}-${buyer}` };
  if (tokens.length === 0) order.userId = `k6-${run}-${buyer}`;
  const body = JSON.stringify(order);
  for (let attempt = 1; attempt <= ATTEMPTS_MOST; attempt++) {
    const answer = http.post(`${url}/order`, body, { headers, redirects: 0, tags: { name: "order" } });
    const isOrder = answer.status === 200 && field(answer, "orderId") !== undefined;
    // A 200 without an order is a page of something else, which may hide one: `buy` of the other clients repeats it too.
    if (isOrder || (![0, 200, 429].includes(answer.status) && answer.status < 500)) {
      const code = isOrder ? "accepted" : field(answer, "code");
      attempts.add(attempt);
      (isOrder ? accepted : refused).add(1, { code: code || "unknown" });
      check(answer, { "the answer is an order or a problem": () => code !== undefined });
      return;
    }
    const seconds = Number(answer.headers["Retry-After"] || 1);
    // A proxy may send a date.
    sleep((Number.isFinite(seconds) ? seconds : 1) * (1 + 0.5 * Math.random()));
  }
  unanswered.add(1);
}

/** A text of the answer's document; undefined without it, and in the page of a proxy: k6 throws for a body that is not JSON. */
function field(answer, name) {
  try {
    const value = answer.json(name);
    return typeof value === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}
