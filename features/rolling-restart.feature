@starter @row-17 @light
Feature: Instances are replaced one by one, and nobody notices
  Michael Brunton-Spall at QCon London 2015: new instances go behind the load balancer, their health is checked, and the old ones are taken down, so
  that an upgrade interrupts nothing. In the shop an instance that is told to stop first says so in its answers and goes on answering until
  the balancer has stopped sending it requests ("draining"). Without that, requests go to an instance that is already gone.

  Scenario: every instance is restarted
    Given the system described in "shop/web.yaml"
    And a steady load of 60 requests per second on "GET /"
    And clients give up after 4s
    And a baseline is measured for 2s
    When "web-1" is stopped gracefully for 700ms
    And "web-2" is stopped gracefully for 700ms
    And "web-3" is stopped gracefully for 700ms
    Then every request succeeds
    And the p95 latency stays below 500ms
