@real @row-18
Feature: Nothing that a replica of Redis has is lost when Sentinel replaces the master
  A master that is cut off from its replica and from Sentinel takes writes, while Sentinel makes the replica the master. When the old master is back, it becomes
  a replica, and what it took is gone. A client that waits for the replica (WAIT), and otherwise turns to the other server, loses none of what it acknowledges.
  Sentinel would demote the old master some twenty seconds later; a command does it sooner. The option min-replicas-to-write only limits the loss: a master takes
  writes until it has noticed that its replica is silent.

  Scenario: the master is cut off, and the client still reaches it
    Given the system described in "sentinel.yaml"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And the "orders" load of 30 requests per second on "POST /orders"
    And the "careful" load of 10 requests per second on "POST /waited"
    And a baseline is measured for 5s
    And clients give up after 8s
    And applied effects are read from "GET /ledger"
    And effects are read once the command "roles" says "2"
    And effects settle within 6s
    When "redis" is cut off from "replica", "sentinel-1", "sentinel-2", "sentinel-3" for 5s
    And the command "demote" is run
    Then every request of the "orders" load succeeds
    And no acknowledged request is lost
    And no request is applied more than once
    And no effect appears that was never requested
