@starter @row-9 @light
Feature: Several receivers who miss different parts do not get everything again
  Todd L. Montgomery at QCon London 2015: if several receivers of the same data each miss another part, and each asks for it, the whole may be sent
  again although together they have it all. The remedy is to wait and to listen. In the shop a bulletin of twenty pages goes to three branches. A
  branch waits a while before it asks for a page, the bulletin waits for what the others miss, and then sends each page once ("retransmit
  suppression"). Without that, whoever misses a page has the whole bulletin sent to everyone.

  Scenario: every branch misses other pages
    Given the system described in "shop/bulletin.yaml"
    And a steady load of 15 requests per second on "POST /bulletins"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And applied effects are read from "the first branch"
    And applied effects are read from "the second branch"
    And applied effects are read from "the third branch"
    And effects settle within 4s
    And a baseline is measured for 2s
    When these faults run together for 4s:
      | fault         | from     | to       | share |
      | lost messages | bulletin | branch-1 | 5%    |
      | lost messages | bulletin | branch-2 | 5%    |
      | lost messages | bulletin | branch-3 | 5%    |
    Then no acknowledged request is lost
    And "bulletin" sends at most 6 messages again for each one lost, by its metric "datagrams_resent_total"
