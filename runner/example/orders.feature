Feature: Orders of a system of your own
  A bearer token, the key in the JSON body, and effects that are rows of a table. Build the services and run it:
    go build -o runner/example/bin/own ./runner/example
    API_TOKEN=any-secret-token firedrill run runner/example
  With --without "unique key" an order that is sent again is placed again.

  Background:
    Given the system described in "system.yaml"
    And every request carries the header "Authorization: Bearer ${env:API_TOKEN}"
    And every request carries a fresh idempotency key in the field "key" of its JSON body
    And clients retry failed requests up to 3 times with the same key
    And applied effects are read from "orders table"
    And effects settle within 1s

  Scenario: the tax service is slow, and then down
    When replies from "tax" to "orders" are delayed by 1s
    And 40 requests on "POST /v1/orders" are sent, 10 at a time, with this body:
      """
      {"email": "a{{n}}@example.com", "cents": {{random 100 900}}}
      """
    And "tax" crashes
    And 40 requests on "POST /v1/orders" are sent, 10 at a time, with this body:
      """
      {"email": "a{{n}}@example.com", "cents": {{random 100 900}}}
      """
    Then at least 99% of requests succeed
    And at least 99% of responses are fallbacks
    And every acknowledged request is applied exactly once

  Scenario: the acknowledgement of COMMIT is lost
    When 30% of "COMMIT" replies from "db" to "orders" are lost after the work was done
    And 80 requests on "POST /v1/orders" are sent, 10 at a time, with this body:
      """
      {"email": "a{{n}}@example.com", "cents": {{random 100 900}}}
      """
    Then at least 90% of requests succeed
    And no request is applied more than once
    And no acknowledged request is lost
    And a key reused with a different body is refused with status 422

  Scenario: PostgreSQL crashes
    Given a steady load of 50 requests per second on "POST /v1/orders" with this body:
      """
      {"email": "a{{n}}@example.com", "cents": {{random 100 900}}}
      """
    And a baseline is measured for 1s
    When "db" crashes for 500ms
    And 1s passes
    Then no request is applied more than once
    And no acknowledged request is lost
    And no effect appears that was never requested
