@starter @row-6 @light
Feature: A dependency that fails is not asked three times as often
  Todd L. Montgomery at QCon London 2015: what is sent again comes at the moment when the other side can bear it least. In the shop, orders asks up to
  three times for a charge that failed, and a "retry budget" limits how many charges are asked for again. Without it, payments gets three times
  its usual calls for as long as it fails, which keeps a service in trouble from recovering.

  Scenario: payments answers nine in ten calls with an error
    Given the system described in "shop/orders.yaml"
    And the blast radius is limited to "payments"
    And a steady load of 80 requests per second on "POST /orders"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients give up after 4s
    And applied effects are read from "GET /ledger"
    And effects settle within 2s
    And a baseline is measured for 3s
    When 90% of calls from "orders" to "payments" answer with status 503 for 5s
    Then at least 300 calls from "orders" to "payments" were affected by the fault
    And "payments" receives at most 2.2 times its normal calls during the fault
    And "POST /orders" recovers within 5s of healing
    And every acknowledged request is applied exactly once
