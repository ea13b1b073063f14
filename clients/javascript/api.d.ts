// Made by `python -m tools.docs.client_types` from docs/api/openapi.json. Do not edit.
// Later versions only add: ignore fields, values and codes that you do not know.

export interface Order {
  orderId: string;
  state: "cancelled" | "expired" | "paid" | "reserved" | "returned";
  productId: string;
  quantity: number;
  expiresAt: string;
}

export interface OrderAccepted {
  status: "success";
  orderId: string;
  state: "paid" | "reserved";
  productId: string;
  quantity: number;
  expiresAt: string;
}

export interface OrderRequest {
  /** Letters, digits, '.', '_' and '-' */
  productId: string;
  quantity: number;
  userId?: string | null;
  requestId?: string | null;
}

/** An event of any other type, with any fields: it is acknowledged and has no effect. */
export interface OtherEvent {
  type: string;
}

export interface PaymentData {
  orderId: string;
  paymentId: string;
  amountMinor: number;
  /** ISO 4217, in upper or lower case */
  currency: string;
}

export interface PaymentOutcome {
  result: "noted" | "paid" | "refund_due" | "replayed" | "undecided";
  reason: string;
}

/** A payment succeeded or failed. Further fields are ignored. */
export interface PaymentWebhook {
  type: "payment.failed" | "payment.succeeded";
  /** RFC 3339 with an offset */
  timestamp: string;
  data: PaymentData;
}

export interface Price {
  /** In the currency's smallest unit: 1999 is 19.99 EUR */
  amountMinor: number;
  /** ISO 4217, in upper or lower case */
  currency: string;
}

export interface ProblemDocument {
  type: string;
  title: string;
  status: number;
  code: string;
  detail?: string;
  field?: string;
  reason?: string;
}

export interface RateLimit {
  requests: number;
  seconds: number;
}

/** `amountMinor` is what this refund paid back. A payment may be refunded in parts, each with a `refundId` of its own. */
export interface RefundData {
  orderId: string;
  paymentId: string;
  amountMinor: number;
  /** ISO 4217, in upper or lower case */
  currency: string;
  /** The provider's id */
  refundId: string;
}

/** The provider has paid money back. Further fields are ignored. */
export interface RefundWebhook {
  type: "payment.refunded";
  /** RFC 3339 with an offset */
  timestamp: string;
  data: RefundData;
}

export interface Sale {
  productId: string;
  stock: number;
  available: number;
  reserved: number;
  sold: number;
  state: "closed" | "open" | "paused";
  startsAt: string | null;
  endsAt: string | null;
  maxPerUser: number | null;
  maxReleasedPerUser: number | null;
  paymentWindowSeconds: number;
  rateLimit: RateLimit | null;
  latePayment: "reacquire" | "refund";
  /** The price of one unit: an order of two units costs twice that. A payment of another amount or currency is refunded (wrong_amount), and the hold stays. The price at the moment of the payment counts. Default for a new sale: none, and any payment pays an order */
  price: Price | null;
  durability: "confirmed" | "fsync";
  owner: string;
  generation: number;
}

export interface Sales {
  sales: Array<Sale>;
}

export interface Session {
  token: string;
  userId: string;
  expiresAt: string;
}

export interface SessionRequest {
  userId?: string | null;
}

/** By operationId: what is sent, what is answered by status, and the codes of its problems. */
export interface Operations {
  /** Reserve units. A repeated request returns the same order. */
  createOrder: {
    method: "POST";
    path: "/order";
    headerParameters: { "Idempotency-Key"?: string; };
    body: OrderRequest;
    answers: { 200: OrderAccepted; };
    problems: "bad_request" | "unauthenticated" | "identity_mismatch" | "unknown_sale" | "request_timeout" | "out_of_stock" | "not_started" | "ended" | "paused" | "closed" | "user_limit" | "order_limit" | "sale_removed" | "order_gone" | "body_too_large" | "unsupported_media_type" | "request_conflict" | "too_many_forgeries" | "rate_limited" | "head_too_large" | "internal" | "outbox_lag" | "broker_away" | "overloaded" | "outcome_unknown" | "not_ready" | "recovering";
  };
  /** An order's state and deadline. */
  getOrder: {
    method: "GET";
    path: "/orders/{orderId}";
    pathParameters: { "orderId": string; };
    answers: { 200: Order; };
    problems: "unauthenticated" | "unknown_order" | "sale_removed" | "too_many_forgeries" | "head_too_large" | "internal" | "recovering" | "overloaded" | "not_ready";
  };
  /** Cancel an order that is not paid, and release its units. */
  cancelOrder: {
    method: "DELETE";
    path: "/orders/{orderId}";
    pathParameters: { "orderId": string; };
    answers: { 200: Order; };
    problems: "unauthenticated" | "unknown_order" | "already_paid" | "sale_removed" | "order_gone" | "too_many_forgeries" | "head_too_large" | "internal" | "overloaded" | "outcome_unknown" | "not_ready" | "recovering";
  };
  /** Exchange a JWT, or a service key with a userId, for a buyer token, which costs less to check with each order. */
  createSession: {
    method: "POST";
    path: "/session";
    body: SessionRequest;
    answers: { 200: Session; };
    problems: "bad_request" | "unauthenticated" | "identity_mismatch" | "not_found" | "request_timeout" | "body_too_large" | "unsupported_media_type" | "too_many_forgeries" | "head_too_large" | "internal" | "overloaded" | "not_ready";
  };
  /** Receive a payment's outcome, or that it was paid back, from the payment provider, signed as Standard Webhooks specifies. Other event types have no effect. `undecided`: the order is unknown here, and its sale may have been removed; the ledger knows. */
  receivePayment: {
    method: "POST";
    path: "/payments/webhook";
    body: PaymentWebhook | RefundWebhook | OtherEvent;
    answers: { 200: PaymentOutcome; };
    problems: "bad_request" | "stale_webhook" | "bad_signature" | "request_timeout" | "body_too_large" | "unsupported_media_type" | "head_too_large" | "internal" | "unconfirmed" | "overloaded" | "outcome_unknown" | "not_ready" | "recovering";
  };
  /** List sales by product id, one page at a time. */
  listSales: {
    method: "GET";
    path: "/sales";
    queryParameters: { "after"?: string; "limit"?: number; };
    answers: { 200: Sales; };
    problems: "bad_request" | "head_too_large" | "internal" | "recovering" | "overloaded" | "not_ready";
  };
  /** A sale's definition, stock and units reserved and sold. */
  getSale: {
    method: "GET";
    path: "/sales/{productId}";
    pathParameters: { "productId": string; };
    answers: { 200: Sale; };
    problems: "unknown_sale" | "sale_removed" | "head_too_large" | "internal" | "recovering" | "overloaded" | "not_ready";
  };
  /** The event loop runs, and waiting requests make progress. */
  checkLiveness: {
    method: "GET";
    path: "/healthz";
    answers: {  };
    problems: "head_too_large" | "internal";
  };
  /** Redis answers, has the scripts loaded, is durable, and recovery has opened it. */
  checkReadiness: {
    method: "GET";
    path: "/readyz";
    answers: {  };
    problems: "head_too_large" | "internal" | "overloaded" | "not_ready";
  };
  /** This document. */
  getOpenApi: {
    method: "GET";
    path: "/openapi.json";
    answers: { 200: unknown; };
    problems: "head_too_large" | "internal" | "overloaded";
  };
  /** This document as a web page. */
  getDocs: {
    method: "GET";
    path: "/docs";
    answers: {  };
    problems: "head_too_large" | "internal" | "overloaded";
  };
}
