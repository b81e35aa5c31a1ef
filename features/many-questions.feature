@starter @row-5 @light
Feature: Twenty questions take little longer than one
  Todd L. Montgomery at QCon London 2015: a caller that asks one question after the other waits for a round trip each time. If it asks all of them
  at once, they take little more than one round trip together, but answers may overtake each other, so that each has to name its question. In the
  shop a quote needs twenty prices, and asks for all of them at once ("pipelining"). Without that, it takes twenty times as long when the way to the
  prices is long, and its clients do not wait that long. A quote fails if it gets the price of another item.

  Scenario: the way to the prices becomes long
    Given the system described in "shop/quotes.yaml"
    And the blast radius is limited to "prices"
    And a steady load of 30 requests per second on "POST /quotes"
    And clients give up after 500ms
    And a baseline is measured for 2s
    # 25 ms each way: each round trip takes 50 ms longer
    When traffic from "quotes" to "prices" is delayed by 25ms for 4s
    Then at least 95% of requests succeed during the fault
