@starter @row-20 @light
Feature: An alert is raised while pages are still served
  Michael Brunton-Spall and Todd L. Montgomery at QCon London 2015: when one service is unhealthy, those that use it should both serve what they can and
  raise the alarm. In the shop a monitor reads how many pages the front serves, and how many of them lack a part, and raises an alert if a tenth do ("alerting").
  A monitor that only asks whether the front answers never notices: the front does answer, so that nobody repairs the advertisements.

  Scenario: the advertisements crash
    Given the system described in "shop/alert.yaml"
    And the blast radius is limited to "ads"
    And a steady load of 60 requests per second on "GET /"
    And clients give up after 4s
    And a baseline is measured for 2s
    When "ads" crashes for 4s
    Then the probe "pages lack a part" detects the fault within 3s
    And at least 99% of requests succeed during the fault
    And at least 90% of responses are fallbacks, marked by header "X-Degraded: true" during the fault
