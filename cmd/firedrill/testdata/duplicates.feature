Feature: Orders whose acknowledgement is lost

  Scenario: the order was placed, the client never heard of it
    Given the system described in "../../../features/shop/system.yaml"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients retry failed requests up to 5 times with the same key
    And applied effects are read from "GET /ledger"
    And effects settle within 1s
    When 20% of replies from "orders" to "clients" are lost after the work was done
    And 200 requests on "POST /orders" are sent, 10 at a time
    Then every acknowledged request is applied exactly once
