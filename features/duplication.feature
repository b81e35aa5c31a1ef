@starter @row-4 @light
Feature: A message that arrives twice counts once
  Todd L. Montgomery at QCon London 2015: duplication happens even over protocols that are called reliable; an acknowledgement gets lost, and what was
  received already is sent again. In the shop, the warehouse remembers the orders that it picked and recognises a message that comes again
  ("de-duplication"). Without that it packs the same parcel twice.

  Scenario: messages are repeated on the way, and sent again because their acknowledgement got lost
    Given the system described in "shop/warehouse.yaml"
    And a steady load of 60 requests per second on "POST /orders" with this body:
      """
      {"customer": "customer {{random 1 10}}"}
      """
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And applied effects are read from "GET /picked"
    And effects settle within 2s
    And a baseline is measured for 2s
    When 30% of messages from "checkout" to "broker" are delivered twice for 2s
    And 30% of replies from "broker" to "checkout" are lost after the work was done for 2s
    Then at least 40 messages from "checkout" to "broker" were affected by the fault
    And at least 99% of requests succeed during the fault
    And no request is applied more than once
    And no acknowledged request is lost
