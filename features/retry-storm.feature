@starter @row-6 @light
Feature: A dependency that fails is not asked three times as often
  Todd L. Montgomery at QCon London 2015, on what is sent again: it comes at the moment when the other side can bear it least. In the shop, orders sends
  a charge that failed again, up to three times, and a "retry budget" bounds how many of all charges are repeats. Without it, payments gets three
  times its calls for as long as it fails, which is what keeps a service that stumbles from getting up.

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
