@real
Feature: What is lost with the leader of a stream
  Only an acknowledged message is known to be kept by most replicas. One that was merely sent may reach a leader whose followers have left it, or no leader at all.
  The careful load waits for acknowledgements, the hasty one does not.

  Background:
    Given the system described in "jetstream.yaml"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And a baseline is measured for 2s
    And clients give up after 20s
    And effects are read once "GET /replicas" of "publisher" says "all agree"
    And effects settle within 5s

  Scenario: the leader is cut off, and the publisher does not wait for acknowledgements
    Given the "careful" load of 10 requests per second on "POST /orders"
    And the "hasty" load of 30 requests per second on "POST /hasty"
    And applied effects are read from "orders"
    When "nats-1" is cut off from the rest of "nats" for 13s
    Then every request succeeds
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
    And it is known that "no acknowledged request is lost" fails
    And it is known that "every acknowledged request is applied exactly once" fails
