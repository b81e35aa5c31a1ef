Feature: Long enough to be interrupted

  Scenario: comments hang
    Given the system described in "../../../features/shop/system.yaml"
    And a steady load of 20 requests per second on "GET /article/1/comments"
    And a baseline is measured for 2s
    When "comments" hangs for 60s
    Then at least 50% of requests succeed during the fault
