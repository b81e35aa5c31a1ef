@real
Feature: What services make of a COMMIT that is not acknowledged
  PostgreSQL commits and says so. When that answer is lost, the client sees an error although the row is there. A service that passes the error on as "it is not
  known" is right. One that says "it did not happen" is wrong, and one that does it again does it twice, unless the database recognises the request.

  Scenario Outline: the acknowledgement is lost: <way>
    Given the system described in "postgres.yaml"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients give up after 4s
    And applied effects are read from "GET /ledger"
    And effects settle within 1s
    When 20% of "COMMIT" replies from "postgres" to "orders" are lost after the work was done, then reset
    And 200 requests on "POST <path>" are sent, 10 at a time
    Then at least 20 messages from "orders" to "postgres" were affected by the fault
    And at least 50% of requests succeed
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
    And it is known that "<finding>" fails
    And it is known that "<and>" fails

    Examples:
      | way                                         | path         | finding                                            | and                                                |
      | the client is told that it is not known     | /orders      | nothing                                            | nothing                                            |
      | the client is told that it did not happen   | /hasty       | every acknowledged request is applied exactly once | nothing                                            |
      | it is done again                            | /again       | no request is applied more than once               | every acknowledged request is applied exactly once |
      | it is done again, where the key must be one | /again/known | nothing                                            | nothing                                            |
