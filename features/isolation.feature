@starter @row-1 @light
Feature: A comments service that grinds to a halt slows no page that does without it
  Phil Wills told at QCon London 2015 how live questions and answers below one article brought the Guardian's comments to a halt, and with them
  pages that showed no comments at all. Since then failures are kept where they arise: in the shop, each dependency of the front has a pool of
  workers of its own ("isolation"). With one pool for all of them, calls that wait for comments hold the workers that every other page needs.

  Scenario: comments hang while many read them
    Given the system described in "shop/system.yaml"
    And the blast radius is limited to "comments"
    And a steady load of 60 requests per second with this mix:
      | route                   | share |
      | GET /article/1          | 50%   |
      | GET /article/2/comments | 50%   |
    And clients give up after 4s
    And a baseline is measured for 3s
    When the load changes from 60 to 120 requests per second over 1s
    And "comments" hangs for 5s
    Then "comments" was affected by the fault
    And "GET /article/1" is not affected by the fault
    And at least 99% of requests succeed
    And at least 80% of "GET /article/2/comments" responses are fallbacks, marked by header "X-Degraded: true" during the fault
    And the p99 latency stays below 1s during the fault
