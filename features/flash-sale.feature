@starter @row-13 @light
Feature: A flash sale serves as many buyers as it can, refuses the others at once, and sells nothing twice
  Yoni Goldberg at QCon London 2015: flash sales bring huge spikes of demand, at known times. In the shop, a sale accepts as many purchases as it
  can serve, and asks the others to come again in a second ("load shedding"). An item leaves the shelf before it is paid for, not after ("stock
  reservation"). Without the first, most buyers wait in vain; without the second, several buyers pay for the same item.

  Scenario: ten times as many buyers, and payments that become slower
    Given the system described in "shop/sale.yaml"
    And the blast radius is limited to "payments"
    And a steady load of 20 requests per second on "POST /purchases"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    # 201: it is yours; 410: it is sold out
    And "POST /purchases" answers 201 or 410
    And clients give up after 1s
    And effects settle within 2s
    And a baseline is measured for 2s
    When calls from "sale" to "payments" are delayed by 100ms
    And the load spikes from 20 to 200 requests per second for 4s
    Then excess requests are refused within 500ms with status "503" and a Retry-After header during the fault
    And "POST /purchases" recovers within 2s of healing
    # whatever was sold is no longer on the shelf
    And the sum of "items" over "GET /stock" stays the same
