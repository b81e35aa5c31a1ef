@real
Feature: What is lost when the primary of PostgreSQL acknowledges before its standby has it
  With asynchronous replication (here synchronous_commit is local) a commit is acknowledged at once. If the primary dies and the standby is promoted, what
  was still on its way is gone. Row 18 of the catalogue is the same with synchronous replication.

  Scenario: the standby is promoted, and replication was asynchronous
    Given the system described in "replicated.yaml"
    And a steady load of 15 requests per second on "POST /bookings/asynchronous"
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
    Then at least 50% of requests succeed during the fault
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
    And it is known that "no acknowledged request is lost" fails
    And it is known that "every acknowledged request is applied exactly once" fails
