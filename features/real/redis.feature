@real
Feature: What a client of Redis makes of replies that are lost
  go-redis sends a command that brought no answer again, up to three times, whatever the command does (issue 1481 there). A counter that was counted, and whose
  reply was lost, is counted once more. Each path of the counter service is one way to go about it; each request counts its own key.

  Background:
    Given the system described in "redis.yaml"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients give up after 4s
    And applied effects are read from "GET /ledger"
    And effects settle within 1s

  Scenario: no reply is lost
    When 200 requests on "POST /incr" are sent, 10 at a time
    Then every acknowledged request is applied exactly once
    And no effect appears that was never requested

  Scenario Outline: the reply to <command> is lost, then <ending>: <way>
    When 20% of "<command>" replies from "redis" to "counter" are lost after the work was done, then <ending>
    And 200 requests on "POST <path>" are sent, 10 at a time
    Then at least 20 messages from "counter" to "redis" were affected by the fault
    And at least 50% of requests succeed
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
    And it is known that "<finding>" fails
    And it is known that "<and>" fails

    Examples: <way>
      | command | ending  | path            | way                                            | finding                                            | and                                                |
      | INCR    | reset   | /incr           | sent again, as it is by default                | no request is applied more than once               | every acknowledged request is applied exactly once |
      | INCR    | closed  | /incr           | sent again, as it is by default                | no request is applied more than once               | every acknowledged request is applied exactly once |
      | INCR    | silence | /incr/impatient | sent again, as it is by default                | no request is applied more than once               | every acknowledged request is applied exactly once |
      | INCR    | reset   | /incr/once      | told to send nothing again                     | nothing                                            | nothing                                            |
      | EXEC    | reset   | /multi          | a transaction, which is not sent again         | nothing                                            | nothing                                            |
      | SADD    | reset   | /sadd           | sent again, which makes no difference to a set | nothing                                            | nothing                                            |
      | SET     | reset   | /lock           | sent again, and denied what was granted        | every acknowledged request is applied exactly once | nothing                                            |

  Scenario: the request is lost, and sent again
    When 20% of "INCR" messages from "counter" to "redis" are lost, then reset
    And 200 requests on "POST /incr" are sent, 10 at a time
    Then at least 20 messages from "counter" to "redis" were affected by the fault
    And at least 50% of requests succeed
    And every acknowledged request is applied exactly once
    And no effect appears that was never requested
