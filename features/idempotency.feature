@starter @row-7 @light
Feature: What is sent again is done once
  Todd L. Montgomery at QCon London 2015: even over reliable protocols an acknowledgement can be lost after the work was done. Whoever waits for it
  sends again, so what is sent again must be recognised and done once. In the shop each order carries a key that its client chose ("idempotency
  keys"). A key that was seen before gets the order, and at payments the charge, that was made then. Without that, every repetition is a new
  order, and a new charge.

  Background:
    Given the system described in "shop/orders.yaml"
    And a steady load of 50 requests per second on "POST /orders"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients retry failed requests up to 5 times with the same key
    And clients give up after 4s
    And a baseline is measured for 3s
    And the steady state is:
      | measure     | condition    |
      | success     | at least 99% |
      | p95 latency | below 500ms  |

  Scenario: the charge went through, its acknowledgement did not
    Given applied effects are read from "GET /charges"
    And effects settle within 2s
    When 20% of replies from "payments" to "orders" are lost after the work was done for 4s
    Then at least 20 calls from "orders" to "payments" were affected by the fault
    And at least 99% of requests succeed during the fault
    And every acknowledged request is applied exactly once
    And no effect appears that was never requested
    And requests repeated with the same key get the same response
    And a key reused with a different body is refused with status 422
    And "POST /orders" recovers within 2s of healing

  Scenario: the order was placed, the client never heard of it
    Given applied effects are read from "GET /ledger"
    And effects settle within 2s
    When 20% of replies from "orders" to "clients" are lost after the work was done for 4s
    Then at least 20 calls from "clients" to "orders" were affected by the fault
    And at least 99% of requests succeed during the fault
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no effect appears that was never requested
    And requests repeated with the same key get the same response
    And a key reused with a different body is refused with status 422
