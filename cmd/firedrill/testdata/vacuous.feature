Feature: A fault that touches nothing

  Scenario: nobody asks for comments
    Given the system described in "../../../features/shop/system.yaml"
    And a steady load of 50 requests per second on "GET /article/1"
    And a baseline is measured for 3s
    When calls from "front" to "comments" are delayed by 100ms for 1s
    Then at least 99% of requests succeed during the fault
