@real
Feature: What senders and receivers make of broken connections to RabbitMQ
  Whoever waits for confirms knows what the server has, and publishes again what is not confirmed: twice, if only the confirm was lost. Whoever does not wait
  believes that a message was sent although it is still in a buffer. A message that was handled and not acknowledged when the connection broke is delivered
  again, marked as such; one that is acknowledged by being sent (automatic acknowledgement) is gone with the connection.

  Background:
    Given the system described in "rabbitmq.yaml"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And effects settle within 2s

  Scenario: confirms do not arrive, and the sender publishes again
    Given applied effects are read from "arrived"
    When one-way traffic on the first 10 connections from "rabbitmq" to "sender" is delayed by 60s
    And 100 requests on "POST /confirmed" are sent, 10 at a time
    Then at least 50% of requests succeed
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
    And it is known that "no request is applied more than once" fails
    And it is known that "every acknowledged request is applied exactly once" fails

  Scenario: the connection breaks, and the sender does not wait for confirms
    Given applied effects are read from "arrived"
    When 100 requests on "POST /unconfirmed" are sent, 10 at a time
    And one-way traffic on the first 20 connections from "sender" to "rabbitmq" is delayed by 60s
    And 50 requests on "POST /unconfirmed" are sent, 10 at a time
    And 200ms pass
    And the first 20 connections from "sender" to "rabbitmq" are reset
    And 100 requests on "POST /unconfirmed" are sent, 10 at a time
    Then at least 50% of requests succeed
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
    And it is known that "no acknowledged request is lost" fails
    And it is known that "every acknowledged request is applied exactly once" fails

  Scenario: connections break before the acknowledgement, which comes after the work
    Given applied effects are read from "handled"
    When one-way traffic on the first 10 connections from "receiver" to "rabbitmq" is delayed by 60s
    And 50 requests on "POST /work" are sent, 10 at a time
    And 200ms pass
    And the first 10 connections from "receiver" to "rabbitmq" are reset
    And 50 requests on "POST /work" are sent, 10 at a time
    Then at least 50% of requests succeed
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
    And it is known that "no request is applied more than once" fails
    And it is known that "every acknowledged request is applied exactly once" fails

  Scenario: the connection breaks, and messages are acknowledged by being sent
    Given applied effects are read from "handled"
    When the first 11 connections from "receiver" to "rabbitmq" are reset after 4 KB
    And 300 requests on "POST /auto" are sent, 10 at a time
    Then at least 50% of requests succeed
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
    And it is known that "no acknowledged request is lost" fails
    And it is known that "every acknowledged request is applied exactly once" fails
