@starter @row-8 @light
Feature: A server that stops says goodbye
  Todd L. Montgomery at QCon London 2015: a service that goes away should say so, so that others need not wait for a time-out. In the shop, a server
  of prices that is told to stop says "bye" on each connection and answers the questions that it has received until then ("goodbye"), and the
  service for quotes asks the spare server from then on. Without the goodbye, it only notices after a second of silence, and its clients do not wait
  that long.

  Scenario: the server of prices is stopped, and a spare one takes over
    Given the system described in "shop/quotes.yaml"
    And the blast radius is limited to "prices"
    And a steady load of 40 requests per second on "POST /quotes"
    And clients give up after 500ms
    And a baseline is measured for 2s
    When "prices" is stopped gracefully for 2s
    Then "prices" was affected by the fault
    And at least 98% of requests succeed
