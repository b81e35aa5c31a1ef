@starter @row-2 @light
Feature: The front page survives the crash of any optional part
  Phil Wills at QCon London 2015: a front page asks the content service for its text, and services for comments, advertisements and statistics
  for the rest. If one of those crashes, the rest of the page is still served. In the shop these are the "fallbacks" of the front: it leaves
  the part out and says so in a header. Without them, no page is served while one part is down.

  Scenario Outline: <part> crash
    Given the system described in "shop/system.yaml"
    And the blast radius is limited to "<part>"
    And a steady load of 60 requests per second on "GET /"
    And clients give up after 4s
    And a baseline is measured for 3s
    And the steady state is:
      | measure     | condition    |
      | success     | at least 99% |
      | p95 latency | below 300ms  |
    When "<part>" crashes for 3s
    Then "<part>" was affected by the fault
    And at least 99% of requests succeed during the fault
    And at least 90% of "GET /" responses are fallbacks, marked by header "X-Degraded: true" during the fault
    And the p95 latency stays below 1s during the fault
    And "GET /" recovers within 2s of healing

    Examples:
      | part     |
      | comments |
      | ads      |
      | stats    |
