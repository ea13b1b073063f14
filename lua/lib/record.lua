-- An order's packed record: {state, user, quantity, deadline_ms, traceparent, payment_id, refunded_payment_id...};
-- trailing fields are left out while they are empty. States: R reserved, P paid, X expired, C cancelled;
-- T returned, and its units are for sale again; W returned, and they will be once the broker has confirmed that; K returned, and they stay sold.
local STATE, USER, QUANTITY, DEADLINE, TRACE, PAYMENT, FIRST_REFUND = 1, 2, 3, 4, 5, 6, 7
