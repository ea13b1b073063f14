// Made by `python -m tools.docs.client_types` from docs/api/ledger-api.openapi.json. Do not edit.
// Later versions only add: ignore fields, values and codes that you do not know.

export interface Event {
  /** The webhook-id by which webhooks repeat it */
  id: string;
  writtenAt: string;
  type: string;
  timestamp: string;
  data: Record<string, unknown>;
}

export interface Events {
  events: Array<Event>;
  /** Never null: ask with it again later */
  next: string;
}

/** The body of POST /admin/orders/{id}/leave-paid. */
export interface LeaveRequest {
  /** Why the order stays paid, such as a part that was paid back as a courtesy */
  reason: string;
  /** What the sender has seen as reported: refused if the provider has reported more since. Left out: whatever is reported now */
  reportedMinor?: number;
}

export interface LeftOrder {
  orderId: string;
  paymentId: string;
  /** What the provider had reported; a later report is listed again */
  reportedMinor: number;
  reference: string;
  reason: string;
  leftBy: string;
  leftAt: string;
}

export interface Payment {
  paymentId: string;
  orderId: string;
  /** Empty if the payment named no order of a sale */
  productId: string;
  /** paid: it has paid its order, also if that was returned since. refund_due: it buys nothing, and has a refund */
  result: "failed" | "paid" | "refund_due";
  /** Why a refund is due, as refunds have it; empty if the payment has paid its order */
  reason: string;
  /** 0 while it is not known: the payment was restored after a loss of data */
  amountMinor: number;
  currency: string;
  at: string;
  /** Of its refund, or of the refund of its return; null if there is none */
  refundId: string | null;
}

/** RFC 9457. `code` is stable; `field` names the part of the request that is wrong. */
export interface ProblemDocument {
  type: string;
  title: string;
  status: number;
  code: string;
  detail?: string;
  field?: string;
  /** With refund_changed: the refund as it is */
  refund?: RefundWithHistory;
}

export interface Refund {
  refundId: string;
  state: "due" | "failed" | "sent";
  /** late, sold_out, duplicate, cancelled, wrong_amount, unknown_order, returned or restored */
  reason: string;
  productId: string;
  orderId: string;
  /** null if the ledger has no order of this name */
  userId: string | null;
  paymentId: string;
  /** 0 while it is not known: the payment was restored after a loss of data */
  amountMinor: number;
  /** What the buyer has been paid back in all */
  refundedMinor: number;
  currency: string;
  createdAt: string;
  changedAt: string | null;
  ageSeconds: number;
}

export interface RefundEvent {
  at: string;
  source: "admin" | "provider";
  /** The name of an admin key, or empty for the provider */
  who: string;
  /** From reported to left: somebody left the order as paid, although the provider had reported a refund of it */
  fromState: "due" | "failed" | "left" | "reported" | "sent";
  /** From reported to left: somebody left the order as paid, although the provider had reported a refund of it */
  toState: "due" | "failed" | "left" | "reported" | "sent";
  refundedMinor: number;
  /** The provider's id of the refund; may be empty */
  reference: string;
  reason: string;
}

/** The body of POST /admin/refunds/{id}. */
export interface RefundRequest {
  state: "due" | "failed" | "sent";
  reference?: string;
  reason?: string;
  amountMinor?: number;
  expectedState?: "due" | "failed" | "sent";
}

export interface RefundWithHistory {
  refundId: string;
  state: "due" | "failed" | "sent";
  /** late, sold_out, duplicate, cancelled, wrong_amount, unknown_order, returned or restored */
  reason: string;
  productId: string;
  orderId: string;
  /** null if the ledger has no order of this name */
  userId: string | null;
  paymentId: string;
  /** 0 while it is not known: the payment was restored after a loss of data */
  amountMinor: number;
  /** What the buyer has been paid back in all */
  refundedMinor: number;
  currency: string;
  createdAt: string;
  changedAt: string | null;
  ageSeconds: number;
  /** Who took the order back; null if nobody did, or if it is not known */
  returnedBy: string | null;
  history: Array<RefundEvent>;
}

export interface Refunds {
  refunds: Array<Refund>;
  /** null on the last page */
  next: string | null;
}

export interface ReportedRefund {
  productId: string;
  orderId: string;
  userId: string;
  paymentId: string;
  /** Of the payment; 0 if it is not known: it was restored after a loss of data */
  amountMinor: number;
  currency: string;
  /** What the provider reported in all */
  reportedMinor: number;
  /** Of the last report */
  reportedCurrency: string;
  /** The provider's id of the last refund */
  reference: string;
  /** When the last report arrived */
  reportedAt: string;
  ageSeconds: number;
}

export interface ReportedRefunds {
  reportedRefunds: Array<ReportedRefund>;
  /** null on the last page */
  next: string | null;
}

/** The body of POST /admin/orders/{id}/return. */
export interface ReturnRequest {
  /** Why the order is returned; it is kept in the refund's history */
  reason: string;
}

/** By operationId: what is sent, what is answered by status, and the codes of its problems. */
export interface Operations {
  /** List refunds from the oldest on, one page at a time. */
  listRefunds: {
    method: "GET";
    path: "/admin/refunds";
    queryParameters: { "state"?: string; "reason"?: string; "productId"?: string; "after"?: string; "limit"?: number; };
    headerParameters: { "Flashsale-On-Behalf-Of"?: string; };
    answers: { 200: Refunds; };
    problems: "bad_request" | "unauthorized" | "internal" | "overloaded" | "not_ready";
  };
  /** A refund with its history. */
  getRefund: {
    method: "GET";
    path: "/admin/refunds/{refundId}";
    pathParameters: { "refundId": string; };
    headerParameters: { "Flashsale-On-Behalf-Of"?: string; };
    answers: { 200: RefundWithHistory; };
    problems: "bad_request" | "unauthorized" | "unknown_refund" | "internal" | "overloaded" | "not_ready";
  };
  /** Settle a refund, or note why that failed. */
  changeRefund: {
    method: "POST";
    path: "/admin/refunds/{refundId}";
    pathParameters: { "refundId": string; };
    headerParameters: { "Flashsale-On-Behalf-Of"?: string; };
    body: RefundRequest;
    answers: { 200: RefundWithHistory; };
    problems: "bad_request" | "unauthorized" | "unknown_refund" | "request_timeout" | "refund_changed" | "body_too_large" | "unsupported_media_type" | "internal" | "overloaded" | "not_ready";
  };
  /** Take back a paid order whose sale was removed: its refund is due, and its units stay sold. A repeat has no further effect. */
  returnOrderOfRemovedSale: {
    method: "POST";
    path: "/admin/orders/{orderId}/return";
    pathParameters: { "orderId": string; };
    headerParameters: { "Flashsale-On-Behalf-Of"?: string; };
    body: ReturnRequest;
    answers: { 200: RefundWithHistory; };
    problems: "bad_request" | "unauthorized" | "unknown_order" | "request_timeout" | "not_paid" | "sale_not_removed" | "body_too_large" | "unsupported_media_type" | "internal" | "overloaded" | "not_ready";
  };
  /** What became of a payment that is `undecided` at the gateway. 404 unknown_payment: it has not reached the ledger; ask again. */
  getPayment: {
    method: "GET";
    path: "/admin/orders/{orderId}/payments/{paymentId}";
    pathParameters: { "orderId": string; "paymentId": string; };
    headerParameters: { "Flashsale-On-Behalf-Of"?: string; };
    answers: { 200: Payment; };
    problems: "bad_request" | "unauthorized" | "unknown_payment" | "internal" | "overloaded" | "not_ready";
  };
  /** Paid orders that the provider reported as paid back, from the oldest report on, one page at a time: each is to be returned, or left as paid. */
  listReportedRefunds: {
    method: "GET";
    path: "/admin/reported-refunds";
    queryParameters: { "productId"?: string; "after"?: string; "limit"?: number; };
    headerParameters: { "Flashsale-On-Behalf-Of"?: string; };
    answers: { 200: ReportedRefunds; };
    problems: "bad_request" | "unauthorized" | "internal" | "overloaded" | "not_ready";
  };
  /** Leave an order as paid, although the provider reported a refund of it. A repeat has no further effect. */
  leaveOrderPaid: {
    method: "POST";
    path: "/admin/orders/{orderId}/leave-paid";
    pathParameters: { "orderId": string; };
    headerParameters: { "Flashsale-On-Behalf-Of"?: string; };
    body: LeaveRequest;
    answers: { 200: LeftOrder; };
    problems: "bad_request" | "unauthorized" | "unknown_order" | "request_timeout" | "not_reported" | "reported_more" | "body_too_large" | "unsupported_media_type" | "internal" | "overloaded" | "not_ready";
  };
  /** The feed of what shops receive, one page at a time; nothing is missed. */
  listEvents: {
    method: "GET";
    path: "/admin/events";
    queryParameters: { "types"?: string; "after"?: string; "limit"?: number; };
    headerParameters: { "Flashsale-On-Behalf-Of"?: string; };
    answers: { 200: Events; };
    problems: "bad_request" | "unauthorized" | "unknown_cursor" | "internal" | "overloaded" | "not_ready";
  };
}
