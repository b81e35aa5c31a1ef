@real
Feature: Pages that nginx serves from a stale cache
  nginx may answer from what it has kept, though it is stale, when the backends behind it do not ("proxy_cache_use_stale error timeout updating"). Without, it
  waits for them and says 504.

  Scenario Outline: the backends are silent; stale pages are <served>
    Given the system described in "gateways.yaml"
    And a steady load of 50 requests per second on "GET /pages/<way>"
    And clients give up after 2s
    And a baseline is measured for 2s
    When "nginx" is cut off from "a", "b" for 4s
    And 2s pass
    Then at least 99% of requests succeed during the fault
    And at least 50% of responses are fallbacks, marked by header "X-Degraded: true" during the fault
    And at least 99% of requests succeed after healing
    And it is known that "<finding>" fails
    And it is known that "<and>" fails

    Examples:
      | served | way   | finding                                           | and                                                                                           |
      | served | stale | nothing                                           | nothing                                                                                       |
      | not    | fresh | at least 99% of requests succeed during the fault | at least 50% of responses are fallbacks, marked by header "X-Degraded: true" during the fault |
