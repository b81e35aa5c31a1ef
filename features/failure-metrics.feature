@starter @row-12 @light
Feature: Whatever breaks shows in the metrics of the service that needs it
  Phil Calçado at QCon London 2015: if a monolith fails, it is obvious what is broken. With many services it is not, so every service at SoundCloud
  has the same metrics. In the shop, each service reports for each of its dependencies how many calls it made, how many failed, and whether it is up
  ("metrics of failures"). Without them, a front that leaves the advertisements out looks healthy to its operators.

  Scenario Outline: <what happens>
    Given the system described in "shop/page.yaml"
    And the blast radius is limited to "ads"
    And a steady load of 60 requests per second on "GET /"
    And clients give up after 4s
    And a baseline is measured for 2s
    When <fault> for 2s
    Then the probe "ads down" detects the fault within 1s
    And at least 90% of responses are fallbacks, marked by header "X-Degraded: true" during the fault

    Examples:
      | what happens                   | fault                                         |
      | the advertisements crash       | "ads" crashes                                 |
      | the advertisements hang        | "ads" hangs                                   |
      | the advertisements become slow | calls from "front" to "ads" are delayed by 1s |
