@starter @row-8 @light
Feature: A dead peer is noticed
  Todd L. Montgomery at QCon London 2015: a connection does not end by itself when the other side dies, so each side has to verify that the other
  one is alive. In the shop, the service for quotes pings the server of prices five times a second while it waits for an answer. After a second
  of silence it gives the connection up and asks a spare server ("liveness check"). Without that, it goes on asking a server that no longer
  exists.

  Scenario: the server of prices vanishes without a word
    Given the system described in "shop/quotes.yaml"
    And the blast radius is limited to "prices"
    And a steady load of 40 requests per second on "POST /quotes"
    And clients give up after 2s
    And a baseline is measured for 2s
    When connections from "quotes" to "prices" are half-open for 5s
    Then at least 98% of requests succeed during the fault
