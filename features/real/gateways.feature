@real
Feature: What gateways make of replies that are lost
  A gateway that got no answer may ask another backend. nginx does so for all but POST, LOCK and PATCH unless it is told otherwise, HAProxy only when it is told
  to. Whoever asked sees one answer; the work was done twice. Each path of a gateway is one way to configure it.

  Background:
    Given the system described in "gateways.yaml"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients give up after 4s
    And applied effects are read from "GET /ledger"
    And effects settle within 1s

  Scenario Outline: <gateway>, <configured>, <method>
    When these faults run together:
      | fault        | from      | to | share | value |
      | lost replies | <gateway> | a  | 10%   | reset |
      | lost replies | <gateway> | b  | 10%   | reset |
    And 300 requests on "<method> /<gateway>/<way>" are sent, 10 at a time
    Then at least 5 calls from "<gateway>" to "a" were affected by the fault
    And at least 5 calls from "<gateway>" to "b" were affected by the fault
    And at least 50% of requests succeed
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
    And it is known that "<finding>" fails
    And it is known that "<and>" fails

    Examples:
      | gateway | configured                         | method | way            | finding                              | and                                                |
      | nginx   | as it comes                        | POST   | usual          | nothing                              | nothing                                            |
      | nginx   | as it comes                        | GET    | usual          | no request is applied more than once | every acknowledged request is applied exactly once |
      | nginx   | as it comes                        | PUT    | usual          | no request is applied more than once | every acknowledged request is applied exactly once |
      | nginx   | as it comes                        | DELETE | usual          | no request is applied more than once | every acknowledged request is applied exactly once |
      | nginx   | proxy_next_upstream non_idempotent | POST   | non-idempotent | no request is applied more than once | every acknowledged request is applied exactly once |
      | nginx   | proxy_next_upstream off            | GET    | off            | nothing                              | nothing                                            |
      | haproxy | as it comes                        | POST   | usual          | nothing                              | nothing                                            |
      | haproxy | retry-on all-retryable-errors      | POST   | all            | no request is applied more than once | every acknowledged request is applied exactly once |
      | haproxy | retry-on and disable-l7-retry      | POST   | but-post       | nothing                              | nothing                                            |
