@starter @row-15 @light
Feature: A health check looks at what a service needs
  Michael Brunton-Spall at QCon London 2015: a service answers two questions, whether it is alive, and whether all that it needs answers, too. In the
  shop "/livez" says that orders runs, and "/readyz" that payments can be reached as well ("deep check"). The first must not fail with the
  second, or a broken payment service has every service restarted that needs it. Without the deep check, all lights are green while no
  order can be placed.

  Scenario: payments cannot be reached
    Given the system described in "shop/orders.yaml"
    And a steady load of 40 requests per second on "POST /orders"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients give up after 1s
    And a baseline is measured for 2s
    When "orders" and "payments" are cut off from each other for 4s
    Then the health check "/livez" of "orders" stays healthy during the fault
    And the health check "/readyz" of "orders" turns unhealthy within 3s of the fault
    And the health check "/readyz" of "orders" turns healthy within 3s of healing
