import type { OrderAccepted, ProblemDocument } from "./api.js";

export interface Wish {
  /** Where the engine answers, without a slash at the end. Default: the page's own origin. */
  url?: string;
  productId: string;
  /** Default: 1. */
  quantity?: number;
  /** The click's id. Keep it across reloads of the page, so that they do not become a second order. Default: a new one. */
  requestId?: string;
  /** The buyer token that the shop signed, or another bearer credential that the installation accepts. */
  token?: string;
  /** Who buys, where the installation trusts the body: the modes `service` and `body`. */
  userId?: string;
}

export interface Patience {
  /** When to give up. Default: 30. */
  deadlineSeconds?: number;
  /** How long one attempt may take. Default: 10. */
  attemptSeconds?: number;
  /** Ends everything at once; `buy` then rejects with its reason. */
  signal?: AbortSignal;
  fetch?: typeof fetch;
  /** A clock in seconds, for tests. */
  now?: () => number;
  sleep?: (seconds: number, signal?: AbortSignal) => Promise<void>;
  random?: () => number;
}

export type Outcome = Bought | Refused;

export interface Bought {
  ok: true;
  order: OrderAccepted;
  /** Whether an earlier request with this id has made the order. */
  replayed: boolean;
  requestId: string;
  attempts: number;
}

export interface Refused {
  ok: false;
  /** The engine's last answer. Its code is `no_answer` if there was none, and `unknown` if a proxy gave it. */
  problem: ProblemDocument;
  /** Whether the same wish, with the same requestId, may still get an order. If no answer arrived, the order may exist already. */
  repeatable: boolean;
  requestId: string;
  attempts: number;
}

/** Order units of a sale. It repeats the request, with the same request id, while no answer arrives or the answer allows it. */
export function buy(wish: Wish, patience?: Patience): Promise<Outcome>;

/** A request id for one click. */
export function newRequestId(): string;
