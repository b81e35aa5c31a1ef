@real @row-18
Feature: The leader of a cluster of etcd is cut off from the others
  The others elect a leader of their own. The old one can acknowledge no write, since it does not reach most members, and must not answer reads from
  what it knows either: it may have missed writes ("linearizable reads"). Members take 5s to notice that a connection is dead, so that the old leader may
  take longer than that to rejoin them.

  Scenario: the leader is cut off
    Given the system described in "etcd.yaml"
    And a steady load of 40 requests per second with this mix:
      | route         | share | body             |
      | PUT /register | 40%   | {"value": {{n}}} |
      | GET /register | 60%   |                  |
    And "PUT /register" writes and "GET /register" reads the register "register"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients give up after 4s
    And a baseline is measured for 2s
    And applied effects are read from "GET /ledger"
    And effects settle within 1s
    When "POST /leader/1" of "register" is asked
    And "etcd-1" is cut off from the rest of "etcd" for 8s
    Then the history of "register" is linearizable
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And the health check "/health" of "etcd-1" turns unhealthy within 5s of the fault
    And at least 30% of requests succeed during the fault
    And "PUT /register" recovers within 10s of healing
    And "GET /members/1" and "GET /members/2" agree within 10s of healing
    And "GET /members/2" and "GET /members/3" agree within 5s of healing
