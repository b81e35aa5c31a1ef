@real @row-18
Feature: The leader of a cluster of etcd is killed, and comes back
  A write is acknowledged once most members have it, so that whoever becomes leader has it, too. The others elect one within seconds. Clients get on
  without the dead member because they ask another one ("failover").

  Scenario: the leader is killed
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
    And "etcd-1" crashes for 8s
    Then the history of "register" is linearizable
    And every acknowledged request is applied exactly once
    And no acknowledged request is lost
    And at least 30% of requests succeed during the fault
    And "PUT /register" recovers within 5s of healing
    And "GET /members/1" and "GET /members/2" agree within 5s of healing
    And "GET /members/2" and "GET /members/3" agree within 5s of healing
