@starter @row-4 @light
Feature: A message that gets lost is sent again
  Todd L. Montgomery at QCon London 2015: data loss happens even over protocols that are called reliable; a connection closes, a proxy interferes.
  In the shop, checkout tells the warehouse about orders through a message broker. It keeps each order in an outbox, and sends it again, until
  the broker has acknowledged it ("retransmission"). Without that, orders that a customer was promised never reach the warehouse.

  Scenario: three in ten messages never reach the broker
    Given the system described in "shop/warehouse.yaml"
    And a steady load of 60 requests per second on "POST /orders" with this body:
      """
      {"customer": "customer {{random 1 10}}"}
      """
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And applied effects are read from "GET /picked"
    And effects settle within 4s
    And a baseline is measured for 2s
    When 30% of messages from "checkout" to "broker" are lost for 3s
    Then at least 30 messages from "checkout" to "broker" were affected by the fault
    And at least 99% of requests succeed during the fault
    And no acknowledged request is lost
