Feature: Broken

  Scenario: a sentence that nobody knows
    Given the system described in "../../../features/shop/system.yaml"
    And a steady load of 20 requests per second on "GET /article/1"
    When calls from "front" to "coments" are delayed by 100ms for 1s
    Then at leest 99% of requests succeed during the fault
