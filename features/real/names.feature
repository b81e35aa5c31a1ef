@real
Feature: What Go's resolver makes of an answer that is lost
  DNS over UDP loses an answer now and then. Go's resolver waits five seconds (unless resolv.conf says otherwise) before it asks again, and so does whoever looks
  up a name.

  Scenario: five answers are lost
    Given the system described in "names.yaml"
    And a steady load of 20 requests per second on "GET /lookup"
    And clients give up after 12s
    And a baseline is measured for 2s
    When the first 5 messages from "names" to "front" are lost for 2s
    And 5s pass
    Then at least 5 messages from "names" to "front" were affected by the fault
    And at least 99% of requests succeed
    And no request takes longer than 4s
    And no request takes longer than 6s
    And it is known that "no request takes longer than 4s" fails
