@real
Feature: What subscribers, publishers and consumers of NATS make of broken links
  NATS delivers to whoever is there: a subscriber whose connection breaks does not get what was published meanwhile, one whose bytes are held up gets all of it.
  JetStream stores a message once if it has an id and comes again within the stream's window; without, whoever heard nothing and publishes again has it stored
  twice. A consumer whose acknowledgement is lost is given the message again.

  Background:
    Given the system described in "nats.yaml"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients give up after 4s

  Scenario: the subscriber's connection is reset and refused
    Given a steady load of 60 requests per second on "POST /subject"
    And a baseline is measured for 2s
    And applied effects are read from "GET /handled"
    And effects settle within 2s
    When connections from "worker" to "nats" are reset for 2s
    And 2s pass
    Then at least 50% of requests succeed
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
    And it is known that "no acknowledged request is lost" fails
    And it is known that "every acknowledged request is applied exactly once" fails

  Scenario: what the subscriber gets is held up
    Given applied effects are read from "GET /handled"
    And effects settle within 2s
    When 100 requests on "POST /subject" are sent, 10 at a time
    And "worker" and "nats" are cut off from each other
    And 100 requests on "POST /subject" are sent, 10 at a time
    And 200ms pass
    And the fault is healed
    Then at least 50% of requests succeed
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested

  Scenario Outline: the publisher hears nothing and publishes again: <way>
    Given applied effects are read from "GET /stored"
    And effects settle within 2s
    When 20% of "<subject>" replies from "nats" to "publisher" are lost after the work was done, then silence
    And 200 requests on "POST <path>" are sent, 10 at a time
    Then at least 20 messages from "publisher" to "nats" were affected by the fault
    And at least 50% of requests succeed
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
    And it is known that "<finding>" fails
    And it is known that "<and>" fails

    Examples:
      | way                                | path     | subject | finding                              | and                                                |
      | without an id                      | /plain   | orders  | no request is applied more than once | every acknowledged request is applied exactly once |
      | with an id                         | /with-id | orders  | nothing                              | nothing                                            |
      | with an id, after it was forgotten | /late    | late    | no request is applied more than once | every acknowledged request is applied exactly once |

  Scenario: the consumer's acknowledgement is lost
    Given applied effects are read from "GET /handled"
    And effects settle within 2s
    When 20% of "$JS.ACK.>" messages from "worker" to "nats" are lost, then silence
    And 200 requests on "POST /work" are sent, 10 at a time
    And the fault is healed
    Then at least 20 messages from "worker" to "nats" were affected by the fault
    And at least 50% of requests succeed
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
    And it is known that "no request is applied more than once" fails
    And it is known that "every acknowledged request is applied exactly once" fails
