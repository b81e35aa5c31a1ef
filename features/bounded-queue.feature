@starter @row-10 @light
Feature: A queue that is full refuses more
  Todd L. Montgomery at QCon London 2015: limit the length of queues, and push back or drop what does not fit. A long queue delays everything in it,
  until clients no longer wait for the results. In the shop, 16 labels may wait for the printer ("queue bound"). More are refused at once and may
  come again later, so that each label that was accepted is printed in time. Without the bound, all labels are accepted, and most clients wait in
  vain.

  Scenario: the printer becomes too slow for all the labels
    Given the system described in "shop/labels.yaml"
    And the blast radius is limited to "printer"
    And a steady load of 40 requests per second on "POST /labels"
    And clients give up after 2s
    And a baseline is measured for 2s
    When calls from "labels" to "printer" are delayed by 200ms for 5s
    Then the queue "waiting labels" never holds more than 16 messages
    And excess requests are refused within 500ms with status "503" and a Retry-After header during the fault
    And at least 20% of requests succeed during the fault
