@real @row-real
Feature: Pages come without their cache
  A cache makes pages cheaper; it must not become something that they cannot do without. Here it is a real redis-server, which first falls
  silent, then is killed, and then comes back. The front asks it with short time-outs, leaves it alone for a moment when it fails, and takes the
  content from its source meanwhile ("cache bypass").

  Scenario: redis falls silent, is killed, and starts again
    Given the system described in "system.yaml"
    And the blast radius is limited to "cache"
    And a steady load of 60 requests per second on "GET /article/{{n}}"
    And clients give up after 4s
    And a baseline is measured for 3s
    And the steady state is:
      | measure     | condition    |
      | success     | at least 99% |
      | p95 latency | below 300ms  |
    When "front" and "cache" are cut off from each other for 3s
    And "cache" crashes
    And 2s pass
    And "cache" starts again
    Then "cache" was affected by the fault
    And at least 99% of requests succeed during the fault
    And the p95 latency stays below 1s during the fault
    And "GET /article/{{n}}" recovers within 2s of healing
