-- An order's packed record: {state, user, quantity, deadline_ms, traceparent, payment_id, refunded_payment_id...};
-- trailing fields are left out while they are empty. States: R reserved, P paid, X expired, C cancelled.
local STATE, USER, QUANTITY, DEADLINE, TRACE, PAYMENT, FIRST_REFUND = 1, 2, 3, 4, 5, 6, 7
