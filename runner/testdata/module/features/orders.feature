Feature: Orders

  Scenario: replies of payments are lost
    Given the system described in "system.yaml"
    And orders reach payments through their link
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And applied effects are read from "GET /charges"
    And effects settle within 1s
    When 20% of replies from "payments" to "orders" are lost after the work was done
    And 60 requests on "POST /orders" are sent, 10 at a time
    Then at least 90% of requests succeed
    And every acknowledged request is applied exactly once
    And payments made at least 50 charges
