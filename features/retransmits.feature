@starter @row-6 @light
Feature: An answer that comes late is not asked for twice
  Todd L. Montgomery at QCon London 2015: an answer that arrives just after the time-out makes the caller send again what was being done already.
  Measured response times should set the time-out. In the shop the charges of orders do that ("adaptive timeout", as in RFC 6298): when payments
  become slow, orders becomes more patient. A fixed time-out just below the new response time asks payments for everything twice, at the
  very moment when it can bear it least.

  Scenario: payments answer later than they used to, then later still
    Given the system described in "shop/orders.yaml"
    And the blast radius is limited to "payments"
    And a steady load of 50 requests per second on "POST /orders"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients give up after 5s
    And applied effects are read from "GET /ledger"
    And effects settle within 2s
    And a baseline is measured for 3s
    When calls from "orders" to "payments" are delayed by 350ms, give or take 50ms for 3s
    And calls from "orders" to "payments" are delayed by 550ms, give or take 100ms for 3s
    Then at least 150 calls from "orders" to "payments" were affected by the fault
    And at least 99% of requests succeed during the fault
    And "payments" receives at most 1.25 times its normal calls during the fault
    And every acknowledged request is applied exactly once
    And no effect appears that was never requested
