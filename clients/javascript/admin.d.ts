// Made by `python -m tools.docs.client_types` from docs/api/admin.openapi.json. Do not edit.
// Later versions only add: ignore fields, values and codes that you do not know.

export interface OrderReturned {
  orderId: string;
  state: "returned";
  productId: string;
  quantity: number;
  /** As the first request asked: an order is returned once */
  restocked: boolean;
  /** The payment whose refund is due */
  paymentId: string;
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

export interface ReturnRequest {
  /** Whether the units are for sale again. If not, they count as sold, and nobody can buy them */
  restock: boolean;
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

export interface SaleEnded {
  productId: string;
  state: "closed" | "released" | "removed";
  reserved: number;
}

/** `null` removes a limit; a field left out stays as it is. */
export interface StockRequest {
  /** Letters, digits, '.', '_' and '-' */
  productId: string;
  /** All units. Send either this or add */
  stock?: number;
  /** Units to add to the stock of a sale that exists; negative to take some away, but not below what is reserved and sold; 0 leaves the stock as it is. With a requestId or an Idempotency-Key, a repeated request adds nothing more */
  add?: number;
  requestId?: string;
  startsAt?: string | null;
  endsAt?: string | null;
  maxPerUser?: number | null;
  maxReleasedPerUser?: number | null;
  /** Default for a new sale: 300 */
  paymentWindowSeconds?: 15 | 60 | 120 | 300 | 600 | 900 | 1800;
  rateLimit?: RateLimit | null;
  latePayment?: "reacquire" | "refund";
  /** The price of one unit: an order of two units costs twice that. A payment of another amount or currency is refunded (wrong_amount), and the hold stays. The price at the moment of the payment counts. Default for a new sale: none, and any payment pays an order */
  price?: Price | null;
  /** An order is answered after Redis has it on disk (fsync), or also after the message broker has confirmed it (confirmed), so that it is kept even if Redis' disk is lost. Default for a new sale: fsync */
  durability?: "confirmed" | "fsync";
  paused?: boolean;
}

/** By operationId: what is sent, what is answered by status, and the codes of its problems. */
export interface Operations {
  /** Create or change a sale. Live holds stay as they are. */
  setStock: {
    method: "POST";
    path: "/admin/stock";
    headerParameters: { "Idempotency-Key"?: string; "If-Match"?: string; "Flashsale-On-Behalf-Of"?: string; };
    body: StockRequest;
    answers: { 200: Sale; 201: Sale; };
    problems: "bad_request" | "unauthorized" | "unknown_sale" | "request_timeout" | "not_owner" | "below_committed" | "closed" | "generation_moved" | "body_too_large" | "unsupported_media_type" | "head_too_large" | "internal" | "overloaded" | "outcome_unknown" | "not_ready" | "recovering";
  };
  /** Take a paid order back: its refund is due, its units are for sale again or stay sold, and the buyer may buy again. A repeated request returns the first answer. */
  returnOrder: {
    method: "POST";
    path: "/admin/orders/{orderId}/return";
    pathParameters: { "orderId": string; };
    headerParameters: { "Flashsale-On-Behalf-Of"?: string; };
    body: ReturnRequest;
    answers: { 200: OrderReturned; };
    problems: "bad_request" | "unauthorized" | "unknown_order" | "request_timeout" | "not_paid" | "sale_removed" | "body_too_large" | "unsupported_media_type" | "head_too_large" | "internal" | "unconfirmed" | "overloaded" | "outcome_unknown" | "not_ready" | "recovering";
  };
  /** Close a sale and, unless mode is close, remove it. 202: closed, but holds are live; repeat when none is. With mode release, give it up instead: whoever defines it next owns it. */
  endSale: {
    method: "DELETE";
    path: "/admin/sales/{productId}";
    pathParameters: { "productId": string; };
    queryParameters: { "mode"?: "close" | "remove" | "release"; };
    headerParameters: { "Flashsale-On-Behalf-Of"?: string; };
    answers: { 200: SaleEnded; 202: SaleEnded; };
    problems: "bad_request" | "unauthorized" | "unknown_sale" | "not_owner" | "head_too_large" | "internal" | "overloaded" | "outcome_unknown" | "not_ready" | "recovering";
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
  /** Prometheus metrics. */
  getMetrics: {
    method: "GET";
    path: "/metrics";
    answers: {  };
    problems: "head_too_large" | "internal" | "overloaded";
  };
  /** This document. */
  getAdminOpenApi: {
    method: "GET";
    path: "/admin/openapi.json";
    answers: { 200: unknown; };
    problems: "head_too_large" | "internal" | "overloaded";
  };
  /** This document as a web page. */
  getAdminDocs: {
    method: "GET";
    path: "/admin/docs";
    answers: {  };
    problems: "head_too_large" | "internal" | "overloaded";
  };
}
