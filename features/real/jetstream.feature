@real @row-18
Feature: A stream of three NATS servers survives the loss of its leader
  A stream of JetStream acknowledges a message when most of its replicas have it. When the server that leads the stream is cut off or crashes, the others elect
  another leader, after 4 to 9 seconds of silence, and as long again if none of them gets enough votes. The publisher, connected to another server, publishes
  again until it is acknowledged.

  Background:
    Given the system described in "jetstream.yaml"
    And a steady load of 30 requests per second on "POST /orders"
    And a baseline is measured for 2s
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients give up after 20s
    And applied effects are read from "orders"
    And effects are read once "GET /replicas" of "publisher" says "all agree"
    And effects settle within 5s

  Scenario: the leader is cut off from the other servers
    When "nats-1" is cut off from the rest of "nats" for 18s
    Then every request succeeds
    And no request takes longer than 15s
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested

  Scenario: the leader crashes
    When "nats-1" crashes for 18s
    Then every request succeeds
    And no request takes longer than 15s
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
