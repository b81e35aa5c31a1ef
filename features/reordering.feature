@starter @row-4 @light
Feature: What a customer ordered first is picked first
  Todd L. Montgomery at QCon London 2015: the order of messages is an illusion; whoever needs an order has to impose it. In the shop, checkout numbers
  the orders of each customer, and the warehouse lets an order wait until the customer's earlier ones were picked ("sequencing"). Without that,
  it picks orders as they come, and a change of an order may come before the order.

  Scenario: messages overtake each other
    Given the system described in "shop/warehouse.yaml"
    And a steady load of 60 requests per second on "POST /orders" with this body:
      """
      {"customer": "customer {{random 1 2}}"}
      """
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And applied effects are read from "GET /picked"
    And effects settle within 2s
    And a baseline is measured for 2s
    When 50% of messages from "checkout" to "broker" arrive out of order, up to 500ms late for 3s
    Then at least 40 messages from "checkout" to "broker" were affected by the fault
    And effects with the same "customer" are applied in the order they were sent
    And no acknowledged request is lost
