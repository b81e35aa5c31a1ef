@starter @row-16 @light
Feature: A part that is late harms a page no more than a part that is gone
  Michael Brunton-Spall at QCon London 2015: a latency spike cannot be told from a broken network, so what survives one must survive
  the other. In the shop the front waits 300 ms for each optional part ("timeouts"). Without that it waits as long as the part takes, and its clients
  give up first.

  Scenario Outline: <what happens>
    Given the system described in "shop/page.yaml"
    And the blast radius is limited to "ads"
    And a steady load of 40 requests per second on "GET /"
    And clients give up after 2s
    And a baseline is measured for 3s
    When <fault> for 5s
    Then at least 99% of requests succeed during the fault
    And at least 90% of "GET /" responses are fallbacks, marked by header "X-Degraded: true" during the fault
    And the p95 latency stays below 1s during the fault
    And "GET /" recovers within 2s of healing

    Examples:
      | what happens         | fault                                         |
      | ads takes 3 s longer | calls from "front" to "ads" are delayed by 3s |
      | ads does not answer  | "front" and "ads" are cut off from each other |
