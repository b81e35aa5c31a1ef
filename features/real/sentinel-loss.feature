@real
Feature: What a master of Redis took alone is lost when Sentinel replaces it
  Redis acknowledges a write before its replica has it. A master that is cut off takes writes until it hears that it was replaced, and then drops them.

  Scenario: the master is cut off, and the client does not wait for the replica
    Given the system described in "sentinel.yaml"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And the "hasty" load of 30 requests per second on "POST /hasty"
    And the "careful" load of 10 requests per second on "POST /waited"
    And a baseline is measured for 5s
    And clients give up after 4s
    And applied effects are read from "GET /ledger"
    And effects are read once the command "roles" says "2"
    And effects settle within 6s
    When "redis" is cut off from "replica", "sentinel-1", "sentinel-2", "sentinel-3" for 5s
    And the command "demote" is run
    Then at least 50% of requests succeed during the fault
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
    And it is known that "no acknowledged request is lost" fails
    And it is known that "every acknowledged request is applied exactly once" fails
