@real @row-18
Feature: The primary of PostgreSQL is killed, and its standby takes over
  A standby that is promoted has what it had received until then. The primary acknowledged nothing else ("synchronous replication"), although replication was
  late.

  Scenario: the standby is promoted
    Given the system described in "replicated.yaml"
    And a steady load of 15 requests per second on "POST /bookings"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients give up after 4s
    And a baseline is measured for 3s
    And applied effects are read from "pg-2's bookings"
    And effects settle within 1s
    When one-way traffic from "pg-1" to "pg-2" is delayed by 1500ms
    And 3s pass
    And "pg-1" crashes
    And the command "promote" is run
    And 4s pass
    Then every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And at least 50% of requests succeed during the fault
    And "POST /bookings" recovers within 5s of healing
