Feature: An order is charged once, even if the acknowledgement of the charge is lost
  In the shop, the service "orders" has the service "payments" charge each order. When an acknowledgement is lost, it asks again.

  Scenario: one in five acknowledgements is lost
    Given the system described in "system.yaml"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients retry failed requests up to 5 times with the same key
    And applied effects are read from "GET /charges"
    And effects settle within 1s
    When 20% of replies from "payments" to "orders" are lost after the work was done
    And 200 requests on "POST /orders" are sent, 10 at a time
    Then at least 99% of requests succeed
    And every acknowledged request is applied exactly once
